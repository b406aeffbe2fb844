"""What every file format shares: identity and sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from roofline.catalog.fields import Day, Many, Spec, Word
from roofline.source import Source

# Formats that values are stored in, beyond those that a chip multiplies in (`roofline.workload.dtype.BITS`).
StoredDType = Literal[
    "fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4", "fp8-block",
    "mxfp8", "mxfp6", "mxfp4", "nvfp4", "int4-g128", "int4-g32", "nf4",
    "q8_0", "q6_k", "q5_k", "q5_k_m", "q5_1", "q5_0", "q4_k", "q4_k_m", "q4_1", "q4_0", "iq4_nl", "iq4_xs",
    "q3_k", "q3_k_m", "iq3_s", "iq3_xxs", "q2_k", "iq2_xs", "iq2_xxs", "iq1_s", "bfp8", "bfp4",
]  # fmt: skip
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=64)]


class SourceSpec(Spec):
    """Where numbers come from: a title that can be found again, an address and the day it was read."""

    title: Word
    url: Word = ""
    date: Day = ""

    def build(self) -> Source:
        """The plain object."""
        return Source(self.title, self.url, self.date)


class Identified(Spec):
    """A catalogue entry: `id` is the file's stem, `aliases` further names, `sources` what each `source:` refers to."""

    format: Literal[1] = 1
    id: Id
    aliases: Many[Id] = ()
    name: Word
    note: Word = ""
    sources: Mapping[str, SourceSpec] = Field(default_factory=dict)


class Sourced(Spec):
    """A group of numbers with the key of its source; several keys are joined by ` + `."""

    source: Word


def source_keys(source: str) -> list[str]:
    """The keys in a `source:` value.

    >>> source_keys("datasheet + tuning-guide")
    ['datasheet', 'tuning-guide']
    """
    return [key.strip() for key in source.split("+")]


def join_sources(source: str, table: Mapping[str, SourceSpec]) -> Source:
    """The source that a `source:` value names; several become one, titles joined."""
    found = [table[key] for key in source_keys(source) if key in table]
    return Source(
        "; ".join(spec.title for spec in found),
        "; ".join(spec.url for spec in found if spec.url),
        max((spec.date for spec in found), default=""),
    )
