"""Parameters and caches from the shape alone, against the real classes and second derivations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.workload import (
    MLA,
    Attention,
    Block,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Mamba2,
    Model,
    MoE,
)
from roofline.workload.model import Mixer

# Parameters of the classes of transformers 5.24, instantiated from these shapes on its meta device. DeepSeek-V3's router
# corrections, one per expert, are a buffer there and not counted.
COUNTED = {
    "gpt-3-175b": 174_604_259_328,  # GPT2LMHeadModel
    "llama-2-7b": 6_738_415_616,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.3-70b": 70_553_706_496,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen3-32b": 32_762_123_264,
    "qwen3-235b-a22b": 235_093_634_560,
    "gpt-oss-120b": 116_829_156_672,
    "gemma-3-27b": 27_009_002_240,
    "deepseek-v3": 671_026_404_352 + 58 * 256,
    "deepseek-r1": 671_026_404_352 + 58 * 256,
    "qwen3-next-80b": 79_674_391_296,
    "nemotron-h-56b": 56_324_350_464,
    "mamba-2-2.7b": 2_702_599_680,
}


def test_every_shipped_model_is_counted(catalog: Catalog) -> None:
    assert sorted(catalog.files(KINDS["model"])) == sorted(COUNTED)


@pytest.mark.parametrize(("name", "counted"), list(COUNTED.items()))
def test_parameters_are_those_of_the_real_classes(catalog: Catalog, name: str, counted: int) -> None:
    assert catalog.model(name).parameters == counted


# What one token leaves idle: layers x experts it does not visit x matrices of an expert (with the biases of gpt-oss).
IDLE = {
    "mixtral-8x7b": 32 * (8 - 2) * 3 * 4096 * 14336,
    "qwen3-235b-a22b": 94 * (128 - 8) * 3 * 4096 * 1536,
    "gpt-oss-120b": 36 * (128 - 4) * (3 * 2880 * 2880 + 2 * 2880 + 2880),
    "deepseek-v3": 58 * (256 - 8) * 3 * 7168 * 2048,
    "deepseek-r1": 58 * (256 - 8) * 3 * 7168 * 2048,
    "qwen3-next-80b": 48 * (512 - 10) * 3 * 2048 * 512,
}


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_active_parameters_are_all_but_the_idle_experts(catalog: Catalog, name: str) -> None:
    assert catalog.model(name).active_parameters == COUNTED[name] - IDLE.get(name, 0)


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


def test_mixtral_by_hand(catalog: Catalog) -> None:
    """Its paper: 47B in all, 13B for each token. Attention, a router, eight ffns of which two are used."""
    h, table = 4096, 2 * 32000 * 4096
    shared = 2 * h * h + 2 * h * 1024 + 8 * h + 2 * h  # Q and O, K and V, the router, two norms
    expert = 3 * h * 14336
    model = catalog.model("mixtral-8x7b")
    assert model.parameters == 32 * (shared + 8 * expert) + table + h
    assert model.active_parameters == 32 * (shared + 2 * expert) + table + h


def test_gemma_by_hand(catalog: Catalog) -> None:
    """Its report, table 1: 1,416M in the one table, 25.6B elsewhere. Four norms a layer, two more on queries and keys."""
    h, table = 5376, 262144 * 5376
    layer = 2 * h * 4096 + 2 * h * 2048 + 3 * h * 21504 + 4 * h + 2 * 128
    model = catalog.model("gemma-3-27b")
    assert model.parameters == 62 * layer + h + table
    assert model.parameters - table == pytest.approx(25.6e9, rel=1e-3)


def test_mamba_2_by_hand(catalog: Catalog) -> None:
    """z and x of 5120, B and C of 128, dt of 80; a convolution of 4 with bias; A, D, dt bias; a norm inside and one before."""
    h, inner = 2560, 5120
    layer = h * (2 * inner + 2 * 128 + 80) + 5 * (inner + 2 * 128) + 3 * 80 + inner + inner * h + h
    assert catalog.model("mamba-2-2.7b").parameters == 64 * layer + 50288 * h + h


def test_a_latent_query_may_be_uncompressed() -> None:
    """DeepSeek-V2-Lite: no query rank, so one matrix for the queries and no norm of theirs."""
    mixer = MLA(heads=16, q_lora_rank=0, kv_lora_rank=512, rope_dim=64, nope_dim=128, v_dim=128)
    h = 2048
    assert mixer.parameters(h) == h * 16 * 192 + h * (512 + 64) + 512 + 512 * 16 * (128 + 128) + 16 * 128 * h


# Bytes of KV cache per token at 16 bits: layers · 2 · kv heads · head width · 2 B.
CACHES = {
    "gpt-3-175b": 96 * 2 * 96 * 128 * 2,  # multi-head: 4,718,592
    "llama-2-7b": 32 * 2 * 32 * 128 * 2,  # multi-head: 524,288
    "llama-3.1-8b": 32 * 2 * 8 * 128 * 2,  # grouped: 131,072
    "llama-3.1-70b": 80 * 2 * 8 * 128 * 2,  # grouped: 327,680
    "llama-3.1-405b": 126 * 2 * 8 * 128 * 2,  # grouped: 516,096
    "qwen3-235b-a22b": 94 * 2 * 4 * 128 * 2,  # grouped: 192,512
    "mistral-7b": 32 * 2 * 8 * 128 * 2,  # sliding, before the window is full: 131,072
    "gemma-3-27b": 62 * 2 * 16 * 128 * 2,  # sliding and full, before the windows are full: 507,904
    "gpt-oss-120b": 36 * 2 * 8 * 64 * 2,  # sliding and full, before the windows are full: 73,728
    "deepseek-v3": 61 * (512 + 64) * 2,  # latent: 70,272
    "qwen3-next-80b": 12 * 2 * 2 * 256 * 2,  # a quarter of the layers attends: 24,576
    "nemotron-h-56b": 10 * 2 * 8 * 128 * 2,  # ten of 118 layers attend: 40,960
    "mamba-2-2.7b": 0,  # a state instead
}


@pytest.mark.parametrize(("name", "expected"), list(CACHES.items()))
def test_cache_bytes_per_token(catalog: Catalog, name: str, expected: int) -> None:
    assert catalog.model(name).cache_values_per_token * 2 == expected


# The same at a context of 100,000 tokens: layers that slide keep their window only.
LONG = 100_000
LONG_CACHES = {
    "llama-3.1-70b": 80 * 2 * 8 * 128 * 2 * LONG,  # 32.8 GB
    "mistral-7b": 32 * 2 * 8 * 128 * 2 * 4096,  # 0.54 GB: all slide
    "gemma-3-27b": 2 * 16 * 128 * 2 * (52 * 1024 + 10 * LONG),  # 8.6 GB, were all full 50.8 GB
    "gpt-oss-120b": 2 * 8 * 64 * 2 * (18 * 128 + 18 * LONG),  # 3.7 GB
    "deepseek-v3": 61 * (512 + 64) * 2 * LONG,  # 7.0 GB
}


@pytest.mark.parametrize(("name", "expected"), list(LONG_CACHES.items()))
def test_windows_bound_the_cache(catalog: Catalog, name: str, expected: int) -> None:
    attending = [block for block in catalog.model(name).blocks if isinstance(block.mixer, (Attention, MLA))]
    values = sum(
        block.count * block.mixer.cache_per_token * float(block.mixer.cached(float(LONG)))
        for block in attending
        if isinstance(block.mixer, (Attention, MLA))
    )
    assert 2 * values == expected


# Values of state per sequence, however long: heads x head width x state width, and the convolution's window of 4.
STATES = {
    "mamba-2-2.7b": 64 * (80 * 64 * 128 + 4 * (80 * 64 + 2 * 128)),
    "nemotron-h-56b": 54 * (256 * 64 * 256 + 4 * (256 * 64 + 2 * 8 * 256)),
    "qwen3-next-80b": 36 * (32 * 128 * 128 + 4 * (2 * 16 * 128 + 32 * 128)),
    "llama-3.1-70b": 0,
}


@pytest.mark.parametrize(("name", "expected"), list(STATES.items()))
def test_state_of_recurrent_layers(catalog: Catalog, name: str, expected: int) -> None:
    states = [
        block.count * block.mixer.state
        for block in catalog.model(name).blocks
        if isinstance(block.mixer, (Mamba2, GatedDeltaNet))
    ]
    assert sum(states) == expected


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
GROW = st.integers(min_value=1, max_value=5)
ATTENTION = st.builds(
    Attention,
    heads=SIZE,
    kv_heads=SIZE,
    head_dim=SIZE,
    bias=st.booleans(),
    output_bias=st.booleans(),
    qk_norm=st.booleans(),
    gated=st.booleans(),
    sinks=st.booleans(),
)
MIXERS: dict[str, st.SearchStrategy[Mixer]] = {
    "heads kv_heads head_dim": ATTENTION,
    "heads q_lora_rank kv_lora_rank rope_dim nope_dim v_dim": st.builds(
        MLA, heads=SIZE, q_lora_rank=SIZE, kv_lora_rank=SIZE, rope_dim=SIZE, nope_dim=SIZE, v_dim=SIZE
    ),
    "inner state_dim dt_rank conv": st.builds(Mamba1, inner=SIZE, state_dim=SIZE, dt_rank=SIZE, conv=SIZE),
    "heads head_dim state_dim groups conv": st.builds(
        Mamba2, heads=SIZE, head_dim=SIZE, state_dim=SIZE, groups=SIZE, conv=SIZE
    ),
    "key_heads value_heads key_dim value_dim conv": st.builds(
        GatedDeltaNet, key_heads=SIZE, value_heads=SIZE, key_dim=SIZE, value_dim=SIZE, conv=SIZE
    ),
    "heads head_dim": st.builds(LightningAttention, heads=SIZE, head_dim=SIZE),
}


@pytest.mark.parametrize("dimensions", sorted(MIXERS))
@given(data=st.data(), hidden=SIZE, grow=GROW)
def test_every_dimension_of_a_mixer_adds_parameters(
    dimensions: str, data: st.DataObject, hidden: int, grow: int
) -> None:
    mixer = data.draw(MIXERS[dimensions])
    assert mixer.parameters(hidden + grow) > mixer.parameters(hidden)
    for dimension in dimensions.split():
        wider = replace(mixer, **{dimension: getattr(mixer, dimension) + grow})
        assert wider.parameters(hidden) > mixer.parameters(hidden), dimension


FFNS = st.builds(
    MoE,
    experts=st.integers(min_value=4, max_value=16),
    top_k=st.integers(min_value=1, max_value=4),
    width=SIZE,
    shared=st.integers(min_value=0, max_value=2),
    shared_width=st.integers(min_value=0, max_value=8),
    gated=st.booleans(),
    bias=st.booleans(),
    router_bias=st.booleans(),
    shared_gate=st.booleans(),
)


@given(ffn=FFNS, hidden=SIZE, grow=GROW)
def test_active_experts_never_exceed_all(ffn: MoE, hidden: int, grow: int) -> None:
    total, active = ffn.parameters(hidden), ffn.active_parameters(hidden)
    assert active <= total
    assert (active == total) == (ffn.top_k == ffn.experts)
    more = replace(ffn, experts=ffn.experts + grow)
    assert more.parameters(hidden) > total
    assert more.active_parameters(hidden) > active  # the router grows
    assert replace(ffn, top_k=ffn.experts).active_parameters(hidden) == total
    assert replace(ffn, width=ffn.width + grow).active_parameters(hidden) > active
    assert replace(ffn, shared=ffn.shared + 1).active_parameters(hidden) > active


@given(hidden=SIZE, heads=SIZE, width=SIZE, experts=st.integers(min_value=2, max_value=16), grow=GROW)
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
