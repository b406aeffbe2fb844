"""The time of one training step: passes of all micro-batches through a pipeline, messages, the update.

A pipeline stage runs its micro-batches one after another; the slowest sets the pace (Narayanan et al. 2021, arXiv
2104.04473). Messages hide behind work as far as the software lets them and as there is work to hide behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from roofline.engine import roof
from roofline.engine.deployment import Deployment
from roofline.engine.ops import COLLECTIVE, OVERHEAD, Op
from roofline.engine.overlap import served
from roofline.engine.prediction import Phase
from roofline.engine.roof import Priced
from roofline.engine.training import offload, passes, update
from roofline.engine.training.schedule import Paced, Stages, bubble, micro_batches, paced
from roofline.machine import Chip, Stack
from roofline.machine.chip import ATTENTION
from roofline.machine.stack import CONTEXT, DATA, EXPERT, PIPELINE, TENSOR
from roofline.numeric import Num, larger, smaller, where
from roofline.workload import Plan, Precision, Training

Price: TypeAlias = "Callable[[Iterable[Op]], tuple[Priced, ...]]"

FORWARD, RECOMPUTE, BACKWARD = "forward", "recompute", "backward"
BUBBLE = "pipeline/bubble"
SOFTWARE = "software"  # the layer of what software adds to every layer
OUTSIDE = ("embedding", "head", "pipeline")  # places of operators outside of layers
WEIGHTS = "-weights"  # the end of the names of gradients of weights


def step(training: Training, deployment: Deployment, precision: Precision, ahead: Sequence[Op] | None = None) -> Phase:
    """The operators of one step on the chip that sets the pace, and the time of the step; `ahead` is the forward pass
    of one micro-batch, if it is known already."""
    chip, plan = deployment.chip, deployment.plan
    ahead = passes.forward(training, plan, precision) if ahead is None else ahead
    found = operators(training, deployment, precision, ahead)
    useful = passes.useful_flops(training, plan, precision, ahead)[0] * passes.useful_passes(training)
    return Phase(
        "training",
        found,
        step_time=roof.expected_time(found),
        ideal_step_time=roof.ideal_time(found),
        useful_flops=useful * micro_batches(training, plan) / plan.pp,
        peak=roof.peak(chip, precision.arithmetic),
        bandwidth=chip.bandwidth,
    )


def seconds(training: Training, deployment: Deployment, precision: Precision) -> Num:
    """The expected time of one step by itself: all that a search has to know."""
    ahead = passes.forward(training, deployment.plan, precision)
    return roof.expected_time(operators(training, deployment, precision, ahead, apart=False))


def operators(
    training: Training, deployment: Deployment, precision: Precision, ahead: Sequence[Op], *, apart: bool = True
) -> tuple[Priced, ...]:  # fmt: skip
    """What the chip that sets the pace does in one step, whose micro-batches go `ahead` so.

    If not `apart`, all that is treated alike is one operator of which only the expected time is known: over a mesh of
    plans the sums are then short, and kernels are priced before any axis that they do not depend on is met.
    """
    chip, stack, plan = deployment.chip, deployment.stack, deployment.plan
    price: Price = partial(_priced, chip=chip, stack=stack, bound=apart)
    rounds = micro_batches(training, plan)
    stages = Stages.of(training.model, plan)
    micro = _micro_batch(training, deployment, precision, ahead, stages, price)
    filled = _weights_share(micro)
    micro = micro if apart else _merged(micro)
    pace = _pace(micro, stages, plan)
    own = _of_stage(micro, stages, plan, pace, rounds)
    messages = price(update.messages(training, plan, precision, rounds))
    messages = _beside(messages if apart else _merged(messages), own, plan, rounds, stack)
    updating = price([update.optimizer(training, plan, precision)])
    waited = {"through": pace.through, "stage": pace.stage, "chunks": plan.vpp, "filled": filled}
    waiting = Op(BUBBLE, OVERHEAD, terms={"seconds": bubble(pace, plan, filled), **waited})
    software = Op(f"{stack.id}/overhead", OVERHEAD, terms={"seconds": stack.step})
    moved = _offloaded(training, deployment, precision, own, updating, price)
    return (*own, *messages, *updating, *moved, *price([waiting, software]))


def _priced(found: Iterable[Op], chip: Chip, stack: Stack, *, bound: bool) -> tuple[Priced, ...]:
    return roof.price_all((op for op in found if not op.absent), chip, stack, bound=bound)


def _merged(priced: Iterable[Priced]) -> tuple[Priced, ...]:
    """Operators of the same half that are all inside of layers or in the same place outside, as one; messages apart."""
    groups: dict[tuple[str, ...], list[Priced]] = {}
    for item in priced:
        first, *words = item.op.name.removeprefix("experts-").split("/")
        place = "layer" if item.op.layer else next((word for word in OUTSIDE if word in words), "")
        kind = COLLECTIVE if item.op.kind == COLLECTIVE else OVERHEAD
        groups.setdefault((first, place, kind), []).append(item)
    return tuple(_as_one("/".join(key), key[-1], items) for key, items in groups.items())


def _as_one(name: str, kind: str, items: Sequence[Priced]) -> Priced:
    """Operators as one that takes as long and hides as much as they together."""
    taken, shown = _sum(item.taken for item in items), _sum(item.time for item in items)
    hidden = 1.0 - shown / where(taken > 0.0, taken, np.inf) if kind == COLLECTIVE else 0.0
    op = Op(name, kind, layer=items[0].op.layer)
    return Priced(op, roof.NOTHING, replace(roof.NOTHING, time=taken), hidden)


def _micro_batch(
    training: Training,
    deployment: Deployment,
    precision: Precision,
    ahead: Sequence[Op],
    stages: Stages,
    price: Price,
) -> tuple[Priced, ...]:
    """One micro-batch through all layers, there and back, each message with its hidden share."""
    plan, stack = deployment.plan, deployment.stack
    found = (
        *passes.named(ahead, FORWARD),
        *passes.named(passes.recomputed(ahead, training, plan), RECOMPUTE),
        *passes.named(passes.backward(ahead, training), BACKWARD),
        *passes.context_parallel(training, plan, precision),
    )
    priced = _within(price(found), stages, plan, stack)
    return (*priced, *price([_launching(training, stack, priced)]))


def _launching(training: Training, stack: Stack, priced: tuple[Priced, ...]) -> Op:
    """What the software adds to the layers of a micro-batch: of its own, and where the chip waits for a host that
    launches one layer after another, those of experts slower than others."""
    layers, routed = float(training.model.layers), float(training.model.routed_layers)
    taken = _sum(item.time for item in priced if item.op.layer)
    waiting = larger(stack.host * layers + stack.routing * routed - taken, 0.0)
    each = stack.layer + waiting / layers
    return Op(f"{stack.id}/layers", OVERHEAD, count=layers, terms={"seconds": each, "taken": taken}, layer=SOFTWARE)


def _within(priced: tuple[Priced, ...], stages: Stages, plan: Plan, stack: Stack) -> tuple[Priced, ...]:
    """Messages inside a pass behind its kernels, one kind after another: together they hide no more than there is to
    hide behind, a ring of keys and values only behind attention, and messages between stages behind what the layers of
    one stage do while it sends as often as it has chunks."""
    outside = _sum(item.taken for item in priced if item.op.kind not in (COLLECTIVE, OVERHEAD) and not item.op.layer)
    work = _sum(item.taken for item in priced if item.op.kind not in (COLLECTIVE, OVERHEAD))
    attending = _sum(item.taken for item in priced if item.op.kind == ATTENTION)
    hidden: dict[str, Num] = {}
    for kind in (CONTEXT, TENSOR, EXPERT, PIPELINE):
        taken = _sum(item.taken for item in priced if item.op.kind == COLLECTIVE and served(item.op) == kind)
        allowed = stack.overlaps.get(kind, 1.0) if kind != CONTEXT or plan.context == "ring" else 0.0
        if kind == PIPELINE:
            taken, work = taken * _hops(plan), larger(work - outside, 0.0) * stages.fullest
        behind = smaller(taken * allowed, smaller(attending, work) if kind == CONTEXT else work)
        work = work - behind
        hidden[kind] = behind / where(taken > 0.0, taken, 1.0)
    return tuple(item.behind(hidden[served(item.op)]) if item.op.kind == COLLECTIVE else item for item in priced)


def _hops(plan: Plan) -> Num:
    """Messages of one stage for each chunk, as a share of those between all stages."""
    return plan.vpp / larger(plan.pp - 1.0, 1.0)


def _sum(terms: Iterable[Num]) -> Num:
    return sum(terms, start=0.0)


def _pace(micro: tuple[Priced, ...], stages: Stages, plan: Plan) -> Paced:
    """How long the slowest stage and all stages take for a micro-batch."""
    layers = _sum(item.time for item in micro if item.op.layer)
    first = _sum(item.time for item in micro if _is(item.op, "embedding"))
    last = _sum(item.time for item in micro if _is(item.op, "head"))
    hop = _sum(item.time for item in micro if _is(item.op, "pipeline")) / larger(plan.pp - 1.0, 1.0)
    pace = paced(stages, plan, layers, first, last)
    return replace(pace, stage=pace.stage + hop * plan.vpp, through=pace.through + hop * plan.vpp * plan.pp)


def _is(op: Op, word: str) -> bool:
    return word in op.name.split("/")


def _of_stage(micro: tuple[Priced, ...], stages: Stages, plan: Plan, pace: Paced, rounds: Num) -> tuple[Priced, ...]:
    """What the slowest stage does of all micro-batches."""
    alone = plan.pp <= 1.0
    layers = where(pace.by_last, stages.last, stages.fullest)
    begins = where(alone | np.logical_not(pace.by_last), 1.0, 0.0)
    ends = where(alone | pace.by_last, 1.0, 0.0)

    def share(op: Op) -> Num:
        if op.layer:
            return layers
        if _is(op, "pipeline"):
            return _hops(plan)
        return ends if _is(op, "head") else begins

    return tuple(
        Priced(item.op.times(rounds * share(item.op)), item.ideal, item.expected, item.hidden) for item in micro
    )


def _beside(
    messages: tuple[Priced, ...], own: tuple[Priced, ...], plan: Plan, rounds: Num, stack: Stack
) -> tuple[Priced, ...]:
    """Messages between replicas behind the passes: gradients behind the last micro-batch's way back, weights behind the
    first one's way ahead; with ZeRO-3, whose messages belong to every pass, behind all of them. Work that hides other
    messages hides no more."""
    work = {half: _free(item for item in own if item.op.name.startswith(half)) for half in (FORWARD, BACKWARD)}
    whole = plan.zero >= 3.0
    free = _free(own)
    found = []
    for word, half in (("gradients", BACKWARD), ("weights", FORWARD)):
        group = [item for item in messages if _is(item.op, word) or _is(item.op, f"experts-{word}")]
        taken = _sum(item.taken for item in group)
        cover = where(whole, work[BACKWARD] if half == BACKWARD else work[FORWARD], work[half] / rounds)
        behind = smaller(taken * stack.overlaps.get(DATA, 1.0), smaller(cover, free))
        free = free - behind
        hidden = behind / where(taken > 0.0, taken, 1.0)
        found += [item.behind(hidden) for item in group]
    return tuple(found)


def _free(own: Iterable[Priced]) -> Num:
    """Seconds of kernels that hide no message yet."""
    some = tuple(own)
    kernels = _sum(item.time for item in some if item.op.kind != COLLECTIVE)
    hidden = _sum(item.taken - item.time for item in some if item.op.kind == COLLECTIVE)
    return larger(kernels - hidden, 0.0)


def _offloaded(
    training: Training,
    deployment: Deployment,
    precision: Precision,
    own: tuple[Priced, ...],
    updating: tuple[Priced, ...],
    price: Price,
) -> tuple[Priced, ...]:
    """Transfers between host and chip, behind the work that goes on meanwhile."""
    chip, plan = deployment.chip, deployment.plan
    found = offload.transfers(training, chip, plan, precision, micro_batches(training, plan))
    ahead = _sum(item.time for item in own if item.op.name.startswith(FORWARD))
    covers = {
        offload.OUT: ahead,
        offload.BACK: _sum(item.time for item in own) - ahead,
        offload.STATES: _sum(item.time for item in updating),
    }
    return tuple(_behind(item, covers[item.op.name]) for item in price(found))


def _behind(item: Priced, cover: Num) -> Priced:
    """An operator that hides behind so many seconds of others."""
    taken = where(item.taken > 0.0, item.taken, 1.0)
    return item.behind(smaller(item.taken, cover) / taken)


def _weights_share(micro: tuple[Priced, ...]) -> Num:
    """Gradients of weights, as a share of a micro-batch's FLOPs: of its time where all of it computes alike."""
    ours = _sum(item.op.count * item.op.flops for item in micro if item.op.name.endswith(WEIGHTS))
    return ours / _sum(item.op.count * item.op.flops for item in micro)
