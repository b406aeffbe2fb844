"""How many of the requests that run are at work at a time: those that pause hold their cache and wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roofline.engine.deployment import Deployment
from roofline.engine.phases import decode_phase, draft_phase, replica_batch
from roofline.engine.steps import Stretch, parts, sweep_axes
from roofline.numeric import Num, added, some
from roofline.workload import Decode, Precision, Prefill, Serving

PARTS, ROUNDS = 8, 2  # into which the ratio between one request and all is divided, and how often


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Requests that share the chips with one that works: `batch` of all replicas, as it is priced, and `others` of one
    replica on average. `share` of those that run work, the rest pauses."""

    batch: Num
    others: Num
    share: Num = 1.0


def working(
    serving: Serving, deployment: Deployment, precision: Precision, reading: Sequence[Stretch]
) -> Beside:  # fmt: skip
    """How many of the requests that run work at a time: all, or fewer where they pause.

    A request at work sees each of the others at work for the same share of its cycle: `1 + (N − 1)·a/(a + p)` of them,
    with `a` seconds of work, which grow with their number, and `p` of pauses (mean value analysis of a closed network
    with delays, Reiser and Lavenberg 1980, in Schweitzer's approximation of 1979). The number is found between
    one and all, in parts of equal ratio and at last on a straight line, with every token at the mean context. A static
    batch pauses as a whole.
    """
    running, pause = replica_batch(serving.batch, deployment), serving.pause_s
    most = np.maximum(running - 1.0, 0.0)
    if deployment.stack.batching == "static" or not some(pause):
        return Beside(serving.batch, most)
    dp, alone = deployment.plan.dp, replace(deployment, brief=True)
    own = parts(stretch for stretch in reading if stretch.kind is Prefill)
    occupied = added(part.work for part in own) / deployment.plan.pp
    prompts = added(part.time for part in own) + (deployment.stack.admission if own else 0.0)

    context, output = _mean_context(serving), serving.output_len

    def seen(batch: Num) -> Num:
        token = _seconds_per_token(replace(serving, batch=batch * dp), alone, precision, context)
        joining = token * serving.speculative.gain / 2.0 * np.greater(batch, 1.0) * bool(own)
        busy = prompts + token * output + joining + (batch - 1.0) * occupied
        return 1.0 + most * busy / (busy + pause)

    low, high = np.ones(np.shape(running)), running
    steps = np.arange(PARTS + 1.0).reshape(-1, *(1,) * sweep_axes(serving, deployment)) / PARTS
    for _ in range(ROUNDS):
        tried = low * (high / low) ** steps
        missing = seen(tried) - tried
        at = np.clip(np.sum(np.greater(missing, 0.0), axis=0) - 1, 0, PARTS - 1)[np.newaxis]
        ends = [np.take_along_axis(np.broadcast_to(tried, np.shape(missing)), at + end, axis=0)[0] for end in (0, 1)]
        left, right = (np.take_along_axis(missing, at + end, axis=0)[0] for end in (0, 1))
        low, high = ends
    share = np.clip(left / np.where(np.greater(left, right), left - right, 1.0), 0.0, 1.0)
    found = np.minimum(low + (high - low) * share, running)
    return Beside(found * dp, found - 1.0, found / running)


def _mean_context(serving: Serving) -> Num | None:
    """Tokens before the mean of all that a request generates; None if it generates none."""
    steps = zip(serving.steps, serving.contexts, strict=False)
    sums = [step.tokens * (context + step.tokens / 2.0) for step, context in steps if isinstance(step, Decode)]
    return added(sums) / serving.output_len if sums else None


def _seconds_per_token(serving: Serving, deployment: Deployment, precision: Precision, context: Num | None) -> Num:
    """Seconds of a token after so many, with what guesses it; 0 if a request generates none."""
    if context is None:
        return 0.0
    gain = serving.speculative.gain
    before = np.maximum(context - gain / 2.0, 0.0)
    makers = (draft_phase, decode_phase) if serving.speculative.drafts else (decode_phase,)
    return added(make(serving, deployment, precision, gain, before).time for make in makers) / gain
