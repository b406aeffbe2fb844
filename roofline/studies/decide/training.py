"""Who trains, and on which chip: rented, owned or lent, as many chips as are done in time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import billing, plans, roof, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import PlanError
from roofline.machine import Chip, Economics
from roofline.studies import contract
from roofline.studies.decide.fleets import with_hosts
from roofline.studies.decide.terms import Billed, Terms, hourly, owned
from roofline.studies.request import Options, resolve_deployment
from roofline.units import HOUR
from roofline.workload import Plan, Training
from roofline.workload.need import Need, Run

Who: TypeAlias = Literal["cloud", "own", "partner"]
LOOKED = 8  # chips that are looked at in any case, those whose bounds are the cheapest
TRIES = 8  # doublings of a count
USUAL = 0.5  # share of the peak that a first guess of a count takes steps to reach
PASSES = 6.0  # FLOPs of a parameter and token: a product ahead, two back


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A run on so many chips, and how long it lasts [s]."""

    run: Run
    prediction: Prediction
    lasts: float

    @property
    def deployment(self) -> Deployment:
        """Chips and plan."""
        return self.prediction.deployment

    @property
    def in_time(self) -> bool:
        """Whether it fits and is done in time."""
        return bool(self.prediction.fits) and self.lasts <= self.run.within


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice(Billed):
    """Somebody's chips for a run, billed for all of it."""

    who: Who
    trained: Trained

    @property
    def late(self) -> bool:
        """Whether it does not fit, or is not done in time."""
        return not self.trained.in_time

    @property
    def deployment(self) -> Deployment:
        """Chips and plan."""
        return self.trained.deployment

    @property
    def chips(self) -> int:
        """Chips of the run."""
        return self.deployment.num_chips


def choices(
    run: Run, job: Training, need: Need, chips: Sequence[Chip], economics: Economics, catalog: Catalog
) -> list[Choice]:  # fmt: skip
    """Everybody's chips that are looked at: all that are named, else those that may be the cheapest.

    Chips are looked at in the order of what they would cost at their peak, until one costs more at its peak than
    another as expected; chips without a price after those that have one.
    """
    if run.on:
        wanted = [resolve_deployment(catalog, text, job, Options(), anyway=True) for text in run.on]
        found = [_trained(run, job, deployment) for deployment in wanted]
        return [choice for trained in found for choice in _had(run, need, trained, economics)]
    chosen: list[Choice] = []
    for looked, (chip, least) in enumerate(_by_bound(run, job, need, chips, economics)):
        best = min((choice.usd for choice in chosen if choice.usd is not None and not choice.late), default=math.inf)
        if looked >= LOOKED and least > best:
            break
        trained = _sized(run, job, chip, catalog)
        if trained is not None:
            chosen += _had(run, need, trained, economics)
    return chosen


def _had(run: Run, need: Need, trained: Trained, economics: Economics) -> Iterator[Choice]:
    """The same run on everybody's terms."""
    deployment = trained.deployment
    chips, metrics = float(deployment.num_chips), trained.prediction.metrics
    for who, terms in whose(run, need, deployment.chip, economics).items():
        watts, tdp = billing.system_power(metrics), deployment.chip.tdp
        drawn = math.nan if watts is None else float(np.max(watts))
        room = drawn if tdp is None else max(float(with_hosts(deployment.chip, tdp * chips, chips)), drawn)
        beside, slope = terms.bill(chips, chips, drawn, room)
        lasts = trained.lasts
        yield Choice(
            who=who, trained=trained, terms=terms, beside=float(beside) * lasts, slope=float(slope) * lasts
        )  # fmt: skip


def whose(run: Run, need: Need, chip: Chip, economics: Economics) -> Mapping[Who, Terms]:
    """Who may train on a chip, and on what terms. Owned chips do other work for the rest of their time."""
    found: dict[Who, Terms] = {}
    if need.place("cloud"):
        found["cloud"] = hourly(chip.price.hourly)
    if need.place("own"):
        mine, use = owned(chip, economics), economics.owned
        found["own"] = replace(mine, per_price=mine.per_price / use, chip=mine.chip / use, watt=mine.watt / use)
    if chip.id in run.partner:
        found["partner"] = hourly(run.partner[chip.id] * HOUR)
    return found


def _by_bound(
    run: Run, job: Training, need: Need, chips: Sequence[Chip], economics: Economics
) -> list[tuple[Chip, float]]:  # fmt: skip
    """Chips that train, with the least that a run can cost on each [USD], the cheapest first."""
    known: list[tuple[Chip, float]] = []
    unknown: list[tuple[Chip, float]] = []
    for chip in chips:
        if "training" not in chip.stacks:
            continue
        seconds = _chip_seconds(job, chip)
        bills = [float(terms.per_price * terms.price) for terms in whose(run, need, chip, economics).values()
                 if terms.price is not None]  # fmt: skip
        if not math.isfinite(seconds):
            continue
        if bills:
            known.append((chip, min(bills) * seconds))
        else:
            unknown.append((chip, seconds))
    known.sort(key=lambda item: item[1])
    unknown.sort(key=lambda item: item[1])
    return [*known, *((chip, math.inf) for chip, _ in unknown[:LOOKED])]


def _chip_seconds(job: Training, chip: Chip) -> float:
    """Chip-seconds of a run at the peak: of all parameters, or of the passes ahead and back beside adapters."""
    passes = PASSES * (2.0 / 3.0 if job.frozen else 1.0)
    return float(passes * job.model.active_parameters * job.tokens / roof.peak(chip, job.precision.arithmetic))


def _sized(run: Run, job: Training, chip: Chip, catalog: Catalog) -> Trained | None:
    """The run on the fewest chips, a power of two, that are done in time; on the most that are tried if none are."""
    stack = catalog.stack(chip.stack("training"), chip)
    near = chip.link("scale-up")
    domain = 1.0 if near is None else min(float(np.max(near.chips)), 8.0)
    least = max(_chip_seconds(job, chip) / run.within / USUAL, min(domain, plans.most_chips(chip)))
    first = max(round(math.log2(min(least, plans.most_chips(chip)))), 0)
    tried: dict[int, Trained | None] = {}

    def at(power: int) -> Trained | None:
        if power not in tried:
            tried[power] = _attempt(run, job, chip, 1 << power, stack_id=stack.id, catalog=catalog)
        return tried[power]

    power = first
    while power < first + TRIES and (2 << power) <= plans.most_chips(chip) and not _done(at(power)):
        power += 1
    while power > 0 and _done(at(power)) and _done(at(power - 1)):
        power -= 1
    return at(power)


def _done(trained: Trained | None) -> bool:
    return trained is not None and trained.in_time


def _attempt(run: Run, job: Training, chip: Chip, count: int, *, stack_id: str, catalog: Catalog) -> Trained | None:
    """The run on so many chips under its fastest plan; None if no plan divides it so."""
    stack = catalog.stack(stack_id, chip)
    deployment = Deployment(
        chip=chip, num_chips=count, stack=stack, plan=Plan(), precision=job.precision,
        spreads=catalog.spreads(chip, stack), label=f"{count}x{chip.id}",
    )  # fmt: skip
    try:
        plan = search.best_plan(job, deployment, {})
    except PlanError:
        return None
    return _trained(run, job, replace(deployment, plan=plan))


def _trained(run: Run, job: Training, deployment: Deployment) -> Trained:
    prediction = search.predict(job, deployment)
    return Trained(run, prediction, contract.number(prediction.metrics["time_to_train_s"]) or math.inf)
