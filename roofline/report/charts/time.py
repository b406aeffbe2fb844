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
        "updating weights": "#E69F00",
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
UNITS: Mapping[str, str] = MappingProxyType(
    {
        "prefill": "reading one prompt",
        "draft-prefill": "reading one prompt, by what drafts",
        "decode": "one step, the next token of every request",
        "draft": "one pass, the next guess of every request",
        "training": "one step",
    }
)
GENERATING = ("decode", "draft")
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
    found = [_phases(row) if row["fits"] else {} for row in predictions]
    longest = {
        key: max(phases[key]["time_s"] or 0.0 for phases in found if key in phases)
        for key, phase in max(found, key=len, default={}).items()
        if phase["operators"]
    }
    drawn = sorted(longest, key=lambda key: -longest[key])[:MOST]
    for key, seconds in longest.items():
        if key in drawn and seconds > 0.0:
            bars = _bars(predictions, [phases.get(key) for phases in found])
            yield Panel(_title(predictions[0]["workload"], *key), tuple(bars), duration)


def _phases(row: Result) -> dict[tuple[str, int], Result]:
    """The phases of a prediction by their name, and how many of that name stand before them."""
    found: dict[tuple[str, int], Result] = {}
    for phase in row["phases"]:
        before = sum(name == phase["phase"] for name, _ in found)
        found[phase["phase"], before] = phase
    return found


def _title(work: Result, name: str, before: int) -> str:
    """The phase, the tokens of its step, and what a bar is the time of."""
    steps = [step[name] for step in work.get("steps") or () if step.get(name) is not None]
    tokens = f" of {count(steps[before])} tokens" if before < len(steps) else ""
    return f"{name}{tokens}: {UNITS.get(name, 'all of it')}"


def _bars(predictions: Sequence[Result], phases: Sequence[Result | None]) -> Iterator[Bar]:
    """One bar for each deployment, small things of all of them together; why there is none where one has no phase."""
    spent = [_spent(phase) if phase else {} for phase in phases]
    large = {what for bar in spent for what, value in bar.items() if value >= LEAST * sum(bar.values())}
    for row, phase, bar in zip(predictions, phases, spent, strict=True):
        label, detail = row["deployment"]["label"], layout_text(row["deployment"])
        if phase is None or not bar:
            yield Bar(label, "", (), UNKNOWN if row["fits"] else "does not fit")
            continue
        named = [what for what in _ordered(bar) if what in large]
        parts = [Part(SHORT.get(what, what), bar[what], COLORS.get(what, GREY)) for what in named]
        rest = sum(value for what, value in bar.items() if what not in large)
        parts += [Part(OTHER, rest, GREY)] if rest > 0 else []
        low, high, ideal = (_of_step(phase, phase[name]) for name in ("low_time_s", "high_time_s", "ideal_time_s"))
        end = duration(sum(bar.values()))
        yield Bar(label, detail, tuple(parts), end, f"bound by {phase['bound']}", low, high, ideal)


def _ordered(spent: Mapping[str, float]) -> list[str]:
    """In the order of the colours; what has none, last."""
    order = list(COLORS)
    return sorted(spent, key=lambda what: order.index(what) if what in order else len(order))


def _spent(phase: Result) -> dict[str, float]:
    """Seconds of one step of a phase by what they are spent on."""
    seconds = _of_step(phase, phase["time_s"]) or 0.0
    told = (
        [(words(part["name"]), part["share"]) for part in phase["parts"]]
        if phase.get("parts")
        else [(doing(operator), operator["share"]) for operator in phase["operators"]]
    )
    spent: dict[str, float] = {}
    for what, share in told:
        spent[what] = spent.get(what, 0.0) + (share or 0.0) * seconds
    return {what: value for what, value in spent.items() if value > 0.0}


def _of_step(phase: Result, seconds: float | None) -> float | None:
    """What seconds of a phase are of one step: of a pass where each makes a token, of the whole prompt else."""
    steps = phase["passes"] if phase["phase"] in GENERATING else 1.0
    return None if seconds is None else seconds / (steps or 1.0)
