"""The power of a phase, written out."""

from __future__ import annotations

import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies.explain import explain
from roofline.studies.request import Options
from roofline.units import parse

WORKLOAD, DEPLOYMENT = "llama-3.1-70b-chat", "8xh100-sxm"


def lines(operator: str, deployment: str = DEPLOYMENT) -> dict[str, dict[str, str]]:
    found = explain(WORKLOAD, deployment, operator, Options(), Catalog())
    return {line["quantity"]: line for line in found["lines"]}


def watts(line: dict[str, str]) -> float:
    return parse(line["result"], "W")


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_terms_add_up_to_the_power_of_the_phase(phase: str) -> None:
    found = lines(f"{phase}/power")
    terms = sum(watts(found[name]) for name in ("base", "busy", "memory", "compute", "network"))
    assert watts(found["one chip"]) == pytest.approx(min(terms, 700.0), rel=2e-3)
    told = next(item for item in rl.predict(WORKLOAD, DEPLOYMENT)["phases"] if item["phase"] == phase)
    assert watts(found["all chips"]) == pytest.approx(told["power_w"], rel=1e-3)
    assert all(found[name]["source"] for name in ("base", "memory", "compute", "with hosts"))


def test_without_a_phase_it_is_that_of_the_longest() -> None:
    assert explain(WORKLOAD, DEPLOYMENT, "power", Options(), Catalog())["operator"]["phase"] == "decode"


def test_a_chip_of_which_nothing_is_known_draws_its_tdp() -> None:
    found = lines("power", "4xwse-3")
    assert "upper bound" in found["one chip"]["formula"]
    assert watts(found["one chip"]) == 23000.0


def test_a_phase_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RooflineError, match=r"no phase 'dekode'; known: prefill/power, decode/power"):
        lines("dekode/power")


def test_a_chip_without_a_tdp_has_no_power() -> None:
    with pytest.raises(RooflineError, match="not even its TDP"):
        explain("llama-3.1-8b", "m2-ultra", "power", Options(phase="decode"), Catalog())
