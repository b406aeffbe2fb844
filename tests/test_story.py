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


def phases(rows: Any) -> dict[tuple[str, str], Any]:
    """Rows of a contrast that fit, by name and phase."""
    return {(row["name"], row["phase"]): row for row in rows if row["fits"]}


def test_training_and_prefill_are_bound_by_compute_and_decode_by_memory() -> None:
    result = rl.contrast("llama-3.1-8b", ["h100-sxm"], batch=16, input_len=4096, output_len=256)
    rows = {row["phase"]: row for row in result["rows"]}
    for name, row in rows.items():
        assert row["intensity"]["bound"] == ("memory" if name == "decode" else "compute")
        assert (row["intensity"]["intensity_over_ridge"] > 2.0) == (name != "decode")
        assert (row["pattern"]["large_matmul_share"] > 0.5) == (name != "decode")
    assert rows["decode"]["intensity"]["intensity_over_ridge"] < 0.1
    assert rows["decode"]["parallelism"]["rows_per_product"] == 16
    assert rows["decode"]["pattern"]["large_matmul_share"] < 0.05
    assert rows["decode"]["pattern"]["gemv_share"] + rows["decode"]["pattern"]["attention_share"] > 0.7


def test_twice_the_arithmetic_buys_training_and_prefill_and_nothing_in_decode() -> None:
    gpu, tpu, lpu = names = ("8xh100-sxm", "8xtpu-v5p", "576xgroq-lpu-v1")
    found = phases(rl.contrast("llama-3.1-70b-chat", names)["rows"])
    assert (lpu, "training") not in found
    for (name, phase), row in found.items():
        gains = {worth["resource"]: worth["gain"] for worth in row["worth"]}
        if phase == "decode":
            assert gains["flops"] < 0.01
            if name != lpu:
                assert set(sorted(gains, key=lambda resource: -gains[resource])[:2]) == {"bandwidth", "overhead"}
        else:
            assert gains["flops"] > max(gains["bandwidth"], gains["link_bandwidth"])
    waits = {name: found[name, "decode"]["waiting"]["tpot_s"] for name in names}
    assert 2 * waits[lpu] < min(waits[gpu], waits[tpu])
    on_lpu = {worth["resource"]: worth["gain"] for worth in found[lpu, "decode"]["worth"]}
    assert on_lpu["overhead"] > 10 * max(gain for name, gain in on_lpu.items() if name != "overhead")


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


@cache
def retrieval(label: str) -> Any:
    return rl.predict("llama-3.1-70b", label, scenario="retrieval", **FP8)


def named(result: Any, name: str) -> Any:
    return next(step for step in result["steps"] if step["name"] == name)


def test_the_user_of_retrieval_waits_for_more_than_the_first_token() -> None:
    metrics = retrieval("8xh100-sxm")["metrics"]
    assert named(retrieval("8xh100-sxm"), "query")["hidden"]
    assert metrics["time_to_first_useful_token_s"] > 5 * metrics["ttft_s"]


def test_passages_take_little_time_and_much_energy_and_money() -> None:
    result = retrieval("8xh100-sxm")
    passages, request = named(result, "passages"), result["request"]
    assert passages["bound"] == "compute"
    assert passages["share"] < 0.05
    assert passages["energy_j"] > 0.25 * request["energy_j"]
    assert passages["cost_usd"] > 0.2 * request["cost_usd"]


def test_a_search_needs_no_cache_to_be_kept() -> None:
    pauses = retrieval("8xh100-sxm")["request"]["pauses"]
    assert pauses["cheaper"] is None
    assert pauses["recompute_time_s"] == 0.0


def test_a_fast_decoder_reads_passages_slowly() -> None:
    wafer = retrieval("2xwse-3")
    for label in ("8xh100-sxm", "8xmi300x", "8xtpu-v6e"):
        other = retrieval(label)
        assert 2.5 * wafer["phases"][-1]["time_s"] < other["phases"][-1]["time_s"]
        assert named(wafer, "passages")["time_s"] > named(other, "passages")["time_s"]
    for label in ("8xh100-sxm", "8xmi300x"):
        assert (
            wafer["metrics"]["time_to_first_useful_token_s"]
            > retrieval(label)["metrics"]["time_to_first_useful_token_s"]
        )


def over(model: str, label: str, scenario: str, vary: str) -> list[dict[str, Any]]:
    """A row for each value that is varied."""
    return list(rl.predict(model, label, scenario=scenario, vary=vary, **FP8)["rows"])


def test_more_passages_are_later_dearer_and_slower_for_everyone() -> None:
    rows = over("llama-3.1-70b", "8xh100-sxm", "retrieval", "passages=1000:16000:x2")
    for name in ("time_to_first_useful_token_s", "usd_per_request", "tpot_s"):
        values = [row[name] for row in rows]
        assert values == sorted(values), name
    assert rows[-1]["time_to_first_useful_token_s"] > 2 * rows[0]["time_to_first_useful_token_s"]
    assert rows[-1]["tpot_s"] > 1.4 * rows[0]["tpot_s"]
    assert 1.5 < rows[-1]["usd_per_request"] / rows[0]["usd_per_request"] < 2.5


def test_thoughts_take_more_than_their_share_of_time() -> None:
    rows = over("r1-distill-llama-70b", "8xh100-sxm", "reasoning", "thinking=1000:16000:x2")
    assert rows[-1]["time_to_first_useful_token_s"] > 16 * rows[0]["time_to_first_useful_token_s"]
    assert rows[-1]["usd_per_request"] > 10 * rows[0]["usd_per_request"]
    for row in rows:
        assert row["ttft_s"] < 0.01 * row["time_to_first_useful_token_s"]


def test_an_agent_waits_for_tools_and_keeps_its_cache() -> None:
    result = rl.predict("qwen3-coder-480b", "8xh200", scenario="agent", **FP8)
    history = named(result, "history")
    assert history["tokens"] > 100_000
    assert history["time_s"] == 0.0
    assert sum(step["share"] for step in result["steps"] if step["step"] == "pause") > 0.3
    pauses = result["request"]["pauses"]
    assert pauses["cheaper"] == "keep"
    assert pauses["recompute_chip_seconds"] > 10 * pauses["keep_chip_seconds"]


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


def test_owning_pays_from_two_fifths_of_the_time_on_and_tokens_are_cheaper_for_most_of_it() -> None:
    result = rl.predict(CHAT, "8xh100-sxm", costs=True)
    equal = result["economics"]["break_even"]
    assert 0.3 < equal["own_rent"]["utilization"] < 0.5
    own = result["economics"]["own"]
    assert own["electricity_usd_per_hour"] < 0.15 * own["usd_per_hour"]
    bought = equal["own_market"]["utilization"]
    assert bought is None or bought > 0.6  # None: never
    promised = chat()["8xh100-sxm"]["frontier"]["promised"]["metrics"]["usd_per_million_tokens"]
    assert promised < 0.6 * result["metrics"]["usd_per_million_tokens"]


@cache
def decision() -> Any:
    return rl.decide("office-assistant", chips=["h100-sxm", "mi300x", "l40s"])


def test_renting_is_cheapest_for_an_office_and_its_second_is_far_behind() -> None:
    (load,) = decision()["serving"]
    first, second, *_ = load["options"]
    assert first["where"] == "cloud"
    assert "own" in second["where"]
    assert load["second"]["price"] is None
    assert load["second"]["speed"] > 1.25
    edge = next(option for option in load["options"] if option["where"] == "edge")
    assert edge["usd_per_month"] > 3 * first["usd_per_month"]
    assert edge["num_chips"] == 12
    assert first["parts"][0]["running_replicas"] < 0.2 * 12
    assert {demand["peak"] for demand in load["demands"]} == {4.0}


def test_fine_tuning_is_the_small_part() -> None:
    (run,), (load,) = decision()["training"], decision()["serving"]
    best = run["options"][0]
    assert best["num_chips"] == 1
    assert best["in_time"]
    assert best["usd"] < 0.1 * load["options"][0]["usd_per_month"]


def test_with_a_fraction_of_the_requests_owning_wins() -> None:
    (load,) = decision()["serving"]
    curves = load["curves"]
    where = {curve["rank"]: load["options"][curve["rank"] - 1]["where"] for curve in curves["options"]}
    for scale, wins in ((0.125, "own"), (1.0, "cloud")):
        at = curves["requests"].index(scale)
        cheapest = min(curves["options"], key=lambda curve: curve["usd_per_month"][at])
        assert where[cheapest["rank"]] == wins


def test_chips_take_half_of_the_energy_on_gpus() -> None:
    for label in ("8xh100-sxm", "8xmi300x"):
        metrics = chat()[label]["metrics"]
        assert 0.35 < metrics["energy_j_per_token"] / metrics["site_energy_j_per_token"] < 0.65


def test_what_is_not_known_of_a_machine_is_left_out_and_said() -> None:
    lpu, wafer = (chat()[label] for label in SRAM)
    assert lpu["metrics"].get("system_energy_j_per_token") is None
    for row in (lpu, wafer):
        assert any("TDP, an upper bound" in note for note in row["notes"])
