"""Fitting what kernels and links reach, of whole families and of single chips, to measured kernels and collectives.

Constants that the same rows tell are one step. Steps follow each other: products of experts come after the passes that
they contain. A family is fitted to the rows of all of its chips, a chip then to its own, pulled towards its family by
as much as its rows are few.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from roofline.catalog.store import Catalog
from roofline.engine import roof
from roofline.machine import Chip, Efficiency, LinkEfficiency, Stack
from roofline.machine.chip import (
    ATTENTION,
    DECODE_ATTENTION,
    ELEMENTWISE,
    EXPERTS,
    MATMUL,
    QUANTISE,
    SENDING,
    SENDS,
    UPDATE,
)
from roofline.studies.calibration.fitting import NO_VALUES, Array, Constant, Fit, Values, fit
from roofline.studies.measured import kernels
from roofline.studies.measured.kernels import COLLECTIVES, Bench
from roofline.studies.measured.rules import FITTED
from roofline.studies.measured.split import SET_ASIDE, on_side
from roofline.studies.measured.table import Case, SkipError

US = 1e-6
FEWEST = 12  # rows that a chip or family needs for constants of its own
FEW = 6  # rows that a stack needs for the rate of a kind of kernel
RATE = "rate:"  # in front of a stack's id, the name of its rate
LINK = "links:"  # in front of a link's key, the name of its entry
CACHE, LINKS = "cache", ("scale-up", "scale-out")

# What is free for each kind of kernel; anything else stays as the catalogue has it.
FREE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        MATMUL: ("compute", "memory", "latency", "overlap", "fill", "split"),
        EXPERTS: ("compute", "memory", "latency"),
        ATTENTION: ("compute", "memory", "latency", "overlap", "half", "fill", "score"),
        DECODE_ATTENTION: ("compute", "memory", "latency", "overlap", "least", "fill", "split"),
        ELEMENTWISE: ("memory", "latency"),
        QUANTISE: ("memory", "latency"),
        UPDATE: ("memory", "latency"),
    }
)
# What is free besides, by kind of chip: libraries on processors lay out weights anew for products of several rows.
FREE_BESIDES: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {("cpu", MATMUL): ("pack",), ("cpu", EXPERTS): ("pack",)}
)


@dataclass(frozen=True, slots=True)
class Range:
    """Physical limits of a constant, how far from its start is far, and where to start if nothing is known."""

    low: float
    high: float
    scale: float
    start: float


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "compute": Range(0.05, 1.0, 0.15, 0.6),
        "memory": Range(0.05, 1.0, 0.1, 0.8),
        "latency": Range(0.0, 200 * US, 3 * US, 3 * US),
        "overlap": Range(1.0, 8.0, 2.0, 2.5),
        "half": Range(0.0, 3000.0, 100.0, 50.0),
        "least": Range(0.0, 3000.0, 100.0, 50.0),
        "fill": Range(0.0, 5.0, 0.3, 0.1),
        "split": Range(0.0, 200 * US, 4 * US, 4 * US),
        "pack": Range(0.0, 300.0, 20.0, 10.0),
        "score": Range(0.0, 500.0, 100.0, 50.0),
    }
)
LINK_RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "bandwidth": Range(0.02, 1.0, 0.15, 0.75),
        "latency": Range(0.0, 1000 * US, 5 * US, 6 * US),
        "step": Range(0.0, 50 * US, 1 * US, 1 * US),
        "overlap": Range(0.34, 1.0, 0.15, 0.7),
    }
)
CACHE_RANGE = Range(1.0, 12.0, 2.0, 2.0)
RATE_RANGE = Range(0.2, 3.0, 0.15, 1.0)
RATED = (ATTENTION, DECODE_ATTENTION)  # kinds whose kernels differ between serving stacks by a factor
OWN = (*RATED, EXPERTS)  # kinds whose kernels serving stacks bring themselves
SHARED = (EXPERTS,)  # kinds whose rows on one chip differ by software more than chips of a family do


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are priced together: where they ran, under which software, what they are."""

    chip: Chip
    stack: Stack
    bench: Bench
    cases: Sequence[Case]
    before: Array = field(default_factory=lambda: np.empty(0))  # ln(predicted/measured) as the catalogue was when read

    def seconds(self) -> tuple[Array, Array]:
        """Measured and expected seconds."""
        measured, expected, _ = kernels.seconds(self.bench, self.cases, self.chip, self.stack)
        return np.asarray(measured), np.asarray(expected)

    def errors(self) -> Array:
        """ln(predicted/measured) of each row."""
        measured, expected = self.seconds()
        found: Array = np.log(expected / measured)
        return found

    def only(self, kept: NDArray[np.bool_]) -> Part:
        """The part without some of its rows."""
        cases = [case for case, keep in zip(self.cases, kept, strict=True) if keep]
        return replace(self, cases=cases, before=self.before[kept])


@dataclass(frozen=True, slots=True)
class Step:
    """Entries that are fitted together, named as in `achieved`, `links:` in front of a link's."""

    entries: tuple[str, ...]

    @property
    def main(self) -> str:
        """The entry whose rows tell all of them."""
        return self.entries[0]

    @property
    def kind(self) -> str:
        """The kind of kernel of the main entry."""
        return self.main.partition("/")[0]


STEPS = (
    Step((ELEMENTWISE,)),
    Step((UPDATE,)),
    Step((MATMUL, CACHE)),
    Step(("matmul/fp8", QUANTISE)),
    *(Step((f"matmul/{dtype}",)) for dtype in ("fp8-block", "nvfp4", "mxfp4", "int8", "fp32")),
    Step((ATTENTION,)),
    *(Step((f"attention/{dtype}",)) for dtype in ("fp8", "fp32")),
    Step((DECODE_ATTENTION,)),
    *(Step((f"decode-attention/{dtype}",)) for dtype in ("fp8", "fp32")),
    Step((EXPERTS,)),
    *(Step((f"experts/{dtype}",)) for dtype in ("fp8", "fp8-block", "nvfp4", "mxfp4", "int4", "fp32")),
    *(Step((f"{LINK}{scope}",)) for scope in LINKS),
    *(Step((f"{LINK}{scope}/{algorithm}",)) for scope in LINKS for algorithm in (SENDS, "all-reduce", "all-to-all")),
)


def parts(cases: Iterable[Case], catalog: Catalog, *, calibration: bool | None) -> dict[str, list[Part]]:
    """Rows of one side of the split, or of both, by the entry that they tell."""
    return usable(cases, catalog, calibration=calibration)[0]


def usable(
    cases: Iterable[Case], catalog: Catalog, *, calibration: bool | None
) -> tuple[dict[str, list[Part]], list[dict[str, str]]]:
    """Rows of one side of the split, or of both, by the entry that they tell; the others with the reason."""
    groups, skipped = kernels.group(cases, catalog)
    found: dict[str, list[Part]] = defaultdict(list)
    for bench, members in groups.items():
        chip = catalog.chip(bench.chip)
        by_entry: dict[str, list[Case]] = defaultdict(list)
        for case in members:
            entry = _entry(bench, case, chip)
            if not on_side(calibration, *kernels.split_key(bench, case)):
                skipped.append({"id": case["id"], "reason": SET_ASIDE})
            elif entry is None:
                skipped.append({"id": case["id"], "reason": "tells no constant by itself"})
            else:
                by_entry[entry].append(case)
        for entry, rows in by_entry.items():
            part = Part(chip, kernels.stack_for(bench, catalog, chip), bench, rows)
            try:
                measured, expected = part.seconds()
            except SkipError as reason:
                skipped += [{"id": case["id"], "reason": str(reason)} for case in rows]
                continue
            sound = np.isfinite(measured) & (measured > 0.0)
            skipped += [{"id": rows[index]["id"], "reason": "no time"} for index in np.flatnonzero(~sound)]
            if sound.any():
                logs = np.log(np.divide(expected, measured, where=sound, out=np.ones_like(measured)))
                found[entry].append(replace(part, before=logs).only(sound))
    return found, skipped


def _entry(bench: Bench, case: Case, chip: Chip) -> str | None:
    """The entry that a row tells; None for rows that tell none by themselves."""
    if bench.eager or bench.plain or case[FITTED] == "no" or "sustained" in case["note"].lower():
        return None
    if bench.op in COLLECTIVES:
        return _link_entry(bench, case, chip)
    op = next(iter(kernels.OPERATORS[bench.op](bench, [case])))
    if op.kind == QUANTISE:
        return None  # one stack's kernel; what products pay for narrow inputs is fitted with them
    if bench.op == "moe_gemm":
        return _typed(EXPERTS, bench.dtype)
    if op.kind == DECODE_ATTENTION:
        return _typed(op.kind, op.stored)
    return _typed(op.kind, roof.arithmetic(chip, op.dtype) if op.kind == ATTENTION else op.dtype)


def _typed(kind: str, dtype: str) -> str:
    return kind if dtype in ("bf16", "fp16", "vector", "") else f"{kind}/{dtype}"


def _link_entry(bench: Bench, case: Case, chip: Chip) -> str | None:
    """The link that a collective tells: the near one if all ranks share it, else the far one."""
    near = chip.link("scale-up")
    inside = near is not None and (case.numbers["ranks"] or 0.0) <= near.chips
    scope = "scale-up" if inside else "scale-out"
    algorithm = COLLECTIVES[bench.op]
    if not bench.direct:
        return f"{LINK}{scope}/{SENDS}" if algorithm in SENDING else f"{LINK}{scope}"
    return f"{LINK}{scope}/{algorithm}" if algorithm in ("all-reduce", "all-to-all") else None


def with_values(chip: Chip, step: Step, values: Values) -> Chip:
    """The chip with the constants of a step, named `entry.field`."""
    values = {name: value for name, value in values.items() if not name.startswith(RATE)}
    for entry in step.entries if values else ():
        given = {name.rpartition(".")[2]: value for name, value in values.items() if name.rpartition(".")[0] == entry}
        if entry == CACHE:
            chip = replace(chip, cache_speed=given["speed"])
        elif entry.startswith(LINK):
            scope = entry.removeprefix(LINK)
            reached = replace(chip.achieved_links.get(scope, LinkEfficiency()), **given)
            chip = replace(chip, achieved_links={**chip.achieved_links, scope: reached})
        else:
            kernel = replace(_start(chip, entry), **given)
            chip = replace(chip, achieved={**chip.achieved, entry: kernel})
    return chip


def _start(chip: Chip, entry: str) -> Efficiency:
    kind, _, dtype = entry.partition("/")
    return chip.efficiency(kind, dtype)


def constants(chip: Chip, step: Step) -> list[Constant]:
    """The free constants of a step, starting from what the chip has now."""
    found: list[Constant] = []
    for entry in step.entries:
        if entry == CACHE:
            speed = chip.cache_speed or CACHE_RANGE.start
            found.append(_constant("cache.speed", float(speed), CACHE_RANGE))
        elif entry.startswith(LINK):
            reached = chip.achieved_links.get(entry.removeprefix(LINK))
            for name, limits in LINK_RANGES.items():
                start = float(getattr(reached, name)) if reached else limits.start
                found.append(_constant(f"{entry}.{name}", start, limits))
        else:
            kernel, ideal = _start(chip, entry), Efficiency()
            kind = entry.partition("/")[0]
            for name in (*FREE[kind], *FREE_BESIDES.get((chip.kind, kind), ())):
                stated = float(getattr(kernel, name))
                known = stated != getattr(ideal, name)
                found.append(_constant(f"{entry}.{name}", stated if known else RANGES[name].start, RANGES[name]))
    return found


def _constant(name: str, start: float, limits: Range) -> Constant:
    return Constant(name, float(np.clip(start, limits.low, limits.high)), limits.low, limits.high, limits.scale)


def fit_step(step: Step, rows: Sequence[Part], start: Chip, *, pull: float, guess: Values = NO_VALUES) -> Fit:
    """The constants of a step, the same for every chip among the rows."""
    found = fit(constants(start, step), partial(_predicted, step, rows), _measured(rows), pull=pull, guess=guess)
    return replace(found, start=np.concatenate([part.before for part in rows]))


def _measured(rows: Sequence[Part]) -> Array:
    return np.concatenate([part.seconds()[0] for part in rows])


def _predicted(step: Step, rows: Sequence[Part], values: Values) -> Array:
    """Expected seconds of the rows under each of several sets of constants, `[points, rows]`."""
    points = max(np.size(value) for value in values.values())
    found = (applied(part, step, values).seconds()[1] for part in rows)
    return np.concatenate(
        [np.broadcast_to(times, (points, len(part.cases))) for part, times in zip(rows, found, strict=True)], axis=1
    )


def fit_rates(step: Step, rows: Sequence[Part]) -> dict[str, float]:
    """How fast the kernels of each serving stack are beside those that the constants were fitted to."""
    rates: dict[str, float] = {}
    for stack, own in _by_stack(rows).items():
        if stack and _count(own) >= FEW:
            constant = _constant(f"{RATE}{stack}", 1.0, RATE_RANGE)
            rates |= fit([constant], partial(_predicted, step, own), _measured(own), pull=1.0).values
    return rates


def reference(step: Step, rows: Sequence[Part]) -> list[Part]:
    """The rows that a chip's constants are fitted to: all, but where stacks bring their own kernels those of the
    fastest stack with enough rows, and of libraries."""
    by_stack = _by_stack(rows)
    enough = {stack: own for stack, own in by_stack.items() if stack and _count(own) >= FEW}
    if step.kind not in OWN or not enough:
        return list(rows)
    slowness = {stack: _slowness(own) for stack, own in enough.items()}
    fastest = min(slowness, key=lambda stack: slowness[stack])
    return [part for part in rows if part.bench.stack in ("", fastest)]


def _slowness(rows: Sequence[Part]) -> float:
    """Median of measured over expected."""
    measured, expected = (np.concatenate(column) for column in zip(*(part.seconds() for part in rows), strict=True))
    return float(np.median(measured / expected))


def _by_stack(rows: Sequence[Part]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in rows:
        found[part.bench.stack].append(part)
    return dict(sorted(found.items()))


def applied(part: Part, step: Step, values: Values) -> Part:
    """A part under the constants of a step, and the rate of its stack."""
    stack, rate = part.stack, values.get(f"{RATE}{part.bench.stack}")
    if rate is not None:
        stack = replace(stack, rates={**stack.rates, step.main: rate})
    return replace(part, chip=with_values(part.chip, step, values), stack=stack)


@dataclass(slots=True)
class Subject:
    """A chip or family that is fitted: its id, how its constants stand so far, and what each step found."""

    kind: str
    id: str
    chip: Chip
    fits: dict[Step, Fit] = field(default_factory=dict)
    family: Subject | None = None  # of a chip that is fitted after its family
    rated: Counter[str] = field(default_factory=Counter)  # rows of each serving stack that told its rates

    @property
    def rates(self) -> dict[str, dict[str, float]]:
        """How fast the kernels of each serving stack are in the family, by stack and entry."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for step, fitted in (self.family or self).fits.items():
            for name, value in fitted.values.items():
                if name.startswith(RATE):
                    found[name.removeprefix(RATE)][step.main] = value
        return dict(found)


Found = Mapping[tuple[str, str], Subject]  # subjects by kind and id
NOTHING: Found = MappingProxyType({})


def calibrate(cases: Sequence[Case], catalog: Catalog) -> list[Subject]:
    """Constants of every family and every chip with enough rows, from the rows that are set aside for calibration."""
    return fit_all(parts(cases, catalog, calibration=True), catalog)


def fit_all(by_entry: Mapping[str, Sequence[Part]], catalog: Catalog, near: Found = NOTHING) -> list[Subject]:
    """Constants of every family and every chip with enough rows. `near` is what nearly the same rows told."""
    subjects: list[Subject] = []
    for family, members in families(by_entry, catalog).items():
        subjects += fit_family(family, members, by_entry, near)
    return subjects


def families(by_entry: Mapping[str, Sequence[Part]], catalog: Catalog) -> dict[str, list[Chip]]:
    """The families that rows tell of, each with the chips among the rows."""
    chips = {part.chip.id: part.chip for rows in by_entry.values() for part in rows}
    return _families(chips.values(), catalog)


def fit_chip(by_entry: Mapping[str, Sequence[Part]], chip: Chip) -> list[Subject]:
    """Constants of one chip alone, starting from what the catalogue says of it; its family stays as it is."""
    subject = Subject("chip", chip.id, chip)
    for step in STEPS:
        rows = [replace(part, chip=subject.chip) for part in by_entry.get(step.main, ()) if part.chip.id == chip.id]
        if _count(rows) >= FEWEST and step.kind not in SHARED:
            subject.fits[step] = fit_step(step, rows, subject.chip, pull=1.0)
            subject.chip = with_values(subject.chip, step, subject.fits[step].values)
    return [subject] if subject.fits else []


def under(part: Part, subject: Subject) -> Part:
    """A part priced with the constants of a subject, and the rates of its stack there."""
    rates = subject.rates.get(part.bench.stack, {})
    chip = replace(
        part.chip,
        achieved={**part.chip.achieved, **subject.chip.achieved},
        achieved_links={**part.chip.achieved_links, **subject.chip.achieved_links},
        cache_speed=subject.chip.cache_speed,
    )
    return replace(part, chip=chip, stack=replace(part.stack, rates={**part.stack.rates, **rates}))


def _families(chips: Iterable[Chip], catalog: Catalog) -> dict[str, list[Chip]]:
    """Chips by family, and all of one kind under the family that stands for it, if several designs are among them."""
    found: dict[str, list[Chip]] = defaultdict(list)
    known = catalog.families()
    for chip in sorted(chips, key=lambda chip: chip.id):
        for name in dict.fromkeys((chip.kind, chip.family)):
            if name in known:
                found[name].append(chip)
    designs = {name: {chip.family for chip in members} for name, members in found.items()}
    return {name: members for name, members in found.items() if designs[name] == {name} or len(designs[name]) != 1}


def fit_family(
    family: str, members: Sequence[Chip], by_entry: Mapping[str, Sequence[Part]], near: Found = NOTHING
) -> list[Subject]:
    """Constants of a family, and of its chips with enough rows of their own."""
    whole = Subject("family", family, members[0])
    own = {chip.id: Subject("chip", chip.id, chip, family=whole) for chip in members if chip.family == family}
    current = {chip.id: chip for chip in members}
    for step in STEPS:
        rows = [
            replace(part, chip=current[part.chip.id]) for part in by_entry.get(step.main, ()) if part.chip.id in current
        ]
        if _count(rows) < FEWEST:
            continue
        found = fit_step(step, reference(step, rows), whole.chip, pull=0.1, guess=_guess(near, whole, step))
        whole.chip = with_values(whole.chip, step, found.values)
        rows = [applied(part, step, found.values) for part in rows]
        rates = fit_rates(step, rows) if step.kind in RATED else {}
        whole.rated.update({name: _count(some) for name, some in _by_stack(rows).items() if RATE + name in rates})
        whole.fits[step] = replace(found, values={**found.values, **rates})
        rows = [applied(part, step, rates) for part in rows]
        current = {name: with_values(chip, step, found.values) for name, chip in current.items()}
        for name, subject in own.items():
            mine = [part for part in rows if part.chip.id == name]
            if _count(mine) >= FEWEST and step.kind not in SHARED:
                guess = _guess(near, subject, step)
                subject.fits[step] = fit_step(step, mine, current[name], pull=1.0, guess=guess)
                current[name] = with_values(current[name], step, subject.fits[step].values)
                subject.chip = current[name]
    return [subject for subject in (whole, *own.values()) if subject.fits]


def _guess(near: Found, subject: Subject, step: Step) -> Values:
    found = near.get((subject.kind, subject.id))
    return found.fits[step].values if found and step in found.fits else {}


def _count(rows: Sequence[Part]) -> int:
    return sum(len(part.cases) for part in rows)
