"""Predictions tried on real work: small decoders with random weights, predicted, then run on this machine.

Predictions are written to a file before anything runs. What runs is what a table of measurements can state, so that its
rows are read and predicted as everybody else's are.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from roofline import files
from roofline.catalog.overlay import beside
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.prediction import Phase
from roofline.engine.roof import Priced
from roofline.errors import RooflineError
from roofline.machine.chip import EXPERTS, PERMUTE
from roofline.studies.accuracy import check_columns
from roofline.studies.measured import rows
from roofline.studies.measured.reading import grouped
from roofline.studies.measured.table import SERVING, Case, Table
from roofline.studies.measuring import chip_file, system
from roofline.studies.measuring.backends import Backend, Learner
from roofline.studies.measuring.clock import NOISY, Clock, Timing, timing
from roofline.studies.measuring.decoder import Decoder, Shape
from roofline.studies.measuring.measure import Watch
from roofline.studies.measuring.trials import (
    COLUMNS,
    PHASES,
    PREFILL,
    STEPS,
    TRAINING,
    VOCAB,
    Trial,
    configurations,
    trials,
)
from roofline.studies.validate import DEFAULT_BY
from roofline.studies.validate import validate as of_table

BUDGET = 300.0  # s
ROWS = Path("live.csv")
REPEATS = 3  # of prefill and of steps of training, after a warm-up
SPARE = 0.8  # of the memory that is free: the rest is for activations
PREDICTED = ("id", "metric", "predicted", "ideal", "low", "high", "parts")  # columns of the file written first
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was predicted and measured of each trial, what was left out and why, the files that tell."""

    expected: Mapping[str, Expected]
    ran: Mapping[str, Ran]
    trials: Mapping[str, Trial]
    left_out: Mapping[str, str]
    seconds: float
    budget: float
    written: Sequence[Path]

    @property
    def complete(self) -> bool:
        """Whether everything was run."""
        return not self.left_out

    @property
    def warnings(self) -> list[str]:
        """What makes these measurements worth less than others."""
        busy = (
            f"the machine was busy: a typical run is {self.spread:.0%} longer than the shortest of its kind; "
            "run again when nothing else does"
        )
        found = [busy] if self.spread > NOISY else []
        for reason, count in Counter(self.left_out.values()).items():
            found.append(f"{count} of {len(self.left_out) + len(self.ran)} runs left out: {reason}")
        return found

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
) -> Outcome:
    """Predict, write predictions down, run, write what was measured to `path`; both files stay.

    `RooflineError` if a chip can't be found or nothing could be run, `OutputError` if a file can't be written.
    """
    before = path.with_name(f"{path.stem}.predicted.csv")
    for place in (path, before):
        files.check(place)
    with beside(chip, catalog) as with_it:
        name = with_it.spec("chip", chip).id
        wanted = [
            trial
            for shape, dtype in configurations(backend.dtypes, *(() if shapes is None else (shapes,)))
            for trial in trials(shape, dtype, trains=backend.trains)
        ]
        found = expectations(wanted, name, backend, Snapshot.of(with_it))
    files.put({before: chip_file.table_text([_told(found[trial.id]) for trial in wanted], PREDICTED)})
    runs = _Runs(backend, Clock(budget), watch)
    runs.over(wanted)
    if not runs.ran:
        raise RooflineError(f"nothing could be run: {next(iter(runs.left_out.values()))}")
    measured = [_measured(trial, runs.ran[trial.id], name, backend) for trial in wanted if trial.id in runs.ran]
    files.put({path: chip_file.table_text(measured, COLUMNS)})
    by_id = {trial.id: trial for trial in wanted}
    return Outcome(found, runs.ran, by_id, runs.left_out, runs.clock.spent, budget, (before, path))


def validate(
    backend: Backend,
    chip: str,
    path: Path,
    catalog: Catalog,
    *,
    by: Sequence[str] = DEFAULT_BY,
    budget: float = BUDGET,
    shapes: Sequence[Shape] | None = None,
    watch: Watch = lambda share, what: None,
) -> dict[str, Any]:
    """The contract's validation of what ran here, with errors by class of operator and what passed between kernels."""
    check_columns(by, rows.COLUMNS)
    found = live(backend, chip, path, catalog, budget=budget, shapes=shapes, watch=watch)
    return {
        **of_table(path, catalog, by, chip=chip),
        "live": {
            "device": backend.device,
            "software": backend.software,
            "budget_s": found.budget,
            "seconds": found.seconds,
            "complete": found.complete,
            "spread": found.spread,
            "warnings": found.warnings,
            "operators": [*operators(found)],
            "written": [str(place) for place in found.written],
        },
    }


def operators(found: Outcome) -> Iterator[dict[str, Any]]:
    """Errors by phase and class of operator over all runs; of what no operator explains, only its seconds."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for name, ran in found.ran.items():
        phase, expected = found.trials[name].phase, found.expected[name].parts
        for part in dict.fromkeys((*expected, *ran.parts)):
            groups[phase, part].append((expected.get(part, 0.0), ran.parts.get(part, 0.0)))
        groups[phase, FRAMEWORK].append((0.0, ran.timing.median - sum(ran.parts.values())))
    for (phase, part), pairs in sorted(groups.items(), key=lambda item: PHASES.index(item[0][0])):
        errors = [predicted / measured - 1.0 for predicted, measured in pairs if measured > 0.0]
        known = part != FRAMEWORK and len(errors) == len(pairs)
        yield {
            "phase": phase,
            "operator": part,
            "cases": len(pairs),
            "predicted_s": sum(predicted for predicted, _ in pairs),
            "measured_s": sum(measured for _, measured in pairs),
            "median_absolute_error": float(np.median(np.abs(errors))) if known else None,
            "bias": float(np.median(errors)) if known else None,
        }


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
    told, skipped = rows.predicted(Table(SERVING, cases), catalog)
    if skipped:
        raise RooflineError(f"{skipped[0]['id']} can't be predicted: {skipped[0]['reason']}")
    by_id = {row["id"]: row for row in told}
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
            phases = {
                phase.name: phase for phase in search.predict(reading.work(setup, members, model, where), where).phases
            }
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
            if self._late:
                self.left_out |= {trial.id: "the budget was used up" for trial in own}
            else:
                self._model(shape, dtype, own)
            self.backend.release()

    @property
    def _late(self) -> bool:
        """Whether the budget is used up, and something was run."""
        return self.clock.over and bool(self.ran)

    def _model(self, shape: Shape, dtype: str, own: Sequence[Trial]) -> None:
        room = SPARE * (
            system.free_memory() if self.backend.device == "cpu" else system.machine(self.backend.device).memory
        )
        fits = [trial for trial in own if trial.needs <= room]
        self.left_out |= {trial.id: "not enough memory" for trial in own if trial not in fits}
        if not fits:
            return
        try:
            model = Decoder.of(self.backend, shape, dtype)
        except Exception as error:
            if not self.backend.ran_out(error):
                raise
            self.left_out |= {trial.id: f"not enough memory ({type(error).__name__})" for trial in fits}
            return
        learner: Learner | None = None
        for trial in fits:
            if self._late:
                self.left_out[trial.id] = "the budget was used up"
                continue
            self.watch(self.clock.share, trial.id)
            try:
                if trial.phase == TRAINING:
                    learner = learner or self.backend.learner(list(model.weights))
                    self.ran[trial.id] = self._train(model, trial, learner)
                else:
                    with self.backend.forgetting():
                        self.ran[trial.id] = self._infer(model, trial)
            except Exception as error:
                if not self.backend.ran_out(error):
                    raise
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
            samples.append(self.clock.once(partial(model.run, tokens, caches, at, angles), backend.wait))
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
