"""The arithmetic of one operator, written out: each formula, the numbers in it, its result, and who says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.engine import collectives, roof
from roofline.engine.ops import COLLECTIVE, OVERHEAD, VECTOR, Op
from roofline.engine.prediction import Phase, Prediction
from roofline.engine.roof import BOUNDS, Priced
from roofline.errors import RooflineError, UnknownNameError
from roofline.machine import Chip, Link
from roofline.numeric import Num
from roofline.studies.analyze import predict
from roofline.studies.request import Options
from roofline.units import show

EXPLANATION_SCHEMA = "roofline.explanation/1"

MEANING: Mapping[str, str] = MappingProxyType(
    {
        "m": "rows: tokens that pass at once on this chip",
        "k": "inner dimension: rows of the weight matrix",
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
        "e": "distinct experts read, E·(1 − (1 − k/E)^tokens) over the ranks",
        "f": "FLOP per row (or state value)",
        "i": "values read per row",
        "o": "values written per row",
        "s": "state values of each sequence",
        "z": "bytes per state value",
        "ranks": "chips that take part",
        "stride": "chips between neighbours of the group",
        "seconds": "what the software adds",
    }
)


def explain(workload: str, deployment: str, operator: str, options: Options, catalog: Catalog) -> dict[str, Any]:
    """The contract's explanation of one operator, named as `analyze` names it, with or without its phase in front."""
    result = predict(workload, deployment, options, catalog)
    phase, priced = _find(result, operator)
    lines = list(_lines(result, phase, priced))
    op = priced.op
    return {
        "schema": EXPLANATION_SCHEMA,
        "version": __version__,
        "workload": result.workload.id,
        "deployment": result.deployment.label,
        "operator": {
            "name": op.name,
            "phase": phase.name,
            "kind": op.message.algorithm if op.message else op.kind,
            "dtype": op.dtype,
            "time_s": float(priced.time * phase.repeat),
            "bound": BOUNDS[int(priced.bound)],
        },
        "lines": lines,
    }


def _find(result: Prediction, name: str) -> tuple[Phase, Priced]:
    """The operator of that name: exact, with its phase in front, or the only one that ends so."""
    known = {f"{phase.name}/{item.op.name}": (phase, item) for phase in result.phases for item in phase.operators}
    if name in known:
        return known[name]
    exact = [key for key in known if key.partition("/")[2] == name]
    ending = exact or [key for key in known if key.endswith(f"/{name}")]
    if len(ending) == 1 or len({key.partition("/")[2] for key in ending}) == 1:
        return known[ending[-1]]
    if ending:
        raise RooflineError(f"operator {name!r} means several: {', '.join(ending)}")
    raise UnknownNameError("operator", name, known, f"known: {', '.join(known)}")


def _line(quantity: str, formula: str, numbers: str, result: str, source: str) -> dict[str, str]:
    return {"quantity": quantity, "formula": formula, "numbers": numbers, "result": result, "source": source}


def plain(value: Num) -> str:
    """A number as arithmetic shows it: whole where it is whole.

    >>> plain(32.0), plain(0.5), plain(1.5e12)
    ('32', '0.5', '1,500,000,000,000')
    """
    number = float(value)
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.6g}"


def substituted(formula: str, terms: Mapping[str, Num]) -> str:
    """A formula with its letters replaced by numbers.

    >>> substituted("2*m*k", {"m": 32.0, "k": 8192.0})
    '2·32·8,192'
    """
    parts: list[str] = []
    word = ""
    for char in formula + " ":
        if char.isalpha() or char == "_":
            word += char
            continue
        if word:
            parts.append(plain(terms[word]) if word in terms else word)
            word = ""
        parts.append("·" if char == "*" else char)
    return "".join(parts).strip()


def _lines(result: Prediction, phase: Phase, priced: Priced) -> Iterator[dict[str, str]]:
    op = priced.op
    shape = result.workload.model.sources.get("shape")
    model_source = f"shape of {result.workload.model.id}" + (f": {shape.title}" if shape else "")
    for name, value in op.terms.items():
        if name in op.formula.flops + op.formula.read + op.formula.write + op.formula.message or op.kind == OVERHEAD:
            unit = " s" if name == "seconds" else ""
            yield _line(name, MEANING.get(name, ""), "", plain(value) + unit, _term_source(name, result, model_source))
    if op.kind == COLLECTIVE:
        yield from _collective(result.deployment.chip, priced)
    elif op.kind == OVERHEAD:
        sources = "; ".join(source.title for source in result.deployment.stack.sources.values())
        yield _line("overhead", "step + layers·layer", "", _time(priced.expected.overhead), sources)
    else:
        yield from _kernel(result, priced)
    yield from _sum(phase, priced)


def _term_source(name: str, result: Prediction, model_source: str) -> str:
    """Who decides a term: the model's shape, the formats, the workload and plan."""
    if name in "warcz":
        formats = result.precision
        return f"weights {formats.weights}, activations {formats.activations}, cache {formats.kv_cache}"
    if name in ("k", "n", "h", "d", "v", "g", "s"):
        return f"{model_source}; divided by the plan"
    if name == "f":
        return "counted in roofline/engine/lower.py"
    return f"workload {result.workload.id} and plan"


def _kernel(result: Prediction, priced: Priced) -> Iterator[dict[str, str]]:
    """FLOPs, bytes, and the time under each roof."""
    op, chip = priced.op, result.deployment.chip
    for quantity, formula, value, unit in (
        ("FLOPs", op.formula.flops, op.flops, "FLOP"),
        ("bytes read", op.formula.read, op.read, "B"),
        ("bytes written", op.formula.write, op.write, "B"),
    ):
        shown = show(float(value), unit)
        yield _line(quantity, formula.replace("*", "·"), substituted(formula, op.terms), shown, "count, no chip in it")
    found = op.dtype if op.dtype == VECTOR else roof.arithmetic(chip, op.dtype)
    key = f"{op.kind}/{found}" if f"{op.kind}/{found}" in chip.achieved else op.kind
    reached, measured = chip.efficiency(op.kind, found), _source(chip, f"achieved.kernels.{key}", "not measured: 1")
    peak, bandwidth = roof.peak(chip, op.dtype), chip.bandwidth
    where = "compute.vector" if op.dtype == VECTOR else f"compute.peaks.{found}"
    yield _line("peak", f"dense {found}", "", _rate(peak, "FLOP/s"), _source(chip, where, "not published"))
    main = chip.main_memory.name
    yield _line("bandwidth", main, "", _rate(bandwidth, "B/s"), _source(chip, f"memory.{main}", "not published"))
    work, moved = show(float(op.flops), "FLOP"), show(float(op.bytes), "B")
    yield _line(
        "compute time", "FLOPs/(peak·fraction)", f"{work}/({_rate(peak, 'FLOP/s')}·{plain(reached.compute)})",
        _time(priced.expected.compute), measured,
    )  # fmt: skip
    yield _line(
        "memory time", "bytes/(bandwidth·fraction)", f"{moved}/({_rate(bandwidth, 'B/s')}·{plain(reached.memory)})",
        _time(priced.expected.memory), measured,
    )  # fmt: skip
    exponent = "p = ∞: the longer of the two" if np.isinf(reached.overlap) else f"p = {plain(reached.overlap)}"
    launch = _time(priced.expected.overhead)
    yield _line(
        "one execution",
        "latency + (compute^p + memory^p)^(1/p)",
        f"latency {launch}, {exponent}",
        _time(priced.expected.time),
        measured,
    )


def _collective(chip: Chip, priced: Priced) -> Iterator[dict[str, str]]:
    """The message, the links that it crosses, and the time on them."""
    op = priced.op
    message = op.message
    if message is None:
        return
    size = show(float(message.size), "B")
    yield _line(
        "message",
        op.formula.message.replace("*", "·"),
        substituted(op.formula.message, op.terms),
        size,
        "count, no chip in it",
    )
    near = chip.link("scale-up")
    inside = float(np.clip(np.floor((near.chips if near else 1.0) / message.stride), 1.0, message.ranks))
    outside = float(message.ranks) / inside
    for link, ranks in ((near, inside), (chip.link("scale-out"), outside)):
        if link is not None and ranks > 1:
            yield from _level(chip, link, op, ranks)
    yield _line(
        "one execution", "sum over the levels", "", _time(priced.expected.time), "roofline/engine/collectives.py"
    )


def _level(chip: Chip, link: Link, op: Op, ranks: float) -> Iterator[dict[str, str]]:
    algorithm = op.message.algorithm if op.message else ""
    volume = float(collectives.VOLUME[algorithm](ranks))
    reached = chip.link_efficiency(link.scope)
    rate = _rate(collectives.bandwidth(link, ranks, algorithm), "B/s")
    source = _source(chip, f"links.{link.name}", "")
    yield _line(
        f"{link.scope} link", f"{link.name}, {link.topology}, one direction", f"{plain(ranks)} ranks", rate, source
    )
    start = reached.latency + reached.latency_per_rank * (ranks - 1.0) + collectives.steps(link, ranks) * link.latency
    measured = _source(chip, f"achieved.links.{link.scope}", "not measured: 1 and 0 s")
    yield _line(
        f"{link.scope} volume",
        f"{algorithm}: share of the message that each rank sends",
        "",
        plain(volume),
        "Thakur et al. 2005",
    )
    yield _line(
        f"{link.scope} reached", "fraction of the link; latency", plain(reached.bandwidth), _time(start), measured
    )


def _sum(phase: Phase, priced: Priced) -> Iterator[dict[str, str]]:
    """From one execution to its share of the phase."""
    count, repeat = priced.op.count, phase.repeat
    numbers = f"{plain(count)}·{plain(repeat)}·{_time(priced.expected.time)}"
    yield _line("in the phase", "executions·steps·time", numbers, _time(priced.time * repeat), "")
    ideal = _time(priced.ideal_time * repeat)
    yield _line("ideal", "datasheet peaks, nothing can be faster", "", ideal, "the same formulas, every fraction 1")


def _source(chip: Chip, path: str, otherwise: str) -> str:
    source = chip.sources.get(path)
    return f"{source.title}{f' ({source.date})' if source.date else ''}" if source else otherwise


def _rate(value: Num, unit: str) -> str:
    return show(float(value), unit) if np.isfinite(value) else "unknown"


def _time(value: Num) -> str:
    return show(float(value), "s")
