"""Baselines: the same after writing and reading, line by line, and never taken for what they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roofline.errors import OutputError, RooflineError, SpecError
from roofline.studies.check import baseline
from roofline.studies.check.baseline import AGAIN, Baseline

WORDS = st.text(max_size=12)
SMALL = Baseline(
    "0.1.0",
    {("chip", "h100-sxm"): "8653c4e8a30a928d"},
    {("8xh100-sxm", "chat", "tpot_s"): "0.0161234", ("8xh100-sxm", "chat", "decode_bound"): "memory"},
)


@settings(deadline=None)
@given(
    version=WORDS,
    inputs=st.dictionaries(st.tuples(WORDS, WORDS), WORDS, max_size=4),
    predictions=st.dictionaries(st.tuples(WORDS, WORDS, WORDS), WORDS, max_size=6),
)
@example(
    "0.1.0",
    {("[checksum]", "="): "a = b"},
    {("<<<<<<< ", "=======", " "): "", ("", "", ""): "%", ("%", "\n", "\r"): "\ud800"},
)
def test_whatever_is_written_is_read_back(
    version: str, inputs: dict[tuple[str, ...], str], predictions: dict[tuple[str, ...], str]
) -> None:
    given_ = Baseline(version, inputs, predictions)
    written = baseline.text(given_)
    assert baseline.parse(written) == given_
    assert baseline.parse(written.replace("\n", "\r\n")) == given_
    assert baseline.text(baseline.parse(written)) == written


@settings(deadline=None)
@given(
    predictions=st.dictionaries(st.tuples(WORDS, WORDS, WORDS), WORDS, min_size=1, max_size=4),
    place=st.integers(min_value=0),
    change=st.sampled_from(["0", "1", "x", "\n", " ", ""]),
)
def test_no_edit_passes(predictions: dict[tuple[str, ...], str], place: int, change: str) -> None:
    written = baseline.text(Baseline("0.1.0", {}, predictions))
    at = place % len(written)
    edited = written[:at] + change + written[at + 1 :]
    if edited != written:
        with pytest.raises(SpecError):
            baseline.parse(edited)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=1000))
def test_no_file_that_is_cut_off_passes(length: int) -> None:
    written = baseline.text(SMALL)
    if length < len(written):
        with pytest.raises(SpecError):
            baseline.parse(written[:length])


def test_a_file_is_sorted_with_a_line_for_each_figure() -> None:
    lines = baseline.text(SMALL).splitlines()
    assert lines[:-1] == [
        "roofline-baseline 1",
        "version = 0.1.0",
        "",
        "[inputs]",
        "chip h100-sxm = 8653c4e8a30a928d",
        "",
        "[predictions]",
        "8xh100-sxm chat decode_bound = memory",
        "8xh100-sxm chat tpot_s = 0.0161234",
        "",
        "[checksum]",
    ]
    assert baseline.parse(baseline.text(SMALL)).lines["8xh100-sxm", "chat", "tpot_s"] == 9


def edited(change: Callable[[str], str]) -> str:
    return change(baseline.text(SMALL))


CONFLICT = "<<<<<<< HEAD\n8xh100-sxm chat tpot_s = 0.0161234\n=======\n8xh100-sxm chat tpot_s = 0.02\n>>>>>>> b\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (edited(lambda text: text.replace("8xh100-sxm chat tpot_s = 0.0161234\n", CONFLICT)), f"x:9: merge conflict; {AGAIN}"),
        (edited(lambda text: text.replace("0.0161234", "0.02")), f"x:12: was edited or damaged: it is not what its checksum says; {AGAIN}"),
        (edited(lambda text: text.replace("8xh100-sxm chat tpot_s = 0.0161234\n", "")), "x:11: was edited or damaged"),
        (edited(lambda text: text[:150]), "is cut off: its last line, a checksum, is missing"),
        (edited(lambda text: text[:-1]), "is cut off"),
        (edited(lambda text: text.replace("roofline-baseline 1", "roofline-baseline 2")), "x:1: is of format 2, and this version of roofline reads up to 1; use a newer one"),
        (edited(lambda text: text.replace("roofline-baseline 1", "roofline-baseline 0")), "x:1: is of no format that exists: 0"),
        ("", "x:1: is no baseline of roofline: it does not begin with 'roofline-baseline'"),
        ("{}", "x:1: is no baseline of roofline"),
        (edited(lambda text: text + "more\n"), "was edited or damaged"),
    ],
    ids=lambda value: value[:30] if "x:" in value else "",
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        baseline.parse(text, "x")
    assert message in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "body", ["roofline-baseline 1\nversion = 1\n[inputs]\nhm\n", "roofline-baseline 1\nversion = 1\n[inputs]\na = 1\n",
             "roofline-baseline 1\nversion = 1\n[inputs]\na b = 1\na b = 2\n", "roofline-baseline 1\nversion = 1\n[inputs]\na %8B = 1\n",
             "roofline-baseline 1\nversion = 1\n[inputs]\na b = %FF\n", "roofline-baseline 1\n[inputs]\n"],
)  # fmt: skip
def test_a_right_checksum_alone_makes_no_baseline(body: str) -> None:
    body += "[checksum]\n"
    with pytest.raises(SpecError, match=r"means nothing|does not say"):
        baseline.parse(f"{body}sha256 = {baseline._checksum(body)}\n")


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "roofline.baseline"
    baseline.write(SMALL, path)
    assert baseline.read(path) == SMALL
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="no such folder"):
        baseline.write(SMALL, tmp_path / "none" / "x")


@pytest.mark.parametrize("raw", [b"# README\n", b"\xff\x00", b""])
def test_nothing_but_a_baseline_is_written_over(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(raw)
    with pytest.raises(OutputError, match="is no baseline of roofline; name another file"):
        baseline.write(SMALL, path)
    assert path.read_bytes() == raw


def test_a_newer_baseline_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(baseline.text(SMALL).replace("baseline 1", "baseline 7"), encoding="utf-8")
    with pytest.raises(SpecError, match="is of format 7"):
        baseline.write(SMALL, path)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    baseline.write(SMALL, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert baseline.read(tmp_path / "real") == SMALL


@pytest.mark.parametrize("raw", [b"\xff\xfe", None])
def test_what_can_not_be_read_is_said(tmp_path: Path, raw: bytes | None) -> None:
    path = tmp_path / "x"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(RooflineError, match="is a folder"):
        baseline.read(tmp_path)
    with pytest.raises(RooflineError, match=r"is not UTF-8 text|no such file; 'roofline check --update' writes it"):
        baseline.read(path)
