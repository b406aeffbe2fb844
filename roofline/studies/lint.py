"""Whether files are sound: every fault and every warning, with line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roofline import __version__
from roofline.catalog import document
from roofline.catalog.faults import explain
from roofline.catalog.rules import check
from roofline.catalog.store import KINDS, Catalog, extended
from roofline.errors import Finding, RooflineError, SpecError

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
        if path.is_dir():
            yield from sorted(path.rglob("*.yaml"))
        elif path.exists():
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
        return check(checked, found)
    except SpecError as error:
        return list(error.findings)


def has_errors(result: Mapping[str, Any]) -> bool:
    """Whether anything found is more than a warning."""
    return any(row["severity"] == "error" for row in result["rows"])
