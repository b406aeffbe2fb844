"""Designs of a chip: what they take of a die, which of them are possible, and what those do and cost; all as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import roofline as rl
from roofline.engine import energy, inference, plans, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Family, Peak
from roofline.numeric import Num
from roofline.studies import ranges, request
from roofline.studies.pareto import front
from roofline.units import parse
from roofline.workload import Plan, Serving

UNITS = {"compute": "FLOP/s", "stacks": "count", "sram": "B", "link": "B/s", "tdp": "W", "price": "USD"}
SILICON = tuple(UNITS)[:4]  # the axes of a die; its price and the TDP of its package are two more
WHY = ("", "area", "power", "memory", "service level")  # what no plan with any batch keeps: the first of these
COSTS = ("own_usd_per_million_tokens", "energy_j_per_token")
BLOCK = 2**15  # predictions that are made at once

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Design:
    """What is on the die: dense bf16 FLOP/s, stacks of HBM, SRAM for weights [B], links [B/s]; each may be an array."""

    compute: Num
    stacks: Num
    sram: Num
    link: Num

    def at(self, place: Any) -> Design:
        """Some of them, of arrays of one shape."""
        return Design(*(np.asarray(getattr(self, item.name))[place] for item in fields(self)))

    def apart(self, axes: int) -> Design:
        """With so many further axes behind its own."""
        return self.at((..., *(None for _ in range(axes))))


@dataclass(frozen=True)
class Areas:
    """Square millimetres of one of each: of a FLOP/s, a stack's interface, a byte of SRAM, a byte per second of links;
    and of what every design has: the host's interface and a working buffer."""

    compute: float
    stack: float
    sram: float
    link: float
    fixed: float

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Areas:
        """From published figures. What the reference die has besides interfaces and its cache computes."""
        die, built, rates = (told["reference"][name] for name in ("die", "built", "compute"))
        density = die["transistors"] / die["area"] / 1e6  # millions for each mm²
        stack, link, lane = (
            item["phy"] + item["controller"] / density
            for item in (told["areas"][name] for name in ("stack", "link", "lane"))
        )
        sram = 8.0 / (told["areas"]["sram"]["mib_per_mm2"] * 2.0**20)
        around = built["stacks"] * stack + built["links"] * link + built["lanes"] * lane
        rest = die["area"] - around - sram * parse(built["l2"], "B")
        return cls(
            compute=rest / parse(rates["bf16"], "FLOP/s"),
            stack=stack,
            sram=sram,
            link=link / parse(told["parts"]["link"]["bandwidth"], "B/s"),
            fixed=built["lanes"] * lane + sram * parse(told["parts"]["buffer"]["capacity"], "B"),
        )

    def parts(self, design: Design) -> dict[str, Num]:
        """Areas of a design by what takes them."""
        return {
            "compute": self.compute * design.compute,
            "HBM interfaces": self.stack * design.stacks,
            "SRAM": self.sram * design.sram,
            "links": self.link * design.link,
            "host and buffer": self.fixed,
        }

    def total(self, design: Design) -> Num:
        """Area of a design."""
        return sum(self.parts(design).values(), start=0.0)


# --- the study ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """What is asked, of which work and under which budgets (`told`); `where` has the `base` chip and its software."""

    told: Mapping[str, Any]
    base: Path
    job: Serving
    where: Deployment
    family: Family
    areas: Areas
    axes: Mapping[str, Array]
    batches: Array
    plans: Plan

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each axis."""
        return tuple(self.axes[name].size for name in UNITS)

    @property
    def silicon(self) -> Design:
        """Every die, as arrays with four axes."""
        return Design(*np.meshgrid(*(self.axes[name] for name in SILICON), indexing="ij"))

    def chip(self, design: Design, tdp: Num, price: Num) -> Chip:
        """The base chip with the numbers of a design, and with what follows from them in a chip file."""
        base, parts = self.where.chip, self.told["parts"]
        pad, main = base.memory
        near, *others = base.links
        bandwidth = design.stacks * parse(parts["stack"]["bandwidth"], "B/s")
        capacity = design.stacks * parse(parts["stack"]["capacity"], "B")
        drawn = None if self.family.energy is None else self.family.energy.of(tdp, bandwidth, design.compute)
        return replace(
            base,
            peaks={"bf16": Peak(dense=design.compute), "fp8": Peak(dense=2.0 * design.compute)},
            vector=parts["vector"]["per_bf16"] * design.compute,
            memory=(replace(pad, capacity=design.sram), replace(main, capacity=capacity, bandwidth=bandwidth)),
            links=(replace(near, bandwidth=design.link), *others),
            tdp=tdp,
            energy=drawn,
            price=replace(base.price, purchase=price),
        )

    def predict(self, design: Design, plan: Plan, batch: Num, tdp: Num, price: Num) -> Prediction:
        """Designs under plans with batches, as arrays that broadcast: one prediction."""
        where = replace(self.where, chip=self.chip(design, tdp, price), plan=plan, brief=True)
        return inference.predict(replace(self.job, batch=batch), where)

    def file(self, design: Design, tdp: float, price: float) -> dict[str, Any]:
        """One design as a chip file: that of the base chip with other numbers, and without its SRAM if it has none."""
        base, chip = yaml.safe_load(self.base.read_text()), self.chip(design, tdp, price)
        pad, main = base["memory"]
        link, *others = base["links"]

        def told(value: Any, unit: str) -> str:
            return f"{float(value)!r} {unit}"

        near = {**pad, "capacity": told(design.sram, "B")}
        far = {**main, "capacity": told(chip.main_memory.capacity, "B"), "bandwidth": told(chip.bandwidth, "B/s")}
        return {
            **base,
            "id": "winner",
            "name": "A design of the study",
            "compute": {
                **base["compute"],
                "vector": {"rate": told(chip.vector, "FLOP/s"), "source": "study"},
                "peaks": {
                    name: {"dense": told(peak.dense, "FLOP/s"), "source": "study"} for name, peak in chip.peaks.items()
                },
            },
            "memory": [near, far] if np.all(design.sram) else [far],
            "links": [{**link, "bandwidth": told(design.link, "B/s")}, *others],
            "power": {**base["power"], "tdp": told(tdp, "W"), "source": "study"},
            "price": {"purchase": {**base["price"]["purchase"], "value": told(price, "USD")}},
        }


def read(path: Path, *, workload: str | None = None, axes: Mapping[str, str] | None = None) -> Study:
    """A study from its file, of another workload or over other axes if they are given."""
    told = yaml.safe_load(path.read_text())
    base, catalog, options = path.parent / told["chip"], rl.Catalog(), request.Options()
    job = request.resolve_workload(catalog, workload or told["workload"], options)
    if not isinstance(job, Serving):
        raise rl.RooflineError(f"{job.id} trains; the study is of chips that serve")
    where = request.unplanned(catalog, request.parse_deployment(f"{told['chips']}x{base}"), job, options)
    spans = {**told["axes"], **(axes or {})}
    return Study(
        told=told,
        base=base,
        job=job,
        where=replace(where, num_chips=told["chips"]),
        family=catalog.family(where.chip.family),
        areas=Areas.of(told),
        axes={name: np.array(ranges.values(spans[name], unit, name)) for name, unit in UNITS.items()},
        batches=np.array(ranges.values(told["batches"], "count", "batches")),
        plans=search.serving_plans(job, where.chip, told["chips"], where.stack, {}),
    )


# --- designs that are possible, and what they do --------------------------------------------------------------------


@dataclass(frozen=True)
class Trade:
    """Tokens/s for a user against tokens/s of a chip, and the die, plan and batch that make them, as indices."""

    user: float
    chip: float
    die: int
    plan: int
    batch: int


@dataclass(frozen=True)
class Served:
    """What each die does at best: output tokens/s of a chip, NaN where there is none; the plan and batch for it; and
    why there is none, an index into `WHY`; each an array with four axes. `trades` are all that nothing beats in
    tokens/s for a user and of a chip within both budgets, whatever the service level."""

    rate: Array
    plan: Index
    batch: Index
    why: Index
    trades: tuple[Trade, ...] = ()


def drawn(found: Prediction) -> Num:
    """Watts that a chip would draw in the phase that asks most of it if no TDP were in the way. What is beyond a TDP
    makes clocks fall, which predictions do not know; such designs are left out."""
    chip = found.deployment.chip
    if chip.energy is None:
        raise rl.RooflineError(f"{chip.id}: nothing is known of what drives its power")
    most: Num = 0.0
    for phase in found.phases:
        if phase.operators:
            most = np.maximum(most, energy.terms(chip, chip.energy, phase).sum)
    return most


def serve(study: Study) -> Served:
    """Every die that can be made, with every plan and batch."""
    silicon, budget = study.silicon, study.told["budget"]
    shape = np.shape(silicon.compute)
    small = study.areas.total(silicon) <= budget["area"]
    served = Served(
        rate=np.full(shape, np.nan),
        plan=np.zeros(shape, dtype=np.intp),
        batch=np.zeros(shape, dtype=np.intp),
        why=np.where(small, 0, WHY.index("area")),
    )
    degrees: dict[str, Any] = {name: np.reshape(getattr(study.plans, name), (-1, 1)) for name in plans.DEGREES}
    every = replace(study.plans, **degrees)
    for dies in _pieces(np.flatnonzero(small), np.size(study.plans.tp) * study.batches.size):
        design = silicon.at(np.unravel_index(dies, shape)).apart(2)
        served = _with(served, study, dies, study.predict(design, every, study.batches, budget["power"], 1.0))
    return served


def _pieces(dies: Index, each: int) -> list[Index]:
    """Dies in runs of about as many predictions, `each` of one, as stay in the cache."""
    return np.array_split(dies, max(1, dies.size * each // BLOCK)) if dies.size else []


def _with(served: Served, study: Study, dies: Index, found: Prediction) -> Served:
    """What is known of all dies, with a prediction `[dies, plans, batches]` of some."""
    shape = (dies.size, np.size(study.plans.tp), study.batches.size)
    of_chip, of_user, ttft, tpot = (
        np.broadcast_to(np.asarray(found.metrics[name], dtype=np.float64), shape)
        for name in ("output_tokens_per_s_per_chip", "output_tokens_per_s_per_user", "ttft_s", "tpot_s")
    )
    cool = np.less_equal(drawn(found), study.told["budget"]["power"])
    held = np.less_equal(study.batches, found.max_batch) & found.fits
    together = np.ones(shape, dtype=bool)
    for code, kept in enumerate((cool, held, study.job.slo.kept(ttft, tpot)), WHY.index("power")):
        before, together = together, together & kept
        served.why.ravel()[dies[before.any(axis=(1, 2)) & ~together.any(axis=(1, 2))]] = code
    rates = np.where(together, of_chip, -np.inf).reshape(dies.size, -1)
    best = rates.argmax(axis=1)
    top = rates[np.arange(dies.size), best]
    served.rate.ravel()[dies] = np.where(top > 0.0, top, np.nan)
    served.plan.ravel()[dies], served.batch.ravel()[dies] = np.divmod(best, study.batches.size)
    costs = np.stack([np.where(cool & held, -rate, np.nan).ravel() for rate in (of_user, of_chip)], axis=1)
    new = []
    for index in front(costs):
        die, *rest = np.unravel_index(index, shape)
        new.append(Trade(-costs[index, 0], -costs[index, 1], int(dies[die]), *map(int, rest)))
    every = (*served.trades, *new)
    left = front(np.array([[-item.user, -item.chip] for item in every]).reshape(-1, 2))
    return replace(served, trades=tuple(every[index] for index in left))


# --- what they cost -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Best:
    """The cheapest of all designs of a price: USD to own for a million tokens, joules of a token, its die and TDP."""

    price: float
    usd: float
    joules: float
    die: int
    tdp: float


def price(study: Study, served: Served) -> tuple[list[Best], int]:
    """The cheapest design of each price: every possible die at every TDP under which it can work; and how many designs
    that were."""
    silicon, costs = study.silicon, study.axes["price"]
    tdp = study.axes["tdp"][study.axes["tdp"] <= study.told["budget"]["power"]]
    best, priced = [Best(float(cost), np.inf, np.nan, -1, np.nan) for cost in costs], 0
    for dies in _pieces(np.flatnonzero(np.isfinite(served.rate)), tdp.size):
        asked = operating(study, served, silicon, dies)
        level, which = np.nonzero(np.less_equal(drawn(study.predict(*asked, tdp[:, None], 1.0)), tdp[:, None]))
        for some in _pieces(np.arange(which.size), costs.size):
            die, watts = dies[which[some]], tdp[level[some]]
            found = study.predict(*operating(study, served, silicon, die), watts, costs[:, None])
            usd, joules = (np.asarray(found.metrics[name]) for name in COSTS)
            for row, at in enumerate(usd.argmin(axis=1)):
                if usd[row, at] < best[row].usd:
                    best[row] = Best(float(costs[row]), usd[row, at], joules[at], int(die[at]), float(watts[at]))
            priced += some.size * costs.size
    return [item for item in best if item.die >= 0], priced


def operating(study: Study, served: Served, silicon: Design, dies: Index) -> tuple[Design, Plan, Array]:
    """Dies with the plan and the batch that are best for each."""
    place = np.unravel_index(dies, served.rate.shape)
    return silicon.at(place), plans.some_of(study.plans, served.plan[place]), study.batches[served.batch[place]]
