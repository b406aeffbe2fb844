"""Hostile files by name, for everything that reads files: links that lead nowhere, devices without end, bombs, nesting, huge
numbers, and names with characters that steer a terminal or turn the direction of writing."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from tests.fuzz import subjects

READERS = {name: (seeds, place, use) for name, seeds, place, use, _ in subjects.files()}
YAML = [name for name, (_, place, _) in READERS.items() if place.endswith(".yaml")]
JSON = [name for name, (_, place, _) in READERS.items() if place.endswith(".json")]
CSV = [name for name, (_, place, _) in READERS.items() if place.endswith(".csv")]
QUICK = [name for name in READERS if name not in (*subjects.SEARCHED, "fitted CSV")]  # those take long
ESCAPE, TURN = "\x1b[31m", "\u202e"
Read = Callable[[str, bytes | Path], object]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Give a reader a file with some content, or a link to something."""

    def reader(name: str, content: bytes | Path) -> object:
        _, place, use = READERS[name]
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
        return use(path)

    return reader


def refused(read: Read, name: str, content: bytes | Path) -> str:
    with pytest.raises(RooflineError) as error:
        read(name, content)
    return str(error.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("target", ["/dev/zero", None], ids=["a device without end", "itself"])
def test_a_link_that_leads_to_no_file_is_refused(read: Read, name: str, target: str | None) -> None:
    place = Path(target or Path(READERS[name][1]).name)
    if name in ("checkpoint", "quantised") or "overlay" in name or name == "spreads":
        # of files that need not be there such a link is none
        read(name, place)
    else:
        refused(read, name, place)


@pytest.mark.parametrize("name", READERS)
def test_bytes_that_are_no_text_are_refused(read: Read, name: str) -> None:
    assert "is not UTF-8 text" in refused(read, name, READERS[name][0]()[0].encode() + b"\xff")


@pytest.mark.parametrize("name", YAML)
def test_an_alias_bomb_is_refused(read: Read, name: str) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    assert "aliases (*a0) are not supported" in refused(read, name, "\n".join(lines).encode())


@pytest.mark.parametrize("name", [*YAML, *JSON, "check"])
@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_nesting_is_refused(read: Read, name: str, depth: int) -> None:
    text = "a: " + "[" * depth if name in YAML else "a = " + "[" * depth if name == "check" else '{"a": ' + "[" * depth
    refused(read, name, text.encode())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    "word", ["9" * 5000, "9" * 350, f"a{ESCAPE}b", f"a{TURN}b", "-" + "9" * 400, "\x00", "1e999999999"]
)
def test_odd_words_are_read_or_refused(read: Read, name: str, word: str) -> None:
    """In the place of some words and numbers of a seed."""
    seed = READERS[name][0]()[0]
    words = list(subjects.WORD.finditer(seed))[::5][:5]
    for place in words:
        text = seed[: place.start()] + word + seed[place.end() :]
        with contextlib.suppress(RooflineError):
            read(name, text.encode())


@pytest.mark.parametrize("name", ["chip", "system", "model", "serving", "scenario", "need"])
@pytest.mark.parametrize("word", ["../../evil", "/etc/passwd", f"a{ESCAPE}", f"a{TURN}b", "a b"])
def test_an_id_is_no_path_and_has_no_hidden_signs(read: Read, name: str, word: str) -> None:
    seed = READERS[name][0]()[0]
    text = "\n".join(f"id: {json.dumps(word)}" if line.startswith("id:") else line for line in seed.splitlines())
    refused(read, name, text.encode())


def test_folders_that_link_to_themselves_are_walked_once(tmp_path: Path) -> None:
    chips = tmp_path / "chips"
    chips.mkdir()
    (chips / "again").symlink_to(chips)
    (chips / "loop.yaml").symlink_to(chips / "loop.yaml")
    (chips / "endless.yaml").symlink_to("/dev/zero")
    (chips / "mine.yaml").write_text("extends: h100-sxm\nid: mine\n", encoding="utf-8")
    catalog = Catalog((tmp_path,))
    assert rl.predict("llama-3.1-8b-chat", "mine", catalog=catalog)["deployment"]["chip"] == "mine"
    assert rl.predict("llama-3.1-8b-chat", "H100 SXM", catalog=catalog)["deployment"]["chip"] == "h100-sxm"
    assert {row["id"] for row in rl.show("chips", catalog=catalog)["rows"]} >= {"mine", "h100-sxm"}
    for name in ("loop", "endless"):
        with pytest.raises(RooflineError, match=f"no chip '{name}'"):
            rl.predict("llama-3.1-8b-chat", name, catalog=catalog)
    told = {Path(row["path"]).name: row["message"] for row in rl.lint(tmp_path)["rows"] if row["severity"] == "error"}
    assert set(told) == {"loop.yaml", "endless.yaml"}


def test_a_configuration_that_links_to_itself_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "loop"))
    monkeypatch.setenv("ROOFLINE_HARDWARE_DIR", str(tmp_path / "loop"))
    assert rl.show("h100-sxm")["origin"] == "shipped"
    assert rl.predict("llama-3.1-8b-chat", "h100-sxm")["fits"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", f"a{TURN}b", "a\nb", "a\x00b", "-o"])
def test_what_is_begun_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for kind in ("chip", "model", "serving", "training", "need", "economics", "scenario", "system"):
        with pytest.raises(RooflineError):
            rl.new(kind, name, inside)
    assert list(tmp_path.iterdir()) == [inside]
    assert list(inside.iterdir()) == []


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", f"org/a{TURN}b", f"{ESCAPE}evil/.."])
def test_what_is_imported_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    config = json.loads((subjects.ROOT / "examples" / "our-model" / "config.json").read_text(encoding="utf-8"))
    (here / "config.json").write_text(json.dumps({**config, "_name_or_path": name}), encoding="utf-8")
    made = Path(rl.import_model("config.json", save=True)["written"])
    assert made.resolve().parent == here
    assert made.name.isascii()


def test_an_index_may_name_a_file_that_can_not_be(read: Read) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": {"model.layers.0.mlp.up.weight": f"{'a' * 300}.safetensors"}}
    assert read("checkpoint", json.dumps(index).encode())


@pytest.mark.parametrize("file", ["../../a.safetensors", "/etc/passwd", "a/../../b.safetensors", ".."])
def test_an_index_names_files_of_its_own_folder(read: Read, file: str) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": {"model.layers.0.mlp.up.weight": file}}
    assert "is no file of this folder" in refused(read, "checkpoint", json.dumps(index).encode())


@pytest.mark.parametrize("place", ["device.csv", "folder.csv", "none/a.csv"])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """As root a device would be."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("device.csv")
    (tmp_path / "folder.csv").mkdir()
    before = {path: path.stat().st_mode for path in tmp_path.iterdir()}
    example = str(subjects.ROOT / "examples" / "vllm-serve.json")
    for words in (
        ["import", "--bench", example, "--chip", "h100-sxm", "-o", place],
        ["show", "h100-sxm", "-o", place],
        ["sweep", "llama-3.1-8b-chat", "h100-sxm", "--vary", "batch=1,2", "-o", place],
    ):
        code, said = subjects.ran(words)
        assert code == 2
        assert said.startswith(f"roofline: {place}"), said
    assert {path: path.stat().st_mode for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", CSV)
def test_a_table_of_too_many_rows_is_refused(read: Read, name: str) -> None:
    head = READERS[name][0]()[0].split("\n", 1)[0]
    assert "has more than 200,000 rows" in refused(read, name, (head + "\n" + "a\n" * 200_001).encode())


def test_words_that_steer_a_terminal_reach_none(tmp_path: Path) -> None:
    """What a file says is shown without signs that would turn, colour or move what is read."""
    path = tmp_path / "mine.yaml"
    path.write_text(f'extends: h100-sxm\nid: mine\nname: "A{TURN}B\\e[31mC"\nnonsense: "\\e[2J"\n', encoding="utf-8")
    for words in (["lint", str(path)], ["analyze", "llama-3.1-8b-chat", str(path)], ["show", f"x{ESCAPE}{TURN}"]):
        code, said = subjects.ran(words)
        assert code in (None, 0, 1, 2)
        assert "Traceback" not in said
        for sign in ("\x1b", TURN):
            assert sign not in said, words
