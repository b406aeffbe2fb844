"""What a prediction is: phases of priced operators, memory, metrics, and what is known about their worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from roofline.engine import roof
from roofline.engine.deployment import Deployment
from roofline.engine.memory import Memory
from roofline.engine.roof import Priced, total
from roofline.machine import Chip, Stack
from roofline.machine.chip import Calibration
from roofline.machine.evidence import calibration
from roofline.numeric import Num, larger
from roofline.workload import Model, Precision, Workload

if TYPE_CHECKING:
    from roofline.engine.usage import Use

POOLS = ("prefill", "decode")
PROMPTS = ("prefill", "draft-prefill")  # phases that read prompts
TINY = 1e-30  # s: a phase that takes no time does nothing


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """One phase: the operators of one step, executed `repeat` times.

    `operators` run along the whole pipeline, so a single chip holds a share of 1/pp of them; `busy` is how many such
    passes go through the pipeline in the time of one, over pp: 1 when every stage is always at work. `flowing` is how
    many steps of the phase itself are in the pipeline at once, which shortens `step_time`; `shared` is how many
    requests that come together pass in each. `useful_flops` [FLOP] are those that the model needs, of one pass: no
    recomputation, causal attention counted once, no guess that is refused. `model` is the one that passes where it is
    not the workload's own.
    """

    name: str
    operators: tuple[Priced, ...] = ()
    repeat: Num = 1.0
    busy: Num = 1.0
    flowing: Num = 1.0
    shared: Num = 1.0
    step_time: Num = 0.0
    ideal_step_time: Num = 0.0
    useful_flops: Num = 0.0
    peak: Num = np.inf
    bandwidth: Num = np.inf
    model: Model | None = None

    @property
    def time(self) -> Num:
        """Expected seconds."""
        return self.repeat * self.step_time

    @property
    def ideal_time(self) -> Num:
        """Seconds that nothing can beat: of requests that pass together, the share of one."""
        return self.repeat * self.ideal_step_time / self.shared

    @property
    def flops(self) -> Num:
        """FLOPs of all operators, along the pipeline."""
        return self.repeat * total(self.operators, lambda item: item.op.count * item.op.flops)

    @property
    def memory_bytes(self) -> Num:
        """Bytes of main memory moved by all operators, along the pipeline."""
        return self.repeat * total(self.operators, lambda item: item.op.count * item.op.moved)

    @property
    def network_bytes(self) -> Num:
        """Bytes of messages of all operators, as each sends them, along the pipeline."""
        return self.repeat * total(self.operators, lambda item: item.op.count * item.op.sent)

    @property
    def passes_per_s(self) -> Num:
        """How often a chip works off what a single one holds of the operators if they are counted along the pipeline:
        `busy` passes in the time of one, which is `flowing` steps long."""
        return self.busy / (self.flowing * larger(self.step_time, TINY))

    @property
    def bound(self) -> Num:
        """What binds the phase, as an index into `roof.BOUNDS`."""
        return roof.bound(self.operators)

    @property
    def mfu(self) -> Num:
        """Model FLOPs utilization: useful FLOP/s per chip over the dense peak of the arithmetic format."""
        return self.useful_flops * self.passes_per_s / self.peak

    @property
    def mbu(self) -> Num:
        """Model bandwidth utilization: bytes/s of main memory per chip over its datasheet bandwidth."""
        moved = total(self.operators, lambda item: item.op.count * item.op.moved)
        return moved * self.passes_per_s / self.bandwidth


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A workload on a deployment. Every number may be an array over a sweep's axes.

    `metrics` holds SI numbers by their contract names, each time and rate also with the suffix `_ideal`. `memory` is
    that of the fullest chip; with prefill and decode apart `fullest` is its pool, as an index into `POOLS`. `account`
    says, when it is asked, what each step of a request uses; `waiting` are the seconds until it is its turn.
    """

    workload: Workload
    deployment: Deployment
    precision: Precision
    phases: tuple[Phase, ...]
    memory: Memory
    capacity: Num
    max_batch: Num
    fits: Num
    metrics: Mapping[str, Num | None]
    notes: tuple[str, ...] = ()
    weight_bytes: float = 0.0
    evidence: Calibration = "datasheet"
    sources: tuple[str, ...] = field(default_factory=tuple)
    fullest: Num | None = None
    account: Callable[[], tuple[Use, ...]] = tuple
    waiting: Num = 0.0

    @property
    def uses(self) -> tuple[Use, ...]:
        """What each step of a request uses; none of training."""
        return self.account()

    def chips_of(self, phase: Phase) -> Num:
        """Chips that work on a phase: with two pools, those of its own."""
        read = self.deployment.prefill_plan
        return self.deployment.plan.num_chips if read is None or phase.name not in PROMPTS else read.num_chips


def evidence_of(deployment: Deployment) -> tuple[Calibration, tuple[str, ...]]:
    """What stands behind the expectation, with titles: measurements of this chip or of its stack on it; those of its
    family, or of the stack on other chips; or a datasheet.
    """
    return calibration(deployment.chip, deployment.stack), _titles(deployment.chip, deployment.stack)


def _titles(chip: Chip, stack: Stack) -> tuple[str, ...]:
    titles = [source.title for path, source in chip.sources.items() if path.startswith("achieved")]
    titles += [source.title for source in stack.sources.values()]
    return tuple(dict.fromkeys(titles))
