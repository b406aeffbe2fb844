"""Why the best wins: its figure against that of the runner-up and of the same chip's next layout, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline import units

Row = Mapping[str, Any]
DAY = 24.0 * units.HOUR


def why(rows: Sequence[Row], figure: str) -> list[dict[str, Any]]:
    """The best row against the best of another chip, and against the same chip's next; empty without any other."""
    if not rows:
        return []
    best, rest = rows[0], rows[1:]
    chip = best["deployment"]["chip"]
    other = next((row for row in rest if row["deployment"]["chip"] != chip), None)
    same = next((row for row in rest if row["deployment"]["chip"] == chip), None)
    return [_against(best, row, kind, figure) for kind, row in (("chip", other), ("plan", same)) if row is not None]


def _against(best: Row, other: Row, kind: str, figure: str) -> dict[str, Any]:
    """What the best has in common with another row, as ratios; where their time differs most."""
    mine, theirs = best["figures"], other["figures"]
    return {
        "against": kind,
        "deployment": other["written"],
        "label": other["deployment"]["label"],
        "plan": other["deployment"]["plan"],
        "batch": other["batch"],
        "figure": figure,
        "best": mine[figure],
        "other": theirs[figure],
        "ratio": _ratio(mine[figure], theirs[figure]),
        "hour_of_chip": _ratio(_hour(best), _hour(other)),
        "rate_of_chip": _ratio(mine["tokens_per_s_per_chip"], theirs["tokens_per_s_per_chip"]),
        "power_of_chip": _ratio(_power(best), _power(other)),
        "differs": _differs(best["spent"], other["spent"]),
    }


def _hour(row: Row) -> float | None:
    """What a chip costs in an hour."""
    figures = row["figures"]
    if "usd_per_hour" in figures:
        return _ratio(figures["usd_per_hour"], figures["num_chips"])
    hours = row["metrics"].get("chip_hours")
    return _ratio(figures["usd"], hours)


def _power(row: Row) -> float | None:
    return _ratio(row["figures"]["power_w"], row["figures"]["num_chips"])


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _differs(mine: Sequence[Row], theirs: Sequence[Row]) -> dict[str, Any] | None:
    """The part of the time whose shares differ most."""
    shares = [{(item["phase"], item["bound"]): item["share"] for item in spent} for spent in (mine, theirs)]
    every = dict.fromkeys(key for found in shares for key in found)
    if not every:
        return None
    one, other = shares
    most = max(every, key=lambda key: abs(one.get(key, 0.0) - other.get(key, 0.0)))
    return {"phase": most[0], "bound": most[1], "share": one.get(most, 0.0), "other_share": other.get(most, 0.0)}


def shown(value: float, unit: str) -> str:
    """A figure with its unit.

    >>> shown(0.0312, "s"), shown(12.5, "USD/h"), shown(64.0, ""), shown(2592000.0, "s")
    ('31.2 ms', '12.5 USD/h', '64', '30 d')
    """
    if unit == "s" and value >= 2.0 * DAY:
        return f"{value / DAY:,.3g} d"
    return units.show(value, unit, 3) if unit else f"{value:,.0f}"
