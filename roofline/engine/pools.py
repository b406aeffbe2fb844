"""The best split of chips into a prefill and a decode pool, and the best plan of each.

Of each other, pools only see a `Side`: every plan of each pool is priced once, with all requests in the decode pool,
then all pairs of plans are one array. With as many requests as a steady state has, the best pair of each split is
priced again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from roofline.engine import plans
from roofline.engine.deployment import Deployment
from roofline.engine.disaggregated import (
    Side,
    check,
    read_side,
    request_times,
    settled_side,
    write_side,
)
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
    serving: Serving,
    deployment: Deployment,
    given: Mapping[str, int],
    wanted: Sequence[tuple[int, int]],
    read_given: Mapping[str, int] | None = None,
) -> Deployment:
    """The deployment with the pools, of `wanted` sizes, that serve most requests per second, keeping `given` degrees,
    in the prefill pool those of `read_given` where there are any.

    Those that keep the workload's service level come first, if there are any; of equals, those with fewer prefill
    chips; if nothing fits, what needs the least memory. Raises `PlanError` if no plan divides the model and a split.
    """
    check(serving, deployment.stack)
    precision = deployment.precision_for(serving.precision)
    candidates = plan_pairs(serving.model, deployment, given if read_given is None else read_given, given, wanted)
    reading, of_reads = plans.stacked([reads for reads, _ in candidates])
    writing, of_writes = plans.stacked([writes for _, writes in candidates])
    pairs = [every_pair(reads, writes) for reads, writes in zip(of_reads, of_writes, strict=True)]
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    _, reads = read_side(serving, replace(deployment, plan=reading), precision)
    _, writes = write_side(serving, replace(deployment, plan=writing), precision, serving.batch)
    rough = Scores.of(serving, deployment, _at(reads, one), _at(writes, other))
    places = np.split(np.arange(one.size), np.cumsum([size.size for size, _ in pairs])[:-1])
    chosen = np.array([rough.best(of_split) for of_split in places])
    one, other = one[chosen], other[chosen]
    read, pool = _at(reads, one), replace(deployment, plan=_at(writing, other))
    _, write = settled_side(serving, deployment, read, pool, precision)
    best = Scores.of(serving, deployment, read, write).best(np.arange(one.size))
    return replace(
        deployment, prefill_plan=plans.pick(reading, int(one[best])), plan=plans.pick(writing, int(other[best]))
    )


def every_pair(reads: Indices, writes: Indices) -> tuple[Indices, Indices]:
    """Every one of the first with every one of the second."""
    one, other = np.meshgrid(reads, writes, indexing="ij")
    return one.ravel(), other.ravel()


def plan_pairs(
    model: Model,
    deployment: Deployment,
    read_given: Mapping[str, int],
    write_given: Mapping[str, int],
    wanted: Sequence[tuple[int, int]],
) -> list[tuple[Plan, Plan]]:
    """Every plan of both pools for each split that has any; the `PlanError` of the last if none has."""
    found: list[tuple[Plan, Plan]] = []
    failed = PlanError(f"pools need chips for an instance each; {deployment.num_chips} are too few")
    for split in wanted:
        try:
            reads, writes = (
                plans.candidates(
                    model, chips, dict(given), deployment.stack.placement, float(np.max(deployment.chip.devices))
                )
                for chips, given in zip(split, (read_given, write_given), strict=True)
            )
        except PlanError as error:
            failed = PlanError(f"pools of {split[0]} and {split[1]} chips: {error}")
            continue
        found.append((reads, writes))
    if not found:
        raise failed
    return found


def _at(value: Any, index: Indices) -> Any:
    """A side with the element of that index in place of every array."""
    if isinstance(value, np.ndarray):
        return value[index] if value.ndim else value
    if isinstance(value, tuple):
        return tuple(_at(item, index) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{item.name: _at(getattr(value, item.name), index) for item in fields(value)})
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What pairs of pools are chosen by, one element for each pair."""

    fits: Num
    kept: Num  # whether it fits and keeps the workload's service level
    need: Num  # bytes of the fullest chip
    rate: Num
    prefill_chips: Num

    @classmethod
    def of(cls, serving: Serving, deployment: Deployment, read: Side, write: Side) -> Scores:
        """The scores of so many pairs."""
        times = request_times(serving, deployment, read, write, ideal=False)
        fits = np.logical_and(read.fits, write.fits)
        kept = np.logical_and(fits, serving.slo.kept(times.ttft, times.tpot))
        need = np.maximum(read.room.held.total, write.room.held.total)
        return cls(fits, kept, need, np.nan_to_num(times.rate, nan=0.0), read.plan.num_chips)

    def best(self, among: Indices) -> int:
        """The one to take of some (see `best_plans`)."""
        fits, kept, need, rate, chips = (
            np.broadcast_to(values, np.shape(self.rate))[among]
            for values in (self.fits, self.kept, self.need, self.rate, self.prefill_chips)
        )
        allowed = next(choice for choice in (kept, fits, np.equal(need, np.min(need))) if np.any(choice))
        score = np.where(allowed, rate, -np.inf)
        equal = score >= np.max(score) * (1.0 - SAME)
        return int(among[np.argmin(np.where(equal, chips, np.inf))])
