"""The view of a what-if: what matters, what changes, what a chip would need, or where two deployments are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roofline import units
from roofline.report.document import Cell, Column, Document, Grid, Heading, Part, Text, Tone
from roofline.report.human import UNKNOWN, count, duration, known, many, percent, quantity, ratio, usd
from roofline.report.views.common import evidence_text, layout_text, notes, plan_text, work_text

Result = Mapping[str, Any]
TOP = 12
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "ttft_s": "TTFT",
        "tpot_s": "TPOT",
        "e2e_latency_s": "request",
        "output_tokens_per_s": "tok/s",
        "tokens_per_s": "tok/s",
        "energy_j_per_token": "J/tok",
        "usd_per_million_tokens": "$/Mtok",
        "step_time_s": "step",
        "time_to_train_s": "time to train",
        "cost_usd": "$/run",
    }
)
# Metrics that tables of changes show, where they are known; all of them with `all_rows`.
CHANGES = (
    "ttft_s", "tpot_s", "e2e_latency_s", "output_tokens_per_s", "output_tokens_per_s_per_chip", "step_time_s",
    "tokens_per_s", "mfu", "time_to_train_s", "power_w", "energy_j_per_token", "usd_per_million_tokens",
    "own_usd_per_million_tokens", "cost_usd", "own_cost_usd",
)  # fmt: skip
UNITS: Mapping[str, Callable[[float | None], str]] = MappingProxyType({"s": duration, "USD": usd, "1": percent})


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """The whole report."""
    return tuple(_parts(result, all_rows))


def _parts(result: Result, all_rows: bool) -> Iterator[Part]:
    deployment = result["deployment"]
    yield Heading(f"{deployment['label']} ({deployment['chip_name']}), {layout_text(deployment)}")
    yield Text(work_text(result["workload"]))
    if result["set"]:
        yield Text("set: " + "; ".join(map(_set, result["set"])), "strong")
    if not result["fits"]:
        yield Text(f"does not fit: {result['why']}", "bad")
    if result["kind"] == "elasticities":
        yield from _worth(result["worth"], all_rows)
    elif result["kind"] == "change":
        yield from _change(result["change"], all_rows)
    elif result["kind"] == "solution":
        yield from _solution(result["solution"])
        yield from _worth(result["worth"], all_rows)
    else:
        yield from _break_even(result["break_even"])
    yield Text(evidence_text(result["evidence"]), "quiet")
    yield from notes([result])


def amount(value: float | None, unit: str) -> str:
    """A value in its unit; plain numbers whole from a hundred on.

    >>> amount(3.35e12, "B/s"), amount(32.0, ""), amount(0.87, "1"), amount(4e-6, "s")
    ('3.35 TB/s', '32', '87.0 %', '4 us')
    """
    if unit == "s" and known(value) and value >= units.YEAR:
        return f"{ratio(value / units.YEAR)} years"
    if not unit:
        return many(value) if known(value) and value >= 1e7 else ratio(value)
    return UNITS[unit](value) if unit in UNITS else quantity(value, unit)


def change(share: float | None) -> str:
    """A change as a signed share.

    >>> change(0.2), change(-0.0357), change(0.0), change(None), change(41.0)
    ('+20.0 %', '-3.6 %', '0', '-', 'x42')
    """
    if not known(share):
        return UNKNOWN
    if share >= 9.995:
        return f"x{ratio(share + 1.0)}"
    return f"{share * 100:+.1f} %" if abs(share) >= 5e-4 else "0"


def short(metric: str) -> str:
    """What a metric is called in a column."""
    return NAMES.get(metric, metric)


def _set(item: Result) -> str:
    before, after = (amount(item[name], item["unit"]) for name in ("before", "after"))
    told = f" ({change(item['change'])})" if item["change"] is not None else ""
    return f"{item['key']} {before} -> {after}{told}"


# --- what matters ---------------------------------------------------------------------------------------------------


def top(worth: Result, all_rows: bool = False) -> Sequence[Result]:
    """The rows that are shown: of all numbers, or of those that belong to no shown group the largest."""
    rows: Sequence[Result] = worth["rows"]
    if all_rows:
        return rows
    metric, keys = worth["metric"], {row["key"] for row in rows}
    told = [row for row in rows if row["part_of"] not in keys and _effect(row, metric) >= 5e-4]
    return told[:TOP]


def _effect(row: Result, metric: str) -> float:
    found = (row[name].get(metric) for name in ("low_changes", "high_changes"))
    return max((abs(float(share)) for share in found if known(share)), default=0.0)


def _worth(worth: Result, all_rows: bool) -> Iterator[Part]:
    """Changes of the metric that is ranked by, and elasticities of the main ones."""
    metric, metrics = worth["metric"], worth["main_metrics"]
    rows = top(worth, all_rows)
    now, step = amount(worth["metrics"][metric], worth["units"][metric]), f"{worth['step'] * 100:.0f} %"
    told = "and what one percent more makes in percent (elasticity)"
    yield Text(f"{short(metric)} {now}; each number turned by {step} either way, {told}:")
    heads = ["number", "now", f"{short(metric)} at less", "at more", *map(short, metrics)]
    columns = [Column(head, right=index > 0) for index, head in enumerate(heads)]
    yield Grid.of(columns, [_row(row, metric, metrics) for row in rows])
    yield from _remarks(worth, rows)


def _row(row: Result, metric: str, metrics: Sequence[str]) -> list[str | Cell]:
    ends = [
        change(row[f"{end}_changes"].get(metric)) + ("" if row[f"fits_{end}"] else " !") for end in ("low", "high")
    ]  # fmt: skip
    slopes = [_slope(row["elasticities"].get(name)) for name in metrics]
    return [row["key"], amount(row["value"], row["unit"]), *ends, *slopes]


def _slope(value: float | None) -> str:
    """An elasticity to two places; nothing where there is none worth telling."""
    return "" if not known(value) or abs(value) < 0.005 else f"{value:+.2f}"


def _remarks(worth: Result, rows: Sequence[Result]) -> Iterator[Part]:
    left = len(worth["rows"]) - len(rows)
    more = f"{left} more numbers with less effect (--all); " if left else ""
    yield Text(f"{more}{worth['without_effect']} without any; the plan stays", "quiet")
    if any(not row["fits_low"] or not row["fits_high"] for row in rows):
        yield Text("!: does not fit there", "quiet")
    if any(row["slope"] == "mean" for row in rows):
        yield Text(
            "of capacities, counts and lengths, which go in steps, elasticities are the mean of both turns", "quiet"
        )


# --- what changes ---------------------------------------------------------------------------------------------------


def _change(found: Result, all_rows: bool) -> Iterator[Part]:
    if not found["fits"]["after"]:
        yield Text("does not fit with these numbers", "bad")
    elif not found["fits"]["before"]:
        yield Text("fits with these numbers", "good")
    replanned = found["replanned"]
    again = {row["metric"]: row for row in replanned["metrics"]} if replanned else {}
    rows = []
    for row in found["metrics"]:
        if all_rows or row["metric"] in CHANGES:
            unit, name = row["unit"], row["metric"]
            other = again.get(name)
            more = [amount(other["after"], unit), change(other["change"])] if other else []
            rows.append([name, amount(row["before"], unit), amount(row["after"], unit), change(row["change"]), *more])
    heads = ["metric", "before", "after", "change", *(["best plan", "change"] if replanned else [])]
    yield Grid.of([Column(head, right=index > 0) for index, head in enumerate(heads)], rows)
    yield _phases(found["phases"])
    if replanned:
        told = plan_text(replanned["plan"])
        yield Text(f"the best plan would be {told}" if replanned["changed"] else f"{told} stays the best plan")
    else:
        yield Text("the plan stays; --replan looks for the best one", "quiet")


def _phases(phases: Sequence[Result]) -> Grid:
    heads = ("phase", "before", "after", "change", "bound before", "after")
    rows = [
        [row["phase"], *(duration(row[f"{when}_time_s"]) for when in ("before", "after")), change(row["change"]),
         row["before_bound"], Cell(row["after_bound"], _tone(row))]
        for row in phases
    ]  # fmt: skip
    return Grid.of([Column(head, right=0 < index < 4) for index, head in enumerate(heads)], rows)


def _tone(row: Result) -> Tone:
    return "plain" if row["before_bound"] == row["after_bound"] else "strong"


# --- what a chip needs ----------------------------------------------------------------------------------------------


def _solution(found: Result) -> Iterator[Part]:
    unit, metric = found["metric_unit"], found["metric"]
    target = f"{short(metric)} {amount(found['target'], unit)}"
    now = f"{found['key']} {amount(found['now'], found['unit'])} gives {amount(found['metric_now'], unit)}"
    if found["solved"] is not None:
        times = f", x{ratio(found['times'])} of now" if found["times"] else ""
        gives = "" if found["metric_solved"] == found["target"] else f" ({amount(found['metric_solved'], unit)})"
        yield Text(
            f"{target} needs {found['key']} {amount(found['solved'], found['unit'])}{times}{gives}; {now}", "good"
        )
        if found["others"]:
            told = ", ".join(amount(value, found["unit"]) for value in found["others"])
            yield Text(f"also at {told}", "quiet")
        yield Text("with it:")
        return
    span = f"from {amount(found['least'], found['unit'])} to {amount(found['most'], found['unit'])}"
    yield Text(f"{target} is not reached by {found['key']} {span}: {found['why']}; {now}", "bad")
    if found["best"] is not None:
        bound = ", ".join(f"{name} is bound by {by}" for name, by in found["bounds_best"].items() if by)
        best = f"{short(metric)} {amount(found['metric_best'], unit)} at {amount(found['best'], found['unit'])}"
        yield Text(f"the best is {best}; there {bound}. What would help there:")


# --- where two are equal --------------------------------------------------------------------------------------------


def _break_even(found: Result) -> Iterator[Part]:
    one, two = found["deployments"]
    unit, key = found["metric_unit"], found["key"]
    whose = "for both" if found["shared"] else f"of {one} alone"
    now = " and ".join(f"{amount(found['metric_now'][at], unit)} on {label}" for at, label in enumerate((one, two)))
    yield Text(f"against {two} ({found['metric']}): {now} at {key} {amount(found['now'], found['unit'])}")
    span = f"{amount(found['least'], found['unit'])} to {amount(found['most'], found['unit'])}"
    if not found["crossings"]:
        told = f"{found['throughout']} is better throughout" if found["throughout"] else "both are equal, or never fit"
        yield Text(f"no break-even at {key} {whose} from {span}: {told}", "strong")
        return
    rows = [
        [_place(item, found), item["better_below"], item["better_above"],
         *(amount(value, unit) for value in item["metrics_above"])]
        for item in found["crossings"]
    ]  # fmt: skip
    heads = (f"{key} {whose}", "better below", "better from there on", one, two)
    yield Grid.of([Column(head, right=index in (0, 3, 4)) for index, head in enumerate(heads)], rows)
    for label, at in ((one, 0), (two, 1)):
        waiting = [_place(item, found) for item in found["crossings"] if item["waits"][at]]
        if waiting:
            yield Text(
                f"at {key} {', '.join(waiting)} memory of {label} lets fewer requests run; the others wait", "bad"
            )
    yield Text(f"looked for from {span}; the plans stay as they are", "quiet")


def _place(item: Result, found: Result) -> str:
    return place_of(item["above"], found["unit"])


def place_of(value: float, unit: str) -> str:
    """A value of a number, counts as they are.

    >>> place_of(39.0, ""), place_of(2.1, "USD/h"), place_of(0.5, "")
    ('39', '2.1 USD/h', '0.5')
    """
    return count(value) if not unit and value >= 1 else amount(value, unit)
