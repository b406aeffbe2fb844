"""Number formats: how wide they are, and which format does the arithmetic where a chip lacks one."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
    }
)
DTYPES = tuple(BITS)

# Values are widened, never narrowed: an 8-bit weight is dequantised and multiplied in 16 bits where 8 can't be had.
WIDER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fp4": ("fp6", "fp8", "bf16", "fp16", "tf32", "fp32"),
        "int4": ("int8", "bf16", "fp16", "tf32", "fp32"),
        "fp6": ("fp8", "bf16", "fp16", "tf32", "fp32"),
        "fp8": ("bf16", "fp16", "tf32", "fp32"),
        "int8": ("bf16", "fp16", "tf32", "fp32"),
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


def math_dtype(dtype: str, available: Container[str]) -> str | None:
    """The format that multiplies values of `dtype`: itself, or the next wider one in `available`; None if none is.

    >>> math_dtype("fp8", {"bf16", "fp32"})
    'bf16'
    """
    return next((wider for wider in (dtype, *WIDER[dtype]) if wider in available), None)


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of weights, of activations (they decide the arithmetic) and of the KV cache."""

    weights: str = "bf16"
    activations: str = "bf16"
    kv_cache: str = "bf16"

    @property
    def arithmetic(self) -> str:
        """The format that matrix products ask for: the wider of weights and activations."""
        return max(self.weights, self.activations, key=lambda dtype: (BITS[dtype], dtype == self.activations))
