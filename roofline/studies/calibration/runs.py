"""Rows of requests served and of training steps, read so that constants of their stacks can be fitted to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.catalog.store import Catalog
from roofline.engine import plans, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.numeric import Num
from roofline.studies.calibration.constants import with_values
from roofline.studies.calibration.fitting import NO_VALUES, Array, Values
from roofline.studies.measured.reading import Reading, grouped
from roofline.studies.measured.split import SET_ASIDE, on_side
from roofline.studies.measured.table import POWERS, Case, Metric, SkipError
from roofline.workload import Model

BARE = "ideal"  # the stack of chips without software of their own: it stays without numbers


@dataclass(frozen=True, slots=True)
class Part:
    """Cases that are one prediction: how they are read, what they share, where they ran, what they measure."""

    reading: Reading
    setup: Any
    model: Model
    where: Deployment
    cases: Sequence[Case]
    metrics: Sequence[Metric]
    before: Array = field(default_factory=lambda: np.empty(0))  # ln(predicted/measured) as the catalogue was when read

    @property
    def trains(self) -> bool:
        """Whether the cases are steps of training."""
        return self.metrics[0].phase == "training"

    @property
    def queued(self) -> bool:
        """Whether the cases are first tokens on servers, of which waiting in a queue is a part."""
        return all(
            metric.name == "ttft_s" and bool(self.reading.left_open(self.setup, case, metric))
            for case, metric in zip(self.cases, self.metrics, strict=True)
        )

    @property
    def measured(self) -> Array:
        """Measured values in SI units, `[cases]`."""
        values = zip(self.cases, self.metrics, strict=True)
        return np.array([(case.numbers["value"] or 0.0) * metric.unit for case, metric in values])

    def errors(self, values: Values = NO_VALUES) -> Array:
        """ln(predicted/measured) of each row under a stack with these constants."""
        found: Array = np.log(self.predicted(values)[0] / self.measured)
        return found

    def only(self, kept: NDArray[np.bool_]) -> Part:
        """The part without some of its rows."""
        cases = [case for case, keep in zip(self.cases, kept, strict=True) if keep]
        metrics = [self.reading.of_case(case) for case in cases]
        where = replace(self.where, plan=plans.some_of(self.where.plan, kept))
        before = self.before[kept] if len(self.before) else self.before
        return replace(self, where=where, cases=cases, metrics=metrics, before=before)

    def moved(self, catalog: Catalog) -> Part:
        """The same with its chip and stack as another catalogue has them."""
        stack = self.reading.stack_of(self.setup, catalog)
        return replace(self, where=self.reading.deployment(self.setup, catalog, self.model, stack, self.cases))

    def predicted(self, values: Values) -> Array:
        """Predictions under a stack with these constants, `[points, cases]`."""
        found = self._predict(replace(self.where, stack=with_values(self.where.stack, values)))
        points = max((np.size(value) for value in values.values()), default=1)
        columns = (
            _column(found, metric, points, len(self.cases))[:, index] for index, metric in enumerate(self.metrics)
        )
        return np.stack(list(columns), axis=1)

    def ideal(self) -> Array:
        """What the datasheet alone predicts, `[cases]`."""
        found = self.prediction()
        columns = (found.metrics[f"{metric.name}_ideal"] for metric in self.metrics)
        each = (_wide(value, 1, len(self.cases))[0, index] for index, value in enumerate(columns))
        return np.array(list(each))

    def prediction(self) -> Prediction:
        """What the catalogue predicts of the cases."""
        return self._predict(self.where)

    def _predict(self, where: Deployment) -> Prediction:
        return search.predict(self.reading.work(self.setup, self.cases, self.model, where), where)


def _column(found: Prediction, metric: Metric, points: int, cases: int) -> Array:
    return _wide(found.metrics[metric.name], points, cases)


def _wide(value: Num | None, points: int, cases: int) -> Array:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (points, cases))


@dataclass(frozen=True, slots=True)
class Usable:
    """Rows by stack: those to fit to; those that can be predicted, but tell no constant; all that are not fitted to,
    with the reason."""

    fitted: dict[str, list[Part]]
    watched: dict[str, list[Part]]
    skipped: list[dict[str, str]]

    @property
    def stacks(self) -> list[str]:
        """Every stack that has rows."""
        return sorted(self.fitted.keys() | self.watched.keys())

    def telling(self, stack: str) -> list[Part]:
        """Rows of a stack that are fitted to, and first tokens, which tell the time of a server."""
        return [*self.fitted.get(stack, ()), *(part for part in self.watched.get(stack, ()) if part.queued)]


def parts(cases: Iterable[Case], catalog: Catalog, *, calibration: bool | None) -> dict[str, list[Part]]:
    """Rows of one side of the split, or of both, that constants are fitted to, by stack."""
    return usable(cases, catalog, calibration=calibration).fitted


def usable(cases: Iterable[Case], catalog: Catalog, *, calibration: bool | None) -> Usable:
    """Rows of one side of the split, or of both, by stack. Those that beat physics or do not fit in memory are left
    out; those of everything queued at once are only watched, and so, but for the time of a server, are those that
    queueing decides. Power tells nothing of time."""
    cases = [case for case in cases if case["metric"] not in POWERS]
    fitted: dict[str, list[Part]] = defaultdict(list)
    watched: dict[str, list[Part]] = defaultdict(list)
    skipped: list[dict[str, str]] = []
    for reading, groups, left_out in grouped(cases, catalog):
        skipped += left_out
        for setup, members in groups.items():
            try:
                part, faults = _read(reading, setup, members, catalog, calibration)
            except SkipError as reason:
                skipped += [{"id": case["id"], "reason": str(reason)} for case in members]
                continue
            unknown = [reading.left_open(setup, *pair) for pair in zip(members, part.metrics, strict=True)]
            reasons = [fault or why for fault, why in zip(faults, unknown, strict=True)]
            skipped += [{"id": case["id"], "reason": why} for case, why in zip(members, reasons, strict=True) if why]
            sound, told = np.array([not fault for fault in faults]), np.array([not why for why in unknown])
            for rows, kept in ((fitted, sound & told), (watched, sound & ~told)):
                if kept.any():
                    rows[setup.stack].append(part.only(kept))
    return Usable(fitted, watched, skipped)


def _read(
    reading: Reading, setup: Any, members: Sequence[Case], catalog: Catalog, calibration: bool | None
) -> tuple[Part, list[str]]:
    """The part, and what is wrong with each of its rows, empty if nothing is."""
    if not on_side(calibration, setup.chip, setup.model, setup.stack):
        raise SkipError(SET_ASIDE)
    if setup.stack == BARE:
        raise SkipError(f"no stack of the catalogue stands for {members[0]['framework'] or 'software without a name'}")
    model, stack = reading.model_of(setup, catalog), reading.stack_of(setup, catalog)
    where = reading.deployment(setup, catalog, model, stack, members)
    part = Part(reading, setup, model, where, members, [reading.of_case(case) for case in members])
    prediction, count = part.prediction(), len(members)
    fits = np.broadcast_to(prediction.fits, (count,))
    columns = [_column(prediction, metric, 1, count)[0, index] for index, metric in enumerate(part.metrics)]
    faults = [
        "does not fit in memory"
        if not fits[index] and not part.trains  # what trained did fit, whatever its source left unsaid
        else "beats the ideal bound"
        if _beats(prediction, metric, part.measured[index], index, count)
        else ""
        for index, metric in enumerate(part.metrics)
    ]
    return replace(part, before=np.log(np.array(columns) / part.measured)), faults


def _beats(prediction: Prediction, metric: Metric, measured: float, index: int, count: int) -> bool:
    value = prediction.metrics[f"{metric.name}_ideal"]
    ideal = float(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))[index])
    return measured > ideal if metric.more_is_better else measured < ideal
