"""Collectives against their closed forms; what constants, shipped or made up, may not do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.engine.collectives import STEPS, VOLUME, time
from roofline.engine.ops import Message, drawn
from roofline.machine import Chip, Link, LinkEfficiency, Memory, Peak, Stack
from roofline.machine.chip import Topology
from roofline.numeric import p_norm

NEAR = Link(name="near", scope="scale-up", bandwidth=400e9, latency=1e-6, chips=8.0)
FAR = Link(name="far", scope="scale-out", bandwidth=50e9, latency=5e-6)
LIBRARY = Stack(id="any", name="Any")
DIRECT = Stack(id="any", name="Any", collectives="direct")
US = 1e-6


def chip(*links: Link, **achieved: LinkEfficiency) -> Chip:
    return Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=1e11, bandwidth=1e12),),
        links=links,
        achieved_links={name.replace("__", "/").replace("_", "-"): value for name, value in achieved.items()},
    )


def ideal(message: Message, machine: Chip) -> float:
    return float(time(message, machine, LIBRARY, ideal=True))


def expected(message: Message, machine: Chip, stack: Stack = LIBRARY) -> float:
    return float(time(message, machine, stack, ideal=False))


# --- the datasheet ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", sorted(VOLUME))
def test_alone_there_is_nothing_to_send(algorithm: str) -> None:
    slow = LinkEfficiency(bandwidth=0.1, latency=1.0, step=1.0)
    machine = chip(NEAR, FAR, scale_up=slow, scale_out=slow, scale_up__all_reduce=slow, scale_up__all_to_all=slow)
    assert expected(Message(algorithm, 1e9, 1.0), machine, DIRECT) == 0.0


def test_a_switch_may_add_up_what_passes_through_it() -> None:
    """Each rank sends its buffer once and gets the sum once, after log2(n) steps: no all-reduce is faster."""
    assert ideal(Message("all-reduce", 1e9, 8.0), chip(NEAR)) == pytest.approx(1e9 / 400e9 + 3 * US, rel=1e-12)


@pytest.mark.parametrize("topology", ["mesh", "ring"])
def test_without_a_switch_every_chip_adds_up_its_share(topology: Topology) -> None:
    """2(n−1)/n·S/bandwidth: a reduce-scatter and an all-gather."""
    machine = chip(replace(NEAR, topology=topology, latency=0.0))
    assert ideal(Message("all-reduce", 1e9, 8.0), machine) == pytest.approx(2 * 7 / 8 * 1e9 / 400e9, rel=1e-12)


def test_all_reduce_is_a_reduce_scatter_and_an_all_gather() -> None:
    machine = chip(replace(NEAR, latency=0.0))
    parts = [expected(Message(name, 1e9, 8.0), machine) for name in ("reduce-scatter", "all-gather")]
    assert expected(Message("all-reduce", 1e9, 8.0), machine) == pytest.approx(sum(parts), rel=1e-12)


def test_two_levels_beyond_the_domain() -> None:
    """16 ranks in 2 domains: the inner all-reduce, then an eighth of the buffer between the two domains."""
    inner = 2 * 7 / 8 * 1e9 / 400e9 + 3 * US
    outer = 2 * 1 / 2 * (1e9 / 8) / 50e9 + 5 * US
    assert expected(Message("all-reduce", 1e9, 16.0), chip(NEAR, FAR)) == pytest.approx(inner + outer, rel=1e-12)


def test_strided_groups_leave_the_domain_early() -> None:
    """Every eighth chip: no two members share a domain."""
    found = expected(Message("all-reduce", 1e9, 4.0, stride=8.0), chip(NEAR, FAR))
    assert found == pytest.approx(2 * 3 / 4 * 1e9 / 50e9 + 2 * 5 * US, rel=1e-12)


def test_all_to_all_sends_each_byte_once() -> None:
    """Of S bytes a rank keeps 1/n, sends 7/16 inside its domain and half beyond it."""
    machine = chip(replace(NEAR, latency=0.0), replace(FAR, latency=0.0))
    found = ideal(Message("all-to-all", 1e9, 16.0), machine)
    assert found == pytest.approx(7 / 16 * 1e9 / 400e9 + 1 / 2 * 1e9 / 50e9, rel=1e-12)


def test_a_token_for_many_experts_goes_once_to_each_rank_and_each_domain() -> None:
    """Eight experts drawn from 16 ranks in 2 domains: 6.45 of the ranks, 1.99 of the domains."""
    machine = chip(replace(NEAR, latency=0.0), replace(FAR, latency=0.0))
    ranks, domains = 16 * (1 - (15 / 16) ** 8), 2 * (1 - (1 / 2) ** 8)
    found = ideal(Message("all-to-all", 1e9, 16.0, copies=8.0), machine)
    assert found == pytest.approx(7 / 8 * ranks / 2 * 1e9 / 400e9 + 1 / 2 * domains * 1e9 / 50e9, rel=1e-12)


@given(
    ranks=st.sampled_from([2.0, 8.0, 16.0, 64.0]),
    copies=st.integers(min_value=1, max_value=16).map(float),
    more=st.integers(min_value=0, max_value=16).map(float),
)
def test_more_copies_never_take_less(ranks: float, copies: float, more: float) -> None:
    few, many = (Message("all-to-all", 1e6, ranks, copies=value) for value in (copies, copies + more))
    assert ideal(many, chip(NEAR, FAR)) >= ideal(few, chip(NEAR, FAR)) * (1 - 1e-12)


def test_drawn_places_agree_with_drawing() -> None:
    generator = np.random.default_rng(1)
    distinct = [len(set(generator.integers(16, size=8).tolist())) for _ in range(4000)]
    assert float(drawn(16.0, 8.0)) == pytest.approx(np.mean(distinct), rel=0.01)


def test_a_mesh_gives_two_chips_one_of_their_seven_links() -> None:
    mesh = replace(NEAR, topology="mesh", latency=0.0)
    assert ideal(Message("all-reduce", 1e9, 2.0), chip(mesh)) == pytest.approx(1e9 / (400e9 / 7), rel=1e-12)


def test_a_torus_pays_the_hops_of_each_axis() -> None:
    torus = replace(NEAR, topology="torus2d", chips=256.0)
    assert ideal(Message("all-reduce", 0.0, 16.0), chip(torus)) == pytest.approx(2 * 3 * US, rel=1e-9)


@pytest.mark.parametrize(("links", "ranks"), [((), 2.0), ((NEAR,), 16.0)])
def test_no_link_no_way(links: tuple[Link, ...], ranks: float) -> None:
    assert np.isinf(ideal(Message("all-reduce", 1.0, ranks), chip(*links)))


# --- a library's rings ------------------------------------------------------------------------------------------

RING = LinkEfficiency(bandwidth=0.5, latency=4 * US, step=1 * US)


@pytest.mark.parametrize(
    ("algorithm", "exchanges"),
    [("all-reduce", 14), ("all-gather", 7), ("reduce-scatter", 7), ("all-to-all", 1), ("send", 1)],
)
def test_a_ring_passes_pieces_from_neighbour_to_neighbour(algorithm: str, exchanges: int) -> None:
    """Half the bandwidth, the beginning, each exchange, 3 hops; all-to-all has all of its messages at once."""
    transfer = float(VOLUME[algorithm](8.0)) * 1e9 / 200e9
    found = expected(Message(algorithm, 1e9, 8.0), chip(NEAR, scale_up=RING))
    assert found == pytest.approx(transfer + 4 * US + exchanges * US + 3 * US, rel=1e-12)


SENDS = LinkEfficiency(bandwidth=0.4, latency=9 * US, step=0.2 * US)


@pytest.mark.parametrize(("algorithm", "exchanges"), [("all-to-all", 7), ("send", 1)])
def test_messages_from_each_to_each_have_constants_of_their_own(algorithm: str, exchanges: int) -> None:
    """Each message of all-to-all is begun after the other, and a send is one alone; rings stay as they are."""
    both = chip(NEAR, scale_up=RING, scale_up__sends=SENDS)
    transfer = float(VOLUME[algorithm](8.0)) * 1e9 / 160e9
    found = expected(Message(algorithm, 1e9, 8.0), both)
    assert found == pytest.approx(transfer + 9 * US + exchanges * 0.2 * US + 3 * US, rel=1e-12)
    ring = Message("all-gather", 1e9, 8.0)
    assert expected(ring, both) == expected(ring, chip(NEAR, scale_up=RING))


@pytest.mark.parametrize("algorithm", sorted(VOLUME))
def test_what_was_not_measured_is_the_datasheet(algorithm: str) -> None:
    """Where chips add up themselves, that is: nobody expects a switch to, unless it was measured."""
    message, machine = (
        Message(algorithm, 1e9, 16.0),
        chip(replace(NEAR, topology="mesh"), replace(FAR, topology="mesh")),
    )
    assert expected(message, machine, DIRECT) == ideal(message, machine)


def test_each_level_has_its_own_constants() -> None:
    message = Message("all-reduce", 0.0, 16.0)
    machine = chip(NEAR, FAR, scale_out=LinkEfficiency(latency=50 * US))
    assert expected(message, machine) - expected(message, chip(NEAR, FAR)) == pytest.approx(50 * US, rel=1e-9)


@given(
    chain=st.floats(min_value=1.0, max_value=100.0),
    step=st.floats(min_value=1e-7, max_value=1e-5),
    transfer=st.floats(min_value=1e-6, max_value=1e-1),
)
def test_an_overlap_of_a_half_is_a_message_cut_into_the_best_pieces(chain: float, step: float, transfer: float) -> None:
    """k pieces along a chain of c + 1 exchanges take (c + k)(step + transfer/k); the best k is √(c·transfer/step)."""
    best = np.sqrt(chain * transfer / step)
    pipelined = (chain + best) * (step + transfer / best)
    assert float(p_norm(chain * step, transfer, 0.5)) == pytest.approx(pipelined, rel=1e-9)


def test_a_slow_pipeline_is_priced_as_one() -> None:
    """4 us to begin and 14 exchanges, 8.75 ms of bytes at half the bandwidth, 3 hops."""
    found = expected(Message("all-reduce", 1e9, 8.0), chip(NEAR, scale_up=replace(RING, overlap=0.5)))
    assert found == pytest.approx((np.sqrt(18 * US) + np.sqrt(8.75e-3)) ** 2 + 3 * US, rel=1e-12)


# --- a stack's own kernels --------------------------------------------------------------------------------------

OWN = LinkEfficiency(bandwidth=0.25, latency=2 * US, step=0.5 * US)
BOTH = chip(NEAR, scale_up=RING, scale_up__all_reduce=OWN, scale_up__all_to_all=OWN)


def test_an_own_kernel_exchanges_with_every_peer() -> None:
    """All-to-all of 8: 7/8 of the bytes at a quarter of the bandwidth, the beginning, 7 exchanges, 3 hops."""
    found = expected(Message("all-to-all", 1e9, 8.0), BOTH, DIRECT)
    assert found == pytest.approx(7 / 8 * 1e9 / 100e9 + 2 * US + 7 * 0.5 * US + 3 * US, rel=1e-12)


@pytest.mark.parametrize(("size", "expectation"), [(1e3, OWN), (1e9, RING)])
def test_all_reduce_takes_the_faster_kernel(size: float, expectation: LinkEfficiency) -> None:
    """An own kernel begins sooner, a ring sends faster."""
    message = Message("all-reduce", size, 8.0)
    exchanges = 7.0 if expectation is OWN else 14.0
    alone = chip(NEAR, scale_up=replace(expectation, step=expectation.step * exchanges / 14.0))
    assert expected(message, BOTH, DIRECT) == pytest.approx(expected(message, alone), rel=1e-12)


@given(size=st.floats(min_value=1.0, max_value=1e10), ranks=st.sampled_from([2.0, 4.0, 8.0]))
def test_having_kernels_of_its_own_never_slows_an_all_reduce(size: float, ranks: float) -> None:
    message = Message("all-reduce", size, ranks)
    assert expected(message, BOTH, DIRECT) <= expected(message, BOTH, LIBRARY)


@pytest.mark.parametrize("algorithm", ["all-gather", "reduce-scatter", "send"])
def test_what_a_stack_has_no_kernel_for_is_left_to_the_library(algorithm: str) -> None:
    message = Message(algorithm, 1e6, 8.0)
    assert expected(message, BOTH, DIRECT) == expected(message, BOTH, LIBRARY)


def test_a_library_has_no_part_in_own_kernels() -> None:
    message = Message("all-to-all", 1e3, 8.0)
    assert expected(message, BOTH, LIBRARY) == expected(message, chip(NEAR, scale_up=RING), LIBRARY)


# --- what no constants may do -----------------------------------------------------------------------------------

CATALOG = Catalog()
CALIBRATED = sorted(name for name, path in CATALOG.files(KINDS["chip"]).items() if path.parent.name == "chips")
FAMILIES = [name for name in CATALOG.families() if CATALOG.family(name).links]
MACHINES = ["rough", *FAMILIES, *CALIBRATED]
FEW = 25  # examples on each of many machines
ROUGH = LinkEfficiency(bandwidth=0.6, latency=8 * US, step=1 * US, overlap=0.6)


@cache
def shipped(name: str) -> Chip:
    """The machine of that name: made up, a family's constants on one datasheet, or a chip of the catalogue."""
    if name == "rough":
        return chip(NEAR, FAR, scale_up=ROUGH, scale_out=ROUGH, scale_up__all_reduce=replace(ROUGH, overlap=1.0))
    if name in CALIBRATED:
        return CATALOG.chip(name)
    return replace(chip(NEAR, FAR), achieved_links=CATALOG.family(name).links)


ALGORITHM = st.sampled_from(sorted(VOLUME))
RANKS = st.sampled_from([2.0, 4.0, 8.0, 16.0, 64.0])
BYTES = st.floats(min_value=1.0, max_value=1e12)
MORE = st.floats(min_value=1.0, max_value=10.0)
STACKS = st.sampled_from([LIBRARY, DIRECT])


def reachable(name: str, ranks: float) -> float:
    """The group, no larger than the links of the machine join."""
    machine = shipped(name)
    most = max(float(link.chips) for link in machine.links) if machine.links else 1.0
    return min(ranks, most)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(algorithm=ALGORITHM, ranks=RANKS, size=BYTES, more=MORE, stack=STACKS)
def test_more_bytes_never_take_less(
    name: str, algorithm: str, ranks: float, size: float, more: float, stack: Stack
) -> None:
    group = reachable(name, ranks)
    less, greater = (expected(Message(algorithm, value, group), shipped(name), stack) for value in (size, size * more))
    assert greater >= less * (1 - 1e-12)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(algorithm=ALGORITHM, ranks=RANKS, size=BYTES, stack=STACKS)
def test_an_expectation_never_beats_the_datasheet(
    name: str, algorithm: str, ranks: float, size: float, stack: Stack
) -> None:
    message = Message(algorithm, size, reachable(name, ranks))
    assert expected(message, shipped(name), stack) >= ideal(message, shipped(name)) * (1 - 1e-12)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(algorithm=ALGORITHM, ranks=RANKS, size=BYTES, other=BYTES, stack=STACKS)
def test_two_messages_in_one_never_cost_more_than_two(
    name: str, algorithm: str, ranks: float, size: float, other: float, stack: Stack
) -> None:
    group, machine = reachable(name, ranks), shipped(name)
    apart = sum(expected(Message(algorithm, value, group), machine, stack) for value in (size, other))
    assert expected(Message(algorithm, size + other, group), machine, stack) <= apart * (1 + 1e-12)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(algorithm=ALGORITHM, ranks=RANKS, size=BYTES, more=MORE, stack=STACKS)
def test_a_faster_link_is_never_slower(
    name: str, algorithm: str, ranks: float, size: float, more: float, stack: Stack
) -> None:
    machine, message = shipped(name), Message(algorithm, size, reachable(name, ranks))
    faster = replace(machine, links=tuple(replace(link, bandwidth=link.bandwidth * more) for link in machine.links))
    assert expected(message, faster, stack) <= expected(message, machine, stack) * (1 + 1e-12)


@given(algorithm=ALGORITHM, ranks=RANKS, size=BYTES, k=st.floats(min_value=0.01, max_value=100.0), stack=STACKS)
def test_rates_times_k_and_latencies_over_k_is_time_over_k(
    algorithm: str, ranks: float, size: float, k: float, stack: Stack
) -> None:
    def scaled(reached: LinkEfficiency) -> LinkEfficiency:
        return replace(reached, latency=reached.latency / k, step=reached.step / k)

    base, message = shipped("rough"), Message(algorithm, size, ranks)
    links = tuple(replace(link, bandwidth=link.bandwidth * k, latency=link.latency / k) for link in base.links)
    fast = replace(base, links=links, achieved_links={key: scaled(item) for key, item in base.achieved_links.items()})
    assert expected(message, fast, stack) == pytest.approx(expected(message, base, stack) / k, rel=1e-9)


@given(algorithm=ALGORITHM, ranks=RANKS, stack=STACKS)
def test_many_sizes_are_each_size_alone(algorithm: str, ranks: float, stack: Stack) -> None:
    sizes = np.array([1.0, 1e3, 1e6, 1e9])
    swept = np.asarray(time(Message(algorithm, sizes, ranks), shipped("rough"), stack, ideal=False))
    assert swept.tolist() == [
        expected(Message(algorithm, float(size), ranks), shipped("rough"), stack) for size in sizes
    ]


@pytest.mark.parametrize("algorithm", sorted(VOLUME))
def test_every_algorithm_knows_its_volume_and_its_steps(algorithm: str) -> None:
    assert (float(VOLUME[algorithm](1.0)), float(STEPS[algorithm](1.0))) == (0.0, 0.0)
