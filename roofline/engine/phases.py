"""One phase of a request: a prompt that is read, or tokens that are generated or guessed, pass after pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roofline.engine import overlap, roof, scratchpad
from roofline.engine.deployment import Deployment
from roofline.engine.lower import Pass, lower
from roofline.engine.ops import OVERHEAD, Op
from roofline.engine.prediction import Phase
from roofline.engine.roof import Priced, total
from roofline.machine.chip import PASSING
from roofline.numeric import Num, ceil_div, larger, some
from roofline.repeated import repeated
from roofline.workload import Model, Precision, Serving

STEPS = 4  # of an octave: prompts that pass together are told to a tenth


def replica_batch(batch: Num, deployment: Deployment) -> Num:
    """Running requests of one data-parallel replica."""
    return ceil_div(batch, deployment.plan.dp)


def prefill_phase(
    serving: Serving, deployment: Deployment, precision: Precision, tokens: Num, context: Num, *, drafting: bool = False
) -> Phase:  # fmt: skip
    """Reading `tokens` after `context`: of one request and those that come with it (continuous batching) or of all at
    once (static); `drafting` by what guesses tokens later, which needs a cache of its own.

    A pass takes no more tokens than a chunk: several short prompts, or a part of a long one. Chunks follow each other
    through the stages of a pipeline; at best, seamlessly.
    """
    stack, pp = deployment.stack, deployment.plan.pp
    together = np.maximum(np.floor(stack.prefill_chunk / np.maximum(tokens, 1.0)), 1.0)
    shared = joining(serving, deployment, together)
    prompts = prompts_together(serving, deployment) * shared
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
        phase = _phase("prefill", serving.model, deployment, precision, work, busy=flowing / pp, pinned=True)
    return replace(
        phase,
        repeat=chunks,
        step_time=phase.step_time / flowing,
        ideal_step_time=phase.ideal_step_time / pp,
        flowing=flowing,
        shared=shared,
    )


def joining(serving: Serving, deployment: Deployment, most: Num) -> Num:
    """Prompts that one pass reads where requests come and go: as many as finish in a step of decoding, one at least.

    Of B requests that generate T tokens each, `B/T` leave in a step, and as many begin: to the next of `STEPS` equal
    ratios of two, so that a large mesh has few different numbers of them. No more than `most` pass together; software
    without chunks reads each by itself.
    """
    gain, stack = serving.speculative.gain, deployment.stack
    alone = stack.batching == "static" or not np.all(np.isfinite(stack.prefill_chunk)) or not some(serving.output_len)
    if alone or not np.any(np.greater(np.ceil(serving.batch) * gain, serving.output_len)):
        return 1.0
    leaving = requests_of_stage(serving.batch, deployment) * gain / np.maximum(serving.output_len, 1.0)
    found = np.clip(np.exp2(np.round(np.log2(leaving) * STEPS) / STEPS), 1.0, most)
    return repeated(found) if np.any(np.greater(found, 1.0)) else 1.0


def prompts_together(serving: Serving, deployment: Deployment) -> Num:
    """Prompts that one replica reads in one prefill: a single one, or those of a static batch."""
    stack = deployment.stack
    alone = stack.batching == "continuous" or stack.prefill == "alone"
    return 1.0 if alone else replica_batch(serving.batch, deployment)


def requests_of_stage(batch: Num, deployment: Deployment) -> Num:
    """Running requests that one pipeline stage works on in turn: those of a replica, dealt to its stages."""
    return ceil_div(replica_batch(batch, deployment), deployment.plan.pp)


def work_time(phase: Phase) -> Num:
    """Seconds for which all stages of a pipeline together are occupied with a phase of one request, or of a static
    batch."""
    return phase.time * phase.flowing / phase.shared


def decode_phase(
    serving: Serving, deployment: Deployment, precision: Precision, tokens: Num, context: Num
) -> Phase:  # fmt: skip
    """Generating `tokens` after `context`: every stage works on its share of the replica's requests in turn.

    Where tokens are drafted each step verifies them all and one more, and keeps `gain` of them.
    """
    guesses = serving.speculative
    new = guesses.tokens + 1.0
    work, busy = _decoding(serving, deployment, tokens, context)
    work = replace(work, new=new, logits=new)
    phase = _phase("decode", serving.model, deployment, precision, work, busy=busy, pinned=True)
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
    micro = requests_of_stage(serving.batch, deployment)
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
    name: str, model: Model, deployment: Deployment, precision: Precision, work: Pass, *, busy: Num, share: Num = 1.0,
    pinned: bool = False,
) -> Phase:  # fmt: skip
    """One pass of the model, or a share of one, lowered, priced and summed; its weights are `pinned` where the chip has
    a memory for it, those of what drafts are not."""
    chip, stack = deployment.chip, deployment.stack
    near = scratchpad.share(model, precision, deployment.plan, chip) if pinned else 0.0
    priced = _priced(model, deployment, precision, work, near)
    ideal = roof.ideal_time(priced)
    if stack.halves:
        parts = overlap.halves(deployment.plan)
        cut = _priced(model, deployment, precision, replace(work, sequences=work.sequences / parts), near)
        carrying = 0.0 if work.decode else overlap.carrying(chip, stack)
        priced = overlap.behind_halves([replace(item, op=item.op.times(parts)) for item in cut], parts, carrying)
    taken = roof.expected_time(priced) if some(stack.host) or some(stack.handling) else np.inf
    software = stack_overhead(model, deployment, work.sequences, taken)
    priced += roof.price_all([software], chip, stack, bound=not deployment.brief)
    if np.any(np.not_equal(share, 1.0)):
        priced = tuple(replace(item, op=item.op.times(share)) for item in priced)
        ideal = ideal * share
    return Phase(
        name,
        priced,
        repeat=work.steps,
        busy=busy,
        step_time=roof.expected_time(priced),
        ideal_step_time=ideal,
        useful_flops=useful_flops(priced) if _balanced(work) else _mean_flops(model, deployment, precision, work),
        peak=roof.peak(chip, precision.arithmetic),
        bandwidth=chip.bandwidth,
    )


def _priced(model: Model, deployment: Deployment, precision: Precision, work: Pass, near: Num) -> tuple[Priced, ...]:
    """The operators of one pass with their times, a share `near` of the weights being pinned."""
    lowered = lower(model, precision, deployment.plan, work)
    present = (op for op in scratchpad.pinned(lowered, near) if not op.absent)
    return roof.price_all(present, deployment.chip, deployment.stack, bound=not deployment.brief)


def stack_overhead(model: Model, deployment: Deployment, sequences: Num = 0.0, taken: Num = np.inf) -> Op:
    """What the software adds to one pass of so many sequences, as an operator of its own; all others take `taken`
    seconds.

    A host that launches layer after layer runs ahead of the chip, or the chip waits for it: the longer of the two. So
    it is with one that schedules the next step, and writes the text of the last, while the chip works on this one.
    Training passes are long enough that nothing waits.
    """
    stack = deployment.stack
    own = stack.step + stack.sequence * sequences + stack.layer * model.layers
    ahead = larger(stack.host * model.layers, stack.handling * sequences)
    seconds = larger(own, ahead - taken)
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
