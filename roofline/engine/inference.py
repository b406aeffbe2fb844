"""Serving: prefill and decode of requests over one growing context, at a steady number of running requests.

Continuous batching (Orca, OSDI 2022): a request's prefill runs alone, and while it decodes, those of the others take
their turns between its tokens. With B requests running and T tokens each, a request sees B − 1 foreign prefills in
its T steps: TPOT = decode step + (B − 1)/T · prefill (`roofline.engine.serving`). Static batching prefills all together
and then decodes.

A prefix cache saves the tokens of the first prompt that it holds, not the attention to them. Speculative decoding
(arXiv 2211.17192) takes a step for several tokens: what guesses them is a phase of its own beside each prefill and
each decode.

Memory caps the running requests: with paged caches (vLLM, SOSP 2023) requests are on average half-way through their
output, and those for which there is no room wait before their first token (Little's law). A static batch must hold all
of its requests at full length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roofline.engine import billing, energy, interval, memory
from roofline.engine import serving as sharing
from roofline.engine.concurrency import Beside, working
from roofline.engine.deployment import Deployment, dtype_notes
from roofline.engine.interval import USEFUL
from roofline.engine.memory import Memory
from roofline.engine.pauses import Hold, holds
from roofline.engine.phases import replica_batch, work_time
from roofline.engine.prediction import PROMPTS, Phase, Prediction, evidence_of
from roofline.engine.steps import Part, Stretch, parts, reading, writing
from roofline.engine.usage import Served, uses
from roofline.numeric import Num, capped, some
from roofline.repeated import repeated, whole
from roofline.workload import Decode, Model, Plan, Precision, Prefill, Serving

EDGES = ("", "_ideal", "_low", "_high")  # of a metric


def predict(serving: Serving, deployment: Deployment) -> Prediction:
    """Times, rates, memory, energy and cost of serving requests on a deployment; of an infinite batch, those of the
    largest that fits."""
    precision, saturated = deployment.precision_for(serving.precision), serving.saturated
    if saturated:
        serving = replace(serving, batch=largest_batch(serving, deployment, precision))
    room = memory_room(serving, deployment, precision)
    running = replace(serving, batch=repeated(room.running))
    read = reading(running, deployment, precision)
    beside = working(running, deployment, precision, read)
    written = writing(replace(running, batch=beside.batch), deployment, precision)
    stretches = sorted((*read, *written), key=lambda stretch: stretch.places[0])
    steps = parts(stretches)
    sides = (False,) if deployment.brief else (False, True)
    times = {ideal: _times(running, beside, deployment, steps, ideal) for ideal in sides}
    full = np.logical_or(np.less(room.running, serving.batch), saturated)
    held = {} if deployment.brief else holds(running, deployment, precision, room.space, read, full)
    metrics = _metrics(serving, running, beside, deployment, stretches, times)
    if deployment.economics is not None or not deployment.brief:
        traffic = _traffic(running, beside, deployment, stretches, metrics)
        metrics |= billing.of_serving(deployment.chip, deployment.num_chips, deployment.economics, metrics, traffic)
    metrics |= _pausing(running, deployment, held, times[False])
    metrics |= interval.around(
        metrics,
        deployment.spreads,
        served=deployment.stack.batching == "continuous",
        among=np.greater(serving.batch, 1.0),
        saturated=saturated,
    )
    metrics |= interval.around_power(metrics, deployment)
    if not serving.hides:
        metrics |= {f"{USEFUL}{suffix}": metrics[f"ttft_s{suffix}"] for suffix in EDGES if f"ttft_s{suffix}" in metrics}
    evidence, sources = evidence_of(deployment)
    return Prediction(
        workload=serving,
        deployment=deployment,
        precision=precision,
        phases=() if deployment.brief else tuple(stretch.shown for stretch in stretches),
        memory=room.held,
        capacity=room.limit,
        max_batch=room.most,
        fits=np.less_equal(room.held.total, room.limit),
        metrics={name: whole(value) for name, value in metrics.items()},
        notes=notes(serving, deployment, precision, room),
        weight_bytes=total_weight_bytes(serving.model, precision),
        evidence=evidence,
        sources=sources,
        account=lambda: uses(running, deployment, _served(running, beside, deployment, stretches, times[False]), held),
        waiting=times[False].waiting + times[False].e2e * (serving.batch / running.batch - 1.0),
    )


def largest_batch(serving: Serving, deployment: Deployment, precision: Precision) -> Num:
    """Requests that memory holds in all replicas together, one at least; of a number of requests the mean of as few
    waves as they fit into, since those that begin together end together.

    What works on more of them leaves room for fewer: those that fit beside the work of as many as would beside one.
    """
    most: Num = 1.0
    for _ in range(2):
        most = np.maximum(memory_room(replace(serving, batch=most), deployment, precision).most, 1.0)
    if not some(np.isfinite(serving.requests)):
        return most
    finite = np.where(np.isfinite(serving.requests), serving.requests, most)
    return finite / np.ceil(finite / most)


def total_weight_bytes(model: Model, precision: Precision) -> float:
    """Weights of the whole model, once [B]."""
    return float(memory.weight_bytes(model, precision, Plan()))


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Memory of one chip [B] with the requests that run, and how many could: in all replicas together. `space` is what
    caches may take."""

    held: Memory
    limit: Num
    most: Num
    running: Num
    space: Num


def memory_room(serving: Serving, deployment: Deployment, precision: Precision) -> Room:
    """What one chip holds and may hold. Paged caches let the others wait; a static batch is held whole. Requests hold
    the cache of their mean context, whatever is reserved for them.

    What the prefix cache holds counts in full for every request: whether requests share it nobody says. What drafts
    has weights and a cache of its own; its activations take the room of the model's, which waits meanwhile.
    """
    model, plan, stack = serving.model, deployment.plan, deployment.stack
    paged = stack.batching == "continuous"
    asked = replica_batch(serving.batch, deployment)
    longest = max((step.tokens for step in serving.steps if isinstance(step, Prefill)), key=np.max, default=1.0)
    verified = asked * (serving.speculative.tokens + 1.0)  # rows of a decode step, each with logits of its own
    rows = np.maximum(np.minimum(longest, stack.prefill_chunk), verified)
    resident = serving.mean_context_len if paged else serving.context_len
    lengths = (resident, serving.context_len if stack.reserved else resident)
    per_request, reserved = (memory.cache_bytes_per_sequence(model, precision, plan, length) for length in lengths)
    weights = memory.weight_bytes(model, precision, plan)
    working = memory.working_bytes(model, precision, plan, rows, verified)
    if serving.speculative.drafts:
        drafter, share = serving.speculative.model or model, serving.speculative.share
        weights = weights + share * memory.weight_bytes(drafter, precision, plan)
        per_request, reserved = (
            held + share * memory.cache_bytes_per_sequence(drafter, precision, plan, length)
            for held, length in zip((per_request, reserved), lengths, strict=True)
        )
    limit = deployment.chip.main_memory.capacity * stack.usable_memory
    most = np.maximum(np.floor((limit - weights - working) * stack.cache_memory / reserved), 0.0)
    running = capped(asked, np.where(np.greater_equal(most, 1.0), most, np.inf)) if paged else asked
    held = Memory(weights=weights, kv_cache=running * per_request, activations=working)
    all_running = serving.batch if running is asked else np.where(running < asked, running * plan.dp, serving.batch)
    space = np.maximum(limit - weights - working, 0.0) * stack.cache_memory
    return Room(held, limit, most * plan.dp, all_running, space)


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Seconds of one request: to its first token, to the first that is not hidden, per further token, in all (of a
    steady state), reading its prompts, and until it is its turn. Decode steps take `stretched` times their own time."""

    ttft: Num
    useful: Num
    tpot: Num
    e2e: Num
    prefill: Num
    waiting: Num
    stretched: Num


def _times(
    serving: Serving, beside: Beside, deployment: Deployment, found: Sequence[Part], ideal: bool
) -> Times:  # fmt: skip
    """Sums over the steps of a request, with the foreign prefills that continuous batching puts in between."""

    def seconds(part: Part) -> Num:
        return part.ideal_time if ideal else part.time

    first_decode = next((index for index, part in enumerate(found) if part.kind is Decode), len(found))
    ttft = _sum(seconds(part) for part in found[:first_decode])
    decoding = _sum(seconds(part) for part in found if part.kind is Decode)
    reading = _sum(seconds(part) if ideal else part.own for part in found if part.kind is Prefill)
    rest = _sum(seconds(part) for part in found[first_decode:] if part.kind is not Decode)
    tokens, alone = serving.output_len, decoding
    begun: Num = 0.0
    waiting: Num = 0.0
    opening: Num = 0.0
    if not ideal:
        begun = deployment.stack.admission * np.greater(reading, 0.0)
        ttft = ttft + begun
        if deployment.stack.batching == "continuous":
            others = beside.others
            occupied = _sum(part.work for part in found if part.kind is Prefill) / deployment.plan.pp
            step = decoding * serving.speculative.gain / np.where(np.greater(tokens, 0.0), tokens, np.inf)
            decoding = sharing.interleaved(decoding, occupied, others)
            turn = sharing.turn(occupied, others, ttft + decoding + rest - serving.pause_s)
            if some(serving.uniform):
                turn = np.where(serving.uniform, sharing.following(occupied, others), turn)
            decoding = decoding - turn  # the prompts that were read before its own no longer come in between
            waiting = turn + np.where(np.greater(others, 0.0) & np.greater(reading, 0.0), step / 2.0, 0.0)
            opening = sharing.opening(occupied, others, serving.burst)
    tpot = decoding / np.where(np.greater(tokens, 0.0), tokens, np.nan) if np.any(np.greater(tokens, 0.0)) else 0.0
    e2e = ttft + waiting + decoding + rest
    first = ttft + waiting + opening
    shown = next((at for at, step in enumerate(serving.steps) if isinstance(step, Decode) and not step.hidden), 0)
    stretched = np.where(np.greater(alone, 0.0), decoding / np.where(np.greater(alone, 0.0), alone, 1.0), 1.0)
    later = (part for part in found[first_decode:] if part.place < shown)
    useful = first + _sum(seconds(part) * (stretched if part.kind is Decode else 1.0) for part in later)
    return Times(first, useful, tpot, e2e, reading, begun + waiting, stretched)


def _rate(amount: Num, seconds: Num) -> Num:
    """Amount per second; 0 where there is nothing to wait for."""
    return amount / np.where(np.greater(seconds, 0.0), seconds, np.inf)


def _sum(terms: Iterable[Num]) -> Num:
    """Sum in order."""
    return sum(terms, start=0.0)


def _metrics(
    asked: Serving,
    serving: Serving,
    beside: Beside,
    deployment: Deployment,
    stretches: Sequence[Stretch],
    both: Mapping[bool, Times],
) -> dict[str, Num | None]:
    """The contract's numbers of the requests that run, expected and ideal; those beyond wait before their first token.

    By Little's law N requests at a rate of B served in S seconds each spend N·S/B in all, of which they run S.
    """
    chip, chips = deployment.chip, deployment.num_chips
    metrics: dict[str, Num | None] = {}
    for ideal, times in both.items():
        suffix = "_ideal" if ideal else ""
        waiting = 0.0 if ideal else times.e2e * (asked.batch / serving.batch - 1.0)
        served = asked.batch if ideal else serving.batch  # the bound knows no full memory
        requests = served / times.e2e
        rate = served * serving.output_len / times.e2e
        static = deployment.stack.batching == "static"
        prefilled = served if static else deployment.plan.dp * deployment.plan.pp
        begun = deployment.stack.request if static and not ideal else 0.0  # nothing else is read meanwhile
        decoding = served * beside.share
        metrics |= {
            f"ttft_s{suffix}": times.ttft + waiting,
            f"{USEFUL}{suffix}": times.useful + waiting,
            f"tpot_s{suffix}": times.tpot,
            f"e2e_latency_s{suffix}": times.e2e + waiting,
            f"requests_per_s{suffix}": requests,
            f"requests_per_chip_hour{suffix}": requests * 3600.0 / chips,
            f"output_tokens_per_s{suffix}": rate,
            f"output_tokens_per_s_per_chip{suffix}": rate / chips,
            f"output_tokens_per_s_per_user{suffix}": np.divide(1.0, times.tpot) if np.all(times.tpot) else 0.0,
            f"total_tokens_per_s{suffix}": served * (serving.input_len + serving.output_len) / times.e2e,
            f"prefill_tokens_per_s{suffix}": _rate(prefilled * serving.input_len, times.prefill + begun),
            f"decode_tokens_per_s{suffix}": _rate(decoding, times.tpot),
            f"decode_tokens_per_s_per_chip{suffix}": _rate(decoding / chips, times.tpot),
        }
    phases = (stretch.phase for stretch in stretches)
    rank = next((stretch.rank for stretch in stretches if len(stretch.places) > 1), None)
    power = energy.mean_power(chip, at_work(phases, beside.others + 1.0, deployment), rank)
    rate, total, every = (
        np.asarray(metrics[name], dtype=np.float64)
        for name in ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s")
    )
    metrics |= energy.metrics(
        chip,
        None if power is None else power * chips,
        chips,
        tokens_per_s=rate,
        more={"total_token": total, "request": every},
    )
    return metrics


def at_work(phases: Iterable[Phase], working: Num, deployment: Deployment) -> list[tuple[Phase, Num]]:
    """Seconds for which a chip works on each phase while one request is served: it reads the prompts of all that are
    `working` in a replica meanwhile, and generates for all at once. Pauses are those of a request alone."""
    prompts = working / deployment.plan.pp
    return [
        (phase, phase.time / phase.shared * (prompts if phase.name in PROMPTS else 1.0))
        for phase in phases
        if phase.operators
    ]


def _traffic(
    serving: Serving,
    beside: Beside,
    deployment: Deployment,
    stretches: Sequence[Stretch],
    metrics: Mapping[str, Num | None],
) -> billing.Traffic:
    """Requests each second, and what part of the work on them is reading: prompts that are read alone occupy a replica
    one after the other, a step of decoding serves all that work."""
    stack = deployment.stack
    alone = stack.batching == "continuous" or stack.prefill == "alone"
    prompts = beside.others + 1.0 if alone else 1.0
    reads = [
        (stretch.shown, work_time(stretch.shown) / deployment.plan.pp * prompts)
        for stretch in stretches
        if stretch.kind is Prefill
    ]
    writes = [(stretch.shown, stretch.shown.time) for stretch in stretches if stretch.kind is Decode]
    time, joules = billing.shares(deployment.chip, reads, writes)
    requests = np.asarray(metrics["requests_per_s"], dtype=np.float64)
    return billing.Traffic(requests, serving.input_len, serving.output_len, time, joules)


def _served(
    serving: Serving, beside: Beside, deployment: Deployment, stretches: Sequence[Stretch], times: Times
) -> Iterator[Served]:
    """Who shares each stretch: nobody a prompt that passes alone, nothing works while a request pauses by itself."""
    plan, static = deployment.plan, deployment.stack.batching == "static"
    for stretch in stretches:
        if stretch.kind is Decode:
            yield Served(stretch, plan, beside.others + 1.0, times.stretched)
        elif static:
            yield Served(stretch, plan, replica_batch(serving.batch, deployment))
        else:
            yield Served(stretch, plan, None if stretch.kind is Prefill else np.inf)


def _pausing(
    serving: Serving, deployment: Deployment, held: Mapping[int, Hold], times: Times
) -> dict[str, Num | None]:  # fmt: skip
    """The cache of those that pause, on one chip, and the length of all pauses together at which dropping it costs as
    much as keeping it; none of a request that never pauses."""
    if not held:
        return {}
    running = replica_batch(serving.batch, deployment)
    paused = _sum(hold.held * serving.steps[at].seconds for at, hold in held.items())  # type: ignore[union-attr]
    keep, again = (_sum(getattr(hold, name) for hold in held.values()) for name in ("keep", "recompute"))
    known = np.greater(keep, 0.0)
    equal = np.where(known, serving.pause_s * again / np.where(known, keep, 1.0), np.nan)
    return {
        "kv_cache_bytes_paused": running * paused / times.e2e,
        "pause_break_even_s": equal,
    }


def notes(serving: Serving, deployment: Deployment, precision: Precision, room: Room) -> tuple[str, ...]:
    """What the reader must know besides the numbers."""
    notes = dtype_notes(deployment.chip, precision)
    if np.ndim(room.running) == 0 and room.running < serving.batch:
        shown = f"{float(room.running):,.0f} of {float(serving.batch):,.0f} requests"
        notes.append(f"memory holds {shown} at once; the others wait before their first token")
    guesses = serving.speculative
    if guesses.on and np.ndim(guesses.gain) == 0:
        checked = float(guesses.tokens) + 1.0
        notes.append(f"speculative decoding: a step keeps {float(guesses.gain):.3g} of {checked:.0f} tokens on average")
    if guesses.model is not None and guesses.model.vocab != serving.model.vocab:
        notes.append(
            f"{guesses.model.id} has {guesses.model.vocab:,} tokens, {serving.model.id} {serving.model.vocab:,}"
        )
    limit = serving.model.max_context
    longest = np.max(serving.context_len)
    if limit and longest > limit:
        notes.append(f"context of {longest:,.0f} tokens is beyond the {limit:,} that {serving.model.id} was made for")
    notes += energy.notes(deployment.chip)
    return tuple(notes)
