"""Money: what chips cost that are rented by the hour or owned, for each token, request, user and run.

Rented chips cost their rent while they are paid for. Owned ones cost their price, written off over their life, their
upkeep and their room whether they work or not, and electricity: busy while they work, at rest otherwise. Who owns
hardware that works a share `u` of its time pays for the rest of it too, so that a second of work costs
`(fixed + u·busy + (1 − u)·idle)/u`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.machine import Chip, Economics
from roofline.numeric import LEAST, Num
from roofline.units import HOUR, YEAR

MILLION = 1e6


# --- rent -----------------------------------------------------------------------------------------------------------


def usd_per_second(chip: Chip, num_chips: Num) -> Num | None:
    """Rent of all chips [USD/s]; None where no rent is known."""
    return None if chip.price.hourly is None else chip.price.hourly * num_chips / HOUR


def rent(chip: Chip, num_chips: Num, economics: Economics | None) -> Num | None:
    """Rent for each second in which chips work [USD/s]: also of what is paid for while there is nothing to do."""
    paid = usd_per_second(chip, num_chips)
    return paid if paid is None or economics is None else paid / economics.rented


def usd_per_million(rent: Num | None, tokens_per_s: Num) -> Num | None:
    """USD for a million tokens at that rate."""
    return None if rent is None else rent / tokens_per_s * MILLION


# --- own ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Owned:
    """What owned hardware costs: `investment` [USD], and each second [USD/s] its capital, upkeep, room and people,
    always due, and the electricity of a second at work (`busy`) or without work (`idle`)."""

    investment: Num
    capital: Num
    maintenance: Num
    hosting: Num
    people: Num
    busy: Num
    idle: Num

    @property
    def fixed(self) -> Num:
        """USD/s that are due whether it works or not."""
        return self.capital + self.maintenance + self.hosting + self.people

    def electricity(self, use: Num) -> Num:
        """USD for each second of work, if it works that share of the time."""
        return (use * self.busy + (1.0 - use) * self.idle) / use

    def per_work_second(self, use: Num) -> Num:
        """USD for each second of work, if it works that share of the time (above 0)."""
        return self.fixed / use + self.electricity(use)


def capital(investment: Num, economics: Economics) -> Num:
    """What an investment costs each second until it is written off [USD/s].

    Capital recovery: equal payments at the end of each of n years, `(P − S/(1+i)^n) · i/(1 − (1+i)^−n)`, which is the
    straight line `(P − S)/n` without interest. The formula is that of engineering economy (A/P, with salvage S).
    """
    years, rate = economics.amortisation / YEAR, economics.interest
    growth = np.log1p(rate)
    recovery = np.where(np.greater(rate, 0.0), rate / np.maximum(-np.expm1(-years * growth), LEAST), 1.0 / years)
    lost = 1.0 - economics.residual * np.exp(-years * growth)
    return investment * lost * recovery / YEAR


def investment(chip: Chip, num_chips: Num, economics: Economics) -> Num | None:
    """Price of so many chips in servers on a network [USD]; None where no purchase price is known."""
    price = chip.price
    return None if price.purchase is None else price.purchase * economics.beyond_chips(price.covers) * num_chips


def own(chip: Chip, num_chips: Num, economics: Economics, power: Num | None, system: Num | None = None) -> Owned | None:
    """What it costs to own chips that draw `power` [W] at work, `system` with their hosts; None where no purchase price
    or no power is known."""
    bought = investment(chip, num_chips, economics)
    return None if bought is None else upkeep(chip, num_chips, economics, bought, power, system)


def upkeep(
    chip: Chip, num_chips: Num, economics: Economics, bought: Num, power: Num | None, system: Num | None = None
) -> Owned | None:  # fmt: skip
    """What it costs to own chips that were `bought` for so much [USD]; None where their power is not known.

    A room is rented for the most that they may draw: chips their TDP, hosts what they draw.
    """
    if power is None:
        return None
    drawn = power if system is None else system
    hosts = drawn - power
    most = (power if chip.tdp is None else np.maximum(chip.tdp * num_chips, power)) + hosts
    rest = drawn if chip.idle is None else np.minimum(chip.idle * num_chips, power) + hosts
    paid = economics.pue * economics.electricity
    return Owned(
        investment=bought,
        capital=capital(bought, economics),
        maintenance=bought * economics.maintenance / YEAR,
        hosting=most * economics.hosting,
        people=0.0 if economics.people is None else economics.people * num_chips,
        busy=drawn * paid,
        idle=rest * paid,
    )


# --- where costs are equal ------------------------------------------------------------------------------------------


def break_even_utilization(owned: Owned, rate: Num) -> Num:
    """Share of its time from which on owned hardware is cheaper than `rate` [USD for each second of work]; NaN where it
    never is.

    `fixed + u·busy + (1 − u)·idle = u·rate`.
    """
    saved = rate - (owned.busy - owned.idle)
    share = (owned.fixed + owned.idle) / np.where(np.greater(saved, 0.0), saved, np.nan)
    return np.where(np.less_equal(share, 1.0), share, np.nan)


def break_even_hourly(target: Num, num_chips: Num, economics: Economics) -> Num:
    """Rent of a chip [USD/h] at which a second of work costs `target` [USD]."""
    return target * economics.rented / num_chips * HOUR


def break_even_purchase(
    target: Num, chip: Chip, num_chips: Num, economics: Economics, power: Num | None, system: Num | None = None
) -> Num | None:  # fmt: skip
    """Purchase price of a chip [USD] at which a second of work costs `target` [USD] where it is owned; NaN where it
    would have to be less than nothing, None where its power is not known. It covers what the chip's known price covers.

    All that owning costs is linear in the price: what a free chip costs, and what one dollar more adds.
    """
    free = upkeep(chip, num_chips, economics, 0.0, power, system)
    if free is None:
        return None
    dollar = (capital(1.0, economics) + economics.maintenance / YEAR) / economics.owned
    left = (target - free.per_work_second(economics.owned)) / dollar
    price = left / num_chips / economics.beyond_chips(chip.price.covers)
    return np.where(np.greater_equal(price, 0.0), price, np.nan)
