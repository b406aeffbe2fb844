"""Every plan of every number of chips with every number of requests: one vectorised prediction for a chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from roofline.engine import inference, plans, search
from roofline.engine.capacity import BATCHES
from roofline.engine.deployment import Deployment
from roofline.errors import PlanError
from roofline.numeric import Num
from roofline.studies.plan.limits import Limit, keeps
from roofline.studies.plan.space import Array, Space, figures
from roofline.workload import Plan, Serving

MOST = 2.0**30  # requests at once


def space(
    job: Serving,
    bare: Deployment,
    sizes: Sequence[int],
    given: Mapping[str, Any],
    batch: float | None,
) -> Space | None:
    """All combinations on so many chips, keeping `given` degrees and, where it is given, the `batch`; None if no plan
    divides the model among any of them."""
    every: list[Plan] = []
    for size in sizes:
        try:
            every.append(search.serving_plans(job, bare.chip, size, bare.stack, given))
        except PlanError:
            continue
    if not every:
        return None
    plan, _ = plans.stacked(every)
    where = _on(bare, plan)
    most = inference.largest_batch(replace(job, batch=1.0), where, where.precision_for(job.precision))
    tried = batches(most) if batch is None else np.full((1, np.size(plan.tp)), batch)
    return _priced(job, where, tried)


def batches(most: Num) -> Array:
    """Running requests to try `[batches, plans]`: half octaves up to the largest of `most` `[plans]`, and `most`.

    >>> batches(np.array([1.0, 5.0])).tolist()
    [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0], [1.0, 5.0]]
    """
    full = np.atleast_1d(np.clip(np.asarray(most, dtype=np.float64), 1.0, MOST))
    steps = BATCHES[np.less_equal(BATCHES, np.max(full))]
    return np.concatenate([np.broadcast_to(steps[:, None], (steps.size, full.size)), full[None, :]])


def replicated(job: Serving, found: Space, limits: Sequence[Limit], most: float) -> Space | None:
    """More replicas of whatever keeps all limits but throughput, as many as reach it, on at most so many chips.

    Replicas share nothing, so that `k` times as many serve `k` times as much; what they do is predicted all the same.
    None if nothing is to be gained.
    """
    wanted = next((limit for limit in limits if limit.figure == "tokens_per_s"), None)
    if wanted is None:
        return None
    others = [limit for limit in limits if limit.figure not in ("tokens_per_s", "usd_per_hour", "power_w", "num_chips")]
    rate, chips = found.numbers["tokens_per_s"], found.numbers["num_chips"]
    times = np.ceil(wanted.value / np.where(rate > 0.0, rate, np.nan) * (1.0 - 1e-12))
    more = keeps(others, found.numbers, found.held) & (times > 1.0) & (times * chips <= most)
    at = np.flatnonzero(more)
    if not at.size:
        return None
    places, factor = found.place[at], times[at]
    degrees: dict[str, Any] = {
        name: np.broadcast_to(getattr(found.plan, name), np.shape(found.plan.tp))[places] for name in plans.DEGREES
    }
    degrees["dp"] = degrees["dp"] * factor
    plan = replace(found.plan, **degrees)
    return _priced(job, _on(found.deployment, plan), (found.batch[at] * factor)[None, :])


def _on(bare: Deployment, plan: Plan) -> Deployment:
    """Chips for each of many plans."""
    return replace(bare, plan=plan, num_chips=cast("int", plan.num_chips))


def _priced(job: Serving, where: Deployment, batch: Array) -> Space:
    """Plans `[plans]` with running requests `[batches, plans]`."""
    found = inference.predict(replace(job, batch=batch), where)
    held = np.logical_and(found.fits, np.less_equal(batch, found.max_batch))
    return Space(
        deployment=where,
        plan=where.plan,
        place=np.broadcast_to(np.arange(batch.shape[1]), batch.shape).ravel(),
        batch=batch.ravel(),
        numbers=figures(found.metrics, where.plan.num_chips, batch.shape),
        held=np.broadcast_to(held, batch.shape).ravel(),
    )
