"""Checks in the formats that build servers read; each renderer makes text of a result and does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from roofline.errors import OutputError
from roofline.report.checks import github, junit, sarif

RENDERERS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {"github": github.render, "junit": junit.render, "sarif": sarif.render}
)
SUFFIXES: Mapping[str, str] = MappingProxyType({".xml": "junit", ".sarif": "sarif"})


def render(result: Mapping[str, Any], form: str, **options: Any) -> str:
    """A check in one of these formats; `OutputError` for any other result."""
    if not str(result.get("schema", "")).startswith("roofline.check/"):
        raise OutputError(f"format {form}: only what 'roofline check' finds can be written so")
    return RENDERERS[form](result, **options)
