"""The fastest plans of a training run on every number of chips: what they take, and what became of all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.engine import billing, plans, training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.engine.training.search import Counts, count, rank
from roofline.errors import PlanError
from roofline.studies.plan.space import Space
from roofline.workload import Plan, Training

KEPT = 4  # plans of each number of chips: a run that is slower costs more of the same chips


def space(
    job: Training, bare: Deployment, sizes: Sequence[int], given: Mapping[str, Any]
) -> tuple[Space | None, Counts]:
    """The fastest plans of every number of chips, and what became of all that there are.

    All plans of a number of chips are priced by `engine.training`; None if none fits any.
    """
    found: list[tuple[Prediction, Plan]] = []
    counts = Counts()
    for size in sizes:
        where = replace(bare, num_chips=size)
        try:
            ranked = rank(job, where, given, most=KEPT)
            counts = counts + count(job, where, given)
        except PlanError:
            continue
        if ranked.times:
            found += [(training.predict(job, replace(where, plan=plan)), plan) for plan in ranked.plans]
    if not found:
        return None, counts
    rows = [_figures(prediction) for prediction, _ in found]
    numbers = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    every = tuple(plan for _, plan in found)
    held = np.array([bool(prediction.fits) for prediction, _ in found])
    place = np.arange(len(every))
    plan, _ = plans.stacked(every)
    return Space(bare, plan, place, np.full(place.shape, np.nan), numbers, held, whole=every), counts


def _figures(found: Prediction) -> dict[str, float]:
    """What limits and rankings are about."""
    metrics = found.metrics

    def of(name: str) -> float:
        value = metrics.get(name)
        return float("nan") if value is None else float(value)

    prefix = "" if metrics.get("cost_usd") is not None else "own_"
    power = billing.system_power(metrics)
    drawn, lasts = float("nan") if power is None else float(power), of("time_to_train_s")
    return {
        "time_to_train_s": lasts,
        "step_time_s": of("step_time_s"),
        "tokens_per_s": of("tokens_per_s"),
        "tokens_per_s_per_chip": of("tokens_per_s_per_chip"),
        "power_w": drawn,
        "usd": of(f"{prefix}cost_usd"),
        "joule": drawn * lasts,
        "num_chips": float(found.deployment.num_chips),
    }
