"""Everything a user can cause. The command line prints these and exits with `exit_code`; anything else is a bug."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal


class RooflineError(Exception):
    """A fault in what the user gave us: bad usage or bad input."""

    exit_code = 2


class UnitError(RooflineError):
    """A quantity that can't be read, or one of another dimension than expected."""


@dataclass(frozen=True)
class Finding:
    """One fault in one file: where, which key, what is wrong and what to write instead."""

    path: str
    key: str
    message: str
    line: int = 0
    column: int = 0
    severity: Literal["error", "warning"] = "error"
    rule: str = ""  # of the linter, where one found it

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.line, self.column) if number]
        place = ":".join([self.path, *numbers])
        parts = (place, "warning" if self.severity == "warning" else "", self.key, self.message)
        return ": ".join(part for part in parts if part)


class SpecError(RooflineError):
    """A file that is not what it should be; carries every fault found, not only the first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class UnknownNameError(RooflineError):
    """A name that nothing in the catalogue has."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name = kind, name
        self.near = did_you_mean(name, known)
        suggestion = f"; did you mean {self.near}?" if self.near else ""
        super().__init__(f"no {kind} {name!r}{suggestion}{f' ({hint})' if hint else ''}")


class PlanError(RooflineError):
    """A parallel plan that the model, the chip count or the wiring forbids."""


class NoRoomError(PlanError):
    """No number of chips holds a workload; `most` are as many as their links join."""

    def __init__(self, message: str, most: int) -> None:
        super().__init__(message)
        self.most = most


class OutputError(RooflineError):
    """A place that can't be written to, or a format that can't hold the result."""


class EngineError(RooflineError):
    """Processes or workers of a cluster that can't be had, or can't go on."""


class CheckFailedError(RooflineError):
    """The tool worked and found something: a regression, a threshold missed, a deployment that does not fit."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """The closest known names, ready for a sentence; empty if none is close.

    >>> did_you_mean("h10-sxm", ["h100-sxm", "mi300x"])
    "'h100-sxm'"
    """
    known = list(known)
    close = get_close_matches(name.lower(), known, n=most, cutoff=0.6)
    starts = [other for other in sorted(known) if name and other.startswith(name.lower()) and other not in close]
    return " or ".join(repr(other) for other in [*close, *starts][:most])
