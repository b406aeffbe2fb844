"""The software on a chip: what it adds to the time of the hardware, and how it batches and shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from roofline.numeric import Num
from roofline.source import Source

LIBRARY, DIRECT = "library", "direct"
# Kinds of parallelism whose messages may hide behind work.
TENSOR, EXPERT, CONTEXT, PIPELINE, DATA = PARALLEL = ("tensor", "expert", "context", "pipeline", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One software stack; `ideal` adds nothing.

    Times are seconds that the work does not hide: per step of the whole model (`step`), per sequence that takes part in
    it (`sequence`: scheduling, sampling, text), per layer (`layer`), per operator (`operator`) and per request before
    its first token (`request`, and `server` in front of the engine: HTTP, tokens of text, scheduling). While the chip
    works, a host launches what comes next, each layer in `host` seconds, and handles each sequence of the step before
    in `handling`: no pass is faster than either. In training, where a layer goes ahead and back, a layer of experts
    takes the host `routing` longer.
    `latency`, `compute` and `memory` are multiples of what was measured of single kernels on the chip: graphs hide part
    of their latency, fusing saves some, an eager framework adds to it.
    `rates` are multiples for kinds of kernels by themselves, or a format of them. `stream` are the bytes of weights
    that a compute unit gets each clock; `flow` the share of a pipeline's stages that work at the same time while a long
    prompt passes. Kernels of decode attention that work on each query head by itself read a cache again for every
    further one that shares it, from caches before main memory: `reread` of the time of the first. `usable_memory` is
    the share of main memory that it lets a model have, `cache_memory` the share for the cache of what weights and
    activations leave. `bucket` [tokens] is the smallest of the powers of two that decode steps of static shapes read of
    a cache; None reads what it holds.
    """

    id: str
    name: str
    step: Num = 0.0
    sequence: Num = 0.0
    layer: Num = 0.0
    operator: Num = 0.0
    request: Num = 0.0
    server: Num = 0.0
    host: Num = 0.0
    handling: Num = 0.0
    routing: Num = 0.0
    latency: Num = 1.0
    compute: Num = 1.0
    memory: Num = 1.0
    stream: Num = np.inf
    flow: Num = 1.0
    reread: Num = 0.0
    rates: Mapping[str, Num] = field(default_factory=dict)
    usable_memory: Num = 1.0
    cache_memory: Num = 1.0
    bucket: Num | None = None
    reserved: bool = False  # whether a request begins only when its cache at full length has room
    batching: Literal["continuous", "static"] = "continuous"
    prefill: Literal["together", "alone"] = "together"  # how a static batch reads its prompts
    halves: bool = False  # whether half of a batch works while experts of the other exchange messages
    message_units: Num = 0.0  # compute units that carry these while prompts pass
    placement: Literal["layers", "padded", "even"] = (
        "layers"  # how weights and cache are laid out over chips (see `Plan`)
    )
    prefill_chunk: Num = np.inf  # most tokens of a prefill that pass at once
    measured_on: tuple[str, ...] = ()  # ids of the chips on which its times were measured
    cache: Mapping[str, str] = field(default_factory=dict)  # usual cache format for weights of a format
    wide: str = "bf16"  # format of the weights that a model does not narrow, where it narrows experts alone
    residual: str = "bf16"  # format of values between kernels, where activations are no wider
    expand_rows: Num = np.inf  # products of more rows expand narrow weights to 16 bits in memory first
    narrow_sums: bool = False  # whether products of 16 bits are summed in 16
    collectives: Literal["library", "direct"] = "library"  # a library's, or also its own kernels inside graphs
    # by kind of parallelism, the share of its messages' time that may hide behind work; all of it if nothing is said
    overlaps: Mapping[str, Num] = field(default_factory=dict)
    selective: Num = 0.0  # share of a layer, besides attention scores, that its selective recomputation makes again
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether it states a time that somebody measured."""
        times = (
            self.step, self.sequence, self.layer, self.operator, self.request, self.server, self.host, self.handling,
            self.routing,
        )  # fmt: skip
        return any(bool(np.any(np.greater(time, 0.0))) for time in times)

    @property
    def admission(self) -> Num:
        """Seconds of a request before anything of it is worked on: no server stands before a static batch."""
        return self.request + (self.server if self.batching == "continuous" else 0.0)

    def rate_key(self, kernel: str, *dtypes: str) -> str | None:
        """The entry of `rates` for kernels of this kind: the first of these dtypes, else any."""
        for dtype in dtypes:
            if (key := f"{kernel}/{dtype}") in self.rates:
                return key
        return kernel if kernel in self.rates else None

    def rate(self, kernel: str, *dtypes: str) -> Num:
        """How fast this software's kernels of a kind are beside those that were measured on the chip."""
        key = self.rate_key(kernel, *dtypes)
        return self.rates[key] if key else 1.0
