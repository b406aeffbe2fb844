"""A configuration as a model file of the catalogue."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roofline.catalog import document, reading
from roofline.catalog.faults import explain
from roofline.catalog.huggingface.config import MAX_BYTES, Config, decoder_of, findings
from roofline.catalog.huggingface.decoder import Decoder
from roofline.catalog.huggingface.families import family
from roofline.catalog.huggingface.formats import Stored, stored
from roofline.catalog.rules import check
from roofline.catalog.specs.model import ModelSpec
from roofline.errors import SpecError
from roofline.workload import (
    MLA,
    Attention,
    Block,
    CompressedAttention,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Mamba2,
    Model,
    MoE,
    Selection,
)

KINDS: Mapping[type, str] = {
    MLA: "mla",
    CompressedAttention: "compressed",
    Mamba1: "mamba1",
    Mamba2: "mamba2",
    GatedDeltaNet: "gated-delta-net",
    LightningAttention: "lightning",
    DenseFFN: "dense",
    MoE: "moe",
}
TEXT_ONLY = "Text decoder only."
CONFIG, QUANTISED = "config.json", "hf_quant_config.json"  # the second beside checkpoints of NVIDIA's Model Optimizer


@dataclass(frozen=True, slots=True)
class Origin:
    """What an imported model is called, and where its configuration was read."""

    id: str
    name: str
    title: str
    url: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """A configuration read: the family's name for it, the text of a model file, and the model that the text says."""

    architecture: str
    text: str
    model: Model
    notes: tuple[str, ...]


def imported(config: Config, path: Path, origin: Origin) -> Imported:
    """A configuration as a model file. `SpecError` lists every key that is missing, malformed, or not modelled."""
    inner = decoder_of(config)
    read = family(inner)
    found = read[1](inner) if read else None
    routed = found is not None and any(isinstance(layer.ffn, MoE) for layer in found.layers)
    kept = stored(inner, routed)
    if config.faults or found is None or read is None:
        raise SpecError(findings(path, config.faults))
    notes = ((TEXT_ONLY,) if inner is not config else ()) + found.notes + kept.notes
    text = "".join(f"{line}\n" for line in _lines(found, kept, notes, origin))
    parsed = document.parse(text, str(path))
    try:
        spec = ModelSpec.model_validate(parsed.data)
    except ValidationError as error:
        raise SpecError(explain(error, parsed, ModelSpec)) from None
    wrong = [finding for finding in check(spec, parsed) if finding.severity == "error"]
    if wrong:
        raise SpecError(wrong)
    return Imported(read[0], text, spec.build(), notes)


def quantised_beside(config: Config, folder: Path) -> None:
    """Add what a file beside the configuration says of the weights' format, where the configuration is silent."""
    path = folder / QUANTISED
    if config.has("quantization_config") or not os.path.isfile(path):
        return
    stated = reading.json_file(path, MAX_BYTES).get("quantization")
    if isinstance(stated, dict):
        config.data = {**config.data, "quantization_config": stated}


def _lines(found: Decoder, kept: Stored, notes: tuple[str, ...], origin: Origin) -> Iterator[str]:
    """The file, as those of the catalogue are written."""
    yield "format: 1"
    yield f"id: {origin.id}"
    yield f"name: {quoted(origin.name)}"
    if notes:
        yield f"note: {quoted(' '.join(notes))}"
    yield "source: config"
    yield ""
    yield f"hidden: {found.hidden}"
    yield f"vocab: {found.vocab}"
    about: dict[str, object] = {
        "tied_embeddings": found.tied,
        "max_context": found.context,
        "dtype": kept.dtype,
        "quantised": kept.quantised if kept.quantised != "all" else "",
        "rest": kept.rest if kept.quantised != "all" else "",
        "norm_bias": found.norm_bias,
        "learned_positions": found.positions,
    }
    yield from (f"{key}: {_scalar(value)}" for key, value in about.items() if value)
    yield ""
    yield "blocks:"
    for group in found.blocks:
        yield from _block(group)
    yield ""
    yield "sources:"
    where = f", url: {quoted(origin.url)}" if origin.url else ""
    when = f", date: {quoted(origin.date)}" if origin.date else ""
    yield f"  config: {{title: {quoted(origin.title)}{where}{when}}}"


def _block(group: Block) -> Iterator[str]:
    yield f"  - count: {group.count}"
    for key, part in (("mixer", group.mixer), ("ffn", group.ffn)):
        if part is not None:
            yield f"    {key}: {_flow(part)}"
    if group.norms != 2:
        yield f"    norms: {group.norms}"
    if group.parallel:
        yield "    parallel: true"


def _flow(part: Any) -> str:
    """One mixer, ffn or selection in braces: its kind, and every field that is not as usual."""
    kind = part.reach if isinstance(part, Attention) else KINDS.get(type(part), "")
    told = [f"kind: {kind}"] if kind else []
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name != "reach" and (field.default is MISSING or value != field.default):
            told.append(f"{field.name}: {_flow(value) if isinstance(value, Selection) else _scalar(value)}")
    return "{" + ", ".join(told) + "}"


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def quoted(text: str) -> str:
    """Text in double quotes, as YAML and JSON have it; what can't be printed becomes a question mark."""
    plain = re.sub(r"[^\x20-\x7e\u00a0-\u1fff\u2010-\u2027\u2030-\u205f\u2070-\ud7ff]", "?", text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
