"""Small blocks, so that small sweeps have many."""

from __future__ import annotations

import pytest

from roofline.studies.sweep import chunks, grid


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "BLOCK", 8)
    monkeypatch.setattr(chunks, "BLOCK", 8)
    monkeypatch.setattr(chunks, "POINTS", 16)
