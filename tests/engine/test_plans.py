"""Plans: which exist, the words for those that do not, and the best one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import plans, search
from roofline.engine.deployment import Deployment
from roofline.errors import NoRoomError, PlanError
from roofline.workload import Plan, Serving, Training


@given(number=st.integers(min_value=1, max_value=100_000))
def test_divisors_divide(number: int) -> None:
    found = plans.divisors(number)
    assert found == sorted(d for d in range(1, min(number, 400) + 1) if number % d == 0)[: len(found)] or number > 400
    assert all(number % d == 0 for d in found)
    assert found[0] == 1
    assert found[-1] == number


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3", "mamba-2-2.7b", "qwen3-next-80b", "gpt-oss-120b"])
@pytest.mark.parametrize("chips", [1, 6, 8, 64, 576])
def test_every_candidate_passes_the_check(catalog: Catalog, name: str, chips: int) -> None:
    model = catalog.model(name)
    found = plans.candidates(model, chips)
    for index in range(np.size(found.tp)):
        plans.check(plans.pick(found, index), model, chips)


@pytest.mark.parametrize(
    ("name", "plan", "chips", "message"),
    [
        (
            "llama-3.1-70b",
            Plan(tp=6.0),
            6,
            "tp=6 does not divide the 64 heads of llama-3.1-70b; possible: 1 2 4 8 16 32 64",
        ),
        ("llama-3.1-70b", Plan(pp=96.0), 96, "pp=96 is more than the 80 layers of llama-3.1-70b"),
        ("llama-3.1-70b", Plan(tp=2.0, ep=2.0), 2, "ep=2: llama-3.1-70b has no experts; leave ep out"),
        (
            "mixtral-8x7b",
            Plan(tp=1.0, dp=3.0, ep=3.0),
            3,
            "ep=3 does not divide the 8 experts of mixtral-8x7b; possible: 1 2 4 8",
        ),
        (
            "mixtral-8x7b",
            Plan(tp=2.0, ep=8.0),
            2,
            "ep=8 must divide or be a multiple of tp=2 within tp·dp=2; possible: 1 2",
        ),
        (
            "llama-3.1-70b",
            Plan(tp=4.0),
            8,
            "tp·pp·dp·cp = 4·1·1·1 = 4, but the deployment has 8 chips; leave one degree out to have it found",
        ),
    ],
)
def test_impossible_plans_say_what_is_possible(
    catalog: Catalog, name: str, plan: Plan, chips: int, message: str
) -> None:
    with pytest.raises(PlanError) as error:
        plans.check(plan, catalog.model(name), chips)
    assert str(error.value) == message


def test_given_degrees_are_kept(catalog: Catalog) -> None:
    found = plans.candidates(catalog.model("llama-3.1-70b"), 16, {"tp": 4, "dp": 2})
    assert (found.tp, found.pp, found.dp) == (4.0, 2.0, 2.0)


def test_wiring_sets_a_limit(catalog: Catalog) -> None:
    with pytest.raises(PlanError, match="16 x rtx-4090: its links join at most 8 chips"):
        plans.check_wiring(catalog.chip("rtx-4090"), 16)
    with pytest.raises(PlanError, match="2 x m2-ultra: its file names no link between chips; 1 is all"):
        plans.check_wiring(catalog.chip("m2-ultra"), 2)
    plans.check_wiring(catalog.chip("h100-sxm"), 16_384)


def deployment(catalog: Catalog, chip: str, chips: int, stack: str = "ideal") -> Deployment:
    return Deployment(chip=catalog.chip(chip), num_chips=chips, stack=catalog.stack(stack), plan=Plan())


def serving(catalog: Catalog, name: str) -> Serving:
    found = catalog.workload(name)
    assert isinstance(found, Serving)
    return found


def test_the_best_plan_beats_every_other(catalog: Catalog) -> None:
    work, where = serving(catalog, "llama-3.1-70b-chat"), deployment(catalog, "h100-sxm", 8)
    best = search.predict(work, replace(where, plan=search.best_plan(work, where, {})))
    every = plans.candidates(work.model, 8)
    for index in range(np.size(every.tp)):
        other = search.predict(work, replace(where, plan=plans.pick(every, index)))
        if bool(other.fits):
            assert float(other.metrics["total_tokens_per_s"]) <= float(best.metrics["total_tokens_per_s"]) * (1 + 1e-12)  # type: ignore[arg-type]


def test_the_fewest_chips_are_the_fewest(catalog: Catalog) -> None:
    work, chip, stack = serving(catalog, "llama-3.1-70b-chat"), catalog.chip("h100-sxm"), catalog.stack("ideal")
    count = search.fewest_chips(work, chip, stack, work.precision, {})
    assert count == 1
    wide = replace(work.precision, weights="bf16")
    assert search.fewest_chips(replace(work, precision=wide), chip, stack, wide, {}) == 2


def test_what_fits_nowhere_says_so(catalog: Catalog) -> None:
    work, chip = serving(catalog, "deepseek-v3-chat"), catalog.chip("rtx-4090")
    said = "deepseek-v3-chat does not fit on 8 x rtx-4090, the most that its links join"
    with pytest.raises(NoRoomError, match=said) as caught:
        search.fewest_chips(work, chip, catalog.stack("ideal"), work.precision, {})
    assert caught.value.most == 8


def test_if_nothing_fits_the_plan_that_needs_least_is_shown(catalog: Catalog) -> None:
    work, where = serving(catalog, "deepseek-v3-chat"), deployment(catalog, "rtx-4090", 8)
    found = search.predict(work, replace(where, plan=search.best_plan(work, where, {})))
    assert not bool(found.fits)


def test_a_training_plan_divides_the_batch(catalog: Catalog) -> None:
    work = catalog.workload("llama-3.1-405b-pretraining")
    assert isinstance(work, Training)
    plan = search.best_plan(work, deployment(catalog, "h100-sxm", 16_384), {})
    assert float(work.global_batch) % (float(plan.dp) * float(plan.micro_batch)) == 0
    search.check(plan, work, 16_384)
    with pytest.raises(
        PlanError, match=r"dp=16384 does not divide the global batch of 2,048 sequences; possible: 1 2 4"
    ):
        search.best_plan(work, deployment(catalog, "h100-sxm", 16_384), {"dp": 16_384})


def test_given_schedule_fields_are_kept(catalog: Catalog) -> None:
    work = catalog.workload("llama-3.1-70b-pretraining")
    assert isinstance(work, Training)
    given = {"tp": 8, "pp": 2, "micro_batch": 2, "vpp": 4, "recompute": "selective", "zero": 2}
    plan = search.best_plan(work, deployment(catalog, "h100-sxm", 64), given)
    assert (plan.tp, plan.pp, plan.dp, plan.micro_batch, plan.vpp) == (8.0, 2.0, 4.0, 2.0, 4.0)
    assert (plan.recompute, plan.zero) == ("selective", 2.0)
