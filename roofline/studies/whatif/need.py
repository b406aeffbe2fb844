"""What a chip needs for a target: the value of one knob at which a metric has a value, or why none reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.engine.prediction import Prediction
from roofline.engine.roof import BOUNDS
from roofline.studies import plain
from roofline.studies.knobs.knob import Case, Knob
from roofline.studies.whatif import measures, solve
from roofline.studies.whatif.solve import Root

Array = NDArray[np.float64]


def solution(case: Case, knob: Knob, metric: str, wanted: float) -> tuple[dict[str, Any], Case]:
    """The contract's object of what a knob needs to be, and the case with it; where nothing reaches the target, what
    the best value gives and what binds there."""
    values = solve.grid(knob)
    result = knob.turn(case, values).predicted()
    found = _metric(result, metric, len(values))
    fitting = np.where(measures.flat(result.fits, len(values)) > 0.0, found, np.nan)

    def missing(at: Array) -> Array:
        return _metric(knob.turn(case, at).predicted(), metric, len(at)) - wanted

    roots = solve.roots(values, fitting - wanted, missing, knob.whole)
    solved = _nearest([_end(root, metric) for root in roots], knob.value)
    best = _best(values, fitting, metric)
    chosen = best if solved is None else solved
    there = knob.turn(case, knob.value if chosen is None else chosen)
    at_best = None if best is None else knob.turn(case, best).predicted()
    now = case.predicted()
    return {
        "key": knob.key,
        "unit": knob.unit,
        "metric": metric,
        "metric_unit": measures.unit(metric),
        "target": wanted,
        "now": knob.value,
        "metric_now": plain.number(now.metrics[metric]),
        "solved": solved,
        "times": solved / knob.value if solved is not None and knob.value else None,
        "metric_solved": None if solved is None else plain.number(there.predicted().metrics[metric]),
        "least": float(values[0]),
        "most": float(values[-1]),
        "best": best,
        "metric_best": None if at_best is None else plain.number(at_best.metrics[metric]),
        "bounds_best": {} if at_best is None else bounds(at_best),
        "others": [value for value in (_end(root, metric) for root in roots) if value != solved],
        "why": _why(solved, fitting, wanted, metric),
    }, there


def bounds(result: Prediction) -> dict[str, str | None]:
    """What binds each phase, by its name; of several of a name, the last."""
    return {item.name: BOUNDS[int(item.bound)] if item.operators else None for item in result.phases}


def _metric(result: Prediction, metric: str, size: int) -> Array:
    value = result.metrics[metric]
    return measures.flat(np.nan if value is None else value, size)


def _end(root: Root, metric: str) -> float:
    """The side of a root on which the target is kept."""
    return root.before if root.rises == measures.less_is_better(metric) else root.after


def _nearest(found: Sequence[float], now: float) -> float | None:
    """The value closest to the present one, in multiples of it."""
    return min(found, key=lambda value: abs(np.log(max(value, 1e-30) / max(now, 1e-30))), default=None)


def _best(values: Array, found: Array, metric: str) -> float | None:
    """The value at which a metric is best, of equal ones the closest to the least turn; None if nothing fits."""
    if not np.any(np.isfinite(found)):
        return None
    at = np.nanargmin(found) if measures.less_is_better(metric) else np.nanargmax(found)
    return float(values[at])


def _why(solved: float | None, found: Array, wanted: float, metric: str) -> str | None:
    """Why no value reaches the target."""
    if solved is not None:
        return None
    if not np.any(np.isfinite(found)):
        return "nothing fits at any value"
    least, most = float(np.nanmin(found)), float(np.nanmax(found))
    if least == most:
        return "it has no effect"
    good = wanted > most if measures.less_is_better(metric) else wanted < least
    return "every value is better" if good else "no value is that good"
