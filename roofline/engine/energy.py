"""Power and energy: of chips, as their board's sensor reads, and with their hosts, as a node's wall meter does.

A chip draws `base + busy·u + J/B·(B/s) + compute·c + J/B·(sent/s)` [W], never more than its TDP. Everything is told by
the priced operators: `u` is the share of the time in which a kernel or a message occupies it, `c` the share that its
FLOPs would need at the full dense rate of their format. What kernels execute beyond what a model needs costs energy all
the same: those of experts work on tiles of `rows` rows, so that experts that few tokens choose execute more (libraries
turn other products of few rows round, so that rows lie along the fine side of a tile). Terms add, they do not overlap
(fitted to board power, `studies/calibration/power.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from roofline.engine import roof
from roofline.engine.ops import COLLECTIVE, OVERHEAD, Op
from roofline.engine.prediction import TINY, Phase
from roofline.engine.roof import Priced, total
from roofline.machine import Chip, EnergyCosts
from roofline.machine.chip import EXPERTS
from roofline.numeric import Num, larger, over_steps, smaller

TERMS = ("base", "busy", "memory", "compute", "network")


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Watts of one chip by what draws them, before its TDP bounds their sum."""

    base: Num = 0.0
    busy: Num = 0.0
    memory: Num = 0.0
    compute: Num = 0.0
    network: Num = 0.0

    @property
    def sum(self) -> Num:
        """All of them [W]."""
        return self.base + self.busy + self.memory + self.compute + self.network


def chip_power(chip: Chip, phase: Phase) -> Num | None:
    """Watts of one chip during a phase; idle where nothing runs.

    Without constants the TDP itself, an upper bound; None where not even that is published.
    """
    if chip.energy is None:
        return chip.tdp
    if not phase.operators:
        return chip.energy.idle
    found = terms(chip, chip.energy, phase).sum
    return found if chip.tdp is None else smaller(found, chip.tdp)


def terms(chip: Chip, costs: EnergyCosts, phase: Phase) -> Terms:
    """What a phase draws of one chip, which holds a share of the operators along a pipeline."""
    rate = phase.passes_per_s
    return Terms(
        base=costs.base,
        busy=costs.busy * smaller(rate * total(phase.operators, _occupied), 1.0),
        memory=costs.per_byte * rate * total(phase.operators, lambda item: item.op.count * item.op.bytes),
        compute=costs.compute * rate * total(phase.operators, lambda item: executing(item, chip, costs)),
        network=costs.per_link_byte * rate * total(phase.operators, lambda item: item.op.count * item.op.sent),
    )


def _occupied(item: Priced) -> Num:
    """Seconds in which an operator keeps a chip busy: none of a host's, and of a message what nothing hides."""
    return 0.0 if item.op.kind == OVERHEAD else item.time


def executing(item: Priced, chip: Chip, costs: EnergyCosts) -> Num:
    """Seconds that all executions of an operator would take at the full dense rate of their format, in energy's terms:
    whole tiles count, and so does what a format costs beyond its rate."""
    op = item.op
    if op.kind in (COLLECTIVE, OVERHEAD):
        return 0.0
    return op.count * op.flops * tiled(op, costs.rows) * costs.formats.get(op.dtype, 1.0) / roof.peak(chip, op.dtype)


def tiled(op: Op, rows: Num) -> Num:
    """FLOPs that a matrix unit executes over those of experts: a tile of `rows` rows is worked on whole."""
    return larger(rows / larger(op.rows, 1.0), 1.0) if op.kind == EXPERTS else 1.0


def mean_power(chip: Chip, phases: Iterable[tuple[Phase, Num]], rank: int | None = None) -> Num | None:
    """Watts of one chip over phases that last so many seconds each; those of several steps have them as an axis in
    front of `rank` others."""
    energy: Num = 0.0
    duration: Num = 0.0
    for phase, seconds in phases:
        power = chip_power(chip, phase)
        if power is None:
            return None
        energy, duration = energy + over_steps(power * seconds, rank), duration + over_steps(seconds, rank)
    with np.errstate(invalid="ignore"):  # a phase that never ends has no mean power
        return energy / larger(duration, TINY)


def system_power(chip: Chip, power: Num | None, num_chips: Num) -> Num | None:
    """Watts of chips that draw `power` together, with their hosts; None where nothing is known of these."""
    if power is None or chip.host is None:
        return None
    return power * (1.0 + chip.host.share) + chip.host.power * num_chips


def metrics(
    chip: Chip, power: Num | None, num_chips: Num, *, tokens_per_s: Num, more: dict[str, Num] | None = None
) -> dict[str, Num | None]:  # fmt: skip
    """Power of all chips, alone and with hosts, and energy for each token; `more` are rates of other things that energy
    is told of, by what they are called (`request`)."""
    found: dict[str, Num | None] = {}
    for prefix, watts in (("", power), ("system_", system_power(chip, power, num_chips))):
        found[f"{prefix}power_w"] = watts
        for name, rate in {"token": tokens_per_s, **(more or {})}.items():
            found[f"{prefix}energy_j_per_{name}"] = None if watts is None else per(watts, rate)
    found["power_w_per_chip"] = None if power is None else power / num_chips
    return found


def per(watts: Num, rate: Num) -> Num | None:
    """Joules for each of so many a second; None if there are none."""
    return watts / rate if bool(np.all(np.greater(rate, 0.0))) else None


def notes(chip: Chip) -> list[str]:
    """What the reader must know of the power."""
    if chip.energy is None:
        return [] if chip.tdp is None else ["power is the TDP, an upper bound: nothing is known of what drives it"]
    if chip.energy_evidence == "datasheet":
        return ["power: no chip of this family was measured; terms are shares of the TDP, as usual"]
    return []
