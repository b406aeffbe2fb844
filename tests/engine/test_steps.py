"""Steps of a request: contexts written anew, hidden tokens, pauses, thousands of steps, and what each step uses."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import cost, disaggregated, energy, inference
from roofline.engine.deployment import Deployment
from roofline.engine.memory import cache_bytes_per_sequence
from roofline.engine.pauses import spans
from roofline.engine.prediction import Prediction
from roofline.engine.steps import MOST_APART
from roofline.engine.usage import Use
from roofline.machine import Chip, Efficiency, Link, Memory, Peak, Price, Stack
from roofline.machine.chip import EnergyCosts
from roofline.workload import Cached, Decode, Model, Pause, Plan, Precision, Prefill, Serving, Speculation, Step

CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e12, bandwidth=4e12),),
    links=(Link(name="near", scope="scale-up", bandwidth=5e11, chips=64.0),),
    achieved={"attention": Efficiency(compute=0.5, latency=2e-6)},
    energy=EnergyCosts(idle=100.0, base=100.0, per_byte=1e-11, compute=100.0),
    price=Price(hourly=3.6),
)
STACK = Stack(id="any", name="Any", step=5e-4)
RAG = (
    Cached(500.0),
    Prefill(70.0),
    Decode(32.0, hidden=True),
    Pause(0.2),
    Cached(500.0),
    Prefill(4000.0),
    Decode(300.0),
)


@cache
def named(name: str) -> Model:
    return Catalog().model(name)


def run(work: Serving, stack: Stack = STACK, chip: Chip = CHIP, **degrees: float) -> Prediction:
    plan = Plan(**degrees)  # type: ignore[arg-type]
    return inference.predict(work, Deployment(chip=chip, num_chips=int(plan.num_chips), stack=stack, plan=plan))


def job(*steps: Step, name: str = "llama-3.1-8b", **more: Any) -> Serving:
    return Serving(id="w", model=named(name), steps=steps, **more)


def metric(found: Prediction, name: str) -> float:
    value = found.metrics[name]
    assert value is not None
    return float(value)


def times(found: Prediction) -> list[float]:
    return [float(use.effort.time) for use in found.uses]


# --- contexts -----------------------------------------------------------------------------------------------------


def test_a_prefix_in_the_cache_is_a_context_that_was_there() -> None:
    found, there = run(job(Cached(800.0), Prefill(200.0), Decode(50.0))), run(job(Prefill(200.0), Decode(50.0), cached=800.0))  # fmt: skip
    for name in ("ttft_s", "tpot_s", "e2e_latency_s"):
        assert metric(found, name) == metric(there, name)
    assert float(found.memory.kv_cache) == float(there.memory.kv_cache)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-3-27b", "deepseek-v3"])
def test_what_is_written_anew_is_read_again_whole(name: str) -> None:
    """The passages come after the system prompt alone: neither the question nor the query is behind them."""
    found = run(job(*RAG, name=name))
    alone = run(job(Prefill(4000.0), Decode(300.0), name=name, cached=500.0))
    assert [phase.name for phase in found.phases] == ["prefill", "decode", "pause", "prefill", "decode"]
    assert float(found.phases[3].time) == float(alone.phases[0].time)
    assert float(found.phases[4].time) == float(alone.phases[1].time)
    assert [float(use.context) for use in found.uses] == [0, 500, 570, 602, 602, 500, 4500]


def test_memory_holds_the_longest_context() -> None:
    shrinking = job(Prefill(9000.0), Decode(100.0), Cached(100.0), Prefill(50.0), Decode(10.0))
    assert float(shrinking.context_len) == 9100.0
    assert float(shrinking.mean_context_len) == 9050.0
    longest = run(job(Prefill(9000.0), Decode(100.0)))
    assert float(run(shrinking).memory.kv_cache) == float(longest.memory.kv_cache)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 500)), min_size=1, max_size=6),
    cached=st.integers(0, 3000),
)
def test_without_rewriting_contexts_are_sums(lengths: list[tuple[int, int]], cached: int) -> None:
    steps = [step for read, wrote in lengths for step in (Prefill(float(read)), Decode(float(wrote)))]
    work = job(*steps, cached=float(cached))
    assert float(work.context_len) == cached + float(work.input_len) + float(work.output_len) == work.contexts[-1]
    assert float(work.mean_context_len) == float(work.context_len) - float(work.output_len) / 2.0


# --- what the user waits for --------------------------------------------------------------------------------------


def test_where_nothing_is_hidden_every_token_is_useful() -> None:
    found = run(job(Prefill(100.0), Decode(20.0), Pause(1.0), Prefill(500.0), Decode(50.0), batch=8.0))
    for suffix in ("", "_ideal"):
        assert metric(found, f"time_to_first_useful_token_s{suffix}") == metric(found, f"ttft_s{suffix}")


def test_of_one_request_the_first_useful_token_comes_after_all_that_is_before_it() -> None:
    found = run(job(*RAG))
    before = sum(times(found)[:6]) + float(found.waiting)
    assert metric(found, "time_to_first_useful_token_s") == pytest.approx(before, rel=1e-12)
    ideal = sum(float(use.effort.ideal_time) for use in found.uses[:6])
    assert metric(found, "time_to_first_useful_token_s_ideal") == pytest.approx(ideal, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(thinking=st.floats(10.0, 20000.0), more=st.floats(1.0, 3.0), batch=st.sampled_from([1.0, 16.0, 300.0]))
def test_more_thinking_is_never_faster(thinking: float, more: float, batch: float) -> None:
    found = [
        run(job(Prefill(100.0), Decode(tokens, "thinking", hidden=True), Decode(200.0), batch=batch))
        for tokens in (thinking, thinking * more)
    ]
    for name in ("time_to_first_useful_token_s", "e2e_latency_s", "usd_per_request", "energy_j_per_request"):
        assert metric(found[0], name) <= metric(found[1], name) * (1 + 1e-9), name
    assert metric(found[0], "requests_per_s") >= metric(found[1], "requests_per_s") * (1 - 1e-9)


@pytest.mark.parametrize("batch", [1.0, 64.0])
@pytest.mark.parametrize("speculative", [Speculation(), Speculation(tokens=3.0, acceptance=0.7, cost=0.05)])
def test_two_decode_steps_are_one(batch: float, speculative: Speculation) -> None:
    more: dict[str, Any] = {"batch": batch, "speculative": speculative}
    whole = run(job(Prefill(1000.0), Decode(400.0), **more))
    halves = run(job(Prefill(1000.0), Decode(150.0), Decode(250.0), **more))
    for name in ("ttft_s", "tpot_s", "e2e_latency_s", "usd_per_request", "requests_per_s"):
        assert metric(halves, name) == pytest.approx(metric(whole, name), rel=1e-3 if speculative.on else 1e-9), name


# --- pauses -------------------------------------------------------------------------------------------------------

TOOL = (Prefill(1000.0), Decode(100.0), Pause(20.0), Prefill(500.0), Decode(100.0))


def test_of_one_request_a_pause_changes_nothing_but_its_length() -> None:
    steps = [step for step in TOOL if not isinstance(step, Pause)]
    paused, running = run(job(*TOOL)), run(job(*steps))
    assert [float(p.flops) for p in paused.phases if p.operators] == [float(p.flops) for p in running.phases]
    assert metric(paused, "e2e_latency_s") == pytest.approx(metric(running, "e2e_latency_s") + 20.0, rel=1e-12)
    assert metric(paused, "tpot_s") == pytest.approx(metric(running, "tpot_s"), rel=1e-12)


@pytest.mark.parametrize("length", [0.0, 1e-9])
def test_no_pause_is_the_limit_of_short_ones(length: float) -> None:
    steps = [replace(step, seconds=length) if isinstance(step, Pause) else step for step in TOOL]
    short, none = (
        run(job(*steps, batch=32.0)),
        run(job(*(step for step in TOOL if not isinstance(step, Pause)), batch=32.0)),
    )
    for name in ("ttft_s", "tpot_s", "e2e_latency_s", "requests_per_s"):
        assert metric(short, name) == pytest.approx(metric(none, name), rel=1e-3)


def test_those_that_pause_do_not_decode() -> None:
    """At work for a hundredth of the time, a request sees almost nobody beside it."""
    long = [replace(step, seconds=500.0) if isinstance(step, Pause) else step for step in TOOL]
    crowd, alone = run(job(*long, batch=16.0)), run(job(*TOOL))
    assert metric(crowd, "tpot_s") < 1.15 * metric(alone, "tpot_s")
    busy = run(job(*(step for step in TOOL if not isinstance(step, Pause)), batch=16.0))
    assert metric(busy, "tpot_s") > 1.5 * metric(alone, "tpot_s")
    assert float(crowd.memory.kv_cache) == float(busy.memory.kv_cache)


@pytest.mark.parametrize("batch", [2.0, 8.0, 64.0, 512.0])
@pytest.mark.parametrize("pause", [0.1, 3.0, 60.0])
def test_the_number_at_work_is_a_fixed_point(batch: float, pause: float) -> None:
    """The step time gives the number at work that the step time was priced at (Little's law, one request apart)."""
    steps = [replace(step, seconds=pause) if isinstance(step, Pause) else step for step in TOOL]
    found = run(job(*steps, batch=batch))
    whole = metric(found, "e2e_latency_s")
    seen = 1.0 + (batch - 1.0) * (whole - pause) / whole
    priced = metric(found, "decode_tokens_per_s") * metric(found, "tpot_s")
    assert priced == pytest.approx(seen, rel=0.02)


def test_a_server_never_does_more_than_it_can() -> None:
    """However long the others pause, prompts alone keep a replica busy for no more than all of its time."""
    for pause in (0.01, 1.0, 10.0, 100.0):
        steps = (Prefill(20000.0), Decode(10.0), Pause(pause), Prefill(20000.0), Decode(10.0))
        found = run(job(*steps, batch=64.0))
        used = sum(float(use.effort.chip_seconds) for use in found.uses)
        assert used * metric(found, "requests_per_s") <= 1.0 + 1e-9


@settings(max_examples=15, deadline=None)
@given(pause=st.floats(0.01, 100.0), more=st.floats(1.1, 5.0))
def test_longer_pauses_never_serve_more(pause: float, more: float) -> None:
    found = [
        run(job(*(replace(step, seconds=length) if isinstance(step, Pause) else step for step in TOOL), batch=64.0))
        for length in (pause, pause * more)
    ]
    assert metric(found[1], "requests_per_s") <= metric(found[0], "requests_per_s") * 1.002


@pytest.mark.parametrize("degrees", [{}, {"dp": 3.0}])
def test_pauses_as_an_axis_are_their_points(degrees: dict[str, float]) -> None:
    """Also where some of them are none."""
    pauses = np.array([0.0, 0.5, 30.0])

    def paused(length: Any) -> Prediction:
        steps = (replace(step, seconds=length) if isinstance(step, Pause) else step for step in TOOL)
        return run(job(*steps, batch=17.0), STACK, CHIP, **degrees)

    together = paused(pauses)
    for name in ("ttft_s", "tpot_s", "e2e_latency_s", "requests_per_s", "decode_tokens_per_s", "usd_per_request"):
        found = np.asarray(together.metrics[name])
        for value, length in zip(found, pauses, strict=True):
            assert value == pytest.approx(metric(paused(float(length)), name), rel=1e-9), (name, length)


def test_a_static_batch_pauses_as_a_whole() -> None:
    static = replace(STACK, batching="static")
    found = run(job(*TOOL, batch=16.0), static)
    none = run(job(*(step for step in TOOL if not isinstance(step, Pause)), batch=16.0), static)
    assert metric(found, "e2e_latency_s") == pytest.approx(metric(none, "e2e_latency_s") + 20.0)
    assert metric(found, "tpot_s") == metric(none, "tpot_s")
    assert all(use.hold is None for use in found.uses)


# --- keep or read again -------------------------------------------------------------------------------------------


def held(found: Prediction) -> list[Use]:
    return [use for use in found.uses if use.hold is not None]


def test_the_break_even_is_where_both_cost_the_same() -> None:
    first = run(job(*TOOL, batch=8.0))
    equal = metric(first, "pause_break_even_s")
    (at,) = held(run(job(*(replace(s, seconds=equal) if isinstance(s, Pause) else s for s in TOOL), batch=8.0)))
    assert at.hold is not None
    assert float(at.hold.keep) == pytest.approx(float(at.hold.recompute), rel=1e-9)


def test_keeping_takes_a_share_of_memory_and_reading_again_a_prompt() -> None:
    """A second derivation: bytes of 1,100 tokens over what weights and activations leave, for 20 s; a prompt of
    1,100 tokens."""
    found = run(job(*TOOL))
    (use,) = held(found)
    assert use.hold is not None
    size = float(cache_bytes_per_sequence(named("llama-3.1-8b"), Precision(), Plan(), 1100.0))
    room = 1e12 * STACK.usable_memory - float(found.memory.weights) - float(found.memory.activations)
    assert float(use.hold.keep) == pytest.approx(size / (room * STACK.cache_memory) * 20.0)
    prompt = run(job(Prefill(1100.0))).phases[0]
    assert float(use.hold.recompute) == pytest.approx(float(prompt.time))
    assert float(use.hold.held) == size
    assert not use.hold.drops  # there is room for more requests


def test_where_memory_is_full_long_pauses_are_not_worth_their_cache() -> None:
    steps = [replace(step, seconds=3600.0) if isinstance(step, Pause) else step for step in TOOL]
    for batch, drops in ((8.0, False), (np.inf, True)):
        (use,) = held(run(job(*steps, batch=batch)))
        assert use.hold is not None
        assert bool(use.hold.drops) is drops


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (TOOL, [(1100.0, 1100.0, 0.0)]),
        (RAG, [(602.0, 500.0, 500.0)]),  # what is held behind the system prompt is written anew
        ((Cached(800.0), Prefill(200.0), Pause(1.0), Decode(5.0)), [(1000.0, 1000.0, 800.0)]),
        ((Prefill(200.0), Decode(5.0), Pause(1.0)), [(205.0, 0.0, 0.0)]),  # nothing comes after it
        ((Prefill(900.0), Pause(1.0), Pause(2.0), Cached(300.0), Decode(1.0)), [(900.0, 300.0, 0.0)] * 2),
    ],
)
def test_what_is_held_is_needed_or_found_or_neither(steps: tuple[Step, ...], expected: list[Any]) -> None:
    assert [tuple(map(float, span)) for span in spans(job(*steps))] == expected


def test_a_prefix_found_is_found_again() -> None:
    (span,) = spans(job(*TOOL, cached_share=0.5))
    assert tuple(map(float, span)) == (1100.0, 1100.0, 500.0)


def test_a_cache_that_nobody_needs_has_no_break_even() -> None:
    found = run(job(*RAG))
    assert np.isnan(metric(found, "pause_break_even_s"))
    (use,) = held(found)
    assert use.hold is not None
    assert (float(use.hold.keep), float(use.hold.recompute)) == (0.0, 0.0)


# --- what a request uses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [{}, {"tp": 4.0}, {"dp": 2.0, "tp": 2.0}])
@pytest.mark.parametrize("steps", [TOOL[:2], RAG[:3] + RAG[4:]])
def test_a_saturated_server_sells_all_of_its_time(steps: tuple[Step, ...], degrees: dict[str, float]) -> None:
    """Costs of the steps times requests per second are the rent, but for the half step that a request waits."""
    found = run(job(*steps, batch=256.0), STACK, CHIP, **degrees)
    chips = Plan(**degrees).num_chips  # type: ignore[arg-type]
    usd = sum(float(use.effort.usd or 0.0) for use in found.uses)
    rent = float(cost.usd_per_second(CHIP, chips) or 0.0)
    assert usd * metric(found, "requests_per_s") == pytest.approx(rent, rel=0.01)
    assert usd <= metric(found, "usd_per_request")
    joules = sum(float(use.effort.energy or 0.0) for use in found.uses)
    assert joules == pytest.approx(metric(found, "energy_j_per_request"), rel=0.01)


def test_a_step_uses_what_its_phase_takes() -> None:
    found = run(job(Prefill(1000.0), Decode(100.0), batch=10.0), tp=4.0)
    prefill, decode = found.uses
    assert float(prefill.effort.chip_seconds) == pytest.approx(4 * float(found.phases[0].time))
    assert float(decode.effort.chip_seconds) == pytest.approx(4 * float(found.phases[1].time) / 10)
    power = energy.chip_power(CHIP, found.phases[1])
    assert power is not None
    assert float(decode.effort.energy or 0.0) == pytest.approx(float(power * decode.effort.chip_seconds))


def test_steps_that_are_told_as_one_use_what_they_use_one_by_one() -> None:
    """Each draws its own power, however many there are, and no more than the TDP."""
    steps = (Prefill(2000.0), Decode(100.0), Prefill(4.0), Decode(400.0))
    found = run(job(*steps * 5), STACK, replace(CHIP, tdp=140.0))
    assert len(found.phases) == 2
    joules = sum(float(use.effort.energy or 0.0) for use in found.uses)
    assert joules == pytest.approx(metric(found, "energy_j_per_request"), rel=1e-9)


def test_a_prompt_in_a_pipeline_uses_its_energy_once() -> None:
    """The joules of moving and computing do not depend on how many stages there are; only waiting does."""
    bare = replace(CHIP, energy=EnergyCosts(idle=0.0, base=0.0, per_byte=1e-11, compute=100.0), links=(replace(CHIP.links[0], bandwidth=1e30),))  # fmt: skip
    one, staged = (run(job(Prefill(2000.0), Decode(10.0)), STACK, bare, pp=pp).uses[0].effort for pp in (1.0, 4.0))
    assert float(staged.energy or 0.0) == pytest.approx(float(one.energy or 0.0), rel=0.01)


def test_the_steps_of_a_request_add_up_to_it() -> None:
    for work in (job(*RAG, batch=16.0), job(*TOOL, batch=64.0), job(*TOOL[:2], batch=5.0)):
        found = run(work, replace(STACK, request=0.01))
        assert sum(times(found)) + float(found.waiting) == pytest.approx(metric(found, "e2e_latency_s"), rel=1e-12)


def test_pools_tell_what_each_step_uses() -> None:
    where = Deployment(
        chip=CHIP, num_chips=6, stack=STACK, plan=Plan(tp=2.0, dp=2.0), prefill_plan=Plan(tp=2.0), precision=Precision()
    )
    found = disaggregated.predict(job(*RAG, batch=64.0), where)
    assert [use.step for use in found.uses] == list(RAG)
    used = sum(float(use.effort.chip_seconds) for use in found.uses)
    assert 0 < used * metric(found, "requests_per_s") <= 6.0 * (1 + 1e-9)
    assert metric(found, "time_to_first_useful_token_s") > metric(found, "ttft_s") + 0.2
    back = next(item.op for item in found.phases[3].operators if item.op.name == "kv-cache/return")
    system = float(cache_bytes_per_sequence(named("llama-3.1-8b"), Precision(), Plan(tp=2.0), 500.0))
    assert back.message is not None
    assert float(back.message.size) == pytest.approx(system)  # the system prompt alone
    assert float(found.uses[1].effort.chip_seconds) == pytest.approx(2 * float(run(job(*RAG), tp=2.0).phases[0].time))


# --- thousands of steps -------------------------------------------------------------------------------------------


def turns(count: int) -> tuple[Step, ...]:
    return (Prefill(300.0), Decode(40.0, "call", hidden=True), Pause(2.0), Decode(10.0)) * count


@pytest.mark.parametrize("speculative", [Speculation(), Speculation(tokens=3.0, acceptance=0.7, cost=0.05)])
def test_many_steps_are_priced_at_once_as_they_are_one_by_one(speculative: Speculation) -> None:
    """The same request with each step by itself, and with all of a kind as one array."""
    steps = turns(MOST_APART // 2)  # twice as many decodes as may be apart, but no more prefills
    work = job(*steps, Prefill(10.0), Decode(1.0), batch=4.0, speculative=speculative)
    found = run(work)
    alone = [
        run(replace(work, steps=(replace(step, hidden=False),), cached=context, batch=1.0)).phases[-1].time
        for step, context in zip(work.steps, work.contexts, strict=False)
        if isinstance(step, Decode)
    ]
    single = {phase.name: phase for phase in run(replace(work, batch=1.0)).phases}
    assert float(single["decode"].time) == pytest.approx(sum(map(float, alone)), rel=1e-12)
    assert sum(times(found)) + float(found.waiting) == pytest.approx(metric(found, "e2e_latency_s"), rel=1e-12)
    assert [phase.name for phase in found.phases].count("decode") == 1


def test_ten_thousand_steps_take_no_time() -> None:
    work = job(*turns(2500), batch=4.0)
    start = time.process_time()
    found = run(work, tp=8.0)
    assert time.process_time() - start < 2.0  # 0.3 s on a free machine
    assert len(found.uses) == 10_000
    assert [phase.name for phase in found.phases] == ["prefill", "decode", "pause"]
    assert float(found.phases[2].time) == pytest.approx(5000.0)
    assert sum(times(found)) + float(found.waiting) == pytest.approx(metric(found, "e2e_latency_s"), rel=1e-9)


def test_many_steps_over_many_plans_are_each_plans() -> None:
    degrees = np.array([1.0, 2.0, 4.0])
    work = job(*turns(40), batch=4.0)
    where = Deployment(chip=CHIP, num_chips=4, stack=STACK, plan=Plan(tp=degrees, dp=4.0 / degrees))
    together = np.asarray(inference.predict(work, where).metrics["e2e_latency_s"])
    assert together.shape == (3,)
    for degree, value in zip(degrees, together, strict=True):
        assert value == pytest.approx(metric(run(work, tp=degree, dp=4.0 / degree), "e2e_latency_s"), rel=1e-12)


def test_ten_million_tokens_are_a_context() -> None:
    found = run(job(Prefill(1e7), Decode(1000.0)), chip=replace(CHIP, memory=(Memory(name="HBM", capacity=1e13, bandwidth=4e12),)))  # fmt: skip
    assert bool(found.fits)
    assert 0 < metric(found, "ttft_s_ideal") <= metric(found, "ttft_s") < 1e7
