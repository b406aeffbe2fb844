"""docs/nomenclature.md explains every column that a sweep can tell, once, and none that it can't."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from roofline.studies.request import options
from roofline.studies.sweep.grid import Request, build

PAGE = Path(__file__).resolve().parents[1] / "docs" / "nomenclature.md"
ENDINGS = re.compile(r"_(ideal|low|high)$")
PHASES = re.compile(r"^(prefill|decode|training)_(time_s|ideal_time_s|bound|mfu|mbu)$")
SWEEPS = [
    ("llama-3.1-70b-chat", "8xh100-sxm", "batch=1,2", {}),
    ("llama-3.1-70b-pretraining", "64xh100-sxm", "global_batch=512,1024", {}),
    ("llama-3.1-8b", "h100-sxm", "batch=1,2", {"phase": "decode"}),
    ("llama-3.1-8b", "h100-sxm", "batch=1,2", {"phase": "prefill"}),
]


def explained() -> list[str]:
    """The names in the first column of every table."""
    cells = re.findall(r"^\| (`[^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([A-Za-z_0-9]+)`", cell) if not name.startswith("_")]


def told(work: str, deployment: str, axis: str, asked: dict[str, str]) -> set[str]:
    request = Request(workloads=(work,), deployments=(deployment,), vary=(axis,), options=options(asked))
    names = {name if PHASES.match(name) else ENDINGS.sub("", name) for name in build(request).columns}
    return {PHASES.sub(r"PHASE_\2", name) for name in names}


def test_every_name_is_explained_once() -> None:
    assert [name for name, times in Counter(explained()).items() if times > 1] == []


@pytest.mark.parametrize(("work", "deployment", "axis", "asked"), SWEEPS)
def test_every_column_is_explained(work: str, deployment: str, axis: str, asked: dict[str, str]) -> None:
    assert told(work, deployment, axis, asked) - set(explained()) == set()


def test_everything_explained_is_a_column() -> None:
    columns = set().union(*(told(*sweep) for sweep in SWEEPS))
    assert set(explained()) - columns == set()
