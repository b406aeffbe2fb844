"""A measured machine as a chip file, and its timings as the table beside it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from roofline import __version__, units
from roofline.errors import OutputError
from roofline.machine import Efficiency, LinkEfficiency
from roofline.studies.calibration.fitting import error
from roofline.studies.calibration.kernels import FREE, LINK, LINK_RANGES
from roofline.studies.calibration.overlay import Tree, block, reached_entry
from roofline.studies.measuring.fitting import MESH, SCOPE, Fitted, Joined, Rates
from roofline.studies.measuring.measure import COLUMNS, Measured

SYSTEM, MEASURED, EXCHANGED, FITTED = "system", "measured", "collectives", "fitted"
EAGER = "eager"  # the stack of kernels that are launched one by one
NOTE = (
    "Measured, no datasheet: peaks and rates are the fastest that was timed on this machine. "
    "Kernels were timed with their launches, so the software adds nothing."
)
SHARED = "The link joins processes that shared this machine, no chips of their own."


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
    note = f"{NOTE} {SHARED}" if rates.joined and machine.kind == "cpu" else NOTE
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
        f"note: {_quoted(note)}",
    ]
    for key, value in body.items():
        lines += ["", *block(key, value, 0)]
    lines += ["", "memory:", *_memory(found, rates)]
    if rates.to_device and rates.from_device:
        lines += [
            "",
            f"# host to device {units.show(rates.to_device, 'B/s')}, back {units.show(rates.from_device, 'B/s')}",
        ]
    if rates.joined:
        lines += ["", "links:", f"  - {_link(rates.joined, between(found))}"]
    if machine.tdp:
        lines += ["", f"power: {_flow(tdp=units.show(machine.tdp, 'W'), source=SYSTEM)}"]
    if fitted:
        lines += ["", *block("achieved", _achieved(fitted), 0)]
    lines += ["", f"stacks: {{serving: {EAGER}, training: {EAGER}}}"]
    lines += ["", *block("sources", dict(_sources(name, found, rates, fitted)), 0)]
    return "\n".join(lines) + "\n"


def between(found: Measured) -> str:
    """What a link of the machine joins."""
    return "between processes" if found.machine.kind == "cpu" else "between devices"


def _link(joined: Joined, name: str) -> str:
    wired = {"topology": MESH} if joined.topology == MESH else {}
    rate = units.show(joined.bandwidth, "B/s")
    known = {"scope": SCOPE, "bandwidth": rate, "per": "direction", "chips": str(joined.ranks), **wired}
    return _flow(name=name, **known, source=EXCHANGED)


def _achieved(fitted: Fitted) -> Tree:
    """Constants of kernels and of links, by entry."""
    kernels = {
        entry: reached_entry(fitted.chip.achieved[entry], Efficiency(), FREE[entry.partition("/")[0]], FITTED)
        for entry in fitted.fits
        if not entry.startswith(LINK)
    }
    links = {
        scope: reached_entry(fitted.chip.achieved_links[scope], LinkEfficiency(), LINK_RANGES, FITTED)
        for entry in fitted.fits
        if entry.startswith(LINK) and (scope := entry.removeprefix(LINK))
    }
    return {"kernels": kernels, "links": links}


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


def _sources(name: str, found: Measured, rates: Rates, fitted: Fitted | None) -> Iterator[tuple[str, str]]:
    where, joined = f"on {found.backend.device}, roofline {__version__}", rates.joined
    software = f"{found.backend.software} {where}"
    alone = len(found.timed) - (joined.timings if joined else 0)
    least = "" if found.complete else "; some were left out or timed too seldom"
    titles = {
        SYSTEM: "As the operating system and the driver tell",
        MEASURED: f"The fastest of {alone} timings in {name}.csv ({software}{least})",
    }
    if joined:
        of = f"{joined.timings} timings of collectives in {name}.csv"
        titles[EXCHANGED] = f"The fastest of {of} ({joined.software}, up to {joined.ranks} processes {where}{least})"
    if fitted:
        by = f"{software}; {joined.software}" if joined else software
        titles[FITTED] = (
            f"Fitted to {fitted.rows} timings in {name}.csv ({by}); median error {error(fitted.errors):.1%}"
        )
    for key, title in titles.items():
        yield key, _flow(title=_quoted(title), date=f'"{found.date}"')


def _flow(**values: str) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
