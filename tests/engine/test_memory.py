"""Memory against the published formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import memory, training
from roofline.workload import Model, Plan, Precision, Training

GPT = "gpt-3-175b"


def per_layer(catalog: Catalog, plan: Plan, seq: float = 2048.0) -> float:
    model = catalog.model(GPT)
    return float(
        memory.activation_bytes_per_layer(model, model.blocks[0], replace(plan, flash=False), seq, dropout=True)
    )


# Korthikanti et al. 2022, table 2: s sequence, b micro-batch, h hidden, a heads, t tensor parallel.
S, B, H, A, T = 2048.0, 4.0, 12288.0, 96.0, 8.0
KORTHIKANTI = {
    "no parallelism": (Plan(micro_batch=B), S * B * H * (34 + 5 * A * S / H)),
    "tensor parallel": (
        Plan(micro_batch=B, tp=T, sequence_parallel=False),
        S * B * H * (10 + 24 / T + 5 * A * S / (H * T)),
    ),
    "tensor and sequence parallel": (Plan(micro_batch=B, tp=T), S * B * H / T * (34 + 5 * A * S / H)),
    "with selective recomputation": (Plan(micro_batch=B, tp=T, recompute="selective"), S * B * H * 34 / T),
    "tensor parallel, selective": (
        Plan(micro_batch=B, tp=T, recompute="selective", sequence_parallel=False),
        S * B * H * (10 + 24 / T),
    ),
    "full recomputation": (Plan(micro_batch=B, recompute="full", sequence_parallel=False), S * B * H * 2),
}


@pytest.mark.parametrize(("plan", "expected"), list(KORTHIKANTI.values()), ids=list(KORTHIKANTI))
def test_activations_are_megatrons_formula(catalog: Catalog, plan: Plan, expected: float) -> None:
    assert per_layer(catalog, plan) == pytest.approx(expected, rel=1e-12)


def test_flash_attention_keeps_no_scores(catalog: Catalog) -> None:
    model, plan = catalog.model(GPT), Plan(micro_batch=B, tp=T)
    flash = float(memory.activation_bytes_per_layer(model, model.blocks[0], plan, S, dropout=True))
    assert flash == pytest.approx(S * B * H * 34 / T, rel=1e-12)


def test_adam_in_mixed_precision_takes_eighteen_bytes_a_parameter(catalog: Catalog) -> None:
    """2 weights, 4 gradients, 4 + 4 + 4 master weight and moments (Megatron-LM); ZeRO-1 divides the twelve."""
    model = catalog.model("llama-3.1-8b")
    job = Training(id="t", model=model, tokens=1e12, seq_len=4096.0, global_batch=8.0)
    whole = training.memory_needs(job, Plan(zero=0.0), Precision())
    static = whole.weights + whole.gradients + whole.optimizer
    assert float(static) == pytest.approx(18 * model.parameters, rel=1e-12)
    sharded = training.memory_needs(job, Plan(zero=1.0, dp=8.0), Precision())
    assert float(sharded.optimizer) == pytest.approx(12 / 8 * model.parameters, rel=1e-12)
    assert float(sharded.gradients) == float(whole.gradients)


@given(dp=st.sampled_from([1.0, 2.0, 8.0, 64.0]))
def test_more_sharding_never_takes_more(dp: float) -> None:
    job = Training(id="t", model=Catalog().model("llama-3.1-8b"), tokens=1e12, seq_len=4096.0, global_batch=64.0)
    totals = [float(training.memory_needs(job, Plan(zero=float(zero), dp=dp), Precision()).total) for zero in range(4)]
    assert totals == sorted(totals, reverse=True)


def test_recomputation_trades_memory(catalog: Catalog) -> None:
    model = catalog.model("llama-3.1-70b")
    none, full = (
        float(memory.activation_bytes(model, Plan(tp=8.0, recompute=mode), 8192.0, 1.0)) for mode in ("none", "full")
    )
    assert full < none / 5


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
