"""What a deployment must keep: limits as they are written, as numbers, and what becomes of combinations under them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from roofline import units
from roofline.errors import RooflineError, UnitError, did_you_mean
from roofline.workload import Serving, Training, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

Numbers: TypeAlias = "Mapping[str, NDArray[np.float64]]"
Flags: TypeAlias = "NDArray[np.bool_]"

NONE = "none"  # takes back what a workload promises


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of limit: the figure it is about, its unit (empty: a plain count), one as people write it, and whether
    it is the least that is allowed."""

    figure: str
    unit: str
    example: str
    least: bool = False


# By the names of options; what differs between kinds of workloads stands twice.
SERVING: Mapping[str, Kind] = MappingProxyType(
    {
        "ttft": Kind("ttft_s", "s", "500ms"),
        "tpot": Kind("tpot_s", "s", "30ms"),
        "throughput": Kind("tokens_per_s", "token/s", "20000tok/s", least=True),
        "power": Kind("power_w", "W", "40kW"),
        "budget": Kind("usd_per_hour", "USD/h", "20USD/h"),
        "chips_at_most": Kind("num_chips", "", "64"),
    }
)
TRAINING: Mapping[str, Kind] = MappingProxyType(
    {
        "within": Kind("time_to_train_s", "s", "30d"),
        "throughput": Kind("tokens_per_s", "token/s", "20000tok/s", least=True),
        "power": Kind("power_w", "W", "40kW"),
        "budget": Kind("usd", "USD", "2MUSD"),
        "chips_at_most": Kind("num_chips", "", "64"),
    }
)
NAMES = tuple(dict.fromkeys((*SERVING, *TRAINING)))


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit in SI units (USD/h of money for time, as it is written)."""

    name: str
    figure: str
    unit: str
    value: float
    least: bool

    def kept(self, numbers: Numbers) -> Flags:
        """Which combinations keep it; a figure that is not known keeps nothing."""
        figure = numbers[self.figure]
        return np.asarray(figure >= self.value if self.least else figure <= self.value)

    def excess(self, numbers: Numbers) -> NDArray[np.float64]:
        """By what factor combinations are beyond it, at most 1 where they keep it; infinite where nobody knows."""
        figure = numbers[self.figure]
        over = self.value / np.maximum(figure, 1e-300) if self.least else figure / self.value
        return np.where(np.isnan(figure), np.inf, over)

    def margin(self, figure: float | None) -> float | None:
        """The share of the limit that a figure leaves; below zero where it is broken."""
        if figure is None or not math.isfinite(figure):
            return None
        return figure / self.value - 1.0 if self.least else 1.0 - figure / self.value


def limits(job: Workload, given: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Limits as options have them, with what the workload promises where they say nothing.

    Raises `RooflineError` for a limit without its unit, not above zero, or of another kind of workload.
    """
    kinds, others = (TRAINING, SERVING) if isinstance(job, Training) else (SERVING, TRAINING)
    told = {name: value for name, value in given.items() if value is not None}
    for name in told:
        if name not in kinds:
            _refuse(name, job, kinds, others)
    if isinstance(job, Serving):
        told = {"ttft": job.slo.ttft_s, "tpot": job.slo.tpot_s} | told
        if "tpot" in told and not np.any(job.output_len):
            if given.get("tpot") not in (None, NONE):
                raise RooflineError(f"{flag('tpot')}: {job.id} generates no tokens")
            told.pop("tpot")
    return tuple(
        Limit(name, kind.figure, kind.unit, amount(name, told[name], kind), kind.least)
        for name, kind in kinds.items()
        if told.get(name) not in (None, NONE)
    )


def _refuse(name: str, job: Workload, kinds: Mapping[str, Kind], others: Mapping[str, Kind]) -> None:
    if name in others:
        does, kind = ("trains", "serving") if isinstance(job, Training) else ("is served", "training")
        raise RooflineError(f"{flag(name)} belongs to {kind}; {job.id} {does} ({', '.join(map(flag, kinds))})")
    near = did_you_mean(name, NAMES, most=1)
    raise RooflineError(f"unknown limit {name!r}" + (f"; did you mean {near}?" if near else f"; one of {NAMES}"))


def amount(name: str, value: Any, kind: Kind) -> float:
    """A limit as written, in its unit; what a workload promises is in SI units already.

    >>> amount("tpot", "30 ms", SERVING["tpot"]), amount("chips_at_most", 64, SERVING["chips_at_most"])
    (0.03, 64.0)
    """
    if not kind.unit:
        if isinstance(value, bool) or not str(value).strip().isdecimal() or int(value) < 1:
            raise RooflineError(f"{flag(name)} {value}: write a whole number of chips, 1 or more, e.g. {kind.example}")
        return float(int(value))
    if isinstance(value, float) and name in ("ttft", "tpot"):
        return _positive(name, value, value)
    if re.fullmatch(r"\s*[+-]?[0-9]*\.?[0-9]+\s*", str(value)):
        raise RooflineError(f"{flag(name)} {value}: needs a unit, e.g. {flag(name)} {kind.example}")
    try:
        return _positive(name, units.parse(value, kind.unit), value)
    except UnitError as error:
        raise RooflineError(f"{flag(name)} {value}: {error}; write e.g. {flag(name)} {kind.example}") from None


def _positive(name: str, found: float, written: Any) -> float:
    if not found > 0.0:
        raise RooflineError(f"{flag(name)} {written}: must be above zero")
    return found


def flag(name: str) -> str:
    """A limit as the command line calls it.

    >>> flag("chips_at_most")
    '--chips-at-most'
    """
    return f"--{name.replace('_', '-')}"


def keeps(found: Sequence[Limit], numbers: Numbers, held: Flags) -> Flags:
    """Which combinations memory holds and all limits let pass."""
    kept = held
    for limit in found:
        kept = kept & limit.kept(numbers)
    return kept


def refusals(found: Sequence[Limit], numbers: Numbers, held: Flags) -> dict[str, dict[str, int]]:
    """How many of the combinations that memory holds each limit refuses, and how many no other one does."""
    kept = {limit.name: limit.kept(numbers) for limit in found}
    told = {}
    for name, flags in kept.items():
        rest = held & ~flags
        alone = rest
        for other, others in kept.items():
            alone = alone if other == name else alone & others
        told[name] = {"refused": int(np.count_nonzero(rest)), "alone": int(np.count_nonzero(alone))}
    return told


def nearest(found: Sequence[Limit], numbers: Numbers, held: Flags) -> tuple[float, int] | None:
    """The combination that is least beyond the limits: by what factor beyond the one that it misses most, and which."""
    if not held.any():
        return None
    over = np.max([limit.excess(numbers) for limit in found], axis=0) if found else np.ones(held.shape)
    over = np.where(held, over, np.inf)
    best = int(np.argmin(over))
    return float(over[best]), best
