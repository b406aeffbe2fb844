"""`roofline validate`: every option changes something, gates exit with 1, bad input with 2."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from roofline.studies.measured.rows import COLUMNS

Run = Callable[..., Any]

TABLE = """id,chip,num_chips,model,weight_dtype,tp,batch,input_len,output_len,mode,framework,metric,value,source
a,h100-sxm,1,llama-3.1-8b,bf16,1,8,1000,100,server_concurrency,vLLM,tpot_ms,9,test
b,h100-sxm,1,llama-2-7b,bf16,1,8,1000,100,fixed_batch,vLLM,ttft_ms,90,test
c,h100-sxm,1,mistral-7b,bf16,1,8,1000,100,fixed_batch,TensorRT-LLM,tpot_ms,9,test
d,mi300x,1,qwen3-8b,bf16,1,16,1000,100,offline_max_throughput,vLLM,output_tokens_per_s_total,1e9,test
e,abacus,1,llama-3.1-8b,bf16,1,8,1000,100,server_concurrency,vLLM,tpot_ms,9,test
"""


@pytest.fixture
def measured(tmp_path: Path) -> str:
    path = tmp_path / "measured.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


@pytest.fixture
def validate(run: Run, measured: str) -> Run:
    return lambda *arguments: run("validate", "--measured", measured, *arguments)


OPTIONS = [
    ("--by", "batch"), ("--split", "calibration"), ("--split", "scoring"), ("--worst", "1"), ("--brief",),
]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
def test_every_option_changes_the_table(validate: Run, option: tuple[str, ...]) -> None:
    plain, other = validate(), validate(*option)
    assert (plain.code, other.code, other.err) == (0, 0, "")
    assert other.out != plain.out


def test_all_lists_what_worst_does_not(validate: Run) -> None:
    assert validate("--worst", "1", "--all").out == validate("--all").out != validate("--worst", "1").out


def test_files_are_written_as_the_table_is_shown(validate: Run, tmp_path: Path) -> None:
    ran = validate("--brief", "-o", str(tmp_path / "a.txt"))
    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == validate("--brief").out


def test_json_has_what_was_asked_and_every_skipped_row(validate: Run) -> None:
    result = json.loads(validate("--by", "chip,num_chips", "--format", "json").out)
    assert (result["by"], result["split"], result["left_out"]) == (["chip", "num_chips"], "all", 0)
    assert [row["id"] for row in result["rows"]] == ["a", "b", "c", "d"]
    assert result["skipped"] == [{"id": "e", "reason": "chip abacus is not in the catalogue"}]
    assert {"chip": "mi300x", "num_chips": 1} in [group["values"] for group in result["summary"]]
    side = json.loads(validate("--split", "scoring", "--format", "json").out)
    assert {row["split"] for row in side["rows"]} <= {"scoring"}
    assert len(side["rows"]) + side["left_out"] == 4


def test_csv_and_jsonl_are_the_rows(validate: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(validate("--format", "csv").out)))
    assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS
    assert [json.loads(line)["id"] for line in validate("--format", "jsonl").out.splitlines()] == [
        row["id"] for row in rows
    ]


def test_markdown_has_the_groups(validate: Run) -> None:
    out = validate("--by", "what", "--format", "markdown", "--brief").out
    assert "| what | cases | median error |" in out
    assert "| server decode | 1 |" in out


def test_a_page_shows_every_case(validate: Run, tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    ran = validate("-o", str(place))
    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {place}\n")
    page = place.read_text(encoding="utf-8")
    assert page.count('class="mark s0" transform=') == 4
    assert "half of the predictions are within" in page


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_chart_is_drawn(validate: Run, tmp_path: Path, suffix: str) -> None:
    ran = validate("--chart", str(tmp_path / f"a.{suffix}"))
    assert (ran.code, ran.err) == (0, f"wrote {tmp_path / f'a.{suffix}'}\n")
    assert ran.out == validate().out
    assert (tmp_path / f"a.{suffix}").stat().st_size > 1000
    assert not list(tmp_path.glob(".roofline*"))


def test_gates_exit_with_1_behind_the_report(validate: Run) -> None:
    failed = validate("--max-median", "0.001")
    assert failed.code == 1
    assert failed.out == validate().out
    assert "median" in failed.err
    assert validate("--max-p90", "0.001").code == 1
    assert validate("--max-median", "1e9", "--max-p90", "1e9").code == 0


def test_small_groups_pass_gates_if_asked(validate: Run) -> None:
    fails = ("--by", "id", "--max-median", "0.001")
    assert "a: median" in validate(*fails).err
    few = validate(*fails, "--min-cases", "2")
    assert few.code == 1
    assert "a: median" not in few.err
    assert "all: median" in few.err
    none = validate(*fails, "--min-cases", "50")
    assert (none.code, "no group has 50 cases" in none.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "chpi"), "--by chpi: no such column; did you mean 'chip'?"),
        (("--split", "scorin"), "--split scorin: no such side; did you mean 'scoring'?"),
        (("--chart", "a.gif"), "a.gif: charts are drawn as .png, .svg or .pdf"),
        (("--chart", "missing/a.png"), "no such folder"),
        (("--worst", "-1"), "--worst"),
        (("--min-cases", "0"), "--min-cases"),
        (("--max-median", "-0.1"), "--max-median"),
        (("--max-median", "nan"), "--max-median"),
        (("--max-p90", "nan"), "--max-p90"),
        (("--max-p90", "a tenth"), "--max-p90"),
        (("--format", "xlsx"), "no format 'xlsx'; one of table, markdown"),
        (("-o", "a.xlsx"), "a.xlsx: no format has the suffix '.xlsx'"),
    ],
)
def test_bad_input_exits_with_2(validate: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = validate(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


@pytest.mark.parametrize("by", [COLUMNS[0], ",".join(COLUMNS), "chip, num_chips ,", ""])
def test_any_columns_can_be_grouped_by(validate: Run, by: str) -> None:
    ran = validate("--by", by, "--brief")
    assert (ran.code, ran.err) == (0, "")
    (head,) = (line for line in ran.out.splitlines() if "median error" in line)
    names = [name.strip() for name in by.split(",") if name.strip()]
    assert head.split()[: len(names)] == (names or ["group"])[: len(names)]


def test_gates_know_each_group_and_all_together(validate: Run) -> None:
    """Thresholds between two groups fail the one that is above."""
    groups = json.loads(validate("--by", "id", "--format", "json").out)["summary"]
    for gate, key in (("--max-median", "median_absolute_error"), ("--max-p90", "p90_absolute_error")):
        errors = sorted(group[key] for group in groups)
        for limit in {(low + high) / 2 for low, high in pairwise(errors) if low < high}:
            ran = validate("--by", "id", gate, repr(limit))
            told = ran.err.partition("accuracy: ")[2].split("; ")
            assert ran.code == 1
            assert {text.partition(":")[0] for text in told} == {
                group["group"] for group in groups if group[key] > limit
            }
        assert validate("--by", "id", gate, repr(errors[-1])).code == 0


def test_a_gate_that_fails_still_writes_what_was_asked_for(validate: Run, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a.csv", "a.svg")]
    ran = validate("--max-median", "0.001", "-o", str(places[0]), "--chart", str(places[1]))
    assert ran.code == 1
    assert all(place.stat().st_size for place in places)


def test_a_table_of_which_nothing_can_be_predicted_passes_no_gate(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("\n".join(line for line in TABLE.splitlines() if line[0] in "ie") + "\n")
    plain = run("validate", "--measured", str(path))
    assert (plain.code, plain.err) == (0, "")
    assert "chip abacus is not in the catalogue" in plain.out
    gated = run("validate", "--measured", str(path), "--max-median", "1e9")
    assert (gated.code, gated.err) == (1, "roofline: accuracy: no case could be predicted\n")


def test_brief_wins_over_lists(validate: Run) -> None:
    assert validate("--brief", "--worst", "3", "--all").out == validate("--brief").out


def test_files_have_what_was_asked_to_be_listed(validate: Run, tmp_path: Path) -> None:
    for option in (("--worst", "1"), ("--all",), ("--by", "chip")):
        validate(*option, "-o", str(tmp_path / "a.md"))
        assert (tmp_path / "a.md").read_text(encoding="utf-8") == validate(*option, "-f", "markdown").out


def test_a_file_that_is_none_is_told(run: Run, tmp_path: Path) -> None:
    ran = run("validate", "--measured", str(tmp_path / "none.csv"))
    assert (ran.code, ran.out) == (2, "")
    assert "can't be read" in ran.err
