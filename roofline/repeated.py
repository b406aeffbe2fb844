"""Large arrays of few different numbers, worked on once each.

Of a million points in which memory decides how many requests run, a few hundred numbers of requests differ. A
`Repeated` stands for such an array: what is made of it alone, or of it and small axes, is made of the different
numbers, and becomes an array of every point only where it meets one. The arithmetic of each element is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from roofline.numeric import Num

WORTH = 4  # times fewer numbers than elements, at least: else an array is as quick
LEAST = 4096  # elements: of fewer, what Python takes for each operation is more than what it saves
ELEMENTWISE = (np.where, np.clip)  # functions, beside ufuncs, that work on each element by itself


class Places:
    """Which of the different numbers stands where: `index`, of the shape of the array."""

    def __init__(self, index: NDArray[np.intp]) -> None:
        self.index = index
        self._flat: dict[tuple[int, ...], NDArray[np.intp]] = {}

    def flat(self, axes: tuple[int, ...]) -> NDArray[np.intp]:
        """Where each element is in raveled numbers that have these axes, too, lengths of 1 where they have none."""
        if axes not in self._flat:
            each = np.arange(math.prod(axes)).reshape(axes)
            self._flat[axes] = self.index * each.size + each
        return self._flat[axes]


class Repeated(NDArrayOperatorsMixin):
    """An array that repeats few numbers: `numbers`, of which the first axis are the different ones and the others those
    of the array, each 1 long or whole."""

    __slots__ = ("_whole", "numbers", "places")

    def __init__(self, numbers: NDArray[Any], places: Places) -> None:
        self.numbers, self.places = numbers, places
        self._whole: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that it stands for."""
        return self.places.index.shape

    @property
    def ndim(self) -> int:
        """Axes of the array that it stands for."""
        return self.places.index.ndim

    @property
    def whole(self) -> NDArray[Any]:
        """The array that it stands for."""
        if self._whole is None:
            self._whole = self.numbers.ravel().take(self.places.flat(self.numbers.shape[1:]))
        return self._whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.whole, dtype=dtype) if copy else np.asarray(self.whole, dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        return self.whole[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.whole)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options:
            return self._elementwise(ufunc, inputs)
        return getattr(ufunc, method)(*map(whole, inputs), **options)

    def __array_function__(self, function: Callable[..., Any], types: Any, given: Any, options: Any) -> Any:
        if function is np.shape:
            return self.shape
        if function is np.ndim:
            return self.ndim
        if function in ELEMENTWISE and not options:
            return self._elementwise(function, given)
        return function(*map(whole, given), **{name: whole(value) for name, value in options.items()})

    def _elementwise(self, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
        """What a function makes of each element: of the different numbers as long as these stay few."""
        operands, lengths = [], self.numbers.shape
        for value in inputs:
            if isinstance(value, Repeated) and value.places is self.places:
                own: Any = value.numbers
            elif np.ndim(value):
                own = self._beside(value)
                if own is None:
                    return function(*map(whole, inputs))
            else:
                operands.append(value)
                continue
            operands.append(own)
            if own.shape != lengths:
                lengths = np.broadcast_shapes(lengths, own.shape)
        if lengths is not self.numbers.shape and math.prod(lengths) * WORTH > self.places.index.size:
            return function(*map(whole, inputs))
        return Repeated(function(*operands), self.places)

    def _beside(self, value: Any) -> NDArray[Any] | None:
        """An array as it stands beside the different numbers; None if nothing but the whole does."""
        if isinstance(value, Repeated) or np.ndim(value) > self.ndim:
            return None
        shape = np.shape(value)
        return np.reshape(value, (1,) * (self.ndim + 1 - len(shape)) + shape)


def whole(value: Any) -> Any:
    """The array that a `Repeated` stands for; anything else as it is."""
    return value.whole if isinstance(value, Repeated) else value


def repeated(value: Num) -> Num:
    """An array of few different numbers as one that works on each of them once; any other number as it is.

    >>> few = repeated(np.tile([1.0, 2.0], (64, 32)))
    >>> np.shape(few), few.numbers.size, float(np.sum(few * 10.0))
    ((64, 64), 2, 61440.0)
    """
    if not isinstance(value, np.ndarray) or value.size < LEAST:
        return value
    numbers = np.unique(value)
    if numbers.size * WORTH > value.size:
        return value
    places = Places(np.searchsorted(numbers, value))
    return cast("Num", Repeated(numbers.reshape(-1, *(1,) * value.ndim), places))
