"""Energy of a token: chips, then what hosts and the site add, as far as they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline.errors import OutputError
from roofline.report.charts.energy import _bar, energy_chart


def drawn(predictions: list[dict[str, Any]], folder: Path) -> str:
    energy_chart(predictions, folder / "x.svg")
    return (folder / "x.svg").read_text(encoding="utf-8")


def test_chips_alone_are_one_part(chat: dict[str, Any], tmp_path: Path) -> None:
    bar = _bar(chat)
    assert [(part.name, part.value) for part in bar.parts] == [("chips", 2.07)]
    svg = drawn([chat], tmp_path)
    for text in (
        "Energy per output token",
        "2.07 J",
        "chips",
        "8xchip-with",
        "a-chat",
        "power is the TDP, an upper bound",
    ):
        assert text in svg
    assert "whisker" not in svg


def test_hosts_and_site_stand_beside_the_chips(chat: dict[str, Any], tmp_path: Path) -> None:
    chat["metrics"] |= {"system_energy_j_per_token": 3.0, "site_energy_j_per_token": 3.6}
    chat["metrics"] |= {"site_energy_j_per_token_low": 3.0, "site_energy_j_per_token_high": 5.0}
    bar = _bar(chat)
    assert [part.name for part in bar.parts] == ["chips", "hosts", "cooling and conversion"]
    assert [part.value for part in bar.parts] == [pytest.approx(value) for value in (2.07, 0.93, 0.6)]
    assert (bar.end, bar.low, bar.high) == ("3.6 J", 3.0, 5.0)
    assert "whisker: where nine of ten measurements should lie" in drawn([chat], tmp_path)


def test_a_level_that_is_unknown_ends_the_bar(chat: dict[str, Any]) -> None:
    chat["metrics"] |= {"system_energy_j_per_token": None, "site_energy_j_per_token": 3.6}
    assert [part.name for part in _bar(chat).parts] == ["chips"]
    assert _bar(chat).end == "2.07 J"


def test_unknown_power_and_misfits_are_told_as_such(comparison: dict[str, Any], tmp_path: Path) -> None:
    comparison["rows"][1]["metrics"]["energy_j_per_token"] = None
    svg = drawn(comparison["rows"], tmp_path)
    assert "power unknown" in svg
    assert "does not fit" in svg


def test_training_tokens_are_no_output_tokens(training: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn([training], tmp_path)
    assert "Energy per token" in svg
    assert "500 mJ" in svg


def test_no_known_energy_is_no_chart(chat: dict[str, Any], tmp_path: Path) -> None:
    chat["metrics"]["energy_j_per_token"] = None
    with pytest.raises(OutputError, match="chart kind energy: the power of none of these chips is known"):
        energy_chart([chat], tmp_path / "x.svg")
