"""The bill in words: what is cheaper from where on, what is not known, and all that it rests on."""

from __future__ import annotations

from typing import Any

import pytest

import roofline as rl
from roofline.report import formats
from roofline.report.views import economics

CHAT = "llama-3.1-70b-chat"


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return rl.predict(CHAT, "8xh100-sxm").data


def test_the_bill_has_rented_owned_and_asked(result: dict[str, Any]) -> None:
    told = formats.render(result, "table")
    (head,) = [line for line in told.splitlines() if line.startswith("cost of one")]
    assert head.split("  ")[-1].strip() == "market's price"
    for name in ("hour of work", "million tokens read", "million tokens written", "request", "user for a month"):
        assert any(line.startswith(f"{name} ") for line in told.splitlines()), name


def test_break_evens_are_sentences(result: dict[str, Any]) -> None:
    told = formats.render(result, "table")
    assert "owning is cheaper than renting for the hours of work from " in told
    assert "of the time on, 1." in told
    assert "renting around the clock is never cheaper than what the market asks" in told
    assert "the market asks $0.00055 for such a request: the middle of 5 offers from " in told


def test_long_reports_have_all_sources(result: dict[str, Any]) -> None:
    told = formats.render(result, "table", costs=True)
    assert "hardware, written off" in told
    assert result["economics"]["price"]["purchase_source"] in told
    assert result["economics"]["price"]["hourly_source"] in told
    assert "$42,188 with its share of a server" in told
    assert "--costs" not in told


def test_one_offer_is_not_a_middle(result: dict[str, Any]) -> None:
    market = {**result["economics"]["market"], "offers": 1, "first_date": "2026-08-21", "last_date": "2026-08-21"}
    changed = {**result, "economics": {**result["economics"], "market": market}}
    assert "for such a request: one offer, 2026-08" in formats.render(changed, "table")


def test_a_result_without_economics_has_no_bill(result: dict[str, Any]) -> None:
    assert tuple(economics.parts({**result, "economics": None})) == ()


def test_comparisons_tell_what_chips_without_a_price_may_cost() -> None:
    told = str(rl.compare(CHAT, ["8xh100-sxm", "8xmi300x", "8xgaudi3", "8xtpu-v6e"]))
    assert "8xgaudi3: no rent of the chip is known; at $" in told
    assert "an hour it would cost as much as 8xmi300x, the cheapest that is rented" in told
    assert "8xtpu-v6e: no purchase price of the chip is known; its power" not in told
    assert told.count("costs rest on (default)") == 1


def test_comparisons_at_length_have_each_price_once() -> None:
    told = rl.compare(CHAT, ["8xh100-sxm", "16xh100-sxm"]).render("table", costs=True)
    assert "16xh100-sxm: a chip is $3.90 an hour; at $" in told
    assert told.count("h100-sxm, an hour") == 1
    assert "assumption (default)" in told


def test_csv_has_a_column_for_every_cost() -> None:
    frame = rl.compare(CHAT, ["8xh100-sxm", "8xgaudi3"]).to_frame()
    for name in ("usd_per_million_tokens", "usd_per_million_input_tokens", "own_usd_per_request", "tokens_per_kwh"):
        assert name in frame
    assert frame["break_even_hourly_usd"].notna().tolist() == [False, True]
