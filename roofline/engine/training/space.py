"""All plans of a training run on so many chips, as a mesh of four axes: rows, pipeline stages, chunks, ZeRO stages.

A row is what a rank does of a micro-batch: tp, cp, ep, and its size. dp is what rows and stages leave of the chips.
Nearly all kernels depend on rows alone, so a mesh prices them once for all plans that share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, TypeAlias

import numpy as np

from roofline.engine.plans import DEGREES, Flags, divisors, experts_of
from roofline.engine.training import rules
from roofline.engine.training.schedule import stage_layers
from roofline.errors import PlanError
from roofline.machine import Chip, Stack
from roofline.workload import Plan, Training
from roofline.workload.plan import RECOMPUTES, Recompute

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
Index: TypeAlias = "NDArray[np.intp]"
Given: TypeAlias = "Mapping[str, Any]"

ZEROS = (0, 1, 2, 3)
ROW = ("tp", "cp", "ep", "micro_batch")
NUMBERS = (*DEGREES, "micro_batch", "vpp", "zero")  # all that is tried, but for recomputation
MOST_TOLD = 6  # values that a message names
SHIFTED, HALVED = 0.1, 1.0  # what modes may save (see `_modes`)
LEAST = (("micro_batch", 1), ("vpp", 1), ("zero", 3))  # no other value keeps a rule that these break


@dataclass(frozen=True, slots=True)
class Mode:
    """What of a plan is no number: how it recomputes, of whole layers as `few` as memory needs or all, and whether
    sequence parallelism divides norms.

    `slack` is the share of its own time that a step in this mode may save against one in the first mode.
    """

    recompute: Recompute
    sequence_parallel: bool
    slack: float
    few: bool = False

    def of(self, plan: Plan) -> Plan:
        """The plan in this mode."""
        return replace(plan, recompute=self.recompute, sequence_parallel=self.sequence_parallel)

    def differs(self, plan: Plan) -> Flags:
        """Where the mode is not the same as one with sequence parallelism."""
        return np.asarray(np.greater(plan.tp, 1.0) | self.sequence_parallel)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """What there is to try, keeping the fields that are `given`: `rows` as a plan of arrays `[rows]`, numbers of
    stages, of chunks on each, ZeRO stages, and ways to recompute."""

    training: Training
    num_chips: int
    given: Given
    rows: Plan
    pps: Array
    vpps: Array
    zeros: Array
    modes: tuple[Mode, ...]

    @property
    def counted(self) -> tuple[Mode, ...]:
        """The modes in which plans are other plans: with few layers made again they are those with all."""
        return tuple(mode for mode in self.modes if not mode.few)

    def mesh(self, rows: Plan) -> Plan:
        """Every plan with these rows, `[rows, pps, vpps, zeros]`, each number along its own axis."""
        tall: dict[str, Any] = {name: np.reshape(getattr(rows, name), (-1, 1, 1, 1)) for name in ROW}
        pp = self.pps[:, None, None]
        left = np.floor(self.num_chips / (tall["tp"] * tall["cp"] * pp))
        return replace(rows, **tall, pp=pp, dp=np.maximum(left, 1.0), vpp=self.vpps[:, None], zero=self.zeros)

    def exists(self, mesh: Plan) -> Flags:
        """Whether degrees multiply to the chips, and dp is the one that was given."""
        exact = np.equal(mesh.num_chips, float(self.num_chips))
        return exact & np.equal(mesh.dp, float(self.given["dp"])) if "dp" in self.given else exact

    def possible(self, mesh: Plan) -> Flags:
        """Whether plans exist and obey all rules."""
        return self.exists(mesh) & rules.valid(mesh, self.training)


def space(training: Training, chip: Chip, stack: Stack, num_chips: int, given: Given) -> tuple[Space, int]:
    """All that may obey the rules, and how many plans were left out of it because none with their degrees does.

    Raises `PlanError`, saying what is possible, if there is nothing to try.
    """
    every = layouts(training, chip, stack, num_chips, given)
    mesh = every.mesh(every.rows)
    there, valid = (_flat(flags, mesh) for flags in (every.exists(mesh), every.possible(mesh)))
    if not valid.any():
        _explain(every, mesh, there)
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    kept = replace(every, rows=taken(every.rows, rows), pps=every.pps[columns])
    found = replace(
        kept,
        rows=_with_micro_batches(kept, valid[np.ix_(rows, columns)]),
        vpps=_choices(given, "vpp", _chunks(training, kept.pps)),
        zeros=zeros(given),
    )
    lost = int(np.count_nonzero(there)) - int(np.count_nonzero(there[np.ix_(rows, columns)]))
    return found, lost * found.zeros.size * len(found.counted)


def layouts(training: Training, chip: Chip, stack: Stack, num_chips: int, given: Given) -> Space:
    """Every way to lay a run over the chips, with the least of all else: one sequence, one chunk, all sharded.

    Degrees that no rule allows whatever the others are, are not among them, unless they are given.
    """
    model, modes, chips = training.model, _modes(given, stack), np.array(divisors(num_chips), dtype=np.float64)
    base = modes[0].of(
        Plan(placement=stack.placement, devices=float(np.max(chip.devices)), selective=float(np.max(stack.selective)))
    )
    alone: dict[str, Iterable[float]] = {
        "tp": chips[rules.HEADS.holds(training, replace(base, tp=chips))],
        "cp": chips[rules.SEQUENCE.holds(training, replace(base, cp=chips))],
        "ep": divisors(experts_of(model)),
    }
    axes = [_choices(given, name, values) for name, values in alone.items()]
    crossed = np.meshgrid(*axes, indexing="ij")
    least = {name: _choices(given, name, (value,)) for name, value in LEAST}
    columns: dict[str, Any] = {name: axis.ravel() for name, axis in zip(alone, crossed, strict=True)}
    columns["micro_batch"] = np.broadcast_to(least["micro_batch"], columns["tp"].shape)
    others = {name: _plain(value) for name, value in given.items() if name not in NUMBERS}
    return Space(
        training=training,
        num_chips=num_chips,
        given=given,
        rows=replace(base, **{**others, **columns}),
        pps=_choices(given, "pp", chips[rules.LAYERS.holds(training, replace(base, pp=chips))]),
        vpps=least["vpp"],
        zeros=least["zero"],
        modes=modes,
    )


def zeros(given: Given) -> Array:
    """ZeRO stages to try."""
    return _choices(given, "zero", ZEROS)


def taken(plan: Plan, index: Index) -> Plan:
    """Some plans of an array of plans, by its first axis; numbers with fewer axes are shared and stay as they are."""
    arrays = {item.name: value for item in fields(plan) if isinstance(value := getattr(plan, item.name), np.ndarray)}
    axes = max(value.ndim for value in arrays.values())
    columns: dict[str, Any] = {name: value[index] for name, value in arrays.items() if value.ndim == axes}
    return replace(plan, **columns)


def cell(plan: Plan, place: Sequence[SupportsIndex]) -> Plan:
    """One plan of a mesh, as plain floats."""
    arrays = {item.name: value for item in fields(plan) if isinstance(value := getattr(plan, item.name), np.ndarray)}
    shape = np.broadcast_shapes(*(value.shape for value in arrays.values()))
    values: dict[str, Any] = {
        name: float(np.broadcast_to(value, shape)[tuple(place)]) for name, value in arrays.items()
    }
    return replace(plan, **values)


def _flat(flags: Flags, mesh: Plan) -> Flags:
    """Flags of layouts and numbers of stages, of a mesh with one of all else."""
    return np.broadcast_to(flags, (np.size(mesh.tp), np.size(mesh.pp), 1, 1))[:, :, 0, 0]


def _with_micro_batches(kept: Space, valid: Flags) -> Plan:
    """Each layout with every micro-batch that divides the batch of its replicas under some number of stages."""
    sizes = _choices(kept.given, "micro_batch", divisors(int(rules.batch_of(kept.training))))
    each = np.asarray(rules.batch_of(kept.training) / kept.mesh(kept.rows).dp)[:, :, :, 0]
    layout, micro = np.nonzero((np.equal(np.mod(each, sizes), 0.0) & valid[:, :, None]).any(axis=1))
    return replace(taken(kept.rows, layout), micro_batch=sizes[micro])


def _explain(every: Space, mesh: Plan, there: Flags) -> NoReturn:
    """Say why there is nothing to try: in the words of the rule that the last of all layouts break."""
    if not there.any():
        rules.check(_filled(every), every.training, every.num_chips)
    left = np.argwhere(there)
    for rule in rules.RULES:
        kept = left[_flat(rule.holds(every.training, mesh), mesh)[left[:, 0], left[:, 1]]]
        if not kept.size:
            broken = [cell(mesh, (*place, 0, 0)) for place in left]
            raise PlanError(_no_dp(every, broken) if rule is rules.BATCH else rule.words(every.training, broken[0]))
        left = kept
    raise PlanError(f"no plan puts {every.training.model.id} on {every.num_chips} chips with {dict(every.given)}")


def _no_dp(every: Space, broken: Sequence[Plan]) -> str:
    """What to say where no layout leaves a dp that divides the batch."""
    found = sorted({int(plan.dp) for plan in broken})
    if len(found) == 1:
        return rules.BATCH.words(every.training, broken[0])
    told = ", ".join(f"{dp:,}" for dp in found[:MOST_TOLD]) + (" …" if len(found) > MOST_TOLD else "")
    return (
        f"{every.num_chips:,} chips leave dp={told}, and none of them divides the global batch of "
        f"{rules.batch_of(every.training):,.0f} sequences; write another number of chips or --global-batch"
    )


def _filled(every: Space) -> Plan:
    """The degrees that are given, with as many replicas as there are chips for."""
    degrees = {name: float(every.given.get(name, 1)) for name in DEGREES}
    rest = every.num_chips // int(np.prod([degrees[name] for name in ("tp", "pp", "cp")]))
    degrees["dp"] = float(every.given.get("dp", max(rest, 1)))
    return replace(cell(every.mesh(every.rows), (0, 0, 0, 0)), **degrees)  # type: ignore[arg-type]


def _modes(given: Given, stack: Stack) -> tuple[Mode, ...]:
    """Ways to recompute, the least first, each with sequence parallelism and without. Software that has nothing between
    none and whole layers recomputes as few of them as memory needs.

    Recomputation adds work and messages, and no more of them hides than was added, but for what moves between halves
    and stages where a network is so slow that not all hides that may: less than 5 % of a step. Of attention that is
    fused it saves nothing to make scores again alone. Without sequence parallelism messages are half as many, and each
    takes no less than one of two: a step saves half of its time at most.
    """
    shared = (given["sequence_parallel"],) if "sequence_parallel" in given else (True, False)
    useless = given.get("flash", True) and not given.get("selective", stack.selective)
    recomputes = tuple(mode for mode in RECOMPUTES if mode != "selective" or not useless)
    few = useless and not {"recompute", "recompute_layers", "selective"} & given.keys()
    if "recompute" in given:
        recomputes = (given["recompute"],)
    elif "recompute_layers" in given or "selective" in given:
        recomputes = ("full",) if "recompute_layers" in given else ("selective",)
    ways = [(mode, some) for mode in recomputes for some in ((True, False) if few and mode == "full" else (False,))]
    return tuple(Mode(mode, own, SHIFTED if own else HALVED, some) for own in shared for mode, some in ways)


def _chunks(training: Training, pps: Array) -> list[int]:
    """Chunks that the layers of a stage make, for some number of stages."""
    layers = (int(stage_layers(training.model, pp)) for pp in pps if pp > 1.0)
    return sorted({1, *(part for count in layers for part in divisors(count))})


def _choices(given: Given, name: str, values: Iterable[float]) -> Array:
    """The values to try of a field: the one that is given, else all."""
    return np.array([given[name]] if name in given else list(values), dtype=np.float64)


def _plain(value: Any) -> Any:
    """A setting as plans have it: numbers are floats."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
