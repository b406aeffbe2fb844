"""What providers ask for tokens of a model: the market's prices, which are no one's costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from roofline.catalog import reading
from roofline.catalog.store import builtin
from roofline.errors import Finding, SpecError, did_you_mean
from roofline.machine import TokenPrices
from roofline.source import Source
from roofline.workload import Serving

MILLION = 1e6
KINDS: Mapping[str, str] = {"gpu": "GPU", "lpu": "LPU", "wafer": "wafer", "rdu": "RDU"}
NAMES, PRICES = ("id", "provider", "kind", "model"), ("input_usd_per_mtok", "output_usd_per_mtok")
CACHED = "cached_usd_per_mtok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One price list's line: USD for each token that is read, read from a cache (None where nothing is said), written.

    `kind` is that of the machines (a key of `KINDS`), `chip` the very one where the provider has no other.
    """

    id: str
    provider: str
    kind: str
    chip: str
    model: str
    input: float
    cached: float | None
    output: float
    date: str
    source: str

    def request(self, serving: Serving) -> float:
        """USD for one request: tokens of its first prompt that are found in a cache are charged as such."""
        found = float(serving.reused)
        read = float(serving.input_len) - found
        return (
            read * self.input
            + found * (self.input if self.cached is None else self.cached)
            + (float(serving.output_len) * self.output)
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """What the market asks for one request: the lowest, the middle and the highest of so many offers, and when."""

    low: float
    middle: float
    high: float
    offers: int
    first: str
    last: str


def quote(offers: Sequence[Offer], serving: Serving) -> Quote | None:
    """The market's price of a request of that model; None where nobody offers it."""
    found = [offer for offer in offers if offer.model == serving.model.id]
    prices = [offer.request(serving) for offer in found]
    if not prices:
        return None
    dates = sorted(offer.date for offer in found)
    return Quote(min(prices), median(prices), max(prices), len(prices), dates[0], dates[-1])


def stated(prices: TokenPrices, source: Source, model: str) -> Offer:
    """Prices of tokens that assumptions name, as an offer of a model."""
    return Offer(
        id="stated",
        provider="stated",
        kind="",
        chip="",
        model=model,
        input=float(prices.input),
        cached=None if prices.cached is None else float(prices.cached),
        output=float(prices.output),
        date=source.date,
        source=source.title,
    )


def shipped() -> Path:
    """The prices that ship with the library."""
    return builtin("workloads") / "market" / "api.csv"


def read(path: Path) -> list[Offer]:
    """A CSV of prices; `SpecError` with every missing column and every cell that is no price."""
    columns, rows = reading.table(path)
    missing = [column for column in (*NAMES, *PRICES) if column not in columns]
    if missing:
        raise SpecError([_missing(path, column, columns) for column in missing])
    faults = [fault for line, row in enumerate(rows, start=2) for fault in _faults(path, line, row)]
    if faults:
        raise SpecError(faults)
    return [_offer(row) for row in rows]


def _offer(row: Mapping[str, str | None]) -> Offer:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    return Offer(
        id=cell("id"),
        provider=cell("provider"),
        kind=cell("kind"),
        chip=cell("chip"),
        model=cell("model"),
        input=float(cell(PRICES[0])) / MILLION,
        cached=float(cell(CACHED)) / MILLION if cell(CACHED) else None,
        output=float(cell(PRICES[1])) / MILLION,
        date=cell("date"),
        source=cell("source"),
    )


def _missing(path: Path, column: str, columns: Sequence[str]) -> Finding:
    near = did_you_mean(column, columns, most=1)
    return Finding(str(path), column, "missing column" + (f"; is it {near}?" if near else ""), 1, 1)


def _faults(path: Path, line: int, row: Mapping[str, str | None]) -> Iterator[Finding]:
    for column in NAMES:
        if not (row.get(column) or "").strip():
            yield Finding(str(path), column, "missing", line)
    kind = (row.get("kind") or "").strip()
    if kind and kind not in KINDS:
        near = did_you_mean(kind, KINDS, most=1)
        hint = f"; did you mean {near}?" if near else f"; one of {', '.join(KINDS)}"
        yield Finding(str(path), "kind", f"no kind of machines {kind!r}{hint}", line)
    for column in (*PRICES, CACHED):
        text = (row.get(column) or "").strip()
        if text or column != CACHED:
            yield from _price_faults(path, line, column, text)


def _price_faults(path: Path, line: int, column: str, text: str) -> Iterator[Finding]:
    try:
        fine = 0.0 < float(text) < math.inf
    except ValueError:
        fine = False
    if not fine:
        yield Finding(str(path), column, f"must be a positive number of USD, got {text!r}", line)
