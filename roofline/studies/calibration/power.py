"""Fitting what makes the power of chips, of whole families and of all of a kind, to measured power of boards.

Constants are shares of a chip's TDP (see `roofline.machine.EnergyShares`); joules for a byte and a FLOP where the
family states some, because its chips are of one process. All chips of a kind are fitted first, then each family, pulled
towards its kind by as much as its rows are few. Where a row states its rate, the work of the prediction is done at that
rate: what a stack's times get wrong is no matter of watts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import energy, inference, roof
from roofline.engine.phases import replica_batch
from roofline.engine.prediction import Prediction
from roofline.errors import UnknownNameError
from roofline.machine import EnergyCosts, EnergyShares
from roofline.numeric import Num
from roofline.studies.calibration.fitting import NO_VALUES, Array, Constant, Fit, Values, fit
from roofline.studies.calibration.runs import Part
from roofline.studies.calibration.telling import MOST
from roofline.studies.measured.reading import grouped
from roofline.studies.measured.split import SET_ASIDE, on_side
from roofline.studies.measured.table import POWERS, Case, SkipError
from roofline.workload import Serving

FEWEST = 12  # rows that a kind or family needs for constants of its own
PULL = 1.0  # of the kind, and of what the catalogue states
BOARD = "power_w_per_chip"  # the metric that is fitted to: a board's sensor has no host in it
BLOCK = "fp8-block"  # the format whose cost beyond its rate is told
PICO = 1e-12
SHARES, JOULES = ("memory", "compute"), ("per_byte", "per_flop")
# Physical limits of each constant, where it starts if nothing is stated, how far from there is far.
CONSTANTS: Mapping[str, Constant] = MappingProxyType(
    {
        constant.name: constant
        for constant in (
            Constant("base", 0.2, 0.05, 0.4, 0.03),
            Constant("busy", 0.0, 0.0, 0.6, 0.1),
            Constant("memory", 0.6, 0.0, 2.0, 0.2),
            Constant("compute", 1.8, 0.2, 5.0, 0.6),
            Constant("per_byte", 150 * PICO, 0.0, 800 * PICO, 40 * PICO),
            Constant("per_flop", 1.5 * PICO, 0.1 * PICO, 10 * PICO, 0.4 * PICO),
            Constant(BLOCK, 1.5, 0.5, 4.0, 0.5),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Powered:
    """What was fitted for a kind or family: its shares, the chips that told them, and the fit."""

    id: str
    shares: EnergyShares
    chips: tuple[str, ...]
    fit: Fit


@dataclass(frozen=True, slots=True)
class Usable:
    """Rows of power that can be predicted, and the others with the reason."""

    parts: list[Part] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)


def usable(cases: Iterable[Case], catalog: Catalog, *, calibration: bool | None) -> Usable:
    """Rows of power of one side of the split, or of both, as they are predicted."""
    found = Usable()
    for reading, groups, left_out in grouped([case for case in cases if case["metric"] in POWERS], catalog):
        found.skipped.extend(left_out)
        for setup, members in groups.items():
            try:
                if not on_side(calibration, setup.chip, setup.model, setup.stack):
                    raise SkipError(SET_ASIDE)
                model, stack = reading.model_of(setup, catalog), reading.stack_of(setup, catalog)
                where = reading.deployment(setup, catalog, model, stack, members)
            except SkipError as reason:
                found.skipped.extend({"id": case["id"], "reason": str(reason)} for case in members)
                continue
            found.parts.append(Part(reading, setup, model, where, members, [reading.of_case(case) for case in members]))
    return found


def fit_all(rows: Sequence[Part], catalog: Catalog) -> list[Powered]:
    """Constants of every kind of chips, then of every family, that has rows enough."""
    known = [_Row.of(part) for part in rows]
    told = [row for row in known if row is not None]
    found: list[Powered] = []
    for kind, own in _by(told, "kind"):
        start = _stated(catalog, kind)
        whole = _fitted(kind, own, start) if start else None
        found += [whole] if whole else []
        for family, members in _by(own, "family"):
            near = _over(whole.shares, _stated(catalog, family)) if whole else _stated(catalog, family)
            one = _fitted(family, members, near) if near and family != kind else None
            found += [one] if one else []
    return found


def _over(kind: EnergyShares, family: EnergyShares | None) -> EnergyShares | None:
    """A kind's constants with what its family states of hardware, and of joules where its chips are of one process."""
    if family is None:
        return None
    own = {name: getattr(family, name) for name in ("rows", "idle", *JOULES)}
    return replace(kind, **own)


def _stated(catalog: Catalog, name: str) -> EnergyShares | None:
    try:
        return catalog.family(name).energy
    except UnknownNameError:
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """Rows of one prediction: their work, which no constant of power changes, and their stated over their predicted
    rate, 1 where none is stated."""

    part: Part
    work: Sequence[tuple[Any, Num]]
    pace: Array

    @classmethod
    def of(cls, part: Part) -> _Row | None:
        """Those of a board's power, None if there are none."""
        board = np.array([metric.name == BOARD for metric in part.metrics])
        if not board.any() or part.where.chip.tdp is None:
            return None
        kept = part.only(board)
        found = kept.prediction()
        return cls(kept, _work(found, kept), _pace(kept, found))

    @property
    def measured(self) -> Array:
        """Watts of one chip."""
        return self.part.measured

    def predicted(self, shares: EnergyShares) -> Num:
        """Watts of one chip with these constants that works at the stated rate, and waits for what is left of the
        time."""
        chip, costs = self.part.where.chip, self.costs(shares)
        power = energy.mean_power(replace(chip, energy=costs), self.work)
        if power is None or chip.tdp is None:
            return np.inf
        return np.minimum(costs.base + (power - costs.base) * self.pace, chip.tdp)

    def costs(self, shares: EnergyShares) -> EnergyCosts:
        """What constants are on the chip."""
        chip = self.part.where.chip
        return shares.of(np.inf if chip.tdp is None else chip.tdp, chip.bandwidth, self.peak)

    @property
    def peak(self) -> Num:
        """Dense FLOP/s of 16-bit products."""
        return roof.peak(self.part.where.chip, "bf16")


def _pace(part: Part, found: Prediction) -> Array:
    """Stated over predicted rate of output tokens."""
    stated = np.array([case.numbers.get("tokens_per_s") or np.nan for case in part.cases])
    rate = np.asarray(found.metrics.get("output_tokens_per_s", np.nan), dtype=np.float64)
    return np.where(np.isfinite(stated), stated / np.where(rate > 0.0, rate, np.nan), 1.0)


def _work(found: Prediction, part: Part) -> list[tuple[Any, Num]]:
    """Phases with the seconds for which a chip works on each."""
    job = found.workload
    if isinstance(job, Serving):
        return inference.at_work(found.phases, replica_batch(job.batch, part.where), part.where)
    return [(phase, phase.time) for phase in found.phases]


def _by(rows: Sequence[_Row], what: str) -> list[tuple[str, list[_Row]]]:
    found: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row.part.where.chip, what)].append(row)
    return sorted(found.items())


def _fitted(name: str, rows: Sequence[_Row], start: EnergyShares | None) -> Powered | None:
    """Constants for all of these rows alike; None if they are too few."""
    if start is None or sum(len(row.part.cases) for row in rows) < FEWEST:
        return None
    blocked = sum(len(row.part.cases) for row in rows if row.part.reading.weights_of(row.part.setup) == BLOCK)
    begin = _values(start)
    free = [
        replace(CONSTANTS[constant], start=value)
        for constant, value in begin.items()
        if constant != BLOCK or blocked >= FEWEST
    ]

    def predict(values: Values) -> Array:
        found = [np.atleast_2d(row.predicted(_with(start, values))) for row in rows]
        points = max(part.shape[0] for part in found)
        wide = [np.broadcast_to(part, (points, len(row.part.cases))) for part, row in zip(found, rows, strict=True)]
        return np.concatenate(wide, axis=1)

    measured = np.concatenate([row.measured for row in rows])
    found = fit(free, predict, measured, pull=PULL, weights=_weights(rows), guess=NO_VALUES)
    chips = tuple(sorted({row.part.where.chip.id for row in rows}))
    shares = replace(_with(start, found.values), measured_on=chips)
    return Powered(name, shares, chips, found)


def _values(shares: EnergyShares) -> dict[str, float]:
    """The constants that are fitted, as they are: shares of a kind, joules of a family."""
    names = ("base", "busy", *(SHARES if shares.per_byte is None else JOULES))
    own = {name: float(getattr(shares, name)) for name in names}
    return {**own, BLOCK: float(shares.formats.get(BLOCK, CONSTANTS[BLOCK].start))}


def _with(shares: EnergyShares, values: Values) -> EnergyShares:
    own: dict[str, Any] = {name: value for name, value in values.items() if name != BLOCK}
    formats = {**shares.formats, **({BLOCK: values[BLOCK]} if BLOCK in values else {})}
    return replace(shares, formats=formats, **own)


def _weights(rows: Sequence[_Row]) -> Array:
    """Rows weigh less the more there are of their chip, model and stack: they share what a prediction gets wrong."""
    keys = [(row.part.setup.chip, row.part.setup.model, row.part.setup.stack) for row in rows for _ in row.part.cases]
    count = Counter(keys)
    return np.array([np.sqrt(min(count[key], MOST) / count[key]) for key in keys])
