"""The software on a chip: what it adds to the time of the hardware, and how it batches and shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from roofline.numeric import Num
from roofline.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One software stack; `ideal` adds nothing.

    Times are seconds that the work does not hide: per step of the whole model (`step`), per layer (`layer`) and
    per operator (`operator`). `usable_memory` is the share of main memory that it lets a model have.
    """

    id: str
    name: str
    step: Num = 0.0
    layer: Num = 0.0
    operator: Num = 0.0
    usable_memory: Num = 1.0
    batching: Literal["continuous", "static"] = "continuous"
    placement: Literal["layers", "even"] = "layers"  # how weights and cache are laid out over chips (see `Plan`)
    prefill_chunk: Num = np.inf  # most tokens of a prefill that pass at once
    measured_on: tuple[str, ...] = ()  # ids of the chips on which its times were measured
    cache: Mapping[str, str] = field(default_factory=dict)  # usual cache format for weights of a format
    overlap: Num = 1.0  # share of data-parallel traffic that may hide behind the backward pass
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether it states a time that somebody measured."""
        return any(bool(np.any(np.greater(time, 0.0))) for time in (self.step, self.layer, self.operator))
