"""On what terms chips are had: rented by the hour, owned, or lent by a partner. Every bill is linear in the price."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from roofline.engine import cost
from roofline.machine import Chip, Economics
from roofline.numeric import Num
from roofline.units import HOUR, YEAR
from roofline.workload.need import PlaceName

PriceOf = Literal["hour", "purchase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a fleet is billed for: `per_price` times the price of each chip, and beside it `chip` [USD/s] for each,
    `watt` [USD/s] for each watt that is provided for, `joule` [USD] for each joule that is drawn.

    `elastic` chips are paid for while they run, power included, others all the time. `price` is that of an hour
    [USD/h] or a purchase [USD], None where nobody states one.
    """

    price: Num | None
    price_of: PriceOf
    per_price: Num
    elastic: bool = False
    chip: Num = 0.0
    watt: Num = 0.0
    joule: Num = 0.0

    def bill(self, chips: Num, running: Num, watts: Num, provided: Num) -> tuple[Num, Num]:
        """`(beside, slope)` [USD/s] of so many chips, of which so many run, that draw so many watts, in a room for so
        many: the bill is `beside + slope·price`."""
        held = running if self.elastic else chips
        power = 0.0 if self.elastic else self.watt * provided + self.joule * watts
        return self.chip * held + power, self.per_price * held


@dataclass(frozen=True, eq=False, kw_only=True)
class Billed:
    """What costs `beside + slope·price` on its terms, in USD (a run) or USD/s (a fleet), whether or not a price is
    known; NaN where the power of what is owned is not."""

    terms: Terms
    beside: float
    slope: float

    @property
    def bill(self) -> float:
        """The bill; NaN where no price is known."""
        return math.nan if self.terms.price is None else self.beside + self.slope * float(self.terms.price)

    @property
    def usd(self) -> float | None:
        """The bill; None where no price is known."""
        return self.bill if math.isfinite(self.bill) else None

    def price_for(self, usd: float) -> float:
        """The price of a chip at which the bill is so much; below zero: never."""
        return (usd - self.beside) / self.slope


def hourly(price: Num | None) -> Terms:
    """Chips that are rented while they run; power and room are in the price."""
    return Terms(price=price, price_of="hour", per_price=1.0 / HOUR, elastic=True)


def owned(chip: Chip, economics: Economics) -> Terms:
    """Chips that are bought: capital and maintenance of servers on a network, people, a room, electricity."""
    invested = economics.beyond_chips(chip.price.covers)
    return Terms(
        price=chip.price.purchase,
        price_of="purchase",
        per_price=(cost.capital(1.0, economics) + economics.maintenance / YEAR) * invested,
        chip=0.0 if economics.people is None else economics.people,
        watt=economics.hosting,
        joule=economics.electricity * economics.pue,
    )


def at(place: PlaceName, chip: Chip, economics: Economics) -> Terms:
    """The terms of a place."""
    return hourly(chip.price.hourly) if place == "cloud" else owned(chip, economics)
