"""Where time goes: of each deployment a bar for each phase, divided by what the time is spent on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from roofline.errors import OutputError
from roofline.report.charts.bars import GREY, OTHER, Bar, Panel, Part, draw_panels, height
from roofline.report.charts.figure import evidence_line, footer, save
from roofline.report.human import UNKNOWN, count, duration
from roofline.report.views.common import layout_text, work_text
from roofline.report.views.costs import doing
from roofline.report.views.ranking import words

Result = Mapping[str, Any]

# What time is spent on, from left to right, each with its colour; related things are related in hue.
COLORS: Mapping[str, str] = MappingProxyType(
    {
        "reading weights": "#0072B2",
        "multiplying by weights": "#56B4E9",
        "products": "#56B4E9",
        "reading experts": "#8C6D31",
        "multiplying by experts": "#E69F00",
        "attention over the cache": "#009E73",
        "attention within the prompt": "#009E73",
        "attention": "#009E73",
        "recurrent layers": "#000000",
        "norms, activations and other passes over values": "#CC79A7",
        "norms and other passes": "#CC79A7",
        "narrowing activations": "#E6BDD3",
        "recomputation": "#8C6D31",
        "exchange between chips": "#D55E00",
        "tensor-parallel messages": "#D55E00",
        "expert-parallel messages": "#DF7E33",
        "context-parallel messages": "#E69D66",
        "messages between stages": "#EEBE99",
        "messages between replicas": "#A34700",
        "pipeline bubble": "0.72",
        "optimizer's update": "#E69F00",
        "transfers from and to the host": "#F0E442",
        "starting kernels": "0.55",
        "software": "0.35",
    }
)
SHORT: Mapping[str, str] = MappingProxyType(
    {
        "norms, activations and other passes over values": "norms and other passes",
        "attention over the cache": "attention",
        "attention within the prompt": "attention",
    }
)
LEAST = 0.015  # of a bar: what is smaller in every bar is drawn with the rest
MOST = 6  # phases that are drawn, those that take most time


def time_chart(predictions: Sequence[Result], path: Path, *, suffix: str | None = None) -> None:
    """Draw the phases of every deployment into a file; `suffix` if the path's own is another.

    A bar is the time of one step: of the whole prompt, of one pass that decodes, of one step of training. The same
    predictions give the same bytes. Raises `OutputError` for another suffix, what can't be written, and predictions
    without phases that take time.
    """
    panels = list(panels_of(predictions))
    if not panels:
        raise OutputError("chart kind time: no phase takes any time")

    def draw(figure: Any) -> None:
        first = predictions[0]
        marks = "triangle: nothing can be faster; whisker: where nine of ten measurements should lie"
        footer(figure, f"roofline {first['version']}; expected times ({evidence_line(predictions)})", marks)
        draw_panels(figure, panels, "Where the time goes", work_text(first["workload"]))

    save(draw, path, suffix=suffix, size=(9.6, height(panels)))


def panels_of(predictions: Sequence[Result]) -> Iterator[Panel]:
    """One panel for each phase that takes time, at most so many."""
    fitting = [row for row in predictions if row["fits"]]
    model = max(fitting, key=lambda row: len(row["phases"]), default=None)
    if model is None:
        return
    names = [(phase["phase"], _nth(model["phases"], index)) for index, phase in enumerate(model["phases"])]
    spent = {
        key: max((phase["time_s"] or 0.0 for row in fitting if (phase := _find(row, key))), default=0.0)
        for key in names
        if any((phase := _find(row, key)) and phase["operators"] for row in fitting)
    }
    largest = sorted(spent, key=lambda key: -spent[key])[:MOST]
    for key in names:
        if key in largest and spent[key] > 0:
            yield Panel(_title(model, key), tuple(_bars(predictions, key)), duration)


def _nth(phases: Sequence[Result], index: int) -> int:
    """How many phases of the same name stand before it."""
    return sum(phase["phase"] == phases[index]["phase"] for phase in phases[:index])


def _find(row: Result, key: tuple[str, int]) -> Result | None:
    """The phase of that name, the so manyth."""
    same = [phase for phase in row["phases"] if phase["phase"] == key[0]]
    return same[key[1]] if key[1] < len(same) else None


UNITS: Mapping[str, str] = MappingProxyType(
    {
        "prefill": "reading one prompt",
        "draft-prefill": "reading one prompt, by what drafts",
        "decode": "one step, the next token of every request",
        "draft": "one pass, the next guess of every request",
        "training": "one step",
    }
)


def _title(row: Result, key: tuple[str, int]) -> str:
    """The phase, what a bar of it is the time of, and the tokens of its step where there are several like it."""
    name, nth = key
    steps = [step[name] for step in row["workload"].get("steps") or () if step.get(name) is not None]
    tokens = f" of {count(steps[nth])} tokens" if nth < len(steps) else ""
    return f"{name}{tokens}: {UNITS.get(name, 'all of it')}"


def _bars(predictions: Sequence[Result], key: tuple[str, int]) -> Iterator[Bar]:
    """One bar for each deployment, small things of all of them together."""
    spent = [_spent(row, key) for row in predictions]
    large = {what for bar in spent for what, value in bar.items() if value >= LEAST * sum(bar.values())}
    for row, bar in zip(predictions, spent, strict=True):
        label, detail = row["deployment"]["label"], layout_text(row["deployment"])
        phase = _find(row, key)
        if not row["fits"] or phase is None or not bar:
            yield Bar(label, "", (), "does not fit" if not row["fits"] else UNKNOWN)
            continue
        named = [what for what in _ordered(bar) if what in large]
        parts = [Part(SHORT.get(what, what), bar[what], COLORS.get(what, GREY)) for what in named]
        rest = sum(value for what, value in bar.items() if what not in large)
        parts += [Part(OTHER, rest, GREY)] if rest > 0 else []
        scale = 1.0 / _steps(phase)
        low, high, ideal = (_scaled(phase[name], scale) for name in ("low_time_s", "high_time_s", "ideal_time_s"))
        end = duration(sum(bar.values()))
        yield Bar(label, detail, tuple(parts), end, f"bound by {phase['bound']}", low, high, ideal)


def _ordered(spent: Mapping[str, float]) -> list[str]:
    """In the order of the colours; what has none, last."""
    order = list(COLORS)
    return sorted(spent, key=lambda what: order.index(what) if what in order else len(order))


def _spent(row: Result, key: tuple[str, int]) -> dict[str, float]:
    """Seconds of one step of a phase by what they are spent on; nothing where it does not fit."""
    phase = _find(row, key)
    spent: dict[str, float] = {}
    if phase is None or not row["fits"] or not phase["time_s"]:
        return spent
    told = (
        [(words(part["name"]), part["share"]) for part in phase["parts"]]
        if phase.get("parts")
        else [(doing(operator), operator["share"]) for operator in phase["operators"]]
    )
    for what, share in told:
        spent[what] = spent.get(what, 0.0) + (share or 0.0) * phase["time_s"] / _steps(phase)
    return {what: value for what, value in spent.items() if value > 0.0}


def _steps(phase: Result) -> float:
    """Steps in a phase: passes of what generates, for users see each; prompts are read as a whole."""
    passes = phase["passes"] if phase["phase"] in ("decode", "draft") else 1.0
    return float(passes or 1.0)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
