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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from roofline.engine import cost, energy, interval, memory, roof
from roofline.engine import serving as sharing
from roofline.engine.deployment import Deployment, dtype_notes
from roofline.engine.lower import Pass, lower
from roofline.engine.memory import Memory
from roofline.engine.ops import OVERHEAD, Op
from roofline.engine.prediction import PROMPTS, Phase, Prediction, evidence_of
from roofline.engine.roof import Priced, total
from roofline.machine.chip import PASSING
from roofline.numeric import Num, ceil_div
from roofline.workload import Decode, Model, Pause, Plan, Precision, Prefill, Serving


def predict(serving: Serving, deployment: Deployment) -> Prediction:
    """Times, rates, memory, energy and cost of serving requests on a deployment; of an infinite batch, those of the
    largest that fits."""
    precision, saturated = deployment.precision_for(serving.precision), serving.saturated
    if saturated:
        serving = replace(serving, batch=largest_batch(serving, deployment, precision))
    room = memory_room(serving, deployment, precision)
    running = replace(serving, batch=room.running)
    phases = _phases(running, deployment, precision)
    metrics = _metrics(serving, running, deployment, phases)
    metrics |= interval.around(
        metrics,
        deployment.spreads,
        served=deployment.stack.batching == "continuous",
        among=np.greater(serving.batch, 1.0),
        saturated=saturated,
    )
    metrics |= interval.around_power(metrics, deployment)
    evidence, sources = evidence_of(deployment)
    return Prediction(
        workload=serving,
        deployment=deployment,
        precision=precision,
        phases=tuple(phase for _, phase in phases),
        memory=room.held,
        capacity=room.limit,
        max_batch=room.most,
        fits=np.less_equal(room.held.total, room.limit),
        metrics=metrics,
        notes=notes(serving, deployment, precision, room),
        weight_bytes=total_weight_bytes(serving.model, precision),
        evidence=evidence,
        sources=sources,
    )


def largest_batch(serving: Serving, deployment: Deployment, precision: Precision) -> Num:
    """Requests that memory holds in all replicas together, one at least.

    What works on more of them leaves room for fewer: those that fit beside the work of as many as would beside one.
    """
    most: Num = 1.0
    for _ in range(2):
        most = np.maximum(memory_room(replace(serving, batch=most), deployment, precision).most, 1.0)
    return most


def total_weight_bytes(model: Model, precision: Precision) -> float:
    """Weights of the whole model, once [B]."""
    return float(memory.weight_bytes(model, precision, Plan()))


def replica_batch(batch: Num, deployment: Deployment) -> Num:
    """Running requests of one data-parallel replica."""
    return ceil_div(batch, deployment.plan.dp)


def _phases(
    serving: Serving, deployment: Deployment, precision: Precision
) -> list[tuple[Prefill | Decode | Pause, Phase]]:  # fmt: skip
    """Each step of the request as a phase or two, the context growing from one to the next."""
    reads = unread_prompts(serving)
    phases: list[tuple[Prefill | Decode | Pause, Phase]] = []
    for step, context in zip(serving.steps, contexts(serving), strict=False):
        if isinstance(step, Pause):
            phases.append((step, Phase("pause", step_time=step.seconds, ideal_step_time=step.seconds)))
        elif isinstance(step, Prefill):
            new, before = next(reads)
            if serving.speculative.drafts:
                phases.append((step, prefill_phase(serving, deployment, precision, new, before, drafting=True)))
            phases.append((step, prefill_phase(serving, deployment, precision, new, before)))
        else:
            if serving.speculative.drafts:
                phases.append((step, draft_phase(serving, deployment, precision, step.tokens, context)))
            phases.append((step, decode_phase(serving, deployment, precision, step.tokens, context)))
    return phases


def contexts(serving: Serving) -> list[Num]:
    """Tokens in the context before each step, and at the end."""
    found: list[Num] = [serving.cached]
    for step in serving.steps:
        found.append(found[-1] if isinstance(step, Pause) else found[-1] + step.tokens)
    return found


def unread_prompts(serving: Serving) -> Iterator[tuple[Num, Num]]:
    """Tokens of each prompt that have to be read, and those before them: of the first, what the prefix cache holds."""
    reused = serving.reused
    for step, context in zip(serving.steps, contexts(serving), strict=False):
        if isinstance(step, Prefill):
            yield step.tokens - reused, context + reused
            reused = 0.0


def prefill_phase(
    serving: Serving, deployment: Deployment, precision: Precision, tokens: Num, context: Num, *, drafting: bool = False
) -> Phase:  # fmt: skip
    """Reading `tokens` after `context`: of one request (continuous batching) or of all at once (static); `drafting`
    by what guesses tokens later, which needs a cache of its own.

    A pass takes no more tokens than a chunk: several short prompts, or a part of a long one. Chunks follow each other
    through the stages of a pipeline; at best, seamlessly.
    """
    stack, pp = deployment.stack, deployment.plan.pp
    alone = stack.batching == "continuous" or stack.prefill == "alone"
    prompts = 1.0 if alone else replica_batch(serving.batch, deployment)
    together = np.maximum(np.floor(stack.prefill_chunk / np.maximum(tokens, 1.0)), 1.0)
    rounds = np.maximum(ceil_div(prompts, together), 1.0)
    sequences = prompts / rounds
    parts = np.maximum(ceil_div(tokens, stack.prefill_chunk), 1.0)
    new = tokens / parts
    chunks = rounds * parts
    # a chunk at its mean context
    work = Pass(
        sequences=sequences, new=new, context=context + (tokens - new) / 2.0, distinct=serving.distinct,
        imbalance=serving.imbalance,
    )  # fmt: skip
    flowing = 1.0 + stack.flow * (chunks * pp / (chunks + pp - 1.0) - 1.0)
    if drafting:
        phase = _drafted("draft-prefill", serving, deployment, precision, work, busy=flowing / pp)
    else:
        phase = _phase("prefill", serving.model, deployment, precision, work, busy=flowing / pp)
    return replace(
        phase,
        repeat=chunks,
        step_time=phase.step_time / flowing,
        ideal_step_time=phase.ideal_step_time / pp,
        flowing=flowing,
    )


def work_time(phase: Phase) -> Num:
    """Seconds for which all stages of a pipeline together are occupied with a phase."""
    return phase.time * phase.flowing


def decode_phase(
    serving: Serving, deployment: Deployment, precision: Precision, tokens: Num, context: Num
) -> Phase:  # fmt: skip
    """Generating `tokens` after `context`: every stage works on its share of the replica's requests in turn.

    Where tokens are drafted each step verifies them all and one more, and keeps `gain` of them.
    """
    guesses = serving.speculative
    new = guesses.tokens + 1.0
    work, busy = _decoding(serving, deployment, tokens, context)
    phase = _phase("decode", serving.model, deployment, precision, replace(work, new=new, logits=new), busy=busy)
    return replace(phase, useful_flops=phase.useful_flops * guesses.gain / new)


def draft_phase(
    serving: Serving, deployment: Deployment, precision: Precision, tokens: Num, context: Num
) -> Phase:  # fmt: skip
    """Guessing what the steps that generate `tokens` after `context` verify: pass after pass, a token in each."""
    guessed = serving.speculative.tokens
    # a guess at its mean context
    ahead = np.maximum(guessed - 1.0, 0.0) / 2.0
    work, busy = _decoding(serving, deployment, tokens, context + ahead)
    phase = _drafted("draft", serving, deployment, precision, work, busy=busy)
    return replace(phase, repeat=work.steps * guessed)


def _decoding(serving: Serving, deployment: Deployment, tokens: Num, context: Num) -> tuple[Pass, Num]:
    """A step of a stage with one token for each of its requests, and how busy stages are (see `Phase`)."""
    running = replica_batch(serving.batch, deployment)
    micro = ceil_div(running, deployment.plan.pp)
    gain = serving.speculative.gain
    work = Pass(
        sequences=micro, context=context, steps=tokens / gain, decode=True, distinct=serving.distinct,
        imbalance=serving.imbalance, gain=gain, bucket=deployment.stack.bucket,
    )  # fmt: skip
    return work, ceil_div(running, micro) / deployment.plan.pp


def _drafted(
    name: str, serving: Serving, deployment: Deployment, precision: Precision, work: Pass, *, busy: Num
) -> Phase:  # fmt: skip
    """One pass of what guesses tokens: a model of its own under the same plan and formats, or a share of the model."""
    model = serving.speculative.model or serving.model
    phase = _phase(name, model, deployment, precision, work, busy=busy, share=serving.speculative.share)
    return replace(phase, model=model, useful_flops=0.0)


def _phase(
    name: str, model: Model, deployment: Deployment, precision: Precision, work: Pass, *, busy: Num, share: Num = 1.0
) -> Phase:  # fmt: skip
    """One pass of the model, or a share of one, lowered, priced and summed."""
    chip, stack = deployment.chip, deployment.stack
    priced = roof.price_all((op for op in lower(model, precision, deployment.plan, work) if not op.absent), chip, stack)
    taken = roof.expected_time(priced) if np.any(stack.host) else np.inf
    priced += roof.price_all([stack_overhead(model, deployment, work.sequences, taken)], chip, stack)
    if np.any(np.not_equal(share, 1.0)):
        priced = tuple(replace(item, op=item.op.times(share)) for item in priced)
    return Phase(
        name,
        priced,
        repeat=work.steps,
        busy=busy,
        step_time=roof.expected_time(priced),
        ideal_step_time=roof.ideal_time(priced),
        useful_flops=useful_flops(priced) if _balanced(work) else _mean_flops(model, deployment, precision, work),
        peak=roof.peak(chip, precision.arithmetic),
        bandwidth=chip.bandwidth,
    )


def stack_overhead(model: Model, deployment: Deployment, sequences: Num = 0.0, taken: Num = np.inf) -> Op:
    """What the software adds to one pass of so many sequences, as an operator of its own; all others take `taken`
    seconds.

    A host that launches layer after layer runs ahead of the chip, or the chip waits for it: the longer of the two.
    Training passes are long enough that nothing waits.
    """
    stack = deployment.stack
    own = stack.step + stack.sequence * sequences + stack.layer * model.layers
    seconds = np.maximum(own, stack.host * model.layers - taken)
    return Op(f"{stack.id}/overhead", OVERHEAD, terms={"seconds": seconds, "sequences": sequences, "taken": taken})


def useful_flops(priced: tuple[Priced, ...]) -> Num:
    """FLOPs of products, attention and recurrences: what model FLOPs utilization counts."""
    needed = (item for item in priced if item.op.kind not in (*PASSING, OVERHEAD))
    return total(needed, lambda item: item.op.count * item.op.flops)


def _balanced(work: Pass) -> bool:
    return bool(np.all(np.equal(work.imbalance, 1.0)))


def _mean_flops(model: Model, deployment: Deployment, precision: Precision, work: Pass) -> Num:
    """Useful FLOPs of the mean rank: those that the hottest has beyond its share belong to others."""
    operators = lower(model, precision, deployment.plan, replace(work, imbalance=1.0))
    return useful_flops(roof.price_all(operators, deployment.chip, deployment.stack))


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Memory of one chip [B] with the requests that run, and how many could: in all replicas together."""

    held: Memory
    limit: Num
    most: Num
    running: Num


def memory_room(serving: Serving, deployment: Deployment, precision: Precision) -> Room:
    """What one chip holds and may hold. Paged caches let the others wait; a static batch is held whole.

    What the prefix cache holds counts in full for every request: whether requests share it nobody says. What drafts
    has weights and a cache of its own; its activations take the room of the model's, which waits meanwhile.
    """
    model, plan, stack = serving.model, deployment.plan, deployment.stack
    paged = stack.batching == "continuous"
    asked = replica_batch(serving.batch, deployment)
    longest = max((step.tokens for step in serving.steps if isinstance(step, Prefill)), key=np.max, default=1.0)
    verified = asked * (serving.speculative.tokens + 1.0)  # rows of a decode step, each with logits of its own
    rows = np.maximum(np.minimum(longest, stack.prefill_chunk), verified)
    resident = serving.context_len - (serving.output_len / 2.0 if paged else 0.0)
    per_request = memory.cache_bytes_per_sequence(model, precision, plan, resident)
    weights = memory.weight_bytes(model, precision, plan)
    working = memory.working_bytes(model, precision, plan, rows, verified)
    if serving.speculative.drafts:
        drafter, share = serving.speculative.model or model, serving.speculative.share
        weights = weights + share * memory.weight_bytes(drafter, precision, plan)
        per_request = per_request + share * memory.cache_bytes_per_sequence(drafter, precision, plan, resident)
    limit = deployment.chip.main_memory.capacity * stack.usable_memory
    most = np.maximum(np.floor((limit - weights - working) * stack.cache_memory / per_request), 0.0)
    running = np.where(np.greater_equal(most, 1.0), np.minimum(asked, most), asked) if paged else asked
    held = Memory(weights=weights, kv_cache=running * per_request, activations=working)
    all_running = np.where(np.less(running, asked), running * plan.dp, serving.batch)
    return Room(held, limit, most * plan.dp, all_running)


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """Seconds of one request: to its first token, per further token, in all (of a steady state), reading its prompt."""

    ttft: Num
    tpot: Num
    e2e: Num
    prefill: Num


def _times(
    serving: Serving, deployment: Deployment, phases: list[tuple[Prefill | Decode | Pause, Phase]], ideal: bool
) -> _Times:
    """Sums over the steps of a request, with the foreign prefills that continuous batching puts in between."""

    def seconds(phase: Phase) -> Num:
        return phase.ideal_time if ideal else phase.time

    first_decode = next((index for index, (step, _) in enumerate(phases) if isinstance(step, Decode)), len(phases))
    ttft = _sum(seconds(phase) for _, phase in phases[:first_decode])
    decoding = _sum(seconds(phase) for step, phase in phases if isinstance(step, Decode))
    reading = _sum(seconds(phase) for step, phase in phases if isinstance(step, Prefill))
    rest = _sum(seconds(phase) for step, phase in phases[first_decode:] if not isinstance(step, Decode))
    tokens = serving.output_len
    waiting: Num = 0.0
    opening: Num = 0.0
    if not ideal:
        ttft = ttft + deployment.stack.request * np.greater(reading, 0.0)
        if deployment.stack.batching == "continuous":
            others = np.maximum(replica_batch(serving.batch, deployment) - 1.0, 0.0)
            occupied = (
                _sum(work_time(phase) for step, phase in phases if isinstance(step, Prefill)) / deployment.plan.pp
            )
            step = decoding * serving.speculative.gain / np.where(np.greater(tokens, 0.0), tokens, np.inf)
            decoding = sharing.interleaved(decoding, occupied, others)
            turn = sharing.turn(occupied, others, ttft + decoding + rest)
            decoding = decoding - turn  # the prompts that were read before its own no longer come in between
            waiting = turn + np.where(np.greater(others, 0.0) & np.greater(reading, 0.0), step / 2.0, 0.0)
            opening = sharing.opening(occupied, others, serving.burst)
    tpot = decoding / np.where(np.greater(tokens, 0.0), tokens, np.nan) if np.any(np.greater(tokens, 0.0)) else 0.0
    e2e = ttft + waiting + decoding + rest
    return _Times(ttft + waiting + opening, tpot, e2e, reading)


def _rate(amount: Num, seconds: Num) -> Num:
    """Amount per second; 0 where there is nothing to wait for."""
    return amount / np.where(np.greater(seconds, 0.0), seconds, np.inf)


def _sum(terms: Iterable[Num]) -> Num:
    """Sum in order."""
    return sum(terms, start=0.0)


def _metrics(
    asked: Serving, serving: Serving, deployment: Deployment, phases: list[tuple[Prefill | Decode | Pause, Phase]]
) -> dict[str, Num | None]:  # fmt: skip
    """The contract's numbers, expected and ideal, of the requests that run; those beyond wait before their first token.

    By Little's law N requests at a rate of B served in S seconds each spend N·S/B in all, of which they run S.
    """
    chip, chips = deployment.chip, deployment.num_chips
    metrics: dict[str, Num | None] = {}
    for suffix, ideal in (("", False), ("_ideal", True)):
        times = _times(serving, deployment, phases, ideal)
        waiting = 0.0 if ideal else times.e2e * (asked.batch / serving.batch - 1.0)
        served = asked.batch if ideal else serving.batch  # the bound knows no full memory
        rate = served * serving.output_len / times.e2e
        prefilled = served if deployment.stack.batching == "static" else deployment.plan.dp * deployment.plan.pp
        metrics |= {
            f"ttft_s{suffix}": times.ttft + waiting,
            f"tpot_s{suffix}": times.tpot,
            f"e2e_latency_s{suffix}": times.e2e + waiting,
            f"output_tokens_per_s{suffix}": rate,
            f"output_tokens_per_s_per_chip{suffix}": rate / chips,
            f"output_tokens_per_s_per_user{suffix}": np.divide(1.0, times.tpot) if np.all(times.tpot) else 0.0,
            f"total_tokens_per_s{suffix}": served * (serving.input_len + serving.output_len) / times.e2e,
            f"prefill_tokens_per_s{suffix}": _rate(prefilled * serving.input_len, times.prefill),
            f"decode_tokens_per_s{suffix}": _rate(served, times.tpot),
            f"decode_tokens_per_s_per_chip{suffix}": _rate(served / chips, times.tpot),
        }
    power = energy.mean_power(chip, at_work((phase for _, phase in phases), serving.batch, deployment))
    rate, both = (np.asarray(metrics[name], dtype=np.float64) for name in ("output_tokens_per_s", "total_tokens_per_s"))
    some = bool(np.all(rate > 0))
    metrics |= energy.metrics(
        chip,
        None if power is None else power * chips,
        chips,
        tokens_per_s=rate,
        more={"total_token": both, "request": rate / serving.output_len if some else np.asarray(0.0)},
    )
    metrics["usd_per_million_tokens"] = cost.usd_per_million(cost.usd_per_second(chip, chips), rate) if some else None
    return metrics


def at_work(phases: Iterable[Phase], running: Num, deployment: Deployment) -> list[tuple[Phase, Num]]:
    """Seconds for which a chip works on each phase while one request is served: it reads the prompts of all that run
    meanwhile, and generates for all at once. A pause is one for that request alone."""
    prompts = replica_batch(running, deployment) / deployment.plan.pp
    return [(phase, phase.time * (prompts if phase.name in PROMPTS else 1.0)) for phase in phases if phase.operators]


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
