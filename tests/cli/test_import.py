"""`roofline import`: files of others as files that every command reads, exit codes, and what goes where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roofline.studies import contract
from roofline.studies.importing.benchmarks import FORMATS

Run = Callable[..., Any]
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
BENCH = {
    "date": "20251007-131635", "model_id": "meta-llama/Llama-3.1-8B-Instruct", "request_rate": "inf",
    "max_concurrency": 64, "duration": 123.4, "completed": 640, "failed": 0, "total_input_tokens": 655360,
    "total_output_tokens": 163840, "request_throughput": 5.186, "output_throughput": 1327.7,
    "total_token_throughput": 6638.6, "mean_ttft_ms": 310.2, "mean_tpot_ms": 12.1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration and a result, where commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (tmp_path / "result.json").write_text(json.dumps(BENCH), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def obeys() -> Callable[[Any], None]:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    return lambda result: jsonschema.Draft7Validator(schema).validate(result)


def test_a_model_is_written_and_every_command_reads_it(run: Run, here: Path) -> None:
    ran = run("import", "config.json", "--id", "ours")
    assert (ran.code, ran.err) == (0, "")
    assert "8,030,261,248" in ran.out
    assert "the same shape as llama-3-8b, llama-3.1-8b of the catalogue" in ran.out
    assert "next: roofline analyze ours.yaml 8xh100-sxm --phase decode" in ran.out
    assert run("lint", "ours.yaml").code == 0
    assert run("analyze", "ours.yaml", "8xh100-sxm", "--phase", "decode").code == 0
    again = run("import", "config.json", "--id", "ours")
    assert (again.code, again.out) == (2, "")
    assert "ours.yaml exists already; name it with -o" in again.err
    assert run("import", "config.json", "--id", "ours", "-o", "ours.yaml").code == 0


def test_a_folder_is_as_its_file(run: Run) -> None:
    assert run("import", ".", "-o", "-").out == run("import", "config.json", "-o", "-").out


def test_stdout_is_the_file_alone(run: Run, here: Path) -> None:
    shown = run("import", "config.json", "--id", "ours", "-o", "-")
    assert run("import", "config.json", "--id", "ours").code == 0
    assert shown.out == (here / "ours.yaml").read_text(encoding="utf-8")
    table = run("import", "--bench", "result.json", "-o", "-").out
    assert len(list(csv.DictReader(io.StringIO(table)))) == 4
    assert sorted(path.name for path in here.iterdir()) == ["config.json", "ours.yaml", "result.json"]


@pytest.mark.parametrize("what", [("config.json",), ("--bench", "result.json")], ids=["model", "bench"])
def test_results_obey_the_contract(run: Run, obeys: Callable[[Any], None], what: tuple[str, ...]) -> None:
    ran = run("import", *what, "--format", "json")
    assert ran.code == 0
    result = json.loads(ran.out)
    assert result["schema"] == "roofline.import/1"
    obeys(result)
    for form in ("csv", "jsonl", "markdown"):
        assert run("import", *what, "-o", "x", "--format", form).out


def test_a_checkpoint_of_another_size_exits_with_1_and_both_numbers(run: Run, here: Path) -> None:
    index = {"metadata": {"total_size": 2 * 7_000_000_000}, "weight_map": {"model.x": "a.safetensors"}}
    (here / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    ran = run("import", "config.json", "--id", "ours")
    assert ran.code == 1
    assert "7,000,000,000 parameters, the shape has 8,030,261,248 (-12.8%)" in ran.err
    assert (here / "ours.yaml").exists()


def test_results_of_a_benchmark_are_compared_by_validate(run: Run, obeys: Callable[[Any], None]) -> None:
    ran = run("import", "--bench", "result.json", "--chip", "h100-sxm", "--num-chips", "1", "--tp", "1", "--weights", "fp8",
              "-o", "rows.csv")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "next: roofline validate --measured rows.csv" in ran.out
    found = run("validate", "--measured", "rows.csv")
    assert "+ queueing" in found.out
    assert "look at" in found.out
    without = run("validate", "--measured", "rows.csv", "--no-gap").out
    assert "+ queueing" not in without
    assert found.out.startswith(without.splitlines()[0])
    result = json.loads(run("validate", "--measured", "rows.csv", "--format", "json").out)
    obeys(result)
    assert all(row["gap"]["look_at"] for row in result["rows"])
    rows = list(csv.DictReader(io.StringIO(run("validate", "--measured", "rows.csv", "--format", "csv").out)))
    assert float(rows[0]["gap_measured_s"]) > 0.0


def test_what_a_file_does_not_say_is_asked_for(run: Run) -> None:
    ran = run("import", "--bench", "result.json")
    assert ran.code == 0
    assert "chip is not known in 4 rows: give --chip" in ran.out
    assert "weight_dtype is not known in 4 rows: give --weights" in ran.out


OPTIONS = [
    ("--model", "qwen3-8b"), ("--chip", "mi300x"), ("--num-chips", "2"), ("--tp", "2"), ("--pp", "2"), ("--dp", "2"),
    ("--ep", "2"), ("--weights", "fp8"), ("--activations", "fp8"), ("--kv-cache", "fp8"), ("--batch", "2"),
    ("--input", "2"), ("--output", "2"), ("--cached", "2"), ("--mode", "fixed_batch"), ("--framework", "SGLang"),
    ("--release", "2"), ("--date", "2026-01-02"), ("--bench-format", "sglang-serve"),
]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
def test_every_option_of_a_benchmark_changes_its_rows(run: Run, option: tuple[str, str]) -> None:
    plain = run("import", "--bench", "result.json", "-o", "-")
    other = run("import", "--bench", "result.json", *option, "-o", "-")
    assert (plain.code, other.code, other.err) == (0, 0, "")
    assert plain.out != other.out


@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
def test_options_of_a_benchmark_are_refused_of_a_model(run: Run, option: tuple[str, str]) -> None:
    ran = run("import", "config.json", *option)
    assert (ran.code, ran.out) == (2, "")
    assert f"{option[0]} goes with --bench" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a config.json, a folder or ORG/NAME, or with --bench"),
        (("config.json", "--bench", "result.json"), "name a config.json"),
        (("--bench", "result.json", "--id", "x"), "--id goes with a model"),
        (("none.json",), "none.json: no such file or folder"),
        (("result.json",), "model_type: missing"),
        (("--bench", "none.json"), "none.json: can't be read: no such file"),
        (("--bench", "config.json"), "config.json: is of no known format of benchmark results; known: vllm-serve"),
        (("--bench", "result.json", "--bench-format", "vllm"), "did you mean"),
        (("--bench", "result.json", "--mode", "server"), "--mode server: "),
        (("--bench", "result.json", "--tp", "0"), "--tp"),
        (("config.json", "-o", "none/x.yaml"), "no such folder: none"),
        (("config.json", "--id", "///"), "give one with --id"),
    ],
)
def test_what_is_wrong_is_told_with_exit_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = run("import", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.split())


def test_every_fault_of_a_configuration_is_told_at_once(run: Run, here: Path) -> None:
    lost = {key: value for key, value in CONFIG.items() if key not in ("num_hidden_layers", "intermediate_size")}
    (here / "config.json").write_text(json.dumps({**lost, "vocab_size": "many"}), encoding="utf-8")
    ran = run("import", "config.json")
    assert ran.code == 2
    for key in ("num_hidden_layers: missing", "intermediate_size: missing", "vocab_size: "):
        assert key in ran.err


def test_formats_are_completed_and_named_in_the_help(run: Run) -> None:
    from roofline.cli.import_ import complete_format

    assert complete_format("vllm-") == ["vllm-serve", "vllm-latency", "vllm-throughput"]
    shown = "".join(run("import", "--help").out.split())
    assert all(form.name in shown for form in FORMATS)
