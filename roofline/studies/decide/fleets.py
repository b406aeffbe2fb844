"""Fleets: requests of one model in one place, on one chip: how many replicas, and what they cost.

A replica of a size and plan serves so many requests per second of each kind (`engine.capacity`), so a load fills so
many replicas; a place turns that into chips and money. Every plan is priced at once; the cheapest is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from roofline.engine import energy, fleet, plans
from roofline.engine.capacity import Replica
from roofline.engine.deployment import Deployment
from roofline.machine import Chip
from roofline.numeric import Num
from roofline.studies.decide.terms import Billed, Terms
from roofline.workload import Decode, Model, Plan, Precision, Prefill, Serving
from roofline.workload.need import Demand, Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

Numbers: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Requests of one model in one precision, of one kind or several, which share its replicas.

    `role` is "prefill" or "decode" where replicas do only that part of a request, empty where they do all of it.
    """

    demands: tuple[Demand, ...]
    jobs: tuple[Serving, ...]
    role: str = ""

    @property
    def model(self) -> Model:
        """The model of all of them."""
        return self.jobs[0].model

    @property
    def precision(self) -> Precision:
        """The formats of all of them."""
        return self.jobs[0].precision

    @property
    def stack(self) -> str | None:
        """The software that is stated, None for what is usual on a chip."""
        return self.demands[0].options.get("stack")

    def pools(self) -> tuple[Load, Load] | None:
        """What pools apart read and write; None where a request goes to and fro, or does only one of both."""
        if not all([type(step) for step in job.steps] == [Prefill, Decode] for job in self.jobs):
            return None
        reads, writes = (tuple(only for job in self.jobs if (only := job.only(kind))) for kind in (Prefill, Decode))
        return Load(self.demands, reads, "prefill"), Load(self.demands, writes, "decode")

    @property
    def longest(self) -> Serving:
        """One request of the longest context, which decides how many chips are the fewest."""
        return replace(max(self.jobs, key=lambda job: float(np.max(job.context_len))), batch=1.0)

    @property
    def tokens_per_s(self) -> float:
        """Tokens that are read and generated in the mean second."""
        each = (float(np.max(job.input_len + job.output_len)) for job in self.jobs)
        return sum(demand.mean * tokens for demand, tokens in zip(self.demands, each, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A load in replicas that it fills in one site of a place, for each plan that serves it: `mean` and `peak`.

    `work` [W] is what they draw together in the mean, `most` what one replica draws at the most, with hosts both;
    `chips` is what it has, `index` are the plans' places among those of the replica.
    """

    mean: Numbers
    peak: Numbers
    work: Numbers
    most: Numbers
    chips: Numbers
    index: NDArray[np.intp]

    @classmethod
    def of(cls, load: Load, replica: Replica, sites: int) -> Filled:
        """How a load fills replicas of each plan in each of so many sites."""
        index = np.flatnonzero(np.all(replica.rate > 0.0, axis=0))
        each, power = 1.0 / (replica.rate[:, index] * sites), replica.power[:, index]
        mean, peak = (np.array([[getattr(item, name)] for item in load.demands]) * each for name in ("mean", "peak"))
        work, most = (mean * power).sum(axis=0), np.max(power, axis=0, initial=0.0)
        return cls(mean.sum(axis=0), peak.sum(axis=0), work, most, replica.chips[index], index)

    def at(self, position: int) -> Filled:
        """One of the plans, as arrays of one."""
        kept = slice(position, position + 1)
        return Filled(*(getattr(self, name)[kept] for name in ("mean", "peak", "work", "most", "chips", "index")))


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What `count` replicas in one site do and cost, elementwise: `carried` is the mean load that they serve, in
    replicas, `running` how many of them run on average, `watts` what they draw then and `rated` at most.

    The bill [USD/s] is `beside + slope·price`, whether or not the price is known.
    """

    count: Num
    carried: Num
    running: Num
    watts: Num
    rated: Num
    beside: Num
    slope: Num


def costs(filled: Filled, count: Num, chip: Chip, terms: Terms) -> Costs:
    """What so many replicas of each plan cost in one site. A chip that waits draws its power at rest, as much as at
    work where nobody knows; a room is provided for chips at their TDP."""
    carried = fleet.carried(count, filled.mean, filled.peak)
    running = fleet.running(carried, count) if terms.elastic else count
    waiting = filled.most if chip.idle is None else with_hosts(chip, filled.chips * chip.idle, filled.chips)
    watts = filled.work * carried / filled.mean + np.maximum(running - carried, 0.0) * waiting
    rated = count * filled.most
    room = rated
    if chip.tdp is not None:
        room = np.maximum(count * with_hosts(chip, filled.chips * chip.tdp, filled.chips), rated)
    beside, slope = terms.bill(filled.chips * count, filled.chips * running, watts, room)
    return Costs(count, carried, running, watts, rated, beside, slope)


def with_hosts(chip: Chip, watts: Num, chips: Num) -> Num:
    """What chips that draw so much draw with their hosts; alone where nothing is known of these."""
    found = energy.system_power(chip, watts, chips)
    return watts if found is None else found


@dataclass(frozen=True, eq=False, kw_only=True)
class Part(Billed):
    """Replicas of one plan in all sites of a place together, billed by the second.

    `position` is that of the plan among those of the `replica`; `peak` the busiest hour in replicas that it would fill;
    `share` of all requests are served here. `power` [W] is what is drawn on average, `rated` when all work, NaN where
    nobody knows.
    """

    load: Load
    place: Place
    deployment: Deployment
    replica: Replica
    position: int
    replicas: float
    running: float
    peak: float
    share: float
    power: float
    rated: float

    @property
    def chips(self) -> float:
        """Chips of all replicas."""
        return self.replicas * self.deployment.num_chips


def cheapest(load: Load, place: Place, deployment: Deployment, replica: Replica, terms: Terms) -> Part | None:
    """The cheapest way to serve a load in a place on one chip, None if none does; without a price, or a known power,
    the one whose bill rises least with it."""
    filled = Filled.of(load, replica, place.sites)
    count = fleet.replicas(filled.peak)
    found = costs(filled, count, deployment.chip, terms)
    bill = np.asarray(found.slope if terms.price is None else found.beside + found.slope * terms.price)
    bill = bill if np.all(np.isfinite(bill)) else np.asarray(found.slope)
    room = np.full(bill.shape, True) if place.power is None else np.less_equal(found.rated, place.power)
    if not np.any(room):
        return None
    best = int(np.argmin(np.where(room, bill, np.inf)))
    return _part(load, place, deployment, replica, terms, filled.at(best), float(np.atleast_1d(count)[best]))


def smaller(load: Load, whole: Part) -> list[Part]:
    """The same way with every smaller number of replicas: each serves what it can, the rest has to go elsewhere."""
    filled = Filled.of(load, whole.replica, whole.place.sites)
    here = filled.at(int(np.flatnonzero(filled.index == whole.position)[0]))
    most = round(whole.replicas / whole.place.sites)
    return [
        _part(load, whole.place, whole.deployment, whole.replica, whole.terms, here, float(count))
        for count in fewer(most)
    ]  # fmt: skip


def fewer(most: int, tried: int = 16) -> list[int]:
    """Whole numbers from 1 to below `most`, all of them or as many as are `tried`, evenly spread.

    >>> fewer(4), fewer(1), fewer(100, tried=4)
    ([1, 2, 3], [], [1, 34, 66, 99])
    """
    return sorted({round(count) for count in np.linspace(1, most - 1, min(tried, most - 1))}) if most > 1 else []


def _part(
    load: Load, place: Place, deployment: Deployment, replica: Replica, terms: Terms, filled: Filled, count: float
) -> Part:  # fmt: skip
    """One plan with so many replicas in each site."""
    position = int(filled.index[0])
    plan: Plan = plans.pick(replica.plan, position)
    found = costs(filled, count, deployment.chip, terms)
    sites = float(place.sites)
    return Part(
        load=load,
        place=place,
        deployment=replace(deployment, plan=plan, num_chips=int(filled.chips[0])),
        terms=terms,
        replica=replica,
        position=position,
        replicas=count * sites,
        running=float(np.max(found.running)) * sites,
        peak=float(filled.peak[0]) * sites,
        share=float(np.max(found.carried / filled.mean)),
        power=float(np.max(found.watts)) * sites,
        rated=float(np.max(found.rated)) * sites,
        beside=float(np.max(found.beside)) * sites,
        slope=float(np.max(found.slope)) * sites,
    )
