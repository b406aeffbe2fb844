"""The stack file: what the software on a chip adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from roofline.catalog.fields import Count, Day, Duration, Fraction, FractionOrZero, Many, Multiple, Spec, Word
from roofline.catalog.specs.chip import KERNEL
from roofline.catalog.specs.common import Id, Identified, Sourced, StoredDType, join_sources
from roofline.machine import Stack

Parallelism = Literal["tensor", "expert", "context", "pipeline", "data"]
OVERHEADS = ("step", "sequence", "layer", "operator", "request", "server", "host", "handling", "routing")


class OverheadSpec(Sourced):
    """Seconds that the work does not hide."""

    time: Duration


class ShareSpec(Sourced):
    """A share between 0 and 1."""

    share: Fraction


class PartSpec(Sourced):
    """A share from 0 to 1: of messages' time that may hide behind work, of a layer that is made again."""

    share: FractionOrZero


class BatchingSpec(Sourced):
    """`continuous` lets requests join and leave between steps, `static` runs a batch from start to end.

    A static batch reads its prompts all `together` or each `alone`, one after another. With `halves` one half of a
    batch works while experts of the other exchange messages; `message_units` compute units carry these meanwhile where
    prompts pass, and do nothing else.
    """

    policy: Literal["continuous", "static"]
    prefill: Literal["together", "alone"] = "together"
    halves: bool = False
    message_units: Count | None = None


class PlacementSpec(Sourced):
    """`layers` gives each stage whole layers and each rank whole heads, `padded` too where that leaves ranks with
    fewer; `even` spreads all over all chips alike."""

    policy: Literal["layers", "padded", "even"]


class ChunkSpec(Sourced):
    """The most tokens of a prefill that pass at once."""

    tokens: Count


class FormatSpec(Sourced):
    """A stored format."""

    format: StoredDType


class CacheFormatsSpec(Sourced):
    """Format of the cache that goes with weights of a format, where nobody states it."""

    formats: Mapping[StoredDType, StoredDType]


class ExpansionSpec(Sourced):
    """Products of more than so many rows expand narrow weights to 16 bits in memory before they multiply."""

    rows: Count


class KVSpec(Sourced):
    """What a decode step reads of the cache: the `paged` tokens there are, or all of the power of two that holds them.

    `buckets` are the static shapes of compilers without page tables, none below `smallest` tokens. Where pages are
    `reserved`, a request begins when there is room for all that it may ever hold, so that none is ever put off.
    """

    policy: Literal["paged", "buckets"]
    smallest: Count | None = None
    reserved: bool = False

    @model_validator(mode="after")
    def _bucketed(self) -> KVSpec:
        if self.smallest is not None and self.policy != "buckets":
            raise ValueError("smallest goes with 'policy: buckets'")
        return self

    @property
    def bucket(self) -> float | None:
        """The smallest bucket [tokens]; None without any."""
        return float(self.smallest or 1) if self.policy == "buckets" else None


class SumsSpec(Sourced):
    """Whether products of 16 bits are summed in `wide` numbers, as usual, or in `narrow` ones."""

    width: Literal["wide", "narrow"]


class CollectivesSpec(Sourced):
    """`library` takes a library's collectives; `direct` also has kernels of its own inside captured graphs."""

    kind: Literal["library", "direct"]


class StackOverheads(Spec):
    """Per step of the whole model, per sequence in it, per layer, per operator, and per request before its first token;
    `server` what it spends there in front of the engine where requests come and go one by one; `host` is what it takes
    to launch a layer while the chip works on those before, `handling` what a sequence of the step before takes
    meanwhile."""

    step: OverheadSpec | None = None
    sequence: OverheadSpec | None = None
    layer: OverheadSpec | None = None
    operator: OverheadSpec | None = None
    request: OverheadSpec | None = None
    server: OverheadSpec | None = None
    host: OverheadSpec | None = None
    handling: OverheadSpec | None = None
    routing: OverheadSpec | None = None


class RateSpec(Sourced):
    """A multiple of what kernels were measured to reach on the chip."""

    rate: Multiple


# Multiples of all kernels, of the reach of one compute unit and of a pipeline; then of single kinds of kernels.
SHARED_RATES = ("latency", "compute", "memory", "stream", "flow", "reread")
RateKey = Annotated[str, Field(pattern=rf"^({'|'.join(SHARED_RATES)}|{KERNEL})$")]
Rates = Mapping[RateKey, RateSpec]


Overlaps = Mapping[Parallelism, PartSpec]


class VariantSpec(Spec):
    """What differs on one chip or family of chips."""

    overheads: StackOverheads = Field(default_factory=StackOverheads)
    rates: Rates = Field(default_factory=dict)
    overlaps: Overlaps = Field(default_factory=dict)


class EarlierSpec(Spec):
    """Which stack stands for releases before a version, or, where only a day is known, for what ran until then."""

    before: Word | None = None
    until: Day
    stack: Id

    def covers(self, version: str, date: str) -> bool:
        """Whether a release of that version or day is one of these; the version decides if it can be read and is of the
        same product as `before`, and a day of the last month or year is of it."""
        (product, wanted), (other, limit) = release(version), release(self.before or "")
        if product == other and wanted and limit:
            return wanted < limit
        return re.match(r"\d{4}", date) is not None and date[: len(self.until)] <= self.until


def release(version: str) -> tuple[str, tuple[int, ...]]:
    """A product that a version names before its numbers, empty if none, and the numbers.

    >>> release("NeMo 26.02.01"), release("v0.8"), release("nightly")
    (('nemo', (26, 2, 1)), ('', (0, 8)), ('', ()))
    """
    found = re.match(r"([a-z]+) (?=v?\d)", version.strip().lower())
    product = found[1] if found else ""
    return product, release_number(version.strip()[len(found[0]) if found else 0 :])


def release_number(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with, or of a build; empty if it begins with none (a commit is no number).

    >>> release_number("v0.8.5.post1"), release_number("b2843"), release_number("4426e298"), release_number("nightly")
    ((0, 8, 5), (2843,), (), ())
    """
    found = re.match(r"v?(\d+(?:\.\d+)+)|v(?=\d)(\d+)\b|b(\d+)\b|(\d+)$", version.strip().lower())
    digits = next(filter(None, found.groups())) if found else ""
    return tuple(int(part) for part in digits.split(".")) if digits else ()


class StackSpec(Identified):
    """One software stack, one file; `earlier` names the stack that stands for its earlier releases.

    `variants` holds what differs on a family of chips or a single chip, by its id; `measured_on` the chips that its
    numbers were measured on.
    """

    measured_on: Many[Id] = ()
    earlier: EarlierSpec | None = None
    overheads: StackOverheads = Field(default_factory=StackOverheads)
    rates: Rates = Field(default_factory=dict)
    variants: Mapping[Id, VariantSpec] = Field(default_factory=dict)
    usable_memory: ShareSpec | None = None
    batching: BatchingSpec | None = None
    placement: PlacementSpec | None = None
    prefill_chunk: ChunkSpec | None = None
    cache_memory: ShareSpec | None = None
    cache: CacheFormatsSpec | None = None
    kv: KVSpec | None = None
    wide: FormatSpec | None = None
    residual: FormatSpec | None = None
    overlaps: Overlaps = Field(default_factory=dict)
    selective: PartSpec | None = None
    expansion: ExpansionSpec | None = None
    sums: SumsSpec | None = None
    collectives: CollectivesSpec | None = None

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        groups: dict[str, Sourced | None] = {
            **_numbers(self),
            **{
                f"variants.{where}.{path}": found
                for where, variant in self.variants.items()
                for path, found in _numbers(variant).items()
            },
            "usable_memory": self.usable_memory,
            "batching": self.batching,
            "placement": self.placement,
            "prefill_chunk": self.prefill_chunk,
            "cache_memory": self.cache_memory,
            "cache": self.cache,
            "kv": self.kv,
            "wide": self.wide,
            "residual": self.residual,
            "selective": self.selective,
            "expansion": self.expansion,
            "sums": self.sums,
            "collectives": self.collectives,
        }
        return {path: group.source for path, group in groups.items() if group is not None}

    def build(self, *places: str) -> Stack:
        """The plain object that the engine works with, as it is on the last of these places (family, chip) it knows."""
        times: dict[str, float] = {}
        rates: dict[str, float] = {}
        overlaps: dict[str, float] = {}
        parts: list[StackSpec | VariantSpec] = [self]
        parts += [self.variants[place] for place in places if place in self.variants]
        for part in parts:
            stated = ((name, getattr(part.overheads, name)) for name in OVERHEADS)
            times |= {name: found.time for name, found in stated if found is not None}
            rates |= {str(name): found.rate for name, found in part.rates.items()}
            overlaps |= {str(kind): found.share for kind, found in part.overlaps.items()}
        return Stack(
            id=self.id,
            name=self.name,
            measured_on=self.measured_on,
            **times,
            **{name: rates.pop(name) for name in SHARED_RATES if name in rates},
            rates=rates,
            usable_memory=self.usable_memory.share if self.usable_memory else 1.0,
            cache_memory=self.cache_memory.share if self.cache_memory else 1.0,
            bucket=self.kv.bucket if self.kv else None,
            reserved=bool(self.kv and self.kv.reserved),
            batching=self.batching.policy if self.batching else "continuous",
            prefill=self.batching.prefill if self.batching else "together",
            halves=bool(self.batching and self.batching.halves),
            message_units=float(self.batching.message_units or 0.0) if self.batching else 0.0,
            wide=self.wide.format if self.wide else "bf16",
            residual=self.residual.format if self.residual else "bf16",
            placement=self.placement.policy if self.placement else "layers",
            prefill_chunk=float(self.prefill_chunk.tokens) if self.prefill_chunk else float("inf"),
            cache={str(weights): str(kept) for weights, kept in self.cache.formats.items()} if self.cache else {},
            overlaps=overlaps,
            selective=self.selective.share if self.selective else 0.0,
            expand_rows=float(self.expansion.rows) if self.expansion else float("inf"),
            narrow_sums=bool(self.sums and self.sums.width == "narrow"),
            collectives=self.collectives.kind if self.collectives else "library",
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )


def _numbers(part: StackSpec | VariantSpec) -> dict[str, Sourced | None]:
    """The numbers of a stack or of one of its variants, by path."""
    return {
        **{f"overheads.{name}": getattr(part.overheads, name) for name in OVERHEADS},
        **{f"rates.{name}": found for name, found in part.rates.items()},
        **{f"overlaps.{kind}": found for kind, found in part.overlaps.items()},
    }
