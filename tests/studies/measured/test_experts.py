"""How benchmarks of experts deal tokens out, against totals and drawing it all again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.studies.measured.kernels import Deal, _busiest, _dealt

TOKENS = np.array([64.0, 4096.0])
EXPERTS, TOP_K = np.array([128.0, 128.0]), np.array([8.0, 8.0])


@pytest.mark.parametrize("deal", ["even", "random", "skewed"])
def test_one_rank_gets_every_copy_of_every_token(deal: Deal) -> None:
    rows, touched = _dealt(deal, TOKENS, EXPERTS, TOP_K, np.ones(2))
    assert rows == pytest.approx(TOKENS * TOP_K, rel=0.02)  # loads are whole tokens
    assert np.all(touched <= EXPERTS)
    assert np.all(touched >= TOP_K)


def test_even_and_random_deals_give_each_rank_its_share() -> None:
    for deal in ("even", "random"):
        rows, touched = _dealt(deal, TOKENS, EXPERTS, TOP_K, np.array([8.0, 8.0]))
        assert rows == pytest.approx(TOKENS * TOP_K / 8)
        assert touched == pytest.approx([16.0, 16.0], rel=0.02)


@given(ranks=st.sampled_from([2, 4, 8, 16, 32, 64, 128]), tokens=st.integers(min_value=32, max_value=16384))
def test_the_busiest_rank_has_more_than_its_share_and_no_more_than_all(ranks: int, tokens: int) -> None:
    rows, touched = _busiest(float(tokens), 128.0, 8.0, float(ranks))
    mean = tokens * 8.0 / ranks
    assert mean * 0.98 <= rows <= tokens * 8.0 * 1.02
    assert 1.0 <= touched <= 128 / ranks


def test_the_busiest_of_many_ranks_has_the_largest_of_uniform_logarithms() -> None:
    """One expert a rank: the largest of 128 loads from 1 to .8 n tokens, over their mean (.8 n - 1)/ln(.8 n)."""
    tokens, most = 8192.0, 0.8 * 8192.0
    generator = np.random.default_rng(7)
    largest = np.mean(np.max(most ** generator.random((4000, 128)), axis=1))
    mean = (most - 1.0) / np.log(most)
    assert _busiest(tokens, 128.0, 8.0, 128.0)[0] == pytest.approx(tokens * 8.0 / 128 * largest / mean, rel=0.05)
