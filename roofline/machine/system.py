"""Chips as they are sold: a server, a rack or a pod of one kind of chip, with the links that these have in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from roofline.errors import PlanError, did_you_mean
from roofline.machine.chip import Chip
from roofline.numeric import Num
from roofline.source import Source


@dataclass(frozen=True, slots=True)
class Shape:
    """A slice of a torus: chips along each axis, and which of these axes close into rings."""

    lengths: tuple[int, ...]
    closed: tuple[bool, ...]

    @property
    def name(self) -> str:
        """As people write it.

        >>> Shape((4, 4, 8), (True, True, True)).name
        '4x4x8'
        """
        return "x".join(map(str, self.lengths))

    @property
    def chips(self) -> int:
        """All of them."""
        return math.prod(self.lengths)

    @property
    def rings(self) -> float:
        """Share of a chip's links that all chips of the slice can use at once: half of those of an axis whose ends are
        not joined, as a chip at the end has one neighbour there. Axes of one chip have no part in it.

        >>> Shape((8, 16), (False, True)).rings
        0.75
        """
        return sum(1.0 if ring else 0.5 for ring in self.closed) / len(self.lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """So many chips in one box, rack or pod: `chip` has the links, and its share of the price, that it has in there.

    `power` [W] is the most that all of it draws and `typical` what it usually does; `shapes` are the slices that can be
    had of a torus; `host` says what stands beside the chips. `sources` maps the dotted path of a number to its source.
    """

    id: str
    name: str
    chip: Chip
    chips: int
    per_host: int | None = None
    power: Num | None = None
    typical: Num | None = None
    shapes: tuple[Shape, ...] = ()
    host: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)

    def slice(self, name: str) -> System:
        """The slice of that shape, a domain of its own; `PlanError` if there is none."""
        found = next((shape for shape in self.shapes if shape.name == name), None)
        if found is None:
            known = [shape.name for shape in self.shapes]
            near = did_you_mean(name, known, most=3)
            hint = f"; did you mean {near}?" if near else f", only {', '.join(known)}" if known else ", nor any other"
            raise PlanError(f"{self.id} has no slice of shape {name}{hint}")
        links = tuple(
            replace(link, chips=float(found.chips), rings=found.rings) if link.scope == "scale-up" else link
            for link in self.chip.links
        )
        return replace(self, chip=replace(self.chip, links=links), chips=found.chips, shapes=(found,))
