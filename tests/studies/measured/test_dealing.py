"""How benchmarks of experts deal tokens out: against totals, dealing token by token, and drawing it all again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine.ops import Op
from roofline.machine.chip import EXPERTS as EXPERT_KERNELS
from roofline.studies.measured import kernels
from roofline.studies.measured.dealing import Deal, Share, share
from roofline.studies.measured.table import KERNELS, case_of

TOKENS = np.array([64.0, 4096.0])
EXPERTS, TOP_K = np.array([128.0, 128.0]), np.array([8.0, 8.0])
SHAPES = st.sampled_from([(8, 2), (16, 1), (128, 8), (160, 8), (256, 6), (257, 9)])


def one(deal: Deal, tokens: float, experts: float, top_k: float, ranks: float) -> tuple[float, float, float]:
    found = share(deal, np.array([tokens]), np.array([experts]), np.array([top_k]), np.array([ranks]))
    return tuple(float(np.asarray(value)[0]) for value in (found.rows, found.touched, found.tokens))  # type: ignore[return-value]


@pytest.mark.parametrize("deal", ["even", "random", "skewed"])
def test_one_rank_gets_every_copy_of_every_token(deal: Deal) -> None:
    found = share(deal, TOKENS, EXPERTS, TOP_K, np.ones(2))
    assert found.rows == pytest.approx(TOKENS * TOP_K)
    assert found.tokens == pytest.approx(TOKENS, rel=0.02)
    assert np.all(found.touched <= EXPERTS)
    assert np.all(found.touched >= TOP_K)


def test_even_and_random_deals_give_each_rank_its_share() -> None:
    for deal in ("even", "random"):
        found: Share = share(deal, TOKENS, EXPERTS, TOP_K, np.array([8.0, 8.0]))
        assert found.rows == pytest.approx(TOKENS * TOP_K / 8)
        assert found.touched == pytest.approx([16.0, 16.0], rel=0.02)


@given(shape=SHAPES, tokens=st.integers(min_value=1, max_value=600), ranks=st.sampled_from([1, 2, 4, 8]))
def test_an_even_deal_is_that_of_token_after_token(shape: tuple[int, int], tokens: int, ranks: int) -> None:
    experts, top_k = shape
    stride = math.ceil(experts / top_k)
    rows, own = 0, 0
    touched: set[int] = set()
    for token in range(tokens):
        first = token if tokens >= stride else token * stride / tokens
        chosen = [int(first + turn * stride) % experts for turn in range(top_k)]
        mine = [expert for expert in chosen if expert < experts / ranks]
        rows, own, touched = rows + len(mine), own + bool(mine), touched | set(mine)
    assert one("even", tokens, experts, top_k, ranks) == (rows, len(touched), own)


def test_a_few_tokens_still_choose_a_whole_expert_of_the_first_rank() -> None:
    """Two tokens, 16 experts on eight ranks: an eighth of the rows would be a quarter of an expert."""
    assert one("even", 2.0, 16.0, 1.0, 8.0) == (1.0, 1.0, 1.0)
    assert one("skewed", 2.0, 16.0, 1.0, 8.0) == pytest.approx((1.0, 1.0, 1.0), rel=0.2)
    assert one("skewed", 1.0, 256.0, 8.0, 1.0) == (8.0, 8.0, 1.0)


def test_a_random_deal_is_what_drawing_gives_on_average() -> None:
    generator, (experts, top_k, ranks, tokens) = np.random.default_rng(3), (64, 4, 8, 24)
    counted = []
    for _ in range(2000):
        chosen = np.array([generator.choice(experts, top_k, replace=False) for _ in range(tokens)])
        mine = chosen < experts / ranks
        counted.append((mine.sum(), np.unique(chosen[mine]).size, mine.any(axis=1).sum()))
    assert one("random", tokens, experts, top_k, ranks) == pytest.approx(np.mean(counted, axis=0), rel=0.03)


@given(ranks=st.sampled_from([2, 4, 8, 16, 32, 64, 128]), tokens=st.integers(min_value=1, max_value=16384))
def test_the_busiest_rank_has_its_share_or_more_and_no_more_than_all(ranks: int, tokens: int) -> None:
    rows, touched, own = one("skewed", tokens, 128.0, 8.0, ranks)
    assert tokens * 8.0 / ranks * (1.0 - 1e-9) <= rows <= tokens * min(8.0, 128.0 / ranks)
    assert 1.0 <= touched <= min(128 / ranks, rows)
    assert rows / 8.0 * (1.0 - 1e-9) <= own <= min(tokens, rows)


def test_the_busiest_of_many_ranks_has_the_largest_of_uniform_logarithms() -> None:
    """One expert a rank: the largest of 128 loads from 1 to .8 n tokens, over their mean (.8 n - 1)/ln(.8 n)."""
    tokens, most = 8192.0, 0.8 * 8192.0
    generator = np.random.default_rng(7)
    largest = np.mean(np.max(most ** generator.random((4000, 128)), axis=1))
    mean = (most - 1.0) / np.log(most)
    rows, _, own = one("skewed", tokens, 128.0, 8.0, 128.0)
    assert rows == pytest.approx(tokens * 8.0 / 128 * largest / mean, rel=0.05)
    assert own == pytest.approx(rows, rel=1e-4)  # a token chooses an expert once


# -- what kernels make of rows for experts of other ranks


def priced(catalog: Catalog, software: str, ranks: int, **sizes: str) -> dict[str, Op]:
    row = {
        "id": "a", "chip": "h100-sxm", "num_chips": "1", "op": "moe_gemm", "dtype": "bf16", "m": "1024", "n": "512",
        "k": "2048", "latency_us": "90", "software": software, "source": "ai-dynamo/aiconfigurator:moe.parquet",
        "note": f"E=128; topk=8; tp=1; ep={ranks}; dist=balanced", **sizes,
    }  # fmt: skip
    (bench, cases), *_ = kernels.group([case_of(row, KERNELS)], catalog)[0].items()
    return {op.name: op for op in kernels.OPERATORS["moe_gemm"](bench, cases)}


def rows(op: Op) -> float:
    return float(np.asarray(op.terms["m"])[0])


@pytest.mark.parametrize(
    ("software", "passed", "multiplied"),
    [
        ("TRTLLM 1.3 moe_torch_flow_cutlass", 512.0, 512.0),
        ("VLLM 0.24.0 vllm_unquantizedfusedmoe_triton_tritonexperts", 8192.0, 512.0),
        ("SGLang 0.5.14 sglang_fused_moe_triton", 4096.0, 4096.0),
    ],
)
def test_rows_for_other_ranks_are_absent_passed_over_or_multiplied(
    catalog: Catalog, software: str, passed: float, multiplied: float
) -> None:
    """Of 1024 tokens with 8 choices among 128 experts, 512 have one of the first eight: 512 rows on this rank of 16."""
    found = priced(catalog, software, 16)
    assert rows(found["moe/activation"]) == passed
    assert {rows(op) for op in found.values() if op.kind == EXPERT_KERNELS} == {multiplied}


def test_experts_without_a_gate_make_one_product_before_the_last(catalog: Catalog) -> None:
    """Nemotron 3's square what is above zero: two products of a token, where others make three."""
    found = [priced(catalog, software, 1, n="1856", k="2688") for software in ("SGLang 0.5.14 x", "SGLang 0.5.10 x")]
    up, gated = (float(np.asarray(op["moe/up"].flops)[0]) for op in found)
    assert gated == 2.0 * up
    assert [float(np.asarray(op["moe/down"].flops)[0]) for op in found] == [up, up]


@pytest.mark.parametrize(
    "software", ["TRTLLM 1", "VLLM 0.24.0 vllm_fused_moe", "SGLang 0.5.14 sglang_fused_moe_triton"]
)
def test_a_single_rank_has_no_others(catalog: Catalog, software: str) -> None:
    assert {rows(op) for op in priced(catalog, software, 1).values()} == {8192.0}
