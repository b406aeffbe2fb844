"""Guides are walked through: in an empty folder every file that a page shows is written, every command run in order, and
what it prints stands below it.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_guides.py` writes outputs again.
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
GUIDES = pytest.mark.parametrize("page", ["add-a-chip.md", "add-a-model.md", "catalogue.md"])
STEP = re.compile(
    r"^```console\n\$ (?P<command>roofline .*)\n(?P<output>(?:.*\n)*?)```$"
    r"|^<!-- file: (?P<path>\S+) -->\n```yaml\n(?P<text>(?:.*\n)*?)```$"
    r"|^<!-- \$ (?P<marked>roofline .*) -->\n(?P<table>(?:.*\n)*?)<!-- end -->$",
    re.MULTILINE,
)
UPDATE = bool(os.environ.get("ROOFLINE_UPDATE"))


def printed(command: str, folder: Path) -> str:
    """What a command prints; findings of lint are no failure, faults are."""
    environment = {**os.environ, "COLUMNS": "140", "XDG_CONFIG_HOME": str(folder / "none")}
    ran = subprocess.run(
        [sys.executable, "-m", "roofline", *shlex.split(command)[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.replace(str(folder), ".").replace(str(ROOT), "…")


def walked(text: str, folder: Path) -> str:
    """The page with what its commands print, run in order."""

    def step(found: re.Match[str]) -> str:
        if found["path"]:
            path = folder / found["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found["text"], encoding="utf-8")
            return found[0]
        if found["marked"]:
            return f"<!-- $ {found['marked']} -->\n{printed(found['marked'], folder)}<!-- end -->"
        return f"```console\n$ {found['command']}\n{printed(found['command'], folder)}```"

    return STEP.sub(step, text)


@GUIDES
def test_a_guide_can_be_walked_through(page: str, tmp_path: Path) -> None:
    path = ROOT / "docs" / page
    text = path.read_text(encoding="utf-8")
    fresh = walked(text, tmp_path)
    if UPDATE:
        path.write_text(fresh, encoding="utf-8")
    else:
        assert fresh == text


@GUIDES
def test_every_command_of_a_guide_is_run(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    steps = [found for found in STEP.finditer(text) if found["command"] or found["marked"]]
    assert len(steps) == len(re.findall(r"^(?:\$|<!-- \$) ", text, re.MULTILINE)) >= 1


def test_what_the_catalogue_says_is_missing_is_missing(tmp_path: Path) -> None:
    """Once a file is there, the line has to go."""
    from roofline.catalog.store import KINDS, Catalog

    catalog = Catalog()
    names = {name for kind in ("chip", "system") for name in catalog.files(KINDS[kind])}
    names |= {alias for name in catalog.files(KINDS["chip"]) for alias in catalog.spec("chip", name).aliases}
    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    section = text.partition("## What is missing")[2].partition("\n## ")[0]
    missing = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)
    assert len(missing) == 7
    assert not names & set(missing)


def test_the_catalogue_counts_its_files() -> None:
    from roofline.catalog.store import KINDS, Catalog

    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    for kind, what in (("chip", "chips"), ("system", "systems"), ("model", "models")):
        assert f"{len(Catalog().files(KINDS[kind]))} {what}" in text
