"""Constants from measurements: those of kernels and links first, then, given these, those of the software on top.

A run fits, writes files, reads them back, and says how far off predictions were before, how far off they are now, and
how far on rows that were left out of the fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.specs.stack import OVERHEADS
from roofline.catalog.store import CALIBRATED, Catalog, builtin, real
from roofline.errors import OutputError, RooflineError, did_you_mean
from roofline.machine.evidence import POWER
from roofline.studies.calibration import kernels, power, runs, spread, stacks, telling
from roofline.studies.calibration.draft import FOLDERS, Draft, draft, written
from roofline.studies.calibration.fitting import Array, error
from roofline.studies.calibration.kernels import RATE, Found, Subject
from roofline.studies.calibration.overlay import POWERS, REQUESTS, STEPS, TIMES, TIMINGS, Origin, Writer
from roofline.studies.calibration.power import Powered
from roofline.studies.calibration.residuals import KERNEL, Method, Residual, Run, Timings, leave_out, over
from roofline.studies.calibration.runs import Usable
from roofline.studies.calibration.stacks import Fitted
from roofline.studies.measured import table
from roofline.studies.measured.table import KERNELS, SERVING, Case, Table
from roofline.studies.measured.training import TRAINING

CALIBRATION_SCHEMA = "roofline.calibration/1"
CALIBRATION, ALL = "calibration", "all"
SPLITS = (CALIBRATION, ALL)
FAMILY, CHIP, STACK = "family", "chip", "stack"


def _of_power(case: Case) -> bool:
    return case["metric"] in table.POWERS


# What rows are called that constants are fitted to, with how to tell them.
NOUNS: Mapping[str, Callable[[Table, Case], bool]] = MappingProxyType(
    {
        TIMINGS: lambda table, case: table.layout is KERNELS,
        REQUESTS: lambda table, case: table.layout is SERVING and case["phase"] != TRAINING and not _of_power(case),
        STEPS: lambda table, case: table.layout is SERVING and case["phase"] == TRAINING and not _of_power(case),
        POWERS: lambda table, case: table.layout is SERVING and _of_power(case),
    }
)
NOT_ASKED = "not asked for"
_DAY = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")

Say = Callable[[str], None]
Skips = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to fit: everything, or one chip, or one stack, or one stack on one chip; to which side of the split."""

    chip: str | None = None
    stack: str | None = None
    split: str | None = None
    cross_check: bool = True

    @property
    def everything(self) -> bool:
        """Whether all that rows tell is fitted."""
        return self.chip is None and self.stack is None


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Given:
    """One table of measurements: its name in files, its content's hash, which side of the split is fitted to."""

    label: str
    digest: str
    table: Table
    split: str

    @property
    def calibration(self) -> bool | None:
        """The side as the split knows it."""
        return True if self.split == CALIBRATION else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run was given, what it found, what it left out and why, and its errors on rows left out of the fit."""

    given: Sequence[Given]
    run: Run
    skipped: Skips
    residuals: Sequence[Residual] = ()
    written: Sequence[Path] = ()
    removed: Sequence[Path] = ()


def calibrate(
    paths: Sequence[Path],
    catalog: Catalog,
    *,
    shipped: bool = False,
    into: Path | None = None,
    wanted: Wanted = EVERYTHING,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """The contract's calibration to tables of measurements (see `outcome`)."""
    return report(outcome(paths, catalog, shipped=shipped, into=into, wanted=wanted, say=say))


def report(found: Outcome) -> dict[str, Any]:
    """What a run found, as the contract's calibration."""
    return {
        "schema": CALIBRATION_SCHEMA,
        "version": __version__,
        "files": [
            {"name": item.label, "sha256": item.digest, "kind": item.table.layout.name,
             "rows": len(item.table.cases), "split": item.split}
            for item in found.given
        ],
        "rows": [*_subject_rows(found), *_power_rows(found), *_stack_rows(found)],
        "skipped": found.skipped,
        "written": [str(path) for path in found.written],
        "removed": [str(path) for path in found.removed],
    }  # fmt: skip


def outcome(
    paths: Sequence[Path],
    catalog: Catalog,
    *,
    shipped: bool = False,
    into: Path | None = None,
    wanted: Wanted = EVERYTHING,
    say: Say = lambda text: None,
) -> Outcome:
    """Fit to tables of measurements, the shipped ones among them if asked for.

    Files go to `into`, laid out like `hardware`; without it nothing is written. What an earlier run wrote there is not
    seen by this one, and goes away. The shipped tables are fitted to as if nothing had been fitted before: the outcome
    does not depend on what there was. `RooflineError` if the rows tell nothing.
    """
    wanted = _named(wanted, catalog)
    given = [_read(path, wanted, own=False) for path in table.shipped()] if shipped else []
    given += [_read(path, wanted, own=True) for path in paths]
    if not given:
        raise RooflineError("nothing to fit to; give --fit FILE or --shipped")
    if into is not None and not wanted.everything:
        _check_alone(into, wanted)
    anew = shipped and wanted.everything
    hidden = [*(written(into) if into else ()), *(written(builtin("hardware") / CALIBRATED) if anew else ())]
    base = Snapshot(catalog.hardware_dirs, catalog.workload_dirs, frozenset(real(path) for path in hidden))
    with draft(into) as files:
        found = _fitted(given, base, wanted, files, say, anew=anew)
        _read_back(found.run, over(base, files))
        if wanted.cross_check:
            found = replace(found, residuals=leave_out(found.run, say))
            files.add_spreads(spread.table(found.residuals))
        now, gone = files.publish()
    return replace(found, written=now, removed=gone)


def _named(wanted: Wanted, catalog: Catalog) -> Wanted:
    """With ids of the catalogue; `RooflineError` for a name that nothing has."""
    if wanted.split is not None and wanted.split not in SPLITS:
        near = did_you_mean(wanted.split, SPLITS, most=1)
        hint = f"did you mean {near}?" if near else f"one of {', '.join(SPLITS)}"
        raise RooflineError(f"--split {wanted.split}: no such side; {hint}")
    return replace(
        wanted,
        chip=catalog.spec(CHIP, wanted.chip).id if wanted.chip else None,
        stack=catalog.spec(STACK, wanted.stack).id if wanted.stack else None,
    )


def _read(path: Path, wanted: Wanted, *, own: bool) -> Given:
    """A table; of the user's own all rows are fitted to, of the shipped ones those that do not score."""
    found = table.read(path)
    if not found.cases:
        raise RooflineError(f"{path}: no rows")
    label = path.name.encode("utf-8", "replace").decode() if own else f"workloads/measured/{path.name}"
    printable = "".join(char if char.isprintable() else "?" for char in label)
    digest = sha256(path.read_bytes()).hexdigest()
    return Given(printable, digest, found, wanted.split or (ALL if own else CALIBRATION))


def _check_alone(into: Path, wanted: Wanted) -> None:
    """A folder is what one run found: a run that fits a part must not take the place of one that fitted more."""
    others = [path for path in written(into) if not _may_replace(path, wanted)]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise OutputError(f"{into} holds what a run found that fitted more ({others[0]}{more}); choose another folder")


def _may_replace(path: Path, wanted: Wanted) -> bool:
    of_stack = path.parent.name == FOLDERS[STACK]
    return of_stack and path.stem == wanted.stack if wanted.stack else of_stack or path.stem == wanted.chip


def _fitted(given: Sequence[Given], base: Catalog, wanted: Wanted, files: Draft, say: Say, *, anew: bool) -> Outcome:
    """Kernels and links, written, then stacks that see what was written, written too."""
    origins = {noun: _origin(given, noun) for noun in NOUNS}
    writer = Writer(origins, _measured_on(base, anew=anew))
    method = _method(base, wanted)
    say("reading timings of kernels")
    timings, skipped = _timings(given, base, wanted)
    say("fitting kernels and links")
    subjects = method.timings(timings, {})
    writer.write(files, subjects)
    say("reading figures of requests")
    requests = _requests(given, over(base, files), wanted)
    fitted: list[Fitted] = []
    for stack in sorted(requests.fitted):
        say(f"fitting {stack}")
        found = method.requests(stack, requests.telling(stack), None)
        fitted += [found] if found else []
    skipped += requests.skipped
    writer.write(files, subjects, fitted)
    say("fitting power")
    drawn = _powers(given, over(base, files), wanted)
    skipped += drawn.skipped
    powered = method.powers(drawn.parts)
    if not subjects and not fitted and not powered:
        raise RooflineError(_nothing(timings, requests, skipped))
    writer.write(files, subjects, fitted, powered)
    run = Run(base, method, writer, timings, requests, subjects, fitted, drawn.parts, powered)
    return Outcome(given, run, skipped)


def _method(base: Catalog, wanted: Wanted) -> Method:
    """How what is wanted is fitted."""

    def timings(rows: Timings, near: Found) -> list[Subject]:
        return kernels.fit_chip(rows, base.chip(wanted.chip)) if wanted.chip else kernels.fit_all(rows, base, near)

    def requests(stack: str, rows: Sequence[runs.Part], near: Fitted | None) -> Fitted | None:
        if wanted.chip:
            return stacks.fit_chip(stack, rows, wanted.chip)
        return stacks.fit_stack(stack, rows, base.stack_spec(stack).variants, near)

    def powers(rows: Sequence[runs.Part]) -> list[Powered]:
        return power.fit_all(rows, base)

    return Method(timings, requests, powers)


def _timings(given: Sequence[Given], base: Catalog, wanted: Wanted) -> tuple[dict[str, list[kernels.Part]], Skips]:
    """Timings by what they tell; a stack by itself is told by requests."""
    found: dict[str, list[kernels.Part]] = {}
    skipped: Skips = []
    for item in given:
        if item.table.layout is not KERNELS:
            continue
        by_entry, left_out = kernels.usable(item.table.cases, base, calibration=item.calibration)
        skipped += left_out
        for entry, parts in by_entry.items():
            for part in parts:
                if wanted.stack is None and wanted.chip in (None, part.chip.id):
                    found.setdefault(entry, []).append(part)
                else:
                    skipped += [{"id": case["id"], "reason": NOT_ASKED} for case in part.cases]
    return found, skipped


def _requests(given: Sequence[Given], catalog: Catalog, wanted: Wanted) -> Usable:
    """Figures of requests by stack."""
    found = Usable({}, {}, [])
    for item in given:
        if item.table.layout is KERNELS:
            continue
        usable = runs.usable(item.table.cases, catalog, calibration=item.calibration)
        found.skipped.extend(usable.skipped)
        for rows, more in ((found.fitted, usable.fitted), (found.watched, usable.watched)):
            for stack, parts in more.items():
                for part in parts:
                    if wanted.stack in (None, stack) and wanted.chip in (None, part.where.chip.id):
                        rows.setdefault(stack, []).append(part)
                    elif more is usable.fitted:
                        found.skipped.extend({"id": case["id"], "reason": NOT_ASKED} for case in part.cases)
    return found


def _powers(given: Sequence[Given], catalog: Catalog, wanted: Wanted) -> power.Usable:
    """Rows of power; families are told by all of their chips and stacks, so that a part of them tells nothing."""
    found = power.Usable()
    for item in given:
        if item.table.layout is KERNELS:
            continue
        one = power.usable(item.table.cases, catalog, calibration=item.calibration)
        found.skipped.extend(one.skipped)
        if wanted.everything:
            found.parts.extend(one.parts)
        else:
            found.skipped.extend({"id": case["id"], "reason": NOT_ASKED} for part in one.parts for case in part.cases)
    return found


def _origin(given: Sequence[Given], noun: str) -> Origin:
    """Where rows of one kind come from; the newest day that one of them states."""
    own = {item.label: (item, [case for case in item.table.cases if NOUNS[noun](item.table, case)]) for item in given}
    tables = [(label, item.digest) for label, (item, cases) in own.items() if cases]
    days = (case["date"].strip() for _, cases in own.values() for case in cases)
    return Origin(noun, tables, max((day for day in days if _DAY.fullmatch(day)), default=""))


def _measured_on(base: Catalog, *, anew: bool) -> Callable[[str], Sequence[str]]:
    """Chips on which a stack was measured before, whose numbers stay unless all is fitted anew."""
    return lambda stack: () if anew else base.stack_spec(stack).measured_on


def _nothing(timings: Timings, requests: Usable, skipped: Skips) -> str:
    """Why no constant could be fitted."""
    left = sum(len(part.cases) for rows in timings.values() for part in rows)
    left += sum(len(part.cases) for rows in requests.fitted.values() for part in rows)
    few = [f"{left} rows are too few: a chip needs {kernels.FEWEST} of one kind of kernel, a stack {telling.FEWEST}"]
    reasons = Counter(item["reason"] for item in skipped).most_common(3)
    return "no constant can be fitted: " + "; ".join(
        [*(few if left else ()), *(f"{count} rows skipped: {reason}" for reason, count in reasons)]
    )


def _read_back(run: Run, catalog: Catalog) -> None:
    """Every file is read before any goes to its place."""
    for subject in run.subjects:
        catalog.spec(subject.kind, subject.id)
    for one in run.powered:
        catalog.spec(FAMILY, one.id)
    for found in run.fitted:
        catalog.stack_spec(found.stack)


def _subject_rows(found: Outcome) -> Iterator[dict[str, Any]]:
    """Rows of the contract for families and chips."""
    kernels_left_out = [item for item in found.residuals if item.phase == KERNEL]
    for subject in found.run.subjects:
        what = CHIP if subject.kind == FAMILY else "shape"
        own = [item.error for item in kernels_left_out if (item.left_out, item.level) == (what, subject.id)]
        fits = list(subject.fits.values())
        errors = np.concatenate([fit.start for fit in fits]), np.concatenate([fit.end for fit in fits])
        yield _row((subject.kind, subject.id, ""), _of_kernels(subject), errors, what, own)


def _power_rows(found: Outcome) -> Iterator[dict[str, Any]]:
    """Rows of the contract for the power of kinds and families; each chip is left out of them in turn."""
    for one in found.run.powered:
        own = [
            item.error
            for item in found.residuals
            if item.figure == POWER and item.left_out == CHIP and item.chip in one.chips
        ]
        constants = {f"power.{name}": value for name, value in one.fit.values.items()}
        yield _row((FAMILY, one.id, POWER), constants, (one.fit.start, one.fit.end), CHIP, own)


def _stack_rows(found: Outcome) -> Iterator[dict[str, Any]]:
    """Rows of the contract for stacks, level by level. A level of several chips is to hold for another, one of a single
    chip for another model."""
    for fitted in found.run.fitted:
        own = [
            item for item in found.residuals if item.stack == fitted.stack and item.phase != KERNEL and not item.watched
        ]
        chips = {part.where.chip.id: part.where.chip.family for part in found.run.requests.fitted[fitted.stack]}
        for level, fit in fitted.fits.items():
            members = {chip for chip, family in chips.items() if level in ("", chip, family)}
            what = CHIP if len(members) > 1 else "model"
            errors = [item.error for item in own if item.left_out == what and item.chip in members]
            constants = {f"{name}_s" if name in OVERHEADS else name: fit.values[name] for name in fit.free}
            yield _row((STACK, fitted.stack, level), constants, (fit.start, fit.end), what, errors)


def _of_kernels(subject: Subject) -> dict[str, float]:
    """Constants of a chip or family by name, those in seconds marked so; last the rates of stacks by kind of kernel."""
    found: dict[str, float] = {}
    for fit in subject.fits.values():
        for name, value in fit.values.items():
            if not name.startswith(RATE):
                found[f"{name}_s" if name.rpartition(".")[2] in TIMES else name] = value
    if subject.kind == FAMILY:
        for stack, rates in subject.rates.items():
            found |= {f"{kind}.rate.{stack}": value for kind, value in rates.items()}
    return found


def _row(
    name: tuple[str, str, str],
    constants: Mapping[str, float],
    errors: tuple[Array, Array],
    left_out: str,
    without: Sequence[float],
) -> dict[str, Any]:
    """One row: what was fitted, to how many rows, and median errors before, with the constants, and without the groups
    that are left out in turn."""
    before, after = errors
    return {
        "subject": name[0],
        "id": name[1],
        "level": name[2],
        "rows": len(after),
        "median_error_before": error(before),
        "median_error_after": error(after),
        "left_out": left_out,
        "left_out_rows": len(without),
        "median_error_left_out": error(np.array(without)) if without else None,
        "constants": dict(constants),
    }
