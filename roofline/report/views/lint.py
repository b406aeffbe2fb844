"""The view of a check of files: one line a finding, as compilers print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.report.document import Document, Text


def view(result: Mapping[str, Any], **_: Any) -> Document:
    """Findings, then the count."""
    rows = result["rows"]
    errors = sum(row["severity"] == "error" for row in rows)
    lines = [Text(line(row), "bad" if row["severity"] == "error" else "plain") for row in rows]
    verdict = f"{result['files']} files: {errors} errors, {len(rows) - errors} warnings"
    return (*lines, Text(verdict, "bad" if errors else "good"))


def line(row: Mapping[str, Any]) -> str:
    """One finding: `path:line:column: severity: key: message [rule]`; only a rule that warns can be accepted."""
    place = ":".join(str(part) for part in (row["path"], row["line"], row["column"]) if part is not None)
    rule = f" [{row['rule']}]" if row["rule"] and row["severity"] == "warning" else ""
    return ": ".join(part for part in (place, row["severity"], row["key"], row["message"]) if part) + rule
