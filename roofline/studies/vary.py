"""Numbers of a request over ranges: all combinations of their values are one prediction, whose numbers are arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.prediction import Prediction
from roofline.errors import RooflineError, did_you_mean
from roofline.numeric import Num, finite
from roofline.studies import contract, ranges
from roofline.studies.request import Options, check_order, resolve_deployment, resolve_workload
from roofline.studies.timeline import KINDS
from roofline.workload import Cached, Decode, Pause, Prefill, Serving, Step

VARIATION_SCHEMA = "roofline.variation/1"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a name stands for: a field of the request, or of what it `drafts`; its unit, least and most."""

    field: str
    unit: str
    least: float = 0.0
    most: float = math.inf
    drafts: bool = False


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "batch": Parameter("batch", "requests", least=1.0),
        "context": Parameter("cached", "tokens"),
        "cached_share": Parameter("cached_share", "1", most=1.0),
        "imbalance": Parameter("imbalance", "1", least=1.0),
        "draft_tokens": Parameter("tokens", "tokens", drafts=True),
        "acceptance": Parameter("acceptance", "1", most=1.0, drafts=True),
    }
)
SINGLE: Mapping[str, type[Step]] = MappingProxyType({"input": Prefill, "output": Decode})  # as options call them
WHOLE = ("tokens", "requests")  # what there are no parts of


@dataclass(frozen=True, slots=True)
class Axis:
    """What is varied, and its values in SI units."""

    name: str
    unit: str
    values: tuple[float, ...]


def vary(
    workload: str, deployment: str, wanted: Sequence[str], options: Options, catalog: Catalog
) -> dict[str, Any]:  # fmt: skip
    """The contract's object of `NAME=RANGE` axes: a row for each combination of values, the last name changing first.

    The plan, and the number of chips where none is given, are those of the largest values. Raises `RooflineError` for
    names and ranges that mean nothing.
    """
    job = resolve_workload(catalog, workload, options)
    if not isinstance(job, Serving):
        raise RooflineError(f"--vary: {job.id} trains; only what requests do is varied")
    found = axes(job, wanted)
    grids = np.meshgrid(*(np.array(axis.values) for axis in found), indexing="ij")
    largest, varied = job, job
    for axis, grid in zip(found, grids, strict=True):
        largest = changed(largest, axis.name, max(axis.values))
        varied = changed(varied, axis.name, grid)
    check_order(varied)
    where = resolve_deployment(catalog, deployment, largest, options, anyway=True)
    base = contract.prediction(search.predict(largest, where))
    return {
        "schema": VARIATION_SCHEMA,
        "version": __version__,
        "workload": contract.workload(job),
        "deployment": base["deployment"],
        "vary": [{"name": axis.name, "unit": axis.unit} for axis in found],
        "rows": list(_rows(found, grids, search.predict(varied, where))),
        "evidence": base["evidence"],
    }


def _rows(found: Sequence[Axis], grids: Sequence[Num], result: Prediction) -> Iterator[dict[str, Any]]:
    """Each combination: its values, whether it fits, and every metric."""
    shape = np.shape(grids[0])

    def flat(value: Num | None) -> list[Any]:
        return [None] * math.prod(shape) if value is None else np.broadcast_to(value, shape).ravel().tolist()

    columns = {axis.name: flat(grid) for axis, grid in zip(found, grids, strict=True)}
    columns |= {"fits": flat(result.fits), "max_batch": flat(result.max_batch)}
    columns |= {name: flat(result.metrics.get(name)) for name in contract.metric_names(result.metrics)}
    for row in zip(*columns.values(), strict=True):
        yield {name: value if name == "fits" else finite(value) for name, value in zip(columns, row, strict=True)}


# --- what can be varied -------------------------------------------------------------------------------------------


def axes(job: Serving, wanted: Sequence[str]) -> list[Axis]:
    """Every `NAME=RANGE`, read and checked."""
    found = [_axis(job, text) for text in wanted]
    named = [axis.name for axis in found]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice:
        raise RooflineError(f"--vary {twice} is given twice; write all its values at once")
    size = math.prod(len(axis.values) for axis in found)
    if size > ranges.MOST:
        raise RooflineError(f"--vary: {size:,} combinations; {ranges.MOST:,} at most")
    return found


def _axis(job: Serving, text: str) -> Axis:
    name, _, span = (part.strip() for part in text.partition("="))
    if not name or not span:
        raise RooflineError(f"--vary {text!r}: write NAME=RANGE, e.g. thinking=1000:16000:x2")
    name = name.replace("-", "_") if name.replace("-", "_") in PARAMETERS else name
    wanted, where = parameter(job, name), f"--vary {name}={span}"
    found = ranges.values(span, wanted.unit, where)
    if wanted.unit in WHOLE:
        found = tuple(dict.fromkeys(float(round(value)) for value in found))
    if min(found) < wanted.least or max(found) > wanted.most:
        most = f" to {wanted.most:g}" if math.isfinite(wanted.most) else " or more"
        raise RooflineError(f"{where}: must be {wanted.least:g}{most}")
    return Axis(name, wanted.unit, found)


def parameter(job: Serving, name: str) -> Parameter:
    """What a name stands for: of the request, or of some of its steps."""
    if name in PARAMETERS:
        if PARAMETERS[name].drafts and not job.speculative.on:
            raise RooflineError(f"--vary {name}: nothing is drafted; add --draft-tokens 4 --acceptance 0.7")
        return PARAMETERS[name]
    step = job.steps[steps_called(job, name)[0]]
    if isinstance(step, Pause):
        return Parameter("seconds", "s")
    return Parameter("tokens", "tokens", least=0.0 if isinstance(step, Cached) else 1.0)


def steps_called(job: Serving, name: str) -> list[int]:
    """The steps that a name means: all called so, or the only one or the N-th of a kind (`decode`, `prefill.2`)."""
    named = [at for at, step in enumerate(job.steps) if step.name == name]
    if named:
        return named
    word, _, number = name.partition(".")
    by_word = {kind: other for other, kind in KINDS.items()} | ({} if number else dict(SINGLE))
    found = [at for at, step in enumerate(job.steps) if word in by_word and isinstance(step, by_word[word])]
    if not found:
        known = names(job)
        near = did_you_mean(name, known, most=1)
        raise RooflineError(f"--vary {name}: " + (f"did you mean {near}?" if near else f"known: {', '.join(known)}"))
    if number.isdecimal() and 1 <= int(number) <= len(found):
        return [found[int(number) - 1]]
    if number or len(found) > 1:
        kind = KINDS[by_word[word]]
        span = f"{kind}.1 to {kind}.{len(found)}" if len(found) > 1 else f"{kind}.1"
        raise RooflineError(f"--vary {name}: {job.id} has {len(found)} of these steps; write one of {span}")
    return found


def names(job: Serving) -> list[str]:
    """Everything that can be varied of a request: steps by name, some by number, and what all have."""
    named = dict.fromkeys(step.name for step in job.steps if step.name)
    counts = {word: sum(isinstance(step, kind) for step in job.steps) for kind, word in KINDS.items()}
    numbered = [f"{word}.{at + 1}" for word, count in counts.items() for at in range(min(count, 3))]
    return [*named, *numbered, *PARAMETERS]


def changed(job: Serving, name: str, value: Num) -> Serving:
    """The request with another value, or an array of values, of what a name stands for."""
    wanted = PARAMETERS.get(name)
    if wanted is not None:
        told: dict[str, Any] = {wanted.field: value}
        return replace(job, speculative=replace(job.speculative, **told)) if wanted.drafts else replace(job, **told)
    steps = list(job.steps)
    for at in steps_called(job, name):
        step = steps[at]
        steps[at] = replace(step, seconds=value) if isinstance(step, Pause) else replace(step, tokens=value)
    return replace(job, steps=tuple(steps))
