"""Numbers inside of records, mappings and sequences: how many axes they have, and the same things with others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.numeric import Num
from roofline.repeated import Repeated

ARRAYS = (np.ndarray, Repeated)
WORDS = ("str", "str | None", "bool", "int", str, bool, int)  # types of fields in which no array is


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Fields of a kind of records that may hold numbers; none of what is no record."""
    return tuple(item.name for item in fields(kind) if item.type not in WORDS) if is_dataclass(kind) else ()


@cache
def _maps(kind: Any) -> bool:
    return issubclass(kind, dict | MappingProxyType | Mapping)


@cache
def _lists(kind: Any) -> bool:
    return issubclass(kind, tuple | list)


def axes(*things: object) -> int:
    """The most axes that any number has inside of records, mappings and sequences.

    >>> axes(1.0, [np.zeros(3)], {"a": np.zeros((2, 3))})
    2
    """
    return max(map(_axes, things), default=0)


def _axes(thing: Any) -> int:
    kind: Any = type(thing)
    if issubclass(kind, ARRAYS):
        found: int = thing.ndim
        return found
    if _maps(kind):
        return axes(*thing.values())
    if _lists(kind):
        return axes(*thing)
    return max((_axes(getattr(thing, name)) for name in _names(kind)), default=0)


def changed_arrays(thing: Any, change: Callable[[NDArray[np.float64]], Num]) -> Any:
    """The same thing with every array inside of records, mappings and sequences changed; where none does, itself.

    >>> changed_arrays({"a": (np.ones(3), 2.0)}, np.sum)
    {'a': (np.float64(3.0), 2.0)}
    """
    kind: Any = type(thing)
    if issubclass(kind, ARRAYS):
        return change(thing)
    if _maps(kind):
        return {**thing, **_changed(thing.items(), change)}
    if _lists(kind):
        return kind(changed_arrays(value, change) for value in thing)
    new = _changed([(name, getattr(thing, name)) for name in _names(kind)], change)
    return replace(thing, **new) if new else thing


def _changed(values: Iterable[tuple[str, Any]], change: Callable[[NDArray[np.float64]], Num]) -> dict[str, Any]:
    """Of values by name those in which something changed."""
    return {name: new for name, old in values if (new := changed_arrays(old, change)) is not old}
