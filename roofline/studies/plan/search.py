"""Every combination of one kind of chip: numbers of chips, plans, running requests, formats, pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import plans, search
from roofline.engine.deployment import Deployment
from roofline.errors import NoRoomError, PlanError
from roofline.machine import Economics
from roofline.studies.plan import choose, pooled, served, trained, wanted
from roofline.studies.plan.choose import Option
from roofline.studies.plan.limits import Limit, keeps, refusals
from roofline.studies.plan.rows import Asked
from roofline.studies.plan.space import Space
from roofline.studies.request import DEGREES, FORMAT_KEYS, PLAN_KEYS, SHAPE, Options, setting, unplanned
from roofline.workload import Serving, Training, Workload
from roofline.workload.dtype import usual_activations


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """What is asked of every chip: the workload and its name, options, limits, formats of weights to try (empty: the
    workload's), and whether pools apart are tried."""

    name: str
    job: Workload
    options: Options
    catalog: Catalog
    limits: Sequence[Limit]
    weights: Sequence[str] = ()
    apart: bool = False

    def most_chips(self) -> int | None:
        """Chips that a limit allows."""
        return next((int(limit.value) for limit in self.limits if limit.figure == "num_chips"), None)

    def hurries(self) -> bool:
        """Whether a run must be so fast that more chips may be needed than usual."""
        figures = ("time_to_train_s", "tokens_per_s")
        return isinstance(self.job, Training) and any(limit.figure in figures for limit in self.limits)


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
    def economics(self) -> Economics | None:
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


def look(choice: wanted.Choice, asking: Asking) -> Looked:
    """Every combination of one kind of chip. Raises `RooflineError` for settings and formats that mean nothing."""
    settings = {**asking.options.settings, **choice.wanted.settings}
    given = {key: value for key, value in settings.items() if key in PLAN_KEYS}
    wrong = next((key for key in given if key not in DEGREES), None)
    if wrong and isinstance(asking.job, Serving):
        possible = ", ".join(DEGREES)
        raise PlanError(f"{choice.wanted.text}: {wrong} belongs to training; {asking.job.id} is served ({possible})")
    found = [_in_format(choice, asking, given, formats) for formats in _formats(asking.weights, settings)]
    return Looked(
        choice.wanted.text,
        found[0].bare,
        sorted({size for item in found for size in item.sizes}),
        [pair for item in found for pair in item.spaces],
        beside=sum(item.beside for item in found),
        too_large=sum(item.too_large for item in found),
        impossible=sum(item.impossible for item in found),
        why="; ".join(dict.fromkeys(item.why for item in found if item.why)) or None,
    )


def _formats(weights: Sequence[str], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The formats to try: of several weights each with the activations that go with it, unless these are given."""
    for name in weights:
        setting("weights", name)
    if len(weights) < 2:
        return [{"weights": name} for name in weights] or [{}]
    given = settings.get("activations")
    return [{"weights": name, "activations": given or usual_activations(name)} for name in weights]


def _in_format(
    choice: wanted.Choice, asking: Asking, given: Mapping[str, Any], formats: Mapping[str, Any]
) -> Looked:  # fmt: skip
    """Every combination of one kind of chip in one format."""
    job, options = asking.job, asking.options
    chosen = replace(choice.wanted, settings={**choice.wanted.settings, **formats})
    bare = unplanned(asking.catalog, chosen, job, options)
    said = {key: value for key, value in {**options.settings, **chosen.settings}.items()
            if key in ("stack", SHAPE) or (key in FORMAT_KEYS and value != getattr(job.precision, key))}  # fmt: skip
    nothing = Looked(choice.wanted.text, bare, (), ())
    least = job if isinstance(job, Training) else replace(job, batch=1.0)  # whatever holds one request is tried
    try:
        fewest = search.fewest_chips(least, bare.chip, bare.stack, bare.precision_for(job.precision), given)
    except (NoRoomError, PlanError) as error:
        return replace(nothing, why=str(error))
    wiring, at_most = int(min(plans.most_chips(bare.chip), search.MOST_TRIED)), asking.most_chips()
    sizes = wanted.sizes(choice, fewest, wiring, at_most, all_doublings=asking.hurries())
    if not sizes:
        return replace(nothing, why=f"{job.id} needs {fewest:,} chips at least")
    how = Asked(asking.name, choice.wanted.chip, said, choice.wanted.each)
    if isinstance(job, Training):
        run, counts = trained.space(job, bare, sizes, given)
        spaces = [] if run is None else [(how, run)]
        beside = counts.considered - sum(space.held.size for _, space in spaces)
        return Looked(choice.wanted.text, bare, sizes, spaces, beside, counts.too_large, counts.invalid)
    most = wiring if at_most is None else min(wiring, at_most)
    several = 0 if choice.least is not None or "dp" in given else most
    found = _served(asking, job, bare, sizes, given, several)
    return replace(nothing, sizes=sizes, spaces=[(how, space) for space in found])


def _served(
    asking: Asking, job: Serving, bare: Deployment, sizes: Sequence[int], given: Mapping[str, Any], most: int
) -> list[Space]:  # fmt: skip
    """Combinations of requests that are served: all sizes, more replicas on at most so many chips where a rate is to
    be reached, and pools apart."""
    batch = asking.options.batch
    joined = served.space(job, bare, sizes, given, batch)
    more = None if joined is None else served.replicated(job, joined, asking.limits, most)
    apart = pooled.spaces(job, bare, sizes, given, batch) if asking.apart else []
    return [*(space for space in (joined, more) if space is not None), *apart]
