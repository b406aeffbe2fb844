"""Formats: JSON that parses, CSV that is safe, markdown that holds together, tables that are never cut."""

from __future__ import annotations

import csv
import io
import json
import math
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest

import roofline as rl
from roofline.errors import OutputError
from roofline.report import formats, human, markdown, terminal_chart
from roofline.report.charts.placement import spread
from roofline.report.notebook import repr_html
from roofline.report.rows import flat_rows

DEPLOYMENTS = ["8xh100-sxm", "8xmi300x", "576xgroq-lpu-v1", "a100-sxm-80gb:tp=1,weights=bf16"]


@pytest.fixture(scope="module")
def comparison() -> dict[str, Any]:
    return rl.compare("llama-3.1-70b-chat", DEPLOYMENTS).data


@pytest.fixture(scope="module")
def prediction() -> dict[str, Any]:
    return rl.predict("llama-3.1-70b-retrieval", "8xh100-sxm").data


def test_json_never_holds_nan(prediction: dict[str, Any]) -> None:
    odd = deepcopy(prediction)
    odd["metrics"]["ttft_s"] = math.nan
    odd["phases"][0]["time_s"] = math.inf
    parsed = json.loads(formats.render(odd, "json"), parse_constant=pytest.fail)
    assert parsed["metrics"]["ttft_s"] is None
    assert parsed["phases"][0]["time_s"] is None


def test_jsonl_is_one_object_a_line(comparison: dict[str, Any], prediction: dict[str, Any]) -> None:
    lines = formats.render(comparison, "jsonl").splitlines()
    assert [json.loads(line)["deployment"]["label"] for line in lines][:2] == ["8xh100-sxm", "8xmi300x"]
    assert json.loads(formats.render(prediction, "jsonl"))["schema"] == "roofline.prediction/1"


def test_spreadsheets_see_text_not_formulas(comparison: dict[str, Any]) -> None:
    odd = deepcopy(comparison)
    for index, start in enumerate("=+-@"):
        odd["rows"][index]["deployment"]["label"] = f"{start}cmd|' /C calc'!A0"
    rows = list(csv.DictReader(io.StringIO(formats.render(odd, "csv"))))
    assert all(row["deployment"].startswith("'") for row in rows)
    assert all(not value.startswith(("=", "@")) for row in rows for value in row.values())


def test_csv_of_a_prediction_has_a_row_for_each_operator(prediction: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(formats.render(prediction, "csv"))))
    assert len(rows) == sum(len(phase["operators"]) for phase in prediction["phases"])
    assert {row["phase"] for row in rows} == {"prefill", "decode"}


def test_repeated_phases_have_columns_of_their_own(prediction: dict[str, Any]) -> None:
    row = flat_rows({"schema": "roofline.comparison/1", "rows": [prediction]})[0]
    assert {"prefill_time_s", "decode_time_s", "pause_time_s", "prefill_4_time_s", "decode_5_time_s"} <= set(row)


def test_markdown_tables_hold_together(comparison: dict[str, Any]) -> None:
    text = formats.render(comparison, "markdown")
    table = [line for line in text.splitlines() if line.startswith("|")]
    bars = [line.replace("\\|", "").count("|") for line in table]
    assert len(table) == 2 + len(DEPLOYMENTS)
    assert len(set(bars)) == 1
    assert markdown.escape("a|b*c<d") == "a\\|b\\*c\\<d"


@pytest.mark.parametrize("width", [None, 40, 60, 80, 100, 200])
def test_tables_are_never_cut(comparison: dict[str, Any], width: int | None) -> None:
    text = formats.render(comparison, "table", width=width)
    assert "…" not in text
    for label in ("8xh100-sxm", "8xmi300x", "576xgroq-lpu-v1"):
        assert label in text
    for name in ("TTFT", "TPOT", "tok/s/user", "$/Mtok"):
        assert name in text
    if width and width >= 80:
        assert max(len(line) for line in text.splitlines()) <= width


def test_what_does_not_fit_says_why_and_shows_no_numbers(comparison: dict[str, Any]) -> None:
    text = formats.render(comparison, "table")
    row = next(line for line in text.splitlines() if line.startswith("1xa100"))
    assert row.split()[1] == "no"
    assert row.split()[3:9] == ["-"] * 6
    assert "does not fit: needs 148 GB per chip (weights 141 GB" in text


def test_colour_only_when_asked(comparison: dict[str, Any]) -> None:
    assert "\x1b[" not in formats.render(comparison, "table", width=200)
    assert "\x1b[" in formats.render(comparison, "table", width=200, color=True)


def test_all_operators_or_the_largest(prediction: dict[str, Any]) -> None:
    short, whole = (formats.render(prediction, "table", all_rows=flag) for flag in (False, True))
    assert "(--all)" in short
    assert "(--all)" not in whole
    assert len(whole.splitlines()) > len(short.splitlines())


def test_notebooks_get_escaped_tables(comparison: dict[str, Any]) -> None:
    odd = deepcopy(comparison)
    odd["rows"][0]["deployment"]["label"] = "<script>alert(1)</script>"
    html = repr_html(odd)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr>") == 1 + len(DEPLOYMENTS)


def test_the_terminal_chart_has_roofs_points_and_a_legend(prediction: dict[str, Any]) -> None:
    lines = list(terminal_chart.draw(prediction, width=80))
    assert "ridge point 591 FLOP/B" in lines[0]
    assert all(len(line) <= 90 for line in lines if not line.strip().startswith(tuple("abcdefgh")))
    assert any("\u2800" <= char <= "\u28ff" for line in lines for char in line)
    assert any(line.strip().startswith("a ") for line in lines)
    plain = "\n".join(terminal_chart.draw(prediction, width=80, unicode=False))
    assert plain.isascii()


def test_unknown_formats_are_refused(comparison: dict[str, Any]) -> None:
    with pytest.raises(OutputError, match="no format 'markdwn'; did you mean 'markdown'"):
        formats.render(comparison, "markdwn")
    with pytest.raises(OutputError, match="no format has the suffix"):
        formats.format_of("x")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (human.duration(7200.0), "2 h"),
        (human.duration(86400.0 * 30), "30 d"),
        (human.duration(1.5e-7), "0.15 us"),
        (human.usd(12.0), "$12.00"),
        (human.usd(110_100_000.0), "$110.1 M"),
        (human.percent(None), "-"),
        (human.rate(7416.2), "7,416"),
        (human.ratio(1234.5), "1,234"),
        (human.many(350e9), "350 billion"),
    ],
)
def test_numbers_as_people_read_them(shown: str, text: str) -> None:
    assert shown == text


def test_labels_spread_apart_and_stay_in_order() -> None:
    placed = spread([3.0, 2.9, 2.85, 1.0], 0.5)
    assert placed == sorted(placed, reverse=True)
    assert all(above - below >= 0.5 - 1e-12 for above, below in pairwise(placed))
    assert placed[-1] == 1.0
