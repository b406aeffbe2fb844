"""The architecture of a model as block groups, and its exact parameter and cache counts.

A model is a list of `Block`s, each `count` layers of (mixer, ffn). A mixer moves information between tokens
(attention in its kinds, or a recurrence), an ffn works on each token alone. Every count here is of the whole
model; sharding is the engine's business. Mixers and ffns all answer `parameters(hidden)`. A sequence leaves behind
`cache_values(context)` values in an attention mixer, `cache_per_token` for each token while nothing is out of reach,
and in a linear one `state` values, however long it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from roofline.numeric import Num
from roofline.source import Source
from roofline.workload.dtype import Precision, usual_activations

Reach = Literal["full", "sliding", "chunked"]
Quantised = Literal["all", "experts"]
QKNorm = Literal[False, True, "all"]
Gate = Literal[False, True, "heads"]


def full_pairs(context: Num) -> Num:
    """Query-key pairs of a whole context when each token sees all before it and itself."""
    return context * (context + 1.0) / 2.0


def sliding_pairs(context: Num, window: float) -> Num:
    """The same when each token sees `window` tokens at most, itself among them."""
    full = window * (window + 1.0) / 2.0
    return np.where(np.less(context, window), full_pairs(context), full + (context - window) * window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Sparse attention: each query attends to the `top_k` tokens that an indexer scores highest (DeepSeek-V3.2).

    The indexer has `heads` small heads over one key of `head_dim` per token, which it keeps beside the cache.
    Without heads of its own a layer takes over the choice of an earlier one (GLM-5.2).
    """

    top_k: int
    heads: int = 0
    head_dim: int = 0

    def parameters(self, hidden: int, query: int) -> float:
        """Queries from `query` values, one key and its norm, a weight for each head."""
        if not self.heads:
            return 0.0
        return float(query * self.heads * self.head_dim + hidden * (self.head_dim + self.heads) + 2 * self.head_dim)

    @property
    def cache_per_token(self) -> float:
        """Values kept for each token: the indexer's key."""
        return float(self.head_dim) if self.heads else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Softmax attention with `kv_heads` shared keys and values (MHA: all, MQA: one).

    `sliding` sees the last `window` tokens, `chunked` those of its own chunk of `window` tokens.
    `gated` adds an output gate as wide as the heads' outputs (Qwen3-Next), `heads` one value per head (Step-3.7).
    """

    heads: int
    kv_heads: int
    head_dim: int
    reach: Reach = "full"
    window: int = 0
    bias: bool = False  # on Q, K and V
    output_bias: bool = False
    qk_norm: QKNorm = False  # a scale for each channel of one head; "all": of all heads (OLMo 2)
    gated: Gate = False
    sinks: bool = False  # one learned logit per head (gpt-oss)
    v_dim: int = 0  # width of a head's values; 0: as wide as its keys
    tied_values: bool = False  # values are made of the keys' projection (Gemma 4)
    selection: Selection | None = None

    @property
    def value_dim(self) -> int:
        """Width of one head's values."""
        return self.v_dim or self.head_dim

    @property
    def query_dim(self) -> int:
        """Width of all queries together."""
        return self.heads * self.head_dim

    @property
    def output_dim(self) -> int:
        """Width of all head outputs together."""
        return self.heads * self.value_dim

    @property
    def gate_per_head(self) -> int:
        """Columns of the output gate for each head."""
        return {False: 0, True: self.value_dim, "heads": 1}[self.gated]

    @property
    def projected_per_kv_head(self) -> int:
        """Columns of the input projection for each kv head."""
        return self.head_dim + (0 if self.tied_values else self.value_dim)

    @property
    def kept_per_kv_head(self) -> int:
        """Values kept for each token and kv head: a key and a value."""
        return self.head_dim + self.value_dim

    @property
    def qkv_dim(self) -> int:
        """Columns of the fused input projection."""
        return self.query_dim + self.heads * self.gate_per_head + self.kv_heads * self.projected_per_kv_head

    def parameters(self, hidden: int) -> float:
        """Projections, biases, norms of queries and keys, sinks, the indexer."""
        bias = (self.qkv_dim if self.bias else 0) + (hidden if self.output_bias else 0)
        normed = self.heads + self.kv_heads if self.qk_norm == "all" else 2
        norms = normed * self.head_dim if self.qk_norm else 0
        own = hidden * (self.qkv_dim + self.output_dim) + bias + norms + (self.heads if self.sinks else 0)
        return own + self.index_parameters(hidden)

    def index_parameters(self, hidden: int) -> float:
        """Parameters of the indexer; every rank holds them all."""
        return self.selection.parameters(hidden, hidden) if self.selection else 0.0

    @property
    def index_per_token(self) -> float:
        """Values that the indexer keeps for each token; every rank holds them all."""
        return self.selection.cache_per_token if self.selection else 0.0

    @property
    def cache_per_token(self) -> float:
        """Values kept for each token in reach: its keys and values, and the indexer's key."""
        return float(self.kv_heads * self.kept_per_kv_head) + self.index_per_token

    def cached(self, context: Num) -> Num:
        """Tokens of `context` whose keys and values must stay in memory."""
        return context if self.reach == "full" else np.minimum(context, float(self.window))

    def cache_values(self, context: Num) -> Num:
        """Values kept for a context of that length."""
        return self.cache_per_token * self.cached(context)

    def pairs(self, context: Num, tokens: Num) -> Num:
        """Query-key pairs when `tokens` more follow `context` ones, each seeing those in reach and itself."""
        return self._pairs_up_to(context + tokens) - self._pairs_up_to(context)

    def _pairs_up_to(self, context: Num) -> Num:
        """Pairs of a whole context of that length (its first token sees one: itself)."""
        if self.selection:
            return sliding_pairs(context, float(self.selection.top_k))
        if self.reach == "full":
            return full_pairs(context)
        window = float(self.window)
        if self.reach == "sliding":
            return sliding_pairs(context, window)
        return np.floor_divide(context, window) * full_pairs(window) + full_pairs(np.mod(context, window))


@dataclass(frozen=True, slots=True, kw_only=True)
class MLA:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): one compressed vector per token is cached."""

    heads: int
    q_lora_rank: int  # 0: queries are not compressed
    kv_lora_rank: int
    rope_dim: int
    nope_dim: int
    v_dim: int
    gated: bool = False  # an output gate as wide as the heads' outputs (Kimi K3)
    selection: Selection | None = None

    @property
    def query_dim(self) -> int:
        """Width of all queries together."""
        return self.heads * (self.nope_dim + self.rope_dim)

    @property
    def output_dim(self) -> int:
        """Width of all head outputs together."""
        return self.heads * self.v_dim

    def parameters(self, hidden: int) -> float:
        """Down- and up-projections of queries and of keys and values, their norms, gate, output projection, indexer."""
        if self.q_lora_rank:
            query = hidden * self.q_lora_rank + self.q_lora_rank + self.q_lora_rank * self.query_dim
        else:
            query = hidden * self.query_dim
        key_value = (
            hidden * (self.kv_lora_rank + self.rope_dim)
            + self.kv_lora_rank
            + self.kv_lora_rank * self.heads * (self.nope_dim + self.v_dim)
        )
        outside = self.output_dim * hidden * (2 if self.gated else 1)
        return float(query + key_value + outside) + self.index_parameters(hidden)

    def index_parameters(self, hidden: int) -> float:
        """Parameters of the indexer; every rank holds them all."""
        return self.selection.parameters(hidden, self.q_lora_rank or hidden) if self.selection else 0.0

    @property
    def latent_per_token(self) -> float:
        """Values of the latent vector and the rotary key, one for all heads."""
        return float(self.kv_lora_rank + self.rope_dim)

    @property
    def cache_per_token(self) -> float:
        """Values kept for each token: the latent vector, the rotary key and the indexer's key."""
        return self.latent_per_token + (self.selection.cache_per_token if self.selection else 0.0)

    def cached(self, context: Num) -> Num:
        """Tokens of `context` whose latent vectors must stay in memory: all."""
        return context

    def cache_values(self, context: Num) -> Num:
        """Values kept for a context of that length."""
        return self.cache_per_token * context

    def pairs(self, context: Num, tokens: Num) -> Num:
        """Query-key pairs when `tokens` more follow `context` ones, each seeing itself and those before or chosen."""
        if self.selection:
            top_k = float(self.selection.top_k)
            return sliding_pairs(context + tokens, top_k) - sliding_pairs(context, top_k)
        return tokens * context + full_pairs(tokens)


def group_pairs(context: Num, size: float, most: float) -> Num:
    """Query-key pairs of a whole context when each token sees the complete groups of `size` so far, `most` at most."""
    groups = np.minimum(np.floor_divide(context, size), most)
    return size * groups * (groups - 1.0) / 2.0 + groups * (context - groups * size + 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedAttention:
    """Attention over the last `window` tokens, and over one vector for each group of `ratio` tokens (DeepSeek-V4).

    One vector of `head_dim` per token or group is the key and the value of all heads. Queries and output go through
    bottlenecks, the output's in `output_groups` groups of heads. `overlap` lets a group's vector draw on the group
    before it; with a `selection` each query attends to `top_k` of the groups, else to all. `ratio` 0: window alone.
    """

    heads: int
    head_dim: int
    q_lora_rank: int
    output_groups: int
    output_lora_rank: int
    window: int
    ratio: int = 0
    overlap: bool = False
    selection: Selection | None = None

    @property
    def query_dim(self) -> int:
        """Width of all queries together."""
        return self.heads * self.head_dim

    @property
    def output_dim(self) -> int:
        """Width of all head outputs together."""
        return self.query_dim

    @property
    def index_dim(self) -> int:
        """Width of the indexer's key for each group."""
        return self.selection.head_dim if self.selection and self.selection.heads else 0

    @property
    def compressor_dim(self) -> int:
        """Columns of the projections that make a group's vectors: values and weights, twice if groups overlap."""
        return 2 * (2 if self.overlap else 1) * (self.head_dim + self.index_dim) if self.ratio else 0

    @property
    def input_dim(self) -> int:
        """Columns of all projections of the layer's input."""
        scores = self.selection.heads if self.selection else 0
        return self.q_lora_rank + self.head_dim + self.compressor_dim + scores

    def parameters(self, hidden: int) -> float:
        """Projections of queries, keys and output, norms, sinks; compressor and indexer."""
        kept = self.head_dim + self.index_dim if self.ratio else 0
        heads = self.selection.heads if self.selection else 0
        return float(
            hidden * self.input_dim
            + self.q_lora_rank * (1 + self.query_dim + heads * self.index_dim)
            + self.head_dim
            + kept
            + self.ratio * self.compressor_dim // 2
            + self.heads
            + self.output_dim * self.output_lora_rank
            + self.output_groups * self.output_lora_rank * hidden
        )

    @property
    def cache_per_token(self) -> float:
        """Values kept for each token while the window has room, and its share of its group."""
        return self.head_dim + ((self.head_dim + self.index_dim) / self.ratio if self.ratio else 0.0)

    def groups(self, context: Num) -> Num:
        """Complete groups of a context of that length."""
        return np.floor_divide(context, float(self.ratio)) if self.ratio else context * 0.0

    def cached(self, context: Num) -> Num:
        """Vectors that attention may read: those of the window and of all groups."""
        return np.minimum(context, float(self.window)) + self.groups(context)

    def cache_values(self, context: Num) -> Num:
        """Values kept for a context of that length."""
        return self.head_dim * self.cached(context) + self.index_dim * self.groups(context)

    def pairs(self, context: Num, tokens: Num) -> Num:
        """Query-key pairs when `tokens` more follow `context` ones, each seeing its window and its groups."""
        return self._pairs_up_to(context + tokens) - self._pairs_up_to(context)

    def _pairs_up_to(self, context: Num) -> Num:
        near = sliding_pairs(context, float(self.window))
        most = float(self.selection.top_k) if self.selection else np.inf
        return near + group_pairs(context, float(self.ratio), most) if self.ratio else near

    def scored(self, context: Num, tokens: Num) -> Num:
        """Pairs that the indexer scores: each token and every complete group so far."""
        size = float(self.ratio)
        return group_pairs(context + tokens, size, np.inf) - group_pairs(context, size, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba1:
    """Selective state space layer (arXiv 2312.00752): a `state_dim`-vector for each of `inner` channels."""

    inner: int
    state_dim: int
    dt_rank: int
    conv: int = 4

    def parameters(self, hidden: int) -> float:
        """Input projection, convolution, the projections of B, C and dt, A, D, output projection."""
        return float(
            hidden * 2 * self.inner
            + self.inner * (self.conv + 1)
            + self.inner * (self.dt_rank + 2 * self.state_dim)
            + self.dt_rank * self.inner
            + self.inner
            + self.inner * self.state_dim
            + self.inner
            + self.inner * hidden
        )

    @property
    def state(self) -> float:
        """The recurrent state and the convolution's window."""
        return float(self.inner * (self.state_dim + self.conv))

    @property
    def input_dim(self) -> int:
        """Columns of the input projection (the channel-wise x, z pair)."""
        return 2 * self.inner


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2:
    """State space duality layer (arXiv 2405.21060): a `head_dim x state_dim` matrix for each head."""

    heads: int
    head_dim: int
    state_dim: int
    groups: int = 1
    conv: int = 4

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_dim

    @property
    def input_dim(self) -> int:
        """Columns of the input projection: z, x, B, C and dt."""
        return 2 * self.inner + 2 * self.groups * self.state_dim + self.heads

    @property
    def conv_dim(self) -> int:
        """Channels that the convolution runs over: x, B and C."""
        return self.inner + 2 * self.groups * self.state_dim

    def parameters(self, hidden: int) -> float:
        """Input projection, convolution with bias, A, D and dt per head, gated norm, output projection."""
        return float(
            hidden * self.input_dim
            + self.conv_dim * (self.conv + 1)
            + 3 * self.heads
            + self.inner
            + self.inner * hidden
        )

    @property
    def state(self) -> float:
        """The recurrent state and the convolution's window."""
        return float(self.inner * self.state_dim + self.conv_dim * self.conv)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDeltaNet:
    """Gated delta rule (arXiv 2412.06464): a `key_dim x value_dim` matrix for each value head.

    With a `decay_rank` every key channel has its own decay, through a bottleneck that wide (Kimi, arXiv 2510.26692).
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int = 4
    decay_rank: int = 0

    @property
    def inner(self) -> int:
        """Width of all values together."""
        return self.value_heads * self.value_dim

    @property
    def input_dim(self) -> int:
        """Columns of the input projection: queries, keys, values, output gate, a rate and a decay per head."""
        decay = self.decay_rank or self.value_heads
        return 2 * self.key_heads * self.key_dim + 2 * self.inner + self.value_heads + decay

    @property
    def conv_dim(self) -> int:
        """Channels that the convolution runs over: queries, keys and values."""
        return 2 * self.key_heads * self.key_dim + self.inner

    def parameters(self, hidden: int) -> float:
        """Input projection, convolution, A and dt per head (dt per channel), gated norm, output projection."""
        channels = self.key_heads * self.key_dim
        decay = self.decay_rank * channels + channels if self.decay_rank else self.value_heads
        return float(
            hidden * self.input_dim
            + self.conv_dim * self.conv
            + self.value_heads
            + decay
            + self.value_dim
            + self.inner * hidden
        )

    @property
    def state_dim(self) -> int:
        """Values of state for each value channel."""
        return self.key_dim

    @property
    def state(self) -> float:
        """The recurrent state and the convolution's window."""
        return float(self.inner * self.key_dim + self.conv_dim * self.conv)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningAttention:
    """Linear attention with a decay per head (arXiv 2401.04658): a `head_dim x head_dim` matrix for each head."""

    heads: int
    head_dim: int

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_dim

    @property
    def input_dim(self) -> int:
        """Columns of the input projection: queries, keys, values and the output gate."""
        return 4 * self.inner

    def parameters(self, hidden: int) -> float:
        """Projections of queries, keys, values and gate, norm, output projection."""
        return float(hidden * self.input_dim + self.inner + self.inner * hidden)

    @property
    def state_dim(self) -> int:
        """Values of state for each channel."""
        return self.head_dim

    @property
    def state(self) -> float:
        """The recurrent state."""
        return float(self.inner * self.head_dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFFN:
    """Two matrices (`gated`: three) of `width`, for every token."""

    width: int
    gated: bool = True
    bias: bool = False

    def parameters(self, hidden: int) -> float:
        """All of its matrices."""
        matrices = 3 if self.gated else 2
        return float(matrices * hidden * self.width + (((matrices - 1) * self.width + hidden) if self.bias else 0))

    active_parameters = parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class MoE:
    """`experts` ffns of which a router sends each token to `top_k`, and `shared` ones that every token visits."""

    experts: int
    top_k: int
    width: int
    shared: int = 0
    shared_width: int = 0  # of each shared expert; 0: as wide as the others
    gated: bool = True
    bias: bool = False  # on the experts' matrices and the router (gpt-oss)
    router_bias: bool = False  # one correction per expert (DeepSeek-V3)
    shared_gate: bool = False  # a learned scalar gate on the shared expert (Qwen)
    latent: int = 0  # what routed experts read and write, between two projections (Nemotron 3); 0: the model's width

    @property
    def expert(self) -> DenseFFN:
        """One routed expert."""
        return DenseFFN(width=self.width, gated=self.gated, bias=self.bias)

    @property
    def shared_ffn(self) -> DenseFFN | None:
        """All shared experts together as one ffn, None if there are none."""
        if not self.shared:
            return None
        return DenseFFN(width=self.shared * (self.shared_width or self.width), gated=self.gated)

    def routed_dim(self, hidden: int) -> int:
        """Width of what routed experts read and write."""
        return self.latent or hidden

    def expert_parameters(self, hidden: int) -> float:
        """One routed expert's matrices."""
        return self.expert.parameters(self.routed_dim(hidden))

    def router_parameters(self, hidden: int) -> float:
        """The router, its biases, the shared expert's gate and the projections to and from the latent."""
        bias = self.experts if self.bias or self.router_bias else 0
        return float(hidden * (self.experts + 2 * self.latent) + bias + (hidden if self.shared_gate else 0))

    def _fixed(self, hidden: int) -> float:
        shared = self.shared_ffn.parameters(hidden) if self.shared_ffn else 0.0
        return self.router_parameters(hidden) + shared

    def parameters(self, hidden: int) -> float:
        """Router, every expert, shared experts."""
        return self._fixed(hidden) + self.experts * self.expert_parameters(hidden)

    def active_parameters(self, hidden: int) -> float:
        """Router, the experts that one token visits, shared experts."""
        return self._fixed(hidden) + self.top_k * self.expert_parameters(hidden)


AttentionMixer: TypeAlias = "Attention | MLA | CompressedAttention"
LinearMixer: TypeAlias = "Mamba1 | Mamba2 | GatedDeltaNet | LightningAttention"
Mixer: TypeAlias = "AttentionMixer | LinearMixer"
FFN: TypeAlias = "DenseFFN | MoE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`count` layers with the same mixer and ffn; either may be absent. `norms` normalisations of width hidden.

    `parallel`: mixer and ffn read the same input, and their outputs are summed at once (PaLM, Falcon).
    """

    count: int
    mixer: Mixer | None = None
    ffn: FFN | None = None
    norms: int = 2
    parallel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A decoder-only language model."""

    id: str
    name: str
    hidden: int
    vocab: int
    blocks: tuple[Block, ...]
    tied_embeddings: bool = False
    max_context: int = 0  # 0: not stated
    learned_positions: int = 0  # rows of a learned position table
    norm_bias: bool = False  # LayerNorm (scale and shift) rather than RMSNorm
    dtype: str = "bf16"  # of the published weights
    quantised: Quantised = "all"  # the parts that a weight format below 16 bits applies to
    rest: str = ""  # format of the other parts as published, where that is narrow, too
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def layers(self) -> int:
        """Layers of all groups."""
        return sum(block.count for block in self.blocks)

    def outside(self, precision: Precision) -> Precision:
        """The precision of the parts that the format of `precision` is not for: all of it is for all of them, or the
        others are as they were published, or as wide as a stack keeps them."""
        if self.quantised == "all":
            return precision
        if self.rest and precision.weights == self.dtype:
            return replace(precision, weights=self.rest, activations=usual_activations(self.rest))
        return precision.unquantised

    @property
    def routed_layers(self) -> int:
        """Layers that choose among experts."""
        return sum(block.count for block in self.blocks if isinstance(block.ffn, MoE))

    @property
    def leading(self) -> int:
        """Block groups that stand before all others: dense layers ahead of those with experts (DeepSeek-V3).

        Other groups are taken to be mixed evenly, as layers that take turns are; so are dense layers that are no fewer
        than those with experts (Llama 4).
        """
        experts = [isinstance(block.ffn, MoE) for block in self.blocks]
        first = experts.index(True) if any(experts) else 0
        ahead = self.blocks[:first]
        dense = all(isinstance(block.ffn, DenseFFN) for block in ahead) and all(experts[first:])
        return first if dense and 2 * sum(block.count for block in ahead) < self.layers else 0

    @property
    def embedding_parameters(self) -> float:
        """The token table."""
        return float(self.vocab * self.hidden)

    @property
    def head_parameters(self) -> float:
        """The output matrix; none of its own when tied to the token table."""
        return 0.0 if self.tied_embeddings else self.embedding_parameters

    @property
    def outer_parameters(self) -> float:
        """Everything outside the layers: tables, head and the last norm."""
        positions = float(self.learned_positions * self.hidden)
        return self.embedding_parameters + positions + self.head_parameters + self.norm_parameters(1)

    def norm_parameters(self, norms: int) -> float:
        """Scales (and shifts) of that many normalisations."""
        return float(norms * self.hidden * (2 if self.norm_bias else 1))

    def block_parameters(self, block: Block) -> float:
        """Every parameter of one layer of a group."""
        ffn = block.ffn.parameters(self.hidden) if block.ffn else 0.0
        return self.mixer_parameters(block) + ffn

    def mixer_parameters(self, block: Block) -> float:
        """Parameters of one layer of a group outside its ffn: mixer and norms."""
        mixer = block.mixer.parameters(self.hidden) if block.mixer else 0.0
        return mixer + self.norm_parameters(block.norms)

    @property
    def parameters(self) -> float:
        """Every parameter of the text decoder."""
        return self.outer_parameters + sum(block.count * self.block_parameters(block) for block in self.blocks)

    @property
    def active_parameters(self) -> float:
        """Parameters that one token uses, embedding table and head included."""
        return self.outer_parameters + sum(
            block.count
            * (self.mixer_parameters(block) + (block.ffn.active_parameters(self.hidden) if block.ffn else 0.0))
            for block in self.blocks
        )

    @property
    def cache_values_per_token(self) -> float:
        """Values that one more token adds to the cache while every window still has room."""
        return sum(
            block.count * block.mixer.cache_per_token
            for block in self.blocks
            if isinstance(block.mixer, (Attention, MLA, CompressedAttention))
        )
