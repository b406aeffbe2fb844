"""Knobs of what costs rest on: every assumption of the economics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from roofline.machine import Economics
from roofline.numeric import Num
from roofline.studies.knobs.knob import Case, Knob, Turn, known
from roofline.units import HOUR

# Key in the file of assumptions, field, unit, least, most.
LISTED = (
    ("electricity", "electricity", "USD/J", 0.0, float("inf")),
    ("pue", "pue", "", 1.0, float("inf")),
    ("hosting", "hosting", "USD/W/s", 0.0, float("inf")),
    ("amortisation", "amortisation", "s", 0.0, float("inf")),
    ("residual", "residual", "1", 0.0, 0.99),
    ("interest", "interest", "/year", 0.0, float("inf")),
    ("maintenance", "maintenance", "/year", 0.0, float("inf")),
    ("server", "server", "", 1.0, float("inf")),
    ("network", "network", "", 1.0, float("inf")),
    ("people", "people", "USD/h", 0.0, float("inf")),
    ("utilization", "owned", "1", 0.0, 1.0),
    ("rented_utilization", "rented", "1", 0.0, 1.0),
    ("user.requests", "requests", "", 0.0, float("inf")),
)

OPTIONAL = ("electricity", "hosting", "residual", "interest", "maintenance", "people")
PER: Mapping[str, float] = MappingProxyType({"people": HOUR})  # the unit of a key over that of its field


def knobs(case: Case) -> Iterator[Knob]:
    """All of them; none where nothing is assumed."""
    economics = case.deployment.economics
    if economics is None:
        return
    for key, field, unit, least, most in LISTED:
        for name, value in known([(field, getattr(economics, field))]):
            optional = key in OPTIONAL
            over = PER.get(key, 1.0)
            yield Knob(
                key, unit, value * over, _field(name, over), least=least, most=most, shared=True, optional=optional
            )


def _field(name: str, over: float) -> Turn:
    def turn(case: Case, value: Num) -> Case:
        where = case.deployment
        told: dict[str, Any] = {name: value / over}
        economics = replace(cast("Economics", where.economics), **told)
        return Case(case.job, replace(where, economics=economics))

    return turn
