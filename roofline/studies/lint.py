"""Whether files are sound: every fault and every warning, with line and column."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roofline import __version__, units
from roofline.catalog import document
from roofline.catalog.document import Document
from roofline.catalog.faults import explain
from roofline.catalog.rules import check
from roofline.catalog.specs.chip import ChipSpec
from roofline.catalog.specs.system import SystemSpec
from roofline.catalog.store import KINDS, Catalog, extended
from roofline.errors import Finding, RooflineError, SpecError, UnknownNameError

LINT_SCHEMA = "roofline.lint/1"


def lint(paths: Sequence[Path], catalog: Catalog) -> dict[str, Any]:
    """Everything that is wrong with files, or with every file below folders; with no path, with the whole catalogue."""
    files = list(_files(paths)) if paths else [path for kind in KINDS.values() for path in catalog.files(kind).values()]
    findings = [finding for path in files for finding in lint_file(path, catalog)]
    rows = [
        {
            "path": finding.path,
            "line": finding.line or None,
            "column": finding.column or None,
            "severity": finding.severity,
            "rule": finding.rule or None,
            "key": finding.key,
            "message": finding.message,
        }
        for finding in findings
    ]
    return {"schema": LINT_SCHEMA, "version": __version__, "files": len(files), "rows": rows}


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if os.path.isdir(path):
            yield from sorted(path.rglob("*.yaml"))
        elif os.path.exists(path):
            yield path
        else:
            raise RooflineError(f"{path}: no such file or folder")


def lint_file(path: Path, catalog: Catalog) -> list[Finding]:
    """Every fault and warning of one file; its kind is told by its keys or by what it extends."""
    try:
        found = document.read(path)
        kind = catalog.kind_of(found)
        found = extended(found, catalog.resolver(kind))
        spec = KINDS[kind].spec
        try:
            checked = spec.model_validate(found.data)
        except ValidationError as error:
            return explain(error, found, spec)
        return [*check(checked, found), *(_system(checked, found, catalog) if isinstance(checked, SystemSpec) else ())]
    except SpecError as error:
        return list(error.findings)


def _system(spec: SystemSpec, found: Document, catalog: Catalog) -> Iterator[Finding]:
    """What only shows with the chip beside a system: that there is one, and that all of them draw no more than it."""
    try:
        chip = catalog.spec("chip", spec.chip)
    except UnknownNameError as error:
        yield found.finding(("chip",), str(error))
        return
    if isinstance(chip, ChipSpec) and chip.power and spec.power and spec.power.max:
        all_of_them = spec.chips.count * chip.power.tdp
        if spec.power.max < all_of_them:
            message = f"is below the {units.show(all_of_them, 'W')} of its {spec.chips.count:,} chips; of one host?"
            yield replace(found.finding(("power", "max"), message), severity="warning")


def has_errors(result: Mapping[str, Any]) -> bool:
    """Whether anything found is more than a warning."""
    return any(row["severity"] == "error" for row in result["rows"])
