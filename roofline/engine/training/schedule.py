"""Pipelines: how layers and micro-batches are dealt to stages, and what filling and draining them costs.

1F1B and its interleaving: Narayanan et al. 2021 (arXiv 2104.04473, section 2.2); splitting the backward pass so that
gradients of weights fill the bubble: Qi et al. 2023 (arXiv 2401.10241, table 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.numeric import Num, Truth, ceil_div, larger, smaller, where
from roofline.workload import Model, Plan, Training


def micro_batches(training: Training, plan: Plan) -> Num:
    """Micro-batches that each pipeline works through in a step."""
    return ceil_div(training.global_batch, plan.dp * plan.micro_batch)


def stage_layers(model: Model, pp: Num) -> Num:
    """Layers of every pipeline stage but the last, which has what is left."""
    return ceil_div(float(model.layers), pp)


@dataclass(frozen=True, slots=True)
class Stages:
    """Shares of all layers on the fullest stages and on the last, which also has the output matrix."""

    fullest: Num
    last: Num

    @classmethod
    def of(cls, model: Model, plan: Plan) -> Stages:
        """Layers are dealt evenly; what does not divide leaves the last stage fewer."""
        layers = float(model.layers)
        if plan.placement == "even":
            return cls(np.divide(1.0, plan.pp), np.divide(1.0, plan.pp))
        most = stage_layers(model, plan.pp)
        return cls(most / layers, larger(layers - most * (plan.pp - 1.0), 0.0) / layers)


@dataclass(frozen=True, slots=True)
class Paced:
    """Seconds of one micro-batch: on the slowest stage, through all stages; and whether the last is the slowest."""

    stage: Num
    through: Num
    by_last: Truth


def paced(stages: Stages, plan: Plan, layers: Num, first: Num, last: Num) -> Paced:
    """The pace of a pipeline: `layers` seconds for all layers, `first` for the token table, `last` for the output."""
    alone = plan.pp <= 1.0
    begins = stages.fullest * layers + first + where(alone, last, 0.0)
    ends = stages.last * layers + last + where(alone, first, 0.0)
    return Paced(larger(begins, ends), layers + first + last, ends >= begins)


def bubble(pace: Paced, plan: Plan, weights_share: Num) -> Num:
    """Seconds in which the slowest stage waits: while the first micro-batch comes and the last one leaves.

    All other stages work meanwhile, once for each chunk that a stage has; a zero-bubble schedule (ZB-H1) puts the
    gradients of weights, `weights_share` of the work, in between twice.
    """
    filling = larger(pace.through - pace.stage, 0.0) / plan.vpp  # rounding alone makes it less
    return filling * larger(1.0 - 2.0 * weights_share, 0.0) if plan.schedule == "zero-bubble" else filling


def layers_of(model: Model, plan: Plan, stage: Num) -> tuple[Num, ...]:
    """Layers of each block group on a stage, counted from 0: leading groups in order, all others mixed evenly."""
    layers = float(model.layers)
    each: Num = np.divide(layers, plan.pp) if plan.placement == "even" else stage_layers(model, plan.pp)
    begin = smaller(stage * each, layers)
    end = smaller(begin + each, layers)

    def within(first: float, last: float) -> Num:
        found: Num = larger(smaller(end, last) - larger(begin, first), 0.0)
        return found

    found: list[Num] = []
    ahead = 0.0
    for block in model.blocks[: model.leading]:
        found.append(within(ahead, ahead + block.count))
        ahead += block.count
    mixed = within(ahead, layers) / (layers - ahead)
    return (*found, *(mixed * block.count for block in model.blocks[model.leading :]))


def in_flight(training: Training, plan: Plan, stage: Num = 0.0) -> Num:
    """Micro-batches whose activations a stage, counted from 0, keeps at once: fewer, the later it is.

    With 1F1B one for each stage from here to the last. With `vpp` chunks a stage first works through
    `2·(pp − stage − 1) + (vpp − 1)·pp` chunks of a micro-batch and one more (Megatron-LM,
    forward_backward_pipelining_with_interleaving): on the first stage pp·(1 + (pp − 1)/(pp·vpp)) micro-batches, as
    Korthikanti et al. 2022 have it, section 4.2.3.
    """
    behind = plan.pp - 1.0 - stage
    chunks = 2.0 * behind + (plan.vpp - 1.0) * plan.pp + 1.0
    kept = where(plan.vpp > 1.0, chunks / plan.vpp, behind + 1.0)
    return smaller(kept, micro_batches(training, plan))
