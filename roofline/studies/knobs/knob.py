"""A knob: one number of a deployment or its work, by the dotted key of the YAML files, and how it is turned.

It is set to a value or to an array of values, so that any turns of any knobs are one prediction. Turning one leaves all
other numbers as they are: energy of a byte and FLOP stay where a rate or the TDP moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from roofline import units
from roofline.engine import search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import RooflineError, did_you_mean
from roofline.numeric import Num
from roofline.workload import Plan, Workload

# A speed is one of what everything is k times as fast by, a delay one of those seconds; anything else is an amount.
Role = Literal["speed", "delay", "amount"]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A workload on a deployment whose plan is known: what knobs are turned on."""

    job: Workload
    deployment: Deployment

    def predicted(self) -> Prediction:
        """Its prediction."""
        return search.predict(self.job, self.deployment)

    def deployment_with(self, plan: Plan) -> Deployment:
        """Its deployment with another plan."""
        return replace(self.deployment, plan=plan)

    def on_chip(self, **numbers: Any) -> Case:
        """With other numbers of the chip."""
        return Case(self.job, replace(self.deployment, chip=replace(self.deployment.chip, **numbers)))

    def on_stack(self, **numbers: Any) -> Case:
        """With other numbers of the software."""
        return Case(self.job, replace(self.deployment, stack=replace(self.deployment.stack, **numbers)))


# What most people turn; named where a key is none.
USUAL = ("compute", "memory.bandwidth", "memory.capacity", "links.scale-up.bandwidth", "stack.step", "batch", "input",
         "output", "global_batch", "seq_len", "price.hourly", "electricity")  # fmt: skip
Turn = Callable[[Case, Num], Case]


@dataclass(frozen=True, slots=True, eq=False)
class Knob:
    """One number: its key, unit (a key of `units.DIMENSIONS`; empty for a plain number), value (NaN if nobody knows it)
    and least and most.

    `whole` ones count things. `smooth` ones have a slope at a point; others go in steps (capacities, counts), so that
    theirs is the mean over a turn. A `group` turns other knobs together, which are `part_of` it. `shared` ones belong
    to the work or to what is paid for, so to every deployment. `optional` ones may be 0. No value beyond its `reach`
    is looked for, such as a length beyond the model's context. A `degree` is one of those that multiply to the chips.
    """

    key: str
    unit: str
    value: float
    turn: Turn
    role: Role = "amount"
    least: float = 0.0
    most: float = np.inf
    whole: bool = False
    smooth: bool = True
    group: bool = False
    part_of: str = ""
    shared: bool = False
    optional: bool = False
    reach: float = np.inf
    degree: bool = False

    @property
    def known(self) -> bool:
        """Whether it has a value."""
        return bool(np.isfinite(self.value))

    def allows(self, values: Num) -> bool:
        """Whether it can have all of these values."""
        above = np.greater_equal(values, 0.0) if self.optional else np.greater(values, 0.0)
        return bool(np.all(above & np.greater_equal(values, self.least) & np.less_equal(values, self.most)))

    @property
    def span(self) -> str:
        """The values that it can have, in words."""
        least = "0 or more" if self.optional else f"{self.least:g} or more" if self.least else "above 0"
        return f"{least} and at most {said(self.most, self.unit)}" if self.most < np.inf else least

    def within(self, values: Num) -> Num:
        """Values of so much as it can be: whole where it counts, not beyond its least and most."""
        found = np.clip(values, self.least, self.most)
        return np.clip(np.round(found), self.least, self.most) if self.whole else found


def turned(case: Case, turns: Iterable[tuple[Knob, Num]]) -> Case:
    """A case with knobs set, groups last, as they multiply what is there."""
    for knob, value in sorted(turns, key=lambda pair: pair[0].group):
        case = knob.turn(case, value)
    return case


def find(key: str, known: Sequence[Knob], what: str) -> Knob:
    """The knob of a key; `RooflineError`, which begins with `what`, suggests others."""
    wanted = key.strip()
    for knob in known:
        if wanted in (knob.key, knob.key.replace("_", "-")):
            return knob
    keys = [knob.key for knob in known]
    inside = [other for other in keys if wanted and wanted.lower() in other.lower()]
    alike = [other for other in keys if other.rpartition(".")[2] == wanted.rpartition(".")[2]]  # under another name
    near = " or ".join(map(repr, alike[:3])) or did_you_mean(wanted, keys) or " or ".join(map(repr, inside[:3]))
    more = f", … ({len(keys)} in all; 'roofline whatif WORKLOAD DEPLOYMENT --all' lists those with an effect)"
    hint = f"did you mean {near}?" if near else f"known: {', '.join(name for name in USUAL if name in keys)}{more}"
    raise RooflineError(f"{what} {wanted}: no such number of this deployment and work; {hint}")


def said(value: float, unit: str) -> str:
    """A value in the words of its unit."""
    return units.show(value, unit) if unit else f"{value:g}"


def entry(record: Mapping[str, Any], name: str, **numbers: Any) -> dict[str, Any]:
    """A mapping of records with some numbers of one of them changed."""
    return {**record, name: replace(record[name], **numbers)}


def at(records: Sequence[Any], index: int, **numbers: Any) -> tuple[Any, ...]:
    """A sequence of records with some numbers of one of them changed."""
    return tuple(replace(item, **numbers) if place == index else item for place, item in enumerate(records))


def known(named: Iterable[tuple[str, Num | None]]) -> Iterator[tuple[str, float]]:
    """The numbers that are known and finite, by name."""
    for name, value in named:
        if value is not None and np.all(np.isfinite(value)):
            yield name, float(value)
