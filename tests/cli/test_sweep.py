"""`roofline sweep`."""

from __future__ import annotations

import csv
import io
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roofline.studies import contract
from roofline.studies.sweep.engines import dask

SWEEP = ("sweep", "llama-3.1-8b-chat", "h100-sxm")


def test_a_table_tells_what_differs_and_what_is_the_same(run: Callable[..., Any]) -> None:
    ran = run(*SWEEP, "--vary", "batch=1:64:x2", "--vary", "memory.bandwidth=2..4TB/s:3")
    assert ran.code == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0].startswith("llama-3.1-8b-chat on ")
    assert lines[1] == "varied: batch (7), memory.bandwidth (3)"
    assert lines[2] == "21 points, 21 fit, 21 kept"
    assert "2 TB/s" in ran.out
    assert "1 more rows (--all" in ran.out
    assert "the same in all rows: workload llama-3.1-8b-chat" in ran.out
    assert "more rows" not in run(*SWEEP, "--vary", "batch=1:64:+1", "--all").out


def test_every_format(run: Callable[..., Any]) -> None:
    asked = (*SWEEP, "--vary", "tp=1,3", "--columns", "tp,fits,why,tpot_s", "--format")
    found = json.loads(run(*asked, "json").out)
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(found)
    assert found["counts"] == {"points": 2, "valid": 1, "fitting": 1, "kept": 2}
    assert [row["why"] for row in found["rows"]] == [None, "heads"]
    lines = [json.loads(line) for line in run(*asked, "jsonl").out.splitlines()]
    assert lines == found["rows"]
    cells = list(csv.DictReader(io.StringIO(run(*asked, "csv").out)))
    assert [row["why"] for row in cells] == ["", "heads"]
    assert float(cells[0]["tpot_s"]) == lines[0]["tpot_s"]
    assert "| tp |" in run(*asked, "markdown").out


def test_files_several_workloads_and_outer_loops(run: Callable[..., Any], tmp_path: Path) -> None:
    asked = ("sweep", "llama-3.1-8b,qwen3-32b", "h100-sxm", "mi300x", "--workload", "llama-3.1-8b-chat")
    ran = run(*asked, "--vary", "weights=bf16,fp8", "--vary", "batch=1,8", "-o", str(tmp_path / "rows.csv"))
    assert ran.code == 0
    assert ran.out == ""
    assert ran.err == f"24 points, 24 fit, 24 kept; wrote {tmp_path / 'rows.csv'}\n"
    rows = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text(encoding="utf-8"))))
    order = [(row["workload"], row["weights"], row["batch"]) for row in rows]
    assert order[:4] == [
        ("llama-3.1-8b-request", weights, batch) for weights in ("bf16", "fp8") for batch in ("1.0", "8.0")
    ]
    assert order[-1] == ("llama-3.1-8b-chat", "fp8", "8.0")
    both = run(*asked, "-o", str(tmp_path / "a.csv"), "-o", str(tmp_path / "b.json"))
    assert both.code == 0
    assert (tmp_path / "b.json").exists()


def test_an_estimate(run: Callable[..., Any], tmp_path: Path) -> None:
    asked = (*SWEEP, "--vary", "batch=1:512:+1", "--vary", "input=1:8000:+1", "--vary", "output=1:100:+1", "--dry-run")
    ran = run(*asked)
    assert ran.code == 0
    assert "409,600,000 points, about 409,600,000 fit" in ran.out
    assert " of disk" in ran.out
    found = json.loads(run(*asked, "--format", "json").out)
    assert found["estimate"]["exact"] is False
    assert found["rows"] == []
    run(*asked, "-o", str(tmp_path / "x.csv"))
    assert not list(tmp_path.iterdir())


def test_bad_input(run: Callable[..., Any], tmp_path: Path) -> None:
    for extra, message in (
        (("--vary", "batch=8:1:x2"), "goes from 8 down to 1"),
        (("--where", "tpot < 3"), "did you mean"),
        (("-o", str(tmp_path / "no" / "x.csv")), "no such folder"),
        (("-o", str(tmp_path / "x.xlsx")), "no format has the suffix"),
        (("--hardware-dir", str(tmp_path / "none")), "no such folder"),
    ):
        ran = run(*SWEEP, *extra)
        assert ran.code == 2, extra
        assert message in ran.err
        assert "Traceback" not in ran.err


def test_a_cluster_that_is_not_there(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is written, in no more than ten seconds."""
    pytest.importorskip("distributed")
    assert dask.CONNECT <= 6
    monkeypatch.setattr(dask, "CONNECT", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        for extra, message in (
            (
                ("--scheduler", address),
                "start one with 'dask scheduler' and workers with 'dask worker tcp://127.0.0.1:",
            ),
            (("--engine", "dask", "--scheduler", address), f"--scheduler {address}: no scheduler answers"),
            (("--engine", "dask"), "say where the cluster's scheduler is: --scheduler tcp://"),
            (("--engine", "local", "--scheduler", address), "leave one of them out"),
            (("--scheduler", address, "--jobs", "2"), "--jobs 2: are processes of this machine"),
        ):
            ran = run(*SWEEP, "--vary", "batch=1,2", "-o", str(tmp_path / "x.csv"), *extra)
            assert ran.code == 2, extra
            assert message in ran.err
            assert ran.err.count("\n") == 1
            assert ran.out == ""
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "distributed", None)
    ran = run(*SWEEP, "--vary", "batch=1,2", "--scheduler", address)
    assert (ran.code, ran.err) == (2, "roofline: --engine dask needs Dask: pip install 'roofline[dask]'\n")


def test_progress_on_a_terminal_and_silence_in_a_pipe(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (*SWEEP, "--vary", "batch=1:64:+1", "-o", str(tmp_path / "x.csv"))
    assert run(*asked).err.count("\n") == 1
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told = run(*asked).err
    assert told.startswith("64 points, 64 fit\n")
    assert "100% 64 of 64 points, 64 kept" in told
    assert told.endswith(f"wrote {tmp_path / 'x.csv'}\n")
