"""Where the numbers that went into predictions come from: chip, software and model, number by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from roofline.engine.deployment import Deployment
from roofline.machine import Chip
from roofline.source import Source
from roofline.studies.show.entry import FIELDS, nearest
from roofline.workload import Model


def sources(model: Model, deployments: Iterable[Deployment]) -> dict[str, Any]:
    """The contract's "sources": every source once for each chip, stack and model that cites it, with the numbers that
    are from there, as words (`roofline show` says the same of one entry). What no source is stated for is told under
    a title of None."""
    found: dict[tuple[str, str], dict[Source | None, dict[str, str]]] = {}
    for kind, built, cited in _entries(model, deployments):
        by_source = found.setdefault((kind, built.id), {})
        for key, value in FIELDS[kind](built):
            if value is not None:
                by_source.setdefault(nearest(key, cited), {})[key] = value
    told = [
        {
            "kind": kind,
            "of": name,
            "title": source.title if source else None,
            "url": (source.url or None) if source else None,
            "date": (source.date or None) if source else None,
            "numbers": [{"key": key, "value": value} for key, value in numbers.items()],
        }
        for (kind, name), by_source in found.items()
        for source, numbers in by_source.items()
    ]
    return {"sources": told}


def _entries(model: Model, deployments: Iterable[Deployment]) -> Iterator[tuple[str, Any, Mapping[str, Source]]]:
    """What went in: its kind, itself, and its sources by the paths of its numbers."""
    every = list(deployments)
    yield from (("chip", item.chip, item.chip.sources) for item in every)
    yield from (("stack", item.stack, _of_variant(item.stack.sources, item.chip)) for item in every)
    yield "model", model, model.sources


def _of_variant(cited: Mapping[str, Source], chip: Chip) -> dict[str, Source]:
    """The sources of a stack on a chip: what is stated for the chip itself, else for its family, its kind, or any."""
    places = [f"variants.{place}." for place in (chip.kind, chip.family, chip.id)]
    own = {path: source for path, source in cited.items() if not path.startswith("variants.")}
    for place in places:
        own |= {path.removeprefix(place): source for path, source in cited.items() if path.startswith(place)}
    return own
