"""Where costs are equal: told so that a user who pays just that pays the same on both sides; and what is not known."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.units import MONTH

CHAT = "llama-3.1-70b-chat"
PRICE = "format: 1\nid: mine\nname: Mine\nextends: default\n{text}sources: {{x: {{title: X, date: 2026-01-05}}}}\n"
Assume = Callable[[str], str]


@pytest.fixture
def assume(tmp_path: Path) -> Assume:
    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(PRICE.format(text=text), encoding="utf-8")
        return str(path)

    return write


def owned(share: float) -> str:
    return f"utilization: {{value: {share!r}, source: x}}\n"


def test_owning_costs_what_renting_costs_at_the_break_even(assume: Assume) -> None:
    before = rl.predict(CHAT, "8xh100-sxm")
    share = before["economics"]["break_even"]["own_rent"]["utilization"]
    assert share == before["metrics"]["break_even_utilization"]
    after = rl.predict(CHAT, "8xh100-sxm", assumptions=assume(owned(share)))
    for metrics in (after["metrics"],):
        for name in ("usd_per_request", "usd_per_million_tokens", "usd_per_user_month"):
            assert metrics[f"own_{name}"] == pytest.approx(metrics[name])


def test_owning_costs_what_the_market_asks_at_the_break_even(assume: Assume) -> None:
    before = rl.predict(CHAT, "8xh100-sxm")
    point, asked = before["economics"]["break_even"]["own_market"], before["economics"]["market"]["usd_per_request"]
    after = rl.predict(CHAT, "8xh100-sxm", assumptions=assume(owned(point["utilization"])))
    assert after["metrics"]["own_usd_per_request"] == pytest.approx(asked)
    made = before["metrics"]["output_tokens_per_s"] * MONTH * point["utilization"]
    assert point["tokens_per_month"] == pytest.approx(made)


def test_renting_around_the_clock_costs_what_the_market_asks_at_the_break_even(assume: Assume) -> None:
    cheap = "prices: {h100-sxm: {hourly: {value: 1 USD/h, source: x}}}\n"
    share = rl.predict(CHAT, "8xh100-sxm", assumptions=assume(cheap))["economics"]["break_even"]["rent_market"][
        "utilization"
    ]
    always = cheap + f"rented_utilization: {{value: {share!r}, source: x}}\n"
    after = rl.predict(CHAT, "8xh100-sxm", assumptions=assume(always))
    assert after["metrics"]["usd_per_request"] == pytest.approx(after["economics"]["market"]["usd_per_request"])


def test_a_chip_without_a_rent_costs_as_much_as_the_cheapest_at_its_break_even(assume: Assume) -> None:
    where = ["8xh100-sxm", "8xmi300x", "8xgaudi3"]
    before = rl.compare(CHAT, where)
    row = before["rows"][2]
    assert row["metrics"]["usd_per_request"] is None
    equal = row["economics"]["break_even"]["at_cheapest"]["hourly"]
    assert equal == {"against": "8xmi300x", "usd": row["metrics"]["break_even_hourly_usd"], "why": None}
    price = f"prices: {{gaudi3: {{hourly: {{value: {equal['usd']!r} USD/h, source: x}}}}}}\n"
    after = rl.compare(CHAT, where, assumptions=assume(price))
    costs = [row["metrics"]["usd_per_request"] for row in after["rows"]]
    assert costs[2] == pytest.approx(min(costs[:2]))


@pytest.mark.parametrize("other", ["8xmi300x", "8xh100-sxm"])
def test_a_chip_that_is_owned_costs_as_much_as_the_cheapest_at_its_break_even(assume: Assume, other: str) -> None:
    """Also where the known price covers a server."""
    before = rl.compare(CHAT, [other, "8xgaudi3"])
    equal = before["rows"][0]["economics"]["break_even"]["at_cheapest"]["purchase"]
    assert equal["against"] == "8xgaudi3"
    chip, covers = other.removeprefix("8x"), before["rows"][0]["economics"]["price"]["covers"]
    price = f"prices: {{{chip}: {{purchase: {{value: {equal['usd']!r} USD, covers: {covers}, source: x}}}}}}\n"
    after = rl.compare(CHAT, [other, "8xgaudi3"], assumptions=assume(price))
    costs = [row["metrics"]["own_usd_per_request"] for row in after["rows"]]
    assert costs[0] == pytest.approx(costs[1])


def test_training_runs_are_compared_by_their_tokens(assume: Assume) -> None:
    where = ["64xh100-sxm", "64xgaudi3"]
    before = rl.compare("llama-3.1-8b-pretraining", where)
    usd = before["rows"][1]["metrics"]["break_even_hourly_usd"]
    price = f"prices: {{gaudi3: {{hourly: {{value: {usd!r} USD/h, source: x}}}}}}\n"
    after = rl.compare("llama-3.1-8b-pretraining", where, assumptions=assume(price))
    costs = [row["metrics"]["usd_per_million_tokens"] for row in after["rows"]]
    assert costs[0] == pytest.approx(costs[1])


def test_the_cheapest_itself_has_nothing_to_be_compared_with() -> None:
    (row,) = rl.compare(CHAT, ["8xh100-sxm"])["rows"]
    assert row["economics"]["break_even"]["at_cheapest"] == {"hourly": None, "purchase": None}
    assert row["metrics"]["break_even_hourly_usd"] is None


def test_why_there_is_no_price_to_be_told() -> None:
    rows = rl.compare(CHAT, ["8xgaudi3", "8xtpu-v6e", "576xgroq-lpu-v1"])["rows"]
    found = [row["economics"]["break_even"]["at_cheapest"]["purchase"] for row in rows]
    assert found[0] is None
    assert [(item["usd"], item["why"]) for item in found[1:]] == [
        (None, "its power is not known"),
        (None, "even for nothing it would cost more"),
    ]


def test_what_does_not_fit_is_no_reference() -> None:
    rows = rl.compare(CHAT, ["1xrtx-4090", "8xh100-sxm"])["rows"]
    assert [row["fits"] for row in rows] == [False, True]
    assert rows[1]["economics"]["break_even"]["at_cheapest"] == {"hourly": None, "purchase": None}
    assert rows[0]["metrics"]["break_even_hourly_usd"] is None


def test_the_parts_of_owning_are_all_of_it() -> None:
    own = rl.predict(CHAT, "8xh100-sxm", assumptions="./examples/our-prices.yaml")["economics"]["own"]
    parts = sum(own[f"{name}_usd_per_hour"] for name in ("capital", "maintenance", "hosting", "people", "electricity"))
    assert own["usd_per_hour"] == pytest.approx(parts)
    assert own["people_usd_per_hour"] > 0


def test_eight_owned_h100_add_up_as_in_a_published_analysis(assume: Assume) -> None:
    """Over three years 450,000 to 650,000 USD, all counted. Its price of a server is one of ours: this checks the sum, not
    the price."""
    own = rl.predict(
        CHAT,
        "8xh100-sxm",
        assumptions=assume("amortisation: {value: 3 years, source: x}\n" + owned(1.0)),
    )["economics"]["own"]
    assert 450e3 <= own["usd_per_hour"] * 24 * 365.25 * 3 <= 650e3


# -- what is not known


@pytest.mark.parametrize(
    ("chip", "why"),
    [("8xtpu-v6e", "no purchase price is known"), ("1xwse-2", "its power is not known"), ("8xgaudi3", None)],
)
def test_what_is_not_known_is_said(chip: str, why: str | None) -> None:
    result = rl.predict("llama-3.1-8b-chat", chip)
    assert result["economics"]["why_not_owned"] == why
    assert (result["economics"]["own"] is None) == (why is not None)
    assert (result["metrics"]["own_usd_per_request"] is None) == (why is not None)


def test_a_chip_without_any_price_has_break_evens_alone() -> None:
    result = rl.predict(CHAT, "2xwse-3")
    economics = result["economics"]
    assert economics["price"]["purchase_usd"] is economics["price"]["hourly_usd"] is None
    assert economics["break_even"]["own_rent"] is None
    assert economics["break_even"]["at_market_price"]["hourly_usd"] > 0
    told = str(result)
    assert "no rent of this chip is known; at $" in told
    assert "no purchase price of this chip is known" in told


def test_at_the_markets_price_a_chip_pays_for_itself(assume: Assume) -> None:
    before = rl.predict(CHAT, "576xgroq-lpu-v1")
    usd = before["economics"]["break_even"]["at_market_price"]["hourly_usd"]
    price = f"prices: {{groq-lpu-v1: {{hourly: {{value: {usd!r} USD/h, source: x}}}}}}\n"
    after = rl.predict(CHAT, "576xgroq-lpu-v1", assumptions=assume(price))
    assert after["metrics"]["usd_per_request"] == pytest.approx(before["economics"]["market"]["usd_per_request"])


def test_stated_prices_of_tokens_come_before_the_markets(assume: Assume) -> None:
    tokens = "tokens: {input: 2 USD/Mtok, cached: 1 USD/Mtok, output: 8 USD/Mtok, source: x}\n"
    result = rl.predict("opt-13b", "h100-sxm", input_len=1000, output_len=100, assumptions=assume(tokens))
    market = result["economics"]["market"]
    assert (market["stated"], market["offers"]) == (True, 1)
    assert market["usd_per_request"] == pytest.approx((1000 * 2 + 100 * 8) / 1e6)
    share = result["economics"]["break_even"]["own_market"]["utilization"]
    after = rl.predict(
        "opt-13b", "h100-sxm", input_len=1000, output_len=100, assumptions=assume(tokens + owned(share))
    )  # fmt: skip
    assert after["metrics"]["own_usd_per_request"] == pytest.approx(market["usd_per_request"])
    told = str(result)
    assert "the stated price of tokens asks $0.0028 for such a request: one offer, 2026-01" in told
    assert "price of tokens read 2 USD/Mtok, price of tokens read from a cache 1 USD/Mtok" in told


def test_models_that_nobody_sells_have_no_market() -> None:
    economics = rl.predict("opt-13b", "h100-sxm")["economics"]
    assert economics["market"] is None
    assert economics["break_even"]["own_market"] is economics["break_even"]["at_market_price"] is None


def values(node: Any) -> Iterator[float]:
    if isinstance(node, dict):
        for value in node.values():
            yield from values(value)
    elif isinstance(node, list):
        for value in node:
            yield from values(value)
    elif isinstance(node, float):
        yield node


@pytest.mark.parametrize(
    ("workload", "where", "options"),
    [
        (CHAT, "8xh100-sxm", {}),
        (CHAT, "2xwse-3", {}),
        ("llama-3.1-8b", "h100-sxm", {"phase": "prefill"}),
        ("llama-3.1-8b", "m2-ultra", {"phase": "decode"}),
        ("llama-3.1-70b-offline", "8xh100-sxm", {}),
        ("llama-3.1-8b-pretraining", "64xtpu-v5p", {}),
        (CHAT, "1xrtx-4090", {}),
    ],
)
def test_no_accident_reaches_a_result(workload: str, where: str, options: dict[str, Any]) -> None:
    result = rl.predict(workload, where, costs=True, **options)
    assert all(math.isfinite(value) for value in values(result.data))
    text = json.dumps(result.data)
    assert "NaN" not in text
    assert "Infinity" not in text
    for told in (str(result), result.render("table", costs=True)):
        assert not re.search(r"\b(nan|inf)\b", told.lower())


def test_every_assumption_is_printed_with_its_source() -> None:
    result = rl.predict(CHAT, "8xh100-sxm")
    short, long = str(result), result.render("table", costs=True)
    for item in result["assumptions"]["values"]:
        assert item["source"]
        assert f"{item['name']} {item['text']}" in short
        assert item["source"] in long
    assert {item["key"] for item in result["assumptions"]["values"]} >= {
        "electricity",
        "pue",
        "amortisation",
        "hosting",
    }


def test_the_curve_meets_the_metrics(assume: Assume) -> None:
    result = rl.predict(CHAT, "8xh100-sxm", costs=True, assumptions=assume(owned(1.0)))
    costs, metrics = result["costs"], result["metrics"]
    assert costs["utilization"][-1] == 1.0
    assert costs["own"][-1] == pytest.approx(metrics["own_usd_per_million_tokens"])
    assert costs["rent_by_the_hour"] == pytest.approx([metrics["usd_per_million_tokens"]] * len(costs["own"]))
    assert costs["rent_around_the_clock"][-1] == pytest.approx(metrics["usd_per_million_tokens"])
    assert costs["own"] == sorted(costs["own"], reverse=True)
    assert costs["market"]["low"] <= costs["market"]["middle"] <= costs["market"]["high"]
