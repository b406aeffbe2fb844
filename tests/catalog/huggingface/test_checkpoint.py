"""Parameters that checkpoints hold, read from the headers of their files or from their index."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from roofline.catalog.huggingface.checkpoint import INDEX, SINGLE, found, header
from roofline.errors import SpecError

SHAPES = {
    "model.embed_tokens.weight": [100, 8],
    "model.layers.0.up.weight": [8, 16],
    "model.layers.1.up.weight": [8, 16],
}
OWN = float(sum(math.prod(shape) for shape in SHAPES.values()))


def save(path: Path, shapes: dict[str, list[int]], dtype: str = "BF16", **more: Any) -> None:
    """A file with that header and no values behind it."""
    tensors = {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **tensors, **more}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def index(folder: Path, files: dict[str, str], **metadata: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": metadata, "weight_map": files}), encoding="utf-8")


def test_nothing_beside_is_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, 2, False, "bf16") is None


def test_one_file_is_counted_from_its_header(tmp_path: Path) -> None:
    save(tmp_path / SINGLE, SHAPES)
    held = found(tmp_path, 2, False, "bf16")
    assert held is not None
    assert (held.parameters, held.beside, held.exact) == (OWN, 0.0, True)


def test_all_files_of_an_index_are_counted(tmp_path: Path) -> None:
    names = list(SHAPES)
    save(tmp_path / "a.safetensors", {names[0]: SHAPES[names[0]]})
    save(tmp_path / "b.safetensors", {name: SHAPES[name] for name in names[1:]})
    index(tmp_path, {names[0]: "a.safetensors", names[1]: "b.safetensors", names[2]: "b.safetensors"}, total_size=9)
    held = found(tmp_path, 2, False, "bf16")
    assert held is not None
    assert (held.parameters, held.exact) == (OWN, True)


@pytest.mark.parametrize(("dtype", "wide"), [("bf16", 2), ("fp16", 2), ("fp32", 4), ("fp8", 1)])
def test_an_index_alone_tells_by_bytes(tmp_path: Path, dtype: str, wide: int) -> None:
    index(tmp_path, dict.fromkeys(SHAPES, "a.safetensors"), total_size=OWN * wide)
    held = found(tmp_path, 2, False, dtype)
    assert held is not None
    assert (held.parameters, held.exact, held.why) == (OWN, False, "")


def test_an_index_may_state_its_parameters(tmp_path: Path) -> None:
    index(tmp_path, dict.fromkeys(SHAPES, "a.safetensors"), total_size=1, total_parameters=OWN)
    held = found(tmp_path, 2, False, "int4-g128")
    assert held is not None
    assert held.parameters == OWN


@pytest.mark.parametrize(
    ("metadata", "dtype", "why"),
    [
        ({}, "bf16", "the index states no size"),
        ({"total_size": "many"}, "bf16", "the index states no size"),
        ({"total_size": 100}, "int4-g128", "bytes of int4-g128 do not tell how many"),
        ({"total_size": 100}, "", "bytes of an unknown format do not tell how many"),
    ],
)
def test_what_can_t_be_counted_is_told(tmp_path: Path, metadata: dict[str, Any], dtype: str, why: str) -> None:
    index(tmp_path, dict.fromkeys(SHAPES, "a.safetensors"), **metadata)
    held = found(tmp_path, 2, False, dtype)
    assert held is not None
    assert (held.parameters, held.why) == (None, why)


def test_what_sees_or_looks_ahead_is_counted_apart(tmp_path: Path) -> None:
    others = {"visual.blocks.0.weight": [7, 3], "model.layers.2.up.weight": [5, 2], "mtp.head.weight": [4, 4]}
    save(tmp_path / SINGLE, {**SHAPES, **others})
    held = found(tmp_path, 2, False, "bf16")
    assert held is not None
    assert (held.parameters, held.beside) == (OWN, 21 + 10 + 16)
    (tmp_path / SINGLE).unlink()
    index(tmp_path, dict.fromkeys({**SHAPES, **others}, "a.safetensors"), total_size=OWN * 2)
    listed = found(tmp_path, 2, False, "bf16")
    assert listed is not None
    assert listed.why == "the index counts what sees, hears or looks ahead, too"


def test_scales_buffers_and_a_second_copy_of_a_tied_table_do_not_count(tmp_path: Path) -> None:
    more = {"model.layers.0.up.weight_scale_inv": [3], "rotary_emb.inv_freq": [9], "lm_head.weight": [100, 8]}
    save(tmp_path / SINGLE, {**SHAPES, **more})
    tied, own = found(tmp_path, 2, True, "bf16"), found(tmp_path, 2, False, "bf16")
    assert tied is not None
    assert own is not None
    assert (tied.parameters, own.parameters) == (OWN, OWN + 800)


def test_packed_weights_are_not_counted(tmp_path: Path) -> None:
    save(tmp_path / SINGLE, SHAPES, dtype="I32")
    held = found(tmp_path, 2, False, "int4-g128")
    assert held is not None
    assert (held.parameters, held.why) == (None, "several weights are packed into each stored number")


def test_an_index_can_t_lead_out_of_its_folder(tmp_path: Path) -> None:
    index(tmp_path, {"a": "../../etc/passwd"}, total_size=1)
    with pytest.raises(SpecError, match="is no file of this folder"):
        found(tmp_path, 2, False, "bf16")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"abc",
        struct.pack("<Q", 10**15) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / SINGLE).write_bytes(raw)
    with pytest.raises(SpecError):
        header(tmp_path / SINGLE)


@pytest.mark.parametrize(
    "entry", [{}, {"dtype": "BF16"}, {"dtype": "BF16", "shape": [-1]}, {"dtype": 3, "shape": [1]}, 5]
)
def test_headers_need_a_shape_for_each_tensor(tmp_path: Path, entry: Any) -> None:
    save(tmp_path / SINGLE, SHAPES, other=entry)
    with pytest.raises(SpecError, match="has no dtype and shape"):
        header(tmp_path / SINGLE)


@pytest.mark.parametrize("text", ["[]", "{", '{"metadata": {}}', '{"weight_map": 3}'])
def test_broken_indices_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text, encoding="utf-8")
    with pytest.raises(SpecError):
        found(tmp_path, 2, False, "bf16")
