"""Every option of every command changes something: the answer, what is printed of it, or the exit code."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from roofline.cli import main
from roofline.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
GROUP: Any = typer.main.get_command(app)
CHAT, TRAINING, EXPERTS, MIXTURE = "llama-3.1-70b-chat", "llama-3.1-70b-pretraining", "deepseek-v3-chat", "mixtral-8x7b"

Try = tuple[str, ...]
Tries = tuple[Try, ...]

# Works to ask about: workload, deployment and options.
WORKS: Mapping[str, Try] = {
    "chat": (CHAT, "8xh100-sxm"),
    "bare": ("llama-3.1-8b", "h100-sxm", "--phase", "decode"),
    "model": ("llama-3.1-8b", "8xh100-sxm"),
    "drafted": (CHAT, "8xh100-sxm", "--draft-tokens", "2", "--acceptance", "0.5"),
    "experts": (EXPERTS, "32xh200-sxm"),
    "training": (TRAINING, "64xh100-sxm"),
    "piped": (TRAINING, "64xh100-sxm", "--pp", "4"),
    "sharded": (TRAINING, "64xh100-sxm", "--zero", "3"),
    "long": (TRAINING, "64xh100-sxm", "--cp", "2"),
    "whole": (TRAINING, "64xh100-sxm", "--recompute", "full"),
    "mixture": (MIXTURE, "64xh100-sxm", "--ep", "4", "--phase", "training", "--seq", "4096"),
    "adapters": ("llama-2-70b-lora", "8xh100-sxm"),
    "hosted": (TRAINING, "64xhosted.yaml"),
    "worth": (CHAT, "8xh100-sxm"),  # without what a command is asked besides
    "need": ("office-assistant", "--chip", "h100-sxm", "--chip", "mi300x"),
    "market": ("llama-3.3-70b",),
    "nothing": (),
    "fit": ("--fit", "few.csv", "--no-cross-check"),
    "alike": ("--fit", "alike.csv", "--no-cross-check"),
    "timed": ("--measure", "-o", "machine.txt"),
    "measured": ("--measured", "few.csv"),
    "gapless": ("--measured", "few.csv", "--no-gap"),
    "gated": ("--measured", "few.csv", "--max-median", "0.001"),
    "live": ("--live", "--chip", "hosted.yaml", "--by", "no such column"),
    "begun": ("chip", "ours"),
    "config": ("our-model", "-o", "-"),
    "results": ("--bench", "results.json", "-o", "-"),
    "written": ("--bench", "results.json", "-o", "rows.csv"),
    "renamed": ("--bench", "results.json", "--chip", "only-here", "--model", "only-here", "-o", "rows.csv"),
}

# For each option ways to give it: the first whose answer differs from that of its work alone will do.
WORK: dict[str, Tries] = {
    "--phase": (("bare", "--phase", "prefill"),),
    "--scenario": (("model", "--scenario", "retrieval"),),
    "--batch": (("chat", "--batch", "64"),),
    "--input": (("chat", "--input", "3000"),),
    "--output": (("chat", "--output", "999"),),
    "--context": (("bare", "--context", "9000"),),
    "--seq": (("training", "--seq", "4096"),),
    "--global-batch": (("training", "--global-batch", "512"),),
    "--tokens": (("training", "--tokens", "1e12"),),
    "--lora-rank": (("adapters", "--lora-rank", "64"),),
    "--lora-targets": (("adapters", "--lora-targets", "qv"),),
    "--optimizer": (("training", "--optimizer", "sgd"),),
    "--cached-share": (("chat", "--cached-share", "0.5"),),
    "--draft-tokens": (("drafted", "--draft-tokens", "6"),),
    "--acceptance": (("drafted", "--acceptance", "0.9"),),
    "--draft": (("drafted", "--draft", "llama-3.2-1b"),),
    "--imbalance": (("experts", "--imbalance", "1.5"),),
    "--tp": (("chat", "--tp", "8"),),
    "--pp": (("chat", "--pp", "2"),),
    "--dp": (("chat", "--dp", "1"), ("chat", "--dp", "4")),
    "--ep": (("experts", "--ep", "4"), ("experts", "--ep", "32")),
    "--cp": (("training", "--cp", "4"),),
    "--vpp": (("piped", "--vpp", "2"), ("piped", "--vpp", "4")),
    "--zero": (("training", "--zero", "2"), ("training", "--zero", "3")),
    "--shard": (("sharded", "--shard", "8"),),
    "--expert-tp": (("mixture", "--expert-tp", "2"), ("mixture", "--expert-tp", "1")),
    "--micro-batch": (("training", "--micro-batch", "4"), ("training", "--micro-batch", "2")),
    "--recompute": (("training", "--recompute", "full"),),
    "--recompute-layers": (("whole", "--recompute-layers", "2"),),
    "--selective": (("training", "--selective", "50%"),),
    "--offload-activations": (("hosted", "--offload-activations", "50%"),),
    "--offload-optimizer": (("hosted", "--offload-optimizer", "50%"),),
    "--sequence-parallel": (("training", "--tp", "8", "--no-sequence-parallel"),),
    "--flash": (("training", "--no-flash"),),
    "--fused-loss": (("training", "--fused-loss"),),
    "--schedule": (("piped", "--schedule", "zero-bubble"),),
    "--context-exchange": (("long", "--context-exchange", "all-gather"),),
    "--pools": (("chat", "--pools", "4:4"),),
    "--stack": (("chat", "--stack", "ideal"),),
    "--weights": (("chat", "--weights", "bf16"),),
    "--activations": (("chat", "--activations", "bf16"),),
    "--kv-cache": (("chat", "--kv-cache", "bf16"),),
    "--assumptions": (("chat", "--assumptions", "prices.yaml"),),
}
FILES: dict[str, Tries] = {
    "--hardware-dir": (("chat", "--hardware-dir", "hardware"),),
    "--workload-dir": (("chat", "--workload-dir", "workloads"),),
}
OUTPUT: dict[str, Tries] = {
    "--format": (("chat", "--format", "markdown"),),
    "-o": (("chat", "-o", "answer.json"),),
}
VIEW: dict[str, Tries] = {
    "--chart": (("chat", "--chart", "chart.svg"),),
    "--chart-kind": (("chat", "--chart", "chart.svg", "--chart-kind", "time"),),
    "--require-fit": (("bare", "--batch", "100000", "--require-fit"),),
}
COMPARED: dict[str, Tries] = {
    **VIEW,
    "--explain-plan": (("training", "--explain-plan"),),
    "--frontier": (("chat", "--frontier"),),
    "--full-attention": (("training", "--full-attention"),),
    "--costs": (("chat", "--costs"),),
}
OPTIONS: dict[str, dict[str, Tries]] = {
    "analyze": WORK
    | FILES
    | OUTPUT
    | COMPARED
    | {
        "--vary": (("chat", "--vary", "batch=8,16"),),
        "--all": (("chat", "--all"),),
        "--brief": (("chat", "--brief"),),
        "--scaling": (("training", "--scaling", "strong"),),
    },
    "compare": {**WORK, **FILES, **OUTPUT, **COMPARED},
    "contrast": WORK
    | FILES
    | OUTPUT
    | VIEW
    | {
        "--phase": (("model", "--phase", "decode"),),
        "--scenario": (("model", "--scenario", "retrieval"),),
        "--context": (("model", "--context", "9000"),),
        "--expert-tp": ((MIXTURE, "64xh100-sxm", "--ep", "4", "--expert-tp", "2"),),
        "--brief": (("model", "--brief"),),
        "--chart-kind": (("chat", "--chart", "chart.svg", "--chart-kind", "elasticities"),),
        "--require-fit": (("model", "--batch", "100000", "--require-fit"),),
    },
    "plan": WORK
    | FILES
    | OUTPUT
    | {
        "--ttft": (("chat", "--ttft", "150 ms"),),
        "--tpot": (("chat", "--tpot", "15 ms"),),
        "--throughput": (("chat", "--throughput", "9000 token/s"),),
        "--power": (("chat", "--power", "5 kW"),),
        "--budget": (("chat", "--budget", "20 USD/h"),),
        "--chips-at-most": (("chat", "--chips-at-most", "4"),),
        "--within": (("training", "--within", "100 d"),),
        "--disaggregate": (("chat", "--disaggregate"),),
        "--rank": (("chat", "--rank", "latency"),),
        "--top": (("chat", "--top", "1"),),
        "--per-chip": (("chat", "--per-chip", "1"),),
        "--emit": (("chat", "--emit", "vllm"),),
        "--chart": (("chat", "--chart", "chart.svg"),),
        "--all": (("chat", "--all"),),
    },
    "sweep": WORK
    | FILES
    | OUTPUT
    | {
        "--vary": (("chat", "--vary", "batch=8,16"),),
        "--workload": (("chat", "--workload", "llama-3.1-8b-chat"),),
        "--where": (("chat", "--where", "tpot_s < 1 us"),),
        "--columns": (("chat", "--columns", "fits"),),
        "--sort": (("chat", "--sort", "-hour"), ("chat", "--vary", "batch=8,16", "--sort", "-batch")),
        "--top": (("chat", "--top", "1"),),
        "--pareto": (("chat", "--vary", "batch=8,16", "--pareto", "ttft_s,tpot_s"),),
        "--possible": (("piped", "--vary", "tp=1,3", "--possible"),),
        "--jobs": (("chat", "--jobs", "0"),),
        "--engine": (("chat", "--engine", "dask"),),
        "--scheduler": (("chat", "--scheduler", "nowhere"),),
        "--dry-run": (("chat", "--dry-run"),),
        "--restart": (("chat", "-o", "unfinished.csv", "--restart"),),
        "--all": (("chat", "--vary", "batch=1:64:+1", "--all"),),
    },
    "whatif": WORK
    | FILES
    | OUTPUT
    | {
        "--set": (("worth", "--set", "links.scale-up.bandwidth=+20%"),),
        "--replan": (("chat", "--replan"),),
        "--target": (("worth", "--target", "tpot=15ms", "--solve", "memory.bandwidth"),),
        "--solve": (("worth", "--target", "tpot=15ms", "--solve", "memory.bandwidth"),),
        "--against": (("worth", "--against", "8xmi300x", "--solve", "batch"),),
        "--metric": (("worth", "--metric", "ttft_s"),),
        "--chart": (("worth", "--chart", "chart.svg"),),
        "--all": (("worth", "--all"),),
    },
    "explain": {
        **{name: tries for name, tries in WORK.items() if name not in ("--tokens", "--assumptions")},
        **FILES,
        **OUTPUT,
        "--lora-rank": (("adapters", "--lora-rank", "64"),),
    },
}

OPTIONS |= {
    "decide": {
        "--chip": (("need", "--chip", "l40s"),),
        "--top": (("need", "--top", "1"),),
        "--assumptions": (("need", "--assumptions", "prices.yaml"),),
        "--chart": (("need", "--chart", "chart.svg"),),
        "--hardware-dir": (("need", "--hardware-dir", "hardware"),),
        "--workload-dir": (("need", "--workload-dir", "workloads"),),
        "--format": (("need", "--format", "markdown"),),
        "-o": (("need", "-o", "answer.json"),),
    },
    "market": {
        "--like": (("market", "--like", "llama-3.1-70b-retrieval"),),
        "--prices": (("market", "--prices", "prices.csv"),),
        "--assumptions": (("market", "--assumptions", "prices.yaml"),),
        "--costs": (("market", "--costs"),),
        "--hardware-dir": (("market", "--hardware-dir", "hardware"),),
        "--workload-dir": (("market", "--workload-dir", "workloads"),),
        "--format": (("market", "--format", "markdown"),),
        "-o": (("market", "-o", "answer.json"),),
    },
    "show": {
        "--hardware-dir": (("h100-sxm", "--hardware-dir", "hardware"),),
        "--workload-dir": ((CHAT, "--workload-dir", "workloads"),),
        "--format": (("h100-sxm", "--format", "json"),),
        "-o": (("h100-sxm", "-o", "answer.json"),),
    },
    "lint": {
        "--hardware-dir": (("nowhere.yaml", "--hardware-dir", "hardware"),),
        "--workload-dir": (("nowhere.yaml", "--workload-dir", "workloads"),),
        "--format": (("hosted.yaml", "--format", "json"),),
        "-o": (("hosted.yaml", "-o", "answer.json"),),
    },
}

OPTIONS |= {
    "calibrate": {
        "--fit": (("nothing", "--fit", "few.csv", "--no-cross-check"),),
        "--split": (("fit", "--split", "calibration"),),
        "--chip": (("fit", "--chip", "hosted.yaml"), ("fit", "--chip", "h200-sxm")),
        "--stack": (("fit", "--stack", "sglang"),),
        "--cross-check": (("alike", "--cross-check"),),
        "-o": (("fit", "-o", "mine"),),
        "--all": (("fit", "--all"),),
        "--device": (("timed", "--device", "abacus"),),
        "--ranks": (("timed", "--ranks", "0"),),
        "--hardware-dir": (("fit", "--hardware-dir", "hardware"),),
        "--workload-dir": (("fit", "--workload-dir", "workloads"),),
        "--format": (("fit", "--format", "csv"),),
        "--to": (("fit", "--to", "report.json"),),
    },
    "validate": {
        "--measured": (("measured", "--measured", "fewer.csv"),),
        "--by": (("measured", "--by", "batch"),),
        "--split": (("measured", "--split", "calibration"),),
        "--max-median": (("measured", "--max-median", "0.001"),),
        "--max-p90": (("measured", "--max-p90", "0.001"),),
        "--min-cases": (("gated", "--min-cases", "99"),),
        "--worst": (("gapless", "--worst", "1"),),
        "--brief": (("measured", "--brief"),),
        "--all": (("gapless", "--all"),),
        "--gap": (("measured", "--no-gap"),),
        "--chart": (("measured", "--chart", "chart.svg"),),
        "--chip": (("measured", "--chip", "hosted.yaml"),),
        "--device": (("live", "--device", "abacus"),),
        "--hardware-dir": (("measured", "--hardware-dir", "hardware"),),
        "--workload-dir": (("measured", "--workload-dir", "workloads"),),
        "--format": (("measured", "--format", "markdown"),),
        "-o": (("measured", "-o", "answer.json"),),
    },
    "new": {
        "--dir": (("begun", "--dir", "hardware"),),
        "--project": (("begun", "--project"),),
        "--user": (("begun", "--user"),),
    },
    "import": {
        "--id": (("config", "--id", "theirs"),),
        "--bench": (("nothing", "--bench", "results.json", "-o", "-"),),
        "--bench-format": (("results", "--bench-format", "sglang-serve"),),
        **{
            option: (("results", option, value),)
            for option, value in {
                "--model": "qwen3-8b", "--chip": "h100-sxm", "--num-chips": "4", "--tp": "4", "--pp": "2", "--dp": "2",
                "--ep": "2", "--weights": "fp8", "--activations": "fp8", "--kv-cache": "fp8", "--batch": "9",
                "--input": "999", "--output": "99", "--cached": "64", "--mode": "fixed_batch", "--framework": "SGLang",
                "--release": "0.9", "--date": "2026-02-06",
            }.items()
        },
        "-o": (("written", "-o", "others.csv"),),
        "--format": (("written", "--format", "json"),),
        "--hardware-dir": (("renamed", "--hardware-dir", "hardware"),),
        "--workload-dir": (("renamed", "--workload-dir", "workloads"),),
    },
}  # fmt: skip

# Options whose effect a test of their own shows: of what changes files, or takes a clock.
CHECKS, MEASURING = "cli/test_check.py", "cli/test_measuring.py"
ELSEWHERE: Mapping[tuple[str, str], tuple[str, str]] = {
    ("check", "--update"): (CHECKS, "test_from_nothing_to_green_to_red_and_back"),
    ("check", "--config"): (CHECKS, "test_every_option_changes_something"),
    ("check", "--all"): (CHECKS, "test_every_option_changes_something"),
    ("check", "--hardware-dir"): (CHECKS, "test_from_nothing_to_green_to_red_and_back"),
    ("check", "--workload-dir"): (CHECKS, "test_every_option_changes_something"),
    ("check", "--format"): (CHECKS, "test_the_contract_holds"),
    ("check", "-o"): (CHECKS, "test_suffixes_of_files_mean_formats"),
    ("calibrate", "--shipped"): (MEASURING, "test_bad_usage"),  # minutes
    ("calibrate", "--measure"): (MEASURING, "test_bad_usage"),
    ("calibrate", "--backend"): (MEASURING, "test_bad_usage"),
    ("calibrate", "--budget"): (MEASURING, "test_bad_usage"),
    ("validate", "--live"): (MEASURING, "test_bad_usage"),
    ("validate", "--backend"): (MEASURING, "test_bad_usage"),
    ("validate", "--budget"): (MEASURING, "test_bad_usage"),
    ("validate", "--rows"): (MEASURING, "test_bad_usage"),
    ("new", "--training"): ("cli/test_commands.py", "test_a_template_is_sound_and_runs"),
}

# What a command is asked besides, and the operator that `explain` is asked for.
ALWAYS: Mapping[str, Try] = {"sweep": ("--vary", "power.tdp=700,800 W"), "whatif": ("--set", "memory.bandwidth=+20%")}
OPERATORS: Mapping[str, str] = {
    "chat": "decode/ffn/up",
    "bare": "ffn/up",
    "drafted": "decode/ffn/up",
    "experts": "decode/mla+moe/moe/up",
    "mixture": "forward/moe/up",
    **dict.fromkeys(("model", "training", "piped", "sharded", "long", "whole", "adapters", "hosted"), "forward/ffn/up"),
}
OTHERS: Mapping[str, str] = {  # of options that are about another one
    "--scenario": "prefill/ffn/up",
    "--input": "decode/attention/core",
    "--output": "decode/attention/core",
    "--context": "attention/core",
    "--cached-share": "prefill/attention/core",
    "--draft": "draft/ffn/up",
    "--pp": "decode/pipeline/send",
    "--cp": "forward/context/exchange",
    "--vpp": "pipeline/bubble",
    "--zero": "gradients/reduce-scatter",
    "--micro-batch": "forward/attention/core",
    "--selective": "recompute/ffn/up",
    "--shard": "gradients/reduce-scatter",
    "--flash": "forward/attention/core",
    "--fused-loss": "forward/head/loss",
    "--schedule": "pipeline/bubble",
    "--context-exchange": "forward/context/exchange",
    "--optimizer": "optimizer/update",
    "--lora-rank": "optimizer/update",
    "--lora-targets": "optimizer/update",
    "--recompute": "backward/ffn/up-inputs",
    "--offload-activations": "offload/activations-out",
    "--offload-optimizer": "offload/optimizer",
}
# Options that are refused with a reason, or ask for an operator that is there only with them or only without.
REFUSED = {
    ("contrast", "--phase"), ("contrast", "--scenario"), ("contrast", "--pools"), ("plan", "--pools"), ("sweep", "--jobs"), ("sweep", "--engine"),
    ("sweep", "--scheduler"),
    ("calibrate", "--device"), ("calibrate", "--ranks"), ("validate", "--device"),
    ("explain", "--flash"),
}  # fmt: skip


@functools.cache
def answer(*words: str) -> tuple[object, str]:
    """Exit code and everything that a command prints, in the folder where it is run."""
    said, typed = io.StringIO(), sys.argv
    code: object = 0
    sys.argv = ["roofline", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            sys.argv = typed
    return code, said.getvalue()


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one's own in the folder where commands are run."""
    monkeypatch.chdir(tmp_path)
    for name, text in OWN.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


MODELS = ("llama-3.1-70b", "llama-3.3-70b", "llama-3.1-8b")
SOURCES = 'sources:\n  idea: {title: An idea, date: "2026-11-26"}\n'
HBM = "{name: HBM3, capacity: 80 GiB, bandwidth: 5 TB/s, main: true, source: idea}"
HOST = "{name: host, capacity: 1 TB, bandwidth: 55 GB/s, source: idea}"
ROWS = (ROOT / "examples" / "my-measurements.csv").read_text().splitlines()
MEASUREMENTS = "".join(  # the second half on another machine, some more on chips that only a file or nobody knows
    f"{row}\n"
    for row in (
        *ROWS[:7],
        *(row.replace("h100-sxm", "h200-sxm").replace("vLLM,0.11.0", "SGLang,0.5.3") for row in ROWS[7:]),
        *(ROWS[6].replace("mine-6,h100-sxm", f"{name},{name}") for name in ("hosted", *"abcdefghijkl")),
    )
)
OWN: Mapping[str, str] = {
    "prices.yaml": (ROOT / "examples" / "our-prices.yaml").read_text(),
    "few.csv": MEASUREMENTS,
    "alike.csv": "\n".join([*ROWS, ""]),
    "fewer.csv": "\n".join(MEASUREMENTS.splitlines()[:4]) + "\n",
    "our-model/config.json": (ROOT / "examples" / "our-model" / "config.json").read_text(),
    "results.json": (ROOT / "examples" / "vllm-serve.json").read_text(),
    "hosted.yaml": f"extends: h100-sxm\nid: hosted\nmemory:\n  - {HBM}\n  - {HOST}\n{SOURCES}",
    "hardware/chips/h100-sxm.yaml": f"extends: h100-sxm\nid: h100-sxm\nmemory:\n  - {HBM}\n{SOURCES}",
    f"workloads/serving/{CHAT}.yaml": f"extends: {CHAT}\nid: {CHAT}\nname: Mine\nbatch: 77\nslo: {{tpot: 12 ms}}\n",
    **{f"workloads/models/{model}.yaml": f"extends: {model}\nid: {model}\nvocab: 200000\n" for model in MODELS},
    "nowhere.yaml": "extends: only-here\nid: nowhere\n",
    "hardware/chips/only-here.yaml": "extends: h100-sxm\nid: only-here\n",
    "workloads/models/only-here.yaml": "extends: llama-3.1-8b\nid: only-here\n",
    "prices.csv": (ROOT / "workloads" / "market" / "api.csv")
    .read_text()
    .replace(",llama-3.3-70b,", ",llama-3.1-8b,", 1),
}


def words(command: str, option: str, asked: Try) -> tuple[Try, Try]:
    """A command without an option, and with it."""
    work = WORKS.get(asked[0], asked[:1] if asked[1].startswith("-") else asked)
    operator = (OTHERS.get(option, OPERATORS.get(asked[0], "")),) if command == "explain" else ()
    besides = () if asked[0] == "worth" else ALWAYS.get(command, ())
    base = (command, *work[:2], *operator, *besides, *work[2:])
    return base, (*base, *asked[1:])


def named(command: str) -> set[str]:
    """The options of a command."""
    parameters = GROUP.commands[command].params
    return {item.opts[0] for item in parameters if item.param_type_name == "option" and item.name != "help"}


@pytest.mark.parametrize("command", GROUP.commands)
def test_every_option_is_tried(command: str) -> None:
    elsewhere = {option for named_command, option in ELSEWHERE if named_command == command}
    assert not elsewhere & set(OPTIONS.get(command, ()))
    assert named(command) == set(OPTIONS.get(command, ())) | elsewhere


@pytest.mark.parametrize(("command", "option"), ELSEWHERE, ids=[" ".join(pair) for pair in ELSEWHERE])
def test_what_is_tried_elsewhere_is(command: str, option: str) -> None:
    """The test that is named exists, in a file that has the command and the option."""
    place, name = ELSEWHERE[command, option]
    text = (ROOT / "tests" / place).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", text, re.MULTILINE)
    assert f'"{command}"' in text
    assert re.search(rf"{option}\b", text)


EVERY = [(command, option) for command, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("command", "option"), EVERY, ids=[" ".join(pair) for pair in EVERY])
def test_every_option_changes_something(command: str, option: str) -> None:
    tried = [words(command, option, asked) for asked in OPTIONS[command][option]]
    answers = [(answer(*without), answer(*given)) for without, given in tried]
    fine = (2,) if (command, option) in REFUSED else (0, 1)
    assert any(given != without and given[0] in fine for without, given in answers), answers[0][1]
