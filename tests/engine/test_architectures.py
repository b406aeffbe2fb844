"""Lowering and memory of every shipped model, against its parameters; and what sparse, latent and parallel layers save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from roofline.catalog.store import KINDS, Catalog
from roofline.engine import memory
from roofline.engine.lower import Pass, lower
from roofline.engine.ops import Op
from roofline.engine.training.activations import Micro, needed
from roofline.workload import (
    Attention,
    Block,
    CompressedAttention,
    DenseFFN,
    Model,
    Plan,
    Precision,
    Selection,
    Training,
)

MODELS = sorted(Catalog().files(KINDS["model"]))
BF16 = Precision()
ONE = Plan()


def decode(model: Model, context: float, plan: Plan = ONE) -> list[Op]:
    """One decode step of one sequence."""
    return lower(model, BF16, plan, Pass(sequences=1.0, context=context, decode=True))


def prefill(model: Model, tokens: float) -> list[Op]:
    """A whole prompt of one sequence."""
    return lower(model, BF16, ONE, Pass(sequences=1.0, new=tokens))


def total(operators: Sequence[Op], field: str, *names: str) -> float:
    """Sum of a field over the operators whose names end so (all without a name)."""
    return sum(float(getattr(op, field) * op.count) for op in operators if not names or op.name.endswith(names))


@pytest.mark.parametrize("name", MODELS)
def test_a_token_is_multiplied_with_every_active_parameter(catalog: Catalog, name: str) -> None:
    """Two FLOP for each parameter but the token table's (unless it is the head too), tables of positions and vectors."""
    model = catalog.model(name)
    products = sum(float(op.flops * op.count) for op in decode(model, 0.0) if "w" in op.terms and "n" in op.terms)
    tables = (0.0 if model.tied_embeddings else model.embedding_parameters) + model.learned_positions * model.hidden
    assert products / 2.0 == pytest.approx(model.active_parameters - tables, rel=4e-3)


@pytest.mark.parametrize("name", MODELS)
def test_one_chip_holds_every_parameter(catalog: Catalog, name: str) -> None:
    model = catalog.model(name)
    assert float(memory.parameters_per_chip(model, ONE)) == pytest.approx(model.parameters, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_one_chip_holds_every_cached_value(catalog: Catalog, name: str) -> None:
    model, context = catalog.model(name), 128.0
    states = sum(
        block.count * block.mixer.state * 4.0
        for block in model.blocks
        if block.mixer and not hasattr(block.mixer, "cache_values")
    )
    cached = sum(
        block.count * float(block.mixer.cache_values(context)) * 2.0
        for block in model.blocks
        if block.mixer and hasattr(block.mixer, "cache_values")
    )
    assert float(memory.cache_bytes_per_sequence(model, BF16, ONE, context)) == pytest.approx(states + cached)


@pytest.mark.parametrize("name", ["deepseek-v3.2", "glm-5", "glm-5.2", "minimax-m3", "deepseek-v4-flash"])
def test_attention_to_a_selection_costs_the_same_however_long_the_context(catalog: Catalog, name: str) -> None:
    model = catalog.model(name)
    last = replace(model, blocks=model.blocks[-1:] if name != "deepseek-v4-flash" else model.blocks[1:2])
    short, long = decode(last, 100_000.0), decode(last, 900_000.0)
    assert total(long, "flops", "attention/core") == total(short, "flops", "attention/core") > 0


def test_an_indexer_reads_one_small_key_of_every_token(catalog: Catalog) -> None:
    """128 values of 2 bytes a token and layer, where attention to all would read 576."""
    model = catalog.model("deepseek-v3.2")
    assert total(decode(model, 100_000.0), "read", "index/scores") == pytest.approx(61 * 100_000 * 128 * 2, rel=1e-3)


def test_layers_that_take_over_a_choice_do_not_score(catalog: Catalog) -> None:
    operators = decode(catalog.model("glm-5.2"), 100_000.0)
    assert sum(float(op.count) for op in operators if op.name.endswith("index/scores")) == 21


def test_an_indexer_is_whole_on_every_rank(catalog: Catalog) -> None:
    model = catalog.model("deepseek-v3.2")
    alone, spread = decode(model, 1e5), decode(model, 1e5, Plan(tp=8.0))
    assert total(alone, "flops", "index/scores") == total(spread, "flops", "index/scores")


def test_a_compressor_makes_the_cache_small(catalog: Catalog) -> None:
    """At a million tokens DeepSeek-V4 keeps a fifteenth of what DeepSeek-V3 does, and a ninth of what V3.2 reads."""
    old, new = catalog.model("deepseek-v3"), catalog.model("deepseek-v4-pro")
    ratio = memory.cache_bytes_per_sequence(new, BF16, ONE, 1e6) / memory.cache_bytes_per_sequence(old, BF16, ONE, 1e6)
    assert float(ratio) == pytest.approx((30 * 640 / 4 + 31 * 512 / 128) / (61 * 576), rel=2e-3)


def test_compressed_prefill_scores_every_group_and_attends_to_some() -> None:
    mixer = CompressedAttention(
        heads=8, head_dim=64, q_lora_rank=32, output_groups=2, output_lora_rank=16, window=16, ratio=4,
        selection=Selection(top_k=8, heads=4, head_dim=16),
    )  # fmt: skip
    model = Model(id="m", name="M", hidden=128, vocab=100, blocks=(Block(count=1, mixer=mixer),))
    operators = prefill(model, 100.0)
    groups = [(position + 1) // 4 for position in range(100)]
    near = sum(min(position + 1, 16) for position in range(100))
    assert total(operators, "flops", "index/scores") == 2 * 4 * 16 * sum(groups)
    assert total(operators, "flops", "attention/core") == 2 * 8 * (64 + 64) * (near + sum(min(g, 8) for g in groups))


def test_experts_on_a_latent_move_less(catalog: Catalog) -> None:
    """Nemotron 3 Super: 22 experts of [1024, 2688] twice, where experts on the model's 4,096 would read four times that."""
    operators = decode(catalog.model("nemotron-3-super-120b"), 0.0)
    expected = 40 * 22 * 2 * 1024 * 2688 * 2
    assert total(operators, "read", "moe/up", "moe/down") == pytest.approx(expected, rel=2e-3)


def test_parallel_layers_reduce_once() -> None:
    block = Block(count=3, mixer=Attention(heads=8, kv_heads=8, head_dim=8), ffn=DenseFFN(width=256), norms=1)
    model = Model(id="m", name="M", hidden=64, vocab=100, blocks=(block,))
    side_by_side = replace(model, blocks=(replace(block, parallel=True),))
    plan = Plan(tp=4.0)
    assert [
        sum(float(op.count) for op in decode(shape, 10.0, plan) if op.name.endswith("/all-reduce"))
        for shape in (model, side_by_side)
    ] == [6, 3]


def test_parallel_layers_keep_one_input_for_their_backward_pass() -> None:
    block = Block(count=1, mixer=Attention(heads=8, kv_heads=8, head_dim=8), ffn=DenseFFN(width=256), norms=1)
    model = Model(id="m", name="M", hidden=64, vocab=100, blocks=(block,))
    job = Training(id="t", model=model, tokens=1e9, seq_len=100.0, global_batch=1.0)
    micro = Micro.of(job, ONE, BF16)
    apart, together = (needed(micro, shape) for shape in (block, replace(block, parallel=True)))
    assert float(apart - together) == 100 * 2 * 64
