"""Before and after: a case with some knobs set, every metric and phase of it beside those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roofline.engine import search
from roofline.engine.prediction import Prediction
from roofline.engine.roof import BOUNDS
from roofline.studies import contract, plain
from roofline.studies.contract import BESIDE
from roofline.studies.knobs.knob import Case, Knob
from roofline.studies.whatif import measures
from roofline.workload import Training


def change(before: Case, after: Case, given: Mapping[str, Any], *, replan: bool) -> dict[str, Any]:
    """Every metric and phase before and after; with `replan` also with the best plan for it, `given` fields kept."""
    was, now = before.predicted(), after.predicted()
    return {
        "fits": {"before": bool(was.fits), "after": bool(now.fits)},
        "max_batch": {"before": plain.number(was.max_batch), "after": plain.number(now.max_batch)},
        "metrics": metrics(was, now),
        "phases": _phases(was, now),
        "replanned": _replanned(was, after, given) if replan else None,
    }


def turned_numbers(turns: Sequence[tuple[Knob, float]]) -> list[dict[str, Any]]:
    """What was set: keys, units, values before and after."""
    return [
        {"key": knob.key, "unit": knob.unit, "before": knob.value, "after": value, "change": _share(knob.value, value)}
        for knob, value in turns
    ]


def metrics(was: Prediction, now: Prediction) -> list[dict[str, Any]]:
    """Every expected metric that is known before or after."""
    rows = []
    for name in now.metrics:
        if name.endswith(BESIDE):
            continue
        before, after = plain.number(was.metrics.get(name)), plain.number(now.metrics[name])
        if before is not None or after is not None:
            rows.append(
                {
                    "metric": name,
                    "unit": measures.unit(name),
                    "before": before,
                    "after": after,
                    "change": _share(before, after),
                }
            )
    return rows


def _phases(was: Prediction, now: Prediction) -> list[dict[str, Any]]:
    """Time and bound of each phase that works, before and after."""
    rows = []
    for old, new in zip(was.phases, now.phases, strict=True):
        if old.operators:
            before, after = float(old.time), float(new.time)
            rows.append(
                {
                    "phase": old.name,
                    "before_time_s": before,
                    "after_time_s": after,
                    "change": _share(before, after),
                    "before_bound": BOUNDS[int(old.bound)],
                    "after_bound": BOUNDS[int(new.bound)],
                }
            )
    return rows


def _share(before: float | None, after: float | None) -> float | None:
    """By which share something grew; None where nothing was there or it is not known."""
    if before is None or after is None:
        return None
    if before == after:
        return 0.0
    return after / before - 1.0 if before and np.isfinite(after / before) else None


def _replanned(was: Prediction, after: Case, given: Mapping[str, Any]) -> dict[str, Any]:
    """The best plan for the numbers that were set, whether it is another, and what it makes of them."""
    plan = search.best_plan(after.job, after.deployment, given)
    other = Case(after.job, after.deployment_with(plan))
    trains = isinstance(after.job, Training)
    old, new = (contract.plan_fields(found, trains=trains) for found in (after.deployment.plan, plan))
    found = other.predicted()
    return {"plan": new, "changed": new != old, "fits": bool(found.fits), "metrics": metrics(was, found)}
