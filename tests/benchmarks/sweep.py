"""What a sweep costs, measured in one run: rows a second of one core, by where they go; memory; what a second core adds.

Seconds of one core are CPU seconds (user and system), which other work on the machine moves less than a clock on the
wall. What a second core adds is told on the wall, beside what it adds to work that shares nothing.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from roofline.engine import search
from roofline.studies.request import Options
from roofline.studies.sweep import sinks
from roofline.studies.sweep.chunks import Work, to_file
from roofline.studies.sweep.columns import Table, size
from roofline.studies.sweep.grid import Request
from roofline.studies.sweep.run import prepare, sweep

MESHES = {
    "decode": Request(("llama-3.1-70b",), ("8xh100-sxm",), ("batch=1:128:+1", "context=128..131072:1024", "tp=2,4,8"), Options(phase="decode")),
    "serving": Request(("llama-3.1-70b-chat",), ("8xh100-sxm",), ("batch=1:64:+1", "input=128..8000:64", "output=16..2000:64")),
    "serving, memory caps it": Request(
        ("llama-3.1-70b-chat",), ("8xh100-sxm",), ("batch=8:4096:+64", "input=128..8000:64", "output=16..2000:64")
    ),
    "a chip": Request(
        ("llama-3.1-70b-chat",), ("8xh100-sxm",), ("batch=1:512:x2", "memory.bandwidth=2..8TB/s:101", "compute=500..2000TFLOP/s:101", "links.scale-up.bandwidth=100..900GB/s:3")
    ),
    "training plans": Request(
        ("llama-3.1-70b-pretraining",), ("1024xh100-sxm:sequence_parallel=on,recompute=selective",), (
            "tp=1,2,4,8", "pp=1,2,4,5,8,10,16", "vpp=1,2,4,5", "zero=0,1,2,3", "micro_batch=1,2,4,8", "cp=1,2,4,8",
            "seq_len=4096:32768:x2", "global_batch=512:4096:x2",
        )
    ),
    "training plans, experts": Request(
        ("deepseek-v3-pretraining",), ("2048xh100-sxm:recompute=full",), (
            "tp=1,2,4,8", "pp=1,2,4,8,16", "ep=1,8,16,32,64", "zero=0,1,2,3", "micro_batch=1,2,4", "cp=1,2,4,8",
            "seq_len=4096,8192", "global_batch=1024:16384:x2",
        )
    ),
}  # fmt: skip
WANTED = {"training plans": 0.2, "training plans, experts": 0.2}  # million whole rows a second; of all others, one


def cpu() -> float:
    """CPU seconds of this process."""
    return time.process_time()


def peak() -> float:
    """Most memory so far [GiB]: of this process, or of one of those that it began."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(one).ru_maxrss for one in who) / 2**20


def best(work: Callable[[], object], rounds: int = 3) -> float:
    """Least CPU seconds of a call."""
    times = []
    for _ in range(rounds):
        start = cpu()
        work()
        times.append(cpu() - start)
    return min(times)


def priced(work: Work) -> None:
    """Operators, metrics, fit and intervals of every block, as meshes."""
    for index in range(work.grid.blocks):
        panel, block = work.grid.block(index)
        case = panel.at(block)
        search.predict(case.job, case.deployment)


def told(work: Work) -> None:
    """Every column of every block, written nowhere."""
    for chunk in range(work.chunks):
        for _ in work.tables(chunk):
            pass


def written(work: Work, tables: list[Table], place: Path) -> None:
    """Tables that are ready, to a file: the least that rows in it can cost."""
    with place.open("wb") as stream, sinks.opened(work.form, stream, work.names, first=True) as sink:
        for table in tables:
            sink.write(table)


def one_core(name: str, asked: Request, folder: Path) -> None:
    """Print rows a second of one core."""
    print(f"{name}: ", end="")
    work = prepare(Request(asked.workloads, asked.deployments, asked.vary, asked.options, columns="all"))
    points = work.grid.points
    told_ = [f"{points:,} points", f"priced {points / best(lambda: priced(work)) / 1e6:.2f} million/s"]
    nowhere = points / best(lambda: told(work)) / 1e6
    told_.append(f"{len(work.names)} columns of each nowhere {nowhere:.2f} million/s (wanted {WANTED.get(name, 1)})")
    for form, wanted in (("parquet", " (wanted 300)" if name not in WANTED else ""), ("csv", ""), ("jsonl", "")):
        if form == "parquet" and not parquet():
            told_.append("no pyarrow")
            continue
        into = Work(work.grid, work.names, work.reduction, form, work.words)
        chunk, rounds = min(1, work.chunks - 1), 3 if form == "parquet" else 1  # text takes long, and varies less
        tables = [into.told(table) for table, _ in into.tables(chunk)]
        rows = sum(map(size, tables))
        whole = best(lambda into=into, chunk=chunk: to_file(into, chunk, folder / "part"), rounds=rounds)  # type: ignore[misc]
        merely = best(lambda into=into, tables=tables: written(into, tables, folder / "part"), rounds=rounds)  # type: ignore[misc]
        told_.append(
            f"into {form} {rows / whole / 1e3:.0f} thousand/s{wanted}, merely written {rows / merely / 1e3:.0f}"
        )
    print("; ".join(told_), flush=True)


def parquet() -> bool:
    """Whether pyarrow is installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def spin(count: int) -> int:
    """Work that shares nothing."""
    found = 0
    for number in range(count):
        found ^= number * number
    return found


def two_cores(folder: Path) -> None:
    """Print what a second process adds, to a sweep and to work that shares nothing, in turns."""
    asked = Request(
        ("llama-3.1-70b-chat",), ("8xh100-sxm",), ("batch=1:512:+1", "input=128..8000:64", "output=16..2000:64")
    )
    ratios = []
    context = multiprocessing.get_context("spawn")
    for _ in range(3):
        times = {}
        for jobs in (1, 2):
            start = time.perf_counter()
            sweep(asked, out=folder / "rows.csv", jobs=jobs)
            times[jobs] = time.perf_counter() - start
        with ProcessPoolExecutor(2, mp_context=context) as crew:
            list(crew.map(spin, [10, 10]))
            start = time.perf_counter()
            spin(20_000_000)
            alone = time.perf_counter() - start
            start = time.perf_counter()
            list(crew.map(spin, [10_000_000, 10_000_000]))
            ratios.append((times[1] / times[2], alone / (time.perf_counter() - start)))
    print(
        "two processes over one, on the wall (wanted 1.8 on two cores that are free): "
        + ", ".join(f"{ours:.2f} where work that shares nothing gains {free:.2f}" for ours, free in ratios)
    )


def sizes(folder: Path) -> None:
    """Print seconds for each point, and memory, of larger and larger sweeps."""
    form = "parquet" if parquet() else "jsonl"
    for count in (64, 256, 1024):
        vary = (f"batch=1:{count}:+1", "input=128..8000:128", "output=16..2000:64")
        start = cpu()
        out = folder / f"rows.{form}"
        result = sweep(Request(("llama-3.1-70b-chat",), ("8xh100-sxm",), vary), out=out, jobs=1)
        points = result["counts"]["points"]
        print(
            f"{points:,} points into {form}: {(cpu() - start) / points * 1e6:.2f} us each, peak {peak():.2f} GiB (wanted 1)"
        )
        shutil.rmtree(out) if out.is_dir() else out.unlink()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        sizes(folder)
        for mesh, asked in MESHES.items():
            one_core(mesh, asked, folder)
        two_cores(folder)


if __name__ == "__main__":
    main()
