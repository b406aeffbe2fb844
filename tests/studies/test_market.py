"""Costs beside the market's prices: what is served, that both sides are told rightly, and broken price lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError, SpecError
from roofline.studies import offers
from roofline.studies.market import machines
from roofline.workload import Serving

CATALOG = Catalog()
SHIPPED = offers.read(offers.shipped())
HEAD = "id,provider,kind,chip,model,name,input_usd_per_mtok,cached_usd_per_mtok,output_usd_per_mtok,date,source,note\n"


def listed(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "prices.csv"
    path.write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result() -> rl.Result:
    return rl.market("llama-3.3-70b")


@pytest.fixture(scope="module")
def rows(result: rl.Result) -> dict[str, dict[str, Any]]:
    return {row["kind"]: row for row in result["rows"]}


# -- prices


def test_every_shipped_price_is_of_a_model_and_a_kind_that_are_known() -> None:
    assert len(SHIPPED) > 100
    assert {offer.kind for offer in SHIPPED} == set(offers.KINDS) == set(machines())
    assert len({offer.id for offer in SHIPPED}) == len(SHIPPED)
    for offer in SHIPPED:
        assert offer.date
        assert offer.source
    for model in {offer.model for offer in SHIPPED}:
        assert CATALOG.model(model).id == model
    for chip in {offer.chip for offer in SHIPPED if offer.chip} | set(machines().values()):
        assert CATALOG.chip(chip).id == chip


def test_a_request_is_charged_for_what_it_reads_and_writes(tmp_path: Path) -> None:
    path = listed(tmp_path, "a,x,gpu,,llama-3.1-8b,n,1,0.25,4,2026,s,")
    (offer,) = offers.read(path)
    serving = CATALOG.workload("llama-3.1-8b-chat")
    assert isinstance(serving, Serving)
    read, written = float(serving.input_len), float(serving.output_len)
    assert offer.request(serving) == pytest.approx((read * 1 + written * 4) / 1e6)
    quote = offers.quote([offer], serving)
    assert quote is not None
    assert (quote.low, quote.high, quote.offers) == (quote.middle, quote.middle, 1)


def test_what_a_cache_holds_is_charged_less(tmp_path: Path) -> None:
    cached, plain = offers.read(
        listed(tmp_path, "a,x,gpu,,llama-3.1-8b,n,1,0.25,4,2026,s,", "b,x,gpu,,llama-3.1-8b,n,1,,4,2026,s,")
    )
    result = rl.predict("llama-3.1-8b-chat", "h100-sxm", cached_share=0.5)
    from roofline.studies.request import Options, resolve_workload

    serving = resolve_workload(CATALOG, "llama-3.1-8b-chat", Options(cached_share=0.5))
    assert isinstance(serving, Serving)
    saved = result["workload"]["input_len"] * 0.5 * 0.75 / 1e6
    assert plain.request(serving) - cached.request(serving) == pytest.approx(saved)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,x,gpu,,llama-3.1-8b,n,0,,4,2026,s,", "input_usd_per_mtok: must be a positive number of USD, got '0'"),
        ("a,x,gpu,,llama-3.1-8b,n,1,,-4,2026,s,", "output_usd_per_mtok: must be a positive number of USD, got '-4'"),
        ("a,x,gpu,,llama-3.1-8b,n,1,,inf,2026,s,", "output_usd_per_mtok: must be a positive number of USD, got 'inf'"),
        (
            "a,x,gpu,,llama-3.1-8b,n,cheap,,4,2026,s,",
            "input_usd_per_mtok: must be a positive number of USD, got 'cheap'",
        ),
        ("a,x,gpu,,llama-3.1-8b,n,1,0,4,2026,s,", "cached_usd_per_mtok: must be a positive number of USD, got '0'"),
        ("a,x,gpu,,llama-3.1-8b,n,,,4,2026,s,", "input_usd_per_mtok: must be a positive number of USD, got ''"),
        ("a,x,gpus,,llama-3.1-8b,n,1,,4,2026,s,", "kind: no kind of machines 'gpus'; did you mean 'gpu'?"),
        ("a,,gpu,,llama-3.1-8b,n,1,,4,2026,s,", "provider: missing"),
    ],
)
def test_a_broken_price_is_told_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    path = listed(tmp_path, "z,x,gpu,,llama-3.1-8b,n,1,,4,2026,s,", row)
    with pytest.raises(SpecError) as error:
        offers.read(path)
    assert [str(finding) for finding in error.value.findings] == [f"{path}:3: {message}"]


def test_missing_columns_and_files_are_told(tmp_path: Path) -> None:
    path = listed(tmp_path, head="id,provider,kind,model,input_usd_mtok,output_usd_per_mtok\n")
    with pytest.raises(SpecError, match="missing column; is it 'input_usd_mtok'"):
        offers.read(path)
    with pytest.raises(SpecError, match="can't be read"):
        offers.read(tmp_path / "none.csv")


# -- costs beside them


def test_every_kind_of_machine_that_sells_a_model_is_told(rows: dict[str, dict[str, Any]]) -> None:
    assert set(rows) == {"gpu", "lpu", "wafer", "rdu"}
    assert rows["gpu"]["offers"] == sum(offer.model == "llama-3.3-70b" and offer.kind == "gpu" for offer in SHIPPED)
    assert not any(row["chip_stated"] for row in rows.values())


def test_ratios_are_prices_over_costs(rows: dict[str, dict[str, Any]]) -> None:
    gpu = rows["gpu"]
    assert gpu["market_over_rent"] == pytest.approx(gpu["market_usd_per_request"] / gpu["usd_per_request"])
    assert gpu["market_over_own"] == pytest.approx(gpu["market_usd_per_request"] / gpu["own_usd_per_request"])
    assert gpu["market_over_cost"] == max(gpu["market_over_rent"], gpu["market_over_own"])
    assert gpu["break_even_hourly_usd"] == pytest.approx(gpu["hourly_usd"] * gpu["market_over_rent"])


def test_chips_without_a_price_have_no_cost_but_a_rent_that_prices_pay(rows: dict[str, dict[str, Any]]) -> None:
    for kind in ("wafer", "rdu"):
        row = rows[kind]
        assert row["usd_per_request"] is row["own_usd_per_request"] is row["market_over_cost"] is None
        assert row["break_even_hourly_usd"] > 0
    assert rows["lpu"]["usd_per_request"] is None
    assert rows["lpu"]["own_usd_per_request"] > 0


def test_the_point_that_is_shown_keeps_the_service_level(rows: dict[str, dict[str, Any]]) -> None:
    slo = CATALOG.workload("llama-3.1-70b-chat").slo  # type: ignore[union-attr]
    for row in rows.values():
        if row["keeps_service_level"]:
            assert row["ttft_s"] <= slo.ttft_s
            assert row["tpot_s"] <= slo.tpot_s


def test_the_cost_is_that_of_the_prediction_at_the_same_point(rows: dict[str, dict[str, Any]]) -> None:
    """Rented chips are paid around the clock, so that a request costs 1/0.8 of what it costs in an hour of work."""
    gpu = rows["gpu"]
    plan: dict[str, Any] = {name: int(gpu["plan"][name]) for name in ("tp", "pp", "dp")}
    chat = {"input_len": 1155, "output_len": 211, "batch": int(gpu["batch"]), **plan}
    formats: dict[str, Any] = dict.fromkeys(("weights", "activations", "kv_cache"), "fp8")
    same = rl.predict("llama-3.3-70b", f"{gpu['num_chips']}xh100-sxm", **chat, **formats)["metrics"]
    assert gpu["usd_per_request"] == pytest.approx(same["usd_per_request"] / 0.8)
    assert gpu["own_usd_per_request"] == pytest.approx(same["own_usd_per_request"])


def test_the_report_explains_the_difference_and_calls_no_price_a_cost(result: rl.Result) -> None:
    told = str(result)
    assert "a price is no cost" in told
    assert "no price of wse-3 is known; the market's prices pay for $" in told
    assert "times the cost of chips that are owned and work 80.0 % of the time" in told
    assert "costs rest on (default)" in told


def test_what_can_not_be_asked_is_told() -> None:
    with pytest.raises(RooflineError, match="nobody in the list of prices offers opt-13b"):
        rl.market("opt-13b")
    with pytest.raises(RooflineError, match="must be a workload of requests that generate tokens"):
        rl.market("llama-3.3-70b", like="llama-3.1-70b-pretraining")
    with pytest.raises(RooflineError, match=r"no model 'llama-3\.3-7b'; did you mean"):
        rl.market("llama-3.3-7b")


def test_a_list_of_ones_own_with_a_model_that_is_not_there(tmp_path: Path) -> None:
    path = listed(tmp_path, "a,x,gpu,h100-sxm,llama-3.1-8b,n,1,,4,2026,s,", "b,y,gpu,,llama-9,n,1,,4,2026,s,")
    found = rl.market(prices=path)
    assert [row["model"] for row in found["rows"]] == ["llama-3.1-8b"]
    assert [item["id"] for item in found["skipped"]] == ["llama-9 on h100-sxm"]
    assert "no model 'llama-9'" in str(found)
    assert found["rows"][0]["chip_stated"] is True
    frame = found.to_frame()
    assert frame["providers"].tolist() == ["x"]
    assert frame["tp"].tolist() == [1.0]
