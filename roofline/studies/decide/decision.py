"""The decision: every need answered with ranked options, what the second lacks, and what all of it comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from roofline import __version__
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import KINDS, Catalog
from roofline.errors import RooflineError
from roofline.machine import Chip, Economics
from roofline.studies import assumptions, contract
from roofline.studies.decide import changes, rows, serving, training
from roofline.studies.decide.fleets import Load
from roofline.studies.decide.serving import Option
from roofline.studies.request import FORMAT_KEYS, options, resolve_workload
from roofline.units import MONTH
from roofline.workload import Serving, Training
from roofline.workload.need import Demand, Need, Run

DECISION_SCHEMA = "roofline.decision/1"
SHOWN = 12  # options that are told in full
COMBINED = 6  # options of each load among which a budget and a power cap choose


def decide(
    name: str, catalog: Catalog, *, assume: str | None = None, shown: int = 8, chips: Sequence[str] = ()
) -> dict[str, Any]:  # fmt: skip
    """The contract's decision for the need of that id, alias or path.

    `assume` names economics instead of the need's own, `chips` those to look at instead of its own.
    """
    catalog = Snapshot.of(catalog)
    need = catalog.need(name)
    economics = catalog.economics(assume or need.assumptions)
    if chips:
        need = replace(need, chips=tuple(chips))
    looked = [_priced(catalog.chip(chip), economics) for chip in need.chips or catalog.files(KINDS["chip"])]
    loads = [_load(load, need, looked, economics, catalog, shown)
             for load in serving.loads([_job(demand, catalog) for demand in need.demands])]  # fmt: skip
    runs = [_run(run, need, looked, economics, catalog, shown) for run in need.runs]
    return {
        "schema": DECISION_SCHEMA,
        "version": __version__,
        "need": _need(need),
        "chips": len(looked),
        "training": runs,
        "serving": [told for told, _ in loads],
        "total": _total([priced for _, priced in loads], need, economics),
        "assumptions": {"id": economics.id, "name": economics.name, "values": assumptions.told(economics)},
    }


def _priced(chip: Chip, economics: Economics) -> Chip:
    """A chip with the prices that are assumed."""
    return replace(chip, price=economics.price(chip.id, chip.price))


def _job(demand: Demand, catalog: Catalog) -> tuple[Demand, Serving]:
    """A demand with the workload that it means, in the formats that it states."""
    asked = options(demand.options)
    job = resolve_workload(catalog, demand.workload, asked)
    if isinstance(job, Training):
        raise RooflineError(f"serving: {demand.workload} is a training run; list it under training")
    formats = {key: value for key, value in asked.settings.items() if key in FORMAT_KEYS}
    job = replace(job, precision=replace(job.precision, **formats))
    return demand, job if demand.slo is None else replace(job, slo=demand.slo)


def _load(
    load: Load, need: Need, chips: Sequence[Chip], economics: Economics, catalog: Catalog, shown: int
) -> tuple[dict[str, Any], list[Option]]:  # fmt: skip
    """A load with its options, and those with a price, the cheapest first."""
    found, refused = serving.options(load, need, chips, economics, catalog)
    priced = serving.ranked(found)
    told = [rows.option(item, catalog) for item in priced[:shown]]
    best = priced[0].usd if priced else None
    unpriced = [item for item in found if item.usd is None]
    return {
        "model": load.model.id,
        "weights": load.precision.weights,
        "demands": [_demand(demand, job) for demand, job in zip(load.demands, load.jobs, strict=True)],
        "options": told,
        "ranked": len(priced),
        "unpriced": _unpriced([(item.where, item.parts[0]) for item in unpriced], best),
        "refused": [rows.refused(item) for item in refused],
        "second": changes.of_serving(priced[0], priced[1], economics) if len(priced) > 1 else None,
        "curves": changes.curves(priced[: min(COMBINED, shown)]),
    }, priced


def _run(
    run: Run, need: Need, chips: Sequence[Chip], economics: Economics, catalog: Catalog, shown: int
) -> dict[str, Any]:  # fmt: skip
    """A training run with its options, the cheapest of those that are done in time first."""
    if catalog.find(("serving", "training", "model"), run.workload, "workload")[1] == "model":
        run = replace(run, options={"phase": "training", **run.options})  # a bare model is asked to train
    job = resolve_workload(catalog, run.workload, options(run.options))
    if not isinstance(job, Training):
        raise RooflineError(f"training: {run.workload} is served; list it under serving")
    found = training.choices(run, job, need, chips, economics, catalog)
    priced = sorted((item for item in found if item.usd is not None), key=lambda item: (item.late, item.bill))
    timely = [item for item in priced if not item.late]
    best = timely[0].usd if timely else None
    unpriced = [(item.who, item) for item in found if item.usd is None and not item.late]
    return {
        "workload": run.workload,
        "model": job.model.id,
        "tokens": float(job.tokens),
        "within_s": run.within,
        "options": [rows.choice(item) for item in priced[:shown]],
        "ranked": len(priced),
        "unpriced": _unpriced(unpriced, best),
        "second": changes.of_training(timely[0], timely[1]) if len(timely) > 1 else None,
    }


def _unpriced(found: Iterable[tuple[str, Any]], best: float | None) -> list[dict[str, Any]]:
    """What chips without a price may cost to be as cheap as the best option, the dearest first."""
    told = []
    for where, item in found:
        price = None if best is None else item.price_for(best)
        told.append(
            {
                "where": where,
                "chip": item.deployment.chip.id,
                "num_chips": int(item.chips),
                "price_of": item.terms.price_of,
                "break_even_price": price if price is not None and price > 0.0 else None,
            }
        )
    return sorted(told, key=lambda row: -(row["break_even_price"] or 0.0))


def _total(found: Sequence[Sequence[Option]], need: Need, economics: Economics) -> dict[str, Any] | None:
    """The cheapest option of every load, together within the budget and the power; without one, the cheapest at all.

    The cap is on what one's own sites draw, buildings included; where that is not known, nor is whether it is kept.
    """
    if not found or not all(found):
        return None
    budget, cap = (math.inf if limit is None else limit for limit in (need.budget, need.power))
    pairs = [
        (sum(item.bill for item in chosen), sum(item.own_power for item in chosen) * float(economics.pue), chosen)
        for chosen in product(*(options[:COMBINED] for options in found))
    ]
    within = [pair for pair in pairs if pair[0] <= budget and pair[1] <= cap]
    usd, drawn, chosen = min(within or pairs, key=lambda pair: pair[0])
    return {
        "usd_per_month": usd * MONTH,
        "power_w": contract.number(sum(item.power for item in chosen)),
        "own_site_power_w": contract.number(drawn),
        "within_budget": usd <= budget,
        "within_power": drawn <= cap if math.isfinite(drawn) else None,
        "options": [options.index(item) + 1 for options, item in zip(found, chosen, strict=True)],
    }


def _need(need: Need) -> dict[str, Any]:
    return {
        "id": need.id,
        "name": need.name,
        "places": [
            {"place": place.name, "network_s": place.network, "sites": place.sites, "power_w": place.power}
            for place in need.places
        ],
        "budget_usd_per_month": None if need.budget is None else need.budget * MONTH,
        "power_w": need.power,
    }


def _demand(demand: Demand, job: Serving) -> dict[str, Any]:
    return {
        "name": demand.name,
        "requests_per_month": demand.mean * MONTH,
        "peak": demand.peak / demand.mean,
        "input_len": float(job.input_len),
        "output_len": float(job.output_len),
        "slo": {"ttft_s": job.slo.ttft_s, "tpot_s": job.slo.tpot_s},
    }
