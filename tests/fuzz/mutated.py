"""Mutated input: whatever a file, an expression or a command line says, the answer is a result or a `RooflineError`,
within bounded time and memory.

    python tests/fuzz/mutated.py --inputs 100000

Each input is a shipped file, or an expression or example that the documentation shows, with a few places changed. What breaks
is kept (`--keep FOLDER`), named after its subject and the seed that makes it again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from tests.fuzz.subjects import WORD, Subject, subjects

MEMORY = 512 * 2**20  # bytes that the process may ever hold

VALUES = (
    "", "~", "null", "true", "no", "0", "-1", "1", "0.5", "-0.0", "1e308", "1e400", "-1e400", ".nan", "nan", "inf", "-inf", ".inf",
    "9" * 30, "9" * 500, "0x10", "1_000", "1,000", "01", "2026-01-05", "[]", "{}", "[1, 2]", "{a: 1}", "''", '"', "'", "|", ">",
    "0 GB", "-1 GB", "1e300 GB", "1 GB/s", "1 TFLOP/s", "nan W", "1 parsec", "GB", "80GiB", "80 GIB", "0 us", "1 %", "200 %",
    "*a", "&a [*a]", "!!python/object/apply:os.system ['true']", "!!binary aGk=", "? a", "<<: {a: 1}", "%YAML 9.9", "---", "...",
    "h100-sxm", "llama-3.1-8b", "../../../../../../proc/self/status", "/dev/zero", "~root", "a\\b", "\x00", "\x1b[31m", "\u202eabc\u202c", "\ufeff", "\u00b5s",
    "e\u0301", "\U0001f600", "<script>alert(1)</script>", "=1+1", "@x", "#", "a: b: c", "- - - -", "fp8", "int4", "bf17",
)  # fmt: skip


class HangError(BaseException):
    """An input took more CPU than it may; not an `Exception`, so that nothing catches it on its way."""


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
    places = list(WORD.finditer(text))
    if not places:
        return random_.choice(VALUES)
    place = random_.choice(places)
    return text[: place.start()] + random_.choice(VALUES) + text[place.end() :]


def _swapped(text: str, _: Sequence[str], random_: random.Random) -> str:
    """Two words in each other's place."""
    places = list(WORD.finditer(text))
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


# --- running --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """`HangError` after so many seconds of CPU."""

    def stop(*_: object) -> None:
        raise HangError(f"more than {seconds:g} s of CPU")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def run(subject: Subject, inputs: int, seed: int, keep: Path | None) -> Outcome:
    """Feed so many mutated inputs; what breaks is told on stderr and kept."""
    outcome = Outcome()
    for index in range(inputs):
        text = mutated(subject.seeds, random.Random(f"{subject.name} {seed} {index}"))
        start = time.process_time()
        outcome.inputs += 1
        try:
            with limited(subject.seconds):
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
        asked.keep = asked.keep.resolve()
        asked.keep.mkdir(parents=True, exist_ok=True)
    broken = False
    Catalog()
    with tempfile.TemporaryDirectory() as folder:
        place = os.getcwd()
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
    held = most_held()
    print(f"memory at most {held / 2**20:,.0f} MiB")
    return int(broken or held > MEMORY)


def most_held() -> int:
    """Bytes that this program ever held. Linux counts in `ru_maxrss` what the process held that started it."""
    told = Path("/proc/self/status")
    if told.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", told.read_text(encoding="utf-8"))):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
