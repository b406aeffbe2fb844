"""Constants of kernels: what a chip is priced with, and which rows tell them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.machine import Efficiency
from roofline.studies.calibrate import Outcome
from roofline.studies.calibration.fitting import Fit
from roofline.studies.calibration.kernels import Step, Subject, under, usable
from roofline.studies.measured.table import read


def test_a_part_is_priced_with_a_subjects_constants_and_its_familys_rates(from_sums: Outcome) -> None:
    part = from_sums.run.timings["links:scale-up"][0]
    part = replace(part, bench=replace(part.bench, stack="served"))
    step = Step(("attention",))
    family = Subject(
        "family",
        "synthetic",
        part.chip,
        {step: Fit({"rate:served": 0.7, "attention.compute": 0.5}, (), np.empty(0), np.empty(0))},
    )
    chip = replace(part.chip, achieved={"attention": Efficiency(compute=0.4)}, cache_speed=3.0)
    found = under(part, Subject("chip", "synth-1", chip, {}, family))
    assert found.chip.achieved["attention"].compute == 0.4
    assert found.chip.cache_speed == 3.0
    assert found.stack.rates["attention"] == 0.7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latency_us": "0"}, "no time"),
        ({"latency_us": "", "gbps": "0"}, "no time"),
        ({"op": "gemm", "note": "sustained for minutes", "dtype": "bf16", "m": "1", "n": "1", "k": "1"}, "tells no constant by itself"),
        ({"ranks": "64"}, "64 x synth-1: "),
        ({"op": "conv"}, "operator conv is not priced"),
    ],
)  # fmt: skip
def test_timings_that_tell_nothing_are_told(house: Any, change: dict[str, str], reason: str) -> None:
    sound = next(row for row in house.timings if row["op"] == "allreduce")
    path = house.table("odd.csv", [sound, {**sound, "id": "odd", **change}])
    found, skipped = usable(read(path).cases, house.catalog(), calibration=None)
    assert sum(len(part.cases) for parts in found.values() for part in parts) == 1
    (odd,) = skipped
    assert odd["id"] == "odd"
    assert odd["reason"].startswith(reason)
