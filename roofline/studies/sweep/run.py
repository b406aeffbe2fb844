"""A sweep from request to result: counted, priced chunk by chunk by an engine, kept in memory or streamed to a file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from roofline import __version__
from roofline.errors import EngineError, OutputError, RooflineError
from roofline.studies.sweep import columns, engines, sinks, state
from roofline.studies.sweep.chunks import Tally, Work
from roofline.studies.sweep.columns import Table, Words, joined, plain, size
from roofline.studies.sweep.engines.engine import Engine
from roofline.studies.sweep.grid import Block, Grid, Request, build
from roofline.studies.sweep.reduce import reduction

SWEEP_SCHEMA = "roofline.sweep/1"
MOST_ROWS = 200_000  # of a result that is not written to a file
MOST_CELLS = 50_000_000  # that are sorted in memory
COUNTED = 2**22  # points of which every one is counted; of more, a sample
SAMPLE = 32  # blocks
TIMED = 3  # blocks


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
) -> Work:
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
    work = Work(grid, names, kept, form, words)
    for panel in grid.panels:
        work.kept(panel.mesh(_corner(len(panel.axes))))  # what is wrong with a condition shows on one point
    return work


def sweep(
    asked: Request,
    *,
    sort: str | None = None,
    top: int | None = None,
    pareto: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    jobs: int | None = None,
    engine: str | None = None,
    scheduler: str | None = None,
    dry_run: bool = False,
    restart: bool = False,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """The contract's object of a sweep: its rows, or where they were written and how many there are.

    Rows go to `out` (.csv, .jsonl or .parquet) chunk by chunk, so that there may be more than memory holds and a run
    that was killed goes on. Chunks are priced by the `engine`: "local", `jobs` processes of this machine, by default
    one for each core; or "dask", the workers of the cluster whose `scheduler` has that address. The result does not
    depend on it. With `dry_run` nothing is priced but a sample. Raises `RooflineError` for bad input.
    """
    watch = watch or Watch()
    form = _form(out)
    start = engines.chosen(engine, scheduler=scheduler, jobs=jobs)
    work = prepare(asked, sort=sort, top=top, pareto=pareto, form=form or "jsonl")
    result = _head(work)
    with start(work) as crew:
        if dry_run:
            tally, exact = count(work.grid)
            estimate = _estimate(work, crew.processes) | {"exact": exact}
            return result | {"counts": asdict(tally) | {"kept": None}, "estimate": estimate}
        if out is None:
            return result | _in_memory(work, crew, watch)
        to = _reduced_to if work.reduction.any else _streamed
        return result | to(work, crew, watch, Path(out), restart=restart)


# --- counting and estimating ----------------------------------------------------------------------------------------


def count(grid: Grid) -> tuple[Tally, bool]:
    """Points, those whose plan is one, those that fit; and whether all were looked at or a sample alone."""
    exact = grid.points <= COUNTED
    chosen = range(grid.blocks) if exact else grid.spread(SAMPLE)
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
    points = seconds = length = 0.0
    with TemporaryDirectory() as folder:
        place = Path(folder) / "part"
        for index in grid.spread(TIMED):
            panel, block = grid.block(index)
            work.kept(panel.mesh(_corner(len(panel.axes))))
            start = time.perf_counter()
            with place.open("wb") as stream, sinks.opened(work.form, stream, work.names, first=False) as sink:
                table, _ = work.kept(panel.mesh(block))
                sink.write(work.told(work.reduction.of_part(table)))
            seconds += time.perf_counter() - start
            points += block.size
            length += place.stat().st_size
    scale = grid.points / max(points, 1.0)
    bytes_ = None if work.reduction.small else round(length * scale)
    return {"seconds": seconds * scale / processes, "bytes": bytes_, "processes": processes}


# --- where rows go --------------------------------------------------------------------------------------------------


def _in_memory(work: Work, engine: Engine, watch: Watch) -> dict[str, Any]:
    instead = "write them to a file: -o rows.csv"
    _check_size(work, MOST_ROWS, instead)
    _count_first(work, watch)
    with closing(engine.reduced(0)) as tables:
        table, tally = _gathered(work, tables, watch, MOST_ROWS, instead)
    found = plain(work.told(table))
    rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    return {"counts": asdict(tally), "rows": rows}


def _reduced_to(work: Work, engine: Engine, watch: Watch, out: Path, *, restart: bool) -> dict[str, Any]:
    """What is left of every chunk to a file of its own, and what is left of all of them to where it shall be."""
    most, instead = MOST_CELLS // max(len(work.needed), 1), "keep fewer with --top or --where"
    _check_size(work, most, instead)
    with state.opened(out, state.manifest(work), restart=restart) as held:
        begun = held.done
        _count_first(work, watch)
        watch.begun(held.tally.points)
        with _goes_on(held), closing(engine.reduced(begun)) as tables:
            every = chain(held.loaded(), held.kept(tables))
            table, tally = _gathered(work, every, watch, most, f"{instead}, and begin anew with --restart")
        with state.refused(out, f"{tally.points:,} points are done"):
            whole = held.folder / "whole"
            with whole.open("wb") as stream, sinks.opened(work.form, stream, work.names, first=True) as sink:
                sink.write(work.told(table))
        held.finish(whole)
    return {"counts": asdict(tally), "written": str(out), "resumed": begun}


def _check_size(work: Work, most: int, instead: str) -> None:
    """`RooflineError` for more rows than memory is for."""
    if not work.reduction.small and work.grid.request.where is None and work.grid.points > most:
        raise RooflineError(f"{work.grid.points:,} rows, {most:,} at most; {instead}")


def _gathered(
    work: Work, tables: Iterable[tuple[Table, Tally]], watch: Watch, most: int, instead: str
) -> tuple[Table, Tally]:  # fmt: skip
    """What is left of all chunks, in memory."""
    tally, found, rows = Tally(), [], 0
    for table, part in tables:
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


def _streamed(work: Work, engine: Engine, watch: Watch, out: Path, *, restart: bool) -> dict[str, Any]:
    """Every chunk to a file of its own, and from there in order to where it shall be."""
    with state.opened(out, state.manifest(work), restart=restart) as held:
        begun = held.done
        _count_first(work, watch)
        watch.begun(held.tally.points)
        with _goes_on(held), closing(engine.written(begun, held.part)) as parts:
            for part in parts:
                held.add(part)
                watch.done(held.tally)
        held.finish()
    return {"counts": asdict(held.tally), "written": str(out), "resumed": begun}


@contextmanager
def _goes_on(held: state.State) -> Iterator[None]:
    """What stops a run that has a folder says that it goes on from there."""
    with state.refused(held.place, lambda: f"{held.tally.points:,} points are done"):
        try:
            yield
        except EngineError as error:
            done = f" ({held.tally.points:,} points are done: the same command goes on from there)"
            raise EngineError(f"{error}{done if held.done else ''}") from None


def _count_first(work: Work, watch: Watch) -> None:
    """Tell how many points fit before any is priced, if anybody listens."""
    if type(watch) is not Watch:
        tally, exact = count(work.grid)
        watch.counted(tally, exact=exact)


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


def _head(work: Work) -> dict[str, Any]:
    """What was asked for, and all that a result says besides its rows."""
    panels = work.grid.panels
    units: dict[str, tuple[str, int]] = {}
    for panel in panels:
        units |= {axis.name: (axis.knob.unit or "1", axis.values.size) for axis in panel.axes}
        units |= {name: ("name", len({other.choices[name] for other in panels})) for name in panel.choices}
    return {
        "schema": SWEEP_SCHEMA,
        "version": __version__,
        "workloads": list(dict.fromkeys(panel.case.job.id for panel in panels)),
        "deployments": list(dict.fromkeys(panel.case.deployment.label for panel in panels)),
        "vary": [
            {"name": name, "unit": units[name][0], "values": units[name][1]} for name in work.grid.axes if name in units
        ],
        "where": work.grid.request.where,
        "columns": list(work.names),
        "counts": None,
        "rows": [],
        "written": None,
        "resumed": None,
        "estimate": None,
    }
