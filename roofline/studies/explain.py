"""The arithmetic of one operator, written out: each formula, the numbers in it, its result, and who says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.engine.ops import COLLECTIVE, OVERHEAD, Op
from roofline.engine.prediction import Phase, Prediction
from roofline.engine.roof import BOUNDS, Priced
from roofline.errors import RooflineError, UnknownNameError
from roofline.numeric import Num
from roofline.studies import explain_power
from roofline.studies.analyze import predict
from roofline.studies.arithmetic.collectives import collective
from roofline.studies.arithmetic.kernels import kernel
from roofline.studies.arithmetic.overheads import overhead
from roofline.studies.arithmetic.sheet import Constant, Line
from roofline.studies.formula import evaluate, plain, readable, substituted
from roofline.studies.request import Options
from roofline.units import show
from roofline.workload import Model

EXPLANATION_SCHEMA = "roofline.explanation/1"

MEANING: Mapping[str, str] = MappingProxyType(
    {
        "m": "rows: tokens that pass at once on this chip",
        "k": "width of a row: rows of the weight matrix",
        "n": "outer dimension: columns of the weight matrix on this chip",
        "w": "bytes per weight",
        "a": "bytes per activation that enters",
        "r": "bytes per value of the residual stream",
        "c": "bytes per cached value",
        "b": "sequences",
        "q": "new tokens of each sequence",
        "p": "visible query-key pairs of each sequence",
        "l": "cached tokens read for each sequence",
        "h": "heads on this chip",
        "d": "width of a query or key",
        "v": "width of a value",
        "g": "values cached per token on this chip",
        "e": "distinct experts read, E·tokens·k/(E − k + tokens·k) over the ranks",
        "f": "FLOP per row (or state value)",
        "i": "values read per row",
        "o": "values written per row",
        "s": "state values of each sequence",
        "z": "bytes per state value",
        "kv": "bytes of one request's cache that the chip with more of it sends or gets",
    }
)


def explain(workload: str, deployment: str, operator: str, options: Options, catalog: Catalog) -> dict[str, Any]:
    """The contract's explanation of one operator, named as `analyze` names it, with or without its phase in front, or
    of the `power` of a phase."""
    result = predict(workload, deployment, options, catalog)
    about = {
        "schema": EXPLANATION_SCHEMA,
        "version": __version__,
        "workload": result.workload.id,
        "deployment": result.deployment.label,
    }
    if operator.rpartition("/")[2] == explain_power.NAME:
        return about | _power(result, explain_power.phase_of(result, operator))
    phase, priced = _find(result, operator)
    lines = list(_lines(result, phase, priced))
    op = priced.op
    return about | {
        "operator": {
            "name": op.name,
            "phase": phase.name,
            "kind": op.message.algorithm if op.message else op.kind,
            "dtype": "" if op.kind in (COLLECTIVE, OVERHEAD) else op.dtype,
            "time_s": float(priced.time * phase.repeat),
            "bound": BOUNDS[int(priced.bound)],
        },
        "lines": lines,
    }


def _power(result: Prediction, phase: Phase) -> dict[str, Any]:
    """The explanation of a phase's power."""
    name = explain_power.NAME
    return {
        "operator": {
            "name": name,
            "phase": phase.name,
            "kind": name,
            "dtype": "",
            "time_s": float(phase.time),
            "bound": BOUNDS[int(phase.bound)],
        },
        "lines": [_line(*line) for line in explain_power.lines(result, phase)],
    }


def _find(result: Prediction, name: str) -> tuple[Phase, Priced]:
    """The operator of that name: exact, with its phase in front, or the only one (of that phase) that ends so."""
    known = {f"{phase.name}/{item.op.name}": (phase, item) for phase in result.phases for item in phase.operators}
    if name in known:
        return known[name]
    phase, _, rest = name.partition("/")
    exact = [key for key in known if key.partition("/")[2] == name]
    ending = exact or [key for key in known if key.endswith(f"/{name}")]
    ending = ending or [key for key in known if rest and key.startswith(f"{phase}/") and key.endswith(f"/{rest}")]
    if len(ending) == 1 or len({key.partition("/")[2] for key in ending}) == 1:
        return known[ending[-1]]
    if ending:
        raise RooflineError(f"operator {name!r} means several: {', '.join(ending)}")
    raise UnknownNameError("operator", name, known, f"known: {', '.join(known)}")


def _line(quantity: str, formula: str, numbers: str, result: str, source: str) -> dict[str, str]:
    return {"quantity": quantity, "formula": formula, "numbers": numbers, "result": result, "source": source}


def _lines(result: Prediction, phase: Phase, priced: Priced) -> Iterator[dict[str, str]]:
    """Terms, counts, constants, steps, and what they come to in the phase."""
    op, chip, stack = priced.op, result.deployment.chip, result.deployment.stack
    model = phase.model or result.workload.model
    yield from _terms(result, model, op)
    yield from _counts(op)
    if op.kind == COLLECTIVE:
        written = collective(op, chip, stack)
    elif op.kind == OVERHEAD:
        written = overhead(op, model, result.deployment)
    else:
        written = kernel(op, chip, stack)
    yield from (line_of(line) for line in written)
    yield from _sum(phase, priced)


def _terms(result: Prediction, model: Model, op: Op) -> Iterator[dict[str, str]]:
    """The letters of an operator's own formulas: what they stand for, and who decides them."""
    formula = op.formula
    for name, value in op.terms.items():
        if name in formula.flops + formula.read + formula.write + formula.message:
            yield _line(name, MEANING[name], "", plain(value), _term_source(name, result, model))


def _term_source(name: str, result: Prediction, model: Model) -> str:
    """Who decides a term: the model's shape, the formats, the workload and plan."""
    if name in "warcz":
        formats = result.precision
        return f"weights {formats.weights}, activations {formats.activations}, cache {formats.kv_cache}"
    if name in "knhdvgs":
        shape = model.sources.get("shape")
        stated = f": {shape.title}" if shape else ""
        return f"shape of {model.id}{stated}; divided by the plan"
    if name == "f":
        return "counted in roofline/engine/lower.py"
    return f"workload {result.workload.id} and plan"


def _counts(op: Op) -> Iterator[dict[str, str]]:
    """FLOPs, bytes and message: formulas of the operator with no chip in them."""
    size = 0.0 if op.message is None else op.message.size
    for quantity, formula, value, unit in (
        ("FLOPs", op.formula.flops, op.flops, "FLOP"),
        ("bytes read", op.formula.read, op.read, "B"),
        ("bytes written", op.formula.write, op.write, "B"),
        ("message", op.formula.message, size, "B"),
    ):
        if formula != "0":
            text = scaled(formula, op.terms, float(value))
            numbers = substituted(text, {name: plain(term) for name, term in op.terms.items()})
            yield _line(quantity, readable(text), numbers, show(float(value), unit), "count, no chip in it")


def scaled(formula: str, terms: Mapping[str, Num], value: float) -> str:
    """A formula, times what an operator is in multiples of it: a backward pass is written as one of its forward pass.

    >>> scaled("2*m*k", {"m": 3.0, "k": 4.0}, 24.0), scaled("2*m*k", {"m": 3.0, "k": 4.0}, 60.0)
    ('2*m*k', '2.5*(2*m*k)')
    """
    once = evaluate(formula, {name: float(term) for name, term in terms.items()})
    multiple = value / once if once else 1.0
    return formula if np.isclose(multiple, 1.0, rtol=1e-9) else f"{plain(multiple)}*({formula})"


def line_of(line: Line) -> dict[str, str]:
    """A constant or a step of the price as a line."""
    result = _shown(line.value, line.unit)
    if isinstance(line, Constant):
        return _line(readable(line.name), line.meaning, "", result, line.source)
    numbers = substituted(line.formula, {name: _shown(*term) for name, term in line.terms.items()})
    return _line(readable(line.name), readable(line.formula), numbers, result, line.source)


def _sum(phase: Phase, priced: Priced) -> Iterator[dict[str, str]]:
    """From one execution to its share of the phase."""
    count, repeat = priced.op.count, phase.repeat
    for quantity, formula, once in (
        ("in the phase", "executions·steps·one execution", priced.expected.time),
        ("ideal", "executions·steps at datasheet rates: nothing can be faster", priced.ideal.time),
    ):
        numbers = f"{plain(count)}·{plain(repeat)}·{_shown(once, 's')}"
        yield _line(quantity, formula, numbers, _shown(count * repeat * once, "s"), "")


def _shown(value: Num, unit: str) -> str:
    """A number with its unit; rates without limit are those that nobody published."""
    number = float(value)
    if not unit:
        return plain(number)
    return show(number, unit) if np.isfinite(number) else "unknown"
