"""The assumptions behind costs: laid over a deployment, and told one by one with their sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from roofline import units
from roofline.engine.deployment import Deployment
from roofline.machine import Economics
from roofline.numeric import Num

# Path of each assumption, the field that holds it, its dimension, and what it is called.
_LISTED = (
    ("electricity", "electricity", "USD/J", "electricity"),
    ("pue", "pue", "", "PUE"),
    ("hosting", "hosting", "USD/W/s", "hosting"),
    ("amortisation", "amortisation", "s", "written off over"),
    ("residual", "residual", "1", "worth then"),
    ("interest", "interest", "/year", "interest"),
    ("maintenance", "maintenance", "/year", "maintenance"),
    ("server", "server", "", "servers over their chips' price"),
    ("network", "network", "", "network beside servers"),
    ("utilization", "owned", "1", "use of owned hardware"),
    ("rented_utilization", "rented", "1", "use of rented hardware"),
    ("user", "requests", "", "requests of a user in a month"),
    ("people", "people", "USD/h", "people for each chip"),
)


def under(deployment: Deployment, economics: Economics) -> Deployment:
    """A deployment with these assumptions, and the prices in them before those of its chip's file."""
    chip = deployment.chip
    stated = {
        f"price.{path.rsplit('.', 1)[1]}": source
        for path, source in economics.sources.items()
        if path.startswith(f"prices.{chip.id}.")
    }
    priced = replace(
        chip, price=economics.price(chip.id, chip.price), sources={**chip.sources, **stated} if stated else chip.sources
    )
    return replace(deployment, chip=priced, economics=economics)


def told(economics: Economics) -> list[dict[str, Any]]:
    """Every assumption: path, name, SI value and unit, text for people, title and day of its source."""
    return list(_told(economics))


def _told(economics: Economics) -> Iterator[dict[str, Any]]:
    for path, field, dimension, name in _LISTED:
        value: Num | None = getattr(economics, field)
        if value is None:
            continue
        yield _item(path, name, value, dimension, economics)
    for kind, verb in (("input", "read"), ("cached", "read from a cache"), ("output", "written")):
        price = getattr(economics.tokens, kind, None)
        if price is not None:
            yield _item("tokens", f"price of tokens {verb}", price, "USD/token", economics)


def _item(path: str, name: str, value: Num, dimension: str, economics: Economics) -> dict[str, Any]:
    """One assumption, with what stands behind it."""
    source = economics.sources.get(path)
    return {
        "key": path,
        "name": name,
        "value": float(value),
        "unit": "USD/s" if dimension == "USD/h" else dimension,
        "text": text(float(value), dimension),
        "source": source.title if source else None,
        "date": (source.date or None) if source else None,
    }


def text(value: float, dimension: str) -> str:
    """A value as people say it."""
    if dimension == "s":
        return f"{value / units.YEAR:.3g} years"
    if dimension == "USD/h":
        return f"{value * units.HOUR:.3g} USD/h"
    return units.show(value, dimension, 4) if dimension else f"{value:.4g}"
