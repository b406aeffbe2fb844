"""A sweep from request to result: counted, priced chunk by chunk by all cores, kept in memory or streamed to a file."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from roofline import __version__
from roofline.errors import OutputError, RooflineError
from roofline.studies.sweep import columns, sinks, state
from roofline.studies.sweep.chunks import Order, Tally, Work, Worker, write
from roofline.studies.sweep.columns import Table, Words, joined, plain, size
from roofline.studies.sweep.grid import Block, Grid, Request, build
from roofline.studies.sweep.reduce import reduction

SWEEP_SCHEMA = "roofline.sweep/1"
MOST_ROWS = 200_000  # of a result that is not written to a file
MOST_CELLS = 50_000_000  # that are sorted in memory
ALONE = 1_000_000  # points that one process prices sooner than others are started
COUNTED = 2**22  # points of which every one is counted; of more, a sample
SAMPLE = 32  # blocks
TIMED = 3  # blocks
AHEAD = 2  # chunks for each process that may be ready before their turn

Answer = TypeVar("Answer")


class Watch:
    """Who is told how a sweep goes on; does nothing."""

    def counted(self, tally: Tally, *, exact: bool) -> None:
        """How many points there are and fit, before any is priced; `exact` unless they are taken from a sample."""

    def begun(self, points: int) -> None:
        """Points that are done already when this run begins."""

    def done(self, tally: Tally) -> None:
        """All that is done so far."""


def prepare(
    asked: Request,
    *,
    sort: str | None = None,
    top: int | None = None,
    pareto: str | Sequence[str] | None = None,
    form: str = "jsonl",
) -> tuple[Work, Order]:
    """The work of a request, checked: names of columns, the condition, what is kept.

    Raises `RooflineError` for whatever is wrong with them.
    """
    grid = build(asked)
    names = tuple(columns.chosen(asked.columns, grid.columns, grid.axes))
    kept = reduction(grid.columns, sort=sort, top=top, pareto=pareto)
    words = _words(grid)
    wrong = next((name for name in kept.pareto if name in words), None)
    if wrong:
        raise RooflineError(f"--pareto {wrong}: is a word; name numbers")
    order = Order(asked, names, kept, form, words)
    work = Work(grid, names, kept, form, words)
    for panel in grid.panels:
        work.kept(panel.mesh(_corner(len(panel.axes))))  # what is wrong with a condition shows on one point
    return work, order


def sweep(
    asked: Request,
    *,
    sort: str | None = None,
    top: int | None = None,
    pareto: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    restart: bool = False,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """The contract's object of a sweep: its rows, or where they were written and how many there are.

    Rows go to `out` (.csv, .jsonl or .parquet) chunk by chunk, so that there may be more than memory holds and a run
    that was killed goes on. `jobs` processes, by default one for each core, price chunks; the result does not depend on
    them. With `dry_run` nothing is priced but a sample. Raises `RooflineError` for bad input.
    """
    watch = watch or Watch()
    form = _form(out)
    if jobs is not None and jobs < 1:
        raise RooflineError(f"--jobs {jobs}: must be 1 or more")
    work, order = prepare(asked, sort=sort, top=top, pareto=pareto, form=form or "jsonl")
    processes = _processes(work, jobs)
    result = _head(work, order)
    if dry_run:
        tally, exact = count(work.grid)
        estimate = _estimate(work, processes) | {"exact": exact}
        return result | {"counts": asdict(tally) | {"kept": None}, "estimate": estimate}
    if out is None:
        return result | _in_memory(work, order, processes, watch)
    if work.reduction.any:
        return result | _reduced_to(work, order, processes, watch, Path(out))
    return result | _streamed(work, order, processes, watch, Path(out), restart=restart)


# --- counting and estimating ----------------------------------------------------------------------------------------


def count(grid: Grid) -> tuple[Tally, bool]:
    """Points, those whose plan is one, those that fit; and whether all were looked at or a sample alone."""
    exact = grid.points <= COUNTED
    chosen = range(grid.blocks) if exact else np.unique(np.linspace(0, grid.blocks - 1, SAMPLE).astype(int)).tolist()
    seen = valid = fitting = 0
    for index in chosen:
        panel, block = grid.block(index)
        found = panel.count(block)
        seen, valid, fitting = seen + block.size, valid + found[0], fitting + found[1]
    share = grid.points / max(seen, 1)
    return Tally(grid.points, round(valid * share), round(fitting * share)), exact


def _estimate(work: Work, processes: int) -> dict[str, Any]:
    """Seconds and bytes that all of it will take, from a few blocks that are priced and written for it."""
    grid = work.grid
    chosen = np.unique(np.linspace(0, grid.blocks - 1, TIMED).astype(int)).tolist()
    points = seconds = length = 0.0
    with TemporaryDirectory() as folder:
        place = Path(folder) / "part"
        for index in chosen:
            panel, block = grid.block(index)
            work.kept(panel.mesh(_corner(len(panel.axes))))
            start = time.perf_counter()
            with sinks.opened(work.form, place, work.names, first=False) as sink:
                table, _ = work.kept(panel.mesh(block))
                sink.write(work.told(work.reduction.of_part(table)))
            seconds += time.perf_counter() - start
            points += block.size
            length += place.stat().st_size if place.exists() else 0
    scale = grid.points / max(points, 1.0)
    bytes_ = None if work.reduction.small else round(length * scale)
    return {"seconds": seconds * scale / processes, "bytes": bytes_, "processes": processes}


# --- where rows go --------------------------------------------------------------------------------------------------


def _in_memory(work: Work, order: Order, processes: int, watch: Watch) -> dict[str, Any]:
    table, tally = _gathered(work, order, processes, watch, MOST_ROWS, "write them to a file: -o rows.csv")
    found = plain(work.told(table))
    rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    return {"counts": asdict(tally), "rows": rows}


def _reduced_to(work: Work, order: Order, processes: int, watch: Watch, out: Path) -> dict[str, Any]:
    """What is left of all rows, written when the last of them is known; if it is killed before, it begins again."""
    most = MOST_CELLS // max(len(work.needed), 1)
    table, tally = _gathered(work, order, processes, watch, most, "keep fewer with --top or --where")
    beside = out.with_name(f".{out.name}.new")
    with state.refused(out, "write"):
        if out.is_dir():
            raise OutputError(f"{out}: is a folder; name a file")
        try:
            with sinks.opened(work.form, beside, work.names, first=True) as sink:
                sink.write(work.told(table))
            os.replace(beside, os.path.realpath(out))
        finally:
            beside.unlink(missing_ok=True)
    return {"counts": asdict(tally), "written": str(out), "resumed": 0}


def _gathered(
    work: Work, order: Order, processes: int, watch: Watch, most: int, instead: str
) -> tuple[Table, Tally]:  # fmt: skip
    """What is left of all chunks, in memory."""
    tally, found, rows = Tally(), [], 0
    if not work.reduction.small and work.grid.request.where is None and work.grid.points > most:
        raise RooflineError(f"{work.grid.points:,} rows, {most:,} at most; {instead}")
    _count_first(work, watch)
    with _crew(order, processes) as crew:
        for table, part in _in_order(crew, work.chunks, work.reduced, Worker.reduce, lambda chunk: (chunk,), processes):
            tally += part
            found.append(table)
            rows += size(table)
            if work.reduction.small and rows > most:
                found = [work.reduction.of_part(joined(found))]
                rows = size(found[0])
            if rows > most:
                raise RooflineError(f"more than {most:,} rows; {instead}")
            watch.done(tally)
    table = work.reduction.of_all(joined(found))
    return table, Tally(tally.points, tally.valid, tally.fitting, size(table))


def _streamed(
    work: Work, order: Order, processes: int, watch: Watch, out: Path, *, restart: bool
) -> dict[str, Any]:  # fmt: skip
    """Every chunk to a file of its own, and from there in order to where it shall be."""
    sinks.check(work.form)
    with state.opened(out, state.manifest(work, order), restart=restart) as held:
        begun = held.done
        _count_first(work, watch)
        watch.begun(held.tally.points)

        def alone(chunk: int) -> Any:
            return write(work, chunk, held.part(chunk))

        def arguments(chunk: int) -> tuple[int, str]:
            return chunk, str(held.part(chunk))

        with _crew(order, processes) as crew, state.refused(out, lambda: f"{held.tally.points:,} points are done"):
            for part in _in_order(crew, work.chunks, alone, Worker.write, arguments, processes, begun):
                held.add(part)
                watch.done(held.tally)
        held.finish()
    return {"counts": asdict(held.tally), "written": str(out), "resumed": begun}


def _count_first(work: Work, watch: Watch) -> None:
    """Tell how many points fit before any is priced, if anybody listens."""
    if type(watch) is not Watch:
        tally, exact = count(work.grid)
        watch.counted(tally, exact=exact)


# --- processes ------------------------------------------------------------------------------------------------------


def _processes(work: Work, jobs: int | None) -> int:
    """As many as asked for, or as there are cores; one where little is to be done."""
    if jobs is None and work.grid.points <= ALONE:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(jobs or cores, work.chunks)


@contextmanager
def _crew(order: Order, processes: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that have made the work; none where this one does it alone."""
    if processes == 1:
        yield None
        return
    crew = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=Worker.begin, initargs=(order,))
    try:
        yield crew
    except BrokenProcessPool:
        raise OutputError(
            "a process that priced chunks was killed, perhaps for want of memory; run again with --jobs 1"
        ) from None
    finally:
        crew.shutdown(wait=True, cancel_futures=True)


def _in_order(
    crew: ProcessPoolExecutor | None,
    chunks: int,
    alone: Callable[[int], Answer],
    together: Callable[..., Answer],
    arguments: Callable[[int], tuple[Any, ...]],
    processes: int,
    begun: int = 0,
) -> Iterator[Answer]:
    """The answer for each chunk in order, few of them ready before their turn."""
    if crew is None:
        yield from (alone(chunk) for chunk in range(begun, chunks))
        return
    waiting: deque[Future[Answer]] = deque()
    for chunk in range(begun, chunks):
        waiting.append(crew.submit(together, *arguments(chunk)))
        if len(waiting) >= AHEAD * processes:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


# --- small things ---------------------------------------------------------------------------------------------------


def _form(out: str | Path | None) -> str | None:
    if out is None:
        return None
    form = sinks.format_of(str(out))
    if form is None:
        raise OutputError(f"{out}: rows are written as {', '.join(sinks.FORMATS)}")
    sinks.check(form)
    return form


def _corner(rank: int) -> Block:
    return Block(tuple((0, 1) for _ in range(rank)))


def _words(grid: Grid) -> frozenset[str]:
    """Columns of words."""
    found: set[str] = set()
    for panel in grid.panels:
        mesh = panel.mesh(_corner(len(panel.axes)))
        found |= {name for name, values in mesh.table(mesh.names).items() if isinstance(values, Words)}
    return frozenset(found)


def _head(work: Work, order: Order) -> dict[str, Any]:
    """What was asked for, and all that a result says besides its rows."""
    panels = work.grid.panels
    units: dict[str, tuple[str, int]] = {}
    for panel in panels:
        units |= {axis.name: (axis.key.unit, axis.values.size) for axis in panel.axes}
        units |= {name: ("name", len({other.choices[name] for other in panels})) for name in panel.choices}
    return {
        "schema": SWEEP_SCHEMA,
        "version": __version__,
        "workloads": list(dict.fromkeys(panel.case.job.id for panel in panels)),
        "deployments": list(dict.fromkeys(panel.case.deployment.label for panel in panels)),
        "vary": [
            {"name": name, "unit": units[name][0], "values": units[name][1]} for name in work.grid.axes if name in units
        ],
        "where": order.request.where,
        "columns": list(order.names),
        "counts": None,
        "rows": [],
        "written": None,
        "resumed": None,
        "estimate": None,
    }
