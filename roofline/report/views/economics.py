"""What a prediction costs, in tables and sentences: rented, owned, at the market's price, and where these are equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roofline.report.document import Column, Grid, Part, Text
from roofline.report.human import UNKNOWN, many, percent, usd

Result = Mapping[str, Any]

# What is paid for: name of its metric for rented chips (`own_` before it for owned ones), in words.
_BILL = (
    ("usd_per_million_tokens", "million tokens, all counted"),
    ("usd_per_million_input_tokens", "million tokens read"),
    ("usd_per_million_output_tokens", "million tokens written"),
    ("usd_per_request", "request"),
    ("usd_per_user_month", "user for a month"),
    ("cost_usd", "the run"),
)
_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "capital": "hardware, written off",
        "maintenance": "maintenance",
        "hosting": "room",
        "people": "people",
        "electricity": "electricity",
    }
)
COVERS: Mapping[str, str] = MappingProxyType(
    {"server": " with its share of a server", "rack": " with its share of a rack"}
)


def parts(result: Result, *, at_length: bool = False, option: str = "--costs") -> Iterator[Part]:
    """The bill, where costs are equal, what it all rests on; `at_length` with the parts of owning and all sources, else
    with the `option` that tells them."""
    economics = result.get("economics")
    if economics is None:
        return
    yield _bill(result["metrics"], economics)
    if at_length and economics["own"]:
        yield _owning(economics["own"])
    yield from (Text(text) for text in _sentences(economics))
    if at_length:
        yield prices([result])
        yield table(result["assumptions"])
    else:
        yield line(result.get("assumptions"), option)


def _bill(metrics: Result, economics: Result) -> Grid:
    """What one of each costs."""
    market, own = economics["market"] or {}, economics["own"] or {}
    asked = {"usd_per_request": market.get("usd_per_request")}
    rows = [("hour of work", usd(economics["rent_usd_per_hour"]), usd(own.get("usd_per_hour")), "")]
    rows += [
        (name, usd(metrics.get(key)), usd(metrics.get(f"own_{key}")), usd(asked[key]) if asked.get(key) else "")
        for key, name in _BILL
        if metrics.get(key) is not None or metrics.get(f"own_{key}") is not None or asked.get(key)
    ]
    columns = [Column("cost of one"), *(Column(head, right=True) for head in ("rented", "owned", "market's price"))]
    return Grid.of(columns, rows) if market else Grid.of(columns[:3], [row[:3] for row in rows])


def _owning(own: Result) -> Grid:
    """What an hour of work of owned hardware is made of."""
    known = [(name, own[f"{part}_usd_per_hour"]) for part, name in _PARTS.items() if own[f"{part}_usd_per_hour"]]
    rows = [(name, usd(value), percent(value / own["usd_per_hour"])) for name, value in known]
    head = f"owned for {usd(own['investment_usd'])}, at work {percent(own['utilization'])} of the time"
    return Grid.of((Column(head), Column("hour of work", right=True), Column("share", right=True)), rows)


def _sentences(economics: Result) -> Iterator[str]:
    """Where costs are equal, and what is not known."""
    equal, market, price = economics["break_even"], economics["market"], economics["price"]
    if market:
        asks = "the stated price of tokens asks" if market["stated"] else "the market asks"
        yield f"{asks} {usd(market['usd_per_request'])} for such a request: {_offers(market)}"
    told = (
        ("own_rent", "owning", "renting for the hours of work"),
        ("own_market", "owning", "what the market asks"),
        ("rent_market", "renting around the clock", "what the market asks"),
    )
    for key, one, other in told:
        if equal[key] is not None:
            yield _equal(equal[key], one, other)
    if price["hourly_usd"] is None:
        yield "no rent of this chip is known" + _worth(equal, "hourly", "an hour")
    if price["purchase_usd"] is None:
        yield "no purchase price of this chip is known" + _worth(equal, "purchase", "to buy")
    elif economics["own"] is None:
        yield f"what owning costs is not known: {economics['why_not_owned']}"


def _offers(market: Result) -> str:
    first, last = market["first_date"][:7], market["last_date"][:7]
    when = first if first == last else f"{first} to {last}"
    span = f"from {usd(market['usd_per_request_low'])} to {usd(market['usd_per_request_high'])}"
    return f"the middle of {market['offers']} offers {span}, {when}" if market["offers"] > 1 else f"one offer, {when}"


def _equal(point: Result, one: str, other: str) -> str:
    """From which share of the time on one is cheaper than the other."""
    if point["utilization"] is None:
        return f"{one} is never cheaper than {other}"
    tokens = f", {many(point['tokens_per_month'])} tokens a month" if point["tokens_per_month"] else ""
    return f"{one} is cheaper than {other} from {percent(point['utilization'])} of the time on{tokens}"


def _worth(equal: Result, kind: str, what: str) -> str:
    """What a chip without a price may cost at the market's price."""
    found = equal["at_market_price"]
    if not found:
        return ""
    value = found[f"{kind}_usd"]
    if value is None:
        return f"; at the market's price: {found['why_no_purchase']}"
    return f"; at {usd(value)} {what} it would cost what the market asks"


def line(assumptions: Result | None, option: str = "--costs") -> Text:
    """Every assumption in a sentence, and the `option` that tells where they come from."""
    values = assumptions["values"] if assumptions else []
    told = ", ".join(f"{item['name']} {item['text']}" for item in values)
    name = assumptions["id"] if assumptions else ""
    return Text(f"costs rest on ({name}): {told}; {option} tells the sources", "quiet")


def table(assumptions: Result) -> Grid:
    """Every assumption with its source."""
    rows = [
        (item["name"], item["text"], f"{item['source'] or UNKNOWN}{_dated(item['date'])}")
        for item in assumptions["values"]
    ]
    return Grid.of((Column(f"assumption ({assumptions['id']})"), Column("value"), Column("source", wraps=True)), rows)


def prices(results: Sequence[Result]) -> Grid:
    """What each chip costs, and who says so."""
    rows: dict[tuple[str, str], tuple[str, str, str]] = {}
    for result in results:
        price, chip = result["economics"]["price"], result["deployment"]["chip"]
        for kind, what in (("hourly", "an hour"), ("purchase", "to buy")):
            if price[f"{kind}_usd"] is not None:
                more = COVERS.get(price["covers"] or "", "") if kind == "purchase" else ""
                said = f"{price[f'{kind}_source'] or UNKNOWN}{_dated(price[f'{kind}_date'])}"
                rows[chip, kind] = (f"{chip}, {what}", f"{usd(price[f'{kind}_usd'])}{more}", said)
    return Grid.of((Column("price of one chip"), Column("value"), Column("source", wraps=True)), list(rows.values()))


def _dated(date: str | None) -> str:
    return f" ({date})" if date else ""


def beside(rows: Sequence[Result], *, at_length: bool = False) -> Iterator[Text]:
    """At which price chips would cost as much as the cheapest: of those that lack one, `at_length` of all."""
    for kind, paid in (("hourly", "an hour"), ("purchase", "to buy")):
        for row in rows:
            economics = row.get("economics") or {"break_even": {}}
            found = economics["break_even"].get("at_cheapest", {}).get(kind)
            if found and (at_length or economics["price"][f"{kind}_usd"] is None):
                yield Text(_equal_price(row, found, kind, paid))


def _equal_price(row: Result, found: Result, kind: str, paid: str) -> str:
    """What one chip may cost, beside what it does cost."""
    known = row["economics"]["price"][f"{kind}_usd"]
    cheapest = f"{found['against']}, the cheapest that is {'rented' if kind == 'hourly' else 'owned'}"
    head = row["deployment"]["label"]
    if known is None:
        head += f": no {'rent' if kind == 'hourly' else 'purchase price'} of the chip is known"
    else:
        head += f": a chip is {usd(known)} {paid}"
    if found["usd"] is None:
        return f"{head}; beside {cheapest}: {found['why']}"
    return f"{head}; at {usd(found['usd'])} {paid} it would cost as much as {cheapest}"
