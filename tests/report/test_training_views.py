"""What reports say of training: parts of a step, plans behind the best one, more and more chips, two kinds of MFU."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from roofline.report import charts, formats
from roofline.report.views.common import plan_text
from roofline.report.views.ranking import WORDS

Result = dict[str, Any]
PLAN = {"tp": 4.0, "pp": 2.0, "dp": 8.0, "ep": 1.0, "cp": 1.0, "vpp": 2.0, "zero": 1.0, "micro_batch": 1.0, "recompute": "none"}  # fmt: skip


def part(name: str, time: float, hidden: float = 0.0, whole: float = 10.0) -> Result:
    return {"name": name, "time_s": time, "hidden_time_s": hidden, "share": time / whole}


def ranked() -> Result:
    first = {"rank": 1, "plan": PLAN, "step_time_s": 10.0, "memory_bytes": 60e9, "loss": 0.0, "grew": None,
             "parts": [part("products", 8.0), part("tensor_messages", 1.0, 0.5), part("bubble", 1.0)]}  # fmt: skip
    second = {**first, "rank": 2, "plan": {**PLAN, "tp": 8.0, "dp": 4.0}, "step_time_s": 11.5, "loss": 0.15,
              "grew": {"name": "tensor_messages", "time_s": 2.0},
              "parts": [part("products", 8.0), part("tensor_messages", 3.0), part("bubble", 0.5), part("update", 1e-4)]}  # fmt: skip
    return {"considered": 12345, "invalid": 10000, "too_large": 345, "fitting": 2000, "rows": [first, second]}


def curve(**more: Any) -> Result:
    base = {"plan": PLAN, "global_batch": 256.0, "step_time_s": 8.0, "tokens_per_s": 1000.0, "bound": "compute",
            "tokens_per_s_per_chip": 125.0, "parts": [part("products", 8.0)]}  # fmt: skip
    rows = [
        {**base, "num_chips": 8, "efficiency": 1.0, "grew": None},
        {**base, "num_chips": 16, "tokens_per_s": 1500.0, "tokens_per_s_per_chip": 93.75, "efficiency": 0.75,
         "grew": {"name": "data_messages", "loss": 0.3}},
    ]  # fmt: skip
    cliff = {"num_chips": 16, "efficiency": 0.75, "before": 1.0, "below": 0.8, "grew": {"name": "data_messages", "loss": 0.3}}  # fmt: skip
    return {"kind": "strong", "rows": rows, "cliff": cliff, "stopped": "32 chips: no", **more}


def test_a_plan_says_all_that_is_not_as_usual() -> None:
    assert plan_text(PLAN) == "tp4 pp2 vpp2 dp8 zero1 mb1"
    unusual = {"shard": 4.0, "expert_tp": 1.0, "recompute": "full", "recompute_layers": 3.0, "offload_activations": 0.25,
               "offload_optimizer": 1.0, "sequence_parallel": False, "flash": False, "schedule": "zero-bubble",
               "context": "all-gather"}  # fmt: skip
    assert plan_text({**PLAN, **unusual}) == (
        "tp4 pp2 vpp2 dp8 etp1 zero1 shard4 mb1 full recompute of 3 layers, activations 25.0 % offloaded, "
        "optimizer 100.0 % offloaded, no sequence parallelism, no flash, zero-bubble, all-gather context"
    )


def test_every_part_has_words() -> None:
    from roofline.engine.training.parts import PARTS

    assert set(WORDS) == set(PARTS)


def test_parts_of_a_step_are_a_table(training: Result) -> None:
    training["phases"][0]["parts"] = [part("products", 5.0), part("tensor_messages", 1.31, 0.5)]
    table = formats.render(training, "table")
    assert "part of the step" in table
    line = next(line for line in table.splitlines() if line.startswith("tensor-parallel messages"))
    assert line.split()[-2:] == ["500", "ms"]


def test_plans_are_ranked_with_a_sentence_for_each(training: Result) -> None:
    table = formats.render({**training, "plans": ranked()}, "table")
    for text in (
        "1. tp4 pp2 vpp2 dp8 zero1 mb1 is the fastest: 80.0 % products, 10.0 % tensor-parallel messages, 10.0 % pipeline bubble; 500 ms of messages pass behind its work",
        "2. tp8 pp2 vpp2 dp4 zero1 mb1 is 15.0 % slower: 2 s more of tensor-parallel messages",
        "12,345 plans considered: 10,000 break a rule, 345 do not fit, 2,000 fit",
    ):
        assert text in table
    head = next(line for line in table.splitlines() if line.startswith("rank"))
    assert head.split("  ")[0] == "rank"
    assert "optimizer" not in head  # too little to show
    assert head.index("products") < head.index("tensor-parallel") < head.index("bubble")


def test_plans_are_shown_of_what_does_not_fit(training: Result) -> None:
    misfit = {**training, "fits": False, "why": "needs more", "plans": {**ranked(), "rows": [], "fitting": 0}}
    assert "345 do not fit, 0 fit" in formats.render(misfit, "table")


def test_comparisons_show_plans_under_each_deployment(training: Result) -> None:
    other = {**training, "deployment": {**training["deployment"], "label": "8xother"}, "plans": ranked()}
    result = {"schema": "roofline.comparison/1", "version": "0", "workload": training["workload"], "rows": [training, other]}  # fmt: skip
    table = formats.render(result, "table")
    assert table.index("8xother\n\nrank") > table.index("deployment")
    assert table.count("plans considered") == 1


def test_a_curve_marks_its_cliff_and_its_end(training: Result) -> None:
    table = formats.render({**training, "scaling": curve()}, "table")
    lines = table.splitlines()
    assert "strong scaling: the global batch stays" in lines
    assert "75.0 % <" in next(line for line in lines if line.split()[:1] == ["16"])
    assert "messages between replicas (30.0 %)" in table
    assert (
        "at 16 chips the efficiency falls below 80.0 %, to 75.0 %; most of it is lost to messages between replicas"
        in lines
    )
    assert "no further: 32 chips: no" in lines
    assert "operator" not in table
    quiet = formats.render({**training, "scaling": curve(cliff=None, stopped=None, kind="weak")}, "table")
    assert "weak scaling: the global batch grows with the chips" in quiet
    assert "<" not in quiet
    assert "no further" not in quiet
    dropped = {**curve()["cliff"], "before": 0.98, "below": None, "grew": None}
    assert "the efficiency drops most, from 98.0 % to 75.0 %\n" in formats.render(
        {**training, "scaling": curve(cliff=dropped)}, "table"
    )


def test_a_curve_is_rows_of_csv(training: Result) -> None:
    rows = list(csv.DictReader(io.StringIO(formats.render({**training, "scaling": curve()}, "csv"))))
    assert [row["num_chips"] for row in rows] == ["8", "16"]
    assert (rows[1]["grew"], rows[1]["grew_loss"], rows[0]["grew"]) == ("data_messages", "0.3", "")
    assert rows[0]["products_time_s"] == "8.0"
    assert {"tp", "pp", "scaling", "workload", "efficiency", "bound"} <= set(rows[0])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_curve_is_drawn_the_same_twice(training: Result, tmp_path: Path, suffix: str) -> None:
    for cliff in (curve()["cliff"], None):
        first, second = (tmp_path / f"{name}{suffix}" for name in "ab")
        for path in (first, second):
            charts.draw({**training, "scaling": curve(cliff=cliff)}, path)
        assert first.stat().st_size > 5_000
        assert first.read_bytes() == second.read_bytes()


def with_utilization(result: Result) -> Result:
    return {**result, "metrics": {**result["metrics"], "mfu": 0.41, "mfu_full_attention": 0.47, "hfu": 0.52}}


def test_mfu_and_hfu_are_shown_and_the_other_convention_says_so(training: Result) -> None:
    result = with_utilization(training)
    causal, full = (formats.render(result, "table", full_attention=flag) for flag in (False, True))
    assert "model FLOPs utilization (MFU)" in causal
    assert "full attention" not in causal
    assert "MFU, full attention counted" in full
    for table, share in ((causal, "41.0 %"), (full, "47.0 %")):
        assert share in table
        assert "hardware FLOPs utilization (HFU)" in table
        assert "52.0 %" in table
    assert "41.0 %" not in full
    head = next(line for line in full.splitlines() if line.startswith("phase"))
    assert "MFU (full attention)" in head


def test_comparisons_have_both_kinds_of_mfu(training: Result) -> None:
    rows = [with_utilization(training)]
    result = {"schema": "roofline.comparison/1", "version": "0", "workload": training["workload"], "rows": rows}
    causal, full = (formats.render(result, "table", full_attention=flag) for flag in (False, True))
    assert "41.0 %  52.0 %" in causal
    assert "47.0 %  52.0 %" in full
    assert "MFU (full attention)" in full
