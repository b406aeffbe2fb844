"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from roofline.errors import OutputError
from roofline.files import check, drafts, put


def test_all_are_written_with_the_permissions_of_new_files(tmp_path: Path) -> None:
    one, two, plain = tmp_path / "one.txt", tmp_path / "two.txt", tmp_path / "plain.txt"
    plain.write_text("")
    assert put({one: "1\n", two: "2\n"}) == [one, two]
    assert (one.read_bytes(), two.read_bytes()) == (b"1\n", b"2\n")
    assert one.stat().st_mode == plain.stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.txt", "plain.txt", "two.txt"]


def test_none_is_written_when_one_cannot_be(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("old")
    with pytest.raises(OutputError, match="no such folder"):
        put({kept: "new", tmp_path / "absent" / "file.txt": "new"})
    assert kept.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_replaced_file_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    put({link: "new"})
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_what_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    with drafts() as made:
        assert made.beside(tmp_path / "file.txt").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_permission_is_asked_before(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        check(tmp_path / "file.txt")


@pytest.mark.parametrize(
    ("name", "said"), [("", "is a folder"), ("no/file", "no such folder"), ("x" * 300, "too long")]
)
def test_a_place_that_can_hold_no_file_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(OutputError, match=said):
        put({tmp_path / name: ""})
