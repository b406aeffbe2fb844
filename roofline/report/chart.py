"""The roofline chart (Williams, Waterman, Patterson 2009): memory levels and peaks as roofs, operators as points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from roofline.errors import OutputError
from roofline.units import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

# Okabe and Ito's palette, told apart with any kind of colour vision; black last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#000000")
MARKERS = {"prefill": "o", "decode": "D", "training": "s"}
SUFFIXES = (".png", ".svg", ".pdf")
LARGEST = 6  # operators drawn for each phase


def roofline_chart(predictions: Sequence[Result], path: Path, *, suffix: str | None = None) -> None:
    """Draw every deployment's roofs and its largest operators into a file; `suffix` if the path's own is another."""
    kind = (suffix or path.suffix).lower()
    if kind not in SUFFIXES:
        raise OutputError(f"{path}: charts are drawn as {', '.join(SUFFIXES)}")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": "roofline", "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False,
        "pdf.fonttype": 42, "svg.fonttype": "none", "font.family": "DejaVu Sans",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.6, 6.0), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure, predictions)
        metadata = {"Date": None} if kind == ".svg" else {"CreationDate": None} if kind == ".pdf" else None
        figure.savefig(path, format=kind[1:], metadata=metadata)


def _draw(figure: Figure, predictions: Sequence[Result]) -> None:
    axes = figure.add_subplot()
    known = [item for item in predictions if _main(item) is not None and item["roofs"]["peak_flops_per_s"]]
    points = [[_points(phase) for phase in item["phases"]] for item in known]
    x_low, x_high = _span([x for phases in points for phase in phases for x, *_ in phase], known)
    labels: list[tuple[float, str, str]] = []
    for index, (item, phases) in enumerate(zip(known, points, strict=True)):
        color = PALETTE[index % len(PALETTE)]
        _roofs(axes, item, color, x_low, x_high)
        labels.append((item["roofs"]["peak_flops_per_s"], _label(item), color))
        for phase, found in zip(item["phases"], phases, strict=True):
            _scatter(axes, phase["phase"], found, color)
    axes.set(xscale="log", yscale="log", xlim=(x_low, x_high))
    axes.set_xlabel("arithmetic intensity [FLOP per byte of main memory]")
    axes.set_ylabel("attained arithmetic rate per chip [FLOP/s]")
    axes.grid(visible=True, which="major", linewidth=0.4, color="0.88")
    _limits(axes, known, points)
    _end_labels(axes, labels, x_high)
    _key(axes, known)
    if known:
        work = known[0]["workload"]
        axes.set_title(f"{work['id']} ({work['model']})", loc="left", fontweight="bold")
        figure.supxlabel("\n".join(wrap(_source_line(known), 150)), fontsize=7, color="0.4", x=0.01, ha="left")


def _main(item: Result) -> Result | None:
    return next((level for level in item["roofs"]["memory"] if level.get("main")), None)


def _label(item: Result) -> str:
    roofs = item["roofs"]
    return f"{item['deployment']['label']}\n{show(roofs['peak_flops_per_s'], 'FLOP/s', 3)} {roofs['dtype']}"


def _points(phase: Result) -> list[tuple[float, float, float, str]]:
    """(intensity, attained FLOP/s, share of the phase, name) of a phase's largest operators."""
    found = [
        (item["arithmetic_intensity"], item["flops"] / item["time_s"], item["share"] or 0.0, item["name"])
        for item in phase["operators"]
        if item["arithmetic_intensity"] and item["time_s"] and item["flops"]
    ]
    return found[:LARGEST]


def _span(xs: Sequence[float], known: Sequence[Result]) -> tuple[float, float]:
    """Whole decades around every point and every ridge."""
    ridges = [item["roofs"]["peak_flops_per_s"] / _bandwidth(item) for item in known]
    low, high = min([*xs, *ridges], default=1.0), max([*xs, *ridges], default=1000.0)
    return 10.0 ** math.floor(math.log10(low) - 0.2), 10.0 ** math.ceil(math.log10(high) + 0.2)


def _bandwidth(item: Result) -> float:
    main = _main(item)
    return float(main["bandwidth_bytes_per_s"]) if main else math.inf


def _roofs(axes: Axes, item: Result, color: str, low: float, high: float) -> None:
    """The compute ceiling and a slope for each memory level whose bandwidth is known; the main one solid."""
    peak = item["roofs"]["peak_flops_per_s"]
    for level in item["roofs"]["memory"]:
        bandwidth = level["bandwidth_bytes_per_s"]
        if not bandwidth:
            continue
        ridge = peak / bandwidth
        xs = [low, min(max(ridge, low), high), high]
        ys = [min(peak, bandwidth * x) for x in xs]
        if level.get("main"):
            axes.plot(xs, ys, color=color, linewidth=1.6, solid_joinstyle="round")
            axes.plot([ridge], [peak], marker="|", color=color, markersize=9, markeredgewidth=1.4)
        elif ridge > low:
            axes.plot(xs[:2], ys[:2], color=color, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)


def _scatter(axes: Axes, phase: str, points: Sequence[tuple[float, float, float, str]], color: str) -> None:
    if points:
        axes.scatter(
            [x for x, *_ in points], [y for _, y, *_ in points], s=[12 + 160 * share for _, _, share, _ in points],
            marker=MARKERS.get(phase, "o"), color=color, alpha=0.75, linewidths=0.6, edgecolors="white", zorder=3,
        )  # fmt: skip


def _limits(
    axes: Axes, known: Sequence[Result], points: Sequence[Sequence[Sequence[tuple[float, float, float, str]]]]
) -> None:
    peaks = [item["roofs"]["peak_flops_per_s"] for item in known]
    attained = [y for phases in points for phase in phases for _, y, *_ in phase]
    if peaks:
        axes.set_ylim(min([min(peaks) / 100, *(y / 2 for y in attained)]), max(peaks) * 3)


def _end_labels(axes: Axes, labels: Sequence[tuple[float, str, str]], x: float) -> None:
    """Names at the right ends of the ceilings, pushed apart where they would lie on each other."""
    low, high = (math.log10(value) for value in axes.get_ylim())
    ordered = sorted(labels, reverse=True)
    leader: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 1, "relpos": (0.0, 0.5)}
    positions = spread([math.log10(value) for value, *_ in ordered], (high - low) * 0.08)
    for (value, text, color), position in zip(ordered, positions, strict=True):
        axes.annotate(
            text, xy=(x, value), xytext=(x * 1.5, 10**position), color=color, fontsize=7.5, va="center",
            annotation_clip=False, arrowprops=leader | {"color": color},
        )  # fmt: skip


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Descending positions moved as little as possible until neighbours are `gap` apart.

    Neighbours that collide become one group around the mean of their values.

    >>> spread([5.0, 5.0, 1.0], 1.0)
    [5.5, 4.5, 1.0]
    """
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and _lowest(groups[-2], gap) - gap < _highest(groups[-1], gap):
            last = groups.pop()
            groups[-1].extend(last)
    return [_highest(group, gap) - gap * index for group in groups for index in range(len(group))]


def _highest(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) + gap * (len(group) - 1) / 2


def _lowest(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _key(axes: Axes, known: Sequence[Result]) -> None:
    """What the markers mean, drawn in grey."""
    names = list(dict.fromkeys(phase["phase"] for item in known for phase in item["phases"] if phase["operators"]))
    for name in names:
        axes.scatter(
            [], [], marker=MARKERS.get(name, "o"), color="0.45", label=f"{name} operators, area = share of time"
        )
    if names:
        axes.legend(loc="lower right", frameon=False, fontsize=7.5)


def _source_line(known: Sequence[Result]) -> str:
    evidence = dict.fromkeys(item["evidence"]["calibration"] for item in known)
    kinds = "; ".join(
        f"{kind}: {', '.join(item['deployment']['label'] for item in known if item['evidence']['calibration'] == kind)}"
        for kind in evidence
    )
    return f"roofline {known[0]['version']}; roofs: dense datasheet peaks; points: expected times ({kinds})"
