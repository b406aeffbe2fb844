"""Scenarios on the command line: names, the contract, what people read, ranges."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roofline.catalog.store import KINDS, Catalog
from roofline.cli.completion import complete_entry, complete_scenario
from roofline.studies import contract

SCHEMA = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
MODEL, WHERE = "llama-3.1-70b", "8xh100-sxm:tp=8"
Run = Callable[..., Any]


def contracted(text: str) -> Any:
    found = json.loads(text)
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    return found


@pytest.mark.parametrize("name", sorted(Catalog().files(KINDS["scenario"])))
def test_every_scenario_runs_on_a_bare_model(run: Run, name: str) -> None:
    ran = run("analyze", MODEL, WHERE, "--scenario", name, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    found = contracted(ran.out)
    assert found["workload"]["id"] == f"{MODEL}-{name}"
    request, steps = found["request"], found["steps"]
    assert sum(step["time_s"] for step in steps) + request["waiting_s"] == pytest.approx(
        found["metrics"]["e2e_latency_s"], rel=1e-9
    )
    used = sum(step["chip_seconds"] for step in steps)
    assert used + request["idle_chip_seconds"] == pytest.approx(request["chip_seconds"], rel=1e-9)
    assert sum(step["cost_usd"] for step in steps) <= request["cost_usd"] * (1 + 1e-9)
    assert (request["pauses"] is None) == all(step["step"] != "pause" for step in steps)


def test_the_report_tells_each_step_and_the_pause(run: Run) -> None:
    text = run("analyze", MODEL, WHERE, "--scenario", "rag").out
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "decode query (hidden)" in lines
    assert lines["prefill passages"].split()[-1].startswith("$")
    assert "time to first useful token" in lines
    assert "none of which is needed again: drop it" in text


def test_many_steps_are_told_together(run: Run) -> None:
    short, whole = (run("analyze", MODEL, WHERE, "--scenario", "agent", *more).out for more in ((), ("--all",)))
    assert "8 x decode call (hidden)" in short
    assert "27 steps, those of one kind and name together; --all shows each" in short
    assert whole.count("decode call (hidden)") == 8
    assert "and 19 more steps" in short


def test_the_pause_has_a_verdict(run: Run) -> None:
    kept = run("analyze", MODEL, WHERE, "--scenario", "agent").out
    assert "keep it" in kept
    assert "there is room for more requests, so keeping displaces none" in kept
    full = run("analyze", MODEL, WHERE, "--scenario", "multi-turn-chat", "--batch", "max").out
    assert "drop it and read the context again" in full


def test_comparisons_show_the_first_useful_token(run: Run) -> None:
    found = run("compare", MODEL, "8xh100-sxm", "8xmi300x", "--scenario", "reasoning")
    assert "first useful token" in found.out
    assert "first useful token" not in run("compare", MODEL, "8xh100-sxm", "--scenario", "chat").out
    contracted(run("compare", MODEL, "8xh100-sxm", "8xmi300x", "--scenario", "rag", "--format", "json").out)


def test_one_phase_of_a_scenario(run: Run) -> None:
    found = contracted(run("analyze", MODEL, WHERE, "--scenario", "rag", "--phase", "decode", "--format", "json").out)
    assert found["workload"]["steps"] == [{"decode": 32.0, "name": "query"}]
    assert found["steps"][0]["context_len"] == 582.0


def test_operators_of_a_scenario_are_explained(run: Run) -> None:
    assert "decode/attention/core of llama-3.1-70b-reasoning" in run(
        "explain", MODEL, WHERE, "decode/attention/core", "--scenario", "reasoning"
    ).out  # fmt: skip


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json", "jsonl"])
def test_ranges_in_every_format(run: Run, form: str) -> None:
    ran = run("analyze", MODEL, WHERE, "--scenario", "reasoning", "--vary", "thinking=1000:4000:x2", "--format", form)
    assert (ran.code, ran.err) == (0, "")
    if form == "json":
        assert [row["thinking"] for row in contracted(ran.out)["rows"]] == [1000.0, 2000.0, 4000.0]
    elif form == "jsonl":
        assert [json.loads(line)["thinking"] for line in ran.out.splitlines()] == [1000.0, 2000.0, 4000.0]
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(ran.out)))
        assert [row["thinking"] for row in rows] == ["1000.0", "2000.0", "4000.0"]
        assert {"fits", "ttft_s", "time_to_first_useful_token_s", "usd_per_request", "energy_j_per_request"} <= set(
            rows[0]
        )
    else:
        assert all(text in ran.out for text in ("thinking", "first useful token", "1,000", "2,000", "4,000"))


def test_a_range_that_does_not_fit_is_found(run: Run) -> None:
    ran = run("analyze", "llama-3.1-8b", "1xh100-sxm", "--vary", "input=1000,3000000", "--require-fit")
    assert ran.code == 1
    assert "does not fit: input=3e+06" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("analyze", "retrieval", WHERE), "is a scenario and names no model"),
        (("analyze", MODEL, WHERE, "--scenario", "retreival"), "no scenario 'retreival'; did you mean 'retrieval'?"),
        (("analyze", "llama-3.1-70b-chat", WHERE, "--scenario", "chat"), "give the bare model 'llama-3.1-70b'"),
        (("analyze", "llama-3.1-70b-pretraining", "64xh100-sxm", "--scenario", "chat"), "give the bare model"),
        (("analyze", MODEL, WHERE, "--scenario", "./none.yaml"), "no such file"),
        (("analyze", MODEL, WHERE, "--vary", "thinking=1"), "--vary thinking: known: prefill.1, decode.1, batch"),
        (("analyze", MODEL, WHERE, "--vary", "batch=1", "--chart", "x.png"), "--vary goes with none of --chart"),
    ],
)
def test_bad_input_is_told_in_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_scenarios_are_listed_shown_begun_and_completed(run: Run, tmp_path: Path) -> None:
    assert "Retrieval (RAG)" in run("show", "scenarios").out
    assert "query: generate 32 tokens, hidden" in run("show", "rag").out
    contracted(run("show", "scenarios", "--format", "json").out)
    assert run("new", "scenario", "ours", "--dir", str(tmp_path)).code == 0
    assert run("lint", str(tmp_path / "ours.yaml")).code == 0
    assert run("analyze", MODEL, WHERE, "--scenario", str(tmp_path / "ours.yaml")).code == 0
    assert complete_scenario("re") == ["reasoning", "reasoning-speculative", "retrieval"]
    assert "scenarios" in complete_entry("sc")


def test_ten_thousand_steps_from_a_file(tmp_path: Path) -> None:
    """In a process of its own, with reading the file, finding a plan and writing 10,000 steps."""
    path = tmp_path / "long.yaml"
    path.write_text(
        "id: long\nname: Long\nsource: t\nsteps:\n  - {repeat: 2500, steps: [{prefill: 300}, {decode: 40, hidden: true}, "
        "{pause: 2 s}, {decode: 10}]}\nsources: {t: {title: x}}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "roofline", "analyze", "llama-3.1-8b", "8xh100-sxm", "--scenario", str(path)]
    ran = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True, timeout=60)
    found = contracted(ran.stdout)
    assert len(found["steps"]) == 10_000
    assert [phase["phase"] for phase in found["phases"]] == ["prefill", "decode", "pause"]
