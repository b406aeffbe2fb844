"""Formulas as text: their value over terms, and the same text with numbers in place of its letters."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

from roofline.numeric import Num

_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Pow: operator.pow,
    }
)
_FUNCTIONS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {"min": min, "max": max, "ceil": math.ceil, "log2": math.log2}
)


def evaluate(formula: str, terms: Mapping[str, float]) -> float:
    """The value of a formula: numbers, names of terms, `+ - * / ^`, `min`, `max`, `ceil`, `log2`.

    >>> evaluate("2*m + max(m, 3)^2", {"m": 4.0})
    24.0
    """
    return _value(ast.parse(formula.replace("^", "**"), mode="eval").body, terms)


def _value(node: ast.expr, terms: Mapping[str, float]) -> float:
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, terms), _value(node.right, terms))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _FUNCTIONS[node.func.id](*(_value(argument, terms) for argument in node.args))
    if isinstance(node, ast.Name):
        return terms[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    raise ValueError(f"not arithmetic: {ast.unparse(node)}")


def names(formula: str) -> tuple[str, ...]:
    """The terms of a formula, in order of appearance.

    >>> names("2*m*k + max(m, n)")
    ('m', 'k', 'n')
    """
    found = (part for part in _words(formula) if part.isidentifier() and part not in _FUNCTIONS)
    return tuple(dict.fromkeys(found))


def substituted(formula: str, terms: Mapping[str, str]) -> str:
    """A formula with its letters replaced by what stands for them.

    >>> substituted("2*m*k", {"m": "32", "k": "8,192"})
    '2·32·8,192'
    """
    return "".join(terms.get(part, part) for part in _words(formula)).replace("*", "·")


def readable(formula: str) -> str:
    """A formula as people write it.

    >>> readable("compute_time + 2*m")
    'compute time + 2·m'
    """
    return formula.replace("*", "·").replace("_", " ")


def plain(value: Num) -> str:
    """A number as arithmetic shows it: whole where it is whole.

    >>> plain(32.0), plain(0.5), plain(1.5e12), plain(float("inf"))
    ('32', '0.5', '1,500,000,000,000', '∞')
    """
    number = float(value)
    if math.isinf(number):
        return "∞"
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.6g}"


def _words(formula: str) -> list[str]:
    """A formula cut into names, numbers and signs.

    >>> _words("2*m_k/log2(n)")
    ['2', '*', 'm_k', '/', 'log2', '(', 'n', ')']
    """
    parts: list[str] = []
    for char in formula:
        word = char.isalnum() or char == "_"
        if word and parts and (parts[-1][-1].isalnum() or parts[-1][-1] == "_"):
            parts[-1] += char
        else:
            parts.append(char)
    return parts
