"""A model of Hugging Face as a model file: read, checked against the checkpoint beside it, and written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from roofline import __version__
from roofline.catalog.huggingface import checkpoint
from roofline.catalog.huggingface.checkpoint import Checkpoint
from roofline.catalog.huggingface.config import Config, read
from roofline.catalog.huggingface.model import CONFIG, Imported, Origin, imported, quantised_beside
from roofline.catalog.store import KINDS, Catalog, real
from roofline.errors import RooflineError
from roofline.studies.importing import hub
from roofline.studies.importing.writing import put
from roofline.workload import Model
from roofline.workload.dtype import bytes_of

IMPORT_SCHEMA = "roofline.import/1"
CLOSE = 0.005  # share by which a checkpoint may differ from the shape: small tensors that models leave out
CACHE = "bf16"  # the format in which a token's cache is told


def import_model(
    place: str, catalog: Catalog, *, name: str | None = None, out: str | None = None, save: bool = True
) -> dict[str, Any]:
    """A model file made of a `config.json` (a file, a folder that holds it, or ORG/NAME of the hub), as the contract
    has it. It is called `name`, or else as the repository or folder is, and written to `out` or `NAME.yaml`, unless
    nothing is to be saved."""
    path, repository = _found(place)
    config = read(path)
    quantised_beside(config, path.parent)
    called = repository or _called(config, path)
    origin = Origin(_id(name or called), name or called, _title(repository, called, path), *_seen(repository))
    found = imported(config, path, origin)
    held = checkpoint.found(path.parent, found.model.layers, found.model.tied_embeddings, found.model.dtype)
    target = Path(out) if out else Path(f"{origin.id}.yaml")
    written = put(target, found.text, over=out is not None) if save else None
    return _result(place, found, held, _same(found.model, catalog), written)


def _found(place: str) -> tuple[Path, str]:
    """The configuration's file, and the name of the repository that it was fetched from."""
    path = Path(place)
    if os.path.isdir(path):
        path = path / CONFIG
        if not os.path.isfile(path):
            raise RooflineError(f"{place}: holds no {CONFIG}")
        return path, ""
    if os.path.exists(path):
        return path, ""
    if not hub.is_name(place):
        raise RooflineError(f"{place}: no such file or folder, nor the ORG/NAME of a repository")
    return hub.fetched(place), place


def _called(config: Config, path: Path) -> str:
    """What a configuration is called: as it says itself, or as its folder or file."""
    stated = config.data.get("_name_or_path")
    if isinstance(stated, str) and hub.is_name(stated):
        return stated
    stem = real(path).parent.name if path.name == CONFIG else re.sub(r"[_-]?config$", "", path.stem)
    return stem.replace("--", "/")


def _id(name: str) -> str:
    """An id of a name: what stands behind its last slash, in small letters.

    >>> _id("Qwen/Qwen3-8B"), _id("My Model (v2)")
    ('qwen3-8b', 'my-model-v2')
    """
    found = re.sub(r"[^a-z0-9.+-]+", "-", name.rpartition("/")[2].lower()).strip("-.+")[:64]
    if not found:
        raise RooflineError(f"{name!r} makes no id; give one with --id, e.g. --id our-model")
    return found


def _title(repository: str, called: str, path: Path) -> str:
    return f"{CONFIG} of {repository or called}" + ("" if repository else f" (file {path.name})")


def _seen(repository: str) -> tuple[str, str]:
    """Address and day of reading."""
    return (hub.url(repository) if repository else "", date.today().isoformat())


def _same(model: Model, catalog: Catalog) -> list[str]:
    """Models of the catalogue that have the same shape."""
    names = sorted(catalog.files(KINDS["model"]))
    return [name for name in names if _shape(catalog.model(name)) == _shape(model)]


def _shape(model: Model) -> tuple[Any, ...]:
    blocks = frozenset(model.blocks)
    return (model.hidden, model.vocab, blocks, model.tied_embeddings, model.learned_positions, model.norm_bias)


def _result(
    place: str, found: Imported, held: Checkpoint | None, same: list[str], written: Path | None
) -> dict[str, Any]:  # fmt: skip
    model = found.model
    about = {
        "id": model.id,
        "architecture": found.architecture,
        "layers": model.layers,
        "hidden": model.hidden,
        "vocab": model.vocab,
        "max_context": model.max_context or None,
        "dtype": model.dtype,
        "quantised": model.quantised,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "kv_cache_bytes_per_token": model.cache_values_per_token * bytes_of(CACHE),
    }
    return {
        "schema": IMPORT_SCHEMA,
        "version": __version__,
        "kind": "model",
        "from": place,
        "written": str(written) if written else None,
        "rows": [about],
        "checkpoint": _compared(held, model) if held else None,
        "same_shape": same,
        "notes": list(found.notes),
        "text": found.text,
    }


def _compared(held: Checkpoint, model: Model) -> dict[str, Any]:
    """A checkpoint beside the shape; `agrees` is null where its parameters can't be counted."""
    counted = held.parameters
    difference = counted / model.parameters - 1.0 if counted else None
    return {
        "path": held.path,
        "exact": held.exact,
        "parameters": counted,
        "parameters_beside": held.beside,
        "difference": difference,
        "agrees": None if difference is None else abs(difference) <= CLOSE,
        "why": held.why,
    }


def disagreement(result: Mapping[str, Any]) -> str:
    """What a checkpoint says otherwise than the shape; empty if nothing."""
    held = result["checkpoint"]
    if not held or held["agrees"] is not False:
        return ""
    more = f" ({held['why']})" if held["why"] else ""
    return (
        f"{held['path']}: {held['parameters']:,.0f} parameters, the shape has {result['rows'][0]['parameters']:,.0f} "
        f"({held['difference']:+.1%}){more}"
    )
