"""Every split of chips into a prefill and a decode pool, with every plan of each and every number of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from roofline.engine import disaggregated, plans, pools
from roofline.engine.deployment import Deployment
from roofline.engine.inference import memory_room
from roofline.errors import PlanError
from roofline.studies.plan.served import batches
from roofline.studies.plan.space import Array, Space, figures
from roofline.workload import Plan, Serving

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE = 100_000  # combinations of one prediction
MOST_PAIRS = 10_000  # of plans that are tried of so many chips: beyond, of fewer splits


def spaces(
    job: Serving, bare: Deployment, sizes: Sequence[int], given: Mapping[str, Any], batch: float | None
) -> list[Space]:
    """All combinations on so many chips, keeping `given` degrees; none under software that hands no request over."""
    try:
        disaggregated.check(job, bare.stack)
    except PlanError:
        return []
    return [space for size in sizes for space in _of_size(job, bare, size, given, batch)]


def _of_size(
    job: Serving, bare: Deployment, size: int, given: Mapping[str, Any], batch: float | None
) -> Iterator[Space]:  # fmt: skip
    """All of so many chips, in parts."""
    degrees = {name: int(given[name]) for name in plans.DEGREES if name in given}
    split = pools.splits(size, degrees)
    try:
        found = pools.plan_pairs(job.model, bare, degrees, degrees, split)
    except PlanError:
        return
    found = found[:: max(1, -(-sum(np.size(one.tp) * np.size(other.tp) for one, other in found) // MOST_PAIRS))]
    reading, of_reads = plans.stacked([reads for reads, _ in found])
    writing, of_writes = plans.stacked([writes for _, writes in found])
    pairs = [pools.every_pair(one, other) for one, other in zip(of_reads, of_writes, strict=True)]
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    reads, writes = _at(reading, one), _at(writing, other)
    alone = replace(job, batch=1.0)
    most = memory_room(alone, replace(bare, plan=writes), bare.precision_for(job.precision)).most
    tried = batches(most) if batch is None else np.full((1, one.size), batch)
    step = max(1, AT_ONCE // tried.shape[0])
    for start in range(0, one.size, step):
        part = np.arange(start, min(start + step, one.size))
        yield _priced(job, bare, size, _at(reads, part), _at(writes, part), tried[:, part])


def _at(plan: Plan, index: NDArray[np.intp]) -> Plan:
    """Some of an array of plans."""
    degrees: dict[str, Any] = {
        name: np.broadcast_to(getattr(plan, name), np.shape(plan.tp))[index] for name in plans.DEGREES
    }
    return replace(plan, **degrees)


def _priced(job: Serving, bare: Deployment, size: int, reads: Plan, writes: Plan, batch: Array) -> Space:
    """Pairs `[pairs]` with running requests `[batches, pairs]`."""
    where = replace(bare, plan=writes, prefill_plan=reads, num_chips=cast("int", float(size)))
    found = disaggregated.predict(replace(job, batch=batch), where)
    held = np.logical_and(found.fits, np.less_equal(batch, found.max_batch))
    return Space(
        deployment=where,
        plan=writes,
        place=np.broadcast_to(np.arange(batch.shape[1]), batch.shape).ravel(),
        batch=batch.ravel(),
        numbers=figures(found.metrics, float(size), batch.shape),
        held=np.broadcast_to(held, batch.shape).ravel(),
        reads=reads,
    )
