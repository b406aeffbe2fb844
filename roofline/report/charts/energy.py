"""Energy of a token: of each deployment a bar, of its chips, their hosts and the site as far as they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from roofline.errors import OutputError
from roofline.report.charts.bars import Bar, Panel, Part, draw_panels, height
from roofline.report.charts.figure import evidence_line, footer, save
from roofline.report.human import UNKNOWN, known, quantity
from roofline.report.views.common import layout_text, notes, work_text

Result = Mapping[str, Any]

# Each holds the one before: what it adds, in words, and its colour.
LEVELS = (
    ("energy_j_per_token", "chips", "#0072B2"),
    ("system_energy_j_per_token", "hosts", "#56B4E9"),
    ("site_energy_j_per_token", "cooling and conversion", "#E69F00"),
)


def energy_chart(predictions: Sequence[Result], path: Path, *, suffix: str | None = None) -> None:
    """Draw the energy per token of every deployment into a file; `suffix` if the path's own is another.

    The same predictions give the same bytes. Raises `OutputError` for another suffix, what can't be written, and where
    no energy is known.
    """
    bars = tuple(_bar(row) for row in predictions)
    if not any(bar.parts for bar in bars):
        raise OutputError("chart kind energy: the power of none of these chips is known")
    per = "token" if predictions[0]["workload"]["kind"] == "training" else "output token"
    panels = [Panel("", bars, _joules)]

    def draw(figure: Any) -> None:
        first = predictions[0]
        told = [note.text for note in notes([row for row in predictions if row["fits"]]) if "power" in note.text]
        whisker = "whisker: where nine of ten measurements should lie" if any(bar.high for bar in bars) else ""
        footer(figure, f"roofline {first['version']}; expected ({evidence_line(predictions)})", *told, whisker)
        draw_panels(figure, panels, f"Energy per {per}", work_text(first["workload"]))

    save(draw, path, suffix=suffix, size=(9.6, height(panels)))


def _bar(row: Result) -> Bar:
    """One deployment: what each level adds to the one before."""
    label, detail = row["deployment"]["label"], layout_text(row["deployment"])
    if not row["fits"]:
        return Bar(label, "", (), "does not fit")
    parts, last = tuple(_parts(row["metrics"])), _last(row["metrics"])
    if not parts or last is None:
        return Bar(label, detail, (), "power unknown")
    low, high = (row["metrics"].get(f"{last}{suffix}") for suffix in ("_low", "_high"))
    return Bar(label, detail, parts, _joules(row["metrics"][last]), "", low, high)


def _parts(metrics: Result) -> Iterator[Part]:
    before = 0.0
    for name, what, color in LEVELS:
        value = metrics.get(name)
        if not known(value):
            return
        yield Part(what, max(value - before, 0.0), color)
        before = value


def _last(metrics: Result) -> str | None:
    """The widest level that is known, with all that it holds."""
    found = None
    for name, _, _ in LEVELS:
        if not known(metrics.get(name)):
            break
        found = name
    return found


def _joules(value: float | None) -> str:
    return quantity(value, "J") if value is not None else UNKNOWN
