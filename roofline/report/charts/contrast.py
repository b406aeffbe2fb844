"""The chart of a contrast: the rooflines of training and of inference beside each other, phases as points on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from roofline.report.charts import intensity
from roofline.report.charts.figure import FAINT, INK, PALETTE, save
from roofline.report.charts.placement import Box, place
from roofline.report.charts.roofline import MARKERS
from roofline.report.human import percent, quantity, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

PANELS = {"training": ("training",), "inference": ("prefill", "decode")}


@dataclass(frozen=True)
class Point:
    """A phase on a deployment: FLOP per byte, attained FLOP/s of a chip, its share of a request's time."""

    phase: str
    intensity: float
    rate: float
    share: float

    @property
    def area(self) -> float:
        """Area of its marker in square points: in proportion to the time, never too small to be seen."""
        return 18 + 120 * self.share


@dataclass(frozen=True)
class Roof:
    """A deployment in one panel: its peak in the format that it multiplies there, its main memory, its phases."""

    label: str
    color: str
    dtype: str
    peak: float
    bandwidth: float
    points: tuple[Point, ...]

    @property
    def ridge(self) -> float:
        """Intensity at which the ceiling begins."""
        return self.peak / self.bandwidth


def contrast_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw a contrast into a file; `suffix` if the path's own is another.

    The same figures give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    save(lambda figure: _draw(figure, result), path, suffix=suffix, size=(12.0, 5.6))


def panels_of(rows: Sequence[Result]) -> dict[str, list[Roof]]:
    """The roofs of training and of inference, each deployment in its colour, where it fits and its roofs are known."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    return {
        title: [roof for index, name in enumerate(names) for roof in _roofs(rows, name, phases, _color(index))]
        for title, phases in PANELS.items()
    }


def _color(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def _roofs(rows: Sequence[Result], name: str, phases: Sequence[str], color: str) -> Iterator[Roof]:
    """The roof of a deployment in one panel, if anything is known of it."""
    own = [row for row in rows if row["name"] == name and row["phase"] in phases and row["fits"]]
    if not own:
        return
    roofs = own[0]["roofs"]
    main = next((level for level in roofs["memory"] if level["main"]), None)
    if roofs["peak_flops_per_s"] and main and main["bandwidth_bytes_per_s"]:
        yield Roof(
            own[0]["deployment"]["label"], color, roofs["dtype"], roofs["peak_flops_per_s"],
            main["bandwidth_bytes_per_s"], tuple(_points(own)),
        )  # fmt: skip


def _points(rows: Sequence[Result]) -> Iterator[Point]:
    for row in rows:
        x, y = row["intensity"]["arithmetic_intensity"], row["intensity"]["attained_flops_per_s"]
        if x and y:
            yield Point(row["phase"], x, y, row["share"])


def _draw(figure: Figure, result: Result) -> None:
    panels = panels_of(result["rows"])
    ranges = ranges_of([roof for roofs in panels.values() for roof in roofs])
    for index, (title, roofs) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1)
        _scales(axes, title, *ranges)
        for roof in roofs:
            _lines(axes, roof)
        intensity.end_labels(axes, [_ceiling(roof) for roof in roofs], size=8, apart=0.115)
    figure.axes[0].set_ylabel("attained arithmetic rate per chip")
    figure.suptitle(
        f"Training and inference of {result['model']['id']}", x=0.01, ha="left", fontsize=11, fontweight="bold"
    )
    source = "\n".join(wrap(source_line(result), 230))
    figure.supxlabel(source, fontsize=6.5, color=FAINT, x=0.01, ha="left", linespacing=1.4)
    figure.draw_without_rendering()  # the layout is known from here on: names go where there is room
    for axes, roofs in zip(figure.axes, panels.values(), strict=True):
        _name_points(axes, roofs)


def ranges_of(roofs: Sequence[Roof]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The same ranges for both panels, over every ridge, peak and point."""
    xs = [x for roof in roofs for x in (roof.ridge / 4, roof.ridge, *(point.intensity for point in roof.points))]
    ys = [y for roof in roofs for y in (roof.peak, *(point.rate for point in roof.points))]
    low, high = min(xs, default=1.0), max(xs, default=1000.0)
    bottom, top = min(ys, default=1e12), max(ys, default=1e15)
    return (low / 1.5, high * 4), (bottom / 3, top * 2.2)


def _scales(axes: Axes, title: str, across: tuple[float, float], up: tuple[float, float]) -> None:
    """The axes of one panel, over the same ranges as the other's."""
    intensity.dress(axes)
    axes.set(xlim=across, ylim=up)
    axes.set_title(title, loc="left", fontsize=10, color=INK)


def _lines(axes: Axes, roof: Roof) -> None:
    """A roof with its ridge point, and each phase with what it stays below its roof."""
    low, high = axes.get_xlim()
    xs = [low, min(max(roof.ridge, low), high), high]
    axes.plot(xs, [min(roof.peak, roof.bandwidth * x) for x in xs], color=roof.color, linewidth=1.7)
    axes.plot(
        [roof.ridge], [roof.peak], marker="o", markersize=4.5, color="white", markeredgecolor=roof.color,
        markeredgewidth=1.3, zorder=2.5,
    )  # fmt: skip
    for point in roof.points:
        above = min(roof.peak, roof.bandwidth * point.intensity)
        axes.plot([point.intensity] * 2, [point.rate, above], color=roof.color, linewidth=0.7, linestyle=(0, (1, 2)))
        axes.scatter(
            [point.intensity], [point.rate], s=point.area, marker=MARKERS.get(point.phase, "o"), color=roof.color,
            alpha=0.85, linewidths=0.7, edgecolors="white", zorder=3,
        )  # fmt: skip


def _ceiling(roof: Roof) -> intensity.Ceiling:
    memory = f"{quantity(roof.bandwidth, 'B/s')}, ridge {ratio(roof.ridge)}"
    return intensity.Ceiling(
        roof.label, roof.color, roof.peak, f"{quantity(roof.peak, 'FLOP/s')} {roof.dtype}\n{memory}"
    )


def _name_points(axes: Axes, roofs: Sequence[Roof]) -> None:
    """The phase and its share of the roof above it beside each point, where there is room."""
    named = [(roof, point) for roof in roofs for point in roof.points]
    scale = axes.figure.dpi / 72
    centres = [tuple(axes.transData.transform((point.intensity, point.rate))) for _, point in named]
    texts = [
        axes.text(0.5, 0.5, _name(roof, point), transform=axes.transAxes, fontsize=7, color=roof.color)
        for roof, point in named
    ]
    boxes = [text.get_window_extent() for text in texts]
    sizes = [(box.width + 6, box.height) for box in boxes]
    markers = [
        Box(x - half, y - half, x + half, y + half)
        for (x, y), (_, point) in zip(centres, named, strict=True)
        for half in (math.sqrt(point.area) / 2 * scale,)
    ]
    frame = axes.get_window_extent()
    room = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    places = place(centres, sizes, [*markers, *_along(axes, roofs)], room, gap=9.0)
    for text, (x, y), box in zip(texts, centres, places, strict=True):
        text.remove()
        if box is None:
            continue
        middle = ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        near = abs(middle[1] - y) < 1 or box.left <= x <= box.right
        axes.annotate(
            text.get_text(), (x, y), ((middle[0] - x) / scale, (middle[1] - y) / scale), xycoords="figure pixels",
            textcoords="offset points", ha="center", va="center", fontsize=7, color=text.get_color(),
            arrowprops=None if near else {"arrowstyle": "-", "linewidth": 0.4, "color": FAINT, "shrinkB": 4},
        ).set_in_layout(False)  # fmt: skip


def _name(roof: Roof, point: Point) -> str:
    return f"{point.phase} {percent(point.rate / min(roof.peak, roof.bandwidth * point.intensity))}"


def _along(axes: Axes, roofs: Sequence[Roof], steps: int = 120) -> Iterator[Box]:
    """Small squares along the roofs, which names must not cross."""
    low, high = (math.log10(value) for value in axes.get_xlim())
    xs = [10 ** (low + (high - low) * step / steps) for step in range(steps + 1)]
    found = [(x, min(roof.peak, roof.bandwidth * x)) for roof in roofs for x in xs]
    for x, y in axes.transData.transform(found) if found else ():
        yield Box(x - 2, y - 2, x + 2, y + 2)


def source_line(result: Result) -> str:
    """What drew it, what lines and points are, and what stands behind them."""
    by_kind: dict[str, dict[str, None]] = {}
    for row in result["rows"]:
        if row["fits"]:
            by_kind.setdefault(row["evidence"]["calibration"], {})[row["deployment"]["label"]] = None
    kinds = "; ".join(f"{kind}: {', '.join(labels)}" for kind, labels in by_kind.items())
    roofs = "roofs: dense datasheet peaks of the format in use; points: expected rates of each phase by itself"
    area = "percent: of the roof above; area: share of a request's time"
    return f"roofline {result['version']}; {roofs}; {area}" + (f" ({kinds})" if kinds else "")
