"""Break-even: the values of a knob at which two deployments of the same work are equal in a metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.studies.knobs.knob import Case, Knob
from roofline.studies.whatif import measures, solve
from roofline.studies.whatif.solve import Root
from roofline.workload import Serving

Array = NDArray[np.float64]
CASES = 2


def break_even(first: Case, second: Case, knob: Knob, other: Knob | None, metric: str) -> dict[str, Any]:
    """The contract's object: every crossing, who is better below and above it, and who is throughout where there is
    none. The second deployment has its knob `other` turned alike; with None it stays as it is.
    """
    values = solve.grid(_running(knob, first, second))
    labels = [case.deployment.label for case in (first, second)]

    def waits(at: float) -> list[bool]:
        return [_waits(knob.turn(first, at)), _waits(second if other is None else other.turn(second, at))]

    def both(at: Array) -> tuple[Array, Array]:
        mine = _along(knob.turn(first, at), metric, len(at))
        return mine, _along(second if other is None else other.turn(second, at), metric, len(at))

    def ahead(at: Array) -> Array:
        one, two = both(at)
        return np.log(one / two)  # above 0 where the first has more of the metric

    one, two = both(values)
    difference = np.log(one / two)
    roots = solve.roots(values, difference, ahead, knob.whole)
    better = (1, 0) if measures.less_is_better(metric) else (0, 1)  # whose it is where the first has more, and less
    return {
        "key": knob.key,
        "unit": knob.unit,
        "metric": metric,
        "shared": other is not None,
        "now": knob.value,
        "least": float(values[0]),
        "most": float(values[-1]),
        "deployments": labels,
        "metric_now": [_at(both, knob.value, place) for place in range(CASES)],
        "crossings": [{**_crossing(root, both, labels, better), "waits": waits(root.after)} for root in roots],
        "throughout": None if roots else _throughout(difference, labels, better),
        "points": list(_points(values, one, two)),
    }


def _along(case: Case, metric: str, size: int) -> Array:
    """A metric along an axis; NaN where the work does not fit."""
    result = case.predicted()
    value = result.metrics.get(metric)
    found = measures.flat(np.nan if value is None else value, size)
    return np.where(measures.flat(result.fits, size) > 0.0, np.where(found > 0.0, found, np.nan), np.nan)


def _running(knob: Knob, first: Case, second: Case) -> Knob:
    """Requests at once that at least one of them runs: beyond, both only let more of them wait."""
    if knob.key != "batch":
        return knob
    most = (float(case.predicted().max_batch) for case in (first, second))
    return replace(knob, reach=max(most))


def _waits(case: Case) -> bool:
    """Whether memory lets fewer requests run than are asked for, so that the others wait."""
    result = case.predicted()
    return isinstance(case.job, Serving) and not case.job.saturated and bool(result.max_batch < case.job.batch)


def _at(both: Any, value: float, place: int) -> float | None:
    found = float(both(np.array([value]))[place][0])
    return found if np.isfinite(found) else None


def _crossing(root: Root, both: Any, labels: Sequence[str], better: tuple[int, int]) -> dict[str, Any]:
    """A crossing: the last value of those below and the first of those above, which are the same but for rounding where
    both metrics are continuous; who is better on either side."""
    one, two = both(np.array([root.before, root.after]))
    below, above = (better[1], better[0]) if root.rises else better
    return {
        "below": root.before,
        "above": root.after,
        "metrics_below": [float(one[0]), float(two[0])],
        "metrics_above": [float(one[1]), float(two[1])],
        "equal": bool(abs(one[1] / two[1] - 1.0) <= solve.EVEN),
        "better_below": labels[below],
        "better_above": labels[above],
    }


def _throughout(difference: Array, labels: Sequence[str], better: tuple[int, int]) -> str | None:
    """Who is better wherever both fit and differ; None if they are equal, never both fit, or are better by turns."""
    signs = set(np.sign(difference[np.isfinite(difference)]).tolist()) - {0.0}
    if len(signs) != 1:
        return None
    return labels[better[0] if signs == {1.0} else better[1]]


def _points(values: Array, one: Array, two: Array) -> Iterator[dict[str, Any]]:
    """The grid: what each deployment makes of each value."""
    for value, mine, other in zip(values.tolist(), one.tolist(), two.tolist(), strict=True):
        yield {"value": value, "metrics": [found if np.isfinite(found) else None for found in (mine, other)]}
