"""`calibrate --measure` and `validate --live` at the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "measure-this-machine.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BUDGETS = {"--measure": "5s", "--live": "3s"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("calibrate", "--measure"), "--measure writes a chip file; say where with -o my-machine.yaml"),
        (("calibrate", "--measure", "--shipped", "-o", "x.yaml"), "--measure fits what it times itself; leave --shipped out"),
        (("calibrate", "--shipped", "--budget", "5s"), "--budget goes with --measure; add it, or leave --budget out"),
        (("calibrate", "--measure", "-o", "x.txt"), "x.txt: a chip file ends in .yaml, e.g. x.yaml"),
        (("calibrate", "--measure", "--budget", "5", "-o", "x.yaml"), "needs a unit, e.g."),
        (("calibrate", "--measure", "--budget", "-5s", "-o", "x.yaml"), "--budget -5s: must be more than nothing, e.g. 60s"),
        (("calibrate", "--shipped", "--ranks", "2"), "--ranks goes with --measure; add it, or leave --ranks out"),
        (("calibrate", "--measure", "--backend", "numpy", "--ranks", "2", "-o", "x.yaml"), "NumPy exchanges nothing between processes, PyTorch does"),
        (("calibrate", "--measure", "--backend", "nump", "-o", "x.yaml"), "did you mean 'numpy'?"),
        (("validate", "--live"), "--live predicts a chip; name it with --chip my-machine.yaml"),
        (("validate", "--rows", "x.csv"), "--rows goes with --live; add it, or leave --rows out"),
        (("validate", "--live", "--measured", "x.csv", "--chip", "h100-sxm"), "--live measures itself; leave --measured out"),
        (("validate", "--live", "--chip", "no-such-chip"), "no chip 'no-such-chip'"),
    ],
)  # fmt: skip
def test_bad_usage(
    run: Callable[..., Any], arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert ran.code == 2
    assert message in ran.err
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_executed(tmp_path: Path) -> None:
    """Every command of the page, in order, in a folder of its own, with NumPy and a few seconds."""
    page = PAGE.read_text(encoding="utf-8")
    commands = [line for block in BLOCK.findall(page) for line in block.splitlines()]
    assert len(commands) == 5
    printed = [_printed(shlex.split(command), tmp_path) for command in commands]
    assert "products" in printed[0]
    assert "1 files: 0 errors, 0 warnings" in printed[1]
    assert "framework" in printed[2]
    assert "decode" in printed[4]
    assert {path.name for path in tmp_path.iterdir()} == {
        "my-machine.yaml", "my-machine.csv", "live.csv", "live.predicted.csv"
    }  # fmt: skip


def _printed(words: list[str], folder: Path) -> str:
    assert words[0] == "roofline"
    quick = [("--backend", "numpy", "--budget", budget) for option, budget in BUDGETS.items() if option in words]
    command = [sys.executable, "-m", "roofline", *words[1:], *(word for more in quick for word in more)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def test_a_terminal_sees_how_far_it_is_and_a_pipe_nothing() -> None:
    import io

    from roofline.cli.progress import meter

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        meter(stream)(0.5, "gemm fp32")
    assert "[############            ]  50% gemm fp32" in terminal.getvalue()
    assert pipe.getvalue() == ""
