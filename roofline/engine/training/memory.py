"""What one chip of a training run holds at its worst, stage by stage of a pipeline.

The first stage keeps activations of most micro-batches and the token table, the last one the output matrix, logits and
loss; the second, where all layers have experts, may hold more weights than a first one that begins with dense layers.
The fullest of the three is reported. Parts:

- weights: in 16 bits or more where they are trained, and once more in the narrow format of their products, a copy that
  Transformer Engine keeps (its documentation, "Performance considerations", memory usage: 2 MB and 1 MB); in the format
  that they are stored in where they rest (QLoRA). Adapters in 16 bits.
- gradients, and what the optimizer keeps: Rajbhandari et al. 2020 (arXiv 1910.02054), divided by ZeRO stage.
- activations of the micro-batches in flight (`roofline.engine.training.activations`).
- buffers: gradients of one layer's weights before they are added to the others, and the worst of three moments: the way
  back through a layer, which may have to be made again; loss and output matrix; layers that ZeRO-3 gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from roofline.engine import memory
from roofline.engine.lower import expert_shards
from roofline.engine.memory import Memory, fuller
from roofline.engine.ops import SIXTEEN
from roofline.engine.training import activations, adapters
from roofline.engine.training.activations import Micro
from roofline.engine.training.passes import LOSS_BYTES, widens
from roofline.engine.training.schedule import in_flight, layers_of, stage_layers
from roofline.engine.training.update import gathered_bytes, replicas, sharded_over, trained_bytes
from roofline.numeric import Num, larger, smaller, some, where
from roofline.workload import Block, DenseFFN, MoE, Plan, Precision, Training
from roofline.workload.dtype import bytes_of, outer_bytes_of

GATHERED = 2.0  # layers that ZeRO-3 has whole at once: the one at work and the next (PyTorch FSDP, limit_all_gathers)


@dataclass(frozen=True, slots=True)
class Part:
    """Parameters on one chip that `ranks` chips hold alike: all, those that are trained, and bytes of a resting one."""

    held: Num
    trained: Num
    ranks: Num
    stored: float


@dataclass(frozen=True, slots=True)
class Stage:
    """A pipeline stage: its index, the layers of each group on it, and whether it is the first and the last."""

    index: Num
    layers: tuple[Num, ...]
    first: Num
    last: Num

    @classmethod
    def at(cls, training: Training, plan: Plan, index: Num) -> Stage:
        """The stage of that index; a compiler that spreads all alike has no first and no last one."""
        layers = layers_of(training.model, plan, index)
        if plan.placement == "even":
            return cls(index, layers, np.divide(1.0, plan.pp), np.divide(1.0, plan.pp))
        return cls(index, layers, where(index == 0.0, 1.0, 0.0), where(index >= plan.pp - 1.0, 1.0, 0.0))

    @property
    def count(self) -> Num:
        """Layers of all groups."""
        return sum(self.layers, start=0.0)


def memory_needs(training: Training, plan: Plan, precision: Precision) -> Memory:
    """Bytes on one chip of the fullest stage."""
    return reduce(fuller, (of_stage(training, plan, precision, index) for index in _fullest(training, plan)))


def most_needed(training: Training, plan: Plan, precision: Precision) -> Num:
    """The total of the fullest stage by itself: all that a search has to know where nothing is offloaded."""
    return reduce(np.maximum, (of_stage(training, plan, precision, index).total for index in _fullest(training, plan)))


def few_layers(training: Training, plan: Plan, precision: Precision, room: Num) -> Num:
    """As few layers of every stage as have to be made again for plans to fit into `room` [B] of a chip, at most all:
    infinite.

    Each layer of a stage frees as much as any other, but the fullest stage may be another one the more there are: what
    is needed is a convex function of their number. Where a line from one layer meets the room there is, so many are
    enough; the line to one fewer, where that fits, too, is closer.
    """

    def needs(layers: Num) -> Num:
        return most_needed(training, replace(plan, recompute_layers=layers), precision)

    stage, one = stage_layers(training.model, plan.pp), needs(1.0)
    fewer, few, closer, need = stage, stage, np.asarray(True), needs(stage)
    while np.any(closer):
        freed = np.maximum((one - need) / np.maximum(fewer - 1.0, 1.0), 1.0)
        enough = 1.0 + np.maximum(np.ceil((one - room) / freed), 0.0)
        few = np.where(closer, np.minimum(enough, fewer), few)
        fewer = np.maximum(few - 1.0, 1.0)
        need = needs(fewer)
        closer = np.less(fewer, few) & np.less_equal(need, room)
    return np.where(np.less(few, stage), few, np.inf)


def _fullest(training: Training, plan: Plan) -> list[Num]:
    """The stages of which one is the fullest: the first, which keeps most micro-batches, or the last, with the output
    matrix; where layers differ the second, if the first has the smaller ones."""
    last = plan.pp - 1.0
    if not some(last):
        return [last]
    return [last * 0.0, *([smaller(last, 1.0)] if len(training.model.blocks) > 1 else []), last]


def of_stage(training: Training, plan: Plan, precision: Precision, index: Num) -> Memory:
    """Bytes on one chip of the stage of that index, counted from 0."""
    stage = Stage.at(training, plan, index)
    micro = Micro.of(training, plan, precision)
    held = parts(training, plan, precision, stage)
    each, behind = _activations(micro, stage)
    kept = in_flight(training, plan, index) * each + behind
    optimizer = _optimizer(training, plan, precision, held)
    away, states_away = plan.offload_activations, plan.offload_optimizer
    return Memory(
        weights=_weights(training, plan, precision, held),
        gradients=sum((_over(plan, 2.0, part) * part.trained for part in held), start=0.0)
        * bytes_of(training.gradients),
        optimizer=optimizer * (1.0 - states_away),
        activations=kept * (1.0 - away),
        buffers=_buffers(micro, precision, stage),
        host=kept * away + optimizer * states_away,
        stage=index,
    )


def offloaded(training: Training, plan: Plan, precision: Precision) -> tuple[Num, Num]:
    """Bytes of one chip of the first stage that pass between it and the host: of each micro-batch, and of each step."""
    stage = Stage.at(training, plan, 0.0)
    each, behind = _activations(Micro.of(training, plan, precision), stage)
    optimizer = _optimizer(training, plan, precision, parts(training, plan, precision, stage))
    return plan.offload_activations * (each + behind), plan.offload_optimizer * optimizer


# --- parameters ---------------------------------------------------------------------------------------------------


def parts(training: Training, plan: Plan, precision: Precision, stage: Stage) -> tuple[Part, Part, Part]:
    """Parameters of a stage on one chip: of layers, of routed experts, and of token table and output matrix."""
    model = training.model
    alike, of_experts = replicas(plan)
    held: list[Num] = [0.0, 0.0]
    trained: list[Num] = [0.0, 0.0]
    for block, count in zip(model.blocks, stage.layers, strict=True):
        whole = memory.mixer_parameters(model, block, plan) + memory.ffn_parameters(model, block, plan)
        own = whole, memory.routed_parameters(model, block, plan)
        learning = adapters.parameters(training, block, plan) if training.frozen else own
        for kind in (0, 1):
            held[kind] = held[kind] + count * own[kind]
            trained[kind] = trained[kind] + count * learning[kind]
    outer = _outer(training, plan, stage)
    wide = bytes_of(model.outside(precision).weights)
    return (
        Part(held[0], trained[0], alike, wide),
        Part(held[1], trained[1], of_experts, bytes_of(precision.weights)),
        Part(outer, 0.0 if training.frozen else outer, alike, outer_bytes_of(precision.weights)),
    )


def _outer(training: Training, plan: Plan, stage: Stage) -> Num:
    """Token table on the first stage; last norm and output matrix, of its own or a copy of the table, on the last."""
    model = training.model
    norm = model.norm_parameters(1)
    table = model.outer_parameters - model.head_parameters - norm
    shared = model.tied_embeddings and plan.placement == "even"
    alone = (plan.pp <= 1.0) & model.tied_embeddings | shared
    head = where(alone, 0.0, model.embedding_parameters)
    return (stage.first * table + stage.last * (head + norm)) / plan.tp


def _over(plan: Plan, zero: float, part: Part) -> Num:
    """The share of a part that one chip keeps of what is divided from a stage of ZeRO on."""
    return where(plan.zero >= zero, 1.0 / sharded_over(plan, part.ranks), 1.0)


def _weights(training: Training, plan: Plan, precision: Precision, held: tuple[Part, ...]) -> Num:
    total: Num = 0.0
    for part in held:
        trained = trained_bytes(training, precision)
        if training.frozen:
            here = part.held * part.stored + part.trained * trained
        else:
            narrow = part.stored if part.stored < trained else 0.0
            here = part.held * (trained + narrow)
        total = total + here * _over(plan, 3.0, part)
    return total


def _optimizer(training: Training, plan: Plan, precision: Precision, held: tuple[Part, ...]) -> Num:
    states = training.optimizer_bytes(trained_bytes(training, precision))
    return sum((part.trained * states * _over(plan, 1.0, part) for part in held), start=0.0)


# --- activations ----------------------------------------------------------------------------------------------------


def _activations(micro: Micro, stage: Stage) -> tuple[Num, Num]:
    """Bytes that the backward pass of a micro-batch needs again: of layers, and behind them.

    Before the layers a dropout mask over the embedding, behind them input and output of the last norm (Korthikanti et
    al. 2022, section 4.3), where one micro-batch is in flight.
    """
    training, plan = micro.training, micro.plan
    again = _again(plan, stage)
    layers: Num = 0.0
    for block, count in zip(training.model.blocks, stage.layers, strict=True):
        layers = layers + count * activations.kept(micro, block, again)
    mask = stage.first * micro.tokens * micro.hidden / micro.outside * training.dropout
    return layers + mask, stage.last * 2.0 * micro.residual


def _again(plan: Plan, stage: Stage) -> Num:
    """The share of a stage's layers that keep their input alone and are made once more; besides scores, the share of
    every layer that software chooses."""
    if plan.recompute != "full":
        return plan.selective if plan.recompute == "selective" else 0.0
    return smaller(plan.recompute_layers, stage.count) / larger(stage.count, 1.0)


# --- buffers --------------------------------------------------------------------------------------------------------


def _buffers(micro: Micro, precision: Precision, stage: Stage) -> Num:
    """Bytes that the worst moment of a step needs."""
    training, plan = micro.training, micro.plan
    back, one, layer = (_most(micro, stage, size) for size in (activations.going_back, activations.needed, _layer))
    recomputed = _again(plan, stage) > 0.0
    again = where(recomputed, one, 0.0)
    on_its_way = where(recomputed, micro.residual, one) * plan.offload_activations
    gathered = where(plan.zero >= 3.0, GATHERED * layer * gathered_bytes(precision), 0.0)
    widened = _most(micro, stage, _widest) * SIXTEEN if widens(training, precision) else 0.0
    in_layers = back + again + on_its_way + gathered + widened
    behind = stage.last * loss(micro, precision)
    return _gradients(micro, precision, stage) + larger(in_layers, behind)


def loss(micro: Micro, precision: Precision) -> Num:
    """Bytes while the loss goes back through the output matrix: logits or what the softmax made of them, gradients of
    logits, of the matrix and of what entered it, which sequence parallelism has gathered.

    Transformer Engine's fused loss writes the gradient of logits over them (parallel_cross_entropy).
    """
    plan, model = micro.plan, micro.training.model
    logits = micro.tokens * model.vocab / plan.tp * (micro.r + (0.0 if plan.fused_loss else LOSS_BYTES))
    matrix = model.embedding_parameters / plan.tp
    made = 0.0 if micro.training.frozen else trained_bytes(micro.training, precision)
    gathered = where(plan.zero >= 3.0, outer_bytes_of(precision.weights), 0.0)
    return logits + matrix * (made + gathered) + micro.tokens * micro.r * micro.hidden + micro.gathered


def _gradients(micro: Micro, precision: Precision, stage: Stage) -> Num:
    """Gradients of one layer's weights in the weights' own format, before they are added to the others.

    Transformer Engine has one such tensor for each shape of a matrix and keeps it (get_dummy_wgrad), so that all
    experts share one; software that frees them needs as much in the layer at work.
    """
    if micro.training.frozen:
        return 0.0
    model, plan = micro.training.model, micro.plan
    sizes: dict[tuple[str, float], Num] = {}
    for block, count in zip(model.blocks, stage.layers, strict=True):
        found = {("mixer", model.mixer_parameters(block)): memory.mixer_parameters(model, block, plan)}
        if block.ffn is not None:
            expert = block.ffn.expert_parameters(model.hidden) if isinstance(block.ffn, MoE) else 0.0
            shared = memory.ffn_parameters(model, block, plan)
            found["ffn", block.ffn.parameters(model.hidden)] = shared + expert / expert_shards(plan).tp
        for key, size in found.items():
            sizes[key] = larger(sizes.get(key, 0.0), where(count > 0.0, size, 0.0))
    return sum(sizes.values(), start=0.0) * trained_bytes(micro.training, precision)


def _most(micro: Micro, stage: Stage, size: Callable[[Micro, Block], Num]) -> Num:
    """The largest of a stage's layers."""
    most: Num = 0.0
    for block, count in zip(micro.training.model.blocks, stage.layers, strict=True):
        most = larger(most, where(count > 0.0, size(micro, block), 0.0))
    return most


def _layer(micro: Micro, block: Block) -> Num:
    """Parameters of one layer on one rank."""
    return memory.parameters_of_layer(micro.training.model, block, micro.plan)


def _widest(micro: Micro, block: Block) -> Num:
    """Parameters of the widest matrix of one layer on one rank, which is widened for its product."""
    ffn = block.ffn.expert if isinstance(block.ffn, MoE) else block.ffn
    width = float(ffn.width) if isinstance(ffn, DenseFFN) else 0.0
    mixer = float(getattr(block.mixer, "query_dim", 0.0) or getattr(block.mixer, "input_dim", 0.0))
    return micro.hidden * max(width, mixer) / micro.plan.tp
