"""How many of the requests that run are at work at a time: those that pause hold their cache and wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from roofline.engine.deployment import Deployment
from roofline.engine.phases import decode_phase, draft_phase, replica_batch
from roofline.engine.steps import Stretch, parts, sweep_axes
from roofline.numeric import Num, added, some
from roofline.workload import Decode, Precision, Prefill, Serving

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"

OCTAVE = 2  # numbers of requests that are tried from one to the double of it


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
    one and all, on a straight line between ratios of √2, with every token at the mean context. A static batch pauses as
    a whole.
    """
    running, pause = replica_batch(serving.batch, deployment), serving.pause_s
    most = np.maximum(running - 1.0, 0.0)
    if deployment.stack.batching == "static" or not some(pause):
        return Beside(serving.batch, most)
    dp, gain = deployment.plan.dp, serving.speculative.gain
    own = parts(stretch for stretch in reading if stretch.kind is Prefill)
    occupied = added(part.work for part in own) / deployment.plan.pp
    prompts = added(part.time for part in own) + (deployment.stack.admission if own else 0.0)
    tried = _numbers(float(np.max(running)), sweep_axes(serving, deployment))
    token = _seconds_per_token(replace(serving, batch=tried * dp), deployment, precision)
    joining = gain / 2.0 * np.greater(tried, 1.0) * bool(own)
    busy = prompts + token * (serving.output_len + joining) + (tried - 1.0) * occupied
    excess = np.asarray(np.log((1.0 + most * (busy / (busy + pause))) / tried))
    found = np.minimum(_crossing(tried, excess), running)
    return Beside(found * dp, found - 1.0, found / running)


def _numbers(most: float, rank: int) -> Array:
    """Numbers of requests from one to as many as run at the most or a few more, in an axis in front of all others: the
    same ones for every point of a sweep."""
    places = np.arange(np.ceil(np.log2(most) * OCTAVE) + 2.0)
    return np.exp2(places / OCTAVE).reshape(-1, *(1,) * rank)


def _crossing(tried: Array, excess: Array) -> Num:
    """The number between those `tried`, along the first axis, at which a falling `excess` is none: a straight line over
    the number's logarithm."""
    at = np.clip(np.sum(np.greater(excess, 0.0), axis=0) - 1, 0, len(tried) - 2)[np.newaxis]
    every = np.broadcast_to(tried, np.shape(excess))
    (low, left), (high, right) = (
        [np.take_along_axis(values, at + end, axis=0)[0] for values in (every, excess)] for end in (0, 1)
    )
    share = np.clip(left / np.where(np.greater(left, right), left - right, 1.0), 0.0, 1.0)
    found: Num = low * (high / low) ** share
    return found


def _mean_context(serving: Serving) -> Num | None:
    """Tokens before the mean of all that a request generates; None if it generates none."""
    steps = zip(serving.steps, serving.contexts, strict=False)
    sums = [step.tokens * (context + step.tokens / 2.0) for step, context in steps if isinstance(step, Decode)]
    return added(sums) / serving.output_len if sums else None


def _seconds_per_token(serving: Serving, deployment: Deployment, precision: Precision) -> Num:
    """Seconds of a token at the mean context, with what guesses it; 0 if a request generates none."""
    context, gain = _mean_context(serving), serving.speculative.gain
    if context is None:
        return 0.0
    before = np.maximum(context - gain / 2.0, 0.0)
    makers = (draft_phase, decode_phase) if serving.speculative.drafts else (decode_phase,)
    alone = replace(deployment, brief=True)
    return added(make(serving, alone, precision, gain, before).time for make in makers) / gain
