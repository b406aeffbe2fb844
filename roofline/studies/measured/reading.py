"""Ways to read a row: as a request served, or as a training run. Each module of them reads rows alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from roofline.catalog.store import Catalog
from roofline.engine.deployment import Deployment
from roofline.machine import Stack
from roofline.studies.measured import serving, training
from roofline.studies.measured.table import Case, Metric
from roofline.workload import Model, Workload

Skips = list[dict[str, str]]


class Reading(Protocol):
    """What a module that reads rows offers; a `setup` is what rows of one prediction share, of its own kind."""

    def group(self, cases: Iterable[Case], catalog: Catalog) -> tuple[Mapping[Any, list[Case]], Skips]:
        """Cases by setup, and those that can't be predicted with the reason."""

    def model_of(self, setup: Any, catalog: Catalog) -> Model:
        """The model of a setup."""

    def stack_of(self, setup: Any, catalog: Catalog) -> Stack:
        """The stack of a setup."""

    def deployment(
        self, setup: Any, catalog: Catalog, model: Model, stack: Stack, cases: Sequence[Case]
    ) -> Deployment:  # fmt: skip
        """Where the cases of a setup ran; raises `SkipError` if they can't have."""

    def work(self, setup: Any, cases: Sequence[Case], model: Model, where: Deployment) -> Workload:
        """What the cases of a setup did, as arrays over them."""

    def of_case(self, case: Case) -> Metric:
        """What a readable case measures."""

    def what(self, metric: Metric, case: Case) -> str:
        """What a figure says, as a class of figures that err alike."""

    def left_open(self, setup: Any, case: Case, metric: Metric) -> str:
        """What a row leaves open that decides its figure as much as the machine does; empty if nothing."""

    def weights_of(self, setup: Any) -> str:
        """The format of the weights."""


def grouped(cases: Sequence[Case], catalog: Catalog) -> Iterator[tuple[Reading, Mapping[Any, list[Case]], Skips]]:
    """Cases by how they are read, each kind by setup, with those that can't be predicted."""
    kinds: tuple[tuple[Reading, bool], ...] = ((serving, False), (training, True))
    for reading, trains in kinds:
        own = [case for case in cases if (case["phase"] == training.TRAINING) is trains]
        yield reading, *reading.group(own, catalog)
