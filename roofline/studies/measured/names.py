"""Names in tables of measurements: chips and models of the catalogue, however a source spells them."""

from __future__ import annotations

import re

from roofline.catalog.store import Catalog, is_path
from roofline.errors import RooflineError, UnknownNameError
from roofline.studies.measured import shapes
from roofline.studies.measured.table import Case, SkipError


def known(catalog: Catalog, kind: str, name: str) -> str | None:
    """The id of the catalogue's entry that a name means; None if there is none."""
    name = re.sub(r"\(.*?\)", "", name).strip()  # remarks in parentheses
    if not name or (is_path(name) and not name.endswith((".yaml", ".yml"))):
        return None
    try:
        return catalog.spec(kind, name).id
    except UnknownNameError:
        return None


def stack_named(catalog: Catalog, software: str, *, anywhere: bool = False) -> str | None:
    """The stack that the name of a software begins with, `TensorRT-LLM (PyTorch backend)` for one; else the first that
    stands anywhere in it, if that is asked for, as in `Dynamo vLLM`."""
    words = re.findall(r"[a-z0-9.]+(?:-[a-z0-9.]+)*", software.lower())
    starts = range(len(words) if anywhere else min(len(words), 1))
    names = ("-".join(words[first:last]) for first in starts for last in range(len(words), first, -1))
    return next((found for name in names if (found := known(catalog, "stack", name))), None)


def released(catalog: Catalog, stack: str, version: str, date: str) -> str:
    """The stack that stands for a release of a software; `RooflineError` where `earlier` goes in a circle."""
    passed = [stack]
    while (earlier := catalog.stack_spec(passed[-1]).earlier) and earlier.covers(version, date):
        if earlier.stack in passed:
            raise RooflineError(f"stack {stack}: 'earlier' goes in a circle: {', '.join([*passed, earlier.stack])}")
        passed.append(earlier.stack)
    return passed[-1]


def measured_on(case: Case, chip: str | None, model: str | None) -> tuple[str, str, shapes.Shape | None]:
    """Chip and model of a case, as they were found in the catalogue, and the shape that it states for a model that is
    not there; raises `SkipError` if it states none."""
    shape = None if model else shapes.stated(case)
    named = model or (shape.name if shape else None)
    if chip is None:
        raise SkipError(f"chip {case['chip']} is not in the catalogue")
    if named is None:
        raise SkipError(f"model {case['model'] or '(empty)'} is not in the catalogue")
    return chip, named, shape
