"""What docs/reports.md shows is executed: its commands write pages, its Python runs, its picture is small and is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^roofline (.+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_write_pages(
    command: str, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    ran = run(*shlex.split(command))
    (written,) = tmp_path.glob("*.html")
    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {written.name}\n")
    assert "<figure" in written.read_text(encoding="utf-8")


def test_python_runs() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["found"]["schema"] == "roofline.comparison/1"


def test_links_lead_somewhere_and_the_picture_is_small() -> None:
    assert len(COMMANDS) == 3
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert "report.png" in links
    for link in links:
        assert (ROOT / "docs" / link).resolve().is_file()
    assert (ROOT / "docs" / "report.png").stat().st_size < 150_000
