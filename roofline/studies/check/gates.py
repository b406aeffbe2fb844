"""Whether predictions are as close to measurements as they shall be: limits on the errors of groups of cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from roofline.catalog.document import KeyPath
from roofline.catalog.specs.check import GateSpec
from roofline.catalog.store import Catalog
from roofline.errors import Finding, RooflineError, SpecError
from roofline.studies.accuracy import limits
from roofline.studies.check.config import Config
from roofline.studies.validate import validate


def gates(config: Config, catalog: Catalog) -> list[dict[str, Any]]:
    """A row for each limit on each group; `SpecError` for tables that can't be read and columns that do not exist."""
    rows: list[dict[str, Any]] = []
    faults: list[Finding] = []
    for index, gate in enumerate(config.spec.accuracy):
        place: KeyPath = ("accuracy", index)
        try:
            rows += _met(gate, config, catalog, config.line(*place))
        except SpecError as error:
            faults += error.findings
        except RooflineError as error:
            faults.append(config.fault(place, error))
    if faults:
        raise SpecError(faults)
    return rows


def _met(gate: GateSpec, config: Config, catalog: Catalog, line: int) -> Iterator[dict[str, Any]]:
    measured = config.folder / gate.measured if gate.measured else None
    found = validate(measured, config.catalog(catalog), gate.by, gate.split)
    groups = [group for group in found["summary"] if group["cases"] >= gate.min_cases]
    if not groups:
        raise RooflineError(f"no group has {gate.min_cases:,} cases that can be predicted, so this gate tests nothing")
    for group in groups:
        for limit in limits(gate.max_median, gate.max_p90):
            error = group[limit.key]
            yield {
                "measured": str(measured) if measured else None,
                "group": group["group"],
                "cases": group["cases"],
                "error": limit.key,
                "value": error,
                "limit": limit.most,
                "met": error <= limit.most,
                "path": str(config.path),
                "line": line,
            }
