"""One entry of the catalogue, whatever its kind: each number with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from roofline import __version__
from roofline.catalog import document
from roofline.catalog.specs.common import join_sources
from roofline.catalog.store import KINDS, Catalog, is_path
from roofline.errors import UnknownNameError
from roofline.source import Source
from roofline.studies.show import hardware, money, software, work
from roofline.studies.show.listing import GROUPS
from roofline.studies.words import Fields

SCHEMA = "roofline.entry/1"
FIELDS: Mapping[str, Callable[[Any], Fields]] = MappingProxyType(
    {
        "chip": hardware.chip_fields,
        "system": hardware.system_fields,
        "model": work.model_fields,
        "stack": software.stack_fields,
        "family": hardware.family_fields,
        "serving": work.job_fields,
        "scenario": work.scenario_fields,
        "training": work.job_fields,
        "economics": money.economics_fields,
        "need": money.need_fields,
    }
)


def entry(name: str, catalog: Catalog) -> dict[str, Any]:
    """One entry, whatever its kind: each number with its source, and the list of sources."""
    kind, path = _locate(name, catalog)
    spec = catalog.spec(kind, str(path))
    built = _built(kind, str(path), catalog)
    sources: Mapping[str, Source] = getattr(built, "sources", {})
    fields = [
        {"key": key, "value": value, "source": _cited(nearest(key, sources))}
        for key, value in FIELDS[kind](built)
        if value is not None
    ]
    return {
        "schema": SCHEMA,
        "version": __version__,
        "kind": kind,
        "id": spec.id,
        "name": spec.name,
        "aliases": list(spec.aliases),
        "note": spec.note or None,
        "path": str(path),
        "origin": catalog.origin(path),
        "over": _over(kind, path, catalog),
        "fields": fields,
        "conflicts": [
            {
                "of": item.of,
                "value": item.value,
                "why": item.why,
                "source": join_sources(item.source, spec.sources).title,
            }
            for item in getattr(spec, "conflicts", ())
        ],
        "sources": [
            {"key": key, "title": source.title, "url": source.url or None, "date": source.date or None}
            for key, source in spec.sources.items()
        ],
    }


def _over(kind: str, path: Path, catalog: Catalog) -> list[dict[str, Any]]:
    """The files of the same name further down, which are not seen, or of which a file changes what it says."""
    below = catalog.below(KINDS[kind], path)
    extends = document.read(path).data.get("extends") == path.stem
    return [
        {"path": str(other), "origin": catalog.origin(other), "extended": extends and place == 0}
        for place, other in enumerate(below)
    ]


def _locate(name: str, catalog: Catalog) -> tuple[str, Path]:
    """Kind and file of a name of any kind."""
    if is_path(name):
        path, kind = catalog.find(tuple(KINDS), name, "entry")
        return kind, path
    for kind in KINDS:
        try:
            return kind, catalog.find((kind,), name, kind)[0]
        except UnknownNameError:
            continue
    known = [*GROUPS, *(stem for kind in KINDS.values() for stem in catalog.files(kind))]
    raise UnknownNameError("entry", name, known, "'roofline show' lists all")


def _built(kind: str, name: str, catalog: Catalog) -> Any:
    loaders: dict[str, Callable[[str], Any]] = {
        "chip": catalog.chip,
        "system": catalog.system,
        "model": catalog.model,
        "stack": catalog.stack,
        "family": catalog.family,
        "economics": catalog.economics,
        "scenario": catalog.scenario,
        "need": catalog.need,
    }
    return loaders.get(kind, catalog.workload)(name)


def nearest(key: str, sources: Mapping[str, Source]) -> Source | None:
    """The source of a key, or of the nearest group that encloses it."""
    parts = key.split(".")
    paths = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((sources[path] for path in paths if path in sources), None)


def _cited(source: Source | None) -> str | None:
    """A source as one line."""
    return None if source is None else source.title + (f" ({source.date})" if source.date else "")
