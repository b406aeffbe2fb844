"""The README is executed: every `$ roofline …` prints what stands below it, in a console block or between marks as
markdown, and every Python block runs.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_readme.py` writes the outputs again.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```console\n\$ (?P<command>roofline .*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)

MARKED = re.compile(r"^<!-- \$ (?P<command>roofline .*) -->\n(?P<output>(?:.*\n)*?)<!-- end -->$", re.MULTILINE)


def printed(command: str, folder: Path) -> str:
    arguments = shlex.split(command)[1:]
    environment = {**os.environ, "COLUMNS": "160"}
    ran = subprocess.run(
        [sys.executable, "-m", "roofline", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def agree(fresh: str, text: str) -> None:
    """The README says what was printed; on update it is made to."""
    if os.environ.get("ROOFLINE_UPDATE"):
        README.write_text(fresh, encoding="utf-8")
    else:
        assert fresh == text


def test_every_transcript_is_true(checkout: Path) -> None:
    text = README.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) >= 4
    agree(
        BLOCK.sub(lambda block: f"```console\n$ {block['command']}\n{printed(block['command'], checkout)}```", text),
        text,
    )


def test_every_marked_table_is_true(checkout: Path) -> None:
    text = README.read_text(encoding="utf-8")
    assert len(MARKED.findall(text)) >= 1

    def fresh(block: re.Match[str]) -> str:
        return f"<!-- $ {block['command']} -->\n{printed(block['command'], checkout)}<!-- end -->"

    agree(MARKED.sub(fresh, text), text)


def test_every_python_block_runs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        subprocess.run([sys.executable, "-W", "error", "-c", block], check=True, capture_output=True)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_gate_runs_the_readmes_commands() -> None:
    """`.ci/run` takes both commands out of the README, so they can't drift apart."""
    text = README.read_text(encoding="utf-8")
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for mark in ("run", "test"):
        assert re.search(rf"<!-- {mark} -->\n```sh\npython -m pip install ", text)
        assert f"readme {mark}" in gate
