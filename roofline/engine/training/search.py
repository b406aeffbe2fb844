"""The fastest plans of a training run on so many chips, and what became of all others.

All are timed in the first of the modes that are not numbers, and in another one only those that may be among the best
then, by what that mode can save at most (`Mode.slack`). What a plan needs of memory, which has three stages to look at,
is asked only of plans that are quick enough to be among the best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np

from roofline.engine.deployment import Deployment
from roofline.engine.plans import DEGREES, Flags
from roofline.engine.training import offload
from roofline.engine.training.memory import few_layers, memory_needs, most_needed
from roofline.engine.training.space import NUMBERS, Array, Given, Index, Space, cell, layouts, space, taken, zeros
from roofline.engine.training.step import seconds
from roofline.machine import Chip, Stack
from roofline.numeric import Num
from roofline.workload import Plan, Precision, Training

ROWS = 8192  # of a mesh that are priced at once: Python's share is little, and memory is not filled with them
APART = 1024  # of them where each plan recomputes layers of its own number, so that its kernels are shared by none
FIRST = 256  # rows that are asked first what memory they need
ALIKE = 1e-9  # times that differ by less are the same, summed in another order
LAYERS = "recompute_layers"
SIMPLEST = ("tp", "pp", "cp", "ep", "vpp", "zero", "mode", "micro_batch")  # of equal plans the one with less of these

_Columns: TypeAlias = "dict[str, Array]"  # numbers of plans, "time" [s], and "mode", an index of a way to recompute
NONE = np.zeros(0)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the plans that there are to try, `invalid` ones break a rule and `too_large` ones do not fit."""

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


def best_plan(training: Training, deployment: Deployment, given: Given) -> Plan:
    """The fastest plan that fits `deployment.num_chips` chips (its own plan is ignored), keeping `given` fields; if
    none fits, the one that needs the least memory. Of equal plans it is the one with the fewest moving parts.

    Raises `PlanError`, saying what is possible, if no plan obeys the rules.
    """
    return rank(training, deployment, given, most=1).plans[0]


def rank(training: Training, deployment: Deployment, given: Given, *, most: int) -> Ranking:
    """The fastest plans of different degrees, `most` of them (see `best_plan`)."""
    every, _ = space(training, deployment.chip, deployment.stack, deployment.num_chips, given)
    precision = deployment.precision_for(training.precision)
    best: _Columns = {}
    room = deployment.chip.main_memory.capacity * deployment.stack.usable_memory
    quickest = np.full(np.size(every.rows.tp), -np.inf)  # of each row in the first mode, whether it fits or not
    for index, mode in enumerate(every.modes):
        near = np.less_equal(quickest, _slowest(best, most) * (1.0 + mode.slack)) & mode.differs(every.rows)
        for rows in _parts(np.flatnonzero(near), APART if mode.few else ROWS):
            mesh = mode.of(every.mesh(taken(every.rows, rows)))
            possible = np.broadcast_to(every.possible(mesh), _shape(mesh))
            if mode.few:
                mesh = replace(mesh, recompute_layers=few_layers(training, mesh, precision, room))
            times = np.where(possible, _timed(every, replace(deployment, plan=mesh), precision), np.inf)
            if index == 0:
                quickest[rows] = times.min(axis=(1, 2, 3))
            best = _better_of(best, every, replace(deployment, plan=mesh), precision, times, index, most)
    if not best:
        return Ranking((_smallest(every, deployment, precision),), ())
    return Ranking(tuple(_plans(every, best)), tuple(best["time"].tolist()))


def count(training: Training, deployment: Deployment, given: Given) -> Counts:
    """What becomes of all plans that there are to try, which takes longer than to find the best of them."""
    every, lost = space(training, deployment.chip, deployment.stack, deployment.num_chips, given)
    precision = deployment.precision_for(training.precision)
    counts = Counts(considered=lost, invalid=lost)
    for mode in every.counted:
        for rows in _parts(np.flatnonzero(mode.differs(every.rows))):
            mesh = mode.of(every.mesh(taken(every.rows, rows)))
            there, possible = every.exists(mesh), every.possible(mesh)
            fits, _ = _held(training, mesh, precision, deployment.chip, deployment.stack)
            considered, obeying, fitting = (
                int(np.count_nonzero(np.broadcast_to(flags, _shape(mesh))))
                for flags in (there, possible, possible & fits)
            )
            counts = counts + Counts(considered, considered - obeying, obeying - fitting)
    return counts


def holds(
    training: Training, chip: Chip, stack: Stack, num_chips: int, precision: Precision, given: Given
) -> bool:  # fmt: skip
    """Whether some plan for so many chips obeys the rules and fits; memory alone is asked.

    Of plans with the same degrees, those with one sequence at a time and one chunk a stage need the least of it.
    """
    every = layouts(training, chip, stack, num_chips, given)
    mesh = replace(every, zeros=zeros(given)).mesh(every.rows)
    possible = every.possible(mesh)
    return bool(possible.any()) and any(
        bool(np.any(possible & _held(training, mode.of(mesh), precision, chip, stack)[0])) for mode in every.modes
    )


def _held(training: Training, plan: Plan, precision: Precision, chip: Chip, stack: Stack) -> tuple[Flags, Num]:
    """Whether plans fit what software lets a run have of a chip's memory, and of its host's; and what they need."""
    room = chip.main_memory.capacity * stack.usable_memory
    host = offload.host(chip, plan)
    if host is None:
        need = most_needed(training, plan, precision)
        return np.asarray(np.less_equal(need, room)), need
    held = memory_needs(training, plan, precision)
    return np.less_equal(held.total, room) & np.less_equal(held.host, host.capacity), held.total


def _smallest(every: Space, deployment: Deployment, precision: Precision) -> Plan:
    """The plan that needs the least memory."""
    need, least = np.inf, every.rows
    for mode in every.modes:
        for rows in _parts(np.arange(np.size(every.rows.tp))):
            mesh = mode.of(every.mesh(taken(every.rows, rows)))
            _, needs = _held(every.training, mesh, precision, deployment.chip, deployment.stack)
            known = np.where(np.broadcast_to(every.possible(mesh), _shape(mesh)), needs, np.inf)
            if float(known.min()) < need:
                need, least = float(known.min()), cell(mesh, np.unravel_index(int(known.argmin()), known.shape))
    return least


def _parts(rows: Index, size: int = ROWS) -> Iterator[Index]:
    """Rows in parts."""
    for start in range(0, rows.size, size):
        yield rows[start : start + size]


def _shape(mesh: Plan) -> tuple[int, ...]:
    return np.broadcast_shapes(*(np.shape(getattr(mesh, name)) for name in NUMBERS))


def _timed(every: Space, deployment: Deployment, precision: Precision) -> Array:
    """Seconds of every plan of a mesh."""
    with np.errstate(invalid="ignore"):  # what does not exist in the mesh may be beyond all links
        found = seconds(every.training, deployment, precision)
    return np.where(np.isnan(found), np.inf, found)


def _better_of(
    best: _Columns, every: Space, deployment: Deployment, precision: Precision, times: Array, mode: int, most: int
) -> _Columns:  # fmt: skip
    """The best plans so far and of a mesh whose times are known. The quickest rows are asked first what memory they
    need, and no more of them than may be among the best."""
    chip, stack, mesh = deployment.chip, deployment.stack, deployment.plan
    quickest = times.min(axis=(1, 2, 3))
    left, size = np.argsort(quickest, kind="stable"), FIRST
    while left.size and quickest[left[0]] <= _slowest(best, most) and np.isfinite(quickest[left[0]]):
        rows, left, size = left[:size], left[size:], 2 * size
        part = taken(mesh, rows)
        fits, _ = _held(every.training, part, precision, chip, stack)
        best = _better(best, _columns(part, np.where(fits, times[rows], np.inf), mode), most)
    return best


def _columns(mesh: Plan, times: Array, mode: int) -> _Columns:
    """The best chunks and ZeRO stage for each row and number of stages: the first of those with the least time."""
    flat = times.reshape(*times.shape[:2], -1)
    nearly = np.less_equal(flat, flat.min(axis=2, keepdims=True) * (1.0 + ALIKE))
    picked = nearly.argmax(axis=2)[:, :, None]
    fitting = np.isfinite(np.take_along_axis(flat, picked, axis=2)).ravel()

    def of(values: Num) -> Array:
        spread = np.broadcast_to(values, times.shape).reshape(flat.shape)
        return np.take_along_axis(spread, picked, axis=2).ravel()[fitting]

    columns = {name: of(getattr(mesh, name)) for name in (*NUMBERS, LAYERS)} | {"time": of(times)}
    return columns | {"mode": np.full(columns["time"].shape, float(mode))}


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
        numbers = {name: float(found[name][index]) for name in (*NUMBERS, LAYERS)}
        yield every.modes[int(found["mode"][index])].of(replace(every.rows, **numbers))  # type: ignore[arg-type]
