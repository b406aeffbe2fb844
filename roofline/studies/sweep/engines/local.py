"""Chunks on this machine: by this process alone, or by several that share its disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread

from roofline.errors import EngineError
from roofline.studies.sweep.chunks import Part, Tally, Work, to_file
from roofline.studies.sweep.columns import Table
from roofline.studies.sweep.engines.engine import in_order

ALONE = 1_000_000  # points that one process prices sooner than others are started


@dataclass(frozen=True)
class Local:
    """So many processes."""

    work: Work
    processes: int

    def written(self, begin: int, place: Callable[[int], Path]) -> Generator[Part]:
        """As of every engine."""
        chunks = range(begin, self.work.chunks)
        if self.processes == 1:
            yield from (to_file(self.work, chunk, place(chunk)) for chunk in chunks)
            return
        with self._crew() as crew:
            yield from in_order(
                lambda chunk: crew.submit(Worker.write, chunk, place(chunk)), chunks, lambda: self.processes
            )

    def reduced(self, begin: int) -> Generator[tuple[Table, Tally]]:
        """As of every engine."""
        chunks = range(begin, self.work.chunks)
        if self.processes == 1:
            yield from map(self.work.reduced, chunks)
            return
        with self._crew() as crew:
            yield from in_order(lambda chunk: crew.submit(Worker.reduce, chunk), chunks, lambda: self.processes)

    @contextmanager
    def _crew(self) -> Iterator[ProcessPoolExecutor]:
        """Processes that know the work."""
        crew = ProcessPoolExecutor(
            self.processes, mp_context=get_context("spawn"), initializer=Worker.begin, initargs=(self.work,)
        )
        try:
            yield crew
        except BrokenProcessPool:
            raise EngineError(
                "a process that priced chunks was killed, perhaps for want of memory; run again with --jobs 1"
            ) from None
        finally:
            crew.shutdown(wait=True, cancel_futures=True)


def engine(work: Work, jobs: int | None) -> Local:
    """As many processes as asked for, or as there are cores; one where little is to be done."""
    if jobs is None and work.grid.points <= ALONE:
        return Local(work, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Local(work, min(jobs or cores, work.chunks))


class Worker:
    """A process that keeps its work between chunks."""

    work: Work | None = None

    @classmethod
    def begin(cls, work: Work) -> None:
        """Keep the work; end when the process that began this one does, however it ends."""
        parent = parent_process()
        if parent is not None:
            Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
        cls.work = work

    @classmethod
    def write(cls, chunk: int, place: Path) -> Part:
        """Write a chunk to a file."""
        return to_file(cls.ready(), chunk, place)

    @classmethod
    def reduce(cls, chunk: int) -> tuple[Table, Tally]:
        """What may be left of a chunk."""
        return cls.ready().reduced(chunk)

    @classmethod
    def ready(cls) -> Work:
        """The work that was begun."""
        if cls.work is None:
            raise RuntimeError("a worker without work")
        return cls.work


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
