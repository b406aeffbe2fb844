"""Who wins: deployments by what they make of each phase, and which phase each of them suits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Any

from roofline.engine.throughput import PHASES

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """What a deployment makes of something, more of which is better, and where nine of ten measurements lie."""

    value: float
    low: float | None
    high: float | None

    def over(self, other: float | None) -> Made | None:
        """The same for each of something else; None where nobody knows of how much."""
        if not other:
            return None
        low, high = (None if edge is None else edge / other for edge in (self.low, self.high))
        return Made(self.value / other, low, high)


def _of(row: Row, name: str) -> Made:
    rate = row["rate"]
    return Made(rate[name], rate[f"{name}_low"], rate[f"{name}_high"])


def _per_chip(row: Row) -> Made | None:
    return _of(row, "tokens_per_s_per_chip")


def _per_usd(row: Row) -> Made | None:
    cost, rate = row["spending"]["usd_per_million_tokens"], row["rate"]["tokens_per_s"]
    return _of(row, "tokens_per_s").over(None if cost is None else cost * rate / 1e6)


def _per_joule(row: Row) -> Made | None:
    return _of(row, "tokens_per_s").over(row["spending"]["power_w"])


def _per_user(row: Row) -> Made | None:
    """Tokens per second of each user, who waits for those of others, too."""
    waiting = row["waiting"]
    if not waiting["tpot_s"]:
        return None
    low, high = (1.0 / waiting[edge] if waiting[edge] else None for edge in ("tpot_s_high", "tpot_s_low"))
    return Made(1.0 / waiting["tpot_s"], low, high)


CHIP, USD, JOULE, USER = "chip", "usd", "joule", "user"
MEASURES: Mapping[str, Callable[[Row], Made | None]] = MappingProxyType(
    {CHIP: _per_chip, USD: _per_usd, JOULE: _per_joule, USER: _per_user}
)
SUITING = (CHIP, USER)  # measures by which a deployment suits a phase: they need neither rent nor power


def rankings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each phase and measure the deployments that fit, the best first, where it is known of two at least."""
    found = []
    for phase in PHASES:
        for per in MEASURES:
            entries = sorted(_entries(rows, phase, per), key=lambda entry: -entry["value"])
            if len(entries) > 1:
                found.append({"phase": phase, "per": per, "entries": entries, **_verdict(entries)})
    return found


def _entries(rows: Sequence[Row], phase: str, per: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        made = MEASURES[per](row) if row["phase"] == phase and row["fits"] else None
        if made is not None:
            label = row["deployment"]["label"]
            yield {"name": row["name"], "label": label, "value": made.value, "low": made.low, "high": made.high}


def _verdict(entries: Sequence[Row]) -> dict[str, Any]:
    """By how much the first leads the second, within which limits, and who can't be told from it: those whose intervals
    overlap its own, or where one of both is not known."""
    first, second, *_ = entries
    known = None not in (first["low"], first["high"], second["low"], second["high"])
    return {
        "lead": first["value"] / second["value"] - 1.0,
        "lead_low": first["low"] / second["high"] - 1.0 if known else None,
        "lead_high": first["high"] / second["low"] - 1.0 if known else None,
        "alike": [entry["label"] for entry in entries[1:] if not _apart(first, entry)],
    }


def _apart(one: Row, other: Row) -> bool:
    """Whether two intervals are known and share nothing."""
    return one["low"] is not None and other["high"] is not None and one["low"] > other["high"]


def suits(rows: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """Which phase each deployment suits: where its rate of a chip, or of a user, is highest beside the median of all
    that are compared; alone, where it comes nearest to one of its roofs.

    The basis of the best one is "chip", "user" or "roof"; `scores` are the figures of all.
    """
    medians = {(item["phase"], item["per"]): median(entry["value"] for entry in item["entries"])
               for item in rankings(rows) if item["per"] in SUITING}  # fmt: skip
    told = []
    for name in dict.fromkeys(names):
        own = [row for row in rows if row["name"] == name and row["fits"]]
        scores = list(_beside(own, medians)) or list(_near(own))
        best = max(scores, key=lambda score: score["value"], default=None)
        told.append({"name": name, **(best or {"phase": None, "per": None, "value": None}), "scores": scores})
    return told


def _beside(rows: Sequence[Row], medians: Mapping[tuple[str, str], float]) -> Iterator[dict[str, Any]]:
    """What a deployment makes of each phase over the median of all."""
    for (phase, per), middle in medians.items():
        for entry in _entries(rows, phase, per):
            yield {"phase": phase, "per": per, "value": entry["value"] / middle}


def _near(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """How much of a roof a deployment attains in each phase, of the one that it is nearer to."""
    for row in rows:
        reached = [row["intensity"][name] for name in ("mfu", "mbu") if row["intensity"][name] is not None]
        if reached:
            yield {"phase": row["phase"], "per": "roof", "value": max(reached)}
