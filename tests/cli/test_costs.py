"""Costs on the command line: assumptions as a file, sources on demand, the market, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAT, H100 = "llama-3.1-70b-chat", "8xh100-sxm"
EXAMPLE = str(ROOT / "examples" / "our-prices.yaml")
Run = Callable[..., Any]


def test_assumptions_change_costs_and_nothing_else(run: Run) -> None:
    before, after = (
        json.loads(run("analyze", CHAT, H100, "-f", "json", *more).out) for more in ((), ("--assumptions", EXAMPLE))
    )
    assert after["assumptions"]["id"] == after["economics"]["assumptions"] == "our-prices"
    differ = {name for name, value in before["metrics"].items() if after["metrics"][name] != value}
    assert differ
    assert all(
        "usd" in name or "site" in name or name in ("tokens_per_kwh", "break_even_utilization") for name in differ
    )


@pytest.mark.parametrize("command", [("analyze", CHAT, H100), ("compare", CHAT, H100, "8xgaudi3"), ("market", "phi-4")])
def test_sources_are_told_on_demand(run: Run, command: tuple[str, ...]) -> None:
    short, long = run(*command).out, run(*command, "--costs").out
    assert "costs rest on (default): electricity 0.0892 USD/kWh" in short
    assert "US Energy Information Administration" not in short
    assert "US Energy Information Administration" in long


def test_a_brief_bill_says_how_to_see_its_sources(run: Run) -> None:
    out = run("analyze", CHAT, H100, "--costs", "--brief").out
    assert "hour of work" in out
    assert "US Energy Information Administration" not in out
    assert "--costs without --brief tells the sources" in " ".join(out.split())
    assert "hour of work" not in run("analyze", CHAT, H100, "--brief").out


@pytest.mark.parametrize("command", [("analyze", CHAT, H100), ("compare", CHAT, H100), ("market", "phi-4")])
def test_broken_assumptions_exit_with_2_and_the_place(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "format: 1\nid: mine\nname: Mine\nextends: default\n"
        "residual: {value: 100 %, source: x}\nutilization: {value: 0, source: x}\n"
        "sources: {x: {title: X, date: 2026-01-05}}\n",
        encoding="utf-8",
    )
    ran = run(*command, "--assumptions", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert f"{path}:5:19: residual.value: must lie from 0 to below 1, got 1" in ran.err
    assert f"{path}:6:22: utilization.value: must lie above 0 and not above 1, got 0" in ran.err


def test_the_chart_of_costs_is_drawn(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "costs.svg"
    assert run("analyze", CHAT, H100, "--costs", "--chart", str(path)).code == 0
    assert "rented around the clock" in path.read_text(encoding="utf-8")


def test_the_market_in_every_format(run: Run) -> None:
    for form in ("table", "markdown", "csv", "json", "jsonl"):
        ran = run("market", "phi-4", "--format", form)
        assert (ran.code, ran.err) == (0, "")
        assert "phi-4" in ran.out


def test_broken_prices_exit_with_2(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(
        "id,provider,kind,model,input_usd_per_mtok,output_usd_per_mtok\na,x,gpu,phi-4,0,1\n", encoding="utf-8"
    )
    ran = run("market", "--prices", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert f"{path}:2: input_usd_per_mtok: must be a positive number of USD, got '0'" in ran.err


def test_the_catalogue_shows_assumptions_with_their_sources(run: Run) -> None:
    assert "default" in run("show", "economics").out
    told = run("show", "default").out
    assert "0.0892 USD/kWh (electricity)" in told
    assert "42,188 USD, its share of a server with it" in run("show", "h100-sxm").out
