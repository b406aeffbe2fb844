"""Results in notebooks: the report without a page around it, and charts that show themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from roofline.report import charts
from roofline.report.html import page


@dataclass(frozen=True)
class Figure:
    """A chart as SVG, which a notebook shows."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Figure of {len(self.svg):,} characters of SVG"


def repr_html(result: Mapping[str, Any]) -> str:
    """A result as HTML that brings its own style, which reaches nothing else, and no script."""
    return page.fragment(result).encode("utf-8", "backslashreplace").decode("utf-8")


def figure(result: Mapping[str, Any], kind: str | None = None) -> Figure:
    """The chart that `charts.draw` makes of a result; `OutputError` where there is none."""
    with TemporaryDirectory(prefix="roofline-") as folder:
        path = Path(folder) / "chart.svg"
        charts.draw(result, path, kind=kind)
        return Figure(path.read_text(encoding="utf-8"))
