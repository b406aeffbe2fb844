"""Where the time goes in words: shares add up by what operators do, and every layer is told once."""

from __future__ import annotations

from typing import Any

import pytest

import roofline as rl
from roofline.engine.roof import BOUNDS
from roofline.machine import chip as kinds
from roofline.report import formats
from roofline.report.views.costs import COLLECTIVES, DOING, MOST, WAITING, costs_text, doing, layers_text

COMPUTED = (kinds.MATMUL, kinds.EXPERTS, kinds.ATTENTION, kinds.DECODE_ATTENTION, kinds.SCAN, kinds.ELEMENTWISE, kinds.QUANTISE)  # fmt: skip


def phase(*operators: tuple[str, str, float | None]) -> dict[str, Any]:
    return {
        "phase": "decode",
        "operators": [{"kind": kind, "bound": bound, "share": share} for kind, bound, share in operators],
    }


def layers(*groups: tuple[str, float, float]) -> dict[str, Any]:
    return {
        "phase": "prefill",
        "layers": [{"name": name, "count": count, "time_s": time} for name, count, time in groups],
    }


# -- costs


def test_operators_that_do_the_same_are_one_cost_and_the_largest_come_first() -> None:
    found = phase(
        ("elementwise", "overhead", 0.1), ("matmul", "memory", 0.2), ("all-reduce", "network", 0.15),
        ("elementwise", "memory", 0.05), ("matmul", "memory", 0.3), ("overhead", "overhead", 0.2),
    )  # fmt: skip
    assert costs_text(found) == (
        "decode spends its time on: 50.0 % reading weights, 20.0 % software, "
        "15.0 % norms, activations and other passes over values"
    )


def test_costs_that_take_nothing_are_not_told() -> None:
    assert costs_text(phase(("matmul", "memory", 1.0), ("scan", "memory", 0.0), ("send", "network", None))) == (
        "decode spends its time on: 100.0 % reading weights"
    )
    assert costs_text(phase()) == costs_text(phase(("matmul", "memory", None))) == "decode takes no time"


@pytest.mark.parametrize(
    ("kind", "bound", "text"),
    [
        ("matmul", "compute", "multiplying by weights"),
        ("matmul", "overhead", "starting kernels"),
        ("experts", "memory", "reading experts"),
        ("experts", "compute", "multiplying by experts"),
        ("experts", "overhead", "starting kernels"),
        ("attention", "memory", "attention within the prompt"),
        ("decode-attention", "overhead", "attention over the cache"),
        ("scan", "compute", "recurrent layers"),
        ("quantise", "overhead", "narrowing activations"),
        ("all-to-all", "network", "exchange between chips"),
        ("send", "network", "exchange between chips"),
        ("all-reduce", "overhead", "starting kernels"),
        ("overhead", "overhead", "software"),
    ],
)
def test_what_an_operator_does_follows_from_kind_and_bound(kind: str, bound: str, text: str) -> None:
    assert doing({"kind": kind, "bound": bound}) == text


@pytest.mark.parametrize("kind", COMPUTED)
def test_what_computes_is_never_an_exchange(kind: str) -> None:
    found = {doing({"kind": kind, "bound": bound}) for bound in BOUNDS if bound != "network"}
    assert COLLECTIVES not in found
    assert found <= {*DOING.values(), WAITING}


@pytest.mark.parametrize(
    ("workload", "deployment"),
    [
        ("deepseek-v3-chat", "16xh200-sxm"),
        ("llama-3.1-8b-pretraining", "64xh100-sxm"),
        ("jamba-1.5-mini", "8xh100-sxm"),
    ],
)
def test_shares_in_words_are_those_of_the_operators(workload: str, deployment: str) -> None:
    for found in rl.predict(workload, deployment)["phases"]:
        _, _, told = costs_text(found).partition(": ")
        costs = dict.fromkeys(map(doing, found["operators"]), 0.0)
        for operator in found["operators"]:
            costs[doing(operator)] += operator["time_s"]
        whole = sum(costs.values())
        expected = sorted(costs, key=lambda what: -costs[what])[:MOST]
        for text, what in zip(told.split(" % ")[1:], expected, strict=True):
            assert text.startswith(what)
        assert float(told.split(" %")[0]) == pytest.approx(100 * costs[expected[0]] / whole, abs=0.051)


# -- layers


def test_one_group_of_layers_needs_no_name() -> None:
    assert layers_text(layers(("layer", 80.0, 639e-6), ("outside of layers", 1.0, 1.08e-3))) == (
        "one pass of prefill: 639 us for each of 80 layers, 1.08 ms outside of layers"
    )


def test_groups_are_told_by_name_and_a_layer_alone_is_one() -> None:
    found = layers(("mla+dense", 1.0, 425e-6), ("mla+moe", 60.0, 1.07e-3), ("outside of layers", 1.0, 978e-6))
    assert layers_text(found) == (
        "one pass of prefill: 425 us for one mla+dense layer, 1.07 ms for each of 60 mla+moe layers, "
        "978 us outside of layers"
    )
    assert layers_text(layers(("layer", 1.0, 2.0))) == "one pass of prefill: 2 s for one layer"


def test_large_counts_have_separators() -> None:
    assert layers_text(layers(("layer", 1280.0, 0.021))) == "one pass of prefill: 21 ms for each of 1,280 layers"


# -- in the report


def test_every_phase_that_works_has_both_lines(chat: dict[str, Any]) -> None:
    lines = formats.render(chat, "table").splitlines()
    for name in ("prefill", "decode"):
        assert sum(line.startswith(f"{name} spends its time on: ") for line in lines) == 1
        assert sum(line.startswith(f"one pass of {name}: ") for line in lines) == 1
    assert not [line for line in lines if "pause" in line and "spends" in line]


def test_what_does_not_fit_spends_no_time(chat: dict[str, Any]) -> None:
    text = formats.render({**chat, "fits": False, "why": "too large"}, "table")
    assert "spends its time" not in text
    assert "one pass of" not in text
