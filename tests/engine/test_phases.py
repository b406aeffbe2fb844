"""Prompts of a static batch: read together as far as a pass takes them, in rounds where it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import inference
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Phase, Prediction
from roofline.machine import Chip, Memory, Peak, Stack
from roofline.workload import Attention, Block, Decode, DenseFFN, Model, Plan, Prefill, Serving

CHIP = Chip(id="any", name="Any", vendor="any", kind="gpu", peaks={"bf16": Peak(dense=1e15)},
            memory=(Memory(name="HBM", capacity=1e12, bandwidth=4e12),))  # fmt: skip
MODEL = Model(id="m", name="M", hidden=512, vocab=1000, blocks=(
    Block(count=4, mixer=Attention(heads=8, kv_heads=8, head_dim=64), ffn=DenseFFN(width=2048)),))  # fmt: skip


def served(batch: float, tokens: float, chunk: float, **degrees: float) -> Prediction:
    plan = Plan(**degrees)  # type: ignore[arg-type]
    stack = Stack(id="any", name="Any", batching="static", prefill_chunk=chunk)
    work = Serving(id="w", model=MODEL, steps=(Prefill(tokens), Decode(16.0)), batch=batch)
    return inference.predict(work, Deployment(chip=CHIP, num_chips=int(plan.num_chips), stack=stack, plan=plan))


def prefill(batch: float, tokens: float, chunk: float, **degrees: float) -> Phase:
    return served(batch, tokens, chunk, **degrees).phases[0]


def rows(phase: Phase) -> float:
    """Rows of one layer's first product in one pass."""
    return float(next(item.op for item in phase.operators if item.op.name == "attention/qkv").terms["m"])


@pytest.mark.parametrize(
    ("batch", "chunk", "rounds", "each"),
    [
        (8.0, 1e9, 1.0, 8.0),
        (8.0, 400.0, 2.0, 4.0),
        (8.0, 399.0, 3.0, 8.0 / 3.0),
        (8.0, 100.0, 8.0, 1.0),
        (8.0, 50.0, 16.0, 0.5),
    ],
)
def test_rounds_read_every_token_once(batch: float, chunk: float, rounds: float, each: float) -> None:
    """100 tokens each: so many prompts in a pass, or half of one."""
    phase = prefill(batch, 100.0, chunk)
    assert float(phase.repeat) == rounds
    assert rows(phase) == pytest.approx(100.0 * each)
    assert rows(phase) * rounds == pytest.approx(batch * 100.0)


def test_replicas_share_a_batch() -> None:
    assert rows(prefill(8.0, 100.0, 1e9, dp=4.0)) == 200.0


@pytest.mark.parametrize("chunk", [1e9, 400.0, 50.0])
def test_the_rate_of_prompts_is_that_of_the_whole_batch(chunk: float) -> None:
    found = served(8.0, 100.0, chunk)
    assert found.metrics["prefill_tokens_per_s"] == pytest.approx(8 * 100.0 / float(found.phases[0].time))


@given(
    batch=st.integers(min_value=1, max_value=4096).map(float),
    handling=st.floats(min_value=0.0, max_value=1e-3),
    step=st.floats(min_value=0.0, max_value=1e-2),
    replicas=st.sampled_from([1.0, 2.0, 4.0]),
)
def test_a_step_takes_as_long_as_its_sequences_take_the_host(
    batch: float, handling: float, step: float, replicas: float
) -> None:
    """The host handles the step before while the chip works: the longer of the two; each replica has a host."""

    def decode(**overheads: float) -> float:
        stack = Stack(id="any", name="Any", batching="static", **overheads)  # type: ignore[arg-type]
        work = Serving(id="w", model=MODEL, steps=(Decode(16.0),), batch=batch * replicas)
        where = Deployment(chip=CHIP, num_chips=int(replicas), stack=stack, plan=Plan(dp=replicas))
        return float(inference.predict(work, where).phases[0].step_time)

    assert decode(handling=handling, step=step) == pytest.approx(max(decode(step=step), handling * batch))
