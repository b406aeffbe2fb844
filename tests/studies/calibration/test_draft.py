"""Drafts: files of a run come all together or not at all, and those of people are left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roofline.errors import OutputError
from roofline.studies.calibration.draft import MARK, draft, written

OURS = f"{MARK}: text\n"


def test_nothing_is_seen_before_it_is_published(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with draft(place) as files:
        files.add("chip", "a", OURS)
        files.add("stack", "b", OURS)
        assert not place.exists()
        assert files.publish() == ([place / "chips" / "a.yaml", place / "stacks" / "b.yaml"], [])
    assert written(place) == [place / "chips" / "a.yaml", place / "stacks" / "b.yaml"]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_run_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "a.yaml").write_text(OURS + "before\n")

    def fail() -> None:
        with draft(tmp_path) as files:
            files.add("chip", "a", OURS + "after\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["chips", "a.yaml"]
    assert (tmp_path / "chips" / "a.yaml").read_text() == OURS + "before\n"


def test_what_an_earlier_run_wrote_goes_and_nothing_else(tmp_path: Path) -> None:
    for name, text in (("old", OURS), ("mine", "id: mine\n"), ("binary", "")):
        (tmp_path / "families").mkdir(exist_ok=True)
        (tmp_path / "families" / f"{name}.yaml").write_text(text)
    (tmp_path / "families" / "binary.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "notes.txt").write_text(OURS)
    with draft(tmp_path) as files:
        files.add("family", "new", OURS)
        assert files.publish() == ([tmp_path / "families" / "new.yaml"], [tmp_path / "families" / "old.yaml"])
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "new.yaml", "mine.yaml", "binary.yaml", "notes.txt",
    }  # fmt: skip


def test_a_mark_further_down_makes_no_file_a_runs(tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "a.yaml").write_text("# a\n# b\n# c\n" + OURS)
    assert written(tmp_path) == []


def test_a_draft_for_nowhere_stays_there() -> None:
    with draft(None) as files:
        files.add("chip", "a", OURS)
        assert (files.folder / "chips" / "a.yaml").read_text() == OURS
        assert files.publish() == ([], [])
        folder = files.folder
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_to_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="can't be written"), draft(tmp_path):
        pass
