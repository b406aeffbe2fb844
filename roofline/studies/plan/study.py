"""All feasible deployments of a workload on some chips, ranked; what the others break; and why the best is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.errors import CheckFailedError, RooflineError, did_you_mean
from roofline.studies import contract, economics
from roofline.studies.plan import choose, rows, wanted, why
from roofline.studies.plan import emit as launches
from roofline.studies.plan.choose import Option
from roofline.studies.plan.limits import Limit, flag, keeps, limits, nearest
from roofline.studies.plan.search import Asking, Looked, look
from roofline.studies.provenance import sources
from roofline.studies.request import Options, resolve_workload
from roofline.workload import Serving, Training, Workload

PLAN_SCHEMA = "roofline.plan/1"
SHOWN = 10  # rows of all chips together
OF_A_CHIP = 3  # rows of each chip


def plan(
    workload: str,
    chips: Sequence[str],
    options: Options,
    catalog: Catalog,
    *,
    given: Mapping[str, Any],
    rank: str = "cost",
    weights: Sequence[str] = (),
    top: int = SHOWN,
    per_chip: int = OF_A_CHIP,
    emit: str | None = None,
    disaggregate: bool = False,
) -> dict[str, Any]:
    """The contract's object: the best deployments that keep the limits that are `given` by the names of options.

    Chips are written `CHIP`, `COUNTxCHIP` or `MIN-MAXxCHIP`, each with settings; all formats of `weights` are tried,
    and with `disaggregate` also pools apart for prefill and decode.
    Raises `RooflineError` for what means nothing; that nothing is feasible is a result (`demand` makes it an error).
    """
    catalog = Snapshot.of(catalog)
    if rank not in choose.RANKS:
        near = did_you_mean(rank, choose.RANKS, most=1)
        hint = f"did you mean {near}?" if near else f"one of {', '.join(choose.RANKS)}"
        raise RooflineError(f"--rank {rank}: {hint}")
    if "pools" in options.settings:
        raise RooflineError("leave pools out: --disaggregate tries all of them")
    if not chips:
        raise RooflineError("name at least one chip, e.g. h100-sxm or 8-64xh100-sxm")
    job = resolve_workload(catalog, workload, options)
    if isinstance(job, Serving) and job.saturated:
        options, job = replace(options, batch=None), replace(job, batch=1.0)  # all batches are tried, the largest too
    kept = limits(job, given)
    if disaggregate and isinstance(job, Training):
        raise RooflineError(f"--disaggregate belongs to serving; {job.id} trains")
    if emit:
        launches.stack(emit, job)  # a stack that there is none of is told before anything is searched
    choices = [wanted.choice(text, catalog) for text in dict.fromkeys(chips)]
    asking = Asking(workload, job, options, catalog, kept, weights, disaggregate)
    looked = [look(choice, asking) for choice in choices]
    figures = choose.ranked_by(job, kept)
    chosen = [item.best(kept, rank, figures) for item in looked]
    told = [pair for options_of in chosen for pair in options_of[:per_chip]]
    told.sort(key=lambda pair: pair[1].key)
    launch = {"launch": _launch(emit, told[0][1], job)} if emit and told else {}
    shown = [rows.row(option, asked, job, kept, options, catalog) for asked, option in told[:top]]
    feasible = [item.feasible(kept) for item in looked]
    return {
        "schema": PLAN_SCHEMA,
        "version": __version__,
        "workload": contract.workload(job),
        "rank": rank,
        "ranked_by": figures[rank],
        "limits": [_limit(limit, given) for limit in kept],
        "disaggregated": disaggregate,
        "considered": sum(item.considered for item in looked),
        "feasible": sum(feasible),
        "chips": [item.told(kept) for item in looked],
        "rows": [{"rank": place, **row} for place, row in enumerate(shown, 1)],
        "frontier": _frontiers(looked, job, kept),
        "why": why.why(shown, figures[rank]),
        "nearest": None if any(feasible) else _nearest(looked, job, kept, options, catalog),
        **launch,
        **economics.assumed(looked[0].economics),
        **sources(job.model, [item.bare for item in looked]),
    }


def _launch(stack: str, best: Option, job: Workload) -> dict[str, Any]:
    """How the best deployment is started."""
    plan, reads = best.space.plan_at(best.index), best.space.reads_at(best.index)
    if isinstance(job, Serving):
        job = replace(job, batch=float(best.space.batch[best.index]))
    return launches.emit(stack, job, plan, reads, best.space.deployment.precision_for(job.precision))


def demand(result: Mapping[str, Any]) -> None:
    """`CheckFailedError` if nothing is feasible, telling the nearest miss."""
    if not result["rows"]:
        raise CheckFailedError(f"nothing is feasible; {result['nearest']['text']}")


def _limit(limit: Limit, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "limit": limit.name,
        "figure": limit.figure,
        "unit": limit.unit,
        "bound": limit.value,
        "least": limit.least,
        "promised": given.get(limit.name) is None,
    }


def _frontiers(looked: Sequence[Looked], job: Workload, kept: Sequence[Limit]) -> list[dict[str, Any]]:
    """What each chip trades, tokens for a user against tokens of a chip; nothing of work that generates none."""
    if isinstance(job, Training) or not np.any(job.output_len):
        return []
    found = []
    for item in looked:
        spaces = [space for _, space in item.spaces]
        points = choose.frontier(spaces) if spaces else []
        flags = {id(space): keeps(kept, space.numbers, space.held) for space in spaces}
        told = [rows.point(option, job, bool(flags[id(option.space)][option.index])) for option in points]
        found.append({"written": item.text, "chip": item.bare.chip.id, "points": told})
    return found


def _nearest(
    looked: Sequence[Looked], job: Workload, kept: Sequence[Limit], options: Options, catalog: Catalog
) -> dict[str, Any]:  # fmt: skip
    """The combination that is least beyond the limits, and by how much; why there is none."""
    misses = [
        (near[0], asked, Option(space, near[1], ()))
        for item in looked
        for asked, space in item.spaces
        if (near := nearest(kept, space.numbers, space.held)) is not None and np.isfinite(near[0])
    ]
    if not misses:
        reasons = (f"{item.text}: {item.why or _unknown(item, kept) or 'memory holds nothing'}" for item in looked)
        return {"text": "; ".join(reasons), "row": None, "missed": []}
    _, asked, option = min(misses, key=lambda miss: miss[0])
    row = rows.row(option, asked, job, kept, options, catalog)
    missed = [item for item in row["limits"] if item["margin"] is None or item["margin"] < 0.0]
    units = {limit.name: limit.unit for limit in kept}
    told = " and ".join(_miss(item, units[item["limit"]]) for item in missed)
    where = row["deployment"]["label"]
    at_once = "" if row["batch"] is None else f" with {row['batch']:,.0f} at once"
    return {"text": f"the nearest is {where}{at_once}: {told}", "row": row, "missed": missed}


def _unknown(item: Looked, kept: Sequence[Limit]) -> str:
    """Limits whose figures nobody knows of a chip."""
    names = [
        limit.name
        for limit in kept
        if any(space.held.any() for _, space in item.spaces)
        and all(np.isnan(space.numbers[limit.figure][space.held]).all() for _, space in item.spaces)
    ]
    return f"its {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not known" if names else ""


def _miss(item: Mapping[str, Any], unit: str) -> str:
    """A limit that is missed, and by how much."""
    name = flag(item["limit"]).removeprefix("--")
    if item["value"] is None or item["margin"] is None:
        return f"{name} is not known"
    shown = [why.shown(item[key], unit) for key in ("value", "bound")]
    return f"{name} {shown[0]} instead of {shown[1]} ({-item['margin'] * 100:,.1f} % beyond)"
