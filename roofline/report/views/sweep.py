"""The view of a sweep: how many points there are, fit and are kept, and the first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roofline.report.document import Cell, Column, Document, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, duration, quantity, rate, ratio, usd

Result = Mapping[str, Any]
Show = Callable[[float], str]

SHOWN = 20  # rows, without --all
_LESS_BUSY = 4  # digits
_ENDS: tuple[tuple[str, Show], ...] = (
    ("_bytes", lambda value: quantity(value, "B")),
    ("_time_s", duration),
    ("_per_s", rate),
    ("_per_s_per_chip", rate),
    ("_per_s_per_user", rate),
    ("_s", duration),
    ("power_w", lambda value: quantity(value, "W")),
    ("_mfu", ratio),
    ("_mbu", ratio),
)


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """The document."""
    return tuple(_parts(result, all_rows=all_rows))


def summary(result: Result) -> str:
    """One line for a terminal: what was written where."""
    again = f" ({result['resumed']:,} chunks were done already)" if result["resumed"] else ""
    return f"{_counted(result)}; wrote {result['written']}{again}"


def _parts(result: Result, *, all_rows: bool) -> Iterator[Part]:
    yield Heading(f"{', '.join(result['workloads'])} on {', '.join(result['deployments'])}")
    yield Text("varied: " + ", ".join(f"{axis['name']} ({axis['values']:,})" for axis in result["vary"]))
    yield Text(_counted(result))
    if result["estimate"]:
        yield Text(_estimated(result))
    if result["written"]:
        yield Text(f"rows are in {result['written']}")
    rows = result["rows"]
    if not rows:
        return
    shown = rows if all_rows else rows[:SHOWN]
    names = [name for name in result["columns"] if _tells(name, rows)]
    units = {axis["name"]: axis["unit"] for axis in result["vary"]}
    heads = [Column(name, right=not any(isinstance(row[name], str) for row in shown)) for name in names]
    cells = [[_cell(name, row[name], units.get(name)) for name in names] for row in shown]
    yield Grid.of(heads, cells)
    if len(shown) < len(rows):
        yield Text(f"{len(rows) - len(shown):,} more rows (--all, or --format csv)", "quiet")
    same = {name: rows[0][name] for name in result["columns"] if name not in names and rows[0][name] is not None}
    if same:
        told = ", ".join(f"{name} {_cell(name, value, units.get(name)).text}" for name, value in same.items())
        yield Text(f"the same in all rows: {told}", "quiet")


def _tells(name: str, rows: list[Result]) -> bool:
    """Whether a column differs between rows, or there is one row alone."""
    first = rows[0][name]
    return (len(rows) == 1 and first is not None) or any(row[name] != first for row in rows)


def _counted(result: Result) -> str:
    counts = result["counts"]
    about = "about " if result["estimate"] and not result["estimate"]["exact"] else ""
    told = f"{counts['points']:,} points"
    if counts["valid"] < counts["points"]:
        told += f", {about}{counts['valid']:,} of them with a plan that is possible"
    told += f", {about}{counts['fitting']:,} fit"
    return told if counts["kept"] is None else f"{told}, {counts['kept']:,} kept"


def _estimated(result: Result) -> str:
    estimate = result["estimate"]
    told = f"would take about {duration(estimate['seconds'])} on {estimate['processes']} processes"
    if estimate["processes"] == 1:
        told = told.removesuffix("es")
    return told if estimate["bytes"] is None else f"{told} and {quantity(estimate['bytes'], 'B')} of disk"


def _cell(name: str, value: Any, unit: str | None) -> Cell:
    """A cell as people read it."""
    if value is None:
        return Cell(UNKNOWN)
    if isinstance(value, bool):
        return Cell("yes", "good") if value else Cell("no", "bad")
    if isinstance(value, str):
        return Cell(value)
    return Cell(_number(name, value, unit))


def _number(name: str, value: float, unit: str | None) -> str:
    if unit == "s":
        return duration(value)
    if unit in ("B", "B/s", "FLOP/s", "W"):
        return quantity(value, str(unit))
    base = name.removesuffix("_low").removesuffix("_high").removesuffix("_ideal")
    if "usd" in base or unit in ("USD", "USD/h"):
        return usd(value)
    if base.startswith(("energy_j", "system_energy_j")):
        return quantity(value, "J")
    for end, show in _ENDS:
        if base.endswith(end):
            return show(value)
    return count(value) if value == int(value) else f"{value:.{_LESS_BUSY}g}"
