"""What lies between the bound, the expectation and a measurement: parts that add up, and where to look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import roofline as rl
from roofline.studies.measured.gap import ADVICE, FASTER, IMPOSSIBLE, OTHERS, PARTS, QUEUEING, SLOWER, UNEXPLAINED
from roofline.studies.validate import FEW

HEAD = (
    "id", "chip", "num_chips", "model", "weight_dtype", "tp", "batch", "input_len", "output_len", "mode", "framework",
    "phase", "metric", "value", "source",
)  # fmt: skip
ROWS = {
    "fixed": "h100-sxm,1,llama-3.1-8b,bf16,1,8,1000,100,fixed_batch,vLLM,,tpot_ms,9",
    "prompt": "h100-sxm,1,llama-3.1-8b,bf16,1,8,1000,100,fixed_batch,vLLM,,ttft_ms,200",
    "server": "h100-sxm,4,llama-3.1-70b,bf16,4,32,1000,100,server_concurrency,vLLM,,tpot_ms,40",
    "first": "h100-sxm,4,llama-3.1-70b,bf16,4,32,1000,100,server_concurrency,vLLM,,ttft_ms,400",
    "rate": "h100-sxm,1,llama-3.1-8b,bf16,1,8,1000,100,server_concurrency,vLLM,e2e,output_tokens_per_s_total,700",
    "offline": "h100-sxm,1,llama-3.1-8b,bf16,1,,1000,100,offline_max_throughput,vLLM,e2e,output_tokens_per_s_total,2500",
    "e2e": "h100-sxm,1,llama-3.1-8b,bf16,1,8,1000,100,fixed_batch,vLLM,e2e,e2e_latency_s,1.2",
    "reads": "rtx-4090,1,llama-3.1-8b,q4_k_m,1,1,512,0,single_stream,llama.cpp CUDA,prefill,prefill_tokens_per_s,7100",
    "single": "rtx-4090,1,llama-3.1-8b,q4_k_m,1,1,0,128,single_stream,llama.cpp CUDA,decode,tokens_per_s_per_user,130",
}
STATIC = ("fixed", "prompt", "e2e", "reads", "single")
Row = dict[str, Any]
Gaps = Callable[..., dict[str, Row]]


@pytest.fixture
def table(tmp_path: Path) -> Callable[[list[str]], Path]:
    def written(lines: list[str]) -> Path:
        path = tmp_path / "rows.csv"
        path.write_text("\n".join([",".join(HEAD), *lines, ""]), encoding="utf-8")
        return path

    return written


@pytest.fixture
def gaps(table: Callable[[list[str]], Path]) -> Gaps:
    """Rows of a table that tell their gap, by id; of other values, if some are given."""

    def of(**values: float) -> dict[str, Row]:
        lines = []
        for name, row in ROWS.items():
            cells = row.split(",")
            lines.append(",".join([name, *cells[:-1], str(values.get(name, cells[-1])), "test"]))
        return {row["id"]: row for row in rl.validate(table(lines))["rows"]}

    return of


def test_parts_add_up_to_measured_minus_ideal(gaps: Gaps) -> None:
    found = gaps()
    assert set(found) == set(ROWS)
    for row in found.values():
        gap = row["gap"]
        assert tuple(gap["parts_s"]) == (*PARTS, UNEXPLAINED)
        assert gap["ideal_s"] + sum(gap["parts_s"].values()) == pytest.approx(gap["measured_s"])
        known = sum(gap["parts_s"][name] for name in PARTS)
        assert gap["ideal_s"] + known == pytest.approx(gap["expected_s"])
        assert (gap["of_ideal"], gap["of_expected"]) == pytest.approx(
            (gap["measured_s"] / gap["ideal_s"], gap["measured_s"] / gap["expected_s"])
        )


def test_times_are_those_of_the_rows(gaps: Gaps) -> None:
    found = gaps()
    for name, unit in (("fixed", 1e-3), ("server", 1e-3), ("first", 1e-3), ("e2e", 1.0)):
        row = found[name]
        assert row["gap"]["measured_s"] == pytest.approx(row["measured"] * unit)
        assert row["gap"]["expected_s"] == pytest.approx(row["predicted"] * unit)
        assert row["gap"]["ideal_s"] == pytest.approx(row["ideal"] * unit)
    for name in ("rate", "offline", "reads", "single"):
        row = found[name]
        assert row["gap"]["measured_s"] == pytest.approx(1.0 / row["measured"])
        assert row["gap"]["expected_s"] == pytest.approx(1.0 / row["predicted"])


def test_a_part_is_there_only_where_something_makes_it(gaps: Gaps) -> None:
    found = gaps()
    for name in STATIC:
        assert found[name]["gap"]["parts_s"][QUEUEING] == pytest.approx(0.0, abs=1e-9)
    for name in ("server", "first", "rate", "offline"):
        assert found[name]["gap"]["parts_s"][QUEUEING] > 0.0
    for name, row in found.items():
        network = row["gap"]["parts_s"]["network"]
        assert (network > 0.0) is (name in ("server", "first")), name
        assert row["gap"]["parts_s"]["overhead"] > 0.0
    assert found["fixed"]["gap"]["parts_s"]["compute"] == pytest.approx(0.0, abs=1e-5)  # decoding is bound by memory
    assert found["reads"]["gap"]["parts_s"]["compute"] > found["reads"]["gap"]["parts_s"]["memory"] > 0.0


def test_parts_of_a_sole_step_are_those_of_a_prediction(gaps: Gaps) -> None:
    """By hand: expected and ideal sums of the operators of one decode step."""
    expected = rl.predict("llama-3.1-8b", "h100-sxm", phase="decode", batch=8, context_len=1050, stack="vllm")
    row = gaps()["fixed"]["gap"]
    (step,) = expected["phases"]
    assert row["expected_s"] == pytest.approx(step["time_s"], rel=0.1)
    assert row["ideal_s"] == pytest.approx(step["ideal_time_s"], rel=0.02)
    lost = sum(operator["ideal_time_s"] for operator in step["operators"] if operator["bound"] == "memory")
    assert row["ideal_s"] == pytest.approx(lost, rel=0.05)


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("fixed", 4.0, IMPOSSIBLE),
        ("fixed", 4.9, FASTER),
        ("fixed", 90.0, SLOWER),
        ("fixed", 9.0, ADVICE["overhead"]),
        ("reads", 7100.0, ADVICE["compute"]),
        ("server", 40.0, ADVICE[QUEUEING]),
        ("offline", 2500.0, OTHERS),
        ("offline", 25.0, SLOWER),
        ("single", 230.0, IMPOSSIBLE),
    ],
)
def test_where_to_look(gaps: Gaps, name: str, value: float, advice: str) -> None:
    assert gaps(**{name: value})[name]["gap"]["look_at"] == advice


def test_inside_is_as_the_row_has_it(gaps: Gaps) -> None:
    for factor in (0.7, 1.0, 5.0):
        row = gaps(fixed=9.0 * factor)["fixed"]
        assert row["gap"]["inside_interval"] is (row["low"] <= row["measured"] <= row["high"])


def test_by_default_a_small_table_of_ones_own_tells_its_gaps(table: Callable[[list[str]], Path]) -> None:
    line = ROWS["fixed"] + ",test"
    few = table([f"a{index},{line}" for index in range(FEW)])
    assert all(row["gap"] for row in rl.validate(few)["rows"])
    assert not any("gap" in row for row in rl.validate(few, gaps=False)["rows"])
    many = table([f"a{index},{line}" for index in range(FEW + 1)])
    assert not any("gap" in row for row in rl.validate(many)["rows"])
    assert all(row["gap"] for row in rl.validate(many, gaps=True)["rows"])


def test_a_rate_of_arithmetic_is_told_as_a_step(tmp_path: Path) -> None:
    """Half the rate is twice the step, and the bound of both is the same."""
    path = tmp_path / "training.csv"
    head = ("id,chip,num_chips,model,phase,seq_len,global_batch_seqs,micro_batch_seqs,tp,pp,dp,recompute,dtype,"
            "framework,metric,value,source")  # fmt: skip
    run = "h100-sxm,8,llama-3.1-8b,training,4096,64,1,2,1,4,full,bf16,Megatron-LM"
    lines = [f"{metric},{run},{metric},{value},test"
             for metric, value in (("step_time_s", 8), ("mfu", 0.3), ("tflops_per_chip_model", 300))]  # fmt: skip
    path.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    result = rl.validate(path)
    found = {row["id"]: row["gap"] for row in result["rows"]}
    assert set(found) == {"step_time_s", "mfu", "tflops_per_chip_model"}, result["skipped"]
    for gap in found.values():
        assert gap["expected_s"] == pytest.approx(found["step_time_s"]["expected_s"])
        assert gap["ideal_s"] == pytest.approx(found["step_time_s"]["ideal_s"], rel=1e-6)
        assert gap["ideal_s"] + sum(gap["parts_s"].values()) == pytest.approx(gap["measured_s"])


def test_power_and_kernels_have_no_parts(table: Callable[[list[str]], Path], tmp_path: Path) -> None:
    power = ROWS["e2e"].replace("e2e_latency_s,1.2", "avg_power_w_per_chip,500")
    found = rl.validate(table([f"a,{power},test"]))
    assert [row.get("gap") for row in found["rows"]] == [None]
    kernels = tmp_path / "kernels.csv"
    kernels.write_text(
        "id,chip,op,dtype,m,n,k,latency_us,software,source\na,h100-sxm,gemm,bf16,4096,4096,4096,250,cuBLAS,test\n",
        encoding="utf-8",
    )
    (row,) = rl.validate(kernels)["rows"]
    assert row.get("gap") is None
