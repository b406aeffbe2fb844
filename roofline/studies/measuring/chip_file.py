"""A measured machine as a chip file, and its timings as the table beside it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from roofline import __version__, units
from roofline.errors import OutputError
from roofline.machine import Efficiency
from roofline.studies.calibration.fitting import error
from roofline.studies.calibration.kernels import FREE
from roofline.studies.calibration.overlay import Tree, block, reached_entry
from roofline.studies.measuring.fitting import Fitted, Rates
from roofline.studies.measuring.measure import COLUMNS, Measured

SYSTEM, MEASURED, FITTED = "system", "measured", "fitted"
EAGER = "eager"  # the stack of kernels that are launched one by one
NOTE = (
    "Measured, no datasheet: peaks and rates are the fastest that was timed on this machine. "
    "Kernels were timed with their launches, so the software adds nothing."
)


def id_of(path: Path) -> str:
    """The id of the chip that a file is for; `OutputError` if its name can't be one."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise OutputError(f"{path}: a chip file ends in .yaml, e.g. {path.with_suffix('.yaml')}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,63}", path.stem):
        raise OutputError(f"{path}: the name is the chip's id: lower-case letters, digits, dots, '+' and '-'")
    return path.stem


def table_text(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def chip_text(name: str, found: Measured, rates: Rates, fitted: Fitted | None = None) -> str:
    """The chip file: what the system tells, what was reached and, if that is known, what kernels reach of it."""
    machine = found.machine
    body: dict[str, str | Tree] = {
        "compute": {
            "units": _units(found),
            "peaks": {
                dtype: _flow(dense=units.show(rate, "FLOP/s"), source=MEASURED) for dtype, rate in rates.peaks.items()
            },
        }
    }
    lines = [
        "# Written by `roofline calibrate --measure`: measure again rather than change numbers.",
        "format: 1",
        f"id: {name}",
        f"name: {_quoted(machine.name)}",
        f"vendor: {machine.vendor}",
        f"kind: {machine.kind}",
        f"note: {_quoted(NOTE)}",
    ]
    for key, value in body.items():
        lines += ["", *block(key, value, 0)]
    lines += ["", "memory:", *_memory(found, rates)]
    if rates.to_device and rates.from_device:
        lines += [
            "",
            f"# host to device {units.show(rates.to_device, 'B/s')}, back {units.show(rates.from_device, 'B/s')}",
        ]
    if machine.tdp:
        lines += ["", f"power: {_flow(tdp=units.show(machine.tdp, 'W'), source=SYSTEM)}"]
    if fitted:
        entries = {
            entry: reached_entry(fitted.chip.achieved[entry], Efficiency(), FREE[entry.partition("/")[0]], FITTED)
            for entry in fitted.fits
        }
        lines += ["", *block("achieved", {"kernels": entries}, 0)]
    lines += ["", f"stacks: {{serving: {EAGER}, training: {EAGER}}}"]
    lines += ["", *block("sources", dict(_sources(name, found, fitted)), 0)]
    return "\n".join(lines) + "\n"


def _units(found: Measured) -> str:
    machine = found.machine
    if machine.units is None:
        return ""
    clock = {"clock": units.show(machine.clock, "Hz")} if machine.clock else {}
    return _flow(count=str(machine.units), **clock, source=SYSTEM)


def _memory(found: Measured, rates: Rates) -> Iterator[str]:
    """Caches whose rate was measured above that of what is further away state it."""
    levels: list[str] = []
    slowest = rates.main
    for cache in reversed(found.machine.caches):
        rate = rates.caches.get(cache.name, 0.0)
        known = {"bandwidth": units.show(rate, "B/s")} if rate > slowest else {}
        slowest = max(slowest, rate)
        source = f"{SYSTEM} + {MEASURED}" if known else SYSTEM
        levels.append(f"  - {_flow(name=cache.name, capacity=units.show(cache.capacity, 'B'), **known, source=source)}")
    yield from reversed(levels)
    main = _flow(
        name="main memory",
        capacity=units.show(found.machine.memory, "B"),
        bandwidth=units.show(rates.main, "B/s"),
        source=f"{SYSTEM} + {MEASURED}",
    )
    yield f"  - {main}"


def _sources(name: str, found: Measured, fitted: Fitted | None) -> Iterator[tuple[str, str]]:
    software = f"{found.backend.software} on {found.backend.device}, roofline {__version__}"
    least = "" if found.complete else "; the budget was not enough for all, see the table"
    titles = {
        SYSTEM: "As the operating system and the driver tell",
        MEASURED: f"The fastest of {len(found.timed)} timings in {name}.csv ({software}{least})",
    }
    if fitted:
        titles[FITTED] = (
            f"Fitted to {fitted.rows} timings in {name}.csv ({software}); median error {error(fitted.errors):.1%}"
        )
    for key, title in titles.items():
        yield key, _flow(title=_quoted(title), date=f'"{found.date}"')


def _flow(**values: str) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def place(path: Path) -> None:
    """`OutputError` if there is no folder for a file, or it can't be written there."""
    with _refused(path):  # a name that no file can have
        path.exists()
    if os.path.isdir(path):
        raise OutputError(f"{path}: is a folder; name a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{path}: is no file that could be replaced")
    if not os.path.isdir(path.absolute().parent):
        raise OutputError(f"{path}: no such folder: {path.parent}")
    if not os.access(path if os.path.exists(path) else path.absolute().parent, os.W_OK):
        raise OutputError(f"{path}: can't be written: permission denied")


def write(texts: Mapping[Path, str]) -> list[Path]:
    """Files whole or not at all: written beside their places, then moved there, the last one last."""
    made: list[tuple[Path, Path]] = []
    try:
        for path, text in texts.items():
            with _refused(path):
                handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=".roofline-")
                made.append((Path(temporary), path))
                with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                mask = os.umask(0)
                os.umask(mask)
                Path(temporary).chmod(0o666 & ~mask)
        for temporary_path, path in made:
            with _refused(path):
                os.replace(temporary_path, path)
    finally:
        for temporary_path, _ in made:
            with suppress(OSError):
                temporary_path.unlink(missing_ok=True)
    return list(texts)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """What the system refuses to do with a file, as an `OutputError` that names it."""
    try:
        yield
    except OSError as fault:
        raise OutputError(f"{path}: can't be written: {(fault.strerror or str(fault)).lower()}") from None
