"""The oldest versions that the gate installs are the lower bounds that pyproject.toml states."""

from __future__ import annotations

import re
from pathlib import Path

from roofline.catalog import toml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = toml.read(ROOT / "pyproject.toml").data["project"]


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    held = {line for line in lines if not line.startswith("#")}
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["parquet"]]
    assert held == {_pinned(line) for line in needed}


def test_development_asks_for_what_users_are_promised() -> None:
    """An extra's bound is the same where it is a development dependency, too."""
    extras = PROJECT["optional-dependencies"]
    assert {*extras["dask"], *extras["parquet"]} <= set(extras["dev"])


def test_every_version_that_is_promised_is_tried() -> None:
    tried = re.search(
        r"^for version in (.*); do$", (ROOT / ".ci" / "versions").read_text(encoding="utf-8"), re.MULTILINE
    )
    promised = re.findall(r"'Programming Language :: Python :: (3\.\d+)'", str(PROJECT["classifiers"]))
    assert tried
    assert set(promised) <= set(tried[1].split())
    assert PROJECT["requires-python"] == f">={promised[0]}"


def _pinned(requirement: str) -> str:
    """A lower bound as the version that begins so."""
    name, bound = re.split(r">=", requirement.partition(";")[0].strip())
    return f"{name}=={bound}.*"
