"""The view of a decision: for each run and each load a ranked table, what the second option lacks, and the sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Cell, Column, Document, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, duration, many, percent, quantity, usd
from roofline.report.views.common import between, plan_text

Result = Mapping[str, Any]

UNPRICED = 4  # chips without a price that are told
PRICE_OF = {"hour": "an hour", "purchase": "to buy"}


def view(result: Result, **_: Any) -> Document:
    """Everything that was asked, and what the numbers rest on."""
    parts: list[Part] = [Heading(f"{result['need']['id']}: {result['need']['name']}")]
    parts.append(Text(_asked(result)))
    for run in result["training"]:
        parts += _run(run)
    for load in result["serving"]:
        parts += _load(load)
    parts += _total(result)
    parts.append(Text(_assumed(result), "quiet"))
    return tuple(parts)


def _asked(result: Result) -> str:
    """Where things may run, and what was looked at."""
    places = ", ".join(_place(place) for place in result["need"]["places"])
    return f"{count(result['chips'])} chips; allowed: {places}"


def _place(place: Result) -> str:
    """A place with what is special about it."""
    more = [f"{duration(place['network_s'])} away"] if place["network_s"] else []
    more += [f"{count(place['sites'])} sites"] if place["sites"] > 1 else []
    more += [f"{quantity(place['power_w'], 'W')} each"] if place["power_w"] else []
    return f"{place['place']} ({', '.join(more)})" if more else str(place["place"])


# --- who trains ---------------------------------------------------------------------------------------------------


def _run(run: Result) -> Iterator[Part]:
    yield Heading(f"who trains: {run['workload']}, {many(run['tokens'])} tokens within {duration(run['within_s'])}")
    columns = [
        Column("", right=True), Column("who"), Column("chips"), Column("plan", wraps=True), Column("takes", right=True),
        Column("chip-hours", right=True), Column("cost", right=True), Column("90 % interval", right=True),
        Column("power", right=True), Column("bound"), Column("evidence"),
    ]  # fmt: skip
    if run["options"]:
        yield Grid.of(columns, [_choice(rank, item) for rank, item in enumerate(run["options"], 1)], turns=True)
    else:
        yield Text("nobody can train it with the chips and prices that are known", "bad")
    yield from _below(run, "options")
    if run["options"]:
        yield Text(f"look closer: {run['options'][0]['explain']}", "quiet")


def _choice(rank: int, item: Result) -> list[str | Cell]:
    takes = duration(item["time_to_train_s"])
    return [
        str(rank), item["who"], item["deployment"], plan_text(item["plan"]),
        takes if item["in_time"] else Cell(f"{takes}, too long" if item["time_to_train_s"] else "does not fit", "bad"),
        many(item["chip_hours"]), usd(item["usd"]), between(item["usd_low"], item["usd_high"], usd) or UNKNOWN,
        quantity(item["power_w"], "W"), item["bound"], item["evidence"],
    ]  # fmt: skip


# --- where inference runs -----------------------------------------------------------------------------------------


def _load(load: Result) -> Iterator[Part]:
    yield Heading(f"where inference runs: {load['model']}, weights {load['weights']}")
    for demand in load["demands"]:
        yield Text(_demand(demand))
    columns = [
        Column("", right=True), Column("where"), Column("replicas", wraps=True), Column("a month", right=True),
        Column("90 % interval", right=True), Column("$/Mtok", right=True), Column("power", right=True),
        Column("TTFT", right=True), Column("TPOT", right=True), Column("bound"), Column("evidence"),
    ]  # fmt: skip
    if load["options"]:
        yield Grid.of(columns, [_option(rank, item) for rank, item in enumerate(load["options"], 1)], turns=True)
    else:
        yield Text("no chip whose price is known serves it", "bad")
    yield from _below(load, "options")
    yield from _refused(load["refused"])
    if load["options"]:
        yield Text(f"look closer: {load['options'][0]['parts'][0]['demands'][0]['explain']}", "quiet")


def _demand(demand: Result) -> str:
    lengths = f"{count(demand['input_len'])} tokens in, {count(demand['output_len'])} out"
    slo = demand["slo"]
    promised = [f"{name} {duration(slo[key])}" for name, key in (("TTFT", "ttft_s"), ("TPOT", "tpot_s")) if slo[key]]
    peak = f", {demand['peak']:.3g} times as many at the peak" if demand["peak"] > 1 else ""
    level = f"; {' and '.join(promised)} at most" if promised else ""
    return f"{demand['name']}: {many(demand['requests_per_month'])} requests a month{peak}; {lengths}{level}"


def _option(rank: int, item: Result) -> list[str | Cell]:
    return [
        str(rank), item["where"], "; ".join(_replicas(part, len(item["parts"]) > 1) for part in item["parts"]),
        usd(item["usd_per_month"]),
        between(item["usd_per_month_low"], item["usd_per_month_high"], usd) or UNKNOWN,
        usd(item["usd_per_million_tokens"]), quantity(item["power_w"], "W"), duration(item["ttft_s"]),
        duration(item["tpot_s"]), item["bound"], item["evidence"],
    ]  # fmt: skip


def _replicas(part: Result, shared: bool) -> str:
    """How many replicas of what, in how many sites, for which share of the requests."""
    each = part["replicas"] / part["sites"]
    sites = f" at each of {count(part['sites'])} sites" if part["sites"] > 1 else ""
    running = part["running_replicas"] / part["sites"]
    of = f"{running:.1f} of {count(each)}" if running < each - 0.05 else count(each)
    role = {"prefill": " read", "decode": " write", None: f" for {percent(part['share'])}" if shared else ""}
    return f"{of} x {part['deployment']}{sites}{role[part['role']]}"


def _refused(refused: Sequence[Result]) -> Iterator[Text]:
    """Why the others do not: how many for each reason."""
    reasons = Counter(row["why"] if "no batch" in row["why"] or "site" in row["why"] else "does not fit"
                      for row in refused)  # fmt: skip
    if reasons:
        told = "; ".join(f"{number}: {why}" for why, number in reasons.most_common())
        yield Text(f"not possible, chips in places: {told}", "quiet")


# --- what would have to change ------------------------------------------------------------------------------------


def _below(asked: Result, options: str) -> Iterator[Text]:
    """What the second option lacks, and what chips without a price may cost."""
    if asked["second"] and len(asked[options]) > 1:
        first, second = asked[options][:2]
        yield Text(_second(first, second, asked["second"]))
    told = [row for row in asked["unpriced"] if row["break_even_price"]][:UNPRICED]
    if told:
        names = "; ".join(
            f"{count(row['num_chips'])} x {row['chip']} ({row['where']}) below {usd(row['break_even_price'])} "
            f"{PRICE_OF[row['price_of']]}"
            for row in told
        )
        yield Text(f"no price is known, would win: {names}")


def _second(first: Result, second: Result, change: Result) -> str:
    """What would have to change for the second option to win, each by itself."""
    ways = []
    if price := change["price"]:
        of = PRICE_OF[price["price_of"]]
        ways.append(f"a {price['chip']} costs {usd(price['to'])} {of}, not {usd(price['from'])}")
    ways.append(f"it is {percent(change['speed'] - 1.0)} faster{_sure(second, change['speed'])}")
    if change["electricity_usd_per_kwh"]:
        ways.append(f"electricity costs {usd(change['electricity_usd_per_kwh'])} a kWh")
    if change["requests"]:
        ways.append(f"there are {change['requests']:.3g} times as many requests")
    who = second.get("where") or second["who"]
    return f"second, {who} on {_chips(second)}, wins where {', or '.join(ways)}"


def _chips(option: Result) -> str:
    return " and ".join(part["chip"] for part in option["parts"]) if "parts" in option else str(option["chip"])


def _sure(second: Result, speed: float) -> str:
    """Whether being so much faster lies within what predictions have been off by."""
    usual, low = (second.get(f"usd_per_month{edge}", second.get(f"usd{edge}")) for edge in ("", "_low"))
    if low is None or usual is None:
        return " (nobody measured its like)"
    return " (within its interval: the two can't be told apart)" if usual / low >= speed else ""


def _total(result: Result) -> Iterator[Part]:
    """What the best options come to together, against the budget and the power there is."""
    total, need = result["total"], result["need"]
    if total is None:
        return
    limits = []
    if need["budget_usd_per_month"] is not None:
        limits.append(f"budget {usd(need['budget_usd_per_month'])} {'kept' if total['within_budget'] else 'exceeded'}")
    if need["power_w"] is not None:
        kept = {True: "kept", False: "exceeded", None: "not known to be kept"}[total["within_power"]]
        limits.append(f"power of own sites {quantity(need['power_w'], 'W')} {kept}")
    ranks = ", ".join(str(rank) for rank in total["options"])
    text = f"all that is served: {usd(total['usd_per_month'])} a month, {quantity(total['power_w'], 'W')}"
    text += f" (option {ranks})" if limits else ""
    broken = not total["within_budget"] or total["within_power"] is False
    yield Text("; ".join([text, *limits]), "bad" if broken else "strong")


def _assumed(result: Result) -> str:
    """The assumptions in short."""
    found = result["assumptions"]
    told = ", ".join(f"{item['name']} {item['text']}" for item in found["values"])
    return f"assumed ({found['id']}): {told}"
