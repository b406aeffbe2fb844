"""What is traded, as lines on two logarithmic axes: how a line is drawn, and where names go beside its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from roofline.report.charts.figure import box_of
from roofline.report.charts.placement import FAR, Box, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


class Traded(Protocol):
    """A point of a line: where it stands on both axes, and whether it keeps what is promised."""

    @property
    def at(self) -> tuple[float, float]:
        """Its place, in the units of the axes."""

    @property
    def kept(self) -> bool:
        """Whether all that is promised is kept there."""


def ticks(axis: Axis, limits: tuple[float, float], show: Callable[[float | None], str], most: float) -> None:
    """Powers of ten, and what is two and five times them on an axis that spans less than `most`."""
    few = limits[1] / limits[0] < most
    axis.set_major_formatter(lambda value, _: show(value))
    axis.set_minor_formatter(lambda value, _: show(value) if few and _leading(value) in (2, 5) else "")


def grid(axes: Axes) -> None:
    """Lines behind everything at powers of ten, and ticks that people can read."""
    axes.tick_params(which="minor", length=0, labelsize=8, pad=6.5)
    axes.tick_params(which="major", length=3, labelsize=8)
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)


def draw(axes: Axes, points: Sequence[Traded], color: str, ringed: Traded | None) -> None:
    """A line; its points full where they keep what is promised, hollow where not; a ring around the best that does."""
    axes.plot(*_columns(points), color=color, linewidth=1.5, zorder=2.5, solid_joinstyle="round")
    for kept, face in ((True, color), (False, "white")):
        some = [point for point in points if point.kept is kept]
        axes.scatter(*_columns(some), s=17, color=face, zorder=3, edgecolors=color, linewidths=1.1)
    if ringed:
        axes.scatter(*_columns([ringed]), s=95, facecolors="none", edgecolors=color, linewidths=1.3, zorder=3)


def put(
    axes: Axes, text: str, points: Sequence[Traded], color: str, taken: Sequence[Box], frame: Box, *, size: float,
    weight: str, gap: float = 9.0, far: Sequence[float] = FAR,
) -> list[Box]:  # fmt: skip
    """Write a text beside the first of some points that has room; the box that it takes, if any."""
    told = axes.text(0.5, 0.5, text, transform=axes.transAxes, fontsize=size, fontweight=weight)
    box = box_of(told)
    told.remove()
    width, height = box.right - box.left + 4, box.top - box.bottom
    for point in points:
        x, y = axes.transData.transform(point.at)
        (found,) = place([(x, y)], [(width, height)], taken, frame, gap, far)
        if found:
            axes.annotate(
                text, ((found.left + found.right) / 2, (found.bottom + found.top) / 2), xycoords="figure pixels",
                ha="center", va="center", fontsize=size, fontweight=weight, color=color, zorder=4,
            ).set_in_layout(False)  # fmt: skip
            return [found]
    return []


def along(axes: Axes, points: Sequence[Traded], ringed: Traded | None, step: float = 6.0) -> Iterator[Box]:
    """Small squares along a line and one around its ring, which names must not cross."""
    places = axes.transData.transform([point.at for point in points])
    for (x, y), (to_x, to_y) in zip(places, [*places[1:], places[-1]], strict=True):
        pieces = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / step))
        for piece in range(pieces):
            at, up = x + (to_x - x) * piece / pieces, y + (to_y - y) * piece / pieces
            yield Box(at - 4, up - 4, at + 4, up + 4)
    if ringed:
        x, y = axes.transData.transform(ringed.at)
        yield Box(x - 11, y - 11, x + 11, y + 11)


def upright(axes: Axes, value: float) -> Box:
    """A limit that is drawn over the whole height at a value of the horizontal axis."""
    frame = box_of(axes)
    x, _ = axes.transData.transform((value, axes.get_ylim()[0]))
    return Box(x - 1, frame.bottom, x + 1, frame.top)


def _columns(points: Sequence[Traded]) -> tuple[list[float], list[float]]:
    return [point.at[0] for point in points], [point.at[1] for point in points]


def _leading(value: float) -> int:
    """The first digit of a number."""
    return round(value / 10.0 ** math.floor(math.log10(value) + 1e-9))
