"""Mutated input: whatever a file, an expression or a command line says, the answer is a result or a `RooflineError`,
within bounded time and memory.

    python tests/fuzz/mutated.py --inputs 100000

Each input is a shipped file, or an expression or example that the documentation shows, with a few places changed. What breaks
is kept (`--keep FOLDER`), named after its subject and the seed that makes it again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import roofline as rl
from roofline import units
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies import ranges
from roofline.studies.sweep import where

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 2.0  # of CPU that one input may take
MEMORY = 512 * 2**20  # bytes that the process may ever hold

VALUES = (
    "", "~", "null", "true", "no", "0", "-1", "1", "0.5", "-0.0", "1e308", "1e400", "-1e400", ".nan", "nan", "inf", "-inf", ".inf",
    "9" * 30, "9" * 500, "0x10", "1_000", "1,000", "01", "2026-01-05", "[]", "{}", "[1, 2]", "{a: 1}", "''", '"', "'", "|", ">",
    "0 GB", "-1 GB", "1e300 GB", "1 GB/s", "1 TFLOP/s", "nan W", "1 parsec", "GB", "80GiB", "80 GIB", "0 us", "1 %", "200 %",
    "*a", "&a [*a]", "!!python/object/apply:os.system ['true']", "!!binary aGk=", "? a", "<<: {a: 1}", "%YAML 9.9", "---", "...",
    "h100-sxm", "llama-3.1-8b", "../../etc/passwd", "/dev/zero", "~root", "a\\b", "\x00", "\x1b[31m", "\u202eabc\u202c", "\ufeff", "\u00b5s",
    "e\u0301", "\U0001f600", "<script>alert(1)</script>", "=1+1", "@x", "#", "a: b: c", "- - - -", "fp8", "int4", "bf17",
)  # fmt: skip
TOKEN = re.compile(r"[^\s,:=\[\]{}]+")


class HangError(BaseException):
    """An input took more CPU than it may; not an `Exception`, so that nothing catches it on its way."""


@dataclass(frozen=True)
class Subject:
    """Something that reads text: what it is fed with, and seeds to begin with."""

    name: str
    seeds: Sequence[str]
    feed: Callable[[str], object]
    share: int = 1  # of the inputs


@dataclass
class Outcome:
    """What came of the inputs of a subject."""

    inputs: int = 0
    refused: int = 0
    broken: int = 0
    slowest: float = 0.0


# --- mutation -------------------------------------------------------------------------------------------------------


def mutated(seeds: Sequence[str], random_: random.Random) -> str:
    """A seed with one to four places changed."""
    text = random_.choice(seeds)
    for _ in range(random_.choice((1, 1, 2, 3, 4))):
        text = random_.choice(MUTATIONS)(text, seeds, random_)
    return text


def _token(text: str, _: Sequence[str], random_: random.Random) -> str:
    """Another value in the place of a word."""
    places = list(TOKEN.finditer(text))
    if not places:
        return random_.choice(VALUES)
    place = random_.choice(places)
    return text[: place.start()] + random_.choice(VALUES) + text[place.end() :]


def _swapped(text: str, _: Sequence[str], random_: random.Random) -> str:
    """Two words in each other's place."""
    places = list(TOKEN.finditer(text))
    if len(places) < 2:
        return text
    one, other = sorted(random_.sample(places, 2), key=lambda place: place.start())
    return text[: one.start()] + other[0] + text[one.end() : other.start()] + one[0] + text[other.end() :]


def _lines(text: str, seeds: Sequence[str], random_: random.Random) -> str:
    """A line gone, twice, elsewhere, deeper, or one of another seed."""
    lines = text.split("\n")
    at, to = random_.randrange(len(lines)), random_.randrange(len(lines) + 1)
    how = random_.randrange(5)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(to, lines[at])
    elif how == 2:
        lines.insert(to, random_.choice(random_.choice(seeds).split("\n")))
    elif how == 3:
        lines[at] = " " * random_.randrange(8) + lines[at].lstrip()
    else:
        lines[at] = "\t" + lines[at]
    return "\n".join(lines)


def _cut(text: str, _: Sequence[str], random_: random.Random) -> str:
    """The text up to somewhere, or without a part."""
    one, other = sorted((random_.randrange(len(text) + 1), random_.randrange(len(text) + 1)))
    return text[:one] if random_.random() < 0.5 else text[:one] + text[min(other, one + 40) :]


def _inserted(text: str, _: Sequence[str], random_: random.Random) -> str:
    """Something where nothing was; sometimes very much of it, or very deep."""
    at = random_.randrange(len(text) + 1)
    new = random_.choice(VALUES)
    if random_.random() < 0.1:
        new = random_.choice(
            ("[" * 2000, "{a: " * 200, "- " * 300, "(" * 500, "-" * 500, "a" * 100_000, "\n" * 20_000, "not " * 400)
        )
    return text[:at] + new + text[at:]


def _number(text: str, _: Sequence[str], random_: random.Random) -> str:
    """A number made larger, smaller or negative."""
    places = list(re.finditer(r"\d+(\.\d+)?", text))
    if not places:
        return text
    place = random_.choice(places)
    new = random_.choice(
        (f"-{place[0]}", f"{place[0]}e9", f"{place[0]}e-9", f"{place[0]}0000000", "0", f"{place[0]}.{place[0]}")
    )
    return text[: place.start()] + new + text[place.end() :]


MUTATIONS = (_token, _token, _number, _swapped, _lines, _lines, _cut, _inserted)


# --- subjects -------------------------------------------------------------------------------------------------------


def subjects(folder: Path) -> Iterator[Subject]:
    """Everything that reads what users write; files are written into `folder`."""
    for name, pattern, use in FILES:
        seeds = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern))]
        yield Subject(name, seeds, _file(folder / f"{name}.yaml", use), share=3)
    rows = (ROOT / "examples" / "my-measurements.csv").read_text(encoding="utf-8")
    yield Subject("measured CSV", [rows], _table(folder / "measured.csv"))
    yield Subject("condition", CONDITIONS, lambda text: where.parse(text, COLUMNS), share=4)
    yield Subject("range", RANGES, _ranges, share=4)
    yield Subject("quantity", QUANTITIES, _quantities, share=4)
    yield Subject("deployment", DEPLOYMENTS, lambda text: rl.predict("llama-3.1-8b-chat", text), share=2)
    yield Subject("command line", examples(), _command, share=3)


def _use_chip(path: Path) -> object:
    return rl.predict("llama-3.1-8b", str(path), phase="decode", batch=4, context_len=1024)


def _use_model(path: Path) -> object:
    return rl.predict(str(path), "8xh100-sxm", phase="decode", batch=4, context_len=1024)


def _use_work(path: Path) -> object:
    return rl.predict(str(path), "64xh100-sxm")


def _use_scenario(path: Path) -> object:
    return rl.predict("llama-3.1-8b", "h100-sxm", scenario=str(path))


def _use_assumptions(path: Path) -> object:
    return rl.predict("llama-3.1-8b-chat", "h100-sxm", assumptions=str(path))


def _only_lint(_: Path) -> object:
    return None


FILES: tuple[tuple[str, str, Callable[[Path], object]], ...] = (
    ("chip", "hardware/chips/*/*.yaml", _use_chip),
    ("family", "hardware/families/*.yaml", _only_lint),
    ("stack", "hardware/stacks/*.yaml", _only_lint),
    ("economics", "hardware/economics/*.yaml", _use_assumptions),
    ("model", "workloads/models/*.yaml", _use_model),
    ("serving", "workloads/serving/*.yaml", _use_work),
    ("training", "workloads/training/*.yaml", _use_work),
    ("scenario", "workloads/scenarios/*.yaml", _use_scenario),
    ("need", "workloads/needs/*.yaml", _only_lint),
)
COLUMNS = ("fits", "why", "batch", "tpot_s", "ttft_s", "mfu", "memory.bandwidth", "output_tokens_per_s", "decode_bound")
CONDITIONS = (
    "fits and tpot_s < 30 ms", "not (mfu >= 0.4 or batch == 8)", "1 < batch < 64 and decode_bound == 'memory'",
    "memory.bandwidth / 2 TB/s >= 1 and output_tokens_per_s * 2 - 1e3 > 0", "-tpot_s < .5 s and why != \"memory\"", "true",
)  # fmt: skip
RANGES = ("1,2,4", "1:512:x2", "0:32000:+4000", "2..8TB/s:13", "2:8 TB/s:13", "1 s, 50 ms", "10 %, 0.5", "1e3:1e6:7")
QUANTITIES = (
    "80 GB",
    "3.35 TB/s",
    "989.4 TFLOP/s",
    "700 W",
    "0.7 us",
    "400 Gbit/s",
    "3.9 USD/h",
    "50677 h",
    "12 %",
    "80 GiB",
    "1830 MHz",
)
DEPLOYMENTS = (
    "h100-sxm", "8xh100-sxm:tp=8,stack=vllm", "16xh200-sxm:pools=8:8", "576xgroq-lpu-v1", "4xmi300x:tp=2,dp=2,weights=fp8", "8xa100-sxm-80gb:kv_cache=fp8",
)  # fmt: skip
SLOW = (
    "calibrate",
    "validate",
    "decide",
    "market",
    "new",
    "contrast",
    "plan",
)  # that take long, or write files by themselves


def _file(path: Path, use: Callable[[Path], object]) -> Callable[[str], object]:
    """Check a file, and use it if nothing is wrong with it."""

    def feed(text: str) -> None:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        rows = rl.lint(path)["rows"]
        if not any(row["severity"] == "error" for row in rows):
            use(path)
        elif rows:
            raise RooflineError(rows[0]["message"])

    return feed


def _table(path: Path) -> Callable[[str], object]:
    def feed(text: str) -> None:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        rl.validate(path)

    return feed


def _ranges(text: str) -> None:
    for unit in ("", "B/s", "s", "1"):
        with contextlib.suppress(RooflineError):
            ranges.values(text, unit, "--vary x")


def _quantities(text: str) -> None:
    for unit in units.DIMENSIONS:
        with contextlib.suppress(RooflineError):
            units.parse(text, unit)


def examples() -> list[str]:
    """The examples of every command's help that answer at once."""
    import typer
    from typer.testing import CliRunner

    from roofline.cli.app import app

    group: Any = typer.main.get_command(app)
    found = []
    for name in sorted(set(group.commands) - set(SLOW)):
        text = CliRunner().invoke(app, [name, "--help"]).output
        found += re.findall(r"^\s*\$ roofline (.*)$", text, re.MULTILINE)
    return [line for line in found if not line.startswith("sweep") or "--dry-run" in line]


def _command(line: str) -> None:
    """Run a command line in this process; exit code 70 and tracebacks are bugs, and so is a warning."""
    from roofline.cli import main

    try:
        words = shlex.split(line)
    except ValueError:
        return
    words = [word for word in words if "\0" not in word]
    if words[:1] and words[0] in SLOW:
        return
    said, typed = io.StringIO(), sys.argv
    code: object = None
    sys.argv = ["roofline", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        finally:
            sys.argv = typed
    if code not in (0, 1, 2, None) or "Traceback" in said.getvalue():
        raise AssertionError(f"exit code {code}: {said.getvalue()[-2000:]}")
    if code == RooflineError.exit_code:
        raise RooflineError(said.getvalue())


# --- running --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """`HangError` after so many seconds of CPU."""

    def stop(*_: object) -> None:
        raise HangError(f"more than {seconds:g} s of CPU")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)


def run(subject: Subject, inputs: int, seed: int, keep: Path | None) -> Outcome:
    """Feed so many mutated inputs; what breaks is told on stderr and kept."""
    outcome = Outcome()
    for index in range(inputs):
        text = mutated(subject.seeds, random.Random(f"{subject.name} {seed} {index}"))
        start = time.process_time()
        outcome.inputs += 1
        try:
            with limited(SECONDS):
                subject.feed(text)
        except RooflineError:
            outcome.refused += 1
        except (Exception, HangError):
            outcome.broken += 1
            print(f"{subject.name}, seed {seed}, input {index}:\n{traceback.format_exc(limit=-4)}", file=sys.stderr)
            if keep is not None:
                place = keep / f"{subject.name.replace(' ', '-')}-{seed}-{index}"
                place.write_text(text, encoding="utf-8", errors="surrogateescape")
        outcome.slowest = max(outcome.slowest, time.process_time() - start)
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Feed all subjects; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all subjects together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="the subject of that name")
    parser.add_argument("--keep", type=Path, help="folder for inputs that break something")
    asked = parser.parse_args(arguments)
    warnings.simplefilter("error")
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
    broken = False
    Catalog()
    with tempfile.TemporaryDirectory() as folder:
        place = os.getcwd()
        os.chdir(folder)  # what a command line writes goes there
        every = [subject for subject in subjects(Path(folder)) if asked.only in (None, subject.name)]
        shares = sum(subject.share for subject in every)
        print(f"{'subject':14} {'inputs':>7} {'refused':>8} {'broken':>7} {'slowest':>9}")
        for subject in every:
            found = run(subject, max(1, asked.inputs * subject.share // shares), asked.seed, asked.keep)
            print(
                f"{subject.name:14} {found.inputs:7,} {found.refused:8,} {found.broken:7,} {found.slowest:7.2f} s",
                flush=True,
            )
            broken |= bool(found.broken)
        os.chdir(place)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"memory at most {held / 2**20:,.0f} MiB")
    return int(broken or held > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
