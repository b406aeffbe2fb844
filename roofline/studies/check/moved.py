"""What moved since a baseline was written, by how much, and what of what it rests on is not the same any more."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from itertools import groupby
from typing import Any

from roofline.studies import fingerprint
from roofline.studies.check.baseline import Baseline, Key
from roofline.studies.check.config import Config
from roofline.studies.check.predicted import named

SAME, MOVED, NEW, VANISHED = STATUSES = ("same", "moved", "new", "vanished")
Cause = tuple[str, str]  # kind and name of what changed


def rows(was: Baseline, now: Baseline, config: Config, path: str) -> Iterator[dict[str, Any]]:
    """A row for each figure of either, in order."""
    asked = {(case.deployment, case.work): config.line(*case.place) for case in config.cases()}
    keys = sorted({*was.predictions, *now.predictions})
    for (deployment, work), group in groupby(keys, key=lambda key: (key[0], key[1])):
        why = [{"kind": kind, "name": name} for kind, name in causes(deployment, work, was, now)]
        for key in group:
            then, current = was.predictions.get(key), now.predictions.get(key)
            tolerance = config.tolerance(key[2])
            status = _status(then, current, tolerance)
            here = status != NEW
            yield {
                "status": status,
                "deployment": deployment,
                "workload": work,
                "metric": key[2],
                "before": _value(then),
                "now": _value(current),
                "change": change(then, current),
                "tolerance": tolerance,
                "causes": [] if status == SAME else why,
                "path": path if here else str(config.path),
                "line": was.lines.get(key) if here else asked[deployment, work],
            }


def causes(deployment: str, work: str, was: Baseline, now: Baseline) -> list[Cause]:
    """What a case rests on that is another now, or has another name; nothing if it was not predicted then, or is not
    now."""
    before, after = (named(deployment, work, found.predictions) for found in (was, now))
    places = [(deployment, work, fingerprint.MODEL) in found.predictions for found in (was, now)]
    if not all(places):
        return []
    return [
        (kind, after[kind])
        for kind in fingerprint.KINDS
        if was.inputs.get((kind, before[kind])) != now.inputs.get((kind, after[kind])) or before[kind] != after[kind]
    ]


def change(then: str | None, now: str | None) -> float | None:
    """now/then − 1; None of words, and where nothing was.

    >>> change("0.02", "0.03"), change("0", "1"), change("memory", "compute")
    (0.5, None, None)
    """
    before, after = number(then), number(now)
    return float(after / before - 1) if before and after is not None else None


def number(value: str | None) -> Decimal | None:
    """The number that a text is, exactly; None of a word."""
    try:
        found = Decimal(value or "")
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _status(then: str | None, now: str | None, tolerance: float) -> str:
    if then is None:
        return NEW
    if now is None:
        return VANISHED
    before, after = number(then), number(now)
    if before is None or after is None:
        return SAME if then == now else MOVED
    return SAME if abs(after - before) <= Decimal(repr(tolerance)) * abs(before) else MOVED


def _value(told: str | None) -> float | str | None:
    found = number(told)
    return told if found is None else float(found)


def counted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each thing that changed, with the figures that it may have moved; those that moved most first."""
    counts: dict[Cause, int] = {}
    for row in found:
        for cause in row["causes"]:
            key = (cause["kind"], cause["name"])
            counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"kind": kind, "name": name, "rows": rows} for (kind, name), rows in ordered]


def cases(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each case, with how many of its figures are what."""
    told: dict[Key, dict[str, Any]] = {}
    for row in found:
        key = (row["deployment"], row["workload"])
        case = told.setdefault(key, {"deployment": key[0], "workload": key[1], **dict.fromkeys(STATUSES, 0)})
        case[row["status"]] += 1
    return list(told.values())
