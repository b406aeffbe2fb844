"""Which chart each kind of result is drawn as."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(result: Mapping[str, Any], path: Path, *, suffix: str | None = None) -> None:
    """Draw a result into a file: a validation as a scatter of its rows, a contrast as training and inference beside
    each other, a run that scales as a curve, costs over utilisation, other predictions as rooflines."""
    if str(result.get("schema", "")).startswith("roofline.validation/"):
        from roofline.report.charts.validation import scatter_chart

        scatter_chart(result, path, suffix=suffix)
    elif str(result.get("schema", "")).startswith("roofline.contrast/"):
        from roofline.report.charts.contrast import contrast_chart

        contrast_chart(result, path, suffix=suffix)
    elif result.get("scaling"):
        from roofline.report.charts.scaling import scaling_chart

        scaling_chart(result, path, suffix=suffix)
    elif result.get("costs"):
        from roofline.report.charts.break_even import break_even_chart

        break_even_chart(result, path, suffix=suffix)
    else:
        from roofline.report.charts.roofline import roofline_chart

        roofline_chart(result.get("rows", [result]), path, suffix=suffix)
