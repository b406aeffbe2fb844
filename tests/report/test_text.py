"""Tables of any width: every cell is in the text, whole, whatever shape the table had to take."""

from __future__ import annotations

import re
from typing import Any

import pytest

from roofline.report import formats, text
from roofline.report.document import Cell, Column, Drawing, Grid, Heading, Text
from roofline.report.views import view

WIDTHS = [None, 20, 40, 60, 80, 100, 160]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("color", [False, True])
def test_no_cell_is_ever_cut(result: dict[str, Any], width: int | None, color: bool) -> None:
    shown = formats.render(result, "table", width=width, color=color)
    assert "…" not in shown
    for part in view(result, width=width):
        if isinstance(part, Grid) and part.rows:
            kept = [index for index, column in enumerate(part.columns) if not column.wraps]
            for index in kept:
                for whole in (part.columns[index].head, *(row[index].text for row in part.rows)):
                    assert text.clean(whole) in shown


@pytest.mark.parametrize("width", [80, 100, 160])
def test_what_can_fit_does_fit(result: dict[str, Any], width: int) -> None:
    from rich.cells import cell_len

    assert all(cell_len(line) <= width for line in formats.render(result, "table", width=width).splitlines())


def test_a_wide_listing_comes_in_bands_that_repeat_the_name(listing: dict[str, Any]) -> None:
    lines = formats.render(listing, "table", width=80).splitlines()
    named = [line for line in lines if line.startswith("a-chip-with-a-long-name ")]
    assert len(named) > 1
    assert "85.9 GB" in "\n".join(named)
    assert sum(line.startswith("id ") for line in lines) == len(named)
    assert len(formats.render(listing, "table").splitlines()) < len(lines)


def test_a_narrow_comparison_turns_then_becomes_blocks(comparison: dict[str, Any]) -> None:
    comparison["rows"] = comparison["rows"][::2]
    turned = formats.render(comparison, "table", width=80)
    assert [line.split()[0] for line in turned.splitlines() if line.startswith(("TTFT", "fits"))] == ["fits", "TTFT"]
    blocks = formats.render(comparison, "table", width=62)
    assert [line.split()[0] for line in blocks.splitlines() if line.startswith("TTFT")] == ["TTFT", "TTFT"]


def test_prose_becomes_blocks_before_it_becomes_a_thread(explanation: dict[str, Any]) -> None:
    shown = formats.render(explanation, "table", width=50)
    assert "2·16·8,192·14,336" in shown  # no number is broken over two lines
    assert any(line.startswith("quantity") and line.endswith("FLOPs") for line in shown.splitlines())


def test_a_pipe_gets_lines_without_boxes_or_trailing_blanks(result: dict[str, Any]) -> None:
    shown = formats.render(result, "table")
    assert shown.endswith("\n")
    assert all(line == line.rstrip() for line in shown.splitlines())
    assert not any(char in shown for char in "┃━┏╭║╶╴")


def test_names_command_no_terminal(comparison: dict[str, Any]) -> None:
    shown = formats.render(comparison, "table")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "芯片$a_{$" in shown


def test_misfits_are_red_and_say_why(comparison: dict[str, Any]) -> None:
    shown = formats.render(comparison, "table", color=True, width=250)
    assert re.search("\x1b\\[31mno *\x1b\\[0m", shown)
    assert re.search("\x1b\\[32myes *\x1b\\[0m", shown)
    assert "1xtoo-small does not fit: needs 141 GB per chip, has 80 GB" in shown


@pytest.mark.parametrize("color", [False, True])
def test_the_environment_changes_nothing(result: dict[str, Any], color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = formats.render(result, "table", width=None, color=color)
    for name, value in (("TERM", "dumb"), ("COLUMNS", "40"), ("NO_COLOR", "1"), ("COLORTERM", "truecolor")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert formats.render(result, "table", width=None, color=color) == before


def test_bounds_are_not_called_expectations(comparison: dict[str, Any]) -> None:
    assert "bounds, not expectations" in formats.render(comparison, "table")
    for row in comparison["rows"]:
        row["evidence"]["calibration"] = "measured"
    assert "bounds, not expectations" not in formats.render(comparison, "table")


def test_what_is_empty_is_not_shown() -> None:
    document = (Heading("a"), Drawing(()), Grid.of([Column("x")], []), Text("b"))
    assert text.render(document) == "a\nb\n"


def test_a_table_without_columns_to_spare_is_still_whole() -> None:
    grid = Grid.of([Column("only")], [["a-name-wider-than-the-terminal"]])
    assert "a-name-wider-than-the-terminal" in text.render((grid,), width=10)
    assert grid.band([]).rows == ((Cell("a-name-wider-than-the-terminal"),),)
