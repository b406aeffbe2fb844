"""Once a step: gradients summed over replicas, parameters updated, and handed round again.

Rajbhandari et al. 2020 (arXiv 1910.02054): ZeRO-1 shards what the optimizer keeps, 2 the gradients, 3 the weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from roofline.engine import memory, ops
from roofline.engine.lower import expert_shards
from roofline.engine.ops import Op
from roofline.engine.training import adapters
from roofline.numeric import Num, larger, smaller, some, where
from roofline.workload import Plan, Precision, Training
from roofline.workload.dtype import bytes_of


def trainable_parameters(training: Training, plan: Plan) -> Num:
    """Parameters with gradients on one chip: all, or two rank-r matrices beside every projection (arXiv 2106.09685)."""
    return sum(trainable(training, plan), start=0.0)


def trainable(training: Training, plan: Plan) -> tuple[Num, Num]:
    """Parameters with gradients on one chip: those that all replicas have alike, and those of routed experts."""
    if not training.frozen:
        return weights_per_chip(training, plan)
    share = memory.stage_share(training.model, plan)
    each = [(block.count, adapters.parameters(training, block, plan)) for block in training.model.blocks]
    whole, routed = (sum((count * found[kind] for count, found in each), start=0.0) for kind in (0, 1))
    return whole * share, routed * share


def trained_bytes(training: Training, precision: Precision) -> float:
    """Bytes of a weight that is trained, without the optimizer's copy: 16 bits or more; adapters have 16."""
    return adapters.WIDTH if training.frozen else max(bytes_of(precision.weights), 2.0)


def replicas(plan: Plan) -> tuple[Num, Num]:
    """Ranks that hold the same parameters: data- and context-parallel ones; of routed experts, fewer."""
    shards = expert_shards(plan)
    alike = plan.dp * plan.cp
    return alike, larger(plan.tp * alike / (shards.ep * shards.tp), 1.0)


def sharded_over(plan: Plan, ranks: Num) -> Num:
    """Ranks over which ZeRO spreads what so many hold alike."""
    return smaller(plan.shard, ranks)


def messages(training: Training, plan: Plan, precision: Precision, rounds: Num) -> Iterator[Op]:
    """Gradients summed over replicas, and weights gathered; those of experts among fewer ranks.

    From ZeRO-1 on gradients are scattered and weights gathered again; from ZeRO-2 on the former after every
    micro-batch; with ZeRO-3 weights are gathered before each forward and each backward pass (section 7).
    """
    shards = expert_shards(plan)
    held = weights_per_chip(training, plan)
    strides = (plan.tp, larger(shards.ep * shards.tp, 1.0))
    parts = ("", "experts-")
    for part, trained, weights, ranks, stride in zip(
        parts, trainable(training, plan), held, replicas(plan), strides, strict=True
    ):
        if some(weights):
            yield from _of_part(part, training, plan, precision, rounds, trained, weights, ranks, stride)


def weights_per_chip(training: Training, plan: Plan) -> tuple[Num, Num]:
    """Parameters on one chip, trained or not: those of all replicas alike, and those of routed experts."""
    experts = memory.expert_parameters(training.model, plan) * memory.stage_share(training.model, plan)
    return memory.parameters_per_chip(training.model, plan) - experts, experts


def _of_part(
    part: str,
    training: Training,
    plan: Plan,
    precision: Precision,
    rounds: Num,
    trained: Num,
    weights: Num,
    ranks: Num,
    stride: Num,
) -> Iterator[Op]:
    """Messages about parameters that `ranks` chips hold alike, `stride` apart."""
    one, two, three = (plan.zero >= stage for stage in (1.0, 2.0, 3.0))
    near = sharded_over(plan, ranks)
    gradient, narrow = bytes_of(training.gradients), gathered_bytes(precision)
    new = trained_bytes(training, precision) if training.frozen else narrow

    def message(name: str, algorithm: str, values: Num, width: float, count: Num, among: Num, apart: Num) -> Op:
        return ops.collective(f"{part}{name}", algorithm, m=values, k=1.0, r=width, ranks=among, stride=apart).times(
            count
        )

    scattered = where(two, rounds, where(one, 1.0, 0.0))
    yield message("gradients/all-reduce", "all-reduce", trained, gradient, where(one, 0.0, 1.0), ranks, stride)
    yield message("gradients/reduce-scatter", "reduce-scatter", trained, gradient, scattered, near, stride)
    yield message(
        "gradients/between-shards", "all-reduce", trained / near, gradient, where(one, 1.0, 0.0), ranks / near,
        stride * near,
    )  # fmt: skip
    yield message(
        "weights/all-gather", "all-gather", trained, new, where(one & np.logical_not(three), 1.0, 0.0), near, stride
    )
    gathers = where(three, 2.0 * rounds, 0.0)
    yield message("weights/gather-layers", "all-gather", weights, narrow, gathers, near, stride)


def gathered_bytes(precision: Precision) -> float:
    """Bytes of a weight as replicas hand it round: in the format of products, or in 16 bits where it is wider."""
    return min(bytes_of(precision.weights), 2.0)


def optimizer(training: Training, plan: Plan, precision: Precision) -> Op:
    """Reads gradient and states, writes states and weights, once per step for the parameters that a chip updates."""
    weight = trained_bytes(training, precision)
    states = training.optimizer_bytes(weight)
    own = 0.0 if bytes_of(training.master) > weight else weight  # without a copy of its own it reads the weights
    spread = plan.zero >= 1.0
    updated: Num = 0.0
    for trained, ranks in zip(trainable(training, plan), replicas(plan), strict=True):
        updated = updated + trained / where(spread, sharded_over(plan, ranks), 1.0)
    read = bytes_of(training.gradients) + states + own
    return ops.optimizer_update("optimizer/update", n=updated, i=read, o=states + weight, f=12.0)
