"""How far a measurement is from the bound and from the expectation, and which part of the prediction lies in between.

Everything is told as a time: a latency as it is, a rate as the seconds of one token, 1/rate, a rate of arithmetic as
those of a step. Above the bound lie the
parts that the expectation knows, each as expected minus ideal: `compute` and `memory` (work below the datasheet's
speed, told by what binds each operator), `network` (messages that nothing hides), `overhead` (launches, software,
bubbles) and `queueing` (waiting, and prompts of other requests in between). What a measurement took beyond the
expectation is `unexplained`; it is negative where it was faster. All of them add up to measured minus ideal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline.engine.ops import COLLECTIVE
from roofline.engine.prediction import PROMPTS, Phase, Prediction
from roofline.engine.roof import BOUNDS, Priced
from roofline.numeric import Num
from roofline.studies.measured.table import Metric

QUEUEING, UNEXPLAINED = "queueing", "unexplained"
PARTS = (*BOUNDS, QUEUEING)
NEAR = 0.1  # share of a measurement that nothing needs to explain
DECODES = ("decode", "draft")
OF_WORK = ("mfu", "tflops")  # metrics that are a rate of a step's arithmetic


@dataclass(frozen=True, slots=True)
class Span:
    """What a metric spans: the metric that is its time, and the phases that it consists of."""

    time: str
    of: Callable[[str], bool]


STEP = Span("step_time_s", lambda _: True)
TOKEN = Span("tpot_s", lambda name: name in DECODES)
PROMPT = Span("ttft_s", lambda name: name in PROMPTS)
READING = Span("", lambda name: name in PROMPTS)  # a prompt by itself: nothing waits
REQUEST = Span("e2e_latency_s", lambda _: True)
SPANS: Mapping[str, Span] = MappingProxyType({"training": STEP, "decode": TOKEN, "prefill": PROMPT, "e2e": REQUEST})

# What to look at, by what lies in between.
ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "compute": "kernels reach less than the datasheet's peak, as they do elsewhere: a narrower format or larger "
        "batches, not tuning, moves it",
        "memory": "bytes move slower than the datasheet says, as they do elsewhere: a narrower format of weights or "
        "cache moves it",
        "network": "messages are on the critical path: look at the degrees of tensor and expert parallelism, and "
        "at the link",
        "overhead": "software and launches: look at CUDA graphs, compilation, the release, the host",
        QUEUEING: "requests wait for each other's prompts: look at the chunk of a prefill, the number of requests at "
        "once, prefill apart from decoding",
    }
)
OTHERS = (
    "prompts of the other requests, which the bound of one does not count: a prefix cache, shorter prompts or a "
    "narrower format moves it"
)
SLOWER = (
    "slower than nine of ten such measurements: look at what no prediction knows: power and clock limits, a first run "
    "without warm-up, clients that can't keep up, a plan or a format other than stated"
)
FASTER = (
    "faster than nine of ten such measurements: look whether prompts are found in a prefix cache, tokens are drafted, "
    "or weights or cache are narrower than stated"
)
IMPOSSIBLE = "faster than the datasheet allows: the chips, the lengths, the batch or a format are other than stated"


def gap(
    found: Prediction, metric: Metric, index: int, count: int, figures: Mapping[str, float]
) -> dict[str, Any] | None:
    """The gap of one of `count` cases that share a prediction; None where there is no bound, or it is no time.

    `figures` are the row's `measured`, `predicted`, `ideal`, `low` and `high`, in the metric's own unit.
    """
    ideal = figures["ideal"]
    if metric.of_power or not np.isfinite(ideal) or ideal <= 0.0:
        return None
    work = 1.0  # what a rate is a rate of: one token, or where it is one of work that of a step
    step = found.metrics.get(STEP.time)
    if metric.name.startswith(OF_WORK) and step is not None:
        work = _one(step, index, count) * figures["predicted"]
    times = {name: _seconds(value, metric, work) for name, value in figures.items()}
    lost = _lost(found, metric, index, count, times["predicted"], times["ideal"])
    beyond = times["measured"] - times["predicted"]
    inside = _inside(figures)
    return {
        "measured_s": times["measured"],
        "expected_s": times["predicted"],
        "ideal_s": times["ideal"],
        "of_expected": times["measured"] / times["predicted"],
        "of_ideal": times["measured"] / times["ideal"],
        "inside_interval": inside,
        "parts_s": {**lost, UNEXPLAINED: beyond},
        "look_at": _advice(times, lost, inside, OTHERS if metric.more_is_better else ADVICE[QUEUEING]),
    }


def _seconds(value: float, metric: Metric, work: float) -> float:
    """A figure as seconds: of so much work, where it is a rate."""
    return work / value if metric.more_is_better and value else value * metric.unit


def _inside(figures: Mapping[str, float]) -> bool | None:
    low, high = figures["low"], figures["high"]
    return None if np.isnan(low) or np.isnan(high) else bool(low <= figures["measured"] <= high)


def _lost(
    found: Prediction, metric: Metric, index: int, count: int, expected: float, ideal: float
) -> dict[str, float]:  # fmt: skip
    """Seconds between the bound and the expectation by part, which add up to both's difference."""
    span = READING if metric.name.startswith("prefill_tokens") else SPANS[metric.phase]
    sides = {}
    for bound, total in ((False, expected), (True, ideal)):
        parts = _parts(found, span, index, count, bound=bound)
        whole = _whole(found, span, index, count, sum(parts.values()), bound=bound)
        scale = total / whole if whole > 0.0 else 0.0
        own = {name: seconds * scale for name, seconds in parts.items()}
        sides[bound] = {**own, QUEUEING: total - sum(own.values())}
    return {name: sides[False][name] - sides[True][name] for name in PARTS}


def _whole(found: Prediction, span: Span, index: int, count: int, own: float, *, bound: bool) -> float:
    """Seconds of what a metric spans, waiting included: never less than its own parts."""
    value = found.metrics.get(f"{span.time}{'_ideal' if bound else ''}")
    return own if value is None else max(_one(value, index, count), own)


def _parts(found: Prediction, span: Span, index: int, count: int, *, bound: bool) -> dict[str, float]:
    """Seconds by roof of all phases that a metric spans: of one token where it is one's time."""
    parts = dict.fromkeys(BOUNDS, 0.0)
    for phase in found.phases:
        if span.of(phase.name):
            for name, seconds in _by_roof(phase, index, count, bound=bound).items():
                parts[name] += seconds
    tokens = _one(found.workload.output_len, index, count) if span is TOKEN else 1.0  # type: ignore[union-attr]
    return {name: seconds / max(tokens, 1.0) for name, seconds in parts.items()}


def _by_roof(phase: Phase, index: int, count: int, *, bound: bool) -> dict[str, float]:
    """Seconds of a phase by roof, expected or ideal, as the phase's own time has them."""
    parts = dict.fromkeys(BOUNDS, 0.0)
    for item in phase.operators:
        for name, value in _roofs(item, bound=bound).items():
            parts[name] += _one(value, index, count)
    if bound:  # messages hide behind work, or work behind them
        work = parts["compute"] + parts["memory"]
        parts["network"] = max(parts["network"] - work, 0.0)
    total = sum(parts.values())
    spent = _one(phase.ideal_time if bound else phase.time, index, count)
    return {name: seconds * spent / total if total > 0.0 else 0.0 for name, seconds in parts.items()}


def _roofs(item: Priced, *, bound: bool) -> dict[str, Num]:
    """Seconds of all executions of an operator by roof; work belongs to the one of compute and memory that binds."""
    priced = item.ideal if bound else item.expected
    times = item.op.count * (1.0 if bound else 1.0 - np.asarray(item.hidden, dtype=np.float64))
    if item.op.kind == COLLECTIVE:
        return {"network": times * priced.network, "overhead": times * priced.overhead}
    work = priced.time - priced.overhead
    computes = np.greater(priced.compute, priced.memory)
    return {
        "compute": times * work * computes,
        "memory": times * work * ~np.asarray(computes),
        "overhead": times * priced.overhead,
    }


def _one(value: Num, index: int, count: int) -> float:
    """One case's number of an array over the cases."""
    return float(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))[index])


def _advice(times: Mapping[str, float], lost: Mapping[str, float], inside: bool | None, queued: str) -> str:
    """Where to look: at what no prediction knows if a measurement is out of the interval, else at the largest part;
    `queued` is said of requests that wait."""
    if times["measured"] < times["ideal"]:
        return IMPOSSIBLE
    near = abs(times["measured"] / times["predicted"] - 1.0) <= NEAR
    if inside is False or (inside is None and not near):
        return SLOWER if times["measured"] > times["predicted"] else FASTER
    largest = max(lost, key=lambda name: lost[name])
    if lost[largest] <= 0.0:
        return "nothing: it is as fast as the datasheet allows"
    return queued if largest == QUEUEING else ADVICE[largest]
