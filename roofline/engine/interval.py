"""Intervals: where nine of ten measurements of a metric should lie, from how far like predictions were off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from roofline.engine.deployment import Deployment
from roofline.machine.evidence import (
    DECODE,
    ENERGY,
    FIRST_TOKEN,
    OFFLINE,
    POWER,
    PREFILL,
    REQUEST,
    SERVER_DECODE,
    SERVER_REQUEST,
    STEP,
    SYSTEM,
    Spread,
    Spreads,
    spread_of,
)
from roofline.numeric import Num, larger, smaller

TINY = 1e-300  # W: a chip that draws nothing has no interval
Metrics = Mapping[str, "Num | None"]

# What each metric of serving spans; times first, then rates.
USEFUL = "time_to_first_useful_token_s"  # where nothing is hidden, that of any token
TIMES: Mapping[str, str] = MappingProxyType(
    {"ttft_s": PREFILL, USEFUL: REQUEST, "tpot_s": DECODE, "e2e_latency_s": REQUEST}
)
RATES: Mapping[str, str] = MappingProxyType(
    {
        "requests_per_s": REQUEST,
        "requests_per_chip_hour": REQUEST,
        "output_tokens_per_s": REQUEST,
        "output_tokens_per_s_per_chip": REQUEST,
        "output_tokens_per_s_per_user": DECODE,
        "total_tokens_per_s": REQUEST,
        "prefill_tokens_per_s": PREFILL,
        "decode_tokens_per_s": DECODE,
        "decode_tokens_per_s_per_chip": DECODE,
    }
)
PHASES: Mapping[str, str] = MappingProxyType({PREFILL: PREFILL, DECODE: DECODE, "training": STEP})
SERVED: Mapping[str, str] = MappingProxyType({DECODE: SERVER_DECODE, REQUEST: SERVER_REQUEST})


# What each metric of a training step is about: times, then rates, which have no bound of their own but the time's.
STEP_TIMES = ("step_time_s", "time_to_train_s")


def around_step(metrics: Metrics, spreads: Spreads) -> Iterator[tuple[str, Num]]:
    """`_low` and `_high` of every metric of a training step that has a bound, around the expectation."""
    within = factors(spreads, STEP)
    for name, value in tuple(metrics.items()):  # what is yielded may be laid over them
        ideal = metrics.get(f"{name}_ideal")
        if value is None or ideal is None or within is None:
            continue
        yield from _edges(name, value, ideal, *within, time=name in STEP_TIMES)


def around(
    metrics: Metrics, spreads: Spreads, *, served: bool, among: Num, saturated: bool
) -> Iterator[tuple[str, Num]]:  # fmt: skip
    """`_low` and `_high` of every metric whose like was measured, around the expectation, never better than the bound.

    `served` says whether requests join and leave, `among` whether others run beside one, so that its first token may
    wait in a queue, `saturated` whether as many run as memory holds. A request of one phase is that phase.
    """
    whole = _whole(metrics)
    for name, spans in (*TIMES.items(), *RATES.items()):
        value, ideal = metrics.get(name), metrics.get(f"{name}_ideal")
        told = (whole or REQUEST) if spans == REQUEST else spans
        spread = spread_of(spreads, figure(told, served=served, saturated=saturated))
        if value is None or ideal is None or spread is None:
            continue
        shortest, longest = _factors(spread)
        if name == "ttft_s" and served:
            shortest, longest = _queueing(spreads, spread, among)
        yield from _edges(name, value, ideal, shortest, longest, time=name in TIMES)


# What each metric of power and energy is told by; none has a bound but the TDP.
DRAWN: Mapping[str, str] = MappingProxyType(
    {
        "power_w": POWER,
        "power_w_per_chip": POWER,
        **{f"energy_j_per_{what}": ENERGY for what in ("token", "total_token", "request")},
        "system_power_w": SYSTEM,
        **{f"system_energy_j_per_{what}": SYSTEM for what in ("token", "total_token", "request")},
    }
)


def around_power(metrics: Metrics, where: Deployment) -> Iterator[tuple[str, Num]]:
    """`_low` and `_high` of power and energy, where their like was measured: measured over predicted is above 1 where
    more was drawn. No chip draws more than its TDP. Of chips whose power rests on no measurement nothing is known."""
    if where.chip.energy is None or where.chip.energy_evidence == "datasheet":
        return
    tdp, each = where.chip.tdp, metrics.get("power_w_per_chip")
    most = np.inf if tdp is None or each is None else tdp / larger(each, TINY)
    for name, told_by in DRAWN.items():
        value, within = metrics.get(name), factors(where.spreads, told_by)
        if value is not None and within is not None:
            yield f"{name}_low", value * within[0]
            yield f"{name}_high", value * (larger(smaller(within[1], most), 1.0) if told_by == POWER else within[1])


def _edges(
    name: str, value: Num, ideal: Num, shortest: Num, longest: Num, *, time: bool
) -> Iterator[tuple[str, Num]]:  # fmt: skip
    """`_low` and `_high` of a time, or of a rate, which is low where times are long; neither is better than ideal."""
    if time:
        yield f"{name}_low", smaller(larger(value * shortest, ideal), value)
        yield f"{name}_high", value * longest
    else:
        yield f"{name}_low", value / longest
        yield f"{name}_high", larger(smaller(value / shortest, ideal), value)


def of_phase(name: str, where: Deployment) -> tuple[Num, Num] | None:
    """Factors of the time of a prefill, of decode steps or of a training step by themselves; None if nothing like
    it was measured."""
    return factors(where.spreads, PHASES[name]) if name in PHASES else None


def factors(spreads: Spreads, name: str) -> tuple[Num, Num] | None:
    """The shortest and longest time of a figure over its expectation; None if nothing like it was measured."""
    spread = spread_of(spreads, name)
    return _factors(spread) if spread else None


def headline(where: Deployment, metrics: Metrics) -> Spread | None:
    """How far off predictions like this one were: of steps of training, of whole requests, or of the one phase that was
    asked for."""
    if "step_time_s" in metrics:
        return spread_of(where.spreads, STEP)
    spans = _whole(metrics)
    if spans is None:
        return None
    return spread_of(where.spreads, figure(spans, served=where.stack.batching == "continuous", saturated=False))


def _whole(metrics: Metrics) -> str | None:
    """What a request consists of: both phases, or one of them; None if it does nothing."""
    told = (metrics.get(name) for name in ("ttft_s", "tpot_s"))
    reads, writes = (value is not None and bool(np.any(value)) for value in told)
    if not reads and not writes:
        return None
    return REQUEST if reads and writes else PREFILL if reads else DECODE


def figure(spans: str, *, served: bool, saturated: bool) -> str:
    """The kind of figure that a metric of some span is."""
    if saturated and spans == REQUEST:
        return OFFLINE
    return SERVED.get(spans, spans) if served else spans


def _factors(spread: Spread) -> tuple[Num, Num]:
    """Of the expectation, which stays inside."""
    return min(spread.low, 1.0), max(spread.high, 1.0)


def _queueing(spreads: Spreads, alone: Spread, among: Num) -> tuple[Num, Num]:
    """A first token alone takes what reading the prompt takes; among others it waits."""
    waiting = spread_of(spreads, FIRST_TOKEN) or alone
    (low, high), (soon, late) = _factors(alone), _factors(waiting)
    return np.where(among, soon, low), np.where(among, late, high)
