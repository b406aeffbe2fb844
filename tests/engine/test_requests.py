"""What else a request brings: a prompt that is partly cached, and experts that do not get equal shares."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import inference, ops, training
from roofline.engine.deployment import Deployment
from roofline.engine.lower import Pass, lower
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Efficiency, Link, Memory, Peak, Stack
from roofline.workload import Decode, Model, Plan, Precision, Prefill, Serving, Step, Training

CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e13, bandwidth=4e12),),
    links=(Link(name="near", scope="scale-up", bandwidth=5e11, chips=64.0),),
    achieved={"attention": Efficiency(compute=0.5, latency=2e-6)},
)
STACK = Stack(id="any", name="Any", step=5e-4)


@cache
def named(name: str) -> Model:
    return Catalog().model(name)


def run(work: Serving, stack: Stack = STACK, **degrees: float) -> Prediction:
    plan = Plan(**degrees)  # type: ignore[arg-type]
    return inference.predict(work, Deployment(chip=CHIP, num_chips=int(plan.num_chips), stack=stack, plan=plan))


def job(name: str = "llama-3.1-8b", *steps: Step, **more: Any) -> Serving:
    return Serving(id="w", model=named(name), steps=steps or (Prefill(2000.0), Decode(100.0)), **more)


def metric(found: Prediction, name: str) -> float:
    value = found.metrics[name]
    assert value is not None
    return float(value)


# --- prefix cache -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-3-27b", "deepseek-v3"])
def test_a_cached_prefix_is_attended_to_but_not_computed(name: str) -> None:
    """A quarter of 2,000 tokens cached: as if 1,500 followed a context of 500."""
    found, later = run(job(name, cached_share=0.25)), run(job(name, Prefill(1500.0), Decode(100.0), cached=500.0))
    assert float(found.phases[0].time) == float(later.phases[0].time)
    assert float(found.phases[0].flops) == float(later.phases[0].flops)
    assert float(found.phases[1].time) == float(later.phases[1].time)
    assert float(found.memory.kv_cache) == float(later.memory.kv_cache)


def test_a_prefix_saves_no_room() -> None:
    plain, found = run(job(batch=16.0)), run(job(batch=16.0, cached_share=0.9))
    assert float(found.memory.total) == float(plain.memory.total)
    assert float(found.max_batch) == float(plain.max_batch)


def test_one_token_is_always_read() -> None:
    """A model that has seen all of a prompt has yet to say what follows: its last token passes once more."""
    found, single = run(job(cached_share=1.0)), run(job("llama-3.1-8b", Prefill(1.0), Decode(100.0), cached=1999.0))
    assert float(found.phases[0].time) == float(single.phases[0].time)
    assert metric(found, "ttft_s") > 0


def test_only_the_first_prompt_is_found() -> None:
    """What a tool returns was never seen before."""
    steps = (Prefill(1000.0), Decode(10.0), Prefill(1000.0), Decode(10.0))
    plain, found = run(job("llama-3.1-8b", *steps)), run(job("llama-3.1-8b", *steps, cached_share=0.5))
    assert float(found.phases[0].time) < float(plain.phases[0].time)
    assert [float(phase.time) for phase in found.phases[1:]] == [float(phase.time) for phase in plain.phases[1:]]


def test_chunks_are_made_of_what_is_left() -> None:
    chunked = replace(STACK, prefill_chunk=512.0)
    assert float(run(job(cached_share=0.75), chunked).phases[0].repeat) == 1.0
    assert float(run(job(), chunked).phases[0].repeat) == 4.0


@settings(max_examples=25)
@given(share=st.floats(min_value=0.0, max_value=1.0), more=st.floats(min_value=0.0, max_value=1.0))
def test_a_longer_prefix_is_never_slower(share: float, more: float) -> None:
    found = [run(job(batch=8.0, cached_share=held)) for held in (share, share + (1.0 - share) * more)]
    for name in ("ttft_s", "ttft_s_ideal", "tpot_s", "e2e_latency_s"):
        assert metric(found[1], name) <= metric(found[0], name) * (1 + 1e-9)


def test_shares_as_an_axis_are_their_points() -> None:
    shares = np.array([0.0, 0.3, 1.0])
    swept = np.asarray(run(job(cached_share=shares)).metrics["ttft_s"])
    assert swept.tolist() == [metric(run(job(cached_share=float(share))), "ttft_s") for share in shares]


# --- imbalance of experts ---------------------------------------------------------------------------------------

SPREAD = Plan(dp=32.0, ep=32.0)


def experts(imbalance: float, plan: Plan = SPREAD) -> dict[str, ops.Op]:
    work = Pass(sequences=16.0, decode=True, imbalance=imbalance)
    return {op.name: op for op in lower(named("deepseek-v3"), Precision(), plan, work)}


def test_the_hottest_rank_has_its_multiple_of_the_rows() -> None:
    even, hot = experts(1.0), experts(1.5)
    for name in ("mla+moe/moe/up", "mla+moe/moe/down"):
        assert float(hot[name].terms["m"]) == 1.5 * float(even[name].terms["m"])
        assert float(hot[name].terms["e"]) == float(even[name].terms["e"])
    assert float(hot["mla+moe/moe/shared/up"].flops) == float(even["mla+moe/moe/shared/up"].flops)


@pytest.mark.parametrize("copies", [1, 8])
def test_messages_to_the_hottest_rank_by_drawing_at_random(copies: int) -> None:
    """A token goes once to each rank that any of its experts is on; the hot rank has 3 of 8 chances instead of 1."""
    generator = np.random.default_rng(1)
    chances = np.array([3.0, *[5 / 7] * 7]) / 8.0
    places = generator.choice(8, size=(200_000, copies), p=chances)
    got = float((places == 0).any(axis=1).mean())
    mean = 1.0 - (1.0 - 1 / 8) ** copies
    assert float(ops.hottest(8.0, float(copies), 3.0)) == pytest.approx(got / mean, rel=0.01)


def test_one_rank_has_all_rows_at_most() -> None:
    all_of_them = experts(32.0)["mla+moe/moe/up"].terms["m"]
    assert float(all_of_them) == 16 * 32 * 8
    assert float(experts(1e6)["mla+moe/moe/up"].terms["m"]) == float(all_of_them)


@pytest.mark.parametrize(("name", "degrees"), [("deepseek-v3", {"tp": 8.0}), ("llama-3.1-8b", {"tp": 8.0})])
def test_without_expert_parallelism_nothing_is_uneven(name: str, degrees: dict[str, float]) -> None:
    even, hot = run(job(name), STACK, **degrees), run(job(name, imbalance=3.0), STACK, **degrees)
    assert metric(hot, "e2e_latency_s") == metric(even, "e2e_latency_s")


@settings(max_examples=25)
@given(imbalance=st.floats(min_value=1.0, max_value=20.0), more=st.floats(min_value=0.0, max_value=20.0))
def test_more_imbalance_is_never_faster(imbalance: float, more: float) -> None:
    found = [run(job("mixtral-8x7b", batch=64.0, imbalance=x), dp=8.0, ep=8.0) for x in (imbalance, imbalance + more)]
    for name in ("ttft_s", "tpot_s", "tpot_s_ideal"):
        assert metric(found[1], name) >= metric(found[0], name) * (1 - 1e-12)


def test_rows_beyond_the_mean_are_useful_to_others() -> None:
    """MFU falls as the time grows: the hottest rank's rows are no more of the model than the mean rank's."""
    even, hot = (run(job("mixtral-8x7b", batch=64.0, imbalance=x), dp=8.0, ep=8.0).phases[0] for x in (1.0, 2.0))
    assert float(hot.useful_flops) == float(even.useful_flops)
    assert float(hot.mfu) < float(even.mfu)


def test_training_waits_for_the_hottest_rank_too() -> None:
    even = Training(id="t", model=named("mixtral-8x7b"), tokens=1e9, seq_len=4096.0, global_batch=64.0)
    plan = Plan(dp=8.0, ep=8.0)
    where = Deployment(chip=CHIP, num_chips=8, stack=STACK, plan=plan)
    steps = [training.predict(replace(even, imbalance=x), where).phases[0] for x in (1.0, 1.5)]
    assert float(steps[1].step_time) > 1.1 * float(steps[0].step_time)
    assert float(steps[1].useful_flops) == float(steps[0].useful_flops)
