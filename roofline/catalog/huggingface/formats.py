"""The format that a checkpoint's weights are stored in, and the parts that a narrow one applies to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from roofline.catalog.huggingface.config import Config
from roofline.workload import DTYPES
from roofline.workload.model import Quantised

# PyTorch's names, and those of safetensors.
STORED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("bfloat16", "BF16"), "bf16"),
        **dict.fromkeys(("float16", "half", "F16"), "fp16"),
        **dict.fromkeys(("float32", "float", "F32"), "fp32"),
        **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "F8_E4M3", "F8_E5M2"), "fp8"),
    }
)
# `quant_algo` of NVIDIA's Model Optimizer.
MODELOPT: Mapping[str, str] = MappingProxyType(
    {"FP8": "fp8", "NVFP4": "nvfp4", "W4A16_AWQ": "int4-g128", "W4A8_AWQ": "int4-g128", "INT4_AWQ": "int4-g128",
     "INT8_SQ": "int8", "W8A8_SQ_PER_CHANNEL": "int8", "FP8_PB_WO": "fp8-block", "MXFP4": "mxfp4", "MXFP8": "mxfp8"}
)  # fmt: skip
# `data type, bits, values of a group` of compressed-tensors; without groups 0.
GROUPS: Mapping[tuple[str, int, int], str] = MappingProxyType(
    {
        ("float", 8, 0): "fp8",
        ("float", 8, 32): "mxfp8",
        ("float", 4, 16): "nvfp4",
        ("float", 4, 32): "mxfp4",
        ("int", 8, 0): "int8",
        ("int", 4, 32): "int4-g32",
        ("int", 4, 64): "int4-g32",
        ("int", 4, 128): "int4-g128",
        ("int", 4, 0): "int4",
    }
)
ATTENTION_WORDS = ("attn", "attention", "mixer")


@dataclass(frozen=True, slots=True)
class Stored:
    """What weights are stored in; `dtype` is empty where nobody says so."""

    dtype: str = ""
    quantised: Quantised = "all"
    rest: str = ""
    notes: tuple[str, ...] = ()


def stored(config: Config, routed: bool) -> Stored:
    """The format of a configuration's weights; `routed` if some of its layers have experts."""
    wide = STORED.get(config.text("dtype") or config.text("torch_dtype"), "")
    if not config.has("quantization_config"):
        notes = () if wide else ("The configuration states no format of the weights.",)
        return Stored(wide, notes=notes)
    about = config.part("quantization_config")
    dtype = _expert_format(config) or _format(about)
    if not dtype:
        known = about.text("quant_method") or about.text("quant_algo") or "no method"
        return Stored(wide, notes=(f"The checkpoint is quantised ({known}) in a way that is not read here.",))
    part: Quantised = "experts" if routed and (config.has("expert_dtype") or _spares_attention(about)) else "all"
    rest = _format(about) if config.has("expert_dtype") else ""
    return Stored(dtype, part, rest if rest != dtype else "", tuple(_notes(about, dtype, part)))


def _expert_format(config: Config) -> str:
    """The format that experts alone are stored in (DeepSeek-V4): four bits with one scale for 32 values."""
    return {"fp4": "mxfp4"}.get(config.text("expert_dtype"), "") if config.has("expert_dtype") else ""


def _format(about: Config) -> str:
    method = about.text("quant_method")
    if method in ("gptq", "awq", "auto-round"):
        return GROUPS.get(("int", about.count("bits", default=4), _group(about)), "")
    if method == "bitsandbytes":
        return "nf4" if about.flag("load_in_4bit") else "int8" if about.flag("load_in_8bit") else ""
    if about.has("quant_algo"):
        return MODELOPT.get(about.text("quant_algo"), "")
    if about.has("config_groups"):
        return _grouped(about.part("config_groups"))
    if method in ("fp8", "fbgemm_fp8"):
        return "fp8-block" if about.has("weight_block_size") else "fp8"
    return method if method in DTYPES else ""


def _group(about: Config) -> int:
    """Values that share a scale; 0 for a whole row (-1)."""
    return about.count("group_size", default=0, least=0) if about.data.get("group_size") != -1 else 0


def _grouped(groups: Config) -> str:
    """The one format that all groups of layers share; empty if they differ."""
    found = set()
    for name in groups.data:
        weights = groups.part(name).part("weights") if isinstance(groups.data[name], Mapping) else None
        if weights is None or not weights.has("num_bits"):
            return ""
        wanted = (weights.text("type", "int"), weights.count("num_bits"), _group(weights))
        blocked = weights.text("strategy") == "block"
        found.add("fp8-block" if blocked and wanted[:2] == ("float", 8) else GROUPS.get(wanted, ""))
    return found.pop() if len(found) == 1 else ""


def _spares_attention(about: Config) -> bool:
    """Whether the modules that stay wide are those of attention in general."""
    return any(word in name for name in _spared(about) for word in ATTENTION_WORDS if "*" in name)


def _spared(about: Config) -> Iterator[str]:
    for key in ("ignore", "exclude_modules", "modules_to_not_convert"):
        listed: Any = about.data.get(key)
        yield from (name for name in (listed if isinstance(listed, list) else ()) if isinstance(name, str))


def _notes(about: Config, dtype: str, part: Quantised) -> Iterator[str]:
    if dtype == "fp8-block":
        yield "Weights are FP8 in blocks of 128 x 128."
    if part == "experts":
        yield f"Only the routed experts are {dtype}."
    elif any(True for _ in _spared(about)) and dtype not in ("fp8-block",):
        yield "Some modules of the checkpoint stay wide: quantization_config names them."
