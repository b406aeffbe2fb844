"""The chart of elasticities: what twice of each resource adds to the rate of each phase, a colour a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]

PHASES = ("training", "prefill", "decode")
# Resources from top to bottom, as people call what is done to them.
BARS: Mapping[str, str] = MappingProxyType(
    {
        "flops": "2x FLOP/s",
        "bandwidth": "2x memory bandwidth",
        "capacity": "2x memory",
        "link_bandwidth": "2x link bandwidth",
        "link_latency": "½ link latency",
        "overhead": "½ overheads",
    }
)
THICK = 0.8  # of the room of a resource that its bars fill


def elasticities_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw the gains of a contrast into a file; `suffix` if the path's own is another.

    The same figures give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    names = _names(result["rows"])
    height = 1.6 + len(BARS) * max(0.5, 0.16 * len(names))
    save(lambda figure: _draw(figure, result, names), path, suffix=suffix, size=(10.5, height))


def _names(rows: Sequence[Result]) -> list[str]:
    """The deployments that fit anything, in their order."""
    return list(dict.fromkeys(row["name"] for row in rows if row["fits"]))


def gains(rows: Sequence[Result], name: str, phase: str) -> dict[str, float]:
    """What each doubling adds to a phase of a deployment, by resource; empty where it does not fit."""
    found = next((row for row in rows if (row["name"], row["phase"], row["fits"]) == (name, phase, True)), None)
    worth = found["worth"] if found else ()
    return {item["resource"]: item["gain"] for item in worth if item["gain"] is not None}


def _draw(figure: Figure, result: Result, names: Sequence[str]) -> None:
    rows = result["rows"]
    phases = [phase for phase in PHASES if any(row["phase"] == phase for row in rows)] or list(PHASES)
    most = max((gain for name in names for phase in phases for gain in gains(rows, name, phase).values()), default=1.0)
    for index, phase in enumerate(phases):
        axes = figure.add_subplot(1, len(phases), index + 1)
        for place, name in enumerate(names):
            _bars(axes, gains(rows, name, phase), place, len(names))
        _scales(axes, phase, max(most, 0.05) * 1.22, first=index == 0)
    handles = [figure.axes[0].barh([0.0], [0.0], color=_color(place), label=name) for place, name in enumerate(names)]
    if handles:
        figure.legend(handles=handles, loc="outside upper right", ncols=min(len(names), 4), frameon=False,
                      labelcolor=INK, fontsize=8, handlelength=1.0, columnspacing=1.2)  # fmt: skip
    figure.suptitle(f"What more of each resource buys {result['model']['id']}", x=0.01, ha="left", fontsize=11,
                    fontweight="bold")  # fmt: skip
    figure.supxlabel("\n".join(wrap(_source_line(result), 200)), fontsize=6.5, color=FAINT, x=0.01, ha="left")


def _bars(axes: Axes, found: Mapping[str, float], place: int, among: int) -> None:
    """The bars of one deployment, each with its figure."""
    thick = THICK / among
    for row, resource in enumerate(BARS):
        if resource in found:
            y = row - THICK / 2 + thick * (place + 0.5)
            axes.barh([y], [found[resource]], height=thick * 0.9, color=_color(place), linewidth=0)
            axes.annotate(
                f"{found[resource] * 100 + 0.0:+.0f} %", (found[resource], y), (3, 0), textcoords="offset points",
                va="center", fontsize=6.5, color=INK,
            )  # fmt: skip


def _scales(axes: Axes, phase: str, most: float, *, first: bool) -> None:
    axes.set_xlim(0.0, most)
    axes.set_ylim(len(BARS) - 0.5, -0.5)  # the first resource on top
    axes.set_yticks(range(len(BARS)), list(BARS.values()) if first else [""] * len(BARS))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.grid(visible=True, axis="x", which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    axes.set_title(phase, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("more tokens/s")


def _color(place: int) -> str:
    return PALETTE[place % len(PALETTE)]


def _source_line(result: Result) -> str:
    plans = "plan kept, for memory the best plan for twice as much"
    return f"roofline {result['version']}; expected rates of each phase by itself on the same chips; {plans}"
