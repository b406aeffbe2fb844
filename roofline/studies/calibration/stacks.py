"""Fitting what software adds to a chip: times that the work does not hide, and shares of what kernels reach.

A stack is fitted to all of its rows first, then to those of each family of chips, then to each chip, every level pulled
towards the one above by as much as its rows are few.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.catalog.store import Catalog
from roofline.engine import plans, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Stack
from roofline.machine.chip import (
    ATTENTION,
    DECODE_ATTENTION,
    DECODE_SCAN,
    EXPERTS,
    MATMUL,
    PERMUTE,
    QUANTISE,
)
from roofline.machine.stack import EXPERT, PARALLEL
from roofline.numeric import Num
from roofline.studies.calibration.fitting import NO_VALUES, Array, Constant, Fit, Values, fit
from roofline.studies.measured.reading import Reading, grouped
from roofline.studies.measured.split import SET_ASIDE, on_side
from roofline.studies.measured.table import POWERS, Case, Metric, SkipError
from roofline.workload import BITS, GatedDeltaNet, LightningAttention, Mamba1, Mamba2, Model

MS, US = 1e-3, 1e-6
FEWEST = 6  # rows that a family or a chip needs for numbers of its own, and a number that not every row tells
BESIDE = 3  # rows of other families that a number needs which holds for all
PULL = 1.0  # of the level above, and of what the stack states
BARE = "ideal"  # the stack of chips without software of their own: it stays without numbers
SERVER = "server"
MOST = 4.0  # rows that those of one chip, model and phase count for at most: they share what the model gets wrong

# Physical limits of each constant, how far from its start is far, and where it starts if nothing is stated.
CONSTANTS: Mapping[str, Constant] = MappingProxyType(
    {
        constant.name: constant
        for constant in (
            Constant("step", 0.0, 0.0, 200 * MS, 1 * MS),
            Constant("sequence", 0.0, 0.0, 2 * MS, 20 * US),
            Constant("layer", 0.0, 0.0, 5 * MS, 20 * US),
            Constant("request", 0.0, 0.0, 200 * MS, 10 * MS),
            Constant(SERVER, 0.0, 0.0, 200 * MS, 10 * MS),
            Constant("host", 0.0, 0.0, 5 * MS, 20 * US),
            Constant("latency", 1.0, 0.2, 5.0, 0.2),
            Constant("compute", 1.0, 0.03, 1.1, 0.15),
            Constant("memory", 1.0, 0.05, 1.15, 0.1),
            Constant("stream", 6.4, 0.64, 10.0, 1.28),
            Constant("flow", 1.0, 0.0, 1.0, 0.3),
            Constant("reread", 0.0, 0.0, 1.0, 0.2),
            Constant(EXPERTS, 1.0, 0.01, 3.0, 0.2),  # unfused, one expert after another
            Constant(ATTENTION, 1.0, 0.02, 2.0, 0.3),
            Constant(DECODE_ATTENTION, 1.0, 0.05, 2.0, 0.2),
            Constant(DECODE_SCAN, 1.0, 0.02, 2.0, 0.3),
        )
    }
)
# Where the search begins: a host that keeps ahead of the chip by far tells nothing of how fast it is.
BEGIN: Values = MappingProxyType({"host": 1 * MS, "routing": 10 * MS})
NARROW, NARROWER = f"{MATMUL}/fp8", f"{MATMUL}/fp4"  # products of 8 and of 4 bits
OVERLAP = "overlap."  # begins the name of a constant that is the share of some messages that work hides
# Constants of a stack that trains: no request waits, and messages may hide.
TRAINED: Mapping[str, Constant] = MappingProxyType(
    {
        constant.name: constant
        for constant in (
            Constant("step", 0.0, 0.0, 500 * MS, 2 * MS),
            Constant("layer", 0.0, 0.0, 50 * MS, 20 * US),
            Constant("host", 0.0, 0.0, 50 * MS, 1 * MS),
            Constant("routing", 0.0, 0.0, 100 * MS, 10 * MS),
            Constant("compute", 1.0, 0.03, 1.3, 0.15),
            Constant("memory", 1.0, 0.05, 1.5, 0.15),
            Constant(NARROW, 1.0, 0.2, 1.5, 0.15),
            Constant(NARROWER, 1.0, 0.2, 1.5, 0.15),
            Constant(QUANTISE, 1.0, 0.2, 10.0, 0.3),
            Constant(EXPERTS, 1.0, 0.1, 2.0, 0.1),
            Constant(PERMUTE, 1.0, 0.02, 2.0, 0.3),
            Constant(ATTENTION, 1.0, 0.2, 2.0, 0.15),
            *(Constant(f"{OVERLAP}{kind}", 1.0, 0.0, 1.0, 0.3) for kind in PARALLEL),
        )
    }
)
OF_EXPERTS = ("routing", EXPERTS, PERMUTE, f"{OVERLAP}{EXPERT}")
# Constants that are rates of one kind of kernel.
KINDS = (EXPERTS, PERMUTE, ATTENTION, DECODE_ATTENTION, DECODE_SCAN, QUANTISE, NARROW, NARROWER)
LONG = 2048.0  # tokens of a prompt or context from which on attention is a part that rows can tell


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


def with_values(stack: Stack, values: Values) -> Stack:
    """The stack with these constants."""
    others: dict[str, Any] = dict(values)
    rates = {name: others.pop(name) for name in KINDS if name in values}
    hidden = {name.removeprefix(OVERLAP): others.pop(name) for name in values if name.startswith(OVERLAP)}
    return replace(stack, rates={**stack.rates, **rates}, overlaps={**stack.overlaps, **hidden}, **others)


def stated(stack: Stack, name: str) -> float:
    """What a stack says of a constant."""
    if name.startswith(OVERLAP):
        return float(stack.overlaps.get(name.removeprefix(OVERLAP), 1.0))
    return float(stack.rates.get(name, 1.0) if name in KINDS else getattr(stack, name))


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """The numbers of a stack: of all chips, and of families and chips by id; each with its fit."""

    stack: str
    fits: Mapping[str, Fit]  # "" is the stack itself
    chips: tuple[str, ...]
    rows: int
    trains: bool = False  # whether it was fitted to steps of training


def calibrate(cases: Iterable[Case], catalog: Catalog) -> list[Fitted]:
    """Numbers of every stack with enough rows, from the rows that are set aside for calibration."""
    found = parts(cases, catalog, calibration=True)
    return [fitted for stack, rows in sorted(found.items()) if (fitted := fit_stack(stack, rows)) is not None]


def fit_stack(
    stack: str, rows: Sequence[Part], stated: Collection[str] = (), near: Fitted | None = None
) -> Fitted | None:
    """Numbers of a stack on every level with enough rows; None if it has too few. A chip that is the only one of its
    family needs none of its own, and one whose rows are all of one model has none: they would be the model's. Unless
    it is among `stated`, those for which the catalogue has some. `near` is what nearly the same rows told.

    First tokens on servers tell the time of the server, given all else.
    """
    rows, queued = _apart(rows)
    if _count(rows) < FEWEST:
        return None
    guess = {level: found.values for level, found in near.fits.items()} if near else {}
    waiting = {level: own for what in ("family", "id") for level, own in _by(queued, what)}
    fits = {"": _begun(fit_level(rows, _stated(rows), guess.get("", NO_VALUES)), rows, queued)}
    for family, own in _by(rows, "family"):
        if _count(own) >= FEWEST:
            found = _apart_from(fit_level(own, fits[""].values, guess.get(family, NO_VALUES)), fits[""], own)
            fits[family] = _begun(found, own, waiting.get(family, ()))
    for chip, own in _by(rows, "id"):
        family = own[0].where.chip.family
        alone = all(part.where.chip.id == chip for part in rows if part.where.chip.family == family)
        models = {part.setup.model for part in own}
        if _count(own) >= FEWEST and (chip in stated or (not alone and len(models) > 1)):
            above = fits.get(family, fits[""])
            found = _apart_from(fit_level(own, above.values, guess.get(chip, NO_VALUES)), above, own)
            fits[chip] = _begun(found, own, waiting.get(chip, ()))
    return Fitted(stack, fits, _chips(rows), _count(rows), rows[0].trains)


def _apart_from(found: Fit, above: Fit, rows: Sequence[Part]) -> Fit:
    """The constants of a level, experts' kernels as fast as they are known to be on the level above where its own rows
    do not tell: what other products reach on a chip says nothing of them."""
    if EXPERTS in found.free or EXPERTS not in above.free:
        return found
    limits, speed = constants_of(rows)[EXPERTS], above.values[EXPERTS] * above.values["compute"]
    rate = float(np.clip(speed / found.values["compute"], limits.low, limits.high))
    return replace(found, values={**found.values, EXPERTS: rate}, free=(*found.free, EXPERTS))


def fit_chip(stack: str, rows: Sequence[Part], chip: str) -> Fitted | None:
    """Numbers of a stack on one chip alone, starting from what the catalogue says; None if it has too few rows."""
    own, queued = _apart([part for part in rows if part.where.chip.id == chip])
    if _count(own) < FEWEST:
        return None
    found = _begun(fit_level(own, _stated(own)), own, queued)
    return Fitted(stack, {chip: found}, _chips(own), _count(own), own[0].trains)


def _apart(rows: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Rows that tell all constants but the time of a server, and those that tell it alone."""
    return [part for part in rows if not part.queued], [part for part in rows if part.queued]


def _begun(found: Fit, rows: Sequence[Part], queued: Sequence[Part]) -> Fit:
    """Constants with the time of a server as enough first tokens tell it."""
    if _count(queued) < FEWEST:
        return found
    own = _fit(queued, found.values, {SERVER: CONSTANTS[SERVER]}, NO_VALUES)
    return _over(rows, replace(found, values=own.values, free=(*found.free, SERVER)))


def level_of(fits: Collection[str], chip: Chip) -> str:
    """The level whose numbers hold on a chip: its own, its family's, its kind's, else that of all chips."""
    return next(level for level in (chip.id, chip.family, chip.kind, "") if level in fits or not level)


def _chips(rows: Sequence[Part]) -> tuple[str, ...]:
    return tuple(sorted({part.where.chip.id for part in rows}))


def constants_of(rows: Sequence[Part]) -> Mapping[str, Constant]:
    """The constants that rows of one kind may tell."""
    return TRAINED if rows[0].trains else CONSTANTS


def _stated(rows: Sequence[Part]) -> dict[str, float]:
    """What their stack says of the constants that rows may tell."""
    return {name: stated(rows[0].where.stack, name) for name in constants_of(rows)}


def _by(rows: Sequence[Part], what: str) -> Iterator[tuple[str, list[Part]]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in rows:
        found[getattr(part.where.chip, what)].append(part)
    yield from sorted(found.items())


def _count(rows: Sequence[Part]) -> int:
    return sum(len(part.cases) for part in rows)


def fit_level(rows: Sequence[Part], start: Mapping[str, float], guess: Values = NO_VALUES) -> Fit:
    """Constants for all of these rows alike; what no row tells stays as it is.

    Of training, what is about experts is told by models that have some, given what the others tell of all else.
    """
    plain, routed = ([part for part in rows if _chooses(part) is chooses] for chooses in (False, True))
    if not rows[0].trains or not plain or not routed:
        return _fit(rows, start, constants_of(rows), guess)
    apart = {name: constant for name, constant in TRAINED.items() if name not in OF_EXPERTS}
    shared = _fit(plain, start, apart, guess)
    own = {name: TRAINED[name] for name in OF_EXPERTS}
    found = _fit(routed, shared.values, own, guess)
    return _over(rows, Fit(found.values, tuple(dict.fromkeys((*shared.free, *found.free))), found.start, found.end))


def _over(rows: Sequence[Part], found: Fit) -> Fit:
    """The same constants with their errors on all rows."""
    before = np.concatenate([part.before for part in rows])
    return replace(found, start=before, end=np.concatenate([part.errors(found.values) for part in rows]))


def _fit(
    rows: Sequence[Part], start: Mapping[str, float], known: Mapping[str, Constant], guess: Values
) -> Fit:  # fmt: skip
    """Some constants for all of these rows, all others as they are."""
    told = {name: tells(rows) for name, tells in (TELLS_OF_TRAINING if rows[0].trains else TELLS).items()}
    free = [replace(constant, start=start[name]) for name, constant in known.items() if told.get(name, True)]
    fixed = {name: value for name, value in start.items() if name not in known}

    def predict(values: Values) -> Array:
        return np.concatenate([part.predicted({**fixed, **values}) for part in rows], axis=1)

    measured = np.concatenate([part.measured for part in rows])
    begin = {**BEGIN, **guess} if rows[0].trains else guess
    if not free:
        return _over(rows, Fit(dict(start), (), np.empty(0), np.empty(0)))
    found = fit(free, predict, measured, pull=PULL, weights=weights(rows), guess=begin)
    before = np.concatenate([part.before for part in rows])
    return replace(found, values={**start, **found.values}, start=before)


def _several(tells: Callable[[Part], bool]) -> Callable[[Sequence[Part]], bool]:
    """Fewer rows would only lend a constant their noise, on every chip of the stack."""
    return lambda rows: _count([part for part in rows if tells(part)]) >= FEWEST


def _widely(tells: Callable[[Part], bool]) -> Callable[[Sequence[Part]], bool]:
    """Rows of several families: what one of them nearly alone tells of its kernels says nothing of those of others."""

    def told(rows: Sequence[Part]) -> bool:
        telling = Counter[str]()
        for part in rows:
            telling[part.where.chip.family] += len(part.cases) * tells(part)
        beside = telling.total() - max(telling.values(), default=0)
        return telling.total() >= FEWEST and (len(telling) == 1 or beside >= BESIDE)

    return told


def _waits(part: Part) -> bool:
    return any(metric.name in ("ttft_s", "e2e_latency_s") for metric in part.metrics)


def _chooses(part: Part) -> bool:
    return part.model.routed_layers > 0


def _reads_long(part: Part) -> bool:
    return ATTENTION not in part.where.stack.rates and any(
        metric.phase != "decode" and (case.numbers["input_len"] or 0.0) >= LONG
        for case, metric in zip(part.cases, part.metrics, strict=True)
    )


def _remembers_long(part: Part) -> bool:
    """Rows of long contexts, unless the kernels of this very software were timed by themselves; those that read a cache
    again for every head are of another age than what was."""
    stack = part.where.stack
    return (DECODE_ATTENTION not in stack.rates or bool(np.any(stack.reread))) and any(
        metric.phase != "prefill" and (case.numbers["input_len"] or 0.0) >= LONG
        for case, metric in zip(part.cases, part.metrics, strict=True)
    )


def _rereads(part: Part) -> bool:
    return bool(np.any(part.where.stack.reread)) and _remembers_long(part)


def _chooses_wide(part: Part) -> bool:
    """Experts in mxfp4 have kernels of their own, often of another age: they tell nothing of those in other formats."""
    return _chooses(part) and part.reading.weights_of(part.setup) != "mxfp4"


def _recurs(part: Part) -> bool:
    return any(
        isinstance(block.mixer, (Mamba1, Mamba2, GatedDeltaNet, LightningAttention)) for block in part.model.blocks
    )


def _pipelines(part: Part) -> bool:
    return bool(np.any(np.greater(part.where.plan.pp, 1.0))) and any(m.phase != "decode" for m in part.metrics)


def _schedules(part: Part) -> bool:
    stack = part.where.stack
    return bool(np.any(stack.sequence)) and any((case.numbers["batch"] or 0.0) > 1.0 for case in part.cases)


def _launches(part: Part) -> bool:
    return bool(np.any(part.where.stack.host))


def _streams(part: Part) -> bool:
    return bool(np.all(np.isfinite(part.where.stack.stream))) and part.where.chip.compute_units is not None


# Whether enough rows tell a constant; the others are told by every row.
TELLS: Mapping[str, Callable[[Sequence[Part]], bool]] = MappingProxyType(
    {
        "request": _several(_waits),
        SERVER: _several(lambda part: part.queued),
        "sequence": _several(_schedules),
        "host": _several(_launches),
        "stream": _several(_streams),
        "flow": _several(_pipelines),
        "reread": _several(_rereads),
        ATTENTION: _several(_reads_long),
        DECODE_ATTENTION: _several(_remembers_long),
        DECODE_SCAN: _several(lambda part: _recurs(part) and any(metric.phase != "prefill" for metric in part.metrics)),
        EXPERTS: _several(_chooses_wide),
    }
)


def _narrow(part: Part) -> bool:
    return BITS[part.reading.weights_of(part.setup)] < 16.0


def _divided(degree: str) -> Callable[[Part], bool]:
    return lambda part: bool(np.any(np.greater(getattr(part.where.plan, degree), 1.0)))


TELLS_OF_TRAINING: Mapping[str, Callable[[Sequence[Part]], bool]] = MappingProxyType(
    {
        NARROW: _widely(lambda part: _narrow(part) and BITS[part.reading.weights_of(part.setup)] > 6.0),
        NARROWER: _widely(lambda part: BITS[part.reading.weights_of(part.setup)] < 6.0),
        QUANTISE: _widely(_narrow),
        "routing": _several(_chooses),
        EXPERTS: _several(_chooses),
        PERMUTE: _several(_chooses),
        **{
            f"{OVERLAP}{kind}": _several(_divided(degree))
            for kind, degree in zip(PARALLEL, ("tp", "ep", "cp", "pp", "dp"), strict=True)
        },
    }
)


def weights(rows: Sequence[Part]) -> Array:
    """Rows weigh less the more there are of their chip, model and phase (see `MOST`)."""
    keys = [(part.setup.chip, part.setup.model, metric.phase) for part in rows for metric in part.metrics]
    count = Counter(keys)
    return np.array([np.sqrt(min(count[key], MOST) / count[key]) for key in keys])
