"""Where time goes: bars that are as long as their phases, parts that add up, names where there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline.errors import OutputError
from roofline.report.charts.bars import OTHER, Panel
from roofline.report.charts.time import COLORS, MOST, SHORT, panels_of, time_chart
from roofline.report.views.costs import COLLECTIVES, DOING, WAITING
from roofline.report.views.ranking import WORDS


def drawn(predictions: list[dict[str, Any]], folder: Path) -> str:
    time_chart(predictions, folder / "x.svg")
    return (folder / "x.svg").read_text(encoding="utf-8")


def only(predictions: list[dict[str, Any]]) -> dict[str, Panel]:
    return {panel.title.split()[0].rstrip(":"): panel for panel in panels_of(predictions)}


def test_each_phase_that_works_has_a_panel(comparison: dict[str, Any]) -> None:
    titles = [panel.title for panel in panels_of(comparison["rows"])]
    assert titles == [
        "prefill of 1,155 tokens: reading one prompt",
        "decode of 211 tokens: one step, the next token of every request",
    ]


def test_bars_are_as_long_as_one_step(comparison: dict[str, Any]) -> None:
    panels = only(comparison["rows"])
    for row, prefill, decode in zip(comparison["rows"], panels["prefill"].bars, panels["decode"].bars, strict=True):
        if row["fits"]:
            assert prefill.total == pytest.approx(row["phases"][0]["time_s"])
            assert decode.total == pytest.approx(row["phases"][1]["time_s"] / 211)
            assert decode.ideal == pytest.approx(row["phases"][1]["ideal_time_s"] / 211)
            assert prefill.more == "bound by compute"
        else:
            assert (prefill.parts, prefill.end) == ((), "does not fit")


def test_parts_are_what_operators_are_doing(chat: dict[str, Any]) -> None:
    (bar,) = only([chat])["prefill"].bars
    shares = {part.name: part.value / bar.total for part in bar.parts}
    big, small, messages = chat["phases"][0]["operators"]
    assert shares["reading weights"] == pytest.approx(big["share"] + small["share"])
    assert next(iter(shares)) == "reading weights"
    messages["kind"] = "all-reduce"
    (bar,) = only([chat])["prefill"].bars
    assert bar.parts[-1].name == "exchange between chips"
    assert bar.parts[-1].value == pytest.approx(messages["share"] * 0.057)


def test_what_is_small_in_every_bar_is_drawn_together(chat: dict[str, Any]) -> None:
    operators = chat["phases"][0]["operators"]
    for item, kind, share in zip(operators, ("scan", "elementwise", "quantise"), (0.98, 0.01, 0.01), strict=True):
        item |= {"kind": kind, "share": share}
    (bar,) = only([chat])["prefill"].bars
    assert [part.name for part in bar.parts] == ["recurrent layers", OTHER]
    assert bar.total == pytest.approx(0.057)


def test_intervals_are_those_of_one_step(chat: dict[str, Any]) -> None:
    chat["phases"][1] |= {"low_time_s": 2.11, "high_time_s": 4.22}
    (bar,) = only([chat])["decode"].bars
    assert bar.low == pytest.approx(0.01)
    assert bar.high == pytest.approx(0.02)
    assert bar.reach == pytest.approx(0.02)


def test_training_is_divided_as_its_report_is(training: dict[str, Any]) -> None:
    training["phases"][0]["parts"] = [
        {"name": "products", "time_s": 5.0, "hidden_time_s": 0.0, "share": 5.0 / 6.31},
        {"name": "bubble", "time_s": 1.31, "hidden_time_s": 0.0, "share": 1.31 / 6.31},
    ]
    (panel,) = panels_of([training])
    assert panel.title == "training: one step"
    assert [(part.name, round(part.value, 6)) for part in panel.bars[0].parts] == [
        ("products", 5.0),
        ("pipeline bubble", 1.31),
    ]


def test_whatever_is_told_in_words_has_a_colour() -> None:
    assert {*DOING.values(), COLLECTIVES, WAITING, *WORDS.values()} == set(COLORS)
    assert set(SHORT) < set(COLORS)


def test_several_phases_of_a_name_are_told_by_their_tokens(chat: dict[str, Any]) -> None:
    chat["workload"] = {
        **chat["workload"],
        "steps": [{"prefill": 70.0}, {"decode": 32.0}, {"pause": 2.0}, {"prefill": 4096.0}, {"decode": 512.0}],
    }
    prefill, decode, pause = chat["phases"]
    chat["phases"] = [prefill, decode, pause, prefill, decode]
    titles = [panel.title.partition(":")[0] for panel in panels_of([chat])]
    assert titles == ["prefill of 70 tokens", "decode of 32 tokens", "prefill of 4,096 tokens", "decode of 512 tokens"]


def test_of_very_many_phases_those_that_take_most_are_drawn(chat: dict[str, Any]) -> None:
    prefill = chat["phases"][0]
    chat["workload"] = {**chat["workload"], "steps": [{"prefill": float(index)} for index in range(1, 10)]}
    chat["phases"] = [{**prefill, "time_s": 0.01 * index} for index in range(1, 10)]
    titles = [panel.title.split()[2] for panel in panels_of([chat])]
    assert titles == [str(index) for index in range(10 - MOST, 10)]


def test_names_are_written_where_there_is_room_and_else_in_a_key(comparison: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn(comparison["rows"], tmp_path)
    for text in ("Where the time goes", "reading weights", "8xchip-with-a-rather-long-", "does not fit", "bound by compute",
                 "triangle: nothing can be faster", "expected times (datasheet: 8xchip-with"):  # fmt: skip
        assert text in svg


def test_a_name_stands_in_its_part_or_in_the_key_but_not_in_both(chat: dict[str, Any], tmp_path: Path) -> None:
    operators = chat["phases"][0]["operators"]
    for item, kind, share in zip(operators, ("scan", "elementwise", "quantise"), (0.9, 0.07, 0.03), strict=True):
        item |= {"kind": kind, "share": share}
    chat["phases"] = chat["phases"][:1]
    svg = drawn([chat], tmp_path)
    assert svg.count("recurrent layers") == svg.count("recurrent layers 51.3 ms") == 1
    assert svg.count("narrowing activations") == 1
    assert "norms and other passes" in svg


def test_nothing_that_fits_is_no_chart(chat: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="chart kind time: no phase takes any time"):
        time_chart([{**chat, "fits": False}], tmp_path / "x.svg")
