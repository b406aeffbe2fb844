"""The view of one prediction: verdict, metrics, memory, phases, where the time goes, what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from roofline.report import terminal_chart
from roofline.report.document import Cell, Column, Document, Drawing, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, duration, many, percent, quantity, rate, ratio
from roofline.report.views import economics, frontier, ranking, scaling, steps
from roofline.report.views.common import between, evidence_text, layout_text, notes, work_text
from roofline.report.views.costs import costs_text, layers_text
from roofline.report.views.verdict import of_prediction

Result = Mapping[str, Any]
TOP = 8
MOST_PHASES = 8  # that are told one by one


def view(
    result: Result,
    *,
    width: int | None = None,
    all_rows: bool = False,
    unicode: bool = True,
    full_attention: bool = False,
    costs: bool = False,
    brief: bool = False,
    drawn: bool = True,
    **_: Any,
) -> Document:
    """The whole report, or only what `brief` keeps; of a deployment that does not fit, why; of a run that scales, what
    more chips make of it; of a service that trades, what it trades. The chart is `drawn` in characters."""
    if result.get("scaling"):
        return (*_head(result), *scaling.parts(result["scaling"]), *notes([result]))
    if result.get("frontier"):
        return (*_head(result), *frontier.curve(result, all_rows=all_rows), *notes([result]))
    plans = tuple(ranking.parts(result["plans"])) if result.get("plans") else ()
    if not result["fits"]:
        return (*_head(result), _memory(result), *plans, *notes([result]))
    if brief:
        return (*_head(result), *_brief(result, plans, all_rows, full_attention, costs), *notes([result]))
    chart = terminal_chart.draw(result, width=min(width or 100, 100), unicode=unicode) if drawn else ()
    speed = _speed(result, plans, Drawing(tuple(chart)), all_rows, full_attention)
    return (*_head(result), _memory(result), *speed, *economics.parts(result, at_length=costs), *notes([result]))


def _head(result: Result) -> Iterator[Part]:
    """What runs on what, and the verdict."""
    deployment = result["deployment"]
    yield Heading(f"{deployment['label']} ({deployment['chip_name']}), {layout_text(deployment)}")
    yield Text(work_text(result["workload"], at_once=not result.get("frontier")))
    formats = f"weights {deployment['weights']}, activations {deployment['activations']}"
    formats += f", cache {deployment['kv_cache']}" if result["workload"]["kind"] == "serving" else ""
    yield Text(f"{formats}; products in {deployment['arithmetic']}; stack {deployment['stack']}")
    if deployment.get("pools"):
        yield Text(_pools(result))
    yield of_prediction(result)


def _pools(result: Result) -> str:
    """Who reads and who generates, and how long a request is on its way between them."""
    chips = result["deployment"]["pools"]
    operators = [item for phase in result["phases"] for item in phase["operators"]]
    moving = [item for item in operators if item["name"].startswith("kv-cache/")]
    size, time = (sum(item[name] or 0.0 for item in moving) for name in ("network_bytes", "time_s"))
    moved = f"{quantity(size, 'B')} of its KV cache on each chip, {duration(time)}"
    return f"pools: {count(chips['prefill'])} chips prefill, {count(chips['decode'])} decode; a request moves {moved}"


def _brief(result: Result, plans: Sequence[Part], all_rows: bool, full_attention: bool, costs: bool) -> Iterator[Part]:
    """Metrics, steps, and plans and costs if they are asked for: no memory, operators, chart and sources."""
    yield _metrics(result, full_attention)
    yield from plans
    yield from steps.parts(result, all_rows)
    yield Text(evidence_text(result["evidence"]), "quiet")
    if costs:
        yield from economics.parts(result, option="--costs without --brief")


def _speed(
    result: Result, plans: Sequence[Part], chart: Drawing, all_rows: bool, full_attention: bool
) -> Iterator[Part]:
    """Metrics, phases, parts, plans, operators, the chart and what they are worth."""
    yield _metrics(result, full_attention)
    yield from steps.parts(result, all_rows)
    told = _told(result["phases"], all_rows)
    yield _phases(result, told, full_attention)
    if len(told) < len(result["phases"]):
        yield Text(f"the longest of {len(result['phases'])} phases of each kind (--all)", "quiet")
    for phase in result["phases"]:
        if phase.get("parts"):
            yield ranking.parts_of_step(phase["parts"])
    yield from plans
    for phase in told:
        if phase["operators"]:
            yield from _operators(phase, all_rows)
            yield Text(costs_text(phase))
            yield Text(layers_text(phase))
    yield chart
    yield Text(evidence_text(result["evidence"]), "quiet")


def _metrics(result: Result, full_attention: bool) -> Grid:
    """Every metric: expected, where nine of ten measurements should lie, and the ideal bound."""
    metrics = result["metrics"]
    utilization = "mfu_full_attention" if full_attention else "mfu"
    rows = [
        (
            title,
            show(metrics[name]),
            between(metrics.get(f"{name}_low"), metrics.get(f"{name}_high"), show),
            show(metrics[f"{name}_ideal"]) if f"{name}_ideal" in metrics else "",
        )
        for name, title, show in _METRICS
        if name in metrics and name in (utilization, *ALWAYS) and (name not in IF_KNOWN or metrics[name] is not None)
        if name not in OF_STEPS or steps.told(result)
    ]
    columns = ("metric", "expected", "90 % of measurements", "ideal")
    known = [index for index, name in enumerate(columns) if index != 2 or any(row[index] for row in rows)]
    heads = [Column(columns[index], right=index > 0) for index in known]
    return Grid.of(heads, [[row[index] for index in known] for row in rows])


def _watts(value: float | None) -> str:
    return quantity(value, "W")


def _megawatt_hours(value: float | None) -> str:
    return f"{rate(value / 3.6e9)} MWh" if value is not None else UNKNOWN


def _joules(value: float | None) -> str:
    return quantity(value, "J")


_METRICS: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("ttft_s", "time to first token", duration),
    ("time_to_first_useful_token_s", "time to first useful token", duration),
    ("tpot_s", "time per output token", duration),
    ("e2e_latency_s", "whole request", duration),
    ("output_tokens_per_s_per_user", "tokens/s per user", rate),
    ("output_tokens_per_s", "tokens/s", rate),
    ("output_tokens_per_s_per_chip", "tokens/s per chip", rate),
    ("requests_per_chip_hour", "requests/hour per chip", rate),
    ("step_time_s", "step", duration),
    ("tokens_per_s", "tokens/s", rate),
    ("tokens_per_s_per_chip", "tokens/s per chip", rate),
    ("mfu", "model FLOPs utilization (MFU)", percent),
    ("mfu_full_attention", "MFU, full attention counted", percent),
    ("hfu", "hardware FLOPs utilization (HFU)", percent),
    ("time_to_train_s", "time to train", duration),
    ("goodput", "goodput", percent),
    ("job_mtbf_s", "time between failures", duration),
    ("checkpoint_interval_s", "time between checkpoints", duration),
    ("chip_hours", "chip-hours", rate),
    ("power_w", "power of the chips", _watts),
    ("system_power_w", "power with hosts", _watts),
    ("energy_j_per_token", "energy per token", _joules),
    ("system_energy_j_per_token", "energy per token with hosts", _joules),
    ("site_power_w", "power of the site", _watts),
    ("site_energy_j_per_token", "energy of the site per token", _joules),
    ("tokens_per_kwh", "tokens per kWh of the site", many),
    ("energy_j", "energy of the run", _megawatt_hours),
)

IF_KNOWN = (
    "goodput",
    "job_mtbf_s",
    "checkpoint_interval_s",
    "energy_j",
    "system_power_w",
    "system_energy_j_per_token",
    "site_power_w",
    "site_energy_j_per_token",
    "tokens_per_kwh",
)  # a note says why they are not
OF_STEPS = ("time_to_first_useful_token_s", "requests_per_chip_hour")  # where steps are told one by one
ALWAYS = tuple(name for name, _, _ in _METRICS if not name.startswith("mfu"))

_PARTS = (
    ("weight_bytes", "weights"),
    ("kv_cache_bytes", "KV cache"),
    ("gradient_bytes", "gradients"),
    ("optimizer_bytes", "optimizer"),
    ("activation_bytes", "activations"),
    ("buffer_bytes", "buffers"),
    ("total_bytes", "all"),
    ("capacity_bytes", "usable"),
)


def _memory(result: Result) -> Grid:
    """Memory of one chip by part, and the largest batch."""
    memory, serving = result["memory"], result["workload"]["kind"] == "serving"
    capacity = memory["capacity_bytes"]
    rows = [
        (name, quantity(memory[key], "B"), percent(memory[key] / capacity if capacity else None))
        for key, name in _PARTS
        if memory.get(key)
    ]
    if memory.get("host_bytes"):
        rows.append(("in the host's memory", quantity(memory["host_bytes"], "B"), ""))
    if serving:
        rows.append(("most requests at once", count(memory["max_batch"]), ""))
    fullest = memory.get("pool") and f", {memory['pool']} pool"
    fullest = fullest or (f", {memory['stage_name']} stage" if memory.get("stage_name") else "")
    title = f"memory per chip{fullest}"
    return Grid.of((Column(title), Column("size", right=True), Column("share", right=True)), rows)


def _told(phases: Sequence[Result], all_rows: bool) -> Sequence[Result]:
    """The phases that are told; of many, the longest of each kind."""
    if all_rows or len(phases) <= MOST_PHASES:
        return phases
    names = dict.fromkeys(phase["phase"] for phase in phases)
    return [max((phase for phase in phases if phase["phase"] == name), key=_seconds) for name in names]


def _seconds(phase: Result) -> float:
    return float(phase["time_s"] or 0.0)


def _phases(result: Result, told: Sequence[Result], full_attention: bool) -> Grid:
    """One row for each phase."""
    whole = result["metrics"].get("mfu_full_attention") if full_attention else None
    columns = (
        Column("phase"),
        Column("time", right=True),
        Column("ideal", right=True),
        Column("bound"),
        Column("FLOP/B", right=True),
        Column("ridge", right=True),
        Column("MFU" if whole is None else "MFU (full attention)", right=True),
        Column("MBU", right=True),
        Column("power", right=True),
        Column("energy", right=True),
    )
    rows = [
        (
            phase["phase"],
            duration(phase["time_s"]),
            duration(phase["ideal_time_s"]),
            phase["bound"] or UNKNOWN,
            ratio(phase["arithmetic_intensity"]),
            ratio(phase["ridge_point"]),
            percent(phase["mfu"] if whole is None else whole),
            percent(phase["mbu"]),
            _watts(phase["power_w"]),
            _joules(phase["energy_j"]),
        )
        for phase in told
    ]
    return Grid.of(columns, rows, turns=True)


def _operators(phase: Result, all_rows: bool) -> Iterator[Part]:
    """Where the time of a phase goes."""
    operators = phase["operators"]
    shown = operators if all_rows else operators[:TOP]
    columns = (
        Column(f"{phase['phase']} operator"),
        Column("times", right=True),
        Column("time", right=True),
        Column("share", right=True),
        Column("bound"),
        Column("FLOP/B", right=True),
    )
    rows = [
        (
            Cell(item["name"]),
            count(item["count"]),
            duration(item["time_s"]),
            percent(item["share"]),
            item["bound"],
            ratio(item["arithmetic_intensity"]),
        )
        for item in shown
    ]
    yield Grid.of(columns, rows)
    if len(operators) > len(shown):
        rest = sum(item["share"] or 0.0 for item in operators[TOP:])
        yield Text(f"{len(operators) - len(shown)} more with {percent(rest)} of the time (--all)", "quiet")
