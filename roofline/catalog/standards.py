"""What parts of any maker can do, by standard, so that files can be held against it: `standards.yaml` beside this."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import Field

from roofline.catalog import document
from roofline.catalog.fields import Bandwidth, Count, EnergyPerFlop, Spec
from roofline.catalog.specs.common import Sourced, SourceSpec

FILE = Path(__file__).resolve().parent / "standards.yaml"


class StackStandard(Sourced):
    """Bandwidth of one stack of memory [B/s], and the most stacks beside one chip."""

    least: Bandwidth
    most: Bandwidth
    stacks: Count


class LinkStandard(Sourced):
    """Bandwidth of all links of one chip in one direction [B/s]."""

    most: Bandwidth


class EnergyStandard(Sourced):
    """Energy of one FLOP of dense 16-bit products [J] at TDP."""

    least: EnergyPerFlop


class Standards(Spec):
    """All of them, by name; those of energy by the year since which they hold."""

    memory: Mapping[str, StackStandard]
    links: Mapping[str, LinkStandard]
    energy: Mapping[str, EnergyStandard]
    sources: Mapping[str, SourceSpec] = Field(default_factory=dict)

    def stack(self, memory: str) -> tuple[str, StackStandard] | None:
        """The standard that a memory is called after."""
        name = memory.upper().split(" ")[0]
        return (name, self.memory[name]) if name in self.memory else None

    def link(self, name: str) -> tuple[str, LinkStandard] | None:
        """The standard that a link is called after.

        >>> found = standards().link("NVLink4 bridge")
        >>> found[0] if found else None
        'NVLink 4'
        """
        match = re.match(r"(NVLink|PCIe) ?([0-9])( x[0-9]+)?", name)
        if match is None:
            return None
        key = f"{match[1]} {match[2]}" + ((match[3] or " x16") if match[1] == "PCIe" else "")
        return (key, self.links[key]) if key in self.links else None

    def least_energy(self, year: str) -> float:
        """The least energy of one FLOP up to a year; the least of all for a chip without one."""
        known = [standard.least for since, standard in self.energy.items() if not year or since <= year[:4]]
        return min(known, default=max(standard.least for standard in self.energy.values()))


@cache
def standards() -> Standards:
    """What ships with the package."""
    return Standards.model_validate(document.read(FILE).data)
