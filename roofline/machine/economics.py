"""What an hour of hardware costs besides its price: every assumption behind a cost, with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from roofline.machine.chip import Price
from roofline.numeric import Num
from roofline.source import Source

CHIP, SERVER, RACK = COVERS = ("chip", "server", "rack")  # what a purchase price pays for, divided by its chips


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """What somebody asks for a token [USD]: read, read from a cache (None: as any other that is read), written."""

    input: Num
    output: Num
    cached: Num | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """Assumptions, each of which may be an array.

    `electricity` [USD/J] is paid for all that the site draws: what chips and hosts draw times `pue`. `hosting`
    [USD/(W·s)] is the rent of a room for each watt that is provided for. Hardware is written off over `amortisation`
    [s] down to a share `residual` of what it cost, at an `interest` [1/year]; `maintenance` [1/year] is a share of what
    it cost, `people` [USD/s] the pay for each chip, None if nobody is counted. `server` is what servers cost over the
    price of their chips, `network` what servers with a network cost over servers alone. `owned` and `rented` are the
    shares of its hours for which hardware that is owned, or paid for by the hour, does the work that is predicted.
    `requests` are those of one user in a month. `tokens` are prices to be compared with instead of the market's,
    `prices` those of chips that come before what their files state.
    """

    id: str
    name: str
    electricity: Num
    pue: Num
    hosting: Num
    amortisation: Num
    residual: Num
    interest: Num
    maintenance: Num
    server: Num
    network: Num
    owned: Num
    rented: Num
    requests: Num
    people: Num | None = None
    tokens: TokenPrices | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)

    def price(self, chip: str, known: Price) -> Price:
        """The price of a chip of that id: what is stated here comes before what is known."""
        stated = self.prices.get(chip)
        return known if stated is None else stated.over(known)

    def beyond_chips(self, covers: str) -> Num:
        """What servers on a network cost over a purchase price that covers so much of them."""
        multiples: Mapping[str, Num] = MappingProxyType({CHIP: self.server * self.network, SERVER: self.network})
        return multiples.get(covers, 1.0)
