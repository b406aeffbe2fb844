"""Bills of predictions: who pays for which tokens, and that nothing is paid twice or left over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import billing, search
from roofline.engine.billing import Traffic
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Economics
from roofline.studies.request import Options, resolve_deployment, resolve_workload
from roofline.workload import Serving

CATALOG = Catalog()
CHIP, DEFAULT = CATALOG.chip("h100-sxm"), CATALOG.economics()
POWER = {"power_w": 4000.0}
MILLION = 1e6


def predict(workload: str, where: str, **options: Any) -> Prediction:
    asked = Options(**options)
    job = resolve_workload(CATALOG, workload, asked)
    return search.predict(job, resolve_deployment(CATALOG, where, job, asked))


def numbers(result: Prediction) -> dict[str, float]:
    return {name: float(value) for name, value in result.metrics.items() if value is not None}


def bill(time: float = 0.25, energy: float = 0.5, **changed: Any) -> dict[str, float]:
    traffic = Traffic(
        **{"requests": 2.0, "input_len": 1000.0, "output_len": 100.0, "time": time, "energy": energy, **changed}
    )
    found = billing.of_serving(CHIP, 8.0, DEFAULT, POWER, traffic)
    return {name: float(value) for name, value in found.items() if value is not None}


# -- by hand


def test_a_bill_by_hand() -> None:
    found = bill()
    rent = 8 * 3.9 / 3600
    assert found["usd_per_request"] == pytest.approx(rent / 2)
    assert found["usd_per_user_month"] == pytest.approx(112 * rent / 2)
    assert found["usd_per_million_tokens"] == pytest.approx(rent / 2 / 100 * MILLION)
    assert found["usd_per_million_input_tokens"] == pytest.approx(0.25 * rent / 2 / 1000 * MILLION)
    assert found["usd_per_million_output_tokens"] == pytest.approx(0.75 * rent / 2 / 100 * MILLION)


def test_electricity_goes_by_energy_and_all_else_by_time() -> None:
    owned = billing.owned_by(CHIP, 8.0, DEFAULT, POWER)
    assert owned is not None
    electricity, rest = float(owned.electricity(0.8)), float(owned.fixed) / 0.8
    assert bill()["own_usd_per_million_input_tokens"] == pytest.approx(
        (0.25 * rest + 0.5 * electricity) / 2 / 1000 * MILLION
    )


def test_the_site_draws_more_than_the_system() -> None:
    found = bill()
    assert found["site_power_w"] == pytest.approx(4000 * 1.25)
    assert found["site_energy_j_per_token"] == pytest.approx(5000 / 200)
    assert found["tokens_per_kwh"] == pytest.approx(3.6e6 / 25)
    hosts = billing.site({"power_w": 4000.0, "system_power_w": 5000.0}, DEFAULT, 200.0)
    assert hosts["site_power_w"] == pytest.approx(5000 * 1.25)


# -- laws


@given(time=st.floats(0, 1), energy=st.floats(0, 1), tokens=st.floats(1, 1e6), requests=st.floats(1e-6, 1e6))
def test_what_goes_in_and_what_comes_out_pay_the_bill(
    time: float, energy: float, tokens: float, requests: float
) -> None:
    found = bill(time, energy, input_len=tokens, requests=requests)
    for of in ("", "own_"):
        paid = found[f"{of}usd_per_million_input_tokens"] * tokens + found[f"{of}usd_per_million_output_tokens"] * 100.0
        assert paid / MILLION == pytest.approx(found[f"{of}usd_per_request"])


@pytest.mark.parametrize(
    ("workload", "where", "options"),
    [
        ("llama-3.1-70b-chat", "8xh100-sxm", {}),
        ("llama-3.1-70b-chat", "8xh100-sxm", {"batch": 512.0}),
        ("llama-3.1-70b-chat", "16xh100-sxm:pools=4:12", {}),
        ("llama-3.1-70b-chat", "576xgroq-lpu-v1", {}),
        ("llama-3.1-70b-retrieval", "8xmi300x", {}),
        ("llama-3.1-8b-chat", "h100-sxm:stack=trtllm-2023", {"batch": 8.0}),
        ("llama-3.1-8b-chat", "2xh100-sxm:pp=2", {}),
    ],
)
def test_bills_of_predictions_add_up(workload: str, where: str, options: dict[str, Any]) -> None:
    result = predict(workload, where, **options)
    found, job = numbers(result), result.workload
    for of in ("", "own_"):
        if f"{of}usd_per_request" not in found:
            assert result.deployment.chip.price.hourly is None
            continue
        read = found[f"{of}usd_per_million_input_tokens"] * float(job.input_len)  # type: ignore[union-attr]
        written = found[f"{of}usd_per_million_output_tokens"] * float(job.output_len)  # type: ignore[union-attr]
        assert (read + written) / MILLION == pytest.approx(found[f"{of}usd_per_request"])
        assert read > 0
        assert written > 0


def test_requests_are_counted_as_tokens_are() -> None:
    for where in ("8xh100-sxm", "16xh100-sxm:pools=4:12"):
        result = predict("llama-3.1-70b-chat", where, batch=2000.0)
        found = numbers(result)
        assert found["requests_per_s"] * 211 == pytest.approx(found["output_tokens_per_s"])


def test_a_prompt_alone_costs_only_for_reading() -> None:
    found = predict("llama-3.1-8b", "h100-sxm", phase="prefill").metrics
    assert float(found["usd_per_million_input_tokens"]) > 0  # type: ignore[arg-type]
    for name in ("usd_per_million_tokens", "usd_per_million_output_tokens", "tokens_per_kwh"):
        assert np.isnan(found[name])  # type: ignore[arg-type]


def test_generating_alone_costs_only_for_writing() -> None:
    found = predict("llama-3.1-8b", "h100-sxm", phase="decode", batch=16.0).metrics
    assert np.isnan(found["usd_per_million_input_tokens"])  # type: ignore[arg-type]
    assert float(found["usd_per_million_output_tokens"]) == pytest.approx(float(found["usd_per_million_tokens"]))  # type: ignore[arg-type]


def test_prompts_that_are_read_together_are_paid_once() -> None:
    """A static batch reads all prompts in one phase: twice the requests do not make it twice of that."""
    result = predict("llama-3.1-8b-chat", "h100-sxm:stack=trtllm-2023", batch=8.0)
    prefill, decode = (next(phase for phase in result.phases if phase.name == name) for name in ("prefill", "decode"))
    alone = result.deployment.stack.batching == "continuous" or result.deployment.stack.prefill == "alone"
    reading = float(prefill.time) * (8.0 if alone else 1.0)
    found = numbers(result)
    job = result.workload
    assert isinstance(job, Serving)
    share = found["usd_per_million_input_tokens"] * float(job.input_len) / MILLION / found["usd_per_request"]
    assert share == pytest.approx(reading / (reading + float(decode.time)))


def test_pools_pay_for_their_own_tokens() -> None:
    found = numbers(predict("llama-3.1-70b-chat", "16xh100-sxm:pools=4:12"))
    assert found["usd_per_million_input_tokens"] * 1155 / MILLION == pytest.approx(found["usd_per_request"] * 4 / 16)


@given(cheap=st.floats(0.01, 100), more=st.floats(1, 100), rented=st.floats(0.01, 1), owned=st.floats(0.01, 1))
def test_costs_grow_with_prices_and_fall_with_use(cheap: float, more: float, rented: float, owned: float) -> None:
    traffic = Traffic(2.0, 1000.0, 100.0, 0.25, 0.5)

    def costs(chip: Chip, economics: Economics) -> list[float]:
        found = billing.of_serving(chip, 8.0, economics, POWER, traffic)
        return [float(found[name]) for name in ("usd_per_request", "own_usd_per_request")]  # type: ignore[arg-type]

    def at(price: float) -> Chip:
        return replace(CHIP, price=replace(CHIP.price, hourly=price, purchase=1e4 * price))

    used = replace(DEFAULT, rented=rented, owned=owned)
    assert all(np.less_equal(costs(at(cheap), used), costs(at(cheap * more), used)))
    assert all(np.less_equal(costs(at(cheap), DEFAULT)[:1], costs(at(cheap), replace(used, owned=0.8))[:1]))
    assert costs(at(cheap), replace(DEFAULT, owned=1.0))[1] <= costs(at(cheap), used)[1] * (1 + 1e-12)


def test_training_is_paid_for_as_long_as_it_lasts() -> None:
    result = predict("llama-3.1-70b-pretraining", "64xh100-sxm")
    found = numbers(result)
    assert found["cost_usd"] == pytest.approx(found["time_to_train_s"] * 64 * 3.9 / 3600)
    owned = billing.owned_by(result.deployment.chip, 64.0, DEFAULT, result.metrics)
    assert owned is not None
    assert found["own_cost_usd"] == pytest.approx(found["time_to_train_s"] * float(owned.per_work_second(0.8)))
    assert found["usd_per_million_tokens"] == pytest.approx(64 * 3.9 / 3600 / found["tokens_per_s"] * MILLION)


def test_without_assumptions_only_rent_is_told() -> None:
    result = predict("llama-3.1-70b-chat", "8xh100-sxm")
    bare = search.predict(result.workload, replace(result.deployment, economics=None)).metrics
    assert float(bare["usd_per_million_tokens"]) == pytest.approx(float(result.metrics["usd_per_million_tokens"]))  # type: ignore[arg-type]
    for name in (
        "site_power_w",
        "tokens_per_kwh",
        "own_usd_per_request",
        "usd_per_user_month",
        "break_even_utilization",
    ):
        assert bare[name] is None
