"""Stacked bars that lie: one for each deployment, panel below panel, every part named where it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, box_of, title
from roofline.report.text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THICK = 0.66  # of the distance between bars
OTHER, GREY = "other", "0.82"  # what is too small to be drawn by itself
ROOM = 0.8  # of the width for the longest bar, beside what is told at its end
WIDE = 26  # characters of a label before it is broken over lines


@dataclass(frozen=True)
class Part:
    """A part of a bar."""

    name: str
    value: float
    color: str


@dataclass(frozen=True)
class Bar:
    """One bar: who, in small type how, its parts from left to right, and what is told at its end.

    `low` and `high` are where nine of ten measurements should lie, `ideal` is what nothing can beat. One without parts
    says at its end why.
    """

    label: str
    detail: str
    parts: tuple[Part, ...]
    end: str
    more: str = ""
    low: float | None = None
    high: float | None = None
    ideal: float | None = None

    @property
    def total(self) -> float:
        """Its length."""
        return sum(part.value for part in self.parts)

    @property
    def reach(self) -> float:
        """How far it reaches, whisker and all."""
        return max(self.total, self.high or 0.0)


@dataclass(frozen=True)
class Panel:
    """Bars over one axis."""

    title: str
    bars: tuple[Bar, ...]
    show: Callable[[float | None], str]


def height(panels: Sequence[Panel]) -> float:
    """Inches of a figure that holds them."""
    return 1.2 + sum(0.58 + 0.42 * len(panel.bars) for panel in panels)


def draw_panels(figure: Figure, panels: Sequence[Panel], text: str, below: str) -> None:
    """A title with what is drawn `below` it, every panel, and a key of those parts for whose names no bar has room."""
    many = any(len(bar.parts) > 1 for panel in panels for bar in panel.bars)
    top = title(figure, text, below, rows=int(many))
    grid = figure.add_gridspec(len(panels), 1, height_ratios=[len(panel.bars) + 0.6 for panel in panels])
    drawn = [(figure.add_subplot(grid[index, 0]), panel) for index, panel in enumerate(panels)]
    for axes, panel in drawn:
        _bars(axes, panel)
        _ends(axes, panel)
    figure.draw_without_rendering()  # the layout is known from here on: names go where there is room
    named = {name for axes, panel in drawn for name in _name_parts(axes, panel)}
    parts = {part.name: part.color for panel in panels for bar in panel.bars for part in bar.parts}
    left = sorted(parts.keys() - named, key=lambda name: (name == OTHER, list(parts).index(name)))
    _key(figure, {name: parts[name] for name in left}, top)


def _bars(axes: Axes, panel: Panel) -> None:
    """The bars with their whiskers, the first on top."""
    for row, bar in enumerate(panel.bars):
        left = 0.0
        for part in bar.parts:
            axes.barh(
                row, part.value, THICK, left=left, color=part.color, edgecolor="white", linewidth=0.7, zorder=2
            )  # fmt: skip
            left += part.value
        if bar.ideal and bar.parts:
            axes.plot(
                [bar.ideal], [row - THICK / 2 - 0.07], marker="v", markersize=4.0, color="black", zorder=3,
                clip_on=False,
            )  # fmt: skip
        if bar.low is not None and bar.high is not None and bar.parts:
            axes.plot([bar.low, bar.high], [row + THICK / 2 + 0.09] * 2, color=FAINT, linewidth=1.0, zorder=3)
            for edge in (bar.low, bar.high):
                around = [row + THICK / 2 + 0.02, row + THICK / 2 + 0.16]
                axes.plot([edge] * 2, around, color=FAINT, linewidth=1.0, zorder=3)
    most = max([1.03 * bar.reach for bar in panel.bars] + [bar.total / ROOM for bar in panel.bars]) or 1.0
    axes.set(xlim=(0.0, most), ylim=(len(panel.bars) - 0.35, -0.65))
    axes.set_yticks(range(len(panel.bars)), [_label(bar) for bar in panel.bars], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", length=3, labelsize=7.5)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: panel.show(value))
    axes.grid(visible=True, axis="x", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    axes.set_title(panel.title, loc="left", fontsize=9, color=INK, fontweight="bold")


def _label(bar: Bar) -> str:
    """Who, broken over lines where long; how, below."""
    return "\n".join([*wrap(clean(bar.label), WIDE), *wrap(bar.detail, WIDE + 6)])


def _ends(axes: Axes, panel: Panel) -> None:
    """What is told at the end of each bar."""
    for row, bar in enumerate(panel.bars):
        at: dict[str, Any] = {"xy": (bar.total, row), "textcoords": "offset points", "va": "center"}
        if not bar.parts:
            axes.annotate(bar.end, xytext=(4, 0), fontsize=8, color=FAINT, **at)
            continue
        told = axes.annotate(bar.end, xytext=(5, 0), fontsize=8.5, fontweight="bold", color=INK, **at)
        axes.annotate(
            bar.more, (1.0, 0.5), (4, 0), xycoords=told, textcoords="offset points", va="center", fontsize=7.5,
            color=FAINT,
        )  # fmt: skip


def _name_parts(axes: Axes, panel: Panel) -> Iterator[str]:
    """Write name and value into each part that has room for them, or the name alone, or the value alone; the names that
    were written."""
    for row, bar in enumerate(panel.bars):
        left = 0.0
        for part in bar.parts:
            start, end = (axes.transData.transform((edge, row))[0] for edge in (left, left + part.value))
            value = panel.show(part.value)
            for text in (f"{part.name} {value}", part.name, value) if len(bar.parts) > 1 else (part.name,):
                ink = "white" if _dark(part.color) else "0.1"
                told = axes.text(
                    left + part.value / 2, row, text, ha="center", va="center", fontsize=7, color=ink, zorder=4
                )  # fmt: skip
                box = box_of(told)
                if box.right - box.left + 8 <= end - start:
                    if text.startswith(part.name):
                        yield part.name
                    break
                told.remove()
            left += part.value


def _dark(color: str) -> bool:
    """Whether white is easier to read on a colour than black (relative luminance of WCAG 2)."""
    from matplotlib.colors import to_rgb

    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.25


def _key(figure: Figure, colors: dict[str, str], top: float) -> None:
    """Names of small parts beside their colours, below the title."""
    from matplotlib.patches import Patch

    if colors:
        handles = [Patch(color=color, label=name) for name, color in colors.items()]
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.004, top), ncols=len(handles), frameon=False,
            fontsize=7.5, labelcolor=INK, handlelength=0.9, handleheight=0.9, handletextpad=0.4, columnspacing=1.2,
            borderaxespad=0.0,
        ).set_in_layout(False)  # fmt: skip
