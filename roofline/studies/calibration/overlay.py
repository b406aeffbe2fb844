"""Calibrated constants as files: overlays that extend what they were fitted for, with where their numbers come from."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from roofline.catalog.specs.stack import OVERHEADS
from roofline.machine import Efficiency, LinkEfficiency
from roofline.studies.calibration import constants, stacks
from roofline.studies.calibration.draft import MARK, Draft
from roofline.studies.calibration.fitting import Fit
from roofline.studies.calibration.kernels import CACHE, FREE, LINK, LINK_RANGES, Subject
from roofline.studies.calibration.power import Powered

Tree = Mapping[str, "str | Tree"]

TIMES = ("latency", "split", "step")  # constants of kernels and links in seconds
TIMINGS, REQUESTS, STEPS, POWERS = "timings", "requests", "steps", "powers"  # what rows of each kind are called
LEAST = 1e-3  # multiples are above zero, shares are nothing below


@dataclass(frozen=True, slots=True)
class Origin:
    """The rows of one kind that a run was given: what they are called, the names and hashes of the tables that they are
    in, the newest day that a row states. Nothing else: the same tables give the same files on any day."""

    noun: str
    tables: Sequence[tuple[str, str]]
    date: str

    @property
    def key(self) -> str:
        """The key in `sources`: none of the layers that the file is laid over has a source of that name."""
        return "-".join([self.noun, *(digest[:8] for _, digest in self.tables)])

    def source(self, rows: int) -> dict[str, str]:
        """The entry of `sources` for so many rows."""
        files = "; ".join(f"{name}, sha256 {digest[:12]}" for name, digest in self.tables)
        title = json.dumps(f"fitted to {rows:,} {self.noun} in {files}", ensure_ascii=False)
        return {self.key: f'{{title: {title}, date: "{self.date}"}}' if self.date else f"{{title: {title}}}"}


def seconds(value: float) -> str:
    """Seconds as a file writes them, in microseconds; less than a nanosecond is nothing.

    >>> seconds(2.777e-06), seconds(0.001234), seconds(3e-10)
    ('2.78 us', '1230 us', '0 us')
    """
    return f"{number(value * 1e6 if value >= 1e-9 else 0.0)} us"


def number(value: float) -> str:
    """A plain number to three significant digits, without exponent.

    >>> number(0.74567), number(1e-12), number(1234.5)
    ('0.746', '0', '1230')
    """
    rounded = float(f"{value:.3g}")
    return "0" if abs(rounded) < 1e-6 else f"{rounded:.10g}" if abs(rounded) < 1e9 else f"{rounded:.3g}"


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes what a run found: where its rows come from, by what they are called, and on which chips stacks of the
    catalogue were `measured`."""

    origins: Mapping[str, Origin]
    measured: Callable[[str], Sequence[str]] = lambda stack: ()

    def write(
        self,
        files: Draft,
        subjects: Iterable[Subject],
        fitted: Iterable[stacks.Fitted] = (),
        powered: Iterable[Powered] = (),
    ) -> None:
        """Write the files of families, chips and stacks."""
        rates: dict[str, dict[str, Mapping[str, float]]] = defaultdict(dict)
        rated: Counter[str] = Counter()
        drawn = {found.id: found for found in powered}
        for subject in subjects:
            own = drawn.pop(subject.id, None) if subject.kind == "family" else None
            files.add(subject.kind, subject.id, self.of_subject(subject, own))
            if subject.kind == "family":
                rated.update(subject.rated)
                for stack, multiples in subject.rates.items():
                    rates[stack][subject.id] = multiples
        for found in drawn.values():
            files.add("family", found.id, text(found.id, *self._energy(found)))
        by_stack = {found.stack: found for found in fitted}
        for stack in sorted({*rates, *by_stack}):
            files.add("stack", stack, self.of_stack(stack, by_stack.get(stack), rates.get(stack, {}), rated[stack]))

    def of_subject(self, subject: Subject, powered: Powered | None = None) -> str:
        """The file of a chip or family: every entry that was fitted, and what makes its power."""
        key = self.origins[TIMINGS].key
        entries: dict[str, dict[str, str | Tree]] = {"kernels": {}, "links": {}, CACHE: {}}
        for step in subject.fits:
            for entry in step.entries:
                if entry == CACHE:
                    entries[CACHE] = {"speed": number(float(subject.chip.cache_speed or 1.0)), "source": key}
                elif entry.startswith(LINK):
                    scope = entry.removeprefix(LINK)
                    reached = subject.chip.achieved_links[scope]
                    entries["links"][scope] = reached_entry(reached, LinkEfficiency(), LINK_RANGES, key)
                else:
                    free = FREE[entry.partition("/")[0]]
                    entries["kernels"][entry] = reached_entry(subject.chip.achieved[entry], Efficiency(), free, key)
        body: Tree = entries if subject.kind == "family" else {"achieved": entries}
        rows = sum(fit.rows for fit in subject.fits.values())
        power, sources = self._energy(powered) if powered else ({}, {})
        return text(subject.id, {**body, **power}, self.origins[TIMINGS].source(rows) | sources)

    def _energy(self, found: Powered) -> tuple[Tree, dict[str, str]]:
        """The entry of what makes the power of a family's chips, and its source."""
        own, shares = self.origins[POWERS], found.shares
        shown = ("idle", "base", "busy", *(("memory", "compute") if shares.per_byte is None else ()), "rows")
        values = {name: number(_told(float(getattr(shares, name)))) for name in shown}
        joules = (("per_byte", "B"), ("per_flop", "FLOP"), ("per_link_byte", "B"))
        values |= {
            name: f"{number(float(value) * 1e12)} pJ/{unit}"
            for name, unit in joules
            if (value := getattr(shares, name)) is not None
        }
        formats = ", ".join(f"{name}: {number(float(value))}" for name, value in shares.formats.items())
        values |= {"formats": f"{{{formats}}}", "measured_on": f"[{', '.join(found.chips)}]"}
        return {"energy": _flow(values, own.key)}, own.source(found.fit.rows)

    def of_stack(
        self, stack: str, fitted: stacks.Fitted | None, rates: Mapping[str, Mapping[str, float]], rated: int
    ) -> str:
        """The file of a stack: numbers of all chips, then what differs by family and chip."""
        fits = fitted.fits if fitted else {}
        chips = sorted({*fitted.chips, *self.measured(stack)}) if fitted else []
        levels = sorted({*fits, *rates} - {""})
        own = self.origins[STEPS if fitted and fitted.trains else REQUESTS]
        body: Tree = {
            "measured_on": f"[{', '.join(chips)}]" if chips else "",
            **self._level(own, fits.get(""), {}),
            "variants": {level: self._level(own, fits.get(level), rates.get(level, {})) for level in levels},
        }
        sources = self.origins[TIMINGS].source(rated) if rates else {}
        return text(stack, body, sources | (own.source(fitted.rows) if fitted else {}))

    def _level(self, own: Origin, fit: Fit | None, rates: Mapping[str, float]) -> dict[str, Tree]:
        """Overheads and rates of one level; kernels by themselves tell their rate better than requests do."""
        told = {name: fit.values[name] for name in fit.free} if fit else {}
        hidden = {name: value for name, value in told.items() if name.startswith(constants.OVERLAP)}
        multiples = {
            name: (value, own.key) for name, value in told.items() if name not in OVERHEADS and name not in hidden
        }
        multiples |= {name: (value, self.origins[TIMINGS].key) for name, value in rates.items()}
        return {
            "overheads": {
                name: _flow({"time": seconds(value)}, own.key) for name, value in told.items() if name in OVERHEADS
            },
            "rates": {
                name: _flow({"rate": number(max(value, LEAST))}, source) for name, (value, source) in multiples.items()
            },
            "overlaps": {
                name.removeprefix(constants.OVERLAP): _flow({"share": number(value)}, own.key)
                for name, value in hidden.items()
            },
        }


def _told(share: float) -> float:
    """A share of the TDP; less than a thousandth is nothing."""
    return share if share >= LEAST else 0.0


def reached_entry(reached: Any, ideal: Any, fitted: Collection[str], source: str) -> str:
    """One entry: what was fitted, and what else differs from the datasheet."""
    values = {each.name: float(getattr(reached, each.name)) for each in fields(reached)}
    shown = {name: value for name, value in values.items() if name in fitted or value != getattr(ideal, name)}
    return _flow({name: seconds(value) if name in TIMES else number(value) for name, value in shown.items()}, source)


def _flow(values: Mapping[str, str], source: str) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + f", source: {source}}}"


def text(name: str, body: Tree, sources: Mapping[str, str]) -> str:
    """A whole overlay file: `extends` the entry of its own name, what was fitted, sources."""
    lines = [
        f"{MARK}: change the measurements, not this file.",
        f"extends: {name}",
        f"id: {name}",
    ]
    for key, value in (*body.items(), ("sources", sources)):
        shown = list(block(key, value, 0))
        lines += ["", *shown] if shown else []
    return "\n".join(lines) + "\n"


def block(key: str, value: str | Tree, level: int) -> Iterator[str]:
    """One key of a file, mappings indented below it; nothing of what is empty."""
    indent = "  " * level
    if isinstance(value, str):
        if value:
            yield f"{indent}{key}: {value}"
        return
    inner = [line for name, item in value.items() for line in block(name, item, level + 1)]
    if inner:
        yield f"{indent}{key}:"
        yield from inner
