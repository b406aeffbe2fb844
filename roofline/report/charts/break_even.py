"""The chart of costs over utilisation: where owning, renting and buying by the token cost the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, save
from roofline.report.human import percent, usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

_LINES = (
    ("own", "owned", PALETTE[0], "-"),
    ("rent_by_the_hour", "rented for the hours of work", PALETTE[1], "-"),
    ("rent_around_the_clock", "rented around the clock", PALETTE[1], (0, (4, 3))),
)
_MARKET = PALETTE[2]
_TOKENS = {
    "output": "million tokens written, all counted",
    "input": "million tokens read",
    "trained": "million tokens trained on",
}


def break_even_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw a prediction's costs over utilisation into a file; `suffix` if the path's own is another.

    The same costs give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    save(lambda figure: _draw(figure, result), path, suffix=suffix, size=(7.2, 5.0))


def _draw(figure: Figure, result: Result) -> None:
    costs, deployment = result["costs"], result["deployment"]
    axes = figure.add_subplot(1, 1, 1)
    use = costs["utilization"]
    axes.set(yscale="log", xlim=(0.0, 1.0))
    ends = []
    for key, name, colour, style in _LINES:
        if costs[key]:
            axes.plot(use, costs[key], color=colour, linewidth=1.5, linestyle=style, zorder=3)
            ends.append((name, costs[key][-1], colour))
    if costs["market"]:
        low, middle, high = (costs["market"][key] for key in ("low", "middle", "high"))
        axes.axhspan(low, high, color=_MARKET, alpha=0.12, linewidth=0.0, zorder=1)
        axes.axhline(middle, color=_MARKET, linewidth=1.2, zorder=2)
        ends.append(("the market's price", middle, _MARKET))
    if ends:
        _name(axes, ends)
    _mark(axes, result)
    axes.xaxis.set_major_formatter(lambda value, _: percent(value).replace(".0", ""))
    axes.yaxis.set_major_formatter(lambda value, _: usd(value))
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    axes.set_xlabel("share of the time at work")
    axes.set_ylabel(f"USD per {_TOKENS[costs['tokens']]}")
    title = f"Cost of {result['workload']['id']} on {deployment['label']}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(
        f"roofline {result['version']}; assumptions {result['economics']['assumptions']}",
        fontsize=6.5, color=FAINT, x=0.01, ha="left",
    )  # fmt: skip


def _name(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    """Every line by its name at its right end, names kept apart from each other."""
    low, high = axes.get_ylim()
    for (name, value, colour), place in zip(ends, _apart([value for _, value, _ in ends], low, high), strict=True):
        axes.annotate(
            f"{name} ({usd(value)})", (1.0, place), xytext=(5, 0), textcoords="offset points", xycoords="data",
            color=colour, fontsize=8, va="center", annotation_clip=False,
        )  # fmt: skip


def _apart(values: Sequence[float], low: float, high: float, lines: int = 20) -> list[float]:
    """Places on a logarithmic axis for so many names, each near its value and at least a line above the one below."""
    step = (high / low) ** (1.0 / lines)
    places = dict(_stacked(sorted(range(len(values)), key=lambda index: values[index]), values, step))
    return [places[index] for index in range(len(values))]


def _stacked(order: Sequence[int], values: Sequence[float], step: float) -> Iterator[tuple[int, float]]:
    below = 0.0
    for index in order:
        below = max(values[index], below * step)
        yield index, below


def _mark(axes: Axes, result: Result) -> None:
    """The shares of the time at which two of them cost the same, written where the falling line leaves room."""
    costs, equal = result["costs"], result["economics"]["break_even"]
    for key, colour in (("own_rent", PALETTE[1]), ("own_market", _MARKET)):
        share = equal[key]["utilization"] if equal[key] else None
        if share is None or share < costs["utilization"][0]:
            continue
        value = costs["rent_by_the_hour"][0] if key == "own_rent" else costs["market"]["middle"]
        axes.plot([share], [value], marker="o", markersize=5.0, color=colour, zorder=4)
        axes.annotate(
            percent(share), (share, value), xytext=(3, 5), textcoords="offset points", fontsize=8, color=INK,
        )  # fmt: skip
