"""The grid of a sweep: panels of different code, and in each an open mesh of numbers that is priced block by block.

A panel is one workload on one deployment with one choice of formats, software and other names. Its numbers lie along
axes of their own, so that what depends on few of them is computed for few. A block is a run of rows: a slice of one
axis, all of those after it, one place on those before.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.engine import inference, plans, search
from roofline.engine.plans import Rule
from roofline.engine.training import memory as training_memory
from roofline.engine.training import rules
from roofline.errors import PlanError, RooflineError
from roofline.numeric import Num
from roofline.studies import request
from roofline.studies.knobs.knob import Case
from roofline.studies.request import DEGREES, Options
from roofline.studies.sweep import axes as spans
from roofline.studies.sweep.axes import Axis
from roofline.studies.sweep.columns import Mesh
from roofline.workload import Plan, Serving, Training

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 2**16  # points that are priced at once: their arrays stay in the cache, and Python's share is little
MOST_POINTS = 10**12
CHIPS, LINKS = "chips", "links"  # why a plan is none: degrees that do not use the chips, more than links join


@dataclass(frozen=True)
class Request:
    """What a sweep is asked for, as text."""

    workloads: tuple[str, ...]
    deployments: tuple[str, ...]
    vary: tuple[str, ...]
    options: Options = Options()
    hardware_dirs: tuple[Path, ...] = ()
    workload_dirs: tuple[Path, ...] = ()
    columns: str | None = None
    where: str | None = None
    keep_invalid: bool = True


@dataclass(frozen=True, slots=True)
class Block:
    """A run of rows of a mesh: the first and the last place but one along every axis."""

    spans: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Places along every axis."""
        return tuple(end - begin for begin, end in self.spans)

    @property
    def size(self) -> int:
        """Rows."""
        return math.prod(self.shape)

    def values(self, axes: Sequence[Axis]) -> list[NDArray[np.float64]]:
        """The values of every axis along itself."""
        rank = len(axes)
        return [
            axis.values[begin:end].reshape(*(-1 if at == place else 1 for at in range(rank)))
            for place, (axis, (begin, end)) in enumerate(zip(axes, self.spans, strict=True))
        ]


@dataclass(frozen=True, eq=False)
class Panel:
    """One workload on one deployment: what is varied on it, and what there is before that."""

    case: Case
    axes: tuple[Axis, ...]
    choices: Mapping[str, str]
    stated: int | None = None  # chips, where degrees are varied and have to multiply to them
    filled: bool = False  # whether dp is what the other degrees leave of them

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process is told the names of axes, and finds out itself how they change the case."""
        named = tuple((axis.name, axis.values) for axis in self.axes)
        return _again, (self.case, named, self.choices, self.stated, self.filled)

    @property
    def label(self) -> str:
        """How messages call it."""
        told = "".join(f", {name}={value}" for name, value in self.choices.items())
        return f"{self.case.job.id} on {self.case.deployment.label}{told}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of every axis."""
        return tuple(axis.values.size for axis in self.axes)

    @property
    def points(self) -> int:
        """Rows."""
        return math.prod(self.shape)

    @property
    def rules(self) -> tuple[Rule[Any], ...]:
        """What a plan must obey."""
        return rules.RULES if isinstance(self.case.job, Training) else plans.RULES

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a plan may be none; the first is that it is one."""
        return ("", *(rule.code for rule in self.rules), CHIPS, LINKS)

    @property
    def degrees(self) -> bool:
        """Whether plans are varied."""
        return any(axis.knob.degree for axis in self.axes)

    # -- blocks

    @cached_property
    def _cut(self) -> tuple[int, int, int]:
        """The axis that blocks are slices of, the places of one slice, and the slices of that axis."""
        inner, at = 1, len(self.shape)
        while at > 0 and inner * self.shape[at - 1] <= BLOCK:
            at -= 1
            inner *= self.shape[at]
        if at == 0:
            return 0, self.shape[0] if self.shape else 1, 1
        each = max(BLOCK // inner, 1)
        return at - 1, each, -(-self.shape[at - 1] // each)

    @property
    def blocks(self) -> int:
        """How many there are."""
        at, _, slices = self._cut
        return math.prod(self.shape[:at]) * slices

    def block(self, index: int) -> Block:
        """One of them, in the order of rows."""
        if not self.shape:
            return Block(())
        at, each, slices = self._cut
        before, place = divmod(index, slices)
        outer = np.unravel_index(before, self.shape[:at]) if at else ()
        begin = place * each
        spans = [(int(one), int(one) + 1) for one in outer]
        spans.append((begin, min(begin + each, self.shape[at])))
        return Block((*spans, *((0, size) for size in self.shape[at + 1 :])))

    # -- prices

    def at(self, block: Block) -> Case:
        """The case with the numbers of a block."""
        case = self.case
        for axis, values in zip(self.axes, block.values(self.axes), strict=True):
            case = axis.knob.turn(case, values)
        if not self.degrees:
            return case
        plan = case.deployment.plan
        if self.filled and self.stated:
            plan = replace(plan, dp=self.stated / (plan.tp * plan.pp * plan.cp))
        chips: Any = self.stated or plan.num_chips
        return Case(case.job, replace(case.deployment, plan=plan, num_chips=chips))

    def broken(self, case: Case) -> NDArray[Any]:
        """0 where a plan is one, else which of `reasons` is why not: the first."""
        plan, work = case.deployment.plan, case.job if isinstance(case.job, Training) else case.job.model
        if not any(axis.name in request.PLAN_KEYS or isinstance(case.job, Training) for axis in self.axes):
            return np.zeros(())
        held = [rule.holds(work, plan) for rule in self.rules]
        held.append(np.equal(plan.num_chips, case.deployment.num_chips) & np.equal(plan.dp, np.floor(plan.dp)))
        held.append(np.less_equal(case.deployment.num_chips, plans.most_chips(case.deployment.chip)))
        found: NDArray[Any] = np.zeros(())
        for index, flags in reversed(list(enumerate(held, 1))):
            found = np.where(flags, found, float(index))
        return found

    def mesh(self, block: Block) -> Mesh:
        """The predictions of a block."""
        with np.errstate(all="ignore"):  # plans that are none may divide by nothing; they are told as such
            case = self.at(block)
            return Mesh(self, block, search.predict(case.job, case.deployment), self.broken(case))

    def count(self, block: Block) -> tuple[int, int]:
        """Rows whose plan is one, and rows that fit: memory alone is asked."""
        with np.errstate(all="ignore"):
            case = self.at(block)
            valid = np.broadcast_to(np.equal(self.broken(case), 0), block.shape)
            return int(np.count_nonzero(valid)), int(np.count_nonzero(valid & _fits(case)))


def _again(
    case: Case, axes: Sequence[tuple[str, NDArray[np.float64]]], choices: Mapping[str, str], *told: Any
) -> Panel:  # fmt: skip
    """A panel from what another process told of it."""
    return Panel(case, tuple(Axis(name, spans.knob(case, name), values) for name, values in axes), choices, *told)


def _fits(case: Case) -> Num:
    """Whether memory holds a case, without a price."""
    job, where = case.job, case.deployment
    if where.prefill_plan is not None:
        return search.predict(job, where).fits
    precision = where.precision_for(job.precision)
    if isinstance(job, Training):
        limit = where.chip.main_memory.capacity * where.stack.usable_memory
        return np.less_equal(training_memory.memory_needs(job, where.plan, precision).total, limit)
    if job.saturated:
        job = replace(job, batch=inference.largest_batch(job, where, precision))
    room = inference.memory_room(job, where, precision)
    return np.less_equal(room.held.total, room.limit)


@dataclass(frozen=True, eq=False)
class Grid:
    """All panels of a sweep, made when they are needed; each knows its own axes."""

    request: Request
    catalog: Catalog = field(default_factory=Catalog)

    def __getstate__(self) -> dict[str, Any]:
        """Another process is told what was found in the catalogue, and needs no files of its own."""
        return {"request": self.request, "catalog": Catalog(), "panels": self.panels, "columns": self.columns}

    @cached_property
    def _spans(self) -> dict[str, str]:
        return spans.split(self.request.vary)

    @cached_property
    def _combinations(self) -> list[tuple[str, str, dict[str, str]]]:
        """Workloads, deployments and names, the last changing first."""
        asked = self.request
        named = {name: spans.choices(name, span) for name, span in self._spans.items() if name in spans.NAMES}
        for text in asked.deployments:
            given = request.parse_deployment(text).settings
            twice = next((name for name in self._spans if name in given), None)
            if twice:
                raise RooflineError(f"--vary {twice}: {text} says its own {twice}; leave one of them out")
        return [
            (workload, deployment, dict(zip(named, values, strict=True)))
            for workload, deployment in itertools.product(asked.workloads, asked.deployments)
            for values in itertools.product(*named.values())
        ]

    @cached_property
    def panels(self) -> tuple[Panel, ...]:
        """All of them; `RooflineError` for what can't be resolved, or is more than anybody waits for."""
        found = []
        for workload, deployment, names in self._combinations:
            found.append(self._panel(workload, deployment, names))
            if len(found) == 1:
                self._check_size(found[0])
        return tuple(found)

    def _check_size(self, first: Panel) -> None:
        points = first.points * len(self._combinations)
        if points > MOST_POINTS:
            longest = sorted(first.axes, key=lambda axis: -axis.values.size)[:2]
            told = " and ".join(f"{axis.name} ({axis.values.size:,} values)" for axis in longest)
            raise RooflineError(f"--vary: {points:,} points, {MOST_POINTS:,} at most; narrow {told}")

    def _panel(self, workload: str, text: str, names: Mapping[str, str]) -> Panel:
        settings = {name: request.setting(name, value) for name, value in names.items()}
        options = replace(self.request.options, settings={**self.request.options.settings, **settings})
        job = request.resolve_workload(self.catalog, workload, options)
        wanted = request.meant(self.catalog, text)
        bare = Case(job, request.unplanned(self.catalog, wanted, job, options))
        found = spans.numbers(bare, self._spans)
        largest = Case(job, bare.deployment)
        for axis in found:
            if axis.name not in request.PLAN_KEYS:
                largest = axis.knob.turn(largest, float(axis.values.max()))
        degrees = [axis.name for axis in found if axis.knob.degree]
        given = request.plan_settings(text, options)
        if degrees:
            if isinstance(job, Serving) and (wrong := next((name for name in given if name not in DEGREES), None)):
                raise PlanError(f"{text}: {wrong} belongs to training; {job.id} is served")
            if "pools" in {**options.settings, **wanted.settings}:
                raise RooflineError(f"--vary {degrees[0]}: pools have plans of their own; leave pools out")
            where = replace(bare.deployment, plan=_base_plan(bare, given))
            if wanted.stated is None:
                where = replace(where, label=where.label.split("x", 1)[1])
            case = Case(job, replace(where, num_chips=wanted.stated or 1))
        else:
            case = Case(job, request.resolve_deployment(self.catalog, text, largest.job, options, anyway=True))
        panel = Panel(
            case,
            tuple(found),
            names,
            stated=wanted.stated if degrees else None,
            filled=bool(wanted.stated) and "dp" not in degrees and "dp" not in given,
        )
        self._check_order(panel)
        return panel

    @staticmethod
    def _check_order(panel: Panel) -> None:
        """`RooflineError` if lengths at the ends of axes leave more in the cache than the context has."""
        job = panel.case.job
        if isinstance(job, Serving):
            for axis in panel.axes:
                ends = np.array([axis.values.min(), axis.values.max()])
                tried = axis.knob.turn(panel.case, ends).job
                if isinstance(tried, Serving):
                    request.check_order(tried)

    # -- rows

    @property
    def points(self) -> int:
        """Rows of all panels."""
        return sum(panel.points for panel in self.panels)

    @cached_property
    def _ends(self) -> list[int]:
        return list(itertools.accumulate(panel.blocks for panel in self.panels))

    @property
    def blocks(self) -> int:
        """Blocks of all panels."""
        return self._ends[-1]

    def block(self, index: int) -> tuple[Panel, Block]:
        """One block of all, in the order of rows."""
        at = bisect_right(self._ends, index)
        return self.panels[at], self.panels[at].block(index - (self._ends[at - 1] if at else 0))

    def spread(self, most: int) -> list[int]:
        """So many blocks, evenly over all."""
        found: list[int] = np.unique(np.linspace(0, self.blocks - 1, most).astype(int)).tolist()
        return found

    @cached_property
    def columns(self) -> list[str]:
        """Every column that any panel has, in order."""
        first = (panel.mesh(Block(tuple((0, 1) for _ in panel.axes))).names for panel in self.panels)
        return list(dict.fromkeys(name for names in first for name in names))

    @property
    def axes(self) -> list[str]:
        """Names of what is varied, in the order asked for."""
        return list(self._spans)

    def each(self, begin: int, end: int) -> Iterator[Mesh]:
        """The predictions of a run of blocks."""
        for index in range(begin, end):
            panel, block = self.block(index)
            yield panel.mesh(block)


def build(asked: Request) -> Grid:
    """The grid of a request, with a catalogue as it is now."""
    return Grid(asked, Snapshot.of(Catalog(asked.hardware_dirs, asked.workload_dirs)))


def _base_plan(bare: Case, given: Mapping[str, Any]) -> Plan:
    """Degrees of one, but those that are given; of all else what is given."""
    where = bare.deployment
    told: dict[str, Any] = {name: float(value) if type(value) is int else value for name, value in given.items()}
    if isinstance(bare.job, Training):
        told = {"selective": float(np.max(where.stack.selective)), **told}
    return Plan(placement=where.stack.placement, devices=float(np.max(where.chip.devices)), **told)
