"""`roofline plan` on the command line: what is asked wrongly, what is not feasible, and that rows are as analysed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ("plan", "llama-3.1-8b-chat", "h100-sxm")


def test_what_it_says_to_run_gives_the_same_figures(run: Callable[..., Any]) -> None:
    best = json.loads(run(*SMALL, "--tpot", "10ms", "--format", "json").out)["rows"][0]
    told = shlex.split(best["analyze"])
    assert told[0] == "roofline"
    again = json.loads(run(*told[1:], "--format", "json").out)
    assert again["metrics"] == best["metrics"]


def test_nothing_feasible_exits_with_one_and_tells_the_nearest_miss(run: Callable[..., Any]) -> None:
    ran = run(*SMALL, "--tpot", "0.1ms")
    assert ran.code == 1
    assert "nothing is feasible; the nearest is" in ran.err
    assert "tpot" in ran.err
    assert "h100-sxm" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tpot", "30"), "--tpot 30: needs a unit, e.g. --tpot 30ms"),
        (("--ttft", "-5ms"), "--ttft -5ms: must be above zero"),
        (("--power", "3 apples"), "--power 3 apples: unknown unit 'apples'"),
        (("--chips-at-most", "many"), "whole number of chips"),
        (("--rank", "price"), "one of cost, energy, chips, latency"),
        (("--emit", "vlm"), "did you mean 'vllm'?"),
        (("--emit", "megatron"), "Megatron-LM is for training"),
        (("--weights", "fp8,fp9"), "weights=fp9"),
        (("--within", "3d"), "belongs to training"),
    ],
)
def test_bad_input_exits_with_two(run: Callable[..., Any], arguments: tuple[str, ...], message: str) -> None:
    ran = run(*SMALL, *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_an_unknown_chip_is_named_with_what_is_near(run: Callable[..., Any]) -> None:
    ran = run("plan", "llama-3.1-8b-chat", "h100-sxn")
    assert ran.code == 2
    assert "h100-sxm" in ran.err


def test_formats_are_a_list(run: Callable[..., Any]) -> None:
    ran = run(*SMALL, "--weights", "fp8,bf16", "--per-chip", "99", "--top", "99", "--format", "json")
    assert {row["deployment"]["weights"] for row in json.loads(ran.out)["rows"]} == {"fp8", "bf16"}


def test_chart_and_files(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run(*SMALL, "--chart", str(tmp_path / "plan.svg"), "-o", str(tmp_path / "plan.csv"))
    assert ran.code == 0
    assert (tmp_path / "plan.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert (tmp_path / "plan.csv").read_text(encoding="utf-8").startswith("workload,rank,deployment,")
