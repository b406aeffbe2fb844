"""A deployment: so many chips of one kind, wired as the chip file says, under one stack, with one plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from roofline.machine import Chip, Economics, Stack
from roofline.machine.evidence import Spreads
from roofline.records import axes
from roofline.workload import Plan, Precision
from roofline.workload.dtype import math_dtype


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What runs a workload. `precision` None takes the workload's own; `spreads` say how far off predictions on the
    closest evidence were. With a `prefill_plan` chips of its own read the prompts, and `plan` is that of the others,
    which decode. Without `economics` only the rent of the chips is counted. A `brief` prediction of serving
    tells what is expected alone, no bound, no interval, no phases, nothing of caches while requests pause, and no bill
    without economics: enough to rank."""

    chip: Chip
    num_chips: int
    stack: Stack
    plan: Plan
    prefill_plan: Plan | None = None
    precision: Precision | None = None
    spreads: Spreads = field(default_factory=dict)
    economics: Economics | None = None
    label: str = ""
    brief: bool = False

    @cached_property
    def axes(self) -> int:
        """The most axes that any of its numbers has."""
        return axes(self.chip, self.stack, self.plan)

    def precision_for(self, default: Precision) -> Precision:
        """The formats in force, with those that the stack keeps wide weights and the residual stream in."""
        return replace(self.precision or default, wide=self.stack.wide, residual=self.stack.residual)


def dtype_notes(chip: Chip, precision: Precision) -> list[str]:
    """What to tell about formats that the chip's matrix units lack."""
    notes = []
    wanted = precision.arithmetic
    found = math_dtype(wanted, chip.peaks)
    if found is None:
        have = ", ".join(chip.peaks)
        notes.append(f"multiplies neither {wanted} nor anything wider (it has {have}); compute time left out")
    elif found != wanted:
        notes.append(f"no {wanted} arithmetic: products run in {found}, {wanted} values keep their width")
    return notes
