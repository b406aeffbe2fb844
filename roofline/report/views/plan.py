"""The view of a plan: the best deployments under limits, why the first is best, what others break, what chips trade."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Cell, Column, Document, Drawing, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, duration, percent, quantity, rate, ratio, usd
from roofline.report.views.common import between, layout_text, notes, plan_text, work_text
from roofline.report.views.economics import line

Result = Mapping[str, Any]
Field = tuple[Column, Callable[[Result], str | Cell]]

NAMED = {
    "ttft": "TTFT", "tpot": "TPOT", "throughput": "throughput", "power": "power", "budget": "cost",
    "chips_at_most": "chips", "within": "time to train",
}  # fmt: skip
BY = {
    "usd_per_request": "cost of a request", "usd_per_hour": "cost of an hour", "usd": "cost of the run",
    "joule_per_request": "energy of a request", "joule": "energy of the run", "num_chips": "chips",
    "tpot_s": "time per token", "ttft_s": "time to the first token", "time_to_train_s": "time to train",
}  # fmt: skip
FEW = 7  # points of a frontier that are shown
TELLING = 0.005  # differences below are not worth a word
DRAWN = "power_of_chip"
# What a figure is made of: ratios to another deployment, and how they are said.
MADE_OF = (
    ("hour_of_chip", "an hour of a chip costs", "less", "more"),
    ("rate_of_chip", "a chip makes tokens", "slower", "faster"),
    (DRAWN, "a chip with its host draws", "less", "more"),
)


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """Rows, reasons, refusals, the frontier, and how to start the best."""
    trains = result["workload"]["kind"] == "training"
    parts: list[Part] = [Heading(work_text(result["workload"], at_once=False)), Text(_asked(result))]
    if result["rows"]:
        parts.append(_ranked(result, trains=trains))
        parts += _unsure(result)
        parts += [Text(_because(item, result["rows"][0])) for item in result["why"]]
    else:
        parts.append(Text(f"nothing is feasible; {result['nearest']['text']}", "bad"))
    parts += _looked(result)
    parts += _frontier(result, all_rows=all_rows)
    parts += _launch(result.get("launch"))
    if result["rows"]:
        parts.append(Text(f"look closer: {result['rows'][0]['analyze']}", "quiet"))
        parts += notes(list({row["deployment"]["chip"]: row for row in reversed(result["rows"])}.values()))
    parts.append(line(result.get("assumptions")))
    return tuple(parts)


def _asked(result: Result) -> str:
    limits = ", ".join(limit_text(item) for item in result["limits"]) or "no limits"
    return f"{limits}; ranked by {BY[result['ranked_by']]}"


def limit_text(item: Result) -> str:
    """A limit in words.

    >>> limit_text({"limit": "tpot", "unit": "s", "bound": 0.03, "least": False, "promised": True})
    'TPOT at most 30 ms (promised)'
    """
    how = "at least" if item["least"] else "at most"
    promised = " (promised)" if item["promised"] else ""
    return f"{NAMED[item['limit']]} {how} {figure_text(item['bound'], item['unit'])}{promised}"


def figure_text(value: float | None, unit: str) -> str:
    """A figure of a limit.

    >>> figure_text(20.0, "USD/h"), figure_text(5000.0, "token/s"), figure_text(64.0, ""), figure_text(2592000.0, "s")
    ('$20.00 an hour', '5,000 tokens/s', '64', '30 d')
    """
    if unit == "s":
        return duration(value)
    if unit.startswith("USD"):
        return usd(value) + (" an hour" if unit == "USD/h" else "")
    if unit == "token/s":
        return f"{rate(value)} tokens/s"
    return quantity(value, unit) if unit else count(value)


# --- the rows -----------------------------------------------------------------------------------------------------


def _ranked(result: Result, *, trains: bool) -> Grid:
    work = _of_run() if trains else _of_requests() if result["workload"]["output_len"] else _of_prompts()
    fields = [*_what(result, trains=trains), *work, *_worth(result)]
    rows = result["rows"]
    known = [field for field in fields if any(_text(field[1](row)) not in (UNKNOWN, "") for row in rows)]
    return Grid.of([column for column, _ in known], [[show(row) for _, show in known] for row in rows], turns=True)


def _text(cell: str | Cell) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def _what(result: Result, *, trains: bool) -> Iterator[Field]:
    """Which deployment it is."""
    yield Column("", right=True), lambda row: str(row["rank"])
    yield Column("deployment"), lambda row: row["deployment"]["label"]
    yield Column("plan", wraps=True), lambda row: _pools(row["deployment"])
    formats = {row["deployment"]["weights"] for row in result["rows"]}
    if len(formats) > 1:
        yield Column("weights"), lambda row: row["deployment"]["weights"]
    if not trains:
        yield Column("requests", right=True), lambda row: count(row["batch"])


def _pools(deployment: Result) -> str:
    """The plan, with the chips of each pool where there are two."""
    pools = deployment.get("pools")
    chips = f"{pools['prefill']}:{pools['decode']} chips, " if pools else ""
    return chips + layout_text(deployment)


def _of_requests() -> Iterator[Field]:
    yield Column("TTFT", right=True), _metric("ttft_s", duration)
    yield Column("TPOT", right=True), _metric("tpot_s", duration)
    yield Column("tok/s", right=True), _metric("output_tokens_per_s", rate)
    yield Column("tok/s/user", right=True), _metric("output_tokens_per_s_per_user", rate)
    yield Column("tok/s/chip", right=True), _metric("output_tokens_per_s_per_chip", rate)
    yield Column("90 % interval", right=True), _interval("output_tokens_per_s_per_chip", rate)
    yield Column("$/Mtok", right=True), _paid("usd_per_million_tokens")
    yield Column("an hour", right=True), _figure("usd_per_hour", usd)
    yield Column("J/token", right=True), _first("system_energy_j_per_token", "energy_j_per_token", show=ratio)
    yield Column("power", right=True), _figure("power_w", lambda value: quantity(value, "W"))
    yield Column("bound"), _bounds


def _of_prompts() -> Iterator[Field]:
    """Requests that generate nothing."""
    yield Column("TTFT", right=True), _metric("ttft_s", duration)
    yield Column("tok/s read", right=True), _metric("total_tokens_per_s", rate)
    yield Column("$/Mtok read", right=True), _paid("usd_per_million_input_tokens")
    yield Column("an hour", right=True), _figure("usd_per_hour", usd)
    yield Column("power", right=True), _figure("power_w", lambda value: quantity(value, "W"))
    yield Column("bound"), _bounds


def _of_run() -> Iterator[Field]:
    yield Column("step", right=True), _metric("step_time_s", duration)
    yield Column("takes", right=True), _metric("time_to_train_s", duration)
    yield Column("90 % interval", right=True), _interval("time_to_train_s", duration)
    yield Column("tok/s/chip", right=True), _metric("tokens_per_s_per_chip", rate)
    yield Column("MFU", right=True), _metric("mfu", percent)
    yield Column("cost", right=True), _paid("cost_usd")
    yield Column("J/token", right=True), _first("system_energy_j_per_token", "energy_j_per_token", show=ratio)
    yield Column("power", right=True), _figure("power_w", lambda value: quantity(value, "W"))
    yield Column("bound"), lambda row: str(row["bounds"]["training"])


def _worth(result: Result) -> Iterator[Field]:
    if result["limits"]:
        yield Column("left of limit", right=True), _margin
    yield Column("evidence"), lambda row: row["evidence"]["calibration"]


def _bounds(row: Result) -> str:
    """What binds each phase, each once; a pause is bound by nothing."""
    return ", ".join(dict.fromkeys(bound for bound in row["bounds"].values() if bound))


def _metric(name: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    return lambda row: show(row["metrics"].get(name))


def _figure(name: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    return lambda row: show(row["figures"].get(name))


def _first(*names: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    """The first metric that is known."""
    return lambda row: show(next((found for name in names if (found := row["metrics"].get(name)) is not None), None))


def _interval(name: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    return lambda row: between(row["metrics"].get(f"{name}_low"), row["metrics"].get(f"{name}_high"), show) or UNKNOWN


def _paid(name: str) -> Callable[[Result], str]:
    """What is paid: rent, or what owning costs where no rent is known, and says so."""

    def show(row: Result) -> str:
        if row["payment"] == "own":
            return f"{usd(row['metrics'].get(f'own_{name}'))} owned"
        return usd(row["metrics"].get(name)) if row["payment"] else UNKNOWN

    return show


def _margin(row: Result) -> str:
    """The limit that is closest."""
    known = [item for item in row["limits"] if item["margin"] is not None]
    if not known:
        return UNKNOWN
    least = min(known, key=lambda item: float(item["margin"]))
    return f"{NAMED[least['limit']]} {percent(least['margin'])}"


def _unsure(result: Result) -> Iterator[Text]:
    """Limits that the intervals of rows reach beyond."""
    for limit in result["limits"]:
        rows = [str(row["rank"]) for row in result["rows"] if _may_break(limit, row)]
        if rows:
            yield Text(
                f"{NAMED[limit['limit']]}: the 90 % interval reaches beyond the limit in {', '.join(rows)}", "quiet"
            )


def _may_break(limit: Result, row: Result) -> bool:
    worst = next(item["worst"] for item in row["limits"] if item["limit"] == limit["limit"])
    return worst is not None and (worst < limit["bound"] if limit["least"] else worst > limit["bound"])


# --- why ----------------------------------------------------------------------------------------------------------


def _because(item: Result, best: Result) -> str:
    """Why the best is better than another: figures, then what they are made of, then where the time differs."""
    name = BY[item["figure"]]
    whom = "the runner-up" if item["against"] == "chip" else "the same chip's next"
    other = f"{whom}, {item['label']} {plan_text(item['plan'])}"
    if item["ratio"] is None:
        head = f"{best['deployment']['label']} before {other}: its {name} is not known"
    else:
        head = f"{best['deployment']['label']} before {other}: {name} {_than(item['ratio'], 'less', 'more')}"
    made = [
        f"{words} {_than(item[key], less, more)}"
        for key, words, less, more in MADE_OF
        if item[key] is not None and abs(item[key] - 1.0) >= TELLING and (key != DRAWN or "joule" in item["figure"])
    ]
    differs = item["differs"]
    if differs and abs(differs["share"] - differs["other_share"]) >= TELLING:
        part = f"{differs['phase']} bound by {differs['bound']}"
        made.append(f"{part} takes {percent(differs['share'])} of its time, {percent(differs['other_share'])} there")
    return f"{head}; {', '.join(made)}" if made else head


def _than(value: float, less: str, more: str) -> str:
    """A ratio in words.

    >>> _than(0.75, "less", "more"), _than(1.1, "less", "more"), _than(1.0, "less", "more")
    ('25.0 % less', '10.0 % more', 'the same')
    """
    if abs(value - 1.0) < 0.0005:
        return "the same"
    return f"{percent(1.0 - value)} {less}" if value < 1.0 else f"{percent(value - 1.0)} {more}"


# --- what was looked at -------------------------------------------------------------------------------------------


def _looked(result: Result) -> Iterator[Part]:
    """How many combinations there were of each chip, and what refused them."""
    names = [item["limit"] for item in result["limits"]]
    yield Heading(f"{count(result['considered'])} combinations looked at, {count(result['feasible'])} feasible")
    columns = [Column("chips"), Column("sizes"), Column("looked at", right=True), Column("no plan", right=True),
               Column("memory", right=True), Column("slower", right=True),
               *(Column(NAMED[name], right=True) for name in names), Column("feasible", right=True)]  # fmt: skip
    rows = [
        [
            item["written"], _sizes(item["sizes"]), count(item["considered"]), count(item["impossible"]),
            count(item["memory"]), count(item["slower"]),
            *(_refused(item["refused"][name]) for name in names), count(item["feasible"]),
        ]
        for item in result["chips"]
    ]  # fmt: skip
    kept = [at for at, column in enumerate(columns)
            if column.head not in ("no plan", "slower") or any(row[at] != "0" for row in rows)]  # fmt: skip
    yield Grid.of([columns[at] for at in kept], [[row[at] for at in kept] for row in rows], turns=True)
    if names:
        yield Text("under a limit: how many that memory holds break it, (how many break nothing else)", "quiet")
    if "slower" in [columns[at].head for at in kept]:
        yield Text("slower: plans that fit beside faster ones on as many chips", "quiet")
    if result["workload"]["kind"] == "serving" and not result["disaggregated"]:
        yield Text("pools apart for prefill and decode were not tried (--disaggregate)", "quiet")
    yield from (Text(f"{item['written']}: {item['why']}", "bad") for item in result["chips"] if item["why"])


def _refused(counts: Result) -> str:
    alone = f" ({count(counts['alone'])})" if counts["refused"] else ""
    return f"{count(counts['refused'])}{alone}"


def _sizes(sizes: Sequence[int]) -> str:
    """Numbers of chips that were tried.

    >>> _sizes([1, 2, 4]), _sizes([2, 4, 8, 16, 32, 64]), _sizes([])
    ('1, 2, 4', '2, 4 … 64', '-')
    """
    if not sizes:
        return UNKNOWN
    told = [count(size) for size in sizes]
    return ", ".join(told) if len(told) <= 4 else f"{told[0]}, {told[1]} … {told[-1]}"


# --- the frontier -------------------------------------------------------------------------------------------------


def _frontier(result: Result, *, all_rows: bool) -> Iterator[Part]:
    """What each chip trades; a few points of it unless all are asked for."""
    traded = [item for item in result["frontier"] if item["points"]]
    if not traded:
        return
    yield Heading("tokens/s for a user against tokens/s of a chip: nothing else is better in both")
    fields: list[Field] = [
        (Column("requests", right=True), lambda point: count(point["batch"])),
        (Column("chips", right=True), lambda point: count(point["num_chips"])),
        (Column("plan"), _pools),
        (Column("TTFT", right=True), lambda point: duration(point["ttft_s"])),
        (Column("TPOT", right=True), lambda point: duration(point["tpot_s"])),
        (Column("tok/s/user", right=True), lambda point: rate(point["tokens_per_s_per_user"])),
        (Column("tok/s/chip", right=True), lambda point: rate(point["tokens_per_s_per_chip"])),
    ]
    if len({point["weights"] for item in traded for point in item["points"]}) > 1:
        fields.insert(3, (Column("weights"), lambda point: point["weights"]))
    if result["limits"]:
        fields.append(
            (Column("limits"), lambda point: Cell("kept", "good") if point["kept"] else Cell("broken", "bad"))
        )
    rows = [
        [item["written"], *(show(point) for _, show in fields)]
        for item in traded
        for point in (item["points"] if all_rows else spread(item["points"], FEW))
    ]
    left = sum(len(item["points"]) for item in traded) - len(rows)
    yield Grid.of([Column("chips"), *(column for column, _ in fields)], rows, turns=True)
    if left:
        yield Text(f"{count(left)} more between them (--all)", "quiet")


def _kept(point: Result) -> Cell:
    return Cell("kept", "good") if point["kept"] else Cell("broken", "bad")


def spread(points: Sequence[Any], most: int) -> list[Any]:
    """So many points evenly spread, both ends among them.

    >>> spread([1, 2, 3, 4, 5], 3), spread([1], 3)
    ([1, 3, 5], [1])
    """
    if len(points) <= most:
        return list(points)
    return [points[round(at * (len(points) - 1) / (most - 1))] for at in range(most)]


# --- how to start it ----------------------------------------------------------------------------------------------


def _launch(launch: Result | None) -> Iterator[Part]:
    """The command of each part of the best deployment, and what it leaves to say."""
    if not launch:
        return
    yield Heading(f"how {launch['name']} starts it")
    for part in launch["commands"]:
        if part["what"]:
            yield Text(part["what"])
        yield Drawing(tuple(part["lines"]))
    yield from (Text(f"note: {note}", "quiet") for note in launch["notes"])
