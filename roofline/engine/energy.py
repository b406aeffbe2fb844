"""Power and energy of chips while they work."""

from __future__ import annotations

import numpy as np

from roofline.engine.prediction import Phase
from roofline.machine import Chip
from roofline.numeric import Num


def chip_power(chip: Chip, phase: Phase) -> Num | None:
    """Watts of one chip during a phase: `base + J/B·(B/s) + J/FLOP·(FLOP/s)` where measured, never above TDP.

    Without measured constants the TDP itself, an upper bound; None where not even that is published. The linear form
    fits measured board power of dense 16-bit serving within 5-6 % (ML.ENERGY v3 data); terms add, they do not overlap.
    """
    if chip.energy is None:
        return chip.tdp
    seconds = np.maximum(phase.time, 1e-30)
    moved = phase.memory_bytes * phase.busy / seconds
    done = phase.flops * phase.busy / seconds
    power = chip.energy.base + chip.energy.per_byte * moved + chip.energy.per_flop * done
    return power if chip.tdp is None else np.minimum(power, chip.tdp)


def mean_power(chip: Chip, phases: list[tuple[Phase, Num]]) -> Num | None:
    """Watts of one chip over phases that last so many seconds each."""
    powers = [(chip_power(chip, phase), seconds) for phase, seconds in phases]
    energy: Num = 0.0
    duration: Num = 0.0
    for power, seconds in powers:
        if power is None:
            return None
        energy, duration = energy + power * seconds, duration + seconds
    with np.errstate(invalid="ignore"):  # a phase that never ends has no mean power
        return energy / np.maximum(duration, 1e-30)
