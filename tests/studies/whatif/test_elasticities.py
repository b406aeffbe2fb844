"""Elasticities of every number: laws of dimensions, and each change against a prediction of that very number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline.catalog.store import Catalog
from roofline.studies.elasticity import SPEEDS, faster
from roofline.studies.elasticity import worths as resources
from roofline.studies.knobs import knobs
from roofline.studies.knobs.knob import Case, Knob
from roofline.studies.request import options, plan_settings, resolve_deployment, resolve_workload
from roofline.studies.whatif import measures, turns

# Every roof binds somewhere, with every kind of software and work.
ASKED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("llama-3.1-70b-chat", "8xh100-sxm", {}),
    ("llama-3.1-8b", "16xh100-sxm:pools=8:8", {"batch": 32}),
    ("llama-3.1-8b", "l40s", {"draft": "llama-3.2-1b", "draft_tokens": 4, "acceptance": 0.7}),
    ("llama-3.1-70b-chat", "576xgroq-lpu-v1", {}),
    ("deepseek-v3-chat", "16xh200-sxm", {}),
    ("llama-3.1-8b", "8xgaudi2", {"phase": "prefill"}),
    ("llama-3.1-70b", "8xh100-sxm", {"scenario": "agent", "batch": 1}),
    ("llama-3.1-70b-pretraining", "64xh100-sxm", {}),
    ("llama-3.1-70b-pretraining", "1024xtpu-v5p", {}),
)
TIMES = ("ttft_s", "tpot_s", "e2e_latency_s", "step_time_s", "time_to_train_s")
Ranked = tuple[Case, list[turns.Worth]]


def case_of(name: str, where: str, asked: dict[str, Any]) -> Case:
    catalog, told = Catalog(), options(asked)
    job = resolve_workload(catalog, name, told)
    return Case(job, resolve_deployment(catalog, where, job, told))


@pytest.fixture(scope="module", params=ASKED, ids=[f"{name} on {where}" for name, where, _ in ASKED])
def ranked(request: pytest.FixtureRequest) -> Ranked:
    case = case_of(*request.param)
    return case, turns.worths(case, knobs(case))


def pure(found: list[turns.Worth]) -> list[turns.Worth]:
    """Speeds and delays, each once."""
    return [worth for worth in found if worth.knob.role != "amount" and not worth.knob.group]


def test_times_follow_all_speeds_and_delays_together_in_proportion(ranked: Ranked) -> None:
    """Euler's theorem: a time is homogeneous of degree one in delays and reciprocal speeds; rates of degree minus one."""
    found = pure(ranked[1])
    metrics = [name for name in TIMES if name in found[0].elasticities]
    assert metrics
    for name in metrics:
        signs = {"speed": -1.0, "delay": 1.0}
        total = sum((worth.elasticities[name] or 0.0) * signs[worth.knob.role] for worth in found)
        assert total == pytest.approx(1.0, abs=1e-3), name


def test_every_change_is_that_of_a_prediction_of_the_number(ranked: Ranked) -> None:
    """One by one and as plain numbers, where the study takes an array of all."""
    case, found = ranked
    base = case.predicted().metrics
    strong = sorted(found, key=lambda worth: -max(worth.effect(name) for name in worth.elasticities))
    for worth in strong[:12]:
        for value, changes in ((worth.low, worth.low_changes), (worth.high, worth.high_changes)):
            alone = worth.knob.turn(case, value).predicted().metrics
            for name, told in changes.items():
                if told is not None:
                    expected = np.divide(alone[name] or np.nan, base[name] or np.nan) - 1.0
                    assert told == pytest.approx(float(expected), rel=1e-6, abs=1e-8), (worth.knob.key, name)


def test_a_better_number_never_makes_a_time_longer(ranked: Ranked) -> None:
    for worth in pure(ranked[1]):
        better, worse = worth.low_changes, worth.high_changes
        if worth.knob.role == "speed":
            better, worse = worse, better
        if worth.knob.key == "reliability.chip_mtbf":
            continue
        for name in TIMES[1:]:  # a first token may wait longer for its turn where decoding is faster
            assert (better.get(name) or 0.0) <= 1e-9, (worth.knob.key, name)
            assert (worse.get(name) or 0.0) >= -1e-9, (worth.knob.key, name)


def test_setting_a_number_to_itself_changes_nothing_to_the_bit(ranked: Ranked) -> None:
    case, _ = ranked
    base = case.predicted().metrics
    for knob in knobs(case):
        again = knob.turn(case, knob.value).predicted().metrics
        for name, value in base.items():
            same = again[name]
            assert (same is None) == (value is None)
            assert value is None or np.array_equal(same, value, equal_nan=True), (knob.key, name)  # type: ignore[arg-type]


def test_keys_are_different_and_nothing_is_turned_beyond_what_it_can_be(ranked: Ranked) -> None:
    case, found = ranked
    keys = [knob.key for knob in knobs(case)]
    assert len(keys) == len(set(keys))
    for worth in found:
        knob = worth.knob
        assert knob.least <= worth.low <= knob.value <= worth.high <= knob.most
        assert not knob.whole or (worth.low.is_integer() and worth.high.is_integer())


def test_groups_agree_with_the_study_of_resources() -> None:
    """All arithmetic together is what the elasticities of resources call FLOP/s; a second way to the same number."""
    name, where, asked = ASKED[0]
    case = case_of(name, where, asked)
    found = {worth.knob.key: worth for worth in turns.worths(case, knobs(case))}
    known = resources(case.job, case.deployment, plan_settings(where, options(asked)))["decode"]
    flops = next(worth for worth in known if worth.resource == "flops")
    doubled = Case(case.job, faster(case.deployment, {"flops": 2.0})).predicted().metrics["tpot_s"]
    (compute,) = (knob for knob in knobs(case) if knob.key == "compute")
    turned = compute.turn(case, 2.0 * compute.value).predicted().metrics["tpot_s"]
    assert float(turned) == float(doubled)  # type: ignore[arg-type]
    assert (found["compute"].elasticities["tpot_s"] or 0.0) < 0.0 < flops.elasticity
    assert len(SPEEDS) == 5


def test_what_has_no_price_power_or_link_has_no_such_number() -> None:
    keys = {knob.key for knob in knobs(case_of("llama-3.1-8b", "m2-ultra", {}))}
    assert not keys & {"price.hourly", "price.purchase", "links.scale-out.bandwidth"}
    assert {"memory.bandwidth", "memory.capacity", "batch", "input", "output", "pue"} <= keys


def test_capacity_is_worth_the_requests_that_it_lets_run() -> None:
    case = case_of("llama-3.1-8b", "h100-sxm", {"batch": "max"})
    found = {worth.knob.key: worth for worth in turns.worths(case, knobs(case))}
    assert "batch" not in found  # as many as memory holds
    assert (found["memory.capacity"].high_changes["output_tokens_per_s"] or 0.0) > 0.01


@pytest.mark.parametrize(("name", "less"), [("tpot_s", True), ("tokens_per_kwh", False), ("usd_per_request", True)])
def test_which_way_is_better(name: str, less: bool) -> None:
    assert measures.less_is_better(name) is less


def test_a_metric_is_known_by_its_short_name() -> None:
    known = dict.fromkeys(("ttft_s", "tpot_s", "usd_per_million_tokens"))
    assert measures.name_of("tpot", known, "") == "tpot_s"
    assert measures.name_of("cost", known, "") == "usd_per_million_tokens"


def test_an_edge_has_a_one_sided_slope() -> None:
    case = case_of("llama-3.1-8b", "h100-sxm", {})
    knob = Knob("x", "1", 1.0, lambda case, _: case, most=1.0)
    (worth,) = turns.worths(case, [knob])
    assert (worth.low, worth.high, worth.elasticities["tpot_s"]) == (0.8, 1.0, 0.0)
