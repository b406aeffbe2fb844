"""Which stack stands for a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies.measured.names import released


@pytest.mark.parametrize(
    ("version", "date", "stack"),
    [
        ("0.5.4", "", "vllm-0.5"),
        ("0.7.2", "", "vllm-v0"),
        ("0.11.0", "2024-01-01", "vllm"),  # the version decides
        ("", "2025-01", "vllm-v0"),
        ("main", "''", "vllm"),  # no day
        ("", "", "vllm"),
    ],
)
def test_versions_and_days_lead_back_to_earlier_stacks(catalog: Catalog, version: str, date: str, stack: str) -> None:
    assert released(catalog, "vllm", version, date) == stack


def test_stacks_that_are_each_earlier_than_the_other_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name, other in (("one", "other"), ("other", "one")):
        earlier = f'earlier: {{until: "2030", stack: {other}}}'
        (folder / f"{name}.yaml").write_text(f"extends: vllm\nid: {name}\nname: {name}\n{earlier}\n")
    with pytest.raises(RooflineError, match="stack one: 'earlier' goes in a circle: one, other, one"):
        released(Catalog((tmp_path,)), "one", "", "2026")
