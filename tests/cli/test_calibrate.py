"""`roofline calibrate` at the command line: messages, exit codes, where things go."""

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

from roofline.studies import contract

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "my-measurements.csv")
NOTHING = """id,chip,model,weight_dtype,batch,input_len,output_len,mode,framework,metric,value
1,h100-sxm,llama-3.1-8b,bf16,0,100,10,fixed_batch,vllm,tpot_ms,9
2,h100-sxm,llama-3.1-8b,bf16,1,0,10,fixed_batch,vllm,ttft_ms,9
"""
FIT = ("calibrate", "--fit", EXAMPLE, "--no-cross-check", "--chip", "h100-sxm")


def test_json_obeys_the_contract_and_stderr_is_silent(run: Callable[..., Any]) -> None:
    ran = run(*FIT, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(json.loads(ran.out))


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "jsonl"])
def test_every_format(run: Callable[..., Any], form: str) -> None:
    ran = run(*FIT, "--format", form)
    assert ran.code == 0
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(ran.out)))
        assert {row["constant"] for row in rows} >= {"step_s", "layer_s", "memory"}
        assert all(float(row["value"]) >= 0 for row in rows)
    elif form == "jsonl":
        assert [json.loads(line)["level"] for line in ran.out.splitlines()] == ["h100-sxm"]
    else:
        assert "nothing was written; -o DIR writes the constants as files" in ran.out


def test_constants_go_to_a_folder_and_the_report_to_files(run: Callable[..., Any], tmp_path: Path) -> None:
    into, report = tmp_path / "mine", tmp_path / "report.json"
    ran = run(*FIT, "-o", str(into), "--to", str(report))
    assert (ran.out, ran.err) == ("", f"wrote {report}\n")
    assert json.loads(report.read_text())["written"] == [str(into / "stacks" / "vllm.yaml")]
    step = run("analyze", "llama-3.1-8b-chat", "h100-sxm", "-f", "json").out
    assert run("analyze", "llama-3.1-8b-chat", "h100-sxm", "-f", "json", "--hardware-dir", str(into)).out != step


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, (), "rows.csv: can't be read: "),
        ("", (), "rows.csv:1:1: id: missing column"),
        ("id,chip,model,metric,value\n", (), "rows.csv: no rows"),
        ("id,chip,model,metric,value\n1,h100-sxm,llama-3.1-8b,tpot_ms,fast\n", (), "rows.csv:2: value: must be a positive number, got 'fast'"),
        ("id,chip,model,metric,value\n1,abacus,llama-3.1-8b,tpot_ms,9\n", (), "no constant can be fitted: 1 rows skipped: chip abacus is not in the catalogue"),
        ("id,chip,op\n", ("--chip", "h10-sxm"), "no chip 'h10-sxm'; did you mean 'h100-sxm'"),
        ("id,chip,op\n", ("--split", "calibrate"), "--split calibrate: no such side; did you mean 'calibration'?"),
        ("id,chip,op\n", ("--stack", "vlm"), "no stack 'vlm'; did you mean 'vllm'"),
        ("id,chip,op\n", ("--format", "xml"), "no format 'xml'; one of table, markdown, csv, json, jsonl"),
        ("id,chip,op\n", ("--to", "none/x.json"), "none/x.json: no such folder: none"),
        ("id,chip,op\n", ("--fit", "none.csv"), "rows.csv: no rows"),
        ("id,chip,op,m,n,k,dtype,latency_us\n1,h100-sxm,gemm,1,1,1,bf16,9\n", ("--fit", "none.csv"), "none.csv: can't be read: "),
        (NOTHING, (), "no constant can be fitted: 1 rows skipped: a batch of no requests; 1 rows skipped: ttft_ms of no prompt"),
        ("id,chip,op\n", ("--to", "x.xlsx"), "x.xlsx: no format has the suffix '.xlsx'"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_2_and_writes_nothing(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    text: str | None, arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("rows.csv").write_text(text)
    before = sorted(tmp_path.iterdir())
    ran = run("calibrate", "--fit", "rows.csv", "-o", "mine", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"roofline: {message}"), ran.err
    assert ran.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_format_that_there_is_not_is_told_before_anything_is_fitted(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run(*FIT, "-o", str(tmp_path / "mine"), "--format", "xml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("roofline: no format 'xml'")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("place", ["a.csv", "a.csv/mine"])
def test_constants_go_to_folders_only(run: Callable[..., Any], tmp_path: Path, place: str) -> None:
    (tmp_path / "a.csv").write_text("mine\n")
    ran = run(*FIT, "-o", str(tmp_path / place))
    assert ran.code == 2
    assert (tmp_path / "a.csv").read_text() == "mine\n"


def test_without_measurements_there_is_nothing_to_do(run: Callable[..., Any]) -> None:
    ran = run("calibrate")
    assert (ran.code, ran.err) == (2, "roofline: nothing to fit to; give --fit FILE or --shipped\n")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io\n"
        "sys.argv = ['roofline', 'calibrate', '--help']\n"
        "from roofline.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "assert '--fit' in out.getvalue()\n"
        "print(sorted(set(sys.modules) & {'numpy', 'pandas', 'matplotlib', 'scipy', 'yaml'}))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_only_a_fit_imports_scipy() -> None:
    code = (
        "import sys, roofline as rl\n"
        "rl.predict('llama-3.1-8b-chat', 'h100-sxm'), rl.calibrate\n"
        "print('scipy' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
