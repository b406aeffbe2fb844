"""Scatters of validations: files of every kind, the same bytes for the same rows, every row where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline.errors import OutputError
from roofline.report import charts
from roofline.report.charts.validation import MANY, panels_of, point, scatter_chart

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def drawn(result: dict[str, Any], folder: Path) -> str:
    scatter_chart(result, folder / "x.svg")
    return (folder / "x.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", STARTS)
def test_the_same_rows_give_the_same_bytes(suffix: str, validation: dict[str, Any], tmp_path: Path) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    scatter_chart(validation, first)
    scatter_chart(validation, second)
    assert first.read_bytes().startswith(STARTS[suffix])
    assert first.read_bytes() == second.read_bytes()


def test_a_row_that_moves_changes_the_drawing(validation: dict[str, Any], tmp_path: Path) -> None:
    before = drawn(validation, tmp_path)
    validation["rows"][0]["predicted"] *= 2
    assert drawn(validation, tmp_path) != before


def test_times_and_rates_have_panels_of_their_own(validation: dict[str, Any]) -> None:
    panels = panels_of(validation["rows"])
    assert [row["id"] for row in panels["times"]] == ["close", "far", "too-slow", "impossible"]
    assert [row["id"] for row in panels["rates"]] == ["a-rate"]


@pytest.mark.parametrize(("unit", "seconds"), [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("tokens/s", 1.0)])
def test_points_are_in_seconds_or_rates(unit: str, seconds: float) -> None:
    measured, predicted = point({"unit": unit, "measured": 2.0, "predicted": 3.0})
    assert measured == pytest.approx(2.0 * seconds)
    assert predicted == pytest.approx(3.0 * seconds)


def test_what_is_drawn_is_said(validation: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn(validation, tmp_path)
    for text in ("Predicted and measured", "gpu", "tpu", "4 times, median error", "1 rates, median error 20.0 %",
                 "measured time", "predicted rate [tokens/s]", "±25 %", "only scoring rows, 1,234 others left out",
                 "roofline 0.1.0"):  # fmt: skip
        assert text in svg


def test_kinds_keep_their_colours_whatever_else_is_drawn(validation: dict[str, Any], tmp_path: Path) -> None:
    rates = {**validation, "rows": validation["rows"][-1:]}
    assert "#d55e00" in drawn(rates, tmp_path)
    assert "#0072b2" not in drawn(rates, tmp_path)
    assert "#0072b2" in drawn(validation, tmp_path)


def test_a_kind_nobody_knows_is_drawn_too(validation: dict[str, Any], tmp_path: Path) -> None:
    validation["rows"][0]["chip_kind"] = "abacus"
    assert "abacus" in drawn(validation, tmp_path)


def test_very_many_points_make_no_large_file(validation: dict[str, Any], tmp_path: Path) -> None:
    row = validation["rows"][0]
    rows = [{**row, "measured": 1.0 + index / MANY} for index in range(MANY + 1)]
    assert "<image" in drawn({**validation, "rows": rows}, tmp_path)
    assert "<image" not in drawn({**validation, "rows": rows[:-1]}, tmp_path)


def test_no_rows_and_no_figures_make_an_empty_chart(validation: dict[str, Any], tmp_path: Path) -> None:
    assert "Predicted and measured" in drawn({**validation, "rows": []}, tmp_path)
    empty = [{**validation["rows"][0], "predicted": 0.0}]
    assert "gpu" not in drawn({**validation, "rows": empty}, tmp_path)


def test_another_suffix_is_refused(validation: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.gif: charts are drawn as \.png, \.svg, \.pdf"):
        scatter_chart(validation, tmp_path / "x.gif")


def test_a_result_is_drawn_as_its_kind(validation: dict[str, Any], chat: dict[str, Any], tmp_path: Path) -> None:
    for result, text in ((validation, "measured time"), (chat, "arithmetic intensity")):
        charts.draw(result, tmp_path / "temporary", suffix=".svg")
        assert text in (tmp_path / "temporary").read_text(encoding="utf-8")
