"""Parameters and caches from the shape alone, against the real classes and second derivations."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.workload import (
    MLA,
    Attention,
    Block,
    CompressedAttention,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Mamba2,
    Model,
    MoE,
    Selection,
)
from roofline.workload.model import Mixer

# `total_b` and `active_b`: a second derivation from the shape by other hands, in billions. `counted`: parameters of the
# classes of transformers 5.24, instantiated from these shapes on its meta device; the routers' corrections, one per
# expert, are buffers there and added. The class of MiniMax-M3 is the only derivation of its indexers.
with (Path(__file__).parent / "parameters.csv").open(encoding="utf-8", newline="") as file:
    ROWS = {row["id"]: row for row in csv.DictReader(file)}
COUNTED = {name: int(row["counted"]) for name, row in ROWS.items() if row["counted"]}

# What the classes have and the shapes leave out (or, below zero, the other way round).
LEFT_OUT = {
    "phi-2": 51_200,  # the bias of the output matrix
    "phi-3.5-moe": 32_064,
    "bloom-7b1": 2 * 4096,  # the norm after the token table
    "bloom-176b": 2 * 14336,
    "jamba-v0.1": 28 * (256 + 2 * 16),  # the norms of dt, B and C
    "jamba-1.5-mini": 28 * (256 + 2 * 16),
    "jamba-1.5-large": 63 * (512 + 2 * 16),
    "minimax-m3": -57 * 4 * 6144,  # its indexers do not weigh their heads
    # two mixers of four residual streams a layer and one at the end; the first three routers choose by token, uncorrected
    "deepseek-v4-pro": 61 * 2 * (24 * 4 * 7168 + 24 + 3) + (4 * 4 * 7168 + 4 + 1) - 3 * 384,
    "deepseek-v4-flash": 43 * 2 * (24 * 4 * 4096 + 24 + 3) + (4 * 4 * 4096 + 4 + 1) - 3 * 256,
}


def test_every_shipped_model_is_counted(catalog: Catalog) -> None:
    assert sorted(catalog.files(KINDS["model"])) == sorted(ROWS)


@pytest.mark.parametrize(("name", "counted"), list(COUNTED.items()))
def test_parameters_are_those_of_the_real_classes(catalog: Catalog, name: str, counted: int) -> None:
    assert catalog.model(name).parameters + LEFT_OUT.get(name, 0) == counted


@pytest.mark.parametrize("name", sorted(ROWS))
def test_all_parameters_agree_with_a_second_derivation(catalog: Catalog, name: str) -> None:
    assert catalog.model(name).parameters == pytest.approx(float(ROWS[name]["total_b"]) * 1e9, rel=5e-3)


@pytest.mark.parametrize("name", sorted(name for name, row in ROWS.items() if row["active_b"]))
def test_active_parameters_agree_with_a_second_derivation(catalog: Catalog, name: str) -> None:
    assert catalog.model(name).active_parameters == pytest.approx(float(ROWS[name]["active_b"]) * 1e9, rel=5e-4)


# What one token leaves idle: layers x experts it does not visit x matrices of an expert (with the biases of gpt-oss).
IDLE = {
    "mixtral-8x7b": 32 * (8 - 2) * 3 * 4096 * 14336,
    "qwen3-235b-a22b": 94 * (128 - 8) * 3 * 4096 * 1536,
    "gpt-oss-120b": 36 * (128 - 4) * (3 * 2880 * 2880 + 2 * 2880 + 2880),
    "deepseek-v3": 58 * (256 - 8) * 3 * 7168 * 2048,
    "deepseek-r1": 58 * (256 - 8) * 3 * 7168 * 2048,
    "qwen3-next-80b": 48 * (512 - 10) * 3 * 2048 * 512,
    "nemotron-3-super-120b": 40 * (512 - 22) * 2 * 1024 * 2688,  # on a latent of 1,024
    "llama-3.1-70b": 0,
}


@pytest.mark.parametrize("name", sorted(IDLE))
def test_active_parameters_are_all_but_the_idle_experts(catalog: Catalog, name: str) -> None:
    assert catalog.model(name).active_parameters == COUNTED[name] - IDLE[name]


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


def test_deepseek_v32_by_hand(catalog: Catalog) -> None:
    """DeepSeek-V3 with an indexer in each of 61 layers: 64 heads of 128 from the queries' latent, one key and its norm."""
    indexer = 1536 * 64 * 128 + 7168 * 128 + 2 * 128 + 7168 * 64
    assert catalog.model("deepseek-v3.2").parameters == catalog.model("deepseek-v3").parameters + 61 * indexer


def test_palm_by_hand(catalog: Catalog) -> None:
    """Its report, table 1: 540.35B. One kv head, three ffn matrices of 4h, one norm a layer, one table."""
    h, heads = 18432, 48 * 256
    layer = 2 * h * heads + 2 * h * 256 + 3 * h * 4 * h + h
    assert catalog.model("palm-540b").parameters == 118 * layer + 256000 * h + h


def test_values_may_be_narrower_than_keys(catalog: Catalog) -> None:
    """MiMo-V2-Flash: 64 heads, keys of 192, values of 128; four kv heads in full layers, eight in sliding ones."""
    h = 4096
    full = h * 64 * 192 + h * 4 * (192 + 128) + 64 * 128 * h
    sliding = h * 64 * 192 + h * 8 * (192 + 128) + 64 * 128 * h + 64  # and sinks
    model = catalog.model("mimo-v2-flash")
    mixers = [block.mixer for block in model.blocks]
    assert [mixer.parameters(h) for mixer in mixers if mixer] == [full, full, sliding]


def test_values_may_be_made_of_keys() -> None:
    """Gemma 4: no projection of values, though they are cached beside the keys."""
    apart = Attention(heads=32, kv_heads=4, head_dim=512)
    tied = replace(apart, tied_values=True)
    assert apart.parameters(5376) - tied.parameters(5376) == 5376 * 4 * 512
    assert apart.cache_per_token == tied.cache_per_token == 2 * 4 * 512


def test_a_gate_is_as_wide_as_the_outputs_or_has_one_value_per_head() -> None:
    plain = Attention(heads=8, kv_heads=2, head_dim=16, v_dim=4)
    assert replace(plain, gated=True).parameters(64) - plain.parameters(64) == 64 * 8 * 4
    assert replace(plain, gated="heads").parameters(64) - plain.parameters(64) == 64 * 8


def test_norms_of_queries_and_keys_span_one_head_or_all() -> None:
    plain = Attention(heads=8, kv_heads=2, head_dim=16)
    assert replace(plain, qk_norm=True).parameters(64) - plain.parameters(64) == 2 * 16
    assert replace(plain, qk_norm="all").parameters(64) - plain.parameters(64) == (8 + 2) * 16


def test_kimi_delta_attention_by_hand() -> None:
    """Kimi Linear's layer with a full gate: q, k, v, gate, output; rate per head; decay through 128; three convolutions."""
    h, heads, dim = 7168, 96, 128
    inner = heads * dim
    mixer = GatedDeltaNet(key_heads=heads, value_heads=heads, key_dim=dim, value_dim=dim, decay_rank=128)
    decay = h * 128 + 128 * inner + inner + heads
    assert mixer.parameters(h) == 4 * h * inner + inner * h + h * heads + decay + 3 * inner * 4 + dim


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
    "deepseek-v3.2": 61 * (512 + 64 + 128) * 2,  # latent, and the indexer's key: 85,888
    "glm-5.2": (78 * (512 + 64) + 21 * 128) * 2,  # an indexer in 21 of 78 layers: 95,232
    "mimo-v2-flash": (9 * 4 + 39 * 8) * (192 + 128) * 2,  # keys wider than values: 222,720
    "gemma-4-31b": (50 * 16 * 256 + 10 * 4 * 512) * 2 * 2,  # values kept though made of keys: 901,120
    "deepseek-v4-pro": (61 * 512 + 30 * (512 + 128) / 4 + 31 * 512 / 128) * 2,  # before the windows are full: 72,312
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
    "deepseek-v3.2": 61 * (512 + 64 + 128) * 2 * LONG,  # 8.6 GB: who attends to 2,048 tokens still keeps all
    "deepseek-v4-pro": 2 * (61 * 512 * 128 + 30 * 25_000 * (512 + 128) + 31 * 781 * 512),  # 0.99 GB
}


@pytest.mark.parametrize(("name", "expected"), list(LONG_CACHES.items()))
def test_windows_bound_the_cache(catalog: Catalog, name: str, expected: int) -> None:
    values = sum(
        block.count * float(block.mixer.cache_values(float(LONG)))
        for block in catalog.model(name).blocks
        if isinstance(block.mixer, (Attention, MLA, CompressedAttention))
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


@given(
    top_k=st.integers(min_value=1, max_value=40),
    context=st.integers(min_value=0, max_value=100),
    tokens=st.integers(min_value=1, max_value=100),
)
def test_a_selection_caps_what_each_token_sees(top_k: int, context: int, tokens: int) -> None:
    selection = Selection(top_k=top_k, heads=1, head_dim=4)
    expected = sum(min(position + 1, top_k) for position in range(context, context + tokens))
    mixers = (
        Attention(heads=2, kv_heads=1, head_dim=8, selection=selection),
        MLA(heads=2, q_lora_rank=4, kv_lora_rank=8, rope_dim=2, nope_dim=4, v_dim=4, selection=selection),
    )
    assert {float(mixer.pairs(float(context), float(tokens))) for mixer in mixers} == {expected}
    assert {float(mixer.cached(float(context))) for mixer in mixers} == {context}


@given(
    window=st.integers(min_value=1, max_value=40),
    ratio=st.integers(min_value=0, max_value=12),
    top_k=st.none() | st.integers(min_value=1, max_value=8),
    context=st.integers(min_value=0, max_value=100),
    tokens=st.integers(min_value=1, max_value=100),
)
def test_compressed_attention_sees_its_window_and_complete_groups(
    window: int, ratio: int, top_k: int | None, context: int, tokens: int
) -> None:
    selection = Selection(top_k=top_k, heads=1, head_dim=4) if top_k else None
    mixer = CompressedAttention(
        heads=2, head_dim=8, q_lora_rank=4, output_groups=1, output_lora_rank=4,
        window=window, ratio=ratio, selection=selection,
    )  # fmt: skip
    complete = [(position + 1) // ratio if ratio else 0 for position in range(context, context + tokens)]
    near = sum(min(position + 1, window) for position in range(context, context + tokens))
    far = sum(min(groups, top_k or groups) for groups in complete)
    assert float(mixer.pairs(float(context), float(tokens))) == near + far
    if ratio:
        assert float(mixer.scored(float(context), float(tokens))) == sum(complete)


def test_an_indexer_that_takes_over_a_choice_has_nothing_of_its_own() -> None:
    selection = Selection(top_k=2048)
    assert selection.parameters(6144, 2048) == selection.cache_per_token == 0


def test_latent_attention_sees_everything() -> None:
    mixer = MLA(heads=4, q_lora_rank=0, kv_lora_rank=16, rope_dim=4, nope_dim=8, v_dim=8)
    assert float(mixer.pairs(10.0, 3.0)) == 11 + 12 + 13
    assert mixer.cached(7.0) == 7.0


SIZE = st.integers(min_value=1, max_value=64)
GROW = st.integers(min_value=1, max_value=5)
SELECTION = st.builds(Selection, top_k=SIZE, heads=SIZE, head_dim=SIZE)
ATTENTION = st.builds(
    Attention,
    heads=SIZE,
    kv_heads=SIZE,
    head_dim=SIZE,
    bias=st.booleans(),
    output_bias=st.booleans(),
    qk_norm=st.sampled_from([False, True, "all"]),
    gated=st.sampled_from([False, True, "heads"]),
    sinks=st.booleans(),
    v_dim=st.integers(min_value=0, max_value=64),
    tied_values=st.booleans(),
    selection=st.none() | SELECTION,
)
MIXERS: dict[str, st.SearchStrategy[Mixer]] = {
    "heads kv_heads head_dim": ATTENTION,
    "heads q_lora_rank kv_lora_rank rope_dim nope_dim v_dim": st.builds(
        MLA,
        heads=SIZE,
        q_lora_rank=SIZE,
        kv_lora_rank=SIZE,
        rope_dim=SIZE,
        nope_dim=SIZE,
        v_dim=SIZE,
        gated=st.booleans(),
        selection=st.none() | SELECTION,
    ),
    "heads head_dim q_lora_rank output_groups output_lora_rank ratio": st.builds(
        CompressedAttention,
        heads=SIZE,
        head_dim=SIZE,
        q_lora_rank=SIZE,
        output_groups=SIZE,
        output_lora_rank=SIZE,
        window=SIZE,
        ratio=SIZE,
        overlap=st.booleans(),
        selection=st.none() | SELECTION,
    ),
    "inner state_dim dt_rank conv": st.builds(Mamba1, inner=SIZE, state_dim=SIZE, dt_rank=SIZE, conv=SIZE),
    "heads head_dim state_dim groups conv": st.builds(
        Mamba2, heads=SIZE, head_dim=SIZE, state_dim=SIZE, groups=SIZE, conv=SIZE
    ),
    "key_heads value_heads key_dim value_dim conv": st.builds(
        GatedDeltaNet, key_heads=SIZE, value_heads=SIZE, key_dim=SIZE, value_dim=SIZE, conv=SIZE
    ),
    "key_heads value_heads key_dim value_dim conv decay_rank": st.builds(
        GatedDeltaNet, key_heads=SIZE, value_heads=SIZE, key_dim=SIZE, value_dim=SIZE, conv=SIZE, decay_rank=SIZE
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
    latent=st.integers(min_value=0, max_value=8),
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
