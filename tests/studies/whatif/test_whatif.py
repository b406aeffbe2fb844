"""Numbers that are set, solved for a target, or for a break-even: each against a prediction by itself."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies import whatif as package
from roofline.studies.knobs import knobs
from roofline.studies.knobs.knob import Case, find, turned
from roofline.studies.request import options, resolve_deployment, resolve_workload
from roofline.studies.whatif import solve

CHAT, WHERE = "llama-3.1-70b-chat", "8xh100-sxm:tp=4,dp=2"
RUN, CLUSTER = "llama-3.1-70b-pretraining", "64xh100-sxm"


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    text = (Path(package.__file__).parent.parent / "contract.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft7Validator(json.loads(text))


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"metric": "cost"},
        {"set": ["memory.bandwidth=+20%", "batch=64"], "replan": True},
        {"set": "memory.capacity=x0.1"},
        {"target": "tpot=15ms", "solve": "memory.bandwidth"},
        {"target": "tpot=1us", "solve": "memory.bandwidth"},
        {"against": "8xmi300x", "solve": "batch", "metric": "tpot"},
        {"against": "8xmi300x", "solve": "context"},
        {"set": "batch=8", "target": "tpot=15ms", "solve": "memory.bandwidth"},
    ],
)
def test_the_contract_holds(asked: dict[str, Any], schema: jsonschema.Draft7Validator) -> None:
    found = rl.whatif(CHAT, WHERE, **asked)
    schema.validate(json.loads(found.render("json")))
    for form in ("table", "markdown", "csv", "jsonl"):
        assert found.render(form)
    assert not found.to_frame().empty


def test_training_has_a_contract_too(schema: jsonschema.Draft7Validator) -> None:
    for asked in ({}, {"set": "links.scale-out.bandwidth=x2"}, {"target": "step=20s", "solve": "compute"}):
        found = rl.whatif(RUN, CLUSTER, **asked)  # type: ignore[arg-type]
        schema.validate(json.loads(found.render("json")))
        assert found.render("table")


# --- numbers set ----------------------------------------------------------------------------------------------------


def test_before_and_after_are_predictions_of_their_own(tmp_path: Path) -> None:
    """The chip file with that number in it, predicted alone."""
    found = rl.whatif(CHAT, WHERE, set=["links.scale-up.bandwidth=900 GB/s", "batch=48"])["change"]
    chip = _chip(
        tmp_path, "links: [{name: NVLink 4, scope: scale-up, bandwidth: 900 GB/s, per: direction, chips: 8, source: s}]"
    )
    alone = rl.predict(CHAT, f"8x{chip}:tp=4,dp=2", batch=48)["metrics"]
    before = rl.predict(CHAT, WHERE)["metrics"]
    for row in found["metrics"]:
        if "own" not in row["metric"]:
            assert row["before"] == before[row["metric"]]
        if row["metric"] in ("ttft_s", "tpot_s", "output_tokens_per_s"):
            assert row["after"] == pytest.approx(alone[row["metric"]], rel=1e-12)
            assert row["change"] == pytest.approx(row["after"] / row["before"] - 1.0)


def _chip(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(
        f'extends: h100-sxm\nid: mine\nname: Mine\n{text}\nsources:\n  s: {{title: x, date: "2026"}}\n',
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("key", ["memory.bandwidth", "compute", "batch", "stack.step", "price.hourly", "electricity"])
def test_times_one_changes_nothing_to_the_bit(key: str) -> None:
    found = rl.whatif(CHAT, WHERE, set=f"{key}=x1")["change"]
    assert all(row["before"] == row["after"] and row["change"] == 0.0 for row in found["metrics"])
    assert all(row["before_time_s"] == row["after_time_s"] for row in found["phases"])


def test_relative_values_are_of_the_present_one() -> None:
    for text, factor in (("+20%", 1.2), ("-10%", 0.9), ("x2", 2.0), ("+ 5 %", 1.05), ("x 2", 2.0)):
        (item,) = rl.whatif(CHAT, WHERE, set=f"memory.bandwidth={text}")["set"]
        assert item["after"] == pytest.approx(factor * item["before"])
    (item,) = rl.whatif(CHAT, WHERE, set="batch=+10%")["set"]
    assert item["after"] == 35.0  # of 32, whole


def test_another_plan_is_looked_for_when_asked() -> None:
    kept = rl.whatif(RUN, CLUSTER, set="memory.capacity=x3")["change"]
    assert kept["replanned"] is None
    again = rl.whatif(RUN, CLUSTER, set="memory.capacity=x3", replan=True)["change"]["replanned"]
    assert again["changed"]
    kept_step, new_step = (
        next(row["after"] for row in part["metrics"] if row["metric"] == "step_time_s") for part in (kept, again)
    )
    assert new_step < kept_step


# --- targets --------------------------------------------------------------------------------------------------------


def test_the_solved_value_in_a_chip_file_gives_the_target(tmp_path: Path) -> None:
    found = rl.whatif(CHAT, WHERE, target="tpot=15ms", solve="memory.bandwidth")["solution"]
    chip = _chip(
        tmp_path,
        "memory:\n  - {name: L2, capacity: 50 MB, source: s}\n"
        f"  - {{name: HBM3, capacity: 80 GiB, bandwidth: {found['solved']!r} B/s, source: s}}",
    )
    alone = rl.predict(CHAT, f"8x{chip}:tp=4,dp=2")["metrics"]["tpot_s"]
    assert alone == pytest.approx(0.015, rel=1e-9)
    assert found["metric_solved"] == pytest.approx(0.015, rel=1e-12)


@pytest.mark.parametrize(
    ("target", "key"),
    [("ttft=90ms", "compute"), ("cost=3", "price.hourly"), ("output_tokens_per_s=2000", "memory.bandwidth"),
     ("tpot=18ms", "stack.step"), ("tpot=25ms", "input"), ("e2e_latency=5s", "output"), ("tpot=30ms", "batch")],
)  # fmt: skip
def test_every_solution_keeps_its_target(target: str, key: str) -> None:
    found = rl.whatif(CHAT, WHERE, target=target, solve=key)["solution"]
    assert found["solved"] is not None
    after = rl.whatif(CHAT, WHERE, set=f"{key}={_text(found)}")["change"]["metrics"]
    value = next(row["after"] for row in after if row["metric"] == found["metric"])
    if key in ("batch", "input", "output"):
        assert value <= found["target"]  # the last whole one that keeps it
        more = rl.whatif(CHAT, WHERE, set=f"{key}={found['solved'] + 1:.0f}")["change"]["metrics"]
        assert next(row["after"] for row in more if row["metric"] == found["metric"]) > found["target"]
    else:
        assert value == pytest.approx(found["target"], rel=1e-6)


def _text(found: Any) -> str:
    return f"{found['solved']:.0f}" if not found["unit"] else f"{found['solved']!r} {found['unit']}"


def test_what_no_value_reaches_tells_the_limit_and_what_binds_there() -> None:
    found = rl.whatif(CHAT, WHERE, target="tpot=2ms", solve="memory.bandwidth")
    told = found["solution"]
    assert (told["solved"], told["why"]) == (None, "no value is that good")
    assert told["best"] == told["most"]
    assert told["metric_best"] > told["target"]
    assert told["bounds_best"]["decode"] != "memory"
    assert "is not reached by memory.bandwidth" in found.render("table")
    keys = [row["key"] for row in found["worth"]["rows"]]
    assert keys.index("batch") < keys.index("memory.bandwidth")  # what would help there


@pytest.mark.parametrize(
    ("target", "key", "why"),
    [("tpot=10s", "links.scale-out.bandwidth", "it has no effect"), ("tpot=100s", "stack.compute", "every value is better")],
)  # fmt: skip
def test_why_there_is_no_value(target: str, key: str, why: str) -> None:
    assert rl.whatif(CHAT, WHERE, target=target, solve=key)["solution"]["why"] == why


def test_elasticities_are_those_at_the_solution() -> None:
    found = rl.whatif(CHAT, WHERE, target="tpot=15ms", solve="memory.bandwidth")
    assert found["worth"]["metrics"]["tpot_s"] == pytest.approx(0.015)
    row = next(row for row in found["worth"]["rows"] if row["key"] == "memory.bandwidth")
    assert row["value"] == found["solution"]["solved"]


@pytest.mark.parametrize(("key", "falls"), [("memory.bandwidth", True), ("stack.latency", False), ("batch", False)])
def test_metrics_are_monotone_along_the_grid(key: str, falls: bool) -> None:
    catalog = Catalog()
    job = resolve_workload(catalog, CHAT, options({}))
    case = Case(job, resolve_deployment(catalog, WHERE, job, options({})))
    knob = find(key, knobs(case), "")
    result = turned(case, [(knob, solve.grid(knob))]).predicted()
    held = np.broadcast_to(np.asarray(result.max_batch) >= result.workload.batch, solve.grid(knob).shape)  # type: ignore[union-attr]
    found = np.asarray(result.metrics["tpot_s"])[held]  # where all of them run at once
    assert found.size > 50
    assert all(two <= one * (1 + 1e-12) if falls else two >= one * (1 - 1e-12) for one, two in pairwise(found))


# --- break-even -----------------------------------------------------------------------------------------------------


def test_both_are_equal_at_a_break_even() -> None:
    """The rent of one at which both cost the same; whoever has it is cheaper below."""
    found = rl.whatif(CHAT, WHERE, against="8xmi300x", solve="price.hourly")["break_even"]
    (crossing,) = found["crossings"]
    assert crossing["equal"]
    assert crossing["better_below"] == WHERE
    after = rl.whatif(CHAT, WHERE, set=f"price.hourly={crossing['below']!r} USD/h")["change"]["metrics"]
    mine = next(row["after"] for row in after if row["metric"] == "usd_per_million_tokens")
    other = rl.predict(CHAT, "8xmi300x")["metrics"]["usd_per_million_tokens"]
    assert mine == pytest.approx(other, rel=1e-9)


def test_whole_numbers_pass_between_two_neighbours() -> None:
    where = ("8xh100-sxm:tp=8", "8xl40s:tp=8")
    found = rl.whatif("llama-3.1-8b-chat", where[0], against=where[1], solve="batch", metric="energy")["break_even"]
    for crossing in found["crossings"]:
        assert crossing["above"] == crossing["below"] + 1
        better = []
        for side in ("below", "above"):
            sides = [rl.predict("llama-3.1-8b-chat", label, batch=crossing[side])["metrics"] for label in where]
            one, two = (metrics["energy_j_per_token"] for metrics in sides)
            better.append(where[0] if one < two else where[1])
        assert better == [crossing["better_below"], crossing["better_above"]]


def test_where_nobody_passes_one_is_better_throughout() -> None:
    found = rl.whatif(CHAT, WHERE, against="8xh100-sxm:tp=1,pp=8", solve="batch", metric="tpot")["break_even"]
    assert found["crossings"] or found["throughout"] == WHERE
    found = rl.whatif("llama-3.1-8b", "h100-sxm", against="h200-sxm", solve="batch", metric="request")["break_even"]
    assert (found["crossings"], found["throughout"]) == ([], "1xh200-sxm")
    assert all(two <= one * (1 + 1e-9) for one, two in (point["metrics"] for point in found["points"]))


def test_the_same_deployment_twice_has_no_break_even() -> None:
    found = rl.whatif(CHAT, WHERE, against=WHERE, solve="batch")
    assert (found["break_even"]["crossings"], found["break_even"]["throughout"]) == ([], None)
    assert "both are equal" in found.render("table")


# --- what can't be asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"set": "memory.bandwith=x2"}, "--set memory.bandwith: no such number of this deployment and work; did you mean 'memory.bandwidth'"),
        ({"set": "hbm=x2"}, "known: compute, memory.bandwidth"),
        ({"set": "memory.bandwidth=4"}, "--set memory.bandwidth=4: needs a unit, e.g. '3.35 TB/s'"),
        ({"set": "memory.bandwidth=4 GB"}, "is in GB (amount of data); expected bandwidth"),
        ({"set": "memory.bandwidth=0 TB/s"}, "must be above 0; it is 3.35 TB/s now"),
        ({"set": "memory.bandwidth=-100%"}, "must be above 0"),
        ({"set": "memory.bandwidth=x0"}, "must be above 0"),
        ({"set": "memory.bandwidth=-4 TB/s"}, "must be above 0"),
        ({"set": "batch=0"}, "must be 1 or more; it is 32 now"),
        ({"set": "batch=2.5"}, "must be a whole number"),
        ({"set": "batch=2 TB/s"}, "is a plain number"),
        ({"set": "cached_share=1.5"}, "must be 0 or more and at most 100 %"),
        ({"set": "pue=0.5"}, "must be 1 or more"),
        ({"set": "memory.bandwidth"}, "--set 'memory.bandwidth': write KEY=VALUE with its unit, +20%"),
        ({"set": ["batch=2", "batch=3"]}, "--set batch is given twice"),
        ({"set": ["compute=x2", "compute.peaks.fp8=x2"]}, "--set compute.peaks.fp8: is turned by compute too"),
        ({"set": ["hbm=x2", "batch=0"]}, "must be 1 or more"),
        ({"target": "tpot=20ms"}, "--solve KEY is missing"),
        ({"solve": "batch"}, "--solve needs --target METRIC=VALUE"),
        ({"target": "tpot=20", "solve": "batch"}, "--target tpot=20: needs a unit"),
        ({"target": "tpot=0 s", "solve": "batch"}, "must be above 0"),
        ({"target": "tpott=20ms", "solve": "batch"}, "did you mean 'tpot'"),
        ({"target": "tpot", "solve": "batch"}, "write METRIC=VALUE"),
        ({"target": "tpot=20ms", "solve": "batchs"}, "--solve batchs: no such number of this deployment and work; did you mean 'batch'?"),
        ({"target": "tpot=20ms", "against": "h200", "solve": "batch"}, "ask for different things"),
        ({"target": "tpot=20ms", "metric": "ttft", "solve": "batch"}, "the target names the metric already"),
        ({"replan": True}, "--replan goes with --set alone"),
        ({"metric": "step"}, "--metric step: not a metric of this work"),
    ],
)  # fmt: skip
def test_bad_questions_say_what_to_write(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(RooflineError) as caught:
        rl.whatif(CHAT, WHERE, **asked)
    assert message in str(caught.value)


def test_no_other_plan_is_looked_for_in_pools() -> None:
    with pytest.raises(RooflineError, match="of pools no other plan"):
        rl.whatif(CHAT, "16xh100-sxm:pools=8:8", set="batch=x2", replan=True)
