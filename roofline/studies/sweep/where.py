"""Conditions on rows: a small language of its own, read here and evaluated on whole columns; nothing of it is run.

    condition   = and ("or" and)*
    and         = not ("and" not)*
    not         = "not" not | comparison
    comparison  = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*
    sum         = product (("+" | "-") product)*
    product     = signed (("*" | "/") signed)*
    signed      = "-" signed | "(" condition ")" | number [unit] | "word" | true | false | column

Precedence is Python's, and so are chains: `1 < batch < 8`. A number with a unit is in SI units. What is not known of a
row compares as nothing does: only `!=` holds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from roofline import units
from roofline.errors import RooflineError, did_you_mean
from roofline.studies.sweep import columns
from roofline.studies.sweep.columns import Values, Words

DEEPEST = 30  # parentheses and signs within each other
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*(?:\.[\w-]+)*)"
    r"|(?P<word>\"[^\"]*\"|'[^']*')|(?P<sign><=|>=|==|!=|[<>+\-*/()]))"
)
_UNIT = re.compile(r"\s*([A-Za-zµ%][A-Za-z]*(?:/[A-Za-z]+)?(?:-[a-z]+)?)")
_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    }
)  # fmt: skip
_SUMS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({"+": operator.add, "-": operator.sub})
_PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({"*": operator.mul, "/": np.divide})
_WORDS = ("and", "or", "not", "true", "false")
Evaluate = Callable[[Mapping[str, Values]], Any]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """What was read: the columns that it needs, and how it is evaluated on them."""

    text: str
    names: tuple[str, ...]
    evaluate: Evaluate
    asked: str = "--where"  # what it is called where it is written

    def holds(self, table: Mapping[str, Values], rows: int) -> Any:
        """Whether it holds for each of so many rows."""
        with np.errstate(all="ignore"):
            found = self.evaluate(table)
        if not _is_flags(found):
            raise RooflineError(
                f"{self.asked} {self.text!r}: is no condition; compare with something, e.g. tpot_s < 30 ms"
            )
        return np.broadcast_to(found, (rows,))


def parse(
    text: str, known: Sequence[str], asked: str = "--where", elsewhere: str = "'--columns all' shows all columns"
) -> Condition:
    """Read a condition on rows that have the `known` columns.

    Raises `RooflineError`, saying at which character, for what is none.
    """
    reader = _Reader(text, known, asked, elsewhere)
    evaluate = reader.condition(0)
    if reader.token.kind != "end":
        reader.fail(f"{reader.token.text!r} is too much; join conditions by 'and' or 'or'")
    return Condition(text, tuple(dict.fromkeys(reader.names)), evaluate, asked)


class _Reader:
    """Recursive descent; each rule of the grammar is a method that returns how to evaluate what it read."""

    def __init__(self, text: str, known: Sequence[str], asked: str, elsewhere: str) -> None:
        self.text, self.known, self.names = text, known, list[str]()
        self.asked, self.elsewhere = asked, elsewhere
        self.tokens = list(_tokens(text, self.fail))
        self.at = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def next(self) -> _Token:
        token = self.token
        self.at += 1
        return token

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        place = self.token.at if at is None else at
        raise RooflineError(f"{self.asked} {self.text!r}: character {place + 1}: {message}")

    # -- rules

    def condition(self, depth: int) -> Evaluate:
        return self._joined("or", np.logical_or, lambda: self._and(depth))

    def _and(self, depth: int) -> Evaluate:
        return self._joined("and", np.logical_and, lambda: self._not(depth))

    def _joined(self, word: str, join: Callable[[Any, Any], Any], part: Callable[[], Evaluate]) -> Evaluate:
        start = self.token.at
        parts = [(part(), start)]
        while self.token.text == word and self.token.kind == "name":
            self.next()
            start = self.token.at
            parts.append((part(), start))
        if len(parts) == 1:
            return parts[0][0]

        def evaluate(table: Mapping[str, Values]) -> Any:
            found = [self._flags(one(table), at) for one, at in parts]
            result = found[0]
            for other in found[1:]:
                result = join(result, other)
            return result

        return evaluate

    def _not(self, depth: int) -> Evaluate:
        if not (self.token.kind == "name" and self.token.text == "not"):
            return self._comparison(depth)
        self._deeper(depth)
        self.next()
        at = self.token.at
        inner = self._not(depth + 1)
        return lambda table: np.logical_not(self._flags(inner(table), at))

    def _comparison(self, depth: int) -> Evaluate:
        first = self._sum(depth)
        links: list[tuple[str, int, Evaluate]] = []
        while self.token.text in _COMPARED and self.token.kind == "sign":
            sign = self.next()
            links.append((sign.text, sign.at, self._sum(depth)))
        if not links:
            return first

        def evaluate(table: Mapping[str, Values]) -> Any:
            left, result = first(table), None
            for sign, at, part in links:
                right = part(table)
                found = self._compare(sign, at, left, right)
                result = found if result is None else np.logical_and(result, found)
                left = right
            return result

        return evaluate

    def _sum(self, depth: int) -> Evaluate:
        return self._chain(_SUMS, lambda: self._product(depth))

    def _product(self, depth: int) -> Evaluate:
        return self._chain(_PRODUCTS, lambda: self._signed(depth))

    def _chain(self, signs: Mapping[str, Callable[[Any, Any], Any]], part: Callable[[], Evaluate]) -> Evaluate:
        start = self.token.at
        first = part()
        links: list[tuple[str, int, Evaluate]] = []
        while self.token.text in signs and self.token.kind == "sign":
            sign = self.next()
            links.append((sign.text, self.token.at, part()))
        if not links:
            return first

        def evaluate(table: Mapping[str, Values]) -> Any:
            result = self._number(first(table), start)
            for sign, at, one in links:
                result = signs[sign](result, self._number(one(table), at))
            return result

        return evaluate

    def _signed(self, depth: int) -> Evaluate:
        token = self.next()
        if token.kind == "number":
            value = token.value
            return lambda _: np.float64(value)
        if token.kind == "word":
            return lambda _: token.text[1:-1]
        if token.kind == "name" and token.text in ("true", "false"):
            return lambda _: np.bool_(token.text == "true")
        if token.kind == "name" and token.text not in _WORDS:
            return self._column(token)
        if token.text == "-":
            self._deeper(depth)
            at = self.token.at
            inner = self._signed(depth + 1)
            return lambda table: -self._number(inner(table), at)
        if token.text == "(":
            self._deeper(depth)
            inner = self.condition(depth + 1)
            if self.token.text != ")":
                self.fail("')' is missing")
            self.next()
            return inner
        told = f"{token.text!r} can't stand here" if token.text else "something is missing"
        return self.fail(f"{told}; write a column, a number or a condition", token.at)

    def _column(self, token: _Token) -> Evaluate:
        if token.text not in self.known and f"output_{token.text}" not in self.known:
            near = did_you_mean(token.text, self.known)
            hint = f"did you mean {near}?" if near else self.elsewhere
            self.fail(f"no column {token.text!r}; {hint}", token.at)
        name = columns.find(token.text, self.known, self.asked)
        self.names.append(name)
        return lambda table: table[name]

    # -- kinds

    def _deeper(self, depth: int) -> None:
        if depth >= DEEPEST:
            self.fail(f"more than {DEEPEST} parentheses or signs within each other")

    def _flags(self, value: Any, at: int) -> Any:
        return value if _is_flags(value) else self.fail("is no condition; compare it with something", at)

    def _number(self, value: Any, at: int) -> Any:
        if isinstance(value, str | Words) or _is_flags(value):
            self.fail("is no number", at)
        return value

    def _compare(self, sign: str, at: int, left: Any, right: Any) -> Any:
        words = [isinstance(side, str | Words) for side in (left, right)]
        flags = [_is_flags(side) for side in (left, right)]
        if any(words):
            if not all(words):
                self.fail('a word is compared with a word in quotes, e.g. why == "memory"', at)
            if sign not in ("==", "!="):
                self.fail(f"words have no order; write == or != instead of {sign}", at)
            same = _same(left, right)
            return same if sign == "==" else np.logical_not(same)
        if any(flags) and (not all(flags) or sign not in ("==", "!=")):
            self.fail("a condition is compared with == or != with another one alone", at)
        return _COMPARED[sign](left, right)


def _same(left: str | Words, right: str | Words) -> Any:
    if isinstance(left, str):
        left, right = right, left
    if isinstance(left, str):
        return np.bool_(left == right)
    names = np.array(left.names)
    if isinstance(right, str):
        return (names == right)[left.codes]
    return names[left.codes] == np.array(right.names)[right.codes]


def _is_flags(value: Any) -> bool:
    return isinstance(value, np.bool_ | np.ndarray) and value.dtype == np.bool_


def _tokens(text: str, fail: Callable[[str, int], NoReturn]) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            place = at + len(text[at:]) - len(text[at:].lstrip())
            hint = "; write ==" if text[place] == "=" else "; write and, or, not" if text[place] in "&|!~" else ""
            fail(f"{text[place]!r} means nothing here{hint}", place)
        kind = str(match.lastgroup)
        token, begin, at = match[kind], match.start(kind), match.end()
        value = 0.0
        if kind == "number":
            value, at = _quantity(text, float(token), at)
            if not np.isfinite(value):
                fail(f"{token} is not finite", begin)
        yield _Token(kind, token, begin, value)
    yield _Token("end", "", len(text))


def _quantity(text: str, value: float, at: int) -> tuple[float, int]:
    """A number in SI units, with the unit that stands behind it if one does, and where it ends."""
    match = _UNIT.match(text, at)
    if match is not None:
        found = match[1]
        for unit in (found, found.partition("/")[0], found.partition("-")[0]):
            if unit in units.UNITS:
                return value * units.UNITS[unit][1], match.start(1) + len(unit)
    return value, at
