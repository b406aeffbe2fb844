"""Predictions against published measurements: how far off, on what kind of case, and what could not be predicted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.engine import inference
from roofline.engine.prediction import Prediction, evidence_of
from roofline.errors import CheckFailedError, RooflineError, did_you_mean
from roofline.studies.measured import kernels, serving
from roofline.studies.measured.split import calibrates
from roofline.studies.measured.table import KERNELS, Case, Metric, SkipError, Table, read, shipped
from roofline.studies.measured.serving import Setup

VALIDATION_SCHEMA = "roofline.validation/1"
DEFAULT_BY = ("chip_kind", "mode", "metric")


def validate(path: Path | None, catalog: Catalog, by: Sequence[str] = DEFAULT_BY) -> dict[str, Any]:
    """The contract's validation of a measured CSV, by default the shipped ones, summarised by columns of the rows."""
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for table in map(read, (path,) if path else shipped()):
        found, left_out = _kernels(table, catalog) if table.layout is KERNELS else _serving(table, catalog)
        rows, skipped = rows + found, skipped + left_out
    _check_columns(by, rows)
    return {
        "schema": VALIDATION_SCHEMA,
        "version": __version__,
        "by": list(by),
        "summary": summarise(rows, by),
        "rows": rows,
        "skipped": skipped,
    }


def _serving(table: Table, catalog: Catalog) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Rows of requests served, and those that can't be predicted with the reason."""
    groups, skipped = serving.group(table.cases, catalog)
    rows: list[dict[str, Any]] = []
    for setup, cases in groups.items():
        try:
            rows += _rows(setup, cases, catalog)
        except SkipError as reason:
            skipped += [{"id": case["id"], "reason": str(reason)} for case in cases]
    return rows, skipped


def _kernels(table: Table, catalog: Catalog) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Rows of kernels and collectives, and those that can't be priced with the reason."""
    groups, skipped = kernels.group(table.cases, catalog)
    rows: list[dict[str, Any]] = []
    for bench, cases in groups.items():
        chip = catalog.chip(bench.chip)
        stack = kernels.stack_for(bench, catalog, chip)
        try:
            times = kernels.seconds(bench, cases, chip, stack)
        except SkipError as reason:
            skipped += [{"id": case["id"], "reason": str(reason)} for case in cases]
            continue
        for case, *found in zip(cases, *times, strict=True):
            measured, expected, ideal = (float(value) * 1e6 for value in found)
            side = calibrates(*kernels.split_key(bench, case))
            rows.append(
                {
                    "id": case["id"],
                    "metric": "time_us",
                    "chip": chip.id,
                    "chip_kind": chip.kind,
                    "model": "",
                    "num_chips": int(case.numbers["num_chips"] or 1),
                    "mode": "kernel",
                    "phase": bench.op,
                    "framework": case["software"],
                    "stack": bench.stack,
                    "weights": bench.dtype,
                    "batch": case.numbers["batch"],
                    "input_len": case.numbers["q_len"],
                    "output_len": None,
                    "split": "calibration" if side else "scoring",
                    "predicted": expected,
                    "measured": measured,
                    "error": expected / measured - 1.0,
                    "ideal": ideal,
                    "beats_ideal": measured < ideal / 1.001,
                    "fits": True,
                    "low": None,
                    "high": None,
                    "evidence": kernels.evidence(chip),
                    "source": case["source"],
                }
            )
    return rows, skipped


def _check_columns(by: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    known = [name for name, value in rows[0].items() if isinstance(value, str)] if rows else list(by)
    for column in by:
        if column not in known:
            near = did_you_mean(column, known, most=1)
            hint = f"did you mean {near}?" if near else f"one of {', '.join(known)}"
            raise RooflineError(f"--by {column}: no such column; {hint}")


def _rows(setup: Setup, cases: Sequence[Case], catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Predicted beside measured for cases that differ in numbers alone."""
    model, stack = serving.model_of(setup, catalog), serving.stack_of(setup, catalog)
    where = serving.deployment(setup, catalog, model, stack)
    found = inference.predict(serving.work(setup, cases, model, where), where)
    fits = np.broadcast_to(found.fits, (len(cases),))
    evidence, _ = evidence_of(where)
    for index, case in enumerate(cases):
        metric = serving.of_case(case)
        measured = float(case.numbers["value"] or 0.0)
        predicted, ideal = (_one(found, metric, suffix, index, len(cases)) for suffix in ("", "_ideal"))
        yield {
            "id": case["id"],
            "metric": case["metric"],
            "chip": where.chip.id,
            "chip_kind": where.chip.kind,
            "model": model.id,
            "num_chips": setup.num_chips,
            "mode": case["mode"],
            "phase": metric.phase,
            "framework": case["framework"],
            "stack": stack.id,
            "weights": setup.weights,
            "batch": case.numbers["batch"],
            "input_len": case.numbers["input_len"],
            "output_len": case.numbers["output_len"],
            "split": "calibration" if calibrates(where.chip.id, model.id, stack.id) else "scoring",
            "predicted": predicted,
            "measured": measured,
            "error": predicted / measured - 1.0,
            "ideal": ideal,
            "beats_ideal": bool(measured > ideal * 1.001 if metric.more_is_better else measured < ideal / 1.001),
            "fits": bool(fits[index]),
            "low": None,
            "high": None,
            "evidence": evidence,
            "source": case["source"],
        }


def _one(found: Prediction, metric: Metric, suffix: str, index: int, count: int) -> float:
    """One case's predicted metric in its own unit."""
    value = np.asarray(found.metrics[f"{metric.name}{suffix}"], dtype=np.float64)
    return float(np.broadcast_to(value, (count,))[index]) / metric.unit


def summarise(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """Cases, median and 90th percentile of the absolute error, median signed error and offenders of each group.

    Absolute error is |predicted/measured − 1|. `coverage` stays null until predictions carry intervals.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(str(row[column]) for column in by)].append(row)
    found = [(" ".join(key), members) for key, members in groups.items()]
    if len(found) != 1:
        found.append(("all", list(rows)))
    return [
        _summary(name, members) for name, members in sorted(found, key=lambda item: (-len(item[1]), item[0])) if members
    ]


def _summary(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    errors = np.array([row["error"] for row in rows])
    return {
        "group": name,
        "cases": len(rows),
        "median_absolute_error": float(np.median(np.abs(errors))),
        "p90_absolute_error": float(np.quantile(np.abs(errors), 0.9)),
        "bias": float(np.median(errors)),
        "coverage": None,
        "beats_ideal": sum(row["beats_ideal"] for row in rows),
    }


def demand(result: Mapping[str, Any], max_median: float | None, max_p90: float | None) -> None:
    """`CheckFailedError` naming every group that misses a threshold."""
    limits = (("median_absolute_error", "median", max_median), ("p90_absolute_error", "90th percentile", max_p90))
    failed = [
        f"{group['group']}: {what} {group[key]:.1%} is above {limit:.1%}"
        for group in result["summary"]
        for key, what, limit in limits
        if limit is not None and group[key] > limit
    ]
    if failed or not result["summary"]:
        raise CheckFailedError("accuracy: " + ("; ".join(failed) or "no case could be predicted"))
