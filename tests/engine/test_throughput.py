"""Rates of single phases against derivations by hand, and against metrics where nothing is mixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.deployment import Deployment
from roofline.engine.throughput import Throughput, running_requests, throughputs
from roofline.machine import Chip, Link, Memory, Peak, Stack
from roofline.workload import Attention, Block, Decode, DenseFFN, Model, Plan, Prefill, Serving, Speculation, Training

PEAK, BANDWIDTH = 1e15, 4e12
IDEAL = Stack(id="ideal", name="none")
LAYERS, HIDDEN, WIDTH, VOCAB, CACHED = 16, 2048, 8192, 1000, 2 * 8 * 128


def machine(**more: Any) -> Chip:
    return Chip(
        id="any", name="Any", vendor="any", kind="gpu", peaks={"bf16": Peak(dense=PEAK)},
        memory=(Memory(name="HBM", capacity=1e12, bandwidth=BANDWIDTH),),
        links=(Link(name="near", scope="scale-up", bandwidth=1e12, latency=1e-6, chips=1024.0),), **more,
    )  # fmt: skip


def dense() -> Model:
    attention = Attention(heads=16, kv_heads=8, head_dim=128)
    block = Block(count=LAYERS, mixer=attention, ffn=DenseFFN(width=WIDTH))
    return Model(id="m", name="M", vocab=VOCAB, hidden=HIDDEN, blocks=(block,))


def on(job: Serving | Training, stack: Stack = IDEAL, **plan: float) -> dict[str, Throughput]:
    degrees = Plan(**plan)  # type: ignore[arg-type]
    where = Deployment(chip=machine(), num_chips=int(degrees.num_chips), stack=stack, plan=degrees)
    return {found.phase: found for found in throughputs(search.predict(job, where))}


def request(batch: float = 8.0, prompt: float = 1024.0, tokens: float = 64.0) -> Serving:
    return Serving(id="w", model=dense(), steps=(Prefill(prompt), Decode(tokens)), batch=batch)


def products() -> float:
    """Weights of all products: layers and the output matrix, no token table."""
    attention = HIDDEN * (16 + 2 * 8) * 128 + 16 * 128 * HIDDEN
    return float(LAYERS * (attention + 3 * HIDDEN * WIDTH) + VOCAB * HIDDEN)


def flops(phase: Any) -> Any:
    return phase.flops


def moved(phase: Any) -> Any:
    return phase.memory_bytes


@pytest.mark.parametrize("batch", [1.0, 8.0, 64.0])
def test_a_decoded_token_costs_two_flops_a_weight_and_reads_the_weights_of_all(batch: float) -> None:
    """2·P FLOP, 2·P/B bytes of weights and the cache of one sequence: an intensity of about B."""
    found = on(request(batch))["decode"]
    context = 1024 + 64 / 2
    scores = 2 * LAYERS * 16 * 2 * 128 * context
    assert float(found.per_token(flops)) == pytest.approx(2 * products() + scores, rel=2e-3)
    cache = LAYERS * CACHED * 2 * context
    values = float(found.per_token(moved)) - 2 * products() / batch - cache
    assert 0 < values < 0.02 * 2 * products()  # activations in and out of each operator, which belong to every token
    assert found.in_flight == batch
    intensity = float(found.per_token(flops) / found.per_token(moved))
    expected = (2 * products() + scores) / (2 * products() / batch + cache + values)
    assert intensity == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("plan", [{}, {"tp": 4.0}, {"dp": 4.0}, {"pp": 4.0}, {"tp": 2.0, "pp": 2.0, "dp": 2.0}])
def test_what_a_token_costs_is_counted_once_over_all_chips(plan: dict[str, float]) -> None:
    """However it is divided, a model calculates the same for a token; tensor parallelism repeats norms alone."""
    alone, divided = on(request(16.0)), on(request(16.0), IDEAL, **plan)
    for phase in ("prefill", "decode"):
        assert float(divided[phase].per_token(flops)) == pytest.approx(float(alone[phase].per_token(flops)), rel=0.01)
    assert divided["decode"].in_flight == 16
    assert float(divided["decode"].rate) == pytest.approx(16 / float(divided["decode"].step_time))


def test_prompts_fill_every_pipeline_and_replica() -> None:
    one = on(request(), pp=1.0)["prefill"]
    assert float(one.in_flight) == 1024
    assert float(one.rate) == pytest.approx(1024 / float(one.step_time))
    assert float(on(request(), dp=3.0)["prefill"].rate) == pytest.approx(3 * float(one.rate))
    piped = on(request(), pp=4.0)["prefill"]
    assert float(piped.in_flight) == 4 * 1024
    assert float(piped.rate) == pytest.approx(4 * float(one.rate), rel=0.02)


@pytest.mark.parametrize("chunk", [128.0, 1024.0])
@pytest.mark.parametrize("pp", [1.0, 2.0, 8.0])
def test_chunks_that_flow_through_a_pipeline_are_not_counted_twice(chunk: float, pp: float) -> None:
    """Whether chunks of one prompt or of several are at work, stages do the same."""
    stack = replace(IDEAL, prefill_chunk=chunk)
    found = on(request(), stack, pp=pp)["prefill"]
    slow = on(request(), replace(stack, flow=0.0), pp=pp)["prefill"]
    assert float(found.rate) == pytest.approx(float(slow.rate))
    assert float(found.attained(flops)) <= PEAK
    assert float(found.rate) <= float(found.ideal_rate) * (1 + 1e-12)


def test_a_static_batch_has_no_prompts_behind_it() -> None:
    static = replace(IDEAL, batching="static")
    found = on(request(8.0), static)["prefill"]
    assert float(found.in_flight) == 8 * 1024
    assert float(found.rate) == pytest.approx(8 * 1024 / float(found.seconds))
    piped = on(request(8.0), static, pp=4.0)["prefill"]
    assert float(piped.rate) < 2 * float(found.rate)


def test_rates_are_metrics_where_nothing_is_mixed(catalog: Catalog) -> None:
    stack = catalog.stack("vllm")
    model = catalog.model("llama-3.1-8b")
    where = Deployment(chip=catalog.chip("h100-sxm"), num_chips=1, stack=stack, plan=Plan())
    for steps, metric in (((Prefill(900.0),), "prefill_tokens_per_s"), ((Decode(9.0),), "decode_tokens_per_s")):
        prediction = search.predict(Serving(id="w", model=model, steps=steps, batch=4.0, cached=50.0), where)
        (found,) = throughputs(prediction)
        assert found.rate == pytest.approx(prediction.metrics[metric])
        assert found.ideal_rate == pytest.approx(prediction.metrics[f"{metric}_ideal"])
    run = Training(id="r", model=model, tokens=1e9, seq_len=512.0, global_batch=64.0)
    prediction = search.predict(run, replace(where, num_chips=8, plan=Plan(dp=8.0, zero=3.0)))
    (found,) = throughputs(prediction)
    assert found.rate == pytest.approx(prediction.metrics["tokens_per_s"])
    assert found.in_flight == 64 * 512


def test_what_guesses_belongs_to_the_phase_that_it_guesses_for() -> None:
    guesses = Speculation(tokens=3.0, acceptance=0.5, model=dense())
    plain, drafted = on(request()), on(replace(request(), speculative=guesses))
    assert float(drafted["decode"].per_token(flops)) > 2 * float(plain["decode"].per_token(flops))
    gain = (1 - 0.5**4) / (1 - 0.5)
    assert float(drafted["decode"].in_flight) == pytest.approx(8 * gain)
    assert float(drafted["prefill"].per_token(flops)) == pytest.approx(
        2 * float(plain["prefill"].per_token(flops)), rel=1e-6
    )


def test_requests_that_memory_does_not_hold_do_not_run() -> None:
    job = request(20000.0)
    found = on(job)["decode"]
    assert 1 < float(running_requests(found.prediction)) < 20000
    assert found.in_flight == running_requests(found.prediction)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 512),
    prompt=st.integers(1, 20000),
    tp=st.sampled_from([1, 2, 8]),
    pp=st.sampled_from([1, 2, 16]),
    chunk=st.sampled_from([np.inf, 512.0]),
)
def test_no_rate_beats_its_bound_and_no_chip_its_roofs(batch: int, prompt: int, tp: int, pp: int, chunk: float) -> None:
    stack = replace(IDEAL, prefill_chunk=chunk, step=1e-4)
    for found in on(request(float(batch), float(prompt)), stack, tp=float(tp), pp=float(pp)).values():
        assert 0 < float(found.rate) <= float(found.ideal_rate) * (1 + 1e-9)
        assert float(found.attained(flops)) <= PEAK * (1 + 1e-9)


def test_intervals_hold_the_expectation(catalog: Catalog) -> None:
    chip = catalog.chip("h100-sxm")
    stack = catalog.stack("vllm", chip)
    where = Deployment(chip=chip, num_chips=1, stack=stack, plan=Plan(), spreads=catalog.spreads(chip, stack))
    job = Serving(id="w", model=catalog.model("llama-3.1-8b"), steps=(Prefill(900.0), Decode(9.0)), batch=4.0)
    for found in throughputs(search.predict(job, where)):
        assert found.interval is not None
        low, high = found.interval
        assert low < found.rate < high <= found.ideal_rate
    bare = throughputs(search.predict(job, replace(where, spreads={})))
    assert [found.interval for found in bare] == [None, None]
