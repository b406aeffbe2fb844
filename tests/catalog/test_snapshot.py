"""A snapshot finds what the catalogue finds, reads each file once, and tells the same errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import KINDS, Catalog
from roofline.errors import UnknownNameError

MINE = """format: 1
extends: h100-sxm
id: mine
name: Mine
aliases: [my-own]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "mine.yaml").write_text(MINE, encoding="utf-8")
    return tmp_path


def test_what_was_read_stays_though_the_file_changes(folder: Path) -> None:
    catalog = Catalog((folder,))
    snapshot = Snapshot.of(catalog)
    assert snapshot.chip("mine").name == "Mine"
    (folder / "chips" / "mine.yaml").write_text(MINE.replace("name: Mine", "name: Other"), encoding="utf-8")
    assert catalog.chip("mine").name == "Other"
    assert snapshot.chip("mine").name == "Mine"
    assert snapshot.chip("mine") is snapshot.chip("mine")


@pytest.mark.parametrize(
    ("kind", "name"), [("chip", "My_Own"), ("chip", "h200"), ("stack", "vllm"), ("model", "llama3.1-8b")]
)
def test_names_mean_the_same(folder: Path, kind: str, name: str) -> None:
    catalog = Catalog((folder,))
    assert Snapshot.of(catalog).find((kind,), name, kind) == catalog.find((kind,), name, kind)
    assert Snapshot.of(catalog).spec(kind, name) == catalog.spec(kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_the_same(catalog: Catalog, kind: str) -> None:
    snapshot = Snapshot.of(catalog)
    assert snapshot.files(KINDS[kind]) == catalog.files(KINDS[kind])
    assert list(snapshot.texts(KINDS[kind])) == list(catalog.texts(KINDS[kind]))


def test_a_stack_is_one_for_each_chip(catalog: Catalog) -> None:
    snapshot = Snapshot.of(catalog)
    chips = [catalog.chip(name) for name in ("h100-sxm", "mi300x")]
    for chip in (*chips, None, *chips):
        assert snapshot.stack("vllm", chip) == catalog.stack("vllm", chip)


def test_unknown_names_are_told_each_time(catalog: Catalog) -> None:
    snapshot = Snapshot.of(catalog)
    for _ in range(2):
        with pytest.raises(UnknownNameError, match="no chip 'h100-smx'; did you mean 'h100-sxm'"):
            snapshot.chip("h100-smx")


def test_a_snapshot_is_its_own(catalog: Catalog) -> None:
    snapshot = Snapshot.of(catalog)
    assert Snapshot.of(snapshot) is snapshot
