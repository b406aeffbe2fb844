"""Overlay files: whatever a fit may find can be written and is read back as it was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roofline.catalog.specs.stack import OVERHEADS
from roofline.catalog.store import Catalog
from roofline.machine import Efficiency, LinkEfficiency
from roofline.studies.calibration import stacks
from roofline.studies.calibration.constants import CONSTANTS, KINDS, TRAINED, stated
from roofline.studies.calibration.draft import draft
from roofline.studies.calibration.fitting import Fit
from roofline.studies.calibration.kernels import CACHE_RANGE, FREE, LINK_RANGES, RANGES, Step, Subject
from roofline.studies.calibration.overlay import Origin, Writer
from roofline.studies.calibration.stacks import Fitted

WRITER = Writer(
    {
        "timings": Origin("timings", [("a.csv", "ab" * 32)], ""),
        "requests": Origin("requests", [("b.csv", "cd" * 32)], "2025"),
        "steps": Origin("steps", [("c.csv", "ef" * 32)], "2026"),
    }
)


def fit(values: dict[str, float]) -> Fit:
    return Fit(values, tuple(values), np.zeros(3), np.zeros(3))


def read_back(house: Any, subjects: list[Subject], fitted: list[Fitted] = []) -> Catalog:  # noqa: B006
    place = Path(house.folder).parent / "read-back"
    with draft(place) as files:
        WRITER.write(files, subjects, fitted)
        files.publish()
    return Catalog((place, house.known, house.folder))


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("kind", sorted(FREE))
def test_limits_of_kernels_can_be_written(house: Any, kind: str, end: str) -> None:
    found = Efficiency(**{name: getattr(RANGES[name], end) for name in FREE[kind]})
    chip = replace(house.catalog().chip("synth-1"), achieved={kind: found})
    catalog = read_back(house, [Subject("chip", "synth-1", chip, {Step((kind,)): fit({})})])
    assert catalog.chip("synth-1").achieved[kind] == found


@pytest.mark.parametrize("end", ["low", "high"])
def test_limits_of_links_and_caches_can_be_written(house: Any, end: str) -> None:
    link = LinkEfficiency(**{name: getattr(limits, end) for name, limits in LINK_RANGES.items()})
    speed = getattr(CACHE_RANGE, end)
    chip = replace(house.catalog().chip("synth-1"), achieved_links={"scale-up": link}, cache_speed=speed)
    steps = {Step(("links:scale-up",)): fit({}), Step(("cache",)): fit({})}
    for kind, name in (("chip", "synth-1"), ("family", "synthetic")):
        catalog = read_back(house, [Subject(kind, name, chip, steps)])
        back = catalog.chip("synth-3" if kind == "family" else "synth-1")
        assert back.cache_speed == speed
        reached = back.achieved_links["scale-up"] if kind == "chip" else catalog.family(name).links["scale-up"]
        assert reached == link


@pytest.mark.parametrize("end", ["low", "high"])
def test_limits_of_stacks_can_be_written(house: Any, end: str) -> None:
    values = {name: getattr(constant, end) for name, constant in CONSTANTS.items()}
    found = Fitted("synthetic-stack", {"": fit(values), "synth-1": fit({"step": 0.5})}, ("synth-1",), 3)
    catalog = read_back(house, [], [found])
    stack = catalog.stack("synthetic-stack", catalog.chip("synth-3"))
    assert stack.measured_on == ("synth-1",)
    for name, value in values.items():
        read = stack.rates[name] if name in KINDS else getattr(stack, name)
        assert read == pytest.approx(value, rel=5e-3, abs=1e-3 if name not in OVERHEADS else 1e-9), name
    assert catalog.stack("synthetic-stack", catalog.chip("synth-1")).step == 0.5


@pytest.mark.parametrize("end", ["low", "high"])
def test_limits_of_stacks_that_train_can_be_written(house: Any, end: str) -> None:
    values = {name: getattr(constant, end) for name, constant in TRAINED.items()}
    found = Fitted("synthetic-stack", {"": fit(values), "synth-1": fit({"overlap.data": 0.5})}, ("synth-1",), 3, True)
    catalog = read_back(house, [], [found])
    stack = catalog.stack("synthetic-stack", catalog.chip("synth-3"))
    for name, value in values.items():
        assert stated(stack, name) == pytest.approx(value, rel=5e-3, abs=1e-3), name
    assert catalog.stack("synthetic-stack", catalog.chip("synth-1")).overlaps["data"] == 0.5
    assert stack.sources["overlaps.data"].title.startswith("fitted to 3 steps in c.csv")


def test_what_was_fitted_hides_what_the_file_below_says(house: Any) -> None:
    """Also where the fit ends at what would not have to be said."""
    base = house.catalog(house.known).chip("synth-1")
    assert base.achieved["matmul"].memory == 0.85
    found = replace(base.achieved["matmul"], memory=1.0, latency=0.0)
    chip = replace(base, achieved={**base.achieved, "matmul": found})
    catalog = read_back(house, [Subject("chip", "synth-1", chip, {Step(("matmul",)): fit({})})])
    assert catalog.chip("synth-1").achieved == {**base.achieved, "matmul": found}


def test_sources_of_the_layers_stay_apart(house: Any) -> None:
    base = house.catalog(house.known).chip("synth-1")
    catalog = read_back(house, [Subject("chip", "synth-1", base, {Step(("matmul",)): fit({})})])
    sources = catalog.chip("synth-1").sources
    assert sources["achieved.kernels.matmul"].title == f"fitted to 3 timings in a.csv, sha256 {'ab' * 6}"
    assert sources["achieved.kernels.elementwise"].title == "known"


def test_kernels_tell_their_rate_better_than_requests(house: Any) -> None:
    step = Step(("attention",))
    family = Subject(
        "family", "synthetic", house.catalog(house.known).chip("synth-1"), {step: fit({"rate:synthetic-stack": 0.7})}
    )
    family.chip = replace(family.chip, achieved={"attention": Efficiency(overlap=2.0)})
    found = Fitted(
        "synthetic-stack", {"": fit({"attention": 0.9}), "synthetic": fit({"attention": 0.8, "step": 1e-3})}, (), 3
    )
    catalog = read_back(house, [family], [found])
    here = catalog.stack("synthetic-stack", catalog.chip("synth-1"))
    assert (here.rates["attention"], here.step) == (0.7, 1e-3)
    assert catalog.stack("synthetic-stack").rates["attention"] == 0.9


def test_numbers_hold_on_a_chip_from_its_closest_level(house: Any) -> None:
    chip = house.catalog().chip("synth-1")
    levels = ["", "gpu", "synthetic", "synth-1"]
    for count in range(1, 5):
        assert stacks.level_of(levels[:count], chip) == levels[count - 1]
