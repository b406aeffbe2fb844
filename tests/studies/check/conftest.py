"""A small project: a `roofline.toml` in a folder of its own, with its baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = """\
[tolerances]
default = 0.001

[[predictions]]
workloads = ["llama-3.1-8b-chat"]
deployments = ["h100-sxm", "mi300x"]
metrics = ["tpot_s*", "ttft_s", "decode_bound", "usd_per_million_tokens", "fits"]
"""
Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Writes `roofline.toml`, by default that above with `more` behind it, and returns its path."""

    def write(more: str = "", text: str = CONFIG) -> Path:
        path = tmp_path / "roofline.toml"
        path.write_text(text + more, encoding="utf-8")
        return path

    return write
