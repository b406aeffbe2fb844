"""Speculative decoding: the gain by hand and by simulation, what a step costs, what drafting adds, where it can't help."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import inference, memory
from roofline.engine.deployment import Deployment
from roofline.engine.lower import Pass, lower
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Efficiency, Memory, Peak, Stack
from roofline.workload import Decode, Model, Plan, Precision, Prefill, Serving, Speculation
from roofline.workload.speculation import tokens_per_step

CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e12, bandwidth=4e12),),
    achieved={"matmul": Efficiency(compute=0.7, memory=0.8, latency=3e-6, overlap=2.0)},
)
STACK = Stack(id="any", name="Any", step=5e-4, layer=1e-5, operator=1e-6, request=1e-3)


@cache
def named(name: str) -> Model:
    return Catalog().model(name)


def job(**more: Any) -> Serving:
    steps = (Prefill(1000.0), Decode(200.0))
    return replace(Serving(id="w", model=named("llama-3.1-8b"), steps=steps, batch=4.0), **more)


def run(work: Serving, stack: Stack = STACK, chip: Chip = CHIP) -> Prediction:
    return inference.predict(work, Deployment(chip=chip, num_chips=1, stack=stack, plan=Plan()))


def metric(found: Prediction, name: str) -> float:
    value = found.metrics[name]
    assert value is not None
    return float(value)


def time_of(found: Prediction, name: str) -> float:
    return sum(float(phase.time) for phase in found.phases if phase.name == name)


# --- the gain ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drafted", "acceptance", "expected"),
    [
        (0.0, 0.9, 1.0),
        (4.0, 0.0, 1.0),
        (1.0, 0.5, 1.5),
        (2.0, 0.5, 1.75),
        (4.0, 0.7, 1 + 0.7 + 0.49 + 0.343 + 0.2401),
        (7.0, 1.0, 8.0),
    ],
)
def test_a_step_yields_the_guesses_before_the_first_wrong_one_and_one_more(
    drafted: float, acceptance: float, expected: float
) -> None:
    """Equation 1 of Leviathan et al. 2023: the sum of the chances that 0, 1, … k guesses in a row are right."""
    assert float(tokens_per_step(drafted, acceptance)) == pytest.approx(expected, rel=1e-12)


def test_the_gain_agrees_with_drawing_at_random() -> None:
    right = np.random.default_rng(1).random((100_000, 4)) < 0.7
    accepted = np.cumprod(right, axis=1).sum(axis=1)
    assert float(tokens_per_step(4.0, 0.7)) == pytest.approx(float(np.mean(accepted + 1)), rel=0.01)


@given(
    drafted=st.integers(min_value=0, max_value=64).map(float),
    acceptance=st.floats(min_value=0.0, max_value=1.0),
    more=st.floats(min_value=0.0, max_value=1.0),
)
def test_better_guesses_and_more_of_them_never_yield_less(drafted: float, acceptance: float, more: float) -> None:
    gain = float(tokens_per_step(drafted, acceptance))
    assert 1.0 <= gain <= drafted + 1.0
    assert float(tokens_per_step(drafted, acceptance + (1.0 - acceptance) * more)) >= gain * (1 - 1e-9)
    assert float(tokens_per_step(drafted + 1.0, acceptance)) >= gain * (1 - 1e-9)


# --- what a step costs ------------------------------------------------------------------------------------------


def test_nothing_drafted_is_no_speculation() -> None:
    """To the last bit, whatever is said of the guesses that nobody makes."""
    plain, off = run(job()), run(job(speculative=Speculation(acceptance=0.9, cost=0.3)))
    assert {name: float(value) for name, value in plain.metrics.items() if value is not None} == {
        name: float(value) for name, value in off.metrics.items() if value is not None
    }
    assert [phase.name for phase in off.phases] == ["prefill", "decode"]


def test_a_pass_that_verifies_counts_every_token() -> None:
    """Rows, logits and queries of five tokens of each sequence; weights and cache are read once for all of them."""
    model, work = named("llama-3.1-8b"), Pass(sequences=8.0, context=1000.0, decode=True)
    one = {op.name: op for op in lower(model, Precision(), Plan(), work)}
    five = {op.name: op for op in lower(model, Precision(), Plan(), replace(work, new=5.0, logits=5.0))}
    for name in ("attention/qkv", "ffn/up", "head/logits"):
        assert float(five[name].flops) == 5 * float(one[name].flops)
        assert float(five[name].read) < 1.3 * float(one[name].read)
    core = five["attention/core"]
    heads = 2.0 * 8 * 32 * (128 + 128)
    assert float(core.flops) == pytest.approx(heads * sum(range(1001, 1006)), rel=1e-12)
    assert float(core.terms["l"]) == 1005.0


def test_verification_sums_over_single_steps() -> None:
    """Each step keeps `gain` tokens: the closed form against a loop over the steps."""
    guesses = Speculation(tokens=3.0, acceptance=1.0)
    whole = Serving(id="w", model=named("llama-3.1-8b"), steps=(Decode(200.0),), cached=500.0, speculative=guesses)
    found = run(whole)
    single = [replace(whole, steps=(Decode(4.0),), cached=500.0 + 4.0 * step) for step in range(50)]
    assert time_of(found, "decode") == pytest.approx(sum(time_of(run(item), "decode") for item in single), rel=1e-9)


def test_perfect_free_guesses_divide_the_steps() -> None:
    """Every guess right and free: a fifth of the steps, each a little longer, so nearly five times the tokens."""
    plain, quick = run(job(batch=1.0)), run(job(batch=1.0, speculative=Speculation(tokens=4.0, acceptance=1.0)))
    assert 4.5 < metric(plain, "tpot_s") / metric(quick, "tpot_s") <= 5.0
    assert float(quick.phases[-1].repeat) == pytest.approx(40.0, rel=1e-12)


@pytest.mark.parametrize("batch", [1.0, 64.0])
@pytest.mark.parametrize("by", ["llama-3.2-1b", None])
def test_guesses_that_are_always_wrong_only_cost(batch: float, by: str | None) -> None:
    guesses = Speculation(tokens=4.0, acceptance=0.0, model=named(by) if by else None, cost=0.0 if by else 0.05)
    plain, wrong = run(job(batch=batch)), run(job(batch=batch, speculative=guesses))
    for name in ("tpot_s", "tpot_s_ideal", "e2e_latency_s"):
        assert metric(wrong, name) > metric(plain, name)
    assert float(wrong.phases[-1].repeat) == 200.0


def test_a_large_batch_has_no_room_for_guesses() -> None:
    """Bound by memory, five tokens cost hardly more than one; bound by the arithmetic of weights, five times."""
    guesses, short = Speculation(tokens=4.0, acceptance=0.7), (Decode(50.0),)
    speedups = [
        metric(run(job(batch=batch, steps=short)), "tpot_s_ideal")
        / metric(run(job(batch=batch, steps=short, speculative=guesses)), "tpot_s_ideal")
        for batch in (1.0, 4096.0)
    ]
    assert speedups[0] > 2.5
    assert speedups[1] < 1.0


def test_what_is_refused_is_not_useful() -> None:
    """Model FLOPs are those of the tokens that stay: as many as without guesses, but for what attention sees."""
    plain, guessed = (
        run(job(speculative=guesses)).phases[-1] for guesses in (Speculation(), Speculation(tokens=4.0, acceptance=0.7))
    )
    useful = [float(phase.repeat * phase.useful_flops) for phase in (plain, guessed)]
    assert useful[1] == pytest.approx(useful[0], rel=2e-3)
    assert float(guessed.flops) > 1.7 * float(plain.flops)


# --- what drafts ------------------------------------------------------------------------------------------------


def test_drafting_is_a_phase_of_its_own_and_all_adds_up() -> None:
    guesses = Speculation(tokens=4.0, acceptance=0.7, model=named("llama-3.2-1b"))
    found = run(job(batch=1.0, speculative=guesses))
    assert [phase.name for phase in found.phases] == ["draft-prefill", "prefill", "draft", "decode"]
    drafting, verifying = time_of(found, "draft"), time_of(found, "decode")
    assert metric(found, "tpot_s") * 200.0 == pytest.approx(drafting + verifying, rel=1e-12)
    reading = time_of(found, "draft-prefill") + time_of(found, "prefill")
    assert metric(found, "ttft_s") == pytest.approx(reading + STACK.request, rel=1e-12)
    for phase in found.phases[2:]:
        parts = sum(float(item.time) for item in phase.operators)
        assert float(phase.time) == pytest.approx(float(phase.repeat) * parts, rel=1e-12)


def test_a_draft_model_decodes_one_token_after_another() -> None:
    """The k guesses of every step against single steps of the draft model by itself, each at its own context."""
    model, guesses = named("llama-3.2-1b"), Speculation(tokens=4.0, acceptance=1.0, model=named("llama-3.2-1b"))
    found = run(Serving(id="w", model=named("llama-3.1-8b"), steps=(Decode(50.0),), cached=700.0, speculative=guesses))
    alone = Serving(id="d", model=model, steps=(Decode(1.0),))
    contexts = [700.0 + 5.0 * step + guess for step in range(10) for guess in range(4)]
    single = sum(time_of(run(replace(alone, cached=context)), "decode") for context in contexts)
    assert time_of(found, "draft") == pytest.approx(single, rel=1e-9)


def test_heads_of_the_model_take_a_share_of_its_time_for_each_guess() -> None:
    guesses = Speculation(tokens=3.0, acceptance=0.0, cost=0.05)
    found, plain = run(job(speculative=guesses)), run(job())
    expected = 3 * 0.05 * time_of(plain, "decode")
    assert time_of(found, "draft") == pytest.approx(expected, rel=2e-3)  # guesses see the guesses before them
    assert time_of(found, "draft-prefill") == pytest.approx(0.05 * time_of(plain, "prefill"), rel=1e-12)


def test_n_grams_are_free() -> None:
    found = run(job(speculative=Speculation(tokens=3.0, acceptance=0.5)))
    assert [phase.name for phase in found.phases] == ["prefill", "decode"]


def test_a_draft_model_takes_room_for_weights_and_cache() -> None:
    draft, target = named("llama-3.2-1b"), named("llama-3.1-8b")
    plain, found = run(job()), run(job(speculative=Speculation(tokens=4.0, acceptance=0.7, model=draft)))
    added = float(found.memory.weights) - float(plain.memory.weights)
    assert added == pytest.approx(float(memory.weight_bytes(draft, Precision(), Plan())), rel=1e-12)
    more = draft.cache_values_per_token / target.cache_values_per_token
    assert float(found.memory.kv_cache) == pytest.approx(float(plain.memory.kv_cache) * (1 + more), rel=1e-12)
    assert float(found.max_batch) < float(plain.max_batch)


def test_heads_take_their_share_of_the_room() -> None:
    plain, found = run(job()), run(job(speculative=Speculation(tokens=4.0, acceptance=0.7, cost=0.05)))
    assert float(found.memory.weights) == pytest.approx(1.05 * float(plain.memory.weights), rel=1e-12)
    assert float(found.memory.kv_cache) == pytest.approx(1.05 * float(plain.memory.kv_cache), rel=1e-12)


def test_what_the_reader_must_know_is_noted() -> None:
    guesses = Speculation(tokens=4.0, acceptance=0.7, model=named("qwen3-0.6b"))
    notes = run(job(speculative=guesses)).notes
    assert "speculative decoding: a step keeps 2.77 of 5 tokens on average" in notes
    assert any("qwen3-0.6b has 151,936 tokens, llama-3.1-8b 128,256" in note for note in notes)


# --- laws -------------------------------------------------------------------------------------------------------

GUESSES = st.builds(
    Speculation,
    tokens=st.integers(min_value=0, max_value=8).map(float),
    acceptance=st.floats(min_value=0.0, max_value=1.0),
    model=st.sampled_from([None, "llama-3.2-1b"]).map(lambda name: named(name) if name else None),
    cost=st.floats(min_value=0.0, max_value=0.5),
)


@settings(max_examples=25)
@given(guesses=GUESSES, batch=st.sampled_from([1.0, 7.0, 300.0]))
def test_the_bound_is_never_slower_than_the_expectation(guesses: Speculation, batch: float) -> None:
    found = run(job(batch=batch, speculative=guesses))
    for name in ("ttft_s", "tpot_s", "e2e_latency_s"):
        assert metric(found, f"{name}_ideal") <= metric(found, name) * (1 + 1e-12)
    for phase in found.phases:
        assert float(phase.ideal_time) <= float(phase.time) * (1 + 1e-12)


@settings(max_examples=25)
@given(guesses=GUESSES, more=st.floats(min_value=0.0, max_value=1.0))
def test_better_guesses_are_never_slower(guesses: Speculation, more: float) -> None:
    better = replace(guesses, acceptance=guesses.acceptance + (1.0 - guesses.acceptance) * more)
    times = [metric(run(job(batch=1.0, speculative=item)), "tpot_s") for item in (guesses, better)]
    assert times[1] <= times[0] * (1 + 1e-9)


@pytest.mark.parametrize("by", ["llama-3.2-1b", None])
def test_a_sweep_is_its_points(by: str | None) -> None:
    """Tokens, chances and costs as axes, none drafted among them: the same bits as one by one."""
    tokens, chances = np.array([0.0, 1.0, 4.0])[:, None], np.array([0.0, 0.7, 1.0])
    model = named(by) if by else None
    cost = np.array([[0.0], [0.05], [0.1]])
    swept = run(job(speculative=Speculation(tokens=tokens, acceptance=chances, model=model, cost=cost)))
    for row in range(3):
        for column in range(3):
            point = Speculation(
                tokens=float(tokens[row, 0]), acceptance=float(chances[column]), model=model, cost=float(cost[row, 0])
            )
            alone = run(job(speculative=point))
            for name in ("ttft_s", "tpot_s", "tpot_s_ideal", "output_tokens_per_s"):
                value = np.broadcast_to(np.asarray(swept.metrics[name]), (3, 3))[row, column]
                assert float(value) == pytest.approx(metric(alone, name), rel=1e-12), (name, row, column)
