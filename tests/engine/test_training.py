"""Training against the field's closed forms."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Phase, Prediction
from roofline.engine.training.schedule import Stages
from roofline.machine import Chip, Link, Memory, Peak, Stack
from roofline.workload import MLA, Attention, Plan, Training

IDEAL = Stack(id="ideal", name="none")
CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15), "fp16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e15, bandwidth=1e15),),
    links=(
        Link(name="near", scope="scale-up", bandwidth=1e15, chips=8.0),
        Link(name="far", scope="scale-out", bandwidth=1e15),
    ),
)


def job(catalog: Catalog, name: str = "llama-3.1-8b", batch: float = 64.0, seq: float = 4096.0) -> Training:
    return Training(id="t", model=catalog.model(name), tokens=1e12, seq_len=seq, global_batch=batch)


def run(work: Training, chip: Chip = CHIP, **plan: object) -> Prediction:
    degrees = Plan(**plan)  # type: ignore[arg-type]
    chips = int(degrees.num_chips)
    return training.predict(work, Deployment(chip=chip, num_chips=chips, stack=IDEAL, plan=degrees))


def step(work: Training, chip: Chip = CHIP, **plan: object) -> Phase:
    return run(work, chip, **plan).phases[0]


def score_width(mixer: object) -> int:
    """Width of all scores and values of one query."""
    if isinstance(mixer, MLA):
        return mixer.heads * (mixer.nope_dim + mixer.rope_dim + mixer.v_dim)
    return 2 * mixer.heads * mixer.head_dim if isinstance(mixer, Attention) else 0


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-405b", "mixtral-8x7b", "deepseek-v3", "gpt-3-175b"])
def test_useful_flops_are_six_n_and_causal_attention(catalog: Catalog, name: str) -> None:
    """6·N per token (Kaplan et al. 2020) and 6·L·heads·width·seq for causal scores and values."""
    work = job(catalog, name, batch=8.0, seq=2048.0)
    model = work.model
    weights = model.active_parameters - model.embedding_parameters
    if model.learned_positions:
        weights = model.parameters - model.learned_positions * model.hidden  # the tied table is the output matrix
    scores = sum(3 * block.count * score_width(block.mixer) * 2048.0 for block in model.blocks)
    expected = (6 * weights + scores) * 8 * 2048
    assert float(step(work).useful_flops) == pytest.approx(expected, rel=4e-3)


def test_the_scaling_books_llama_run(catalog: Catalog) -> None:
    """15T tokens at 6·70e9 FLOP take 44 days on 8,960 TPU v5p at 40 % (scaling-book, "Training LLaMA 3 on TPUs")."""
    useful = float(step(job(catalog, "llama-3.1-70b", batch=8.0, seq=4096.0)).useful_flops) / (8 * 4096)
    days = useful * 15e12 / (8960 * 4.59e14 * 0.4) / 86400
    assert days == pytest.approx(44, rel=0.09)  # ours counts causal attention as well


def test_the_bubble_is_pp_minus_one_over_m_v(catalog: Catalog) -> None:
    """Narayanan et al. 2021, section 2.2: interleaving v chunks divides the bubble by v. 32 layers over 4 stages, without
    the output matrix, which would make stages uneven."""
    work = job(catalog, batch=16.0)
    work = replace(work, model=replace(work.model, vocab=1))
    chip = replace(CHIP, memory=(Memory(name="HBM", capacity=1e15, bandwidth=1e20),))
    work_time = float(step(work, chip, pp=1.0).time) / 4
    for chunks in (1.0, 2.0, 4.0):
        staged = float(step(work, chip, pp=4.0, vpp=chunks).time)
        assert staged / work_time == pytest.approx(1 + 3 / (16 * chunks), rel=1e-3)


def test_the_slowest_stage_sets_the_pace(catalog: Catalog) -> None:
    """The last stage has the output matrix besides its layers; all others wait for it, once for each micro-batch."""
    work = job(catalog, batch=64.0)
    chip = replace(CHIP, memory=(Memory(name="HBM", capacity=1e15, bandwidth=1e20),))
    whole = step(work, chip)
    head = sum(float(item.time) for item in whole.operators if "/head/" in item.op.name) / 64
    layers = float(whole.time) / 64 - head
    staged = float(step(work, chip, pp=4.0).time)
    assert staged == pytest.approx(64 * (layers / 4 + head) + 3 * layers / 4, rel=1e-3)


def test_what_does_not_divide_leaves_the_last_stage_fewer_layers(catalog: Catalog) -> None:
    """126 layers over 8 stages: seven of 16 and one of 14, which has the output matrix as well."""
    stages = Stages.of(catalog.model("llama-3.1-405b"), Plan(pp=8.0))
    assert (float(stages.fullest) * 126, float(stages.last) * 126) == pytest.approx((16, 14))


def test_gradients_of_weights_fill_the_bubble(catalog: Catalog) -> None:
    """ZB-H1 (Qi et al. 2023, table 1): (p − 1)(F + B − W) instead of (p − 1)(F + B + W), a third for equal thirds."""
    work = job(catalog, batch=16.0, seq=128.0)
    work = replace(work, model=replace(work.model, vocab=1))
    chip = replace(CHIP, memory=(Memory(name="HBM", capacity=1e15, bandwidth=1e20),))
    waits = [
        sum(
            float(item.time) for item in step(work, chip, pp=4.0, schedule=name).operators
            if item.op.name == "pipeline/bubble"
        )
        for name in ("1f1b", "zero-bubble")
    ]  # fmt: skip
    assert waits[1] / waits[0] == pytest.approx(1 / 3, rel=0.02)


def test_replicas_divide_the_step(catalog: Catalog) -> None:
    work = job(catalog)
    assert float(step(work).time) / float(step(work, dp=8.0).time) == pytest.approx(8.0, rel=0.02)


def test_full_recomputation_costs_a_third_of_the_layers_products(catalog: Catalog) -> None:
    """8N instead of 6N (Megatron-LM's hardware FLOPs), for the layers; useful FLOPs stay."""
    work = job(catalog, "llama-3.1-405b", batch=1.0, seq=128.0)
    none, full = step(work, recompute="none"), step(work, recompute="full")
    assert float(full.flops) / float(none.flops) == pytest.approx(4 / 3, rel=0.02)
    assert float(full.useful_flops) == float(none.useful_flops)


@given(batch=st.sampled_from([8.0, 64.0]), seq=st.sampled_from([512.0, 8192.0]))
def test_recomputation_orders(batch: float, seq: float) -> None:
    """Time: none ≤ selective ≤ full; memory the other way round."""
    work = job(Catalog(), batch=batch, seq=seq)
    found = [run(work, recompute=mode) for mode in ("none", "selective", "full")]
    times = [float(item.phases[0].time) for item in found]
    held = [float(item.memory.activations) for item in found]
    assert times == sorted(times)
    assert held == sorted(held, reverse=True)


def test_gradients_hide_behind_the_backward_pass(catalog: Catalog) -> None:
    """A fast network is free, a slow one is paid for what the last micro-batch can't hide."""
    work = job(catalog, batch=64.0)
    links = {"near": 1e15, "far": 1e15}
    fast = float(step(work, dp=16.0).time)
    slow_chip = replace(CHIP, links=tuple(replace(link, bandwidth=links[link.name] / 1e6) for link in CHIP.links))
    slow = step(work, slow_chip, dp=16.0)
    messages = sum(float(item.taken) for item in slow.operators if item.op.name.startswith("gradients/"))
    assert fast < float(slow.time) < fast + messages
    no_overlap = replace(IDEAL, overlaps={"data": 0.0})
    exposed = training.predict(
        work, Deployment(chip=slow_chip, num_chips=16, stack=no_overlap, plan=Plan(dp=16.0))
    ).phases[0]
    assert float(exposed.time) == pytest.approx(fast + messages, rel=0.01)


def test_zero_moves_what_it_should(catalog: Catalog) -> None:
    """All-reduce sends 2Ψ; ZeRO-1 as much; ZeRO-3 gathers twice (Rajbhandari et al. 2020, section 7)."""
    work = job(catalog, batch=16.0)

    def messages(zero: float) -> dict[str, float]:
        found = step(work, dp=16.0, zero=zero).operators
        return {
            item.op.name: float(item.op.count) for item in found if item.op.message is not None and item.op.count > 0
        }

    assert set(messages(0.0)) == {"gradients/all-reduce"}
    assert set(messages(1.0)) == {"gradients/reduce-scatter", "weights/all-gather"}
    assert messages(3.0) == {"gradients/reduce-scatter": 1.0, "weights/gather-layers": 2.0}


def test_context_parallel_ranks_share_the_attention(catalog: Catalog) -> None:
    """Causal pairs of the whole sequence are dealt evenly."""
    work = job(catalog, batch=1.0, seq=65536.0)
    one, four = step(work), step(work, cp=4.0)
    for name in ("forward/attention/core", "forward/ffn/up"):
        flops = [
            next(float(item.op.flops) for item in phase.operators if item.op.name == name) for phase in (one, four)
        ]
        assert flops[0] / flops[1] == pytest.approx(4.0, rel=1e-9)


def test_ranks_exchange_tokens_for_heads(catalog: Catalog) -> None:
    """Queries, keys, values and outputs of a rank's own tokens, there and back: 4·s·h/n where heads are all alike, as
    long sequences and ranks grow together (Jacobs et al. 2023, arXiv 2309.14509, section 3.2)."""
    work = job(catalog, "gpt-3-175b", batch=1.0, seq=8192.0)
    found = step(work, cp=4.0, context="all-to-all").operators
    messages = {item.op.name: item for item in found if item.op.name.endswith("context/exchange")}
    assert set(messages) == {"forward/context/exchange", "backward/context/exchange"}
    for item in messages.values():
        assert item.op.message is not None
        assert item.op.message.algorithm == "all-to-all"
        assert float(item.op.message.size * item.op.count) == 96 * 4 * 8192 / 4 * 12288 * 2


def test_a_fused_loss_reads_logits_as_they_are(catalog: Catalog) -> None:
    work = job(catalog)
    plain, fused = (
        next(
            float(item.op.bytes) for item in step(work, fused_loss=on).operators if item.op.name == "forward/head/loss"
        )
        for on in (False, True)
    )
    assert plain == 2 * fused


def test_time_to_train_is_tokens_over_rate(catalog: Catalog) -> None:
    metrics = run(job(catalog)).metrics
    assert float(metrics["time_to_train_s"]) == pytest.approx(1e12 / float(metrics["tokens_per_s"]))  # type: ignore[arg-type]
    assert 0 < float(metrics["mfu"]) <= 1  # type: ignore[arg-type]


def test_nothing_beats_the_ideal(catalog: Catalog) -> None:
    for phase in (step(job(catalog)), step(job(catalog), tp=4.0, pp=2.0), step(job(catalog), dp=8.0, zero=3.0)):
        assert float(phase.ideal_time) <= float(phase.time)
        assert float(phase.ideal_time) * 1e15 * (1 + 1e-9) >= float(phase.useful_flops)
