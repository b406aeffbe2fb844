"""The value of a knob at which something is nothing: a grid over six decades, then ever finer ones where it changes its
sign; each grid is one vectorised prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roofline.studies.knobs.knob import Knob

Array = NDArray[np.float64]
DECADES, POINTS = 3.0, 241  # of the first grid, either way; in all
FINER, ROUNDS = 33, 12  # points of each finer grid, until neighbours are the same but for rounding
EVEN = 1e-9  # share by which both sides of a root may differ


@dataclass(frozen=True, slots=True)
class Root:
    """Where a function of a knob's value passes through nothing: the values just before and after it, of which one is
    it where the function is continuous there; whether it grows."""

    before: float
    after: float
    rises: bool


def grid(knob: Knob) -> Array:
    """Values of a knob over three decades either way of its own (of what counts nothing now, up to a million): what it
    can be, its own among them."""
    if knob.value > 0.0:
        decades = np.linspace(-DECADES, DECADES, POINTS)
        found = knob.value * np.power(10.0, decades)
        found[POINTS // 2] = knob.value
    else:
        scale = {"s": 1e-6, "": 1.0}.get(knob.unit, 1e-6)
        found = np.concatenate([[0.0], scale * np.geomspace(1.0, 1e6, POINTS - 1)])
    found = np.minimum(found, max(knob.reach, knob.value))
    return np.unique(np.asarray(knob.within(found), dtype=np.float64))


def roots(values: Array, found: Array, at: Callable[[Array], Array], whole: bool) -> list[Root]:
    """Every place between neighbours of a grid at which a function that is `found` there changes its sign; NaN is none.

    `at` is the function; of `whole` knobs the two neighbours are one apart.
    """
    signs = np.sign(found)
    crossing = np.flatnonzero(
        np.isfinite(found[:-1]) & np.isfinite(found[1:]) & (signs[:-1] != signs[1:]) & (signs[1:] != 0.0)
        | (signs[1:] == 0.0) & np.isfinite(found[:-1]) & (signs[:-1] != 0.0)
    )  # fmt: skip
    return [_refined(float(values[index]), float(values[index + 1]), at, whole) for index in crossing]


def _refined(low: float, high: float, at: Callable[[Array], Array], whole: bool) -> Root:
    rises = True
    for _ in range(ROUNDS):
        inside = np.linspace(low, high, FINER)
        if whole:
            inside = np.unique(np.round(inside))
        signs = np.sign(at(inside))
        rises = bool(signs[-1] > signs[0])
        changed = np.flatnonzero(signs != signs[0])
        place = int(changed[0]) if changed.size else len(inside) - 1
        low, high = float(inside[place - 1]), float(inside[place])
        if len(inside) == 2 or high - low <= 4.0 * np.finfo(np.float64).eps * high:
            break
    return Root(low, high, rises)
