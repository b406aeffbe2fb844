"""Residuals: what is left out has no say in how it is predicted, and errors are those of times."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from roofline.studies.calibrate import Outcome, Wanted, outcome
from roofline.studies.calibration.residuals import Residual, by_chip, by_model, by_shape, fold

Rows = list[dict[str, str]]


ALONE = Wanted(cross_check=False)


def slower(row: dict[str, str], factor: float) -> dict[str, str]:
    """A row of something that takes so many times as long."""
    column = "latency_us" if "latency_us" in row else "value"
    rate = row.get("metric", "").startswith("output_tokens")
    return {**row, column: repr(float(row[column]) / factor if rate else float(row[column]) * factor)}


def by_id(residuals: list[Residual]) -> dict[str, float]:
    assert len({item.id for item in residuals}) == len(residuals)
    return {item.id: item.error for item in residuals}


def sums(house: Any) -> Rows:
    return [row for row in house.timings if row["op"] == "allreduce"]


def test_every_row_is_left_out_with_its_model_and_with_its_chip(from_requests: Outcome, house: Any) -> None:
    told = [item for item in from_requests.residuals if not item.watched]
    groups = [("model", "llama-3.1-8b"), ("model", "qwen2.5-7b"), ("chip", "synth-1"), ("chip", "synth-3")]
    assert Counter((item.left_out, item.group) for item in told) == dict.fromkeys(groups, len(house.requests) // 2)
    assert {item.level for item in told if item.left_out == "model"} == {"synth-1", "synth-3"}
    assert {item.level for item in told if item.left_out == "chip"} == {"synthetic"}
    assert {(item.stack, item.family, item.kind, item.offline) for item in told} == {
        ("synthetic-stack", "synthetic", "gpu", False)
    }
    assert {(item.mode, item.phase, item.what) for item in told} == {
        ("fixed_batch", "decode", "decode"), ("fixed_batch", "e2e", "end to end"),
    }  # fmt: skip


def test_rows_that_are_only_watched_are_predicted_and_never_fitted_to(from_requests: Outcome, house: Any) -> None:
    watched = {(item.id, item.left_out): item for item in from_requests.residuals if item.watched}
    assert set(watched) == {(name, what) for name in ("queued", "offline") for what in ("model", "chip")}
    queued, offline = watched["queued", "model"], watched["offline", "model"]
    assert (queued.phase, queued.what, queued.offline) == ("first token", "server first token", False)
    assert (offline.phase, offline.what, offline.offline) == ("e2e", "offline", True)
    assert sum(found.rows for found in from_requests.run.fitted) == len(house.requests)


def test_every_kernel_is_left_out_with_its_shape_and_with_its_chip(from_sums: Outcome, house: Any) -> None:
    found = Counter((item.left_out, item.level) for item in from_sums.residuals)
    assert found == {("shape", "synth-1"): 27, ("shape", "synth-3"): 27, ("chip", "synthetic"): 54}
    assert {item.phase for item in from_sums.residuals} == {"kernel"}
    assert all(item.group == item.chip for item in from_sums.residuals if item.left_out == "chip")
    assert len({item.group for item in from_sums.residuals if item.left_out == "shape"}) == 27


@pytest.mark.parametrize(
    ("column", "name", "left_out"), [("model", "qwen2.5-7b", by_model), ("chip", "synth-3", by_chip)]
)
def test_requests_left_out_have_no_say(
    from_requests: Outcome, house: Any, column: str, name: str, left_out: Any
) -> None:
    """Were they twice as slow, their predictions would be the same, too fast by twice as much, rates like times."""
    rows = [slower(row, 2.0) if row[column] == name else row for row in house.requests]
    again = outcome([house.table("slow.csv", rows)], house.catalog(house.known), wanted=ALONE)
    before, after = (by_id(left_out(found.run, fold(name))) for found in (from_requests, again))
    for row in house.requests:
        if row[column] == name:
            assert after[row["id"]] == pytest.approx(before[row["id"]] - np.log(2.0), abs=0.01), row
    assert len(after) == len(house.requests) // 2


def test_kernels_left_out_have_no_say(from_sums: Outcome, house: Any) -> None:
    before = by_id(by_shape(from_sums.run, 2))
    assert 0 < len(before) < len(sums(house))
    rows = [slower(row, 2.0) if row["id"] in before else row for row in sums(house)]
    again = outcome([house.table("slow.csv", rows)], house.catalog(), wanted=ALONE)
    after = by_id(by_shape(again.run, 2))
    for row, error in before.items():
        assert after[row] == pytest.approx(error - np.log(2.0), abs=0.01), row


def test_a_chip_left_out_is_priced_by_its_family_alone(house: Any) -> None:
    """A chip that is twice as slow as its family is predicted too fast when it is left out, and not when it is known."""
    rows = [slower(row, 2.0) if row["chip"] == "synth-3" else row for row in sums(house)]
    found = outcome([house.table("slow.csv", rows)], house.catalog())
    for left_out, expected in (("chip", np.log(0.5)), ("shape", 0.0)):
        errors = [item.error for item in found.residuals if (item.left_out, item.chip) == (left_out, "synth-3")]
        assert np.median(errors) == pytest.approx(expected, abs=0.1)
