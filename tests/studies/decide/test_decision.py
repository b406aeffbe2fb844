"""Decisions: bills added up by hand, options that obey what is allowed, and the fleets and runs that really were."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.studies import contract
from roofline.units import MONTH

NEED = """
format: 1
id: mine
name: Mine
source: ours
serving:
  - workload: llama-3.1-8b
    input: 1000
    output: 200
    requests_per_month: 30000000
    slo: {ttft: 1 s, tpot: 30 ms}
peak: 3
places: {cloud: {network: 40 ms}, own: {}}
chips: [h100-sxm, l40s, mi300x]
sources:
  ours: {title: "Counted", date: 2026-01-05}
"""
Write = Callable[..., rl.Result]


@pytest.fixture
def decide(tmp_path: Path) -> Write:
    """The decision for the need above, with text replaced in it."""

    def of(*changes: tuple[str, str], **options: Any) -> rl.Result:
        text = NEED
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return rl.decide(path, **options)

    return of


def best(result: rl.Result, where: str = "") -> dict[str, Any]:
    options: list[dict[str, Any]] = result["serving"][0]["options"]
    return next(option for option in options if where in ("", option["where"]))


# -- bills


def test_a_rented_fleet_costs_the_hours_that_it_runs(decide: Write) -> None:
    option = best(decide(chips=["h100-sxm"], top=20), "cloud")
    hourly = Catalog().chip("h100-sxm").price.hourly
    by_hand = sum(
        part["running_replicas"] * part["num_chips"] / part["replicas"] * hourly * MONTH / 3600.0
        for part in option["parts"]
    )
    assert option["usd_per_month"] == pytest.approx(by_hand)
    assert option["usd_per_million_tokens"] == pytest.approx(by_hand / (30e6 * 1200.0) * 1e6)


def test_an_owned_fleet_costs_capital_room_upkeep_and_electricity(decide: Write) -> None:
    option = best(decide(chips=["h100-sxm"], top=20), "own")
    chip, money = Catalog().chip("h100-sxm"), Catalog().economics()
    assert chip.host is not None
    assert chip.tdp is not None
    total = 0.0
    for part in option["parts"]:
        bought = part["num_chips"] * chip.price.purchase * money.beyond_chips(chip.price.covers)
        total += bought / money.amortisation * MONTH + bought * money.maintenance / 12.0
        total += money.hosting * part["num_chips"] * (chip.tdp * (1.0 + chip.host.share) + chip.host.power) * MONTH
        total += part["power_w"] * MONTH * money.pue * money.electricity
    assert option["usd_per_month"] == pytest.approx(total, rel=1e-6)


def test_replicas_hold_the_peak_and_serve_the_mean(decide: Write) -> None:
    for option in decide(top=30)["serving"][0]["options"]:
        for part in option["parts"]:
            asked = 30e6 / MONTH * part["share"]
            (demand,) = part["demands"]
            assert part["replicas"] == int(part["replicas"])
            assert demand["replicas"] == pytest.approx(asked / demand["requests_per_s"])
            if len(option["parts"]) == 1:
                assert part["replicas"] >= 3.0 * asked / demand["requests_per_s"] - 1e-9


def test_promises_hold_with_the_network_between(decide: Write) -> None:
    for option in decide(top=30)["serving"][0]["options"]:
        assert option["ttft_s"] <= 1.0
        assert option["tpot_s"] <= 0.030
    far = decide(("network: 40 ms", "network: 990 ms"), top=30)
    assert not any("cloud" in option["where"] and option["ttft_s"] > 1.0 for option in far["serving"][0]["options"])


# -- ranking


def test_options_are_ranked_by_their_bill(decide: Write) -> None:
    bills = [option["usd_per_month"] for option in decide(top=50)["serving"][0]["options"]]
    assert bills == sorted(bills)


def test_the_second_wins_where_its_price_falls_as_told(decide: Write, tmp_path: Path) -> None:
    """What would have to change, changed: both cost the same then."""
    result = decide(("places: {cloud: {network: 40 ms}, own: {}}", "places: {cloud: {}}"), chips=["h100-sxm", "l40s"])
    first, second = result["serving"][0]["options"][:2]
    price = result["serving"][0]["second"]["price"]
    assert price["from"] > price["to"] > 0.0
    prices = tmp_path / "cheaper.yaml"
    prices.write_text(
        f"extends: default\nid: cheaper\nname: Cheaper\nprices:\n  {price['chip']}: "
        f"{{hourly: {{value: {price['to']!r} USD/h, date: 2026-01-05, source: told}}}}\n"
        'sources:\n  told: {title: "As told", date: 2026-01-05}\n',
        encoding="utf-8",
    )
    again = decide(
        ("places: {cloud: {network: 40 ms}, own: {}}", "places: {cloud: {}}"),
        chips=["h100-sxm", "l40s"], assumptions=str(prices),
    )  # fmt: skip
    bills = {option["parts"][0]["chip"]: option["usd_per_month"] for option in again["serving"][0]["options"]}
    assert bills[second["parts"][0]["chip"]] == pytest.approx(first["usd_per_month"], rel=1e-9)


def test_a_chip_without_a_price_has_one_at_which_it_would_win(decide: Write) -> None:
    result = decide(("chips: [h100-sxm, l40s, mi300x]", "chips: [h100-sxm, max-1550]"))
    rows = {(row["chip"], row["where"]): row for row in result["serving"][0]["unpriced"]}
    assert rows["max-1550", "cloud"]["break_even_price"] > 0.0
    assert rows["max-1550", "own"]["price_of"] == "purchase"
    assert all(option["usd_per_month"] for option in result["serving"][0]["options"])


def test_more_requests_never_cost_less(decide: Write) -> None:
    less, more = (
        best(decide(("requests_per_month: 30000000", f"requests_per_month: {count}")))["usd_per_month"]
        for count in (30_000_000, 90_000_000)
    )
    assert more > less


def test_a_budget_and_a_power_cap_are_told(decide: Write) -> None:
    own = ("places: {cloud: {network: 40 ms}, own: {}}", "places: {own: {}}")
    total = decide(own, ("sources:", "budget: 10 USD/month\npower: 100 W\nsources:"))["total"]
    assert (total["within_budget"], total["within_power"]) == (False, False)
    assert total["own_site_power_w"] == pytest.approx(total["power_w"] * Catalog().economics().pue)
    total = decide(("sources:", "budget: 1000000 USD/month\npower: 10 MW\nsources:"))["total"]
    assert (total["within_budget"], total["within_power"]) == (True, True)
    assert total["usd_per_month"] == pytest.approx(best(decide())["usd_per_month"])


def test_data_that_must_stay_are_not_in_the_cloud(decide: Write) -> None:
    result = decide(("places: {cloud: {network: 40 ms}, own: {}}", "places: {own: {}}"), top=50)
    assert {option["where"] for option in result["serving"][0]["options"]} == {"own"}


def test_sites_serve_alone_and_within_their_power(decide: Write) -> None:
    place = "places: {edge: {sites: 9, power: 1.5 kW}}"
    result = decide(("places: {cloud: {network: 40 ms}, own: {}}", place), top=50)
    for option in result["serving"][0]["options"]:
        (part,) = option["parts"]
        assert part["replicas"] % 9 == 0
        assert part["rated_power_w"] <= 9 * 1500.0
    tight = decide(("places: {cloud: {network: 40 ms}, own: {}}", "places: {edge: {power: 200 W}}"))
    assert tight["serving"][0]["options"] == []
    assert {row["why"] for row in tight["serving"][0]["refused"]} == {"a site draws more than the 200 W that it has"}


def test_a_base_of_ones_own_and_the_cloud_share_all_requests(decide: Write) -> None:
    result = decide(("requests_per_month: 30000000", "requests_per_month: 900000000"), top=50)
    found = [option for option in result["serving"][0]["options"] if option["where"] == "own + cloud"]
    assert found
    for option in found:
        assert sum(part["share"] for part in option["parts"]) == pytest.approx(1.0)
        assert option["usd_per_month"] == pytest.approx(sum(part["usd_per_month"] for part in option["parts"]))


# -- training


def test_who_trains_pays_for_chip_hours(decide: Write) -> None:
    training = (
        "training:\n  - workload: llama-3.1-8b\n    tokens: 1000000000\n    within: 3 d\n"
        "    partner: {h100-sxm: 1 USD/h}\npeak: 3"
    )
    result = decide(("peak: 3", training), chips=["h100-sxm"])
    options = {option["who"]: option for option in result["training"][0]["options"]}
    assert set(options) == {"cloud", "own", "partner"}
    hourly = Catalog().chip("h100-sxm").price.hourly
    for who, price in (("cloud", hourly), ("partner", 1.0)):
        assert options[who]["usd"] == pytest.approx(options[who]["chip_hours"] * price)
    assert options["own"]["chip_hours"] == options["cloud"]["chip_hours"]
    alone = rl.predict("llama-3.1-8b", options["cloud"]["deployment"], phase="training", tokens=1e9)
    assert options["cloud"]["chip_hours"] == pytest.approx(alone["metrics"]["chip_hours"])
    assert options["own"]["usd"] == pytest.approx(alone["metrics"]["own_cost_usd"], rel=0.05)
    assert all(option["in_time"] for option in options.values())


def test_a_run_that_takes_too_long_ranks_last_and_says_so(decide: Write) -> None:
    training = "training:\n  - workload: llama-3.1-8b\n    tokens: 1000000000000\n    within: 1 h\npeak: 3"
    result = decide(("peak: 3", training), chips=["l40s"])
    for option in result["training"][0]["options"]:
        assert not option["in_time"]
        assert option["why"]
    assert result["training"][0]["second"] is None


# -- what really was


def test_llama_3_1_405b_took_as_many_hours() -> None:
    """30.84 million H100-hours by the model card."""
    (run,) = rl.decide("llama-3.1-405b-training")["training"]
    option = run["options"][0]
    assert option["chip_hours_low"] <= 30.84e6 <= option["chip_hours_high"]
    assert option["chip_hours"] == pytest.approx(30.84e6, rel=0.2)
    assert option["goodput"] == pytest.approx(0.9, abs=0.02)


def test_deepseek_v3_took_as_many_hours_and_dollars() -> None:
    """2.788 million H800-hours in all, 2.664 million of pretraining; 5.576 million USD."""
    (run,) = rl.decide("deepseek-v3-training")["training"]
    option = next(option for option in run["options"] if option["who"] == "partner")
    assert option["chip_hours_low"] <= 2.664e6 <= option["chip_hours_high"]
    assert option["usd_low"] <= 2.0 * 2.664e6 <= option["usd_high"]
    assert option["chip_hours"] == pytest.approx(2.664e6, rel=0.2)


def test_deepseeks_fleet_is_as_large_and_costs_as_much() -> None:
    """0.112 USD for a million tokens of all kinds; 278 nodes of 8 at the peak; 20 to 22 tokens/s."""
    (load,) = rl.decide("deepseek-fleet")["serving"]
    option = load["options"][0]
    tokens = (4383 + 1211) * 4.22e9
    low, high = (option[f"usd_per_month_{edge}"] / tokens * 1e6 for edge in ("low", "high"))
    assert low <= 0.1122 <= high
    assert option["usd_per_million_tokens"] == pytest.approx(0.1122, rel=0.25)
    assert option["num_chips"] == pytest.approx(278 * 8, rel=0.25)
    assert {part["role"] for part in option["parts"]} == {"prefill", "decode"}


# -- as a result


def test_it_obeys_its_schema_and_every_line_can_be_explained() -> None:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    result = rl.decide("office-assistant", top=2, chips=["h100-sxm", "mi300x", "l40s"])
    jsonschema.Draft7Validator(schema).validate(json.loads(result.render("json")))
    told = [option["explain"] for option in result["training"][0]["options"]]
    told += [demand["explain"] for option in result["serving"][0]["options"] for part in option["parts"]
             for demand in part["demands"]]  # fmt: skip
    assert told
    for command in told:
        workload, deployment, operator, options = read(command)
        assert rl.explain(workload, deployment, operator, **options)["lines"]


def read(command: str) -> tuple[str, str, str, dict[str, Any]]:
    """Workload, deployment, operator and keywords of a command that explains."""
    _, verb, workload, deployment, operator, *flags = shlex.split(command)
    assert verb == "explain"
    given = {
        name.removeprefix("--").replace("-", "_"): value for name, value in zip(flags[::2], flags[1::2], strict=True)
    }
    names = {"input": "input_len", "output": "output_len", "context": "context_len"}
    options = {
        names.get(name, name): float(value) if value.replace(".", "", 1).isdecimal() else value
        for name, value in given.items()
    }
    return workload, deployment, operator, options


def test_what_replicas_were_ranked_by_is_what_a_prediction_says() -> None:
    result = rl.decide("office-assistant", top=3, chips=["h100-sxm"])
    for option in result["serving"][0]["options"]:
        for part in option["parts"]:
            for demand in part["demands"]:
                workload, deployment, _, options = read(demand["explain"])
                assert (deployment, options["batch"]) == (part["deployment"], demand["batch"])
                alone = rl.predict(workload, deployment, **options)
                assert demand["tpot_s"] == pytest.approx(alone["metrics"]["tpot_s"], rel=1e-9)
