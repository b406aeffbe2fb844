"""A sound chip file to break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

CHIP = """\
id: test-chip
name: Test
vendor: acme
kind: asic
compute:
  peaks:
    bf16: {dense: 400 TFLOP/s, source: sheet}
    fp8: {dense: 800 TFLOP/s, source: sheet}
memory:
  - {name: SRAM, capacity: 100 MB, source: sheet}
  - {name: HBM, capacity: 96 GiB, bandwidth: 4 TB/s, source: sheet}
links:
  - {name: near, scope: scale-up, bandwidth: 300 GB/s, per: direction, chips: 8, source: sheet}
power: {tdp: 450 W, source: sheet}
sources:
  sheet: {title: A sheet, date: "2026"}
"""


@pytest.fixture
def chip_text() -> str:
    return CHIP


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str, name: str = "test-chip.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to_file
