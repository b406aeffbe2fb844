"""Knobs of a chip: its datasheet, its price, and what was measured of its kernels, links and power."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, nan
from types import MappingProxyType
from typing import TypeAlias

from roofline.engine import roof
from roofline.machine import Chip
from roofline.numeric import Num
from roofline.studies.elasticity import better_chip
from roofline.studies.knobs.knob import Case, Knob, Role, Turn, at, entry, known

# Units and roles: of a datasheet's numbers, then of what kernels and collectives reach.
Kind: TypeAlias = "tuple[str, Role]"
FAST: Kind = ("B/s", "speed")
LARGE: Kind = ("B", "amount")
LATE: Kind = ("s", "delay")
SHARE: Kind = ("1", "amount")
PLAIN: Kind = ("", "amount")
KERNEL: Mapping[str, Kind] = MappingProxyType(
    {
        "compute": SHARE,
        "memory": SHARE,
        "latency": LATE,
        "half": PLAIN,
        "least": PLAIN,
        "fill": PLAIN,
        "split": LATE,
        "score": PLAIN,
        "pack": PLAIN,
    }
)
LINK: Mapping[str, Kind] = MappingProxyType({"bandwidth": SHARE, "latency": LATE, "step": LATE})
ENERGY: Mapping[str, str] = MappingProxyType(
    {"idle": "W", "base": "W", "busy": "W", "compute": "W", "per_byte": "J/B", "per_link_byte": "J/B"}
)


def knobs(case: Case) -> Iterator[Knob]:
    """All of them."""
    chip = case.deployment.chip
    yield from _compute(case)
    yield from _memory(chip)
    yield from _links(chip)
    yield from _money_and_power(chip)
    yield from _achieved(chip)


def _compute(case: Case) -> Iterator[Knob]:
    """`compute` is all arithmetic together, told by the peak of the format that products run in."""
    chip = case.deployment.chip
    dtype = roof.arithmetic(chip, case.deployment.precision_for(case.job.precision).arithmetic)
    if dtype in chip.peaks:
        base = float(chip.peaks[dtype].dense)

        def all_of_it(case: Case, value: Num) -> Case:
            scaled = better_chip(case.deployment.chip, {"flops": value / base})
            return case.on_chip(peaks=scaled.peaks, vector=scaled.vector, clock=scaled.clock, energy=scaled.energy)

        yield Knob("compute", "FLOP/s", base, all_of_it, group=True)
    for name in chip.peaks:
        yield Knob(
            f"compute.peaks.{name}", "FLOP/s", float(chip.peaks[name].dense), _peak(name), "speed", part_of="compute"
        )
    for field, key, unit in (("vector", "compute.vector", "FLOP/s"), ("clock", "compute.units.clock", "Hz")):
        for name, value in known([(field, getattr(chip, field))]):
            yield Knob(key, unit, value, _field(name), "speed", part_of="compute")
    for name, value in known([("compute_units", chip.compute_units)]):
        yield Knob("compute.units.count", "", value, _field(name), least=1.0, whole=True, smooth=False)


def _peak(name: str) -> Turn:
    """One format's rate; that with narrow sums keeps its ratio to it."""

    def turn(case: Case, value: Num) -> Case:
        peaks = case.deployment.chip.peaks
        peak = peaks[name]
        narrow = None if peak.narrow is None else peak.narrow * (value / peak.dense)
        return case.on_chip(peaks=entry(peaks, name, dense=value, narrow=narrow))

    return turn


def _field(name: str) -> Turn:
    return lambda case, value: case.on_chip(**{name: value})


def _memory(chip: Chip) -> Iterator[Knob]:
    """Main memory without a name, the levels before it by theirs."""
    main = chip.main % len(chip.memory)
    for index, level in enumerate(chip.memory):
        key = "memory" if index == main else f"memory.{level.name}"
        for name, value in known((("bandwidth", level.bandwidth), ("capacity", level.capacity))):
            fast = name == "bandwidth"
            unit, role = FAST if fast else LARGE
            yield Knob(f"{key}.{name}", unit, value, _level(index, name), role, smooth=fast)
    for _, value in known((("cache_speed", chip.cache_speed),)):
        yield Knob("achieved.cache.speed", "", value, _field("cache_speed"))


def _level(index: int, name: str) -> Turn:
    return lambda case, value: case.on_chip(memory=at(case.deployment.chip.memory, index, **{name: value}))


def _links(chip: Chip) -> Iterator[Knob]:
    """By their scope; of several of one scope the first, which is the one that the engine takes."""
    for index, link in enumerate(chip.links):
        if chip.link(link.scope) is not link:
            continue
        for name, (unit, role) in (("bandwidth", FAST), ("latency", LATE)):
            value, late = float(getattr(link, name)), name == "latency"
            yield Knob(f"links.{link.scope}.{name}", unit, value, _link(index, name), role, optional=late)


def _link(index: int, name: str) -> Turn:
    return lambda case, value: case.on_chip(links=at(case.deployment.chip.links, index, **{name: value}))


def _money_and_power(chip: Chip) -> Iterator[Knob]:
    for key, field, unit in (
        ("power.tdp", "tdp", "W"), ("power.idle", "idle", "W"), ("reliability.chip_mtbf", "mtbf", "s"),
    ):  # fmt: skip
        for name, value in known([(field, getattr(chip, field))]):
            yield Knob(key, unit, value, _field(name), "delay" if name == "mtbf" else "amount")
    for name, unit in (("purchase", "USD"), ("hourly", "USD/h")):
        value = getattr(chip.price, name)
        paid = nan if value is None else float(value)
        yield Knob(f"price.{name}", unit, paid, _inside("price", name), optional=True)
    if chip.host is not None:
        yield Knob("host.power", "W", float(chip.host.power), _inside("host", "power"))
        yield Knob("host.share", "1", float(chip.host.share), _inside("host", "share"))


def _inside(record: str, name: str) -> Turn:
    """A number of one of the chip's records."""

    def turn(case: Case, value: Num) -> Case:
        (found,) = at((getattr(case.deployment.chip, record),), 0, **{name: value})
        return case.on_chip(**{record: found})

    return turn


def _achieved(chip: Chip) -> Iterator[Knob]:
    for group, field, numbers in (("kernels", "achieved", KERNEL), ("links", "achieved_links", LINK)):
        for kind, reached in getattr(chip, field).items():
            for name, value in known((name, getattr(reached, name)) for name in numbers):
                unit, role = numbers[name]
                most, optional = (1.0, False) if unit == "1" else (inf, True)
                turn = _reached(field, kind, name)
                yield Knob(f"achieved.{group}.{kind}.{name}", unit, value, turn, role, most=most, optional=optional)
    if chip.energy is not None:
        for name, value in known((name, getattr(chip.energy, name)) for name in ENERGY):
            yield Knob(f"achieved.energy.{name}", ENERGY[name], value, _inside("energy", name))


def _reached(field: str, kind: str, name: str) -> Turn:
    return lambda case, value: case.on_chip(
        **{field: entry(getattr(case.deployment.chip, field), kind, **{name: value})}
    )
