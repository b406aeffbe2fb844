"""The report of a decision: ranks, what the second lacks, what is refused, and a chart that is the same each time."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.errors import OutputError
from roofline.report import formats
from roofline.report.charts.decision import decision_chart


@pytest.fixture(scope="module")
def decision() -> dict[str, Any]:
    return rl.decide("office-assistant", chips=["h100-sxm", "mi300x", "l40s", "max-1550", "m4"], top=4).data


def test_the_table_says_who_where_and_what_would_have_to_change(decision: dict[str, Any]) -> None:
    text = formats.render(decision, "table")
    assert "who trains: llama-3.1-8b, 2 billion tokens within 3 d" in text
    assert "where inference runs: llama-3.1-70b, weights fp8" in text
    assert text.count("second, ") == 2
    assert " wins where a " in text
    assert "no price is known, would win: " in text
    assert "not possible, chips in places: " in text
    assert "look closer: roofline explain " in text
    assert "budget $40,000 kept; power of own sites 30 kW kept" in text
    assert "assumed (default): electricity" in text


def test_nothing_unknown_is_printed_as_a_number(decision: dict[str, Any]) -> None:
    for form in ("table", "markdown", "csv", "json"):
        words = re.findall(r"[A-Za-z]+", formats.render(decision, form).lower())
        assert not {"nan", "inf", "infinity"} & set(words)


def test_csv_has_a_row_for_each_part_of_each_option(decision: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(formats.render(decision, "csv"), newline="")))
    served = [row for row in rows if row["decision"] == "serving"]
    parts = [part for option in decision["serving"][0]["options"] for part in option["parts"]]
    assert len(served) == len(parts)
    assert [float(row["usd_per_month"]) for row in served] == [part["usd_per_month"] for part in parts]
    assert {row["who"] for row in rows if row["decision"] == "training"} <= {"cloud", "own"}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_chart_is_the_same_each_time(decision: dict[str, Any], tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    for path in (first, second):
        decision_chart(decision, path)
    assert first.read_bytes() == second.read_bytes()


def test_every_line_of_the_chart_has_a_name(decision: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    decision_chart(decision, path)
    text = path.read_text(encoding="utf-8")
    for curve in decision["serving"][0]["curves"]["options"]:
        option = decision["serving"][0]["options"][curve["rank"] - 1]
        assert f"{curve['rank']}  {option['where']}, {option['parts'][0]['deployment']}" in text
    assert "USD a month" in text


def test_a_curve_passes_through_its_option(decision: dict[str, Any]) -> None:
    load = decision["serving"][0]
    scales = load["curves"]["requests"]
    at = min(range(len(scales)), key=lambda index: abs(scales[index] - 1.0))
    assert scales[at] == pytest.approx(1.0)
    for curve in load["curves"]["options"]:
        option = load["options"][curve["rank"] - 1]
        assert curve["usd_per_month"][at] == pytest.approx(option["usd_per_month"], rel=1e-6)


def test_other_suffixes_are_refused(decision: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"charts are drawn as \.png, \.svg, \.pdf"):
        decision_chart(decision, tmp_path / "chart.gif")
