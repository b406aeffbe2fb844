"""Small blocks, so that small sweeps have many; and clusters on this machine, of processes that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roofline.studies.sweep import chunks, grid

ROOT = Path(__file__).resolve().parents[3]
START = 60.0  # seconds in which a scheduler has to be there

# As the fixture `small_blocks`, in another process; a chunk takes long enough for something to happen meanwhile.
SMALL = """
import time
from roofline.studies.sweep import chunks, grid
if chunks.POINTS != 16:  # a worker runs this twice
    grid.BLOCK = chunks.BLOCK = 8
    chunks.POINTS = 16
    tables = chunks.Work.tables
    def slow(work, chunk):
        time.sleep(0.01)
        return tables(work, chunk)
    chunks.Work.tables = slow
"""
NO_ROOFLINE = "import sys\nsys.modules['roofline'] = None\n"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "BLOCK", 8)
    monkeypatch.setattr(chunks, "BLOCK", 8)
    monkeypatch.setattr(chunks, "POINTS", 16)


class Cluster:
    """A scheduler, which has no roofline, and workers in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, list[subprocess.Popen[bytes]]()
        (folder / "small.py").write_text(SMALL, encoding="utf-8")
        (folder / "none.py").write_text(NO_ROOFLINE, encoding="utf-8")
        told = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told), "--preload", "none.py"
        )
        deadline = time.monotonic() + START
        while not told.exists() or not told.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address: str = json.loads(told.read_text(encoding="utf-8"))["address"]

    def work(self, preload: str = "small.py") -> subprocess.Popen[bytes]:
        """One more worker, which comes when it is ready."""
        worker = self._start("worker", self.address, "--no-nanny", "--nthreads", "1", "--preload", preload)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """Kill everything."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command, "--no-dashboard"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With two workers."""
    pytest.importorskip("distributed")
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.work()
    found.work()
    yield found
    found.end()


@pytest.fixture
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """To break; without workers."""
    pytest.importorskip("distributed")
    found = Cluster(tmp_path_factory.mktemp("own"))
    yield found
    found.end()
