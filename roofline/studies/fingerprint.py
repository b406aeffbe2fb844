"""What predictions rest on, as hashes: enough to tell whether it is still the same, and what of it is not.

A hash is that of values, not of how a machine or a version of Python writes them; what is as by default is left out,
so that a new field of a format changes no hash of files that do not use it, and so is where numbers were read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import roofline
from roofline.engine.deployment import Deployment
from roofline.workload import Workload

SOURCES = "sources"  # the field of where numbers were read; no prediction rests on it
# Fields of a chip that were fitted to measurements; all others are its maker's, or money.
CONSTANTS = ("achieved", "achieved_links", "cache_speed", "energy", "energy_evidence", "host", "mtbf", "calibrated")
MONEY = "price"
# What computes predictions of what is described; how they are asked for and shown is not among it.
FORMULAS = ("numeric.py", "units.py", "machine", "workload", "engine", "studies/request", "studies/contract.py")
CHIP, CONSTANT, MODEL, WORKLOAD, STACK, SPREADS, COSTS, ENGINE = KINDS = (
    "chip", "constants", "model", "workload", "stack", "spreads", "costs", "formulas",
)  # fmt: skip


def of(thing: Any, without: Iterable[str] = ()) -> str:
    """The hash of a value, `without` some fields if it is a dataclass.

    >>> of({"a": 1.5, "b": None}) == of({"b": None, "a": np.float64(1.5)})
    True
    """
    told = _plain(thing, frozenset(without))
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


@cache
def program(parts: tuple[str, ...] = ("",)) -> str:
    """A hash of the program itself, or of folders and modules of it: a formula that moved is another one. Of a process
    it is the one that it began with, whatever is installed meanwhile."""
    folder, digest = Path(roofline.__file__).parent, hashlib.sha256()
    for path in (path for part in parts for path in _modules(folder / part)):
        lines = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + lines)
    return digest.hexdigest()


def inputs(job: Workload, where: Deployment) -> dict[str, str]:
    """A hash of each kind of thing that a prediction rests on, but for the formulas (`program(FORMULAS)`)."""
    chip, economics = where.chip, where.economics
    assumed = replace(economics, prices={}) if economics else None
    return {
        CHIP: of(chip, (*CONSTANTS, MONEY, "stacks")),
        CONSTANT: of({name: getattr(chip, name) for name in CONSTANTS}),
        MODEL: of(job.model),
        WORKLOAD: of(job, ("model",)),
        STACK: of(where.stack),
        SPREADS: of(where.spreads),
        COSTS: of((chip.price, assumed)),
    }


def _modules(path: Path) -> Iterator[Path]:
    yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


def _plain(thing: Any, without: frozenset[str] = frozenset()) -> Any:
    """The same value, of what JSON holds."""
    if is_dataclass(thing):
        kept = [field for field in fields(thing) if field.name not in (*without, SOURCES)]
        told = {field.name: _plain(getattr(thing, field.name)) for field in kept}
        usual = {field.name: _plain(_default(field)) for field in kept if not _is_needed(field)}
        own = {name: value for name, value in told.items() if name not in usual or usual[name] != value}
        return [type(thing).__name__, own]
    if isinstance(thing, Mapping):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    if isinstance(thing, (np.ndarray, np.generic)):
        return _plain(thing.tolist())
    return repr(thing) if isinstance(thing, float) else thing


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
