"""The view of frontiers: a curve of one deployment, the ends of many, what keeps the promise."""

from __future__ import annotations

from typing import Any

from roofline.report import formats


def test_one_deployment_shows_its_curve(trade: dict[str, Any]) -> None:
    text = formats.render(trade, "table")
    for part in ("requests", "$/Mtok", "promise", "kept", "broken", "$88.89",
                 "the cheapest that keeps what is promised (TTFT 450 ms, TPOT 40 ms): 8 requests at once, tp8, $44.23 per million tokens"):  # fmt: skip
        assert part in text
    assert "time per output token" not in text  # the metrics of the workload's own number of requests
    assert text.count("tp8") == 1 + 6 + 1


def test_points_between_powers_of_two_are_told_when_asked_for(trade: dict[str, Any]) -> None:
    trade["frontier"]["points"][1]["batch"] = 3.0
    assert "1 more between them (--all)" in formats.render(trade, "table")
    everything = formats.render(trade, "table", all_rows=True)
    assert "(--all)" not in everything
    assert len(everything.splitlines()) == len(formats.render(trade, "table").splitlines())


def test_without_a_promise_nothing_is_kept(trade: dict[str, Any]) -> None:
    trade["workload"] = {**trade["workload"], "slo": {"ttft_s": None, "tpot_s": None}}
    for point in trade["frontier"]["points"]:
        point["keeps_slo"] = None
    text = formats.render(trade, "table")
    assert "promise" not in text
    assert "kept" not in text


def test_a_promise_that_nothing_keeps_is_told(trade: dict[str, Any]) -> None:
    trade["frontier"]["promised"] = None
    assert "nothing keeps what is promised (TTFT 450 ms, TPOT 40 ms)" in formats.render(trade, "table")


def test_many_deployments_show_their_ends(trades: dict[str, Any]) -> None:
    lines = formats.render(trades, "table").splitlines()
    first = [line for line in lines if line.startswith("8xchip-with")]
    assert [line.split("  ")[1].strip() for line in first if line.split("  ")[1:]][:3] == [
        "fastest", "cheapest as promised", "cheapest",
    ]  # fmt: skip
    assert "$/Mtok" in lines[2]
    assert "chip-s/Mtok" in lines[2]
    assert any(line.startswith("promised: TTFT 450 ms, TPOT 40 ms") for line in lines)
    assert any(line.startswith("1xtoo-small does not fit") for line in lines)


def test_prices_alone_need_no_chip_seconds(trades: dict[str, Any]) -> None:
    trades["rows"] = trades["rows"][:1]
    text = formats.render(trades, "table")
    assert "chip-s/Mtok" not in text
    assert "$/Mtok" in text


def test_csv_has_a_row_for_each_point(trades: dict[str, Any]) -> None:
    assert len(formats.render(trades, "csv").splitlines()) == 1 + 6 + 6
