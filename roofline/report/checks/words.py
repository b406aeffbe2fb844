"""What a check found in words: figures, changes, causes, and one sentence for each thing that was tested."""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from roofline.report.human import UNKNOWN, count, known, percent, quantity
from roofline.units import HOUR

Result = Mapping[str, Any]
DIGITS = 5  # enough to see a move of a thousandth
DAY, LONG = 24 * HOUR, 2 * HOUR  # what is longer is told in days
NAMED = 3  # figures that a sentence names
BESIDE = ("_ideal", "_low", "_high")
DIMENSIONS = (("_bytes", "B"), ("power_w", "W"), ("energy_j", "J"), ("_j", "J"))
CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "chip": "chip data of {}",
        "constants": "measured constants of {}",
        "model": "model {}",
        "workload": "workload {}",
        "stack": "stack {}",
        "spreads": "measured spreads of {}",
        "costs": "costs ({})",
        "formulas": "formulas of {}",
    }
)
ERRORS: Mapping[str, str] = MappingProxyType(
    {"median_absolute_error": "median error", "p90_absolute_error": "90th percentile"}
)
NOTHING = "nothing that is hashed (another version of NumPy or Python?)"


@dataclass(frozen=True, slots=True)
class Tested:
    """One thing that was tested: its suite, what it is called in it, whether it failed, what there is to say, and the
    line of the file that says what it should be."""

    suite: str
    group: str
    name: str
    kind: str
    failed: bool
    message: str
    detail: str
    path: str
    line: int


def relative(path: str, root: str | None) -> str:
    """A path from the folder of the repository, as build servers write it; as it is without one."""
    return PurePath(os.path.relpath(path, root) if root else path).as_posix()


def figure(name: str, value: float | str | None) -> str:
    """A figure by what its name says it is, without exponents.

    >>> figure("tpot_s", 0.0161234), figure("time_to_train_s", 8.1e6), figure("output_tokens_per_s", 61759.2)
    ('16.123 ms', '93.75 d', '61,759')
    """
    if value is None or isinstance(value, str):
        return UNKNOWN if value is None else value
    base = next((name.removesuffix(end) for end in BESIDE if name.endswith(end)), name)
    dimension = next(
        (unit for part, unit in DIMENSIONS if part in (base if part[0] != "_" else base[-len(part) :])), ""
    )
    if dimension:
        return quantity(value, dimension, DIGITS)
    if base.endswith("_s") and not base.endswith("per_s"):
        if abs(value) < LONG:
            return quantity(value, "s", DIGITS)
        return f"{_plain(value / DAY)} d"
    return _plain(value)


def _plain(value: float) -> str:
    """A number to a few digits, with separators."""
    return format(Decimal(f"{value:.{DIGITS}g}"), ",f")


def change(share: float | None) -> str:
    """A relative change.

    >>> change(0.0834), change(-0.0000123), change(12.0), change(None)
    ('+8.34 %', '-0.00123 %', '+1,200 %', '-')
    """
    if not known(share):
        return UNKNOWN
    told = Decimal(f"{share * 100:+.3g}")
    return f"{told:+,f} %"


def move(row: Result) -> str:
    """What became of a figure."""
    name = row["metric"]
    if row["status"] == "new":
        return f"{name} {figure(name, row['now'])} is not in the baseline"
    if row["status"] == "vanished":
        return f"{name} {figure(name, row['before'])} is not predicted any more"
    far = f" ({change(row['change'])})" if row["change"] is not None else ""
    return f"{name} {figure(name, row['before'])} -> {figure(name, row['now'])}{far}"


def several(number: int, what: str) -> str:
    """So many of something.

    >>> several(1, "figure"), several(1200, "figure")
    ('1 figure', '1,200 figures')
    """
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def cause(found: Result) -> str:
    """What changed, of what a prediction rests on."""
    return CAUSES[found["kind"]].format(found["name"].replace("@", " on "))


def why(row: Result) -> str:
    """Everything that changed, of what a figure rests on; nothing of what is there for the first or last time."""
    told = ", ".join(map(cause, row["causes"]))
    return told or (NOTHING if row["status"] == "moved" else "")


def ordered(rows: Sequence[Result]) -> list[Result]:
    """Figures that are not as they were; first words, new and vanished ones, then those that moved furthest; bounds
    and edges of intervals behind what they belong to."""
    changed = [row for row in rows if row["status"] != "same"]
    return sorted(changed, key=lambda row: (row["metric"].endswith(BESIDE), -_far(row)))


def _far(row: Result) -> float:
    return float("inf") if row["change"] is None else abs(row["change"])


def tested(result: Result) -> Iterator[Tested]:
    """Everything that was tested, whether it failed or not."""
    rows: dict[tuple[str, str], list[Result]] = {}
    for row in ordered(result["rows"]):
        rows.setdefault((row["workload"], row["deployment"]), []).append(row)
    for case in result["predictions"]:
        yield _case(result, case, rows.get((case["workload"], case["deployment"]), []))
    yield from map(_promise, result["promises"])
    yield from map(_gate, result["gates"])


def _case(result: Result, case: Result, rows: list[Result]) -> Tested:
    figures = sum(case[name] for name in ("same", "moved", "new", "vanished"))
    named = "; ".join(move(row) for row in rows[:NAMED])
    reasons = list(dict.fromkeys(why(row) for row in rows if why(row)))
    because = f"; changed since: {'; '.join(reasons)}" if reasons else ""
    more = f" and {count(len(rows) - NAMED)} more" if len(rows) > NAMED else ""
    told = f"{count(len(rows))} of {several(figures, 'figure')} not as before: {named}{more}{because}"
    return Tested(
        suite="predictions",
        group=case["workload"],
        name=case["deployment"],
        kind="moved",
        failed=bool(rows) and not result["updated"],
        message=told if rows else f"{several(figures, 'figure')} as before",
        detail="\n".join(map(move, rows)),
        path=rows[0]["path"] if rows else result["baseline"],
        line=(rows[0]["line"] if rows else None) or 1,
    )


def _promise(row: Result) -> Tested:
    values = ", ".join(f"{name} is {_value(name, value)}" for name, value in row["values"].items())
    misfit = "" if row["fits"] else "; the deployment does not hold the workload"
    return Tested(
        suite="promises",
        group=row["workload"],
        name=f"{row['assert']} on {row['deployment']}",
        kind="broken",
        failed=not row["kept"],
        message=f"{row['assert']} {'is kept' if row['kept'] else 'is broken'}: {values}{misfit}",
        detail="",
        path=row["path"],
        line=row["line"] or 1,
    )


def _value(name: str, value: float | bool | str | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not known" if value is None else figure(name, value)


def _gate(row: Result) -> Tested:
    what = ERRORS[row["error"]]
    beyond = "is not above" if row["met"] else "is above"
    return Tested(
        suite="accuracy",
        group=row["measured"] or "shipped measurements",
        name=f"{what} of {row['group']}",
        kind="missed",
        failed=not row["met"],
        message=f"{what} of {row['group']}, {percent(row['value'])} of {count(row['cases'])} cases, {beyond} "
        f"{percent(row['limit'])}",
        detail="",
        path=row["path"],
        line=row["line"] or 1,
    )


def verdict(result: Result) -> str:
    """The whole check in one line."""
    counts = result["counts"]
    changed = {name: counts[name] for name in ("moved", "new", "vanished") if counts[name]}
    figures = sum(counts[name] for name in ("same", "moved", "new"))
    told = [f"{several(figures, 'figure')} of {several(len(result['predictions']), 'prediction')}"]
    told += [f"{count(number)} {name}" for name, number in changed.items()] or ["none moved"]
    for good, bad, what in (("kept", "broken", "promises"), ("met", "missed", "gates")):
        if counts[good] or counts[bad]:
            told.append(f"{what}: {count(counts[good])} {good}, {count(counts[bad])} {bad}")
    state = "passed" if result["passed"] else "failed"
    return f"check {state}: {'; '.join(told)}"
