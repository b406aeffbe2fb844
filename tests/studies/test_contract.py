"""The contract: intervals beside every time and rate, layers of phases, and which deployments can't be told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.catalog.spreads import COLUMNS, FILE
from roofline.catalog.store import Catalog
from roofline.engine import inference
from roofline.engine.deployment import Deployment
from roofline.engine.interval import RATES, TIMES
from roofline.machine.evidence import FIGURES
from roofline.studies import contract
from roofline.workload import Attention, Block, Decode, DenseFFN, Model, MoE, Plan, Prefill, Serving, Training

CHIPS = ("h100-sxm", "a100-sxm-80gb")
CHAT = "llama-3.1-8b-chat"
RANKED = "output_tokens_per_s_per_chip"
Row = dict[str, Any]
Spreads = Callable[[float, float], Catalog]


@pytest.fixture(scope="module")
def obeys() -> Callable[[rl.Result], None]:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    return lambda result: jsonschema.Draft7Validator(schema).validate(result.data)


@pytest.fixture
def spreads(tmp_path: Path) -> Spreads:
    """The catalogue with so wide a spread of every figure of vLLM on GPUs."""

    def of(low: float, high: float) -> Catalog:
        places = [*(("measured", chip) for chip in CHIPS), ("transferred", "")]
        rows = [
            f"{evidence},vllm,gpu,{chip},{figure},99,9,0.25,{low},{high}" for evidence, chip in places for figure in FIGURES
        ]  # fmt: skip
        (tmp_path / FILE).write_text("\n".join([",".join(COLUMNS), *rows, ""]), encoding="utf-8")
        return Catalog((tmp_path,))

    return of


# -- intervals


@pytest.mark.parametrize(
    ("workload", "options"),
    [
        (CHAT, {}),
        (CHAT, {"batch": 1}),
        ("llama-3.1-8b", {"phase": "prefill"}),
        ("llama-3.1-8b", {"phase": "decode", "context_len": 4000}),
        ("llama-3.1-70b-retrieval", {}),
    ],
)
@pytest.mark.parametrize("stack", ["vllm", "ideal", "trtllm-2023"])
def test_every_time_and_rate_of_serving_stands_inside_its_interval(
    workload: str, options: dict[str, Any], stack: str
) -> None:
    metrics = rl.predict(workload, f"8xh100-sxm:stack={stack}", **options)["metrics"]
    told = [name for name in (*TIMES, *RATES) if metrics.get(name)]
    assert len(told) > 3
    for name in told:
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"], name
        if name in TIMES:
            assert metrics[f"{name}_ideal"] <= metrics[f"{name}_low"], name
        else:
            assert metrics[f"{name}_high"] <= metrics[f"{name}_ideal"], name


@pytest.mark.parametrize("workload", [CHAT, "llama-3.1-8b-pretraining"])
def test_whatever_has_an_ideal_has_an_interval(workload: str) -> None:
    metrics = rl.predict(workload, "64xh100-sxm")["metrics"]
    bases = [name.removesuffix("_ideal") for name in metrics if name.endswith("_ideal")]
    assert bases
    for name in bases:
        assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"], name


def test_intervals_are_those_of_the_table(spreads: Spreads) -> None:
    result = rl.predict(CHAT, "h100-sxm:stack=vllm", catalog=spreads(0.99, 1.25))
    metrics = result["metrics"]
    assert metrics["tpot_s_high"] == pytest.approx(1.25 * metrics["tpot_s"])
    assert metrics["tpot_s_low"] == pytest.approx(0.99 * metrics["tpot_s"])
    assert metrics["output_tokens_per_s_low"] == pytest.approx(metrics["output_tokens_per_s"] / 1.25)
    assert (result["evidence"]["cases"], result["evidence"]["median_error"]) == (99, 0.25)
    assert "such predictions were 25% off (median of 99 published measurements" in str(result)


def test_phases_have_intervals_and_what_drafts_has_none() -> None:
    drafted: dict[str, Any] = {"draft": "llama-3.2-1b", "draft_tokens": 4, "acceptance": 0.7}
    found = {phase["phase"]: phase for phase in rl.predict(CHAT, "h100-sxm", **drafted)["phases"]}
    for name in ("prefill", "decode"):
        phase = found.pop(name)
        assert phase["ideal_time_s"] <= phase["low_time_s"] <= phase["time_s"] <= phase["high_time_s"]
        assert phase["low_time_s"] < phase["high_time_s"]
    assert found
    for phase in found.values():
        assert phase["low_time_s"] is phase["high_time_s"] is None
    (training,) = rl.predict("llama-3.1-8b-pretraining", "64xh100-sxm")["phases"]
    assert training["ideal_time_s"] <= training["low_time_s"] < training["time_s"] < training["high_time_s"]


# -- layers


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3", "jamba-1.5-mini", "gemma-3-27b", "gpt-oss-120b"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_layers_and_what_is_outside_add_up_to_one_pass(catalog: Catalog, name: str, phase: str) -> None:
    (found,) = rl.predict(name, "8xh200-sxm:tp=8", phase=phase, batch=4)["phases"]
    *groups, outside = found["layers"]
    model = catalog.model(name)
    assert sorted(group["count"] for group in groups) == sorted(float(block.count) for block in model.blocks)
    assert (outside["name"], outside["count"]) == ("outside of layers", 1.0)
    assert len({group["name"] for group in groups}) == len(groups)
    one_pass = sum(operator["time_s"] for operator in found["operators"])
    assert sum(group["count"] * group["time_s"] for group in found["layers"]) == pytest.approx(one_pass)


def stacked(dense: int, sparse: int) -> Model:
    attention = Attention(heads=32, kv_heads=8, head_dim=128)
    blocks = (Block(count=dense, mixer=attention, ffn=DenseFFN(width=8192)), Block(count=sparse, mixer=attention, ffn=MoE(experts=16, top_k=2, width=1024)))  # fmt: skip
    return Model(id="m", name="M", vocab=32000, hidden=4096, blocks=tuple(block for block in blocks if block.count))


def passed(
    model: Model, catalog: Catalog, step: Prefill | Decode, factors: tuple[float, float] | None = None
) -> Row:  # fmt: skip
    """The phase of a step of one request, as the contract has it."""
    where = Deployment(chip=catalog.chip("h100-sxm"), num_chips=1, stack=catalog.stack("ideal"), plan=Plan())
    (phase,) = inference.predict(Serving(id="w", model=model, steps=(step,), cached=100.0), where).phases
    return contract.phase(phase, 1.0, factors)


@pytest.mark.parametrize("step", [Prefill(700.0), Decode(1.0)])
def test_a_layers_time_is_what_one_layer_more_takes(catalog: Catalog, step: Prefill | Decode) -> None:
    times = {
        layers: sum(item["time_s"] for item in passed(stacked(*layers), catalog, step)["operators"])
        for layers in ((3, 10), (4, 10), (3, 11))
    }
    told = passed(stacked(3, 10), catalog, step)["layers"]
    assert [group["count"] for group in told] == [3, 10, 1]
    assert told[0]["time_s"] == pytest.approx(times[4, 10] - times[3, 10], rel=1e-6)
    assert told[1]["time_s"] == pytest.approx(times[3, 11] - times[3, 10], rel=1e-6)


def test_a_phase_is_never_shorter_than_its_bound(catalog: Catalog) -> None:
    found = passed(stacked(32, 0), catalog, Prefill(700.0), (1e-3, 2.0))
    assert found["low_time_s"] == found["ideal_time_s"] < found["time_s"]
    assert found["high_time_s"] == pytest.approx(2 * found["time_s"])


def test_layers_are_of_one_step_however_many_tokens_are_generated(catalog: Catalog) -> None:
    one, many = (passed(stacked(32, 0), catalog, Decode(tokens)) for tokens in (1.0, 3.0))
    assert one["layers"][0]["name"] == "layer"
    assert many["layers"][0]["count"] == one["layers"][0]["count"] == 32
    assert many["layers"][0]["time_s"] == pytest.approx(one["layers"][0]["time_s"], rel=0.01)
    assert many["time_s"] == pytest.approx(3 * one["time_s"], rel=0.01)


@pytest.mark.parametrize(("plan", "layers"), [("tp=8,pp=1", 80), ("tp=8,pp=4", 20), ("tp=4,pp=8", 10)])
@pytest.mark.parametrize("micro_batch", [1, 2])
def test_layers_in_training_are_those_of_a_stage_however_many_micro_batches_pass(
    plan: str, layers: int, micro_batch: int
) -> None:
    where = f"256xh100-sxm:{plan},micro_batch={micro_batch}"
    (found,) = rl.predict("llama-3.1-70b-pretraining", where)["phases"]
    group, outside = found["layers"]
    assert (group["name"], group["count"], outside["count"]) == ("layer", layers, 1)
    assert layers * group["time_s"] + outside["time_s"] == pytest.approx(
        sum(operator["time_s"] for operator in found["operators"])
    )


def test_what_all_layers_have_alike_is_apart_where_layers_differ() -> None:
    (found,) = rl.predict("deepseek-v3-pretraining", "512xh100-sxm:cp=2")["phases"]
    groups = [group["name"] for group in found["layers"]]
    assert groups == ["mla+dense", "mla+moe", "context", "outside of layers"]
    one_pass = sum(group["count"] * group["time_s"] for group in found["layers"])
    assert one_pass == pytest.approx(sum(operator["time_s"] for operator in found["operators"]))
    (alike,) = rl.predict("llama-3.1-8b-pretraining", "64xh100-sxm:cp=2")["phases"]
    assert [group["name"] for group in alike["layers"]] == ["layer", "outside of layers"]


# -- what can't be told apart


def row(label: str, low: float | None, high: float | None, *, fits: bool = True, metric: str = RANKED) -> Row:
    metrics = {metric: 1.0, f"{metric}_low": low, f"{metric}_high": high}
    return {"deployment": {"label": label}, "fits": fits, "metrics": metrics}


JOB = Training(id="w", model=Catalog().model("llama-3.2-1b"), tokens=1e9, seq_len=1024.0, global_batch=8.0)
EDGES = st.lists(
    st.tuples(st.integers(min_value=0, max_value=20), st.integers(min_value=0, max_value=20)).map(sorted), max_size=6
)


@given(edges=EDGES)
def test_pairs_are_those_with_a_rate_that_both_may_have(edges: list[list[int]]) -> None:
    rows = [row(str(index), low, high) for index, (low, high) in enumerate(edges)]
    shared = [
        [str(one), str(other)]
        for one, other in combinations(range(len(edges)), 2)
        if set(range(edges[one][0], edges[one][1] + 1)) & set(range(edges[other][0], edges[other][1] + 1))
    ]
    found = contract.comparison(JOB, rows)["indistinguishable"]
    assert found == {"metric": RANKED if rows else None, "pairs": shared}


def test_what_has_no_interval_or_does_not_fit_is_in_no_pair() -> None:
    rows = [row("a", 1.0, 9.0), row("b", None, None), row("c", 1.0, 9.0, fits=False), row("d", 2.0, 3.0)]
    assert contract.comparison(JOB, rows)["indistinguishable"]["pairs"] == [["a", "d"]]


@pytest.mark.parametrize("metric", contract.RANKED)
def test_the_first_ranking_that_a_workload_has_decides(metric: str) -> None:
    rows = [row(label, 1.0, 2.0, metric=metric) for label in "ab"]
    for item in rows:
        item["metrics"] |= dict.fromkeys(contract.RANKED[: contract.RANKED.index(metric)], 0.0)
    assert contract.comparison(JOB, rows)["indistinguishable"] == {"metric": metric, "pairs": [["a", "b"]]}


def test_a_first_row_without_a_figure_hides_nothing_of_the_others() -> None:
    unknown = row("x", None, None)
    unknown["metrics"][RANKED] = None
    found = contract.comparison(JOB, [unknown, row("a", 1.0, 2.0), row("b", 2.0, 3.0)])["indistinguishable"]
    assert found == {"metric": RANKED, "pairs": [["a", "b"]]}


def test_a_wide_spread_makes_chips_alike_and_a_narrow_one_tells_them_apart(
    spreads: Spreads, obeys: Callable[[rl.Result], None]
) -> None:
    labels = [f"1x{chip}:stack=vllm" for chip in CHIPS]
    for edges, pairs in (((0.3, 3.0), [labels]), ((0.999, 1.001), [])):
        result = rl.compare(CHAT, labels, catalog=spreads(*edges))
        assert result["indistinguishable"] == {"metric": RANKED, "pairs": pairs}
        assert ("not distinguishable" in str(result)) == bool(pairs)
        obeys(result)


def test_every_workload_is_ranked_by_what_it_does(obeys: Callable[[rl.Result], None]) -> None:
    asked: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (RANKED, "llama-3.1-8b", {"phase": "decode"}),
        ("prefill_tokens_per_s", "llama-3.1-8b", {"phase": "prefill"}),
        ("tokens_per_s_per_chip", "llama-3.1-8b-pretraining", {}),
    )
    for metric, workload, options in asked:
        result = rl.compare(workload, [f"64x{chip}" for chip in CHIPS], **options)
        assert result["indistinguishable"]["metric"] == metric
        obeys(result)


def test_training_on_the_same_chips_is_alike() -> None:
    result = rl.compare("llama-3.1-8b-pretraining", ["64xh100-sxm", "64xh100-sxm"])
    assert result["indistinguishable"]["pairs"] == [["64xh100-sxm", "64xh100-sxm"]]


def test_a_comparison_of_one_has_no_pairs(obeys: Callable[[rl.Result], None]) -> None:
    result = rl.compare(CHAT, ["h100-sxm"])
    assert result["indistinguishable"] == {"metric": RANKED, "pairs": []}
    obeys(result)


@pytest.mark.parametrize(
    "broken", [{"metric": RANKED}, {"metric": RANKED, "pairs": [["a"]]}, {"metric": 3, "pairs": []}, {}]
)
def test_the_schema_asks_for_metric_and_pairs(broken: Row, obeys: Callable[[rl.Result], None]) -> None:
    sound = rl.compare(CHAT, ["h100-sxm"])
    with pytest.raises(jsonschema.ValidationError):
        obeys(rl.Result({**sound.data, "indistinguishable": broken}))
    with pytest.raises(jsonschema.ValidationError):
        obeys(rl.Result({key: value for key, value in sound.data.items() if key != "indistinguishable"}))


@pytest.mark.parametrize("value", [None, np.inf, np.nan, -np.inf])
def test_what_is_not_known_is_null(value: float | None) -> None:
    assert contract.number(value) is None
    assert contract.number(np.float64(2.0)) == 2.0
