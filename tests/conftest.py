"""Fixtures of all tests: the shipped catalogue, and no floating-point accident goes unseen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from roofline.catalog.store import Catalog

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(autouse=True)
def _strict_floats() -> Iterator[None]:
    with np.errstate(over="raise", invalid="raise"):
        yield


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ROOFLINE_HARDWARE_DIR", "ROOFLINE_WORKLOAD_DIR", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
