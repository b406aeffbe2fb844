"""Reading YAML: places are right, hostile text is refused quickly."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog import document
from roofline.errors import SpecError


def fault(text: str) -> str:
    with pytest.raises(SpecError) as error:
        document.parse(text, "f.yaml")
    return str(error.value)


def test_places_are_line_and_column() -> None:
    found = document.parse("a: 1\nb:\n  - {c: x, d: [1, 2]}\n  - y\n", "f.yaml")
    assert found.data == {"a": 1, "b": [{"c": "x", "d": [1, 2]}, "y"]}
    assert found.places["b", 0, "c"] == ("f.yaml", 3, 9)
    assert found.places["b", 0, "d", 1] == ("f.yaml", 3, 19)
    assert found.places["b", 1] == ("f.yaml", 4, 5)
    assert str(found.finding(("b", 0, "missing"), "gone")) == "f.yaml:3:5: b.0.missing: gone"


def test_yaml_12_words_stay_text() -> None:
    found = document.parse("a: no\nb: on\nd: true\ne: null\nf: ~\ng: 'true'\nh: 1e3\ni: 0o7\nj: 12:30\n")
    assert found.data == {
        "a": "no", "b": "on", "d": True, "e": None, "f": None, "g": "true", "h": 1000.0, "i": "0o7", "j": "12:30",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: duplicate key (first on line 1)"),
        ("x: {a: 1, a: 2}\n", "f.yaml:1:11: x.a: duplicate key (first on line 1)"),
        ("a: &x 1\nb: *x\n", "f.yaml:2:4: aliases (*x) are not supported; write the value out"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: holds more than one document; a spec is one file"),
        ("- 1\n", "f.yaml:1:1: must be a mapping of keys to values"),
        ("", "f.yaml:1:1: must be a mapping of keys to values"),
        ("? [a, b]\n: 1\n", "f.yaml:1:3: a key must be text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    assert fault(text) == message


def test_syntax_errors_name_the_line() -> None:
    assert fault("a: 1\nb: [1, 2\nc: 3\n").startswith("f.yaml:3:2: not YAML: ")
    assert fault("a:\n\t- b\n").startswith("f.yaml:2:1: not YAML: ")


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    start = time.perf_counter()
    assert "aliases (*a) are not supported" in fault(bomb)
    assert time.perf_counter() - start < 2


def test_huge_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"a: " + b"x" * 10_000_000)
    with pytest.raises(SpecError, match="is larger than 1,000,000 bytes"):
        document.read(path)


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "[" * 60 + "]" * 60, "{a: " * 50])
def test_deep_nesting_is_refused(text: str) -> None:
    """By us, or by a newer parser before us."""
    assert re.search("nested deeper than 40 levels|not YAML: exceeded maximum nesting depth", fault(text))


def test_too_many_values_are_refused() -> None:
    assert "holds more than 100,000 values" in fault("a: [" + "1," * 200_000 + "1]")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(SpecError, match="is not UTF-8 text"):
        document.read(path)
    with pytest.raises(SpecError, match="can't be read"):
        document.read(tmp_path)
    with pytest.raises(SpecError, match="can't be read"):
        document.read(tmp_path / "none.yaml")


def test_windows_files_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: two\r\n")
    assert document.read(path).data == {"a": 1, "b": "two"}


@given(text=st.text(max_size=200))
def test_any_text_is_a_document_or_a_clear_error(text: str) -> None:
    with suppress(SpecError):
        document.parse(text)
