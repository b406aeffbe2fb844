"""The power of a phase, written out: what draws it, the numbers in each term, and who says so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from roofline.engine import energy
from roofline.engine.prediction import Phase, Prediction
from roofline.errors import RooflineError
from roofline.machine import Chip, EnergyCosts
from roofline.studies.formula import plain
from roofline.units import show

NAME = "power"  # what is explained instead of an operator
Line = tuple[str, str, str, str, str]


def phase_of(result: Prediction, name: str) -> Phase:
    """The phase of `decode/power`, or of plain `power` the one that takes longest."""
    working = [phase for phase in result.phases if phase.operators]
    asked, _, _ = name.rpartition("/")
    found = [phase for phase in working if asked in ("", phase.name)]
    if not found:
        known = ", ".join(f"{phase.name}/{NAME}" for phase in working)
        raise RooflineError(f"no phase {asked!r}; known: {known}")
    return max(found, key=lambda phase: float(phase.time))


def lines(result: Prediction, phase: Phase) -> Iterator[Line]:
    """Quantity, formula, numbers, result and source of each term of one chip, then of all and their hosts."""
    chip, chips = result.deployment.chip, float(result.chips_of(phase))
    drawn = energy.chip_power(chip, phase)
    if drawn is None:
        raise RooflineError(f"nothing is known of the power of {chip.id}, not even its TDP")
    if chip.energy is not None:
        yield from _terms(chip, chip.energy, phase)
        yield "TDP", "no chip draws more", "", _watts(chip.tdp), _said(chip, "power")
        yield "one chip", "min(base + busy + memory + compute + network, TDP)", "", _watts(drawn), ""
    else:
        yield "one chip", "the TDP, an upper bound", "", _watts(drawn), _said(chip, "power")
    together = drawn * chips
    yield "all chips", "chips·one chip", f"{plain(chips)}·{_watts(drawn)}", _watts(together), ""
    if chip.host is not None:
        numbers = f"{_watts(together)}·(1 + {plain(chip.host.share)}) + {plain(chips)}·{_watts(chip.host.power)}"
        formula = "all chips·(1 + share) + chips·host"
        system = energy.system_power(chip, together, chips)
        yield "with hosts", formula, numbers, _watts(system), _said(chip, "host")
    yield "energy", "all chips·time of the phase", "", show(float(together * phase.time), "J"), ""


def _terms(chip: Chip, costs: EnergyCosts, phase: Phase) -> Iterator[Line]:
    """Each term with the share of the time, or the rate, that makes it."""
    found, who = energy.terms(chip, costs, phase), _said(chip, "energy")
    occupied = found.busy / costs.busy if np.any(costs.busy) else 0.0
    yield "base", "while it waits for its host, too", "", _watts(found.base), who
    yield (
        "busy",
        "busy·share of the time with a kernel or message",
        _product(costs.busy, occupied),
        _watts(found.busy),
        who,
    )
    rate = phase.mbu * chip.bandwidth
    numbers = f"{show(float(costs.per_byte), 'J/B')}·{show(float(rate), 'B/s')}"
    yield "memory", "J/B·bytes/s of main memory", numbers, _watts(found.memory), who
    share = found.compute / costs.compute if np.any(costs.compute) else 0.0
    formula = "compute·share of the time that FLOPs, whole tiles, need at the full rate of their format"
    yield "compute", formula, _product(costs.compute, share), _watts(found.compute), who
    yield (
        "network",
        "J/B·bytes/s that are sent",
        f"{show(float(costs.per_link_byte), 'J/B')}",
        _watts(found.network),
        who,
    )


def _product(watts: object, share: object) -> str:
    return f"{_watts(watts)}·{plain(float(share))}"  # type: ignore[arg-type]


def _watts(value: object) -> str:
    return "unknown" if value is None else show(float(value), "W")  # type: ignore[arg-type]


def _said(chip: Chip, path: str) -> str:
    """Who says it: the chip's own file, else its family's."""
    source = chip.sources.get(f"achieved.{path}") or chip.sources.get(path)
    return source.title if source else ""
