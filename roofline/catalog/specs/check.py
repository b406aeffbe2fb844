"""The `roofline.toml` of a project: which predictions are kept under test, how far they may move, what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from roofline.catalog.fields import Count, Many, ShareOrMore, Spec, Word

DEFAULT = "default"
EVERY = ("*",)
TOLERANCE = 0.001  # by which a number may move without a word


class PredictionsSpec(Spec):
    """Every workload on every deployment, with options of `analyze` such as `batch`; `metrics` are patterns."""

    workloads: Annotated[Many[Word], Field(min_length=1)]
    deployments: Annotated[Many[Word], Field(min_length=1)]
    options: Mapping[str, Any] = Field(default_factory=dict)
    metrics: Annotated[Many[Word], Field(min_length=1)] = EVERY


class PromiseSpec(Spec):
    """A condition that predictions keep; of all that have its metrics, or of those whose names match."""

    condition: Word = Field(alias="assert")
    workloads: Many[Word] = EVERY
    deployments: Many[Word] = EVERY


class GateSpec(Spec):
    """How far predictions may be from measurements, in each group of rows that are equal in the columns `by`."""

    measured: Word | None = None
    by: Annotated[Many[Word], Field(min_length=1)] = ("chip_kind", "what")
    split: Word | None = None
    max_median: ShareOrMore | None = None
    max_p90: ShareOrMore | None = None
    min_cases: Count = 1

    @model_validator(mode="after")
    def _has_a_limit(self) -> GateSpec:
        if self.max_median is None and self.max_p90 is None:
            raise ValueError("limits nothing; write max_median or max_p90, e.g. max_median = 0.2")
        return self


class CheckSpec(Spec):
    """The whole file. Paths in it start from its own folder."""

    format: Literal[1] = 1
    baseline: Word = "roofline.baseline"
    hardware_dirs: Many[Word] = ()
    workload_dirs: Many[Word] = ()
    tolerances: Mapping[str, ShareOrMore] = Field(default_factory=dict)
    predictions: Annotated[Many[PredictionsSpec], Field(min_length=1)]
    slo: Many[PromiseSpec] = ()
    accuracy: Many[GateSpec] = ()
