"""Constants and steps in the order in which they are written down, and the small words of formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from roofline.machine import Chip, Stack
from roofline.source import Source
from roofline.studies.formula import evaluate, names

UNMEASURED = "not measured: the datasheet"


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that steps use: its name in them, what it is, its value [unit, empty: none], who says so."""

    name: str
    meaning: str
    value: float
    unit: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One formula: the name of its result, its text, the terms in it (value and unit), its value [unit]."""

    name: str
    formula: str
    terms: Mapping[str, tuple[float, str]]
    value: float
    unit: str = "s"
    source: str = ""


Line = Constant | Step


class Sheet:
    """Constants and steps in the order in which they are written; a step may use all that stands above it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.known: dict[str, tuple[float, str]] = {}

    def put(self, *constants: Constant) -> None:
        """Write constants down."""
        for constant in constants:
            self.lines.append(constant)
            self.known[constant.name] = constant.value, constant.unit

    def take(self, name: str, formula: str, unit: str = "s", source: str = "") -> float:
        """Write a step down and return its value."""
        terms = {term: self.known[term] for term in names(formula)}
        value = evaluate(formula, {term: number for term, (number, _) in terms.items()})
        self.lines.append(Step(name, formula, terms, value, unit, source))
        self.known[name] = value, unit
        return value


def cited(source: Source | None, otherwise: str = "") -> str:
    """A source as one line: its title and when it was read."""
    if source is None:
        return otherwise
    return source.title + (f" ({source.date})" if source.date else "")


def stack_source(stack: Stack, chip: Chip, path: str) -> str:
    """Who states a number of a stack: for this chip, for its family or kind, or for every chip."""
    places = [f"variants.{place}.{path}" for place in (chip.id, chip.family, chip.kind)]
    return next((cited(stack.sources[place]) for place in (*places, path) if place in stack.sources), stack.name)


def product(*factors: str) -> str:
    """The factors that are there, multiplied; 1 if none is.

    >>> product("peak", "", "compute"), product()
    ('peak*compute', '1')
    """
    return "*".join(factor for factor in factors if factor) or "1"


def grouped(formula: str) -> str:
    """A formula that may stand below a fraction's line.

    >>> grouped("a*b"), grouped("a"), grouped("min(a*b, c)")
    ('(a*b)', 'a', 'min(a*b, c)')
    """
    return formula if formula.isidentifier() or formula.startswith("min(") else f"({formula})"


def joined(first: str, second: str, overlap: float, name: str = "overlap") -> str:
    """How two times make one (`p_norm`): their sum, the longer of them, or something between.

    >>> joined("a", "b", 1.0), joined("a", "b", float("inf")), joined("a", "b", 2.0)
    ('a + b', 'max(a, b)', '(a^overlap + b^overlap)^(1/overlap)')
    """
    if overlap == 1.0:
        return f"{first} + {second}"
    if np.isinf(overlap):
        return f"max({first}, {second})"
    return f"({first}^{name} + {second}^{name})^(1/{name})"
