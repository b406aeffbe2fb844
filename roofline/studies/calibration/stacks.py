"""Fitting what software adds to a chip.

A stack is fitted to all of its rows first, then to those of each family of chips, then to each chip, every level pulled
towards the one above by as much as its rows are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roofline.catalog.store import Catalog
from roofline.machine import Chip
from roofline.machine.chip import EXPERTS
from roofline.studies.calibration.constants import BEGIN, CONSTANTS, OF_EXPERTS, SERVER, TRAINED, stated
from roofline.studies.calibration.fitting import NO_VALUES, Array, Constant, Fit, Values, fit
from roofline.studies.calibration.runs import Part, parts
from roofline.studies.calibration.telling import (
    FEWEST,
    TELLS,
    TELLS_OF_TRAINING,
    chooses,
    rows_of,
    weights,
)
from roofline.studies.measured.table import Case

PULL = 1.0  # of the level above, and of what the stack states


@dataclass(frozen=True, slots=True)
class Fitted:
    """The numbers of a stack: of all chips, and of families and chips by id; each with its fit."""

    stack: str
    fits: Mapping[str, Fit]  # "" is the stack itself
    chips: tuple[str, ...]
    rows: int
    trains: bool = False  # whether it was fitted to steps of training


def calibrate(cases: Iterable[Case], catalog: Catalog) -> list[Fitted]:
    """Numbers of every stack with enough rows, from the rows that are set aside for calibration."""
    found = parts(cases, catalog, calibration=True)
    return [fitted for stack, rows in sorted(found.items()) if (fitted := fit_stack(stack, rows)) is not None]


def fit_stack(
    stack: str, rows: Sequence[Part], stated: Collection[str] = (), near: Fitted | None = None
) -> Fitted | None:
    """Numbers of a stack on every level with enough rows; None if it has too few. A chip that is the only one of its
    family needs none of its own, and one whose rows are all of one model has none: they would be the model's. Unless
    it is among `stated`, those for which the catalogue has some. `near` is what nearly the same rows told.

    First tokens on servers tell the time of the server, given all else.
    """
    rows, queued = _apart(rows)
    if rows_of(rows) < FEWEST:
        return None
    guess = {level: found.values for level, found in near.fits.items()} if near else {}
    waiting = {level: own for what in ("family", "id") for level, own in _by(queued, what)}
    fits = {"": _begun(fit_level(rows, _stated(rows), guess.get("", NO_VALUES)), rows, queued)}
    for family, own in _by(rows, "family"):
        if rows_of(own) >= FEWEST:
            found = _apart_from(fit_level(own, fits[""].values, guess.get(family, NO_VALUES)), fits[""], own)
            fits[family] = _begun(found, own, waiting.get(family, ()))
    for chip, own in _by(rows, "id"):
        family = own[0].where.chip.family
        alone = all(part.where.chip.id == chip for part in rows if part.where.chip.family == family)
        models = {part.setup.model for part in own}
        if rows_of(own) >= FEWEST and (chip in stated or (not alone and len(models) > 1)):
            above = fits.get(family, fits[""])
            found = _apart_from(fit_level(own, above.values, guess.get(chip, NO_VALUES)), above, own)
            fits[chip] = _begun(found, own, waiting.get(chip, ()))
    return Fitted(stack, fits, _chips(rows), rows_of(rows), rows[0].trains)


def _apart_from(found: Fit, above: Fit, rows: Sequence[Part]) -> Fit:
    """The constants of a level, experts' kernels as fast as they are known to be on the level above where its own rows
    do not tell: what other products reach on a chip says nothing of them."""
    if EXPERTS in found.free or EXPERTS not in above.free:
        return found
    limits, speed = constants_of(rows)[EXPERTS], above.values[EXPERTS] * above.values["compute"]
    rate = float(np.clip(speed / found.values["compute"], limits.low, limits.high))
    return replace(found, values={**found.values, EXPERTS: rate}, free=(*found.free, EXPERTS))


def fit_chip(stack: str, rows: Sequence[Part], chip: str) -> Fitted | None:
    """Numbers of a stack on one chip alone, starting from what the catalogue says; None if it has too few rows."""
    own, queued = _apart([part for part in rows if part.where.chip.id == chip])
    if rows_of(own) < FEWEST:
        return None
    found = _begun(fit_level(own, _stated(own)), own, queued)
    return Fitted(stack, {chip: found}, _chips(own), rows_of(own), own[0].trains)


def _apart(rows: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Rows that tell all constants but the time of a server, and those that tell it alone."""
    return [part for part in rows if not part.queued], [part for part in rows if part.queued]


def _begun(found: Fit, rows: Sequence[Part], queued: Sequence[Part]) -> Fit:
    """Constants with the time of a server as enough first tokens tell it."""
    if rows_of(queued) < FEWEST:
        return found
    own = _fit(queued, found.values, {SERVER: CONSTANTS[SERVER]}, NO_VALUES)
    return _over(rows, replace(found, values=own.values, free=(*found.free, SERVER)))


def level_of(fits: Collection[str], chip: Chip) -> str:
    """The level whose numbers hold on a chip: its own, its family's, its kind's, else that of all chips."""
    return next(level for level in (chip.id, chip.family, chip.kind, "") if level in fits or not level)


def _chips(rows: Sequence[Part]) -> tuple[str, ...]:
    return tuple(sorted({part.where.chip.id for part in rows}))


def constants_of(rows: Sequence[Part]) -> Mapping[str, Constant]:
    """The constants that rows of one kind may tell."""
    return TRAINED if rows[0].trains else CONSTANTS


def _stated(rows: Sequence[Part]) -> dict[str, float]:
    """What their stack says of the constants that rows may tell."""
    return {name: stated(rows[0].where.stack, name) for name in constants_of(rows)}


def _by(rows: Sequence[Part], what: str) -> Iterator[tuple[str, list[Part]]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in rows:
        found[getattr(part.where.chip, what)].append(part)
    yield from sorted(found.items())


def fit_level(rows: Sequence[Part], start: Mapping[str, float], guess: Values = NO_VALUES) -> Fit:
    """Constants for all of these rows alike; what no row tells stays as it is.

    Of training, what is about experts is told by models that have some, given what the others tell of all else.
    """
    plain, routed = ([part for part in rows if chooses(part) is routes] for routes in (False, True))
    if not rows[0].trains or not plain or not routed:
        return _fit(rows, start, constants_of(rows), guess)
    apart = {name: constant for name, constant in TRAINED.items() if name not in OF_EXPERTS}
    shared = _fit(plain, start, apart, guess)
    own = {name: TRAINED[name] for name in OF_EXPERTS}
    found = _fit(routed, shared.values, own, guess)
    return _over(rows, Fit(found.values, tuple(dict.fromkeys((*shared.free, *found.free))), found.start, found.end))


def _over(rows: Sequence[Part], found: Fit) -> Fit:
    """The same constants with their errors on all rows."""
    before = np.concatenate([part.before for part in rows])
    return replace(found, start=before, end=np.concatenate([part.errors(found.values) for part in rows]))


def _fit(
    rows: Sequence[Part], start: Mapping[str, float], known: Mapping[str, Constant], guess: Values
) -> Fit:  # fmt: skip
    """Some constants for all of these rows, all others as they are."""
    told = {name: tells(rows) for name, tells in (TELLS_OF_TRAINING if rows[0].trains else TELLS).items()}
    free = [replace(constant, start=start[name]) for name, constant in known.items() if told.get(name, True)]
    fixed = {name: value for name, value in start.items() if name not in known}

    def predict(values: Values) -> Array:
        return np.concatenate([part.predicted({**fixed, **values}) for part in rows], axis=1)

    measured = np.concatenate([part.measured for part in rows])
    begin = {**BEGIN, **guess} if rows[0].trains else guess
    if not free:
        return _over(rows, Fit(dict(start), (), np.empty(0), np.empty(0)))
    found = fit(free, predict, measured, pull=PULL, weights=weights(rows), guess=begin)
    before = np.concatenate([part.before for part in rows])
    return replace(found, values={**start, **found.values}, start=before)
