"""The table of spreads: how far predictions were off, by what stands behind them, as `roofline calibrate` writes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from roofline.catalog import reading
from roofline.errors import Finding, SpecError
from roofline.machine import Chip
from roofline.machine.chip import Calibration
from roofline.machine.evidence import Spread

FILE = "spreads.csv"
KEYS = ("evidence", "stack", "kind", "chip", "figure")
NUMBERS = ("cases", "groups", "median_error", "low", "high")
COLUMNS = (*KEYS, *NUMBERS)
NO_NUMBERS = "cases, groups, median_error, low and high must be numbers"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: whose predictions (an empty key stands for all) of what figure, and how far off they were."""

    evidence: str
    stack: str
    kind: str
    chip: str
    figure: str
    spread: Spread


def closest(entries: Sequence[Entry], evidence: Calibration, stack: str, chip: Chip) -> dict[str, Spread]:
    """The spread of every figure from the closest evidence: of this stack on this chip, on its kind, of all stacks on
    its kind, of all. Where too little was measured, what was found on chips left out stands in: it is no narrower."""
    kinds = (evidence, "transferred") if evidence == "measured" else (evidence,)
    found: dict[str, Spread] = {}
    for place in _places(evidence, stack, chip):
        for kind in kinds:
            for entry in entries:
                if entry.evidence == kind and (entry.stack, entry.kind, entry.chip) == place:
                    found.setdefault(entry.figure, entry.spread)
    return found


def _places(evidence: Calibration, stack: str, chip: Chip) -> Iterator[tuple[str, str, str]]:
    """Stack, kind and chip of the places to look at, the closest first."""
    if evidence == "measured":
        yield stack, chip.kind, chip.id
    if evidence != "datasheet":
        yield stack, chip.kind, ""
    yield "", chip.kind, ""
    yield "", "", ""


def read(path: Path) -> list[Entry]:
    """The rows of a table; `SpecError` if a column is missing, or a number, or makes no sense."""
    columns, rows = reading.table(path)
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise SpecError([Finding(str(path), column, "missing column", 1, 1) for column in missing])
    return list(_entries(path, rows))


def _entries(path: Path, rows: Iterable[dict[str, str]]) -> Iterator[Entry]:
    for line, row in enumerate(rows, start=2):
        try:
            spread = Spread(
                low=float(row["low"]),
                high=float(row["high"]),
                cases=int(row["cases"]),
                groups=int(row["groups"]),
                median_error=float(row["median_error"]),
            )
            wrong = _fault(spread)
        except (TypeError, ValueError):
            wrong = NO_NUMBERS
        if wrong:
            raise SpecError([Finding(str(path), "", wrong, line)])
        evidence, stack, kind, chip, figure = (row[key] for key in KEYS)
        yield Entry(evidence, stack, kind, chip, figure, spread)


def _fault(spread: Spread) -> str:
    """What makes it no interval of times; empty if nothing does."""
    if not all(map(math.isfinite, (spread.low, spread.high, spread.median_error))):
        return NO_NUMBERS
    return "" if 0.0 < spread.low <= spread.high else "low must be above 0 and not above high"
