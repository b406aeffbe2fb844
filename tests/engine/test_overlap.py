"""Halves of a batch: experts' messages behind the other half's work, weights read twice."""

from __future__ import annotations

from typing import Any

import pytest

import roofline as rl

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
