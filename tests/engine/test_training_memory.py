"""Memory of training against published formulas and published measurements."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import training
from roofline.engine.memory import Memory
from roofline.engine.training.activations import Micro, kept
from roofline.engine.training.memory import loss, of_stage
from roofline.workload import MLA, Attention, Block, DenseFFN, Model, MoE, Plan, Precision, Training

GPT = "gpt-3-175b"
BF16 = Precision()


def job(model: Model, seq: float = 2048.0, batch: float = 64.0, *, dropout: bool = False) -> Training:
    return Training(id="t", model=model, tokens=1e12, seq_len=seq, global_batch=batch, dropout=dropout)


def needs(work: Training, plan: Plan, precision: Precision = BF16) -> Memory:
    return training.memory_needs(work, plan, precision)


# --- activations: Korthikanti et al. 2022, arXiv 2205.05198 ---------------------------------------------------------

# Table 2: s sequence, b micro-batch, h hidden, a heads, t tensor parallel.
S, B, H, A, T, L, V = 2048.0, 4.0, 12288.0, 96.0, 8.0, 96.0, 50257.0
PER_LAYER = {
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
}


@pytest.mark.parametrize(("plan", "expected"), list(PER_LAYER.values()), ids=list(PER_LAYER))
def test_activations_of_a_layer_are_megatrons_formula(catalog: Catalog, plan: Plan, expected: float) -> None:
    model = catalog.model(GPT)
    micro = Micro.of(job(model, S, dropout=True), replace(plan, flash=False), BF16)
    assert float(kept(micro, model.blocks[0])) == pytest.approx(expected, rel=1e-12)
    assert float(kept(micro, model.blocks[0], 1.0)) == S * B * H * 2 / float(micro.outside)  # made again


def test_flash_attention_keeps_no_scores(catalog: Catalog) -> None:
    model = catalog.model(GPT)
    micro = Micro.of(job(model, S, dropout=True), Plan(micro_batch=B, tp=T), BF16)
    assert float(kept(micro, model.blocks[0])) == pytest.approx(S * B * H * 34 / T, rel=1e-12)


def test_without_dropout_there_are_no_masks_and_one_copy_of_the_probabilities(catalog: Catalog) -> None:
    model = catalog.model(GPT)
    micro = Micro.of(job(model, S), Plan(micro_batch=B, flash=False), BF16)
    assert float(kept(micro, model.blocks[0])) == pytest.approx(S * B * H * (32 + 2 * A * S / H), rel=1e-12)


def test_context_parallel_ranks_keep_their_tokens(catalog: Catalog) -> None:
    """An even share; of scores their queries' rows; in exchange for heads a second copy of attention's output."""
    model = catalog.model(GPT)
    work = job(model, S)
    one, four, swapped = (
        float(kept(Micro.of(work, plan, BF16), model.blocks[0]))
        for plan in (Plan(flash=False), Plan(flash=False, cp=4.0), Plan(flash=False, cp=4.0, context="all-to-all"))
    )
    assert four == one / 4
    assert swapped - four == S / 4 * H * 2


@pytest.mark.parametrize("pp", [1.0, 8.0])
@pytest.mark.parametrize("vpp", [1.0, 3.0])
def test_all_activations_are_equations_five_and_six(catalog: Catalog, pp: float, vpp: float) -> None:
    """The first stage keeps L layers' worth whatever p is, 1 + (p − 1)/(p·m) times that if interleaved (section 4.2.3);
    a mask over the embedding for each micro-batch in flight, and with one stage 4·s·b·h·(1 + v/h)/t more (section 4.3),
    of which the logits are a buffer here, beside their gradient in 16 bits."""
    work = job(catalog.model(GPT), S, batch=256.0 * B, dropout=True)
    plan = Plan(micro_batch=B, tp=T, pp=pp, vpp=vpp, flash=False)
    factor = 1.0 + (pp - 1.0) / (pp * vpp) if vpp > 1.0 else 1.0
    expected = factor * (S * B * H * L / T * (34 + 5 * A * S / H) + S * B * H * pp / T)
    expected += 4.0 * S * B * H / T if pp == 1.0 else 0.0
    first = of_stage(work, plan, BF16, 0.0)
    assert float(first.activations) == pytest.approx(expected, rel=1e-12)
    logits, head, passed = S * B * V / T * (4.0 + 2.0), V * H / T * 2.0, 2.0 * S * B * H * 2.0
    assert float(loss(Micro.of(work, plan, BF16), BF16)) == pytest.approx(logits + head + passed, rel=1e-12)


def test_full_recomputation_keeps_inputs_and_makes_one_layer_again(catalog: Catalog) -> None:
    work = job(catalog.model(GPT), S, dropout=True)
    plan = Plan(micro_batch=B, tp=T, sequence_parallel=False, recompute="full")
    held = needs(work, plan)
    assert float(held.activations) == pytest.approx(S * B * H * (2 * L + 1 + 4), rel=1e-12)
    none = needs(work, replace(plan, recompute="none"))
    assert float(held.total) < float(none.total)
    assert float(held.buffers) > S * B * H * (10 + 24 / T)


def test_as_many_layers_are_recomputed_as_the_plan_says(catalog: Catalog) -> None:
    """Half of a stage's layers: half of what recomputing none and all keep."""
    work = job(catalog.model(GPT), S)
    plan = Plan(micro_batch=B, tp=T, pp=8.0, recompute="full")
    none, some, most, beyond = (
        float(of_stage(work, replace(plan, recompute_layers=layers), BF16, 0.0).activations)
        for layers in (0.0, 6.0, 12.0, np.inf)
    )
    assert some == pytest.approx((none + most) / 2.0, rel=1e-12)
    assert most == beyond < some < none
    assert none == float(of_stage(work, replace(plan, recompute="none"), BF16, 0.0).activations)


@given(batch=st.sampled_from([8.0, 64.0]), pp=st.sampled_from([1.0, 2.0, 8.0]))
def test_later_stages_keep_fewer_micro_batches(batch: float, pp: float) -> None:
    work = job(Catalog().model("llama-3.1-8b"), batch=batch)
    for vpp in (1.0, 2.0):
        held = [float(of_stage(work, Plan(pp=pp, vpp=vpp), BF16, index).activations) for index in np.arange(pp)]
        assert held[:-1] == sorted(held[:-1], reverse=True)


def test_narrow_products_keep_narrow_inputs(catalog: Catalog) -> None:
    """Two of 8h: Llama's norms' inputs stay in 16 bits, their outputs, attention's and the ffn's go to products in 8;
    attention's own output stays (Transformer Engine's documentation, "Performance considerations")."""
    model = catalog.model("llama-3.1-8b")
    wide, narrow = (
        float(kept(Micro.of(job(model), Plan(), Precision(activations=dtype)), model.blocks[0])) / 2048.0
        for dtype in ("bf16", "fp8")
    )
    assert wide - narrow == 2 * 4096 + 14336 - 4096  # two inputs and what the activation made; a copy of the output


def test_experts_keep_the_tokens_that_were_sent_to_them() -> None:
    """Of eight ranks each gets as many rows as it sends; cut into slices, each slice sees the rows of its whole group."""
    ffn = MoE(experts=8, top_k=2, width=512)
    model = Model(id="m", name="m", hidden=256, vocab=1000, blocks=(Block(count=1, ffn=ffn, norms=0),))
    router = 2048 * (2 * 256 + 4 * 8)
    rows = 2048 * 2
    for plan, expected in (
        (Plan(), rows * 2 * (256 + 3 * 512) + router),
        (Plan(ep=8.0, dp=8.0), rows * 2 * (256 + 3 * 512) + router),
        (Plan(tp=8.0), rows * 2 * (256 + 3 * 64) + router / 8),
        (Plan(tp=8.0, ep=8.0, expert_tp=1.0), rows / 8 * 2 * (256 + 3 * 512) + router / 8),
        (Plan(tp=8.0, sequence_parallel=False), rows * 2 * (256 + 3 * 64) + router),
    ):
        assert float(kept(Micro.of(job(model), plan, BF16), model.blocks[0])) == pytest.approx(expected, rel=1e-12)
    hot = replace(job(model), imbalance=1.5)
    even, uneven = (
        float(kept(Micro.of(work, Plan(ep=8.0, dp=8.0), BF16), model.blocks[0])) for work in (job(model), hot)
    )
    assert uneven - even == pytest.approx(0.5 * rows * 2 * (256 + 3 * 512), rel=1e-12)


# --- parameters -------------------------------------------------------------------------------------------------------


def test_adam_in_mixed_precision_takes_eighteen_bytes_a_parameter(catalog: Catalog) -> None:
    """2 weights, 4 gradients, 4 + 4 + 4 master weight and moments (Megatron-LM); ZeRO-1 divides the twelve."""
    model = catalog.model("llama-3.1-8b")
    whole = needs(job(model), Plan(zero=0.0))
    static = whole.weights + whole.gradients + whole.optimizer
    assert float(static) == pytest.approx(18 * model.parameters, rel=1e-12)
    sharded = needs(job(model), Plan(zero=1.0, dp=8.0))
    assert float(sharded.optimizer) == pytest.approx(12 / 8 * model.parameters, rel=1e-12)
    assert float(sharded.gradients) == float(whole.gradients)
    hybrid = needs(job(model), Plan(zero=3.0, dp=8.0, shard=4.0))
    assert float(hybrid.weights + hybrid.gradients + hybrid.optimizer) == pytest.approx(float(static) / 4, rel=1e-12)


def test_narrow_products_add_a_copy_of_the_weights(catalog: Catalog) -> None:
    """2 MB of a layer's weights and 1 MB in FP8 (Transformer Engine's documentation); tables stay as they are."""
    model = catalog.model("llama-3.1-8b")
    layers = model.parameters - model.outer_parameters
    wide = needs(job(model), Plan())
    for dtype, width in (("fp8", 1.0), ("mxfp8", 8.25 / 8), ("nvfp4", 4.5 / 8)):
        narrow = needs(job(model), Plan(), Precision(weights=dtype, activations=dtype))
        assert float(narrow.weights - wide.weights) == pytest.approx(width * layers, rel=1e-9)
        assert float(narrow.optimizer) == float(wide.optimizer)
        assert float(narrow.gradients) == float(wide.gradients)


def test_a_copy_no_wider_than_the_weights_is_none(catalog: Catalog) -> None:
    """Everything in fp32: 16 bytes, as in section 3.1 of ZeRO; in bf16 alone: 8."""
    model = catalog.model("llama-3.1-8b")
    pure = replace(job(model), gradients="bf16", master="bf16", moments="bf16")
    for work, dtype, expected in ((job(model), "fp32", 16), (pure, "bf16", 8)):
        held = needs(work, Plan(), Precision(weights=dtype, activations=dtype))
        assert float(held.weights + held.gradients + held.optimizer) == pytest.approx(expected * model.parameters)


@given(dp=st.sampled_from([1.0, 2.0, 8.0, 64.0]))
def test_more_sharding_never_keeps_more(dp: float) -> None:
    """Layers that ZeRO-3 has whole for a moment come on top."""
    work = job(Catalog().model("llama-3.1-8b"), 4096.0)
    held = [needs(work, Plan(zero=float(zero), dp=dp)) for zero in range(4)]
    kept_for_good = [float(item.total - item.buffers) for item in held]
    assert kept_for_good == sorted(kept_for_good, reverse=True)
    layer = 2.0 * (4096 * (4096 + 2048) + 4096 * 4096 + 3 * 4096 * 14336 + 2 * 4096)
    whole = of_stage(work, Plan(zero=3.0, dp=dp, pp=2.0), BF16, 0.0), of_stage(work, Plan(dp=dp, pp=2.0), BF16, 0.0)
    assert float(whole[0].buffers - whole[1].buffers) == pytest.approx(2 * layer, rel=1e-12)


def test_stages_hold_the_model_between_them(catalog: Catalog) -> None:
    """Leading dense layers are on the first stage alone: 3 dense and 13 others of 61, then 16, 16 and 13 of 58."""
    for name in ("deepseek-v3", "llama-3.1-70b", "gpt-3-175b", "qwen3-next-80b"):
        model = catalog.model(name)
        weights = [float(of_stage(job(model), Plan(pp=4.0), BF16, index).weights) for index in np.arange(4.0)]
        twice = model.embedding_parameters if model.tied_embeddings else 0.0  # the last stage has a copy of the table
        assert sum(weights) == pytest.approx(2 * (model.parameters + twice), rel=1e-9)
    held = needs(job(catalog.model("deepseek-v3"), batch=8.0), Plan(pp=4.0, recompute="full"))
    assert float(held.stage) == 1.0


def test_the_fullest_stage_is_named_elementwise(catalog: Catalog) -> None:
    """The last stage's logits and output matrix against what the first one keeps."""
    work = job(catalog.model("llama-3.1-8b"), 8192.0)
    held = needs(work, Plan(pp=np.array([1.0, 2.0, 8.0]), recompute="full"))
    alone = [needs(work, Plan(pp=pp, recompute="full")) for pp in (1.0, 2.0, 8.0)]
    assert np.asarray(held.stage).tolist() == [float(item.stage) for item in alone] == [0.0, 1.0, 7.0]
    assert np.asarray(held.total).tolist() == [float(item.total) for item in alone]


def test_what_is_offloaded_leaves_the_chip(catalog: Catalog) -> None:
    work = job(catalog.model("llama-3.1-8b"), 8192.0)
    here, away = needs(work, Plan()), needs(work, Plan(offload_activations=0.75, offload_optimizer=1.0))
    assert float(away.optimizer) == 0.0
    assert float(away.activations) == pytest.approx(float(here.activations) / 4)
    assert float(away.host) == pytest.approx(float(here.optimizer) + 0.75 * float(here.activations))
    assert float(away.total) < float(here.total) - 0.9 * float(away.host)


# --- measured -----------------------------------------------------------------------------------------------------------

# torch.cuda.max_memory_allocated on 8 B200, the most of all ranks [GiB], of Megatron-LM 23e00ed with Transformer Engine
# 2.11 in bf16: MooreThreads/SimuMax (Apache-2.0), docs/b200/b200_release_v1.2_summary.md@1b8ca90, and per rank in
# b200_release_v1.2_summary.json@e691807, from which `stages` are. Micro-batches of one sequence, distributed optimizer,
# no recomputation, fused cross-entropy, context parallelism by all-to-all. Shapes as in configs/models and
# simu_tools/megatron_scripts/scripts there: 12 layers of Llama 3 70B, 4 of Llama 3 405B (with 16 kv heads), DeepSeek-V2
# and V3 with one dense layer of 4.


def llama(hidden: int, heads: int, kv_heads: int, width: int, layers: int) -> Model:
    mixer = Attention(heads=heads, kv_heads=kv_heads, head_dim=128)
    block = Block(count=layers, mixer=mixer, ffn=DenseFFN(width=width))
    return Model(id="m", name="m", hidden=hidden, vocab=128256, blocks=(block,))


def deepseek(hidden: int, vocab: int, width: int, experts: MoE) -> Model:
    mixer = MLA(heads=128, q_lora_rank=1536, kv_lora_rank=512, rope_dim=64, nope_dim=128, v_dim=128)
    first, rest = Block(count=1, mixer=mixer, ffn=DenseFFN(width=width)), Block(count=3, mixer=mixer, ffn=experts)
    return Model(id="m", name="m", hidden=hidden, vocab=vocab, blocks=(first, rest))


L70 = llama(8192, 64, 8, 28672, 12)
L405 = llama(16384, 128, 16, 53248, 4)
DS2 = deepseek(5120, 102400, 12288, MoE(experts=160, top_k=6, width=1536, shared=2))
DS3 = deepseek(7168, 129280, 18432, MoE(experts=256, top_k=8, width=2048, shared=1))
MEASURED = {
    "llama3_70b_l12 tp1 pp2 dp4": (L70, Plan(pp=2.0, dp=4.0), 4096.0, 66.55),
    "llama3_70b_l12 tp2 dp4": (L70, Plan(tp=2.0, dp=4.0), 4096.0, 60.68),
    "llama3_70b_l12 tp4 dp2": (L70, Plan(tp=4.0, dp=2.0), 4096.0, 39.07),
    "llama3_70b_l12 tp8": (L70, Plan(tp=8.0), 4096.0, 28.29),
    "llama3_405b_l4 tp1 pp2 dp4": (L405, Plan(pp=2.0, dp=4.0), 4096.0, 87.08),
    "llama3_405b_l4 tp2 dp4": (L405, Plan(tp=2.0, dp=4.0), 4096.0, 81.59),
    "llama3_405b_l4 tp4 dp2": (L405, Plan(tp=4.0, dp=2.0), 4096.0, 52.89),
    "llama3_405b_l4 tp8": (L405, Plan(tp=8.0), 4096.0, 38.57),
    "llama3_70b_l12 tp2 cp4 32k": (L70, Plan(tp=2.0, cp=4.0), 32768.0, 68.43),
    "llama3_70b_l12 cp8 32k": (L70, Plan(cp=8.0), 32768.0, 104.51),
    "llama3_70b_l12 tp2 cp4 128k": (L70, Plan(tp=2.0, cp=4.0), 131072.0, 112.67),
    "llama3_70b_l12 cp8 128k": (L70, Plan(cp=8.0), 131072.0, 147.99),
    "llama3_405b_l4 tp2 cp4 32k": (L405, Plan(tp=2.0, cp=4.0), 32768.0, 87.03),
    "llama3_405b_l4 cp8 32k": (L405, Plan(cp=8.0), 32768.0, 139.22),
    "llama3_405b_l4 tp2 cp4 128k": (L405, Plan(tp=2.0, cp=4.0), 131072.0, 118.13),
    "deepseekv2_l4 ep8 dp8": (DS2, Plan(ep=8.0, dp=8.0), 4096.0, 45.63),
    "deepseekv2_l4 ep4 pp2 dp4": (DS2, Plan(ep=4.0, pp=2.0, dp=4.0), 4096.0, 44.70),
    "deepseekv3_l4 ep8 dp8": (DS3, Plan(ep=8.0, dp=8.0), 4096.0, 104.30),
    "deepseekv3_l4 ep4 pp2 dp4": (DS3, Plan(ep=4.0, pp=2.0, dp=4.0), 4096.0, 114.00),
}
AS_MEASURED = partial(replace, zero=1.0, fused_loss=True, context="all-to-all")


@pytest.mark.parametrize(("model", "plan", "seq", "measured"), list(MEASURED.values()), ids=list(MEASURED))
def test_memory_is_what_was_measured(model: Model, plan: Plan, seq: float, measured: float) -> None:
    """No constant is fitted: 0.1 to 0.9 % are missing, as workspaces of libraries would be."""
    held = needs(job(model, seq, batch=4.0 * float(plan.dp)), AS_MEASURED(plan))
    assert 0.99 < float(held.total) / 2**30 / measured < 1.0


# The other stage of two [MiB]. 1.6 and 2.4 % of DeepSeek's first stages are missing, which have two micro-batches in
# flight: 0.8 and 1.1 GiB, about two copies of the tokens sent to experts, whose holder is not known.
STAGES = {
    "llama3_70b_l12": (L70, Plan(pp=2.0, dp=4.0), 1.0, 64479.5, 0.01),
    "llama3_405b_l4": (L405, Plan(pp=2.0, dp=4.0), 0.0, 88688.9, 0.01),
    "deepseekv2_l4": (DS2, Plan(ep=4.0, pp=2.0, dp=4.0), 0.0, 32343.4, 0.025),
    "deepseekv3_l4": (DS3, Plan(ep=4.0, pp=2.0, dp=4.0), 0.0, 72948.5, 0.02),
}


@pytest.mark.parametrize(("model", "plan", "stage", "measured", "below"), list(STAGES.values()), ids=list(STAGES))
def test_the_other_stage_is_what_was_measured(
    model: Model, plan: Plan, stage: float, measured: float, below: float
) -> None:
    held = of_stage(job(model, 4096.0, batch=16.0), AS_MEASURED(plan), BF16, stage)
    assert -below < float(held.total) / 2**20 / measured - 1.0 < 0.0
    whole = needs(job(model, 4096.0, batch=16.0), AS_MEASURED(plan))
    assert float(whole.stage) == 1.0 - stage
