"""Validation: errors are computed as they are defined, nothing is dropped in silence, gates can fail."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import roofline as rl
from roofline.catalog import spreads
from roofline.catalog.store import Catalog
from roofline.errors import CheckFailedError, RooflineError
from roofline.machine.evidence import ENERGY, OFFLINE, POWER, STEP, SYSTEM
from roofline.studies import contract
from roofline.studies.accuracy import coverage, demand, summarise
from roofline.studies.measured.names import stack_named
from roofline.studies.measured.rows import CLASSES, COLUMNS, fault
from roofline.studies.measured.rules import RuleSpec, shipped_rules
from roofline.studies.measured.serving import SERVED
from roofline.studies.measured.serving import what as what_served
from roofline.studies.measured.table import KERNELS, METRICS, SERVING, Case, Table, read, shipped
from roofline.studies.validate import validate

Write = Callable[..., Path]

SOUND = {
    "id": "a", "chip": "nvidia-h100-sxm", "num_chips": "1", "model": "llama3.1-8b", "weight_dtype": "bf16", "tp": "1",
    "batch": "8", "input_len": "1000", "output_len": "100", "mode": "server_concurrency", "framework": "vLLM",
    "version": "0.9", "metric": "tpot_ms", "value": "9", "source": "test", "phase": "", "speculative": "", "pp": "",
    "dp": "", "cached": "",
}  # fmt: skip
PRODUCT = {
    "id": "g", "chip": "h100-sxm", "num_chips": "1", "op": "gemm", "dtype": "bf16", "m": "4096", "n": "8192",
    "k": "8192", "software": "cuBLAS", "latency_us": "800", "tflops": "", "gbps": "", "bytes": "", "ranks": "",
    "source": "test", "note": "",
}  # fmt: skip


def written(path: Path, sound: Mapping[str, str], changes: tuple[Mapping[str, str], ...]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(sound))
        writer.writeheader()
        writer.writerows({**sound, "id": f"r{index}", **row} for index, row in enumerate(changes))
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return lambda *rows: written(tmp_path / "measured.csv", SOUND, rows)


@pytest.fixture
def write_kernels(tmp_path: Path) -> Write:
    return lambda *rows: written(tmp_path / "kernels.csv", PRODUCT, rows)


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    """The shipped tables, both sides of the split."""
    with np.errstate(over="raise", invalid="raise"):
        return validate(None, Catalog(), split="all")


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    return [read(path) for path in shipped()]


def row(**cells: Any) -> dict[str, Any]:
    """A predicted row of which only some columns matter."""
    return {"error": 0.0, "beats_ideal": False, "low": None, "high": None, "measured": 1.0, "predicted": 1.0, **cells}


# -- rows


@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(8, 1000, 100), (64, 500, 900), (1, 4000, 10)])
def test_a_row_is_predicted_as_analyze_predicts_it(write: Write, batch: int, inputs: int, outputs: int) -> None:
    lengths = {"batch": str(batch), "input_len": str(inputs), "output_len": str(outputs)}
    (found,) = rl.validate(write(lengths))["rows"]
    where = f"h100-sxm:tp=1,stack={found['stack']}"
    alone = rl.predict("llama-3.1-8b", where, batch=batch, input_len=inputs, output_len=outputs)["metrics"]
    assert found["predicted"] == pytest.approx(alone["tpot_s"] * 1e3, rel=1e-12)
    assert found["ideal"] == pytest.approx(alone["tpot_s_ideal"] * 1e3, rel=1e-12)
    assert found["error"] == pytest.approx(found["predicted"] / 9 - 1)
    assert (found["unit"], found["what"]) == ("ms", "server decode")


def test_a_kernel_is_priced_beside_its_time_and_its_rate(write_kernels: Write) -> None:
    flops = 2 * 4096 * 8192 * 8192
    timed, rated = rl.validate(write_kernels({}, {"latency_us": "", "tflops": str(flops / 800e-6 / 1e12)}))["rows"]
    assert timed["measured"] == pytest.approx(800)
    assert rated["measured"] == pytest.approx(800)
    assert timed["predicted"] == rated["predicted"] > timed["ideal"] >= flops / 989.5e12 * 1e6
    assert (timed["what"], timed["unit"], timed["phase"], timed["mode"]) == ("matmul", "us", "gemm", "kernel")
    assert timed["framework"] == "cuBLAS"


@pytest.mark.parametrize(
    ("metric", "phase", "mode", "what"),
    [
        ("tpot_ms", "", "fixed_batch", "decode"),
        ("tokens_per_s_per_user", "", "single_stream", "decode"),
        ("output_tokens_per_s_total", "decode", "fixed_batch", "decode"),
        ("itl_ms", "", "server_concurrency", "server decode"),
        ("prefill_tokens_per_s", "", "single_stream", "prefill"),
        ("ttft_ms", "", "fixed_batch", "prefill"),
        ("ttft_ms", "", "server_concurrency", "server first token"),
        ("e2e_latency_s", "", "fixed_batch", "end to end"),
        ("output_tokens_per_s_total", "", "fixed_batch", "end to end"),
        ("output_tokens_per_s_total", "", "server_concurrency", "server end to end"),
        ("output_tokens_per_s_total", "", "offline_max_throughput", "offline"),
        ("output_tokens_per_s_per_chip", "", "offline_max_throughput", "offline"),
    ],
)
def test_what_a_figure_says_follows_from_metric_and_mode(metric: str, phase: str, mode: str, what: str) -> None:
    assert what_served(METRICS[metric, phase], Case({"mode": mode}, {})) == what


def test_rows_have_the_columns_that_are_promised(write: Write, write_kernels: Write) -> None:
    for found in (rl.validate(write({}))["rows"], rl.validate(write_kernels({}))["rows"]):
        assert tuple(found[0])[: len(COLUMNS)] == COLUMNS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chip": "abacus"}, "chip abacus is not in the catalogue"),
        ({"model": "eliza"}, "model eliza is not in the catalogue"),
        ({"batch": ""}, "batch is not stated"),
        ({"input_len": ""}, "input length is not stated"),
        ({"output_len": ""}, "output length is not stated"),
        ({"speculative": "yes"}, "speculative decoding: how many drafts were accepted is not stated"),
        ({"weight_dtype": "exl2-3.0bpw"}, "weight format exl2-3.0bpw is not modelled"),
        ({"weight_dtype": ""}, "weight format is not stated"),
        ({"metric": "mood"}, "metric mood is not predicted"),
        (
            {"tp": "3", "pp": "1", "dp": "1", "num_chips": "3"},
            "tp=3 does not divide the 32 heads of llama-3.1-8b; possible: 1 2 4 8 16 32",
        ),
        (
            {"metric": "ttft_ms", "input_len": "0", "output_len": "0"},
            "neither input nor output length is more than zero",
        ),
        ({"batch": "0"}, "a batch of no requests"),
        ({"metric": "ttft_ms", "input_len": "0"}, "ttft_ms of no prompt"),
        ({"metric": "prefill_tokens_per_s", "input_len": "0"}, "prefill_tokens_per_s of no prompt"),
        ({"metric": "output_tokens_per_s_total", "output_len": "0"}, "output_tokens_per_s_total of no output"),
    ],
)
def test_what_is_skipped_says_why(write: Write, change: dict[str, str], reason: str) -> None:
    result = rl.validate(write({}, change))
    assert [found["id"] for found in result["rows"]] == ["r0"]
    assert result["skipped"] == [{"id": "r1", "reason": reason}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chip": "abacus"}, "chip abacus is not in the catalogue"),
        ({"op": "sort"}, "operator sort is not priced"),
        ({"k": ""}, "k not stated"),
        ({"latency_us": ""}, "no time and no rate"),
        ({"latency_us": "", "tflops": "0"}, "the rate is zero"),
        ({"note": "backward"}, "a backward pass is not one operator"),
    ],
)
def test_kernels_that_are_skipped_say_why(write_kernels: Write, change: dict[str, str], reason: str) -> None:
    result = rl.validate(write_kernels({}, change))
    assert [found["id"] for found in result["rows"]] == ["r0"]
    assert result["skipped"] == [{"id": "r1", "reason": reason}]


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({}, ""),
        ({"measured": 0.0}, "a rate is given, but not the size that it goes with"),
        ({"measured": float("nan")}, "a rate is given, but not the size that it goes with"),
        ({"measured": float("inf")}, "the rate is zero"),
        ({"predicted": float("inf")}, "no finite prediction"),
        ({"predicted": float("nan")}, "no finite prediction"),
        ({"predicted": 0.0}, "no finite prediction"),
    ],
)
def test_figures_that_say_nothing_are_no_rows(figures: dict[str, float], reason: str) -> None:
    assert fault(row(**figures)) == reason


def test_offline_runs_as_many_as_memory_holds(write: Write) -> None:
    offline = {"mode": "offline_max_throughput", "batch": "", "metric": "output_tokens_per_s_total", "value": "5000"}
    found = rl.validate(write(offline, {**offline, "batch": "7"}))["rows"]
    where = f"h100-sxm:tp=1,stack={found[0]['stack']}"
    most = rl.predict("llama-3.1-8b", where, batch=1, input_len=1000, output_len=100)["memory"]["max_batch"]
    full = rl.predict("llama-3.1-8b", where, batch=int(most), input_len=1000, output_len=100)
    few = rl.predict("llama-3.1-8b", where, batch=7, input_len=1000, output_len=100)
    assert found[0]["predicted"] == pytest.approx(full["metrics"]["output_tokens_per_s"], rel=0.05)
    assert found[1]["predicted"] == pytest.approx(few["metrics"]["output_tokens_per_s"], rel=0.05)


def test_a_measurement_faster_than_physics_is_listed(write: Write) -> None:
    result = rl.validate(write({"value": "0.1"}, {"metric": "output_tokens_per_s_total", "value": "1e9"}, {}))
    assert [found["beats_ideal"] for found in result["rows"]] == [True, True, False]
    assert sum(group["beats_ideal"] for group in result["summary"] if group["group"] == "all") == 2
    assert "2 cases beat the ideal bound: the datum or the model is wrong\n" in str(result)


# -- summaries


def test_summaries_follow_their_definitions() -> None:
    errors = [-0.5, -0.1, 0.0, 0.2, 1.0]
    (found,) = summarise([row(kind="x", error=error, beats_ideal=error < -0.4) for error in errors], ("kind",))
    assert found["group"] == "x"
    assert found["values"] == {"kind": "x"}
    assert found["cases"] == 5
    assert found["median_absolute_error"] == 0.2
    assert found["p90_absolute_error"] == pytest.approx(np.quantile(np.abs(errors), 0.9))
    assert found["bias"] == 0.0
    assert found["coverage"] is None
    assert found["beats_ideal"] == 1


def test_coverage_is_that_of_the_rows_that_have_an_interval() -> None:
    bounds = [(0.5, 2.0), (1.0, 1.0), (1.1, 2.0), (0.1, 0.9), (None, None), (None, 2.0)]
    rows = [row(low=low, high=high) for low, high in bounds]
    assert coverage(rows) == 0.5
    assert coverage(rows[4:]) is None
    assert summarise(rows, ())[0]["coverage"] == 0.5


def test_groups_may_be_of_any_column_and_keep_its_values() -> None:
    rows = [
        row(batch=8.0, fits=True),
        row(batch=8.0, fits=True),
        row(batch=None, fits=False),
        row(batch=0.5, fits=True),
    ]
    found = summarise(rows, ("batch", "fits"))
    assert [group["group"] for group in found] == ["all", "8 true", "- false", "0.5 true"]
    assert [group["values"] for group in found[:3]] == [
        {},
        {"batch": 8.0, "fits": True},
        {"batch": None, "fits": False},
    ]


def test_groups_that_share_the_first_column_stay_together() -> None:
    kinds = [("a", 1)] * 2 + [("b", 1)] * 3 + [("a", 2)] * 3 + [("b", 2)]
    found = summarise([row(kind=kind, size=size) for kind, size in kinds], ("kind", "size"))
    assert [group["group"] for group in found] == ["all", "a 2", "a 1", "b 1", "b 2"]


def test_no_rows_are_no_summary_and_no_columns_one_group() -> None:
    assert summarise([], ("kind",)) == []
    assert [group["group"] for group in summarise([row(), row()], ())] == ["all"]


@pytest.mark.parametrize("column", COLUMNS)
def test_rows_can_be_grouped_by_every_column(write: Write, column: str) -> None:
    result = rl.validate(write({}, {"batch": "9", "value": "8"}), by=(column,))
    groups = {group["values"][column]: group["cases"] for group in result["summary"] if group["values"]}
    assert groups == Counter(found[column] for found in result["rows"])


def test_columns_to_group_by_are_checked(write: Write) -> None:
    with pytest.raises(rl.RooflineError, match="--by chpi: no such column; did you mean 'chip'"):
        rl.validate(write({}), by=("chpi",))
    with pytest.raises(rl.RooflineError, match=r"--by xyz: no such column; one of id, what, metric"):
        rl.validate(write({"chip": "abacus"}), by=("xyz",))


# -- intervals


def test_every_interval_holds_its_prediction_and_never_beats_the_ideal(everything: dict[str, Any]) -> None:
    rounding = 1e-12
    for each in everything["rows"]:
        low, expected, high = each["low"], each["predicted"], each["high"]
        if each["what"] == SYSTEM:  # too few were measured
            continue
        assert low <= expected <= high, each
        if each["ideal"] is None:  # of power and energy
            assert each["unit"] in ("W", "J")
        elif each["unit"] == "tokens/s":
            assert expected <= high <= each["ideal"] * (1 + rounding), each
        else:
            assert each["ideal"] * (1 - rounding) <= low, each


def test_intervals_hold_about_as_many_measurements_as_they_promise(everything: dict[str, Any]) -> None:
    """Of rows that no constant was fitted to: nine in ten overall, most of every large class. Those of one model on a
    chip err alike: a class of a few of these says little of how wide intervals should be at most."""
    scoring = [each for each in everything["rows"] if each["split"] == "scoring"]
    all_rows, *classes = summarise(scoring, ("what",))
    assert 0.87 <= all_rows["coverage"] <= 0.95
    assert {group["group"] for group in classes if group["cases"] >= 100} >= {"matmul", "server decode", "collective"}
    for group in classes:
        runs = {(each["chip"], each["model"], each["stack"]) for each in scoring if each["what"] == group["group"]}
        assert group["cases"] < 100 or 0.8 <= group["coverage"] <= (0.99 if len(runs) >= 10 else 1.0), group


def test_a_served_row_has_the_interval_that_analyze_shows(write: Write) -> None:
    rows = ({"value": "9"}, {"metric": "e2e_latency_s"}, {"metric": "output_tokens_per_s_total"}, {"metric": "ttft_ms"})
    for found, name, unit in zip(
        rl.validate(write(*rows))["rows"],
        ("tpot_s", "e2e_latency_s", "output_tokens_per_s", "ttft_s"),
        (1e3, 1.0, 1.0, 1e3),
        strict=True,
    ):
        where = f"h100-sxm:tp=1,stack={found['stack']}"
        alone = rl.predict("llama-3.1-8b", where, batch=8, input_len=1000, output_len=100)["metrics"]
        if name in ("tpot_s", "output_tokens_per_s"):  # the burst at the start is in first tokens and latencies
            assert found["predicted"] == pytest.approx(alone[name] * unit, rel=0.05)
        for side in ("low", "high"):
            assert found[side] / found["predicted"] == pytest.approx(alone[f"{name}_{side}"] / alone[name], rel=1e-6)


def test_a_kernel_has_an_interval_of_its_own_class(write_kernels: Write, tmp_path: Path) -> None:
    places = ("measured,,gpu,h100-sxm", "measured,trtllm,gpu,h100-sxm")
    kinds = (("matmul", 0.999, 1.5), ("elementwise", 0.995, 3.0))
    rows = [f"{place},{name},99,9,0.1,{low},{high}" for place in places for name, low, high in kinds]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / spreads.FILE).write_text("\n".join([",".join(spreads.COLUMNS), *rows, ""]), encoding="utf-8")
    own = Catalog((tmp_path / "mine",))
    copy = {"op": "memcpy", "bytes": str(2**28), "latency_us": "200"}
    product, passed, served = rl.validate(write_kernels({}, copy, {"software": "TensorRT-LLM"}), catalog=own)["rows"]
    for found, (_, low, high) in zip((product, passed, served), (*kinds, kinds[0]), strict=True):
        assert found["high"] == pytest.approx(high * found["predicted"])
        assert found["low"] == pytest.approx(max(found["ideal"], low * found["predicted"]))


def test_coverage_of_a_table_counts_what_lies_inside(write_kernels: Write) -> None:
    (first,) = rl.validate(write_kernels({}))["rows"]
    times = [
        first["low"] * 1.001,
        first["predicted"],
        first["high"] * 0.999,
        first["high"] * 1.001,
        first["low"] * 0.999,
    ]
    result = rl.validate(write_kernels(*({"latency_us": str(time)} for time in times)))
    assert result["summary"][0]["coverage"] == pytest.approx(3 / 5)
    assert "60.0 %" in str(result)


def test_a_class_that_was_never_measured_has_no_interval(write_kernels: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalog, "spread_entries", lambda self: [])
    result = rl.validate(write_kernels({}))
    assert (result["rows"][0]["low"], result["rows"][0]["high"]) == (None, None)
    assert result["summary"][0]["coverage"] is None


# -- sides of the split


def test_a_table_of_the_users_own_is_scored_whole(write: Write) -> None:
    rows = [{"model": model} for model in ("llama-3.1-8b", "llama-2-7b", "mistral-7b", "qwen3-8b", "gemma-3-4b")]
    result = rl.validate(write(*rows))
    assert (result["split"], result["left_out"], len(result["rows"])) == ("all", 0, 5)
    sides = {side: rl.validate(write(*rows), split=side) for side in ("scoring", "calibration")}
    assert {len(found["rows"]) for found in sides.values()} != {0, 5}
    for side, found in sides.items():
        assert {each["split"] for each in found["rows"]} == {side}
        assert found["left_out"] == 5 - len(found["rows"])


def test_sides_are_checked(write: Write) -> None:
    with pytest.raises(rl.RooflineError, match="--split score: no such side; did you mean 'scoring'"):
        rl.validate(write({}), split="score")
    with pytest.raises(rl.RooflineError, match="--split x: no such side; one of scoring, calibration, all"):
        rl.validate(write({}), split="x")


def test_by_default_shipped_rows_that_constants_were_fitted_to_are_no_evidence(everything: dict[str, Any]) -> None:
    scoring = rl.validate()
    assert scoring["split"] == "scoring"
    assert scoring["rows"] == [each for each in everything["rows"] if each["split"] == "scoring"]
    assert scoring["left_out"] == sum(each["split"] == "calibration" for each in everything["rows"]) > 0
    assert scoring["skipped"] == everything["skipped"]


# -- gates


def result_of(*groups: tuple[str, int, float, float]) -> dict[str, Any]:
    keys = ("group", "cases", "median_absolute_error", "p90_absolute_error")
    return {"summary": [dict(zip(keys, group, strict=True)) for group in groups]}


def test_gates_name_what_fails() -> None:
    result = result_of(("gpu decode", 40, 0.2, 0.5), ("tpu decode", 3, 2.0, 3.0))
    demand(result, 2.0, 3.0)
    with pytest.raises(CheckFailedError, match=r"^accuracy: tpu decode: median 200.0% is above 30.0%$"):
        demand(result, 0.3, None)
    with pytest.raises(CheckFailedError, match=r"gpu decode: 90th percentile 50.0% is above 40.0%; tpu decode"):
        demand(result, None, 0.4)


def test_gates_pass_over_groups_of_few_cases() -> None:
    result = result_of(("gpu decode", 40, 0.2, 0.5), ("tpu decode", 3, 2.0, 3.0))
    demand(result, 0.3, 0.6, min_cases=4)
    with pytest.raises(CheckFailedError, match="tpu decode"):
        demand(result, 0.3, 0.6, min_cases=3)


def test_gates_fail_where_there_is_nothing_to_judge() -> None:
    with pytest.raises(CheckFailedError, match="accuracy: no case could be predicted"):
        demand({"summary": []}, 0.5, None)
    with pytest.raises(CheckFailedError, match="accuracy: no group has 50 cases"):
        demand(result_of(("gpu decode", 40, 0.2, 0.5)), 0.5, None, min_cases=50)


@pytest.mark.parametrize("limit", [float("nan"), -0.1])
def test_a_threshold_that_nothing_can_miss_is_refused(limit: float) -> None:
    for limits in ((limit, None), (None, limit)):
        with pytest.raises(RooflineError, match="must be 0 or more"):
            demand(result_of(("gpu decode", 40, 0.2, 0.5)), *limits)


# -- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "fast"}, "measured.csv:2: value: must be a positive number, got 'fast'"),
        ({"value": ""}, "measured.csv:2: value: missing"),
        ({"batch": "-1"}, "measured.csv:2: batch: must be a positive number, got '-1'"),
        ({"value": "nan"}, "measured.csv:2: value: must be a positive number, got 'nan'"),
        ({"value": "1e-308"}, "measured.csv:2: value: must be from 1e-12 to 1e+12, got '1e-308'"),
        ({"batch": "1e300"}, "measured.csv:2: batch: must be from 1e-12 to 1e+12, got '1e300'"),
        ({"tp": "0.5"}, "measured.csv:2: tp: must be a whole number from 1 on, got '0.5'"),
        ({"pp": "0"}, "measured.csv:2: pp: must be a whole number from 1 on, got '0'"),
        ({"num_chips": "1" * 500}, f"measured.csv:2: num_chips: must be a positive number, got {'1' * 60!r}"),
    ],
)
def test_cells_that_are_no_numbers_are_told(write: Write, change: dict[str, str], message: str) -> None:
    with pytest.raises(rl.RooflineError) as error:
        rl.validate(write(change))
    assert str(error.value).endswith(message)


@pytest.mark.parametrize("change", [{"m": "0"}, {"m": "1.5"}, {"k": "-0.0"}, {"n": "0"}])
def test_kernels_of_nothing_are_told(write_kernels: Write, change: dict[str, str]) -> None:
    with pytest.raises(rl.RooflineError, match="must be a whole number from 1 on"):
        rl.validate(write_kernels(change))


@pytest.mark.parametrize("count", ["1e400", "-5", "9" * 400, "nan"])
def test_a_shape_that_no_model_has_is_none(tmp_path: Path, count: str) -> None:
    shape = {"model": "", "layers": count, "hidden": "4096", "heads": "32", "vocab": "32000"}
    found = rl.validate(written(tmp_path / "m.csv", {**SOUND, **shape}, ({},)))
    assert (found["rows"], len(found["skipped"])) == ([], 1)


@pytest.mark.parametrize("note", ["E=1.2.3", "E=0", "E=99999999999", "topk=0, ep=0, tp=."])
def test_notes_that_count_nothing_are_not_read(write_kernels: Write, note: str) -> None:
    plain, odd = (rl.validate(write_kernels({"op": "moe_gemm", "note": text})) for text in ("", note))
    assert [row["predicted"] for row in odd["rows"]] == [row["predicted"] for row in plain["rows"]] != []


@pytest.mark.parametrize("name", ["our #1.yaml", "a: b.yaml", "it's [mine].yaml", "\u202eours.yaml"])
def test_the_file_of_a_chip_may_be_called_anything(write: Write, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("extends: h100-sxm\nid: ours\n", encoding="utf-8")
    found = rl.validate(write({"chip": "ours"}), chip=tmp_path / name)
    assert [row["chip"] for row in found["rows"]] == ["ours"]


def test_missing_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,chips,model,metric,value\n")
    with pytest.raises(rl.RooflineError, match="chip: missing column; is it 'chips'"):
        rl.validate(path)
    with pytest.raises(rl.RooflineError, match="can't be read"):
        rl.validate(tmp_path / "none.csv")


# -- the shipped tables


def test_the_shipped_measurements_are_sound(tables: list[Table]) -> None:
    for table in tables:
        assert len(table.cases) >= 700
        assert len({(case["id"], case["metric"]) for case in table.cases}) == len(table.cases)
        assert all(case["source"] for case in table.cases)
    assert [table.layout for table in tables] == [SERVING, SERVING, KERNELS, SERVING]


def test_no_point_is_stated_twice(tables: list[Table]) -> None:
    apart = ("id", "source", "note", "version", "date")
    points = [tuple(text for key, text in case.cells.items() if key not in apart) for case in tables[0].cases]
    assert len(set(points)) == len(points)


def test_every_shipped_case_is_predicted_or_skipped(everything: dict[str, Any], tables: list[Table]) -> None:
    assert len(everything["rows"]) + len(everything["skipped"]) == sum(len(table.cases) for table in tables)
    assert len(everything["rows"]) >= 10_000
    assert {each["what"] for each in everything["rows"]} <= WHATS


def test_measurements_that_beat_physics_are_few(everything: dict[str, Any]) -> None:
    assert sum(each["beats_ideal"] for each in everything["rows"]) <= 0.015 * len(everything["rows"])


def test_the_result_obeys_the_contract(everything: dict[str, Any], write: Write) -> None:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    check = jsonschema.Draft7Validator({**schema["definitions"]["validation"], "definitions": schema["definitions"]})
    check.validate({**everything, "rows": everything["rows"][::50]})
    check.validate(rl.validate(write({}, {"chip": "abacus"}), by=("batch", "fits")).data)
    assert schema["definitions"]["validation"]["properties"]["rows"]["items"]["required"] == list(COLUMNS)


def test_time_per_token_under_load_stays_accurate(everything: dict[str, Any]) -> None:
    """The median over every GPU, of rows that no constant was fitted to."""
    scoring = [each for each in everything["rows"] if each["split"] == "scoring"]
    groups = {group["group"]: group for group in summarise(scoring, ("chip_kind", "what"))}
    assert groups["gpu server decode"]["cases"] >= 200
    assert groups["gpu server decode"]["median_absolute_error"] < 0.12


# -- what their README says

GUIDE_PATH = shipped()[0].parent / "README.md"
GUIDE = GUIDE_PATH.read_text(encoding="utf-8")
WHATS = {OFFLINE, STEP, POWER, ENERGY, SYSTEM, *CLASSES.values(), *(what for pair in SERVED.values() for what in pair)}


def test_every_column_and_value_is_described(tables: list[Table]) -> None:
    described = set(re.findall(r"`([^`\n]+)`", GUIDE))
    cells = {column for table in tables for column in table.cases[0].cells}
    modes = {case["mode"] for table in tables for case in table.cases if case["mode"]}
    operators = {case["op"] for table in tables for case in table.cases if case["op"]}
    metrics = {metric for metric, _ in METRICS}
    for name in sorted({*cells, *COLUMNS, *modes, *operators, *metrics, *WHATS}):
        assert name in described, name


def test_every_rule_of_exclusion_is_listed() -> None:
    """`ROOFLINE_UPDATE=1` writes the list again."""
    lines = [f"| {about(rule)} | {rule.exclude} |\n" for rule in shipped_rules().rules if rule.exclude]
    block = "<!-- rules -->\n| rows | left out because |\n|---|---|\n" + "".join(lines) + "<!-- end -->"
    fresh = re.sub(r"<!-- rules -->\n(?:.*\n)*?<!-- end -->", lambda _: block, GUIDE)
    if os.environ.get("ROOFLINE_UPDATE"):
        GUIDE_PATH.write_text(fresh, encoding="utf-8")
    else:
        assert fresh == GUIDE


def about(rule: RuleSpec) -> str:
    """What tells the rows of a rule."""
    texts = [f"`{text}`" for text in (rule.source, rule.note) if text]
    cells = [f"{name} {', '.join(values)}" for name, values in rule.columns.items()]
    return "; ".join([*texts, *([", ".join(rule.chips)] if rule.chips else []), *cells])


def test_every_prefix_of_an_id_is_described(tables: list[Table]) -> None:
    told = set(re.findall(r"`([a-z0-9]+)`", GUIDE))
    served = (case for table in tables if table.layout is SERVING for case in table.cases)
    for case in served:
        prefix = re.split(r"[-_.]", case["id"])[0]
        assert prefix in told, prefix


@pytest.mark.parametrize(
    ("software", "stack"),
    [
        ("TensorRT-LLM (PyTorch backend)", "trtllm"),
        ("vLLM-TPU", "jax"),
        ("Dynamo vLLM", None),
        ("CTranslate2", None),
        ("", None),
    ],
)
def test_a_stack_is_the_longest_name_that_software_begins_with(catalog: Catalog, software: str, stack: str) -> None:
    assert stack_named(catalog, software) == stack


def test_a_stack_may_stand_anywhere_in_the_name_of_a_server(catalog: Catalog) -> None:
    assert stack_named(catalog, "Dynamo vLLM", anywhere=True) == "vllm"
    assert stack_named(catalog, "CTranslate2 server", anywhere=True) is None
