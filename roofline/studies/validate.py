"""Predictions against published measurements: how far off, on what kind of case, and what could not be predicted.

Cases that differ only in numbers (batch, lengths) are one vectorised prediction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.engine import inference, plans
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import evidence_of
from roofline.errors import CheckFailedError, PlanError, RooflineError, UnknownNameError, did_you_mean
from roofline.machine import Chip, Stack
from roofline.studies.measured import FORMATS, METRICS, Case, read, shipped
from roofline.workload import Decode, Model, Plan, Precision, Prefill, Serving, Step
from roofline.workload.dtype import usual_activations

VALIDATION_SCHEMA = "roofline.validation/1"
DEFAULT_BY = ("chip_kind", "mode", "metric")
STATIC_MODES = ("fixed_batch", "single_stream")
OFFLINE_MODE = "offline_max_throughput"


@dataclass(frozen=True, slots=True)
class Setup:
    """What cases of one prediction share."""

    chip: str
    num_chips: int
    model: str
    weights: str
    activations: str
    kv_cache: str
    degrees: tuple[tuple[str, int], ...]
    stack: str
    static: bool
    offline: bool  # everything queued: as many requests run as memory holds
    decodes: bool
    prefills: bool


def validate(path: Path | None, catalog: Catalog, by: Sequence[str] = DEFAULT_BY) -> dict[str, Any]:
    """The contract's validation of a measured CSV, by default the shipped one, summarised by columns of the rows."""
    groups: dict[Setup, list[Case]] = defaultdict(list)
    skipped: list[dict[str, str]] = []
    setup_of = _setup_of(catalog)
    for case in read(path or shipped()):
        try:
            groups[setup_of(case)].append(case)
        except _SkipError as reason:
            skipped.append({"id": case["id"], "reason": str(reason)})
    rows: list[dict[str, Any]] = []
    for setup, cases in groups.items():
        try:
            rows += _rows(setup, cases, catalog)
        except (_SkipError, PlanError) as reason:
            skipped += [{"id": case["id"], "reason": str(reason)} for case in cases]
    _check_columns(by, rows)
    return {
        "schema": VALIDATION_SCHEMA,
        "version": __version__,
        "by": list(by),
        "summary": summarise(rows, by),
        "rows": rows,
        "skipped": skipped,
    }


class _SkipError(Exception):
    """Why a case can't be predicted."""


def _check_columns(by: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    known = [name for name, value in rows[0].items() if isinstance(value, str)] if rows else list(by)
    for column in by:
        if column not in known:
            near = did_you_mean(column, known, most=1)
            hint = f"did you mean {near}?" if near else f"one of {', '.join(known)}"
            raise RooflineError(f"--by {column}: no such column; {hint}")


def _setup_of(catalog: Catalog) -> Callable[[Case], Setup]:
    """How a case is read; names are looked up once each."""

    @cache
    def named(kind: str, name: str) -> str | None:
        try:
            return catalog.spec(kind, name).id
        except UnknownNameError:
            return None

    @cache
    def stack_of(framework: str) -> str:
        """The stack that the name begins with, `TensorRT-LLM (PyTorch backend)` for one; empty for the chip's own."""
        words = re.findall(r"[a-z0-9.]+(?:-[a-z0-9.]+)*", framework.lower())
        beginnings = ("-".join(words[:count]) for count in range(len(words), 0, -1))
        return next((found for name in beginnings if (found := named("stack", name))), "")

    @cache
    def usual_cache(framework: str, weights: str) -> str:
        """Format of the cache where the source does not state it."""
        stack = stack_of(framework)
        return catalog.stack(stack).cache.get(weights, "bf16") if stack else "bf16"

    def setup(case: Case) -> Setup:
        chip, model = named("chip", case["chip"]), named("model", case["model"])
        if chip is None:
            raise _SkipError(f"chip {case['chip']} is not in the catalogue")
        if model is None:
            raise _SkipError(f"model {case['model']} is not in the catalogue")
        _complete(case)
        weights = _format(case["weight_dtype"], "weight format")
        activations = _format(case["act_dtype"] or usual_activations(weights), "activation format")
        return Setup(
            chip=chip,
            num_chips=int(case.numbers["num_chips"] or 1),
            model=model,
            weights=weights,
            activations=activations,
            kv_cache=_format(case["kv_dtype"] or usual_cache(case["framework"], weights), "cache format"),
            degrees=tuple((name, int(value)) for name in ("tp", "pp", "dp", "ep") if (value := case.numbers[name])),
            stack=stack_of(case["framework"]),
            static=case["mode"] in STATIC_MODES,
            offline=case["mode"] == OFFLINE_MODE,
            decodes=bool(case.numbers["output_len"]),
            prefills=bool(case.numbers["input_len"]),
        )

    return setup


def _complete(case: Case) -> None:
    """Raise the reason if a case lacks what a prediction needs."""
    if case["metric"] not in METRICS:
        raise _SkipError(f"metric {case['metric']} is not predicted")
    if case["speculative"].lower() in ("yes", "true", "1"):
        raise _SkipError("speculative decoding is not modelled")
    for column, what in (("batch", "batch"), ("input_len", "input length"), ("output_len", "output length")):
        if case.numbers[column] is None and not (column == "batch" and case["mode"] == OFFLINE_MODE):
            raise _SkipError(f"{what} is not stated")
    if not case["weight_dtype"]:
        raise _SkipError("weight format is not stated")


def _format(name: str, what: str) -> str:
    found = FORMATS.get(name.lower())
    if found is None:
        raise _SkipError(f"{what} {name} is not modelled")
    return found


def _rows(setup: Setup, cases: Sequence[Case], catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Predicted beside measured for cases that differ in numbers alone."""
    chip, model = catalog.chip(setup.chip), catalog.model(setup.model)
    stack = catalog.stack(setup.stack or chip.stack("serving"))
    found = _predict(setup, cases, chip, model, replace(stack, batching="static") if setup.static else stack)
    fits = np.broadcast_to(found.fits, (len(cases),))
    evidence, _ = evidence_of(found.deployment)
    for index, case in enumerate(cases):
        name, unit, more_is_better = METRICS[case["metric"]]
        measured = float(case.numbers["value"] or 0.0) * unit
        predicted, ideal = (
            float(np.broadcast_to(np.asarray(found.metrics[key]), (len(cases),))[index])
            for key in (name, f"{name}_ideal")
        )
        yield {
            "id": case["id"],
            "metric": case["metric"],
            "chip": chip.id,
            "chip_kind": chip.kind,
            "model": model.id,
            "num_chips": setup.num_chips,
            "mode": case["mode"],
            "framework": case["framework"],
            "stack": stack.id,
            "weights": setup.weights,
            "predicted": predicted / unit,
            "measured": measured / unit,
            "error": predicted / measured - 1.0,
            "ideal": ideal / unit,
            "beats_ideal": bool(measured > ideal * 1.001 if more_is_better else measured < ideal / 1.001),
            "fits": bool(fits[index]),
            "low": None,
            "high": None,
            "evidence": evidence,
            "source": case["source"],
        }


def _predict(setup: Setup, cases: Sequence[Case], chip: Chip, model: Model, stack: Stack) -> Any:
    """One vectorised prediction of all cases of a setup."""
    batch, inputs, outputs = (
        np.array([case.numbers[column] or 0.0 for case in cases], dtype=np.float64)
        for column in ("batch", "input_len", "output_len")
    )
    steps: list[Step] = [Prefill(inputs)] if setup.prefills else []
    steps += [Decode(outputs)] if setup.decodes else []
    if not steps:
        raise _SkipError("neither input nor output length is more than zero")
    precision = Precision(setup.weights, setup.activations, setup.kv_cache)
    work = Serving(id="measured", model=model, steps=tuple(steps), batch=batch, precision=precision)
    plan = _plan(setup, model, stack)
    plans.check_wiring(chip, setup.num_chips)
    where = Deployment(chip=chip, num_chips=setup.num_chips, stack=stack, plan=plan, precision=precision)
    if setup.offline:
        most = inference.memory_room(replace(work, batch=1.0), where, precision).most
        work = replace(work, batch=np.maximum(most, 1.0))
    return inference.predict(work, where)


def _plan(setup: Setup, model: Model, stack: Stack) -> Plan:
    """The plan as stated; where it is not, as much tensor parallelism as the chips and the model allow."""
    given = dict(setup.degrees)
    found = plans.candidates(model, setup.num_chips, given, stack.placement)
    order = np.lexsort((np.asarray(found.ep), np.asarray(found.pp), -np.asarray(found.tp)))
    plan = plans.pick(found, int(order[0]))
    plans.check(plan, model, setup.num_chips)
    return plan


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
