"""What one replica serves: requests per second of each kind, under every plan and with every batch at once.

One prediction has three axes, `[jobs, plans, batches]`: kinds of requests that go through the same steps differ only in
lengths, so they are one array. The best batch is the one that serves most requests while a service level is kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from roofline.engine import billing, inference, memory, plans, roof
from roofline.engine.deployment import Deployment
from roofline.engine.ops import transfer
from roofline.engine.prediction import Prediction
from roofline.errors import NoRoomError, PlanError
from roofline.numeric import Num
from roofline.workload import Pause, Plan, Serving, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rates: TypeAlias = "NDArray[np.float64]"
Truth: TypeAlias = "NDArray[np.bool_]"

BATCHES: Rates = np.unique(np.round(np.exp2(np.arange(27) / 2.0)).astype(np.float64))  # requests that run at once
ALONE = np.ones(1, dtype=np.float64)
LARGER = 4  # doublings of the fewest chips that hold a model which are tried as the size of a replica


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """What one replica does with the best batch, each field an array `[jobs, plans]`, but the `plan`, whose degrees are
    `[plans]`.

    `rate` [1/s] are requests served, 0 where no batch keeps the service level; `batch` how many run then, `ttft` (on
    the other side of a network) and `tpot` [s] what they see, `power` [W] what all of its chips and their hosts draw,
    NaN where nobody knows.
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


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """What one replica does with every batch: fields as in `Replica`, each an array `[jobs, plans, batches]`.

    `room` says whether memory holds the batch, one of `batches`; `ttft_limit` and `tpot_limit` [s] are the service
    levels `[jobs, 1, 1]`.
    """

    plan: Plan
    rate: Rates
    ttft: Rates
    tpot: Rates
    power: Rates
    room: Truth
    batches: Rates
    ttft_limit: Rates
    tpot_limit: Rates

    def best(self, network: Num = 0.0) -> Replica:
        """The batch that serves most requests while service levels are kept, `network` [s] being on the way to the
        first token."""
        first = self.ttft + network
        kept = self.room & (first <= self.ttft_limit) & (self.tpot <= self.tpot_limit)
        rate = np.where(kept, self.rate, 0.0)
        best = np.argmax(rate, axis=-1, keepdims=True)
        batches = np.broadcast_to(self.batches, rate.shape)
        taken = (rate, batches, first, self.tpot, self.power)
        return Replica(self.plan, *(np.take_along_axis(values, best, axis=-1)[..., 0] for values in taken))

    def queued(self, network: Num = 0.0) -> Replica:
        """Prompts that a replica reads one after another, as many as wait no longer than the service level lets them.

        `network` [s] is on the way to the first token, arrays `[jobs or 1, plans]` allowed. A prompt of `s` seconds
        waits `ρ·s/(2(1 − ρ))` where load is ρ (M/D/1), so a wait of `w` allows `ρ = 2w/(s + 2w)`; where nothing is
        promised, all of it.
        """
        rate, alone, power = (values[..., 0] for values in (self.rate, self.ttft, self.power))
        read = np.asarray(self.plan.dp) / rate
        free = np.broadcast_to(np.isinf(self.ttft_limit[..., 0]), rate.shape)
        wait = np.where(free, 0.0, self.ttft_limit[..., 0]) - np.where(free, 0.0, alone + network)
        load = np.where(free, 1.0, np.maximum(2.0 * wait, 0.0) / np.maximum(read + 2.0 * wait, read))
        kept = np.where(self.room[..., 0], rate * load, 0.0)
        ones = np.ones_like(rate)
        return Replica(self.plan, kept, ones, alone + np.maximum(wait, 0.0) + network, 0.0 * ones, power)


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
    given, devices = {} if experts else {"dp": 1}, float(np.max(chip.devices))
    found: list[Plan] = []
    for size in sizes(fewest, max(domain, fewest)):
        try:
            found.append(plans.candidates(job.model, size, given, deployment.stack.placement, devices))
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


def grid(jobs: Sequence[Serving], deployment: Deployment, plan: Plan, batches: Rates = BATCHES) -> Grid:
    """What a replica of a model does for each of `jobs`, all of that model and precision; `plan` as of `candidates`."""
    shape = (len(jobs), np.size(plan.tp), batches.size)
    rate, ttft, tpot, power = (np.empty(shape) for _ in range(4))
    room = np.empty(shape, dtype=bool)
    for members in _alike(jobs):
        some = [jobs[index] for index in members]
        found = _predicted(some, deployment, plan, batches)
        rate[members] = _requests(some, found)
        ttft[members], tpot[members] = _known(found.metrics["ttft_s"]), _known(found.metrics["tpot_s"])
        power[members] = _known(billing.system_power(found.metrics))
        room[members] = np.logical_and(found.fits, np.less_equal(batches, found.max_batch))
    limits = (_limits([getattr(job.slo, name) for job in jobs]) for name in ("ttft_s", "tpot_s"))
    return Grid(plan, rate, ttft, tpot, power, room, batches, *limits)


def _requests(jobs: Sequence[Serving], found: Prediction) -> Num:
    """Requests per second; of prompts alone, as many as a replica reads one behind the other."""
    if np.any(jobs[0].output_len):
        return _known(found.metrics["requests_per_s"])
    return _known(found.metrics["prefill_tokens_per_s"]) / _column([float(np.max(job.input_len)) for job in jobs])


def moving(job: Serving, deployment: Deployment, plan: Plan) -> Num:
    """Seconds in which the cache of a prompt crosses to other chips, under each plan of those that read it."""
    cache = memory.cache_bytes_per_sequence(job.model, job.precision, plan, job.context_len)
    crossing = transfer("kv-cache/transfer", kv=cache, chips=2.0 * plan.num_chips)
    return roof.price_all([crossing], deployment.chip, deployment.stack)[0].time


def _known(value: Num | None) -> Num:
    return np.nan if value is None else value


def _alike(jobs: Sequence[Serving]) -> list[list[int]]:
    """Indices of jobs by what can't be an axis: the kinds of their steps, and what drafts tokens."""
    groups: dict[Hashable, list[int]] = {}
    for index, job in enumerate(jobs):
        guesses = job.speculative
        drafter = guesses.model.id if guesses.model else None
        key = (tuple(type(step) for step in job.steps), drafter, guesses.on, bool(job.cached_share))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _predicted(jobs: Sequence[Serving], deployment: Deployment, plan: Plan, batches: Rates) -> Prediction:
    """Jobs of the same steps under every plan with every batch."""
    degrees: dict[str, Any] = {name: np.reshape(getattr(plan, name), (-1, 1)) for name in plans.DEGREES}
    plan = replace(plan, **degrees)
    where = replace(deployment, plan=plan, num_chips=cast("int", plan.num_chips), brief=True)
    return inference.predict(_stacked(jobs, batches), where)


def _column(values: Sequence[float]) -> Rates:
    """Numbers of jobs along the first axis."""
    return np.array(values, dtype=np.float64).reshape(-1, 1, 1)


def _limits(values: Sequence[float | None]) -> Rates:
    return _column([np.inf if value is None else value for value in values])


def _stacked(jobs: Sequence[Serving], batches: Rates) -> Serving:
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
    numbers: dict[str, Any] = {
        name: _column([float(np.max(getattr(job, name))) for job in jobs])
        for name in ("cached", "cached_share", "imbalance")
        if any(np.any(np.not_equal(getattr(job, name), getattr(first, name))) for job in jobs)
    }
    return replace(first, steps=steps, batch=batches, speculative=guesses, **numbers)


def _step(steps: Sequence[Step]) -> Step:
    """One step of all jobs."""
    first = steps[0]
    if isinstance(first, Pause):
        return replace(first, seconds=_column([float(step.seconds) for step in steps if isinstance(step, Pause)]))
    return replace(first, tokens=_column([float(step.tokens) for step in steps if not isinstance(step, Pause)]))
