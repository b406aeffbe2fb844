"""Results in notebooks: the report without a page around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.report.html import page


def repr_html(result: Mapping[str, Any]) -> str:
    """A result as HTML that brings its own style, which reaches nothing else, and no script."""
    return page.fragment(result)
