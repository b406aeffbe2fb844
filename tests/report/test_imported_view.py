"""The views of an import and of gaps: every figure beside its name, what lacks, and each advice once."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.report import formats

Result = dict[str, Any]


@pytest.fixture
def model() -> Result:
    about = {
        "id": "ours", "architecture": "llama", "layers": 2, "hidden": 8, "vocab": 1000, "max_context": None,
        "dtype": "fp8", "quantised": "experts", "parameters": 123456, "active_parameters": 3456,
        "kv_cache_bytes_per_token": 131072,
    }  # fmt: skip
    return {"schema": "roofline.import/1", "version": "0.1.0", "kind": "model", "from": "config.json", "written": None,
            "rows": [about], "checkpoint": None, "same_shape": [], "notes": ["towers are left out"], "text": ""}  # fmt: skip


@pytest.fixture
def bench() -> Result:
    row = {"id": "a-1", "chip": None, "num_chips": None, "model": "ours", "weight_dtype": None, "mode": "fixed_batch",
           "batch": None, "input_len": 7.0, "output_len": 9.0, "metric": "tpot_ms", "value": 12.5}  # fmt: skip
    return {"schema": "roofline.import/1", "version": "0.1.0", "kind": "bench", "text": "", "written": "rows.csv",
            "files": [{"path": "a.json", "format": "mlperf", "runs": 1, "rows": 1}], "rows": [row],
            "missing": [{"column": "chip", "option": "--chip", "rows": 1}],
            "skipped": [{"id": "a-1", "reason": "batch is not stated"}], "notes": ["a remark"]}  # fmt: skip


def lines(result: Result, **options: Any) -> list[str]:
    return [" ".join(line.split()) for line in formats.render(result, "table", **options).splitlines()]


def test_a_model_is_told_with_its_counts(model: Result) -> None:
    found = lines(model)
    for line in ("ours: a model of the family llama", "layers, width, vocabulary 2 x 8 x 1,000", "longest context not stated",
                 "format of the weights fp8 (experts only)", "parameters 123,456", "of these used by a token 3,456",
                 "in the checkpoint none beside the configuration", "towers are left out"):  # fmt: skip
        assert line in found
    assert not any("wrote" in line or "same shape" in line for line in found)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "in the checkpoint 120,000 (-2.80%)"),
        ({"exact": False}, "in the checkpoint 120,000 (-2.80%, by bytes)"),
        ({"why": "scales are counted in"}, "in the checkpoint 120,000 (-2.80%); scales are counted in"),
        ({"parameters_beside": 77.0}, "beside the decoder 77"),
        ({"parameters": None, "why": "of 4 bits"}, "in the checkpoint not counted: of 4 bits"),
    ],
)
def test_a_checkpoint_is_told_with_what_it_differs_by(model: Result, changes: Result, line: str) -> None:
    held = {"path": "m", "exact": True, "parameters": 120000, "parameters_beside": 0.0, "difference": -0.028,
            "agrees": False, "why": "", **changes}  # fmt: skip
    assert line in lines({**model, "checkpoint": held})


def test_a_benchmark_is_told_with_what_lacks(bench: Result) -> None:
    found = lines(bench)
    for line in ("1 measured figure", "a.json mlperf 1 1", "a-1 ? ours ? fixed_batch ? 7 9 tpot_ms 12.5", "a remark",
                 "chip is not known in 1 row: give --chip", "wrote rows.csv; next: roofline validate --measured rows.csv"):  # fmt: skip
        assert line in found


def test_what_can_t_be_predicted_is_told_once_nothing_lacks(bench: Result) -> None:
    told = "1 row (100.0 %) can't be predicted: batch is not stated"
    assert told not in lines(bench)
    assert told in lines({**bench, "missing": []})


def test_many_figures_are_cut_unless_all_are_asked_for(bench: Result) -> None:
    many = {**bench, "rows": bench["rows"] * 20}
    assert "and 8 more" in lines(many)
    assert len(lines(many, all_rows=True)) == len(lines(many)) + 7


def gap(**changes: Any) -> Result:
    parts = {
        "compute": 0.0,
        "memory": 0.002,
        "network": 1e-9,
        "overhead": 0.001,
        "queueing": 0.0,
        "unexplained": -0.001,
    }
    return {"measured_s": 0.012, "expected_s": 0.013, "ideal_s": 0.01, "of_expected": 0.923, "of_ideal": 1.2,
            "inside_interval": True, "parts_s": parts, "look_at": "the host", **changes}  # fmt: skip


def test_each_gap_is_a_line_and_each_advice_is_said_once(validation: Result) -> None:
    for row in validation["rows"][:4]:
        row["gap"] = gap()
    validation["rows"][1]["gap"] = gap(inside_interval=False, look_at="the clocks")
    validation["rows"][4]["gap"] = None
    found = lines(validation)
    assert "close tpot_ms 10 ms - 2 ms - 1 ms - 13 ms -1 ms 12 ms 1.2 0.923 in" in found
    assert "far tpot_ms 10 ms - 2 ms - 1 ms - 13 ms -1 ms 12 ms 1.2 0.923 out" in found
    assert "close, too-slow, impossible the host" in found
    assert "far the clocks" in found
    validation["rows"][4]["gap"] = gap()
    assert "close, too-slow, impossible and 1 more the host" in lines(validation)


def test_a_validation_without_gaps_has_no_such_report(validation: Result) -> None:
    assert not any(line.startswith("look at") for line in lines(validation))
