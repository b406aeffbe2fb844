"""Predictions do not move unseen: the project's own `roofline.toml` and baseline.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_goldens.py`, or `roofline check --update`, writes the baseline again; the
diff is reviewed as data.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import roofline as rl
from roofline.catalog.store import KINDS, Catalog
from roofline.studies.check import baseline, config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def asked() -> config.Config:
    return config.read(ROOT / "roofline.toml")


def test_nothing_moved(asked: config.Config) -> None:
    result = rl.check(asked.path, update=bool(os.environ.get("ROOFLINE_UPDATE")))
    assert result["passed"], str(result)


def test_every_shipped_workload_is_under_test(asked: config.Config, catalog: Catalog) -> None:
    shipped = {name for kind in ("serving", "training") for name in catalog.files(KINDS[kind])}
    assert {case.work for case in asked.cases()} >= shipped


def test_every_roof_binds_somewhere(asked: config.Config) -> None:
    told = baseline.read(asked.baseline).predictions
    bounds = {value for (_, _, metric), value in told.items() if metric.endswith("_bound")}
    assert {"compute", "memory", "network", "overhead"} <= bounds
