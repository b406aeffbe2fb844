"""Cost against latency: panels by what is known of prices, every point where it belongs, names beside their lines."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from roofline.errors import OutputError
from roofline.report.charts import frontier
from roofline.report.charts import trade as trade_lines
from roofline.report.charts.placement import Box

CHIP_SECONDS, PRICE = "chip_seconds_per_million_tokens", "usd_per_million_tokens"


def drawn(predictions: list[dict[str, Any]], folder: Path) -> str:
    frontier.frontier_chart(predictions, folder / "x.svg")
    return (folder / "x.svg").read_text(encoding="utf-8")


def test_prices_that_are_all_known_make_one_panel(trade: dict[str, Any]) -> None:
    ((cost, (line,)),) = frontier.panels_of([trade])
    assert cost == PRICE
    for point, given in zip(line.points, trade["frontier"]["points"], strict=True):
        assert (point.latency, point.cost) == (given["metrics"]["tpot_s"], given["metrics"][PRICE])
        assert (point.batch, point.kept) == (given["batch"], given["keeps_slo"])
    assert line.promised == max((point for point in line.points if point.kept), key=lambda point: point.batch)


def test_one_price_that_is_not_known_adds_chip_seconds_of_all(trades: dict[str, Any]) -> None:
    panels = dict(frontier.panels_of(trades["rows"]))
    assert list(panels) == [PRICE, CHIP_SECONDS]
    assert [len(lines) for lines in panels.values()] == [1, 2]
    assert panels[PRICE][0].color == panels[CHIP_SECONDS][0].color != panels[CHIP_SECONDS][1].color


def test_no_price_at_all_makes_one_panel_of_chip_seconds(trades: dict[str, Any], tmp_path: Path) -> None:
    assert [cost for cost, _ in frontier.panels_of(trades["rows"][1:])] == [CHIP_SECONDS]
    svg = drawn(trades["rows"][1:], tmp_path)
    assert "chip-seconds per million output tokens" in svg
    assert "USD" not in svg


def test_what_is_drawn_is_said(trades: dict[str, Any], tmp_path: Path) -> None:
    svg = drawn(trades["rows"], tmp_path)
    for text in ("Cost against latency", "a-chat: a-model-70b, each request: prefill 1,155, decode 211",
                 "time per output token", "USD per million output tokens", "slower than the promised 40 ms",
                 "8xchip-with-a-rather-long-name", "$44.23", "numbers: requests at once", "ring: the cheapest of all plans",
                 "expected (datasheet: 8xchip-with"):  # fmt: skip
        assert text in svg
    assert "1xtoo-small" not in re.sub(r"expected \(.*", "", svg)  # it holds nothing, so it has no line


def test_nothing_promised_draws_no_limit(trade: dict[str, Any], tmp_path: Path) -> None:
    trade["workload"] = {**trade["workload"], "slo": {"ttft_s": None, "tpot_s": None}}
    trade["frontier"]["promised"] = None
    for point in trade["frontier"]["points"]:
        point["keeps_slo"] = None
    svg = drawn([trade], tmp_path)
    assert "promised" not in svg
    ((_, (line,)),) = frontier.panels_of([trade])
    assert all(point.kept for point in line.points)


def test_a_single_point_is_drawn(trade: dict[str, Any], tmp_path: Path) -> None:
    trade["frontier"]["points"] = trade["frontier"]["points"][:1]
    assert "8xchip-with-a-rather-long-name" in drawn([trade], tmp_path)


@pytest.mark.parametrize("many", [1, 4, 8, 12])
def test_no_name_lies_on_another(
    many: int, trade: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line keeps its name, however many there are."""
    put: list[Box] = []
    write = trade_lines.put

    def noted(*args: Any, **more: Any) -> list[Box]:
        found = write(*args, **more)
        put.extend(found)
        return found

    monkeypatch.setattr(trade_lines, "put", noted)
    rows = []
    for index in range(many):
        points = [
            {**point, "metrics": {**point["metrics"], PRICE: point["metrics"][PRICE] * 1.4**index,
                                  "tpot_s": point["metrics"]["tpot_s"] * 1.15**index}}
            for point in trade["frontier"]["points"]
        ]  # fmt: skip
        label = {**trade["deployment"], "label": f"8xline-{index}"}
        rows.append(
            {**trade, "deployment": label, "frontier": {**trade["frontier"], "points": points, "promised": None}}
        )
    svg = drawn(rows, tmp_path)
    for index in range(many):
        assert f">8xline-{index}<" in svg
    assert not any(one.meets(other) for one, other in combinations(put, 2))


def test_requests_are_told_once_at_powers_of_four_and_ends(trade: dict[str, Any]) -> None:
    ((_, (line,)),) = frontier.panels_of([trade])
    assert [point.batch for point in frontier._labelled(line)] == [1.0, 4.0, 16.0, 48.0]


def test_nothing_that_holds_a_request_is_no_chart(trades: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="chart kind frontier: no deployment holds a single request"):
        frontier.frontier_chart(trades["rows"][2:], tmp_path / "x.svg")
