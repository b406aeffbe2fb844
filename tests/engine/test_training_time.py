"""The time of a training step: second derivations, and what must hold whatever the numbers are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Phase
from roofline.engine.training import passes
from roofline.machine import Chip, Link, Memory, Peak, Stack
from roofline.machine.chip import ATTENTION, EXPERTS, MATMUL
from roofline.machine.stack import PARALLEL
from roofline.workload import Plan, Precision, Training

IDEAL = Stack(id="ideal", name="none")
CATALOG = Catalog()
CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15), "fp16": Peak(dense=1e15), "fp8": Peak(dense=2e15)},
    vector=5e13,
    memory=(Memory(name="HBM", capacity=1e12, bandwidth=3e12),),
    links=(
        Link(name="near", scope="scale-up", bandwidth=4e11, chips=8.0, latency=2e-6),
        Link(name="far", scope="scale-out", bandwidth=5e10, latency=5e-6),
    ),
)
PLANS = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1.0, 2.0, 8.0]),
        "pp": st.sampled_from([1.0, 2.0, 8.0]),
        "dp": st.sampled_from([1.0, 4.0]),
        "cp": st.sampled_from([1.0, 2.0]),
        "zero": st.sampled_from([0.0, 1.0, 3.0]),
        "micro_batch": st.sampled_from([1.0, 2.0]),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "flash": st.booleans(),
        "sequence_parallel": st.booleans(),
        "schedule": st.sampled_from(["1f1b", "zero-bubble"]),
    }
)


def job(name: str = "llama-3.1-8b", batch: float = 64.0, seq: float = 4096.0, **more: object) -> Training:
    made = Training(id="t", model=CATALOG.model(name), tokens=1e12, seq_len=seq, global_batch=batch)
    return replace(made, **more)  # type: ignore[arg-type]


def step(work: Training, plan: Plan, chip: Chip = CHIP, stack: Stack = IDEAL) -> Phase:
    where = Deployment(chip=chip, num_chips=int(plan.num_chips), stack=stack, plan=plan)
    return training.predict(work, where).phases[0]


@given(degrees=PLANS)
def test_nothing_beats_the_ideal_and_the_ideal_is_no_less_than_its_flops(degrees: dict[str, object]) -> None:
    phase = step(job(), Plan(**degrees))  # type: ignore[arg-type]
    assert 0.0 < float(phase.ideal_time) <= float(phase.time) * (1 + 1e-12)
    assert float(phase.useful_flops) / 1e15 <= float(phase.ideal_time) * (1 + 1e-9)
    assert 0.0 < float(phase.mfu) <= 1.0


@given(degrees=PLANS, factor=st.sampled_from([1.1, 2.0, 10.0]))
def test_a_faster_machine_is_never_slower(degrees: dict[str, object], factor: float) -> None:
    plan, work = Plan(**degrees), job()  # type: ignore[arg-type]
    before = float(step(work, plan).time)
    memory = tuple(replace(level, bandwidth=level.bandwidth * factor) for level in CHIP.memory)  # type: ignore[operator]
    links = tuple(replace(link, bandwidth=link.bandwidth * factor) for link in CHIP.links)
    peaks = {name: Peak(dense=peak.dense * factor) for name, peak in CHIP.peaks.items()}
    for faster in (replace(CHIP, memory=memory), replace(CHIP, links=links), replace(CHIP, peaks=peaks)):
        assert float(step(work, plan, faster).time) <= before * (1 + 1e-12)


@given(degrees=PLANS)
def test_time_scales_with_rates_and_latencies(degrees: dict[str, object]) -> None:
    """All rates by k and all latencies by 1/k: time by 1/k exactly."""
    k, plan, work = 4.0, Plan(**degrees), job()  # type: ignore[arg-type]
    stack = replace(IDEAL, step=1e-3, layer=1e-5, host=1e-4, overlaps={"tensor": 0.5, "data": 0.7})
    quick = replace(
        CHIP,
        peaks={name: Peak(dense=peak.dense * k) for name, peak in CHIP.peaks.items()},
        vector=5e13 * k,
        memory=tuple(replace(level, bandwidth=level.bandwidth * k) for level in CHIP.memory),  # type: ignore[operator]
        links=tuple(replace(link, bandwidth=link.bandwidth * k, latency=link.latency / k) for link in CHIP.links),
    )
    short = replace(stack, step=1e-3 / k, layer=1e-5 / k, host=1e-4 / k)
    assert float(step(work, plan, quick, short).time) * k == pytest.approx(
        float(step(work, plan, CHIP, stack).time), rel=1e-12
    )


@given(degrees=PLANS, kind=st.sampled_from(PARALLEL))
def test_what_hides_less_takes_longer(degrees: dict[str, object], kind: str) -> None:
    plan, work = Plan(**degrees), job("mixtral-8x7b")  # type: ignore[arg-type]
    times = [
        float(step(work, replace(plan, ep=plan.tp), stack=replace(IDEAL, overlaps={kind: share})).time)
        for share in (1.0, 0.5, 0.0)
    ]
    assert all(more >= less * (1 - 1e-12) for less, more in pairwise(times))


def test_hidden_and_exposed_messages_are_all_messages() -> None:
    phase = step(job(), Plan(tp=8.0, dp=4.0), stack=replace(IDEAL, overlaps={"tensor": 0.25}))
    tensor = [item for item in phase.operators if item.op.name.endswith(("all-gather", "reduce-scatter"))]
    tensor = [item for item in tensor if "/mixer/" in item.op.name or "/ffn/" in item.op.name]
    taken, shown = (sum(float(getattr(item, name)) for item in tensor) for name in ("taken", "time"))
    assert shown / taken == pytest.approx(0.75)


def test_a_backward_product_is_two_products() -> None:
    """Gradients of inputs and of weights: each as many FLOPs as the product."""
    work, plan, precision = job(), Plan(), Precision()
    ahead = passes.forward(work, plan, precision)
    back = passes.backward(ahead, work)
    for kind in (MATMUL, EXPERTS):
        forward, backward = (
            sum(float(op.count * op.flops) for op in some if op.kind == kind) for some in (ahead, back)
        )
        assert backward == pytest.approx(2.0 * forward)
    fused = [sum(float(op.count * op.flops) for op in some if op.kind == ATTENTION) for some in (ahead, back)]
    assert fused[1] == pytest.approx(2.5 * fused[0])


def test_gradients_of_weights_are_read_and_written_in_their_format() -> None:
    work, precision = job(), Precision()
    op = next(
        op for op in passes.backward(passes.forward(work, Plan(), precision), work) if op.name == "ffn/down-weights"
    )
    values = 4096.0 * 14336.0
    assert float(op.write) == 4.0 * values
    assert float(op.read) == 4.0 * values + 4096.0 * (4096.0 + 14336.0) * 2.0


def test_attention_that_is_not_fused_makes_every_score() -> None:
    """Megatron-LM counts 4·s²·h FLOP a sequence and layer for scores and values, masked or not (arXiv 2104.04473,
    appendix)."""
    work = job("gpt-3-175b", batch=8.0, seq=2048.0)
    ahead = passes.forward(work, Plan(flash=False), Precision())
    scores = sum(float(op.count * op.flops) for op in ahead if "attention/core" in op.name and op.kind == MATMUL)
    assert scores == pytest.approx(96 * 4 * 2048.0**2 * 12288)


def test_dropout_draws_masks_over_scores() -> None:
    work = job("gpt-3-175b", batch=8.0, seq=2048.0)
    plain, drawn = (step(replace(work, dropout=drops), Plan(flash=False)) for drops in (False, True))
    assert float(drawn.memory_bytes) > float(plain.memory_bytes)
    assert float(drawn.flops) > float(plain.flops)


def test_rows_are_gathered_as_narrow_as_products_take_them() -> None:
    """One byte a value ahead and two back instead of two and two (Transformer Engine)."""
    plan = Plan(tp=8.0)
    sent = [
        sum(float(op.count * op.sent) for op in passes.forward(job(), plan, precision) if "/all-gather" in op.name)
        for precision in (Precision(), Precision("fp8", "fp8"))
    ]
    assert sent[1] == pytest.approx(sent[0] / 2)


def test_experts_average_gradients_among_fewer_replicas() -> None:
    """With ep = 8 within tp·dp = 16 two ranks hold the same experts, sixteen the rest."""
    phase = step(job("mixtral-8x7b"), Plan(dp=16.0, ep=8.0, zero=1.0))
    ranks = {item.op.name: float(item.op.message.ranks) for item in phase.operators if item.op.message}
    assert ranks["gradients/reduce-scatter"] == 16.0
    assert ranks["experts-gradients/reduce-scatter"] == 2.0


def test_a_hybrid_shard_scatters_within_and_sums_between() -> None:
    """HSDP (Zhao et al. 2023, arXiv 2304.11277, section 3.2.2): 16 replicas in shards of 8."""
    phase = step(job(), Plan(dp=16.0, zero=3.0, shard=8.0))
    found = {item.op.name: item.op for item in phase.operators if item.op.message}
    scatter, between = found["gradients/reduce-scatter"].message, found["gradients/between-shards"].message
    assert scatter is not None
    assert between is not None
    assert (float(scatter.ranks), float(between.ranks)) == (8.0, 2.0)
    assert float(between.size) == pytest.approx(float(scatter.size) / 8)


def test_a_host_that_launches_too_slowly_sets_the_pace() -> None:
    work, plan = job("mixtral-8x7b", batch=8.0, seq=128.0), Plan()
    free = float(step(work, plan).time)
    slow = float(step(work, plan, stack=replace(IDEAL, host=1.0, routing=2.0)).time)
    assert slow == pytest.approx(8 * 32 * 3.0, rel=0.02)
    assert float(step(work, plan, stack=replace(IDEAL, host=1e-9)).time) == pytest.approx(free)


def test_a_share_of_the_layers_is_recomputed() -> None:
    work = job("llama-3.1-70b", batch=8.0)
    whole, some, none = (
        float(step(work, Plan(recompute=mode, recompute_layers=layers)).flops)  # type: ignore[arg-type]
        for mode, layers in (("full", np.inf), ("full", 20.0), ("none", np.inf))
    )
    assert (some - none) / (whole - none) == pytest.approx(20 / 80)


def test_software_decides_what_selective_is() -> None:
    work = job(batch=8.0)
    found = [float(step(work, Plan(recompute="selective", selective=share)).flops) for share in (0.0, 0.5, 1.0)]
    full = float(step(work, Plan(recompute="full")).flops)
    assert found == sorted(found)
    assert found[2] == pytest.approx(full, rel=1e-12)


@pytest.mark.parametrize(("name", "values"), [("llama-3.1-8b", 2 * 8 * 128), ("deepseek-v3", 128 * (192 + 128))])
def test_context_parallel_ranks_pass_keys_and_values_on(name: str, values: float) -> None:
    """Keys and values of every head, those of latent attention expanded: once ahead, and back with their gradients."""
    work, plan = job(name, batch=2.0, seq=8192.0), Plan(cp=4.0)
    found = passes.context_parallel(work, plan, Precision())
    layers = work.model.layers
    assert [float(op.count) for op in found] == [layers, 2.0 * layers]
    message = found[0].message
    assert message is not None
    assert float(message.size) == pytest.approx(8192.0 * values * 2.0)
