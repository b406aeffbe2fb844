"""What things cost, measured in one run: CPU seconds of whole processes as ratios, points per second in process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import inference, training
from roofline.engine.deployment import Deployment
from roofline.numeric import Num
from roofline.studies.decide import decide
from roofline.workload import Decode, Plan, Precision, Serving, Training

ROUNDS = 9
INSTALLED = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # packages are compiled when they are installed


def cpu_seconds(*command: str) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=INSTALLED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def ratio(command: tuple[str, ...], base: tuple[str, ...]) -> tuple[float, float, float]:
    """Least CPU seconds of both commands, run in turns, and their ratio."""
    rounds = [(cpu_seconds(*command), cpu_seconds(*base)) for _ in range(ROUNDS)]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    return ours, theirs, ours / theirs


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """Least CPU seconds of a call in this process."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def search(catalog: Catalog, name: str, chips: int) -> None:
    """Print how long the best plan of a training run takes to find."""
    work, chip = catalog.workload(name), catalog.chip("h100-sxm")
    assert isinstance(work, Training)
    where = Deployment(chip=chip, num_chips=chips, stack=catalog.stack("ideal"), plan=Plan())
    counts = training.count(work, where, {})
    seconds = best(lambda: training.rank(work, where, {}, most=4), rounds=3)
    print(
        f"plans of {name} on {chips:,} chips: {seconds:.2f} s (wanted 1 at most), {counts.fitting:,} of "
        f"{counts.considered:,} fit, {counts.fitting / seconds / 1e6:.1f} million of these a second (wanted 0.05)"
    )


def one_step(catalog: Catalog, name: str, chips: int, plan: Plan) -> None:
    """Print how long a single prediction of a training run takes."""
    work, chip = catalog.workload(name), catalog.chip("h100-sxm")
    assert isinstance(work, Training)
    stack = catalog.stack(chip.stack("training"), chip)
    where = Deployment(chip=chip, num_chips=chips, stack=stack, plan=plan, spreads=catalog.spreads(chip, stack))
    seconds = best(lambda: [training.predict(work, where) for _ in range(100)]) / 100
    print(f"one step of {name}: {seconds * 1e3:.2f} ms (wanted 2 at most)")


def decision(catalog: Catalog) -> None:
    """Print how long it takes to decide about every shipped chip for eight kinds of requests."""
    names = (
        "chat",
        "long-document",
        "retrieval",
        "reasoning",
        "agent",
        "code-completion",
        "batch-offline",
        "multi-turn-chat",
    )
    asked = "".join(
        f"  - {{workload: llama-3.1-70b, scenario: {name}, requests_per_month: 3000000}}\n" for name in names
    )
    need = (
        f"format: 1\nid: eight\nname: Eight\nsource: made\nserving:\n{asked}peak: 2.5\n"
        "places: {cloud: {network: 40 ms}, own: {}, edge: {sites: 4}}\n"
        "sources:\n  made: {title: Made for this measurement, date: 2026-11-26}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "eight.yaml"
        path.write_text(need, encoding="utf-8")
        chips = decide(str(path), catalog)["chips"]
        seconds = best(lambda: decide(str(path), catalog), rounds=3)
    print(f"a decision about {chips} chips and {len(names)} kinds of requests: {seconds:.2f} s (wanted 3 at most)")


def main() -> None:
    """Print the table."""
    python = sys.executable
    cli = (python, "-m", "roofline")
    floors = {
        "import typer, rich.table": (python, "-c", "import typer, rich.table"),
        "import numpy, yaml, typer, rich, pydantic": (python, "-c", "import numpy, yaml, typer, rich, pydantic"),
    }
    cases = (
        ("roofline --help", (*cli, "--help"), "import typer, rich.table", 1.5),
        (
            "one analyze as JSON",
            (*cli, "analyze", "llama-3.1-70b-chat", "8xh100-sxm", "--format", "json"),
            "import numpy, yaml, typer, rich, pydantic",
            2.0,
        ),
    )
    for name, command, floor, wanted in cases:
        ours, theirs, found = ratio(command, floors[floor])
        print(
            f"{name}: {ours * 1e3:.0f} ms CPU, {found:.2f} x '{floor}' ({theirs * 1e3:.0f} ms); wanted {wanted} at most"
        )

    catalog = Catalog()
    chip, model = catalog.chip("h100-sxm"), catalog.model("llama-3.1-70b")

    def decode(batch: Num, context: Num, tp: Num) -> object:
        work = Serving(
            id="mesh",
            model=model,
            steps=(Decode(1.0),),
            batch=batch,
            cached=context,
            precision=Precision("fp8", "fp8", "fp8"),
        )
        where = Deployment(chip=chip, num_chips=8, stack=catalog.stack("ideal"), plan=Plan(tp=tp))
        found = inference.predict(work, where)
        return found.metrics["tpot_s"], found.fits

    one = best(lambda: [decode(32.0, 4096.0, 8.0) for _ in range(200)]) / 200
    print(f"one decode prediction with all operators: {one * 1e3:.2f} ms (wanted 1 ms at most)")
    batch, context = np.arange(1.0, 501.0)[:, None, None], np.linspace(128.0, 131072.0, 500)[None, :, None]
    degrees = np.array([1.0, 2.0, 4.0, 8.0])[None, None, :]
    seconds = best(lambda: decode(batch, context, degrees))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"a million decode points: {1 / seconds:.1f} million a second (wanted 5), peak memory {peak:.2f} GiB (wanted 1)"
    )
    one_step(catalog, "llama-3.1-405b-pretraining", 1024, Plan(tp=8.0, pp=16.0, dp=8.0, vpp=8.0, zero=1.0))
    decision(catalog)
    for name in ("llama-3.1-405b-pretraining", "deepseek-v3-pretraining"):
        search(catalog, name, 16_384)


if __name__ == "__main__":
    main()
