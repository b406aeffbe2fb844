"""Fields of models, workloads and scenarios, as words."""

from __future__ import annotations

import numpy as np

from roofline.studies import words
from roofline.studies.words import Fields
from roofline.workload import Decode, Model, Operations, Prefill, Scenario, Serving, Training


def model_fields(model: Model) -> Fields:
    """The shape of a model."""
    yield "shape.parameters", f"{model.parameters / 1e9:.2f} billion ({model.active_parameters / 1e9:.2f} active)"
    yield "shape.hidden", f"{model.hidden:,}"
    yield "shape.vocab", f"{model.vocab:,}" + (" (tied)" if model.tied_embeddings else "")
    for block in model.blocks:
        yield "shape.blocks", words.block(block)
    yield "shape.cache", f"{model.cache_values_per_token:,.0f} values per token"
    yield "shape.max_context", f"{model.max_context:,}" if model.max_context else None
    parts = (
        ""
        if model.quantised == "all"
        else f" ({model.quantised}" + (f"; the rest {model.rest})" if model.rest else ")")
    )
    yield "shape.dtype", model.dtype + parts


def job_fields(job: Serving | Training) -> Fields:
    """What a workload asks for."""
    yield "model", job.model.id
    if isinstance(job, Training):
        yield "lengths.tokens", f"{float(job.tokens):,.0f}"
        yield "lengths.seq_len", f"{float(job.seq_len):,.0f}"
        yield "lengths.global_batch", f"{float(job.global_batch):,.0f} sequences"
        yield "optimizer", job.optimizer
        yield "lora_rank", f"{float(job.lora_rank):,.0f}" if job.lora_rank else None
        if job.operations is not None:
            yield from _operation_fields(job.operations)
    else:
        yield from scenario_fields(job)
    yield "imbalance", f"{float(job.imbalance):.3g} times the mean" if job.imbalance != 1.0 else None
    formats = job.precision
    yield "precision", f"weights {formats.weights}, activations {formats.activations}, cache {formats.kv_cache}"


def scenario_fields(job: Serving | Scenario) -> Fields:
    """The steps of requests to any model."""
    for index, step in enumerate(job.steps):
        yield f"lengths.step-{index + 1}", words.step(step)
    yield "lengths.batch", batch(job)
    yield "prefix_cache", f"{float(job.cached_share):.3g} of the first prompt" if job.cached_share else None
    yield "speculative", words.speculation(job.speculative) if job.speculative.on else None


def _operation_fields(operations: Operations) -> Fields:
    interval, slower = operations.checkpoint_interval, operations.stragglers
    yield "operations.checkpoint_interval", "the best one" if interval is None else words.amount(interval, "s")
    yield "operations.checkpoint_stall", words.amount(operations.checkpoint_stall, "s")
    yield "operations.restart", words.amount(operations.restart, "s")
    yield "operations.stragglers", f"{float(slower):.3g} of a step more" if slower else None


def lengths(job: Serving | Scenario) -> str:
    """How many steps there are, and the tokens in all of them."""
    read, written = (
        sum(float(step.tokens) for step in job.steps if isinstance(step, kind)) for kind in (Prefill, Decode)
    )
    return f"{len(job.steps):,} steps, {read:,.0f} in, {written:,.0f} out"


def batch(job: Serving | Scenario) -> str:
    """How many requests run at once."""
    return "as many as memory holds" if np.isinf(job.batch) else f"{float(job.batch):,.0f}"
