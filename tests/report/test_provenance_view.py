"""What stands behind a report: evidence of every deployment, and the source of every number that went in."""

from __future__ import annotations

from typing import Any

from roofline.report.document import Grid, Heading, Text
from roofline.report.views.provenance import parts

Result = dict[str, Any]
SOURCES = [
    {"kind": "chip", "of": "a-chip", "title": "A datasheet", "url": "https://example.org/a", "date": "2026-01-02",
     "numbers": [{"key": "memory.HBM3", "value": "80 GB"}, {"key": "memory.L2", "value": "50 MB"},
                 {"key": "energy", "value": "98 W idle"}]},
    {"kind": "stack", "of": "a-stack", "title": None, "url": None, "date": None,
     "numbers": [{"key": "placement", "value": "layers"}]},
]  # fmt: skip


def grids(result: Result, **options: Any) -> dict[str, list[list[str]]]:
    """Rows of each table by the head of its first column."""
    found = [part for part in parts(result, **options) if isinstance(part, Grid)]
    return {grid.columns[0].head: [[cell.text for cell in row] for row in grid.rows] for grid in found}


def test_every_deployment_tells_what_it_rests_on(comparison: Result) -> None:
    evidence = {"calibration": "measured", "cases": 1203, "median_error": 0.1992, "power": "transferred", "sources": []}
    comparison["rows"][0]["evidence"] = evidence
    rows = grids(comparison)["deployment"]
    assert rows[0][1:] == ["measured", "1,203", "19.9 %", "transferred"]
    assert rows[1][1:] == ["datasheet", "0", "-", "-"]
    assert len(rows) == 3
    texts = [part.text for part in parts(comparison) if isinstance(part, Text)]
    assert [text.partition(":")[0] for text in texts] == ["measured", "datasheet", "cases"]


def test_what_is_varied_rests_on_one_deployment(chat: Result) -> None:
    varied = {name: chat[name] for name in ("schema", "deployment", "evidence")} | {
        "rows": [{"batch": 1.0}, {"batch": 2.0}]
    }
    assert len(grids(varied)["deployment"]) == 1


def test_phases_of_a_contrast_are_told_apart(contrast: Result) -> None:
    contrast["rows"] = [row for row in contrast["rows"] if row["fits"]]
    assert [row[1] for row in grids(contrast)["deployment"]] == ["training", "prefill", "decode", "prefill", "decode"]


def test_every_source_tells_its_numbers(chat: Result) -> None:
    rows = grids({**chat, "sources": SOURCES})["of"]
    assert rows == [
        ["a-chip", "memory: HBM3 80 GB; L2 50 MB. energy 98 W idle", "A datasheet https://example.org/a", "2026-01-02"],
        ["a-stack", "placement layers", "no source stated", "-"],
    ]


def test_costs_are_told_once(chat: Result) -> None:
    value = {"key": "pue", "name": "PUE", "value": 1.2, "unit": "", "text": "1.2", "source": "who", "date": "2024"}
    price = {"purchase_usd": None, "hourly_usd": 3.9, "hourly_source": "them", "hourly_date": "2026", "covers": None}
    chat |= {"assumptions": {"id": "ours", "name": "", "values": [value]}, "economics": {"price": price}}
    found = grids(chat)
    assert found["assumption (ours)"] == [["PUE", "1.2", "who (2024)"]]
    assert found["price of one chip"][0][1:] == ["$3.90", "them (2026)"]
    assert set(grids(chat, costs=True)) == {"deployment"}


def test_measurements_are_counted_by_who_made_them(validation: Result) -> None:
    validation["rows"][0]["source"] = "another"
    assert grids(validation) == {"measurements": [["a|page", "4"], ["another", "1"]]}


def test_what_rests_on_nothing_says_nothing(lint: Result, entry: Result, listing: Result) -> None:
    assert [list(parts(result)) for result in (lint, entry, listing)] == [[], [], []]


def test_evidence_comes_before_sources(chat: Result) -> None:
    heads = [part.text for part in parts({**chat, "sources": SOURCES}) if isinstance(part, Heading)]
    assert heads == ["Evidence", "Sources"]
