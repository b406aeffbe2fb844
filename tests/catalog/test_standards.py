"""What parts can do by standard, against what the catalogue says of chips that have them."""

from __future__ import annotations

import pytest

from roofline.catalog.specs.chip import ChipSpec
from roofline.catalog.standards import standards
from roofline.catalog.store import KINDS, Catalog

CHIPS = sorted(Catalog().files(KINDS["chip"]))


def energies(catalog: Catalog) -> dict[str, float]:
    """TDP over the dense 16-bit rate [J/FLOP] of every chip that has both."""
    found = {}
    for name in CHIPS:
        spec = catalog.spec("chip", name)
        assert isinstance(spec, ChipSpec)
        rate = spec.compute.peaks.get("bf16") or spec.compute.peaks.get("fp16")
        if spec.power and rate:
            found[name] = spec.power.tdp / rate.dense
    return found


@pytest.mark.parametrize("year", sorted(standards().energy))
def test_the_least_energy_is_that_of_a_chip(catalog: Catalog, year: str) -> None:
    """Rounded down, so that the chip itself is not found fault with."""
    least = standards().energy[year].least
    assert any(least <= energy < 1.03 * least for energy in energies(catalog).values())


def test_no_chip_needs_less(catalog: Catalog) -> None:
    dated = {name: catalog.spec("chip", name) for name in energies(catalog)}
    for name, energy in energies(catalog).items():
        spec = dated[name]
        assert isinstance(spec, ChipSpec)
        assert energy >= standards().least_energy(spec.released), name


@pytest.mark.parametrize("name", sorted(standards().memory))
def test_each_generation_of_memory_is_faster_than_the_one_before(name: str) -> None:
    kind = standards().memory[name]
    assert kind.least < kind.most
    slower = [other.most for other in standards().memory.values() if other.least < kind.least]
    assert all(kind.most > most for most in slower)


def test_every_figure_has_a_source_that_is_there() -> None:
    groups = (standards().memory, standards().links, standards().energy)
    named = {figure.source for group in groups for figure in group.values()}
    assert named == set(standards().sources)
    assert all(source.date for source in standards().sources.values())
