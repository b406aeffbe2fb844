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
    assert float(serving.following(1.0, 0.0)) == 0.0


@pytest.mark.parametrize("clients", [1, 2, 3, 8, 32])
def test_equally_long_requests_wait_for_the_prompt_under_way_and_the_one_that_is_scheduled(clients: int) -> None:
    """Steps played through: each has one prompt at most and takes a second with one, next to nothing without; what one
    step has in it was decided when the step before began, and a client asks again when it has its answer."""
    tokens, now = 100, 0.0
    waiting = [(0.0, client) for client in range(clients)]  # since when, who
    left: dict[int, int] = {}  # tokens still to come
    planned: tuple[float, int] | None = None
    waits: list[float] = []
    for _ in range(40 * tokens):
        reads, planned = planned, None
        ready = [item for item in waiting if item[0] < now]
        if ready:  # the step after this one is put together while this one begins
            planned = min(ready)
            waiting.remove(planned)
        now += 1.0 if reads else 1e-6
        ended = [client for client, count in left.items() if count == 1]
        left = {client: count - 1 for client, count in left.items() if count > 1}
        if reads:
            waits.append(now - reads[0] - 1.0)
            left[reads[1]] = tokens
        waiting += [(now + 1e-9, client) for client in ended]
    steady = waits[len(waits) // 2 :]
    assert np.mean(steady) == pytest.approx(float(serving.following(1.0, clients - 1.0)), abs=0.03)


@given(requests=st.integers(min_value=1, max_value=64), prefill=SECONDS)
def test_a_burst_is_read_one_after_another(requests: int, prefill: float) -> None:
    """All arrive at once: the first waits for none, the last for all others."""
    waits = [turn * prefill for turn in range(requests)]
    assert float(serving.opening(prefill, requests - 1.0, 1.0)) == pytest.approx(np.mean(waits))


def test_under_little_load_the_queue_is_that_of_open_arrivals() -> None:
    """Pollaczek and Khinchine: ρ/(1 − ρ) of half a prompt."""
    load = 0.01
    found = float(serving.queue(1.0, 100.0, 100.0 / load))
    assert found == pytest.approx(load / (1 - load) / 2, rel=1e-3)


def test_where_prompts_are_all_that_counts_all_others_are_ahead() -> None:
    """Little's law: a cycle lasts as long as everybody's prompts."""
    assert float(serving.queue(1.0, 1000.0, 10.0)) == pytest.approx(990.0, rel=1e-3)


@pytest.mark.parametrize(("clients", "away"), [(8, 20.0), (32, 60.0), (32, 30.0), (32, 10.0), (128, 140.0)])
def test_a_queue_of_so_many_clients_played_through(clients: int, away: float) -> None:
    """Each comes back after a random time to a server that takes a second for each, first come, first served."""
    draws = np.random.default_rng(1)
    arrivals = list(draws.exponential(away, clients))
    free, waits = 0.0, []
    for _ in range(60_000):
        index = int(np.argmin(arrivals))
        start = max(arrivals[index], free)
        waits.append(start - arrivals[index])
        free = start + 1.0
        arrivals[index] = free + draws.exponential(away)
    found = float(serving.queue(1.0, clients - 1.0, away + 1.0))
    assert found == pytest.approx(np.mean(waits), rel=0.25, abs=0.1)


@given(prefill=SECONDS, others=OTHERS, cycle=SECONDS)
def test_a_queue_has_no_more_than_all_others_in_it(prefill: float, others: float, cycle: float) -> None:
    found = float(serving.queue(prefill, others, cycle))
    assert 0.0 <= found <= others * prefill
    assert found >= min(others * prefill - cycle, others * prefill) * (1 - 1e-9)
