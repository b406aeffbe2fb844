"""Every command on real input."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from roofline.cli.app import app
from roofline.studies import contract

GROUP: Any = typer.main.get_command(app)
ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
PRICES = str(ROOT / "examples" / "our-prices.yaml")
ASIC = str(ROOT / "examples" / "my-asic.yaml")
MAIN = ("compare", "llama-3.1-70b-chat", "8xh100-sxm", "8xmi300x", "8xtpu-v6e", "8xgaudi3", "576xgroq-lpu-v1", ASIC)

DRAFTED = ("--draft", "llama-3.2-1b", "--draft-tokens", "4", "--acceptance", "0.7")

EVERY = [
    MAIN,
    ("analyze", "llama-3.1-70b-chat", "8xh100-sxm"),
    ("analyze", "llama-3.1-405b-pretraining", "16384xh100-sxm"),
    ("analyze", "llama-3.1-405b-pretraining", "16384xh100-sxm", "--explain-plan", "--full-attention"),
    ("analyze", "llama-3.1-8b-pretraining", "h100-sxm", "--scaling", "strong"),
    ("analyze", "llama-3.1-70b-chat", "8xh100-sxm", "--frontier"),
    ("compare", "llama-3.1-70b-chat", "8xh100-sxm", "8xgaudi3", "1xl40s", "--frontier"),
    ("analyze", "mixtral-8x7b", "64xh100-sxm:zero=3,shard=8,recompute=full,recompute_layers=2", "--phase", "training"),
    ("compare", "llama-3.1-8b-pretraining", "8xh100-sxm", "8xmi300x", "--explain-plan"),
    ("analyze", "llama-3.1-70b-retrieval", "8xmi300x"),
    ("analyze", "llama-3.1-70b-chat", "8xh100-sxm", "--costs", "--assumptions", PRICES),
    ("analyze", "llama-3.1-8b", "wse-3", "--phase", "prefill", "--costs"),
    ("analyze", "llama-3.1-70b", "8xh100-sxm", "--scenario", "retrieval", "--brief", "--costs"),
    ("compare", "llama-3.1-8b-chat", "h100-sxm", "gaudi3", "wse-3", "--costs"),
    ("market", "llama-3.3-70b"),
    ("plan", "llama-3.1-70b-chat", "h100-sxm", "mi300x", "--ttft", "500ms", "--tpot", "30ms", "--emit", "vllm"),
    ("plan", "llama-3.1-70b-retrieval", "8xh100-sxm", "--disaggregate", "--tpot", "60ms", "--emit", "sglang"),
    ("plan", "llama-3.1-8b-pretraining", "h100-sxm", "--within", "400d", "--emit", "megatron"),
    ("analyze", "llama-3.1-70b-chat", "8xh100-sxm", *DRAFTED, "--cached-share", "0.5"),
    ("compare", "llama-3.1-70b-chat", "8xh100-sxm", "8xmi300x", *DRAFTED),
    ("explain", "llama-3.1-70b-chat", "8xh100-sxm", "draft/ffn/up", *DRAFTED),
    ("explain", "llama-3.1-70b-chat", "8xh100-sxm", "decode/attention/core", *DRAFTED),
    ("explain", "llama-3.1-70b-chat", "8xh100-sxm:stack=vllm", "draft/vllm/overhead", *DRAFTED),
    ("analyze", "llama-2-70b-lora", "8xh100-sxm"),
    ("compare", "llama-3.1-8b-pretraining", "64xh100-sxm", "64xtpu-v5p"),
    ("contrast", "llama-3.1-70b-chat", "8xh100-sxm", "8xmi300x", "576xgroq-lpu-v1", ASIC),
    ("contrast", "llama-3.1-8b-pretraining", "8xh100-sxm", "--batch", "64", "--brief"),
    ("compare", "deepseek-v3-chat", "8xrtx-4090", "8xh200"),
    ("explain", "llama-3.1-70b-chat", "8xh100-sxm", "decode/ffn/up"),
    ("explain", "llama-3.1-70b-chat", "8xh100-sxm", "prefill/mixer/all-reduce"),
    ("explain", "llama-3.1-8b-pretraining", "64xh100-sxm", "backward/attention/core"),
    ("explain", "llama-3.1-8b-chat", "wormhole-n150", "decode/ffn/down"),
    ("explain", "llama-3.1-70b-chat", "8xtpu-v6e", "decode/jax/overhead"),
    ("show",),
    ("show", "models"),
    ("show", "workloads"),
    ("show", "stacks"),
    ("show", "h100-sxm"),
    ("show", "deepseek-v3"),
    ("show", "vllm"),
    ("show", "llama-3.1-70b-chat"),
    ("show", "llama-3.1-405b-pretraining"),
    ("lint",),
    ("lint", ASIC),
    ("validate",),
]
IDS = [" ".join(part.rsplit("/", 1)[-1] for part in arguments) for arguments in EVERY]


@pytest.mark.parametrize("arguments", EVERY, ids=IDS)
def test_json_obeys_the_contract_and_stderr_is_silent(run: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    ran = run(*arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    jsonschema.Draft7Validator(SCHEMA).validate(json.loads(ran.out))


@pytest.mark.parametrize("arguments", EVERY, ids=IDS)
@pytest.mark.parametrize("form", ["table", "markdown", "csv", "jsonl"])
def test_every_format_of_every_command(run: Callable[..., Any], arguments: tuple[str, ...], form: str) -> None:
    ran = run(*arguments, "--format", form)
    assert ran.code == 0
    if "lint" not in arguments or form in ("table", "markdown"):
        assert ran.out.strip()
    if form == "jsonl":
        for line in ran.out.splitlines():
            assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize("arguments", [some for some in EVERY if some[0] != "validate"], ids=" ".join)
def test_every_command_writes_a_page(run: Callable[..., Any], arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What predicts the whole table of measurements has its own test, with a smaller one."""
    place = tmp_path / "report.html"
    ran = run(*arguments, "-o", str(place))
    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {place}\n")
    page = place.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")


def test_the_main_job_prints_one_readable_table(run: Callable[..., Any]) -> None:
    table = run(*MAIN).out
    head = next(line for line in table.splitlines() if line.startswith("deployment"))
    for column in (
        "fits",
        "plan",
        "TTFT",
        "TPOT",
        "tok/s/user",
        "tok/s",
        "tok/s/chip",
        "prefill",
        "decode",
        "power",
        "$/Mtok",
        "evidence",
    ):
        assert column in head.split()
    rows = [line for line in table.splitlines() if line.split() and line.split()[0] in (*MAIN[2:-1], "1xmy-asic")]
    assert len(rows) == 6
    assert all(" yes " in row for row in rows)
    assert "transferred" in table


def test_a_groq_rack_is_as_fast_as_published(run: Callable[..., Any]) -> None:
    """250 to 300 tokens/s per user of Llama 70B on 576 chips (artificialanalysis.ai 2024)."""
    rows = json.loads(run(*MAIN, "--format", "json").out)["rows"]
    groq = next(row for row in rows if row["deployment"]["chip_kind"] == "lpu")
    assert 225 < groq["metrics"]["output_tokens_per_s_per_user"] < 330


def test_csv_holds_the_numbers_of_json(run: Callable[..., Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(run(*MAIN, "--format", "csv").out)))
    predictions = json.loads(run(*MAIN, "--format", "json").out)["rows"]
    for row, prediction in zip(rows, predictions, strict=True):
        assert row["deployment"] == prediction["deployment"]["label"]
        for name, value in prediction["metrics"].items():
            assert row[name] == ("" if value is None else repr(value)) or float(row[name]) == value


def test_files_and_stdout(run: Callable[..., Any], tmp_path: Path) -> None:
    places = [str(tmp_path / name) for name in ("a.json", "b.csv", "c.md", "d.jsonl", "e.txt")]
    flags = [flag for place in places for flag in ("-o", place)]
    ran = run("compare", "llama-3.1-8b-chat", "h100-sxm", *flags)
    assert ran.out == ""
    assert ran.err.splitlines() == [f"wrote {place}" for place in places]
    assert json.loads(Path(places[0]).read_text())["schema"] == "roofline.comparison/1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.csv", "c.md", "d.jsonl", "e.txt"]
    both = run("compare", "llama-3.1-8b-chat", "h100-sxm", "-o", places[0], "-o", "-", "--format", "csv")
    assert both.out.startswith("workload,deployment,")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_charts(run: Callable[..., Any], tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    ran = run(*MAIN, "--chart", str(first))
    assert ran.out.startswith("llama-3.1-70b-chat")
    assert run("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--chart", str(second)).code == 0
    assert first.stat().st_size > 10_000
    assert run(*MAIN, "--chart", str(second)).code == 0
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("kind", "text"),
    [("roofline", "arithmetic intensity"), ("time", "Where the time goes"), ("energy", "Energy per output token")],
)
def test_every_kind_of_chart(run: Callable[..., Any], tmp_path: Path, kind: str, text: str) -> None:
    for command in (("analyze", "llama-3.1-70b-chat", "8xh100-sxm"), MAIN):
        ran = run(*command, "--chart", str(tmp_path / "x.svg"), "--chart-kind", kind)
        assert ran.out.startswith(run(*command).out)
        assert text in (tmp_path / "x.svg").read_text(encoding="utf-8")


def test_a_frontier_is_drawn_as_one(run: Callable[..., Any], tmp_path: Path) -> None:
    for command in (("analyze", "llama-3.1-70b-chat", "8xh100-sxm"), MAIN):
        assert run(*command, "--frontier", "--chart", str(tmp_path / "x.svg")).out
        assert "Cost against latency" in (tmp_path / "x.svg").read_text(encoding="utf-8")
        assert run(*command, "--frontier", "--chart", str(tmp_path / "x.svg"), "--chart-kind", "time").out
        assert "Where the time goes" in (tmp_path / "x.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "option",
    [
        ("--batch", "64"),
        ("--input", "3000"),
        ("--output", "999"),
        ("--context", "5000"),
        ("--tp", "8"),
        ("--pp", "2"),
        ("--dp", "8"),
        ("--stack", "ideal"),
        ("--weights", "bf16"),
        ("--activations", "bf16"),
        ("--kv-cache", "bf16"),
        ("--phase", "decode"),
        ("--cached-share", "0.5"),
        ("--draft-tokens", "4", "--acceptance", "0.7"),
        DRAFTED,
    ],
)
def test_every_serving_option_changes_the_answer(run: Callable[..., Any], option: tuple[str, ...]) -> None:
    base = run("analyze", "llama-3.1-70b-chat", "8xh100-sxm", "-f", "json").out
    assert run("analyze", "llama-3.1-70b-chat", "8xh100-sxm", "-f", "json", *option).out != base


@pytest.mark.parametrize(
    "option",
    [
        ("--seq", "4096"),
        ("--global-batch", "512"),
        ("--tokens", "1e12"),
        ("--tp", "2"),
        ("--pp", "2"),
        ("--dp", "8"),
        ("--cp", "2"),
        ("--vpp", "2", "--pp", "4"),
        ("--zero", "2"),
        ("--micro-batch", "4"),
        ("--recompute", "full"),
        ("--zero", "3", "--shard", "2"),
        ("--recompute", "full", "--recompute-layers", "2"),
        ("--selective", "50%"),
        ("--fused-loss",),
        ("--no-sequence-parallel",),
        ("--no-flash",),
        ("--pp", "4", "--schedule", "zero-bubble"),
        ("--cp", "2", "--context-exchange", "all-gather"),
        ("--explain-plan",),
        ("--scaling", "weak"),
        ("--weights", "fp8"),
        ("--activations", "fp8"),
    ],
)
def test_every_training_option_changes_the_answer(run: Callable[..., Any], option: tuple[str, ...]) -> None:
    """A degree may be that of the best plan anyway; then twice as much is another."""
    base = run("analyze", "llama-3.1-70b-pretraining", "64xh100-sxm", "-f", "json").out
    twice = tuple(str(2 * int(part)) if part.isdecimal() else part for part in option)
    answers = []
    for asked in (option, twice):
        ran = run("analyze", "llama-3.1-70b-pretraining", "64xh100-sxm", "-f", "json", *asked)
        answers += [ran.out] if ran.code == 0 else []
    assert any(answer != base for answer in answers)


@pytest.mark.parametrize(
    ("flags", "setting", "expected"),
    [
        (("--zero", "3", "--shard", "2"), "zero=3,shard=2", {"zero": 3.0, "shard": 2.0}),
        (("--expert-tp", "2"), "expert_tp=2", {"expert_tp": 2.0}),
        (
            ("--recompute", "full", "--recompute-layers", "2"),
            "recompute=full,recompute_layers=2",
            {"recompute": "full", "recompute_layers": 2.0},
        ),
        (("--selective", "50%"), "selective=0.5", {"recompute": "selective", "selective": 0.5}),
        (("--fused-loss",), "fused_loss=on", {"fused_loss": True}),
        (("--no-sequence-parallel",), "sequence_parallel=off", {"sequence_parallel": False}),
        (("--no-flash",), "flash=no", {"flash": False}),
        (("--schedule", "zero-bubble"), "schedule=zero-bubble", {"schedule": "zero-bubble"}),
        (("--context-exchange", "all-gather"), "context=all-gather", {"context": "all-gather"}),
    ],
)
def test_a_plan_is_said_by_options_settings_and_keywords(
    run: Callable[..., Any], flags: tuple[str, ...], setting: str, expected: dict[str, Any]
) -> None:
    import roofline as rl

    asked = ("analyze", "mixtral-8x7b", "--phase", "training", "-f", "json")
    plans = [
        json.loads(run(*asked, *where).out)["deployment"]["plan"]
        for where in (("64xh100-sxm", *flags), (f"64xh100-sxm:{setting}",))
    ]
    keywords: dict[str, Any] = {
        name: int(value) if isinstance(value, float) and value >= 1 else value for name, value in expected.items()
    }
    plans.append(rl.predict("mixtral-8x7b", "64xh100-sxm", phase="training", **keywords)["deployment"]["plan"])
    for plan in plans:
        assert plan == plans[0]
        assert {name: plan.get(name) for name in expected} == expected


def test_what_is_as_usual_is_not_said(run: Callable[..., Any]) -> None:
    asked = ("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:flash=on,schedule=1f1b,context=ring", "-f", "json")
    plan = json.loads(run(*asked).out)["deployment"]["plan"]
    assert set(plan) == {"tp", "pp", "dp", "ep", "cp", "vpp", "zero", "micro_batch", "recompute"}


def test_hidden_messages_are_told_with_the_operators(run: Callable[..., Any]) -> None:
    result = json.loads(run("analyze", "llama-3.1-70b-pretraining", "256xh100-sxm", "-f", "json").out)
    (phase,) = result["phases"]
    hidden = sum(operator["hidden_time_s"] for operator in phase["operators"])
    assert hidden > 0
    assert sum(part["hidden_time_s"] for part in phase["parts"]) == pytest.approx(hidden)
    assert sum(part["time_s"] for part in phase["parts"]) == pytest.approx(phase["time_s"])
    assert sum(part["share"] for part in phase["parts"]) == pytest.approx(1.0)


def test_full_attention_is_a_way_to_show_not_another_prediction(run: Callable[..., Any]) -> None:
    asked = ("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm")
    assert run(*asked, "-f", "json").out == run(*asked, "-f", "json", "--full-attention").out
    metrics = json.loads(run(*asked, "-f", "json").out)["metrics"]
    assert metrics["mfu"] < metrics["mfu_full_attention"]
    assert f"{metrics['mfu_full_attention'] * 100:.1f} %" in run(*asked, "--full-attention").out


def test_experts_can_be_spread(run: Callable[..., Any]) -> None:
    plans = [
        json.loads(run("analyze", "deepseek-v3-chat", "32xh200", "-f", "json", "--dp", "32", "--ep", ep).out)
        for ep in ("1", "32")
    ]
    assert plans[0]["memory"]["weight_bytes"] > 10 * plans[1]["memory"]["weight_bytes"]


def test_experts_can_be_uneven(run: Callable[..., Any]) -> None:
    asked = ("analyze", "deepseek-v3-chat", "32xh200", "-f", "json", "--dp", "32", "--ep", "32")
    even, hot = (json.loads(run(*asked, *more).out) for more in ((), ("--imbalance", "2")))
    assert hot["metrics"]["tpot_s"] > even["metrics"]["tpot_s"]
    assert hot["workload"]["imbalance"] == 2.0


def test_drafting_is_shown_beside_what_it_serves(run: Callable[..., Any]) -> None:
    """The phases of a request add up to it, whoever guesses."""
    result = json.loads(
        run("analyze", "llama-3.1-8b", "h100-sxm:stack=ideal", "-f", "json", "--batch", "1", *DRAFTED).out
    )
    assert [phase["phase"] for phase in result["phases"]] == ["draft-prefill", "prefill", "draft", "decode"]
    assert sum(phase["time_s"] for phase in result["phases"]) == pytest.approx(result["metrics"]["e2e_latency_s"])
    for phase in result["phases"]:
        assert sum(operator["share"] for operator in phase["operators"]) == pytest.approx(1.0)
    guesses = result["workload"]["speculative"]
    assert guesses["model"] == "llama-3.2-1b"
    assert guesses["tokens_per_step"] == pytest.approx(2.7731)
    shown = run("analyze", "llama-3.1-8b", "h100-sxm", *DRAFTED, "--cached-share", "0.5").out
    assert "50.0 % of the first prompt cached, 4 tokens drafted by llama-3.2-1b with 70.0 % accepted" in shown


def test_an_option_overrides_the_file(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "id: mine\nname: Mine\nmodel: llama-3.1-8b\nsource: s\nsteps: [{prefill: 500}, {decode: 50}]\n"
        "prefix_cache: {share: 50 %}\nspeculative: {tokens: 4, acceptance: 0.7, cost: 0.05}\nimbalance: 1.5\n"
        "sources: {s: {title: x}}\n"
    )

    def work(*more: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("analyze", str(path), "h100-sxm", "-f", "json", *more).out)["workload"]
        return found

    whole = work()
    assert (whole["cached_share"], whole["imbalance"]) == (0.5, 1.5)
    assert whole["speculative"]["cost"] == 0.05
    fewer = work("--draft-tokens", "2")["speculative"]
    assert (fewer["tokens"], fewer["acceptance"], fewer["cost"]) == (2.0, 0.7, 0.05)
    other = work("--draft", "llama-3.2-1b")["speculative"]
    assert (other["tokens"], other["model"], other["cost"]) == (4.0, "llama-3.2-1b", 0.0)
    assert work("--draft-tokens", "0")["speculative"] is None
    shown = run("show", str(path)).out
    for text in ("0.5 of the first prompt", "4 tokens a step, each right with 0.7", "1.5 times the mean"):
        assert text in shown


def test_a_bare_model_is_a_workload(run: Callable[..., Any]) -> None:
    for phase, found in (
        ("prefill", ["prefill"]),
        ("decode", ["decode"]),
        ("training", ["training"]),
        (None, ["prefill", "decode"]),
    ):
        flags = ("--phase", phase) if phase else ()
        result = json.loads(run("analyze", "llama-3.1-8b", "8xh100-sxm", "-f", "json", *flags).out)
        assert [item["phase"] for item in result["phases"]] == found


def test_deployment_settings_win_over_options(run: Callable[..., Any]) -> None:
    ran = run("compare", "llama-3.1-8b-chat", "8xh100-sxm:tp=8", "8xh100-sxm", "--tp", "2", "-f", "json")
    assert [row["deployment"]["plan"]["tp"] for row in json.loads(ran.out)["rows"]] == [8, 2]


def test_own_files_come_first(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    folder.mkdir()
    (folder / "mine.yaml").write_text("extends: h100-sxm\nid: mine\nname: Mine\n")
    assert "mine" in run("show", "chips", "--hardware-dir", str(tmp_path)).out
    served = tmp_path / "serving"
    served.mkdir()
    (served / "ours.yaml").write_text("extends: llama-3.1-8b-chat\nid: ours\nname: Ours\nbatch: 3\n")
    result = json.loads(
        run(
            "analyze", "ours", "mine", "--hardware-dir", str(tmp_path), "--workload-dir", str(tmp_path), "-f", "json"
        ).out
    )
    assert (result["deployment"]["chip"], result["workload"]["batch"]) == ("mine", 3.0)


@pytest.mark.parametrize("kind", ["chip", "model", "workload", "workload --training"])
def test_a_template_is_sound_and_runs(run: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    ran = run("new", *kind.split(), "my-new", "--dir", str(tmp_path))
    path = tmp_path / "my-new.yaml"
    assert ran.out.strip() == str(path)
    assert run("lint", str(path)).out.strip() == "1 files: 0 errors, 0 warnings"
    arguments = ("llama-3.1-8b-chat", str(path)) if kind == "chip" else (str(path), "8xh100-sxm")
    assert run("analyze", *arguments).code == 0
    again = run("new", *kind.split(), "my-new", "--dir", str(tmp_path))
    assert again.code == 2
    assert again.err == f"roofline: {path} exists already; choose another name or remove it\n"


def test_what_does_not_fit_is_an_answer_unless_required(run: Callable[..., Any]) -> None:
    arguments = ("analyze", "llama-3.1-405b", "h100-sxm:tp=1")
    ran = run(*arguments)
    assert ran.code == 0
    assert "does not fit: needs 813 GB per chip" in ran.out
    required = run(*arguments, "--require-fit")
    assert required.code == 1
    assert required.err.startswith("roofline: does not fit: 1xh100-sxm:tp=1 needs 813 GB per chip")


def test_a_run_that_needs_more_chips_is_an_answer_unless_the_chips_are_required(run: Callable[..., Any]) -> None:
    arguments = ("contrast", "llama-3.1-70b-chat", "8xh100-sxm", "--brief")
    ran = run(*arguments)
    assert (ran.code, ran.err) == (0, "")
    assert "training does not fit 8xh100-sxm: needs 160 GB per chip" in ran.out
    required = run(*arguments, "--require-fit")
    assert required.code == 1
    assert required.err.startswith("roofline: does not fit: training on 8xh100-sxm needs 160 GB per chip")


def test_contrasts_are_drawn(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    assert run("contrast", "llama-3.1-8b", "8xh100-sxm", "--batch", "64", "--chart", str(path)).code == 0
    assert "Training and inference of llama-3.1-8b" in path.read_text(encoding="utf-8")


EXPLAINED = [
    ("decode/ffn/up", "2·m·k·n"),
    ("decode/ffn/up", "2·32·8,192·7,168"),
    ("decode/ffn/up", "rows that share what it loads"),
    ("decode/ffn/up", "stas00/ml-engineering"),
    ("decode/ffn/up", "own measurements of the product"),
    ("prefill/attention/core", "FLOPs·(1 + score/columns)·(1 + half/rows)/(peak·compute)"),
    ("prefill/attention/core", "compute time + memory time"),
    ("decode/attention/core", "min(work·fill·units/tiles, split)"),
    ("decode/mixer/all-reduce", "own latency + own step·(ranks - 1)"),
    ("decode/mixer/all-reduce", "min(library time, own time)"),
    ("decode/mixer/all-reduce", "Thakur, Rabenseifner, Gropp 2005"),
    ("decode/any/overhead", "1 ms + 100 us·80"),
]


@pytest.fixture
def hardware(tmp_path: Path) -> Path:
    """A chip and a stack whose constants are known, whatever is measured next."""
    for folder, name, text in (
        (
            "chips",
            "mine",
            "extends: h100-sxm\nid: mine\nname: Mine\nachieved:\n  kernels:\n"
            "    matmul: {compute: 0.7, memory: 0.8, latency: 3 us, overlap: 2, half: 9, source: own}\n"
            "    matmul/fp8: {compute: 0.7, memory: 0.8, latency: 3 us, overlap: 2, half: 9, source: own}\n"
            "    attention/fp8: {compute: 0.6, memory: 0.9, latency: 9 us, overlap: 1, half: 50, score: 90, source: own}\n"
            "    decode-attention/fp8: {memory: 0.8, latency: 9 us, fill: 0.5, split: 4 us, source: own}\n"
            "  links:\n"
            "    scale-up: {bandwidth: 0.8, latency: 6 us, step: 0.6 us, overlap: 0.6, source: own}\n"
            "    scale-up/all-reduce: {bandwidth: 0.7, latency: 2 us, step: 0.4 us, source: own}\n"
            'sources:\n  own: {title: own measurements of the product, date: "2026"}\n',
        ),
        (
            "stacks",
            "any",
            "format: 1\nid: any\nname: Any\noverheads:\n  step: {time: 1 ms, source: own}\n"
            "  layer: {time: 0.1 ms, source: own}\ncollectives: {kind: direct, source: own}\n"
            'sources:\n  own: {title: own measurements of the stack, date: "2026"}\n',
        ),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("operator", "expected"), EXPLAINED)
def test_explanations_show_formula_numbers_and_sources(
    run: Callable[..., Any], hardware: Path, operator: str, expected: str
) -> None:
    deployment = "8xmine:tp=8,stack=any"
    ran = run("explain", "llama-3.1-70b-chat", deployment, operator, "--batch", "32", "--hardware-dir", str(hardware))
    assert expected in ran.out


def test_an_operator_of_a_phase_needs_no_block_in_front(run: Callable[..., Any]) -> None:
    ran = run("explain", "deepseek-v3-chat", "16xh200-sxm", "decode/moe/up")
    assert ran.out.startswith("decode/mla+moe/moe/up of deepseek-v3-chat")


def test_version_and_module(run: Callable[..., Any]) -> None:
    assert run("--version").out.strip() == "roofline 0.1.0"


AWAY = {"--scheduler", "--live", "--measure"}  # examples that need a cluster, or minutes: tests of their own run them


@pytest.mark.parametrize("command", GROUP.commands)
def test_every_command_has_help_with_examples_that_run(
    run: Callable[..., Any], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run(command, "--help").out
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip().startswith("$ ")]
    assert lines
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "hardware").symlink_to(ROOT / "hardware")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *arguments = line.split()
        assert program == "roofline"
        if AWAY & set(arguments):
            continue
        assert run(*arguments).code == 0, line


@pytest.mark.parametrize("command", ["", *GROUP.commands])
def test_every_command_says_what_it_and_each_option_does(run: Callable[..., Any], command: str) -> None:
    """The first sentence of help, and a line for every option and argument, in 80 columns."""
    ran = run(*command.split(), "--help")
    found: Any = GROUP.commands[command] if command else GROUP
    assert (ran.code, ran.err) == (0, "")
    assert found.help.strip()
    assert found.help.split()[0] in ran.out
    for parameter in found.params:
        assert parameter.help, parameter.name
        assert parameter.param_type_name == "argument" or parameter.opts[0] in ran.out, parameter.name


COMPLETED = {  # beginnings of names in command lines, and one of those that are offered
    "": "analyze", "analyze llama-3.1-70b": "llama-3.1-70b-chat", "analyze llama-3.1-8b 8xh100": "8xh100-sxm",
    "compare llama-3.1-8b h100-sxm mi": "mi300x", "contrast llama-3.1-8": "llama-3.1-8b", "plan gpt-oss-20b h200": "h200-sxm",
    "sweep llama-3.1-8b --workload gpt-oss": "gpt-oss-20b", "whatif llama-3.1-8b h100-sxm --against mi": "mi300x",
    "decide off": "office-assistant", "explain llama-3.1-8b h100-s": "h100-sxm", "market llama-3.3": "llama-3.3-70b",
    "validate --chip h100-s": "h100-sxm", "check --up": "--update", "calibrate --stack vll": "vllm", "show vll": "vllm",
    "calibrate --chip h100-s": "h100-sxm", "lint --hardw": "--hardware-dir", "new ch": "chip",
    "import --model llama-3.3": "llama-3.3-70b", "import --bench-format vllm-s": "vllm-serve",
    "analyze --stack vll": "vllm", "analyze --scenario ag": "agent", "analyze --assumptions def": "default",
}  # fmt: skip


@pytest.mark.parametrize("line", COMPLETED)
def test_names_are_completed(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    assert COMPLETED[line] in completed(run, monkeypatch, line)


@pytest.mark.parametrize("command", GROUP.commands)
def test_every_command_and_option_is_completed(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    assert command in completed(run, monkeypatch, command[:-1])
    assert any(line.split()[0] == command for line in COMPLETED if line)
    offered = completed(run, monkeypatch, f"{command} --")
    for option in GROUP.commands[command].params:
        if option.param_type_name == "option":
            assert not option.opts[-1].startswith("--") or set(option.opts) & set(offered), option.name


def completed(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """What bash is offered behind a line."""
    monkeypatch.setenv("_ROOFLINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"roofline {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" "))))
    words: list[str] = run().out.split()
    return words


def test_completion_offers_names() -> None:
    from roofline.cli import completion

    assert completion.complete_deployment("8xh100") == ["8xh100-96gb-500w", "8xh100-nvl", "8xh100-pcie", "8xh100-sxm"]
    assert "mi300x" in completion.complete_deployment("mi")
    assert "llama-3.1-70b-chat" in completion.complete_workload("llama-3.1-70b")
    assert "vllm" in completion.complete_entry("vll")
