"""What would have to change for the second option to win: its price, its speed, electricity, how much is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.engine import fleet
from roofline.machine import Economics
from roofline.studies.decide.fleets import Filled, Numbers, Part, costs
from roofline.studies.decide.serving import Option
from roofline.studies.decide.training import Choice
from roofline.units import MONTH

SCALES = np.exp2(np.linspace(-7.0, 7.0, 141))  # of all requests: from a hundredth to a hundredfold
SEEN = slice(30, 111, 2)  # those that are told: from a sixteenth to sixteenfold


def of_serving(first: Option, second: Option, economics: Economics) -> dict[str, Any]:
    """Changes, each by itself, that make the second option for a load as cheap as the first; None where none does.

    Both have a price.
    """
    gap = second.bill - first.bill
    mine = second.parts[0]
    price = mine.price_for(mine.bill - gap)
    return {
        "price": _price(mine.deployment.chip.id, mine.terms.price_of, float(mine.terms.price or 0.0), price),
        "speed": second.bill / first.bill,
        "electricity_usd_per_kwh": _electricity(first, second, gap, economics),
        "requests": _requests(first, second),
    }


def of_training(first: Choice, second: Choice) -> dict[str, Any]:
    """The same of two ways to train."""
    price = second.price_for(first.bill)
    chip = second.trained.deployment.chip.id
    return {
        "price": _price(chip, second.terms.price_of, float(second.terms.price or 0.0), price),
        "speed": second.bill / first.bill,
        "electricity_usd_per_kwh": None,
        "requests": None,
    }


def _price(chip: str, price_of: str, known: float, wanted: float) -> Mapping[str, Any] | None:
    """A price that falls to what is wanted."""
    return {"chip": chip, "price_of": price_of, "from": known, "to": wanted} if wanted > 0.0 else None


def _electricity(first: Option, second: Option, gap: float, economics: Economics) -> float | None:
    """USD for a kWh at which both cost the same: the one that draws more loses by a rise."""
    drawn = [sum(part.power for part in option.parts if not part.terms.elastic) for option in (first, second)]
    more = (drawn[0] - drawn[1]) * float(np.max(economics.pue))
    if not np.isfinite(more) or more == 0.0:
        return None
    price = (float(np.max(economics.electricity)) + gap / more) * 3.6e6
    return price if price > 0.0 else None


def _requests(first: Option, second: Option) -> float | None:
    """How many times the requests make both cost the same, the nearest to once; None if none does."""
    if not (_alone(first) and _alone(second)):
        return None
    one, other = (curve(option) for option in (first, second))
    cheaper = one <= other
    turns = np.flatnonzero(cheaper[1:] != cheaper[:-1])
    if turns.size == 0:
        return None
    at = np.sqrt(SCALES[turns] * SCALES[turns + 1])
    return float(at[np.argmin(np.abs(np.log(at)))])


def curves(options: Sequence[Option]) -> dict[str, Any]:
    """What the cheapest options would cost for more and fewer requests, those that are in one place."""
    drawn = [(rank, option) for rank, option in enumerate(options, 1) if _alone(option)]
    return {
        "requests": [float(scale) for scale in SCALES[SEEN]],
        "options": [{"rank": rank, "usd_per_month": curve(option)[SEEN].tolist()} for rank, option in drawn],
    }


def _alone(option: Option) -> bool:
    """Whether all requests go to one place: what else is divided would be divided anew."""
    return len({part.place.name for part in option.parts}) == 1


def curve(option: Option) -> Numbers:
    """The bill [USD/month] of an option in one place under its plan, for `SCALES` times its requests."""
    return sum((_scaled(part) for part in option.parts), start=np.zeros(SCALES.size))


def _scaled(part: Part) -> Numbers:
    """The same of one of its parts."""
    filled = Filled.of(part.load, part.replica, part.place.sites)
    here = filled.at(int(np.flatnonzero(filled.index == part.position)[0]))
    scaled = replace(here, **{name: getattr(here, name) * SCALES for name in ("mean", "peak", "work")})
    found = costs(scaled, fleet.replicas(scaled.peak), part.deployment.chip, part.terms)
    price = float(part.terms.price or 0.0)
    return np.asarray(found.beside + found.slope * price) * part.place.sites * MONTH
