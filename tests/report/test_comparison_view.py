"""The view of a comparison: intervals beside rates, and which deployments can't be told apart."""

from __future__ import annotations

from typing import Any

import pytest

import roofline as rl
from roofline.report import formats
from roofline.report.notebook import repr_html
from roofline.report.views import comparison as view
from roofline.studies import contract

Result = dict[str, Any]
METRIC = "output_tokens_per_s_per_chip"


def alike(result: Result, *pairs: tuple[str, str], metric: str | None = METRIC) -> list[str]:
    """The lines about deployments that are alike."""
    found = {**result, "indistinguishable": {"metric": metric, "pairs": [list(pair) for pair in pairs]}}
    return [line for line in formats.render(found, "table").splitlines() if "not distinguishable" in line]


def test_every_deployment_is_told_from_those_behind_it(comparison: Result) -> None:
    assert alike(comparison, ("8xa", "8xb"), ("8xa", "4xc"), ("8xb", "4xc"), ("2xd", "2xe")) == [
        "not distinguishable, as intervals of tokens/s per chip overlap: 8xa from 8xb, 4xc; 8xb from 4xc; 2xd from 2xe"
    ]


@pytest.mark.parametrize("metric", [METRIC, None])
def test_where_all_differ_nothing_is_said(comparison: Result, metric: str | None) -> None:
    assert alike(comparison, metric=metric) == []


@pytest.mark.parametrize("metric", contract.RANKED)
def test_every_ranking_has_a_name(comparison: Result, metric: str) -> None:
    (line,) = alike(comparison, ("a", "b"), metric=metric)
    assert f"intervals of {view.RANKED[metric]} overlap" in line
    assert list(view.RANKED) == list(contract.RANKED)


def test_results_of_earlier_versions_can_be_shown(comparison: Result) -> None:
    del comparison["indistinguishable"]
    assert "not distinguishable" not in formats.render(comparison, "table")


def test_documents_and_notebooks_say_it_too(comparison: Result) -> None:
    comparison["indistinguishable"]["pairs"] = [["8xa", "8xb"]]
    for text in (formats.render(comparison, "markdown"), repr_html(comparison)):
        assert "8xa from 8xb" in text


def test_intervals_stand_beside_rates_and_a_dash_where_there_is_none(comparison: Result) -> None:
    known = comparison["rows"][0]["metrics"]
    known[f"{METRIC}_low"], known[f"{METRIC}_high"] = 115.0, 290.4
    lines = formats.render(comparison, "table", width=400).splitlines()
    head = next(line for line in lines if line.startswith("deployment"))
    start = head.index("90 % interval") + len("90 % interval") - len("115 to 290")
    first, second = (next(line for line in lines if line.startswith(label)) for label in ("8xchip", "16x"))
    assert first[start:].startswith("115 to 290")
    assert "to" not in second[start : start + len("115 to 290")]


def test_prompts_alone_are_told_by_what_is_read() -> None:
    """Nothing is generated, so tokens per second are those that go in."""
    result = rl.compare("llama-3.1-8b", ["h100-sxm"], phase="prefill", input_len=4096)
    text = result.render("table")
    head = next(line for line in text.splitlines() if line.startswith("deployment"))
    assert "tok/s read" in head
    assert "TPOT" not in head
    assert f"{result['rows'][0]['metrics']['prefill_tokens_per_s']:,.0f}" in text
