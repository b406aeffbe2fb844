"""Evidence: what stands behind a stack on a chip, and which figure stands in for one that was never measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.machine import Chip, Efficiency, LinkEfficiency, Memory, Peak, Stack
from roofline.machine.chip import Calibration
from roofline.machine.evidence import ENERGY, FIGURES, OFFLINE, POWER, STEP, SYSTEM, Spread, calibration, spread_of
from roofline.studies.calibration.spread import EVIDENCE
from roofline.studies.measured.serving import SERVED

CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e11, bandwidth=4e12),),
    links=(),
)
FITTED = replace(CHIP, calibrated=True)
BARE = Stack(id="bare", name="Bare")
TIMED = Stack(id="timed", name="Timed", step=1e-3)


def of(high: float) -> Spread:
    return Spread(low=0.5, high=high, cases=20, groups=5, median_error=0.1)


@pytest.mark.parametrize(
    ("chip", "stack", "expected"),
    [
        (CHIP, BARE, "datasheet"),
        (CHIP, TIMED, "transferred"),
        (CHIP, replace(TIMED, measured_on=("another",)), "transferred"),
        (CHIP, replace(TIMED, measured_on=("another", "any")), "measured"),
        (CHIP, replace(BARE, measured_on=("any",)), "measured"),
        (FITTED, BARE, "measured"),
        (FITTED, TIMED, "transferred"),
        (FITTED, replace(TIMED, measured_on=("any",)), "measured"),
        (replace(CHIP, achieved={"matmul": Efficiency()}), BARE, "transferred"),
        (replace(CHIP, achieved_links={"scale-up": LinkEfficiency()}), BARE, "transferred"),
    ],
)
def test_what_stands_behind_an_expectation(chip: Chip, stack: Stack, expected: Calibration) -> None:
    assert calibration(chip, stack) == expected


TIMES = [replace(BARE, step=1e-6), replace(BARE, layer=1e-6), replace(BARE, operator=1e-6), replace(BARE, request=1e-6)]


@pytest.mark.parametrize("stack", TIMES)
def test_any_time_of_a_stack_was_measured_somewhere(stack: Stack) -> None:
    assert calibration(CHIP, stack) == "transferred"


def test_every_figure_of_requests_is_known_by_the_name_that_rows_have() -> None:
    requests = {OFFLINE, STEP, *(what for pair in SERVED.values() for what in pair)}
    assert set(FIGURES) == {*requests, POWER, ENERGY, SYSTEM}
    assert set(EVIDENCE.values()) == {"measured", "transferred", "datasheet"}


@given(known=st.sets(st.sampled_from(sorted(FIGURES))))
def test_a_figure_is_its_own_best_witness_and_others_stand_in_by_turns(known: set[str]) -> None:
    spreads = {name: of(1.0 + index) for index, name in enumerate(sorted(known))}
    for figure, others in FIGURES.items():
        order = [name for name in (figure, *others) if name in known]
        assert spread_of(spreads, figure) is (spreads[order[0]] if order else None)


def test_nothing_stands_in_for_a_queue_or_a_kernel() -> None:
    everything_else = {name: of(2.0) for name in FIGURES if name != "server first token"}
    assert spread_of(everything_else, "server first token") is None
    assert spread_of(everything_else, "matmul") is None
    assert spread_of({"matmul": of(3.0)}, "matmul") == of(3.0)
    assert spread_of({"matmul": of(3.0)}, "decode") is None


@pytest.mark.parametrize(("figure", "others"), FIGURES.items())
def test_what_stands_in_is_another_figure_once(figure: str, others: tuple[str, ...]) -> None:
    assert set(others) <= set(FIGURES) - {figure}
    assert len(set(others)) == len(others)
