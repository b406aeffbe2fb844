"""The system file: how many of which chip stand in one box, rack or pod, and what is theirs in there alone."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from roofline.catalog.fields import Count, Data, Many, Power, Word
from roofline.catalog.specs.chip import ConflictSpec, LinkSpec, PriceSpec
from roofline.catalog.specs.common import Id, Identified, Sourced, join_sources
from roofline.machine import Chip, Shape, System
from roofline.source import Source
from roofline.units import show

WIRED = ("links.", "price.")  # where sources stand of what a chip has in a system alone
ShapeName = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}(x[1-9][0-9]{0,4}){1,2}$")]


class ChipsSpec(Sourced):
    """How many chips there are, and how many of them each host has."""

    count: Count
    per_host: Count | None = None


class RingsSpec(Sourced):
    """Which axes of a torus close into rings: those of a multiple of so many chips, each by itself or all together."""

    multiple: Count
    axes: Literal["each", "together"]

    def closed(self, lengths: tuple[int, ...]) -> tuple[bool, ...]:
        """Whether each axis does."""
        fitting = tuple(length % self.multiple == 0 for length in lengths)
        return fitting if self.axes == "each" else (all(fitting),) * len(lengths)


class ShapesSpec(Sourced):
    """The slices that can be had of a torus, as chips along each axis."""

    slices: Many[ShapeName] = Field(min_length=1)
    rings: RingsSpec

    def build(self) -> tuple[Shape, ...]:
        """The plain objects."""
        lengths = [tuple(map(int, name.split("x"))) for name in self.slices]
        return tuple(Shape(each, self.rings.closed(each)) for each in lengths)


class HostsSpec(Sourced):
    """What stands beside the chips of the whole system."""

    processors: Word | None = None
    memory: Data | None = None
    nics: Word | None = None

    @property
    def told(self) -> dict[str, str]:
        """What is stated, in words."""
        memory = None if self.memory is None else show(self.memory, "B")
        facts = (("processors", self.processors), ("memory", memory), ("nics", self.nics))
        return {name: text for name, text in facts if text is not None}


class SystemPowerSpec(Sourced):
    """What the whole system draws: at most, and usually."""

    max: Power | None = None
    typical: Power | None = None


class SystemSpec(Identified):
    """A system of one kind of chip; links of the chip hold unless one of the same scope is stated here, and so does its
    price, of which `purchase` and `hourly` here are for all chips together."""

    vendor: Word
    chip: Id
    chips: ChipsSpec
    links: Many[LinkSpec] = ()
    shapes: ShapesSpec | None = None
    host: HostsSpec | None = None
    power: SystemPowerSpec | None = None
    price: PriceSpec = Field(default_factory=PriceSpec)
    conflicts: Many[ConflictSpec] = ()

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        groups: dict[str, Sourced | None] = {
            "chips": self.chips,
            **{f"links.{link.name}": link for link in self.links},
            "shapes": self.shapes,
            "shapes.rings": self.shapes.rings if self.shapes else None,
            "host": self.host,
            "power": self.power,
            "price.purchase": self.price.purchase,
            "price.hourly": self.price.hourly,
            **{f"conflicts.{index}": conflict for index, conflict in enumerate(self.conflicts)},
        }
        return {path: group.source for path, group in groups.items() if group is not None}

    def build(self, chip: Chip) -> System:
        """The plain object, of that chip."""
        sources: dict[str, Source] = {path: join_sources(key, self.sources) for path, key in self.numbers().items()}
        wired = self._wired(chip, sources)
        theirs = {path: source for path, source in wired.sources.items() if path.startswith(WIRED)}
        return System(
            id=self.id,
            name=self.name,
            chip=wired,
            chips=self.chips.count,
            per_host=self.chips.per_host,
            power=self.power.max if self.power else None,
            typical=self.power.typical if self.power else None,
            shapes=self.shapes.build() if self.shapes else (),
            host=self.host.told if self.host else {},
            sources={**theirs, **sources},
        )

    def _wired(self, chip: Chip, sources: dict[str, Source]) -> Chip:
        """The chip with the links and its share of the price that it has in here."""
        own = {link.scope: link.build() for link in self.links}
        kept = tuple(own.pop(link.scope, link) for link in chip.links)
        whole = self.price.build()
        share = dataclasses.replace(
            whole,
            purchase=None if whole.purchase is None else whole.purchase / self.chips.count,
            hourly=None if whole.hourly is None else whole.hourly / self.chips.count,
        )
        told = {path: source for path, source in sources.items() if path.startswith(WIRED)}
        return dataclasses.replace(
            chip,
            name=f"{chip.name} in {self.name}",
            links=(*kept, *own.values()),
            price=share.over(chip.price),
            sources={**chip.sources, **told},
        )
