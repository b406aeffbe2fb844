"""The steps of one request: where its time, energy and money go, and whether a pause is worth its cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Column, Grid, Part, Text
from roofline.report.human import count, duration, percent, quantity, ratio, usd

Result = Mapping[str, Any]
MOST = 24  # steps that are shown one by one
FEW = 2  # steps that phases tell all about


def told(result: Result) -> bool:
    """Whether the steps say more than the phases do."""
    steps = result.get("steps") or ()
    return len(steps) > FEW or any(step["hidden"] for step in steps)


def parts(result: Result, all_rows: bool) -> Iterator[Part]:
    """The table of the steps, those of one kind and name together where there are many, and the pauses in words."""
    if not told(result):
        return
    steps, request = result["steps"], result["request"]
    many = len(steps) > MOST and not all_rows
    rows = [_wait(request), *(_row(step) for step in (_together(steps) if many else steps))]
    heads = ("step", "context", "tokens", "time", "share", "bound", "energy", "cost")
    yield Grid.of([Column(head, right=head not in ("step", "bound")) for head in heads], rows, turns=True)
    if many:
        yield Text(f"{len(steps):,} steps, those of one kind and name together; --all shows each", "quiet")
    yield Text(_used(request))
    if request["pauses"]:
        yield Text(_verdict(request["pauses"]))


def _wait(request: Result) -> tuple[str, ...]:
    return ("wait for its turn", "", "", duration(request["waiting_s"]), "", "", "", "")


def _row(step: Result) -> tuple[str, ...]:
    kind = f"{step['times']:,} x {step['step']}" if step.get("times", 1) > 1 else step["step"]
    name = f"{kind} {step['name']}".rstrip() + (" (hidden)" if step["hidden"] else "")
    works = step["bound"] is not None
    return (
        name,
        count(step["context_len"]),
        count(step["tokens"]) if step["tokens"] is not None else "",
        duration(step["time_s"]),
        percent(step["share"]),
        step["bound"] or "",
        quantity(step["energy_j"], "J") if works else "",
        usd(step["cost_usd"]) if works else "",
    )


def _together(steps: Sequence[Result]) -> list[dict[str, Any]]:
    """One row for the steps of each kind and name: sums, the context before the first, what binds most of the time."""
    groups: dict[tuple[str, str, bool], list[Result]] = {}
    for step in steps:
        groups.setdefault((step["step"], step["name"], step["hidden"]), []).append(step)
    return [_sum(group) for group in groups.values()]


def _sum(group: Sequence[Result]) -> dict[str, Any]:
    summed = {name: _added(group, name) for name in ("tokens", "time_s", "share", "energy_j", "cost_usd")}
    bounds: dict[str, float] = {}
    for step in group:
        if step["bound"]:
            bounds[step["bound"]] = bounds.get(step["bound"], 0.0) + (step["time_s"] or 0.0)
    most = max(bounds, key=lambda name: bounds[name]) if bounds else None
    return {**group[0], **summed, "bound": most, "times": len(group)}


def _added(group: Sequence[Result], name: str) -> float | None:
    found = [step[name] for step in group]
    return None if any(value is None for value in found) else sum(found)


def _used(request: Result) -> str:
    """What one request takes of the deployment."""
    whole, idle = request["chip_seconds"], request["idle_chip_seconds"]
    resting = f", {percent(idle / whole)} of them idle" if whole and idle is not None else ""
    cost = f", {usd(request['cost_usd'])}" if request["cost_usd"] is not None else ""
    energy = f", {quantity(request['energy_j'], 'J')}" if request["energy_j"] is not None else ""
    return f"one request takes {duration(whole)} of a chip{resting}{energy}{cost}"


def _verdict(pauses: Result) -> str:
    """Whether to keep the cache of a request that pauses, or to read its context again."""
    times = f"{pauses['count']:,} pauses" if pauses["count"] > 1 else "the pause"
    held = f"a request that pauses holds {quantity(pauses['held_bytes'], 'B')} of each chip"
    if pauses["cheaper"] is None:
        return f"{held}, none of which is needed again: drop it"
    keep, again = ratio(pauses["keep_chip_seconds"]), ratio(pauses["recompute_chip_seconds"])
    verb = {"keep": "keep it", "recompute": "drop it and read the context again"}[pauses["cheaper"]]
    costs = f"Keeping it through {times} of {duration(pauses['seconds'])} takes memory worth {keep} chip-seconds"
    costs += f", reading again {again} and {duration(pauses['recompute_time_s'])} of the user's time"
    equal = pauses["break_even_s"]
    at = f"; both are equal at {duration(equal)}" if equal is not None else ""
    room = "" if pauses["memory_full"] else "; there is room for more requests, so keeping displaces none"
    return f"{held}: {verb}. {costs}{at}{room}"
