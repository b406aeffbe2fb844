"""Serving with prefill and decode apart: two pools of chips, between which the KV cache of each request crosses a link.

DistServe (Zhong et al. 2024, arXiv 2401.09670), Splitwise (Patel et al. 2023, arXiv 2311.18677). Each pool has a plan
of its own. Phases, memory and messages are those of `inference`, `memory` and `collectives`; here stands what joins
them: no prompt comes between the tokens of another request, its cache has to move, and the slower pool sets the pace.

A pool knows of the other no more than its `Side`: a few numbers, each of which may be an array over its plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np

from roofline.engine import billing, energy, inference, interval, memory
from roofline.engine import serving as sharing
from roofline.engine.deployment import Deployment
from roofline.engine.inference import EDGES, Room, memory_room
from roofline.engine.interval import USEFUL
from roofline.engine.memory import Memory
from roofline.engine.ops import transfer
from roofline.engine.phases import decode_phase, prefill_phase, work_time
from roofline.engine.prediction import Phase, Prediction, evidence_of
from roofline.engine.roof import Priced, price_all
from roofline.engine.steps import Stretch, places_of, unread_prompts
from roofline.engine.usage import Served, uses
from roofline.errors import PlanError
from roofline.machine import Chip, Stack
from roofline.numeric import LEAST, Num, ceil_div
from roofline.workload import Cached, Decode, Pause, Plan, Precision, Prefill, Serving, Step

HALVINGS = 10  # in which the number of requests in the decode pool is found


def predict(serving: Serving, deployment: Deployment) -> Prediction:
    """Times, rates, memory, energy and cost of serving requests on two pools."""
    check(serving, deployment.stack)
    precision = deployment.precision_for(serving.precision)
    reading, writing = _pools(deployment)
    prompts, read = read_side(serving, reading, precision)
    decodes, write = settled_side(serving, deployment, read, writing, precision)
    times = {ideal: request_times(serving, deployment, read, write, ideal=ideal) for ideal in (False, True)}
    metrics = _metrics(serving, deployment, read, write, times)
    metrics |= _costs(serving, deployment, read, write, prompts, decodes, metrics, times[False])
    metrics |= interval.around(
        metrics,
        deployment.spreads,
        served=True,
        among=np.greater(serving.batch, 1.0),
        saturated=False,
    )
    metrics |= interval.around_power(metrics, deployment)
    if not serving.hides:
        metrics |= {f"{USEFUL}{suffix}": metrics[f"ttft_s{suffix}"] for suffix in EDGES if f"ttft_s{suffix}" in metrics}
    evidence, sources = evidence_of(deployment)
    fuller = np.greater(write.room.held.total, read.room.held.total)
    return Prediction(
        workload=serving,
        deployment=deployment,
        precision=precision,
        phases=_shown(serving, deployment, read, write, prompts, decodes),
        memory=_fuller(fuller, read.room.held, write.room.held),
        capacity=write.room.limit,
        max_batch=write.room.most,
        fits=np.logical_and(read.fits, write.fits),
        metrics=metrics,
        notes=_notes(serving, deployment, precision, read, write, times[False]),
        weight_bytes=inference.total_weight_bytes(serving.model, precision),
        evidence=evidence,
        sources=sources,
        fullest=np.where(fuller, 1.0, 0.0),
        account=lambda: uses(serving, deployment, _served(serving, read, write, prompts, decodes), {}),
        waiting=times[False].waiting,
    )


def check(serving: Serving, stack: Stack) -> None:
    """`PlanError` if there is nothing to divide among two pools, nobody who would hand requests over, or a second cache
    to hand over with them."""
    for kind, does in ((Prefill, "reads a prompt"), (Decode, "generates tokens")):
        if not any(isinstance(step, kind) for step in serving.steps):
            raise PlanError(f"pools: {serving.id} has no step that {does}; leave pools out")
    if stack.batching != "continuous":
        raise PlanError(
            f"pools: {stack.id} runs a batch from start to end, so no request can go on elsewhere; take another stack"
        )
    if serving.saturated:
        raise PlanError("pools: how many requests run is not found for two pools; give --batch a number")
    if serving.speculative.drafts:
        raise PlanError("pools: what drafts tokens has a cache of its own, which can't be moved; draft from n-grams")


def _pools(deployment: Deployment) -> tuple[Deployment, Deployment]:
    """Each pool as a deployment of its own."""
    if deployment.prefill_plan is None:
        raise PlanError("pools: the deployment has no plan for its prefill pool")
    return (
        replace(deployment, plan=deployment.prefill_plan, prefill_plan=None),
        replace(deployment, prefill_plan=None),
    )


# --- the steps of a request, divided among pools ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Move:
    """A request that goes on in the other pool: its context then, and the prefill (by number) it comes from or goes to.

    It takes its whole cache with it: a pool keeps nothing of requests that are elsewhere.
    """

    name: str
    context: Num
    prefill: int


def moves(serving: Serving) -> list[Move]:
    """Every change of pools in the order in which they happen."""
    found: list[Move] = []
    last: Step | None = None
    prefills = 0
    for step, context in zip(serving.steps, serving.contexts, strict=False):
        if isinstance(step, Pause | Cached):
            continue
        if isinstance(step, Decode) and isinstance(last, Prefill):
            found.append(Move("kv-cache/transfer", context, prefills - 1))
        if isinstance(step, Prefill) and isinstance(last, Decode):
            found.append(Move("kv-cache/return", context, prefills))
        prefills += isinstance(step, Prefill)
        last = step
    return found


def _only(serving: Serving, kind: type[Prefill] | type[Decode], batch: Num) -> Serving:
    """The steps of one kind alone, the context at the end being the longest there is."""
    ends = [after for step, after in zip(serving.steps, serving.contexts[1:], strict=True) if isinstance(step, kind)]
    steps = tuple(step for step in serving.steps if isinstance(step, kind))
    longest = reduce(np.maximum, ends)
    return replace(serving, steps=steps, batch=batch, cached=longest - sum(step.tokens for step in steps))


def _before_first(serving: Serving, *, hidden: bool = True) -> tuple[Step, ...]:
    """The steps before the first token, or, without `hidden` ones, before the first that the user waits for."""
    decodes = ((at, step) for at, step in enumerate(serving.steps) if isinstance(step, Decode))
    return serving.steps[: next(at for at, step in decodes if hidden or not step.hidden)]


def _count(steps: Iterable[Step], kind: type[Step]) -> int:
    return sum(isinstance(step, kind) for step in steps)


def _pauses(steps: Iterable[Step]) -> Num:
    return _sum(step.seconds for step in steps if isinstance(step, Pause))


def _sum(terms: Iterable[Num]) -> Num:
    """Sum in order."""
    return sum(terms, start=0.0)


# --- one pool -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One pool, as far as the other is concerned. Every number may be an array over plans.

    `times` and `ideals` are seconds of each of its steps, `occupied` those for which a request keeps the fullest
    stage of a replica from others, `caches` what one chip holds of a request at each of its moves [B].
    """

    plan: Plan
    times: tuple[Num, ...]
    ideals: tuple[Num, ...]
    occupied: Num
    caches: tuple[Num, ...]
    room: Room

    @property
    def fits(self) -> Num:
        """Whether its chips hold what they must."""
        return np.less_equal(self.room.held.total, self.room.limit)


def read_side(serving: Serving, pool: Deployment, precision: Precision) -> tuple[list[Phase], Side]:
    """Prompts: each passes alone. A replica holds one for each stage that works, and as many that are on their way."""
    plan = pool.plan
    asked = np.minimum(serving.batch, 2.0 * plan.dp * plan.pp)
    phases = [prefill_phase(serving, pool, precision, new, before) for new, before in unread_prompts(serving)]
    room = memory_room(_only(serving, Prefill, asked), pool, precision)
    return phases, _side(serving, plan, precision, phases, room)


def write_side(serving: Serving, pool: Deployment, precision: Precision, batch: Num) -> tuple[list[Phase], Side]:
    """Tokens: of so many requests at once, or as many as memory holds."""
    room = memory_room(_only(serving, Decode, batch), pool, precision)
    running = replace(serving, batch=room.running)
    phases = [
        decode_phase(running, pool, precision, step.tokens, context)
        for step, context in zip(serving.steps, serving.contexts, strict=False)
        if isinstance(step, Decode)
    ]
    return phases, _side(serving, pool.plan, precision, phases, room)


def _side(serving: Serving, plan: Plan, precision: Precision, phases: Sequence[Phase], room: Room) -> Side:
    return Side(
        plan=plan,
        times=tuple(phase.time for phase in phases),
        ideals=tuple(phase.ideal_time for phase in phases),
        occupied=_sum(work_time(phase) for phase in phases) * memory.stage_share(serving.model, plan),
        caches=tuple(
            memory.cache_bytes_per_sequence(serving.model, precision, plan, move.context) for move in moves(serving)
        ),
        room=room,
    )


def _fuller(second: Num, one: Memory, other: Memory) -> Memory:
    """The second of two where that is said, number by number."""
    parts = {item.name: (getattr(one, item.name), getattr(other, item.name)) for item in fields(Memory)}
    return Memory(**{name: np.where(second, there, here) for name, (here, there) in parts.items()})


# --- both pools ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Seconds of one request: to its first token, to the first that is not hidden, per further token, in all, and until
    it is its turn; and requests per second."""

    ttft: Num
    useful: Num
    tpot: Num
    e2e: Num
    waiting: Num
    rate: Num


def _price(name: str, kv: Num, deployment: Deployment, chips: Num) -> Priced:
    return price_all([transfer(name, kv=kv, chips=chips)], deployment.chip, deployment.stack)[0]


def _crossing(deployment: Deployment, read: Side, write: Side, sizes: Iterable[Num], ideal: bool) -> list[Num]:
    """Seconds in which so many bytes of one chip cross from pool to pool."""
    chips = read.plan.num_chips + write.plan.num_chips
    priced = (_price("", size, deployment, chips) for size in sizes)
    return [item.ideal_time if ideal else item.time for item in priced]


def _sizes(read: Side, write: Side) -> list[Num]:
    """Bytes of each move: a chip sends what it holds or gets what it will hold; the one with more of it decides."""
    return [np.maximum(here, there) for here, there in zip(read.caches, write.caches, strict=True)]


def request_times(serving: Serving, deployment: Deployment, read: Side, write: Side, *, ideal: bool) -> Times:
    """One request from end to end; at best its cache crosses while its prompt is still read, layer by layer.

    Requests wait for their turn in the prefill pool, and at least until there are no more of them on their way than
    the slower pool can serve (Little's law).
    """
    early, unseen = _before_first(serving), _before_first(serving, hidden=False)
    crossing = _crossing(deployment, read, write, _sizes(read, write), ideal)
    prefills = _with_moves(serving, read.ideals if ideal else read.times, crossing, together=ideal)
    writes = write.ideals if ideal else write.times
    decoding = _sum(writes)
    tpot = decoding / serving.output_len
    ttft = _sum(prefills[: _count(early, Prefill)]) + _pauses(early)
    useful = _sum(prefills[: _count(unseen, Prefill)]) + _pauses(unseen) + _sum(writes[: _count(unseen, Decode)])
    e2e = _sum(prefills) + decoding + _pauses(serving.steps)
    most = _most_requests(deployment, read, write, ideal)
    if ideal:
        return Times(ttft, useful, tpot, e2e, 0.0, np.minimum(serving.batch / e2e, most))
    others = np.maximum(ceil_div(serving.batch, read.plan.dp) - 1.0, 0.0)
    step = tpot * serving.speculative.gain
    joining = np.where(np.greater(ceil_div(write.room.running, write.plan.dp), 1.0), step / 2.0, 0.0)
    started = deployment.stack.admission + joining
    waiting = np.maximum(sharing.queue(read.occupied, others, e2e + started), serving.batch / most - e2e - started)
    opening = sharing.opening(read.occupied, others, serving.burst)
    e2e = e2e + started + waiting
    first, later = ttft + started + waiting + opening, useful + started + waiting + opening
    return Times(first, later, tpot, e2e, started + waiting, serving.batch / e2e)


def settled_side(
    serving: Serving, deployment: Deployment, read: Side, pool: Deployment, precision: Precision
) -> tuple[list[Phase], Side]:  # fmt: skip
    """The decode pool with as many requests in it as a steady state has: those that come while one of them is there.

    More of them take longer, so that more come, but less than in proportion. Between those that come if there is one
    and all that there are, the ratio is halved again and again; of the last two the larger is taken.
    """

    def coming(batch: Num) -> Num:
        _, write = write_side(serving, pool, precision, batch)
        return request_times(serving, deployment, read, write, ideal=False).rate * _sum(write.times)

    low, high = coming(1.0), serving.batch
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        more = np.greater(coming(middle), middle)
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return write_side(serving, pool, precision, high)


def _with_moves(serving: Serving, seconds: Sequence[Num], crossing: Sequence[Num], *, together: bool) -> list[Num]:
    """Seconds of each prefill with the moves to and from it: one after the other, or both at once."""
    moved: list[Num] = [0.0 for _ in seconds]
    for move, time in zip(moves(serving), crossing, strict=True):
        moved[move.prefill] = moved[move.prefill] + time
    pairs = zip(seconds, moved, strict=True)
    return [np.maximum(work, move) if together else work + move for work, move in pairs]


def _most_requests(deployment: Deployment, read: Side, write: Side, ideal: bool) -> Num:
    """Requests per second that the prefill pool, the links and (not of the bound) the decode pool's memory allow.

    A prompt is read while the cache of another leaves.
    """
    reading = _sum(read.ideals) if ideal else read.occupied
    leaving = _sum(_crossing(deployment, read, write, read.caches, ideal))
    arriving = _sum(_crossing(deployment, read, write, write.caches, ideal))
    most = np.minimum(read.plan.dp / np.maximum(reading, leaving), write.plan.dp / np.maximum(arriving, 1e-300))
    if ideal:
        return most
    held = np.where(np.greater_equal(write.room.most, 1.0), write.room.most, np.inf)
    return np.minimum(most, held / _sum(write.times))


def _metrics(
    serving: Serving, deployment: Deployment, read: Side, write: Side, times: Mapping[bool, Times]
) -> dict[str, Num | None]:  # fmt: skip
    """The contract's numbers, expected and ideal. Rates of one phase are those that its pool could have alone."""
    chips, tokens = deployment.num_chips, serving.output_len
    metrics: dict[str, Num | None] = {}
    for suffix, ideal in (("", False), ("_ideal", True)):
        found = times[ideal]
        reading = _sum(read.ideals) if ideal else read.occupied
        decoded = write.room.running / found.tpot
        metrics |= {
            f"ttft_s{suffix}": found.ttft,
            f"{USEFUL}{suffix}": found.useful,
            f"tpot_s{suffix}": found.tpot,
            f"e2e_latency_s{suffix}": found.e2e,
            f"requests_per_s{suffix}": found.rate,
            f"requests_per_chip_hour{suffix}": found.rate * 3600.0 / chips,
            f"output_tokens_per_s{suffix}": found.rate * tokens,
            f"output_tokens_per_s_per_chip{suffix}": found.rate * tokens / chips,
            f"output_tokens_per_s_per_user{suffix}": 1.0 / found.tpot,
            f"total_tokens_per_s{suffix}": found.rate * (serving.input_len + tokens),
            f"prefill_tokens_per_s{suffix}": read.plan.dp * serving.input_len / reading,
            f"decode_tokens_per_s{suffix}": decoded,
            f"decode_tokens_per_s_per_chip{suffix}": decoded / write.plan.num_chips,
        }
    return metrics


def _costs(
    serving: Serving,
    deployment: Deployment,
    read: Side,
    write: Side,
    prompts: Sequence[Phase],
    decodes: Sequence[Phase],
    metrics: Mapping[str, Num | None],
    times: Times,
) -> dict[str, Num | None]:
    """Power, energy and cost: each pool works for a share of the time and waits for the rest."""
    chip = deployment.chip
    tokens = times.rate * serving.output_len
    reading = [(phase, work_time(phase) / read.plan.pp) for phase in prompts]
    writing = [(phase, phase.time) for phase in decodes]
    running = np.maximum(write.room.running, write.plan.dp)
    powers = (
        _pool_power(chip, read.plan, reading, read.plan.dp / times.rate),
        _pool_power(chip, write.plan, writing, running / times.rate),
    )
    power = None if powers[0] is None or powers[1] is None else powers[0] + powers[1]
    both = np.asarray(metrics["total_tokens_per_s"], dtype=np.float64)
    more: dict[str, Num] = {"total_token": both, "request": times.rate}
    found = {
        **energy.metrics(chip, power, deployment.num_chips, tokens_per_s=tokens, more=more),
    }
    part = read.plan.num_chips / deployment.num_chips  # each pool is there for one kind of tokens, at work or not
    drawn = part if power is None or powers[0] is None else powers[0] / np.maximum(power, LEAST)
    traffic = billing.Traffic(times.rate, serving.input_len, serving.output_len, part, drawn)
    return found | billing.of_serving(chip, deployment.num_chips, deployment.economics, {**metrics, **found}, traffic)


def _pool_power(chip: Chip, plan: Plan, work: list[tuple[Phase, Num]], every: Num) -> Num | None:
    """Watts of a pool that does this work, phases with their seconds, `every` so often and nothing in between."""
    rest = np.maximum(every - _sum(seconds for _, seconds in work), 0.0)
    power = energy.mean_power(chip, [*work, (Phase("pause", step_time=rest), rest)])
    return None if power is None else power * plan.num_chips


def _shown(
    serving: Serving,
    deployment: Deployment,
    read: Side,
    write: Side,
    prompts: Sequence[Phase],
    decodes: Sequence[Phase],
) -> tuple[Phase, ...]:
    """The phases in the order of the steps, every move as an operator of the prefill that it belongs to."""
    chips = read.plan.num_chips + write.plan.num_chips
    moved: list[list[Priced]] = [[] for _ in prompts]
    for move, size in zip(moves(serving), _sizes(read, write), strict=True):
        moved[move.prefill].append(_price(move.name, size, deployment, chips))
    reads, writes = iter(map(_with_transfers, prompts, moved)), iter(decodes)
    shown: list[Phase] = []
    for step in serving.steps:
        if isinstance(step, Pause):
            shown.append(Phase("pause", step_time=step.seconds, ideal_step_time=step.seconds))
        elif not isinstance(step, Cached):
            shown.append(next(reads if isinstance(step, Prefill) else writes))
    return tuple(shown)


def _with_transfers(phase: Phase, moved: Sequence[Priced]) -> Phase:
    """A prefill with what moves before and after it, once however many steps it has; at best all goes on at once."""
    once = [replace(item, op=item.op.times(1.0 / phase.repeat)) for item in moved]
    return replace(
        phase,
        operators=(*phase.operators, *once),
        step_time=phase.step_time + _sum(item.time for item in once),
        ideal_step_time=np.maximum(phase.ideal_step_time, _sum(item.ideal_time for item in once)),
    )


def _served(
    serving: Serving, read: Side, write: Side, prompts: Sequence[Phase], decodes: Sequence[Phase]
) -> Iterator[Served]:  # fmt: skip
    """Who works on each step: a replica of the prefill pool on one prompt, one of the decode pool on many requests."""
    sharing = np.maximum(write.room.running / write.plan.dp, 1.0)
    for place, phase in zip(places_of(serving, Prefill), prompts, strict=True):
        yield Served(Stretch((place,), Prefill, phase, 0), read.plan)
    for place, phase in zip(places_of(serving, Decode), decodes, strict=True):
        yield Served(Stretch((place,), Decode, phase, 0), write.plan, sharing)
    for place in places_of(serving, Pause):
        seconds = serving.steps[place].seconds  # type: ignore[union-attr]
        rest = Phase("pause", step_time=seconds, ideal_step_time=seconds)
        yield Served(Stretch((place,), Pause, rest, 0), write.plan, np.inf)


def _notes(
    serving: Serving, deployment: Deployment, precision: Precision, read: Side, write: Side, times: Times
) -> tuple[str, ...]:
    """What the reader must know besides the numbers."""
    full = np.greater_equal(write.room.running, 0.99 * write.room.most)  # as far as the halving goes
    room = replace(write.room, running=np.where(full, write.room.running, serving.batch))
    found = list(inference.notes(serving, deployment, precision, room))
    busy = times.rate * read.occupied / read.plan.dp
    if np.ndim(busy) == 0:
        found.append(f"the prefill pool works {float(busy) * 100:.0f} % of the time")
    if deployment.spreads:
        found.append("intervals are those of chips that do both prefill and decode; no pools were measured")
    return tuple(found)
