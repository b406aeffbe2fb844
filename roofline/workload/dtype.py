"""Number formats: how wide they are, and which format does the arithmetic where a chip lacks one."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

# Bits of one value as it is stored. Block formats share a scale among a block of values, which is counted in:
# fp8-block: 32 bits for a block of 128 x 128 (DeepSeek-V3); OCP MX: 8 bits for 32 values; NVFP4: 8 for 16; GPTQ and
# AWQ in groups of 128: a 16-bit scale and a 4-bit zero; compressed-tensors and MLX in groups of 32: a 16-bit scale;
# QLoRA's NF4 with double quantisation (Dettmers et al. 2023, arXiv 2305.14314, section 3): an 8-bit scale for 64 values
# and a 32-bit one for 256 of those;
# GGUF (ggml-org/llama.cpp, ggml-common.h): q4_0 and q8_0 16 bits for 32, the k-quants nested scales, `_m` files mix
# them; Tenstorrent's block floats: 8 bits for 16.
BITS: Mapping[str, float] = MappingProxyType(
    {
        "fp64": 64.0,
        "fp32": 32.0,
        "tf32": 32.0,
        "bf16": 16.0,
        "fp16": 16.0,
        "fp8": 8.0,
        "int8": 8.0,
        "fp6": 6.0,
        "fp4": 4.0,
        "int4": 4.0,
        "fp8-block": 8.002,
        "mxfp8": 8.25,
        "mxfp6": 6.25,
        "mxfp4": 4.25,
        "nvfp4": 4.5,
        "int4-g128": 4.15625,
        "int4-g32": 4.5,
        "nf4": 4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0),
        "q8_0": 8.5,
        "q5_1": 6.0,
        "q5_0": 5.5,
        "q4_1": 5.0,
        "iq4_nl": 4.5,
        "iq4_xs": 4.25,
        "q3_k": 3.4375,
        "q3_k_m": 3.91,
        "iq3_s": 3.4375,
        "iq3_xxs": 3.0625,
        "q2_k": 2.625,
        "iq2_xs": 2.3125,
        "iq2_xxs": 2.0625,
        "iq1_s": 1.5625,
        "q6_k": 6.5625,
        "q5_k": 5.5,
        "q5_k_m": 5.69,
        "q4_k": 4.5,
        "q4_k_m": 4.85,
        "q4_0": 4.5,
        "bfp8": 8.5,
        "bfp4": 4.5,
    }
)
DTYPES = tuple(BITS)

# llama.cpp's formats below eight bits; their files keep the token table and the output matrix in q6_k.
GGUF = tuple(dtype for dtype in BITS if dtype.startswith(("q", "iq")) and dtype != "q8_0")

# Bits of the token table and the output matrix, where they are narrowed with the rest; else they keep 16 or more.
OUTER_BITS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(GGUF, BITS["q6_k"]),
        "q8_0": BITS["q8_0"],
        **dict.fromkeys(("bfp8", "bfp4"), BITS["bfp8"]),
    }
)

# Values are widened, never narrowed: an 8-bit weight is dequantised and multiplied in 16 bits where 8 can't be had.
_WIDER_FP8 = ("bf16", "fp16", "tf32", "fp32")
_WIDER_FP4 = ("fp6", "fp8", *_WIDER_FP8)
_WIDER_INT4 = ("int8", *_WIDER_FP8)
WIDER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fp4": _WIDER_FP4,
        "mxfp4": ("fp4", *_WIDER_FP4),
        "nvfp4": ("fp4", *_WIDER_FP4),
        "fp6": ("fp8", *_WIDER_FP8),
        "mxfp6": ("fp6", "fp8", *_WIDER_FP8),
        "fp8": _WIDER_FP8,
        **dict.fromkeys(("mxfp8", "fp8-block"), ("fp8", *_WIDER_FP8)),
        **dict.fromkeys(("int4", "int4-g128", "int4-g32", *GGUF), _WIDER_INT4),
        "int8": _WIDER_FP8,
        "nf4": _WIDER_FP8,  # places on a table of quantiles: nothing can multiply them
        "q8_0": _WIDER_INT4,
        **dict.fromkeys(("bfp8", "bfp4"), ("fp8", *_WIDER_FP8)),
        "fp16": ("bf16", "tf32", "fp32"),
        "bf16": ("fp16", "tf32", "fp32"),
        "tf32": ("fp32", "fp64"),
        "fp32": ("tf32", "fp64"),
        "fp64": (),
    }
)


def bytes_of(dtype: str) -> float:
    """Bytes of one value.

    >>> bytes_of("bf16"), bytes_of("int4")
    (2.0, 0.5)
    """
    return BITS[dtype] / 8.0


def outer_bytes_of(dtype: str) -> float:
    """Bytes of one value of the token table and the output matrix of a model whose weights have that format.

    >>> outer_bytes_of("fp8"), outer_bytes_of("q8_0")
    (2.0, 1.0625)
    """
    return OUTER_BITS.get(dtype, max(BITS[dtype], 16.0)) / 8.0


def math_dtype(dtype: str, available: Container[str]) -> str | None:
    """The format that multiplies values of `dtype`: itself, or the next wider one in `available`; None if none is.

    >>> math_dtype("fp8", {"bf16", "fp32"})
    'bf16'
    """
    return dtype if dtype in available else next((wider for wider in WIDER[dtype] if wider in available), None)


# Formats whose checkpoints narrow activations too; the others are widened again before they are multiplied.
NARROW_PRODUCTS = ("fp8", "fp8-block", "mxfp8", "nvfp4", "fp4")


def usual_activations(weights: str) -> str:
    """Format of activations that goes with weights where nobody states it: 16 bits where weights alone are narrowed.

    >>> usual_activations("fp8"), usual_activations("int4")
    ('fp8', 'bf16')
    """
    return weights if BITS[weights] >= 16.0 or weights in NARROW_PRODUCTS else "bf16"


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of weights, of activations (they decide the arithmetic) and of the KV cache.

    `wide` is the format of weights that a model does not narrow (see `Model.quantised`), `residual` the least that
    values have between kernels.
    """

    weights: str = "bf16"
    activations: str = "bf16"
    kv_cache: str = "bf16"
    wide: str = "bf16"
    residual: str = "bf16"

    @property
    def between(self) -> str:
        """The format of the residual stream: activations' own, but no narrower than `residual`."""
        return max(self.residual, self.activations, key=lambda dtype: (BITS[dtype], dtype == self.activations))

    @property
    def arithmetic(self) -> str:
        """The format that matrix products ask for: the wider of weights and activations."""
        return max(self.weights, self.activations, key=lambda dtype: (BITS[dtype], dtype == self.activations))

    @property
    def unquantised(self) -> Precision:
        """The same for the parts of a model that are not narrowed with the others."""
        if BITS[self.weights] >= BITS[self.wide]:
            return self
        return replace(self, weights=self.wide, activations=usual_activations(self.wide))
