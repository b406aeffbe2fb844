"""The tornado chart: how a metric moves when each number is turned down or up, the largest on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.report.charts.figure import FAINT, INK, PALETTE, evidence_line, footer, save, title
from roofline.report.views.common import layout_text, work_text
from roofline.report.views.whatif import amount, change, short, top

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
LESS, MORE = PALETTE[0], PALETTE[1]
CUT = 1.0  # the longest bar: what changes by more is cut, and says so
THICK = 0.66  # of the room of a row that its bar fills
ROOM = 0.4  # beside bars for their labels, of the widest


def tornado_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw what numbers are worth into a file; `suffix` if the path's own is another.

    The same figures give the same bytes. Raises `OutputError` for another suffix and what can't be written.
    """
    (found,) = result if isinstance(result, Sequence) else (result,)
    rows = top(found["worth"])
    save(lambda figure: _draw(figure, found, rows), path, suffix=suffix, size=(9.6, 1.7 + 0.34 * max(len(rows), 3)))


def _draw(figure: Figure, result: Result, rows: Sequence[Result]) -> None:
    worth, deployment = result["worth"], result["deployment"]
    metric = worth["metric"]
    now = amount(worth["metrics"][metric], worth["units"][metric])
    below = f"{deployment['label']}, {layout_text(deployment)}; {work_text(result['workload'])}"
    title(figure, f"What moves {short(metric)} ({metric}), {now} now", below)
    axes = figure.add_subplot(1, 1, 1)
    ends = [_changes(row, metric) for row in rows]
    drawn = [tuple(max(-CUT, min(CUT, share)) for share in pair) for pair in ends]
    for place, (row, pair, cut) in enumerate(zip(rows, ends, drawn, strict=True)):
        _bars(axes, place, row, pair, cut)
    _scales(axes, rows, drawn)
    step = f"{worth['step'] * 100:.0f} %"
    footer(
        figure,
        f"roofline {result['version']}; expected values; each number alone {step} down and up (shares to 100 % at "
        f"most, counts to whole ones), the plan kept; {evidence_line([result])}",
    )


def _changes(row: Result, metric: str) -> tuple[float, float]:
    return row["low_changes"].get(metric) or 0.0, row["high_changes"].get(metric) or 0.0


def _bars(axes: Axes, place: int, row: Result, pair: Sequence[float], cut: Sequence[float]) -> None:
    """The two bars of a number, each with the value it is turned to and the change; what both move one way is drawn
    behind and before."""
    same = pair[0] * pair[1] > 0.0
    for share, length, color, end in zip(pair, cut, (LESS, MORE), ("low", "high"), strict=True):
        thick, shift = (THICK / 2, THICK / 4 * (-1 if end == "low" else 1)) if same else (THICK, 0.0)
        axes.barh([place + shift], [length], height=thick, color=color, linewidth=0)
        if abs(share) < 5e-4:
            continue
        fits = ("" if row[f"fits_{end}"] else " (no fit)") + ("" if share == length else " (bar cut)")
        axes.annotate(
            f"{change(share)} at {amount(row[end], row['unit'])}{fits}",
            (length, place + shift), (4 if share > 0 else -4, 0), textcoords="offset points", va="center",
            ha="left" if share > 0 else "right", fontsize=6.0 if same else 7.0, color=INK,
        )  # fmt: skip


def _scales(axes: Axes, rows: Sequence[Result], drawn: Sequence[Sequence[float]]) -> None:
    least, most = (pick((0.0, *(share for pair in drawn for share in pair))) for pick in (min, max))
    span = max(most - least, 0.01)
    axes.set_xlim(least - ROOM * span, most + ROOM * span)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)  # the largest on top
    axes.set_yticks(range(len(rows)), [f"{row['key']}  {amount(row['value'], row['unit'])}" for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.axvline(0.0, color=FAINT, linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:+.0f} %" if value else "0")
    axes.grid(visible=True, axis="x", which="major", linewidth=0.5, color="0.92")
    axes.set_axisbelow(True)
    handles = [axes.barh([0.0], [0.0], color=color, label=name) for color, name in ((LESS, "less"), (MORE, "more"))]
    axes.legend(handles=handles, loc="lower right", frameon=False, labelcolor=INK, fontsize=8, handlelength=1.0)
