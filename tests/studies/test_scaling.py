"""Scaling curves: more and more chips, what a chip makes of its time, and where that ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import roofline as rl
from roofline.errors import RooflineError
from roofline.studies import contract
from roofline.studies.scaling import SAME, WORTH, cliff

RUN = "llama-3.1-8b-pretraining"


@pytest.fixture(scope="module")
def obeys() -> Callable[[rl.Result], None]:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    return lambda result: jsonschema.Draft7Validator(schema).validate(result.data)


@pytest.fixture(scope="module")
def strong() -> rl.Result:
    return rl.predict(RUN, "h100-sxm:stack=megatron", scaling="strong")


def test_chips_double_from_the_fewest_that_hold_the_run(strong: rl.Result, obeys: Callable[[rl.Result], None]) -> None:
    obeys(strong)
    chips = [row["num_chips"] for row in strong["scaling"]["rows"]]
    assert chips == [chips[0] * 2**power for power in range(7)]
    held = rl.predict(RUN, f"{chips[0]}xh100-sxm:stack=megatron")
    assert held["fits"]
    assert chips[0] == 1 or not rl.predict(RUN, f"{chips[0] // 2}xh100-sxm:stack=megatron")["fits"]


def test_each_row_is_the_prediction_of_so_many_chips(strong: rl.Result) -> None:
    rows = strong["scaling"]["rows"]
    for row in (rows[0], rows[3], rows[-1]):
        alone = rl.predict(RUN, f"{row['num_chips']}xh100-sxm:stack=megatron")
        assert row["plan"] == alone["deployment"]["plan"]
        for name in ("step_time_s", "tokens_per_s", "tokens_per_s_per_chip"):
            assert row[name] == pytest.approx(alone["metrics"][name])
        assert row["parts"] == alone["phases"][0]["parts"]
        assert row["bound"] == alone["phases"][0]["bound"]
        assert row["efficiency"] == pytest.approx(row["tokens_per_s_per_chip"] / rows[0]["tokens_per_s_per_chip"])


def test_strong_scaling_keeps_the_batch_and_weak_scaling_grows_it(
    strong: rl.Result, obeys: Callable[[rl.Result], None]
) -> None:
    weak = rl.predict(RUN, "h100-sxm:stack=megatron", scaling="weak")
    obeys(weak)
    batch = weak["workload"]["global_batch"]
    assert {row["global_batch"] for row in strong["scaling"]["rows"]} == {batch}
    rows = weak["scaling"]["rows"]
    assert [row["global_batch"] for row in rows] == [batch * row["num_chips"] / rows[0]["num_chips"] for row in rows]
    assert rows[-1]["efficiency"] >= strong["scaling"]["rows"][-1]["efficiency"]


def test_what_is_lost_is_what_a_token_costs_more(strong: rl.Result) -> None:
    """Chip-seconds of a token, part by part: their growth adds up to what is lost."""
    rows = strong["scaling"]["rows"]
    tokens = rows[0]["tokens_per_s"] * rows[0]["step_time_s"]

    def costs(row: dict[str, Any]) -> dict[str, float]:
        return {part["name"]: part["time_s"] * row["num_chips"] / tokens for part in row["parts"]}

    base = costs(rows[0])
    for row in rows[1:]:
        mine = costs(row)
        growth = {name: mine.get(name, 0.0) - base.get(name, 0.0) for name in {*mine, *base}}
        assert sum(growth.values()) == pytest.approx((1 / row["efficiency"] - 1) * sum(base.values()), abs=1e-12)
        if row["grew"]:
            share = growth[row["grew"]["name"]] / sum(base.values())
            assert row["grew"]["loss"] == pytest.approx(share)
            assert share == pytest.approx(max(growth.values()) / sum(base.values()))


def test_the_deployments_own_number_of_chips_is_a_row() -> None:
    rows = rl.predict(RUN, "24xh100-sxm:stack=megatron,dp=8", scaling="strong")["scaling"]["rows"]
    chips = [row["num_chips"] for row in rows]
    assert 24 in chips
    assert chips == sorted(chips)
    assert {row["plan"]["dp"] for row in rows} == {8.0}


def test_links_and_batch_end_a_curve() -> None:
    rows = rl.predict(RUN, "8xrtx-4090:stack=megatron", scaling="strong", zero=3)["scaling"]["rows"]
    assert rows[-1]["num_chips"] == 8
    small = rl.predict(RUN, "4xh100-sxm:tp=1,pp=1,cp=1", scaling="strong", global_batch=8)["scaling"]
    assert [row["num_chips"] for row in small["rows"]][-1] == 8
    assert small["stopped"] == ("16 chips: dp=16 does not divide the global batch of 8 sequences; possible: 1 2 4 8")


@pytest.mark.parametrize("deployment", ["llama-3.1-8b-chat", "llama-3.1-8b"])
def test_serving_does_not_scale_so(deployment: str) -> None:
    with pytest.raises(RooflineError, match="--scaling belongs to training"):
        rl.predict(deployment, "h100-sxm", scaling="strong")


def test_an_unknown_kind_says_which_there_are() -> None:
    with pytest.raises(RooflineError, match="--scaling strang: did you mean 'strong'"):
        rl.predict(RUN, "h100-sxm", scaling="strang")
    with pytest.raises(RooflineError, match="--scaling up: one of strong, weak"):
        rl.predict(RUN, "h100-sxm", scaling="up")


def rows(*efficiencies: float) -> list[dict[str, Any]]:
    return [
        {
            "num_chips": 2**index,
            "efficiency": efficiency,
            "step_time_s": 1.0,
            "tokens_per_s_per_chip": efficiency,
            "parts": [{"name": "products", "time_s": efficiency}, {"name": "bubble", "time_s": 1.0 - efficiency}],
        }
        for index, efficiency in enumerate(efficiencies)
    ]


@pytest.mark.parametrize(
    ("efficiencies", "chips", "before", "below"),
    [
        ((1.0, 0.95, 0.81, 0.79, 0.3), 8, 1.0, WORTH),
        ((1.0, 0.98, 0.85, 0.83), 4, 0.98, None),
        ((1.0, 0.7, 0.9), 2, 1.0, WORTH),
    ],
)
def test_the_cliff_is_where_it_stops_to_pay(
    efficiencies: tuple[float, ...], chips: int, before: float, below: float | None
) -> None:
    found = cliff(rows(*efficiencies))
    assert found is not None
    assert (found["num_chips"], found["before"], found["below"]) == (chips, before, below)
    assert found["grew"]["name"] == "bubble"


@pytest.mark.parametrize("efficiencies", [(1.0,), (1.0, 1.0, 1.1), (1.0, 1.0 - (1 - SAME) / 2)])
def test_what_does_not_drop_has_no_cliff(efficiencies: tuple[float, ...]) -> None:
    assert cliff(rows(*efficiencies)) is None
