"""How benchmarks deal tokens to experts, and what of them the rank that they show gets.

The collectors of aiconfigurator time one rank of `ep` by itself: the first, or where loads are skewed the busiest. Its
share is counted from the deals that they make: the first rank has a whole expert to read however few tokens come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

import numpy as np

from roofline.numeric import Num

DRAWS = 64  # of loads of experts, over which the busiest rank is averaged
Deal = Literal["even", "random", "skewed"]


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank gets: rows for its experts, experts that get any, tokens that have any of its experts."""

    rows: Num
    touched: Num
    tokens: Num


def share(deal: Deal, m: Num, experts: Num, top_k: Num, ep: Num) -> Share:
    """The share of one rank of `ep` in `m` tokens that choose `top_k` of `experts`: dealt in turn, at random, or as the
    busiest rank has them where loads follow a power law."""
    columns = np.broadcast_arrays(*(np.atleast_1d(values) for values in (m, experts, top_k, ep)))
    found = [_DEALS[deal](*map(float, numbers)) for numbers in zip(*columns, strict=True)]
    rows, touched, tokens = np.array(found).T
    return Share(rows, touched, tokens)


@cache
def _in_turn(m: float, experts: float, top_k: float, ep: float) -> tuple[float, float, float]:
    """Each token takes the next expert and those a stride of `experts/top_k` away from it; fewer tokens than a stride
    are spread over it (ai-dynamo/aiconfigurator, `balanced_logits`)."""
    stride = np.ceil(experts / top_k)
    first = np.arange(m) * (1.0 if m >= stride else stride / m)
    chosen = np.floor(first[:, None] + np.arange(top_k) * stride) % experts
    own = chosen < experts / ep
    return float(own.sum()), float(np.unique(chosen[own]).size), float(own.any(axis=1).sum())


@cache
def _at_random(m: float, experts: float, top_k: float, ep: float) -> tuple[float, float, float]:
    """Expectations where each token chooses different experts with the same chance."""
    touched = experts * (1.0 - (1.0 - top_k / experts) ** m) / ep
    return m * top_k / ep, touched, m * (1.0 - (1.0 - 1.0 / ep) ** top_k)


@cache
def _busiest(m: float, experts: float, top_k: float, ep: float) -> tuple[float, float, float]:
    """The mean over draws of loads between 1 and .8 m tokens, or .01 and 2 where tokens are few, the logarithms of
    which are uniform: a power law with exponent 1, rounded. What that leaves, or makes too many, is dealt to all ranks
    in turn, to the experts of each that have least (ai-dynamo/aiconfigurator, `power_law_logits_v3`)."""
    low, high = (1.0, max(0.8 * m, 1.0)) if m * top_k > experts else (0.01, 2.0)
    loads = low * (high / low) ** np.random.default_rng(0).random((DRAWS, int(experts)))
    wanted = np.round(loads / loads.sum(axis=1, keepdims=True) * m * top_k)
    dealt = np.minimum(wanted, m).reshape(DRAWS, int(ep), -1)  # an expert gets a token once
    left = m * top_k - dealt.sum(axis=(1, 2))
    turns = np.sign(left)[:, None] * np.ceil(np.maximum(np.abs(left)[:, None] - np.arange(ep), 0.0) / ep)
    rows = dealt.sum(axis=2) + turns
    touched = np.clip((dealt > 0).sum(axis=2) + np.maximum(turns, 0.0), 1.0, np.minimum(experts / ep, rows))
    draws, busiest = np.arange(DRAWS), rows.argmax(axis=1)
    missed = np.prod(1.0 - dealt[draws, busiest] / m, axis=1) * (1.0 - 1.0 / m) ** np.maximum(turns[draws, busiest], 0)
    rows, touched = rows[draws, busiest], touched[draws, busiest]
    tokens = np.minimum(m * (1.0 - missed), rows)
    return float(rows.mean()), float(touched.mean()), float(tokens.mean())


_DEALS: Mapping[Deal, Callable[[float, float, float, float], tuple[float, float, float]]] = MappingProxyType(
    {"even": _in_turn, "random": _at_random, "skewed": _busiest}
)
