"""The roofline in characters: roofs, ridge, letters and legend, within the width it was given."""

from __future__ import annotations

import re
from typing import Any

import pytest

from roofline.report import terminal_chart
from roofline.report.terminal_chart import draw


@pytest.mark.parametrize("width", [40, 44, 60, 80, 100, 133])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_asked(chat: dict[str, Any], training: dict[str, Any], width: int, unicode: bool) -> None:
    for item in (chat, training):
        lines = list(draw(item, width=width, unicode=unicode))
        assert max(map(len, lines)) <= width
        assert len(lines) > terminal_chart.HEIGHT
        assert all(line == line.rstrip() for line in lines)


def test_everything_is_named(chat: dict[str, Any]) -> None:
    lines = list(draw(chat, width=100))
    assert lines[0].endswith("ceiling 1.98 PFLOP/s fp8, ridge point 591 FLOP/B")
    whole = "\n".join(lines)
    for text in (
        "1.98 PFLOP/s fp8",
        "HBM3 3.35 TB/s",
        "ridge 591",
        "100 TFLOP/s",
        "1,000",
        "[FLOP/B]",
        "prefill/ffn/up",
    ):
        assert text in whole
    letters = [line.split()[0] for line in lines if "prefill/" in line or "decode/" in line]
    assert letters == list("abcdef"[: len(letters)])
    chart = lines[1 : 1 + terminal_chart.HEIGHT]
    assert all(any(letter in line[14:] for line in chart) for letter in letters)


def test_the_ceiling_is_flat_and_the_slope_rises(chat: dict[str, Any]) -> None:
    chart = [line[14:] for line in list(draw(chat, width=100, unicode=False))[1:15]]
    runs = [(found.start(), row) for row, line in enumerate(chart) for found in re.finditer("//+", line)]
    assert len(runs) > 8
    assert [row for _, row in sorted(runs)] == sorted((row for _, row in runs), reverse=True)
    assert len({row for row, line in enumerate(chart) if "--" in line}) == 1


def test_ascii_has_nothing_else(chat: dict[str, Any]) -> None:
    chat["roofs"]["memory"][-1]["name"] = "HBM³"
    assert "\n".join(draw(chat, unicode=False)).isascii()


def test_phases_that_come_again_are_told_apart(chat: dict[str, Any]) -> None:
    again = {**chat["phases"][0], "operators": [{**chat["phases"][0]["operators"][0], "arithmetic_intensity": 7.0}]}
    chat["phases"].append(again)
    assert any("prefill_4/ffn/up" in line for line in draw(chat))


def test_nothing_is_drawn_of_what_is_not_known(chat: dict[str, Any]) -> None:
    assert not list(draw(chat, width=39))
    assert not list(draw({**chat, "phases": []}))
    chat["roofs"]["memory"] = []
    assert not list(draw(chat))
