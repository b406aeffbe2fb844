"""Parameters and caches from the shape alone, against published counts and second derivations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.workload import MLA, Attention, Block, DenseFFN, Model, MoE

# Total and active parameters [1e9] of the transformers classes instantiated from the published configs (meta device).
PUBLISHED = {
    "gpt-3-175b": (174.6043, 174.6043),
    "llama-2-7b": (6.7384, 6.7384),
    "llama-2-70b": (68.9766, 68.9766),
    "llama-3.1-8b": (8.0303, 8.0303),
    "llama-3.1-70b": (70.5537, 70.5537),
    "llama-3.1-405b": (405.8534, 405.8534),
    "mistral-7b": (7.2417, 7.2417),
    "mixtral-8x7b": (46.7028, 12.8799),
    "qwen3-32b": (32.7621, 32.7621),
    "qwen3-235b-a22b": (235.0936, 22.1908),
    "gpt-oss-120b": (116.8292, 5.712),
    "gemma-3-27b": (27.009, 27.009),
    "deepseek-v3": (671.0264, 37.5523),
    "qwen3-next-80b": (79.6744, 3.8749),
    "nemotron-h-56b": (56.3244, 56.3244),
    "mamba-2-2.7b": (2.7026, 2.7026),
}


@pytest.mark.parametrize(("name", "total", "active"), [(name, *counts) for name, counts in PUBLISHED.items()])
def test_parameters_agree_with_published_counts(catalog: Catalog, name: str, total: float, active: float) -> None:
    model = catalog.model(name)
    assert model.parameters / 1e9 == pytest.approx(total, rel=1e-4)
    assert model.active_parameters / 1e9 == pytest.approx(active, rel=1e-4)


def test_gpt3_by_its_closed_form(catalog: Catalog) -> None:
    """12·L·h² + 13·L·h in the layers, (V + s)·h in the tables, 2h in the last norm (Narayanan et al. 2021, eq. 2)."""
    layers, hidden, vocab, positions = 96, 12288, 50257, 2048
    expected = 12 * layers * hidden**2 * (1 + 13 / (12 * hidden)) + (vocab + positions) * hidden + 2 * hidden
    assert catalog.model("gpt-3-175b").parameters == pytest.approx(expected, rel=1e-12)


def test_llama_by_hand(catalog: Catalog) -> None:
    """Q and O 2h², K and V 2·h·1024, three ffn matrices, two norms a layer; two tables and a norm."""
    h, layer = 8192, 2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192
    assert catalog.model("llama-3.1-70b").parameters == 80 * layer + 2 * 128256 * h + h


def test_deepseek_v3_by_hand(catalog: Catalog) -> None:
    """Section 4.2 of its report: 671B in all, 37B for each token."""
    h, q, kv, heads = 7168, 1536, 512, 128
    mla = h * q + q + q * heads * 192 + h * (kv + 64) + kv + kv * heads * 256 + heads * 128 * h
    expert = 3 * h * 2048
    dense = mla + 3 * h * 18432 + 2 * h
    sparse = mla + 257 * expert + h * 256 + 256 + 2 * h
    assert catalog.model("deepseek-v3").parameters == 3 * dense + 58 * sparse + 2 * 129280 * h + h


# Bytes of KV cache per token at 16 bits: layers · 2 · kv heads · head width · 2 B, as the papers state shape or size.
CACHES = {
    "llama-2-7b": 32 * 2 * 32 * 128 * 2,  # multi-head
    "llama-3.1-70b": 80 * 2 * 8 * 128 * 2,  # grouped: 327,680
    "mistral-7b": 32 * 2 * 8 * 128 * 2,  # sliding, before the window is full
    "deepseek-v3": 61 * (512 + 64) * 2,  # latent: 70,272
    "qwen3-next-80b": 12 * 2 * 2 * 256 * 2,  # a quarter of the layers attends
    "nemotron-h-56b": 10 * 2 * 8 * 128 * 2,  # ten of 118 layers attend
    "mamba-2-2.7b": 0,  # a state instead
}


@pytest.mark.parametrize(("name", "expected"), list(CACHES.items()))
def test_cache_bytes_per_token(catalog: Catalog, name: str, expected: int) -> None:
    assert catalog.model(name).cache_values_per_token * 2 == expected


def brute_pairs(mixer: Attention, context: int, tokens: int) -> int:
    """Each new token sees itself and what is in reach."""
    pairs = 0
    for position in range(context, context + tokens):
        if mixer.reach == "full":
            pairs += position + 1
        elif mixer.reach == "sliding":
            pairs += min(position + 1, mixer.window)
        else:
            pairs += position % mixer.window + 1
    return pairs


@given(
    reach=st.sampled_from(["full", "sliding", "chunked"]),
    window=st.integers(min_value=1, max_value=40),
    context=st.integers(min_value=0, max_value=100),
    tokens=st.integers(min_value=1, max_value=100),
)
def test_visible_pairs_are_the_sum_over_tokens(reach: str, window: int, context: int, tokens: int) -> None:
    mixer = Attention(heads=2, kv_heads=1, head_dim=8, reach=reach, window=0 if reach == "full" else window)  # type: ignore[arg-type]
    assert float(mixer.pairs(float(context), float(tokens))) == brute_pairs(mixer, context, tokens)
    cached = float(mixer.cached(float(context + tokens)))
    assert cached == (context + tokens if reach == "full" else min(context + tokens, window))


def test_latent_attention_sees_everything() -> None:
    mixer = MLA(heads=4, q_lora_rank=0, kv_lora_rank=16, rope_dim=4, nope_dim=8, v_dim=8)
    assert float(mixer.pairs(10.0, 3.0)) == 11 + 12 + 13
    assert mixer.cached(7.0) == 7.0


SIZE = st.integers(min_value=1, max_value=64)


@given(hidden=SIZE, heads=SIZE, width=SIZE, experts=st.integers(min_value=2, max_value=16), grow=st.integers(1, 5))
def test_larger_shapes_have_more_parameters(hidden: int, heads: int, width: int, experts: int, grow: int) -> None:
    base = Model(
        id="m",
        name="M",
        hidden=hidden,
        vocab=100,
        blocks=(
            Block(
                count=2,
                mixer=Attention(heads=heads, kv_heads=heads, head_dim=8),
                ffn=MoE(experts=experts, top_k=1, width=width),
            ),
            Block(count=1, ffn=DenseFFN(width=width, gated=False)),
        ),
    )
    assert base.active_parameters < base.parameters
    assert replace(base, hidden=hidden + grow).parameters > base.parameters
    assert replace(base, vocab=100 + grow).parameters == base.parameters + 2 * grow * hidden
    assert replace(base, tied_embeddings=True).parameters == base.parameters - 100 * hidden
    assert np.isfinite(base.parameters)
