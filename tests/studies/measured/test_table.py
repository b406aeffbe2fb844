"""Tables as people write them: rows that end early, remarks behind them, marks before the first byte."""

from __future__ import annotations

from pathlib import Path

import pytest

import roofline as rl
from roofline.errors import RooflineError, SpecError
from roofline.studies.measured.table import KERNELS, METRICS, SERVING, format_of, read
from roofline.workload import DTYPES

HEAD = "id,chip,model,weight_dtype,batch,input_len,output_len,mode,metric,value,source,note,phase,version,date\n"
ROW = "a,h100-sxm,llama-3.1-8b,bf16,8,1000,100,fixed_batch,tpot_ms,9"
PRODUCTS = "id,chip,op,dtype,m,n,k,latency_us,software,note,causal,num_chips,ranks,bytes,source\n"


def table(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def test_a_row_that_ends_early_states_nothing_more(tmp_path: Path) -> None:
    short, whole = (
        table(tmp_path / "short.csv", HEAD + ROW + "\n"),
        table(tmp_path / "whole.csv", HEAD + ROW + ",,,,,\n"),
    )
    (found,) = rl.validate(short)["rows"]
    assert found == rl.validate(whole)["rows"][0]
    assert (found["source"], found["version"]) == ("", "")


def test_a_kernel_that_ends_early_states_nothing_more(tmp_path: Path) -> None:
    short = table(tmp_path / "kernels.csv", PRODUCTS + "g,h100-sxm,gemm,bf16,4096,8192,8192,800\n")
    (found,) = rl.validate(short)["rows"]
    assert (found["what"], found["measured"]) == ("matmul", pytest.approx(800))


@pytest.mark.parametrize("end", ["", ",,,,,,one cell too many,and another", "\r"])
def test_rows_may_be_too_long_and_lines_end_as_they_like(tmp_path: Path, end: str) -> None:
    (found,) = rl.validate(table(tmp_path / "m.csv", HEAD + ROW + end + "\n"))["rows"]
    assert found["measured"] == 9


def test_a_byte_order_mark_is_no_column(tmp_path: Path) -> None:
    marked = table(tmp_path / "m.csv", "\ufeff" + HEAD + ROW + "\n")
    assert [row["id"] for row in rl.validate(marked)["rows"]] == ["a"]


def test_a_row_without_its_figure_is_told_by_line(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", HEAD + ROW + "\n" + ROW.removesuffix(",9") + "\n")
    with pytest.raises(SpecError) as error:
        read(path)
    assert str(error.value) == f"{path}:3: value: missing"


def test_a_column_of_operators_makes_it_a_table_of_kernels(tmp_path: Path) -> None:
    assert read(table(tmp_path / "m.csv", HEAD)).layout is SERVING
    assert read(table(tmp_path / "k.csv", PRODUCTS)).layout is KERNELS
    with pytest.raises(RooflineError, match="metric: missing column"):
        read(table(tmp_path / "n.csv", "id,chip,model,value\n"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BF16", "bf16"),
        (" float16 ", "fp16"),
        ("FP8_E4M3", "fp8"),
        ("awq", "int4-g128"),
        ("Q4_K_XL", "q4_k_m"),
        ("mxfp4_moe", "mxfp4"),
        ("int8 MLP + bf16 attention", "int8"),
        ("exl2", None),
        ("", None),
    ],
)
def test_formats_are_found_however_sources_spell_them(name: str, expected: str | None) -> None:
    assert format_of(name) == expected
    assert expected is None or expected in DTYPES


def test_rates_of_decoding_leave_the_prompt_out() -> None:
    for name in ("output_tokens_per_s_total", "output_tokens_per_s_per_chip"):
        assert METRICS[name, "decode"].phase == "decode"
        assert METRICS[name, ""].phase == "e2e"
        assert METRICS[name, "decode"].name != METRICS[name, ""].name
