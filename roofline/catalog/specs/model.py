"""The model file: an architecture as block groups, and where its shape was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from roofline import workload as shapes
from roofline.catalog.fields import Count, CountOrZero, Many, Spec, Word
from roofline.catalog.specs.common import Identified, Sourced, StoredDType, join_sources


class SelectionSpec(Spec):
    """Sparse attention to `top_k` tokens, chosen by an indexer of `heads` heads, or by an earlier layer's."""

    top_k: Count
    heads: CountOrZero = 0
    head_dim: CountOrZero = 0

    def build(self) -> shapes.Selection:
        """The plain object."""
        return shapes.Selection(**self.model_dump())


class AttentionSpec(Spec):
    """Softmax attention; `kv_heads` equal to `heads` is MHA, 1 is MQA. `window` goes with sliding and chunked."""

    kind: Literal["full", "sliding", "chunked"]
    heads: Count
    kv_heads: Count
    head_dim: Count
    window: CountOrZero = 0
    bias: bool = False
    output_bias: bool = False
    qk_norm: bool | Literal["all"] = False
    gated: bool | Literal["heads"] = False
    sinks: bool = False
    v_dim: CountOrZero = 0
    tied_values: bool = False
    selection: SelectionSpec | None = None

    def build(self) -> shapes.Attention:
        """The plain object."""
        values = self.model_dump(exclude={"kind", "selection"})
        return shapes.Attention(reach=self.kind, selection=self.selection.build() if self.selection else None, **values)


class MLASpec(Spec):
    """Multi-head latent attention; `q_lora_rank` 0 leaves queries uncompressed."""

    kind: Literal["mla"]
    heads: Count
    q_lora_rank: CountOrZero
    kv_lora_rank: Count
    rope_dim: Count
    nope_dim: Count
    v_dim: Count
    gated: bool = False
    selection: SelectionSpec | None = None

    def build(self) -> shapes.MLA:
        """The plain object."""
        values = self.model_dump(exclude={"kind", "selection"})
        return shapes.MLA(selection=self.selection.build() if self.selection else None, **values)


class CompressedSpec(Spec):
    """Attention to a window and to groups of `ratio` tokens, one vector each."""

    kind: Literal["compressed"]
    heads: Count
    head_dim: Count
    q_lora_rank: Count
    output_groups: Count
    output_lora_rank: Count
    window: Count
    ratio: CountOrZero = 0
    overlap: bool = False
    selection: SelectionSpec | None = None

    def build(self) -> shapes.CompressedAttention:
        """The plain object."""
        values = self.model_dump(exclude={"kind", "selection"})
        return shapes.CompressedAttention(selection=self.selection.build() if self.selection else None, **values)


class Mamba1Spec(Spec):
    """Selective state space layer."""

    kind: Literal["mamba1"]
    inner: Count
    state_dim: Count
    dt_rank: Count
    conv: Count = 4

    def build(self) -> shapes.Mamba1:
        """The plain object."""
        return shapes.Mamba1(**self.model_dump(exclude={"kind"}))


class Mamba2Spec(Spec):
    """State space duality layer."""

    kind: Literal["mamba2"]
    heads: Count
    head_dim: Count
    state_dim: Count
    groups: Count = 1
    conv: Count = 4

    def build(self) -> shapes.Mamba2:
        """The plain object."""
        return shapes.Mamba2(**self.model_dump(exclude={"kind"}))


class GatedDeltaNetSpec(Spec):
    """Gated delta rule layer; with a `decay_rank` every channel decays on its own."""

    kind: Literal["gated-delta-net"]
    key_heads: Count
    value_heads: Count
    key_dim: Count
    value_dim: Count
    conv: Count = 4
    decay_rank: CountOrZero = 0

    def build(self) -> shapes.GatedDeltaNet:
        """The plain object."""
        return shapes.GatedDeltaNet(**self.model_dump(exclude={"kind"}))


class LightningSpec(Spec):
    """Linear attention with a decay per head."""

    kind: Literal["lightning"]
    heads: Count
    head_dim: Count

    def build(self) -> shapes.LightningAttention:
        """The plain object."""
        return shapes.LightningAttention(**self.model_dump(exclude={"kind"}))


class DenseSpec(Spec):
    """Two matrices (`gated`: three) of `width`."""

    kind: Literal["dense"]
    width: Count
    gated: bool = True
    bias: bool = False

    def build(self) -> shapes.DenseFFN:
        """The plain object."""
        return shapes.DenseFFN(**self.model_dump(exclude={"kind"}))


class MoESpec(Spec):
    """Routed experts of `width`, `top_k` of them per token, and `shared` ones for every token.

    With a `latent` the routed ones read and write that many values instead of the model's.
    """

    kind: Literal["moe"]
    experts: Count
    top_k: Count
    width: Count
    shared: CountOrZero = 0
    shared_width: CountOrZero = 0
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    latent: CountOrZero = 0

    def build(self) -> shapes.MoE:
        """The plain object."""
        return shapes.MoE(**self.model_dump(exclude={"kind"}))


MixerSpec = Annotated[
    AttentionSpec | MLASpec | CompressedSpec | Mamba1Spec | Mamba2Spec | GatedDeltaNetSpec | LightningSpec,
    Field(discriminator="kind"),
]
FFNSpec = Annotated[DenseSpec | MoESpec, Field(discriminator="kind")]


class BlockSpec(Spec):
    """`count` layers with the same mixer and ffn; leave one out where the layer has none.

    `parallel`: both read the same input.
    """

    count: Count
    mixer: MixerSpec | None = None
    ffn: FFNSpec | None = None
    norms: CountOrZero = 2
    parallel: bool = False

    def build(self) -> shapes.Block:
        """The plain object."""
        return shapes.Block(
            count=self.count,
            mixer=self.mixer.build() if self.mixer else None,
            ffn=self.ffn.build() if self.ffn else None,
            norms=self.norms,
            parallel=self.parallel,
        )


class PublishedSpec(Sourced):
    """What the makers state, in billions, and why the shape gives something else where it does."""

    total: Annotated[float, Field(gt=0)]
    active: Annotated[float, Field(gt=0)] | None = None
    differs: Word = ""


class ModelSpec(Identified):
    """One model, one file. `source` names where the shape was read; `published_parameters` what its makers state.

    `dtype` is the format of what is `quantised`; `rest` that of the other parts where it has no 16 bits.
    """

    source: Word
    hidden: Count
    vocab: Count
    blocks: Many[BlockSpec] = Field(min_length=1)
    tied_embeddings: bool = False
    max_context: CountOrZero = 0
    learned_positions: CountOrZero = 0
    norm_bias: bool = False
    dtype: StoredDType = "bf16"
    quantised: Literal["all", "experts"] = "all"
    rest: StoredDType | None = None
    published_parameters: PublishedSpec | None = None

    @field_validator("blocks")
    @classmethod
    def _mixes(cls, blocks: tuple[BlockSpec, ...]) -> tuple[BlockSpec, ...]:
        if not any(block.mixer for block in blocks):
            raise ValueError("no block has a mixer: no token would see another")
        return blocks

    def numbers(self) -> Mapping[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        published = {"published_parameters": self.published_parameters.source} if self.published_parameters else {}
        return {"shape": self.source, **published}

    def build(self) -> shapes.Model:
        """The plain object that the engine works with."""
        return shapes.Model(
            id=self.id,
            name=self.name,
            hidden=self.hidden,
            vocab=self.vocab,
            blocks=tuple(block.build() for block in self.blocks),
            tied_embeddings=self.tied_embeddings,
            max_context=self.max_context,
            learned_positions=self.learned_positions,
            norm_bias=self.norm_bias,
            dtype=self.dtype,
            quantised=self.quantised,
            rest=self.rest or "",
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )
