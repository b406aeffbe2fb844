"""Fields of prices, of the economics of a deployment, and of needs, as words."""

from __future__ import annotations

from roofline.machine import Economics, Price
from roofline.studies import assumptions, words
from roofline.studies.words import Fields
from roofline.units import MONTH
from roofline.units import show as in_units
from roofline.workload.need import Need


def economics_fields(economics: Economics) -> Fields:
    """What is assumed of money, and prices at a market."""
    for item in assumptions.told(economics):
        yield item["key"], f"{item['text']} ({item['name']})"
    for chip, price in economics.prices.items():
        for key, text in price_fields(price):
            yield key.replace("price", f"prices.{chip}", 1), text


def price_fields(price: Price) -> Fields:
    """What a chip costs, bought and rented."""
    yield "price.purchase", _bought(price)
    yield "price.hourly", words.amount(price.hourly, "USD/h")


def _bought(price: Price) -> str | None:
    """The purchase price, with what it covers beside the chip."""
    more = {"server": ", its share of a server with it", "rack": ", its share of a rack with it"}.get(price.covers, "")
    return None if price.purchase is None else f"{float(price.purchase):,.0f} USD{more}"


def need_fields(need: Need) -> Fields:
    """What is served and trained, where, and within which limits."""
    for number, demand in enumerate(need.demands):
        peak = f", {demand.peak / demand.mean:.3g} times as many at the peak" if demand.peak > demand.mean else ""
        yield f"need.serving.{number}", f"{demand.name}: {demand.mean * MONTH:,.0f} requests a month{peak}"
    for number, run in enumerate(need.runs):
        yield f"need.training.{number}", f"{run.name}: within {run.within / 86400.0:,.3g} days"
    for place in need.places:
        away = f"{in_units(place.network, 's')} away"
        power = f", {in_units(place.power, 'W')} each" if place.power is not None else ""
        yield f"need.places.{place.name}", f"{place.sites:,} sites, {away}{power}"
    yield "need.chips", ", ".join(need.chips) if need.chips else None
    yield "need.budget", None if need.budget is None else f"{need.budget * MONTH:,.0f} USD a month"
    yield "need.power", words.amount(need.power, "W")
    yield "need.assumptions", need.assumptions
