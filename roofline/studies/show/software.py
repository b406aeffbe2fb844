"""Fields of stacks, as words."""

from __future__ import annotations

import numpy as np

from roofline.catalog.specs.stack import OVERHEADS
from roofline.machine import Stack
from roofline.machine.stack import DIRECT
from roofline.studies import words
from roofline.studies.words import Fields


def stack_fields(stack: Stack) -> Fields:
    """What software adds, how fast its kernels are, and what it decides."""
    for name in OVERHEADS:
        yield f"overheads.{name}", words.amount(getattr(stack, name), "s")
    yield from _rate_fields(stack)
    yield "usable_memory", f"{float(stack.usable_memory):.2f}"
    yield "cache_memory", f"{float(stack.cache_memory):.2f} of what is left" if stack.cache_memory != 1.0 else None
    yield from _batching_fields(stack)
    yield "placement", stack.placement
    yield "kv", "paged" if stack.bucket is None else f"powers of two from {float(stack.bucket):,.0f} tokens"
    yield "kv.reserved", "a request begins when its cache at full length has room" if stack.reserved else None
    yield from _format_fields(stack)
    yield "sums", "narrow" if stack.narrow_sums else None
    yield "collectives", "its own beside a library's" if stack.collectives == DIRECT else "a library's"
    for kind, share in stack.overlaps.items():
        yield f"overlaps.{kind}", f"{float(share):.3g} of its messages' time may hide behind work"
    again = f"{float(stack.selective):.3g} of a layer besides attention scores" if stack.selective else None
    yield "selective", again


def _rate_fields(stack: Stack) -> Fields:
    multiples = {name: getattr(stack, name) for name in ("latency", "compute", "memory")} | dict(stack.rates)
    for name, multiple in multiples.items():
        yield f"rates.{name}", f"{float(multiple):.3g} times what was measured" if multiple != 1.0 else None
    limited = np.isfinite(stack.stream)
    yield "rates.stream", f"{float(stack.stream):.3g} B for each compute unit and clock" if limited else None
    yield "rates.flow", f"{float(stack.flow):.3g} of a seamless pipeline" if stack.flow != 1.0 else None
    again = f"{float(stack.reread):.3g} of the first time for each further query head" if stack.reread else None
    yield "rates.reread", again


def _batching_fields(stack: Stack) -> Fields:
    yield "batching", stack.batching
    yield "batching.prefill", "one prompt after the other" if stack.prefill == "alone" else None
    yield "batching.halves", "half of a batch works while the other's messages pass" if stack.halves else None
    carried = f"{float(stack.message_units):,.0f} compute units carry messages" if stack.message_units else None
    yield "batching.message_units", carried
    chunked = np.isfinite(stack.prefill_chunk)
    yield "prefill_chunk", f"{float(stack.prefill_chunk):,.0f} tokens" if chunked else None


def _format_fields(stack: Stack) -> Fields:
    kept = ", ".join(f"{cache} with {weights} weights" for weights, cache in stack.cache.items())
    yield "cache", kept or None
    yield "wide", f"{stack.wide} where a model narrows its experts alone"
    yield "residual", f"{stack.residual} between kernels"
    expands = np.isfinite(stack.expand_rows)
    yield "expansion", f"narrow weights beyond {float(stack.expand_rows):,.0f} rows" if expands else None
