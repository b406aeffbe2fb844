"""The roofline chart (Williams, Waterman, Patterson 2009): memory levels and peaks as roofs, operators as points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.report.charts import intensity
from roofline.report.charts.figure import FAINT, INK, PALETTE, box_of, evidence_line, footer, pixels_per_point, save
from roofline.report.charts.placement import Box, place
from roofline.report.human import quantity, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

MARKERS = {"prefill": "o", "decode": "D", "draft-prefill": "v", "draft": "^", "training": "s"}
LARGEST = 6  # operators drawn for each phase


@dataclass(frozen=True)
class Point:
    """One operator: FLOP per byte, attained FLOP/s, its share of the phase's time."""

    phase: str
    name: str
    intensity: float
    rate: float
    share: float

    @property
    def area(self) -> float:
        """Area of its marker in square points: in proportion to the time, never too small to be seen."""
        return 14 + 170 * self.share


@dataclass(frozen=True)
class Roofs:
    """What one deployment brings to the chart."""

    result: Result
    color: str
    peak: float
    main: Result
    points: tuple[Point, ...]

    @property
    def bandwidth(self) -> float:
        """Bandwidth of the main memory."""
        return float(self.main["bandwidth_bytes_per_s"])

    @property
    def ridge(self) -> float:
        """Intensity at which the compute ceiling begins."""
        return self.peak / self.bandwidth

    @property
    def label(self) -> str:
        """How the deployment is called."""
        return str(self.result["deployment"]["label"])


def roofline_chart(predictions: Sequence[Result], path: Path, *, suffix: str | None = None) -> None:
    """Draw every deployment's roofs and its largest operators into a file; `suffix` if the path's own is another.

    The same predictions give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    save(lambda figure: _draw(figure, list(roofs_of(predictions))), path, suffix=suffix)


def roofs_of(predictions: Sequence[Result]) -> Iterator[Roofs]:
    """The deployments whose roofs are known, each with its colour and its points; no points where it does not fit."""
    for index, result in enumerate(predictions):
        main = next((level for level in result["roofs"]["memory"] if level.get("main")), None)
        peak = result["roofs"]["peak_flops_per_s"]
        if peak and main is not None and main["bandwidth_bytes_per_s"]:
            points = tuple(_points(result)) if result["fits"] else ()
            yield Roofs(result, PALETTE[index % len(PALETTE)], peak, main, points)


def _points(result: Result) -> Iterator[Point]:
    """The operators that take most of the time of each phase, of those that calculate and move anything."""
    for phase in result["phases"]:
        for item in phase["operators"][:LARGEST]:
            if item["arithmetic_intensity"] and item["time_s"] and item["flops"]:
                rate = item["flops"] / item["time_s"]
                yield Point(phase["phase"], item["name"], item["arithmetic_intensity"], rate, item["share"] or 0.0)


def _draw(figure: Figure, drawn: Sequence[Roofs]) -> None:
    axes = figure.add_subplot()
    _scales(axes, drawn)
    _titles(figure, axes, drawn)
    low, high = axes.get_xlim()
    for roofs in drawn:
        _lines(axes, roofs, low, high, quiet=not roofs.result["fits"])
    for roofs in drawn:
        _scatter(axes, roofs)
    ends = [intensity.Ceiling(roofs.label, roofs.color, roofs.peak, _figures(roofs)) for roofs in drawn]
    intensity.end_labels(axes, ends, size=8.5, apart=0.105)
    figure.draw_without_rendering()  # the layout is known from here on: names go where there is room
    _key(axes, drawn)
    taken = list(_name_levels(axes, drawn))
    if len(drawn) == 1:
        _name_points(axes, drawn[0], [*taken, *_name_ridge(axes, drawn[0])])


def _scales(axes: Axes, drawn: Sequence[Roofs]) -> None:
    """The axes over every ridge, peak and point."""
    xs = [x for item in drawn for x in (item.ridge / 10, item.ridge)] + [
        point.intensity for item in drawn for point in item.points
    ]
    peaks = [item.peak for item in drawn] or [1e15]
    rates = [point.rate for item in drawn for point in item.points]
    low, high = min(xs, default=1.0), max(xs, default=1000.0)
    intensity.dress(axes)
    axes.set_xlim(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high) + 0.2))
    axes.set_ylim(min([min(peaks) / 25, *(rate / 2.5 for rate in rates)]), max(peaks) * 2.2)


def _titles(figure: Figure, axes: Axes, drawn: Sequence[Roofs]) -> None:
    axes.set_ylabel("attained arithmetic rate per chip")
    if drawn:
        work = drawn[0].result["workload"]
        axes.set_title(f"{work['id']} ({work['model']})", loc="left", fontsize=11, fontweight="bold", pad=22)
        footer(figure, source_line(drawn))


def _lines(axes: Axes, roofs: Roofs, low: float, high: float, *, quiet: bool) -> None:
    """The compute ceiling and the slope of every memory whose bandwidth is known: the main one solid, others dashed."""
    fade = 0.45 if quiet else 1.0
    xs = [low, min(max(roofs.ridge, low), high), high]
    ys = [min(roofs.peak, roofs.bandwidth * x) for x in xs]
    axes.plot(xs, ys, color=roofs.color, linewidth=1.7, solid_joinstyle="round", alpha=fade)
    axes.plot(
        [roofs.ridge], [roofs.peak], marker="o", markersize=5, color="white", markeredgecolor=roofs.color,
        markeredgewidth=1.4, zorder=2.5, alpha=fade,
    )  # fmt: skip
    for level in nearer(roofs, low):
        ridge = roofs.peak / level["bandwidth_bytes_per_s"]
        axes.plot(
            [low, ridge], [roofs.peak * low / ridge, roofs.peak], color=roofs.color, linewidth=0.9,
            linestyle=(0, (4, 3)), alpha=0.8 * fade,
        )  # fmt: skip
        if ridge < roofs.ridge:
            axes.plot([ridge, roofs.ridge], [roofs.peak] * 2, color=roofs.color, linewidth=0.9, alpha=0.8 * fade,
                      linestyle=(0, (4, 3)))  # fmt: skip


def nearer(roofs: Roofs, low: float) -> list[Result]:
    """The other memory levels whose slopes are in sight."""
    levels = roofs.result["roofs"]["memory"]
    known = [level for level in levels if not level.get("main") and level["bandwidth_bytes_per_s"]]
    return [level for level in known if roofs.peak / level["bandwidth_bytes_per_s"] > low]


def _scatter(axes: Axes, roofs: Roofs) -> None:
    for phase in dict.fromkeys(point.phase for point in roofs.points):
        found = sorted((item for item in roofs.points if item.phase == phase), key=lambda item: -item.share)
        axes.scatter(
            [item.intensity for item in found], [item.rate for item in found], s=[item.area for item in found],
            marker=MARKERS.get(phase, "o"), color=roofs.color, alpha=0.8, linewidths=0.7, edgecolors="white", zorder=3,
        )  # fmt: skip


def _figures(roofs: Roofs) -> str:
    """The roofs of one deployment in numbers."""
    peak = f"{quantity(roofs.peak, 'FLOP/s')} {roofs.result['roofs']['dtype']}"
    memory = f"{roofs.main['name']} {quantity(roofs.bandwidth, 'B/s')}, ridge {ratio(roofs.ridge)}"
    return f"{peak}{'' if roofs.result['fits'] else ', does not fit'}\n{memory}"


def _slope(axes: Axes) -> float:
    """The angle on paper, in degrees, of a memory's slope."""
    start, end = axes.transData.transform([(1.0, 1.0), (10.0, 10.0)])
    return math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))


def _name_levels(axes: Axes, drawn: Sequence[Roofs]) -> Iterator[Box]:
    """Names along the slopes: of nearer memories always, of the main one where it is the only deployment."""
    (low, _), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    for roofs in drawn:
        levels = [*nearer(roofs, low), *([roofs.main] if len(drawn) == 1 else [])]
        for level in levels:
            bandwidth = level["bandwidth_bytes_per_s"]
            begin = max(low, bottom / bandwidth)
            x = begin ** 0.5 * (roofs.peak / bandwidth) ** 0.5  # fmt: skip
            text = axes.annotate(
                f"{level['name']} {quantity(bandwidth, 'B/s')}", (x, x * bandwidth), (-2.5, 2.5),
                textcoords="offset points", rotation=_slope(axes), rotation_mode="anchor", ha="center", va="bottom",
                fontsize=7.5, color=roofs.color,
            )  # fmt: skip
            yield box_of(text)


def _name_ridge(axes: Axes, roofs: Roofs) -> Iterator[Box]:
    """The ridge point's name above it, and what binds on either side of it at the foot of the chart."""
    above = f"ridge point {ratio(roofs.ridge)} FLOP/B"
    style: dict[str, Any] = {"fontsize": 7.5, "textcoords": "offset points"}
    yield box_of(
        axes.annotate(above, (roofs.ridge, roofs.peak), (0, 6), ha="center", va="bottom", color=roofs.color, **style)
    )
    axes.plot(
        [roofs.ridge] * 2, [axes.get_ylim()[0], roofs.peak], color=roofs.color, linewidth=0.7, alpha=0.5,
        linestyle=(0, (1, 3)),
    )  # fmt: skip
    for text, side in (("bound by memory", -1), ("bound by compute", 1)):
        align = "right" if side < 0 else "left"
        foot = axes.annotate(
            text, (roofs.ridge, axes.get_ylim()[0]), (6 * side, 5), ha=align, va="bottom", color=FAINT, **style
        )
        yield box_of(foot)


def _name_points(axes: Axes, roofs: Roofs, taken: Sequence[Box]) -> None:
    """Names of operators beside their points; those that lie on each other share one name."""
    groups = _groups(axes, roofs.points)
    centres = [tuple(axes.transData.transform((group[0].intensity, group[0].rate))) for group in groups]
    texts = [
        axes.text(0.5, 0.5, _names(group), transform=axes.transAxes, fontsize=7, color=INK, linespacing=1.15)
        for group in groups
    ]
    boxes = [box_of(text) for text in texts]
    sizes = [(box.right - box.left + 8, box.top - box.bottom) for box in boxes]
    lines = [*_along(axes, roofs), *_markers(axes, roofs.points), *taken]
    places = place(centres, sizes, lines, box_of(axes), gap=8.0)
    for text, (x, y), box in zip(texts, centres, places, strict=True):
        text.remove()
        if box is None:
            continue
        scale = pixels_per_point(axes)
        middle = ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        near = abs(middle[1] - y) < 1 or (box.left <= x <= box.right and abs(middle[1] - y) < 28)
        axes.annotate(
            text.get_text(), (x, y), ((middle[0] - x) / scale, (middle[1] - y) / scale), xycoords="figure pixels",
            textcoords="offset points", ha="center", va="center", fontsize=7, color=INK, linespacing=1.15,
            arrowprops=None if near else {"arrowstyle": "-", "linewidth": 0.4, "color": FAINT, "shrinkB": 4},
        ).set_in_layout(False)  # fmt: skip


def _groups(axes: Axes, points: Sequence[Point], near: float = 14.0) -> list[list[Point]]:
    """Points by where they lie on paper, the largest share of time first."""
    groups: list[list[Point]] = []
    for point in sorted(points, key=lambda point: -point.share):
        x, y = axes.transData.transform((point.intensity, point.rate))
        for group in groups:
            other = axes.transData.transform((group[0].intensity, group[0].rate))
            if math.hypot(x - other[0], y - other[1]) < near:
                group.append(point)
                break
        else:
            groups.append([point])
    return groups


def _names(group: Sequence[Point]) -> str:
    """The names of a group of points; more than two below each other."""
    names = list(dict.fromkeys(point.name for point in group))
    return (", " if len(names) < 3 else "\n").join(names)


def _markers(axes: Axes, points: Sequence[Point]) -> Iterator[Box]:
    """The squares on paper that the markers cover."""
    scale = pixels_per_point(axes)
    for point in points:
        x, y = axes.transData.transform((point.intensity, point.rate))
        half = math.sqrt(point.area) / 2 * scale
        yield Box(x - half, y - half, x + half, y + half)


def _along(axes: Axes, roofs: Roofs, steps: int = 160) -> Iterator[Box]:
    """Small squares along the lines, which names must not cross."""
    low, high = (math.log10(value) for value in axes.get_xlim())
    bottom = math.log10(axes.get_ylim()[0])
    xs = [10 ** (low + (high - low) * step / steps) for step in range(steps + 1)]
    roof = [(x, min(roofs.peak, level["bandwidth_bytes_per_s"] * x))
            for level in (*nearer(roofs, 10**low), roofs.main) for x in xs]  # fmt: skip
    drop = [(roofs.ridge, 10 ** (bottom + (math.log10(roofs.peak) - bottom) * step / steps)) for step in range(steps)]
    for x, y in axes.transData.transform([*roof, *drop]):
        yield Box(x - 3, y - 3, x + 3, y + 3)


def _key(axes: Axes, drawn: Sequence[Roofs]) -> None:
    """What the markers mean, drawn in grey."""
    names = dict.fromkeys(point.phase for item in drawn for point in item.points)
    for name in names:
        axes.scatter([], [], marker=MARKERS.get(name, "o"), color=FAINT, s=40, label=f"{name} operators")
    axes.plot([], [], linestyle="none", label="area: share of the phase's time")
    if names:
        key = axes.legend(
            loc="lower left", bbox_to_anchor=(-0.012, 1.0), ncols=len(names) + 1, frameon=False, fontsize=7.5,
            labelcolor=INK, handletextpad=0.4, handlelength=1.2, columnspacing=1.4, borderaxespad=0.2,
        )  # fmt: skip
        key.set_in_layout(False)


def source_line(drawn: Sequence[Roofs]) -> str:
    """What drew it, what lines and points are, and what stands behind them."""
    behind = evidence_line([item.result for item in drawn])
    return f"roofline {drawn[0].result['version']}; roofs: dense datasheet peaks; points: expected times ({behind})"
