"""JSON, CSV, markdown and HTML of hand-written results: they parse, their numbers are equal, nothing is injected."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from typing import Any

import pytest

from roofline.report import formats, human
from roofline.report.notebook import repr_html
from roofline.report.rows import deployment_row, flat_rows


def read_back(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_json_keeps_keys_in_order_and_every_number(result: dict[str, Any]) -> None:
    text = formats.render(result, "json")
    parsed = json.loads(text, parse_constant=pytest.fail)
    assert parsed == result
    assert list(parsed) == list(result)
    assert text.startswith('{\n  "schema"')
    assert text.endswith("}\n")


def test_jsonl_is_compact(comparison: dict[str, Any]) -> None:
    lines = formats.render(comparison, "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == comparison["rows"]
    assert lines[0].startswith('{"schema":"roofline.prediction/1","version"')


def test_csv_numbers_are_equal_when_read_back(comparison: dict[str, Any]) -> None:
    rows = read_back(formats.render(comparison, "csv"))
    assert len(rows) == len(comparison["rows"])
    for row, given in zip(rows, comparison["rows"], strict=True):
        for key, value in deployment_row(given).items():
            if isinstance(value, bool) or value is None:
                assert row[key] == ("" if value is None else str(value).lower())
            elif isinstance(value, (int, float)):
                assert float(row[key]) == value


def test_csv_columns_have_stable_names(comparison: dict[str, Any]) -> None:
    names = list(flat_rows(comparison)[0])
    wanted = ["workload", "deployment", "chip", "num_chips", "stack", "tp", "pp", "dp", "ep", "cp", "fits", "why",
              "total_bytes", "prefill_bound", "decode_bound", "ttft_s", "tpot_s_low", "power_w", "evidence"]  # fmt: skip
    assert [name for name in names if name in wanted] == wanted


@pytest.mark.parametrize("odd", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_no_text_becomes_a_formula(comparison: dict[str, Any], odd: str) -> None:
    comparison["rows"][0]["why"] = odd
    cell = read_back(formats.render(comparison, "csv"))[0]["why"]
    assert cell.startswith("'")


@pytest.mark.parametrize("odd", ['a "quoted", b', "two\nlines", "three\r\nlines\rhere", "芯片"])
def test_odd_text_stays_in_its_cell(comparison: dict[str, Any], odd: str) -> None:
    comparison["rows"][0]["why"] = odd
    rows = read_back(formats.render(comparison, "csv"))
    assert len(rows) == 3
    assert rows[0]["why"].splitlines() == odd.splitlines()


@pytest.mark.parametrize("form", formats.FORMATS)
def test_names_that_are_not_unicode_can_be_written(comparison: dict[str, Any], form: str) -> None:
    comparison["rows"][0]["deployment"]["label"] = "8x./\udcff.yaml"
    text = formats.render(comparison, form)
    assert text.encode("utf-8")
    if form == "json":
        assert json.loads(text)["rows"][0]["deployment"]["label"] == "8x./\udcff.yaml"


@pytest.mark.parametrize("color", [False, True])
def test_markdown_has_the_same_columns_in_every_row(result: dict[str, Any], color: bool) -> None:
    text = formats.render(result, "markdown", color=color)
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1
    assert bool(tables) == (result["schema"] != "roofline.lint/1")
    assert "```text\n\n```" not in text


def test_markdown_shows_names_as_they_are(comparison: dict[str, Any]) -> None:
    text = formats.render(comparison, "markdown")
    assert "=cmd\\|\\`rm\\`\\*\\<b\\>\\&amp;\\[x\\]\\_" in text


def test_html_neutralises_tags(comparison: dict[str, Any]) -> None:
    comparison["rows"][0]["why"] = "<script>"
    comparison["rows"][0]["fits"] = False
    html = repr_html(comparison)
    assert "<b>" not in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (human.quantity(999.7e12, "FLOP/s"), "1 PFLOP/s"),
        (human.quantity(999.4e12, "FLOP/s"), "999 TFLOP/s"),
        (human.quantity(math.nan, "B"), "-"),
        (human.duration(0.99972), "1 s"),
        (human.duration(2500 * 86400.0), "2,500 d"),
        (human.ratio(999.7), "1,000"),
        (human.many(999.7e6), "1 billion"),
        (human.many(1e18), "1,000,000 trillion"),
        (human.usd(0.0012), "$0.0012"),
        (human.usd(0.0), "$0.00"),
        (human.count(math.inf), "-"),
        (human.rate(None), "-"),
    ],
)
def test_people_see_no_exponents(shown: str, text: str) -> None:
    assert shown == text


def test_reports_show_no_exponents(result: dict[str, Any]) -> None:
    assert not re.search(r"\de[+-]\d", formats.render(result, "table"))


def test_importing_reports_imports_nothing_heavy() -> None:
    code = (
        "import pkgutil, importlib, sys, roofline.report as report\n"
        "for module in pkgutil.walk_packages(report.__path__, 'roofline.report.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([name for name in ('numpy', 'pandas', 'matplotlib', 'rich', 'yaml', 'pydantic') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
