"""The best split of chips into a prefill and a decode pool, and the best plan of each.

Of each other, pools only see a `Side`: every plan of each pool is priced once, then all pairs of them are one array.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from roofline.engine import plans
from roofline.engine.deployment import Deployment
from roofline.engine.disaggregated import Side, Times, check, read_side, request_times, write_side
from roofline.errors import PlanError
from roofline.numeric import Num
from roofline.workload import Model, Plan, Serving

if TYPE_CHECKING:
    from numpy.typing import NDArray

Indices: TypeAlias = "NDArray[np.intp]"

MOST_SPLITS = 256  # that are tried, evenly spaced, where there are more
SAME = 1e-9  # scores that differ by less are equal


def splits(chips: int, given: Mapping[str, int]) -> list[tuple[int, int]]:
    """Ways to divide chips among two pools of whole instances, as large as `given` degrees make them.

    >>> splits(4, {}), splits(12, {"tp": 4})
    ([(1, 3), (2, 2), (3, 1)], [(4, 8), (8, 4)])
    """
    instance = math.prod(given.get(name, 1) for name in ("tp", "pp", "cp"))
    step = instance * max(1, chips // instance // MOST_SPLITS)
    return [(prefill, chips - prefill) for prefill in range(step, chips, step)]


def best_plans(
    serving: Serving, deployment: Deployment, given: Mapping[str, int], wanted: Sequence[tuple[int, int]]
) -> Deployment:  # fmt: skip
    """The deployment with the pools, of `wanted` sizes, that serve most requests per second, keeping `given` degrees.

    Those that keep the workload's service level come first, if there are any; of equals, those with fewer prefill
    chips; if nothing fits, what needs the least memory. Raises `PlanError` if no plan divides the model and a split.
    """
    check(serving, deployment.stack)
    precision = deployment.precision_for(serving.precision)
    candidates = _candidates(serving.model, deployment, given, wanted)
    reading, of_reads = _stacked([reads for reads, _ in candidates])
    writing, of_writes = _stacked([writes for _, writes in candidates])
    pairs = [np.meshgrid(reads, writes, indexing="ij") for reads, writes in zip(of_reads, of_writes, strict=True)]
    one, other = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    read: Side = _at(read_side(serving, replace(deployment, plan=reading), precision)[1], one)
    write: Side = _at(write_side(serving, replace(deployment, plan=writing), precision)[1], other)
    index = _best(serving, request_times(serving, deployment, read, write, ideal=False), read, write)
    return replace(
        deployment, prefill_plan=plans.pick(reading, int(one[index])), plan=plans.pick(writing, int(other[index]))
    )


def _candidates(
    model: Model, deployment: Deployment, given: Mapping[str, int], wanted: Sequence[tuple[int, int]]
) -> list[tuple[Plan, Plan]]:  # fmt: skip
    """Every plan of both pools for each split that has any; the `PlanError` of the last if none has."""
    found: list[tuple[Plan, Plan]] = []
    failed = PlanError("pools need at least one instance each, two pools of one chip; there is 1")
    for split in wanted:
        try:
            reads, writes = (
                plans.candidates(
                    model, chips, dict(given), deployment.stack.placement, float(np.max(deployment.chip.devices))
                )
                for chips in split
            )
        except PlanError as error:
            failed = PlanError(f"pools of {split[0]} and {split[1]} chips: {error}")
            continue
        found.append((reads, writes))
    if not found:
        raise failed
    return found


def _stacked(found: Sequence[Plan]) -> tuple[Plan, list[Indices]]:
    """Arrays of plans as one, and where in it each of them is."""
    sizes = [np.size(plan.tp) for plan in found]
    degrees: dict[str, Any] = {
        name: np.concatenate(
            [np.broadcast_to(getattr(plan, name), (size,)) for plan, size in zip(found, sizes, strict=True)]
        )
        for name in plans.DEGREES
    }
    return replace(found[0], **degrees), np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def _at(value: Any, index: Indices) -> Any:
    """A side with the element of that index in place of every array."""
    if isinstance(value, np.ndarray):
        return value[index] if value.ndim else value
    if isinstance(value, tuple):
        return tuple(_at(item, index) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{item.name: _at(getattr(value, item.name), index) for item in fields(value)})
    return value


def _best(serving: Serving, times: Times, read: Side, write: Side) -> int:
    """Index of the pools to take (see `best_plans`)."""
    need = np.maximum(read.room.held.total, write.room.held.total)
    fits = np.broadcast_to(np.logical_and(read.fits, write.fits), np.shape(need))
    kept = np.logical_and(fits, _kept(serving, times))
    allowed = next(choice for choice in (kept, fits, np.equal(need, np.min(need))) if np.any(choice))
    score = np.where(allowed, np.nan_to_num(times.rate, nan=0.0), -np.inf)
    equal = score >= np.max(score) * (1.0 - SAME)
    return int(np.argmin(np.where(equal, read.plan.num_chips, np.inf)))


def _kept(serving: Serving, times: Times) -> Num:
    """Whether the service level of a workload is kept."""
    limits = ((times.ttft, serving.slo.ttft_s), (times.tpot, serving.slo.tpot_s))
    kept: Num = np.all([np.less_equal(time, np.inf if limit is None else limit) for time, limit in limits], axis=0)
    return kept
