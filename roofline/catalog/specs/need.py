"""The need files: what someone wants to train and to serve, where it may run, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from roofline.catalog.fields import (
    AtLeastOne,
    Count,
    CountOrZero,
    Duration,
    FractionOrZero,
    HourlyPrice,
    Many,
    Period,
    Power,
    Spec,
    Word,
)
from roofline.catalog.specs.common import Id, Identified, StoredDType, join_sources
from roofline.catalog.specs.job import ServiceLevelSpec
from roofline.units import HOUR, MONTH
from roofline.workload import ServiceLevel
from roofline.workload.need import PLACES, Demand, Need, Place, Run

FORMATS = ("weights", "activations", "kv_cache")


class FormatsSpec(Spec):
    """Formats to use instead of the workload's own."""

    weights: StoredDType | None = None
    activations: StoredDType | None = None
    kv_cache: StoredDType | None = None

    def settings(self) -> dict[str, str]:
        """Those that are stated, as the library's keywords."""
        return {name: value for name in FORMATS if (value := getattr(self, name)) is not None}


class DemandSpec(Spec):
    """Requests of one kind, so many in a month; the busiest hour has `peak` times as many as the mean one.

    `workload` is a serving workload, or a model, which takes its lengths from a `scenario` or from `input` and
    `output`. A `cached_share` of the first prompt is found in the prefix cache, and
    a `stack` other than the usual one of each chip serves them.
    """

    workload: Word
    scenario: Id | None = None
    input: Count | None = None
    output: Count | None = None
    requests_per_month: Count
    peak: AtLeastOne | None = None
    slo: ServiceLevelSpec | None = None
    precision: FormatsSpec = Field(default_factory=FormatsSpec)
    cached_share: FractionOrZero | None = None
    imbalance: AtLeastOne | None = None
    stack: Id | None = None

    @model_validator(mode="after")
    def _one_way(self) -> DemandSpec:
        if self.scenario and (self.input or self.output):
            raise ValueError("a scenario has lengths of its own; leave out the scenario, or input and output")
        return self

    def build(self, peak: float) -> Demand:
        """The plain object; `peak` where it states none."""
        mean = self.requests_per_month / MONTH
        told: dict[str, Any] = {
            "scenario": self.scenario,
            "input_len": self.input,
            "output_len": self.output,
            "cached_share": self.cached_share,
            "imbalance": self.imbalance,
            "stack": self.stack,
            **self.precision.settings(),
        }
        return Demand(
            name=f"{self.workload} {self.scenario}" if self.scenario else self.workload,
            workload=self.workload,
            mean=mean,
            peak=mean * (self.peak or peak),
            slo=ServiceLevel(self.slo.ttft, self.slo.tpot) if self.slo else None,
            options={name: value for name, value in told.items() if value is not None},
        )


class RunSpec(Spec):
    """A training run that must be done in time: a training workload, or a model with `tokens` of its own.

    `on` restricts the deployments that are looked at, and may give each a plan. `partner` are chips that somebody else
    lends, with what they ask for one.
    """

    workload: Word
    tokens: Count | None = None
    seq_len: Count | None = None
    global_batch: Count | None = None
    lora_rank: CountOrZero | None = None
    within: Period
    on: Many[Word] = ()
    partner: Mapping[Id, HourlyPrice] = Field(default_factory=dict)

    def build(self) -> Run:
        """The plain object."""
        named = ("tokens", "seq_len", "global_batch", "lora_rank")
        return Run(
            name=self.workload,
            workload=self.workload,
            within=self.within,
            options={name: value for name in named if (value := getattr(self, name)) is not None},
            on=self.on,
            partner={chip: price / HOUR for chip, price in self.partner.items()},
        )


class PlaceSpec(Spec):
    """Where requests may be served: the way there and back, how many sites, and what each may draw."""

    network: Duration = 0.0
    sites: Count = 1
    power: Power | None = None


class PlacesSpec(Spec):
    """The places that are allowed; data that must stay have none in the cloud."""

    cloud: PlaceSpec | None = None
    own: PlaceSpec | None = None
    edge: PlaceSpec | None = None

    @model_validator(mode="after")
    def _some(self) -> PlacesSpec:
        if not self.model_fields_set:
            raise ValueError(f"allows no place; name some of {', '.join(PLACES)}, e.g. 'cloud: {{network: 40 ms}}'")
        return self

    def build(self) -> tuple[Place, ...]:
        """The plain objects."""
        named = {name: getattr(self, name) for name in PLACES}
        return tuple(
            Place(name=name, network=place.network, sites=place.sites, power=place.power)
            for name, place in named.items()
            if place is not None
        )


class NeedSpec(Identified):
    """Who trains, where inference runs, and on which chip: what is asked, and what is allowed.

    `peak` is the busiest hour over the mean one. `budget` and `power` bound all that is served; `chips` are those to
    look at, all of the catalogue if none is named.
    """

    source: Word
    serving: Many[DemandSpec] = ()
    training: Many[RunSpec] = ()
    places: PlacesSpec
    peak: AtLeastOne = 1.0
    chips: Many[Word] | None = None
    budget: HourlyPrice | None = None
    power: Power | None = None
    assumptions: Word = "default"

    @model_validator(mode="after")
    def _whole(self) -> NeedSpec:
        if not self.serving and not self.training:
            raise ValueError("asks for nothing; list requests under 'serving:' or runs under 'training:'")
        return self

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        return {"need": self.source}

    def build(self) -> Need:
        """The plain object."""
        return Need(
            id=self.id,
            name=self.name,
            demands=tuple(item.build(self.peak) for item in self.serving),
            runs=tuple(item.build() for item in self.training),
            places=self.places.build(),
            chips=self.chips,
            budget=None if self.budget is None else self.budget / HOUR,
            power=self.power,
            assumptions=self.assumptions,
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )
