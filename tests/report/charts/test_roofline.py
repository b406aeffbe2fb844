"""Roofline charts: files of every kind, the same bytes for the same numbers, no name that breaks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from roofline.errors import OutputError
from roofline.report.charts.roofline import roofline_chart

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", STARTS)
def test_the_same_numbers_give_the_same_bytes(suffix: str, comparison: dict[str, Any], tmp_path: Path) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    roofline_chart(comparison["rows"], first)
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "red"}):  # a user's own style changes nothing
        roofline_chart(comparison["rows"], second)
        assert mpl.rcParams["font.size"] == 20.0
    assert first.read_bytes().startswith(STARTS[suffix])
    assert first.read_bytes() == second.read_bytes()


def test_another_suffix_is_refused(chat: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.gif: charts are drawn as \.png, \.svg, \.pdf"):
        roofline_chart([chat], tmp_path / "x.gif")
    roofline_chart([chat], tmp_path / "temporary", suffix=".SVG")
    assert (tmp_path / "temporary").read_bytes().startswith(STARTS[".svg"])


def test_what_cannot_be_written_is_the_users_error(chat: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written: no such file or directory"):
        roofline_chart([chat], tmp_path / "missing" / "x.png")


def drawn(predictions: list[dict[str, Any]], folder: Path) -> str:
    roofline_chart(predictions, folder / "x.svg")
    return (folder / "x.svg").read_text(encoding="utf-8")


def test_one_deployment_is_labelled_in_place(chat: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn([chat], tmp_path)
    for text in ("ridge point 591 FLOP/B", "HBM3 3.35 TB/s", "L2 12 TB/s", "ffn/up", "1.98 PFLOP/s fp8", "a-chat",
                 "bound by memory", "roofline 0.1.0", "datasheet: 8xchip-with"):  # fmt: skip
        assert text in svg
    assert "all-reduce" not in svg  # it calculates nothing, so it has no place on the chart


def test_several_deployments_are_named_at_their_ceilings(comparison: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn(comparison["rows"], tmp_path)
    assert "1xtoo-small" in svg
    assert "1.98 PFLOP/s fp8, does not fit" in svg
    assert "HBM3 3.35 TB/s, ridge 591" in svg
    assert "prefill operators" in svg


def test_training_has_a_marker_of_its_own(training: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn([training], tmp_path)
    assert "training operators" in svg
    assert "forward/ffn/up" in svg


def test_misfits_have_roofs_but_no_points(chat: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn([{**chat, "fits": False}], tmp_path)
    assert "ridge point" in svg
    assert "ffn/up" not in svg


def test_unknown_roofs_leave_an_empty_chart(chat: dict[str, Any], tmp_path: Path) -> None:
    chat["roofs"]["memory"][-1]["bandwidth_bytes_per_s"] = None
    assert "8xchip" not in drawn([chat], tmp_path)
    assert drawn([], tmp_path)


def test_many_deployments_and_levels_that_no_palette_has(chat: dict[str, Any], tmp_path: Path) -> None:
    rows = []
    for index in range(12):
        memory = (
            [{"name": "SRAM", "bandwidth_bytes_per_s": 80e12, "main": True}] if index == 0 else chat["roofs"]["memory"]
        )
        rows.append({**chat, "roofs": {**chat["roofs"], "memory": memory, "peak_flops_per_s": 5e14 * (index + 1)}})
    assert "SRAM 80 TB/s, ridge 6.25" in drawn(rows, tmp_path)
