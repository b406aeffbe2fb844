"""From residuals to intervals: they hold what they promise, and every row is an example once of each of its places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog import spreads
from roofline.catalog.spreads import COLUMNS
from roofline.catalog.store import Catalog
from roofline.studies.calibration.residuals import LeftOut, Residual
from roofline.studies.calibration.spread import (
    COVER,
    FEWEST_CASES,
    FEWEST_GROUPS,
    entries,
    nearest,
    quantile,
    spread,
    table,
)

SIZES = st.integers(min_value=19, max_value=400)  # of groups, from which on nine in ten can be told
ERRORS = st.floats(min_value=-5.0, max_value=5.0)


def residual(error: float, group: str = "a", **more: object) -> Residual:
    told: dict[str, object] = {
        "id": f"{group}-{error}", "chip": "h100-sxm", "family": "hopper", "kind": "gpu", "stack": "vllm", "model": group,
        "mode": "fixed_batch", "figure": "decode", "phase": "decode", "offline": False, "watched": False,
        "left_out": "model", "group": group, "level": "h100-sxm", "error": error,
    }  # fmt: skip
    return Residual(**{**told, **more})  # type: ignore[arg-type]


def singles(values: list[float]) -> list[Residual]:
    """Measured over predicted [ln], each of a group of its own."""
    return [residual(-value, f"model-{index}") for index, value in enumerate(values)]


def enough(**more: object) -> list[Residual]:
    """Rows that are just enough for a spread."""
    return [
        residual(0.01 * index, f"model-{index % FEWEST_GROUPS}", id=f"row-{index}", **more) for index in range(FEWEST_CASES)
    ]  # fmt: skip


def places(residuals: list[Residual]) -> list[tuple[str, str, str, str]]:
    return [(entry.evidence, entry.stack, entry.kind, entry.chip) for entry in entries(residuals)]


# -- percentiles


@pytest.mark.parametrize("size", [19, 39, 59])
@given(data=st.data())
def test_nine_in_ten_left_out_rows_lie_inside_the_spread_of_the_others(size: int, data: st.DataObject) -> None:
    """Exactly, whatever they are: of 20 exchangeable rows the smallest and the largest are outside, of 40 two each."""
    values = data.draw(st.lists(ERRORS, min_size=size + 1, max_size=size + 1, unique_by=lambda value: round(value, 6)))
    inside = 0
    for index, value in enumerate(values):
        found = spread(singles(values[:index] + values[index + 1 :]))
        inside += found.low * (1 - 1e-9) <= np.exp(value) <= found.high * (1 + 1e-9)
    assert inside == round(COVER * (size + 1))


@given(size=SIZES)
def test_on_average_the_next_of_so_many_lies_inside_as_often_as_promised(size: int) -> None:
    """Of uniform rows the k-th of n lies at k/(n + 1) on average, and percentiles are linear in them."""
    found = spread(singles([(index + 1) / (size + 1) for index in range(size)]))
    assert np.log(found.high) - np.log(found.low) == pytest.approx(COVER, abs=1e-9)
    assert np.log(found.high) + np.log(found.low) == pytest.approx(1.0, abs=1e-9)


@given(values=st.lists(ERRORS, min_size=1, max_size=18))
def test_fewer_groups_give_the_whole_range(values: list[float]) -> None:
    found = spread(singles(values))
    assert found.low == pytest.approx(np.exp(min(values)))
    assert found.high == pytest.approx(np.exp(max(values)))


@given(values=st.lists(ERRORS, min_size=1, max_size=60))
def test_a_spread_tells_times_and_their_median_error(values: list[float]) -> None:
    found = spread([residual(error, f"model-{index}") for index, error in enumerate(values)])
    turned = spread([residual(-error, f"model-{index}") for index, error in enumerate(values)])
    assert (found.cases, found.groups) == (len(values), len(values))
    assert found.low <= found.high
    assert turned.low == pytest.approx(1 / found.high)
    assert found.median_error == pytest.approx(np.median([abs(np.exp(value) - 1) for value in values]))


def test_what_is_predicted_twice_too_slow_takes_half_of_the_prediction() -> None:
    found = spread([residual(np.log(2.0), f"model-{index}") for index in range(30)])
    assert (found.low, found.high, found.median_error) == pytest.approx((0.5, 0.5, 1.0))


@pytest.mark.parametrize(
    ("others", "expected"),
    [(60, 3.0), (120, 1.0)],
)
def test_a_group_weighs_as_the_square_root_of_its_rows(others: int, expected: float) -> None:
    """16 rows of one group weigh 4: one in 16 of 60 + 4 reaches into the last twentieth, one in 31 of 120 + 4 does not.
    Were each row to weigh 1, both would; were the group to weigh 1, neither."""
    crowd = [residual(-np.log(3.0), "crowd") for _ in range(16)]
    found = spread([*crowd, *singles([0.0] * others)])
    assert found.high == pytest.approx(expected)
    assert (found.cases, found.groups) == (16 + others, 1 + others)


def test_groups_of_the_same_name_elsewhere_are_others() -> None:
    rows = [residual(0.1, chip=chip, stack=stack) for chip in ("a", "b") for stack in ("x", "y") for _ in range(3)]
    assert spread(rows).groups == 4


WEIGHED = st.lists(st.tuples(ERRORS, st.floats(min_value=0.1, max_value=5.0)), min_size=1, max_size=30,
                    unique_by=lambda row: round(row[0], 6))  # fmt: skip


@given(
    rows=WEIGHED,
    level=st.floats(min_value=0.0, max_value=1.0),
    shift=ERRORS,
    by=st.floats(min_value=0.5, max_value=4.0),
)
def test_percentiles_move_with_values_and_know_no_unit_of_weight(
    rows: list[tuple[float, float]], level: float, shift: float, by: float
) -> None:
    values, weights = np.array(rows).T
    found = quantile(values, weights, level)
    assert values.min() <= found <= values.max()
    assert quantile(values + shift, weights, level) == pytest.approx(found + shift, abs=1e-9)
    assert quantile(values[::-1], weights[::-1] * by, level) == pytest.approx(found, abs=1e-6)
    assert quantile(values, weights, min(level + 0.1, 1.0)) >= found


@given(values=st.lists(ERRORS, min_size=1, max_size=40), level=st.floats(min_value=0.0, max_value=1.0))
def test_equal_weights_are_hazens_percentiles(values: list[float], level: float) -> None:
    """(k − ½)/n, the fifth of the nine definitions of Hyndman and Fan 1996."""
    found = quantile(np.array(values), np.ones(len(values)), level)
    assert found == pytest.approx(np.quantile(values, level, method="hazen"), abs=1e-9)


# -- places


@pytest.mark.parametrize(
    ("left_out", "evidence", "first"),
    [("model", "measured", 0), ("shape", "measured", 0), ("chip", "transferred", 1), ("everything", "datasheet", 2)],
)
def test_a_row_is_an_example_of_every_place_that_could_have_predicted_it(
    left_out: LeftOut, evidence: str, first: int
) -> None:
    all_places = [("vllm", "gpu", "h100-sxm"), ("vllm", "gpu", ""), ("", "gpu", ""), ("", "", "")]
    assert places(enough(left_out=left_out)) == [(evidence, *place) for place in all_places[first:]]


@pytest.mark.parametrize("left_out", ["shape", "chip", "everything"])
def test_a_kernel_of_a_library_counts_once_in_each_place(left_out: LeftOut) -> None:
    found = list(entries(enough(stack="", left_out=left_out, figure="matmul", phase="kernel")))
    assert [(entry.stack, entry.kind, entry.chip) for entry in found] == [
        *([("", "gpu", "h100-sxm")] if left_out == "shape" else []), ("", "gpu", ""), ("", "", ""),
    ]  # fmt: skip
    assert {(entry.spread.cases, entry.spread.groups) for entry in found} == {(FEWEST_CASES, FEWEST_GROUPS)}


def test_too_few_rows_or_groups_yield_nothing() -> None:
    assert places(enough())
    assert places(enough()[1:]) == []
    rows = [residual(0.1, f"model-{index % (FEWEST_GROUPS - 1)}", id=f"row-{index}") for index in range(100)]
    assert places(rows) == []


def test_wider_places_have_what_closer_ones_lack() -> None:
    rows = [*enough()[:-1], residual(0.1, "another", chip="h200-sxm")]
    assert places(rows) == [("measured", "vllm", "gpu", ""), ("measured", "", "gpu", ""), ("measured", "", "", "")]


def test_figures_are_apart() -> None:
    found = list(entries([*enough(), *enough(figure="prefill", phase="prefill")]))
    assert sorted(entry.figure for entry in found) == ["decode"] * 4 + ["prefill"] * 4
    assert {entry.spread.cases for entry in found} == {FEWEST_CASES}


@pytest.mark.parametrize("turned", [False, True])
def test_a_row_counts_as_its_family_predicted_it_not_its_kind(turned: bool) -> None:
    kernel = {"id": "k", "left_out": "chip", "figure": "matmul", "phase": "kernel"}
    rows = [residual(0.1, level="hopper", **kernel), residual(0.9, level="gpu", **kernel)]
    rows.append(residual(0.7, level="gpu", **{**kernel, "id": "without a family"}))
    found = list(nearest(reversed(rows) if turned else rows))
    assert {item.id: item.error for item in found} == {"k": 0.1, "without a family": 0.7}


def test_a_row_is_an_example_of_each_that_was_left_out() -> None:
    rows = [residual(0.1, id="r", left_out=left_out) for left_out in ("model", "chip", "everything")]
    assert list(nearest(rows)) == rows


# -- the table


def test_the_table_reads_back_as_it_was_found(tmp_path: Path) -> None:
    rows = [
        *enough(),
        *enough(left_out="everything", figure="offline"),
        *enough(stack="", figure="matmul", left_out="shape"),
    ]
    path = tmp_path / spreads.FILE
    path.write_text(table(rows), encoding="utf-8")
    read, written = spreads.read(path), list(entries(rows))
    assert len(read) == len(written) == 9
    for one, other in zip(read, written, strict=True):
        assert [getattr(one, key) for key in COLUMNS[:5]] == [getattr(other, key) for key in COLUMNS[:5]]
        for name in COLUMNS[5:]:
            assert getattr(one.spread, name) == pytest.approx(getattr(other.spread, name), rel=5e-3)


def test_predictions_carry_what_the_table_says(tmp_path: Path, catalog: Catalog) -> None:
    rows = [residual(np.log(4.0), f"model-{index}", left_out=left_out) for index in range(20) for left_out in ("model", "chip")]  # fmt: skip
    (tmp_path / spreads.FILE).write_text(table(rows), encoding="utf-8")
    chip = catalog.chip("h100-sxm")
    found = Catalog((tmp_path,)).spreads(chip, catalog.stack("vllm", chip))["decode"]
    assert (found.low, found.high, found.cases, found.groups) == (0.25, 0.25, 20, 20)


def test_no_rows_are_a_table_without_rows() -> None:
    assert table([]) == ",".join(COLUMNS) + "\n"
