"""Axes as a user writes them, `NAME=RANGE`: numbers that make a mesh, and names that make a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from roofline.errors import RooflineError
from roofline.studies import knobs, ranges, request, vary
from roofline.studies.knobs import work
from roofline.studies.knobs.knob import Case, Knob, find
from roofline.studies.timeline import KINDS
from roofline.workload import Serving

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 1_000_000  # values of an axis
ALIASES: Mapping[str, str] = MappingProxyType(
    {"input_len": "input", "output_len": "output", "context_len": "context", "seq": "seq_len", "price": "price.hourly"}
)
NAMES = (*request.FORMAT_KEYS, "stack", "recompute", "schedule", *request.SWITCHES)  # other code, not other numbers


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A number that is varied, and its values in SI units."""

    name: str
    knob: Knob
    values: NDArray[np.float64]


def split(wanted: Sequence[str]) -> dict[str, str]:
    """Names and ranges of `NAME=RANGE`; `RooflineError` for what is none, or is given twice."""
    found: dict[str, str] = {}
    for text in wanted:
        name, _, span = (part.strip() for part in text.partition("="))
        if not name or not span:
            raise RooflineError(f"--vary {text!r}: write NAME=RANGE, e.g. batch=1:512:x2")
        name = ALIASES.get(name, name)
        name = name.replace("-", "_") if "." not in name else name
        if name in found:
            raise RooflineError(f"--vary {name} is given twice; write all its values at once")
        found[name] = span
    return found


def choices(name: str, span: str) -> list[str]:
    """The values of something that is named."""
    values = [part.strip() for part in span.split(",")]
    for value in values:
        if not value:
            raise RooflineError(f"--vary {name}={span}: a name is missing; write e.g. {name}=A,B")
        request.setting(name, value, "--vary ")
    return list(dict.fromkeys(values))


def numbers(case: Case, wanted: Mapping[str, str]) -> list[Axis]:
    """The axes of a case, read and checked."""
    return [axis(case, name, span) for name, span in wanted.items() if name not in NAMES]


def axis(case: Case, name: str, span: str) -> Axis:
    """One axis; `RooflineError`, saying what to write instead, for values that it can't have."""
    found, where = knob(case, name), f"--vary {name}={span}"
    values = np.array(ranges.values(span, found.unit, where, MOST))
    if found.whole:
        values = np.array(list(dict.fromkeys(np.round(values).tolist())))
    if not found.allows(values):
        raise RooflineError(f"{where}: must be {found.span}")
    return Axis(name, found, values)


def knob(case: Case, name: str) -> Knob:
    """What a name means for a case; `RooflineError` with near names if it means nothing."""
    known = knobs.axes(case)
    if isinstance(case.job, Serving) and all(name != item.key for item in known):
        words = (*(step.name for step in case.job.steps if step.name), *vary.SINGLE, *KINDS.values())
        if name.partition(".")[0] in words:
            return work.step(case.job, name)
    return find(name, known, "--vary")
