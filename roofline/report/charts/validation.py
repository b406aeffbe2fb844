"""The chart of a validation: predicted over measured, times and rates apart, a colour for each kind of chip."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, save
from roofline.report.human import count, percent, quantity, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

SECONDS: Mapping[str, float] = MappingProxyType({"us": 1e-6, "ms": 1e-3, "s": 1.0})
KINDS = ("gpu", "tpu", "asic", "npu", "cpu", "lpu")  # so that a kind has its colour whatever a table holds
BAND = 0.25
MANY = 1500  # points above which a vector file holds them as one picture


def scatter_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw a validation's rows into a file; `suffix` if the path's own is another.

    The same rows give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    panels = [(name, rows) for name, rows in panels_of(result["rows"]).items() if rows] or [("times", [])]
    width = 9.6 if len(panels) > 1 else 5.0
    save(lambda figure: _draw(figure, result, panels), path, suffix=suffix, size=(width, 5.0))


def panels_of(rows: Sequence[Result]) -> dict[str, list[Result]]:
    """Rows whose figures are times, and those whose figures are rates; none that a logarithm can't show."""
    shown = [row for row in rows if row["predicted"] and row["measured"]]
    return {
        "times": [row for row in shown if row["unit"] in SECONDS],
        "rates": [row for row in shown if row["unit"] not in SECONDS],
    }


def point(row: Result) -> tuple[float, float]:
    """Measured and predicted in seconds, or as the rates that they are."""
    scale = SECONDS.get(row["unit"], 1.0)
    return row["measured"] * scale, row["predicted"] * scale


def _draw(figure: Figure, result: Result, panels: Sequence[tuple[str, list[Result]]]) -> None:
    for index, (name, rows) in enumerate(panels):
        _panel(figure.add_subplot(1, len(panels), index + 1), name, rows)
    kinds = sorted({row["chip_kind"] for _, rows in panels for row in rows}, key=rank)
    if kinds:
        handles = [figure.axes[0].scatter([], [], s=22, color=_color(kind), label=kind) for kind in kinds]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(kinds), frameon=False, labelcolor=INK,
                      handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    figure.suptitle("Predicted and measured", x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(source_line(result), fontsize=6.5, color=FAINT, x=0.01, ha="left")


def _panel(axes: Axes, name: str, rows: Sequence[Result]) -> None:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        points[row["chip_kind"]].append(point(row))
    low, high = limits([value for some in points.values() for pair in some for value in pair])
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    _lines(axes, low, high)
    for kind, pairs in sorted(points.items(), key=lambda item: -len(item[1])):  # the few on top of the many
        measured, predicted = zip(*pairs, strict=True)
        axes.scatter(
            measured, predicted, s=9, color=_color(kind), alpha=0.4 if len(pairs) > 300 else 0.75, linewidths=0,
            rasterized=len(pairs) > MANY, zorder=3,
        )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: quantity(value, "s") if name == "times" else tokens(value))
        axis.set_minor_formatter(lambda *_: "")
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    axes.tick_params(which="minor", length=0)
    unit = "time" if name == "times" else "rate [tokens/s]"
    axes.set_xlabel(f"measured {unit}")
    axes.set_ylabel(f"predicted {unit}")
    if rows:
        errors = [abs(row["error"]) for row in rows]
        text = f"{count(len(rows))} {name}, median error {percent(median(errors))}"
        axes.set_title(text, loc="left", fontsize=9, color=INK)


def limits(values: Sequence[float]) -> tuple[float, float]:
    """The same range for both axes: whole decades around every value."""
    if not values:
        return 1e-3, 1.0
    low, high = (math.log10(value) for value in (min(values), max(values)))
    return 10.0 ** math.floor(low), 10.0 ** max(math.ceil(high), math.floor(low) + 1)


def _lines(axes: Axes, low: float, high: float) -> None:
    """The diagonal, on which predictions are right, and the band around it."""
    axes.plot([low, high], [low, high], color=INK, linewidth=1.0, zorder=2)
    for share in (BAND, -BAND):
        axes.plot(
            [low, high], [low * (1 + share), high * (1 + share)], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)),
            zorder=2,
        )  # fmt: skip
    axes.text(
        0.98, 0.02, "line: as measured, dashed: ±25 %", transform=axes.transAxes, ha="right", fontsize=7, color=FAINT
    )


def tokens(value: float) -> str:
    """Tokens per second at a tick."""
    return f"{ratio(value / 1e6)} M" if value >= 1e6 else ratio(value)


def rank(kind: str) -> tuple[int, str]:
    """The place of a kind of chip, by which it has its colour."""
    return (KINDS.index(kind) if kind in KINDS else len(KINDS), kind)


def _color(kind: str) -> str:
    return PALETTE[rank(kind)[0] % len(PALETTE)]


def source_line(result: Result) -> str:
    """What drew it, and which rows."""
    side = "all" if result["split"] == "all" else f"only {result['split']}"
    left_out = f", {count(result['left_out'])} others left out" if result["left_out"] else ""
    return f"roofline {result['version']}; {side} rows{left_out}"
