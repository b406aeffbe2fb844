"""Where inference runs: every chip in every place that is allowed, and a base here with the rest in the cloud."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import capacity
from roofline.engine.capacity import Grid
from roofline.engine.deployment import Deployment
from roofline.engine.search import fewest_chips
from roofline.errors import PlanError
from roofline.machine import Chip, Economics
from roofline.studies.decide import terms
from roofline.studies.decide.fleets import Load, Part, cheapest, smaller
from roofline.studies.decide.terms import Terms
from roofline.workload import Plan, Serving
from roofline.workload.need import Demand, Need, Place

SHARED = 5  # chips of one's own, the cheapest, that are also tried with the cloud for the peak
POOLED = 4  # replicas from which on prompts and answers are also tried apart
WORTH = 1e-9  # less than this share of the requests is nothing


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One way to serve a load: all in one place, prompts apart from answers or not, or a base in one place and the
    rest in another."""

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
    def own_power(self) -> float:
        """Mean draw of what is not rented [W]."""
        return sum((part.power for part in self.parts if not part.terms.elastic), start=0.0)

    @property
    def where(self) -> str:
        """The places, e.g. `own + cloud`."""
        return " + ".join(dict.fromkeys(part.place.name for part in self.parts))


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
    return [Load(tuple(one for one, _ in group), tuple(job for _, job in group)) for group in groups.values()]


def ranked(found: Iterable[Option]) -> list[Option]:
    """Options whose price is known, the cheapest first."""
    return sorted((option for option in found if option.usd is not None), key=lambda option: option.bill)


def options(
    load: Load, need: Need, chips: Sequence[Chip], economics: Economics, catalog: Catalog
) -> tuple[list[Option], list[Refused]]:  # fmt: skip
    """Every way to serve a load, and what can't."""
    found: list[Option] = []
    whole: list[Option] = []
    refused: list[Refused] = []
    for chip in chips:
        try:
            replicas = Replicas.of(load, chip, catalog)
        except PlanError as error:
            refused += [Refused(chip.id, place.name, str(error)) for place in need.places]
            continue
        for place in need.places:
            ways = replicas.ways(place, terms.at(place.name, chip, economics))
            if ways:
                found.append(Option(load, min(ways, key=_rising)))
                whole += [Option(load, way) for way in ways if len(way) == 1]
            else:
                refused.append(Refused(chip.id, place.name, replicas.why(place)))
    return [*found, *_shared(load, whole)], refused


def _rising(way: Sequence[Part]) -> float:
    """By what ways on the same terms are compared: the bill, or how it rises with the price where that is not known."""
    bill = sum(part.bill for part in way)
    return bill if math.isfinite(bill) else sum(part.slope for part in way)


@dataclass(frozen=True, eq=False)
class Replicas:
    """A chip under some software, and what replicas of every size and plan do of a load."""

    load: Load
    deployment: Deployment
    grid: Grid

    @classmethod
    def of(cls, load: Load, chip: Chip, catalog: Catalog) -> Replicas:
        """Under the software that is stated or the chip's usual one; `PlanError` if nothing holds the model."""
        stack = catalog.stack(load.stack or chip.stack("serving"), chip)
        fewest = fewest_chips(load.longest, chip, stack, load.precision, {})
        deployment = Deployment(chip=chip, num_chips=fewest, stack=stack, plan=Plan(), precision=load.precision)
        plan = capacity.candidates(load.longest, deployment, fewest)
        return cls(load, deployment, capacity.grid(load.jobs, deployment, plan))

    def ways(self, place: Place, asked: Terms) -> list[tuple[Part, ...]]:
        """The cheapest replicas that read and write, and pools apart where there are so many that pools are full."""
        part = cheapest(self.load, place, self.deployment, self.grid.best(place.network), asked)
        few = part is not None and part.replicas < POOLED * place.sites
        apart = None if few or place.power is not None else self.apart(place, asked)
        return [way for way in ((part,) if part else None, apart) if way]

    @cached_property
    def pools(self) -> tuple[tuple[Load, Grid], tuple[Load, Grid]] | None:
        """The two halves of a load, and what replicas that do nothing else do of them; None where it has none."""
        halves = self.load.pools() if self.deployment.stack.batching == "continuous" else None
        if halves is None:
            return None
        reads, writes = halves
        reading = capacity.grid(reads.jobs, self.deployment, self.grid.plan, capacity.ALONE)
        return (reads, reading), (writes, capacity.grid(writes.jobs, self.deployment, self.grid.plan))

    def apart(self, place: Place, asked: Terms) -> tuple[Part, ...] | None:
        """The cheapest pool that reads and the cheapest that writes."""
        if self.pools is None:
            return None
        (reads, reading), (writes, writing) = self.pools
        crossing = np.array([capacity.moving(job, self.deployment, reading.plan) for job in reads.jobs])
        halves = (
            cheapest(reads, place, self.deployment, reading.queued(place.network + crossing), asked),
            cheapest(writes, place, self.deployment, writing.best(), asked),
        )
        return tuple(part for part in halves if part) if all(halves) else None

    def why(self, place: Place) -> str:
        """Why it does not serve a load in a place."""
        if place.power is not None and (self.grid.best(place.network).rate > 0.0).all(axis=0).any():
            return f"a site draws more than the {place.power:,.0f} W that it has"
        return "no batch keeps the service level"


def _shared(load: Load, whole: Sequence[Option]) -> Iterator[Option]:
    """For the cheapest chips of one's own: how many replicas are cheapest with the cloud for what is beyond them."""
    parts = [option.parts[0] for option in ranked(whole)]
    clouds = [part for part in parts if part.place.name == "cloud"]
    bases = [part for part in parts if part.place.name != "cloud"]
    for all_here in bases[:SHARED] if clouds else ():
        pairs = [
            Option(load, (base, rest)) for base in smaller(load, all_here) for rest in _beyond(load, base, clouds[0])
        ]
        if pairs:
            yield min(pairs, key=lambda option: option.bill)


def _beyond(load: Load, base: Part, cloud: Part) -> Iterator[Part]:
    """What a base does not serve, in the cloud."""
    mean, peak = 1.0 - base.share, 1.0 - base.replicas / base.peak
    if mean > WORTH:
        demands = tuple(replace(item, mean=item.mean * mean, peak=item.peak * peak) for item in load.demands)
        rest = cheapest(Load(demands, load.jobs), cloud.place, cloud.deployment, cloud.replica, cloud.terms)
        if rest is not None:
            yield replace(rest, load=load, share=mean)
