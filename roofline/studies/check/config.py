"""The `roofline.toml` that says what is under test, with the line of everything in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roofline.catalog import toml
from roofline.catalog.document import Document, KeyPath
from roofline.catalog.faults import explain
from roofline.catalog.specs.check import DEFAULT, TOLERANCE, CheckSpec
from roofline.catalog.store import Catalog, is_path
from roofline.errors import Finding, RooflineError, SpecError
from roofline.studies.request import Options, options, parse_deployment

CONFIG = Path("roofline.toml")
FILED = ("assumptions", "scenario", "draft")  # options that may be paths
WORDS = ("phase", "stack", "pools")  # options that are words, whatever they look like in TOML


@dataclass(frozen=True, slots=True)
class Case:
    """One workload on one deployment, as the file writes them, with options; `place` and `work_place` are the keys
    that ask for the two."""

    workload: str
    deployment: str
    given: Mapping[str, Any]
    metrics: tuple[str, ...]
    place: KeyPath
    work_place: KeyPath

    @property
    def work(self) -> str:
        """The workload with its options, as it is called in baselines.

        >>> Case("llama-3.1-8b", "h100-sxm", {"phase": "decode", "batch": 16}, ("*",), (), ()).work
        'llama-3.1-8b:batch=16,phase=decode'
        """
        told = ",".join(f"{name}={value}" for name, value in sorted(self.given.items()))
        return f"{self.workload}:{told}" if told else self.workload

    def tells(self, metric: str) -> bool:
        """Whether a metric is asked for."""
        return any(fnmatchcase(metric, pattern) for pattern in self.metrics)

    def is_of(self, workloads: tuple[str, ...], deployments: tuple[str, ...]) -> bool:
        """Whether its names match a pattern of each kind."""
        works = any(fnmatchcase(name, pattern) for name in (self.work, self.workload) for pattern in workloads)
        return works and any(fnmatchcase(self.deployment, pattern) for pattern in deployments)


@dataclass(frozen=True)
class Config:
    """A checked file."""

    path: Path
    spec: CheckSpec
    document: Document

    @property
    def folder(self) -> Path:
        """Where its paths start."""
        return self.path.parent

    @property
    def baseline(self) -> Path:
        """The file of predictions as they were."""
        return self.folder / self.spec.baseline

    def catalog(self, given: Catalog) -> Catalog:
        """The catalogue with the folders of the file behind those that were given."""
        hardware, workloads = (
            tuple(self.folder / name for name in names) for names in (self.spec.hardware_dirs, self.spec.workload_dirs)
        )
        return replace(
            given, hardware_dirs=(*given.hardware_dirs, *hardware), workload_dirs=(*given.workload_dirs, *workloads)
        )

    def cases(self) -> list[Case]:
        """Everything that is predicted, once each, in the order of the file."""
        found: dict[tuple[str, str], Case] = {}
        for index, group in enumerate(self.spec.predictions):
            for at, workload in enumerate(group.workloads):
                for to, deployment in enumerate(group.deployments):
                    place: KeyPath = ("predictions", index, "deployments", to)
                    work_place: KeyPath = ("predictions", index, "workloads", at)
                    case = Case(workload, deployment, group.options, group.metrics, place, work_place)
                    known = found.get((deployment, case.work))
                    more = (*known.metrics, *group.metrics) if known else group.metrics
                    found[deployment, case.work] = replace(known or case, metrics=more)
        return list(found.values())

    def line(self, *place: str | int) -> int:
        """The line of a key, or of the nearest above it that the file has."""
        return self.document.finding(place, "").line

    def fault(self, place: KeyPath, error: Exception) -> Finding:
        """A fault at a key."""
        return self.document.finding(place, str(error))

    def placed(self, name: str) -> str:
        """A name of the catalogue as it is, a path from where the file is."""
        return str(self.folder / name) if is_path(name) else name

    def deployment(self, text: str) -> str:
        """A deployment as written, with the path of its chip from where the file is."""
        chip = parse_deployment(text).chip
        return text.replace(chip, self.placed(chip), 1)

    def options(self, case: Case) -> Options:
        """The options of a case."""
        told = {name: str(value) if name in WORDS else value for name, value in case.given.items()}
        filed = {name: self.placed(told[name]) for name in FILED if isinstance(told.get(name), str)}
        return options({**told, **filed})

    def tolerance(self, metric: str) -> float:
        """By what share a metric may move: what its own name says, else the first pattern that matches it."""
        told = self.spec.tolerances
        usual = told.get(DEFAULT, TOLERANCE)
        matches = (share for name, share in told.items() if name != DEFAULT and fnmatchcase(metric, name))
        return told[metric] if metric in told else next(matches, usual)


def read(path: Path) -> Config:
    """The file of that path; `SpecError` with every fault in it, or how to make one if there is none."""
    if not os.path.isfile(path):
        raise RooflineError(f"{path}: no such file; 'roofline new check' writes one, --config FILE names another")
    found = toml.read(path)
    try:
        spec = CheckSpec.model_validate(found.data)
    except ValidationError as error:
        raise SpecError(explain(error, found, CheckSpec)) from None
    config = Config(path, spec, found)
    if faults := list(_faults(config)):
        raise SpecError(faults)
    return config


def _faults(config: Config) -> Iterator[Finding]:
    """What is wrong beyond the format: folders that are none, options that mean nothing."""
    for kind in ("hardware_dirs", "workload_dirs"):
        for index, name in enumerate(getattr(config.spec, kind)):
            if not os.path.isdir(config.folder / name):
                yield config.document.finding((kind, index), f"no such folder: {config.folder / name}")
    for index, group in enumerate(config.spec.predictions):
        case = Case("", "", group.options, (), (), ())
        try:
            config.options(case)
        except RooflineError as error:
            yield config.fault(("predictions", index, "options"), error)
