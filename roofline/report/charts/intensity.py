"""The axes on which rooflines are drawn: rates over arithmetic intensity, and names at the ends of the ceilings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roofline.report.charts.placement import spread
from roofline.report.human import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Ceiling:
    """The end of a roof: how it is called, its colour, its height in FLOP/s, and what is told of it."""

    label: str
    color: str
    peak: float
    figures: str


def dress(axes: Axes) -> None:
    """Both axes logarithmic, with ticks that people can read."""
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: quantity(value, "FLOP/s"))
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(lambda *_: "")
    axes.tick_params(which="minor", length=0)
    axes.tick_params(which="major", length=3)
    axes.set_xlabel("arithmetic intensity [FLOP per byte of main memory]")


def end_labels(axes: Axes, ceilings: Sequence[Ceiling], *, size: float, apart: float) -> None:
    """Names and figures at the right ends of the ceilings, `apart` in heights of the axes so that none lie on others.

    Names are of `size` points, figures smaller.
    """
    low, high = (math.log10(value) for value in axes.get_ylim())
    ordered = sorted(ceilings, key=lambda item: -item.peak)
    heights = [(math.log10(item.peak) - low) / (high - low) for item in ordered]
    positions = spread(heights, min(apart, 1.0 / max(len(ordered), 1)))
    shift = min(0.0, 1.0 - max(positions, default=0.0)) + max(0.0, 0.03 - min(positions, default=1.0))
    for item, height, position in zip(ordered, heights, positions, strict=True):
        y = position + shift
        axes.plot([1.0, 1.03], [height, y], transform=axes.transAxes, color=item.color, linewidth=0.8, clip_on=False)
        inside: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "color": item.color}
        axes.annotate(item.label, (1.035, y), (0, 1.5), va="bottom", fontsize=size, fontweight="bold", **inside)
        axes.annotate(item.figures, (1.035, y), (0, -0.5), va="top", fontsize=size - 1.5, linespacing=1.25, **inside)
