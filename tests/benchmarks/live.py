"""How well predictions from a measured machine come true: three times measured, three times tried, side by side.

`python tests/benchmarks/live.py [FOLDER] [--device cpu] [--budget 90s] [--live 900s]` writes, for each of three runs, a
chip file with its timings and the table of what ran, and prints medians of errors by phase and format, and how far the
three runs are apart.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roofline import units
from roofline.catalog.store import Catalog
from roofline.studies.measuring.backends import chosen
from roofline.studies.measuring.calibrate import calibrate
from roofline.studies.measuring.live import validate

RUNS = 3
Row = Mapping[str, Any]


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("live-runs"))
    parser.add_argument("--device", default=None)
    parser.add_argument("--backend", default=None)
    parser.add_argument("--budget", default="90s", help="for timing kernels, each run")
    parser.add_argument("--live", default="900s", help="for running models, each run")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    backend = chosen(given.backend, given.device)
    found = []
    for run in range(1, RUNS + 1):
        chip = given.folder / f"machine-{run}.yaml"
        budgets = units.parse(given.budget, "s"), units.parse(given.live, "s")
        for warning in calibrate(backend, chip, Catalog(), budget=budgets[0])["machine"]["warnings"]:
            print(f"run {run}: timing: {warning}", flush=True)
        result = validate(backend, str(chip), given.folder / f"live-{run}.csv", Catalog(), budget=budgets[1])
        for warning in result["live"]["warnings"]:
            print(f"run {run}: running: {warning}", flush=True)
        found.append({row["id"]: row for row in result["rows"]})
        print(f"run {run}: {len(found[-1])} cases in {result['live']['seconds']:.0f} s", flush=True)
    print("\n".join(table(found)))


def table(runs: list[dict[str, Row]]) -> Iterator[str]:
    """Errors by phase and format in each run, and how far measured and predicted figures of a case are apart."""
    heads = " | ".join(f"run {run}" for run in range(1, len(runs) + 1))
    yield f"| phase | weights | models | cases | {heads} | measured apart | predicted apart |"
    yield "|---" * (6 + len(runs)) + "|"
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in set.intersection(*(set(run) for run in runs)):
        row = runs[0][name]
        groups[row["what"], row["weights"]].append(name)
    for (what, weights), names in sorted(groups.items()):
        errors = [f"{np.median([abs(run[name]['error']) for name in names]):.1%}" for run in runs]
        apart = [
            f"{np.median([_apart(runs, name, column) for name in names]):.1%}" for column in ("measured", "predicted")
        ]
        models = len({runs[0][name]["model"] for name in names})
        yield f"| {what} | {weights} | {models} | {len(names)} | {' | '.join(errors)} | {' | '.join(apart)} |"


def _apart(runs: list[dict[str, Row]], name: str, column: str) -> float:
    """How far the furthest of the runs is from their median, as a share of it."""
    values = np.array([run[name][column] for run in runs])
    return float(np.max(np.abs(values / np.median(values) - 1.0)))


if __name__ == "__main__":
    main()
