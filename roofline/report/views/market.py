"""The view of costs beside the market's prices: by kind of machine, then model by model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, duration, percent, ratio, usd
from roofline.report.views import economics

Result = Mapping[str, Any]
KINDS: Mapping[str, str] = MappingProxyType({"gpu": "GPU", "lpu": "LPU", "wafer": "wafer", "rdu": "RDU"})


def view(result: Result, *, costs: bool = False, **_: Any) -> Document:
    """The whole report; `costs` adds the sources of assumptions."""
    return tuple(_parts(result, costs))


def _parts(result: Result, at_length: bool) -> Iterator[Part]:
    rows = result["rows"]
    lengths = f"{count(result['input_len'])} tokens in, {count(result['output_len'])} out"
    yield Heading(f"what the market asks for requests like those of {result['like']} ({lengths}), beside their cost")
    yield _by_kind(result["summary"])
    for kind in result["summary"]:
        yield Text(_told(kind, rows))
    yield Text(
        "a price is no cost: margins, subsidies, discounts, idle hours and what each provider really runs are in it, "
        "and can't be told apart by it; chips are assumed where no provider names its own, formats are those of the "
        "workload, and each point is the best that was found, so costs are near the least possible",
        "quiet",
    )
    yield _models(rows)
    if any(not row["keeps_service_level"] for row in rows):
        yield Text("*: no number of requests at once keeps the service level; one request is shown", "quiet")
    yield from _skipped(result["skipped"])
    yield economics.table(result["assumptions"]) if at_length else economics.line(result["assumptions"])


def _by_kind(summary: Sequence[Result]) -> Grid:
    columns = (
        Column("machines"),
        Column("chips"),
        *(Column(head, right=True) for head in ("models", "offers", "price/rented", "price/owned")),
        *(Column(head, right=True) for head in ("rent of a chip", "rent that prices pay", "TPOT")),
    )
    body = [
        (
            KINDS[row["kind"]],
            ", ".join(row["chips"]),
            count(row["models"]),
            count(row["offers"]),
            ratio(row["market_over_rent"]),
            ratio(row["market_over_own"]),
            usd(row["hourly_usd"]),
            usd(row["break_even_hourly_usd"]),
            duration(row["tpot_s"]),
        )
        for row in summary
    ]
    return Grid.of(columns, body)


def _told(kind: Result, rows: Sequence[Result]) -> str:
    """What lies between price and cost, as far as anybody can say."""
    name, chips = KINDS[kind["kind"]], ", ".join(kind["chips"])
    use = next(row["utilization"] for row in rows if row["kind"] == kind["kind"])
    middle = f", in the middle of {count(kind['models'])} models" if kind["models"] > 1 else ""
    own, rent = kind["market_over_own"], kind["market_over_rent"]
    if own is None and rent is None:
        pays = usd(kind["break_even_hourly_usd"])
        return f"{name}: no price of {chips} is known; the market's prices pay for {pays} an hour of a chip{middle}"
    told = f"{name}: prices are {ratio(own if own is not None else rent)} times the cost of chips that are "
    told += f"{'owned' if own is not None else 'rented'} and work {percent(use)} of the time{middle}"
    if own is not None and rent is not None:
        told += f", and {ratio(rent)} times that of renting them around the clock at list prices"
    return f"{told}: {_why(own if own is not None else rent, rent)}"


def _why(most: float, rent: float | None) -> str:
    """What can explain such a ratio; which of these it is prices do not say."""
    if most < 1.0:
        return (
            "whoever sells so pays less for chips than their list price (a maker its own), fills them better than is "
            "assumed, saves work by prefix caches and drafted tokens, or sells below cost"
        )
    if rent is not None and rent < 1.0:
        return (
            "providers own chips or rent them below list prices; above owning there is room for idle hours and margin"
        )
    return "there is room for idle hours, smaller batches and margin"


def _models(rows: Sequence[Result]) -> Grid:
    columns = (
        Column("model"),
        Column("machines"),
        *(Column(head, right=True) for head in ("at once", "TPOT", "rented in", "out", "owned in", "out")),
        *(
            Column(head, right=True)
            for head in ("price in", "out", "offers", "price/rented", "price/owned", "pays $/h")
        ),
        Column("evidence"),
    )
    return Grid.of(columns, [_model(row) for row in rows])


def _model(row: Result) -> tuple[str, ...]:
    prices = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
    return (
        row["model"],
        f"{count(row['num_chips'])}x{row['chip']}{'' if row['keeps_service_level'] else '*'}",
        count(row["batch"]),
        duration(row["tpot_s"]),
        *(usd(row[f"{of}{price}"]) for of in ("", "own_", "market_") for price in prices),
        count(row["offers"]),
        ratio(row["market_over_rent"]),
        ratio(row["market_over_own"]),
        usd(row["break_even_hourly_usd"]),
        row["evidence"] or UNKNOWN,
    )


def _skipped(skipped: Sequence[Result]) -> Iterator[Part]:
    reasons = Counter(f"{item['id']}: {item['reason']}" for item in skipped)
    if reasons:
        yield Grid.of((Column("left out because", wraps=True),), [(reason,) for reason in reasons])
