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
    """`continuous` lets requests join and leave between steps, `static` runs a batch from start to end.

    A static batch reads its prompts all `together` or each `alone`, one after another.
    """

    policy: Literal["continuous", "static"]
    prefill: Literal["together", "alone"] = "together"


class PlacementSpec(Sourced):
    """`layers` gives each stage whole layers and each rank whole kv heads; `even` spreads all over all chips alike."""

    policy: Literal["layers", "even"]


class ChunkSpec(Sourced):
    """The most tokens of a prefill that pass at once."""

    tokens: Count


class FormatSpec(Sourced):
    """A stored format."""

    format: StoredDType


class CacheFormatsSpec(Sourced):
    """Format of the cache that goes with weights of a format, where nobody states it."""

    formats: Mapping[StoredDType, StoredDType]


class AllReduceSpec(Sourced):
    """`ring` is the library's all-reduce; `direct` also has one exchange with every peer for small messages."""

    algorithm: Literal["ring", "direct"]


class StackOverheads(Spec):
    """Per step of the whole model, per layer, per operator, and per request before its first token."""

    step: OverheadSpec | None = None
    layer: OverheadSpec | None = None
    operator: OverheadSpec | None = None
    request: OverheadSpec | None = None


class StackRates(Spec):
    """What the stack's kernels reach of the rates that were measured on the chip with the best ones."""

    compute: ShareSpec | None = None
    memory: ShareSpec | None = None


class StackSpec(Identified):
    """One software stack, one file; `measured_on` are the chips that its times were measured on."""

    measured_on: Many[Id] = ()
    overheads: StackOverheads = Field(default_factory=StackOverheads)
    rates: StackRates = Field(default_factory=StackRates)
    usable_memory: ShareSpec | None = None
    batching: BatchingSpec | None = None
    placement: PlacementSpec | None = None
    prefill_chunk: ChunkSpec | None = None
    cache_memory: ShareSpec | None = None
    cache: CacheFormatsSpec | None = None
    wide: FormatSpec | None = None
    overlap: ShareSpec | None = None
    all_reduce: AllReduceSpec | None = None

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        groups: dict[str, Sourced | None] = {
            "overheads.step": self.overheads.step,
            "overheads.layer": self.overheads.layer,
            "overheads.operator": self.overheads.operator,
            "overheads.request": self.overheads.request,
            "rates.compute": self.rates.compute,
            "rates.memory": self.rates.memory,
            "usable_memory": self.usable_memory,
            "batching": self.batching,
            "placement": self.placement,
            "prefill_chunk": self.prefill_chunk,
            "cache_memory": self.cache_memory,
            "cache": self.cache,
            "wide": self.wide,
            "overlap": self.overlap,
            "all_reduce": self.all_reduce,
        }
        return {path: group.source for path, group in groups.items() if group is not None}

    def build(self) -> Stack:
        """The plain object that the engine works with."""
        times, rates = self.overheads, self.rates
        return Stack(
            id=self.id,
            name=self.name,
            measured_on=self.measured_on,
            step=times.step.time if times.step else 0.0,
            layer=times.layer.time if times.layer else 0.0,
            operator=times.operator.time if times.operator else 0.0,
            request=times.request.time if times.request else 0.0,
            compute=rates.compute.share if rates.compute else 1.0,
            memory=rates.memory.share if rates.memory else 1.0,
            usable_memory=self.usable_memory.share if self.usable_memory else 1.0,
            cache_memory=self.cache_memory.share if self.cache_memory else 1.0,
            batching=self.batching.policy if self.batching else "continuous",
            prefill=self.batching.prefill if self.batching else "together",
            wide=self.wide.format if self.wide else "bf16",
            placement=self.placement.policy if self.placement else "layers",
            prefill_chunk=float(self.prefill_chunk.tokens) if self.prefill_chunk else float("inf"),
            cache={str(weights): str(kept) for weights, kept in self.cache.formats.items()} if self.cache else {},
            overlap=self.overlap.share if self.overlap else 1.0,
            all_reduce=self.all_reduce.algorithm if self.all_reduce else "ring",
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )
