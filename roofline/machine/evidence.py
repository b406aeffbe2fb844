"""How far predictions have been off on measurements that their constants were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from roofline.machine.chip import Calibration, Chip
from roofline.machine.stack import Stack

DECODE, PREFILL, REQUEST = "decode", "prefill", "end to end"  # of a batch from start to end
SERVER_DECODE, FIRST_TOKEN, SERVER_REQUEST = "server decode", "server first token", "server end to end"
OFFLINE = "offline"  # everything queued at once
STEP = "training step"
POWER, ENERGY, SYSTEM = "power", "energy", "system power"  # of chips, of chips for a token or request, with hosts
# Figures of requests and runs that err alike, each with those that stand in for it where it was never measured.
FIGURES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        DECODE: (SERVER_DECODE, REQUEST),
        PREFILL: (REQUEST, DECODE),
        REQUEST: (SERVER_REQUEST, DECODE),
        SERVER_DECODE: (DECODE, SERVER_REQUEST, REQUEST),
        FIRST_TOKEN: (),
        SERVER_REQUEST: (REQUEST, SERVER_DECODE, DECODE),
        OFFLINE: (SERVER_REQUEST, REQUEST),
        STEP: (),
        POWER: (),
        ENERGY: (),
        SYSTEM: (),
    }
)


def calibration(chip: Chip, stack: Stack) -> Calibration:
    """What stands behind the expectation of a stack on a chip."""
    if chip.id in stack.measured_on or (chip.calibrated and not stack.measured):
        return "measured"
    return "transferred" if stack.measured or chip.achieved or chip.achieved_links else "datasheet"


@dataclass(frozen=True, slots=True)
class Spread:
    """Measured over predicted seconds of one kind of figure: the 5th and 95th percentile, from `cases` measurements of
    `groups` (models, chips or shapes) that were left out of the fit; and the median of the absolute relative error."""

    low: float
    high: float
    cases: int
    groups: int
    median_error: float


Spreads = Mapping[str, Spread]  # by kind of figure: those of requests, and classes of operators


def spread_of(spreads: Spreads, figure: str) -> Spread | None:
    """The spread of a figure, or of the nearest that stands in for it; None if nothing like it was measured."""
    return next((spreads[name] for name in (figure, *FIGURES.get(figure, ())) if name in spreads), None)
