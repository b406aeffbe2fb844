"""What replicas serve: every point of a grid is a prediction of its own, and the best keeps what was promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from roofline.catalog.store import Catalog
from roofline.engine import capacity, inference, plans
from roofline.engine.deployment import Deployment
from roofline.workload import Decode, Pause, Plan, Prefill, ServiceLevel, Serving


@pytest.fixture(scope="module")
def chat() -> Serving:
    found = Catalog().workload("llama-3.1-70b-chat")
    assert isinstance(found, Serving)
    return found


@pytest.fixture(scope="module")
def where(chat: Serving) -> Deployment:
    catalog = Catalog()
    chip = catalog.chip("h100-sxm")
    stack = catalog.stack("vllm", chip)
    return Deployment(chip=chip, num_chips=2, stack=stack, plan=Plan(), precision=chat.precision)


@pytest.fixture(scope="module")
def jobs(chat: Serving) -> tuple[Serving, ...]:
    """Two of the same steps, and one of others, with different promises."""
    free = ServiceLevel()
    return (
        chat,
        replace(chat, steps=(Prefill(3000.0), Decode(900.0)), slo=ServiceLevel(ttft_s=2.0)),
        replace(chat, steps=(Prefill(70.0), Decode(32.0), Pause(0.5), Prefill(4096.0), Decode(512.0)), slo=free),
    )


@pytest.fixture(scope="module")
def grid(jobs: tuple[Serving, ...], where: Deployment) -> capacity.Grid:
    return capacity.grid(jobs, where, capacity.candidates(jobs[0], where, 2))


def test_sizes_are_powers_of_two_within_a_domain(grid: capacity.Grid) -> None:
    assert sorted(set(np.asarray(grid.plan.num_chips))) == [2.0, 4.0, 8.0]
    assert np.all(np.asarray(grid.plan.dp) == 1.0)


@pytest.mark.parametrize("point", [(0, 0, 3), (1, 3, 9), (2, 2, 6), (0, 5, 12)])
def test_a_point_of_the_grid_is_a_prediction(
    grid: capacity.Grid, jobs: tuple[Serving, ...], where: Deployment, point: tuple[int, int, int]
) -> None:  # fmt: skip
    job, plan, batch = point
    one = plans.pick(grid.plan, plan)
    alone = inference.predict(
        replace(jobs[job], batch=float(grid.batches[batch])), replace(where, plan=one, num_chips=int(one.num_chips))
    )
    metrics = alone.metrics
    assert grid.ttft[point] == pytest.approx(metrics["ttft_s"], rel=1e-12)  # powers of arrays may end in another bit
    assert grid.tpot[point] == pytest.approx(metrics["tpot_s"], rel=1e-12)
    assert grid.power[point] == pytest.approx(metrics["system_power_w"], rel=1e-12)
    assert grid.rate[point] == pytest.approx(
        np.asarray(metrics["output_tokens_per_s"]) / jobs[job].output_len, rel=1e-12
    )


def test_the_best_batch_keeps_every_promise(grid: capacity.Grid, jobs: tuple[Serving, ...]) -> None:
    network = 0.05
    best = grid.best(network)
    for index, job in enumerate(jobs):
        served = best.rate[index] > 0.0
        assert served.any()
        limit, pace = (np.inf if value is None else value for value in (job.slo.ttft_s, job.slo.tpot_s))
        assert np.all(best.ttft[index, served] <= limit)
        assert np.all(best.tpot[index, served] <= pace)
        assert np.all(best.rate[index] <= grid.rate[index].max(axis=-1))


def test_a_longer_way_never_serves_more(grid: capacity.Grid) -> None:
    near, far = grid.best(0.0).rate, grid.best(0.3).rate
    assert np.all(far <= near)
    assert np.any(far < near)
    assert not np.any(grid.best(10.0).rate[0])


def test_prompts_wait_as_long_as_is_promised(chat: Serving, where: Deployment) -> None:
    """M/D/1: at load ρ a prompt of s seconds waits ρ·s/(2(1 − ρ))."""
    reads = replace(chat, steps=(Prefill(1155.0),), slo=ServiceLevel(ttft_s=0.45))
    plan = capacity.candidates(reads, where, 2)
    grid = capacity.grid([reads], where, plan, capacity.ALONE)
    found = grid.queued(0.05)
    whole = grid.rate[..., 0]
    load = found.rate / whole
    waited = load / whole / (2.0 * (1.0 - load))
    assert np.all((load > 0.0) & (load < 1.0))
    assert waited == pytest.approx(0.45 - 0.05 - grid.ttft[..., 0], rel=1e-9)
    assert found.ttft == pytest.approx(0.45)
    free = capacity.grid([replace(reads, slo=ServiceLevel())], where, plan, capacity.ALONE).queued(0.05)
    assert free.rate == pytest.approx(whole)


def test_experts_are_apart_as_far_as_possible_or_not_at_all(where: Deployment) -> None:
    catalog = Catalog()
    job = catalog.workload("deepseek-v3-chat")
    assert isinstance(job, Serving)
    plan = capacity.candidates(job, replace(where, precision=job.precision), 10)
    groups: dict[tuple[float, ...], set[float]] = {}
    for tp, pp, dp, ep in zip(plan.tp, plan.pp, plan.dp, plan.ep, strict=True):  # type: ignore[arg-type]
        groups.setdefault((tp, pp, dp), set()).add(ep)
    assert all(len(found) <= 2 and (len(found) == 1 or 1.0 in found) for found in groups.values())
    assert max(max(found) for found in groups.values()) == 128.0
