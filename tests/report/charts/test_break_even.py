"""The chart of costs over utilisation: every line by its name, marks where two of them meet, the same bytes again."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.report.charts.break_even import _apart, break_even_chart
from roofline.report.human import percent


def words(path: Path) -> list[str]:
    found = ("".join(node.itertext()).strip() for node in ET.parse(path).iter("{http://www.w3.org/2000/svg}text"))
    return [text for text in found if text]


def drawn(folder: Path, chip: str, workload: str = "llama-3.1-70b-chat", **options: Any) -> tuple[rl.Result, list[str]]:
    result = rl.predict(workload, chip, costs=True, **options)
    path = result.chart(folder / "costs.svg")
    return result, words(path)


def test_every_line_has_its_name_and_its_cost(tmp_path: Path) -> None:
    result, told = drawn(tmp_path, "8xh100-sxm")
    for name in ("owned ($", "rented for the hours of work ($", "rented around the clock ($", "the market's price ($"):
        assert sum(text.startswith(name) for text in told) == 1
    equal = result["economics"]["break_even"]
    for key in ("own_rent", "own_market"):
        assert percent(equal[key]["utilization"]) in told
    assert "share of the time at work" in told
    assert any("assumptions default" in text for text in told)


def test_what_is_not_known_is_not_drawn(tmp_path: Path) -> None:
    _, told = drawn(tmp_path, "8xtpu-v6e")
    assert not any(text.startswith("owned") for text in told)
    _, told = drawn(tmp_path, "64xh100-sxm", "llama-3.1-8b-pretraining")
    assert not any(text.startswith("the market") for text in told)
    assert "USD per million tokens trained on" in told


def test_a_chip_without_any_price_still_has_a_chart(tmp_path: Path) -> None:
    _, told = drawn(tmp_path, "2xwse-3")
    assert any(text.startswith("the market's price") for text in told)


def test_the_same_costs_give_the_same_bytes(tmp_path: Path) -> None:
    result = rl.predict("llama-3.1-70b-chat", "8xh100-sxm", costs=True)
    paths = [tmp_path / name for name in ("one.svg", "other.svg")]
    for path in paths:
        break_even_chart(result, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_names_stand_apart_from_each_other() -> None:
    places = _apart([5.0, 5.0, 2.5, 100.0], 1.0, 100.0)
    step = 100.0 ** (1 / 20)
    assert places == pytest.approx([5.0, 5.0 * step, 2.5, 100.0])
