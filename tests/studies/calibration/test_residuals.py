"""Residuals: what is left out has no say in how it is predicted, and errors are those of times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.studies.calibrate import Outcome
from roofline.studies.calibration.residuals import FOLDS, Residual, by_chip, by_model, by_shape, fold
from roofline.studies.calibration.runs import Usable
from roofline.studies.measured.table import Case


def slower(parts: Mapping[str, Sequence[Any]], leaves: Callable[[Case], bool]) -> dict[str, list[Any]]:
    """The same with some rows twice as slow."""

    def slow(case: Case) -> Case:
        column, rate = ("latency_us", False) if "op" in case.cells else ("value", case["metric"].startswith("output"))
        value = (case.numbers[column] or 0.0) * (0.5 if rate else 2.0)
        return replace(case, numbers={**case.numbers, column: value})

    return {
        name: [replace(part, cases=[slow(case) if leaves(case) else case for case in part.cases]) for part in some]
        for name, some in parts.items()
    }


def by_id(residuals: list[Residual]) -> dict[str, float]:
    assert len({item.id for item in residuals}) == len(residuals)
    return {item.id: item.error for item in residuals}


def test_every_row_is_left_out_with_its_model_and_with_its_chip(from_requests: Outcome, house: Any) -> None:
    told = [item for item in from_requests.residuals if not item.watched]
    groups = [("model", "llama-3.1-8b"), ("model", "qwen2.5-7b")]
    groups += [(what, chip) for what in ("chip", "everything") for chip in ("synth-1", "synth-3")]
    assert Counter((item.left_out, item.group) for item in told) == dict.fromkeys(groups, len(house.requests) // 2)
    # of two models one is left, too few for a chip's own constants
    assert {item.level for item in told if item.left_out == "model"} == {"synthetic"}
    assert {item.level for item in told if item.left_out == "chip"} == {"synthetic"}
    assert {(item.stack, item.family, item.kind, item.offline) for item in told} == {
        ("synthetic-stack", "synthetic", "gpu", False)
    }
    assert {(item.mode, item.phase, item.figure) for item in told} == {
        ("fixed_batch", "decode", "decode"), ("fixed_batch", "e2e", "end to end"),
    }  # fmt: skip


def test_rows_that_are_only_watched_are_predicted_and_never_fitted_to(from_requests: Outcome, house: Any) -> None:
    watched = {(item.id, item.left_out): item for item in from_requests.residuals if item.watched}
    assert set(watched) == {(name, what) for name in ("queued", "offline") for what in ("model", "chip", "everything")}
    queued, offline = watched["queued", "model"], watched["offline", "model"]
    assert (queued.phase, queued.figure, queued.offline) == ("first token", "server first token", False)
    assert (offline.phase, offline.figure, offline.offline) == ("e2e", "offline", True)
    assert sum(found.rows for found in from_requests.run.fitted) == len(house.requests)


def test_every_kernel_is_left_out_with_its_shape_and_with_its_chip(from_sums: Outcome, house: Any) -> None:
    found = Counter((item.left_out, item.level) for item in from_sums.residuals)
    rows = 54
    assert found == {
        ("shape", "synth-1"): rows / 2, ("shape", "synth-3"): rows / 2, ("chip", "synthetic"): rows, ("everything", ""): rows,
    }  # fmt: skip
    assert {item.phase for item in from_sums.residuals} == {"kernel"}
    assert all(item.group == item.chip for item in from_sums.residuals if item.left_out == "chip")
    assert len({item.group for item in from_sums.residuals if item.left_out == "shape"}) == 27


@pytest.mark.parametrize(
    ("column", "name", "left_out"), [("model", "qwen2.5-7b", by_model), ("chip", "synth-3", by_chip)]
)
def test_requests_left_out_have_no_say(from_requests: Outcome, column: str, name: str, left_out: Any) -> None:
    """Were they twice as slow, their predictions would be the same, too fast by twice as much, rates like times."""
    run = from_requests.run
    slow = Usable(slower(run.requests.fitted, lambda case: case[column] == name), {}, [])
    before, after = (by_id(left_out(found, fold(name))) for found in (run, replace(run, requests=slow)))
    assert len(after) == 22
    for row, error in after.items():
        assert error == pytest.approx(before[row] - np.log(2.0), abs=1e-9), row


def test_kernels_left_out_have_no_say(from_sums: Outcome) -> None:
    run = from_sums.run
    before = by_id(by_shape(run, 2))
    assert 0 < len(before) < 54
    after = by_id(by_shape(replace(run, timings=slower(run.timings, lambda case: case["id"] in before)), 2))
    assert after == pytest.approx({row: error - np.log(2.0) for row, error in before.items()}, abs=1e-9)


def test_a_chip_left_out_is_priced_by_its_family_alone(from_sums: Outcome) -> None:
    """A chip that is twice as slow as its family is predicted too fast when it is left out, and not when it is known."""
    run = replace(from_sums.run, timings=slower(from_sums.run.timings, lambda case: case["chip"] == "synth-3"))
    own = [item.error for index in range(FOLDS) for item in by_shape(run, index) if item.chip == "synth-3"]
    assert np.median(own) == pytest.approx(0.0, abs=0.1)
    assert np.median(list(by_id(by_chip(run, fold("synth-3"))).values())) == pytest.approx(np.log(0.5), abs=0.1)
