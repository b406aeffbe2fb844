"""What a number is in this library, and the few array helpers every floor needs.

One point and a million points take the same path: every formula accepts and returns a `Num`,
a float or a float64 array that broadcasts against its fellows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Num: TypeAlias = "float | NDArray[np.float64]"
Truth: TypeAlias = "bool | NDArray[np.bool_]"


def some(value: Num) -> bool:
    """Whether a number is other than zero anywhere in a sweep; a plain one is not worth a trip through NumPy.

    >>> some(0.0), some(np.array([0.0, 2.0]))
    (False, True)
    """
    if isinstance(value, float):
        return bool(value)
    return bool(value.any() if isinstance(value, np.ndarray) else np.any(value))


def larger(a: Num, b: Num) -> Num:
    """`np.maximum`; two plain numbers are not worth a trip through NumPy.

    >>> larger(1.0, 2.0), larger(np.array([0.0, 3.0]), 2.0).tolist()
    (2.0, [2.0, 3.0])
    """
    return max(a, b) if isinstance(a, float) and isinstance(b, float) else np.maximum(a, b)


def smaller(a: Num, b: Num) -> Num:
    """`np.minimum`; two plain numbers are not worth a trip through NumPy.

    >>> smaller(1.0, 2.0), smaller(np.array([0.0, 3.0]), 2.0).tolist()
    (1.0, [0.0, 2.0])
    """
    return min(a, b) if isinstance(a, float) and isinstance(b, float) else np.minimum(a, b)


def capped(value: Num, most: Num) -> Num:
    """`np.minimum`; where no element is above its cap, the value as it is, without the axes of the caps.

    What is made of it then stays as small as it is: a batch that fits whatever the lengths has no axis of lengths.

    >>> capped(np.array([1.0, 2.0]), np.full((3, 1), 2.0)).shape, capped(np.array([1.0, 2.0]), np.ones((3, 1))).shape
    ((2,), (3, 2))
    """
    return np.minimum(value, most) if np.any(np.greater(value, most)) else value


def where(condition: Truth, a: Num, b: Num) -> Num:
    """`np.where`; a plain condition takes one side as it is.

    >>> where(True, 1.0, 2.0), where(np.array([True, False]), 1.0, 2.0).tolist()
    (1.0, [1.0, 2.0])
    """
    return (a if condition else b) if isinstance(condition, bool | np.bool_) else np.where(condition, a, b)


Record = TypeVar("Record")


def changed(record: Record, **values: object) -> Record:
    """A frozen record without slots, with some of its values changed: `dataclasses.replace` in a tenth of its time, as
    no field is checked or made anew."""
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__, **values)
    return new


def ceil_div(a: Num, b: Num) -> Num:
    """Smallest whole number of `b`-sized pieces that holds `a`.

    >>> float(ceil_div(80.0, 16.0)), float(ceil_div(81.0, 16.0))
    (5.0, 6.0)
    """
    return np.ceil(a / b)


def added(terms: Iterable[Num]) -> Num:
    """Sum in order; 0 of nothing.

    >>> added([1.0, 2.0]), added([])
    (3.0, 0.0)
    """
    return sum(terms, start=0.0)


def finite(value: Num | None) -> float | None:
    """A plain number: None for what is not known or not finite.

    >>> finite(np.array(2.0)), finite(None), finite(np.inf)
    (2.0, None, None)
    """
    if value is None:
        return None
    result = float(value)
    return result if np.isfinite(result) else None


LEAST = 5e-324  # the smallest number above zero: what is divided by it is zero here


def p_norm(a: Num, b: Num, p: Num) -> Num:
    """`(a^p + b^p)^(1/p)` for a, b >= 0, safe from overflow; `p = inf` is the maximum, `p = 1` the sum.

    Time of two resources that work at once: perfect overlap takes the longer of the two (inf),
    none at all takes both (1), real kernels lie between.

    >>> float(p_norm(3.0, 4.0, 2.0)), float(p_norm(3.0, 4.0, 1.0)), float(p_norm(3.0, 4.0, np.inf))
    (5.0, 7.0, 4.0)
    """
    plain = isinstance(p, float)
    if plain and p == 1.0:
        return a + b
    longer = larger(a, b)
    if plain and p == np.inf:
        return longer
    ratio = smaller(a, b) / larger(longer, LEAST)
    return longer * np.power(1.0 + np.power(ratio, p), np.divide(1.0, p))


def along(values: Sequence[Num], rank: int) -> Num:
    """Several numbers as one with an axis of their own, before `rank` axes that any of them may have; one as it is.

    >>> along([1.0], 1), along([1.0, np.zeros(3)], 1).shape, along([1.0, 2.0], 2).shape
    (1.0, (2, 3), (2, 1, 1))
    """
    if len(values) == 1:
        return values[0]
    if all(isinstance(value, float) for value in values):
        return np.array(values).reshape(-1, *(1,) * rank)
    shape = np.broadcast_shapes(*{np.shape(value) for value in values})
    found = np.stack([np.broadcast_to(value, shape) for value in values])
    return found.reshape(len(values), *(1,) * (rank - len(shape)), *shape)


def apart(value: Num, rank: int, count: int) -> list[Num]:
    """What `along` made one, as several numbers again; of a number without that axis, copies.

    >>> apart(np.array([1.0, 2.0]), 0, 2), apart(3.0, 0, 2)
    ([np.float64(1.0), np.float64(2.0)], [3.0, 3.0])
    """
    several = count > 1 and not isinstance(value, float) and np.ndim(value) > rank
    return list(value) if several else [value] * count  # type: ignore[arg-type]


def over_steps(value: Num, rank: int | None) -> Num:
    """The sum of what `along` made one; of a number without that axis, or where there is none, itself.

    >>> float(over_steps(np.array([1.0, 2.0]), 0)), over_steps(np.ones((2, 3)), 1).tolist(), over_steps(3.0, None)
    (3.0, [2.0, 2.0, 2.0], 3.0)
    """
    found: Num = np.sum(value, axis=0) if rank is not None and np.ndim(value) > rank else value
    return found
