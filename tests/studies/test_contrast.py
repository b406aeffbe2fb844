"""Contrasts: rows against derivations by hand, who wins, what is asked of which phase, what does not fit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import CheckFailedError, RooflineError
from roofline.studies import contract
from roofline.studies.contrast import require_fit
from roofline.studies.contrast.winners import rankings, suits

Row = dict[str, Any]
CHIPS = ["8xh100-sxm", "8xmi300x", "8xtpu-v5p", "576xgroq-lpu-v1"]


@pytest.fixture(scope="module")
def obeys() -> Callable[[rl.Result], None]:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    return lambda result: jsonschema.Draft7Validator(schema).validate(result.data)


@pytest.fixture(scope="module")
def chat() -> rl.Result:
    return rl.contrast("llama-3.1-70b-chat", CHIPS)


@pytest.fixture(scope="module")
def small() -> dict[str, Row]:
    """A dense model in 16 bits on one chip without software: everything can be told by hand."""
    rows = rl.contrast(
        "llama-3.1-8b", ["1xh200-sxm:stack=ideal"], batch=16, input_len=2048, output_len=128, seq_len=2048
    )
    return {row["phase"]: row for row in rows["rows"]}


def row(result: rl.Result, name: str, phase: str) -> Row:
    found: Row = next(item for item in result["rows"] if (item["name"], item["phase"]) == (name, phase))
    return found


# -- rows


def test_parallelism_is_what_a_step_has_of_each(small: dict[str, Row]) -> None:
    assert small["training"]["parallelism"]["tokens_in_flight"] == 256 * 2048
    assert small["prefill"]["parallelism"]["tokens_in_flight"] == 2048
    assert small["decode"]["parallelism"]["tokens_in_flight"] == 16
    assert small["decode"]["parallelism"]["rows_per_product"] == 16
    # layers see the whole prompt, the output matrix its last token: as many FLOPs as one token of the other products
    assert small["prefill"]["parallelism"]["rows_per_product"] == pytest.approx(2048, rel=1e-3)
    micro = small["training"]["deployment"]["plan"]["micro_batch"]
    assert small["training"]["parallelism"]["rows_per_product"] == pytest.approx(micro * 2048)
    for found in small.values():
        told = found["parallelism"]
        assert told["tiles_per_unit"] == pytest.approx(told["tiles_per_product"] / 132)


def test_tiles_are_pieces_of_the_result(catalog: Catalog, small: dict[str, Row]) -> None:
    """With 16 rows a product has n/128 tiles, whatever its inner dimension: the mean over FLOPs k·n."""
    found = {"qkv": (4096, 6144), "output": (4096, 4096), "up": (4096, 28672), "down": (14336, 4096)}
    sizes = [*((32 * k * n, n / 128) for k, n in found.values()), (4096 * 128256, 128256 / 128)]
    expected = sum(size * tiles for size, tiles in sizes) / sum(size for size, _ in sizes)
    assert small["decode"]["parallelism"]["tiles_per_product"] == pytest.approx(expected, rel=1e-6)


def test_a_decoded_token_moves_the_weights_of_all_requests_and_the_cache_of_its_own(
    catalog: Catalog, small: dict[str, Row]
) -> None:
    model, moved = catalog.model("llama-3.1-8b"), small["decode"]["movement"]
    weights = (model.parameters - model.embedding_parameters) * 2.0
    cache = 131_072 * (2048 + 64)
    assert moved["memory_bytes_per_token"] == pytest.approx(weights / 16 + cache, rel=0.03)
    scores = 2 * 32 * 32 * 2 * 128 * (2048 + 64)
    assert moved["flops_per_token"] == pytest.approx(weights + scores, rel=0.01)
    intensity = small["decode"]["intensity"]
    assert intensity["arithmetic_intensity"] == pytest.approx(
        moved["flops_per_token"] / moved["memory_bytes_per_token"]
    )
    assert moved["bytes_per_flop"] == pytest.approx(1.0 / intensity["arithmetic_intensity"])
    assert intensity["ridge_point"] == pytest.approx(989.4e12 / 4.8e12, rel=1e-3)
    assert intensity["intensity_over_ridge"] == pytest.approx(
        intensity["arithmetic_intensity"] / intensity["ridge_point"]
    )


@pytest.mark.parametrize(("recompute", "passes"), [("none", 3), ("full", 4)])
def test_training_calculates_three_or_four_times_as_much_for_a_token(recompute: str, passes: int) -> None:
    """Ahead, twice as much back, and ahead again: 6·P or 8·P against 2·P (Narayanan et al. 2021, section 5.1)."""
    rows = rl.contrast("llama-3.1-8b", ["8xh200-sxm"], input_len=4096, recompute=recompute)["rows"]
    training, prefill, _ = (item["movement"]["flops_per_token"] for item in rows)
    head = 2 * 4096 * 128_256  # a logit for every token of a run, which nothing makes again; for the last of a prompt
    assert training == pytest.approx(passes * prefill + 3 * head, rel=0.05)


def test_attained_rates_are_shares_of_the_roofs(small: dict[str, Row]) -> None:
    for found in small.values():
        moved, rate, told = found["movement"], found["rate"]["tokens_per_s_per_chip"], found["intensity"]
        assert told["attained_flops_per_s"] == pytest.approx(moved["flops_per_token"] * rate)
        assert told["mbu"] == pytest.approx(moved["memory_bytes_per_token"] * rate / 4.8e12)
        assert 0 < told["mfu"] <= told["attained_flops_per_s"] / 989.4e12 * (1 + 1e-3)


def test_rates_are_those_of_predictions(small: dict[str, Row]) -> None:
    asked: dict[str, Any] = {"batch": 16, "input_len": 2048, "output_len": 128}
    request = rl.predict("llama-3.1-8b", "1xh200-sxm:stack=ideal", **asked)
    assert small["prefill"]["rate"]["tokens_per_s"] == pytest.approx(request["metrics"]["prefill_tokens_per_s"])
    assert small["prefill"]["waiting"]["ttft_s"] == request["metrics"]["ttft_s"]
    assert small["decode"]["waiting"]["tpot_s"] == request["metrics"]["tpot_s"]
    (decode,) = (phase for phase in request["phases"] if phase["phase"] == "decode")
    assert small["decode"]["rate"]["tokens_per_s"] == pytest.approx(16 * 128 / decode["time_s"])
    assert small["decode"]["waiting"]["step_time_s"] == pytest.approx(decode["time_s"] / 128)
    assert (small["decode"]["intensity"]["mfu"], small["decode"]["intensity"]["mbu"]) == (
        pytest.approx(decode["mfu"]), pytest.approx(decode["mbu"])
    )  # fmt: skip
    training = rl.predict("llama-3.1-8b", "1xh200-sxm:stack=ideal", phase="training", seq_len=2048)
    assert small["training"]["rate"]["tokens_per_s"] == training["metrics"]["tokens_per_s"]
    assert small["training"]["intensity"]["mfu"] == pytest.approx(training["metrics"]["mfu"])
    for phase, prediction in (("training", training), ("prefill", request), ("decode", request)):
        assert small[phase]["memory"]["total_bytes"] == prediction["memory"]["total_bytes"]
    assert small["training"]["spending"]["energy_j_per_token"] == pytest.approx(
        training["metrics"]["energy_j_per_token"]
    )
    assert small["training"]["spending"]["usd_per_million_tokens"] == pytest.approx(
        training["metrics"]["usd_per_million_tokens"]
    )


def test_shares_of_time_add_up_and_products_are_large_above_the_ridge_point(chat: rl.Result) -> None:
    for found in chat["rows"]:
        if found["fits"]:
            shares = {name: value for name, value in found["pattern"].items() if name.endswith("_share")}
            hidden = shares.pop("hidden_communication_share")
            assert sum(shares.values()) == pytest.approx(1.0)
            assert hidden >= 0.0
    training, decode = (row(chat, "8xh100-sxm", phase)["pattern"] for phase in ("training", "decode"))
    assert training["gemv_share"] == decode["large_matmul_share"] == 0.0
    assert training["large_matmul_share"] > 0.5
    assert decode["gemv_share"] > training["attention_share"]


@pytest.mark.parametrize(("batch", "large"), [(100, False), (400, True)])
def test_a_product_is_large_once_as_many_rows_share_its_weights_as_the_ridge_point_asks_for(
    batch: int, large: bool
) -> None:
    """In 16 bits m rows make about m FLOP a byte: 4096·28672 weights cross a ridge of 206 at m = 233."""
    (_, _, decode) = rl.contrast("llama-3.1-8b", ["1xh200-sxm:stack=ideal"], batch=batch, input_len=64, output_len=8)[
        "rows"
    ]
    assert decode["parallelism"]["rows_per_product"] == batch
    assert (decode["pattern"]["large_matmul_share"] > 0.0) == large
    assert (decode["pattern"]["gemv_share"] == 0.0) == large


def test_shares_are_those_of_the_operators(small: dict[str, Row]) -> None:
    request = rl.predict("llama-3.1-8b", "1xh200-sxm:stack=ideal", batch=16, input_len=2048, output_len=128)
    (decode,) = (phase for phase in request["phases"] if phase["phase"] == "decode")
    by_kind: dict[str, float] = {}
    for operator in decode["operators"]:
        by_kind[operator["kind"]] = by_kind.get(operator["kind"], 0.0) + operator["share"]
    told = small["decode"]["pattern"]
    assert told["gemv_share"] == pytest.approx(by_kind["matmul"])
    assert told["attention_share"] == pytest.approx(by_kind["decode-attention"])
    assert told["passes_share"] == pytest.approx(by_kind["elementwise"])
    assert told["communication_share"] == told["software_share"] == told["bubble_share"] == 0.0


def test_steps_of_training_are_alike_and_decoding_slows_with_the_context(small: dict[str, Row]) -> None:
    assert small["training"]["pattern"]["last_step_over_first"] == 1.0
    assert small["prefill"]["pattern"]["last_step_over_first"] == 1.0  # one pass
    times = [
        rl.predict("llama-3.1-8b", "1xh200-sxm:stack=ideal", phase="decode", batch=16, context_len=context)["metrics"][
            "tpot_s"
        ]
        for context in (2048, 2048 + 127)
    ]
    assert small["decode"]["pattern"]["last_step_over_first"] == pytest.approx(times[1] / times[0])
    assert times[1] > times[0]


def test_later_chunks_of_a_prompt_attend_to_more() -> None:
    rows = rl.contrast("llama-3.1-8b", ["1xh100-sxm:stack=vllm"], input_len=65536, output_len=2)["rows"]
    prefill = next(item for item in rows if item["phase"] == "prefill")
    assert prefill["parallelism"]["tokens_in_flight"] == 8192
    assert prefill["pattern"]["last_step_over_first"] > 1.5


def test_a_millisecond_costs_what_it_adds_to_a_step(small: dict[str, Row]) -> None:
    for found in small.values():
        step = found["waiting"]["step_time_s"]
        assert found["waiting"]["loss_per_ms"] == pytest.approx(1.0 - step / (step + 1e-3))
    assert small["training"]["waiting"]["loss_per_ms"] < 1e-3 < small["decode"]["waiting"]["loss_per_ms"]


def test_a_request_divides_its_time_among_its_phases(chat: rl.Result) -> None:
    prefill, decode = (row(chat, "8xh100-sxm", phase) for phase in ("prefill", "decode"))
    assert prefill["share"] + decode["share"] == pytest.approx(1.0)
    ratio = (1155 / prefill["rate"]["tokens_per_s"]) / (211 / decode["rate"]["tokens_per_s"])
    assert prefill["share"] / decode["share"] == pytest.approx(ratio)
    assert row(chat, "8xh100-sxm", "training")["share"] == 1.0


# -- what is asked of whom


def test_options_go_to_the_phase_that_has_them(obeys: Callable[[rl.Result], None]) -> None:
    base = rl.contrast("llama-3.1-8b", ["8xh100-sxm"], batch=8)
    served = rl.contrast("llama-3.1-8b", ["8xh100-sxm"], batch=32, weights="fp8", cached_share=0.5, kv_cache="fp8")
    trained = rl.contrast("llama-3.1-8b", ["8xh100-sxm:zero=3"], batch=8, seq_len=8192, recompute="full", lora_rank=16)
    for result in (base, served, trained):
        obeys(result)
    for phase in ("prefill", "decode"):
        assert row(trained, "8xh100-sxm:zero=3", phase)["rate"] == row(base, "8xh100-sxm", phase)["rate"]
        assert row(served, "8xh100-sxm", phase)["rate"] != row(base, "8xh100-sxm", phase)["rate"]
    assert row(served, "8xh100-sxm", "training")["rate"] == row(base, "8xh100-sxm", "training")["rate"]
    assert row(served, "8xh100-sxm", "training")["deployment"]["weights"] == "bf16"
    plan = row(trained, "8xh100-sxm:zero=3", "training")["deployment"]["plan"]
    assert (plan["zero"], plan["recompute"]) == (3.0, "full")


@pytest.mark.parametrize(
    ("stack", "trains", "serves"),
    [("sglang", "megatron", "sglang"), ("fsdp", "fsdp", "vllm"), ("ideal", "ideal", "ideal")],
)
def test_software_does_what_it_was_made_for(stack: str, trains: str, serves: str) -> None:
    more: dict[str, Any] = {"stack": stack}
    for asked, options in ((f"8xh100-sxm:stack={stack}", {}), ("8xh100-sxm", more)):
        rows = rl.contrast("llama-3.1-8b", [asked], **options)["rows"]
        assert [item["deployment"]["stack"] for item in rows] == [trains, serves, serves]
        assert {item["name"] for item in rows} == {asked}


def test_a_workload_is_one_side_of_its_contrast() -> None:
    run = rl.contrast("llama-3.1-8b-pretraining", ["8xh100-sxm"])
    assert [work["id"] for work in run["workloads"]] == ["llama-3.1-8b-pretraining", "llama-3.1-8b-request"]
    chat = rl.contrast("llama-3.1-8b-chat", ["8xh100-sxm"])
    assert [work["id"] for work in chat["workloads"]] == ["llama-3.1-8b-training", "llama-3.1-8b-chat"]
    assert row(chat, "8xh100-sxm", "decode")["parallelism"]["tokens_in_flight"] == chat["workloads"][1]["batch"]


def test_what_a_request_does_not_do_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "reads.yaml"
    path.write_text(
        "id: reads\nname: Reads\nmodel: llama-3.1-8b\nsource: s\nsteps: [{prefill: 500}]\nsources: {s: {title: x}}\n"
    )
    assert [item["phase"] for item in rl.contrast(str(path), ["h100-sxm"])["rows"]] == ["training", "prefill"]


# -- what does not fit


def test_a_run_that_does_not_fit_is_shown_on_chips_that_hold_it(chat: rl.Result) -> None:
    training = row(chat, "8xh100-sxm", "training")
    assert training["fits"]
    assert (training["asked_chips"], training["deployment"]["num_chips"]) == (8, 16)
    assert training["why"].startswith("needs ")
    assert not rl.predict("llama-3.1-70b", "8xh100-sxm", phase="training")["fits"]
    larger = rl.predict("llama-3.1-70b", "16xh100-sxm", phase="training")
    assert training["rate"]["tokens_per_s"] == larger["metrics"]["tokens_per_s"]
    assert row(chat, "8xh100-sxm", "decode")["deployment"]["num_chips"] == 8
    with pytest.raises(CheckFailedError, match="does not fit: training on 8xh100-sxm needs 1"):
        require_fit(chat["rows"])
    require_fit([row(chat, "8xh100-sxm", "decode")])


def test_what_nothing_holds_says_why_and_hides_nobody(chat: rl.Result, obeys: Callable[[rl.Result], None]) -> None:
    lost = row(chat, "576xgroq-lpu-v1", "training")
    assert (lost["fits"], "rate" in lost) == (False, False)
    assert lost["memory"]["total_bytes"] > lost["memory"]["capacity_bytes"]
    none = rl.contrast("deepseek-v3", ["rtx-4090", "h200-sxm"], batch=8)
    obeys(none)
    assert [item["fits"] for item in none["rows"]] == [False] * 3 + [True] * 3
    assert "does not fit on 8 x rtx-4090" in none["rows"][0]["why"]
    assert none["suits"][0] == {"name": "rtx-4090", "phase": None, "per": None, "value": None, "scores": []}
    assert none["rankings"] == []
    assert [item["label"] for item in ({"label": entry["deployment"]["label"]} for entry in none["rows"][:1])] == [
        "rtx-4090"
    ]


def test_chips_that_divide_no_batch_train_nothing_but_serve() -> None:
    rows = rl.contrast("llama-3.1-8b", ["77xh100-sxm"], batch=64)["rows"]
    assert [item["fits"] for item in rows] == [False, True, True]
    assert "divides the global batch" in rows[0]["why"]
    assert rows[0]["asked_chips"] == 77


BAD = [
    (("llama-3.1-8b", "h10-sxm"), {}, "no chip 'h10-sxm'"),
    (("lama-3.1-8b", "h100-sxm"), {}, "no workload 'lama-3.1-8b'; did you mean 'llama-3.1-8b'"),
    (("llama-3.1-8b", "h100-sxm"), {"phase": "decode"}, "--phase: a contrast shows all phases; leave it out"),
    (("llama-3.1-8b", "8xh100-sxm:pools=4:4"), {}, "8xh100-sxm:pools=4:4: pools: each phase is shown by itself"),
    (("llama-3.1-8b", "8xh100-sxm"), {"pools": "auto"}, "8xh100-sxm: pools: each phase is shown by itself"),
    (("llama-3.1-70b", "6xh100-sxm:tp=6"), {}, "6xh100-sxm:tp=6: tp=6 does not divide the 64 heads"),
    (("llama-3.1-8b", "16xrtx-4090"), {}, "16xrtx-4090: 16 x rtx-4090: its links join at most 8 chips"),
    (("llama-3.1-8b", "8xh100-sxm:stack=vlm"), {}, "no stack 'vlm'; did you mean 'vllm'"),
    (("llama-3.1-8b", "8xh100-sxm:zero=7"), {}, "zero=7: must be a whole number, 0 to 3"),
    (("llama-3.1-8b", "8xh100-sxm"), {"batch": "lots"}, "batch 'lots': write how many requests"),
    (("llama-3.1-8b", "8xh100-sxm"), {"batsh": 3}, "unknown option 'batsh'; did you mean 'batch'"),
]


@pytest.mark.parametrize(("asked", "more", "message"), BAD, ids=[message[:30] for *_, message in BAD])
def test_bad_input_is_told(asked: tuple[str, str], more: dict[str, Any], message: str) -> None:
    with pytest.raises(RooflineError) as error:
        rl.contrast(asked[0], [asked[1]], **more)
    assert message in str(error.value)
    assert error.value.exit_code == 2


# -- who wins


def test_rankings_are_rates_over_chips_dollars_and_joules(chat: rl.Result, obeys: Callable[[rl.Result], None]) -> None:
    obeys(chat)
    found = {(item["phase"], item["per"]): item for item in chat["rankings"]}
    assert ("decode", "user") in found
    assert ("prefill", "user") not in found
    for (phase, per), ranking in found.items():
        values = [entry["value"] for entry in ranking["entries"]]
        assert values == sorted(values, reverse=True)
        assert ranking["lead"] == pytest.approx(values[0] / values[1] - 1.0)
        for entry in ranking["entries"]:
            told = row(chat, entry["name"], phase)
            rate, spending = told["rate"], told["spending"]
            expected = {
                "chip": rate["tokens_per_s"] / told["deployment"]["num_chips"],
                "usd": 1e6 / (spending["usd_per_million_tokens"] or 1.0),
                "joule": 1.0 / (spending["energy_j_per_token"] or 1.0),
                "user": 1.0 / (told["waiting"]["tpot_s"] or 1.0),
            }[per]
            assert entry["value"] == pytest.approx(expected)
            assert entry["low"] <= entry["value"] <= entry["high"]


def made(name: str, value: float, low: float | None, high: float | None, phase: str = "decode") -> Row:
    rate = {"": value, "_low": low, "_high": high}
    return {
        "name": name, "phase": phase, "fits": True, "deployment": {"label": name},
        "rate": {f"{key}{edge}": known for key in ("tokens_per_s", "tokens_per_s_per_chip") for edge, known in rate.items()},
        "spending": {"usd_per_million_tokens": None, "power_w": None},
        "waiting": {"tpot_s": None}, "intensity": {"mfu": 0.3, "mbu": None},
    }  # fmt: skip


EDGES = st.lists(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)).map(sorted), min_size=2, max_size=6
)


@given(edges=EDGES)
def test_the_first_can_be_told_from_all_whose_intervals_lie_below(edges: list[list[int]]) -> None:
    rows = [made(str(index), value, low, high) for index, (low, value, high) in enumerate(edges)]
    (ranking,) = rankings(rows)
    first = next(item for item in rows if item["name"] == ranking["entries"][0]["name"])
    assert first["rate"]["tokens_per_s"] == max(value for _, value, _ in edges)
    apart = {item["name"] for item in rows if item["rate"]["tokens_per_s_high"] < first["rate"]["tokens_per_s_low"]}
    assert {item["name"] for item in rows} - apart - {first["name"]} == set(ranking["alike"])
    assert ranking["lead_low"] <= ranking["lead"] <= ranking["lead_high"]


def test_what_has_no_interval_can_be_told_from_nothing() -> None:
    (ranking,) = rankings([made("a", 9.0, None, None), made("b", 1.0, 0.9, 1.1), made("c", 0.1, None, None)])
    assert (ranking["alike"], ranking["lead_low"], ranking["lead_high"]) == (["b", "c"], None, None)


def test_one_deployment_wins_nothing_and_suits_where_it_is_near_a_roof() -> None:
    result = rl.contrast("llama-3.1-8b", ["8xh100-sxm"], batch=64)
    assert result["rankings"] == []
    (suited,) = result["suits"]
    near = {item["phase"]: max(item["intensity"]["mfu"], item["intensity"]["mbu"]) for item in result["rows"]}
    assert suited["per"] == "roof"
    assert {score["phase"]: score["value"] for score in suited["scores"]} == near
    assert suited["phase"] == max(near, key=lambda phase: near[phase])


def test_deployments_suit_where_they_are_best_beside_the_median(chat: rl.Result) -> None:
    for suited in chat["suits"]:
        best = max(suited["scores"], key=lambda score: score["value"])
        assert {name: suited[name] for name in best} == best
        for score in suited["scores"]:
            (ranking,) = (
                item for item in chat["rankings"] if (item["phase"], item["per"]) == (score["phase"], score["per"])
            )
            values = {entry["name"]: entry["value"] for entry in ranking["entries"]}
            assert score["value"] == pytest.approx(values[suited["name"]] / median(values.values()))
    assert {item["name"]: (item["phase"], item["per"]) for item in chat["suits"]}["576xgroq-lpu-v1"] == (
        "decode",
        "user",
    )


def test_suits_of_equal_deployments_are_those_of_the_first_phase() -> None:
    rows = [made(name, 2.0, 1.0, 3.0, phase) for name in "ab" for phase in ("training", "decode")]
    assert [item["phase"] for item in suits(rows, ["a", "b", "a"])] == ["training", "training"]


def test_rows_stand_in_the_order_of_deployments_and_phases(chat: rl.Result) -> None:
    assert [item["name"] for item in chat["rows"]] == [name for name in CHIPS for _ in range(3)]
    assert [item["phase"] for item in chat["rows"]] == ["training", "prefill", "decode"] * 4


def test_frames_have_a_row_for_each_phase(chat: rl.Result) -> None:
    frame = chat.to_frame()
    assert len(frame) == 12
    assert frame["tokens_per_s_per_chip"].notna().sum() == 11
    for one, other in combinations(("arithmetic_intensity", "gemv_share", "flops_gain", "capacity_filled_gain"), 2):
        assert {one, other} <= set(frame.columns)


def test_four_chips_are_contrasted_in_well_under_two_seconds(chat: rl.Result) -> None:
    begin = time.process_time()
    rl.contrast("llama-3.1-70b-chat", CHIPS)
    assert time.process_time() - begin < 2.0
