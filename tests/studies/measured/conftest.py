"""Cases as they are read from a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roofline.studies.measured.table import KERNELS, SERVING, Case

SOUND = {
    "id": "a", "chip": "h100-sxm", "num_chips": "1", "model": "llama-3.1-8b", "weight_dtype": "bf16", "batch": "8",
    "input_len": "1000", "output_len": "100", "mode": "fixed_batch", "framework": "vLLM", "metric": "tpot_ms",
    "value": "9", "source": "a page", "note": "", "phase": "",
}  # fmt: skip
MakeCase = Callable[..., Case]


@pytest.fixture(scope="session")
def case() -> MakeCase:
    def made(*, kernel: bool = False, **cells: str) -> Case:
        told = {**SOUND, **cells}
        numbers = (KERNELS if kernel else SERVING).numbers
        return Case(told, {name: float(told[name]) if told.get(name) else None for name in numbers})

    return made
