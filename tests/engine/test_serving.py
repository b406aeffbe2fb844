"""How requests share a server: arithmetic of seconds against queues that are played through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import serving

SECONDS = st.floats(min_value=1e-4, max_value=100.0)
OTHERS = st.integers(min_value=0, max_value=512).map(float)


def test_every_other_request_is_read_once_between_the_tokens() -> None:
    assert serving.interleaved(10.0, 0.5, 7.0) == 13.5


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
def test_a_turn_is_the_wait_of_a_queue_with_equal_prompts(load: float) -> None:
    """Poisson arrivals at a server that takes a second for each: waits added up customer by customer (Lindley)."""
    gaps = np.random.default_rng(1).exponential(1.0 / load, 200_000)
    wait, waits = 0.0, []
    for gap in gaps:
        waits.append(wait)
        wait = max(wait + 1.0 - float(gap), 0.0)
    others = 1e6  # so many that the cap does not count
    assert float(serving.turn(1.0, others, others / load)) == pytest.approx(np.mean(waits), rel=0.05)


@given(prefill=SECONDS, others=OTHERS, cycle=SECONDS)
def test_a_turn_is_never_longer_than_half_of_all_others(prefill: float, others: float, cycle: float) -> None:
    assert 0.0 <= float(serving.turn(prefill, others, cycle)) <= others * prefill / 2.0


@given(prefill=SECONDS, others=OTHERS, cycle=SECONDS, more=st.floats(min_value=1.0, max_value=10.0))
def test_longer_prompts_never_shorten_the_turn(prefill: float, others: float, cycle: float, more: float) -> None:
    short, long = (float(serving.turn(prompt, others, cycle)) for prompt in (prefill, prefill * more))
    assert long >= short * (1 - 1e-12)


def test_alone_nobody_waits() -> None:
    assert (float(serving.turn(1.0, 0.0, 10.0)), float(serving.opening(1.0, 0.0, 1.0))) == (0.0, 0.0)


@given(requests=st.integers(min_value=1, max_value=64), prefill=SECONDS)
def test_a_burst_is_read_one_after_another(requests: int, prefill: float) -> None:
    """All arrive at once: the first waits for none, the last for all others."""
    waits = [turn * prefill for turn in range(requests)]
    assert float(serving.opening(prefill, requests - 1.0, 1.0)) == pytest.approx(np.mean(waits))
