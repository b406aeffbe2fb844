"""Lowering: one pass of a model over some tokens becomes the list of operators that one chip executes.

A pass is a prefill, one decode step (at the mean context of many), or the forward half of a training step: the same
layers over other numbers. Tensor parallelism divides heads, ffn columns and vocabulary and pays two all-reduces a
layer (Megatron-LM, arXiv 1909.08053, section 3); keys and values are replicated once there are more ranks than
kv heads. Expert parallelism divides experts (see `expert_shards`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from roofline.engine import buckets, ops
from roofline.engine.buckets import Pairs
from roofline.engine.ops import Op
from roofline.numeric import Num, ceil_div, changed, larger, smaller, where
from roofline.workload import (
    MLA,
    Attention,
    Block,
    CompressedAttention,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Model,
    MoE,
    Plan,
    Precision,
    Selection,
)
from roofline.workload.attention import AttentionMixer
from roofline.workload.dtype import BITS, bytes_of, outer_bytes_of
from roofline.workload.recurrence import LinearMixer

STATE_BYTES = 4.0  # recurrent states are kept in fp32 (Mamba reference implementation, selective_scan_interface.py)

# FLOP per token and state value: decay (1), outer product and add (2, plus 1 for dt·x in Mamba-1's channel-wise form),
# read-out (2); the delta rule also reads the state for its correction (2) and scales it (1). Mamba-1's exponential of
# dt·A is per state value as well, which makes the 9 that its authors count (github.com/state-spaces/mamba#110).
SCAN_FLOPS = {"Mamba1": 9.0, "Mamba2": 5.0, "GatedDeltaNet": 8.0, "LightningAttention": 5.0}


@dataclass(frozen=True, slots=True)
class Pass:
    """What goes through the model at once: `new` tokens for each of `sequences`, after `context` tokens.

    `distinct` is how many of the sequences differ: equal ones visit equal experts. `imbalance` are the rows of the
    hottest expert-parallel rank over the mean.

    `steps` > 1 stands for that many decode steps in a row at their mean cost; the context then grows by `gain` in each:
    by one, its new token, or, where drafted tokens are verified, by those of the new ones that are kept. `logits` is
    the number of tokens per sequence that reach the output matrix. `bucket` is the smallest of the powers of two that
    static shapes read of a cache; None reads what is there. `split` are the ranks that share what tensor parallelism
    leaves whole (sequence parallelism, Korthikanti et al. 2022, section 4.2.2).
    """

    sequences: Num
    new: Num = 1.0
    context: Num = 0.0
    steps: Num = 1.0
    decode: bool = False
    logits: Num = 1.0
    distinct: Num = np.inf
    imbalance: Num = 1.0
    gain: Num = 1.0
    bucket: Num | None = None
    split: Num = 1.0

    @property
    def rows(self) -> Num:
        """Tokens that every matrix product sees."""
        return self.sequences * self.new

    def read(self, pairs: Pairs) -> tuple[Num, Num]:
        """What a decode step reads once for all its queries, the mean over the steps; and how many times that static
        shapes read.

        Queries of a step stand next to each other, so together they see half of their number more than one does on
        average: exact while nothing is out of reach.
        """
        context, tokens = self.context + (self.new - self.gain) / 2.0, self.steps * self.gain
        ahead = (self.new - 1.0) / 2.0
        seen = pairs(context, tokens) / tokens + ahead
        if self.bucket is None:
            return seen, 1.0
        return seen, buckets.padding(pairs, context + ahead, tokens, seen, self.bucket)


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes per value: weights, token table and output matrix, activations entering a product, residual stream, cache;
    the formats of arithmetic, weights and cache; and the widths of the routed experts, which some models alone narrow.
    """

    w: float
    o: float
    a: float
    r: float
    c: float
    product: str
    weights: str
    attention: str
    cache: str
    experts: Widths | None = None

    @classmethod
    def of_model(cls, model: Model, precision: Precision) -> Widths:
        """Widths of a model at a precision: of all parts alike, or with routed experts apart."""
        if model.quantised == "all":
            return cls.of(precision)
        return replace(cls.of(model.outside(precision)), experts=cls.of(precision))

    @classmethod
    def of(cls, precision: Precision) -> Widths:
        """Widths of a precision; attention stays at 16 bits unless the formats ask for more.

        Attention runs in 8 bits only where queries and cache both have no more.
        """
        a, c = bytes_of(precision.activations), bytes_of(precision.kv_cache)
        sixteen = precision.activations if BITS[precision.activations] >= 16 else "bf16"
        narrow = a <= 1.0 and c <= 1.0
        return cls(
            w=bytes_of(precision.weights),
            o=outer_bytes_of(precision.weights),
            a=a,
            r=bytes_of(precision.between),
            c=c,
            product=precision.arithmetic,
            weights=precision.weights,
            attention=precision.kv_cache if narrow else sixteen,
            cache=precision.kv_cache,
        )


def lower(model: Model, precision: Precision, plan: Plan, work: Pass) -> list[Op]:
    """Every operator of one pass through the whole model on one chip of the plan, in order of execution."""
    widths = Widths.of_model(model, precision)
    operators = [ops.lookup("embedding", work.rows, model.hidden, w=widths.o, r=widths.r)]
    for index, block in enumerate(model.blocks):
        prefix = f"{_label(block)}/" if len(model.blocks) > 1 else ""
        if prefix and sum(_label(other) == _label(block) for other in model.blocks) > 1:
            prefix = f"{index}-{prefix}"
        operators += [
            changed(op, name=prefix + op.name, count=op.count * block.count, layer=prefix.rstrip("/") or "layer")
            for op in _layer(model, block, widths, plan, work)
        ]
    operators += list(_head(model, widths, plan, work))
    operators.append(_pipeline(model, widths, plan, work))
    return operators


def _label(block: Block) -> str:
    """A short name for a block group: its mixer, and its ffn where that tells groups apart."""
    mixer = block.mixer
    first = mixer.reach if isinstance(mixer, Attention) else type(mixer).__name__.lower() if mixer else ""
    second = {"DenseFFN": "dense", "MoE": "moe"}.get(type(block.ffn).__name__, "")
    return "+".join(part for part in (first, second) if part)


def _layer(model: Model, block: Block, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """One layer of a group."""
    m, hidden, r = work.rows, float(model.hidden), widths.r
    norms = float(block.norms)
    if norms:  # each reads the branch and the residual, adds, normalises, writes both
        own = m / work.split
        yield ops.elementwise("norms", m=own, i=2.0 * hidden, o=2.0 * hidden, f=6.0 * hidden, r=r).times(norms)
    if isinstance(block.mixer, Attention):
        yield from _attention(block.mixer, hidden, widths, plan, work)
    elif isinstance(block.mixer, MLA):
        yield from _mla(block.mixer, hidden, widths, plan, work)
    elif isinstance(block.mixer, CompressedAttention):
        yield from _compressed(block.mixer, hidden, widths, plan, work)
    elif block.mixer is not None:
        yield from _linear(block.mixer, hidden, widths, plan, work)
    if block.mixer is not None and not (block.parallel and block.ffn):
        yield ops.collective("mixer/all-reduce", "all-reduce", m=m, k=hidden, r=r, ranks=plan.tp)
    if isinstance(block.ffn, DenseFFN):
        yield from _dense("ffn", block.ffn, m, hidden, plan.tp, widths)
        yield ops.collective("ffn/all-reduce", "all-reduce", m=m, k=hidden, r=r, ranks=plan.tp)
    elif isinstance(block.ffn, MoE):
        yield from _moe(block.ffn, hidden, widths, plan, work)


def _product(name: str, m: Num, k: Num, n: Num, widths: Widths) -> Iterator[Op]:
    """Activations times a weight matrix; narrow formats are made of wide activations first."""
    if widths.a < widths.r:
        yield ops.quantise(f"{name}-quantise", m=m, k=k, a=widths.a, r=widths.r)
    yield ops.matmul(name, m, k, n, w=widths.w, a=widths.a, r=widths.r, dtype=widths.product, least=widths.weights)


def heads_per_chip(heads: Num, plan: Plan) -> Num:
    """Heads that one chip works on: its share, whole ones for each of its devices unless placement is even."""
    if plan.placement == "even":
        return heads / plan.tp
    return plan.devices * ceil_div(heads, plan.tp * plan.devices)


def _attention(mixer: Attention, hidden: float, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """Projections, rotation, attention, output projection."""
    m, r = work.rows, widths.r
    dim, value = float(mixer.head_dim), float(mixer.value_dim)
    heads, kv_heads = (heads_per_chip(float(count), plan) for count in (mixer.heads, mixer.kv_heads))
    qkv = heads * (dim + mixer.gate_per_head) + kv_heads * float(mixer.projected_per_kv_head)
    yield from _product("attention/qkv", m, hidden, qkv, widths)
    yield ops.elementwise("attention/rotary", m=m, i=qkv, o=qkv, f=3.0 * (heads + kv_heads) * dim, r=r)
    if mixer.selection:
        yield from _index(mixer.selection, hidden, hidden, widths, work)
    yield _attend(mixer, work, widths, heads, dim, value, kv_heads * float(mixer.kept_per_kv_head))
    yield from _product("attention/output", m, heads * value, hidden, widths)


def _index(selection: Selection, hidden: float, query: float, widths: Widths, work: Pass) -> Iterator[Op]:
    """An indexer of a layer's own: its projections, and its scores over every token; all ranks do all of it."""
    if not selection.heads:
        return
    heads, dim = float(selection.heads), float(selection.head_dim)
    yield from _product("index/queries", work.rows, query, heads * dim, widths)
    yield from _product("index/keys", work.rows, hidden, dim + heads, widths)
    everything = Attention(heads=selection.heads, kv_heads=1, head_dim=selection.head_dim)
    yield changed(_attend(everything, work, widths, heads, dim, 0.0, dim), name="index/scores")


def _attend(
    mixer: AttentionMixer, work: Pass, widths: Widths, heads: Num, d: float, v: float, cached: Num
) -> Op:  # fmt: skip
    """The attention kernel of a pass: over all visible pairs of a prefill, or the queries of each decode step."""
    if work.decode:
        visible, padded = work.read(mixer.pairs)
        return ops.decode_attention(
            "attention/core", b=work.sequences, q=work.new, l=visible, h=heads, d=d, v=v, g=cached,
            a=widths.r, r=widths.r, c=widths.c, dtype=widths.attention, stored=widths.cache, padded=padded,
        )  # fmt: skip
    return ops.attention(
        "attention/core", b=work.sequences, q=work.new, p=mixer.pairs(work.context, work.new),
        l=mixer.cached(work.context + work.new), h=heads, d=d, v=v, g=cached,
        a=widths.r, r=widths.r, c=widths.c, dtype=widths.attention,
    )  # fmt: skip


def _mla(mixer: MLA, hidden: float, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """Latent attention: expanded to full keys and values in prefill, absorbed into the queries in decode.

    Absorbed (DeepSeek-V2, section 2.1.2): every head attends to the latent vectors themselves, which all heads and
    all tensor-parallel ranks share.
    """
    m, w, a, r, dtype = work.rows, widths.w, widths.a, widths.r, widths.product
    heads = heads_per_chip(float(mixer.heads), plan)
    latent, rope = float(mixer.kv_lora_rank), float(mixer.rope_dim)
    nope, value, q_rank = float(mixer.nope_dim), float(mixer.v_dim), float(mixer.q_lora_rank)
    down = q_rank + latent + rope if q_rank else latent + rope
    yield from _product("attention/down", m, hidden, down, widths)
    yield from _product("attention/q-up", m, q_rank or hidden, heads * (nope + rope), widths)
    yield ops.elementwise(
        "attention/rotary", m=m, i=down + heads * rope, o=down + heads * rope, f=3.0 * heads * rope, r=r
    )
    if mixer.gated:
        yield from _product("attention/gate", m, hidden, heads * value, widths)
    if mixer.selection:
        yield from _index(mixer.selection, hidden, q_rank or hidden, widths, work)
    if work.decode:
        # one [nope, latent] matrix per head; as bytes and FLOPs the same as a single [nope, heads·latent] product
        yield ops.matmul("attention/absorb-k", m, nope, heads * latent, w=w, a=a, r=r, dtype=dtype)
        yield _attend(mixer, work, widths, heads, latent + rope, latent, latent + rope)
        yield ops.matmul("attention/absorb-v", m, latent, heads * value, w=w, a=a, r=r, dtype=dtype)
    else:
        seen = work.sequences * (work.context + work.new)
        yield from _product("attention/kv-up", seen, latent, heads * (nope + value), widths)
        yield _attend(mixer, work, widths, heads, nope + rope, value, latent + rope)
    yield from _product("attention/output", m, heads * value, hidden, widths)


def _compressed(mixer: CompressedAttention, hidden: float, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """Attention to a window and to compressed groups: one vector of a token or group serves all heads and ranks."""
    m, r = work.rows, widths.r
    heads, dim, rank = heads_per_chip(float(mixer.heads), plan), float(mixer.head_dim), float(mixer.q_lora_rank)
    down = float(mixer.input_dim)
    yield from _product("attention/down", m, hidden, down, widths)
    yield from _product("attention/q-up", m, rank, heads * dim, widths)
    yield ops.elementwise("attention/rotary", m=m, i=down + heads * dim, o=down + heads * dim, f=3.0 * heads * dim, r=r)
    if mixer.selection:
        yield from _product("index/queries", m, rank, float(mixer.selection.heads * mixer.index_dim), widths)
        yield _score(mixer, mixer.selection, work, widths)
    yield _attend(mixer, work, widths, heads, dim, dim, dim)
    groups, low = float(mixer.output_groups), mixer.output_groups * mixer.output_lora_rank / plan.tp
    # one [columns, rank] matrix per group; as bytes and FLOPs the same as a single [columns, groups·rank] product
    yield from _product("attention/output-down", m, mixer.output_dim / groups, low, widths)
    yield from _product("attention/output", m, low, hidden, widths)


def _score(mixer: CompressedAttention, selection: Selection, work: Pass, widths: Widths) -> Op:
    """The indexer's scores over every complete group."""
    b, h, d = work.sequences, float(selection.heads), float(selection.head_dim)
    a, c, dtype = widths.r, widths.c, widths.attention
    if work.decode:
        scored, padded = work.read(mixer.scored)
        return ops.decode_attention(
            "index/scores", b=b, q=work.new, l=scored,
            h=h, d=d, v=0.0, g=d, a=a, r=a, c=c, dtype=dtype, stored=widths.cache, padded=padded,
        )  # fmt: skip
    return ops.attention(
        "index/scores", b=b, q=work.new, p=mixer.scored(work.context, work.new),
        l=mixer.groups(work.context + work.new), h=h, d=d, v=0.0, g=d, a=a, r=a, c=c, dtype=dtype,
    )  # fmt: skip


def _linear(mixer: LinearMixer, hidden: float, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """Projections around a recurrence whose state does not grow with the context."""
    m, w, a, r, dtype = work.rows, widths.w, widths.a, widths.r, widths.product
    inner, projected = mixer.inner / plan.tp, mixer.input_dim / plan.tp
    state = mixer.state / plan.tp
    yield from _product("mixer/in", m, hidden, projected, widths)
    if isinstance(mixer, GatedDeltaNet) and mixer.decay_rank:
        channels = mixer.key_heads * mixer.key_dim / plan.tp
        yield ops.matmul("mixer/decay", m, float(mixer.decay_rank), channels, w=w, a=a, r=r, dtype=dtype)
    if isinstance(mixer, Mamba1):
        low = float(mixer.dt_rank + 2 * mixer.state_dim)
        yield ops.matmul("mixer/x", m, inner, low, w=w, a=a, r=r, dtype=dtype)
        yield ops.matmul("mixer/dt", m, float(mixer.dt_rank), inner, w=w, a=a, r=r, dtype=dtype)
    yield ops.scan(
        "mixer/scan", m=m, b=work.sequences, s=state, i=projected, o=inner, f=SCAN_FLOPS[type(mixer).__name__],
        z=STATE_BYTES, a=r, r=r, dtype=ops.VECTOR if isinstance(mixer, Mamba1) or work.decode else widths.attention,
        decode=work.decode,
    )  # fmt: skip
    if isinstance(mixer, (GatedDeltaNet, LightningAttention)):
        yield ops.elementwise("mixer/gate", m=m, i=2.0 * inner, o=inner, f=4.0 * inner, r=r)
    yield from _product("mixer/out", m, inner, hidden, widths)


def _dense(name: str, ffn: DenseFFN, m: Num, hidden: float, shards: Num, widths: Widths) -> Iterator[Op]:
    """Up (and gate) projection, activation, down projection."""
    width = ffn.width / shards
    columns = width * (2.0 if ffn.gated else 1.0)
    yield from _product(f"{name}/up", m, hidden, columns, widths)
    yield ops.elementwise(f"{name}/activation", m=m, i=columns, o=width, f=5.0 * width, r=widths.r)
    yield from _product(f"{name}/down", m, width, hidden, widths)


@dataclass(frozen=True, slots=True)
class ExpertShards:
    """How experts are spread: over `ep` ranks, each expert's matrices over `tp`; `pool` replicas share one spread."""

    ep: Num
    tp: Num
    pool: Num


def expert_shards(plan: Plan) -> ExpertShards:
    """Experts over `ep` ranks: inside the tensor-parallel group first, then across data-parallel replicas.

    With ep up to tp, each expert stays divided over tp/ep ranks, unless the plan says over how many. Beyond, ep·tp/tp
    replicas pool their tokens: those of an attention that is data-parallel where experts are expert-parallel, as
    DeepSeek serves its models.
    """
    stated = plan.expert_tp > 0.0
    inside = where(stated, plan.expert_tp, larger(plan.tp / plan.ep, 1.0))
    return ExpertShards(ep=plan.ep, tp=inside, pool=larger(plan.ep * inside / plan.tp, 1.0))


def _moe(ffn: MoE, hidden: float, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """Router, dispatch, grouped expert products, combine, and the shared experts beside them."""
    own = widths.experts or widths
    m, a, r = work.rows, own.a, widths.r
    shards = expert_shards(plan)
    experts, top_k, inside = float(ffn.experts), float(ffn.top_k), float(ffn.routed_dim(int(hidden)))
    hottest = smaller(work.imbalance, shards.ep)  # one rank has all rows at most
    routed = m * shards.pool * top_k / shards.ep * hottest  # rows that reach it
    different = smaller(work.distinct, work.sequences * shards.pool) * work.new
    touched = ops.expected_experts(experts, top_k, different) / shards.ep
    yield ops.matmul("moe/router", m, hidden, experts, w=max(own.w, 2.0), a=r, r=r, dtype=widths.attention)
    sent = where(shards.pool > 1.0, m, 0.0) / plan.tp
    sent = sent * ops.hottest(shards.ep, top_k, hottest)
    if ffn.latent:
        yield from _product("moe/latent-down", m, hidden, inside, widths)
    apart = where(shards.pool > 1.0, shards.tp, 1.0)  # slices of an expert that see the same rows
    among = where(shards.pool > 1.0, plan.ep, 1.0)  # one replica has its tokens on every rank
    yield ops.collective("moe/dispatch", "all-to-all", m=sent, k=inside, r=a, ranks=among, stride=apart, copies=top_k)
    yield ops.collective("moe/gather", "all-gather", m=routed, k=inside, r=a, ranks=apart)
    yield from routed_experts(routed, touched, inside, ffn.width / shards.tp, ffn.gated, own)
    yield ops.collective("moe/scatter", "reduce-scatter", m=routed, k=inside, r=r, ranks=apart)
    yield ops.collective("moe/combine", "all-to-all", m=sent, k=inside, r=r, ranks=among, stride=apart, copies=top_k)
    if ffn.latent:
        yield from _product("moe/latent-up", m, inside, hidden, widths)
    if ffn.shared_ffn is not None:
        yield from _dense("moe/shared", ffn.shared_ffn, m, hidden, plan.tp, widths)
    yield ops.collective("moe/all-reduce", "all-reduce", m=m, k=hidden, r=r, ranks=plan.tp)


def routed_experts(
    rows: Num, touched: Num, hidden: Num, width: Num, gated: bool, widths: Widths, passed: Num | None = None
) -> Iterator[Op]:
    """The rows that reach one rank, sorted by expert, through the `touched` experts that get any.

    Passes are over `passed` rows, if more than those are laid out.
    """
    w, a, r, dtype, least = widths.w, widths.a, widths.r, widths.product, widths.weights
    columns = width * (2.0 if gated else 1.0)
    laid = rows if passed is None else passed
    yield ops.permute("moe/permute", m=laid, k=hidden, r=r)
    if a < r:
        yield ops.quantise("moe/up-quantise", m=laid, k=hidden, a=a, r=r)
    yield ops.expert_matmul("moe/up", rows, touched, hidden, columns, w=w, a=a, r=r, dtype=dtype, least=least)
    yield ops.elementwise("moe/activation", m=laid, i=columns, o=width, f=5.0 * width, r=r)
    if a < r:
        yield ops.quantise("moe/down-quantise", m=laid, k=width, a=a, r=r)
    yield ops.expert_matmul("moe/down", rows, touched, width, hidden, w=w, a=a, r=r, dtype=dtype, least=least)


def _head(model: Model, widths: Widths, plan: Plan, work: Pass) -> Iterator[Op]:
    """Last norm, output matrix (kept at 16 bits or more by every stack), gathering its shards."""
    m, hidden, vocab = work.sequences * work.logits, float(model.hidden), model.vocab / plan.tp
    r = widths.r
    yield ops.elementwise("head/norm", m=m / work.split, i=hidden, o=hidden, f=5.0 * hidden, r=r)
    yield ops.matmul("head/logits", m, hidden, vocab, w=widths.o, a=r, r=r, dtype=widths.attention)
    if work.decode or np.all(work.logits <= 1.0):
        yield ops.collective("head/all-gather", "all-gather", m=m, k=float(model.vocab), r=r, ranks=plan.tp)


def _pipeline(model: Model, widths: Widths, plan: Plan, work: Pass) -> Op:
    """Activations handed from each pipeline stage to the next."""
    hop = ops.collective(
        "pipeline/send", "send", m=work.rows / plan.tp, k=float(model.hidden), r=widths.r,
        ranks=smaller(plan.pp, 2.0), stride=plan.tp,
    )  # fmt: skip
    return hop.times(plan.pp - 1.0)
