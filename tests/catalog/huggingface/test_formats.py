"""The formats that checkpoints are stored in, as configurations say them."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.formats import stored


def found(routed: bool = False, **keys: Any) -> tuple[str, str]:
    kept = stored(Config(keys), routed)
    return kept.dtype, kept.quantised


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("bfloat16", "bf16"), ("float16", "fp16"), ("float32", "fp32"), ("float8_e4m3fn", "fp8")],
)
def test_plain_formats(name: str, dtype: str) -> None:
    assert found(torch_dtype=name) == found(dtype=name) == (dtype, "all")


def test_what_nobody_says_is_said() -> None:
    kept = stored(Config({}), routed=False)
    assert (kept.dtype, kept.notes) == ("", ("The configuration states no format of the weights.",))


def group(bits: int, kind: str, size: int | None, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "group_size": size, **more}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}


@pytest.mark.parametrize(
    ("about", "dtype"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4-g128"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4-g32"),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "int4"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_algo": "FP8"}, "fp8"),
        (group(4, "int", 32), "int4-g32"),
        (group(8, "float", None), "fp8"),
        (group(8, "float", None, strategy="block"), "fp8-block"),
        (group(4, "float", 16), "nvfp4"),
        (group(4, "float", 32), "mxfp4"),
    ],
)
def test_quantised_formats(about: dict[str, Any], dtype: str) -> None:
    assert found(torch_dtype="bfloat16", quantization_config=about) == (dtype, "all")


@pytest.mark.parametrize(
    "about",
    [
        {"quant_method": "gptq", "bits": 3, "group_size": 128},
        {"quant_method": "aqlm"},
        {"quant_algo": "MIXED_PRECISION"},
        {"quant_method": "bitsandbytes"},
        {"config_groups": {"a": {"weights": {"num_bits": 4, "type": "int"}}, "b": {"weights": {"num_bits": 8}}}},
        {"config_groups": {"a": None}},
    ],
)
def test_a_format_that_is_not_known_is_told_and_not_guessed(about: dict[str, Any]) -> None:
    kept = stored(Config({"torch_dtype": "bfloat16", "quantization_config": about}), routed=False)
    assert kept.dtype == "bf16"
    assert "in a way that is not read here" in kept.notes[0]


def test_a_format_may_apply_to_experts_alone() -> None:
    about = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    assert found(routed=True, quantization_config=about) == ("mxfp4", "experts")
    assert found(routed=False, quantization_config=about) == ("mxfp4", "all")
    one = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.0.self_attn", "lm_head"]}
    assert found(routed=True, quantization_config=one) == ("mxfp4", "all")
    fp4 = {"expert_dtype": "fp4", "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    assert found(routed=True, **fp4) == ("mxfp4", "experts")
    assert stored(Config(fp4), routed=True).rest == "fp8-block"
    assert stored(Config({"quantization_config": about}), routed=True).rest == ""
