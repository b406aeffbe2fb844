"""Results of benchmarks as rows of the measured table: each format, what it does not say, and what options say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.errors import OutputError, RooflineError
from roofline.studies.importing.bench import COLUMNS, OPTIONS, import_bench
from roofline.studies.importing.benchmarks import FORMATS, content, format_of
from roofline.studies.validate import validate

Row = dict[str, Any]
Save = Callable[[str, Any], Path]
RESULTS = Path(__file__).parent / "results"  # as the programs write them, short of keys that no row is made of
VLLM, SGLANG, LLAMA, TRTLLM = (
    json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("vllm-serve", "sglang-serve", "llama-bench", "trtllm-bench")
)
PRINTED, SERVER, OFFLINE = (
    (RESULTS / f"{name}.txt").read_text(encoding="utf-8")
    for name in ("trtllm-bench", "mlperf-server", "mlperf-offline")
)


def csv_of(*records: Row) -> str:
    """As llama-bench writes CSV: every value in quotes."""
    lines = [",".join(records[0]), *(",".join(f'"{value}"' for value in record.values()) for record in records)]
    return "\n".join(lines) + "\n"


LATENCY = {"avg_latency": 1.5, "latencies": [1.5, 1.5], "percentiles": {"50": 1.5}}
THROUGHPUT = {"elapsed_time": 10.0, "num_requests": 100, "total_num_tokens": 38400, "requests_per_second": 10.0,
              "tokens_per_second": 3840.0}  # fmt: skip
FILES: dict[str, Any] = {
    "vllm-serve": VLLM,
    "vllm-latency": LATENCY,
    "vllm-throughput": THROUGHPUT,
    "sglang-serve": json.dumps(SGLANG) + "\n" + json.dumps({**SGLANG, "max_concurrency": 32}) + "\n",
    "llama-bench": csv_of(LLAMA),
    "trtllm-bench": PRINTED,
    "mlperf": OFFLINE,
}
SAID = {"model": "llama-3.1-8b", "chip": "h100-sxm", "num_chips": 1, "tp": 1, "weight_dtype": "fp8", "batch": 8.0,
        "input_len": 1024.0, "output_len": 128.0}  # fmt: skip


def rows(path: Path, catalog: Catalog, **given: Any) -> list[Row]:
    found: list[Row] = import_bench([path], catalog, given, save=False)["rows"]
    return found


def figures(found: list[Row]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in found}


def cells(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


@pytest.mark.parametrize("name", FILES)
def test_a_format_is_told_by_its_content(name: str, save: Save) -> None:
    assert {form.name for form in FORMATS} == set(FILES)
    read = content.read(save("results.txt", FILES[name]))
    assert format_of(read, None).name == name
    assert [form.name for form in FORMATS if form.recognises(read)] == [name]


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_predicted_once_all_is_said(name: str, save: Save, catalog: Catalog, tmp_path: Path) -> None:
    path, out = save("results.txt", FILES[name]), tmp_path / "rows.csv"
    result = import_bench([path], catalog, SAID, out=str(out))
    assert (result["missing"], result["skipped"]) == ([], [])
    assert result["files"] == [
        {"path": str(path), "format": name, "runs": result["files"][0]["runs"], "rows": len(result["rows"])}
    ]
    found = validate(out, catalog)
    assert [row["id"] for row in found["rows"]] == [row["id"] for row in result["rows"]]
    assert {row["source"] for row in result["rows"]} == {"results.txt"}
    assert out.read_text(encoding="utf-8") == result["text"]
    assert tuple(next(csv.reader(io.StringIO(result["text"])))) == COLUMNS


def test_serving_benchmarks_of_vllm(save: Save, catalog: Catalog) -> None:
    found = rows(save("a.json", VLLM), catalog)
    assert figures(found) == {
        "ttft_ms": 310.2, "tpot_ms": 12.1, "output_tokens_per_s_total": 1327.7, "total_tokens_per_s": 6638.6,
    }  # fmt: skip
    assert cells(found[0], "model", "batch", "input_len", "output_len", "mode", "framework", "date", "speculative") == (
        "llama-3.1-8b", 64.0, 1024.0, 256.0, "server_concurrency", "vLLM", "2025-10-07", "no",
    )  # fmt: skip
    assert [row["phase"] for row in found] == [None, None, "e2e", "e2e"]


@pytest.mark.parametrize(
    ("keys", "batch", "remark"),
    [
        ({"max_concurrency": None}, 640.0, "all requests were sent at once"),
        ({"max_concurrency": 512}, 512.0, "640 requests for 512 clients"),
        ({"request_rate": 5.0}, None, "--percentile-metrics e2el"),
        ({"request_rate": 5.0, "mean_e2el_ms": 4000.0}, 20.74, "the mean of those in flight"),
        ({"failed": 3}, 64.0, "3 requests failed"),
        ({"request_goodput": 2.0}, 64.0, "goodput is not compared"),
        ({"mean_ttft_ms": 0, "mean_tpot_ms": 0}, 64.0, "no latencies"),
    ],
)
def test_how_many_ran_at_once(save: Save, catalog: Catalog, keys: Row, batch: float | None, remark: str) -> None:
    result = import_bench([save("a.json", {**VLLM, **keys})], catalog, {}, save=False)
    assert result["rows"][-1]["batch"] == batch
    assert any(remark in note for note in result["notes"]), result["notes"]


def test_metadata_of_a_benchmark_is_taken(save: Save, catalog: Catalog) -> None:
    found = rows(save("a.json", {**VLLM, "tp": "2", "chip": "H100 SXM", "version": "0.11.0"}), catalog)
    assert cells(found[0], "tp", "chip", "version") == (2.0, "h100-sxm", "0.11.0")


def test_drafts_are_told(save: Save, catalog: Catalog) -> None:
    drafted = {**VLLM, "spec_decode_acceptance_rate": 60.0}
    assert {row["speculative"] for row in rows(save("a.json", drafted), catalog)} == {"yes"}


def test_serving_benchmarks_of_sglang(save: Save, catalog: Catalog) -> None:
    result = import_bench([save("a.jsonl", FILES["sglang-serve"])], catalog, {}, save=False)
    assert [row["batch"] for row in result["rows"]] == [16.0] * 5 + [32.0] * 5
    assert figures(result["rows"][:5])["e2e_latency_s"] == 6.0
    assert cells(result["rows"][0], "model", "framework", "input_len") == ("qwen3-8b", "SGLang", 768.0)
    assert "a.jsonl: lengths of requests differed: means stand for them" in result["notes"]


def test_offline_benchmarks_of_vllm(save: Save, catalog: Catalog) -> None:
    assert figures(rows(save("a.json", LATENCY), catalog)) == {"e2e_latency_s": 1.5}
    result = import_bench([save("b.json", THROUGHPUT)], catalog, {}, save=False)
    assert figures(result["rows"]) == {"total_tokens_per_s": 3840.0}
    assert "a request has 384 tokens" in result["notes"][0]
    assert [lack["option"] for lack in result["missing"]] == [
        "--chip", "--model", "--weights", "--input", "--output",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_every_test_of_llama_bench(save: Save, catalog: Catalog, form: str) -> None:
    generates = {**LLAMA, "n_prompt": 0, "n_gen": 128, "n_depth": 4096, "avg_ts": 130.0}
    both = {**LLAMA, "n_prompt": 512, "n_gen": 128, "avg_ts": 500.0}
    records = [LLAMA, generates, both]
    text = {"json": json.dumps(records), "jsonl": "\n".join(map(json.dumps, records)), "csv": csv_of(*records)}[form]
    reads, writes, turns = rows(save("a.txt", text), catalog)
    names = ("metric", "value", "phase", "input_len", "output_len", "cached", "chunk")
    assert cells(reads, *names) == ("prefill_tokens_per_s", 7100.0, "prefill", 512.0, 0.0, None, 512.0)
    assert cells(writes, *names) == ("tokens_per_s_per_user", 130.0, "decode", 0.0, 128.0, 4096.0, None)
    assert cells(turns, *names) == ("total_tokens_per_s", 500.0, "e2e", 512.0, 128.0, None, None)
    assert cells(reads, "chip", "model", "weight_dtype", "kv_dtype", "framework", "version", "date") == (
        "rtx-4090", "llama-3-8b", "q4_k_m", "f16", "llama.cpp CUDA", "8cf427ff (5163)", "2025-04-24",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "remark"),
    [
        ({"n_gpu_layers": 0}, "the processor's"),
        ({"n_cpu_moe": 4}, "ran on the processor"),
        ({"gpu_info": "NVIDIA A40, NVIDIA A40"}, "several devices"),
    ],
)
def test_what_a_llama_bench_can_t_be_compared_for(save: Save, catalog: Catalog, keys: Row, remark: str) -> None:
    result = import_bench([save("a.json", [{**LLAMA, **keys}])], catalog, {}, save=False)
    assert any(remark in note for note in result["notes"])


def test_a_report_of_trtllm_bench(save: Save, catalog: Catalog) -> None:
    found = rows(save("a.json", TRTLLM), catalog)
    assert figures(found) == {
        "output_tokens_per_s_total": 3840.0, "total_tokens_per_s": 34560.0, "ttft_ms": 60.0, "tpot_ms": 7.9,
        "e2e_latency_s": 1.0633,
    }  # fmt: skip
    names = ("chip", "num_chips", "model", "weight_dtype", "kv_dtype", "tp", "ep", "batch", "mode", "version")
    assert cells(found[0], *names) == (
        "h100-sxm", 2.0, "llama-3.1-8b", "fp8", "fp8", 2.0, None, 31.9, "server_concurrency", "1.0.0",
    )  # fmt: skip


def test_a_report_that_trtllm_bench_printed(save: Save, catalog: Catalog) -> None:
    result = import_bench([save("log.txt", PRINTED)], catalog, {}, save=False)
    (first, second) = result["rows"]
    assert (first["value"], second["value"]) == (11076.77, 22153.5399)
    names = ("chip", "num_chips", "model", "weight_dtype", "kv_dtype", "batch", "mode", "input_len")
    assert cells(first, *names) == (
        "h100-sxm", 1.0, "llama-3.1-8b", "fp8", None, 100.0, "offline_max_throughput", 128.0,
    )  # fmt: skip
    assert "all requests were queued at the start" in result["notes"][0]


def test_a_summary_of_mlperf(save: Save, catalog: Catalog) -> None:
    offline = rows(save("a.txt", FILES["mlperf"]), catalog)
    assert figures(offline) == {"output_tokens_per_s_total": 25000.5}
    text = SERVER.replace("Result is : VALID", "Result is : INVALID")
    result = import_bench([save("b.txt", text)], catalog, {}, save=False)
    found = figures(result["rows"])
    assert found["tpot_ms"] == pytest.approx(21.964703)
    assert found["ttft_ms"] == pytest.approx(50385.872554)
    assert found["output_tokens_per_s_total"] == 44.52
    assert cells(result["rows"][0], "batch", "mode") == (10.37, "server_concurrency")
    assert "b.txt: the result is INVALID by MLPerf's rules" in result["notes"]
    single = OFFLINE.replace("Offline", "SingleStream") + "Mean latency (ns) : 2000000000\n"
    found = figures(rows(save("c.txt", single), catalog))
    assert found["e2e_latency_s"] == 2.0


CHANGES: dict[str, Any] = {
    "model": "qwen3-8b", "chip": "mi300x", "num_chips": 4, "tp": 4, "pp": 2, "dp": 2, "ep": 4, "weight_dtype": "int4",
    "act_dtype": "fp8", "kv_dtype": "fp8", "batch": 7.0, "input_len": 7.0, "output_len": 7.0, "cached": 7.0,
    "mode": "fixed_batch", "framework": "SGLang", "version": "7", "date": "2026-01-01",
}  # fmt: skip


@pytest.mark.parametrize("column", OPTIONS)
def test_what_is_said_stands_before_what_the_file_says(save: Save, catalog: Catalog, column: str) -> None:
    plain = rows(save("a.json", {**VLLM, "tp": 2, "chip": "h100-sxm"}), catalog)
    said = rows(save("a.json", {**VLLM, "tp": 2, "chip": "h100-sxm"}), catalog, **{column: CHANGES[column]})
    assert {row[column] for row in said} == {CHANGES[column]}
    rest = [{name: cell for name, cell in row.items() if name != column} for row in said]
    assert rest == [{name: cell for name, cell in row.items() if name != column} for row in plain]
    assert said != plain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "offline_max_througput"}, "did you mean 'offline_max_throughput'"),
        ({"weight_dtype": "fp9"}, "--weights fp9: no such format"),
        ({"batch": 0}, "--batch 0: must be a number of at least 1"),
        ({"tp": float("nan")}, "--tp nan"),
        ({"chips": 4}, "unknown option 'chips'; did you mean 'chip'?"),
    ],
)
def test_bad_options_are_told(save: Save, catalog: Catalog, given: Row, message: str) -> None:
    with pytest.raises(RooflineError) as error:
        import_bench([save("a.json", VLLM)], catalog, given, save=False)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("", None, "is of no known format"),
        ("{}", None, "is of no known format"),
        ("[1, 2]", "mlperf", "holds no figure that can be read as mlperf"),
        (json.dumps(VLLM), "llama-bench", "holds no figure that can be read as llama-bench"),
        (json.dumps(VLLM), "vllm-server", "did you mean 'vllm-serve'"),
        (json.dumps({**VLLM, "output_throughput": "nan"}).replace("6638.6", "-1"), "vllm-latency", "holds no figure"),
    ],
)
def test_files_that_are_no_results_are_told(
    save: Save, catalog: Catalog, text: str, form: str | None, message: str
) -> None:
    with pytest.raises(RooflineError) as error:
        import_bench([save("a.json", text)], catalog, {}, form=form, save=False)
    assert message in str(error.value)


def test_files_that_can_t_be_read_are_told(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(RooflineError, match="can't be read: no such file"):
        import_bench([tmp_path / "none.json"], catalog, {}, save=False)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RooflineError, match="is not UTF-8 text"):
        import_bench([tmp_path / "binary"], catalog, {}, save=False)


@pytest.mark.parametrize("change", [{"avg_ts": -1}, {"n_prompt": -512}, {"avg_ts": 0}])
def test_a_rate_or_length_below_nothing_is_no_figure(save: Save, catalog: Catalog, change: Row) -> None:
    with pytest.raises(RooflineError, match="holds no figure"):
        import_bench([save("a.json", {**LLAMA, "n_gen": 0, **change})], catalog, {}, save=False)


def test_numbers_that_no_run_has_are_told_and_nothing_is_written(save: Save, catalog: Catalog, tmp_path: Path) -> None:
    path = save("a.json", {**TRTLLM, "world_info": {**TRTLLM["world_info"], "tp_size": 0.5}})
    with pytest.raises(RooflineError) as error:
        import_bench([path], catalog, {}, out=str(tmp_path / "a.csv"))
    assert str(error.value) == f"{path}: tp: must be a whole number from 1 on, got '0.5'"
    assert not (tmp_path / "a.csv").exists()


def test_the_api_is_the_command(save: Save, tmp_path: Path) -> None:
    path, out = save("a.json", VLLM), tmp_path / "rows.csv"
    result = rl.import_bench(path, chip="h100-sxm", weight_dtype="fp8", out=out)
    assert (result["missing"], result["written"]) == ([], str(out))
    assert len(rl.validate(out)["rows"]) == 4
    assert rl.import_bench(str(path))["written"] is None
    with pytest.raises(RooflineError, match="at least one file"):
        rl.import_bench()


def test_several_files_are_one_table(save: Save, catalog: Catalog) -> None:
    paths = [save("a.json", VLLM), save("b.csv", csv_of(LLAMA))]
    result = import_bench(paths, catalog, {}, save=False)
    assert [row["id"] for row in result["rows"]] == ["a-0001", "a-0002", "a-0003", "a-0004", "b-0001"]
    assert {row["source"] for row in result["rows"]} == {"a.json", "b.csv"}


def test_a_file_that_exists_is_written_over_only_if_it_is_named(
    save: Save, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save("a.json", VLLM)
    assert import_bench([path], catalog, {})["written"] == "a.csv"
    with pytest.raises(OutputError, match=r"a\.csv exists already"):
        import_bench([path], catalog, {})
    assert import_bench([path], catalog, {}, out="a.csv")["written"] == "a.csv"
    with pytest.raises(OutputError, match="no such folder"):
        import_bench([path], catalog, {}, out="none/a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("RedHatAI/Qwen3-8B-FP8-dynamic", "qwen3-8b"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
        ("Qwen/Qwen3-8B-Embedding", "Qwen/Qwen3-8B-Embedding"),
        ("facebook/opt-125m", "facebook/opt-125m"),
    ],
)
def test_a_model_is_known_by_its_repository(save: Save, catalog: Catalog, name: str, model: str) -> None:
    assert {row["model"] for row in rows(save("a.json", {**VLLM, "model_id": name}), catalog)} == {model}


def test_a_model_that_is_not_known_keeps_its_name(save: Save, catalog: Catalog) -> None:
    result = import_bench(
        [save("a.json", {**VLLM, "model_id": "org/abacus"})], catalog, {"chip": "h100-sxm"}, save=False
    )
    assert {row["model"] for row in result["rows"]} == {"org/abacus"}
    assert {lack["column"] for lack in result["missing"]} == {"model", "weight_dtype"}
    assert result["skipped"][0]["reason"] == "model org/abacus is not in the catalogue"


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2), st.just("inf"), st.just(10**400),
)  # fmt: skip
RECORDS = {"vllm-serve": VLLM, "sglang-serve": SGLANG, "llama-bench": LLAMA, "trtllm-bench": TRTLLM}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_mutated_results_never_give_a_traceback(
    data: st.DataObject, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = data.draw(st.sampled_from(sorted(RECORDS)))
    record: Row = dict(RECORDS[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(record)), max_size=3, unique=True)):
        if data.draw(st.booleans()):
            record[key] = data.draw(JUNK)
        else:
            del record[key]
    path = tmp_path_factory.mktemp("mutated") / "a.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    try:
        result = import_bench([path], catalog, {"chip": "h100-sxm"}, form=name, save=False)
    except RooflineError:
        return
    assert all(row["value"] > 0 for row in result["rows"])


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet='{}[]":,.\n=0123eE-aMLPerf Results Summary', max_size=200), form=st.sampled_from(FORMATS))
def test_any_text_never_gives_a_traceback(
    text: str, form: Any, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_text(text, encoding="utf-8")
    try:
        import_bench([path], catalog, {}, form=form.name, save=False)
    except RooflineError:
        return
