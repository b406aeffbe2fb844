"""`roofline decide`: the shipped needs, and everything that may be wrong with a need."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NEED = """\
format: 1
id: need
name: Need
source: ours
serving:
  - workload: llama-3.1-8b
    input: 100
    output: 100
    requests_per_month: 1000
training:
  - workload: llama-3.1-8b
    tokens: 1000000
    within: 1 d
places:
  cloud: {network: 40 ms}
sources:
  ours: {title: "Counted", date: 2026-01-05}
"""

BAD = [
    ("requests_per_month: 1000", "requests_per_month: 0", "9:25: serving.0.requests_per_month: must be between 1 and 10^15, got 0"),
    ("requests_per_month: 1000", "requests: 1000", "9:15: serving.0.requests: unknown key; did you mean 'requests_per_month'?"),
    ("cloud: {network: 40 ms}", "clout: {network: 40 ms}", "15:10: places.clout: unknown key; did you mean 'cloud'?"),
    ("cloud: {network: 40 ms}", "cloud: {network: 40}", "15:20: places.cloud.network: needs a unit, e.g. '0.7 us' (got the bare number 40)"),
    ("cloud: {network: 40 ms}", "cloud: {sites: 0}", "15:18: places.cloud.sites: must be between 1 and 10^15, got 0"),
    ("within: 1 d", "within: 0 d", "13:13: training.0.within: must be positive, got 0 s"),
    ("places:\n", "peak: 0.5\nplaces:\n", "14:7: peak: must be a number of at least 1, got 0.5"),
    ("places:\n", "budget: -5 USD/month\nplaces:\n", "14:9: budget: must be positive"),
    ("places:\n", "power: 0 W\nplaces:\n", "14:8: power: must be positive, got 0 W"),
    ("places:\n  cloud: {network: 40 ms}", "places: {}", "14:9: places: allows no place; name some of cloud, own, edge, e.g. 'cloud: {network: 40 ms}'"),
    ("    input: 100", "    scenario: chat\n    input: 100", "6:5: serving.0: a scenario has lengths of its own; leave out the scenario, or input and output"),
    ("source: ours", "source: theirs", "need: source 'theirs' is not in sources"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new.strip()[:40] for _, new, _ in BAD])
def test_faults_have_a_place_and_a_hint(
    run: Callable[..., Any], tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "need.yaml"
    assert old in NEED
    path.write_text(NEED.replace(old, new, 1), encoding="utf-8")
    ran = run("decide", str(path))
    assert ran.code == 2, ran
    assert message in ran.err
    assert str(path) in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("decide", "ofice-assistant"), "no need 'ofice-assistant'; did you mean 'office-assistant'? ('roofline show needs' lists all)"),
        (("decide", "office-assistant", "--chip", "h10-sxm"), "no chip 'h10-sxm'; did you mean "),
        (("decide", "office-assistant", "--assumptions", "defalt"), "no assumptions 'defalt'; did you mean 'default'?"),
        (("decide", "./nowhere.yaml"), "nowhere.yaml: no such file"),
    ],
)  # fmt: skip
def test_names_that_mean_nothing(run: Callable[..., Any], arguments: tuple[str, ...], message: str) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert message in ran.err


def test_a_need_that_asks_for_nothing(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "need.yaml"
    path.write_text(
        "format: 1\nid: need\nname: N\nsource: ours\nplaces: {own: {}}\nsources:\n  ours: {title: T, date: 2026-01-05}\n",
        encoding="utf-8",
    )
    ran = run("decide", str(path))
    assert ran.code == 2
    assert "asks for nothing; list requests under 'serving:' or runs under 'training:'" in ran.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - workload: llama-3.1-8b\n    input", "  - workload: llama-3.1-8b-pretraining\n    input", "--input belongs to serving"),
        ("    tokens: 1000000\n", "    tokens: 1000000\n    on: [8xh10-sxm]\n", "no chip 'h10-sxm'"),
    ],
)  # fmt: skip
def test_workloads_of_the_wrong_kind(
    run: Callable[..., Any], tmp_path: Path, old: str, new: str, message: str
) -> None:  # fmt: skip
    path = tmp_path / "need.yaml"
    assert old in NEED
    path.write_text(NEED.replace(old, new, 1), encoding="utf-8")
    ran = run("decide", str(path), "--chip", "h100-sxm")
    assert ran.code == 2
    assert message in ran.err


@pytest.mark.parametrize("need", ["deepseek-v3-training", "deepseek-fleet"])
def test_every_format(run: Callable[..., Any], need: str) -> None:
    for form in ("table", "markdown", "csv", "json", "jsonl"):
        ran = run("decide", need, "--format", form)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out
    assert json.loads(ran.out)["need"]["id"] == need


def test_a_template_can_be_decided_at_once(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run("new", "need", "ours", "--dir", str(tmp_path)).code == 0
    path = tmp_path / "ours.yaml"
    assert run("lint", str(path)).code == 0
    ran = run("decide", str(path), "--chip", "h100-sxm", "--chip", "mi300x")
    assert ran.code == 0
    assert "where inference runs" in ran.out
