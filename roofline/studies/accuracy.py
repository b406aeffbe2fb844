"""How far predictions are from measurements: summaries of rows by any of their columns, and gates on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.errors import CheckFailedError, RooflineError, did_you_mean

Row = Mapping[str, Any]
Values = tuple[Any, ...]
ALL = "all"


def check_columns(by: Sequence[str], known: Sequence[str]) -> None:
    """`RooflineError` for the first column to group by that rows do not have."""
    for column in by:
        if column not in known:
            near = did_you_mean(column, known, most=1)
            hint = f"did you mean {near}?" if near else f"one of {', '.join(known)}"
            raise RooflineError(f"--by {column}: no such column; {hint}")


def summarise(rows: Sequence[Row], by: Sequence[str]) -> list[dict[str, Any]]:
    """The errors of each group of rows that are equal in the columns `by`, and of all rows where there are several.

    All rows come first, then the groups: those that share the first column stay together, larger ones before smaller.
    """
    groups: dict[Values, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in by)].append(row)
    together: Counter[Values] = Counter()
    for values, members in groups.items():
        together[values[:1]] += len(members)

    def order(item: tuple[Values, list[Row]]) -> tuple[Any, ...]:
        values, members = item
        names = tuple(map(shown, values))
        return (-together[values[:1]], names[:1], -len(members), names)

    found = [_summary(by, values, members) for values, members in sorted(groups.items(), key=order)]
    return [_summary((), (), rows), *found] if len(found) > 1 else found


def _summary(by: Sequence[str], values: Values, rows: Sequence[Row]) -> dict[str, Any]:
    """Absolute error is |predicted/measured − 1|; bias is the median signed error."""
    errors = np.array([row["error"] for row in rows])
    return {
        "group": " ".join(map(shown, values)) or ALL,
        "values": dict(zip(by, values, strict=True)),
        "cases": len(rows),
        "median_absolute_error": float(np.median(np.abs(errors))),
        "p90_absolute_error": float(np.quantile(np.abs(errors), 0.9)),
        "bias": float(np.median(errors)),
        "coverage": coverage(rows),
        "beats_ideal": sum(row["beats_ideal"] for row in rows),
    }


def shown(value: object) -> str:
    """A cell as a part of a group's name.

    >>> shown("gpu"), shown(8.0), shown(0.25), shown(None), shown(True)
    ('gpu', '8', '0.25', '-', 'true')
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, (int, float)) else str(value)


def coverage(rows: Sequence[Row]) -> float | None:
    """Share of measurements inside their predicted interval, of those that have one; None if none has."""
    bounded = [row for row in rows if row["low"] is not None and row["high"] is not None]
    inside = sum(row["low"] <= row["measured"] <= row["high"] for row in bounded)
    return inside / len(bounded) if bounded else None


def check_thresholds(max_median: float | None, max_p90: float | None) -> None:
    """`RooflineError` for a threshold that is no number from 0 up: NaN would never be missed."""
    for option, limit in (("--max-median", max_median), ("--max-p90", max_p90)):
        if limit is not None and not limit >= 0.0:
            raise RooflineError(f"{option} {limit:g}: must be 0 or more")


def demand(result: Mapping[str, Any], max_median: float | None, max_p90: float | None, min_cases: int = 1) -> None:
    """`CheckFailedError` naming every group of at least `min_cases` that misses a threshold, or if there is no such.

    Raises `RooflineError` for a threshold that is none, as `check_thresholds` does.
    """
    check_thresholds(max_median, max_p90)
    groups = [group for group in result["summary"] if group["cases"] >= min_cases]
    failed = [text for group in groups for text in _missed(group, max_median, max_p90)]
    if not result["summary"]:
        failed = ["no case could be predicted"]
    elif not groups:
        failed = [f"no group has {min_cases:,} cases"]
    if failed:
        raise CheckFailedError("accuracy: " + "; ".join(failed))


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that one kind of error of a group may be: its key in summaries, what it is called, the share."""

    key: str
    name: str
    most: float


def limits(max_median: float | None, max_p90: float | None) -> list[Limit]:
    """The limits that are given."""
    known = (("median_absolute_error", "median", max_median), ("p90_absolute_error", "90th percentile", max_p90))
    return [Limit(key, name, most) for key, name, most in known if most is not None]


def _missed(group: Row, max_median: float | None, max_p90: float | None) -> Iterator[str]:
    for limit in limits(max_median, max_p90):
        if group[limit.key] > limit.most:
            yield f"{group['group']}: {limit.name} {group[limit.key]:.1%} is above {limit.most:.1%}"
