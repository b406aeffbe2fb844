"""Measured cases as flat rows, each predicted beside measured; and those that can't be predicted, with the reason.

Requests served, training runs and kernels have the same columns, which `workloads/measured/README.md` describes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline.catalog.spreads import closest
from roofline.catalog.store import Catalog
from roofline.engine import interval, search
from roofline.engine.prediction import Prediction, evidence_of
from roofline.studies.measured import kernels
from roofline.studies.measured.gap import gap
from roofline.studies.measured.kernels import COLLECTIVES, Bench
from roofline.studies.measured.reading import Reading, Skips, grouped
from roofline.studies.measured.split import calibrates
from roofline.studies.measured.table import KERNELS, Case, Metric, SkipError, Table

Row = dict[str, Any]

COLUMNS = (
    "id", "what", "metric", "unit", "chip", "chip_kind", "model", "num_chips", "mode", "phase", "framework", "version",
    "stack", "weights", "batch", "input_len", "output_len", "split", "predicted", "measured", "error", "ideal",
    "beats_ideal", "fits", "low", "high", "evidence", "source",
)  # fmt: skip
GAP = "gap"  # a key of rows that tell it
CALIBRATION, SCORING = "calibration", "scoring"
SIDES = {True: CALIBRATION, False: SCORING}
CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "gemm": "matmul",
        "moe_gemm": "experts",
        "attention_prefill": "prefill attention",
        "attention_decode": "decode attention",
        **dict.fromkeys(COLLECTIVES, "collective"),
        **dict.fromkeys(("memcpy", "norm", "other", "update"), "elementwise"),
    }
)
ROUNDING = 1.001  # sources round: a measurement beats physics only beyond this factor


def predicted(table: Table, catalog: Catalog, *, gaps: bool = False) -> tuple[list[Row], Skips]:
    """Every case of a table as a row, or skipped with its reason; with `gaps` a row of a request or a run also says
    what lies between the bound, the expectation and the measurement."""
    found, skipped = _kernels(table, catalog) if table.layout is KERNELS else _measured(table, catalog, gaps)
    faults = [fault(row) for row in found]
    skipped += [{"id": row["id"], "reason": reason} for row, reason in zip(found, faults, strict=True) if reason]
    return [row for row, reason in zip(found, faults, strict=True) if not reason], skipped


def fault(row: Row) -> str:
    """Why a row's figures can't be compared; empty if they can."""
    if not row["measured"] > 0:
        return "a rate is given, but not the size that it goes with"
    if not math.isfinite(row["measured"]):
        return "the rate is zero"
    return "" if 0.0 < row["predicted"] < math.inf else "no finite prediction"


def _measured(table: Table, catalog: Catalog, gaps: bool) -> tuple[list[Row], Skips]:
    rows: list[Row] = []
    skipped: Skips = []
    for reading, groups, left_out in grouped(table.cases, catalog):
        skipped += left_out
        for setup, cases in groups.items():
            try:
                rows += _of_setup(reading, setup, cases, catalog, gaps)
            except SkipError as reason:
                skipped += [{"id": case["id"], "reason": str(reason)} for case in cases]
    return rows, skipped


def _of_setup(reading: Reading, setup: Any, cases: Sequence[Case], catalog: Catalog, gaps: bool) -> list[Row]:
    """Cases that differ in numbers alone: one prediction."""
    model, stack = reading.model_of(setup, catalog), reading.stack_of(setup, catalog)
    where = reading.deployment(setup, catalog, model, stack, cases)
    found = search.predict(reading.work(setup, cases, model, where), where)
    shared = {
        "chip": where.chip.id,
        "chip_kind": where.chip.kind,
        "model": model.id,
        "stack": stack.id,
        "weights": reading.weights_of(setup),
        "split": SIDES[calibrates(where.chip.id, model.id, stack.id)],
        "evidence": evidence_of(where)[0],
    }
    chips, fits = (np.broadcast_to(each, (len(cases),)) for each in (where.plan.num_chips, found.fits))
    own = ({"num_chips": int(chip), "fits": bool(fit)} for chip, fit in zip(chips, fits, strict=True))
    return [
        _figure(reading, case, shared | more, found, index, len(cases), gaps)
        for index, (case, more) in enumerate(zip(cases, own, strict=True))
    ]


def _figure(
    reading: Reading, case: Case, shared: Row, found: Prediction, index: int, count: int, gaps: bool
) -> Row:  # fmt: skip
    metric = reading.of_case(case)
    figures = [_one(found, metric, suffix, index, count) for suffix in ("", "_ideal", "_low", "_high")]
    about = {
        "id": case["id"],
        "what": reading.what(metric, case),
        "metric": case["metric"],
        "unit": _unit(metric),
        "mode": case["mode"],
        "phase": metric.phase,
        "framework": case["framework"],
        "version": case["version"],
        "batch": case.numbers["batch"] or case.numbers["global_batch_seqs"],
        "input_len": case.numbers["input_len"] or case.numbers["seq_len"],
        "output_len": case.numbers["output_len"],
        "source": case["source"],
    }
    measured = float(case.numbers["value"] or 0.0)
    row = _row(about | shared, measured, *figures, more_is_better=metric.more_is_better)
    if gaps:
        told = dict(zip(("predicted", "ideal", "low", "high"), figures, strict=True))
        row[GAP] = gap(found, metric, index, count, {"measured": measured, **told}) if _sound(measured, told) else None
    return row


def _sound(measured: float, told: Mapping[str, float]) -> bool:
    return 0.0 < measured < math.inf and 0.0 < told["predicted"] < math.inf


def _unit(metric: Metric) -> str:
    return metric.measured_in or ("tokens/s" if metric.more_is_better else {1.0: "s", 1e-3: "ms"}[metric.unit])


def _one(found: Prediction, metric: Metric, suffix: str, index: int, count: int) -> float:
    """One case's figure in the metric's own unit; not a number where the prediction has none."""
    value = found.metrics.get(f"{metric.name}{suffix}")
    if value is None:
        return math.nan
    return float(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))[index]) / metric.unit


def _kernels(table: Table, catalog: Catalog) -> tuple[list[Row], Skips]:
    groups, skipped = kernels.group(table.cases, catalog)
    rows: list[Row] = []
    for bench, cases in groups.items():
        try:
            rows += _of_bench(bench, cases, catalog)
        except SkipError as reason:
            skipped += [{"id": case["id"], "reason": str(reason)} for case in cases]
    return rows, skipped


def _of_bench(bench: Bench, cases: Sequence[Case], catalog: Catalog) -> list[Row]:
    """Kernels that differ in numbers alone: priced together."""
    chip = catalog.chip(bench.chip)
    times = kernels.seconds(bench, cases, chip, kernels.stack_for(bench, catalog, chip))
    evidence, what = kernels.evidence(chip), CLASSES[bench.op]
    within = interval.factors(closest(catalog.spread_entries(), evidence, bench.stack, chip), what)
    shared = {
        "what": what,
        "metric": "time_us",
        "unit": "us",
        "chip": chip.id,
        "chip_kind": chip.kind,
        "model": "",
        "mode": "kernel",
        "phase": bench.op,
        "version": "",
        "stack": bench.stack,
        "weights": bench.dtype,
        "output_len": None,
        "fits": True,
        "evidence": evidence,
    }
    measured, expected, ideal = times
    shortest, longest = within or (np.nan, np.nan)
    columns = (measured, expected, ideal, np.maximum(expected * shortest, ideal), expected * longest)
    figures = [np.broadcast_to(column, (len(cases),)) * 1e6 for column in columns]
    return [
        _kernel(bench, case, shared, [float(figure[index]) for figure in figures]) for index, case in enumerate(cases)
    ]


def _kernel(bench: Bench, case: Case, shared: Row, figures: Sequence[float]) -> Row:
    about = {
        "id": case["id"],
        "num_chips": int(case.numbers["num_chips"] or 1),
        "framework": case["software"],
        "batch": case.numbers["batch"],
        "input_len": case.numbers["q_len"],
        "split": SIDES[calibrates(*kernels.split_key(bench, case))],
        "source": case["source"],
    }
    return _row(about | shared, *figures, more_is_better=False)


def _row(
    about: Row,
    measured: float,
    expected: float,
    ideal: float,
    low: float = math.nan,
    high: float = math.nan,
    *,
    more_is_better: bool,
) -> Row:
    """What a row is about, with its figures, in the order of the columns."""
    worse, better = (ideal, measured) if more_is_better else (measured, ideal)
    found = about | {
        "predicted": expected,
        "measured": measured,
        "error": expected / measured - 1.0 if measured else math.inf,
        "ideal": None if math.isnan(ideal) else ideal,
        "beats_ideal": better > worse * ROUNDING,
        "low": None if math.isnan(low) else low,
        "high": None if math.isnan(high) else high,
    }
    return {column: found[column] for column in COLUMNS}
