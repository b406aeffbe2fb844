"""Static shapes: buckets by hand, the mean over a decoding against a loop over its steps, and what they may not do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import inference
from roofline.engine.buckets import bucket, mean_seen, padding
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Efficiency, Memory, Peak, Stack
from roofline.workload import Attention, Decode, Model, Plan, Serving

PAGED = Stack(id="any", name="Any")
BUCKETS = replace(PAGED, bucket=128.0)
FULL = Attention(heads=8, kv_heads=8, head_dim=64)
SLIDING = Attention(heads=8, kv_heads=8, head_dim=64, reach="sliding", window=300)


@cache
def named(name: str) -> Model:
    return Catalog().model(name)


def run(work: Serving, stack: Stack) -> Prediction:
    chip = Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="asic",
        peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=1e12, bandwidth=1e12),),
        achieved={"decode-attention": Efficiency(memory=0.7, half=40.0)},
    )
    return inference.predict(work, Deployment(chip=chip, num_chips=1, stack=stack, plan=Plan()))


def decoding(tokens: float, context: float, name: str = "llama-3.1-8b", batch: float = 8.0) -> Serving:
    return Serving(id="w", model=named(name), steps=(Decode(tokens),), cached=context, batch=batch)


def core(found: Prediction) -> float:
    """Seconds of attention in one step."""
    return sum(float(item.time) for item in found.phases[0].operators if item.op.name.endswith("attention/core"))


@given(tokens=st.integers(min_value=1, max_value=1 << 40))
def test_a_bucket_is_the_least_power_of_two_that_holds_its_tokens(tokens: int) -> None:
    assert float(bucket(float(tokens))) == 2.0 ** (tokens - 1).bit_length()


@pytest.mark.parametrize("mixer", [FULL, SLIDING])
@pytest.mark.parametrize(("context", "tokens"), [(0, 1), (100, 1), (127, 3), (90, 700), (1024, 64)])
@pytest.mark.parametrize("smallest", [1.0, 128.0])
def test_the_mean_is_that_of_single_steps(mixer: Attention, context: int, tokens: int, smallest: float) -> None:
    seen = []
    for held in range(context + 1, context + tokens + 1):
        power = max(2 ** (held - 1).bit_length(), int(smallest))
        seen.append(min(power, mixer.window) if mixer.window else power)
    found = mean_seen(mixer.pairs, float(context), float(tokens), smallest)
    assert float(found) == pytest.approx(np.mean(seen), rel=1e-12)


def test_a_full_bucket_pads_nothing() -> None:
    """The token that makes 1,024 of 1,023 fills its bucket; the next one opens another, twice as large."""
    assert float(padding(FULL.pairs, 1023.0, 1.0, 1024.0, 1.0)) == 1.0
    assert float(padding(FULL.pairs, 1024.0, 1.0, 1025.0, 1.0)) == pytest.approx(2048 / 1025, rel=1e-12)


def test_nothing_seen_is_nothing_padded() -> None:
    assert float(padding(lambda context, tokens: 0.0 * tokens, 10.0, 1.0, 0.0, 1.0)) == 1.0


def test_a_step_reads_its_whole_bucket() -> None:
    """1,500 tokens in the program of 2,048: attention takes as long as over 2,048, and all else as before."""
    paged, padded, filled = (
        run(decoding(1.0, context), stack) for context, stack in ((1499.0, PAGED), (1499.0, BUCKETS), (2047.0, PAGED))
    )
    assert core(padded) == pytest.approx(core(filled), rel=1e-12)
    rest = [float(item.phases[0].step_time) - core(item) for item in (paged, padded)]
    assert rest[1] == pytest.approx(rest[0], rel=1e-12)


def test_short_contexts_run_in_the_smallest_bucket() -> None:
    short, full = (run(decoding(1.0, context), BUCKETS) for context in (3.0, 127.0))
    assert core(short) == pytest.approx(core(full), rel=1e-12)


def test_the_bound_knows_no_buckets() -> None:
    paged, padded = (run(decoding(50.0, 700.0), stack) for stack in (PAGED, BUCKETS))
    assert float(padded.phases[0].ideal_time) == float(paged.phases[0].ideal_time)
    assert float(padded.phases[0].memory_bytes) == float(paged.phases[0].memory_bytes)


@settings(max_examples=40)
@given(
    context=st.integers(min_value=0, max_value=200_000).map(float),
    tokens=st.integers(min_value=1, max_value=5_000).map(float),
    name=st.sampled_from(["llama-3.1-8b", "gemma-3-27b", "deepseek-v3", "deepseek-v3.2"]),
)
def test_buckets_are_never_faster_than_pages_nor_twice_as_slow(context: float, tokens: float, name: str) -> None:
    stacks = (PAGED, replace(PAGED, bucket=1.0))
    paged, padded = (float(run(decoding(tokens, context, name), stack).phases[0].time) for stack in stacks)
    assert paged * (1 - 1e-12) <= padded <= 2.0 * paged * (1 + 1e-12)


@settings(max_examples=40)
@given(
    context=st.integers(min_value=0, max_value=100_000).map(float),
    more=st.integers(min_value=1, max_value=5_000).map(float),
)
def test_more_context_is_never_faster(context: float, more: float) -> None:
    times = [core(run(decoding(1.0, held), BUCKETS)) for held in (context, context + more)]
    assert times[0] <= times[1] * (1 + 1e-12)


def test_a_sweep_is_its_points() -> None:
    contexts = np.array([0.0, 100.0, 127.0, 128.0, 5000.0])
    work = decoding(40.0, 0.0)
    swept = np.asarray(run(replace(work, cached=contexts), BUCKETS).metrics["tpot_s"])
    alone = [float(run(replace(work, cached=float(held)), BUCKETS).metrics["tpot_s"]) for held in contexts]  # type: ignore[arg-type]
    assert swept.tolist() == pytest.approx(alone, rel=1e-12)
