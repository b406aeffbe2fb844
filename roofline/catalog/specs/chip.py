"""The chip file: a datasheet block and, never mixed with it, what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from roofline.catalog.fields import (
    Amount,
    ArithmeticRate,
    AtLeastOne,
    Bandwidth,
    Count,
    Data,
    Day,
    Duration,
    EnergyPerByte,
    EnergyPerFlop,
    Exponent,
    Fraction,
    FractionOrZero,
    Frequency,
    HourlyPrice,
    Many,
    Money,
    Multiple,
    Period,
    PipelineExponent,
    Power,
    Spec,
    Watts,
    Word,
)
from roofline.catalog.specs.common import Id, Identified, Sourced, StoredDType, join_sources
from roofline.machine import (
    Chip,
    Efficiency,
    EnergyCosts,
    EnergyShares,
    Family,
    Host,
    Link,
    LinkEfficiency,
    Memory,
    Peak,
    Price,
)
from roofline.machine.chip import Calibration
from roofline.source import Source
from roofline.workload.dtype import math_dtype

DType = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4"]
ChipKind = Literal["gpu", "tpu", "lpu", "asic", "cpu", "npu"]
# A kind of kernel, and the format of what it multiplies or streams, if that is measured by itself.
KERNEL = (
    r"(matmul|experts|attention|decode-attention|scan|decode-scan|elementwise|quantise|permute|update)"
    r"(/(fp64|fp32|tf32|bf16|fp16|fp8|fp8-block|int8|fp6|fp4|int4|mxfp4|nvfp4))?"
)
KernelKey = Annotated[str, Field(pattern=rf"^{KERNEL}$")]

LinkKey = Literal[
    "scale-up",
    "scale-out",
    "scale-up/sends",
    "scale-out/sends",
    "scale-up/all-reduce",
    "scale-out/all-reduce",
    "scale-up/all-to-all",
    "scale-out/all-to-all",
]


class PeakSpec(Sourced):
    """Rate of one dtype on the matrix units; `sparse` counts skipped zeros as work and is never used for time.

    `narrow` is the rate with sums in a format no wider than the products; `dense` then is that with wider ones.
    """

    dense: ArithmeticRate
    sparse: ArithmeticRate | None = None
    narrow: ArithmeticRate | None = None


class VectorSpec(Sourced):
    """Rate of the vector (shader, SIMD) units in fp32."""

    rate: ArithmeticRate


class UnitsSpec(Sourced):
    """Compute units (SM, CU, core, TPC …) and their clock under load."""

    count: Count
    clock: Frequency | None = None


class DevicesSpec(Sourced):
    """Ranks that software sees in one chip: its cores or dies."""

    count: Count


class ComputeSpec(Spec):
    """What computes."""

    devices: DevicesSpec | None = None
    units: UnitsSpec | None = None
    vector: VectorSpec | None = None
    peaks: Mapping[DType, PeakSpec] = Field(min_length=1)


class MemorySpec(Sourced):
    """One level, near to far; `main` marks where weights live (by default the last), `pinned` one before it in which
    software keeps as many of them as it holds."""

    name: Word
    capacity: Data
    bandwidth: Bandwidth | None = None
    main: bool = False
    pinned: bool = False


class LinkSpec(Sourced):
    """One kind of link: per chip, one direction, all ports together; `chips` is the most that it joins."""

    name: Word
    scope: Literal["scale-up", "scale-out"]
    bandwidth: Bandwidth
    per: Literal["direction"]
    latency: Duration = 0.0
    chips: Count | None = None
    topology: Literal["switch", "mesh", "ring", "torus2d", "torus3d", "dragonfly", "pcie"] = "switch"

    def build(self) -> Link:
        """The plain object."""
        return Link(
            name=self.name,
            scope=self.scope,
            bandwidth=self.bandwidth,
            latency=self.latency,
            chips=float(self.chips) if self.chips else float("inf"),
            topology=self.topology,
        )


class PowerSpec(Sourced):
    """Thermal design power and, if known, power at rest, of one chip."""

    tdp: Power
    idle: Power | None = None


class PurchaseSpec(Sourced):
    """Price of one chip; `covers` says whether its share of a server, or of a rack with its network, is in it."""

    value: Money
    covers: Literal["chip", "server", "rack"] = "chip"
    date: Day = ""


class HourlySpec(Sourced):
    """Rent of one chip."""

    value: HourlyPrice
    date: Day = ""


class PriceSpec(Spec):
    """Purchase and rent, each with its day and source."""

    purchase: PurchaseSpec | None = None
    hourly: HourlySpec | None = None

    def build(self) -> Price:
        """The plain object."""
        return Price(
            purchase=self.purchase.value if self.purchase else None,
            hourly=self.hourly.value if self.hourly else None,
            date=max((price.date for price in (self.purchase, self.hourly) if price), default=""),
            covers=self.purchase.covers if self.purchase else "chip",
        )


class ConflictSpec(Sourced):
    """What another source says of a number of this file, or of one that it leaves out, and why that is not taken."""

    of: Word
    value: Word
    why: Word


class AnatomySpec(Sourced):
    """What a chip is made of, for its datasheet to be held against: FLOP of one unit in one clock by format, stacks of
    HBM beside it."""

    work: Mapping[DType, Count] = Field(default_factory=dict)
    stacks: Count | None = None


class ReliabilitySpec(Sourced):
    """Mean time between failures of one chip in a job: that of the job times its chips, whatever it was that failed."""

    chip_mtbf: Period


class KernelSpec(Sourced):
    """What kernels of one kind reach (see `roofline.machine.Efficiency`)."""

    compute: Fraction | None = None
    memory: Fraction | None = None
    latency: Duration = 0.0
    overlap: Exponent | None = None
    half: Amount = 0.0
    least: Amount = 0.0
    fill: Amount = 0.0
    split: Duration | None = None
    score: Amount = 0.0
    pack: Amount = 0.0

    def build(self) -> Efficiency:
        """The plain object."""
        given = {name: value for name, value in self.model_dump(exclude={"source"}).items() if value is not None}
        return Efficiency(**given)


class LinkEfficiencySpec(Sourced):
    """What collectives reach (see `roofline.machine.LinkEfficiency`)."""

    bandwidth: Fraction | None = None
    latency: Duration = 0.0
    step: Duration = 0.0
    overlap: PipelineExponent = 1.0

    def build(self) -> LinkEfficiency:
        """The plain object."""
        return LinkEfficiency(
            bandwidth=self.bandwidth or 1.0, latency=self.latency, step=self.step, overlap=self.overlap
        )


class CacheSpec(Sourced):
    """How many times as fast as main memory kernels read what lies in the last cache before it."""

    speed: Amount


class EnergySpec(Sourced):
    """Measured power while busy (see `roofline.machine.EnergyCosts`); `per_flop` is of 16-bit products."""

    base: Power
    busy: Watts = 0.0
    per_byte: EnergyPerByte
    per_flop: EnergyPerFlop
    per_link_byte: EnergyPerByte = 0.0
    rows: AtLeastOne = 1.0
    formats: Mapping[StoredDType, Multiple] = Field(default_factory=dict)

    def build(self, idle: float | None, peak: float) -> EnergyCosts:
        """The plain object, of a chip with that dense 16-bit rate [FLOP/s]."""
        given = self.model_dump(exclude={"source", "per_flop"})
        return EnergyCosts(idle=self.base if idle is None else idle, compute=self.per_flop * peak, **given)


class EnergySharesSpec(Sourced):
    """Power of chips of one design as shares of their TDP (see `roofline.machine.EnergyShares`)."""

    idle: Fraction
    base: Fraction
    busy: FractionOrZero = 0.0
    memory: Multiple = 0.0
    compute: Multiple = 0.0
    per_byte: EnergyPerByte | None = None
    per_flop: EnergyPerFlop | None = None
    per_link_byte: EnergyPerByte = 0.0
    rows: AtLeastOne = 1.0
    formats: Mapping[StoredDType, Multiple] = Field(default_factory=dict)
    measured_on: Many[Id] = ()

    def build(self) -> EnergyShares:
        """The plain object."""
        return EnergyShares(**self.model_dump(exclude={"source"}))


class HostSpec(Sourced):
    """Power of what stands beside each chip (see `roofline.machine.Host`)."""

    power: Watts = 0.0
    share: FractionOrZero = 0.0
    liquid: FractionOrZero | None = None

    def build(self) -> Host:
        """The plain object."""
        return Host(power=self.power, share=self.share, liquid=self.liquid)


class AchievedSpec(Spec):
    """Everything measured on the chip. Absent means: datasheet only."""

    kernels: Mapping[KernelKey, KernelSpec] = Field(default_factory=dict)
    links: Mapping[LinkKey, LinkEfficiencySpec] = Field(default_factory=dict)
    cache: CacheSpec | None = None
    energy: EnergySpec | None = None


class StacksSpec(Spec):
    """The software that usually runs on it: ids of stack files, for each kind of work."""

    serving: Id | None = None
    training: Id | None = None

    @property
    def named(self) -> dict[str, str]:
        """Those that are stated."""
        return {work: stack for work, stack in (("serving", self.serving), ("training", self.training)) if stack}


class FamilySpec(Identified):
    """Chips of one design: what was measured on some stands in for others, and is then called transferred."""

    kernels: Mapping[KernelKey, KernelSpec] = Field(default_factory=dict)
    links: Mapping[LinkKey, LinkEfficiencySpec] = Field(default_factory=dict)
    cache: CacheSpec | None = None
    energy: EnergySharesSpec | None = None
    host: HostSpec | None = None
    reliability: ReliabilitySpec | None = None
    stacks: StacksSpec = Field(default_factory=StacksSpec)

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        return {
            **{f"kernels.{kernel}": spec.source for kernel, spec in self.kernels.items()},
            **{f"links.{scope}": spec.source for scope, spec in self.links.items()},
            **({"cache": self.cache.source} if self.cache else {}),
            **({"energy": self.energy.source} if self.energy else {}),
            **({"host": self.host.source} if self.host else {}),
            **({"reliability": self.reliability.source} if self.reliability else {}),
        }

    def build(self) -> Family:
        """The plain object; each source says that it is this family's."""
        marked = ((path, join_sources(key, self.sources)) for path, key in self.numbers().items())
        return Family(
            id=self.id,
            name=self.name,
            kernels={name: kernel.build() for name, kernel in self.kernels.items()},
            links={scope: reached.build() for scope, reached in self.links.items()},
            cache=self.cache.speed if self.cache else None,
            energy=self.energy.build() if self.energy else None,
            host=self.host.build() if self.host else None,
            mtbf=self.reliability.chip_mtbf if self.reliability else None,
            stacks=self.stacks.named,
            sources={
                _chip_path(path): dataclasses.replace(source, title=f"{self.name}: {source.title}")
                for path, source in marked
            },
        )


def _chip_path(path: str) -> str:
    """Where the file of a chip has what its family has at a path: constants of kernels and links in a block of theirs.

    >>> _chip_path("kernels.matmul"), _chip_path("reliability")
    ('achieved.kernels.matmul', 'reliability')
    """
    return path if path in ("reliability", "host", "energy") else f"achieved.{path}"


class ChipSpec(Identified):
    """One chip, one file; `family` is where constants come from that were not measured on it (by default its kind)."""

    vendor: Word
    kind: ChipKind
    released: Day = ""
    compute: ComputeSpec
    memory: Many[MemorySpec] = Field(min_length=1)
    links: Many[LinkSpec] = ()
    anatomy: AnatomySpec | None = None
    power: PowerSpec | None = None
    host: HostSpec | None = None
    price: PriceSpec = Field(default_factory=PriceSpec)
    reliability: ReliabilitySpec | None = None
    achieved: AchievedSpec = Field(default_factory=AchievedSpec)
    stacks: StacksSpec = Field(default_factory=StacksSpec)
    family: Id | None = None
    conflicts: Many[ConflictSpec] = ()
    accepted: Mapping[Word, Word] = Field(default_factory=dict)  # rules that warn of this file, and why it is right

    @property
    def relatives(self) -> str:
        """Id of the family whose constants stand in for what was not measured: the one named, else the kind."""
        return self.family or self.kind

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        compute, power, price, achieved = self.compute, self.power, self.price, self.achieved
        groups: dict[str, Sourced | None] = {
            **{f"compute.peaks.{dtype}": peak for dtype, peak in compute.peaks.items()},
            "compute.units": compute.units,
            "compute.devices": compute.devices,
            "compute.vector": compute.vector,
            **{f"memory.{level.name}": level for level in self.memory},
            **{f"links.{link.name}": link for link in self.links},
            "anatomy": self.anatomy,
            "power": power,
            "host": self.host,
            "price.purchase": price.purchase,
            "price.hourly": price.hourly,
            "reliability": self.reliability,
            **{f"achieved.kernels.{kernel}": kernel_spec for kernel, kernel_spec in achieved.kernels.items()},
            **{f"achieved.links.{scope}": link_spec for scope, link_spec in achieved.links.items()},
            "achieved.cache": achieved.cache,
            "achieved.energy": achieved.energy,
            **{f"conflicts.{index}": conflict for index, conflict in enumerate(self.conflicts)},
        }
        return {path: group.source for path, group in groups.items() if group is not None}

    def build(self, family: Family | None = None) -> Chip:
        """The plain object that the engine works with; what was not measured on it is taken from its family."""
        family = family or Family(id=self.relatives, name="")
        units, vector = self.compute.units, self.compute.vector
        kernels = {name: kernel.build() for name, kernel in self.achieved.kernels.items()}
        reached: dict[str, LinkEfficiency] = {scope: link.build() for scope, link in self.achieved.links.items()}
        sources: dict[str, Source] = {path: join_sources(key, self.sources) for path, key in self.numbers().items()}
        return Chip(
            id=self.id,
            name=self.name,
            vendor=self.vendor,
            kind=self.kind,
            peaks={
                dtype: Peak(dense=peak.dense, sparse=peak.sparse, narrow=peak.narrow)
                for dtype, peak in self.compute.peaks.items()
            },
            memory=tuple(
                Memory(name=level.name, capacity=level.capacity, bandwidth=level.bandwidth, pinned=level.pinned)
                for level in self.memory
            ),
            main=next((index for index, level in enumerate(self.memory) if level.main), len(self.memory) - 1),
            links=tuple(link.build() for link in self.links),
            vector=vector.rate if vector else None,
            compute_units=float(units.count) if units else None,
            clock=units.clock if units else None,
            devices=float(self.compute.devices.count) if self.compute.devices else 1.0,
            tdp=self.power.tdp if self.power else None,
            idle=self.power.idle if self.power else None,
            price=self.price.build(),
            achieved={**family.kernels, **kernels},
            achieved_links={**family.links, **reached},
            cache_speed=self.achieved.cache.speed if self.achieved.cache else family.cache,
            energy=self._energy(family),
            energy_evidence=self._energy_evidence(family),
            host=self.host.build() if self.host else family.host,
            mtbf=self.reliability.chip_mtbf if self.reliability else family.mtbf,
            calibrated=bool(kernels or reached),
            family=family.id,
            stacks={**family.stacks, **self.stacks.named},
            sources={**family.sources, **sources},
        )

    def _energy(self, family: Family) -> EnergyCosts | None:
        """What was measured of its power, else its family's shares of its TDP; None without either."""
        own, idle = self.achieved.energy, self.power.idle if self.power else None
        if own is not None:
            return own.build(idle, self._sixteen_bit_rate)
        main = next((level for level in self.memory if level.main), self.memory[-1])
        if family.energy is None or self.power is None:
            return None
        found = family.energy.of(self.power.tdp, main.bandwidth or float("inf"), self._sixteen_bit_rate)
        return found if idle is None else dataclasses.replace(found, idle=idle)

    def _energy_evidence(self, family: Family) -> Calibration:
        if self.achieved.energy is not None or (family.energy and self.id in family.energy.measured_on):
            return "measured"
        return "transferred" if family.energy and family.energy.measured_on else "datasheet"

    @property
    def _sixteen_bit_rate(self) -> float:
        """Dense FLOP/s of 16-bit products; of the next wider ones where it has none."""
        rates: dict[str, float] = {str(dtype): peak.dense for dtype, peak in self.compute.peaks.items()}
        return rates.get(math_dtype("bf16", rates) or "", 0.0)
