"""Bytes that live on one chip: what every kind of work has in common, and weights and cache of a served model.

Layers are dealt to stages evenly, the first stage also holds the token table and the last the output matrix; the
fullest stage of a served model has `ceil(layers/pp)` average layers and the larger of the two tables. What training
keeps besides, stage by stage, is in `roofline.engine.training.memory`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from roofline.engine.lower import STATE_BYTES, expert_shards, heads_per_chip
from roofline.numeric import Num, ceil_div, where
from roofline.workload import MLA, Attention, Block, CompressedAttention, DenseFFN, Model, MoE, Plan, Precision
from roofline.workload.dtype import bytes_of, outer_bytes_of


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What one chip holds [B]: `activations` are kept until the backward pass needs them, `buffers` are what a moment
    needs at its worst.

    `host` lies in the memory beyond the chip's main one and is no part of `total`. `stage` is the pipeline stage that
    all this is said of, counted from 0.
    """

    weights: Num = 0.0
    kv_cache: Num = 0.0
    gradients: Num = 0.0
    optimizer: Num = 0.0
    activations: Num = 0.0
    buffers: Num = 0.0
    host: Num = 0.0
    stage: Num = 0.0

    @property
    def total(self) -> Num:
        """All parts that lie on the chip."""
        return self.weights + self.kv_cache + self.gradients + self.optimizer + self.activations + self.buffers


def fuller(one: Memory, other: Memory) -> Memory:
    """The one of two that takes more of the chip, elementwise; the first of equals."""
    more = other.total > one.total
    names = [item.name for item in fields(Memory)]
    return Memory(**{name: where(more, getattr(other, name), getattr(one, name)) for name in names})


def stage_share(model: Model, plan: Plan) -> Num:
    """Share of the layers that the fullest pipeline stage holds."""
    layers = float(model.layers)
    return ceil_div(layers, plan.pp) / layers if plan.placement != "even" else np.divide(1.0, plan.pp)


def layer_parameters(model: Model, plan: Plan) -> Num:
    """Parameters of all layers on one rank of a tensor- and expert-parallel group, before pipeline stages."""
    total: Num = 0.0
    for block in model.blocks:
        total = total + block.count * parameters_of_layer(model, block, plan)
    return total


def parameters_of_layer(model: Model, block: Block, plan: Plan) -> Num:
    """Parameters of one layer of a group on one rank."""
    mixer, ffn = mixer_parameters(model, block, plan), ffn_parameters(model, block, plan)
    return mixer + ffn + routed_parameters(model, block, plan)


def mixer_parameters(model: Model, block: Block, plan: Plan) -> Num:
    """Mixer and norms of one layer on one rank: norms, latent projections and indexers whole, all else divided."""
    norms = model.norm_parameters(block.norms)
    mixer, hidden = block.mixer, model.hidden
    if mixer is None:
        return norms
    whole: Num = 0.0
    divided = mixer.parameters(hidden)
    if isinstance(mixer, MLA):
        whole = float(hidden * (mixer.q_lora_rank + mixer.kv_lora_rank + mixer.rope_dim))
        whole = whole + mixer.index_parameters(hidden)
        divided = divided - whole
    elif isinstance(mixer, CompressedAttention):
        whole = float(hidden * mixer.input_dim)
        divided = divided - whole
    elif isinstance(mixer, Attention):
        index = mixer.index_parameters(hidden)
        shared = float(hidden * mixer.projected_per_kv_head)  # of one kv head; replicated once ranks outnumber them
        divided = divided - shared * mixer.kv_heads - index
        whole = shared * heads_per_chip(float(mixer.kv_heads), plan) + index
    return norms + whole + divided / plan.tp


def ffn_parameters(model: Model, block: Block, plan: Plan) -> Num:
    """Ffn of one layer on one rank without routed experts: the router whole, all else divided."""
    ffn, hidden = block.ffn, model.hidden
    if isinstance(ffn, DenseFFN):
        return ffn.parameters(hidden) / plan.tp
    if isinstance(ffn, MoE):
        shared = ffn.shared_ffn.parameters(hidden) / plan.tp if ffn.shared_ffn else 0.0
        return ffn.router_parameters(hidden) + shared
    return 0.0


def routed_parameters(model: Model, block: Block, plan: Plan) -> Num:
    """Routed experts of one layer on one rank."""
    if not isinstance(block.ffn, MoE):
        return 0.0
    shards = expert_shards(plan)
    return block.ffn.experts * block.ffn.expert_parameters(model.hidden) / (shards.ep * shards.tp)


def outer_parameters(model: Model, plan: Plan) -> Num:
    """Token table and output matrix on one rank of the stage that holds more of them."""
    table = model.outer_parameters - model.head_parameters
    head = model.embedding_parameters  # a tied matrix is stored again once the last stage is another chip
    apart = np.maximum(table, head)
    together = model.outer_parameters
    if plan.placement == "even":
        return together / (plan.tp * plan.pp)
    return where(plan.pp > 1.0, apart, together) / plan.tp


def parameters_per_chip(model: Model, plan: Plan) -> Num:
    """Parameters on one chip of the fullest stage."""
    return layer_parameters(model, plan) * stage_share(model, plan) + outer_parameters(model, plan)


def weight_bytes(model: Model, precision: Precision, plan: Plan) -> Num:
    """Weights on one chip [B]: layers at their format, tables and output matrix mostly at 16 bits or more."""
    width, outer = bytes_of(precision.weights), outer_bytes_of(precision.weights)
    layers = layer_parameters(model, plan) * width
    if model.quantised == "experts":
        wide = bytes_of(model.outside(precision).weights)
        experts = expert_parameters(model, plan)
        layers = (layer_parameters(model, plan) - experts) * wide + experts * width
    return layers * stage_share(model, plan) + outer_parameters(model, plan) * outer


def cache_bytes_per_sequence(model: Model, precision: Precision, plan: Plan, context: Num) -> Num:
    """Cache and recurrent state of one sequence of that context length on one chip [B]."""
    width = bytes_of(precision.kv_cache)
    total: Num = 0.0
    for block in model.blocks:
        mixer = block.mixer
        if isinstance(mixer, Attention):
            kept = heads_per_chip(float(mixer.kv_heads), plan) * mixer.kept_per_kv_head + mixer.index_per_token
            total = total + block.count * width * kept * mixer.cached(context)
        elif isinstance(mixer, (MLA, CompressedAttention)):
            total = total + block.count * width * mixer.cache_values(context)
        elif mixer is not None:
            total = total + block.count * mixer.state * STATE_BYTES / plan.tp
    return total * stage_share(model, plan)


def working_bytes(model: Model, precision: Precision, plan: Plan, rows: Num, logits: Num) -> Num:
    """Activations that inference needs at once [B]: the widest layer's tensors for `rows` tokens, and fp32 logits."""
    widest = max(_width(block, model.hidden) for block in model.blocks)
    values = rows * (4.0 * model.hidden + widest / plan.tp)
    return values * bytes_of(precision.between) + logits * model.vocab / plan.tp * 4.0


def _width(block: Block, hidden: int) -> float:
    """Values per token of a layer's widest intermediate tensor."""
    mixer, ffn = block.mixer, block.ffn
    if isinstance(ffn, DenseFFN):
        inside = ffn.width * (3.0 if ffn.gated else 2.0)
    elif isinstance(ffn, MoE):
        inside = ffn.top_k * (ffn.routed_dim(hidden) + ffn.width * (3.0 if ffn.gated else 2.0))
    else:
        inside = 0.0
    if isinstance(mixer, Attention):
        outside = float(mixer.qkv_dim + mixer.output_dim)
    elif isinstance(mixer, (MLA, CompressedAttention)):
        outside = float(2 * mixer.query_dim + mixer.output_dim)
    else:
        outside = float(mixer.input_dim + mixer.inner) if mixer else 0.0
    return max(inside, outside)


def expert_parameters(model: Model, plan: Plan) -> Num:
    """Parameters of all layers' routed experts on one rank, before pipeline stages."""
    return sum((block.count * routed_parameters(model, block, plan) for block in model.blocks), start=0.0)
