"""Predictions as they were: a text file with a line for each number, sorted, so that versions can be compared and
merged line by line, and a checksum, so that what was edited, cut off or merged by hand passes for nothing.

    roofline-baseline 1
    version = 0.1.0

    [inputs]
    chip h100-sxm = 8653c4e8a30a928d

    [predictions]
    8xh100-sxm llama-3.1-8b-chat tpot_s = 0.0161234

    [checksum]
    sha256 = ...
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from roofline.catalog import reading
from roofline.errors import Finding, OutputError, SpecError
from roofline.files import put

FORMAT = 1
TITLE = "roofline-baseline"
AGAIN = "run 'roofline check --update' and look at what changes"
INPUTS, PREDICTIONS, CHECKSUM = SECTIONS = ("[inputs]", "[predictions]", "[checksum]")
MAX_BYTES = 200_000_000
_MARKS = ("<<<<<<< ", "||||||| ", ">>>>>>> ", "=======")
_HIDDEN = re.compile(r"[\s%\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|^[=\[<|>]")
_LINE = re.compile(r"(?P<names>\S+(?: \S+)*) = (?P<value>\S+)")

Key: TypeAlias = "tuple[str, ...]"  # deployment, workload, metric; or kind and name of an input


@dataclass(frozen=True, slots=True)
class Baseline:
    """Values as text by deployment, workload and metric; hashes by kind and name of what they rest on; the version of
    roofline that predicted them; and, of a file, the line of each."""

    version: str
    inputs: Mapping[Key, str]
    predictions: Mapping[Key, str]
    lines: Mapping[Key, int] = field(default_factory=dict, compare=False)


def text(baseline: Baseline) -> str:
    """The file."""
    parts = [f"{TITLE} {FORMAT}", f"version = {_shown(baseline.version)}", "", INPUTS, *_lines(baseline.inputs)]
    body = "\n".join([*parts, "", PREDICTIONS, *_lines(baseline.predictions), "", CHECKSUM, ""])
    return f"{body}sha256 = {_checksum(body)}\n"


def parse(found: str, path: str = "<text>") -> Baseline:
    """Read a file; `SpecError` for anything but what `text` wrote."""
    body = found.replace("\r\n", "\n")
    lines = body.split("\n")
    _check_kind(lines[0], path)
    for number, line in enumerate(lines, 1):
        if line.startswith(_MARKS):
            raise _refused(path, f"merge conflict; {AGAIN}", number)
    head, mark, told = body.rpartition(f"{CHECKSUM}\nsha256 = ")
    if not mark or not told.endswith("\n"):
        raise _refused(path, f"is cut off: its last line, a checksum, is missing; {AGAIN}", len(lines))
    if told.strip() != _checksum(f"{head}{CHECKSUM}\n"):
        raise _refused(path, f"was edited or damaged: it is not what its checksum says; {AGAIN}", len(lines) - 1)
    return _read(lines, path)


def read(path: Path) -> Baseline:
    """The baseline in a file; `SpecError` if there is none, or none that can be relied on."""
    if os.path.isdir(path):
        raise SpecError([Finding(str(path), "", "is a folder; name a file")])
    if not os.path.exists(path):
        raise SpecError([Finding(str(path), "", "no such file; 'roofline check --update' writes it")])
    return parse(reading.text(path, MAX_BYTES), str(path))


def may_replace(path: Path) -> bool:
    """Whether a file is a baseline, sound or not, or there is none; `SpecError` for one of a newer format."""
    if not os.path.exists(path):
        return True
    with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as file:
        first = file.readline(200).rstrip("\n")
        if first.startswith(f"{TITLE} "):
            _check_kind(first, str(path))
            return True
    return False


def write(baseline: Baseline, path: Path) -> None:
    """Write the file whole or not at all; `OutputError` for what can't be written, or is something else than a
    baseline."""
    if not may_replace(path):
        raise OutputError(f"{path}: is no baseline of roofline; name another file")
    put({path: text(baseline)})


def _check_kind(first: str, path: str) -> None:
    """`SpecError` unless the first line is that of a baseline of this format."""
    found = re.fullmatch(rf"{TITLE} ([0-9]{{1,9}})", first)
    if found is None:
        raise _refused(path, f"is no baseline of roofline: it does not begin with '{TITLE}'", 1)
    if int(found[1]) > FORMAT:
        message = f"is of format {found[1]}, and this version of roofline reads up to {FORMAT}; use a newer one"
        raise _refused(path, message, 1)
    if int(found[1]) < 1:
        raise _refused(path, f"is of no format that exists: {found[1]}", 1)


def _read(lines: list[str], path: str) -> Baseline:
    """The parts of a file whose checksum is right."""
    groups: dict[str, dict[Key, str]] = {section: {} for section in ("", *SECTIONS)}
    places: dict[Key, int] = {}
    section, sizes = "", {"": 1, INPUTS: 2, PREDICTIONS: 3, CHECKSUM: 1}
    for number, line in enumerate(lines[1:], 2):
        if line in SECTIONS:
            section = line
            continue
        if not line:
            continue
        try:
            names, value = _said(line)
        except ValueError:  # bytes behind percent signs are no text
            names, value = (), ""
        if len(names) != sizes[section] or names in groups[section]:
            raise _refused(path, f"has a line that means nothing; {AGAIN}", number)
        groups[section][names] = value
        places[names] = number
    if ("version",) not in groups[""]:
        raise _refused(path, f"does not say which version of roofline wrote it; {AGAIN}", 2)
    return Baseline(groups[""][("version",)], groups[INPUTS], groups[PREDICTIONS], places)


def _said(line: str) -> tuple[Key, str]:
    """Names and value of a line; no names if it has none."""
    match = _LINE.fullmatch(line)
    return (tuple(map(_hidden, match["names"].split(" "))), _hidden(match["value"])) if match else ((), "")


def _lines(values: Mapping[Key, str]) -> list[str]:
    return sorted(f"{' '.join(map(_shown, names))} = {_shown(value)}" for names, value in values.items())


def _shown(word: str) -> str:
    """A word without what would end it, or be taken for something else.

    >>> _shown("./my chip.yaml"), _hidden("./my%20chip.yaml")
    ('./my%20chip.yaml', './my chip.yaml')
    """
    return _HIDDEN.sub(_escaped, word) or "%"


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _hidden(word: str) -> str:
    return "" if word == "%" else unquote(word, errors="surrogatepass")


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _refused(path: str, message: str, line: int) -> SpecError:
    return SpecError([Finding(path, "", message, line)])
