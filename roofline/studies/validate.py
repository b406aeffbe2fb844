"""Predictions against published measurements: how far off, on what kind of case, and what could not be predicted.

Constants in `hardware/calibrated` were fitted to the rows of one side of a fixed split. Only those of the other are
evidence, so they alone are shown unless asked otherwise; nothing was fitted to a table of the user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roofline import __version__
from roofline.catalog.overlay import beside
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError, did_you_mean
from roofline.studies.accuracy import check_columns, summarise
from roofline.studies.measured.rows import CALIBRATION, COLUMNS, SCORING, predicted
from roofline.studies.measured.table import read, shipped

VALIDATION_SCHEMA = "roofline.validation/1"
DEFAULT_BY = ("chip_kind", "what")
ALL = "all"
SPLITS = (SCORING, CALIBRATION, ALL)
FEW = 40  # measurements of a table of one's own that are looked at one by one


def validate(
    path: Path | None,
    catalog: Catalog,
    by: Sequence[str] = DEFAULT_BY,
    split: str | None = None,
    *,
    chip: str | None = None,
    gaps: bool | None = None,
) -> dict[str, Any]:
    """The contract's validation of a measured CSV, by default the shipped ones, summarised by columns of the rows.

    `split` is the side whose rows are shown; by default `scoring` of the shipped tables and `all` of another. `chip` is
    one that rows name by its id; its file need not be in the catalogue. With `gaps` each row says what lies between
    bound, expectation and measurement; by default those of a small table do.
    """
    columns = tuple(dict.fromkeys(by))
    side = split or (ALL if path else SCORING)
    check_columns(columns, COLUMNS)
    _check_split(side)
    tables = [read(table) for table in ((path,) if path else shipped())]
    told = (path is not None and len(tables[0].cases) <= FEW) if gaps is None else gaps
    with beside(chip, catalog) as wider:
        snapshot = Snapshot.of(wider)
        found = [predicted(table, snapshot, gaps=told) for table in tables]
    rows = [row for some, _ in found for row in some]
    kept = [row for row in rows if side in (ALL, row["split"])]
    return {
        "schema": VALIDATION_SCHEMA,
        "version": __version__,
        "measured": str(path) if path else None,
        "by": list(columns),
        "split": side,
        "left_out": len(rows) - len(kept),
        "summary": summarise(kept, columns),
        "rows": kept,
        "skipped": [item for _, some in found for item in some],
    }


def _check_split(name: str) -> None:
    if name not in SPLITS:
        near = did_you_mean(name, SPLITS, most=1)
        hint = f"did you mean {near}?" if near else f"one of {', '.join(SPLITS)}"
        raise RooflineError(f"--split {name}: no such side; {hint}")
