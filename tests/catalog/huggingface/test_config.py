"""Configurations as files, and hostile ones: every fault is told, none is a traceback, nothing takes long."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog import document
from roofline.catalog.huggingface.config import MAX_BYTES, Config
from roofline.catalog.huggingface.config import read as read_config
from roofline.catalog.huggingface.families import FAMILIES
from roofline.catalog.huggingface.model import Origin, imported, quoted
from roofline.errors import RooflineError, SpecError

ROWS = [json.loads(line) for line in (Path(__file__).parent / "configs.jsonl").read_text(encoding="utf-8").splitlines()]
ORIGIN = Origin("imported", "Imported", "config.json of a test")
Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(content: str | bytes) -> Path:
        path = tmp_path / "config.json"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "1:1: not JSON: Expecting value"),
        ('{\n  "a": 1,\n  b}', "3:3: not JSON: Expecting property name"),
        ("[1, 2]", "1:1: must hold keys in braces, got a list"),
        ("3", "1:1: must hold keys in braces, got 3"),
        (b"\xff\xfe", "is not UTF-8 text (byte 0)"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON: Exceeds the limit"),
        (" " * (MAX_BYTES + 1), f"is larger than {MAX_BYTES:,} bytes"),
    ],
    ids=["empty", "comma", "list", "number", "bytes", "deep", "digits", "large"],
)
def test_files_that_are_no_configuration(write: Write, content: str | bytes, message: str) -> None:
    with pytest.raises(SpecError) as error:
        read_config(write(content))
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="can't be read: no such file"):
        read_config(tmp_path / "config.json")


def test_faults_are_told_with_line_and_column(write: Write) -> None:
    path = write('{\n  "model_type": "llama",\n  "hidden_size": "wide",\n  "vocab_size": -1\n}')
    with pytest.raises(SpecError) as error:
        imported(read_config(path), path, ORIGIN)
    told = str(error.value).splitlines()
    assert f"{path}:3:18: hidden_size: must be a whole number, got 'wide'" in told
    assert f"{path}:4:17: vocab_size: must be a whole number from 1 to 1,000,000,000,000, got -1" in told


def test_numbers_may_be_written_as_whole_fractions() -> None:
    config = Config({"a": 3.0, "b": 3.5, "c": True})
    assert config.count("a") == 3
    assert not config.faults
    config.count("b")
    config.count("c")
    assert [place for (place,) in config.faults] == ["b", "c"]


def test_null_is_absence() -> None:
    config = Config({"a": None, "b": 4})
    assert config.count("a", "b") == 4
    assert not config.flag("a")
    assert config.items("a") is None
    assert config.part("a").data == {}


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "tab\there", "zero\u200bwidth", "\u202eright", "芯片"])
def test_names_are_kept_as_text(name: str) -> None:
    assert quoted(name).startswith('"')
    read = imported(Config(ROWS[3]["config"]), Path("x"), Origin("a", name, name))
    parsed = document.parse(read.text).data
    assert parsed["name"] == name or parsed["name"].count("?") > name.count("?")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**20), max_value=10**20),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=8),
    st.lists(st.integers(min_value=-2, max_value=200), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.just("auto"),
)


def keys_of(config: dict[str, Any]) -> list[tuple[str, ...]]:
    """Places of a configuration: its keys, and those one level below."""
    found: list[tuple[str, ...]] = []
    for key, value in config.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, inner) for inner in value]
    return found


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_configurations_never_give_a_traceback(data: st.DataObject) -> None:
    """Keys are lost, or hold something else; what comes out is a sound model or a `RooflineError`."""
    row = data.draw(st.sampled_from(ROWS))
    config = json.loads(json.dumps(row["config"]))
    for place in data.draw(st.lists(st.sampled_from(keys_of(config)), min_size=1, max_size=4, unique=True)):
        *outer, key = place
        inside = config
        for step in outer:
            inside = inside.get(step) if isinstance(inside.get(step), dict) else {}
        if data.draw(st.booleans()):
            inside.pop(key, None)
        else:
            inside[key] = data.draw(JUNK)
    try:
        model = imported(Config(config), Path("config.json"), ORIGIN).model
    except RooflineError:
        return
    assert model.parameters > 0
    assert model.active_parameters <= model.parameters


@settings(max_examples=100, deadline=None)
@given(config=st.dictionaries(st.text(max_size=12), JUNK, max_size=6), kind=st.sampled_from(sorted(FAMILIES)))
def test_configurations_out_of_nothing_never_give_a_traceback(config: dict[str, Any], kind: str) -> None:
    with pytest.raises(RooflineError):
        imported(Config({**config, "model_type": kind}), Path("config.json"), ORIGIN)
