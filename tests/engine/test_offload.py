"""What lies in the host's memory costs time on the link, if work can't hide it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roofline.catalog.store import Catalog
from roofline.engine import training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import PlanError
from roofline.machine import Chip, Peak, Stack
from roofline.machine.chip import Memory as Level
from roofline.workload import Plan, Training

HBM = Level(name="HBM", capacity=1e15, bandwidth=1e12)
CHIP = Chip(id="any", name="Any", vendor="any", kind="gpu", peaks={"bf16": Peak(dense=1e15)}, memory=(HBM,))


def job(catalog: Catalog) -> Training:
    return Training(id="t", model=catalog.model("llama-3.1-8b"), tokens=1e12, seq_len=4096.0, global_batch=4.0)


def run(work: Training, bandwidth: float, capacity: float = 1e15, **shares: float) -> Prediction:
    chip = replace(CHIP, memory=(HBM, Level(name="host", capacity=capacity, bandwidth=bandwidth)), main=0)
    stack = Stack(id="ideal", name="none")
    return training.predict(work, Deployment(chip=chip, num_chips=1, stack=stack, plan=Plan(**shares)))  # type: ignore[arg-type]


def seconds(found: Prediction) -> dict[str, tuple[float, float]]:
    """Seconds of each transfer, and those of them that nothing hides."""
    items = [item for item in found.phases[0].operators if item.op.name.startswith("offload/")]
    return {item.op.name: (float(item.taken), float(item.time)) for item in items}


def test_activations_cross_twice_for_each_micro_batch(catalog: Catalog) -> None:
    work = job(catalog)
    held = training.memory_needs(work, Plan(), work.precision)
    found = seconds(run(work, 1e9, offload_activations=0.5))
    expected = 4 * 0.5 * float(held.activations) / 1e9
    assert {name: taken for name, (taken, _) in found.items()} == pytest.approx(
        {"offload/activations-out": expected, "offload/activations-back": expected}
    )


def test_a_fast_link_hides_behind_the_work(catalog: Catalog) -> None:
    work = job(catalog)
    alone = float(run(work, 1e12).phases[0].time)
    assert float(run(work, 1e12, offload_activations=1.0).phases[0].time) == pytest.approx(alone)
    slow = run(work, 1e9, offload_activations=1.0)
    paid = sum(time for _, time in seconds(slow).values())
    assert float(slow.phases[0].time) == pytest.approx(alone + paid)
    assert sum(taken for taken, _ in seconds(slow).values()) == pytest.approx(alone + paid, rel=0.1)


def test_states_cross_behind_the_update_alone(catalog: Catalog) -> None:
    """Twelve bytes a parameter, both ways at once; the update moves 16 read and 14 written ten times as fast."""
    work = job(catalog)
    taken, paid = seconds(run(work, 1e11, offload_optimizer=1.0))["offload/optimizer"]
    assert taken == pytest.approx(12 * work.model.parameters / 1e11)
    assert taken - paid == pytest.approx((4 + 12 + 12 + 2) * work.model.parameters / 1e12, rel=1e-3)


def test_faster_links_are_never_slower(catalog: Catalog) -> None:
    work = job(catalog)
    times = [
        float(run(work, bandwidth, offload_activations=0.7, offload_optimizer=0.3).phases[0].time)
        for bandwidth in (1e9, 1e10, 6.4e10, 4.5e11)
    ]
    assert times == sorted(times, reverse=True)


def test_the_host_has_to_hold_it(catalog: Catalog) -> None:
    assert run(job(catalog), 1e11, capacity=1e12, offload_optimizer=1.0).fits
    assert not run(job(catalog), 1e11, capacity=1e10, offload_optimizer=1.0).fits


def test_a_chip_without_a_host_says_what_to_write(catalog: Catalog) -> None:
    plan = Plan(offload_activations=0.5)
    deployment = Deployment(chip=CHIP, num_chips=1, stack=Stack(id="ideal", name="none"), plan=plan)
    with pytest.raises(PlanError, match=r"any has nowhere to offload to; write .*'main: true' at HBM"):
        training.predict(job(catalog), deployment)
    unknown = replace(CHIP, memory=(HBM, Level(name="host", capacity=1e12)), main=0)
    with pytest.raises(PlanError, match="nowhere to offload to"):
        training.predict(job(catalog), replace(deployment, chip=unknown))


def test_shipped_superchips_have_a_host(catalog: Catalog) -> None:
    for name, main in (("gh200-96gb", "HBM3"), ("gh200-144gb", "HBM3e")):
        chip = catalog.chip(name)
        assert chip.main_memory.name == main
        assert chip.memory[-1].name == "LPDDR5X"
        assert chip.memory[-1].bandwidth == 450e9
