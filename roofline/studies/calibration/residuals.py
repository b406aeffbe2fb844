"""How far off predictions are where nothing was measured: what fits say of rows that they have not seen.

Rows are left out in folds, everything is fitted again to the rest, written, read back, and the rows left out are
predicted as any other would be. What is left out decides what an error is an example of:

- `model`: chip and software were measured, this model was not;
- `chip`: nothing was measured on the chip, neither kernels nor requests, beyond what the catalogue had before;
- `shape`: kernels of the chip were measured, this shape in this software was not;
- `everything`: nothing was measured at all, the datasheet predicts.

Intervals are quantiles of these. A fold leaves out about a fifth of the groups, so that five fits serve for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, TypeAlias

import numpy as np

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.studies.calibration import kernels, runs, stacks
from roofline.studies.calibration.draft import Draft, draft
from roofline.studies.calibration.fitting import Array
from roofline.studies.calibration.kernels import Found, Subject, under
from roofline.studies.calibration.overlay import Writer
from roofline.studies.calibration.power import Powered
from roofline.studies.calibration.runs import Usable
from roofline.studies.calibration.stacks import Fitted
from roofline.studies.measured.kernels import seconds, split_key
from roofline.studies.measured.rows import CLASSES
from roofline.studies.measured.serving import OFFLINE_MODE
from roofline.studies.measured.table import Case, Metric

FOLDS = 5
KERNEL: Literal["kernel"] = "kernel"
LeftOut: TypeAlias = Literal["model", "chip", "shape", "everything"]
Phase: TypeAlias = Literal["decode", "prefill", "e2e", "first token", "kernel", "training"]
Timings: TypeAlias = "Mapping[str, Sequence[kernels.Part]]"  # by the entry that they tell


@dataclass(frozen=True, slots=True)
class Residual:
    """One row as predicted without what was left out, which is `group` with all else in its fold.

    `error` is ln(predicted/measured) of a time, or that of a rate turned round: above zero is predicted too slow.
    `figure` is the class of figures that err like it, as in `measured.rows`. `stack` is empty for kernels of libraries,
    `model` for all kernels. Nothing but the time of a server is fitted to `watched` rows: queueing decides them, or
    how many requests ran at once is not stated. `level` is the family or chip whose constants predicted it, empty for
    a stack's numbers of all chips. Kernels of a chip left out stand there twice where its family and its kind have
    constants: once a level.
    """

    id: str
    chip: str
    family: str
    kind: str
    stack: str
    model: str
    mode: str
    figure: str
    phase: Phase
    offline: bool
    watched: bool
    left_out: LeftOut
    group: str
    level: str
    error: float


@dataclass(frozen=True, slots=True)
class Method:
    """How a run fits: subjects to timings of kernels, numbers of a stack to requests, each beginning near what nearly
    the same rows told; and families to power."""

    timings: Callable[[Timings, Found], list[Subject]]
    requests: Callable[[str, Sequence[runs.Part], Fitted | None], Fitted | None]
    powers: Callable[[Sequence[runs.Part]], list[Powered]]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run was given and what it found; `base` is the catalogue without what it found."""

    base: Catalog
    method: Method
    writer: Writer
    timings: Timings
    requests: Usable
    subjects: Sequence[Subject]
    fitted: Sequence[Fitted]
    powers: Sequence[runs.Part] = ()
    powered: Sequence[Powered] = ()

    @property
    def near(self) -> Found:
        """The subjects by kind and id."""
        return {(subject.kind, subject.id): subject for subject in self.subjects}


def fold(name: str) -> int:
    """The fold that leaves a group out, by a fixed hash.

    >>> sorted({fold(str(number)) for number in range(100)})
    [0, 1, 2, 3, 4]
    """
    return sha256(name.encode()).digest()[0] % FOLDS


def leave_out(run: Run, say: Callable[[str], None] = lambda text: None) -> list[Residual]:
    """Every row predicted without its model, its chip, its shape, as far as the rest tells enough."""
    found: list[Residual] = []
    for what, left_out in (("shapes", by_shape), ("models", by_model), ("chips", by_chip)):
        for index in range(FOLDS):
            say(f"fitting without some {what}: {index + 1} of {FOLDS}")
            found += left_out(run, index)
    return found + list(by_datasheet(run))


def by_datasheet(run: Run) -> Iterator[Residual]:
    """Every row against the ideal."""
    for timed in (part for parts in run.timings.values() for part in parts):
        measured, _, ideal = np.broadcast_arrays(*seconds(timed.bench, timed.cases, timed.chip, timed.stack))
        for case, bound, time in zip(timed.cases, ideal, measured, strict=True):
            if bound > 0.0:  # none where a better kernel would keep everything on the chip
                yield _kernel(timed, case, "everything", "", float(np.log(bound / time)))
    for part in (part for stack in run.requests.stacks for part in _all(run, stack)):
        errors = np.log(part.ideal() / part.measured)
        for case, metric, error in zip(part.cases, part.metrics, errors, strict=True):
            yield _request(part, case, metric, "everything", "", float(error))


def by_shape(run: Run, index: int) -> list[Residual]:
    """Kernels of a chip predicted without those of their shape in their software."""
    rest, out = _split(run.timings, lambda part, case: fold(shape_of(part, case)) == index)
    subjects = run.method.timings(rest, run.near) if out else []
    return [
        residual
        for subject in subjects
        if subject.kind == "chip"
        for residual in _kernels(subject, out, "shape")
        if residual.chip == subject.id
    ]


def by_model(run: Run, index: int) -> list[Residual]:
    """Requests to a chip and stack that were measured, predicted without those to their model."""

    def leaves(part: runs.Part) -> bool:
        return fold(part.setup.model) == index

    fitted = _refitted(run, {stack: run.requests.telling(stack) for stack in run.requests.fitted}, leaves)
    with overlaid(run, run.subjects, fitted.values()) as catalog:
        rows = [part for stack, found in fitted.items() for part in _all(run, stack)
                if leaves(part) and part.where.chip.id in found.chips]  # fmt: skip
        found = [residual for part in rows for residual in _requests(part.moved(catalog), fitted, "model")]
        powered, drawn = _repowered(run, catalog, leaves)
    told = {chip for one in powered for chip in one.chips}
    with overlaid(run, run.subjects, fitted.values(), powered) as catalog:
        moved = [part.moved(catalog) for part in drawn if part.where.chip.id in told]
        return found + [residual for part in moved for residual in _powers(part, "model")]


def by_chip(run: Run, index: int) -> list[Residual]:
    """Kernels of a chip and requests to it, predicted without anything measured on it."""

    def leaves(part: runs.Part) -> bool:
        return fold(part.where.chip.id) == index

    rest, out = _split(run.timings, lambda part, case: fold(part.chip.id) == index)
    subjects = run.method.timings(rest, run.near) if out else list(run.subjects)
    found = [
        residual for subject in subjects if subject.kind == "family" for residual in _kernels(subject, out, "chip")
    ]
    with overlaid(run, subjects) as catalog:
        moved = {
            stack: [part.moved(catalog) for part in run.requests.telling(stack)] for stack in run.requests.fitted
        }  # fmt: skip
    fitted = _refitted(run, moved, leaves)
    with overlaid(run, subjects, fitted.values()) as catalog:
        rows = [part.moved(catalog) for stack in fitted for part in _all(run, stack) if leaves(part)]
        found += [residual for part in rows for residual in _requests(part, fitted, "chip")]
        powered, drawn = _repowered(run, catalog, leaves)
    with overlaid(run, subjects, fitted.values(), powered) as catalog:
        return found + [residual for part in drawn for residual in _powers(part.moved(catalog), "chip")]


def _repowered(
    run: Run, catalog: Catalog, leaves: Callable[[runs.Part], bool]
) -> tuple[list[Powered], list[runs.Part]]:  # fmt: skip
    """Constants of power without some rows, given the times of a catalogue; and these rows."""
    out = [part for part in run.powers if leaves(part)]
    rest = [part.moved(catalog) for part in run.powers if not leaves(part)]
    return (run.method.powers(rest) if out else []), out


def _powers(part: runs.Part, left_out: LeftOut) -> Iterator[Residual]:
    """Rows of power as they are predicted, time and all."""
    for case, metric, error in zip(part.cases, part.metrics, part.errors(), strict=True):
        yield _request(part, case, metric, left_out, part.where.chip.family, float(error))


@contextmanager
def overlaid(
    run: Run, subjects: Sequence[Subject], fitted: Iterable[Fitted] = (), powered: Iterable[Powered] = ()
) -> Iterator[Catalog]:  # fmt: skip
    """The catalogue with constants laid over it, as they are read back from files."""
    with draft(None) as files:
        run.writer.write(files, subjects, fitted, powered)
        yield over(run.base, files)


def over(base: Catalog, files: Draft) -> Catalog:
    """A catalogue with the files of a draft laid over it."""
    return Snapshot.of(replace(base, hardware_dirs=(files.folder, *base.hardware_dirs)))


def _all(run: Run, stack: str) -> list[runs.Part]:
    """Rows of a stack that are fitted to, and those that are only watched."""
    return [*run.requests.fitted.get(stack, ()), *run.requests.watched.get(stack, ())]


def _refitted(
    run: Run, rows: Mapping[str, Sequence[runs.Part]], leaves: Callable[[runs.Part], bool]
) -> dict[str, Fitted]:
    """Numbers of every stack that something is left out of, as far as what remains tells them."""
    near = {found.stack: found for found in run.fitted}
    found: dict[str, Fitted] = {}
    for stack, parts in sorted(rows.items()):
        if stack in near and any(map(leaves, _all(run, stack))):
            again = run.method.requests(stack, [part for part in parts if not leaves(part)], near[stack])
            if again is not None:
                found[stack] = again
    return found


def _split(
    timings: Timings, leaves: Callable[[kernels.Part, Case], bool]
) -> tuple[dict[str, list[kernels.Part]], dict[str, list[kernels.Part]]]:
    """Rows that stay and rows that are left out."""
    sides: tuple[dict[str, list[kernels.Part]], dict[str, list[kernels.Part]]] = ({}, {})
    for entry, parts in timings.items():
        for part in parts:
            out = np.array([leaves(part, case) for case in part.cases])
            for side, kept in zip(sides, (~out, out), strict=True):
                if kept.any():
                    side.setdefault(entry, []).append(part.only(kept))
    return sides


def _kernels(subject: Subject, rows: Timings, left_out: LeftOut) -> Iterator[Residual]:
    """Kernels of chips that are the subject or belong to it, for the entries that it has constants of."""
    for step in subject.fits:
        for part in rows.get(step.main, ()):
            chip = part.chip
            if subject.id not in (chip.id, chip.family, chip.kind):
                continue
            for case, error in zip(part.cases, under(part, subject).errors(), strict=True):
                yield _kernel(part, case, left_out, subject.id, float(error))


def _kernel(part: kernels.Part, case: Case, left_out: LeftOut, level: str, error: float) -> Residual:
    chip = part.chip
    return Residual(
        id=case["id"], chip=chip.id, family=chip.family, kind=chip.kind, stack=part.bench.stack, model="", mode=KERNEL,
        figure=CLASSES[part.bench.op], phase=KERNEL, offline=False, watched=False, left_out=left_out,
        group=shape_of(part, case) if left_out == "shape" else chip.id, level=level, error=error,
    )  # fmt: skip


def _requests(part: runs.Part, fitted: Mapping[str, Fitted], left_out: LeftOut) -> Iterator[Residual]:
    """Requests under the stack of where they ran."""
    level = stacks.level_of(fitted[part.setup.stack].fits, part.where.chip)
    errors: Array = part.errors()
    for case, metric, error in zip(part.cases, part.metrics, errors, strict=True):
        yield _request(part, case, metric, left_out, level, float(error))


def _request(part: runs.Part, case: Case, metric: Metric, left_out: LeftOut, level: str, error: float) -> Residual:
    """`error` is that of the figure itself, a time or a rate."""
    chip, setup = part.where.chip, part.setup
    return Residual(
        id=case["id"], chip=chip.id, family=chip.family, kind=chip.kind, stack=setup.stack, model=setup.model,
        mode=case["mode"], figure=part.reading.what(metric, case), phase=phase_of(metric),
        offline=case["mode"] == OFFLINE_MODE,
        watched=bool(part.reading.left_open(setup, case, metric)),
        left_out=left_out, group=setup.model if left_out == "model" else chip.id, level=level,
        error=-error if metric.more_is_better else error,
    )  # fmt: skip


def shape_of(part: kernels.Part, case: Case) -> str:
    """A kernel's shape and the software that it is of."""
    return " ".join(split_key(part.bench, case)[1:])


def phase_of(metric: Metric) -> Phase:
    """What a figure of requests is about."""
    return "first token" if metric.name == "ttft_s" else metric.phase
