"""The fastest plans of a training run on so many chips, and what became of all others.

Memory comes first: it costs little beside time, and what does not fit needs no price. Two settings are not crossed with
all others, because they cost time:

- Recomputation adds work and messages, and no more of them hides than was added. Only where a network is so slow that
  not all hides that may, what hides moves between halves and stages, which is worth less than 3 % of a step. So a plan
  that is slower without recomputation than the best ones, by more than that, is not priced with it.
- Without sequence parallelism every rank does all norms of its group, keeps what goes into them, and sends as much,
  which costs memory and, but for 1 % on such a network, time. It is left on unless the plan says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np

from roofline.engine.deployment import Deployment
from roofline.engine.plans import DEGREES, Flags
from roofline.engine.training.memory import memory_needs
from roofline.engine.training.space import NUMBERS, Array, Given, Space, cell, layouts, space, taken
from roofline.engine.training.step import seconds
from roofline.machine import Chip, Stack
from roofline.numeric import Num
from roofline.workload import Plan, Precision, Training

ROWS = 4096  # of a mesh that are priced at once: Python's share is little, and their arrays stay in a cache
SLACK = 0.05  # of a step: more than recomputation ever saves (see above)
ALIKE = 1e-9  # times that differ by less are the same, summed in another order
SIMPLEST = ("tp", "pp", "cp", "ep", "vpp", "zero", "mode", "micro_batch")  # of equal plans the one with less of these


_Columns: TypeAlias = "dict[str, Array]"  # numbers of plans, "time" [s], and "mode", an index of a way to recompute
NONE = np.zeros(0)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the plans that a search `considered`, `invalid` ones break a rule and `too_large` ones do not fit."""

    considered: int = 0
    invalid: int = 0
    too_large: int = 0

    @property
    def fitting(self) -> int:
        """The rest."""
        return self.considered - self.invalid - self.too_large

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The fastest plans, one for each set of degrees, with the seconds of their steps; where nothing fits, the one that
    needs the least memory, and no time."""

    plans: tuple[Plan, ...]
    times: tuple[float, ...]
    counts: Counts


def best_plan(training: Training, deployment: Deployment, given: Given) -> Plan:
    """The fastest plan that fits `deployment.num_chips` chips (its own plan is ignored), keeping `given` fields; if
    none fits, the one that needs the least memory. Of equal plans it is the one with the fewest moving parts.

    Raises `PlanError`, saying what is possible, if no plan obeys the rules.
    """
    return rank(training, deployment, given, most=1).plans[0]


def rank(training: Training, deployment: Deployment, given: Given, *, most: int) -> Ranking:
    """The fastest plans of different degrees, `most` of them, and what became of all others (see `best_plan`)."""
    every, lost = space(training, deployment.chip, deployment.stack, deployment.num_chips, given)
    precision = deployment.precision_for(training.precision)
    counts, least = Counts(considered=lost, invalid=lost), (np.inf, every.rows)
    best: _Columns = {}
    for mesh in _parts(every):
        held = _held(every, mesh, deployment, precision)
        counts, least = counts + held.counts, min(least, (held.need, held.least), key=lambda item: item[0])
        if any(flags.any() for flags in held.fits):
            best = _timed(every, mesh, deployment, precision, held.fits, best, most)
    if not best:
        return Ranking((least[1],), (), counts)
    return Ranking(tuple(_plans(every, best)), tuple(best["time"].tolist()), counts)


def holds(
    training: Training, chip: Chip, stack: Stack, num_chips: int, precision: Precision, given: Given
) -> bool:  # fmt: skip
    """Whether some plan for so many chips obeys the rules and fits; memory alone is asked.

    Of plans with the same degrees, those with one sequence at a time, one chunk a stage and everything sharded need the
    least of it.
    """
    every = layouts(training, chip, stack, num_chips, given)
    mesh = every.mesh(every.rows)
    possible, limit = every.possible(mesh), room(chip, stack)
    needs = (memory_needs(training, replace(mesh, recompute=mode), precision).total for mode in every.modes)
    return bool(possible.any()) and any(bool(np.any(possible & np.less_equal(need, limit))) for need in needs)


def room(chip: Chip, stack: Stack) -> Num:
    """What software lets a run have of a chip's memory [B]."""
    return chip.main_memory.capacity * stack.usable_memory


def _parts(every: Space) -> Iterator[Plan]:
    """The mesh in parts of so many rows."""
    for start in range(0, np.size(every.rows.tp), ROWS):
        yield every.mesh(taken(every.rows, np.arange(start, min(start + ROWS, np.size(every.rows.tp)))))


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Which plans of a mesh fit, for each way to recompute, and the one that needs the least memory."""

    fits: tuple[Flags, ...]
    counts: Counts
    need: float
    least: Plan


def _held(every: Space, mesh: Plan, deployment: Deployment, precision: Precision) -> _Held:
    """Memory of every plan of a mesh."""
    shape, limit = _shape(mesh), room(deployment.chip, deployment.stack)
    there, possible = (np.broadcast_to(flags, shape) for flags in (every.exists(mesh), every.possible(mesh)))
    whole = [replace(mesh, recompute=mode) for mode in every.modes]
    needs = [np.where(possible, memory_needs(every.training, plan, precision).total, np.inf) for plan in whole]
    fits = tuple(np.less_equal(need, limit) for need in needs)
    considered, obeying, fitting = (int(np.count_nonzero(flags)) for flags in (there, possible, np.stack(fits)))
    modes = len(every.modes)
    least = min(range(modes), key=lambda mode: float(needs[mode].min()))
    return _Held(
        fits=fits,
        counts=Counts(considered * modes, (considered - obeying) * modes, obeying * modes - fitting),
        need=float(needs[least].min()),
        least=cell(whole[least], np.unravel_index(int(needs[least].argmin()), shape)),
    )


def _shape(mesh: Plan) -> tuple[int, ...]:
    return np.broadcast_shapes(*(np.shape(getattr(mesh, name)) for name in NUMBERS))


def _timed(
    every: Space,
    mesh: Plan,
    deployment: Deployment,
    precision: Precision,
    fits: Sequence[Flags],
    best: _Columns,
    most: int,
) -> _Columns:
    """The best plans so far and of a mesh: all are timed with the least recomputation, and with more of it those that
    may be among the best then."""

    def time(plan: Plan) -> Array:
        with np.errstate(invalid="ignore"):  # what does not exist in the mesh may be beyond all links
            found = seconds(every.training, replace(deployment, plan=plan), precision)
        return np.broadcast_to(np.where(np.isnan(found), np.inf, found), _shape(plan))

    rows = np.flatnonzero(np.any([flags.any(axis=(1, 2, 3)) for flags in fits], axis=0))
    mesh = taken(mesh, rows)
    least = time(replace(mesh, recompute=every.modes[0]))
    times, modes = np.where(fits[0][rows], least, np.inf), np.zeros(least.shape)
    best = _better(best, _columns(mesh, times, modes), most)
    promising = np.less_equal(least, _slowest(best, most) * (1.0 + SLACK))
    for index, name in enumerate(every.modes[1:], start=1):
        wanted = fits[index][rows] & promising
        some = np.flatnonzero(wanted.any(axis=(1, 2, 3)))
        if some.size:
            more = time(replace(taken(mesh, some), recompute=name))
            faster = wanted[some] & np.less(more, times[some] * (1.0 - ALIKE))
            times[some], modes[some] = np.where(faster, more, times[some]), np.where(faster, float(index), modes[some])
    return _better(best, _columns(mesh, times, modes), most)


def _columns(mesh: Plan, time: Array, mode: Array) -> _Columns:
    """The best chunks and ZeRO stage for each row and number of stages: the first of those with the least time."""
    flat = time.reshape(*time.shape[:2], -1)
    nearly = np.less_equal(flat, flat.min(axis=2, keepdims=True) * (1.0 + ALIKE))
    picked = nearly.argmax(axis=2)[:, :, None]

    def of(values: Num) -> Array:
        spread = np.broadcast_to(values, time.shape).reshape(flat.shape)
        return np.take_along_axis(spread, picked, axis=2).ravel()

    columns = {name: of(getattr(mesh, name)) for name in NUMBERS} | {"time": of(time), "mode": of(mode)}
    fitting = np.isfinite(columns["time"])
    return {name: column[fitting] for name, column in columns.items()}


def _slowest(best: _Columns, most: int) -> float:
    """The time that a plan must keep to be among so many."""
    times = best.get("time", NONE)
    return float(times.max()) * (1.0 + ALIKE) if times.size == most else np.inf


def _better(best: _Columns, found: _Columns, most: int) -> _Columns:
    """The best plans of different degrees among those known and those found: of plans alike the simplest."""
    found = {name: np.concatenate([best.get(name, NONE), column]) for name, column in found.items()}
    times = found["time"]
    if not times.size:
        return {}
    steps = np.round(times / times.min() / ALIKE)
    order = np.lexsort([*(found[name] for name in reversed(SIMPLEST)), steps])
    chosen: dict[tuple[float, ...], int] = {}
    for index in order:
        chosen.setdefault(tuple(float(found[name][index]) for name in DEGREES), int(index))
        if len(chosen) == most:
            break
    return {name: column[list(chosen.values())] for name, column in found.items()}


def _plans(every: Space, found: _Columns) -> Iterator[Plan]:
    for index in range(found["time"].size):
        numbers = {name: float(found[name][index]) for name in NUMBERS}
        yield replace(every.rows, **numbers, recompute=every.modes[int(found["mode"][index])])  # type: ignore[arg-type]
