"""The whole check: predictions beside the baseline, promises, and gates on accuracy."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.errors import CheckFailedError, RooflineError
from roofline.studies.check import baseline as files
from roofline.studies.check import moved
from roofline.studies.check.baseline import Baseline
from roofline.studies.check.config import CONFIG, read
from roofline.studies.check.gates import gates
from roofline.studies.check.predicted import baseline, predict
from roofline.studies.check.promises import promises

CHECK_SCHEMA = "roofline.check/1"


def check(
    catalog: Catalog,
    *,
    config: Path | None = None,
    against: Path | None = None,
    update: bool = False,
    every: bool = False,
) -> dict[str, Any]:
    """The contract's check of what a `roofline.toml` names, `against` a baseline instead of its own.

    With `update` the baseline is written, and what moved since the earlier one is told. Rows are the figures that are
    not as they were, or `every` one.
    Raises `RooflineError` for anything that is wrong with the file or the baseline, and for what can't be predicted:
    what was not checked did not pass.
    """
    asked = read(config or CONFIG)
    place = against or asked.baseline
    notes: list[str] = []
    was = _earlier(place, notes) if update else files.read(place)
    found = predict(asked, catalog)
    now = baseline(found)
    kept, met = promises(asked, found), gates(asked, catalog)
    rows = list(moved.rows(was, now, asked, str(place)))
    if update:
        files.write(now, place)
    counts = Counter(row["status"] for row in rows)
    counts["kept"], counts["met"] = sum(row["kept"] for row in kept), sum(row["met"] for row in met)
    counts["broken"], counts["missed"] = len(kept) - counts["kept"], len(met) - counts["met"]
    failing = ("broken", "missed") if update else (moved.MOVED, moved.NEW, moved.VANISHED, "broken", "missed")
    names = (*moved.STATUSES, "kept", "broken", "met", "missed")
    return {
        "schema": CHECK_SCHEMA,
        "version": __version__,
        "config": str(asked.path),
        "baseline": str(place),
        "before": was.version or None,
        "updated": update,
        "passed": not any(counts[name] for name in failing),
        "counts": {name: counts[name] for name in names},
        "causes": moved.counted(rows),
        "predictions": moved.cases(rows),
        "rows": [row for row in rows if every or row["status"] != moved.SAME],
        "promises": kept,
        "gates": met,
        "notes": notes,
    }


def demand(result: Mapping[str, Any]) -> None:
    """`CheckFailedError` that counts what was found, if anything was that counts."""
    if not result["passed"]:
        counts = result["counts"]
        names = ("broken", "missed") if result["updated"] else ("moved", "new", "vanished", "broken", "missed")
        what = {"broken": "promise", "missed": "gate"}
        told = [_counted(counts[name], what.get(name, "figure"), name) for name in names if counts[name]]
        raise CheckFailedError("check: " + ", ".join(told))


def _counted(number: int, what: str, state: str) -> str:
    """So many of what, in what state.

    >>> _counted(1, "promise", "broken"), _counted(1200, "figure", "moved")
    ('1 promise broken', '1,200 figures moved')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'} {state}"


def _earlier(place: Path, notes: list[str]) -> Baseline:
    """The baseline that is to be replaced; an empty one if there is none, or none that can be relied on."""
    nothing = Baseline("", {}, {})
    if not os.path.exists(place) or not files.may_replace(place):
        return nothing
    try:
        return files.read(place)
    except RooflineError as error:
        notes.append(f"no comparison with the earlier baseline: {error}")
        return nothing
