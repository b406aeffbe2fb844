"""Why a plan wins: the plans behind it, what each of them loses, and how many there were."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.errors import RooflineError
from roofline.studies import contract
from roofline.studies.explain_plan import APART, SHOWN, apart, most_grown, times

DEGREES = ("tp", "pp", "dp", "ep", "cp")


@pytest.fixture(scope="module")
def obeys() -> Callable[[rl.Result], None]:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    return lambda result: jsonschema.Draft7Validator(schema).validate(result.data)


@pytest.fixture(scope="module")
def explained() -> rl.Result:
    return rl.predict("llama-3.1-70b-pretraining", "256xh100-sxm:stack=megatron", explain_plan=True)


def test_the_winner_is_the_plan_of_the_prediction(explained: rl.Result, obeys: Callable[[rl.Result], None]) -> None:
    obeys(explained)
    first = explained["plans"]["rows"][0]
    assert first["plan"] == explained["deployment"]["plan"]
    assert first["step_time_s"] == pytest.approx(explained["metrics"]["step_time_s"])
    assert first["memory_bytes"] == pytest.approx(explained["memory"]["total_bytes"])
    assert (first["rank"], first["loss"], first["grew"]) == (1, 0.0, None)
    assert first["parts"] == explained["phases"][0]["parts"]


def test_the_next_three_are_other_layouts_and_lose(explained: rl.Result) -> None:
    rows = explained["plans"]["rows"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert len({tuple(row["plan"][name] for name in DEGREES) for row in rows}) == SHOWN
    losses = [row["loss"] for row in rows]
    assert all(after > before + APART / 2 for before, after in pairwise(losses))
    for row in rows[1:]:
        assert row["loss"] == pytest.approx(row["step_time_s"] / rows[0]["step_time_s"] - 1)
        mine, best = times(row["parts"]), times(rows[0]["parts"])
        grown = row["grew"]
        assert grown["time_s"] == pytest.approx(mine[grown["name"]] - best.get(grown["name"], 0.0))
        assert grown["time_s"] == pytest.approx(max(time - best.get(name, 0.0) for name, time in mine.items()))
        assert sum(mine.values()) == pytest.approx(row["step_time_s"])
        asked: dict[str, Any] = {name: int(row["plan"][name]) for name in (*DEGREES, "vpp", "zero", "micro_batch")}
        if "recompute_layers" in row["plan"]:
            asked["recompute_layers"] = int(row["plan"]["recompute_layers"])
        asked["recompute"] = row["plan"]["recompute"]
        again = rl.predict("llama-3.1-70b-pretraining", "256xh100-sxm:stack=megatron", **asked)
        assert again["metrics"]["step_time_s"] == pytest.approx(row["step_time_s"])


def test_every_plan_is_counted(explained: rl.Result) -> None:
    plans = explained["plans"]
    assert plans["considered"] == plans["invalid"] + plans["too_large"] + plans["fitting"]
    assert min(plans["invalid"], plans["too_large"], plans["fitting"]) > 0


def test_a_plan_that_is_given_has_no_rival() -> None:
    plan = "tp=8,pp=2,dp=4,ep=1,cp=1,vpp=1,zero=1,micro_batch=1,recompute=full,sequence_parallel=on"
    plans = rl.predict("llama-3.1-70b-pretraining", f"64xh100-sxm:{plan}", explain_plan=True)["plans"]
    assert (plans["considered"], plans["invalid"], plans["too_large"], plans["fitting"]) == (1, 0, 0, 1)
    assert [row["rank"] for row in plans["rows"]] == [1]


def test_where_nothing_fits_there_is_no_rank(obeys: Callable[[rl.Result], None]) -> None:
    result = rl.predict("llama-3.1-405b-pretraining", "8xh100-sxm", explain_plan=True)
    obeys(result)
    assert not result["fits"]
    assert result["plans"]["rows"] == []
    assert result["plans"]["fitting"] == 0
    assert "plans considered" in str(result)


def test_comparisons_explain_each_deployment(obeys: Callable[[rl.Result], None]) -> None:
    result = rl.compare("llama-3.1-8b-pretraining", ["8xh100-sxm", "8xmi300x"], explain_plan=True)
    obeys(result)
    for row in result["rows"]:
        assert row["plans"]["rows"][0]["plan"] == row["deployment"]["plan"]
    assert str(result).count("plans considered") == 2


def test_serving_has_no_such_plans() -> None:
    with pytest.raises(RooflineError, match=r"--explain-plan belongs to training; llama-3\.1-8b-chat is served"):
        rl.predict("llama-3.1-8b-chat", "h100-sxm", explain_plan=True)


@given(st.lists(st.floats(min_value=1e-3, max_value=1e3), max_size=20).map(sorted))
def test_plans_that_are_told_differ(found: list[float]) -> None:
    told = [found[index] for index in apart(found)]
    assert told[:1] == found[:1]
    assert all(after > before * (1 + APART) for before, after in pairwise(told))
    for time in found:  # whatever is not told is near to one that is
        assert any(0 <= time - other <= other * APART for other in told)


PARTS = st.dictionaries(st.sampled_from("abcd"), st.floats(min_value=0, max_value=9))


@given(before=PARTS, after=PARTS)
def test_what_has_grown_most_explains_the_most(before: dict[str, float], after: dict[str, float]) -> None:
    found = most_grown(before, after)
    more: dict[str, Any] = {name: time - before.get(name, 0.0) for name, time in after.items()}
    assert (found is None) == all(value <= 0 for value in more.values())
    if found:
        assert found[1] == max(more.values()) == more[found[0]]
