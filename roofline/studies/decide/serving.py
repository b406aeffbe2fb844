"""Where inference runs: every chip in every place that is allowed, and a base here with the rest in the cloud."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from roofline.catalog.store import Catalog
from roofline.engine import capacity
from roofline.engine.deployment import Deployment
from roofline.engine.search import fewest_chips
from roofline.errors import PlanError
from roofline.machine import Chip, Economics
from roofline.studies.decide import terms
from roofline.studies.decide.fleets import Load, Part, cheapest, smaller
from roofline.workload import Plan, Serving
from roofline.workload.need import Demand, Need, Place

SHARED = 5  # chips of one's own, the cheapest, that are also tried with the cloud for the peak
WORTH = 1e-9  # less than this share of the requests is nothing


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One way to serve a load: all in one place, or a base in one and the rest in another."""

    load: Load
    parts: tuple[Part, ...]

    @property
    def usd(self) -> float | None:
        """What it costs [USD/s]; None where a price is not known."""
        return self.bill if math.isfinite(self.bill) else None

    @property
    def bill(self) -> float:
        """The same, NaN where no price is known."""
        return sum(part.bill for part in self.parts)

    @property
    def deployment(self) -> Deployment:
        """One replica of its first part."""
        return self.parts[0].deployment

    @property
    def power(self) -> float:
        """Mean draw of what is owned and rented [W]."""
        return sum(part.power for part in self.parts)

    @property
    def where(self) -> str:
        """The places, e.g. `own + cloud`."""
        return " + ".join(part.place.name for part in self.parts)


@dataclass(frozen=True, slots=True)
class Refused:
    """A chip that can't serve a load in a place, and why."""

    chip: str
    place: str
    why: str


def loads(jobs: Sequence[tuple[Demand, Serving]]) -> list[Load]:
    """Requests that can share replicas: of one model in one precision under one stack."""
    groups: dict[Hashable, list[tuple[Demand, Serving]]] = {}
    for demand, job in jobs:
        groups.setdefault((job.model.id, job.precision, demand.options.get("stack")), []).append((demand, job))
    return [Load(*(tuple(column) for column in zip(*group, strict=True))) for group in groups.values()]


def ranked(found: Iterable[Option]) -> list[Option]:
    """Options whose price is known, the cheapest first."""
    return sorted((option for option in found if option.usd is not None), key=lambda option: option.bill)


def options(
    load: Load, need: Need, chips: Sequence[Chip], economics: Economics, catalog: Catalog
) -> tuple[list[Option], list[Refused]]:  # fmt: skip
    """Every way to serve a load, and what can't."""
    found: list[Option] = []
    refused: list[Refused] = []
    for chip in chips:
        try:
            deployment, grid = _replicas(load, chip, catalog)
        except PlanError as error:
            refused += [Refused(chip.id, place.name, str(error)) for place in need.places]
            continue
        for place in need.places:
            replica = grid.best(place.network)
            part = cheapest(load, place, deployment, replica, terms.at(place.name, chip, economics))
            if part is None:
                refused.append(Refused(chip.id, place.name, _why(place, replica)))
            else:
                found.append(Option(load, (part,)))
    return [*found, *_shared(load, found)], refused


def _replicas(load: Load, chip: Chip, catalog: Catalog) -> tuple[Deployment, capacity.Grid]:
    """The chip under the software that is stated or its usual one, and what replicas of every size and plan do."""
    stack = catalog.stack(load.stack or chip.stack("serving"), chip)
    fewest = fewest_chips(load.longest, chip, stack, load.precision, {})
    deployment = Deployment(chip=chip, num_chips=fewest, stack=stack, plan=Plan(), precision=load.precision)
    plan = capacity.candidates(load.longest, deployment, fewest)
    return deployment, capacity.grid(load.jobs, deployment, plan)


def _why(place: Place, replica: capacity.Replica) -> str:
    """Why a chip that holds the model does not serve a load in a place."""
    if place.power is not None and (replica.rate > 0.0).all(axis=0).any():
        return f"a site draws more than the {place.power:,.0f} W that it has"
    return "no batch keeps the service level"


def _shared(load: Load, found: Sequence[Option]) -> Iterator[Option]:
    """For the cheapest chips of one's own: how many replicas are cheapest with the cloud for what is beyond them."""
    priced = ranked(found)
    clouds = [option.parts[0] for option in priced if option.where == "cloud"]
    bases = [option.parts[0] for option in priced if option.where != "cloud"]
    for whole in bases[:SHARED] if clouds else ():
        pairs = [Option(load, (base, rest)) for base in smaller(load, whole) for rest in _beyond(load, base, clouds[0])]
        if pairs:
            yield min(pairs, key=lambda option: option.bill)


def _beyond(load: Load, base: Part, cloud: Part) -> Iterator[Part]:
    """What a base does not serve, in the cloud."""
    mean, peak = 1.0 - base.share, 1.0 - base.replicas / base.peak
    if mean > WORTH:
        demands = tuple(replace(item, mean=item.mean * mean, peak=item.peak * peak) for item in load.demands)
        rest = cheapest(Load(demands, load.jobs), cloud.place, cloud.deployment, cloud.replica, cloud.terms)
        if rest is not None:
            yield replace(rest, share=mean)
