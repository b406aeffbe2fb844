"""The architecture of a model as block groups, and its exact parameter and cache counts.

A model is a list of `Block`s, each `count` layers of (mixer, ffn). A mixer moves information between tokens
(`attention` in its kinds, or a `recurrence`), an `ffn` works on each token alone. Every count here is of the whole
model; sharding is the engine's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from roofline.source import Source
from roofline.workload.attention import MLA, Attention, AttentionMixer, CompressedAttention
from roofline.workload.dtype import Precision, usual_activations
from roofline.workload.ffn import FFN, DenseFFN, MoE
from roofline.workload.recurrence import LinearMixer

Quantised = Literal["all", "experts"]
Mixer: TypeAlias = AttentionMixer | LinearMixer


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
