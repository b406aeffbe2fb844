"""The view of a calibration: every subject with its errors, constants scaled for people, what was written and skipped."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.report import formats
from roofline.report.rows import flat_rows


def subject(name: str, **more: Any) -> dict[str, Any]:
    constants = {"matmul/fp8.compute": 0.5123, "matmul/fp8.latency_s": 2.5e-6, "cache.speed": 2.0}
    return {"subject": "chip", "id": name, "level": "", "rows": 1234, "median_error_before": 0.25,
            "median_error_after": 0.05, "left_out": "shape", "left_out_rows": 0, "median_error_left_out": None,
            "constants": constants, **more}  # fmt: skip


@pytest.fixture
def calibration() -> dict[str, Any]:
    stack = subject("a-stack", subject="stack", left_out="model", left_out_rows=9, median_error_left_out=0.123,
                    constants={"step_s": 0.0012, "memory": 0.9})  # fmt: skip
    return {
        "schema": "roofline.calibration/1", "version": "0.1.0",
        "files": [{"name": "a.csv", "sha256": "0" * 64, "kind": "kernels", "rows": 5000, "split": "all"}],
        "rows": [subject("a-chip"), stack, {**stack, "level": "a-family"}],
        "skipped": [{"id": str(number), "reason": f"reason {number % 10}"} for number in range(15)],
        "written": ["mine/chips/a-chip.yaml", "mine/stacks/a-stack.yaml", "mine/x.yaml"], "removed": ["mine/old.yaml"],
    }  # fmt: skip


def lines(result: dict[str, Any], **options: Any) -> list[str]:
    return [" ".join(line.split()) for line in formats.render(result, "table", **options).splitlines()]


def test_each_subject_has_a_line_with_its_errors(calibration: dict[str, Any]) -> None:
    found = lines(calibration)
    assert found[0] == "constants of 3 subjects fitted, 15 rows skipped"
    assert "a.csv: 5,000 rows (kernels), fitted to all rows" in found
    assert "chip a-chip - 1,234 3 25.0 % 5.0 % - 0 -" in found
    assert "stack a-stack all chips 1,234 2 25.0 % 5.0 % each model 9 12.3 %" in found
    assert "stack a-stack a-family 1,234 2 25.0 % 5.0 % each model 9 12.3 %" in found


def test_constants_are_scaled_for_people(calibration: dict[str, Any]) -> None:
    found = lines(calibration)
    assert "a-chip matmul/fp8 compute 0.512, latency 2.5 us" in found
    assert "a-chip cache speed 2" in found
    assert "a-stack a-family - step 1.2 ms, memory 0.9" in found


def test_of_many_subjects_constants_are_shown_if_asked_for(calibration: dict[str, Any]) -> None:
    calibration["rows"] = [subject(f"chip-{number}") for number in range(13)]
    assert "--all lists the constants" in lines(calibration)
    assert not [line for line in lines(calibration) if "latency" in line]
    assert len([line for line in lines(calibration, all_rows=True) if "latency 2.5 us" in line]) == 13


def test_files_and_reasons(calibration: dict[str, Any]) -> None:
    found = lines(calibration)
    assert "wrote mine/chips/a-chip.yaml and 2 more files" in found
    assert "removed mine/old.yaml" in found
    assert "and 2 for 2 other reasons (--all)" in found
    assert "reason 9 1" not in found
    assert "reason 9 1" in lines(calibration, all_rows=True)
    calibration |= {"written": [], "removed": [], "skipped": []}
    assert lines(calibration)[-1] == "nothing was written; -o DIR writes the constants as files"


def test_flat_rows_are_one_constant_each(calibration: dict[str, Any]) -> None:
    rows = flat_rows(calibration)
    assert [(row["id"], row["level"], row["constant"], row["value"]) for row in rows[-2:]] == [
        ("a-stack", "a-family", "step_s", 0.0012),
        ("a-stack", "a-family", "memory", 0.9),
    ]
    assert len(rows) == 3 + 2 + 2
    assert all("constants" not in row for row in rows)
