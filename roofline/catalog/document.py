"""YAML text to plain values that know their line and column; hostile text is refused in bounded time.

PyYAML's C parser delivers events; the tree is built here in one pass because its own loader keeps the last of two
equal keys without a word, expands aliases without end and forgets where a value stood. Scalars follow YAML 1.2's
core schema, so `no` and `on` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from roofline.catalog import reading
from roofline.errors import Finding, SpecError

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 40

KeyPath: TypeAlias = "tuple[str | int, ...]"

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(slots=True)
class Document:
    """What one file says, and where it says it."""

    path: str
    data: Any
    places: dict[KeyPath, tuple[str, int, int]] = field(default_factory=dict)

    def finding(self, key_path: KeyPath, message: str) -> Finding:
        """A fault at that key, or at the nearest enclosing one that the file has."""
        for length in range(len(key_path), -1, -1):
            if key_path[:length] in self.places:
                path, line, column = self.places[key_path[:length]]
                return Finding(path, dotted(key_path), message, line, column)
        return Finding(self.path, dotted(key_path), message)


def dotted(key_path: KeyPath) -> str:
    """`("memory", 0, "bandwidth")` as people read it.

    >>> dotted(("memory", 0, "bandwidth"))
    'memory.0.bandwidth'
    """
    return ".".join(str(part) for part in key_path)


def read(path: Path) -> Document:
    """Read one YAML file; `SpecError` if it is unreadable, too large, not YAML, or not a mapping."""
    return parse(reading.text(path, MAX_BYTES), str(path))


def parse(text: str, path: str = "<text>") -> Document:
    """Parse YAML text that holds one mapping; `SpecError` names line and column of what is wrong."""
    builder = _Builder(path)
    try:
        builder.build(yaml.parse(text, Loader=_PARSER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = f"not YAML: {error.problem or error.context}"
        raise SpecError([Finding(path, "", message, line, column)]) from None
    except yaml.YAMLError as error:
        raise SpecError([Finding(path, "", f"not YAML: {str(error).splitlines()[0]}")]) from None
    if builder.findings:
        raise SpecError(builder.findings)
    if not isinstance(builder.root, dict):
        raise SpecError([Finding(path, "", "must be a mapping of keys to values", 1, 1)])
    return Document(path, builder.root, builder.places)


@dataclass(slots=True)
class _Container:
    value: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None


class _Builder:
    """Builds the tree from parser events, noting the place of each value."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.root: Any = None
        self.places: dict[KeyPath, tuple[str, int, int]] = {}
        self.findings: list[Finding] = []
        self._stack: list[_Container] = []
        self._nodes = 0
        self._documents = 0

    def build(self, events: Iterator[Any]) -> None:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._stack.pop()
            elif isinstance(event, yaml.AliasEvent):
                self._refuse(event, f"aliases (*{event.anchor}) are not supported; write the value out")
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    self._refuse(event, "holds more than one document; a spec is one file")

    def _refuse(self, event: Any, message: str) -> None:
        mark = event.start_mark
        raise SpecError([*self.findings, Finding(self.path, "", message, mark.line + 1, mark.column + 1)])

    def _scalar(self, event: Any) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._count(event)
            self._key(top, event)
        else:
            self._place(event, _resolve(event))

    def _key(self, top: _Container, event: Any) -> None:
        key = event.value
        if key in top.value:
            mark, place = event.start_mark, (*top.path, key)
            first = self.places[place][1]
            finding = Finding(
                self.path,
                dotted(place),
                f"duplicate key (first on line {first})",
                mark.line + 1,
                mark.column + 1,
            )
            self.findings.append(finding)
        top.key = key

    def _open(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._refuse(event, "a key must be text")
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._stack.append(_Container(value, self._place(event, value)))

    def _place(self, event: Any, value: Any) -> KeyPath:
        """Put a value where it belongs and note its place."""
        self._count(event)
        mark = event.start_mark
        if not self._stack:
            path: KeyPath = ()
            self.root = value
        else:
            top = self._stack[-1]
            if isinstance(top.value, list):
                path = (*top.path, len(top.value))
                top.value.append(value)
            else:
                key = top.key or ""
                path = (*top.path, key)
                top.value[key], top.key = value, None
        self.places[path] = (self.path, mark.line + 1, mark.column + 1)
        return path

    def _count(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"holds more than {MAX_NODES:,} values")


def _resolve(event: Any) -> Any:
    """A plain scalar by YAML 1.2's core schema; quoted ones are text."""
    text: str = event.value
    if event.style in ("'", '"', "|", ">"):
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 300 else text
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
