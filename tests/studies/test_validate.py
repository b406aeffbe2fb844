"""Validation: errors are computed as they are defined, nothing is dropped in silence, gates can fail."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import roofline as rl
from roofline.errors import CheckFailedError
from roofline.studies import contract, measured
from roofline.studies.validate import demand, summarise

COLUMNS = [
    "id",
    "chip",
    "num_chips",
    "model",
    "weight_dtype",
    "act_dtype",
    "kv_dtype",
    "tp",
    "pp",
    "ep",
    "dp",
    "phase",
    "batch",
    "input_len",
    "output_len",
    "mode",
    "speculative",
    "framework",
    "version",
    "metric",
    "value",
    "source",
    "note",
]
SOUND = {
    "id": "a", "chip": "nvidia-h100-sxm", "num_chips": "1", "model": "llama3.1-8b", "weight_dtype": "bf16", "tp": "1",
    "batch": "8", "input_len": "1000", "output_len": "100", "mode": "server_concurrency", "framework": "vLLM",
    "metric": "tpot_ms", "value": "9", "source": "test",
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def to_file(*rows: dict[str, str]) -> Path:
        path = tmp_path / "measured.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({**SOUND, "id": f"r{index}", **row} for index, row in enumerate(rows))
        return path

    return to_file


def test_a_row_is_predicted_as_analyze_predicts_it(write: Callable[..., Path]) -> None:
    lengths = [("8", "1000", "100"), ("64", "500", "900"), ("1", "4000", "10")]
    rows = [{"batch": b, "input_len": i, "output_len": o} for b, i, o in lengths]
    result = rl.validate(write(*rows))
    for row, (batch, inputs, outputs) in zip(result["rows"], lengths, strict=True):
        alone = rl.predict(
            "llama-3.1-8b", "h100-sxm:tp=1,stack=vllm", batch=int(batch), input_len=int(inputs), output_len=int(outputs)
        )
        assert row["predicted"] == pytest.approx(alone["metrics"]["tpot_s"] * 1e3, rel=1e-12)
        assert row["error"] == pytest.approx(row["predicted"] / 9 - 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chip": "abacus"}, "chip abacus is not in the catalogue"),
        ({"model": "eliza"}, "model eliza is not in the catalogue"),
        ({"batch": ""}, "batch is not stated"),
        ({"input_len": ""}, "input length is not stated"),
        ({"speculative": "yes"}, "speculative decoding is not modelled"),
        ({"weight_dtype": "exl2-3.0bpw"}, "weight format exl2-3.0bpw is not modelled"),
        ({"weight_dtype": ""}, "weight format is not stated"),
        ({"metric": "mood"}, "metric mood is not predicted"),
        (
            {"tp": "3", "pp": "1", "dp": "1", "num_chips": "3"},
            "tp=3 does not divide the 32 heads of llama-3.1-8b; possible: 1 2 4 8 16 32",
        ),
        ({"input_len": "0", "output_len": "0"}, "neither input nor output length is more than zero"),
    ],
)
def test_what_is_skipped_says_why(write: Callable[..., Path], change: dict[str, str], reason: str) -> None:
    result = rl.validate(write({}, change))
    assert len(result["rows"]) == 1
    assert result["skipped"] == [{"id": "r1", "reason": reason}]


def test_offline_runs_as_many_as_memory_holds(write: Callable[..., Path]) -> None:
    row = {"mode": "offline_max_throughput", "batch": "", "metric": "output_tokens_per_s_total", "value": "5000"}
    found = rl.validate(write(row, {**row, "batch": "7"}))["rows"]
    most = rl.predict("llama-3.1-8b", "h100-sxm:tp=1,stack=vllm", batch=1, input_len=1000, output_len=100)["memory"][
        "max_batch"
    ]
    full = rl.predict("llama-3.1-8b", "h100-sxm:tp=1,stack=vllm", batch=int(most), input_len=1000, output_len=100)
    for item in found:
        assert item["predicted"] == pytest.approx(full["metrics"]["output_tokens_per_s"], rel=0.02)


def test_summaries_follow_their_definitions() -> None:
    errors = [-0.5, -0.1, 0.0, 0.2, 1.0]
    rows = [{"group": "x", "error": error, "beats_ideal": error < -0.4} for error in errors]
    (found,) = summarise(rows, ("group",))
    assert found["cases"] == 5
    assert found["median_absolute_error"] == 0.2
    assert found["p90_absolute_error"] == pytest.approx(np.quantile(np.abs(errors), 0.9))
    assert found["bias"] == 0.0
    assert found["beats_ideal"] == 1


def test_a_measurement_faster_than_physics_is_listed(write: Callable[..., Path]) -> None:
    result = rl.validate(write({"value": "0.1"}, {"metric": "output_tokens_per_s_total", "value": "1e9"}, {}))
    assert [row["beats_ideal"] for row in result["rows"]] == [True, True, False]
    assert "2 cases beat the ideal bound (the datum or the model is wrong): r0, r1" in str(result)


def test_gates_can_fail(write: Callable[..., Path]) -> None:
    result = rl.validate(write({"value": "9"}, {"value": "90"}))
    demand(result, 10.0, 10.0)
    with pytest.raises(CheckFailedError, match=r"accuracy: gpu server_concurrency tpot_ms: median .* is above 1\.0%"):
        demand(result, 0.01, None)
    with pytest.raises(CheckFailedError, match="90th percentile"):
        demand(result, None, 0.1)
    with pytest.raises(CheckFailedError, match="no case could be predicted"):
        demand(rl.validate(write({"chip": "abacus"})), 0.5, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"value": "fast"}, "measured.csv:2: value: must be a positive number, got 'fast'"),
        ({"value": ""}, "measured.csv:2: value: missing"),
        ({"batch": "-1"}, "measured.csv:2: batch: must be a positive number, got '-1'"),
        ({"value": "nan"}, "measured.csv:2: value: must be a positive number, got 'nan'"),
    ],
)
def test_cells_that_are_no_numbers_are_told(write: Callable[..., Path], row: dict[str, str], message: str) -> None:
    with pytest.raises(rl.RooflineError) as error:
        rl.validate(write(row))
    assert str(error.value).endswith(message)


def test_missing_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,chips,model,metric,value\n")
    with pytest.raises(rl.RooflineError, match="chip: missing column; is it 'chips'"):
        rl.validate(path)
    with pytest.raises(rl.RooflineError, match="can't be read"):
        rl.validate(tmp_path / "none.csv")


def test_columns_to_group_by_are_checked(write: Callable[..., Path]) -> None:
    assert [group["group"] for group in rl.validate(write({}), by=("chip", "framework"))["summary"]] == [
        "h100-sxm vLLM"
    ]
    with pytest.raises(rl.RooflineError, match="--by chpi: no such column; did you mean 'chip'"):
        rl.validate(write({}), by=("chpi",))


def test_the_shipped_measurements_are_sound() -> None:
    cases = measured.read(measured.shipped())
    assert len(cases) >= 1000
    assert len({(case["id"], case["metric"]) for case in cases}) == len(cases)
    assert all(case["source"] for case in cases)
    points = [
        tuple(value for key, value in case.cells.items() if key not in ("id", "source", "note", "version"))
        for case in cases
    ]
    assert len(set(points)) == len(points)


def test_the_shipped_measurements_are_predicted_and_obey_the_contract() -> None:
    result = rl.validate()
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(result.data)
    assert len(result["rows"]) + len(result["skipped"]) == len(measured.read(measured.shipped()))
    assert len(result["rows"]) >= 1000
    assert sum(row["beats_ideal"] for row in result["rows"]) <= 0.01 * len(result["rows"])


def test_time_per_token_under_load_stays_accurate() -> None:
    """The median over every GPU; no constant was fitted to these rows."""
    groups = {group["group"]: group for group in rl.validate(by=("metric", "mode", "chip_kind"))["summary"]}
    assert groups["tpot_ms server_concurrency gpu"]["median_absolute_error"] < 0.12
