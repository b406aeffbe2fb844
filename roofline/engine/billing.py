"""The bill of a prediction: what each token, request, user and run costs, rented and owned, and what the site draws.

Tokens that go in and tokens that come out share a bill by the chip-seconds that they occupy: a prompt has its replica
for the time that it is worked on, a step of decoding is shared by those that run. Electricity goes by energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from roofline.engine import cost, energy
from roofline.engine.prediction import Phase
from roofline.machine import Chip, Economics
from roofline.numeric import LEAST, Num

Metrics: TypeAlias = "Mapping[str, Num | None]"
Worked: TypeAlias = "Sequence[tuple[Phase, Num]]"  # phases with the seconds of chips that they occupy
KWH = 3.6e6  # J


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Requests each second, tokens of one, and the shares of chip-seconds and of energy that go to what it reads."""

    requests: Num
    input_len: Num
    output_len: Num
    time: Num
    energy: Num


def shares(chip: Chip, reading: Worked, writing: Worked) -> tuple[Num, Num]:
    """The parts of chip-seconds and of energy that go to reading; energy as time where no power is known."""
    time = _share(_seconds(reading), _seconds(writing))
    joules = [_energy(chip, phases) for phases in (reading, writing)]
    return time, time if joules[0] is None or joules[1] is None else _share(joules[0], joules[1])


def _seconds(phases: Worked) -> Num:
    return sum((seconds for _, seconds in phases), start=0.0)


def _energy(chip: Chip, phases: Worked) -> Num | None:
    """Joules of one chip; None where its power is not known."""
    power = energy.mean_power(chip, list(phases))
    return None if power is None else power * _seconds(phases)


def _share(part: Num, rest: Num) -> Num:
    """How much of both the first is; 0 where there is nothing."""
    return part / np.maximum(part + rest, LEAST)


def system_power(metrics: Metrics) -> Num | None:
    """Watts of chips and, where known, of their hosts."""
    found = metrics.get("system_power_w")
    return metrics.get("power_w") if found is None else found


def site(metrics: Metrics, economics: Economics | None, tokens_per_s: Num) -> dict[str, Num | None]:
    """What the site draws for the system, also for each token and turned over; NaN where no token comes out."""
    drawn = system_power(metrics)
    power = None if drawn is None or economics is None else drawn * economics.pue
    joules = None if power is None else power / np.where(np.greater(tokens_per_s, 0.0), tokens_per_s, np.nan)
    return {
        "site_power_w": power,
        "site_energy_j_per_token": joules,
        "tokens_per_kwh": None if joules is None else KWH / joules,
    }


def owned_by(chip: Chip, num_chips: Num, economics: Economics | None, metrics: Metrics) -> cost.Owned | None:
    """What it costs to own what a prediction is about."""
    power = metrics.get("power_w")
    return None if economics is None else cost.own(chip, num_chips, economics, power, system_power(metrics))


def of_serving(
    chip: Chip, num_chips: Num, economics: Economics | None, metrics: Metrics, traffic: Traffic
) -> dict[str, Num | None]:  # fmt: skip
    """Metrics of cost of requests that are served, rented and owned."""
    rented, owned = cost.rent(chip, num_chips, economics), owned_by(chip, num_chips, economics, metrics)
    found = site(metrics, economics, traffic.requests * traffic.output_len)
    found |= _bill("", economics, traffic, rented)
    if owned is None or economics is None:
        found |= _bill("own_", economics, traffic, None)
    else:
        electricity = owned.electricity(economics.owned)
        found |= _bill("own_", economics, traffic, owned.fixed / economics.owned + electricity, electricity)
    return found | {"requests_per_s": traffic.requests, "break_even_utilization": _equal(owned, rented)}


def _bill(
    prefix: str,
    economics: Economics | None,
    traffic: Traffic,
    bill: Num | None,
    electricity: Num = 0.0,
) -> dict[str, Num | None]:
    """A bill [USD for each second of work], of which `electricity` is divided by energy, over what was done for it."""
    names = ("million_tokens", "million_input_tokens", "million_output_tokens", "request", "user_month")
    if bill is None:
        return {f"{prefix}usd_per_{name}": None for name in names}
    reading = (bill - electricity) * traffic.time + electricity * traffic.energy
    request = bill / traffic.requests
    values = (
        _per_million(request, traffic.output_len),
        _per_million(reading / traffic.requests, traffic.input_len),
        _per_million((bill - reading) / traffic.requests, traffic.output_len),
        request,
        None if economics is None else request * economics.requests,
    )
    return {f"{prefix}usd_per_{name}": value for name, value in zip(names, values, strict=True)}


def of_training(
    chip: Chip, num_chips: Num, economics: Economics | None, metrics: Metrics, tokens_per_s: Num, lasts: Num
) -> dict[str, Num | None]:  # fmt: skip
    """Metrics of cost of a run that lasts so many seconds, and of its tokens while steps go on, rented and owned."""
    rented, owned = cost.rent(chip, num_chips, economics), owned_by(chip, num_chips, economics, metrics)
    mine = None if owned is None or economics is None else owned.per_work_second(economics.owned)
    return site(metrics, economics, tokens_per_s) | {
        "usd_per_million_tokens": cost.usd_per_million(rented, tokens_per_s),
        "cost_usd": None if rented is None else rented * lasts,
        "own_usd_per_million_tokens": cost.usd_per_million(mine, tokens_per_s),
        "own_cost_usd": None if mine is None else mine * lasts,
        "break_even_utilization": _equal(owned, rented),
    }


def _per_million(usd: Num, tokens: Num) -> Num:
    """USD for a million of the tokens that a request has so many of; NaN where it has none."""
    return usd / np.where(np.greater(tokens, 0.0), tokens, np.nan) * cost.MILLION


def _equal(owned: cost.Owned | None, rented: Num | None) -> Num | None:
    return None if owned is None or rented is None else cost.break_even_utilization(owned, rented)
