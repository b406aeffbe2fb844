"""Weights and cache of one chip."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roofline.catalog.store import Catalog
from roofline.engine import memory
from roofline.workload import Model, Plan, Precision


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3", "mixtral-8x7b", "nemotron-h-56b", "qwen3-next-80b"])
@pytest.mark.parametrize("tp", [2.0, 8.0])
def test_the_shards_hold_the_model(catalog: Catalog, name: str, tp: float) -> None:
    """All ranks together hold every parameter, and more only by what is replicated."""
    model = catalog.model(name)
    alone = float(memory.parameters_per_chip(model, Plan()))
    assert alone == pytest.approx(model.parameters, rel=1e-12)
    together = tp * float(memory.parameters_per_chip(model, Plan(tp=tp)))
    assert model.parameters <= together <= model.parameters * 1.06


def test_expert_parallel_ranks_hold_their_share(catalog: Catalog) -> None:
    model = catalog.model("deepseek-v3")
    apart = float(memory.layer_parameters(model, Plan(tp=1.0, dp=64.0, ep=64.0)))
    experts = 58 * 256 * 3 * 7168 * 2048
    assert float(memory.layer_parameters(model, Plan())) - apart == pytest.approx(experts * (1 - 1 / 64), rel=1e-12)


def cache(model: Model, plan: Plan, context: float) -> float:
    return float(memory.cache_bytes_per_sequence(model, Precision(kv_cache="bf16"), plan, context))


def test_keys_are_replicated_beyond_the_kv_heads(catalog: Catalog) -> None:
    model = catalog.model("llama-3.1-70b")
    assert cache(model, Plan(tp=8.0), 1000.0) == cache(model, Plan(), 1000.0) / 8
    assert cache(model, Plan(tp=32.0), 1000.0) == cache(model, Plan(tp=8.0), 1000.0)
    assert cache(model, Plan(tp=32.0, placement="even"), 1000.0) == cache(model, Plan(), 1000.0) / 32
    latent = catalog.model("deepseek-v3")
    assert cache(latent, Plan(tp=8.0), 1000.0) == cache(latent, Plan(), 1000.0)


def test_windows_and_states_do_not_grow(catalog: Catalog) -> None:
    mistral, mamba = catalog.model("mistral-7b"), catalog.model("mamba-2-2.7b")
    assert cache(mistral, Plan(), 4096.0) == cache(mistral, Plan(), 1e6)
    assert cache(mamba, Plan(), 1.0) == cache(mamba, Plan(), 1e6) > 0


def test_the_fullest_stage_has_whole_layers(catalog: Catalog) -> None:
    model = catalog.model("llama-3.1-405b")
    assert float(memory.stage_share(model, Plan(pp=16.0))) == 8 / 126
    assert float(memory.stage_share(model, replace(Plan(pp=16.0), placement="even"))) == 1 / 16
