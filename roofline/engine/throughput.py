"""Tokens per second of one phase by itself: what all chips make while nothing else goes on.

Metrics of a request mix its phases, as servers do; here each stands alone: training steps, prompts with every pipeline
full of them, decode steps of the requests that run. What guesses tokens belongs to the phase that it guesses for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from roofline.engine import inference, interval
from roofline.engine.phases import prompts_together, requests_of_stage, work_time
from roofline.engine.prediction import Phase, Prediction
from roofline.engine.roof import Priced, total
from roofline.engine.steps import unread_prompts
from roofline.numeric import Num, larger, smaller
from roofline.workload import Decode, Prefill, Serving, Training

TRAINING, PREFILL, DECODE = PHASES = ("training", "prefill", "decode")
# The phases of a prediction that each consists of; the first is its own, the other guesses for it.
MEMBERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {TRAINING: ("training",), PREFILL: ("prefill", "draft-prefill"), DECODE: ("decode", "draft")}
)


@dataclass(frozen=True, slots=True, eq=False)
class Throughput:
    """One phase of a prediction: `made` tokens in `seconds` on all chips, in so many `steps` one after another.

    The operators of `phases` are for `tokens` tokens and executed alike by `ranks` chips, each with a share of its own
    where a pipeline divides them.
    """

    phase: str
    prediction: Prediction
    phases: tuple[Phase, ...]
    made: Num
    seconds: Num
    ideal_seconds: Num
    tokens: Num
    ranks: Num
    steps: Num

    @property
    def rate(self) -> Num:
        """Expected tokens per second of all chips."""
        return self.made / self.seconds

    @property
    def ideal_rate(self) -> Num:
        """Tokens per second that nothing can beat."""
        return self.made / self.ideal_seconds

    @property
    def interval(self) -> tuple[Num, Num] | None:
        """Tokens per second between which nine of ten measurements lie; None if nothing like it was measured."""
        factors = interval.of_phase(self.phase, self.prediction.deployment)
        if factors is None:
            return None
        shortest, longest = factors
        return self.rate / longest, larger(smaller(self.rate / shortest, self.ideal_rate), self.rate)

    @property
    def chips(self) -> Num:
        """Chips of the deployment."""
        return self.prediction.deployment.plan.num_chips

    @property
    def in_flight(self) -> Num:
        """Tokens that are worked on at the same time, of all chips."""
        return self.made / self.steps

    @property
    def step_time(self) -> Num:
        """Seconds of one step: of training, of one pass over a prompt or a chunk of it, of decoding."""
        return sum((phase.time for phase in self.phases), start=0.0) / self.steps

    def per_token(self, value: Callable[[Phase], Num]) -> Num:
        """An amount that each phase has of its operators, for one token, over all chips."""
        return self.ranks * sum((value(phase) for phase in self.phases), start=0.0) / self.tokens

    def attained(self, value: Callable[[Phase], Num]) -> Num:
        """An amount that each phase has of its operators, per second and chip."""
        return self.per_token(value) * self.rate / self.chips

    def amount(self, value: Callable[[Priced], Num]) -> Num:
        """The sum of a value of one execution over all executions of all operators."""
        return sum(
            (phase.repeat * total(phase.operators, lambda item: item.op.count * value(item)) for phase in self.phases),
            start=0.0,
        )


def throughputs(prediction: Prediction) -> tuple[Throughput, ...]:
    """Each phase that a prediction has, by itself; numbers may be arrays over a sweep's axes.

    >>> from roofline.studies.analyze import predict
    >>> [found.phase for found in throughputs(predict("llama-3.1-8b-chat", "h100-sxm"))]
    ['prefill', 'decode']
    """
    job = prediction.workload
    if isinstance(job, Training):
        return (_training(job, prediction),)
    found = []
    if any(isinstance(step, Prefill) for step in job.steps):
        found.append(_prefill(job, prediction))
    if any(isinstance(step, Decode) for step in job.steps):
        found.append(_decode(job, prediction))
    return tuple(found)


def _training(job: Training, prediction: Prediction) -> Throughput:
    """Every step is like every other; operators are those of the chip that sets the pace, taken for all."""
    (step,) = prediction.phases
    tokens = job.tokens_per_step
    chips = prediction.deployment.plan.num_chips
    return Throughput(
        TRAINING, prediction, (step,), made=tokens, seconds=step.time, ideal_seconds=step.ideal_time, tokens=tokens,
        ranks=chips, steps=1.0,
    )  # fmt: skip


def _members(name: str, prediction: Prediction) -> tuple[tuple[Phase, ...], Num]:
    """The phases of that name with what guesses for them, and the passes that they take one after another."""
    own, *_ = MEMBERS[name]
    found = tuple(phase for phase in prediction.phases if phase.name in MEMBERS[name])
    return found, sum((phase.repeat for phase in found if phase.name == own), start=0.0)


def _prefill(job: Serving, prediction: Prediction) -> Throughput:
    """Prompts, one behind the other in every stage of every pipeline; a static batch has no other behind it."""
    deployment = prediction.deployment
    plan, running = deployment.plan, replace(job, batch=running_requests(prediction))
    phases, passes = _members(PREFILL, prediction)
    read = sum((tokens for tokens, _ in unread_prompts(job)), start=0.0)
    tokens = prompts_together(running, deployment) * read
    full = deployment.stack.batching == "continuous"
    stages = plan.pp if full else 1.0
    times = (work_time(phase) if full else phase.time for phase in phases)
    return Throughput(
        PREFILL,
        prediction,
        phases,
        made=plan.dp * stages * tokens,
        seconds=sum(times, start=0.0),
        ideal_seconds=stages * sum((phase.ideal_time for phase in phases), start=0.0),
        tokens=tokens * phases[0].shared,
        ranks=plan.tp,
        steps=passes,
    )


def _decode(job: Serving, prediction: Prediction) -> Throughput:
    """Steps of all requests that run, in as many groups as there are stages."""
    deployment = prediction.deployment
    plan, running = deployment.plan, running_requests(prediction)
    phases, steps = _members(DECODE, prediction)
    group = requests_of_stage(running, deployment)
    return Throughput(
        DECODE,
        prediction,
        phases,
        made=running * job.output_len,
        seconds=sum((phase.time for phase in phases), start=0.0),
        ideal_seconds=sum((phase.ideal_time for phase in phases), start=0.0),
        tokens=group * job.output_len,
        ranks=plan.tp,
        steps=steps,
    )


def running_requests(prediction: Prediction) -> Num:
    """Requests that run at once: those asked for, or as many of them as memory holds."""
    job, deployment = prediction.workload, prediction.deployment
    if isinstance(job, Training):
        return 0.0
    return inference.memory_room(job, deployment, prediction.precision).running
