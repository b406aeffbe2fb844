"""One chip: its datasheet (peaks, memories, links, power, price) and, apart from it, what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from roofline.numeric import Num
from roofline.source import Source

Scope = Literal["scale-up", "scale-out"]
Calibration = Literal["measured", "transferred", "datasheet"]
Topology = Literal["switch", "mesh", "ring", "torus2d", "torus3d", "dragonfly", "pcie"]

MATMUL, EXPERTS, ATTENTION, DECODE_ATTENTION, SCAN, DECODE_SCAN, ELEMENTWISE, QUANTISE, PERMUTE, UPDATE = KERNELS = (
    "matmul",
    "experts",
    "attention",
    "decode-attention",
    "scan",
    "decode-scan",
    "elementwise",
    "quantise",
    "permute",
    "update",
)
PASSING = (ELEMENTWISE, QUANTISE, PERMUTE, UPDATE)  # kernels that pass over values; their FLOPs are no use to a model
# Whose constants stand in for kernels that nobody measured: experts are products, the others pass over values; a single
# step of a recurrence does no more than that to its state.
LIKE: Mapping[str, str] = MappingProxyType(
    {EXPERTS: MATMUL, QUANTISE: ELEMENTWISE, PERMUTE: ELEMENTWISE, UPDATE: ELEMENTWISE, DECODE_SCAN: ELEMENTWISE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Arithmetic rates of one dtype [FLOP/s]: `sparse` counts the zeros of 2:4 sparsity as work, `narrow` sums products
    in a format no wider than theirs, which most software does not."""

    dense: Num
    sparse: Num | None = None
    narrow: Num | None = None

    @property
    def most(self) -> Num:
        """The rate that no dense product can beat."""
        return self.dense if self.narrow is None else self.narrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One level of the memory hierarchy: capacity [B] and bandwidth [B/s] of one chip.

    Where weights are `pinned` to it, software keeps as many of a served model as it holds, for good.
    """

    name: str
    capacity: Num
    bandwidth: Num | None = None  # None where nobody published it (caches); never for main memory or pinned weights
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How chips talk: bandwidth [B/s] per chip, one direction, all ports together; latency [s] of one step.

    `rings` is the share of a torus' links that all chips can use at once: below 1 where axes' ends are not joined.
    """

    name: str
    scope: Scope
    bandwidth: Num
    latency: Num = 0.0
    chips: Num = np.inf  # the most chips that this link joins: the domain
    topology: Topology = "switch"
    rings: Num = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What kernels of one kind reach: `latency + work + min(fill·row·units/beside, split)`, where
    `work = ((flops·(1 + half/rows)/(peak·compute))^p + (bytes/(bandwidth·memory))^p)^(1/p)`.

    `compute` and `memory` are fractions of the datasheet roofs, `latency` [s] is what an empty kernel costs, and
    `overlap` is p: 1 when arithmetic waits for memory, infinite when each hides the other. `half` are the rows at
    which a kernel runs at half of its rate (Hockney's n½); where rows are what it streams, that goes for bytes too.
    `least` are the rows that it takes the time of where there are fewer, as blocks do of short sequences.
    `row` is the work of one row of tiles of the result, with `beside` tiles next to each other: where the chip has
    more compute units, some are idle. `fill` is the share of one unit's time on a tile that is lost so, and `split`
    [s] what dividing each tile's inner dimension among the idle ones costs at most. `score` is what the softmax of one
    query-key pair costs, in columns of the two products beside it. `pack` is what laying out weights anew costs
    products of several rows, in rows: `flops·(1 + pack·(1 − 1/rows)/rows)`; one row is multiplied as weights lie.
    """

    compute: Num = 1.0
    memory: Num = 1.0
    latency: Num = 0.0
    overlap: Num = np.inf
    half: Num = 0.0
    least: Num = 0.0
    fill: Num = 0.0
    split: Num = np.inf
    score: Num = 0.0
    pack: Num = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEfficiency:
    """What collectives reach: `((latency + step·steps)^p + (bytes/(link·bandwidth))^p)^(1/p)`.

    `bandwidth` is a fraction of the link, `latency` [s] what beginning costs, `step` [s] each exchange with a
    neighbour. `overlap` is p: 1 adds the two; towards 1/2, where the sum of roots squared is the time of a message
    that is cut into the best number of pieces to pass along a chain, the pipeline fills slowly.
    """

    bandwidth: Num = 1.0
    latency: Num = 0.0
    step: Num = 0.0
    overlap: Num = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyCosts:
    """What makes the power of a chip's board: `base + busy·u + per_byte·(bytes/s) + per_link_byte·(sent/s) + compute·c`
    [W], never above its TDP; `idle` [W] while nothing runs.

    `base` is drawn while the chip waits for its host, `busy` more while any kernel or message occupies it (a share `u`
    of the time). `compute` is what products at the full dense rate of their format would add; `c` is the share of the
    time that the FLOPs that are executed need at that rate. Experts with fewer rows than `rows` each execute as many as
    with so many: matrix units work on whole tiles. `formats` are multiples of what formats cost beyond their rate.
    """

    idle: Num
    base: Num
    busy: Num = 0.0
    per_byte: Num = 0.0
    compute: Num = 0.0
    per_link_byte: Num = 0.0
    rows: Num = 1.0
    formats: Mapping[str, Num] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyShares:
    """The same for chips of one design or kind, as shares of a chip's TDP; `memory` is drawn at the full rate of main
    memory. `per_byte` and `per_flop` [J], of 16-bit products, take the place of shares where chips are of one process
    and differ in their TDP. `measured_on` are the chips whose power they were fitted to.
    """

    idle: Num
    base: Num
    busy: Num = 0.0
    memory: Num = 0.0
    compute: Num = 0.0
    per_byte: Num | None = None
    per_flop: Num | None = None
    per_link_byte: Num = 0.0
    rows: Num = 1.0
    formats: Mapping[str, Num] = field(default_factory=dict)
    measured_on: tuple[str, ...] = ()

    def of(self, tdp: Num, bandwidth: Num, peak: Num) -> EnergyCosts:
        """What they are on a chip of that TDP [W], memory [B/s] and dense rate of 16-bit products [FLOP/s]."""
        return EnergyCosts(
            idle=self.idle * tdp,
            base=self.base * tdp,
            busy=self.busy * tdp,
            per_byte=self.memory * tdp / bandwidth if self.per_byte is None else self.per_byte,
            compute=self.compute * tdp if self.per_flop is None else self.per_flop * peak,
            per_link_byte=self.per_link_byte,
            rows=self.rows,
            formats=self.formats,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Power of what stands beside a chip: processors, memory, network, fans, losses: `power` [W] a chip that is always
    drawn, and `share` of what the chip draws; `liquid` where a liquid cools it and no fan does."""

    power: Num = 0.0
    share: Num = 0.0
    liquid: Num | None = None

    @property
    def cooled_by_liquid(self) -> Host:
        """The same without fans, as far as that is known."""
        return self if self.liquid is None else Host(power=self.power, share=self.liquid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Chips of one design: what their kernels and links usually reach, and the software that usually runs on them."""

    id: str
    name: str
    kernels: Mapping[str, Efficiency] = field(default_factory=dict)
    links: Mapping[str, LinkEfficiency] = field(default_factory=dict)
    cache: Num | None = None  # bandwidth of the last cache before main memory, as a multiple of the main memory's
    energy: EnergyShares | None = None
    host: Host | None = None
    mtbf: Num | None = None  # s between failures of a job, times its chips
    stacks: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one chip costs to buy [USD] and to rent [USD/h], and when that was read; None where not known.

    `covers` is what the purchase pays for besides the chip: its share of a `server`, or of a `rack` with its network.
    """

    purchase: Num | None = None
    hourly: Num | None = None
    date: str = ""
    covers: str = "chip"

    def over(self, base: Price) -> Price:
        """This price, and that of `base` for what it does not say."""
        bought = self if self.purchase is not None else base
        hourly = self.hourly if self.hourly is not None else base.hourly
        return Price(purchase=bought.purchase, hourly=hourly, date=max(self.date, base.date), covers=bought.covers)


IDEAL_KERNEL = Efficiency()
IDEAL_LINK = LinkEfficiency()
SENDS, SENDING = "sends", ("all-to-all", "send")  # what libraries do without a ring


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A chip as the engine sees it: SI numbers, any of which may be an array.

    `achieved` maps a kernel kind, or `kind/dtype`, to what was measured on it or on others of its `family`; an absent
    kind runs like its relative in `LIKE`, else at the datasheet. `achieved_links` maps a scope to what a library's
    rings reach, `scope/sends` to what its messages from each to each do, and `scope/algorithm` to what the own kernels
    of serving stacks do. `calibrated` says whether any of it was measured on this very chip. `sources` maps the dotted
    path of a number (`compute.bf16`, `memory.HBM3`) to where it comes from.
    """

    id: str
    name: str
    vendor: str
    kind: str
    peaks: Mapping[str, Peak]
    memory: tuple[Memory, ...]  # near to far
    main: int = -1  # index into memory: where weights and KV cache live
    links: tuple[Link, ...] = ()
    vector: Num | None = None  # FLOP/s of the vector units
    compute_units: Num | None = None
    devices: Num = 1.0  # that software sees in one chip and counts as ranks: its cores or dies
    clock: Num | None = None
    tdp: Num | None = None
    idle: Num | None = None
    price: Price = Price()
    achieved: Mapping[str, Efficiency] = field(default_factory=dict)
    achieved_links: Mapping[str, LinkEfficiency] = field(default_factory=dict)
    cache_speed: Num | None = None  # bandwidth of the last cache before main memory, in multiples of the main one's
    energy: EnergyCosts | None = None
    energy_evidence: Calibration = "datasheet"  # whether its power was measured on it, on its like, or on none
    host: Host | None = None
    mtbf: Num | None = None  # s between failures of a job, times its chips: whatever fails, told as if one chip had
    calibrated: bool = False
    family: str = ""
    stacks: Mapping[str, str] = field(default_factory=dict)  # ids of the usual software: serving, training
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def main_memory(self) -> Memory:
        """The memory that holds weights and KV cache."""
        return self.memory[self.main]

    @property
    def cache(self) -> Memory | None:
        """The last level before the main memory, None if the file names none."""
        index = self.main % len(self.memory)
        return self.memory[index - 1] if index else None

    @property
    def scratchpad(self) -> Memory | None:
        """The memory before the main one that weights are pinned to, None if they are to none."""
        return next((level for level in self.memory[: self.main] if level.pinned), None)

    @property
    def near_speed(self) -> Num | None:
        """How many times as fast as main memory what lies before it is read: by the datasheet of a scratchpad, else as
        it was measured of the last cache; None if neither is known."""
        pad = self.scratchpad
        if pad is None or pad.bandwidth is None:
            return self.cache_speed
        return np.maximum(pad.bandwidth / self.bandwidth, 1.0)

    @property
    def bandwidth(self) -> Num:
        """Datasheet bandwidth [B/s] of the main memory."""
        bandwidth = self.main_memory.bandwidth
        return np.inf if bandwidth is None else bandwidth

    def link(self, scope: Scope) -> Link | None:
        """The link of that scope, or None."""
        return next((link for link in self.links if link.scope == scope), None)

    def efficiency_key(self, kernel: str, *dtypes: str) -> str | None:
        """The entry of `achieved` for kernels of this kind: the first of these dtypes, any, then those of its like."""
        for kind in (kernel, LIKE.get(kernel, kernel)):
            for dtype in dtypes:
                if (key := f"{kind}/{dtype}") in self.achieved:
                    return key
            if kind in self.achieved:
                return kind
        return None

    def efficiency(self, kernel: str, *dtypes: str) -> Efficiency:
        """What was measured for kernels of this kind (see `efficiency_key`); the datasheet if nothing was."""
        key = self.efficiency_key(kernel, *dtypes)
        return self.achieved[key] if key else IDEAL_KERNEL

    def link_key(self, scope: str, algorithm: str) -> str:
        """The entry of `achieved_links` for a library's collective over links of this scope: that of messages from each
        to each where these were measured apart from rings."""
        sends = f"{scope}/{SENDS}"
        return sends if algorithm in SENDING and sends in self.achieved_links else scope

    def stack(self, work: str) -> str:
        """Id of the software that usually does this work (serving, training) on it; `ideal` if none is named."""
        return self.stacks.get(work, "ideal")
