"""Files: refused before anything is computed, whole or not there, links and permissions kept."""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from roofline.errors import OutputError
from roofline.report import formats, output


def test_every_file_holds_the_result(comparison: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "out"  # matplotlib may make its own folder of settings in tmp_path
    folder.mkdir()
    names = ["a.json", "a.jsonl", "a.csv", "a.md", "a.txt"]
    with output.opened([str(folder / name) for name in names], chart=str(folder / "a.svg")) as sinks:
        assert not any((folder / name).exists() for name in names)
        sinks.write(comparison)
    assert json.loads((folder / "a.json").read_text(encoding="utf-8"))["schema"] == "roofline.comparison/1"
    with (folder / "a.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert (folder / "a.svg").read_bytes().startswith(b"<?xml")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "a.svg"])


def test_failed_work_leaves_nothing_and_keeps_what_was(tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    old.write_text("kept")
    with pytest.raises(KeyError), output.opened([str(old), str(tmp_path / "new.json")], chart=str(tmp_path / "c.png")):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["old.csv"]
    assert old.read_text() == "kept"


def test_a_render_that_fails_replaces_no_file(chat: dict[str, Any], tmp_path: Path) -> None:
    first = tmp_path / "a.json"
    first.write_text("kept")
    del chat["roofs"]
    with pytest.raises(KeyError), output.opened([str(first), str(tmp_path / "b.md")]) as sinks:
        sinks.write(chat)
    assert first.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/a.csv", "no such folder: .*missing"),
        ("folder.csv", "is a folder; name a file"),
        ("a.xyz", "no format has the suffix '.xyz'; use .txt, .md, .csv, .json, .jsonl"),
        (f"{'n' * 300}.csv", "can't be written: file name too long"),
    ],
)
def test_places_that_cannot_be_written(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match=message), output.opened([str(tmp_path / name)]):
        pytest.fail("must be refused before the work begins")


def test_a_folder_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with (
        pytest.raises(OutputError, match="can't be written: permission denied"),
        output.opened([str(tmp_path / "a.csv")]),
    ):
        pytest.fail("must be refused before the work begins")


def test_a_full_disk_is_not_a_bug(chat: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(OutputError, match=r"a\.csv: can't be written: no space left on device"),
        output.opened([str(tmp_path / "a.csv")]) as sinks,
    ):
        sinks.write(chat)
    assert not list(tmp_path.iterdir())


def test_links_stay_links_and_permissions_stay(chat: dict[str, Any], tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    with output.opened([str(link)]) as sinks:
        sinks.write(chat)
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == formats.render(chat, "csv")
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_new_files_have_usual_permissions(chat: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with output.opened([str(tmp_path / "a.csv")]) as sinks:
        sinks.write(chat)
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode
