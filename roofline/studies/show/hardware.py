"""Fields of chips, of systems of them, and of families, as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from roofline.machine import Chip, Efficiency, Family, LinkEfficiency, System
from roofline.machine.chip import IDEAL_KERNEL, IDEAL_LINK
from roofline.numeric import Num
from roofline.studies import words
from roofline.studies.show.money import price_fields
from roofline.studies.words import Fields
from roofline.units import show as in_units

SECONDS = ("latency", "split", "step")  # constants of kernels and links that are times; the others are plain numbers


def chip_fields(chip: Chip) -> Fields:
    """What a chip has, what of it is reached, and its default software."""
    for dtype, peak in chip.peaks.items():
        others = [
            f"{what} {in_units(float(rate), 'FLOP/s')}"
            for what, rate in (("sparse", peak.sparse), ("narrow sums", peak.narrow))
            if rate is not None
        ]
        more = f" ({', '.join(others)})" if others else ""
        yield f"compute.peaks.{dtype}", in_units(float(peak.dense), "FLOP/s") + more
    yield "compute.vector", words.amount(chip.vector, "FLOP/s")
    if chip.compute_units is not None:
        clock = f" at {in_units(float(chip.clock), 'Hz')}" if chip.clock is not None else ""
        yield "compute.units", f"{float(chip.compute_units):,.0f}{clock}"
    if chip.devices != 1.0:
        yield "compute.devices", f"{float(chip.devices):,.0f} that software counts as ranks"
    for level in chip.memory:
        speed = f" at {in_units(float(level.bandwidth), 'B/s')}" if level.bandwidth is not None else ""
        kept = ", keeps weights" if level.pinned else ""
        yield f"memory.{level.name}", in_units(float(level.capacity), "B") + speed + kept
    yield from _link_fields(chip)
    yield "power.tdp", words.amount(chip.tdp, "W")
    yield "power.idle", words.amount(chip.idle, "W")
    yield from price_fields(chip.price)
    yield "reliability.chip_mtbf", _lifetime(chip.mtbf)
    yield from _reached_fields(chip.achieved, chip.achieved_links, chip.cache_speed)
    if chip.energy is not None:
        yield "energy", words.energy(chip.energy)
    if chip.host is not None:
        yield "host", words.host(chip.host)
    for kind, stack in chip.stacks.items():
        yield f"stacks.{kind}", stack


def _link_fields(chip: Chip) -> Fields:
    for link in chip.links:
        text = f"{in_units(float(link.bandwidth), 'B/s')} per direction, {link.topology}"
        text += f", up to {float(link.chips):,.0f} chips" if link.chips != float("inf") else ""
        text += f", {in_units(float(link.latency), 's')} a step" if link.latency else ""
        yield f"links.{link.name}", f"{link.scope}: {text}"


def system_fields(system: System) -> Fields:
    """How many of which chip, over which links, at which power and price."""
    each = f", {system.per_host:,} a host" if system.per_host else ""
    yield "chips", f"{system.chips:,} {system.chip.id}{each}"
    yield from _link_fields(system.chip)
    if system.shapes:
        yield "shapes", ", ".join(shape.name for shape in system.shapes)
        closed = ", ".join(shape.name for shape in system.shapes if shape.rings == 1.0)
        yield "shapes.rings", f"all axes close into rings in {closed}" if closed else "no slice closes into rings"
    for what, text in system.host.items():
        yield f"host.{what}", text
    yield "power.max", words.amount(system.power, "W")
    yield "power.typical", words.amount(system.typical, "W")
    yield from price_fields(system.chip.price)


def _reached_fields(
    kernels: Mapping[str, Efficiency], links: Mapping[str, LinkEfficiency], cache: Num | None
) -> Fields:  # fmt: skip
    for kernel, reached in kernels.items():
        yield f"achieved.kernels.{kernel}", _stated(reached, IDEAL_KERNEL, ("compute", "memory", "latency"))
    for scope, link in links.items():
        yield f"achieved.links.{scope}", _stated(link, IDEAL_LINK, ("bandwidth", "latency", "step"))
    if cache is not None:
        yield "achieved.cache", f"{float(cache):.3g} times as fast as main memory"


def _stated(reached: Efficiency | LinkEfficiency, otherwise: Efficiency | LinkEfficiency, always: Sequence[str]) -> str:
    """The constants of a law by name: some always, the others where they say more than nothing."""
    shown = []
    for item in fields(reached):
        value = float(getattr(reached, item.name))
        if item.name in always or value != getattr(otherwise, item.name):
            text = in_units(value, "s") if item.name in SECONDS else f"{value:.3g}"
            shown.append(f"{item.name} {text}")
    return ", ".join(shown)


def family_fields(family: Family) -> Fields:
    """What chips of one generation have in common."""
    yield "reliability.chip_mtbf", _lifetime(family.mtbf)
    yield from _reached_fields(family.kernels, family.links, family.cache)
    if family.energy is not None:
        yield "energy", words.energy_shares(family.energy)
    if family.host is not None:
        yield "host", words.host(family.host)
    for kind, stack in family.stacks.items():
        yield f"stacks.{kind}", stack


def _lifetime(mtbf: Num | None) -> str | None:
    return None if mtbf is None else f"{float(mtbf) / 3600.0:,.0f} h of one chip between failures of a job"
