"""Halves of a batch: experts' messages behind the other half's work, weights read twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.engine import overlap
from roofline.engine.ops import COLLECTIVE, Op
from roofline.engine.roof import NOTHING, Priced, Roofs

Found = dict[str, Any]

EXPERTS = ("dispatch", "combine")
WIDE: dict[str, Any] = {"phase": "decode", "context_len": 2000, "weights": "fp8", "activations": "fp8"}


def phase(deployment: str, batch: int) -> Found:
    found: Found = rl.predict("deepseek-v3", deployment, batch=batch, **WIDE)["phases"][0]
    return found


def by_name(found: Found) -> dict[str, Found]:
    return {
        item["name"].rsplit("/", 1)[-1] if "moe" in item["name"] else item["name"]: item for item in found["operators"]
    }


@pytest.fixture(scope="module")
def whole() -> Found:
    return phase("32xh100-sxm:dp=32,ep=32,stack=sglang", 8192)


@pytest.fixture(scope="module")
def halved() -> Found:
    return phase("32xh100-sxm:dp=32,ep=32,stack=sglang-ep", 8192)


def test_messages_hide_and_nothing_is_lost(whole: Found, halved: Found) -> None:
    for name in EXPERTS:
        sent, hidden = by_name(whole)[name], by_name(halved)[name]
        assert sent["hidden_time_s"] == 0.0
        assert hidden["hidden_time_s"] > 0.0
        assert hidden["network_bytes"] == pytest.approx(sent["network_bytes"], rel=1e-9)
    assert halved["flops"] == pytest.approx(whole["flops"], rel=1e-9)
    assert halved["time_s"] < whole["time_s"]


def test_weights_are_read_for_each_half(whole: Found, halved: Found) -> None:
    up = (next(item for item in found["operators"] if item["name"].endswith("moe/moe/up")) for found in (whole, halved))
    once, twice = up
    assert twice["count"] == 2 * once["count"]
    weights = 2 * 7168 * 2048 * (256 // 32) * 58  # of the gate and what goes up, of the experts of one rank, in 8 bits
    assert twice["memory_bytes"] - once["memory_bytes"] == pytest.approx(weights, rel=0.1)


def test_no_more_hides_than_there_is_work(halved: Found) -> None:
    hidden = sum(item["hidden_time_s"] for item in halved["operators"])
    work = sum(
        item["time_s"] for item in halved["operators"] if item["bound"] != "network" and "overhead" not in item["name"]
    )
    assert hidden <= work * (1.0 + 1e-9)


def test_the_bound_is_that_of_the_whole_batch(whole: Found, halved: Found) -> None:
    """Software that reads weights twice makes nothing faster than possible, nor the possible slower."""
    assert halved["ideal_time_s"] == whole["ideal_time_s"]
    assert halved["time_s"] >= halved["ideal_time_s"]


def test_without_experts_apart_nothing_is_halved() -> None:
    one, other = (phase(f"16xh100-sxm:tp=16,ep=1,stack={name}", 64) for name in ("sglang", "sglang-ep"))
    times = [{item["name"].replace(name, ""): item["time_s"] for item in found["operators"]}
             for found, name in ((one, "sglang"), (other, "sglang-ep"))]  # fmt: skip
    assert times[0] == pytest.approx(times[1])


@given(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0), st.floats(0.0, 0.9))
def test_units_that_carry_messages_do_no_work(work: float, messages: float, carrying: float) -> None:
    """While M seconds of messages pass, (1 - c)*M of work is done; what is left of either follows alone."""
    computing = Priced(Op("products", "matmul"), NOTHING, Roofs(work, 0.0, 0.0, 0.0, work))
    sending = Priced(Op("moe/dispatch", COLLECTIVE), NOTHING, Roofs(0.0, 0.0, messages, 0.0, messages))
    taken = sum(float(item.time) for item in overlap.behind_halves([computing, sending], 2.0, carrying))
    done = (1.0 - carrying) * messages
    assert taken == pytest.approx(messages if done > work else work + messages - done, rel=1e-9)
    assert taken >= max(work, messages) * (1.0 - 1e-12)


def test_the_share_of_a_chip_that_messages_take() -> None:
    chip, stack = Catalog().chip("h100-sxm"), Catalog().stack("sglang-ep")
    assert overlap.carrying(chip, stack) == pytest.approx(20.0 / 132.0)
    assert overlap.carrying(replace(chip, compute_units=None), stack) == 0.0
    assert overlap.carrying(chip, Catalog().stack("sglang")) == 0.0
