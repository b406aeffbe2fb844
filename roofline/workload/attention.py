"""Mixers that attend: each new token to those before it, all of them or the ones in reach.

Each answers `parameters(hidden)`, what a sequence leaves behind (`cache_values(context)`, and `cache_per_token` for
each token while nothing is out of reach), and how many pairs of tokens meet. Every count is of the whole model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from roofline.numeric import Num

Reach = Literal["full", "sliding", "chunked"]
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


AttentionMixer: TypeAlias = Attention | MLA | CompressedAttention
