"""What a prediction costs, rented, owned or bought by the token, and where two of these are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roofline.engine import billing, cost
from roofline.engine.cost import Owned
from roofline.engine.prediction import Prediction
from roofline.machine import Chip, Economics
from roofline.numeric import Num
from roofline.studies import assumptions, offers
from roofline.studies.offers import Quote
from roofline.studies.plain import number
from roofline.units import HOUR, MONTH
from roofline.workload import Serving

POINTS, LEAST_USE = 40, 0.05  # of a curve over utilisation
ENDS = ("_low", "", "_high")
MILLION = 1e6
NO_PRICE, NO_POWER = "no purchase price is known", "its power is not known"
NO_ASSUMPTIONS, NOT_FREE = "nothing is assumed", "even for nothing it would cost more"


def block(result: Prediction) -> dict[str, Any] | None:
    """Prices, rent, the parts of what owning costs or why they are not known, the market's price of such requests, and
    where these are equal; None without assumptions."""
    deployment = result.deployment
    economics, chip, chips = deployment.economics, deployment.chip, deployment.num_chips
    if economics is None:
        return None
    rented = cost.rent(chip, chips, economics)
    owned = billing.owned_by(chip, chips, economics, result.metrics)
    market = _market(result)
    return {
        "assumptions": economics.id,
        "price": _price(chip),
        "rent_usd_per_hour": None if rented is None else number(rented * HOUR),
        "own": None if owned is None else _parts(owned, economics),
        "why_not_owned": None if owned is not None else _why(chip),
        "market": market,
        "break_even": _break_even(result, rented, owned, market),
    }


def assumed(economics: Economics | None) -> dict[str, Any]:
    """The assumptions that a result rests on, as a part of it."""
    if economics is None:
        return {}
    values = assumptions.told(economics)
    return {"assumptions": {"id": economics.id, "name": economics.name, "values": values}}


def compare_in(row: dict[str, Any], equal: Mapping[str, Any]) -> None:
    """Put what a chip may cost beside others into a row of a comparison."""
    if row["economics"] is not None:
        row["economics"]["break_even"]["at_cheapest"] = dict(equal)
    for kind, found in equal.items():
        row["metrics"][f"break_even_{kind}_usd"] = found["usd"] if found else None


def _price(chip: Chip) -> dict[str, Any]:
    """What a chip costs, and who says so."""
    price = chip.price
    told: dict[str, Any] = {
        "purchase_usd": number(price.purchase),
        "covers": price.covers if price.purchase is not None else None,
        "hourly_usd": number(price.hourly),
    }
    for name in ("purchase", "hourly"):
        source = chip.sources.get(f"price.{name}") if told[f"{name}_usd"] is not None else None
        told[f"{name}_source"] = source.title if source else None
        told[f"{name}_date"] = (source.date or None) if source else None
    return told


def _why(chip: Chip) -> str:
    """Why nobody can say what owning costs."""
    return NO_PRICE if chip.price.purchase is None else NO_POWER


def _parts(owned: Owned, economics: Economics) -> dict[str, float | None]:
    """USD for each hour of work, by what is paid for."""
    use = economics.owned
    fixed = {name: getattr(owned, name) / use for name in ("capital", "maintenance", "hosting", "people")}
    parts = {**fixed, "electricity": owned.electricity(use), "": owned.per_work_second(use)}
    hourly = {f"{name}_usd_per_hour".lstrip("_"): number(value * HOUR) for name, value in parts.items()}
    return {"investment_usd": number(owned.investment), "utilization": number(use), **hourly}


def _market(result: Prediction) -> dict[str, Any] | None:
    """What the market asks for such requests; None of training, and of models that nobody sells."""
    serving, economics = result.workload, result.deployment.economics
    if not isinstance(serving, Serving):
        return None
    if economics is not None and economics.tokens is not None:
        found: Quote | None = offers.quote(
            [offers.stated(economics.tokens, economics.sources["tokens"], serving.model.id)], serving
        )
    else:
        found = offers.quote(offers.read(offers.shipped()), serving)
    if found is None:
        return None
    return {
        "stated": economics is not None and economics.tokens is not None,
        "offers": found.offers,
        "first_date": found.first,
        "last_date": found.last,
        "usd_per_request_low": found.low,
        "usd_per_request": found.middle,
        "usd_per_request_high": found.high,
    }


# --- what is paid for: requests that are served, tokens that are trained on ------------------------------------------


def unit_rate(result: Prediction) -> Num:
    """Requests each second; of training, tokens."""
    return _known(result.metrics.get("requests_per_s", result.metrics.get("tokens_per_s")))


def _known(value: Num | None) -> Num:
    return np.nan if value is None else value


def _token_rate(result: Prediction) -> Num:
    """Tokens each second that costs are told for: those that come out, of prompts alone those that go in."""
    serving = result.workload
    if not isinstance(serving, Serving):
        return unit_rate(result)
    return unit_rate(result) * (
        serving.output_len if np.all(np.greater(serving.output_len, 0.0)) else serving.input_len
    )


# --- where costs are equal ------------------------------------------------------------------------------------------


def _break_even(
    result: Prediction, rented: Num | None, owned: Owned | None, market: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Shares of the time above which one is cheaper than the other, with as many tokens a month, and what a chip may
    cost at the market's price."""
    economics = result.deployment.economics
    found: dict[str, Any] = {"own_rent": None, "own_market": None, "rent_market": None, "at_market_price": None}
    tokens = _token_rate(result) * MONTH
    if owned is not None and rented is not None:
        found["own_rent"] = _point(cost.break_even_utilization(owned, rented), tokens)
    if market is None or economics is None:
        return found
    income = market["usd_per_request"] * unit_rate(result)
    if owned is not None:
        found["own_market"] = _point(cost.break_even_utilization(owned, income), tokens)
    if rented is not None:
        always = rented * economics.rented  # rented around the clock
        found["rent_market"] = _point(np.where(np.less_equal(always, income), always / income, np.nan), tokens)
    found["at_market_price"] = worth(result, income)
    return found


def _point(share: Num, tokens: Num) -> dict[str, float | None]:
    """A share of the time, and the tokens of that much work in a month."""
    return {"utilization": number(share), "tokens_per_month": number(share * tokens)}


def worth(result: Prediction, target: Num) -> dict[str, Any]:
    """What a chip may cost where a second of work of all chips is worth `target` [USD]; why there is no such purchase
    price, where there is none."""
    deployment, metrics = result.deployment, result.metrics
    economics, chip, chips = deployment.economics, deployment.chip, deployment.num_chips
    if economics is None:
        return {"hourly_usd": None, "purchase_usd": None, "why_no_purchase": NO_ASSUMPTIONS}
    power, system = metrics.get("power_w"), billing.system_power(metrics)
    bought = cost.break_even_purchase(target, chip, chips, economics, power, system)
    price = number(bought)
    return {
        "hourly_usd": number(cost.break_even_hourly(target, chips, economics)),
        "purchase_usd": price,
        "why_no_purchase": None if price is not None else NO_POWER if bought is None else NOT_FREE,
    }


def against_cheapest(results: Sequence[Prediction]) -> list[dict[str, Any]]:
    """For each of several predictions of one workload, the rent and the purchase price of a chip at which it costs as
    much as the cheapest that is rented, and as the cheapest that is owned; nothing for those themselves."""
    best = {kind: _cheapest(results, kind) for kind in ("hourly", "purchase")}
    return [{kind: _against(result, found, kind) for kind, found in best.items()} for result in results]


def _against(result: Prediction, best: tuple[Prediction, float] | None, kind: str) -> dict[str, Any] | None:
    if best is None or best[0] is result or not bool(result.fits):
        return None
    label, unit = best[0].deployment.label, best[1]
    found = worth(result, unit * unit_rate(result))
    why = found["why_no_purchase"] if kind == "purchase" else None
    return {"against": label, "usd": found[f"{kind}_usd"], "why": why}


def _cheapest(results: Sequence[Prediction], kind: str) -> tuple[Prediction, float] | None:
    """The prediction that fits and costs least for each request or token, and what."""
    priced = [(unit_cost(result, kind), result) for result in results if bool(result.fits)]
    known = [(usd, result) for usd, result in priced if usd is not None]
    usd, result = min(known, key=lambda pair: pair[0], default=(0.0, None))
    return None if result is None else (result, usd)


def unit_cost(result: Prediction, kind: str) -> float | None:
    """USD for a request, of training for a token, with chips that are rented (`hourly`) or owned (`purchase`)."""
    metrics, economics = result.metrics, result.deployment.economics
    chip, chips = result.deployment.chip, result.deployment.num_chips
    if kind == "hourly":
        spent = cost.rent(chip, chips, economics)
    else:
        owned = billing.owned_by(chip, chips, economics, metrics)
        spent = None if owned is None or economics is None else owned.per_work_second(economics.owned)
    return None if spent is None else number(spent / unit_rate(result))


# --- costs over utilisation -----------------------------------------------------------------------------------------


def curve(result: Prediction) -> dict[str, Any] | None:
    """USD for a million tokens over the share of the time at which hardware works: owned, rented for the hours of work
    or around the clock, and the market's price; None without assumptions."""
    deployment, serving = result.deployment, result.workload
    economics, chip, chips = deployment.economics, deployment.chip, deployment.num_chips
    if economics is None:
        return None
    use = np.linspace(LEAST_USE, 1.0, POINTS)
    rate = _token_rate(result)
    rented, owned, market = (
        cost.rent(chip, chips, economics),
        billing.owned_by(chip, chips, economics, result.metrics),
        _market(result),
    )
    tokens = rate / unit_rate(result)
    asked = None if market is None else [market[f"usd_per_request{end}"] / float(tokens) * MILLION for end in ENDS]
    generates = isinstance(serving, Serving) and bool(np.all(np.greater(serving.output_len, 0.0)))
    return {
        "tokens": "trained" if not isinstance(serving, Serving) else "output" if generates else "input",
        "utilization": use.tolist(),
        "own": _line(None if owned is None else owned.per_work_second(use), rate),
        "rent_by_the_hour": _line(rented, rate * np.ones_like(use)),
        "rent_around_the_clock": _line(None if rented is None else rented * economics.rented / use, rate),
        "market": None if asked is None else dict(zip(("low", "middle", "high"), asked, strict=True)),
    }


def _line(spent: Num | None, rate: Num) -> list[float] | None:
    """USD for a million tokens at every share."""
    return None if spent is None else [float(value) for value in np.atleast_1d(spent / rate * MILLION)]
