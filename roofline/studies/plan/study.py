"""All feasible deployments of a workload on some chips, ranked; what the others break; and why the best is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.engine import plans, search
from roofline.engine.deployment import Deployment
from roofline.errors import CheckFailedError, NoRoomError, PlanError, RooflineError, did_you_mean
from roofline.studies import contract, economics
from roofline.studies.plan import choose, pooled, rows, served, trained, wanted, why
from roofline.studies.plan import emit as launches
from roofline.studies.plan.choose import Option
from roofline.studies.plan.limits import Limit, flag, keeps, limits, nearest, refusals
from roofline.studies.plan.rows import Asked
from roofline.studies.plan.space import Space
from roofline.studies.request import (
    DEGREES,
    FORMAT_KEYS,
    PLAN_KEYS,
    Options,
    equipment,
    resolve_workload,
    setting,
)
from roofline.workload import Serving, Training, Workload
from roofline.workload.dtype import usual_activations

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
        raise RooflineError(
            f"--rank {rank}: " + (f"did you mean {near}?" if near else f"one of {', '.join(choose.RANKS)}")
        )
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
    choices = [wanted.choice(text) for text in dict.fromkeys(chips)]
    looked = [_looked(choice, workload, job, options, catalog, kept, weights, disaggregate) for choice in choices]
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
        "considered": sum(item.considered for item in looked),
        "feasible": sum(feasible),
        "chips": [item.told(kept) for item in looked],
        "rows": [{"rank": place, **row} for place, row in enumerate(shown, 1)],
        "frontier": _frontiers(looked, job, kept),
        "why": why.why(shown, figures[rank]),
        "nearest": None if any(feasible) else _nearest(looked, job, kept, options, catalog),
        **launch,
        **economics.assumed(looked[0].economics),
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


# --- one chip -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What was looked at of one kind of chip: a space for each format, with how its deployments are written; how many
    combinations there are in all, and how many of those memory or a rule of plans refused before they were priced."""

    text: str
    bare: Deployment
    sizes: Sequence[int]
    spaces: Sequence[tuple[Asked, Space]]
    beside: int = 0
    too_large: int = 0
    impossible: int = 0
    why: str | None = None

    @property
    def economics(self) -> Any:
        """What costs rest on."""
        return self.bare.economics

    @property
    def considered(self) -> int:
        """All combinations."""
        return self.beside + sum(space.held.size for _, space in self.spaces)

    def feasible(self, kept: Sequence[Limit]) -> int:
        """Those that memory holds and that keep all limits."""
        return sum(int(np.count_nonzero(keeps(kept, space.numbers, space.held))) for _, space in self.spaces)

    def best(self, kept: Sequence[Limit], rank: str, figures: Mapping[str, str]) -> list[tuple[Asked, Option]]:
        """The best of each layout, the best first."""
        found = [(asked, option) for asked, space in self.spaces
                 for option in choose.best(space, keeps(kept, space.numbers, space.held), rank, figures)]  # fmt: skip
        return sorted(found, key=lambda pair: pair[1].key)

    def told(self, kept: Sequence[Limit]) -> dict[str, Any]:
        """How many combinations there were, and what became of them."""
        refused: dict[str, dict[str, int]] = {limit.name: {"refused": 0, "alone": 0} for limit in kept}
        for _, space in self.spaces:
            for name, counts in refusals(kept, space.numbers, space.held).items():
                for what, number in counts.items():
                    refused[name][what] += number
        unheld = sum(int(np.count_nonzero(~space.held)) for _, space in self.spaces)
        return {
            "written": self.text,
            "chip": self.bare.chip.id,
            "chip_name": self.bare.chip.name,
            "stack": self.bare.stack.id,
            "sizes": [int(size) for size in self.sizes],
            "considered": self.considered,
            "impossible": self.impossible,
            "memory": self.too_large + unheld,
            "slower": self.beside - self.too_large - self.impossible,
            "refused": refused,
            "feasible": self.feasible(kept),
            "why": self.why,
        }


def _looked(
    asked: wanted.Choice, name: str, job: Workload, options: Options, catalog: Catalog, kept: Sequence[Limit],
    weights: Sequence[str], apart: bool,
) -> Looked:  # fmt: skip
    """Every combination of one kind of chip."""
    settings = {**options.settings, **asked.wanted.settings}
    given = {key: value for key, value in settings.items() if key in PLAN_KEYS}
    wrong = next((key for key in given if key not in DEGREES), None)
    if wrong and isinstance(job, Serving):
        raise PlanError(f"{asked.wanted.text}: {wrong} belongs to training; {job.id} is served ({', '.join(DEGREES)})")
    found = [
        _in_format(asked, name, job, options, catalog, kept, given, formats, apart)
        for formats in (_formats(told, settings) for told in weights or ("",))
    ]
    return Looked(
        asked.wanted.text,
        found[0].bare,
        sorted({size for item in found for size in item.sizes}),
        [pair for item in found for pair in item.spaces],
        beside=sum(item.beside for item in found),
        too_large=sum(item.too_large for item in found),
        impossible=sum(item.impossible for item in found),
        why="; ".join(dict.fromkeys(item.why for item in found if item.why)) or None,
    )


def _formats(weights: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The formats that are settled when weights have one: activations go with it unless they are given."""
    if not weights:
        return {}
    setting("weights", weights)
    return {"weights": weights, "activations": settings.get("activations") or usual_activations(weights)}


def _in_format(
    asked: wanted.Choice, name: str, job: Workload, options: Options, catalog: Catalog, kept: Sequence[Limit],
    given: Mapping[str, Any], formats: Mapping[str, Any], apart: bool,
) -> Looked:  # fmt: skip
    """Every combination of one kind of chip in one format."""
    chosen = replace(asked.wanted, settings={**asked.wanted.settings, **formats})
    bare = equipment(catalog, chosen, job, options)
    precision = bare.precision_for(job.precision)
    said = {key: value for key, value in {**options.settings, **chosen.settings}.items()
            if key == "stack" or (key in FORMAT_KEYS and value != getattr(job.precision, key))}  # fmt: skip
    how = Asked(name, asked.wanted.chip, said)
    try:
        fewest = search.fewest_chips(_smallest(job), bare.chip, bare.stack, precision, given)
    except (NoRoomError, PlanError) as error:
        return Looked(asked.wanted.text, bare, (), (), why=str(error))
    at_most = next((int(limit.value) for limit in kept if limit.figure == "num_chips"), None)
    wiring = int(min(plans.most_chips(bare.chip), search.MOST_TRIED))
    hurry = isinstance(job, Training) and any(limit.figure in ("time_to_train_s", "tokens_per_s") for limit in kept)
    sizes = wanted.sizes(asked, fewest, wiring, at_most, all_doublings=hurry)
    if not sizes:
        return Looked(asked.wanted.text, bare, (), (), why=f"{job.id} needs {fewest:,} chips at least")
    if isinstance(job, Training):
        run, counts = trained.space(job, bare, sizes, given)
        spaces = [] if run is None else [(how, run)]
        beside = counts.considered - sum(space.held.size for _, space in spaces)
        return Looked(asked.wanted.text, bare, sizes, spaces, beside, counts.too_large, counts.invalid)
    most = wiring if at_most is None else min(wiring, at_most)
    pairs = _served(job, bare, sizes, given, options.batch, kept, how, most if asked.least is None else 0)
    if apart:
        pairs += [(how, space) for space in pooled.spaces(job, bare, sizes, given, options.batch)]
    return Looked(asked.wanted.text, bare, sizes, pairs)


def _served(
    job: Serving, bare: Deployment, sizes: Sequence[int], given: Mapping[str, Any], batch: float | None,
    kept: Sequence[Limit], how: Asked, most: int,
) -> list[tuple[Asked, Space]]:  # fmt: skip
    """Combinations of requests that are served: all sizes, and more replicas, on at most so many chips, where a rate is
    to be reached."""
    found = served.space(job, bare, sizes, given, batch)
    if found is None:
        return []
    more = None if "dp" in given else served.replicated(job, found, kept, most)
    return [(how, space) for space in (found, more) if space is not None]


def _smallest(job: Workload) -> Workload:
    """The workload with as little at once as there may be: how many chips hold it decides the fewest."""
    return job if isinstance(job, Training) else replace(job, batch=1.0)


# --- the result ---------------------------------------------------------------------------------------------------


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
        reasons = (f"{item.text}: {item.why or 'nothing fits, or figures are not known'}" for item in looked)
        return {"text": "; ".join(reasons), "row": None, "missed": []}
    _, asked, option = min(misses, key=lambda miss: miss[0])
    row = rows.row(option, asked, job, kept, options, catalog)
    missed = [item for item in row["limits"] if item["margin"] is None or item["margin"] < 0.0]
    units = {limit.name: limit.unit for limit in kept}
    told = " and ".join(_miss(item, units[item["limit"]]) for item in missed)
    where = row["deployment"]["label"]
    at_once = "" if row["batch"] is None else f" with {row['batch']:,.0f} at once"
    return {"text": f"the nearest is {where}{at_once}: {told}", "row": row, "missed": missed}


def _miss(item: Mapping[str, Any], unit: str) -> str:
    """A limit that is missed, and by how much."""
    name = flag(item["limit"]).removeprefix("--")
    if item["value"] is None or item["margin"] is None:
        return f"{name} is not known"
    shown = [why.shown(item[key], unit) for key in ("value", "bound")]
    return f"{name} {shown[0]} instead of {shown[1]} ({-item['margin'] * 100:.3g} % beyond)"
