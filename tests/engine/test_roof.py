"""Pricing: properties that hold for any chip and any operator."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.engine import inference, roof
from roofline.engine.deployment import Deployment
from roofline.engine.ops import matmul
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Efficiency, Link, LinkEfficiency, Memory, Peak, Stack
from roofline.workload import Attention, Block, Decode, DenseFFN, Model, Plan, Precision, Prefill, Serving

MODEL = Model(
    id="small",
    name="Small",
    hidden=1024,
    vocab=32000,
    blocks=(
        Block(count=8, mixer=Attention(heads=16, kv_heads=4, head_dim=64), ffn=DenseFFN(width=4096)),
        Block(
            count=4,
            mixer=Attention(heads=16, kv_heads=4, head_dim=64, reach="sliding", window=256),
            ffn=DenseFFN(width=4096),
        ),
    ),
)
IDEAL = Stack(id="ideal", name="none")


def chip(
    peak: float = 4e14, bandwidth: float = 2e12, link: float = 2e11, latency: float = 1e-6, launch: float = 3e-6
) -> Chip:
    return Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=peak)},
        vector=peak / 16,
        memory=(Memory(name="HBM", capacity=80e9, bandwidth=bandwidth),),
        links=(
            Link(name="near", scope="scale-up", bandwidth=link, latency=latency, chips=8.0),
            Link(name="far", scope="scale-out", bandwidth=link / 8, latency=latency * 5),
        ),
        achieved={
            "matmul": Efficiency(compute=0.7, memory=0.8, latency=launch, overlap=2.5),
            "decode-attention": Efficiency(memory=0.85, latency=launch),
        },
        achieved_links={"scale-up": LinkEfficiency(bandwidth=0.8, latency=launch, step=launch / 8)},
    )


def predict(machine: Chip, batch: float = 8.0, tokens: float = 512.0, out: float = 32.0, tp: float = 4.0) -> Prediction:
    work = Serving(id="w", model=MODEL, steps=(Prefill(tokens), Decode(out)), batch=batch, precision=Precision())
    return inference.predict(work, Deployment(chip=machine, num_chips=int(tp), stack=IDEAL, plan=Plan(tp=tp)))


MORE = st.floats(min_value=1.0, max_value=8.0)
BATCH = st.integers(min_value=1, max_value=256).map(float)


@given(more=MORE, batch=BATCH, field=st.sampled_from(["peak", "bandwidth", "link"]))
def test_a_faster_roof_is_never_slower(more: float, batch: float, field: str) -> None:
    base = {"peak": 4e14, "bandwidth": 2e12, "link": 2e11}
    slow, fast = predict(chip(**base), batch), predict(chip(**{**base, field: base[field] * more}), batch)
    for name in ("ttft_s", "tpot_s", "ttft_s_ideal", "tpot_s_ideal"):
        assert float(fast.metrics[name]) <= float(slow.metrics[name]) * (1 + 1e-12), name  # type: ignore[arg-type]


@given(more=MORE, batch=BATCH, tokens=st.integers(min_value=1, max_value=4096).map(float))
def test_more_work_is_never_faster(more: float, batch: float, tokens: float) -> None:
    machine = chip()
    base = predict(machine, batch, tokens)
    for larger in (predict(machine, batch + np.ceil(more), tokens), predict(machine, batch, np.ceil(tokens * more))):
        for phase, other in zip(base.phases, larger.phases, strict=True):
            assert float(other.time) >= float(phase.time) * (1 - 1e-12)


@given(k=st.floats(min_value=0.01, max_value=100.0), batch=BATCH)
def test_rates_times_k_and_latencies_over_k_is_time_over_k(k: float, batch: float) -> None:
    base = {"peak": 4e14, "bandwidth": 2e12, "link": 2e11}
    slow = predict(chip(**base, latency=1e-6, launch=3e-6), batch)
    fast = predict(chip(**{name: value * k for name, value in base.items()}, latency=1e-6 / k, launch=3e-6 / k), batch)
    for name in ("ttft_s", "tpot_s", "e2e_latency_s_ideal"):
        assert float(fast.metrics[name]) == pytest.approx(float(slow.metrics[name]) / k, rel=1e-9)  # type: ignore[arg-type]


@given(batch=BATCH, tokens=st.integers(min_value=1, max_value=4096).map(float))
def test_nothing_beats_the_ideal_nor_the_speed_of_light(batch: float, tokens: float) -> None:
    machine = chip()
    for phase in predict(machine, batch, tokens).phases:
        assert float(phase.ideal_time) <= float(phase.time) * (1 + 1e-12)
        assert float(phase.ideal_time) * 4e14 >= float(phase.repeat * phase.useful_flops) * (1 - 1e-12)
        assert 0 < float(phase.mfu) <= 1
        assert 0 < float(phase.mbu) <= 1


@given(batch=BATCH)
def test_each_operator_lies_between_its_longest_roof_and_their_sum(batch: float) -> None:
    for phase in predict(chip(), batch).phases:
        for item in phase.operators:
            parts = [float(item.expected.of(bound)) for bound in roof.BOUNDS]
            assert max(parts) * (1 - 1e-12) <= float(item.expected.time) <= sum(parts) * (1 + 1e-12)


@pytest.mark.parametrize("name", sorted(Catalog().files(KINDS["chip"])))
def test_no_shipped_expectation_beats_the_datasheet(catalog: Catalog, name: str) -> None:
    """Whatever was measured, under the usual software, of short and long passes over a few and over many requests."""
    machine, batches = catalog.chip(name), np.array([1.0, 8.0, 64.0, 512.0])
    stack = catalog.stack(machine.stack("serving"), machine)
    work = Serving(id="w", model=MODEL, steps=(Prefill(512.0), Decode(32.0)), batch=batches)
    found = inference.predict(work, Deployment(chip=machine, num_chips=1, stack=stack, plan=Plan()))
    assert all(np.all(phase.time >= phase.ideal_time * (1 - 1e-12)) for phase in found.phases)


def test_one_chip_sends_nothing() -> None:
    for phase in predict(chip(), tp=1.0).phases:
        assert float(phase.network_bytes) == 0.0
        assert all(item.op.kind != "collective" for item in phase.operators)


def test_a_point_is_an_element_of_its_sweep_bit_for_bit() -> None:
    batches, lengths = np.array([1.0, 7.0, 64.0])[:, None], np.array([128.0, 4096.0])[None, :]
    work = Serving(id="w", model=MODEL, steps=(Prefill(lengths), Decode(16.0)), batch=batches)
    machine = chip()
    whole = inference.predict(work, Deployment(chip=machine, num_chips=4, stack=IDEAL, plan=Plan(tp=4.0)))
    for i, batch in enumerate(batches[:, 0]):
        for j, length in enumerate(lengths[0]):
            one = inference.predict(
                replace(work, steps=(Prefill(float(length)), Decode(16.0)), batch=float(batch)),
                Deployment(chip=machine, num_chips=4, stack=IDEAL, plan=Plan(tp=4.0)),
            )
            for name in ("ttft_s", "tpot_s", "output_tokens_per_s", "e2e_latency_s_ideal"):
                swept = np.broadcast_to(np.asarray(whole.metrics[name]), (3, 2))[i, j]
                assert float(one.metrics[name]) == float(swept), name  # type: ignore[arg-type]
            assert bool(np.broadcast_to(whole.fits, (3, 2))[i, j]) == bool(one.fits)


def test_a_chip_with_an_array_is_a_sweep_over_chips() -> None:
    bandwidths = np.array([1e12, 2e12, 4e12])
    machine = replace(chip(), memory=(Memory(name="HBM", capacity=80e9, bandwidth=bandwidths),))
    swept = np.asarray(predict(machine).metrics["tpot_s"])
    alone = [float(predict(chip(bandwidth=value)).metrics["tpot_s"]) for value in bandwidths]  # type: ignore[arg-type]
    assert swept.tolist() == alone


@pytest.mark.parametrize(
    ("what", "machine", "batch", "tokens", "bound"),
    [
        ("decode of one request", chip(launch=1e-9, latency=1e-9), 1.0, 512.0, "memory"),
        ("slow kernels", chip(launch=1e-3), 1.0, 512.0, "overhead"),
        ("a slow link", chip(link=1e6, launch=1e-9), 64.0, 512.0, "network"),
        ("fast memory", chip(bandwidth=1e16, link=1e16, launch=1e-9, latency=1e-9), 64.0, 512.0, "compute"),
    ],
)
def test_every_roof_can_bind(what: str, machine: Chip, batch: float, tokens: float, bound: str) -> None:
    decode = predict(machine, batch, tokens).phases[1]
    assert roof.BOUNDS[int(decode.bound)] == bound, what


def test_a_missing_dtype_runs_in_the_next_wider_one() -> None:
    machine = chip()
    assert roof.arithmetic(machine, "fp8") == "bf16"
    assert roof.peak(machine, "fp8") == roof.peak(machine, "bf16")
    wide = matmul("x", 4096.0, 4096.0, 4096.0, w=2.0, a=2.0, r=2.0, dtype="bf16")
    narrow = matmul("x", 4096.0, 4096.0, 4096.0, w=1.0, a=2.0, r=2.0, dtype="fp8")
    assert (
        roof.price(narrow, machine, IDEAL, ideal=True).compute == roof.price(wide, machine, IDEAL, ideal=True).compute
    )


def test_totals_are_sums() -> None:
    operators = predict(chip()).phases[1].operators
    whole = sum(float(item.time) for item in operators)
    assert float(roof.total(operators, lambda item: item.time)) == pytest.approx(whole, rel=1e-12)
    assert roof.total([], lambda item: item.time) == 0.0


def test_larger_latency_is_never_faster() -> None:
    times = [float(predict(chip(launch=value)).metrics["tpot_s"]) for value in (0.0, 1e-6, 1e-5, 1e-4)]  # type: ignore[arg-type]
    assert all(fast < slow for fast, slow in pairwise(times))
