"""Field types of the file formats: quantities with a unit, counts, and the base that forbids unknown keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from roofline import units
from roofline.errors import UnitError


class Spec(BaseModel):
    """Base of every file format: unknown keys are errors, values are checked strictly."""

    # deferred: a nested format needs no validator of its own, which halves the time to start
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def _quantity(dimension: str) -> Callable[[object], float]:
    def read(value: object) -> float:
        try:
            return units.parse(value, dimension)
        except UnitError as error:
            raise ValueError(str(error)) from None

    return read


def _positive(dimension: str) -> Callable[[float], float]:
    def check(value: float) -> float:
        if not value > 0:
            raise ValueError(f"must be positive, got {units.show(value, dimension)}")
        return value

    return check


def _not_negative(dimension: str) -> Callable[[float], float]:
    def check(value: float) -> float:
        if not value >= 0:
            raise ValueError(f"must not be negative, got {units.show(value, dimension)}")
        return value

    return check


def _schema(dimension: str) -> WithJsonSchema:
    """JSON Schema of a quantity: text, a number and one of the dimension's units."""
    symbols = sorted((symbol for symbol, (si, _) in units.UNITS.items() if si == dimension), key=lambda s: (-len(s), s))
    pattern = r"^\s*\+?[0-9][0-9_]*\.?[0-9]*([eE][+-]?[0-9]+)?\s*(" + "|".join(symbols) + r")\s*$"
    description = f"{units.DIMENSIONS[dimension].name}, written with its unit"
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": pattern,
            "examples": [units.DIMENSIONS[dimension].example],
            "description": description,
        }
    )


def _share(value: object) -> float:
    """A number written `0.85` or `85 %`."""
    if isinstance(value, str):
        value = _quantity("1")(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"not a fraction: {value!r} (write 0.85 or '85 %')")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("not a fraction: a number of too many digits") from None


def _fraction(value: object) -> float:
    """A share between 0 and 1, written `0.85` or `85 %`."""
    share = _share(value)
    if not (math.isfinite(share) and 0 < share <= 1):
        raise ValueError(f"must lie above 0 and not above 1, got {share:g}")
    return share


def _fraction_or_zero(value: object) -> float:
    """A share from 0 to 1, written `0.85` or `85 %`."""
    share = _share(value)
    if not 0 <= share <= 1:
        raise ValueError(f"must lie from 0 to 1, got {share:g}")
    return share


def _share_or_more(value: object) -> float:
    """A share of at least 0 that may be above 1, written `0.02` or `2 %`."""
    share = _share(value)
    if not 0 <= share < math.inf:
        raise ValueError(f"must be at least 0, got {share:g}")
    return share


def _below_one(value: object) -> float:
    """A share that leaves something: from 0, below 1, written `0.3` or `30 %`."""
    share = _share(value)
    if not 0 <= share < 1:
        raise ValueError(f"must lie from 0 to below 1, got {share:g}")
    return share


def _at_least_one(value: object) -> float:
    """A plain number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < math.inf:
        raise ValueError(f"must be a number of at least 1, got {value!r}")
    return float(value)


def _count(value: object) -> int:
    """A whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, got {value!r}")
    if not 1 <= value <= 10**15:
        raise ValueError(f"must be between 1 and 10^15, got {value}")
    return value


def _batch(value: object) -> float:
    """A whole number of at least one, or `max`: infinite."""
    if value == "max":
        return math.inf
    try:
        return float(_count(value))
    except ValueError as error:
        raise ValueError(f"{error}, or max for as many as memory holds") from None


def _count_or_zero(value: object) -> int:
    """A whole number of at least zero."""
    return 0 if value == 0 and not isinstance(value, bool) else _count(value)


def _exponent(value: object) -> float:
    """An overlap exponent: at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1:
        raise ValueError(
            f"must be a number of at least 1 (1: compute and memory add; larger: they overlap), got {value!r}"
        )
    return float(value)


def _pipeline_exponent(value: object) -> float:
    """How a message's start and its bytes add: from 1/3 (a pipeline that fills slowly) to 1 (their sum)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 / 3 <= value <= 1:
        raise ValueError(f"must be a number from 0.34 to 1 (1: start and bytes add; less: slower), got {value!r}")
    return float(value)


def _amount(value: object) -> float:
    """A plain number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"must be a number of at least 0, got {value!r}")
    return float(value)


def _multiple(value: object) -> float:
    """A plain number above 0, at most 10."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 10:
        raise ValueError(f"must be a number above 0 and at most 10, got {value!r}")
    return float(value)


# Names that mean something else where lengths are varied.
TAKEN = ("prefill", "decode", "pause", "cached", "repeat", "batch", "input", "output", "context", "acceptance")


def _step_name(value: object) -> str:
    """A name for a step, which nothing else has that can be varied."""
    if not isinstance(value, str) or re.fullmatch("[a-z][a-z0-9-]{0,31}", value) is None:
        raise ValueError(f"must be small letters, digits and '-', e.g. 'thinking', got {value!r}")
    if value in TAKEN:
        raise ValueError(f"{value!r} is no name for a step: it means something else; call it by what it does")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text, got {value!r}")
    if any(
        ord(char) < 32 or ord(char) == 127 or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        for char in value
    ):
        raise ValueError("must not hold control characters")
    return value


ArithmeticRate = Annotated[
    float, BeforeValidator(_quantity("FLOP/s")), AfterValidator(_positive("FLOP/s")), _schema("FLOP/s")
]
Bandwidth = Annotated[float, BeforeValidator(_quantity("B/s")), AfterValidator(_positive("B/s")), _schema("B/s")]
Data = Annotated[float, BeforeValidator(_quantity("B")), AfterValidator(_positive("B")), _schema("B")]
Power = Annotated[float, BeforeValidator(_quantity("W")), AfterValidator(_positive("W")), _schema("W")]
Watts = Annotated[float, BeforeValidator(_quantity("W")), AfterValidator(_not_negative("W")), _schema("W")]
Frequency = Annotated[float, BeforeValidator(_quantity("Hz")), AfterValidator(_positive("Hz")), _schema("Hz")]
Duration = Annotated[float, BeforeValidator(_quantity("s")), AfterValidator(_not_negative("s")), _schema("s")]
Period = Annotated[float, BeforeValidator(_quantity("s")), AfterValidator(_positive("s")), _schema("s")]
Money = Annotated[float, BeforeValidator(_quantity("USD")), AfterValidator(_positive("USD")), _schema("USD")]
HourlyPrice = Annotated[
    float, BeforeValidator(_quantity("USD/h")), AfterValidator(_positive("USD/h")), _schema("USD/h")
]
EnergyPrice = Annotated[
    float, BeforeValidator(_quantity("USD/J")), AfterValidator(_not_negative("USD/J")), _schema("USD/J")
]
PowerRent = Annotated[
    float, BeforeValidator(_quantity("USD/W/s")), AfterValidator(_not_negative("USD/W/s")), _schema("USD/W/s")
]
TokenPrice = Annotated[
    float, BeforeValidator(_quantity("USD/token")), AfterValidator(_positive("USD/token")), _schema("USD/token")
]
YearlyRate = Annotated[
    float, BeforeValidator(_quantity("/year")), AfterValidator(_not_negative("/year")), _schema("/year")
]
EnergyPerByte = Annotated[
    float, BeforeValidator(_quantity("J/B")), AfterValidator(_not_negative("J/B")), _schema("J/B")
]
EnergyPerFlop = Annotated[
    float, BeforeValidator(_quantity("J/FLOP")), AfterValidator(_not_negative("J/FLOP")), _schema("J/FLOP")
]
Fraction = Annotated[
    float,
    BeforeValidator(_fraction),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
            ],
            "description": "share between 0 and 1, as a number or in %",
        }
    ),
]
FractionOrZero = Annotated[
    float,
    BeforeValidator(_fraction_or_zero),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
            ],
            "description": "share from 0 to 1, as a number or in %",
        }
    ),
]
ShareOrMore = Annotated[
    float,
    BeforeValidator(_share_or_more),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"}],
            "description": "share of at least 0, as a number or in %",
        }
    ),
]
BelowOne = Annotated[
    float,
    BeforeValidator(_below_one),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
            ],
            "description": "share from 0 to below 1, as a number or in %",
        }
    ),
]
AtLeastOne = Annotated[float, BeforeValidator(_at_least_one), Field(json_schema_extra={"minimum": 1})]
Count = Annotated[int, BeforeValidator(_count), Field(json_schema_extra={"minimum": 1})]
Batch = Annotated[
    float,
    BeforeValidator(_batch),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "max"}], "description": "a count, or max"}),
]
CountOrZero = Annotated[int, BeforeValidator(_count_or_zero), Field(json_schema_extra={"minimum": 0})]
Exponent = Annotated[float, BeforeValidator(_exponent), Field(json_schema_extra={"minimum": 1})]
PipelineExponent = Annotated[
    float, BeforeValidator(_pipeline_exponent), Field(json_schema_extra={"minimum": 1 / 3, "maximum": 1})
]
Amount = Annotated[float, BeforeValidator(_amount), Field(json_schema_extra={"minimum": 0})]
Multiple = Annotated[float, BeforeValidator(_multiple), Field(json_schema_extra={"exclusiveMinimum": 0, "maximum": 10})]
Word = Annotated[str, BeforeValidator(_word)]
Day = Annotated[str, BeforeValidator(_word), Field(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")]

StepName = Annotated[
    str,
    BeforeValidator(_step_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9-]*$", "not": {"enum": list(TAKEN)}}),
]

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Field(strict=False)]  # YAML has lists, frozen objects hold tuples
