"""What one request uses of a deployment, step by step: chip-seconds, and by them energy and rent.

A prompt that passes alone has a replica for as long as it occupies it; a step that serves several requests is shared
by those that it serves. Over all steps these are the chip-seconds of a busy deployment: what is left of
`chips/(requests per second)` is time in which nothing was at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from roofline.engine import cost, energy
from roofline.engine.deployment import Deployment
from roofline.engine.pauses import Hold
from roofline.engine.phases import work_time
from roofline.engine.prediction import Phase
from roofline.engine.steps import Stretch
from roofline.machine import Chip
from roofline.numeric import Num
from roofline.workload import Plan, Serving, Step


def chip_seconds(phase: Phase, plan: Plan, sharing: Num | None = None) -> Num:
    """Chip-seconds of one request in a phase: a step that `sharing` requests of a replica share, or, if it is None, a
    prompt that passes alone, of which a pipeline has as many at work as it has stages."""
    if sharing is None:
        return work_time(phase) / plan.pp * replica_chips(plan)
    return phase.time * replica_chips(plan) / sharing


def joules(chip: Chip, phase: Phase, plan: Plan, sharing: Num | None = None) -> Num | None:
    """Energy of one request in a phase: its chip-seconds at the power of a chip that is at work all the while."""
    alone = replace(phase, busy=1.0) if sharing is None else phase
    power = energy.chip_power(chip, alone)
    return None if power is None else power * chip_seconds(phase, plan, sharing)


def replica_chips(plan: Plan) -> Num:
    """Chips of one data-parallel replica."""
    return plan.num_chips / plan.dp


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A stretch of steps, the plan of the chips that work on it, how many requests of a replica share it (see
    `chip_seconds`), and how many times its own time others make it."""

    stretch: Stretch
    plan: Plan
    sharing: Num | None = None
    stretched: Num = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Effort:
    """What a step takes: its seconds, with what comes between from other requests, and at best; the roof that binds it,
    an index into `roof.BOUNDS`, None where no chip works; chip-seconds, joules and USD, None where unknown."""

    time: Num = 0.0
    ideal_time: Num = 0.0
    bound: Num | None = None
    chip_seconds: Num = 0.0
    energy: Num | None = 0.0
    usd: Num | None = 0.0

    def beside(self, other: Effort) -> Effort:
        """Both, one after the other; what binds the longer of them binds both."""
        bound = other.bound if self.bound is None else self.bound
        if self.bound is not None and other.bound is not None:
            bound = np.where(np.greater(self.time, other.time), self.bound, other.bound)
        return Effort(
            self.time + other.time,
            self.ideal_time + other.ideal_time,
            bound,
            self.chip_seconds + other.chip_seconds,
            _added(self.energy, other.energy),
            _added(self.usd, other.usd),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """One step of a request: the tokens in the context before it, what it takes, and of a pause what becomes of the
    cache."""

    step: Step
    context: Num
    effort: Effort = Effort()
    hold: Hold | None = None


def uses(
    serving: Serving, deployment: Deployment, served: Iterable[Served], holds: Mapping[int, Hold]
) -> tuple[Use, ...]:  # fmt: skip
    """Every step of a request in order, with all that works on it: what drafts and what verifies are one. `holds` are
    those of pauses by their place."""
    efforts: dict[int, Effort] = {}
    for item in served:
        for place, more in zip(item.stretch.places, _each(deployment, item), strict=True):
            efforts[place] = efforts[place].beside(more) if place in efforts else more
    steps = enumerate(zip(serving.steps, serving.contexts, strict=False))
    return tuple(Use(step, context, efforts.get(place, Effort()), holds.get(place)) for place, (step, context) in steps)


def _each(deployment: Deployment, item: Served) -> Iterator[Effort]:
    """What each step of a stretch takes."""
    chip = deployment.chip
    phase, each, count = item.stretch.phase, item.stretch.each, len(item.stretch.places)
    taken = chip_seconds(phase, item.plan, item.sharing)
    spent, rent = joules(chip, phase, item.plan, item.sharing), cost.rent(chip, 1.0, deployment.economics)
    numbers = zip(
        each(phase.time * item.stretched),
        each(phase.ideal_time),
        each(phase.bound) if phase.operators else [None] * count,
        each(taken),
        [None] * count if spent is None else each(spent),
        [None] * count if rent is None else each(taken * rent),
        strict=True,
    )
    return (Effort(*values) for values in numbers)


def _added(one: Num | None, other: Num | None) -> Num | None:
    return None if one is None or other is None else one + other
