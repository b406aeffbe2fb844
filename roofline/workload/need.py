"""A need: what someone wants to train and to serve, where it may run, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from roofline.source import Source
from roofline.workload.job import ServiceLevel

PlaceName: TypeAlias = Literal["cloud", "own", "edge"]
PLACES: tuple[PlaceName, ...] = get_args(PlaceName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Requests of one kind, `mean` a second over a month and `peak` in its busiest hour.

    `workload` is the name of a model or of a serving workload; `options` are what to change of it, by the names of the
    library's keywords (`scenario`, `input_len`, `weights` …).
    """

    name: str
    workload: str
    mean: float
    peak: float
    slo: ServiceLevel | None = None  # None: the workload's own
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run that must be done `within` so many seconds; `options` as in `Demand`.

    `on` are the deployments to look at, as written, instead of all chips; `partner` maps a chip to what a partner asks
    for it [USD/s].
    """

    name: str
    workload: str
    within: float
    options: Mapping[str, Any] = field(default_factory=dict)
    on: tuple[str, ...] = ()
    partner: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where requests may be served: `network` [s] is the way there and back, added to the first token.

    A place may have several `sites`, each of which serves its share alone and may draw `power` [W].
    """

    name: PlaceName
    network: float = 0.0
    sites: int = 1
    power: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """All of it: `budget` [USD/s] and `power` [W] bound what is served, `chips` what is looked at (None: every chip).

    `assumptions` names the economics to reckon with.
    """

    id: str
    name: str
    demands: tuple[Demand, ...] = ()
    runs: tuple[Run, ...] = ()
    places: tuple[Place, ...] = ()
    chips: tuple[str, ...] | None = None
    budget: float | None = None
    power: float | None = None
    assumptions: str = "default"
    sources: Mapping[str, Source] = field(default_factory=dict)

    def place(self, name: PlaceName) -> Place | None:
        """The place of that name, None where it is not allowed."""
        return next((place for place in self.places if place.name == name), None)
