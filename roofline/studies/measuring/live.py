"""Predictions tried on real work: small decoders with random weights, predicted, then run on this machine.

Predictions are written to a file before anything runs. What runs is what a table of measurements can state, so that its
rows are read and predicted as everybody else's are.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog, is_path
from roofline.engine import search
from roofline.engine.prediction import Phase
from roofline.engine.roof import Priced
from roofline.errors import RooflineError
from roofline.machine.chip import EXPERTS, PERMUTE
from roofline.studies.measured import table
from roofline.studies.measured.reading import grouped
from roofline.studies.measured.rows import predicted
from roofline.studies.measured.table import SERVING, Case, Table
from roofline.studies.measuring import chip_file, system
from roofline.studies.measuring.backends import Backend, Learner
from roofline.studies.measuring.calibrate import known
from roofline.studies.measuring.clock import NOISY, Clock, Timing, timing
from roofline.studies.measuring.decoder import Decoder, Shape
from roofline.studies.measuring.measure import Watch
from roofline.studies.measuring.trials import (
    COLUMNS,
    DECODE,
    PREFILL,
    STEPS,
    TRAINING,
    VOCAB,
    Trial,
    configurations,
    trials,
)

BUDGET = 300.0  # s
REPEATS = 3  # of prefill and of steps of training, after a warm-up
SPARE = 0.8  # of the memory that is free: the rest is for activations
FRAMEWORK = "framework"  # what passes between kernels
FORWARD, BACKWARD, UPDATE = "forward", "backward", "optimizer"  # halves of a step, as names of its operators begin

Parts = Mapping[str, float]  # seconds by class of operator


@dataclass(frozen=True, slots=True)
class Expected:
    """What was predicted of a trial: its row, and seconds by class of operator."""

    row: Mapping[str, Any]
    parts: Parts


@dataclass(frozen=True, slots=True)
class Ran:
    """What was measured of a trial: seconds of the whole, and by class of operator."""

    timing: Timing
    parts: Parts


def chip_catalog(chip: str, catalog: Catalog) -> AbstractContextManager[tuple[str, Catalog]]:
    """The id of a chip that is named by an id or a path, and a catalogue that knows it."""
    if not is_path(chip):
        return nullcontext((catalog.spec("chip", chip).id, catalog))
    name = catalog.spec("chip", chip).id
    return _Beside(name, known(name, f"extends: {Path(chip).resolve()}\nid: {name}\n", catalog))


@dataclass
class _Beside(AbstractContextManager[tuple[str, Catalog]]):
    """A catalogue that knows one more chip, with that chip's id."""

    name: str
    inner: AbstractContextManager[Catalog]

    def __enter__(self) -> tuple[str, Catalog]:
        return self.name, self.inner.__enter__()

    def __exit__(self, *fault: Any) -> None:
        self.inner.__exit__(*fault)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows of the measured table, what was predicted and measured of each trial, what was left out and why."""

    rows: Sequence[Mapping[str, object]]
    expected: Mapping[str, Expected]
    ran: Mapping[str, Ran]
    trials: Mapping[str, Trial]
    left_out: Mapping[str, str]
    seconds: float
    budget: float

    @property
    def spread(self) -> float:
        """How far a typical median is above the least of its samples."""
        return float(np.median([ran.timing.spread for ran in self.ran.values()]))


def live(
    backend: Backend,
    chip: str,
    path: Path,
    catalog: Catalog,
    *,
    budget: float = BUDGET,
    shapes: Sequence[Shape] | None = None,
    watch: Watch = lambda share, what: None,
) -> tuple[Outcome, list[Path]]:
    """Predict, write predictions down, run, write what was measured to `path`; both files stay.

    `RooflineError` if a chip can't be found or nothing could be run, `OutputError` if a file can't be written.
    """
    before = path.with_name(f"{path.stem}.predicted.csv")
    for place in (path, before):
        chip_file.place(place)
    with chip_catalog(chip, catalog) as (name, with_it):
        wanted = [
            trial
            for shape, dtype in configurations(backend.dtypes, *(() if shapes is None else (shapes,)))
            for trial in trials(shape, dtype, trains=backend.trains)
        ]
        found = expectations(wanted, name, backend, Snapshot.of(with_it))
    chip_file.write({before: chip_file.table_text([_told(found[trial.id]) for trial in wanted], PREDICTED)})
    runs = _Runs(backend, Clock(budget), watch)
    runs.over(wanted)
    if not runs.ran:
        raise RooflineError(f"{budget:g} s were not enough to run anything; raise --budget")
    rows = [_measured(trial, runs.ran[trial.id], name, backend) for trial in wanted if trial.id in runs.ran]
    chip_file.write({path: chip_file.table_text(rows, COLUMNS)})
    by_id = {trial.id: trial for trial in wanted}
    return Outcome(rows, found, runs.ran, by_id, runs.left_out, runs.clock.spent, budget), [before, path]


PREDICTED = ("id", "metric", "predicted", "ideal", "low", "high", "parts")


def _told(found: Expected) -> dict[str, object]:
    """A prediction as a row of the file that is written first."""
    parts = "; ".join(f"{name} {seconds:.4g} s" for name, seconds in found.parts.items())
    return {**{name: found.row[name] for name in PREDICTED[:-1]}, "parts": parts}


def _measured(trial: Trial, ran: Ran, chip: str, backend: Backend) -> dict[str, object]:
    return {
        **trial.cells(chip),
        "framework": backend.software,
        "date": time.strftime("%Y-%m-%d"),
        "value": f"{ran.timing.median / trial.unit:.6g}",
        "source": "run on this machine by roofline validate --live",
        "note": f"{ran.timing.samples} samples, the least {ran.timing.least / trial.unit:.6g}",
    }


def expectations(wanted: Sequence[Trial], chip: str, backend: Backend, catalog: Catalog) -> dict[str, Expected]:
    """What is predicted of every trial, read as a table of measurements whose figures are not yet known."""
    blank = [{**trial.cells(chip), "framework": backend.software, "value": 1.0} for trial in wanted]
    cases = [_case(cells) for cells in blank]
    rows, skipped = predicted(Table(SERVING, cases), catalog)
    if skipped:
        raise RooflineError(f"{skipped[0]['id']} can't be predicted: {skipped[0]['reason']}")
    by_id = {row["id"]: row for row in rows}
    return {name: Expected(by_id[name], parts) for name, parts in _parts(cases, catalog)}


def _case(cells: Mapping[str, object]) -> Case:
    text = {name: str(value) for name, value in cells.items()}
    return Case(text, {name: float(text[name]) if text.get(name) else None for name in SERVING.numbers})


def _parts(cases: Sequence[Case], catalog: Catalog) -> Iterator[tuple[str, Parts]]:
    """Expected seconds of each case by class of operator: of one pass, or of the halves of a step of training."""
    for reading, groups, _ in grouped(cases, catalog):
        for setup, members in groups.items():
            model, stack = reading.model_of(setup, catalog), reading.stack_of(setup, catalog)
            where = reading.deployment(setup, catalog, model, stack, members)
            phases = {phase.name: phase for phase in search.predict(reading.work(setup, members, model, where), where).phases}
            for index, case in enumerate(members):
                yield case["id"], _of_phase(phases[case["phase"]], index, len(members))


def _of_phase(phase: Phase, index: int, count: int) -> Parts:
    found: dict[str, float] = defaultdict(float)
    for item in phase.operators:
        seconds = float(np.broadcast_to(np.asarray(item.time, dtype=np.float64), (count,))[index])
        if seconds:
            found[_class(phase.name, item)] += seconds
    return dict(found)


def _class(phase: str, item: Priced) -> str:
    if phase == TRAINING:
        return item.op.name.partition("/")[0]
    return EXPERTS if item.op.kind == PERMUTE or item.op.name.startswith("moe/activation") else item.op.kind


@dataclass
class _Runs:
    """Trials, run one model after another."""

    backend: Backend
    clock: Clock
    watch: Watch
    ran: dict[str, Ran] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def over(self, wanted: Sequence[Trial]) -> None:
        """Run what time and memory are enough for."""
        models: dict[tuple[Shape, str], list[Trial]] = {}
        for trial in wanted:
            models.setdefault((trial.shape, trial.dtype), []).append(trial)
        for (shape, dtype), own in models.items():
            if self.clock.over:
                self.left_out |= {trial.id: "the budget was used up" for trial in own}
            else:
                self._model(shape, dtype, own)
            self.backend.release()

    def _model(self, shape: Shape, dtype: str, own: Sequence[Trial]) -> None:
        room = SPARE * (system.free_memory() if self.backend.device == "cpu" else system.machine(self.backend.device).memory)
        fits = [trial for trial in own if trial.needs <= room]
        self.left_out |= {trial.id: "not enough memory" for trial in own if trial not in fits}
        if not fits:
            return
        try:
            model = Decoder.of(self.backend, shape, dtype)
        except self.backend.exhausted as error:
            self.left_out |= {trial.id: f"not enough memory ({type(error).__name__})" for trial in fits}
            return
        learner: Learner | None = None
        for trial in fits:
            if self.clock.over:
                self.left_out[trial.id] = "the budget was used up"
                continue
            self.watch(min(self.clock.spent / self.clock.budget, 1.0), trial.id)
            try:
                if trial.phase == TRAINING:
                    learner = learner or self.backend.learner(list(model.weights))
                    self.ran[trial.id] = self._train(model, trial, learner)
                else:
                    with self.backend.forgetting():
                        self.ran[trial.id] = self._infer(model, trial)
            except self.backend.exhausted as error:
                self.left_out[trial.id] = f"not enough memory ({type(error).__name__})"
                self.backend.release()

    def _infer(self, model: Decoder, trial: Trial) -> Ran:
        """Passes timed as a whole, then again kernel by kernel."""
        backend = self.backend
        new = trial.length if trial.phase == PREFILL else 1
        steps = 1 if trial.phase == PREFILL else STEPS
        caches = model.caches(trial.batch, trial.length + steps)
        tokens = backend.tokens(trial.batch, new, VOCAB)
        angles = backend.angles(trial.length + steps, trial.shape.head_dim, trial.dtype)
        first = 0 if trial.phase == PREFILL else trial.length
        rounds = REPEATS if trial.phase == PREFILL else 1

        def passes() -> Iterator[int]:
            return (first + step for _ in range(rounds) for step in range(steps))

        model.run(tokens, caches, first, angles)
        samples, split = [], []
        for at in passes():
            samples.append(self.clock.once(lambda at=at: model.run(tokens, caches, at, angles), backend.wait))
        for at in passes():
            parts: dict[str, float] = defaultdict(float)
            model.run(tokens, caches, at, angles, self._timer(parts))
            split.append(parts)
        return _ran(samples, split)

    def _timer(self, parts: dict[str, float]) -> Callable[..., Any]:
        """A timer of kernels that adds their seconds up by class."""

        def on(kind: str, function: Callable[..., Any], *given: Any) -> Any:
            kept: list[Any] = []
            parts[kind] += self.clock.once(lambda: kept.append(function(*given)), self.backend.wait)
            return kept[0]

        return on

    def _train(self, model: Decoder, trial: Trial, learner: Learner) -> Ran:
        """Steps, each half timed by itself."""
        backend = self.backend
        tokens = backend.tokens(trial.batch, trial.length, VOCAB)
        angles = backend.angles(trial.length, trial.shape.head_dim, trial.dtype)
        samples, split = [], []
        for turn in range(REPEATS + 1):
            timed: dict[str, float] = defaultdict(float)
            timer = self._timer(timed)
            loss = timer(FORWARD, learner.ahead, lambda: model.run(tokens, None, 0, angles), tokens)
            timer(BACKWARD, learner.back, loss)
            timer(UPDATE, learner.update)
            if turn:
                samples.append(sum(timed.values()))
                split.append(timed)
        return _ran(samples, split)


def _ran(samples: list[float], split: Sequence[Parts]) -> Ran:
    names = dict.fromkeys(name for parts in split for name in parts)
    return Ran(timing(samples), {name: float(np.median([parts[name] for parts in split])) for name in names})
