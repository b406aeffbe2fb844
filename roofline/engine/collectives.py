"""Collectives: latency + bytes/bandwidth, per algorithm and topology, inside a scale-up domain and beyond it.

A group whose members do not share one domain works in two levels (as NCCL's and MSCCL's hierarchical algorithms do):
first among the members inside a domain, then among domains, where each member carries its share. Latency counts the
steps of the algorithm; bandwidth is that of one chip in one direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from roofline.engine.ops import Message, drawn
from roofline.machine import Chip, Link, LinkEfficiency, Stack
from roofline.machine.chip import IDEAL_LINK
from roofline.machine.stack import DIRECT
from roofline.numeric import Num, larger, p_norm, smaller, where

# Bytes that each rank sends (= receives) for a buffer of size S among n ranks, as a multiple of S.
# All-reduce = reduce-scatter + all-gather (Thakur, Rabenseifner, Gropp 2005, sections 3 and 4).
VOLUME: Mapping[str, Callable[[Num], Num]] = MappingProxyType(
    {
        "all-reduce": lambda n: 2.0 * (n - 1.0) / n,
        "all-gather": lambda n: (n - 1.0) / n,
        "reduce-scatter": lambda n: (n - 1.0) / n,
        "all-to-all": lambda n: (n - 1.0) / n,
        "send": lambda n: smaller(n - 1.0, 1.0),
    }
)

# Exchanges with a neighbour, one after another, in the ring algorithms; all-to-all has all of its messages at once.
STEPS: Mapping[str, Callable[[Num], Num]] = MappingProxyType(
    {
        "all-reduce": lambda n: 2.0 * (n - 1.0),
        "all-gather": lambda n: n - 1.0,
        "reduce-scatter": lambda n: n - 1.0,
        "all-to-all": lambda n: smaller(n - 1.0, 1.0),
        "send": lambda n: smaller(n - 1.0, 1.0),
    }
)

TORUS_AXES: Mapping[str, float] = MappingProxyType({"ring": 1.0, "torus2d": 2.0, "torus3d": 3.0})


def time(message: Message, chip: Chip, stack: Stack, *, ideal: bool) -> Num:
    """Seconds of one collective on a chip's links; 0 for a group of one, infinite where no link reaches.

    `ideal` takes the datasheet bandwidth and link latency; otherwise what was measured of a library's ring or of its
    messages from each to each, or of a stack's own kernel, one exchange with every peer; for all-reduces of the faster.
    """
    near, far = chip.link("scale-up"), chip.link("scale-out")
    domain = near.chips if near else 1.0
    inside = smaller(larger(np.floor(domain / message.stride), 1.0), message.ranks)
    outside = message.ranks / inside
    if message.algorithm == "all-to-all":  # every pair has its own bytes: each level carries those that end in it
        sizes = (
            message.size * drawn(message.ranks, message.copies) / outside,
            message.size * drawn(outside, message.copies),
        )
    else:
        sizes = message.size, message.size / inside
    levels: tuple[tuple[Num, Num, Link | None], ...] = ((sizes[0], inside, near), (sizes[1], outside, far))
    return sum(
        (_level(message.algorithm, size, ranks, link, chip, stack, ideal) for size, ranks, link in levels), start=0.0
    )


def _level(
    algorithm: str, size: Num, ranks: Num, link: Link | None, chip: Chip, stack: Stack, ideal: bool
) -> Num:  # fmt: skip
    """Seconds among `ranks` members that all use `link`."""
    if link is None:
        return where(ranks > 1.0, np.inf, 0.0)
    if ideal:
        once = algorithm == "all-reduce" and link.topology == "switch"  # a switch may add up what passes through it
        volume = smaller(VOLUME[algorithm](ranks), 1.0) if once else VOLUME[algorithm](ranks)
        return size * volume / bandwidth(link, ranks, algorithm) + steps(link, ranks) * link.latency
    key = chip.link_key(link.scope, algorithm)
    apart = key != link.scope and algorithm == "all-to-all"  # one message is begun after the other
    exchanges = ranks - 1.0 if apart else STEPS[algorithm](ranks)
    found = _exchange(algorithm, size, ranks, link, chip.achieved_links.get(key, IDEAL_LINK), exchanges)
    own = chip.achieved_links.get(f"{link.scope}/{algorithm}") if stack.collectives == DIRECT else None
    if own is None:
        return found
    direct = _exchange(algorithm, size, ranks, link, own, ranks - 1.0)
    return smaller(found, direct) if algorithm == "all-reduce" else direct


def _exchange(algorithm: str, size: Num, ranks: Num, link: Link, reached: LinkEfficiency, exchanges: Num) -> Num:
    """Seconds of one algorithm on one level (see `LinkEfficiency`)."""
    transfer = size * VOLUME[algorithm](ranks) / (bandwidth(link, ranks, algorithm) * reached.bandwidth)
    start = where(ranks > 1.0, reached.latency, 0.0) + reached.step * exchanges
    return p_norm(start, transfer, reached.overlap) + steps(link, ranks) * link.latency


def bandwidth(link: Link, ranks: Num, algorithm: str) -> Num:
    """Bandwidth [B/s] that one chip has towards `ranks - 1` others.

    A mesh gives each pair of chips its own link, so few partners can use only few of them. A switch gives everything
    to everybody. In a torus only links among the members help: a ring of four is a square, so up to four chips an axis
    a group is a hypercube with `log2(ranks)` links a chip, of two an axis. All-to-all crosses half of the links of a
    hypercube's path, or a quarter of each longer ring, on every axis. Where the ends of an axis are not joined, chips
    there have one neighbour instead of two, and all-to-all crosses a line instead of a ring: half of it.
    """
    if link.topology == "mesh":
        return link.bandwidth * np.clip((ranks - 1.0) / larger(link.chips - 1.0, 1.0), 1e-9, 1.0)
    if link.topology not in TORUS_AXES:
        return link.bandwidth
    axes = TORUS_AXES[link.topology]
    if algorithm == "all-to-all":
        length = np.power(ranks, 1.0 / axes)
        return link.bandwidth * larger(1.0 - 1.0 / ranks, 1e-9) / (axes * larger(length / (4.0 * link.rings), 1.0))
    return link.bandwidth * np.clip(np.log2(ranks) / (2.0 * axes), 1e-9, link.rings)


def steps(link: Link, ranks: Num) -> Num:
    """Hops in a row that a message takes at least: along each axis of a torus, by doubling through a switch; in a
    dragonfly no more than to the edge of a group, to another, and on inside it (Kim et al., ISCA 2008)."""
    if link.topology in TORUS_AXES:
        axes = TORUS_AXES[link.topology]
        return axes * (np.power(ranks, 1.0 / axes) - 1.0)
    doublings = np.ceil(np.log2(ranks))
    return smaller(doublings, 3.0) if link.topology == "dragonfly" else doublings
