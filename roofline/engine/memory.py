"""Bytes that live on one chip: weights, cache, gradients, optimizer, activations; of the fullest pipeline stage.

Layers are dealt to stages evenly, the first stage also holds the token table and the last the output matrix; the
fullest stage has `ceil(layers/pp)` average layers and the larger of the two tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roofline.engine.lower import STATE_BYTES, expert_shards, heads_per_chip
from roofline.numeric import Num, ceil_div
from roofline.workload import MLA, Attention, Block, CompressedAttention, DenseFFN, Model, MoE, Plan, Precision
from roofline.workload.dtype import bytes_of, outer_bytes_of


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What one chip holds [B]."""

    weights: Num = 0.0
    kv_cache: Num = 0.0
    gradients: Num = 0.0
    optimizer: Num = 0.0
    activations: Num = 0.0

    @property
    def total(self) -> Num:
        """All parts."""
        return self.weights + self.kv_cache + self.gradients + self.optimizer + self.activations


def stage_share(model: Model, plan: Plan) -> Num:
    """Share of the layers that the fullest pipeline stage holds."""
    layers = float(model.layers)
    return ceil_div(layers, plan.pp) / layers if plan.placement != "even" else np.divide(1.0, plan.pp)


def layer_parameters(model: Model, plan: Plan) -> Num:
    """Parameters of all layers on one rank of a tensor- and expert-parallel group, before pipeline stages."""
    total: Num = 0.0
    for block in model.blocks:
        total = total + block.count * (_mixer(model, block, plan) + _ffn(model, block, plan))
    return total


def _mixer(model: Model, block: Block, plan: Plan) -> Num:
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


def _ffn(model: Model, block: Block, plan: Plan) -> Num:
    """Ffn of one layer on one rank: the router whole, experts by expert parallelism, the rest by tensor parallelism."""
    ffn, hidden = block.ffn, model.hidden
    if isinstance(ffn, DenseFFN):
        return ffn.parameters(hidden) / plan.tp
    if isinstance(ffn, MoE):
        shared = ffn.shared_ffn.parameters(hidden) / plan.tp if ffn.shared_ffn else 0.0
        return ffn.router_parameters(hidden) + shared + _experts(model, block, plan)
    return 0.0


def _experts(model: Model, block: Block, plan: Plan) -> Num:
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
    return np.where(np.greater(plan.pp, 1.0), apart, together) / plan.tp


def parameters_per_chip(model: Model, plan: Plan) -> Num:
    """Parameters on one chip of the fullest stage."""
    return layer_parameters(model, plan) * stage_share(model, plan) + outer_parameters(model, plan)


def weight_bytes(model: Model, precision: Precision, plan: Plan) -> Num:
    """Weights on one chip [B]: layers at their format, tables and output matrix mostly at 16 bits or more."""
    width, outer = bytes_of(precision.weights), outer_bytes_of(precision.weights)
    layers = layer_parameters(model, plan) * width
    if model.quantised == "experts":
        wide = bytes_of(precision.unquantised.weights)
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
    return sum((block.count * _experts(model, block, plan) for block in model.blocks), start=0.0)


# --- training ---------------------------------------------------------------------------------------------------


def activation_bytes_per_layer(
    model: Model, block: Block, plan: Plan, seq_len: Num, *, dropout: bool = False
) -> Num:  # fmt: skip
    """Activations that one layer keeps for its backward pass, one micro-batch, on one chip [B].

    Korthikanti et al. 2022 (arXiv 2205.05198), equations 1 to 4, generalised to grouped keys, gated ffns and experts:
    every tensor that a product or a nonlinearity needs again, at 2 bytes; dropout masks at 1. Flash attention keeps
    no scores. With sequence parallelism what tensor parallelism leaves whole is divided too. `selective` recompute
    drops the scores, `full` keeps the layer's input alone.
    """
    tokens = plan.micro_batch * seq_len / plan.cp
    hidden = float(model.hidden)
    outside = plan.tp if plan.sequence_parallel else 1.0
    if plan.recompute == "full":
        return tokens * 2.0 * hidden / outside
    whole, divided = _kept(block, hidden, dropout)
    mixer = block.mixer
    scores: Num = 0.0
    if isinstance(mixer, (Attention, MLA, CompressedAttention)) and not plan.flash and plan.recompute == "none":
        scores = mixer.heads * seq_len * (5.0 if dropout else 2.0)
    experts: Num = 0.0
    if isinstance(block.ffn, MoE):
        experts = _expert_values(block.ffn, hidden) / expert_shards(plan).tp
    return tokens * (whole / outside + (divided + scores) / plan.tp + experts)


def _kept(block: Block, hidden: float, dropout: bool) -> tuple[float, float]:
    """Bytes kept per token: what only sequence parallelism divides, and what tensor parallelism divides."""
    mixer, ffn = block.mixer, block.ffn
    mask = hidden if dropout else 0.0
    whole = 2.0 * hidden * block.norms
    divided = 0.0
    if mixer is not None:
        whole += 2.0 * hidden + mask
        if isinstance(mixer, Attention):
            divided += 2.0 * (mixer.qkv_dim + mixer.output_dim)
        elif isinstance(mixer, CompressedAttention):
            whole += 2.0 * mixer.input_dim
            divided += 2.0 * (mixer.query_dim + mixer.output_dim)
        elif isinstance(mixer, MLA):
            whole += 2.0 * (mixer.q_lora_rank + mixer.kv_lora_rank + mixer.rope_dim)
            divided += 2.0 * (2 * mixer.query_dim + 2 * mixer.output_dim)
        else:
            divided += 2.0 * (mixer.input_dim + 2 * mixer.inner)
    if ffn is not None:
        shared = block.parallel and mixer is not None  # its input is the mixer's
        whole += (0.0 if shared else 2.0 * hidden) + mask
        if isinstance(ffn, DenseFFN):
            divided += 2.0 * ffn.width * (3.0 if ffn.gated else 2.0)
        elif ffn.shared_ffn is not None:
            divided += 2.0 * ffn.shared_ffn.width * (3.0 if ffn.gated else 2.0)
    return whole, divided


def _expert_values(ffn: MoE, hidden: float) -> float:
    """Bytes kept per token by its routed experts: dispatched inputs and what the products need again."""
    return 2.0 * ffn.top_k * (ffn.routed_dim(int(hidden)) + ffn.width * (3.0 if ffn.gated else 2.0))


def activation_bytes(model: Model, plan: Plan, seq_len: Num, in_flight: Num, *, dropout: bool = False) -> Num:
    """Activations on one chip of the first stage, the fullest, with so many micro-batches `in_flight` [B]."""
    layers: Num = 0.0
    for block in model.blocks:
        layers = layers + block.count * activation_bytes_per_layer(model, block, plan, seq_len, dropout=dropout)
    tokens = plan.micro_batch * seq_len / plan.cp
    logits = np.where(np.greater(plan.pp, 1.0), 0.0, tokens * model.vocab / plan.tp * 4.0)
    recomputed = layer_peak(model, plan, seq_len, dropout=dropout) if plan.recompute == "full" else 0.0
    return layers * stage_share(model, plan) * in_flight + logits + recomputed


def layer_peak(model: Model, plan: Plan, seq_len: Num, *, dropout: bool = False) -> Num:
    """Activations of one layer while it is recomputed [B]: the largest of the model's layers."""
    whole = replace(plan, recompute="none")
    peak: Num = 0.0
    for block in model.blocks:
        peak = np.maximum(peak, activation_bytes_per_layer(model, block, whole, seq_len, dropout=dropout))
    return peak
