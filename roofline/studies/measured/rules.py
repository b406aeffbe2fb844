"""What is known of sources besides their rows: when their software was released, what of it can't be used and why.

The rules stand in `workloads/measured/sources.yaml` and hold for every table that `validate` and `calibrate` read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from pydantic import ValidationError

from roofline.catalog import document
from roofline.catalog.faults import explain
from roofline.catalog.fields import Day, Many, Spec, Word
from roofline.catalog.specs.common import Id
from roofline.catalog.store import builtin
from roofline.errors import SpecError
from roofline.studies.measured.table import Case, SkipError

IDENTICAL = "identical"  # column that a rule fills: "yes" where all requests of a batch were the same
# More such columns: "yes" where all requests were equally long; how many were queued at once; what kernels did with
# rows for experts of other ranks, which may have been `passed` over without products or `multiplied` as if they were
# the rank's own; "no" where experts have no gate; "no" where a row is compared with, but not fitted to.
UNIFORM, REQUESTS, REMOTE, GATED, FITTED = "uniform", "requests", "remote", "gated", "fitted"


class RuleSpec(Spec):
    """One rule for rows whose `source`, `note` and `software` hold a text, on these chips or all, with these cells:
    leave them out, fill in a `date`, know that all requests of a batch were `identical`, or how many `requests` of each
    length were queued at once, or read other `cells` than are written."""

    source: Word = ""
    note: Word = ""
    software: Word = ""
    chips: Many[Id] = ()
    columns: Mapping[str, Many[str]] = {}
    exclude: Word | None = None
    date: Day | None = None
    identical: bool = False
    requests: Mapping[str, int] = {}
    cells: Mapping[str, str] = {}


class RulesSpec(Spec):
    """The file of rules."""

    format: int = 1
    rules: Many[RuleSpec]


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules in the order of the file."""

    rules: tuple[RuleSpec, ...]

    def applied(self, case: Case, chip: str | None) -> Case:
        """The case with what its source leaves out filled in; `SkipError` with the reason if it can't be used."""
        for rule in self.rules:
            if not _meant(rule, case, chip):
                continue
            if rule.exclude:
                raise SkipError(rule.exclude)
            if rule.date and not case["date"].strip():
                case = _with(case, "date", rule.date)
            if rule.identical:
                case = _with(case, IDENTICAL, "yes")
            if count := rule.requests.get(_lengths(case)):
                case = _with(case, REQUESTS, str(count))
            for column, text in rule.cells.items():
                case = _with(case, column, text)
        return case


def _with(case: Case, column: str, text: str) -> Case:
    numbers = {**case.numbers, column: float(text) if text else None} if column in case.numbers else case.numbers
    return replace(case, cells={**case.cells, column: text}, numbers=numbers)


def _lengths(case: Case) -> str:
    """Tokens in and out, `1024/128`."""
    return "/".join(f"{case.numbers.get(name) or 0.0:g}" for name in ("input_len", "output_len"))


def _meant(rule: RuleSpec, case: Case, chip: str | None) -> bool:
    texts = {"source": rule.source, "note": rule.note, "software": rule.software}
    if (rule.chips and chip not in rule.chips) or any(text not in case[name] for name, text in texts.items()):
        return False
    return all(case[name] in values for name, values in rule.columns.items())


@cache
def shipped_rules() -> Rules:
    """The rules that ship with the library."""
    path = builtin("workloads") / "measured" / "sources.yaml"
    found = document.read(path)
    try:
        return Rules(tuple(RulesSpec.model_validate(found.data).rules))
    except ValidationError as error:
        raise SpecError(explain(error, found, RulesSpec)) from None
