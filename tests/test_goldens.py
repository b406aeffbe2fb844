"""Predictions do not move unseen: every shipped workload on chips where each roof binds somewhere.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_goldens.py` writes the goldens again; the diff is reviewed as data.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from roofline.catalog.store import KINDS, Catalog
from roofline.errors import PlanError
from roofline.studies import analyze
from roofline.studies.request import Options

GOLDENS = Path(__file__).parent / "goldens.csv"
SERVING = (
    "8xh100-sxm",
    "8xmi300x",
    "16xtpu-v6e",
    "16xgaudi3",
    "16xtrainium2",
    "576xgroq-lpu-v1",
    "4xwse-3",
    "xeon-6980p",
)
TRAINING = ("1024xh100-sxm", "1024xmi300x", "1024xtpu-v5p", "1024xtrainium2")


def predicted() -> dict[tuple[str, str, str], str]:
    """(workload, deployment, metric) to six significant digits; what can't be wired is said so."""
    catalog = Catalog()
    found: dict[tuple[str, str, str], str] = {}
    for kind, deployments in (("serving", SERVING), ("training", TRAINING)):
        for name in catalog.files(KINDS[kind]):
            for deployment in deployments:
                try:
                    result = analyze.analyze(name, deployment, Options(), catalog)
                except PlanError as error:
                    found[name, deployment, "error"] = str(error)
                    continue
                numbers = {**result["metrics"], **result["memory"], "fits": float(result["fits"])}
                numbers |= {f"{phase['phase']}_mbu": phase["mbu"] for phase in result["phases"]}
                for metric, value in numbers.items():
                    if isinstance(value, (int, float)):
                        found[name, deployment, metric] = f"{value:.6g}"
                for phase in result["phases"]:
                    found[name, deployment, f"{phase['phase']}_bound"] = str(phase["bound"])
    return found


def test_nothing_moved() -> None:
    found = predicted()
    if os.environ.get("ROOFLINE_UPDATE"):
        with GOLDENS.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("workload", "deployment", "metric", "value"))
            writer.writerows((*key, value) for key, value in sorted(found.items()))
        return
    with GOLDENS.open(newline="", encoding="utf-8") as file:
        golden = {(row["workload"], row["deployment"], row["metric"]): row["value"] for row in csv.DictReader(file)}
    assert golden.keys() == found.keys()
    for key, value in found.items():
        try:
            number = float(value)
        except ValueError:
            assert golden[key] == value, key
        else:
            assert number == pytest.approx(float(golden[key]), rel=3e-6), key


def test_every_roof_binds_somewhere() -> None:
    with GOLDENS.open(newline="", encoding="utf-8") as file:
        bounds = {row["value"] for row in csv.DictReader(file) if row["metric"].endswith("_bound")}
    assert {"compute", "memory", "network", "overhead"} <= bounds
