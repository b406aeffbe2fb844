"""The stack file: what the software on a chip adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from roofline.catalog.fields import Count, Duration, Fraction, Many, Spec
from roofline.catalog.specs.common import Id, Identified, Sourced, StoredDType, join_sources
from roofline.machine import Stack


class OverheadSpec(Sourced):
    """Seconds that the work does not hide."""

    time: Duration


class ShareSpec(Sourced):
    """A share between 0 and 1."""

    share: Fraction


class BatchingSpec(Sourced):
    """`continuous` lets requests join and leave between steps, `static` runs a batch from start to end."""

    policy: Literal["continuous", "static"]


class PlacementSpec(Sourced):
    """`layers` gives each stage whole layers and each rank whole kv heads; `even` spreads all over all chips alike."""

    policy: Literal["layers", "even"]


class ChunkSpec(Sourced):
    """The most tokens of a prefill that pass at once."""

    tokens: Count


class CacheFormatsSpec(Sourced):
    """Format of the cache that goes with weights of a format, where nobody states it."""

    formats: Mapping[StoredDType, StoredDType]


class StackOverheads(Spec):
    """Per step of the whole model, per layer, per operator."""

    step: OverheadSpec | None = None
    layer: OverheadSpec | None = None
    operator: OverheadSpec | None = None


class StackSpec(Identified):
    """One software stack, one file; `measured_on` are the chips that its times were measured on."""

    measured_on: Many[Id] = ()
    overheads: StackOverheads = Field(default_factory=StackOverheads)
    usable_memory: ShareSpec | None = None
    batching: BatchingSpec | None = None
    placement: PlacementSpec | None = None
    prefill_chunk: ChunkSpec | None = None
    cache: CacheFormatsSpec | None = None
    overlap: ShareSpec | None = None

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        groups: dict[str, Sourced | None] = {
            "overheads.step": self.overheads.step,
            "overheads.layer": self.overheads.layer,
            "overheads.operator": self.overheads.operator,
            "usable_memory": self.usable_memory,
            "batching": self.batching,
            "placement": self.placement,
            "prefill_chunk": self.prefill_chunk,
            "cache": self.cache,
            "overlap": self.overlap,
        }
        return {path: group.source for path, group in groups.items() if group is not None}

    def build(self) -> Stack:
        """The plain object that the engine works with."""
        step, layer, operator = self.overheads.step, self.overheads.layer, self.overheads.operator
        return Stack(
            id=self.id,
            name=self.name,
            measured_on=self.measured_on,
            step=step.time if step else 0.0,
            layer=layer.time if layer else 0.0,
            operator=operator.time if operator else 0.0,
            usable_memory=self.usable_memory.share if self.usable_memory else 1.0,
            batching=self.batching.policy if self.batching else "continuous",
            placement=self.placement.policy if self.placement else "layers",
            prefill_chunk=float(self.prefill_chunk.tokens) if self.prefill_chunk else float("inf"),
            cache={str(weights): str(kept) for weights, kept in self.cache.formats.items()} if self.cache else {},
            overlap=self.overlap.share if self.overlap else 1.0,
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )
