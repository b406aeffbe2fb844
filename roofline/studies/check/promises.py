"""Whether predictions keep what was promised: conditions on their figures, in the language of `sweep --where`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from roofline.catalog.document import KeyPath
from roofline.catalog.specs.check import PromiseSpec
from roofline.errors import Finding, RooflineError, SpecError
from roofline.studies.check.config import Config
from roofline.studies.check.predicted import Figure, Predicted
from roofline.studies.sweep import where
from roofline.studies.sweep.columns import Values, Words

FITS = "fits"
ALL = "'roofline check --all' shows all"


def promises(config: Config, found: Sequence[Predicted]) -> list[dict[str, Any]]:
    """A row for each promise of each prediction that it is about; `SpecError` for those that mean nothing, or are
    about none."""
    rows: list[dict[str, Any]] = []
    faults: list[Finding] = []
    for index, promise in enumerate(config.spec.slo):
        place: KeyPath = ("slo", index, "assert")
        try:
            rows += _kept(promise, found, config.line(*place), str(config.path))
        except RooflineError as error:
            faults.append(config.fault(place, error))
    if faults:
        raise SpecError(faults)
    return rows


def _kept(promise: PromiseSpec, found: Sequence[Predicted], line: int, path: str) -> Iterator[dict[str, Any]]:
    """The rows of one promise: about all predictions with its names that have its metrics."""
    named = [item for item in found if item.case.is_of(promise.workloads, promise.deployments)]
    if not named:
        raise RooflineError(f"{promise.condition!r}: no prediction has such a workload and deployment")
    known = list(dict.fromkeys(name for item in named for name in item.figures))
    condition = where.parse(promise.condition, known, "assert", ALL)
    about = [item for item in named if all(name in item.figures for name in condition.names)]
    if not about or not condition.names:
        raise RooflineError(f"{promise.condition!r}: no prediction has all of its metrics")
    for item in about:
        holds = bool(condition.holds({name: _column(value) for name, value in item.figures.items()}, 1)[0])
        yield {
            "assert": promise.condition,
            "deployment": item.case.deployment,
            "workload": item.case.work,
            "kept": holds and (bool(item.figures[FITS]) or FITS in condition.names),
            "fits": bool(item.figures[FITS]),
            "values": _values(item.figures, condition.names),
            "path": path,
            "line": line,
        }


def _column(value: Figure) -> Values:
    """A figure as a column of one row; what is not known is no number."""
    if isinstance(value, str):
        return Words(np.zeros(1, dtype=np.intp), (value,))
    return np.array([np.nan if value is None else value])


def _values(figures: Mapping[str, Figure], names: Sequence[str]) -> dict[str, Figure]:
    return {name: figures[name] for name in names}
