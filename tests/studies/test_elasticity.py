"""What a better chip is worth: laws of dimensions, and each gain against a prediction of that very chip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.deployment import Deployment
from roofline.engine.throughput import throughputs
from roofline.studies.elasticity import CAPACITY, RESOURCES, SPEEDS, Worth, better_chip, faster, worths
from roofline.studies.request import options, plan_settings, resolve_deployment, resolve_workload
from roofline.workload import Workload

# Every roof binds somewhere, with every kind of software.
ASKED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("llama-3.1-70b-chat", "8xh100-sxm", {}),
    ("llama-3.1-70b", "8xh100-sxm:tp=2,pp=4", {"batch": 64}),
    ("llama-3.1-8b", "m2-ultra", {"batch": 4}),
    ("llama-3.1-70b-chat", "576xgroq-lpu-v1", {}),
    ("deepseek-v3-chat", "16xh200-sxm", {}),
    ("llama-3.1-8b", "8xgaudi2", {"batch": 16}),
    ("llama-3.1-8b", "l40s", {"draft": "llama-3.2-1b", "draft_tokens": 4, "acceptance": 0.7}),
    ("llama-3.1-8b", "h100-sxm", {"batch": "max"}),
    ("llama-3.1-70b-pretraining", "64xh100-sxm", {}),
    ("llama-3.1-8b-pretraining", "8xa100-sxm-80gb:stack=fsdp", {}),
    ("llama-3.1-70b-pretraining", "1024xtpu-v5p", {}),
    ("deepseek-v3-pretraining", "256xh200-sxm", {}),
)
IDS = [f"{name} on {where}" for name, where, _ in ASKED]


def resolved(name: str, where: str, asked: dict[str, Any]) -> tuple[Workload, Deployment, dict[str, Any]]:
    catalog, told = Catalog(), options(asked)
    job = resolve_workload(catalog, name, told)
    return job, resolve_deployment(catalog, where, job, told), plan_settings(where, told)


def rates(job: Workload, where: Deployment) -> dict[str, float]:
    return {found.phase: float(found.rate) for found in throughputs(search.predict(job, where))}


@pytest.fixture(scope="module", params=ASKED, ids=IDS)
def case(request: pytest.FixtureRequest) -> tuple[Workload, Deployment, dict[str, tuple[Worth, ...]]]:
    job, where, given = resolved(*request.param)
    return job, where, worths(job, where, given)


def test_elasticities_of_all_speeds_add_up_to_one(case: Any) -> None:
    """Euler's theorem: rates are homogeneous of degree one in all speeds and reciprocal latencies."""
    for found in case[2].values():
        assert sum(worth.elasticity for worth in found if worth.resource in SPEEDS) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("scale", [0.25, 2.0, 8.0])
def test_all_speeds_times_k_are_k_times_as_fast_exactly(case: Any, scale: float) -> None:
    job, where, _ = case
    base, scaled = rates(job, where), rates(job, faster(where, dict.fromkeys(SPEEDS, scale)))
    for phase, rate in base.items():
        assert scaled[phase] == pytest.approx(scale * rate, rel=1e-12)


def test_each_gain_is_that_of_a_prediction_of_the_better_chip(case: Any) -> None:
    """One by one and as plain numbers, where the study takes an array of all."""
    job, where, found = case
    base = rates(job, where)
    for name in SPEEDS:
        better = rates(job, faster(where, {name: 2.0}))
        for phase, worth in found.items():
            (told,) = (item for item in worth if item.resource == name)
            assert told.gain == pytest.approx(better[phase] / base[phase] - 1.0, abs=1e-9)


def test_no_doubling_makes_anything_slower_or_more_than_twice_as_fast(case: Any) -> None:
    for found in case[2].values():
        assert [worth.resource for worth in found] == list(RESOURCES)
        for worth in found:
            if worth.resource in SPEEDS:
                assert -1e-12 <= worth.gain <= 1.0 + 1e-9
                assert -1e-9 <= worth.elasticity <= 1.0 + 1e-6
            else:
                assert worth.gain >= 0.0
                assert worth.elasticity == pytest.approx(np.log2(1.0 + worth.gain))


def of(case: Any, phase: str, resource: str) -> Worth:
    found: Worth = next(worth for worth in case[phase] if worth.resource == resource)
    return found


def test_one_chip_has_no_use_for_links() -> None:
    found = worths(*resolved("llama-3.1-8b", "h100-sxm", {"batch": 8}))
    for phase in found:
        for resource in ("link_bandwidth", "link_latency"):
            assert of(found, phase, resource).gain == of(found, phase, resource).elasticity == 0.0


def test_phases_differ_in_what_is_worth_having() -> None:
    found = worths(*resolved("llama-3.1-8b", "h100-sxm:stack=ideal", {"batch": 8}))
    assert of(found, "prefill", "flops").gain > 0.5 > of(found, "prefill", "bandwidth").gain
    assert of(found, "decode", "bandwidth").gain > 0.5 > of(found, "decode", "flops").gain


def test_memory_is_worth_the_requests_that_it_lets_run() -> None:
    """More are asked for than fit: a chip with twice the memory runs more of them."""
    job, where, given = resolved("llama-3.1-8b", "1xrtx-4090:stack=ideal", {"batch": 200, "input_len": 2000})
    found = worths(job, where, given)
    gain = of(found, "decode", CAPACITY).gain
    roomy = rates(job, replace(where, chip=better_chip(where.chip, {CAPACITY: 2.0})))
    assert gain == pytest.approx(roomy["decode"] / rates(job, where)["decode"] - 1.0)
    assert gain > 0.1
    assert of(found, "prefill", CAPACITY).filled_gain is None


def test_a_full_memory_holds_more_requests_if_it_is_larger() -> None:
    job, where, given = resolved("llama-3.1-8b", "h100-sxm", {"batch": 8})
    worth = of(worths(job, where, given), "decode", CAPACITY)
    assert worth.gain == 0.0  # eight requests fit anyway
    assert worth.filled_gain is not None
    assert worth.filled_gain > 0.0
    assert worth.filled_requests is not None
    few, many = worth.filled_requests
    assert few > 8
    assert many > 2 * few  # weights take their room but once


def test_memory_is_worth_another_plan_to_training() -> None:
    job, where, given = resolved("llama-3.1-70b-pretraining", "32xh100-sxm", {})
    gain = of(worths(job, where, given), "training", CAPACITY).gain
    roomy = replace(where, chip=better_chip(where.chip, {CAPACITY: 2.0}))
    new = rates(job, replace(roomy, plan=search.best_plan(job, roomy, given)))
    assert gain == pytest.approx(new["training"] / rates(job, where)["training"] - 1.0)
    assert gain > 0.02
    fixed = {
        name: getattr(where.plan, name) for name in ("tp", "pp", "dp", "cp", "vpp", "zero", "micro_batch", "recompute")
    }
    assert of(worths(job, where, fixed), "training", CAPACITY).gain == pytest.approx(0.0, abs=1e-9)


def test_what_is_not_named_stays(catalog: Catalog) -> None:
    chip = catalog.chip("h100-sxm")
    assert better_chip(chip, {}) == chip
    twice = better_chip(chip, {"flops": 2.0})
    assert twice.peaks["bf16"].dense == 2 * chip.peaks["bf16"].dense
    assert (twice.memory, twice.links, twice.achieved) == (chip.memory, chip.links, chip.achieved)
    larger = better_chip(chip, {CAPACITY: 2.0})
    assert larger.main_memory.capacity == 2 * chip.main_memory.capacity
    assert [level.capacity for level in larger.memory[:-1]] == [level.capacity for level in chip.memory[:-1]]
    assert larger.bandwidth == chip.bandwidth
