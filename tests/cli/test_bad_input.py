"""Bad input: exit code 2, one clear message, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAT, H100 = "llama-3.1-8b-chat", "h100-sxm"

USAGE = [
    (("analyze", CHAT, "h10-sxm"), "no chip 'h10-sxm'; did you mean 'h100-sxm' or 'h800-sxm' or 'h200-sxm'? ('roofline show chips' lists all)"),
    (("analyze", "lama-3.1-8b", H100), "no workload 'lama-3.1-8b'; did you mean 'llama-3.1-8b' or "),
    (("analyze", CHAT, "h100-sxm:stack=sglan"), "no stack 'sglan'; did you mean 'sglang' or 'sglang-ep' or 'sglang-cpu'? ('roofline show stacks' lists all)"),
    (("show", "h10-sxm"), "no entry 'h10-sxm'; did you mean 'h100-sxm' or 'h800-sxm' or 'h200-sxm'? ('roofline show' lists all)"),
    (("explain", CHAT, H100, "ffn/upp"), "no operator 'ffn/upp'"),
    (("explain", "deepseek-v3-chat", "16xh200-sxm", "up"), "operator 'up' means several: "),
    (("analyze", "llama-3.1-70b-chat", "6xh100-sxm:tp=6"), "6xh100-sxm:tp=6: tp=6 does not divide the 64 heads of llama-3.1-70b; possible: 1 2 4 8 16 32 64"),
    (("analyze", CHAT, "8xh100-sxm:tp=4,dp=4"), "8xh100-sxm:tp=4,dp=4: tp·pp·dp·cp = 4·1·4·1 = 16, but the deployment has 8 chips"),
    (("analyze", CHAT, "16xrtx-4090"), "16xrtx-4090: 16 x rtx-4090: its links join at most 8 chips"),
    (("analyze", CHAT, "2xm2-ultra"), "2xm2-ultra: 2 x m2-ultra: its file names no link between chips; 1 is all that can work together"),
    (("analyze", CHAT, "0xh100-sxm"), "deployment '0xh100-sxm': 0 chips; write between 1 and 10,000,000"),
    (("analyze", CHAT, "8xh100-sxm:tq=8"), "deployment '8xh100-sxm:tq=8': unknown setting 'tq'; known: tp, pp, dp,"),
    (("analyze", CHAT, "8xh100-sxm:tp=0"), "deployment '8xh100-sxm:tp=0': tp=0: must be a whole number, 1 or more"),
    (("analyze", CHAT, "8xh100-sxm:tp=two"), "deployment '8xh100-sxm:tp=two': tp=two: must be a whole number, 1 or more"),
    (("analyze", CHAT, "8xh100-sxm:weights=fp7"), "deployment '8xh100-sxm:weights=fp7': weights=fp7: must be one of fp64, fp32"),
    (("analyze", CHAT, H100, "--weights", "fp7"), "weights=fp7: must be one of fp64, fp32"),
    (("analyze", CHAT, H100, "--phase", "decoding"), "no phase 'decoding'; did you mean 'decode'?"),
    (("analyze", CHAT, H100, "--phase", "training"), "--phase training: llama-3.1-8b-chat is a serving workload; give the bare model 'llama-3.1-8b'"),
    (("analyze", CHAT, H100, "--batch", "0"), "batch '0': write how many requests run at once, e.g. 32, or max"),
    (("analyze", CHAT, H100, "--batch", "all"), "batch 'all': write how many requests run at once, e.g. 32, or max"),
    (("analyze", CHAT, "8xh100-sxm:pools=4:4", "--batch", "max"), "8xh100-sxm:pools=4:4: pools: how many requests run is not found for two pools; give --batch a number"),
    (("analyze", CHAT, H100, "--seq", "4096"), "--seq belongs to training; llama-3.1-8b-chat is served (--batch --input --output)"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--batch", "4"), "--batch belongs to serving; llama-3.1-8b-pretraining trains (--seq --global-batch --tokens)"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--cached-share", "0.5"), "--cached-share belongs to serving; llama-3.1-8b-pretraining trains"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--draft-tokens", "4"), "--draft-tokens belongs to serving; llama-3.1-8b-pretraining trains"),
    (("analyze", CHAT, H100, "--phase", "decode", "--cached-share", "0.5"), "--cached-share: llama-3.1-8b-chat-decode reads no prompt that a cache could hold"),
    (("analyze", CHAT, H100, "--lora-rank", "4"), "--lora-rank belongs to training; llama-3.1-8b-chat is served"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--optimizer", "adm"), "optimizer='adm': did you mean 'adam'"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--lora-targets", "ffn"), "lora_targets='ffn': must be one of all, attention, qv"),
    (("analyze", CHAT, H100, "--draft-tokens", "4"), "--draft-tokens needs --acceptance, the chance of a drafted token, e.g. --acceptance 0.7"),
    (("analyze", CHAT, H100, "--acceptance", "0.7"), "--acceptance needs --draft-tokens, how many are guessed in each step"),
    (("analyze", CHAT, H100, "--draft", "llama-3.2-1b"), "--draft needs --draft-tokens, how many are guessed in each step"),
    (("analyze", CHAT, H100, "--draft-tokens", "4", "--acceptance", "0.7", "--draft", "lama-3.2-1b"), "no model 'lama-3.2-1b'; did you mean 'llama-3.2-1b'"),
    (("analyze", "llama-3.1-70b-retrieval", "8xh100-sxm", "--input", "9"), "--input: llama-3.1-70b-retrieval has 2 steps of that kind; change the file instead"),
    (("analyze", CHAT, H100, "--format", "jsn"), "no format 'jsn'; did you mean 'json'?"),
    (("analyze", CHAT, H100, "-o", "x.xlsx"), "x.xlsx: no format has the suffix '.xlsx'; use .txt, .md, .csv, .json, .jsonl"),
    (("analyze", CHAT, H100, "--chart", "x.gif"), "x.gif: charts are drawn as .png, .svg or .pdf"),
    (("analyze", CHAT, H100, "--chart", "x.png", "--chart-kind", "tmie"), "no chart kind 'tmie'; did you mean 'time'?"),
    (("compare", CHAT, H100, "--chart", "x.png", "--chart-kind", "pie"), "no chart kind 'pie'; one of validation, scaling, frontier, "),
    (("analyze", CHAT, H100, "--chart-kind", "time"), "--chart-kind needs a file to draw into: --chart FILE"),
    (("analyze", CHAT, H100, "--chart", "x.png", "--chart-kind", "frontier"), "chart kind frontier: needs --frontier"),
    (("analyze", CHAT, "m2-ultra", "--chart", "x.png", "--chart-kind", "energy"), "chart kind energy: the power of none of these chips is known"),
    (("compare", "llama-3.1-70b-chat", "1xl40s", "--frontier", "--chart", "x.png"), "chart kind frontier: no deployment holds a single request"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--frontier"), "--frontier belongs to serving; llama-3.1-8b-pretraining trains"),
    (("analyze", CHAT, H100, "--phase", "prefill", "--frontier"), "--frontier: llama-3.1-8b-chat-prefill generates no tokens, so nobody waits for them"),
    (("analyze", CHAT, H100, "-o", "no/such/folder/x.json"), "no/such/folder/x.json: no such folder: no/such/folder"),
    (("analyze", CHAT, "./none.yaml"), "none.yaml: no such file"),
    (("analyze", CHAT, H100, "--hardware-dir", "nowhere"), "nowhere: no such folder"),
    (("contrast", CHAT, H100, "--phase", "decode"), "--phase: a contrast shows all phases; leave it out"),
    (("contrast", CHAT, "8xh100-sxm:pools=4:4"), "8xh100-sxm:pools=4:4: pools: each phase is shown by itself on all chips; leave pools out"),
    (("contrast", CHAT, "16xrtx-4090"), "16xrtx-4090: 16 x rtx-4090: its links join at most 8 chips"),
    (("contrast", "lama-3.1-8b", H100), "no workload 'lama-3.1-8b'; did you mean 'llama-3.1-8b' or "),
    (("lint", "none.yaml"), "none.yaml: no such file or folder"),
    (("contrast", "llama-3.1-8b", H100, "--scenario", "chat"), "--scenario: a contrast shows phases, not the steps of a request; leave it out"),
    (("new", "chip", "My Chip"), "'My Chip' can't be an id: write small letters, digits, '.', '+' and '-', e.g. 'my-asic'"),
    (("new", "chip", "x", "--training"), "--training goes with 'new workload' alone"),
    (("new", "chip", "x", "--dir", "no/where"), "no/where/x.yaml: can't be written: No such file or directory"),
    (("analyze", "deepseek-v3-chat", "rtx-4090"), "rtx-4090: deepseek-v3-chat does not fit on 8 x rtx-4090, the most that its links join"),
    (("analyze", "llama-3.1-8b-pretraining", "256xh100-sxm:dp=256"), "256xh100-sxm:dp=256: dp=256 does not divide the global batch of 128 sequences; possible: 1 2 4 8 16 32 64 128"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:shard=2,zero=0"), "8xh100-sxm:shard=2,zero=0: shard=2 needs zero: write zero=1, 2 or 3"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:vpp=3"), "8xh100-sxm:vpp=3: vpp=3 "),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:expert_tp=2"), "8xh100-sxm:expert_tp=2: expert_tp=2: llama-3.1-8b has no experts; leave expert_tp out"),
    (("analyze", "llama-3.1-8b-pretraining", "7xh100-sxm", "--tp", "1", "--pp", "1", "--cp", "1"), "7xh100-sxm: dp=7 does not divide the global batch of 128 sequences"),
    (("analyze", "llama-3.1-8b-pretraining", "77xh100-sxm"), "77xh100-sxm: 77 chips leave dp=7, 11, 77, and none of them divides the global batch of 128 sequences; write another number of chips or --global-batch"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:recompute=none,recompute_layers=4"), "8xh100-sxm:recompute=none,recompute_layers=4: recompute_layers=4 needs recompute=full, not none"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:flash=maybe"), "deployment '8xh100-sxm:flash=maybe': flash=maybe: must be on or off"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:schedule=gpipe"), "deployment '8xh100-sxm:schedule=gpipe': schedule=gpipe: must be one of 1f1b, zero-bubble"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:context=star"), "deployment '8xh100-sxm:context=star': context=star: must be one of ring, all-gather"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--offload-optimizer", "150%"), "offload_optimizer=150%: must be a share from 0 to 1, or in percent, e.g. offload_optimizer=0.5"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:shard=0"), "deployment '8xh100-sxm:shard=0': shard=0: must be a whole number, 1 or more"),
    (("analyze", CHAT, "8xh100-sxm:zero=3"), "8xh100-sxm:zero=3: zero belongs to training; llama-3.1-8b-chat is served (tp, pp, dp, ep, cp, pools)"),
    (("analyze", CHAT, "8xh100-sxm", "--no-flash"), "8xh100-sxm: flash belongs to training; llama-3.1-8b-chat is served"),
    (("analyze", CHAT, "8xh100-sxm", "--explain-plan"), "--explain-plan belongs to training; llama-3.1-8b-chat is served"),
    (("analyze", CHAT, "8xh100-sxm", "--scaling", "weak"), "--scaling belongs to training; llama-3.1-8b-chat is served"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm", "--scaling", "stong"), "--scaling stong: did you mean 'strong'?"),
    (("analyze", "mixtral-8x7b", "4xh100-sxm:ep=3"), "4xh100-sxm:ep=3: "),
    (("analyze", CHAT, "16xh100-sxm:pools=8:4"), "16xh100-sxm:pools=8:4: pools=8:4: 12 chips, but the deployment has 16"),
    (("analyze", CHAT, "16xh100-sxm:pools=8"), "deployment '16xh100-sxm:pools=8': pools=8: must be auto or PREFILL:DECODE chips, e.g. pools=4:12"),
    (("analyze", CHAT, "8xh100-sxm", "--pools", "0:8"), "pools=0:8: must be auto or PREFILL:DECODE chips, e.g. pools=4:12"),
    (("analyze", "llama-3.1-8b-pretraining", "8xh100-sxm:pools=auto"), "8xh100-sxm:pools=auto: pools=auto: belongs to serving; llama-3.1-8b-pretraining trains"),
    (("analyze", "llama-3.1-8b", "8xh100-sxm:pools=4:4", "--phase", "decode"), "8xh100-sxm:pools=4:4: pools: llama-3.1-8b-decode has no step that reads a prompt; leave pools out"),
    (("analyze", CHAT, "8xh100-sxm:pools=4:4,stack=autoawq"), "8xh100-sxm:pools=4:4,stack=autoawq: pools: autoawq runs a batch from start to end"),
    (("analyze", CHAT, "1xh100-sxm:pools=auto"), "1xh100-sxm:pools=auto: pools need "),
    (("analyze", CHAT, "8xh100-sxm:tp=4,pools=2:6"), "8xh100-sxm:tp=4,pools=2:6: pools of 2 and 6 chips: tp·pp·dp·cp = "),
    (("analyze", CHAT, "8xh100-sxm:tp=8,pools=auto"), "8xh100-sxm:tp=8,pools=auto: pools need "),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[" ".join(arguments) for arguments, _ in USAGE])
def test_the_message_and_exit_2(
    run: Callable[..., Any], arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert ran.code == 2, ran
    assert ran.err.startswith(f"roofline: {message}"), ran.err
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("predit",),
        ("analyze",),
        ("analyze", CHAT, H100, "--bacth", "1"),
        ("analyze", CHAT, H100, "--cached-share", "1.5"),
        ("analyze", CHAT, H100, "--draft-tokens", "4", "--acceptance", "-0.1"),
        ("analyze", CHAT, H100, "--draft-tokens", "-1", "--acceptance", "0.7"),
        ("analyze", CHAT, H100, "--imbalance", "0.9"),
        ("new", "chop", "x"),
    ],
)
def test_usage_errors_are_exit_2(run: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_broken_files_are_told_line_by_line(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("id: bad\nname: Bad\nid: again\ncompute: {}\n")
    ran = run("analyze", CHAT, str(path))
    assert (ran.code, ran.err) == (2, f"roofline: {path}:3:1: id: duplicate key (first on line 1)\n")
    checked = run("lint", str(path))
    assert checked.code == 2
    assert f"{path}:3:1: error: id: duplicate key (first on line 1)" in checked.out


def test_warnings_alone_leave_0(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "other-name.yaml"
    path.write_text("extends: h100-sxm\nid: mine\nname: Mine\n")
    ran = run("lint", str(path))
    assert ran.code == 0
    assert "1 files: 0 errors, 1 warnings" in ran.out


def test_a_context_beyond_the_model_is_a_note(run: Callable[..., Any]) -> None:
    ran = run("analyze", CHAT, "8xh100-sxm", "--input", "200000", "--batch", "1")
    assert ran.code == 0
    assert "note: context of 200,211 tokens is beyond the 131,072 that llama-3.1-8b was made for" in ran.out


def test_a_missing_dtype_is_a_note(run: Callable[..., Any]) -> None:
    ran = run("analyze", "llama-3.1-70b-chat", "a100-sxm-80gb")
    assert ran.code == 0
    assert "note: no fp8 arithmetic: products run in bf16, fp8 values keep their width" in ran.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_fails_before_computing(run: Callable[..., Any], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert run("analyze", CHAT, H100, "-o", str(tmp_path / "x.json")).code == 2


def test_a_folder_is_no_file(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "x.json"
    folder.mkdir()
    assert run("analyze", CHAT, H100, "-o", str(folder)).err == f"roofline: {folder}: is a folder; name a file\n"


def test_nothing_is_left_when_the_work_fails(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run("analyze", CHAT, "h10", "-o", str(tmp_path / "x.json")).code == 2
    assert list(tmp_path.iterdir()) == []


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "roofline", *arguments]


def test_a_closed_pipe_is_quiet() -> None:
    shown = subprocess.Popen(command("show", "h100-sxm"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shown.stdout is not None
    assert shown.stderr is not None
    shown.stdout.close()
    errors = shown.stderr.read()
    shown.stderr.close()
    assert shown.wait() == 0
    assert b"Traceback" not in errors


def test_hostile_files_end_quickly(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text("a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(1000)))
    start = time.perf_counter()
    ran = subprocess.run(command("analyze", CHAT, str(path)), capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "aliases (*a) are not supported" in ran.stderr
    assert time.perf_counter() - start < 20


def test_a_bug_is_told_as_a_bug(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("roofline.studies.show.show", fail)
    ran = run("show")
    assert ran.code == 70
    assert "this is a bug; please report it" in ran.err


def test_no_file_can_have_so_long_a_name(run: Callable[..., Any]) -> None:
    long, example, served = "a" * 5000, str(ROOT / "examples" / "our-model"), str(ROOT / "examples" / "vllm-serve.json")
    template = str(ROOT / "roofline" / "catalog" / "templates" / "check.toml")
    rows = str(ROOT / "examples" / "my-measurements.csv")
    for arguments, message in (
        (("check", "--config", long), "a: no such file"),
        (("check", long, "--config", template), "a: no such file"),
        (("import", long), "a: no such file or folder"),
        (("import", example, "-o", long), "can't be written: file name too long"),
        (("import", "--bench", served, "--chip", "h100-sxm", "-o", long), "can't be written: file name too long"),
        (("import", "--bench", long), "can't be read: file name too long"),
        (("calibrate", "--fit", long), "can't be read: file name too long"),
        (("calibrate", "--fit", rows, "--no-cross-check", "-o", long), "can't be written: file name too long"),
        (("validate", "--live", "--chip", "h100-sxm", "--rows", f"{long}.csv"), "can't be written"),
        (
            ("sweep", CHAT, H100, "--vary", "batch=1,2", "-o", f"{long}.csv"),
            "can't be written (begin): file name too long",
        ),
        (
            ("sweep", CHAT, H100, "--vary", "batch=1,2", "-o", f"{long}.parquet"),
            "can't be written (begin): file name too long",
        ),
        (("analyze", CHAT, H100, "-o", f"{long}.json"), "can't be written: file name too long"),
        (("analyze", CHAT, H100, "--input", "9" * 400), "must be a number of at least 1"),
        (("new", "chip", "ours", "--dir", long), "can't be written"),
        (("lint", long), "a: no such file or folder"),
        (("analyze", CHAT, f"{long}.yaml"), "a.yaml: no such file"),
        (("analyze", CHAT, H100, "--hardware-dir", long), "a: no such folder"),
    ):
        ran = run(*arguments)
        assert (ran.code, ran.out, message in ran.err) == (2, "", True), (arguments[:2], ran.err[-200:])
