"""Fitting what software adds to a chip: times that the work does not hide, and shares of what kernels reach.

A stack is fitted to all of its rows first, then to those of each family of chips, then to each chip, every level pulled
towards the one above by as much as its rows are few.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import inference
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.machine import Stack
from roofline.machine.chip import EXPERTS
from roofline.numeric import Num
from roofline.studies.calibration.fitting import Array, Constant, Fit, Values, fit
from roofline.studies.measured import serving
from roofline.studies.measured.serving import Setup
from roofline.studies.measured.split import calibrates
from roofline.studies.measured.table import Case, Metric, SkipError
from roofline.workload import Model, MoE

MS, US = 1e-3, 1e-6
FEWEST = 6  # rows that a family or a chip needs for numbers of its own
PULL = 1.0  # of the level above, and of what the stack states
MOST = 4.0  # rows that those of one chip, model and phase count for at most: they share what the model gets wrong

# Physical limits of each constant, how far from its start is far, and where it starts if nothing is stated.
CONSTANTS: Mapping[str, Constant] = MappingProxyType(
    {
        constant.name: constant
        for constant in (
            Constant("step", 0.0, 0.0, 200 * MS, 1 * MS),
            Constant("layer", 0.0, 0.0, 5 * MS, 20 * US),
            Constant("request", 0.0, 0.0, 200 * MS, 10 * MS),
            Constant("latency", 1.0, 0.2, 5.0, 0.2),
            Constant("compute", 1.0, 0.03, 1.3, 0.15),
            Constant("memory", 1.0, 0.05, 1.2, 0.1),
            Constant(EXPERTS, 1.0, 0.1, 3.0, 0.2),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Part:
    """Cases that are one prediction: what they share, where they ran, what they measure."""

    setup: Setup
    model: Model
    where: Deployment
    cases: Sequence[Case]
    metrics: Sequence[Metric]

    @property
    def measured(self) -> Array:
        """Measured values in SI units, `[cases]`."""
        return np.array([(case.numbers["value"] or 0.0) * m.unit for case, m in zip(self.cases, self.metrics, strict=True)])

    def predicted(self, values: Values) -> Array:
        """Predictions under a stack with these constants, `[points, cases]`."""
        found = self._predict(replace(self.where, stack=with_values(self.where.stack, values)))
        points = max((np.size(value) for value in values.values()), default=1)
        columns = (
            _column(found, metric, points, len(self.cases))[:, index] for index, metric in enumerate(self.metrics)
        )
        return np.stack(list(columns), axis=1)

    def _predict(self, where: Deployment) -> Prediction:
        return inference.predict(serving.work(self.setup, self.cases, self.model, where), where)


def with_values(stack: Stack, values: Values) -> Stack:
    """The stack with these constants."""
    rates = {**stack.rates, **{name: value for name, value in values.items() if name == EXPERTS}}
    return replace(stack, rates=rates, **{name: value for name, value in values.items() if name != EXPERTS})


def _column(found: Prediction, metric: Metric, points: int, cases: int) -> Array:
    value: Num | None = found.metrics[metric.name]
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (points, cases))


def parts(cases: Iterable[Case], catalog: Catalog, *, calibration: bool) -> dict[str, list[Part]]:
    """Rows of one side of the split by stack; without those that queueing decides, beat physics or do not fit, and
    those of everything queued at once, where the number of running requests is not stated."""
    groups, _ = serving.group(cases, catalog)
    found: dict[str, list[Part]] = defaultdict(list)
    for setup, members in groups.items():
        if setup.offline or calibrates(setup.chip, setup.model, setup.stack) != calibration:
            continue
        try:
            part = _part(setup, members, catalog)
        except SkipError:
            continue
        if part is not None:
            found[setup.stack].append(part)
    return found


def _part(setup: Setup, members: Sequence[Case], catalog: Catalog) -> Part | None:
    model, stack = serving.model_of(setup, catalog), serving.stack_of(setup, catalog)
    where = serving.deployment(setup, catalog, model, stack)
    part = Part(setup, model, where, members, [serving.of_case(case) for case in members])
    prediction = part._predict(where)
    fits = np.broadcast_to(prediction.fits, (len(members),))
    kept = [
        case
        for index, (case, metric) in enumerate(zip(members, part.metrics, strict=True))
        if fits[index] and not _queued(case, metric) and not _beats(prediction, metric, part.measured[index], index, len(members))
    ]
    return replace(part, cases=kept, metrics=[serving.of_case(case) for case in kept]) if kept else None


def _queued(case: Case, metric: Metric) -> bool:
    """Whether waiting in a queue, which the benchmark's arrivals decide, is part of a figure."""
    return metric.name == "ttft_s" and case["mode"] not in serving.STATIC_MODES


def _beats(prediction: Prediction, metric: Metric, measured: float, index: int, count: int) -> bool:
    value = prediction.metrics[f"{metric.name}_ideal"]
    ideal = float(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))[index])
    return measured > ideal if metric.more_is_better else measured < ideal


@dataclass(frozen=True, slots=True)
class Fitted:
    """The numbers of a stack: of all chips, and of families and chips by id; each with its fit."""

    stack: str
    fits: Mapping[str, Fit]  # "" is the stack itself
    chips: tuple[str, ...]
    rows: int


def calibrate(cases: Iterable[Case], catalog: Catalog) -> list[Fitted]:
    """Numbers of every stack with enough rows, from the rows that are set aside for calibration."""
    found = parts(cases, catalog, calibration=True)
    return [fitted for stack, rows in sorted(found.items()) if (fitted := _calibrate(stack, rows)) is not None]


def _calibrate(stack: str, rows: Sequence[Part]) -> Fitted | None:
    if _count(rows) < FEWEST:
        return None
    fits = {"": fit_level(rows, _stated(rows[0].where.stack))}
    for family, own in _by(rows, "family"):
        if _count(own) >= FEWEST:
            fits[family] = fit_level(own, fits[""].values)
    for chip, own in _by(rows, "id"):
        family = own[0].where.chip.family
        above = fits.get(family, fits[""])
        if _count(own) >= FEWEST and any(part.where.chip.id != chip for part in rows if part.where.chip.family == family):
            fits[chip] = fit_level(own, above.values)
    chips = tuple(sorted({part.where.chip.id for part in rows}))
    return Fitted(stack, fits, chips, _count(rows))


def _stated(stack: Stack) -> dict[str, float]:
    return {name: float(stack.rates.get(name, 1.0) if name == EXPERTS else getattr(stack, name)) for name in CONSTANTS}


def _by(rows: Sequence[Part], what: str) -> Iterator[tuple[str, list[Part]]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in rows:
        found[getattr(part.where.chip, what)].append(part)
    yield from sorted(found.items())


def _count(rows: Sequence[Part]) -> int:
    return sum(len(part.cases) for part in rows)


def fit_level(rows: Sequence[Part], start: Mapping[str, float]) -> Fit:
    """Constants for all of these rows alike; what no row tells stays as it is."""
    told = {"request": _waits(rows), EXPERTS: any(_mixes(part.model) for part in rows)}
    free = [replace(constant, start=start[name]) for name, constant in CONSTANTS.items() if told.get(name, True)]

    def predict(values: Values) -> Array:
        return np.concatenate([part.predicted(values) for part in rows], axis=1)

    found = fit(free, predict, np.concatenate([part.measured for part in rows]), pull=PULL, weights=weights(rows))
    return replace(found, values={**start, **found.values})


def _mixes(model: Model) -> bool:
    return any(isinstance(block.ffn, MoE) for block in model.blocks)


def _waits(rows: Sequence[Part]) -> bool:
    """Whether some row tells what a request costs before its first token."""
    return any(metric.name in ("ttft_s", "e2e_latency_s") for part in rows for metric in part.metrics)


def weights(rows: Sequence[Part]) -> Array:
    """Rows weigh less the more there are of their chip, model and phase (see `MOST`)."""
    keys = [(part.setup.chip, part.setup.model, metric.phase) for part in rows for metric in part.metrics]
    count = Counter(keys)
    return np.array([np.sqrt(min(count[key], MOST) / count[key]) for key in keys])
