"""What a checkpoint in safetensors says of its parameters: the index of its files, and the header of each.

A file begins with the length of its header (8 bytes, little-endian) and the header in JSON: name, dtype and shape of
each tensor (huggingface/safetensors 0.8, format description). An index names the file of each tensor, and their bytes.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.catalog import reading
from roofline.errors import Finding, SpecError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
MAX_INDEX, MAX_HEADER = 100_000_000, 100_000_000
PACKED = ("U8", "I8", "I16", "I32", "I64", "U16", "U32", "F4")
BESIDE = re.compile(r"vision|visual|image|audio|video|multi_?modal|mm_projector|\bmtp\b|nextn|eagle", re.IGNORECASE)
BUFFERS = re.compile(r"scale|inv_freq|rotary|zero_point|masked_bias|\.attn\.bias$|activation_limit", re.IGNORECASE)
LAYER = re.compile(r"\blayers\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Parameters that a checkpoint holds for the text decoder; `beside` counts others, that see, hear or look ahead."""

    path: str
    parameters: float | None
    beside: float
    exact: bool
    why: str = ""  # why the parameters can't be counted


def found(folder: Path, layers: int, tied: bool, dtype: str) -> Checkpoint | None:
    """The checkpoint in a folder, read from the headers of its files if all are there, else from its index; None if
    there is neither. `SpecError` if one is malformed."""
    index = folder / INDEX
    if os.path.isfile(index):
        files = _files(index)
        if all(os.path.isfile(folder / name) for name in files):
            tensors = [tensor for name in files for tensor in header(folder / name).items()]
            return counted(str(index), tensors, layers, tied)
        return indexed(index, layers, dtype)
    single = folder / SINGLE
    return counted(str(single), header(single).items(), layers, tied) if os.path.isfile(single) else None


def header(path: Path) -> dict[str, Any]:
    """Tensors of one file by name, each with its dtype and shape."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, path.stat().st_size - 8):
                raise SpecError([Finding(str(path), "", "is no safetensors file: the length of its header is wrong")])
            raw = file.read(length)
    except OSError as error:
        raise SpecError([Finding(str(path), "", f"can't be read: {(error.strerror or str(error)).lower()}")]) from None
    tensors = reading.json_text(reading.decoded(raw, path), str(path))
    tensors.pop("__metadata__", None)
    for name, about in tensors.items():
        shape = about.get("shape") if isinstance(about, dict) else None
        if not _is_shape(shape) or not isinstance(about.get("dtype"), str):
            raise SpecError([Finding(str(path), name[:80], "has no dtype and shape in the header")])
    return tensors


def _is_shape(shape: object) -> bool:
    sizes = shape if isinstance(shape, list) else [-1]
    return len(sizes) <= 8 and all(type(size) is int and 0 <= size <= 10**12 for size in sizes)


def counted(path: str, tensors: Iterable[tuple[str, Mapping[str, Any]]], layers: int, tied: bool) -> Checkpoint:
    """Parameters by the shapes of tensors."""
    own = beside = 0.0
    packed = False
    for name, about in tensors:
        if BUFFERS.search(name) or (tied and name.endswith("lm_head.weight")):
            continue
        size = float(math.prod(about["shape"]))
        if _is_beside(name, layers):
            beside += size
        else:
            own += size
            packed = packed or about["dtype"] in PACKED
    if packed:
        return Checkpoint(path, None, beside, False, "several weights are packed into each stored number")
    return Checkpoint(path, own, beside, True)


def indexed(index: Path, layers: int, dtype: str) -> Checkpoint:
    """Parameters by the bytes of all files, of what is beside the decoder, too."""
    data = reading.json_file(index, MAX_INDEX)
    about = data.get("metadata")
    about = about if isinstance(about, dict) else {}
    others = any(_is_beside(str(name), layers) for name in _weights(index, data))
    told = _positive(about.get("total_parameters"))
    wide = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp8": 1.0}.get(dtype)
    total = _positive(about.get("total_size"))
    number = told or (total / wide if total and wide else None)
    if number is None:
        what = (
            "the index states no size" if not total else f"bytes of {dtype or 'an unknown format'} do not tell how many"
        )
        return Checkpoint(str(index), None, 0.0, False, what)
    if others:
        return Checkpoint(str(index), number, 0.0, False, "the index counts what sees, hears or looks ahead, too")
    return Checkpoint(str(index), number, 0.0, False)


def _positive(value: object) -> float | None:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e18
    return float(value) if whole else None  # type: ignore[arg-type]


def _weights(index: Path, data: Mapping[str, Any]) -> Mapping[str, Any]:
    found = data.get("weight_map")
    if not isinstance(found, dict):
        raise SpecError([Finding(str(index), "weight_map", "missing")])
    return found


def _files(index: Path) -> list[str]:
    """Files of an index, each in its own folder: a name that leads elsewhere is refused."""
    names = sorted({str(name) for name in _weights(index, reading.json_file(index, MAX_INDEX)).values()})
    strange = next((name for name in names if Path(name).name != name or not name.endswith(".safetensors")), None)
    if strange is not None:
        raise SpecError([Finding(str(index), "weight_map", f"{strange[:80]!r} is no file of this folder")])
    return names


def _is_beside(name: str, layers: int) -> bool:
    """Whether a tensor is of something other than the decoder: an encoder, or a layer beyond the last (one that looks
    ahead)."""
    place = LAYER.search(name)
    return bool(BESIDE.search(name)) or (place is not None and len(place[1]) < 9 and int(place[1]) >= layers)
