"""The view, the rows and the chart of a plan."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

import roofline as rl
from roofline.errors import OutputError
from roofline.report import charts, formats
from roofline.report.charts.plan import lines_of

CHAT = "llama-3.1-70b-chat"


@pytest.fixture(scope="module")
def planned() -> rl.Result:
    return rl.plan(CHAT, ["h100-sxm", "mi300x"], ttft="500 ms", tpot="30 ms", emit="vllm")


def test_the_table_says_what_is_best_why_and_what_was_refused(planned: rl.Result) -> None:
    text = formats.render(planned.data, "table")
    for part in ("TTFT at most 500 ms, TPOT at most 30 ms; ranked by cost of a request", "left of limit",
                 "before the runner-up", "before the same chip's next", "combinations looked at", "break nothing else",
                 "tokens/s for a user against tokens/s of a chip", "vllm serve MODEL", "look closer: roofline analyze",
                 f"{planned['considered']:,} combinations looked at, {planned['feasible']:,} feasible"):  # fmt: skip
        assert part in text, part


def test_intervals_that_reach_beyond_a_limit_are_told(planned: rl.Result) -> None:
    beyond = [
        str(row["rank"])
        for row in planned["rows"]
        if row["metrics"]["tpot_s_high"] is not None and row["metrics"]["tpot_s_high"] > 0.03
    ]
    told = f"TPOT: the 90 % interval reaches beyond the limit in {', '.join(beyond)}"
    assert bool(beyond) == (told in formats.render(planned.data, "table"))


def test_all_points_are_told_when_asked_for(planned: rl.Result) -> None:
    few, every = (formats.render(planned.data, "table", all_rows=wanted) for wanted in (False, True))
    points = sum(len(traded["points"]) for traded in planned["frontier"])
    assert re.search(r"[0-9]+ more between them \(--all\)", few)
    assert "(--all)" not in every
    assert every.count("kept") + every.count("broken") >= points


def test_one_row_of_csv_for_each_deployment(planned: rl.Result) -> None:
    rows = list(csv.DictReader(io.StringIO(formats.render(planned.data, "csv"))))
    assert [row["deployment"] for row in rows] == [row["written"] for row in planned["rows"]]
    for row, told in zip(rows, planned["rows"], strict=True):
        assert float(row["tpot_s"]) == told["metrics"]["tpot_s"]
        assert float(row["batch"]) == told["batch"]
        assert float(row["tpot_margin"]) >= 0.0
        assert row["decode_bound"] in ("compute", "memory", "network", "overhead")


def test_nothing_feasible_is_told_with_the_nearest_miss() -> None:
    text = formats.render(rl.plan(CHAT, "h100-sxm", tpot="1 ms").data, "table")
    assert "nothing is feasible; the nearest is 8xh100-sxm" in text
    assert "look closer" not in text


def test_prompts_alone_have_no_columns_of_tokens_that_come_out() -> None:
    text = formats.render(rl.plan("llama-3.1-8b", "h100-sxm", phase="prefill").data, "table")
    assert "tok/s read" in text
    assert "TPOT" not in text


def test_a_run_has_its_own_columns() -> None:
    text = formats.render(rl.plan("llama-3.1-8b-pretraining", "h100-sxm", within="400 d").data, "table")
    for part in ("takes", "MFU", "slower: plans that fit beside faster ones", "ranked by cost of the run"):
        assert part in text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_chart_is_drawn_and_the_same_each_time(planned: rl.Result, tmp_path: Path, suffix: str) -> None:
    first, second = (planned.chart(tmp_path / f"{name}{suffix}") for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_a_line_for_each_chip_with_its_best_ringed(planned: rl.Result) -> None:
    lines = lines_of(planned.data)
    assert [line.label for line in lines] == ["h100-sxm", "mi300x"]
    for line in lines:
        assert line.best is not None
        assert line.best.kept
        assert {point.kept for point in line.points} == {True, False}


def test_training_trades_nothing_that_could_be_drawn(tmp_path: Path) -> None:
    result = rl.plan("llama-3.1-8b-pretraining", "8xh100-sxm")
    assert charts.default(result.data) == "pareto"
    with pytest.raises(OutputError, match="nothing is traded"):
        result.chart(tmp_path / "plan.png")
