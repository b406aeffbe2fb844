"""`docs/ci.md` is executed from top to bottom in one folder: every command prints what stands below it, every file
shown is the one in `examples/ci`, and Python runs.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_ci_page.py` writes outputs and files again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ci.md"
BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)
FILE = re.compile(r"^<!-- (?P<path>examples/\S+) -->\n```(?P<kind>\w+)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
PYTHON = re.compile(r"^```python\n((?:.*\n)*?)```$", re.MULTILINE)
PROMISES = """\
[[predictions]]
workloads = ["llama-3.1-8b-chat"]
deployments = ["h100-sxm"]
metrics = ["tpot_s"]
[[slo]]
assert = "tpot_s < 30 ms and usd_per_million_tokens < 2"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "roofline"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m roofline "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "promises.toml").write_text(f'baseline = "promises.baseline"\n{PROMISES}', encoding="utf-8")
    return tmp_path


def printed(command: str, folder: Path) -> str:
    """What a shell shows of a command: both streams."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    environment = {**kept, "PATH": f"{folder / 'bin'}:{kept['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    ran = subprocess.run(
        ["bash", "-c", command], cwd=folder / "project", env=environment, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return ran.stdout


def test_the_page_is_true(folder: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    fresh = FILE.sub(
        lambda block: (
            f"<!-- {block['path']} -->\n```{block['kind']}\n{(ROOT / block['path']).read_text(encoding='utf-8')}```"
        ),
        text,
    )
    fresh = BLOCK.sub(lambda block: f"```console\n$ {block['command']}\n{printed(block['command'], folder)}```", fresh)
    assert len(BLOCK.findall(fresh)) == 8
    assert len(FILE.findall(fresh)) == 4
    if os.environ.get("ROOFLINE_UPDATE"):
        PAGE.write_text(fresh, encoding="utf-8")
    else:
        assert fresh == text
    (folder / "project" / "hardware" / "chips" / "h100-sxm.yaml").unlink()
    printed("roofline check --update", folder)
    for block in PYTHON.findall(text):
        ran = subprocess.run([sys.executable, "-W", "error", "-c", block], cwd=folder / "project", check=True, capture_output=True, text=True)  # fmt: skip
        assert ran.stdout.startswith("True ")


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert target.startswith("http") or (PAGE.parent / target).exists(), target


def test_every_command_that_is_spoken_of_is_shown() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "--update" in text
    for name in ("github", "junit", "sarif", "csv", "json"):
        assert f"`{name}`" in text
