"""What one replica serves: requests per second of each kind, under every plan and with every batch at once.

One prediction has three axes, `[jobs, plans, batches]`: kinds of requests that go through the same steps differ only in
lengths, so they are one array. The best batch is the one that serves most requests while a service level is kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from roofline.engine import inference, plans
from roofline.engine.deployment import Deployment
from roofline.errors import NoRoomError, PlanError
from roofline.numeric import Num
from roofline.workload import Pause, Plan, Serving, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rates: TypeAlias = "NDArray[np.float64]"

BATCHES = 2.0 ** np.arange(14)  # requests that run at once
LARGER = 4  # doublings of the fewest chips that hold a model which are tried as the size of a replica


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """What one replica does, each field an array `[jobs, plans]`, but the `plan`, whose degrees are `[plans]`.

    `rate` [1/s] are requests served, 0 where no batch keeps the service level; `batch` how many run then, `ttft` and
    `tpot` [s] what they see, `power` [W] what all of its chips draw (NaN where nobody knows).
    """

    plan: Plan
    rate: Rates
    batch: Rates
    ttft: Rates
    tpot: Rates
    power: Rates

    @property
    def chips(self) -> Rates:
        """Chips of one replica under each plan."""
        return np.asarray(self.plan.num_chips, dtype=np.float64)


def sizes(fewest: int, most: float) -> list[int]:
    """Chips of a replica that are tried: the fewest that hold the model, and powers of two above.

    >>> sizes(3, 8.0), sizes(1, 1.0), sizes(360, 10440.0)
    ([3, 4, 8], [1], [360, 512, 1024, 2048, 4096])
    """
    first = 1 << (fewest - 1).bit_length()
    doubled = [first << step for step in range(LARGER + 1)]
    return sorted({fewest, *(size for size in doubled if size <= min(most, fewest << LARGER))})


def candidates(job: Serving, deployment: Deployment, fewest: int) -> Plan:
    """Every plan of every size of a replica, as one array; its chips are joined by one domain, or are the fewest.

    A model without experts needs no more than one group of chips: further ones are replicas of their own. Raises
    `PlanError` if there is none.
    """
    chip, near = deployment.chip, deployment.chip.link("scale-up")
    experts = plans.experts_of(job.model) > 1
    domain = plans.most_chips(chip) if experts or near is None else float(np.max(near.chips))
    found: list[Plan] = []
    for size in sizes(fewest, max(domain, fewest)):
        try:
            found.append(
                plans.candidates(
                    job.model, size, {} if experts else {"dp": 1}, deployment.stack.placement, float(np.max(chip.devices))
                )
            )
        except PlanError:
            continue
    if not found:
        raise NoRoomError(f"no plan puts {job.model.id} on {fewest} or more x {chip.id}", fewest)
    return _most_apart(plans.stacked(found)[0])


def _most_apart(plan: Plan) -> Plan:
    """Of plans that differ in where experts are, those that divide them among the most ranks, or not at all."""
    degrees = np.stack([np.asarray(value, dtype=np.float64) for value in (plan.tp, plan.pp, plan.dp)], axis=1)
    ranks = np.asarray(plan.ep, dtype=np.float64)
    _, same = np.unique(degrees, axis=0, return_inverse=True)
    most = np.zeros(same.max() + 1)
    np.maximum.at(most, same, ranks)
    return plans.some_of(plan, (ranks == 1.0) | (ranks == most[same]))


def replica(jobs: Sequence[Serving], deployment: Deployment, plan: Plan, network: Num = 0.0) -> Replica:
    """What a replica of a model does for each of `jobs`, all of that model and precision; `plan` as of `candidates`.

    `network` [s] is on the way to the first token, as far as a service level is concerned.
    """
    shape = (len(jobs), np.size(plan.tp))
    empty = [np.full(shape, np.nan) for _ in fields(Replica)[1:]]
    for members in _alike(jobs):
        parts = _best([jobs[index] for index in members], deployment, plan, network)
        for whole, part in zip(empty, parts, strict=True):
            whole[members] = part
    return Replica(plan, *empty)


def _alike(jobs: Sequence[Serving]) -> list[list[int]]:
    """Indices of jobs by what can't be an axis: the kinds of their steps, and what drafts tokens."""
    groups: dict[Hashable, list[int]] = {}
    for index, job in enumerate(jobs):
        guesses = job.speculative
        drafter = guesses.model.id if guesses.model else None
        key = (tuple(type(step) for step in job.steps), drafter, guesses.on, bool(job.cached_share))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _best(
    jobs: Sequence[Serving], deployment: Deployment, plan: Plan, network: Num
) -> tuple[Rates, Rates, Rates, Rates, Rates]:  # fmt: skip
    """`rate`, `batch`, `ttft`, `tpot`, `power` of the best batch, `[jobs, plans]`."""
    plan = replace(plan, **{name: np.reshape(getattr(plan, name), (-1, 1)) for name in plans.DEGREES})
    where = replace(deployment, plan=plan, num_chips=cast("int", plan.num_chips))
    found = inference.predict(_stacked(jobs), where)
    shape = (len(jobs), np.size(plan.tp), BATCHES.size)

    def whole(value: Num | None) -> Rates:
        return np.broadcast_to(np.asarray(np.nan if value is None else value, dtype=np.float64), shape)

    metrics = found.metrics
    output = _column([float(np.max(job.output_len)) for job in jobs])
    ttft, tpot = whole(metrics["ttft_s"]), whole(metrics["tpot_s"])
    room = whole(found.fits).astype(bool) & (BATCHES <= whole(found.max_batch))
    kept = room & (ttft + network <= _limits([job.slo.ttft_s for job in jobs]))
    kept &= tpot <= _limits([job.slo.tpot_s for job in jobs])
    rate = np.where(kept, whole(metrics["output_tokens_per_s"]) / output, 0.0)
    best = np.argmax(rate, axis=-1, keepdims=True)
    taken = (rate, whole(BATCHES), ttft, tpot, whole(metrics["power_w"]))
    first, *rest = (np.take_along_axis(values, best, axis=-1)[..., 0] for values in taken)
    return first, rest[0], rest[1], rest[2], rest[3]


def _column(values: Sequence[float]) -> Rates:
    """Numbers of jobs along the first axis."""
    return np.array(values, dtype=np.float64).reshape(-1, 1, 1)


def _limits(values: Sequence[float | None]) -> Rates:
    return _column([np.inf if value is None else value for value in values])


def _stacked(jobs: Sequence[Serving]) -> Serving:
    """Jobs of the same steps as one, lengths along the first axis, every batch along the last."""
    first = jobs[0]
    steps = tuple(_step([job.steps[index] for job in jobs]) for index in range(len(first.steps)))
    guesses = first.speculative
    if guesses.on:
        tokens, acceptance, cost = (
            _column([float(np.max(getattr(job.speculative, name))) for job in jobs])
            for name in ("tokens", "acceptance", "cost")
        )
        guesses = replace(guesses, tokens=tokens, acceptance=acceptance, cost=cost)
    numbers = {
        name: _column([float(np.max(getattr(job, name))) for job in jobs])
        for name in ("cached", "cached_share", "imbalance")
        if any(np.any(np.not_equal(getattr(job, name), getattr(first, name))) for job in jobs)
    }
    return replace(first, steps=steps, batch=BATCHES, speculative=guesses, **numbers)


def _step(steps: Sequence[Step]) -> Step:
    """One step of all jobs."""
    first = steps[0]
    if isinstance(first, Pause):
        return replace(first, seconds=_column([float(step.seconds) for step in steps if isinstance(step, Pause)]))
    return replace(first, tokens=_column([float(step.tokens) for step in steps if not isinstance(step, Pause)]))
