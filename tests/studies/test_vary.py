"""Numbers of a request over ranges: every row is the prediction of its own."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jsonschema
import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies import vary
from roofline.studies.request import Options, options
from roofline.workload import Decode, Pause, Prefill, Serving

MODEL, WHERE = "llama-3.1-8b", "8xh100-sxm:tp=8"


def varied(*wanted: str, workload: str = MODEL, where: str = WHERE, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = vary.vary(workload, where, wanted, options(asked), Catalog())["rows"]
    return found


def test_a_row_is_the_prediction_of_its_value() -> None:
    rows = varied("input=500:4000:x2", "batch=1,16", output_len=100)
    assert [(row["input"], row["batch"]) for row in rows] == [(n, b) for n in (500, 1000, 2000, 4000) for b in (1, 16)]
    for row in rows:
        alone = rl.predict(MODEL, WHERE, input_len=row["input"], output_len=100, batch=row["batch"])
        assert {name: row[name] for name in alone["metrics"]} == alone["metrics"]
        assert (row["fits"], row["max_batch"]) == (alone["fits"], alone["memory"]["max_batch"])


@pytest.mark.parametrize(
    ("name", "values", "keyword"),
    [
        ("cached-share=0,0.5,1", [0, 0.5, 1], "cached_share"),
        ("context=0,1000", [0, 1000], "context_len"),
        ("draft-tokens=0,2,4", [0, 2, 4], "draft_tokens"),
        ("acceptance=0.5:0.9:3", [0.5, 0.7, 0.9], "acceptance"),
    ],
)
def test_options_can_be_varied(name: str, values: list[float], keyword: str) -> None:
    asked: dict[str, Any] = {"draft_tokens": 3, "acceptance": 0.6}
    rows = varied(name, **asked)
    for row, value in zip(rows, values, strict=True):
        alone = rl.predict(MODEL, WHERE, **{**asked, keyword: value})["metrics"]
        assert row["e2e_latency_s"] == pytest.approx(alone["e2e_latency_s"], rel=1e-12)


def test_scenarios_are_varied_by_the_names_of_their_steps() -> None:
    rows = varied("thinking=1000:16000:x2", scenario="reasoning")
    assert [row["thinking"] for row in rows] == [1000, 2000, 4000, 8000, 16000]
    for one, more in pairwise(rows):
        for metric in ("time_to_first_useful_token_s", "e2e_latency_s", "usd_per_request", "energy_j_per_request"):
            assert one[metric] < more[metric]
    passages = varied("passages=1000,8000", scenario="retrieval")
    assert passages[0]["time_to_first_useful_token_s"] < passages[1]["time_to_first_useful_token_s"]


def test_a_name_means_every_step_called_so() -> None:
    short, long = varied("call=50,500", scenario="agent")
    assert long["e2e_latency_s"] > 5 * (short["e2e_latency_s"] - 8 * 5.95)
    steps = (Prefill(9.0, "a"), Decode(9.0, "b"), Pause(1.0), Prefill(9.0, "a"), Decode(9.0))
    job = Serving(id="w", model=Catalog().model(MODEL), steps=steps)
    assert vary.steps_called(job, "a") == [0, 3] == [*vary.steps_called(job, "prefill.1"), *vary.steps_called(job, "prefill.2")]  # fmt: skip
    assert (vary.steps_called(job, "pause"), vary.steps_called(job, "decode.2")) == ([2], [4])


def test_pools_can_be_varied() -> None:
    rows = varied("input=500,4000", "batch=8,32", where="16xh100-sxm:pools=8:8")
    for row in rows:
        alone = rl.predict(MODEL, "16xh100-sxm:pools=8:8", input_len=row["input"], batch=row["batch"])
        assert row["ttft_s"] > 0
        if row["input"] == 4000 and row["batch"] == 32:  # the plan is that of the largest
            assert row["e2e_latency_s"] == alone["metrics"]["e2e_latency_s"]


def test_the_plan_holds_the_largest_value() -> None:
    found = vary.vary("llama-3.1-70b", "h100-sxm", ["input=1000,100000"], Options(), Catalog())
    assert all(row["fits"] for row in found["rows"])


def test_what_does_not_fit_is_a_row() -> None:
    rows = varied("input=1000,3000000", where="h100-sxm:tp=1")
    assert [row["fits"] for row in rows] == [True, False]


def test_ten_thousand_values_are_one_prediction() -> None:
    assert len(varied("output=1:10000:+1")) == 10_000


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["passage=3"], "--vary passage: did you mean 'passages'?"),
        (["nothing-like-it=3"], "known: system, question, query, search, passages, answer, prefill.1"),
        (["passages"], "--vary 'passages': write NAME=RANGE, e.g. thinking=1000:16000:x2"),
        (["=3"], "write NAME=RANGE"),
        (["decode=3"], "llama-3.1-8b-retrieval has 2 of these steps; write one of decode.1 to decode.2"),
        (["decode.3=3"], "has 2 of these steps"),
        (["output=3"], "has 2 of these steps"),
        (["pause.2=1s"], "has 1 of these steps; write one of pause.1"),
        (["search=3"], "needs a unit"),
        (["batch=0"], "--vary batch=0: must be 1 or more"),
        (["answer=0.2"], "must be 1 or more"),
        (["cached-share=2"], "must be 0 to 1"),
        (["acceptance=0.5"], "nothing is drafted; add --draft-tokens 4 --acceptance 0.7"),
        (["batch=1", "batch=2"], "--vary batch is given twice"),
        (["batch=1:5000:+1", "answer=1:5000:+1"], "25,000,000 combinations; 10,000 at most"),
        (["cached.2=500,600"], "llama-3.1-8b-retrieval: 10,000 tokens are cached when the context has 614"),
    ],
)
def test_bad_names_and_values_say_what_to_write(wanted: list[str], message: str) -> None:
    wanted = [text.replace("500,600", "500,10000") for text in wanted]
    with pytest.raises(RooflineError) as caught:
        varied(*wanted, scenario="retrieval")
    assert message in str(caught.value)


def test_training_is_not_varied() -> None:
    with pytest.raises(RooflineError, match="trains; only what requests do is varied"):
        varied("batch=1", workload="llama-3.1-8b-pretraining")


def test_the_contract_holds(contract_schema: dict[str, Any]) -> None:
    for wanted, asked in ((["thinking=10,20"], {"scenario": "reasoning"}), (["search=1 s,2 s"], {"scenario": "rag"})):
        found = vary.vary(MODEL, WHERE, wanted, options(asked), Catalog())
        jsonschema.Draft7Validator(contract_schema).validate(found)


@pytest.fixture
def contract_schema() -> dict[str, Any]:
    import json
    from pathlib import Path

    text = (Path(vary.__file__).parent / "contract.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
