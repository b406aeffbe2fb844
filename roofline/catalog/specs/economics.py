"""The file of assumptions behind costs: each number with its source, and prices of chips where a user has others."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from roofline import units
from roofline.catalog.fields import (
    AtLeastOne,
    BelowOne,
    Count,
    EnergyPrice,
    Fraction,
    HourlyPrice,
    Period,
    PowerRent,
    TokenPrice,
    YearlyRate,
)
from roofline.catalog.specs.chip import PriceSpec
from roofline.catalog.specs.common import Id, Identified, Sourced, join_sources
from roofline.machine import Economics, TokenPrices


class ElectricitySpec(Sourced):
    """Price of electricity."""

    value: EnergyPrice


class MultipleSpec(Sourced):
    """How many times as much as something else: at least 1."""

    value: AtLeastOne


class HostingSpec(Sourced):
    """Rent of a room with power and cooling, for each kilowatt that is provided for; 0 where the room is one's own."""

    value: PowerRent


class LifeSpec(Sourced):
    """Time over which hardware is written off."""

    value: Period


class ResidualSpec(Sourced):
    """What it is worth then, as a share of what it cost."""

    value: BelowOne


class RateSpec(Sourced):
    """A share for each year."""

    value: YearlyRate


class PeopleSpec(Sourced):
    """Pay of those who run so many chips."""

    value: HourlyPrice
    chips: Count


class UseSpec(Sourced):
    """Share of its hours for which hardware that is owned, or paid for by the hour, does the work that is predicted."""

    value: Fraction


class UserSpec(Sourced):
    """Requests of one user in a month."""

    requests: Count


class TokensSpec(Sourced):
    """Prices of tokens to be compared with: what a provider asks of the user."""

    input: TokenPrice
    output: TokenPrice
    cached: TokenPrice | None = None


class EconomicsSpec(Identified):
    """Assumptions behind costs (see `roofline.machine.Economics`)."""

    electricity: ElectricitySpec
    pue: MultipleSpec
    hosting: HostingSpec
    amortisation: LifeSpec
    residual: ResidualSpec
    interest: RateSpec
    maintenance: RateSpec
    server: MultipleSpec
    network: MultipleSpec
    utilization: UseSpec
    rented_utilization: UseSpec
    user: UserSpec
    people: PeopleSpec | None = None
    tokens: TokensSpec | None = None
    prices: Mapping[Id, PriceSpec] = Field(default_factory=dict)

    def numbers(self) -> dict[str, str]:
        """Dotted path of each group of numbers to its `source:` value."""
        groups: dict[str, Sourced | None] = {
            "electricity": self.electricity,
            "pue": self.pue,
            "hosting": self.hosting,
            "amortisation": self.amortisation,
            "residual": self.residual,
            "interest": self.interest,
            "maintenance": self.maintenance,
            "server": self.server,
            "network": self.network,
            "utilization": self.utilization,
            "rented_utilization": self.rented_utilization,
            "user": self.user,
            "people": self.people,
            "tokens": self.tokens,
        }
        for chip, price in self.prices.items():
            groups |= {f"prices.{chip}.purchase": price.purchase, f"prices.{chip}.hourly": price.hourly}
        return {path: group.source for path, group in groups.items() if group is not None}

    def build(self) -> Economics:
        """The plain object."""
        people, tokens = self.people, self.tokens
        return Economics(
            id=self.id,
            name=self.name,
            electricity=self.electricity.value,
            pue=self.pue.value,
            hosting=self.hosting.value,
            amortisation=self.amortisation.value,
            residual=self.residual.value,
            interest=self.interest.value,
            maintenance=self.maintenance.value,
            server=self.server.value,
            network=self.network.value,
            owned=self.utilization.value,
            rented=self.rented_utilization.value,
            requests=float(self.user.requests),
            people=people.value / units.HOUR / people.chips if people else None,
            tokens=TokenPrices(input=tokens.input, output=tokens.output, cached=tokens.cached) if tokens else None,
            prices={chip: price.build() for chip, price in self.prices.items()},
            sources={path: join_sources(key, self.sources) for path, key in self.numbers().items()},
        )
