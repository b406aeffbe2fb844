"""The workload files: a request to serve, as steps over one growing context, and a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from roofline.catalog.fields import (
    AtLeastOne,
    Batch,
    Count,
    CountOrZero,
    Duration,
    FractionOrZero,
    Many,
    Period,
    Spec,
    StepName,
    Word,
)
from roofline.catalog.specs.common import Id, Identified, Sourced, StoredDType, join_sources
from roofline.workload import (
    Cached,
    Decode,
    Model,
    Operations,
    Pause,
    Precision,
    Prefill,
    Scenario,
    ServiceLevel,
    Serving,
    Speculation,
    Step,
    Training,
)

KeptDType = Literal["fp32", "bf16", "fp16", "fp8", "int8"]  # of gradients and of what an optimizer keeps


class PrecisionSpec(Spec):
    """Formats of weights, activations and KV cache."""

    weights: StoredDType = "bf16"
    activations: StoredDType = "bf16"
    kv_cache: StoredDType = "bf16"

    def build(self) -> Precision:
        """The plain object."""
        return Precision(self.weights, self.activations, self.kv_cache)


MOST_STEPS = 10_000
STEP_KINDS = ("prefill", "decode", "pause", "cached", "repeat")


class StepSpec(Spec):
    """One step: exactly one of `prefill` (tokens to read), `decode` (tokens to generate), `pause` (time), `cached` (the
    context is so many tokens now, all found in the cache), or `repeat` (times) of several `steps`.

    A `name` is for reports and sweeps; `hidden` tokens are not what the user waits for.
    """

    prefill: Count | None = None
    decode: Count | None = None
    pause: Duration | None = None
    cached: CountOrZero | None = None
    repeat: Count | None = None
    steps: Many[StepSpec] | None = None
    name: StepName | None = None
    hidden: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            kinds = value.keys() & set(STEP_KINDS)
            if len(kinds) != 1:
                raise ValueError(f"must hold exactly one of {', '.join(STEP_KINDS)}, e.g. 'prefill: 2000'")
            if ("repeat" in kinds) != ("steps" in value):
                raise ValueError("repeat and steps go together, e.g. 'repeat: 3' with 'steps: [{decode: 50}, …]'")
            if value.get("hidden") and "decode" not in kinds:
                raise ValueError("hidden goes with decode: only tokens that are generated can be hidden")
            if "repeat" in kinds and "name" in value:
                raise ValueError("name the steps inside, not the repetition")
        return value

    def expanded(self) -> Iterator[StepSpec]:
        """The step itself, or all that is repeated."""
        inside = [step for item in self.steps or () for step in item.expanded()]
        if self.repeat is None:
            yield self
        else:
            for _ in range(min(self.repeat, MOST_STEPS + 1)):
                yield from inside

    def build(self) -> Step:
        """The plain object of a step that repeats nothing."""
        name = self.name or ""
        if self.prefill is not None:
            return Prefill(float(self.prefill), name)
        if self.decode is not None:
            return Decode(float(self.decode), name, self.hidden)
        if self.cached is not None:
            return Cached(float(self.cached), name)
        return Pause(self.pause or 0.0, name)


Steps = Annotated[Many[StepSpec], Field(min_length=1, max_length=MOST_STEPS)]


def built(steps: Iterable[StepSpec]) -> tuple[Step, ...]:
    """All steps in order, repetitions written out."""
    return tuple(item.build() for step in steps for item in step.expanded())


class ServiceLevelSpec(Spec):
    """What users are promised."""

    ttft: Duration | None = None
    tpot: Duration | None = None


class PrefixCacheSpec(Spec):
    """The share of the first prompt whose keys and values are found in the cache."""

    share: FractionOrZero


class SpeculationSpec(Spec):
    """So many `tokens` are drafted in each step and accepted with that probability each.

    A `model` drafts them, or heads of the model itself at a `cost`: the share of a decode step that one token takes,
    and of weights and cache that they need. Without either they are free, as n-grams of the prompt are.
    """

    tokens: Count
    acceptance: FractionOrZero
    model: Id | None = None
    cost: FractionOrZero | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict) and {"model", "cost"} <= value.keys():
            raise ValueError("tokens are drafted by a model or at a cost; leave one of them out")
        return value

    def build(self, find_model: Callable[[str], Model]) -> Speculation:
        """The plain object."""
        return Speculation(
            tokens=float(self.tokens),
            acceptance=self.acceptance,
            model=find_model(self.model) if self.model else None,
            cost=self.cost or 0.0,
        )


class OperationsSpec(Sourced):
    """How a training run is kept going (see `roofline.workload.Operations`)."""

    checkpoint_interval: Period | None = None
    checkpoint_stall: Duration
    restart: Duration
    stragglers: FractionOrZero = 0.0

    def build(self) -> Operations:
        """The plain object."""
        return Operations(**self.model_dump(exclude={"source"}))


class JobSpec(Identified):
    """What every workload file says: the model, and where the lengths were read (`source`).

    `imbalance` are the rows of the hottest expert-parallel rank over the mean of all ranks.
    """

    model: Id
    source: Word
    precision: PrecisionSpec = Field(default_factory=PrecisionSpec)
    imbalance: AtLeastOne = 1.0

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        return {"lengths": self.source}


class ScenarioSpec(Identified):
    """What requests to any model do: steps, how many run at once, and where the lengths were read (`source`)."""

    source: Word
    steps: Steps
    batch: Batch = 1.0
    slo: ServiceLevelSpec = Field(default_factory=ServiceLevelSpec)
    prefix_cache: PrefixCacheSpec | None = None
    speculative: SpeculationSpec | None = None

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        return {"lengths": self.source}

    def build(self, find_model: Callable[[str], Model]) -> Scenario:
        """The plain object that goes with a model."""
        return Scenario(
            id=self.id,
            steps=built(self.steps),
            batch=self.batch,
            cached_share=self.prefix_cache.share if self.prefix_cache else 0.0,
            speculative=self.speculative.build(find_model) if self.speculative else Speculation(),
            slo=ServiceLevel(self.slo.ttft, self.slo.tpot),
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )


class ServingSpec(JobSpec):
    """A request and how many of them run at once (`batch`; `max`: as many as memory holds).

    Its `steps`, or those of a `scenario`, which also says what this file leaves out; the file then needs no `source`.
    """

    source: Word | None = None  # type: ignore[assignment]
    steps: Steps | None = None
    scenario: Id | None = None
    batch: Batch | None = None
    slo: ServiceLevelSpec | None = None
    prefix_cache: PrefixCacheSpec | None = None
    speculative: SpeculationSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict) and {"steps", "scenario"} <= value.keys():
            raise ValueError("has steps of its own and a scenario; leave one of them out")
        return value

    @model_validator(mode="after")
    def _whole(self) -> ServingSpec:
        if self.steps is None and self.scenario is None:
            raise ValueError("needs steps, e.g. '- prefill: 2000', or a scenario, e.g. 'scenario: chat'")
        if self.source is None and self.steps is not None:
            raise ValueError("needs a source: where the lengths were read")
        return self

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        return {"lengths": self.source} if self.source else {}

    def build(
        self, find_model: Callable[[str], Model], find_scenario: Callable[[str], Scenario] | None = None
    ) -> Serving:  # fmt: skip
        """The plain object that the engine works with."""
        model, precision = find_model(self.model), self.precision.build()
        plain = Scenario(id=self.id, steps=built(self.steps or ()))
        found = find_scenario(self.scenario) if self.scenario and find_scenario else plain
        speculative = self.speculative.build(find_model) if self.speculative else found.speculative
        own = {path: join_sources(key, self.sources) for path, key in self.numbers().items()}
        return replace(
            found.of(model, precision),
            id=self.id,
            batch=found.batch if self.batch is None else self.batch,
            cached_share=self.prefix_cache.share if self.prefix_cache else found.cached_share,
            speculative=speculative,
            imbalance=self.imbalance,
            slo=ServiceLevel(self.slo.ttft, self.slo.tpot) if self.slo else found.slo,
            sources={**found.sources, **own},
        )


class TrainingSpec(JobSpec):
    """A training run: all tokens, sequence length, sequences per step.

    `gradients`, `master` and `moments` are formats of what is kept of each parameter that is trained. With a
    `lora_rank` these are adapters beside `lora_targets`, and the model's weights rest in the format of the precision.
    """

    tokens: Count
    seq_len: Count
    global_batch: Count
    optimizer: Literal["adam", "adam8bit", "sgd", "lion", "muon"] = "adam"
    gradients: KeptDType = "fp32"
    master: KeptDType = "fp32"
    moments: KeptDType = "fp32"
    dropout: bool = False
    lora_rank: CountOrZero = 0
    lora_targets: Literal["all", "attention", "qv"] = "all"
    operations: OperationsSpec | None = None

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        return super().numbers() | ({"operations": self.operations.source} if self.operations else {})

    @model_validator(mode="after")
    def _adapted(self) -> TrainingSpec:
        if "lora_targets" in self.model_fields_set and not self.lora_rank:
            raise ValueError("lora_targets without a lora_rank; write one, e.g. 'lora_rank: 16', or leave both out")
        return self

    def build(self, find_model: Callable[[str], Model]) -> Training:
        """The plain object that the engine works with."""
        return Training(
            id=self.id,
            model=find_model(self.model),
            tokens=float(self.tokens),
            seq_len=float(self.seq_len),
            global_batch=float(self.global_batch),
            precision=self.precision.build(),
            optimizer=self.optimizer,
            gradients=self.gradients,
            master=self.master,
            moments=self.moments,
            dropout=self.dropout,
            lora_rank=float(self.lora_rank),
            lora_targets=self.lora_targets,
            imbalance=self.imbalance,
            operations=self.operations.build() if self.operations else None,
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )
