"""What the system tells of a machine, and that nothing is made up where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline.studies.measuring import system


def test_this_machine_has_a_name_cores_and_memory() -> None:
    found = system.machine("cpu")
    assert found.name
    assert found.kind == "cpu"
    assert found.units is not None
    assert found.units >= 1
    assert 2**28 < found.memory < 2**50
    assert system.free_memory() <= found.memory
    sizes = [cache.capacity for cache in found.caches]
    assert sizes == sorted(sizes)


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n")


def test_caches_are_those_of_all_cores_and_shared_ones_count_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for core in range(4):
        caches = tmp_path / f"cpu{core}" / "cache"
        write(caches / "index0", level="1", size="32K", type="Data", shared_cpu_list=str(core))
        write(caches / "index1", level="1", size="32K", type="Instruction", shared_cpu_list=str(core))
        pair = "0-1" if core < 2 else "2-3"
        write(caches / "index2", level="2", size="1M", type="Unified", shared_cpu_list=pair)
    monkeypatch.setattr(system, "CPU_FOLDER", tmp_path)
    found = system._caches(4)
    assert {cache.name: cache.capacity for cache in found} == {"L1": 4 * 32 * 1024, "L2": 2 * 2**20}


def test_cores_are_told_apart_by_the_memory_next_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for node, cores in (("node0", "0-1,4"), ("node1", "2-3"), ("node2", "")):
        write(tmp_path / node, cpulist=cores)
    monkeypatch.setattr(system, "NODE_FOLDER", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    assert system.nodes() == [{0, 1}, {2}]
    monkeypatch.delattr("os.sched_getaffinity")
    assert system.nodes() == []


def test_what_nobody_tells_stays_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system, "CPU_FOLDER", tmp_path)
    monkeypatch.setattr(system, "NODE_FOLDER", tmp_path)
    monkeypatch.setattr(system, "POWER_FOLDER", tmp_path)
    assert system._caches(2) == ()
    assert system._limit() is None
    assert system.nodes() == []
    assert system._clock({}) is None
    assert system._said(["no-such-program-anywhere"]) == ""


def test_a_power_limit_is_read_where_it_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "intel-rapl:0", constraint_0_power_limit_uw="125000000")
    monkeypatch.setattr(system, "POWER_FOLDER", tmp_path)
    assert system._limit() == 125.0
