"""Sweeps to files: the same bytes whatever happens on the way, and no other sweep's."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.errors import OutputError, RooflineError
from roofline.studies.sweep import chunks, run, sinks, state
from roofline.studies.sweep.columns import Words, joined, plain
from roofline.studies.sweep.engines import local
from roofline.studies.sweep.grid import Request
from roofline.studies.sweep.reduce import Reduction

CHAT = "llama-3.1-8b-chat"
AXES = ("batch=1:20:+1", "input=128,1024", "weights=bf16,fp8")
ROOT = Path(__file__).resolve().parents[3]


def swept(out: Path, **options: Any) -> bytes:
    rl.sweep(CHAT, "h100-sxm", vary=AXES, out=out, **options)
    return out.read_bytes()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_file_holds_what_the_result_holds(tmp_path: Path, suffix: str) -> None:
    result = rl.sweep(CHAT, "h100-sxm", vary=AXES, columns="all", where="batch < 15")
    text = swept(tmp_path / f"rows{suffix}", columns="all", where="batch < 15").decode()
    assert text == result.render(suffix[1:])
    assert result["counts"]["points"] == 80 > result["counts"]["kept"] == len(result["rows"]) == 56
    assert not list(tmp_path.glob("*.sweep"))


@pytest.mark.usefixtures("small_blocks")
def test_rows_are_in_the_order_of_axes_and_read_back(tmp_path: Path) -> None:
    swept(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as stream:
        found = [(row["weights"], float(row["batch"]), float(row["input"])) for row in csv.DictReader(stream)]
    assert found == [(w, float(b), i) for w in ("bf16", "fp8") for b in range(1, 21) for i in (128.0, 1024.0)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_stops_goes_on_to_the_same_bytes(
    tmp_path: Path, suffix: str, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = swept(tmp_path / f"whole{suffix}")
    out = tmp_path / f"rows{suffix}"
    write, written = chunks.to_file, list[int]()

    def stops(work: chunks.Work, chunk: int, place: Path) -> chunks.Part:
        if chunk == stop:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(chunk)
        return write(work, chunk, place)

    with monkeypatch.context() as patched:
        patched.setattr(local, "to_file", stops)
        with pytest.raises(
            OutputError, match=rf"the disk is full .{stop * 16} points are done.*run the same command again"
        ):
            swept(out)
    assert not out.exists()
    assert (tmp_path / f"rows{suffix}.sweep" / state.MANIFEST).is_file()
    assert written == list(range(stop))
    result = rl.sweep(CHAT, "h100-sxm", vary=AXES, out=out)
    assert result["resumed"] == stop
    assert out.read_bytes() == whole


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("harm", ["rows", "tail", "journal", "part"])
def test_what_was_harmed_meanwhile_is_made_again(tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = swept(tmp_path / "whole.csv"), tmp_path / "rows.csv"
    half_done(out, monkeypatch, 3)
    folder = tmp_path / "rows.csv.sweep"
    rows, journal = folder / state.ROWS, folder / state.JOURNAL
    if harm == "rows":
        rows.write_bytes(rows.read_bytes().replace(b"1", b"2", 1))
    elif harm == "tail":
        rows.write_bytes(rows.read_bytes() + b"half a li")
    elif harm == "journal":
        journal.write_text(journal.read_text()[:-10])
    else:
        (folder / "part-000003.parquet").write_bytes(b"half")
    assert swept(out) == whole


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "change",
    [{"size": 1e3}, {"size": -1}, {"chunk": True}, {"tally": {"points": "16"}}, {"tally": []}, {"sha256": None}, None],
)
def test_a_journal_of_something_else_is_not_believed(
    tmp_path: Path, change: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = swept(tmp_path / "whole.csv"), tmp_path / "rows.csv"
    half_done(out, monkeypatch, 3)
    journal = tmp_path / "rows.csv.sweep" / state.JOURNAL
    first, *others = journal.read_text().splitlines()
    changed = "[" * 100_000 if change is None else json.dumps({**json.loads(first), **change})
    journal.write_text("\n".join([changed, *others, ""]))
    assert swept(out) == whole


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, "{}", '{"inputs": {"a": null}}', "\xff", None])
def test_a_manifest_of_something_else_is_refused(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, dataset = tmp_path / "rows.csv", tmp_path / "rows.parquet"
    half_done(out, monkeypatch, 0)
    manifest = tmp_path / "rows.csv.sweep" / state.MANIFEST
    known = json.loads(manifest.read_text())
    if text is None:
        text = json.dumps({**known, "inputs": {**known["inputs"], "one more": None}})
    dataset.mkdir()
    for place in (manifest, dataset / state.DONE):
        place.write_bytes(text.encode("latin-1"))
    (manifest.parent / state.JOURNAL).write_text("")
    with pytest.raises(OutputError, match=r"holds something else than a sweep|holds an unfinished sweep with another"):
        swept(out)
    with pytest.raises(OutputError, match=r"is a folder, and holds no sweep|holds a sweep with another"):
        rl.sweep(CHAT, "h100-sxm", vary=AXES, out=dataset)


def half_done(out: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, **options: Any) -> None:
    """A sweep that was interrupted at a chunk."""
    write = chunks.to_file

    def stops(work: chunks.Work, at: int, place: Path) -> chunks.Part:
        if at == chunk:
            raise KeyboardInterrupt
        return write(work, at, place)

    with monkeypatch.context() as patched:
        patched.setattr(local, "to_file", stops)
        with pytest.raises(KeyboardInterrupt):
            swept(out, **options)


@pytest.mark.usefixtures("small_blocks")
def test_another_sweep_and_changed_inputs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = tmp_path / "hardware"
    (hardware / "chips").mkdir(parents=True)
    chip = hardware / "chips" / "h100-sxm.yaml"
    overlay = 'extends: h100-sxm\nid: h100-sxm\npower: {{tdp: {} W, source: "us"}}\nsources: {{us: {{title: Us}}}}\n'
    chip.write_text(overlay.format(700), encoding="utf-8")
    catalog, out = rl.Catalog((hardware,)), tmp_path / "rows.csv"
    half_done(out, monkeypatch, 2, catalog=catalog)
    with pytest.raises(OutputError, match="unfinished sweep with another where"):
        swept(out, catalog=catalog, where="fits")
    with pytest.raises(OutputError, match="unfinished sweep with another columns"):
        swept(out, catalog=catalog, columns="fits")
    chip.write_text(overlay.format(600), encoding="utf-8")
    with pytest.raises(OutputError, match=r"another chip \(h100-sxm\)"):
        swept(out, catalog=catalog)
    monkeypatch.setattr(rl, "__version__", "9.9")
    with pytest.raises(OutputError, match="another version of roofline"):
        swept(out, catalog=catalog)
    assert swept(out, catalog=catalog, restart=True) == swept(tmp_path / "whole.csv", catalog=catalog)
    folder = tmp_path / "strange.csv.sweep"
    folder.mkdir()
    (folder / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="holds something else"):
        swept(tmp_path / "strange.csv")
    assert (folder / "thesis.txt").exists()


@pytest.mark.usefixtures("small_blocks")
def test_two_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    write = chunks.to_file

    def twice(work: chunks.Work, chunk: int, place: Path) -> chunks.Part:
        if chunk == 1:
            with pytest.raises(OutputError, match="another sweep is writing there now"):
                rl.sweep(CHAT, "h100-sxm", vary=AXES, out=tmp_path / "rows.csv")
        return write(work, chunk, place)

    monkeypatch.setattr(local, "to_file", twice)
    swept(tmp_path / "rows.csv")


SCRIPT = """
import sys
import roofline as rl
from roofline.studies.sweep import chunks, grid
grid.BLOCK = chunks.BLOCK = 64
chunks.POINTS = 64
if __name__ == "__main__":
    rl.sweep("llama-3.1-8b-chat", "h100-sxm", vary=["batch=1:64:+1", "input=128:8192:+128"], out=sys.argv[1], jobs=int(sys.argv[2]))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_is_killed_goes_on_to_the_same_bytes(tmp_path: Path, jobs: int) -> None:
    """kill -9 in the middle, at whatever it does then; also with processes of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(out: Path, processes: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(out), str(processes)]
        return subprocess.Popen(command, env=environment)

    whole, out = tmp_path / "whole.csv", tmp_path / "rows.csv"
    assert start(whole, 1).wait() == 0
    killed = start(out, jobs)
    journal = tmp_path / "rows.csv.sweep" / state.JOURNAL
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text().count("\n") >= 3):
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not out.exists()
    assert start(out, jobs).wait() == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.parent.exists()


# -- what is kept


@pytest.mark.usefixtures("small_blocks")
def test_reductions_are_those_of_all_rows_at_once(tmp_path: Path) -> None:
    rows = rl.sweep(CHAT, "h100-sxm", vary=AXES)["rows"]
    cheapest = sorted(rows, key=lambda row: row["usd_per_million_tokens"])
    assert rl.sweep(CHAT, "h100-sxm", vary=AXES, sort="usd_per_million_tokens", top=5)["rows"] == cheapest[:5]
    falling = rl.sweep(CHAT, "h100-sxm", vary=AXES, sort="-tokens_per_s", out=tmp_path / "rows.jsonl")
    found = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert found == sorted(rows, key=lambda row: -row["output_tokens_per_s"])
    assert falling["counts"]["kept"] == len(rows)
    assert rl.sweep(CHAT, "h100-sxm", vary=AXES, top=3)["rows"] == rows[:3]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("rows.csv", {"sort": "-tpot_s"}),
        ("rows.jsonl", {"pareto": "tokens_per_s_per_chip,tokens_per_s_per_user"}),
        ("rows.parquet", {"sort": "tpot_s", "top": 5, "columns": "all"}),
    ],
)
def test_what_is_kept_goes_on_after_a_stop_to_the_same_bytes(
    tmp_path: Path, name: str, kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = swept(tmp_path / f"whole_{name}", **kept), tmp_path / name
    reduced, asked = chunks.Work.reduced, list[int]()

    def stops(work: chunks.Work, chunk: int) -> Any:
        if chunk == 3 and not asked.count(3):
            asked.append(chunk)
            raise OSError(errno.ENOSPC, "No space left on device")
        asked.append(chunk)
        return reduced(work, chunk)

    monkeypatch.setattr(chunks.Work, "reduced", stops)
    with pytest.raises(OutputError, match=r"the disk is full .48 points are done.*it goes on from there"):
        swept(out, **kept)
    with pytest.raises(OutputError, match="unfinished sweep with another top"):
        swept(out, **{**kept, "top": 2})
    harmed = tmp_path / f"{name}.sweep" / state.ROWS / "part-000002.npz"
    harmed.write_bytes(harmed.read_bytes()[:-1])
    result = rl.sweep(CHAT, "h100-sxm", vary=AXES, out=out, **kept)
    assert result["resumed"] == 2
    assert result["counts"]["points"] == 80
    assert asked == [0, 1, 2, 3, 2, 3, 4]
    assert out.read_bytes() == whole
    assert not list(tmp_path.glob("*.sweep"))


@pytest.mark.usefixtures("small_blocks")
def test_a_table_reads_back_to_the_last_bit(tmp_path: Path) -> None:
    work = run.prepare(Request((CHAT, "llama-3.1-8b"), ("8xh100-sxm",), ("batch=1:20:+1", "tp=1,3"), columns="all"))
    table, _ = work.reduced(0)
    sinks.save(table, tmp_path / "table")
    found = sinks.load(tmp_path / "table")
    assert list(found) == list(table)
    for name, values in table.items():
        if isinstance(values, Words):
            assert found[name].list() == values.list()  # type: ignore[union-attr]
        else:
            assert np.asarray(found[name]).dtype == values.dtype
            assert np.asarray(found[name]).tobytes() == np.ascontiguousarray(values).tobytes()


@pytest.mark.usefixtures("small_blocks")
def test_the_front_is_what_no_row_beats() -> None:
    options: dict[str, Any] = {"vary": ("batch=1:2048:x2", "tp=1,2,3,8", "weights=bf16,fp8")}
    two = ("output_tokens_per_s_per_chip", "output_tokens_per_s_per_user")
    rows = [row for row in rl.sweep("llama-3.1-70b-chat", "8xh100-sxm", **options)["rows"] if row["fits"]]
    best = [
        row
        for row in rows
        if not any(
            all(other[name] >= row[name] for name in two) and any(other[name] > row[name] for name in two)
            for other in rows
        )
    ]
    front = rl.sweep(
        "llama-3.1-70b-chat", "8xh100-sxm", pareto="tokens_per_s_per_chip,tokens_per_s_per_user", **options
    )
    assert {tuple(row[name] for name in two) for row in front["rows"]} == {
        tuple(row[name] for name in two) for row in best
    }
    assert 1 < len(front["rows"]) < len(rows)


@given(
    parts=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6), min_size=1, max_size=5
    )
)
def test_parts_reduced_and_joined_are_all_reduced(parts: list[list[tuple[int, int]]]) -> None:
    tables: list[dict[str, Any]] = [
        {
            "a": np.array([float(one) for one, _ in part]),
            "b": np.array([float(two) for _, two in part]),
            "fits": np.ones(len(part), dtype=bool),
        }
        for part in parts
    ]
    for kept in (
        Reduction(("a", "b")),
        Reduction((), "a", False, 3),
        Reduction((), "b", True, 2),
        Reduction(("a", "b"), "b", False, 2),
    ):
        apart = kept.of_all(joined([kept.of_part(table) for table in tables]))
        assert plain(apart) == plain(kept.of_all(joined(tables)))


def test_impossible_plans_may_be_left_out_and_are_counted() -> None:
    options: dict[str, Any] = {"vary": ("tp=1,2,3,8",)}
    every = rl.sweep(CHAT, "8xh100-sxm", **options)
    possible = rl.sweep(CHAT, "8xh100-sxm", possible=True, **options)
    assert [row["tp"] for row in possible["rows"]] == [1.0, 2.0, 8.0]
    assert every["counts"] == {**possible["counts"], "kept": 4}
    assert possible["counts"]["valid"] == 3


def test_nothing_kept_is_a_table_without_rows(tmp_path: Path) -> None:
    assert rl.sweep(CHAT, "h100-sxm", vary="batch=1,2", where="batch > 3")["rows"] == []
    text = (
        rl.sweep(CHAT, "h100-sxm", vary="batch=1,2", where="batch > 3", out=tmp_path / "x.csv"),
        tmp_path / "x.csv",
    )[1]
    assert text.read_text().count("\n") == 1


def test_results_do_not_depend_on_processes(tmp_path: Path) -> None:
    for sizes in ({"out": tmp_path / "one.csv", "jobs": 1}, {"out": tmp_path / "two.csv", "jobs": 2}):
        rl.sweep(CHAT, "h100-sxm", vary=("batch=1:512:+1", "input=1:600:+1"), columns="tpot_s,fits", **sizes)  # type: ignore[arg-type]
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


# -- parquet


@pytest.mark.usefixtures("small_blocks")
def test_parquet_is_a_file_or_a_dataset_that_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = rl.sweep(CHAT, "h100-sxm", vary=AXES, columns="all")["rows"]
    out = tmp_path / "rows.parquet"
    half_done(out, monkeypatch, 2, columns="all")
    rl.sweep(CHAT, "h100-sxm", vary=AXES, columns="all", out=out)
    assert out.is_dir()
    assert parquet.read_table(out).to_pylist() == rows
    rl.sweep(CHAT, "h100-sxm", vary=AXES, columns="all", out=tmp_path / "whole.parquet")
    for path in sorted(out.glob("part-*")):
        assert path.read_bytes() == (tmp_path / "whole.parquet" / path.name).read_bytes()
    with pytest.raises(OutputError, match="holds a sweep with another where"):
        rl.sweep(CHAT, "h100-sxm", vary=AXES, columns="all", where="fits", out=out)
    (tmp_path / "mine.parquet").mkdir()
    with pytest.raises(OutputError, match="is a folder, and holds no sweep"):
        rl.sweep(CHAT, "h100-sxm", vary=AXES, out=tmp_path / "mine.parquet")
    rl.sweep(CHAT, "h100-sxm", vary="batch=1,2", out=tmp_path / "small.parquet")
    assert parquet.read_table(tmp_path / "small.parquet").num_rows == 2


def test_parquet_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RooflineError, match=r"pip install 'roofline\[parquet\]'"):
        rl.sweep(CHAT, "h100-sxm", vary="batch=1,2", out=tmp_path / "rows.parquet")
