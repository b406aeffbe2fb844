"""The chart of a decision: what the cheapest options would cost for fewer and more requests, and where they cross."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, save
from roofline.report.charts.placement import spread
from roofline.report.human import usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

LINE = 0.055  # height of a name, as a share of an axis


def decision_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw the options of every load of a decision into a file; `suffix` if the path's own is another.

    The same decision gives the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    loads = [load for load in result["serving"] if load["curves"]["options"]]
    height = 4.6 * max(len(loads), 1)
    save(lambda figure: _draw(figure, result, loads), path, suffix=suffix, size=(9.0, height))


def _draw(figure: Figure, result: Result, loads: Sequence[Result]) -> None:
    for index, load in enumerate(loads, 1):
        _load(figure.add_subplot(len(loads), 1, index), load)
    title = result["need"]["name"] if loads else f"{result['need']['name']}: nothing is served"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(
        f"roofline {result['version']}; each option under its own plan; assumptions {result['assumptions']['id']}",
        fontsize=6.5, color=FAINT, x=0.01, ha="left",
    )  # fmt: skip


def _load(axes: Axes, load: Result) -> None:
    scales, curves = load["curves"]["requests"], load["curves"]["options"]
    axes.set(xscale="log", yscale="log", xlim=(scales[0], scales[-1]))
    axes.axvline(1.0, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for curve, colour in zip(curves, PALETTE, strict=False):
        axes.plot(scales, curve["usd_per_month"], color=colour, linewidth=1.6, zorder=3)
    _names(axes, load, curves)
    axes.set_xticks([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8], ["1/8", "1/4", "1/2", "as asked", "2", "4", "8"])
    axes.yaxis.set_major_formatter(lambda value, _: usd(value))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(lambda *_: "")
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    axes.set_xlabel("times as many requests")
    axes.set_ylabel("USD a month")
    axes.set_title(f"{load['model']}, weights {load['weights']}", loc="left", fontsize=9, color=INK)


def _names(axes: Axes, load: Result, curves: Sequence[Result]) -> None:
    """Every line by its rank, place and replicas at its right end, names kept apart from each other."""
    low, high = (math.log10(value) for value in axes.get_ylim())
    ends = [(math.log10(curve["usd_per_month"][-1]) - low) / (high - low) for curve in curves]
    order = sorted(range(len(ends)), key=lambda index: -ends[index])
    for index, place in zip(order, spread([ends[index] for index in order], LINE), strict=True):
        option, colour = load["options"][curves[index]["rank"] - 1], PALETTE[index % len(PALETTE)]
        axes.annotate(
            f"{curves[index]['rank']}  {option['where']}, {_what(option)}", (1.0, place), xytext=(6, 0),
            xycoords="axes fraction", textcoords="offset points", color=colour, fontsize=8, va="center",
            annotation_clip=False,
        )  # fmt: skip


def _what(option: Result) -> str:
    """The replicas of an option."""
    return " and ".join(part["deployment"] for part in option["parts"])
