"""The chart of a break-even: a metric of two deployments over one number, and where the lines pass each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, evidence_line, footer, save, title
from roofline.report.views.common import layout_text, work_text
from roofline.report.views.whatif import amount, place_of, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
COLORS = PALETTE[:2]
NEAR = 30.0  # times the present value and the crossings that are shown either way


def crossing_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw a break-even into a file; `suffix` if the path's own is another.

    The same figures give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    save(lambda figure: _draw(figure, result), path, suffix=suffix, size=(9.6, 5.2))


def _draw(figure: Figure, result: Result) -> None:
    found = result["break_even"]
    one, two = (layout_text(deployment) for deployment in (result["deployment"], found["against"]))
    names = found["deployments"]
    below = f"{names[0]} ({one}) against {names[1]} ({two}); {work_text(result['workload'])}"
    whose = "" if found["shared"] else f" of {names[0]}"
    title(figure, f"{short(found['metric'])} ({found['metric']}) over {found['key']}{whose}", below)
    axes = figure.add_subplot(1, 1, 1)
    points = _shown(found)
    for at, (name, color) in enumerate(zip(names, COLORS, strict=True)):
        _line(axes, points, at, name, color)
    for place, item in enumerate(found["crossings"]):
        _crossing(axes, item, found, place)
    _scales(axes, found, points)
    kept = "all other numbers and both plans kept"
    footer(figure, f"roofline {result['version']}; expected values; {kept}; {evidence_line([result])}")


def _shown(found: Result) -> Sequence[Result]:
    """The points around the present value and the crossings; a log axis has no place for 0."""
    marks = [value for value in (found["now"], *(item["above"] for item in found["crossings"])) if value > 0.0]
    points = [point for point in found["points"] if point["value"] > 0.0]
    if not marks:
        return points
    low, high = min(marks) / NEAR, max(marks) * NEAR
    return [point for point in points if low <= point["value"] <= high]


def _line(axes: Axes, points: Sequence[Result], at: int, name: str, color: str) -> None:
    """The line of a deployment, named at its end."""
    known = [(point["value"], point["metrics"][at]) for point in points if point["metrics"][at] is not None]
    if not known:
        return
    axes.plot(*zip(*known, strict=True), color=color, linewidth=1.8, label=name)
    axes.annotate(name, known[-1], (5, 0), textcoords="offset points", va="center", fontsize=8, color=color)


def _crossing(axes: Axes, item: Result, found: Result, place: int) -> None:
    """Where they pass each other, and who is better from there on."""
    value = item["metrics_above"][0]
    axes.plot([item["above"]], [value], marker="o", color=INK, markersize=5)
    told = f"{found['key']} {place_of(item['above'], found['unit'])}: {item['better_above']} is better from there on"
    axes.annotate(
        told, (item["above"], value), (item["above"], 0.03 + 0.06 * place), textcoords=("data", "axes fraction"),
        ha="center", va="bottom", fontsize=8, color=INK, bbox={"color": "1.0", "pad": 1.0},
        arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.8},
    )  # fmt: skip


def _scales(axes: Axes, found: Result, points: Sequence[Result]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.02, y=0.16)
    axes.xaxis.set_major_formatter(lambda value, _: amount(value, found["unit"]))
    axes.yaxis.set_major_formatter(lambda value, _: amount(value, found["metric_unit"]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(lambda *_: "")
    if found["now"] > 0.0:
        axes.axvline(found["now"], color=FAINT, linewidth=0.8, linestyle=":")
        now = f"now {place_of(found['now'], found['unit'])}"
        axes.annotate(
            now, (found["now"], 1.0), (3, -9), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=7.5, color=FAINT,
        )  # fmt: skip
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_xlabel(found["key"])
    axes.set_ylabel(short(found["metric"]))
    if points:
        longest = max(len(name) for name in found["deployments"])
        low, high = points[0]["value"], points[-1]["value"]
        axes.set_xlim(low, high * (high / low) ** (0.011 * longest))
