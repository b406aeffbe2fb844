"""What a phase computes: how much at once, in which kinds of operators, and how alike its steps are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from roofline.engine import roof
from roofline.engine.ops import COLLECTIVE, OVERHEAD
from roofline.engine.phases import decode_phase, draft_phase, prefill_phase
from roofline.engine.roof import Priced
from roofline.engine.steps import unread_prompts
from roofline.engine.throughput import PREFILL, Throughput, running_requests
from roofline.engine.training.parts import ATTENDING, part_of
from roofline.engine.training.step import BUBBLE
from roofline.machine import Chip
from roofline.machine.chip import ATTENTION, DECODE_ATTENTION, EXPERTS, MATMUL
from roofline.numeric import Num, ceil_div
from roofline.workload import Decode, Prefill, Serving, Training

LARGE, GEMV, ATTENDS, TALKS, PASSES, SOFTWARE, BUBBLES = CLASSES = (
    "large_matmul",
    "gemv",
    "attention",
    "communication",
    "passes",
    "software",
    "bubble",
)
PRODUCTS = (MATMUL, EXPERTS)


def class_of(item: Priced, chip: Chip) -> str:
    """The class of an operator.

    A product of at least as many FLOP per byte as the ridge point of its format can run at the peak: a large matrix
    product. One of fewer waits for the weights that it streams, as a matrix times a vector does: GEMV.
    """
    op = item.op
    if op.kind == COLLECTIVE:
        return TALKS
    if op.kind == OVERHEAD:
        return BUBBLES if op.name == BUBBLE else SOFTWARE
    if op.kind in (ATTENTION, DECODE_ATTENTION) or part_of(op) == ATTENDING:
        return ATTENDS
    if op.kind not in PRODUCTS:
        return PASSES
    return LARGE if op.flops / op.bytes >= roof.peak(chip, op.dtype) / chip.bandwidth else GEMV


def shares(found: Throughput) -> dict[str, float]:
    """The share of a phase's time that each class of operators takes; all add up to 1."""
    chip = found.prediction.deployment.chip
    times: dict[str, float] = dict.fromkeys(CLASSES, 0.0)
    for phase in found.phases:
        for item in phase.operators:
            times[class_of(item, chip)] += float(item.time * phase.repeat)
    whole = sum(times.values())
    return {name: time / whole for name, time in times.items()}


def hidden_share(found: Throughput) -> float:
    """Seconds of messages that pass behind other work, over those of the phase."""
    items = [(item, phase.repeat) for phase in found.phases for item in phase.operators]
    hidden = sum(float(item.hidden_time * repeat) for item, repeat in items)
    return hidden / sum(float(item.time * repeat) for item, repeat in items)


def rows_per_product(found: Throughput) -> float | None:
    """Tokens that share the weights which a product loads: the mean over its products, each as much as its FLOPs."""
    return _mean(found, lambda item: item.op.rows)


def tiles_per_product(found: Throughput) -> float | None:
    """Pieces of 128 by 128 of a product's result, on which compute units can work apart: the mean as of rows."""
    return _mean(found, lambda item: item.op.tiles)


def _mean(found: Throughput, value: Callable[[Priced], Num]) -> float | None:
    products = [
        (float(item.op.count * item.op.flops * phase.repeat), float(value(item)))
        for phase in found.phases
        for item in phase.operators
        if item.op.kind in PRODUCTS
    ]
    flops = sum(weight for weight, _ in products)
    return sum(weight * each for weight, each in products) / flops if flops else None


def last_over_first(found: Throughput) -> float:
    """The time of the last step over that of the first: decoding grows with the context, chunks of a prompt too."""
    job = found.prediction.workload
    if isinstance(job, Training):
        return 1.0
    times = _prefill_steps(job, found) if found.phase == PREFILL else _decode_steps(job, found)
    first, last = np.broadcast_to(times, (2,))
    return float(last / first)


def _running(job: Serving, found: Throughput) -> Serving:
    return replace(job, batch=running_requests(found.prediction))


def _ends(job: Serving, kind: type[Prefill] | type[Decode]) -> tuple[float, float]:
    """Tokens in the context before the first step of a kind, and behind the last."""
    contexts = [float(context) for context in job.contexts]
    steps = [index for index, step in enumerate(job.steps) if isinstance(step, kind)]
    return contexts[steps[0]], contexts[steps[-1] + 1]


def _prefill_steps(job: Serving, found: Throughput) -> Num:
    """Seconds of the first and of the last pass over prompts, each of as many tokens as a chunk of the shortest."""
    deployment, precision = found.prediction.deployment, found.prediction.precision
    start, end = _ends(job, Prefill)
    shortest = min(float(tokens) for tokens, _ in unread_prompts(job))
    each = shortest / float(np.maximum(ceil_div(shortest, deployment.stack.prefill_chunk), 1.0))
    context = np.array([start + float(job.reused), end - each])
    return prefill_phase(_running(job, found), deployment, precision, each, context).time


def _decode_steps(job: Serving, found: Throughput) -> Num:
    """Seconds of the first and of the last step, with what guesses for them."""
    deployment, precision = found.prediction.deployment, found.prediction.precision
    start, end = _ends(job, Decode)
    kept = float(np.minimum(job.speculative.gain, job.output_len))
    context = np.array([start, end - kept])
    running = _running(job, found)
    times: Num = decode_phase(running, deployment, precision, kept, context).time
    if job.speculative.drafts:
        times = times + draft_phase(running, deployment, precision, kept, context).time
    return times
