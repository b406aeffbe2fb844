"""Rows of power and energy: what each is compared with, by what its meter had in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.studies.measured import serving, training
from roofline.studies.measured.table import METRICS, POWERS, Case, class_of_power, read, scoped, shipped

MakeCase = Callable[..., Case]
HEAD = "id,chip,num_chips,model,weight_dtype,batch,input_len,output_len,mode,metric,value,scope\n"
ROW = "8,llama-3.1-70b,fp8,32,1000,200,server_concurrency"


@pytest.mark.parametrize(
    ("metric", "scope", "name", "what"),
    [
        ("j_per_output_token", "chip", "energy_j_per_token", "energy"),
        ("j_per_output_token", "", "energy_j_per_token", "energy"),
        ("j_per_output_token", "wall", "system_energy_j_per_token", "system power"),
        ("j_per_total_token", "node", "system_energy_j_per_total_token", "system power"),
        ("j_per_request", "chip", "energy_j_per_request", "energy"),
        ("avg_power_w_per_chip", "chip", "power_w_per_chip", "power"),
        ("avg_power_w_system", "wall", "system_power_w", "system power"),
    ],
)
def test_hosts_are_in_what_a_wall_meter_reads(
    case: MakeCase, metric: str, scope: str, name: str, what: str
) -> None:  # fmt: skip
    row = case(metric=metric, scope=scope)
    found = serving.of_case(row)
    assert (found.name, serving.what(found, row)) == (name, what)
    assert found.of_power


def test_training_is_told_the_same_way(case: MakeCase) -> None:
    row = case(metric="avg_power_w_system", phase="training", scope="wall")
    found = training.of_case(row)
    assert (found.name, training.what(found, row)) == ("system_power_w", "system power")


def test_time_has_no_scope() -> None:
    for metric in METRICS.values():
        if not metric.of_power:
            assert scoped(metric, "wall") == metric
    assert {"tpot_ms", "mfu"}.isdisjoint(POWERS)
    assert {class_of_power(metric) for metric in METRICS.values() if metric.of_power} == {
        "power", "energy", "system power",
    }  # fmt: skip


def test_chips_draw_less_than_their_node(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    metrics = [("j_per_output_token", "chip"), ("j_per_output_token", "wall"), ("j_per_total_token", "chip"),
               ("j_per_request", "chip"), ("avg_power_w_per_chip", "chip"), ("avg_power_w_system", "wall")]  # fmt: skip
    lines = (f"{index},h100-sxm,{ROW},{metric},1,{scope}\n" for index, (metric, scope) in enumerate(metrics))
    path.write_text(HEAD + "".join(lines))
    rows = rl.validate(path)["rows"]
    chip, wall, both, request, board, node = (row["predicted"] for row in rows)
    assert [row["unit"] for row in rows] == ["J", "J", "J", "J", "W", "W"]
    assert all(row["ideal"] is None and not row["beats_ideal"] for row in rows)
    assert request == pytest.approx(200.0 * chip)
    assert both == pytest.approx(chip * 200.0 / 1200.0)
    assert wall / chip == pytest.approx(node / (8.0 * board))
    assert wall > 1.3 * chip


def test_no_shipped_figure_is_hours_times_assumed_watts() -> None:
    rows = [case for path in shipped() for case in read(path).cases if case["metric"] in POWERS]
    assert len(rows) > 1000
    for case in rows:
        assert "assumed W" not in case["note"]
        assert case["scope"] in ("chip", "node", "wall"), case["id"]


def test_every_family_that_was_measured_names_its_chips(catalog: Catalog) -> None:
    told = [family for name in catalog.families() if (family := catalog.family(name)).energy is not None]
    assert told
    for family in told:
        assert family.energy is not None
        for chip in family.energy.measured_on:
            assert catalog.chip(chip).energy_evidence == "measured", (family.id, chip)
