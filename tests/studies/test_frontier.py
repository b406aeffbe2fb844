"""Frontiers: each point is a prediction of its own, none beats another, memory holds all of them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.engine import search
from roofline.errors import RooflineError
from roofline.report.formats import render
from roofline.studies import contract
from roofline.studies.frontier import CHIP_SECONDS, PRICE, batches
from roofline.workload import ServiceLevel

CHAT = "llama-3.1-70b-chat"
CHIPS = ["8xh100-sxm", "8xgaudi3", "576xgroq-lpu-v1", "16xh100-sxm:pools=4:12,tp=4", "1xl40s"]


@pytest.fixture(scope="module")
def compared() -> rl.Result:
    return rl.compare(CHAT, CHIPS, frontier=True)


def rows(result: rl.Result) -> list[dict[str, Any]]:
    return [row for row in result["rows"] if row["frontier"]["points"]]


def test_a_frontier_obeys_the_contract(compared: rl.Result) -> None:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(compared.data)
    jsonschema.Draft7Validator(schema).validate(rl.predict(CHAT, "8xh100-sxm", frontier=True).data)
    assert [row["deployment"]["label"] for row in rows(compared)] == CHIPS[:-1]


def test_tokens_get_cheaper_as_they_get_slower(compared: rl.Result) -> None:
    for row in rows(compared):
        cost = row["frontier"]["cost"]
        points = [point["metrics"] for point in row["frontier"]["points"]]
        assert len(points) > 4
        for faster, cheaper in pairwise(points):
            assert faster["tpot_s"] < cheaper["tpot_s"]
            assert faster[cost] > cheaper[cost]


@pytest.mark.parametrize("deployment", ["8xh100-sxm", "16xh100-sxm:pools=4:12,tp=4"])
def test_a_point_is_what_is_predicted_for_its_plan_and_requests(compared: rl.Result, deployment: str) -> None:
    (row,) = (row for row in rows(compared) if row["deployment"]["label"] == deployment)
    points = row["frontier"]["points"]
    for point in (points[0], points[len(points) // 2], points[-1]):
        plan = (
            ""
            if "pools" in deployment
            else ":" + ",".join(f"{name}={value:.0f}" for name, value in point["plan"].items())
        )
        alone = rl.predict(CHAT, deployment + plan, batch=point["batch"])
        assert alone["fits"]
        assert point["batch"] <= alone["memory"]["max_batch"]
        for name, value in alone["metrics"].items():
            assert point["metrics"][name] == (None if value is None else pytest.approx(value, rel=1e-12)), name


def test_no_plan_with_any_number_of_requests_beats_the_frontier(compared: rl.Result) -> None:
    """Tried one by one, at numbers of requests between those of the frontier as well."""
    points = [point["metrics"] for point in compared["rows"][0]["frontier"]["points"]]
    for plan in ("tp=8", "tp=4,dp=2", "tp=2,pp=4", "dp=8"):
        for batch in (1, 4, 64, 512):
            found = rl.predict(CHAT, f"8xh100-sxm:{plan}", batch=batch)
            if found["fits"] and batch <= found["memory"]["max_batch"]:
                mine = found["metrics"]
                assert any(
                    point["tpot_s"] <= mine["tpot_s"] * (1 + 1e-12) and point[PRICE] <= mine[PRICE] * (1 + 1e-12)
                    for point in points
                )


def test_given_degrees_are_kept() -> None:
    points = rl.predict(CHAT, "8xh100-sxm:tp=4", frontier=True)["frontier"]["points"]
    assert {point["plan"]["tp"] for point in points} == {4.0}
    assert {
        point["plan"]["dp"] for point in rl.predict(CHAT, "8xh100-sxm", frontier=True, dp=2)["frontier"]["points"]
    } == {2.0}


def test_the_last_of_one_plan_fills_its_memory() -> None:
    result = rl.predict(CHAT, "8xh100-sxm:tp=8", frontier=True)
    last = result["frontier"]["points"][-1]
    full = rl.predict(CHAT, "8xh100-sxm:tp=8", batch="max")
    assert last["batch"] == full["memory"]["max_batch"]
    assert last["metrics"]["tpot_s"] == pytest.approx(full["metrics"]["tpot_s"], rel=1e-12)


def test_chip_seconds_are_what_chips_take_for_a_million_tokens(compared: rl.Result) -> None:
    for row in rows(compared):
        for point in row["frontier"]["points"]:
            metrics = point["metrics"]
            seconds = 1e6 / metrics["output_tokens_per_s"]
            assert metrics[CHIP_SECONDS] == pytest.approx(seconds * row["deployment"]["num_chips"])


def test_without_a_price_chip_seconds_are_the_cost(compared: rl.Result) -> None:
    costs = {row["deployment"]["label"]: row["frontier"]["cost"] for row in compared["rows"]}
    for row in rows(compared):
        known = row["metrics"][PRICE] is not None
        assert costs[row["deployment"]["label"]] == (PRICE if known else CHIP_SECONDS)
    assert {PRICE, CHIP_SECONDS} == set(costs.values())


def test_the_promised_point_is_the_cheapest_that_keeps_the_promise(compared: rl.Result) -> None:
    slo = compared["workload"]["slo"]
    for row in rows(compared):
        traded = row["frontier"]
        for point in (*traded["points"], traded["promised"]):
            times = point["metrics"]
            assert point["keeps_slo"] == (times["ttft_s"] <= slo["ttft_s"] and times["tpot_s"] <= slo["tpot_s"])
        assert traded["promised"]["keeps_slo"]
        kept = [point["metrics"][traded["cost"]] for point in traded["points"] if point["keeps_slo"]]
        assert traded["promised"]["metrics"][traded["cost"]] <= min(kept)


def test_a_promise_to_the_first_token_may_need_a_plan_beside_the_frontier(tmp_path: Path) -> None:
    """The frontier knows nothing of first tokens: what keeps both limits can lie off it."""
    text = (
        "format: 1\nid: w\nname: W\nmodel: llama-3.1-70b\nsteps: [{prefill: 8000}, {decode: 200}]\nbatch: 8\n"
        "precision: {weights: fp8, activations: fp8, kv_cache: fp8}\nslo: {ttft: %s, tpot: 200 ms}\n"
        "source: s\nsources: {s: {title: assumed, date: '2026'}}\n"
    )
    found = {}
    for limit in ("100 s", "700 ms", "1 ms"):
        path = tmp_path / "w.yaml"
        path.write_text(text % limit, encoding="utf-8")
        found[limit] = rl.predict(str(path), "8xh100-sxm", frontier=True)["frontier"]
    assert found["100 s"]["promised"] in found["100 s"]["points"]
    near = found["700 ms"]["promised"]
    assert near["metrics"]["ttft_s"] <= 0.7 < found["100 s"]["promised"]["metrics"]["ttft_s"]
    assert near["metrics"][PRICE] > found["100 s"]["promised"]["metrics"][PRICE]
    assert found["1 ms"]["promised"] is None
    assert not any(point["keeps_slo"] for point in found["1 ms"]["points"])


def test_nothing_promised_is_nothing_kept() -> None:
    traded = rl.predict("llama-3.1-8b", "h100-sxm", frontier=True)["frontier"]
    assert traded["promised"] is None
    assert {point["keeps_slo"] for point in traded["points"]} == {None}


def test_what_holds_nothing_has_no_points(compared: rl.Result) -> None:
    last = compared["rows"][-1]
    assert not last["fits"]
    assert last["frontier"] | {"points": [], "promised": None} == last["frontier"]


def test_one_vectorised_prediction_makes_a_frontier(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    predict = search.predict

    def counted(job: Any, deployment: Any) -> Any:
        calls.append(np.shape(job.batch))
        return predict(job, deployment)

    monkeypatch.setattr(search, "predict", counted)
    rl.predict(CHAT, "8xh100-sxm", frontier=True)
    assert len([shape for shape in calls if shape]) == 1


@given(st.lists(st.floats(0.0, 1e7), min_size=1, max_size=5))
def test_batches_are_powers_of_two_and_what_fills_memory(most: list[float]) -> None:
    tried = batches(np.array(most))
    assert tried.shape[1] == len(most)
    assert tried[-1].tolist() == [max(value, 1.0) for value in most]
    powers = tried[:-1, 0]
    assert powers.tolist() == [2.0**index for index in range(len(powers))]
    assert powers[-1] <= max(1.0, *most) < 2 * powers[-1]


@pytest.mark.parametrize(
    ("limits", "kept"), [((1.0, 1.0), False), ((None, 1.0), True), ((3.0, None), True), ((None, None), True)]
)
def test_a_service_level_is_kept_by_both_times(limits: tuple[float | None, float | None], kept: bool) -> None:
    slo = ServiceLevel(*limits)
    assert slo.kept(2.0, 1.0) == kept
    assert slo.kept(np.array([2.0, 0.5]), 1.0).tolist() == [kept, True]
    assert slo.promises == (limits != (None, None))


@pytest.mark.parametrize(
    ("workload", "options", "message"),
    [
        ("llama-3.1-8b-pretraining", {}, "--frontier belongs to serving; llama-3.1-8b-pretraining trains"),
        ("llama-3.1-8b", {"phase": "prefill"}, "--frontier: llama-3.1-8b-prefill generates no tokens"),
    ],
)
def test_what_has_no_frontier_says_so(workload: str, options: dict[str, Any], message: str) -> None:
    for ask in (rl.predict, lambda work, place, **more: rl.compare(work, [place], **more)):
        with pytest.raises(RooflineError, match=message):
            ask(workload, "8xh100-sxm", frontier=True, **options)


@pytest.mark.parametrize(
    "options", [{"batch": "max"}, {"phase": "decode", "context_len": 4096}, {"stack": "trtllm-2023"}]
)
def test_every_way_to_serve_has_a_frontier(options: dict[str, Any]) -> None:
    points = rl.predict("llama-3.1-8b", "h100-sxm", frontier=True, **options)["frontier"]["points"]
    assert points[0]["batch"] == 1
    assert points[-1]["batch"] > 64


def test_csv_has_a_row_for_each_point(compared: rl.Result) -> None:
    frame = compared.to_frame()
    assert len(frame) == sum(len(row["frontier"]["points"]) for row in compared["rows"])
    assert set(frame["deployment"]) == set(CHIPS[:-1])
    one = compared["rows"][0]["frontier"]["points"][3]
    assert frame.loc[3, "tpot_s"] == one["metrics"]["tpot_s"]
    assert frame.loc[3, "batch"] == one["batch"]
    assert frame.loc[3, "dp"] == one["plan"]["dp"]
    assert (
        render(compared.data, "csv")
        .splitlines()[0]
        .startswith("workload,deployment,chip,num_chips,stack,cost,batch,tp,")
    )
