"""Sweeps on a cluster: what the local run writes, byte for byte, whatever happens to workers."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

import roofline as rl
from roofline.errors import EngineError, OutputError, RooflineError
from roofline.studies.sweep import chunks, engines, run, state
from roofline.studies.sweep.chunks import Tally
from roofline.studies.sweep.engines import dask
from roofline.studies.sweep.grid import Request

distributed = pytest.importorskip("distributed")

CHAT, CHIP = "llama-3.1-8b-chat", "h100-sxm"
AXES = ("batch=1:20:+1", "input=128,1024", "weights=bf16,fp8")  # five chunks
LONG = ("batch=1:64:+1", "input=128:1024:x2", "weights=bf16,fp8")  # 32 chunks
LONGER = ("batch=1:512:+1", *LONG[1:])  # 256, not done before an interrupt comes
TWO = "tokens_per_s_per_chip,tokens_per_s_per_user"
ROOT = Path(__file__).resolve().parents[3]


class Cluster(Protocol):
    address: str
    folder: Path
    scheduler: subprocess.Popen[bytes]

    def work(self, preload: str = "small.py") -> subprocess.Popen[bytes]: ...


class At(run.Watch):
    """Does something when so many chunks are done."""

    def __init__(self, **events: Any) -> None:
        self.events = {int(name.removeprefix("chunk_")): event for name, event in events.items()}
        self.chunks = 0

    def begun(self, points: int) -> None:
        self.events.get(0, lambda: None)()

    def done(self, tally: Tally) -> None:
        self.chunks += 1
        if self.chunks in self.events:
            self.events[self.chunks]()


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def swept(out: Path, vary: tuple[str, ...] = LONG, **options: Any) -> dict[str, Any]:
    return run.sweep(Request((CHAT,), (CHIP,), vary), out=out, **options)


def same(one: Path, other: Path) -> bool:
    if one.is_file():
        return one.read_bytes() == other.read_bytes()
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in other.iterdir()) and all(same(one / n, other / n) for n in names)


def left(address: str) -> set[str]:
    """What the scheduler still knows of."""
    with distributed.Client(address, set_as_default=False) as client:
        found: set[str] = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.tasks))
    return found


# -- the same result


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rows.csv", {"columns": "all", "where": "batch < 15"}),
        ("rows.jsonl", {}),
        ("rows.parquet", {"columns": "all"}),
        ("best.csv", {"pareto": TWO, "sort": "-tokens_per_s"}),
        ("first.parquet", {"sort": "tpot_s", "top": 7}),
    ],
)
def test_files_are_those_of_the_local_run(tmp_path: Path, cluster: Cluster, name: str, options: Any) -> None:
    results = []
    for folder, engine in (("local", {}), ("dask", {"engine": "dask", "scheduler": cluster.address})):
        (tmp_path / folder).mkdir()
        found = rl.sweep(CHAT, CHIP, vary=AXES, out=tmp_path / folder / name, **{**options, **engine})
        results.append({**found, "written": None})
        assert [path.name for path in (tmp_path / folder).iterdir()] == [name]
    assert results[0] == results[1]
    assert same(tmp_path / "local" / name, tmp_path / "dask" / name)
    assert left(cluster.address) == set()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("options", [{}, {"where": "tpot_s < 10 ms"}, {"pareto": TWO}, {"top": 3, "sort": "-batch"}])
def test_rows_are_those_of_the_local_run(cluster: Cluster, options: Any) -> None:
    asked: dict[str, Any] = {"vary": ("batch=1:64:x2", "tp=1,2,3,8"), **options}
    assert rl.sweep(CHAT, "8xh100-sxm", **asked, scheduler=cluster.address) == rl.sweep(CHAT, "8xh100-sxm", **asked)


@pytest.mark.usefixtures("small_blocks")
def test_files_that_only_this_machine_has(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chips in a folder or by a path that means something here alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hardware" / "chips").mkdir(parents=True)
    text = 'extends: h100-sxm\nid: {}\npower: {{tdp: 600 W, source: "us"}}\nsources: {{us: {{title: Us}}}}\n'
    (tmp_path / "hardware" / "chips" / "ours.yaml").write_text(text.format("ours"), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.format("mine"), encoding="utf-8")
    asked: dict[str, Any] = {"vary": ("batch=1:64:+1",), "catalog": rl.Catalog((Path("hardware"),))}
    found = rl.sweep(CHAT, ("ours", "./mine.yaml"), **asked, scheduler=cluster.address)
    assert found == rl.sweep(CHAT, ("ours", "./mine.yaml"), **asked)
    assert {row["chip"] for row in rl.sweep(CHAT, "ours", **asked, columns="chip")["rows"]} == {"ours"}


@pytest.mark.usefixtures("small_blocks")
def test_an_estimate_counts_the_threads_of_the_cluster(cluster: Cluster) -> None:
    found = rl.sweep(CHAT, CHIP, vary=AXES, scheduler=cluster.address, dry_run=True)
    assert found["estimate"]["processes"] == 2


# -- what happens on the way


@pytest.mark.usefixtures("small_blocks")
def test_workers_that_die_lose_and_double_nothing(
    tmp_path: Path, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of one of two; then of the other, too; then of the scheduler."""
    monkeypatch.setattr(dask, "PATIENCE", 1.0)
    monkeypatch.setattr(dask, "LOOK", 0.1)
    one, other = own_cluster.work(), own_cluster.work()
    whole, out = tmp_path / "whole.csv", tmp_path / "rows.csv"
    swept(whole)
    with distributed.Client(own_cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2)
    watch = At(chunk_5=lambda: kill(one))
    assert swept(out, scheduler=own_cluster.address, watch=watch)["counts"]["kept"] == 512
    assert watch.chunks == 32
    assert out.read_bytes() == whole.read_bytes()
    out.unlink()
    with pytest.raises(
        EngineError, match=r"no worker for 1 s; start some with 'dask worker tcp:.*the same command goes"
    ):
        swept(out, scheduler=own_cluster.address, watch=At(chunk_7=lambda: kill(other)))
    assert not out.exists()
    with pytest.raises(EngineError, match="there is no worker; start some"):
        swept(tmp_path / "x.csv", scheduler=own_cluster.address, dry_run=True)
    assert swept(out)["resumed"] >= 7  # by this process
    assert out.read_bytes() == whole.read_bytes()
    monkeypatch.setattr(dask, "CONNECT", 1.0)
    with pytest.raises(EngineError, match="the scheduler is gone"):
        swept(tmp_path / "x.csv", scheduler=own_cluster.address, watch=At(chunk_0=lambda: kill(own_cluster.scheduler)))


@pytest.mark.usefixtures("small_blocks")
def test_a_full_disk_is_that_of_the_local_run(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path / "whole.csv", AXES)
    write, out = Path.write_bytes, tmp_path / "rows.csv"

    def full(place: Path, found: bytes) -> int:
        if place.stem == "part-000003":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(place, found)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"the disk is full .48 points are done.*run the same command again"):
            swept(out, AXES, scheduler=cluster.address)
    assert left(cluster.address) == set()
    assert swept(out, AXES)["resumed"] == 3  # by another engine
    assert same(out, tmp_path / "whole.csv")


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupt_leaves_nothing_on_the_cluster(tmp_path: Path, cluster: Cluster) -> None:
    """Ctrl-C in a terminal; the same command goes on."""
    out = tmp_path / "rows.csv"
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background jobs ignore it
    code = f"import signal, sys, small; {heard}; from roofline.cli import main; sys.argv[0] = 'roofline'; main()"
    vary = [part for axis in LONGER for part in ("--vary", axis)]
    command = [sys.executable, "-c", code, "sweep", CHAT, CHIP, *vary, "-o", str(out), "--engine", "dask"]
    command += ["--scheduler", cluster.address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(cluster.folder)])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    journal, deadline = tmp_path / "rows.csv.sweep" / state.JOURNAL, time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text().count("\n") >= 2):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b""
    assert process.returncode == 130
    assert left(cluster.address) == set()
    assert swept(out, LONGER, scheduler=cluster.address)["resumed"] >= 2
    assert out.read_text().count("\n") == 4097


def test_a_chunk_that_kills_workers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def died(*_: Any) -> None:
        last = type("Last", (), {"address": "tcp://10.0.0.7:1"})
        raise distributed.KilledWorker("task", last, 3)

    found = dask.Cluster(run.prepare(Request((CHAT,), (CHIP,), ("batch=1,2",))), "tcp://10.0.0.1:8786", None)
    monkeypatch.setattr(dask.Cluster, "_wait", died)
    with pytest.raises(EngineError, match=r"chunk 4: worker after worker died of it, the last at tcp://10.0.0.7:1"):
        found.wait(4, None)


# -- workers that are not as this process is


@pytest.mark.usefixtures("small_blocks")
def test_a_worker_without_the_program_is_named(own_cluster: Cluster) -> None:
    own_cluster.work("none.py")
    with pytest.raises(EngineError, match=r"worker tcp://127.0.0.1:\d+: No module named 'roofline.*install the same"):
        rl.sweep(CHAT, CHIP, vary="batch=1,2", scheduler=own_cluster.address)


def test_a_worker_that_would_say_something_else_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program, what writes its bytes, and how its processor rounds are those of whoever asks."""
    work = run.prepare(Request((CHAT,), (CHIP,), ("batch=1:64:+1",)), form="parquet")
    parcel = dask._packed(work)
    here = type("Here", (), {"address": "tcp://10.0.0.7:1"})
    monkeypatch.setattr(distributed, "get_worker", here)
    table, _ = dask.done(chunks.Work.reduced, parcel, 0)
    np.testing.assert_array_equal(table["tpot_s"], work.reduced(0)[0]["tpot_s"])
    for name, value, message in (
        ("program", "another", "worker tcp://10.0.0.7:1 runs another code of roofline"),
        ("version", "9.9", r"runs roofline \S+ instead of 9.9; install the same"),
        ("libraries", {"pyarrow": "3.0"}, r"has pyarrow \S+ instead of 3.0"),
        ("numbers", "others", "comes to other numbers in the last digits"),
    ):
        told = pickle.loads(parcel)
        told = {**told, name: value} | ({"program": "another"} if name == "version" else {})
        with pytest.raises(EngineError, match=message):
            dask.done(chunks.Work.reduced, pickle.dumps(told), 0)


def test_numbers_that_differ_in_the_last_digit_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    work = run.prepare(Request((CHAT,), (CHIP,), ("batch=1:64:+1",)))
    before, kept = dask._numbers(work), chunks.Work.kept

    def rounds(self: chunks.Work, mesh: Any) -> Any:
        table, tally = kept(self, mesh)
        return {**table, "tpot_s": np.nextafter(np.asarray(table["tpot_s"]), np.inf)}, tally

    assert dask._numbers(work) == before
    monkeypatch.setattr(chunks.Work, "kept", rounds)
    assert dask._numbers(work) != before


# -- bad input


def test_engines_and_addresses_that_mean_nothing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "CONNECT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        closed = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with distributed.Client(cluster.address, set_as_default=False) as client:
            worker = next(iter(client.nthreads()))
        for asked, message in (
            ({"engine": "dask"}, "say where the cluster's scheduler is"),
            ({"engine": "dsak", "scheduler": closed}, "did you mean 'dask'"),
            ({"engine": "ray"}, "write local or dask"),
            ({"engine": "local", "scheduler": closed}, "belongs to --engine dask"),
            ({"scheduler": closed, "jobs": 2}, "processes of this machine"),
            ({"scheduler": closed}, r"no scheduler answers within 0.3 s; start one with 'dask scheduler' and workers"),
            ({"scheduler": "here"}, r"missing port number.*write e.g. tcp://127.0.0.1:8786"),
            ({"scheduler": "http://127.0.0.1:1"}, "unknown address scheme"),
            ({"scheduler": worker}, "is a worker; name its scheduler"),
        ):
            with pytest.raises(RooflineError, match=message):
                rl.sweep(CHAT, CHIP, vary="batch=1,2", **asked)
        silent.listen()  # somebody is there, but says nothing
        with pytest.raises(EngineError, match="no scheduler answers"):
            rl.sweep(CHAT, CHIP, vary="batch=1,2", scheduler=closed)


def test_dask_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineError, match=r"pip install 'roofline\[dask\]'"):
        rl.sweep(CHAT, CHIP, vary="batch=1,2", scheduler="tcp://127.0.0.1:8786")


# -- order


def test_few_chunks_are_ready_before_their_turn() -> None:
    """However many there are, and however many processes come and go."""
    open_, most, crew = set[int](), list[int](), [2]

    class Promised:
        def __init__(self, chunk: int) -> None:
            self.chunk = chunk
            open_.add(chunk)
            most.append(len(open_) / (engines.engine.AHEAD * crew[0]))  # type: ignore[arg-type]

        def result(self) -> int:
            open_.remove(self.chunk)
            crew[0] = 5 if self.chunk > 20 else 2
            return self.chunk

    assert list(engines.engine.in_order(Promised, range(100), lambda: crew[0])) == list(range(100))
    assert max(most) == 1.0
