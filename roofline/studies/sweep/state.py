"""A sweep on disk while it runs: what it is made of, what is done, and the rows so far.

Beside `OUT` stands the folder `OUT.sweep` with `manifest.json`, `journal.jsonl` (a line for each chunk that is safe)
and the rows; where rows are left out or moved, a table of what may be left of each chunk. A killed run begins again
after the last chunk in the journal whose bytes are those that were written, so that the result is the same, byte for
byte. When all is done the rows are renamed to `OUT`, and the folder goes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import roofline
from roofline.catalog import reading
from roofline.errors import OutputError, SpecError
from roofline.studies import fingerprint
from roofline.studies.sweep import sinks
from roofline.studies.sweep.chunks import Part, Tally, Work, hashed
from roofline.studies.sweep.columns import Table

SCHEMA = "roofline.sweep-state/2"
MANIFEST, JOURNAL, ROWS, LOCK = "manifest.json", "journal.jsonl", "rows", "lock"
MAX_BYTES = 100_000_000  # of a manifest or a journal
DONE = "_roofline.json"  # in a finished dataset


def manifest(work: Work) -> dict[str, Any]:
    """What a sweep is made of: arguments, format, and hashes of everything that its numbers rest on."""
    asked, kept = work.grid.request, work.reduction
    return {
        "schema": SCHEMA,
        "version": roofline.__version__,
        "program": fingerprint.program(),
        "arguments": {
            "workloads": list(asked.workloads),
            "deployments": list(asked.deployments),
            "vary": list(asked.vary),
            "options": repr(asked.options),
            "where": asked.where,
            "keep_invalid": asked.keep_invalid,
            "pareto": list(kept.pareto),
            "sort": kept.sort and f"{'-' if kept.falling else ''}{kept.sort}",
            "top": kept.top,
        },
        "format": work.form,
        "columns": list(work.names),
        "tables": kept.any,
        "points": work.grid.points,
        "chunks": work.chunks,
        "inputs": inputs(work),
    }


def inputs(work: Work) -> dict[str, str]:
    """A hash of every workload, chip, stack, plan and assumption as they were resolved, by what it is."""
    found: dict[str, str] = {}
    for panel in work.grid.panels:
        job, where = panel.case.job, panel.case.deployment
        parts: dict[str, Any] = {
            f"workload {job.id}": job,
            f"chip {where.chip.id}": where.chip,
            f"stack {where.stack.id} on {where.chip.id}": where.stack,
            f"spreads of {where.stack.id} on {where.chip.id}": where.spreads,
            f"economics {where.economics.id if where.economics else 'none'}": where.economics,
            f"plan of {panel.label}": (where.plan, where.prefill_plan, where.num_chips, where.precision),
        }
        for name, thing in parts.items():
            found.setdefault(name, fingerprint.of(thing))
    return found


@contextmanager
def opened(place: Path, wanted: Mapping[str, Any], *, restart: bool) -> Iterator[State]:
    """The folder of a sweep, new or to go on with; `OutputError` if it is another's, or somebody writes there now."""
    if os.path.isdir(place):
        _check_finished(place, wanted)
    folder = place.with_name(f"{place.name}.sweep")
    with refused(place, "begin"):
        if os.path.exists(place) and not (os.path.isfile(place) or os.path.isdir(place)):
            raise OutputError(f"{place}: is no file that could be replaced")
        if not os.path.isdir(place.parent):
            raise OutputError(f"{place}: no such folder: {place.parent}")
        folder.mkdir(exist_ok=True)
        lock = (folder / LOCK).open("w")
        try:
            _lock(lock, folder)
            _check_same(folder, wanted, restart=restart)
            yield State(place, folder, wanted)
        finally:
            lock.close()


class State:
    """Rows so far, in order; chunks are added one after the other."""

    def __init__(self, place: Path, folder: Path, wanted: Mapping[str, Any]) -> None:
        """What is safe of an earlier run is kept, anything else in the folder goes."""
        self.place, self.folder, self.wanted = place, folder, wanted
        self.tables = wanted["tables"]  # each chunk is a table of what may be left of it, not rows
        self.apart = self.tables or wanted["format"] == "parquet"  # each chunk stays a file of its own
        self.suffix = "npz" if self.tables else wanted["format"]
        self.tally, self.done, self.size = Tally(), 0, 0
        self.rows = folder / ROWS
        if self.apart:
            self.rows.mkdir(exist_ok=True)
        self.before = list(self._safe())
        for part in self.before:
            self.tally += part.tally
            self.size += part.size
        self.done = len(self.before)
        self._forget(self.before)

    def part(self, chunk: int) -> Path:
        """Where a chunk is written before it is added."""
        return self.folder / f"part-{chunk:06d}.{self.suffix}"

    def loaded(self) -> Iterator[tuple[Table, Tally]]:
        """The tables of an earlier run."""
        for part in self.before:
            yield sinks.load(self._own(part.chunk)), part.tally

    def kept(self, tables: Iterable[tuple[Table, Tally]]) -> Iterator[tuple[Table, Tally]]:
        """Tables of the next chunks, each safe before it is looked at."""
        for table, tally in tables:
            place = self.part(self.done)
            with refused(self.place, f"{self.tally.points:,} points are done"):
                sinks.save(table, place)
                digest, length = hashed(place)
            self.add(Part(self.done, tally, length, digest))
            yield table, tally

    def add(self, part: Part) -> None:
        """Take the next chunk: its bytes first, then the line that says so."""
        source = self.part(part.chunk)
        with refused(self.place, f"{self.tally.points:,} points are done"):
            if self.apart:
                os.replace(source, self._own(part.chunk))
            else:
                with source.open("rb") as stream, self.rows.open("ab") as rows:
                    shutil.copyfileobj(stream, rows, 1 << 20)
                    rows.flush()
                    os.fsync(rows.fileno())
                source.unlink()
            with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(asdict(part)) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        self.tally += part.tally
        self.size += part.size
        self.done += 1

    def finish(self, whole: Path | None = None) -> None:
        """Rename the rows, or the file that was made of tables, to where they shall be, and leave nothing else."""
        with refused(self.place, "rename"):
            if whole is not None or not self.apart:
                os.replace(whole or self.rows, os.path.realpath(self.place))
            elif self.wanted["chunks"] == 1:
                os.replace(self._own(0), os.path.realpath(self.place))
            else:
                text = json.dumps(self.wanted, indent=2) + "\n"
                (self.rows / DONE).write_text(text, encoding="utf-8")
                if self.place.is_dir():
                    shutil.rmtree(self.place)
                os.replace(self.rows, self.place)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _own(self, chunk: int) -> Path:
        return self.rows / self.part(chunk).name

    def _safe(self) -> Iterator[Part]:
        """Chunks of an earlier run whose bytes are still those that were written, up to the first that are not."""
        with suppress(OSError, SpecError):
            lines = reading.text(self.folder / JOURNAL, MAX_BYTES).splitlines()
            rows = None if self.apart else self.rows.open("rb")
            try:
                for chunk, line in enumerate(lines):
                    part = _read(line)
                    if part is None or part.chunk != chunk:
                        return
                    found = self._hash(part) if rows is None else _hash(rows, part.size)
                    if found != part.sha256:
                        return
                    yield part
            finally:
                if rows is not None:
                    rows.close()

    def _hash(self, part: Part) -> str:
        return hashed(self._own(part.chunk))[0] if self._own(part.chunk).is_file() else ""

    def _forget(self, kept: list[Part]) -> None:
        with refused(self.place, "begin"):
            for path in self.folder.glob("part-*"):
                path.unlink()
            if self.apart:
                for path in sorted(self.rows.iterdir())[len(kept) :]:
                    path.unlink()
            else:
                with self.rows.open("ab") as rows:
                    rows.truncate(self.size)
            lines = "".join(json.dumps(asdict(part)) + "\n" for part in kept)
            (self.folder / JOURNAL).write_text(lines, encoding="utf-8")


def _read(line: str) -> Part | None:
    """A line of the journal; None for one that was cut off or changed."""
    try:
        found = json.loads(line)
        part = Part(found["chunk"], Tally(**found["tally"]), found["size"], found["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    counts = (part.chunk, part.size, *asdict(part.tally).values())
    return part if all(type(count) is int and count >= 0 for count in counts) else None


def _hash(stream: IO[bytes], length: int) -> str:
    digest = hashlib.sha256()
    while length and (block := stream.read(min(length, 1 << 20))):
        digest.update(block)
        length -= len(block)
    return "" if length else digest.hexdigest()


def _manifest(path: Path) -> dict[str, Any] | None:
    """What a sweep was made of; None if that can't be told."""
    with suppress(SpecError):
        return reading.json_file(path, MAX_BYTES)
    return None


def _check_same(folder: Path, wanted: Mapping[str, Any], *, restart: bool) -> None:
    path = folder / MANIFEST
    known = _manifest(path)
    strange = [item.name for item in folder.iterdir() if item.name != LOCK]
    if strange and known is None and not restart and not _only_ours(strange):
        raise OutputError(f"{folder}: holds something else than a sweep; write to another file")
    if known is not None and known != wanted and not restart:
        raise OutputError(
            f"{folder}: holds an unfinished sweep with {_difference(known, wanted)}; finish that one, write to another "
            "file, or begin anew with --restart"
        )
    if known != wanted:
        for item in folder.iterdir():
            if item.name != LOCK:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        beside = folder / f"{MANIFEST}.new"
        beside.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        os.replace(beside, path)


def _only_ours(names: list[str]) -> bool:
    return all(name in (f"{MANIFEST}.new", MANIFEST) for name in names)


def _check_finished(place: Path, wanted: Mapping[str, Any]) -> None:
    """`OutputError` if a folder holds anything but an earlier result of this very sweep."""
    known = _manifest(place / DONE)
    if wanted["format"] != "parquet" or wanted["tables"]:
        raise OutputError(f"{place}: is a folder; name a file")
    if known is None:
        raise OutputError(f"{place}: is a folder, and holds no sweep; write to another name")
    if known != wanted:
        raise OutputError(f"{place}: holds a sweep with {_difference(known, wanted)}; write to another name")


def _difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What differs, in words: the first thing that does."""
    names = {"version": "version of roofline", "program": "code of roofline"}
    for name in ("version", "arguments", "format", "columns", "inputs", "program", "points", "chunks"):
        one, other = known.get(name), wanted.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            keys = [key for key in (*other, *one) if key not in one or key not in other or one[key] != other[key]]
            if name == "inputs":
                return f"another {keys[0].replace(' ', ' (', 1)})" if " " in keys[0] else f"another {keys[0]}"
            return f"another {keys[0]}"
        return f"another {names.get(name, name)}"
    return "other contents"


def _lock(stream: IO[str], folder: Path) -> None:
    """Keep others out until this process ends, where the system can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise OutputError(f"{folder}: another sweep is writing there now") from None


@contextmanager
def refused(place: Path, doing: str | Callable[[], str]) -> Iterator[None]:
    """What the system refuses while something is done, as an `OutputError` that says how to go on."""
    try:
        yield
    except OSError as error:
        said = doing if isinstance(doing, str) else doing()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = f"the disk is full ({said}); free space and run the same command again: it goes on from there"
        else:
            told = f"can't be written ({said}): {(error.strerror or str(error)).lower()}"
        raise OutputError(f"{place}: {told}") from None
