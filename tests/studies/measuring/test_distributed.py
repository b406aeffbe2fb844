"""Ranks that find each other and time what they exchange: with a stand-in for PyTorch that sends nothing, then for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from roofline.studies.measuring import collectives, system
from roofline.studies.measuring.backends import chosen, distributed, rank
from roofline.studies.measuring.processes import LostError, RefusedError

# What `rank` needs of PyTorch. What is sent is written down, the size of what is held is limited.
STAND_IN = """
import os, time

class Values(list):
    def fill_(self, value):
        return self

    def __getitem__(self, key):
        return Values(list.__getitem__(self, key)) if isinstance(key, slice) else list.__getitem__(self, key)

def zeros(count, device):
    if count > 1000:
        raise RuntimeError("not enough memory:\\nyou tried to allocate more")
    return Values([0.0] * count)

def set_num_threads(count):
    open(os.environ["NOTES"] + "/threads", "a").write(f"{count} ")

class cuda:
    place = None

    def set_device(place):
        cuda.place = place

    def synchronize():
        assert cuda.place is not None

class distributed:
    class FileStore:
        def __init__(self, path, count):
            assert os.path.isdir(os.path.dirname(path)) and count == 2

    def init_process_group(carrier, store, rank, world_size, timeout):
        assert os.environ["GLOO_SOCKET_IFNAME"].startswith("lo")
        assert os.environ["NCCL_SOCKET_IFNAME"].startswith("lo")
        print("a library that says hello", flush=True)
        distributed.rank = rank
        if os.environ.get("SHY"):
            raise ConnectionError("nobody\\nthere")

    def new_group(ranks):
        return ranks

    def destroy_process_group():
        open(os.environ["NOTES"] + "/left", "a").write("x")

    def sent(*counts):
        open(f"{os.environ['NOTES']}/{distributed.rank}", "a").write(" ".join(map(str, counts)) + ";")

    def all_reduce(values, group):
        distributed.sent("all_reduce", len(values), *group)

    def all_gather_into_tensor(target, source, group):
        distributed.sent("all_gather", len(target), len(source))

    def reduce_scatter_tensor(target, source, group):
        raise RuntimeError("Function not implemented")

    def all_to_all_single(target, source, group):
        if distributed.rank == 1:
            os._exit(7)
        time.sleep(60)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lib" / "torch").mkdir(parents=True)
    (tmp_path / "lib" / "torch" / "__init__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setenv("NOTES", str(tmp_path))
    return tmp_path


def test_ranks_do_as_they_are_told(stand_in: Path) -> None:
    with distributed.joined("gloo", (0, 0), (2,)) as group:
        assert group.hold(4_000.0) == 4_000.0
        assert 0.0 < group.seconds("allreduce", 2, 400, 3) < 1.0
        assert group.seconds("allgather", 2, 400, 1) > 0.0
        with pytest.raises(RefusedError, match="RuntimeError: Function not implemented"):
            group.seconds("reducescatter", 2, 400, 1)
        assert group.seconds("allreduce", 2, 400, 1) > 0.0
        told = [(stand_in / str(number)).read_text().split(";")[:-1] for number in range(2)]
        with pytest.raises(LostError, match=r"process 2 of 2 ended with exit code 7: a library that says hello"):
            group.seconds("alltoall", 2, 400, 1)
    began, reduced = "all_reduce 1 0 1", "all_reduce 100 0 1"
    assert told == [[began, began, *[reduced] * 3, began, "all_gather 100 50", began, began, reduced]] * 2
    assert len((stand_in / "threads").read_text().split()) == 2


def test_ranks_take_a_device_each_and_leave_in_order(stand_in: Path) -> None:
    with distributed.joined("nccl", (3, 5), (2,)) as group:
        assert group.seconds("allreduce", 2, 4, 1) > 0.0
    assert (stand_in / "left").read_text() == "xx"
    assert not (stand_in / "threads").exists()


def test_less_is_held_where_memory_is_short(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "LEAST_HELD", 1000.0)
    with distributed.joined("gloo", (0, 0), (2,)) as group:
        assert group.hold(40_000.0) == 2_500.0
        monkeypatch.setattr(distributed, "LEAST_HELD", 5_000.0)
        with pytest.raises(RefusedError, match=r"^RuntimeError: not enough memory:$"):
            group.hold(40_000.0)


def test_ranks_that_do_not_find_each_other(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHY", "yes")
    with pytest.raises(LostError, match=r"^ConnectionError: nobody$"), distributed.joined("gloo", (0, 0), (2,)):
        pass
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "eth0")])
    with pytest.raises(LostError, match="no loopback interface"), distributed.joined("gloo", (0, 0), (2,)):
        pass


def test_each_rank_has_cores_and_memory_of_its_own_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[set[int]] = []
    monkeypatch.setattr("os.sched_setaffinity", lambda _, cores: bound.append(cores), raising=False)
    monkeypatch.setattr(system, "available_cores", lambda: 4)
    monkeypatch.setattr(system, "nodes", lambda: [{0, 1, 2, 3}, {4, 5, 6, 7}])
    assert [rank._settled(number, 2) for number in range(2)] == [4, 4]
    assert [rank._settled(number, 4) for number in range(4)] == [2] * 4
    assert bound[:2] == [{0, 1, 2, 3}, {4, 5, 6, 7}]
    monkeypatch.setattr(system, "nodes", list)
    assert [rank._settled(number, 8) for number in range(8)] == [1] * 8
    assert len(bound) == 6


class Build:
    """A PyTorch with so many devices, and what it can exchange messages with."""

    __version__ = "2.9.1+cu128"

    def __init__(self, names: tuple[str, ...] = (), hip: str | None = None, *, any_: bool = True, gpu: bool = True):
        properties = [type("Properties", (), {"name": name}) for name in names]
        nccl = type("nccl", (), {"version": staticmethod(lambda: (2, 27, 5))})
        self.version = type("version", (), {"hip": hip})
        self.cuda = type("cuda", (), {"nccl": nccl, "device_count": staticmethod(lambda: len(names)),
                                      "get_device_properties": staticmethod(properties.__getitem__)})  # fmt: skip
        answers = {"is_available": any_, "is_gloo_available": any_, "is_nccl_available": any_ and gpu}
        self.distributed = type(
            "distributed", (), {name: staticmethod(lambda told=told: told) for name, told in answers.items()}
        )


def test_what_carries_messages_is_named_as_rows_state_it() -> None:
    assert distributed.library_of(Build(), "cpu") == "gloo (torch 2.9.1)"
    assert distributed.library_of(Build(), "cuda") == "nccl 2.27.5 (torch 2.9.1)"
    assert distributed.library_of(Build(hip="7.0"), "cuda") == "rccl 2.27.5 (torch 2.9.1)"
    assert distributed.library_of(Build(gpu=False), "cuda") == ""
    assert distributed.library_of(Build(any_=False), "cpu") == ""
    assert distributed.library_of(Build(), "mps") == ""


def test_devices_of_another_kind_take_no_part() -> None:
    assert distributed.places_of(Build(("large", "small", "large")), "cuda") == (0, 2)
    assert distributed.places_of(Build(("large",)), "cuda") == (0,)
    assert distributed.places_of(Build(("large", "large")), "cpu") == (0,)


# From here on with PyTorch.


def torch_backend() -> Any:
    pytest.importorskip("torch")
    return chosen("torch", "cpu")


def listening(process: int) -> set[str]:
    """Addresses that a process listens on, as Linux writes them, byte-swapped in hexadecimal."""
    links = [os.readlink(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")]
    own = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    tables = [Path(f"/proc/{process}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in own}


def test_processes_exchange_for_real_and_listen_to_nobody_else() -> None:
    backend = torch_backend()
    if backend.most_ranks < 2:
        pytest.skip("one core")
    assert backend.devices == 1
    with backend.joined(2, (2,)) as group:
        processes = [started.pid for started in group._processes._started]
        assert group.hold(1e6) == 1e6
        for op in collectives.OPS:
            assert 0.0 < group.seconds(op, 2, 65536, 2) < 10.0
        if Path("/proc/net/tcp").exists():
            heard = {address for process in processes for address in listening(process)}
            assert heard
            assert heard <= {"0100007F", "00000000000000000000000001000000"}
        os.kill(processes[1], signal.SIGKILL)
        with pytest.raises(LostError, match="of 2 ended by signal 9"):
            group.seconds("allreduce", 2, 65536, 1)


def test_ranks_end_with_whoever_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch_backend()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = (
        "import time\nfrom roofline.studies.measuring.backends import distributed\n"
        "with distributed.joined('gloo', (0, 0), (2,)) as group:\n"
        "    print(*(started.pid for started in group._processes._started), flush=True)\n"
        "    time.sleep(60)\n"
    )
    asking = subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True)
    with asking:
        assert asking.stdout is not None
        processes = [int(word) for word in asking.stdout.readline().split()]
        asking.kill()
    end = time.monotonic() + 30.0
    while any(running(process) for process in processes) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(processes) == 2
    assert not [process for process in processes if running(process)]


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or ") Z " not in stat.read_text()
