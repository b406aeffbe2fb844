"""What docs/training-and-inference.md says in words is what the tables in it show: a prediction that moves so far that a
sentence is wrong fails here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import roofline as rl

CHAT = "llama-3.1-70b-chat"
HBM, SRAM = ("8xh100-sxm", "8xmi300x", "8xtpu-v6e"), ("576xgroq-lpu-v1", "2xwse-3")
ASIC = str(Path(__file__).resolve().parents[1] / "examples" / "my-asic.yaml")
FP8: dict[str, Any] = {"weights": "fp8", "activations": "fp8", "kv_cache": "fp8"}


@cache
def chat() -> dict[str, Any]:
    rows = rl.compare(CHAT, [*HBM, *SRAM, ASIC], frontier=True)["rows"]
    return dict(zip([*HBM, *SRAM, ASIC], rows, strict=True))


def phase(row: Any, name: str) -> Any:
    return next(item for item in row["phases"] if item["phase"] == name)


def test_training_and_prefill_are_bound_by_compute_and_decode_by_memory() -> None:
    asked: dict[str, dict[str, Any]] = {
        "training": {"global_batch": 64},
        "prefill": {"input_len": 4096},
        "decode": {"context_len": 4096},
    }
    for name, options in asked.items():
        (found,) = rl.predict("llama-3.1-8b", "2xh100-sxm", phase=name, **options)["phases"]
        assert found["bound"] == ("memory" if name == "decode" else "compute")
        assert (found["arithmetic_intensity"] > found["ridge_point"]) == (name != "decode")


def test_more_than_half_of_training_is_products_and_chips_are_alike() -> None:
    result = rl.compare(
        "llama-3.1-8b-pretraining", ["64xh100-sxm", "64xmi300x", "64xtpu-v5p", "64xgaudi3", "64xgroq-lpu-v1"]
    )
    *trained, lpu = result["rows"]
    for row in trained:
        parts = {part["name"]: part["share"] for part in row["phases"][0]["parts"]}
        assert parts["products"] > 0.5
    assert len(result["indistinguishable"]["pairs"]) == 6
    assert not lpu["fits"]
    assert "gradients" in lpu["why"]
    assert "optimizer" in lpu["why"]


def test_first_requests_are_nearly_free_and_later_ones_are_not() -> None:
    points = rl.predict("llama-3.1-8b-chat", "h100-sxm", frontier=True)["frontier"]["points"]
    times = {point["batch"]: point["metrics"]["tpot_s"] for point in points}
    costs = {point["batch"]: point["metrics"]["usd_per_million_tokens"] for point in points}
    assert times[4] < 1.15 * times[1]
    assert costs[4] < 0.3 * costs[1]
    assert times[256] > 1.6 * times[128]


def test_reading_weights_is_the_largest_part_with_hbm_and_next_to_nothing_with_sram() -> None:
    for label in (*HBM, *SRAM):
        spent: dict[str, float] = {}
        for item in phase(chat()[label], "decode")["operators"]:
            reads = item["kind"] == "matmul" and item["bound"] == "memory"
            name = "reading" if reads else item["kind"]
            spent[name] = spent.get(name, 0.0) + item["share"]
        assert (max(spent, key=lambda name: spent[name]) == "reading") == (label in HBM), label
        assert label in HBM or spent.get("reading", 0.0) < 0.05


def test_a_step_takes_less_than_half_as_long_with_sram() -> None:
    steps = {label: phase(row, "decode")["time_s"] for label, row in chat().items()}
    assert max(steps[label] for label in SRAM) < min(steps[label] for label in HBM) / 2


def test_the_wafer_reads_prompts_slowly_and_loses_by_it() -> None:
    wafer = chat()["2xwse-3"]
    assert phase(wafer, "prefill")["time_s"] > max(phase(chat()[label], "prefill")["time_s"] for label in HBM)
    assert wafer["metrics"]["tpot_s"] > 2 * phase(wafer, "decode")["time_s"] / 211


def test_passages_take_as_long_as_many_steps_and_a_fast_decoder_reads_them_slowly() -> None:
    for label in (*HBM, "2xwse-3"):
        question, _, _, passages, answer = rl.predict("llama-3.1-70b-retrieval", label)["phases"]
        assert passages["time_s"] > 10 * answer["time_s"] / 512
        assert passages["time_s"] > 5 * question["time_s"]
    wafer, gpu = (rl.predict("llama-3.1-70b-retrieval", label)["phases"] for label in ("2xwse-3", "8xh100-sxm"))
    assert wafer[4]["time_s"] < gpu[4]["time_s"]
    assert wafer[3]["time_s"] > gpu[3]["time_s"]


def test_sixteen_gpus_reason_no_faster_than_eight_and_sram_does() -> None:
    times = {
        label: rl.predict("r1-distill-llama-70b", label, input_len=70, output_len=3579, batch=1, **FP8)["metrics"][
            "tpot_s"
        ]
        for label in ("8xh100-sxm", "16xh100-sxm", "8xtpu-v6e", *SRAM)
    }
    assert times["16xh100-sxm"] > 0.99 * times["8xh100-sxm"]
    assert max(times[label] for label in SRAM) < 0.5 * min(times[label] for label in times if label not in SRAM)


def test_sram_reaches_what_no_gpu_reaches_at_any_cost() -> None:
    fastest = {label: row["frontier"]["points"][0]["metrics"]["tpot_s"] for label, row in chat().items()}
    assert max(fastest[label] for label in SRAM) < min(fastest[label] for label in HBM)


def test_the_invented_chip_is_never_fast_but_keeps_the_promise_for_less() -> None:
    asic, gpu = chat()[ASIC]["frontier"], chat()["8xh100-sxm"]["frontier"]
    assert asic["points"][0]["metrics"]["tpot_s"] > 1.5 * gpu["points"][0]["metrics"]["tpot_s"]
    assert chat()[ASIC]["deployment"]["num_chips"] == 1
    prices = [item["promised"]["metrics"]["usd_per_million_tokens"] for item in (asic, gpu)]
    assert prices[0] < prices[1]


def test_with_few_requests_a_token_takes_several_times_the_energy() -> None:
    energy = {label: chat()[label]["metrics"]["energy_j_per_token"] for label in ("8xh100-sxm", *SRAM)}
    assert min(energy[label] for label in SRAM) > 3 * energy["8xh100-sxm"]
