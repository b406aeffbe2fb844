"""Collectives against their closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine.collectives import VOLUME, time
from roofline.engine.ops import Message
from roofline.machine import Chip, Link, LinkEfficiency, Memory, Peak

NEAR = Link(name="near", scope="scale-up", bandwidth=400e9, latency=1e-6, chips=8.0)
FAR = Link(name="far", scope="scale-out", bandwidth=50e9, latency=5e-6)


def chip(*links: Link, **achieved: LinkEfficiency) -> Chip:
    return Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=1e11, bandwidth=1e12),),
        links=links,
        achieved_links={name.replace("_", "-"): value for name, value in achieved.items()},
    )


@pytest.mark.parametrize("algorithm", sorted(VOLUME))
def test_alone_there_is_nothing_to_send(algorithm: str) -> None:
    assert float(time(Message(algorithm, 1e9, 1.0), chip(NEAR, FAR), ideal=False)) == 0.0


def test_all_reduce_inside_a_domain() -> None:
    """2(n−1)/n·S/bandwidth and log2(n) steps through the switch."""
    expected = 2 * 7 / 8 * 1e9 / 400e9 + 3 * 1e-6
    assert float(time(Message("all-reduce", 1e9, 8.0), chip(NEAR), ideal=True)) == pytest.approx(expected, rel=1e-12)


def test_all_reduce_is_a_reduce_scatter_and_an_all_gather() -> None:
    machine = chip(replace(NEAR, latency=0.0))
    parts = [float(time(Message(name, 1e9, 8.0), machine, ideal=True)) for name in ("reduce-scatter", "all-gather")]
    assert float(time(Message("all-reduce", 1e9, 8.0), machine, ideal=True)) == pytest.approx(sum(parts), rel=1e-12)


def test_two_levels_beyond_the_domain() -> None:
    """16 ranks in 2 domains: the inner all-reduce, then an eighth of the buffer between the two domains."""
    inner = 2 * 7 / 8 * 1e9 / 400e9 + 3e-6
    outer = 2 * 1 / 2 * (1e9 / 8) / 50e9 + 5e-6
    found = float(time(Message("all-reduce", 1e9, 16.0), chip(NEAR, FAR), ideal=True))
    assert found == pytest.approx(inner + outer, rel=1e-12)


def test_strided_groups_leave_the_domain_early() -> None:
    """Every eighth chip: no two members share a domain."""
    expected = 2 * 3 / 4 * 1e9 / 50e9 + 2 * 5e-6
    found = float(time(Message("all-reduce", 1e9, 4.0, stride=8.0), chip(NEAR, FAR), ideal=True))
    assert found == pytest.approx(expected, rel=1e-12)


def test_all_to_all_sends_each_byte_once() -> None:
    """Of S bytes a rank keeps 1/n, sends 7/16 inside its domain and half beyond it."""
    machine = chip(replace(NEAR, latency=0.0), replace(FAR, latency=0.0))
    found = float(time(Message("all-to-all", 1e9, 16.0), machine, ideal=True))
    assert found == pytest.approx(7 / 16 * 1e9 / 400e9 + 1 / 2 * 1e9 / 50e9, rel=1e-12)


def test_a_mesh_gives_two_chips_one_of_their_seven_links() -> None:
    mesh = replace(NEAR, topology="mesh", latency=0.0)
    pair = float(time(Message("all-reduce", 1e9, 2.0), chip(mesh), ideal=True))
    assert pair == pytest.approx(1e9 / (400e9 / 7), rel=1e-12)


def test_a_torus_pays_the_hops_of_each_axis() -> None:
    torus = replace(NEAR, topology="torus2d", chips=256.0)
    found = float(time(Message("all-reduce", 0.0, 16.0), chip(torus), ideal=True))
    assert found == pytest.approx(2 * 3 * 1e-6, rel=1e-9)


def test_no_link_no_way() -> None:
    assert np.isinf(time(Message("all-reduce", 1.0, 2.0), chip(), ideal=True))
    assert np.isinf(time(Message("all-reduce", 1.0, 16.0), chip(NEAR), ideal=True))


def test_measured_latency_and_fraction_count_unless_ideal() -> None:
    machine = chip(NEAR, scale_up=LinkEfficiency(bandwidth=0.5, latency=4e-6, latency_per_rank=1e-6))
    message = Message("all-gather", 1e9, 8.0)
    ideal, expected = (float(time(message, machine, ideal=flag)) for flag in (True, False))
    assert expected - ideal == pytest.approx(7 / 8 * 1e9 / 400e9 + 4e-6 + 7e-6, rel=1e-9)


@given(
    algorithm=st.sampled_from(sorted(VOLUME)),
    ranks=st.sampled_from([2.0, 4.0, 8.0, 16.0, 64.0]),
    size=st.floats(min_value=1.0, max_value=1e12),
    more=st.floats(min_value=1.0, max_value=10.0),
)
def test_more_bytes_never_take_less(algorithm: str, ranks: float, size: float, more: float) -> None:
    machine = chip(NEAR, FAR)
    less, greater = (
        float(time(Message(algorithm, value, ranks), machine, ideal=True)) for value in (size, size * more)
    )
    assert greater >= less * (1 - 1e-12)
