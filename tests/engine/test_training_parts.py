"""Parts of a step: they add up to it, and each kind of operator is in its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Phase
from roofline.engine.training.parts import MESSAGES, PARTS, part_of
from roofline.machine import Chip, Link, Memory, Peak, Stack
from roofline.workload import Plan, Precision, Training
from roofline.workload.plan import RECOMPUTES

CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e15, bandwidth=3e12),),
    links=(
        Link(name="near", scope="scale-up", bandwidth=4e11, chips=8.0),
        Link(name="far", scope="scale-out", bandwidth=5e10),
    ),
)
STACK = Stack(id="some", name="some", step=1e-3, layer=1e-5, overlaps={"tensor": 0.5, "data": 0.9, "expert": 0.0})


def step(model: str, plan: Plan, chip: Chip = CHIP, stack: Stack = STACK) -> Phase:
    work = Training(id="run", model=Catalog().model(model), tokens=1e9, seq_len=4096.0, global_batch=64.0)
    where = Deployment(chip=chip, num_chips=int(np.max(plan.num_chips)), stack=stack, plan=plan)
    return training.step(work, where, Precision())


PLANS = [
    Plan(),
    Plan(tp=2.0, pp=4.0, vpp=2.0, dp=2.0),
    Plan(cp=4.0, dp=4.0, zero=3.0, recompute="full"),
    Plan(pp=2.0, dp=8.0, zero=2.0, recompute="selective", flash=False),
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "mamba-2-2.7b"])
def test_parts_add_up_to_the_step(model: str, plan: Plan) -> None:
    plan = replace(plan, ep=2.0) if model == "mixtral-8x7b" and float(plan.dp) > 1 else plan
    found = step(model, plan)
    parts = training.parts(found)
    assert tuple(part.name for part in parts) == PARTS
    assert sum(float(part.time) for part in parts) == pytest.approx(float(found.time), rel=1e-12)
    hidden = sum(float(item.hidden_time) for item in found.operators)
    assert sum(float(part.hidden) for part in parts) == pytest.approx(hidden, rel=1e-12)
    assert all(float(part.time) >= 0.0 and float(part.hidden) >= 0.0 for part in parts)
    assert all(not np.any(part.hidden) for part in parts if part.name not in MESSAGES.values())


def times(found: Phase) -> dict[str, float]:
    return {part.name: float(part.time) for part in training.parts(found)}


def told(found: Phase) -> set[str]:
    """Parts that take time or hide some."""
    return {part.name for part in training.parts(found) if np.any(part.time) or np.any(part.hidden)}


def test_each_kind_of_parallelism_has_messages_of_its_own() -> None:
    base = {"products", "attention", "elementwise", "update", "software"}
    for plan, more in (
        (Plan(), set[str]()),
        (Plan(tp=2.0), {"tensor_messages"}),
        (Plan(cp=2.0, zero=0.0), {"context_messages", "data_messages"}),
        (Plan(dp=2.0), {"data_messages"}),
        (Plan(pp=2.0), {"pipeline_messages", "bubble"}),
        (Plan(recompute="full"), {"recompute"}),
    ):
        assert told(step("llama-3.1-8b", plan)) == base | more
    assert told(step("mixtral-8x7b", Plan(dp=2.0, ep=2.0))) == base | {"expert_messages", "data_messages"}


def test_what_crosses_to_the_host_is_a_part_of_its_own() -> None:
    host = Memory(name="host", capacity=1e13, bandwidth=1e10)
    chip = replace(CHIP, memory=(*CHIP.memory, host), main=-2)
    parts = {part.name: part for part in training.parts(step("llama-3.1-8b", Plan(offload_optimizer=1.0), chip))}
    assert float(parts["offload"].time) > 0.0
    assert float(parts["offload"].hidden) == pytest.approx(float(parts["update"].time))


def test_recomputation_is_work_and_its_messages_are_messages() -> None:
    none, full = (times(step("llama-3.1-8b", Plan(tp=4.0, recompute=mode))) for mode in RECOMPUTES[::2])
    assert full["recompute"] == pytest.approx(none["products"] / 3, rel=0.35)
    assert full["tensor_messages"] == pytest.approx(1.5 * none["tensor_messages"])
    assert {name: full[name] for name in ("products", "attention", "elementwise")} == {
        name: none[name] for name in ("products", "attention", "elementwise")
    }


def test_attention_that_is_not_fused_is_attention() -> None:
    fused, apart = (step("llama-3.1-8b", Plan(flash=flash)) for flash in (True, False))
    assert times(apart)["attention"] > times(fused)["attention"]
    assert times(apart)["products"] == times(fused)["products"]
    names = {item.op.name for item in apart.operators if part_of(item.op) == "attention"}
    assert {name.rpartition("-")[2] for name in names} == {"scores", "softmax", "values", "left", "right"}


@given(
    near=st.floats(min_value=1e8, max_value=1e12),
    pp=st.sampled_from([2.0, 4.0, 8.0]),
    vpp=st.sampled_from([1.0, 2.0, 4.0]),
)
def test_messages_hide_no_more_than_a_stage_works(near: float, pp: float, vpp: float) -> None:
    """Its own messages to the next stage, too, however slow the network and however many its chunks."""
    chip = replace(CHIP, links=tuple(replace(link, bandwidth=near) for link in CHIP.links))
    parts: dict[str, Any] = {
        part.name: part for part in training.parts(step("llama-3.1-8b", Plan(pp=pp, vpp=vpp), chip))
    }
    work = sum(float(parts[name].time) for name in ("products", "attention", "elementwise"))
    assert float(parts["pipeline_messages"].hidden) <= work * (1 + 1e-12)


def test_many_steps_have_the_parts_of_each() -> None:
    many = Plan(tp=np.array([1.0, 2.0, 4.0]), pp=np.array([1.0, 2.0, 1.0]), dp=np.array([4.0, 2.0, 1.0]))
    together = training.parts(step("llama-3.1-8b", many))
    for index in range(3):
        alone = Plan(tp=many.tp[index], pp=many.pp[index], dp=many.dp[index])  # type: ignore[index]
        for part, one in zip(together, training.parts(step("llama-3.1-8b", alone)), strict=True):
            assert np.broadcast_to(part.time, (3,))[index] == one.time
