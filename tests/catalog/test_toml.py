"""TOML with the line of every key, and its faults with line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog import toml
from roofline.errors import SpecError

TEXT = '''\
# a comment = 1
format = 1

many = [
  "a",
  # b
  ["c", "d = 1"],
]
[tolerances]
"*_s" = 0.1
long = """
[not a table]
x = 1
"""
a.b = {c = 1}
[[slo]]
assert = "x"
[slo.below]
deep = 1
[[slo]]
assert = "y"
[[slo.inner]]
z = 1
[[slo.inner]]
z = 2
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("format",), 2),
        (("many",), 4),
        (("many", 0), 4),
        (("many", 1, 1), 4),
        (("tolerances",), 9),
        (("tolerances", "*_s"), 10),
        (("tolerances", "long"), 11),
        (("tolerances", "a", "b", "c"), 15),
        (("slo", 0), 16),
        (("slo", 0, "assert"), 17),
        (("slo", 0, "below", "deep"), 19),
        (("slo", 1, "assert"), 21),
        (("slo", 1, "inner", 0, "z"), 23),
        (("slo", 1, "inner", 1, "z"), 25),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_keys_know_their_lines(place: tuple[str | int, ...], line: int, end: str) -> None:
    found = toml.parse(TEXT.replace("\n", end))
    assert found.places[place][1] == line
    value: Any = found.data
    for part in place:
        value = value[part]


def test_no_key_is_found_that_is_none() -> None:
    found = toml.parse(TEXT)
    assert not [place for place in found.places if "x" in place or "d" in place]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = = 2\n", "<text>:2:5: not TOML: "),
        ("a = 1\na = 2\n", "<text>:2:"),
        ("[a\n", "<text>:1:3: not TOML: "),
        ("a = " + "[" * 5000 + "]" * 5000, "<text>: not TOML: "),
    ],
)
def test_faults_have_a_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        toml.parse(text)
    assert str(error.value).startswith(message)


def test_a_value_of_very_many_lines_hides_only_the_places_behind_it() -> None:
    found = toml.parse("a = [\n" + "1,\n" * 3000 + "]\nb = 2\n")
    assert len(found.data["a"]) == 3000
    assert found.finding(("b",), "").line == 1


@pytest.mark.parametrize(("raw", "message"), [(b"\xff\xfe", "is not UTF-8 text"), (b"#" * 1_000_001, "is larger than")])
def test_files_that_are_no_text_are_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(raw)
    with pytest.raises(SpecError, match=message):
        toml.read(path)
    with pytest.raises(SpecError, match="can't be read"):
        toml.read(tmp_path)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = toml.parse(text)
    except SpecError:
        return
    assert isinstance(found.data, dict)
