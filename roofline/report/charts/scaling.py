"""The chart of a scaling curve: tokens per second over chips, beside as many for each chip as the fewest make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, save
from roofline.report.human import count, percent, rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]


def scaling_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw a prediction's scaling curve into a file; `suffix` if the path's own is another.

    The same curve gives the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    save(lambda figure: _draw(figure, result), path, suffix=suffix, size=(7.2, 5.0))


def _draw(figure: Figure, result: Result) -> None:
    curve, deployment = result["scaling"], result["deployment"]
    axes = figure.add_subplot(1, 1, 1)
    chips = [row["num_chips"] for row in curve["rows"]]
    made = [row["tokens_per_s"] for row in curve["rows"]]
    axes.set(xscale="log", yscale="log")
    axes.plot(
        [chips[0], chips[-1]], [made[0], made[0] * chips[-1] / chips[0]], color=FAINT, linewidth=0.8,
        linestyle=(0, (4, 3)), zorder=2, label="as many for each chip as on the fewest",
    )  # fmt: skip
    axes.plot(chips, made, color=PALETTE[0], marker="o", markersize=4.0, linewidth=1.4, zorder=3, label="the best plan")
    _mark(axes, curve)
    axes.set_xticks(chips, [count(value) for value in chips])
    axes.yaxis.set_major_formatter(lambda value, _: rate(value))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(lambda *_: "")
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"chips ({deployment['chip_name']})")
    axes.set_ylabel("tokens/s")
    axes.legend(loc="upper left", frameon=False, labelcolor=INK)
    title = f"{curve['kind'].capitalize()} scaling of {result['workload']['id']}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(
        f"roofline {result['version']}; stack {deployment['stack']}", fontsize=6.5, color=FAINT, x=0.01, ha="left"
    )


def _mark(axes: Axes, curve: Result) -> None:
    """The efficiency below each point, and where it stops to pay."""
    cliff = curve["cliff"]["num_chips"] if curve["cliff"] else None
    for row in curve["rows"]:
        there = row["num_chips"] == cliff
        axes.annotate(
            percent(row["efficiency"]), (row["num_chips"], row["tokens_per_s"]), xytext=(3, -11),
            textcoords="offset points", fontsize=7, color=PALETTE[1] if there else INK,
            fontweight="bold" if there else "normal",
        )  # fmt: skip
