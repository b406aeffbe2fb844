"""Mutants of the engine against its tests: `python tests/mutation/engine.py --sample 300`; it needs `pip install mutmut`.

mutmut makes the mutants and tells which tests reach which function. They are tried here: one process collects the tests
once and forks for each mutant, as thousands of parametrised tests are too many to be collected for each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/engine", "tests/test_goldens.py")
GOLDENS = 0.15  # seconds after which the goldens are asked: they take longer, and find most of what is left
LIMIT = 90  # seconds of CPU for a mutant; what takes longer never ends
CONFIG = """
[tool.mutmut]
source_paths = ["roofline/engine"]
pytest_add_cli_args_test_selection = ["tests/engine", "tests/test_goldens.py"]
also_copy = ["roofline", "hardware", "workloads", "roofline.toml", "roofline.baseline", "README.md", "docs", "examples"]
"""


class Trial:
    """A plugin that runs, instead of all tests, each mutant against those that reach its function."""

    def __init__(self, mutants: Sequence[str], stats: dict[str, Any], out: Path, cases: int) -> None:
        self.mutants, self.stats, self.out, self.cases = mutants, stats, out, cases

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every mutant, and write a line for each."""
        items = {item.nodeid: item for item in session.items}
        with self.out.open("a", encoding="utf-8") as out:
            for mutant in self.mutants:
                reaching = self.stats["tests_by_mangled_function_name"].get(mutant.rpartition("__mutmut_")[0], [])
                chosen = few(sorted((name for name in reaching if name in items), key=self._seconds), self.cases)
                died = tried(mutant, [items[name] for name in chosen])
                print(json.dumps({"mutant": mutant, "tests": len(chosen), "by": died}), file=out, flush=True)
        return True

    def _seconds(self, name: str) -> float:
        return GOLDENS if "test_goldens" in name else float(self.stats["duration_by_test"].get(name, 0.0))


def few(names: Sequence[str], most: int) -> list[str]:
    """At most so many cases of each test, evenly over all of them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name.partition("[")[0]].append(name)
    kept = {name for group in groups.values() for name in group[:: -(-len(group) // most)]}
    return [name for name in names if name in kept]


def tried(mutant: str, items: Sequence[pytest.Item]) -> str | None:
    """The test that a mutant fails, in a process of its own; None if it passes all."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.environ["MUTANT_UNDER_TEST"] = mutant
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        for item, after in zip(items, [*items[1:], None], strict=True):
            with suppress(BaseException):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if item.session.testsfailed:
                os.write(writer, item.nodeid.encode())
                break
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        died = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return died or ("time" if os.WIFSIGNALED(status) else None)


def prepared(folder: Path) -> dict[str, Any]:
    """mutmut's mutants of this checkout in a folder, and what it knows of the tests."""
    stats = folder / "mutants" / "mutmut-stats.json"
    if not stats.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(CONFIG)
        subprocess.run([sys.executable, "-m", "mutmut", "run", "none"], cwd=folder, check=False)
    found: dict[str, Any] = json.loads(stats.read_text(encoding="utf-8"))
    return found


def names(folder: Path) -> list[str]:
    """Every mutant."""
    files = sorted((folder / "mutants").rglob("*.meta"))
    return sorted(name for path in files for name in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"])


def main() -> int:
    """Try a sample of all mutants, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("mutation"), help="where mutants are made")
    parser.add_argument("--out", type=Path, default=Path("mutation.jsonl"), help="a line for each; goes on where it is")
    parser.add_argument("--sample", type=int, default=300, help="how many, drawn by chance")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--cases", type=int, default=3, help="of each parametrised test")
    parser.add_argument("--only", nargs="*", help="names of mutants")
    asked = parser.parse_args()
    stats, out = prepared(asked.folder.absolute()), asked.out.absolute()
    wanted = asked.only or random.Random(asked.seed).sample(names(asked.folder), asked.sample)
    done = {json.loads(line)["mutant"] for line in out.read_text().splitlines()} if out.exists() else set()
    os.chdir(asked.folder / "mutants")
    sys.path.insert(0, os.getcwd())
    os.environ["MUTANT_UNDER_TEST"] = ""
    trial = Trial([name for name in wanted if name not in done], stats, out, asked.cases)
    pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *TESTS], plugins=[trial])
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    found = Counter("killed" if row["by"] else "survived" for row in rows)
    print(f"{found['killed']:,} of {len(rows):,} mutants killed ({found['killed'] / max(len(rows), 1):.1%})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
