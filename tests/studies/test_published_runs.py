"""Whole runs that their makers counted: chip-hours come out within the interval, goodput included where it is known."""

from __future__ import annotations

import pytest

from roofline.catalog.store import Catalog
from roofline.studies import analyze
from roofline.studies.request import Options

# Chip-hours as published: The Llama 3 Herd of Models (model card: 30.84M H100-hours of 405B), DeepSeek-V3 Technical
# Report, arXiv 2412.19437, table 1 (2,664K H800-hours of pretraining).
RUNS = [
    ("llama-3.1-405b-pretraining", "16384xh100-sxm", 30.84e6),
    ("deepseek-v3-pretraining", "2048xh800-sxm", 2.664e6),
]


@pytest.mark.parametrize(("workload", "deployment", "hours"), RUNS)
def test_chip_hours_of_published_runs(workload: str, deployment: str, hours: float) -> None:
    result = analyze.analyze(workload, deployment, Options(), Catalog())
    metrics, chips = result["metrics"], result["deployment"]["num_chips"]
    low, high = (metrics[f"time_to_train_s_{end}"] * chips / 3600.0 for end in ("low", "high"))
    assert result["fits"]
    assert low <= hours <= high
    assert metrics["chip_hours"] == pytest.approx(hours, rel=0.35)
