"""One row: a phase of a model on a deployment, in the numbers by which training and inference differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from roofline.engine import cost, energy, interval, roof
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Phase
from roofline.engine.roof import BOUNDS
from roofline.engine.throughput import DECODE, PREFILL, TRAINING, Throughput, throughputs
from roofline.machine.evidence import spread_of
from roofline.numeric import Num, where
from roofline.studies import contract
from roofline.studies.contract import number
from roofline.studies.contrast import pattern
from roofline.studies.contrast.places import Place
from roofline.studies.elasticity import Worth, worths
from roofline.workload import Training, Workload

DELAY = 1e-3  # seconds that are added to every step to see what waiting costs
WAITS = {PREFILL: "ttft_s", DECODE: "tpot_s"}  # what a user waits for
MEMORY = (
    "weight_bytes", "gradient_bytes", "optimizer_bytes", "activation_bytes", "buffer_bytes", "kv_cache_bytes",
    "total_bytes", "capacity_bytes",
)  # fmt: skip


def rows(place: Place) -> list[dict[str, Any]]:
    """The rows of a kind of work on a deployment; where it does not fit, with what it would need and nothing else."""
    found = place.prediction
    if found is None or not found.fits:
        return [_misfit(place, phase) for phase in _phases(place)]
    told = contract.prediction(found)
    worth = worths(place.job, found.deployment, place.given)
    phases = throughputs(found)
    spent = {item.phase: number(_tokens(place.job, item.phase) / item.rate) or 0.0 for item in phases}
    shares = {phase: seconds / sum(spent.values()) for phase, seconds in spent.items()}
    return [_row(place, told, item, worth[item.phase], shares[item.phase]) for item in phases]


def _tokens(job: Workload, phase: str) -> Num:
    """Tokens of a phase in one request, or in one step of training."""
    if isinstance(job, Training):
        return job.tokens_per_step
    return job.output_len if phase == DECODE else job.input_len - job.reused


def _phases(place: Place) -> tuple[str, ...]:
    if isinstance(place.job, Training):
        return (TRAINING,)
    return tuple(item for item, tokens in ((PREFILL, place.job.input_len), (DECODE, place.job.output_len)) if tokens)


def _misfit(place: Place, phase: str) -> dict[str, Any]:
    """A row of which nothing is known but the memory that it would need, if any plan was found at all."""
    told = contract.prediction(place.prediction) if place.prediction else None
    unknown = {
        "label": place.name, "chip": place.chip.id, "chip_name": place.chip.name, "chip_kind": place.chip.kind,
        "num_chips": place.asked, "stack": None, "plan": None, "weights": None, "activations": None, "kv_cache": None,
        "arithmetic": None,
    }  # fmt: skip
    return {
        "name": place.name,
        "phase": phase,
        "fits": False,
        "why": place.why,
        "asked_chips": place.asked,
        "workload": place.job.id,
        "deployment": told["deployment"] if told else unknown,
        "memory": {name: told["memory"][name] if told else None for name in MEMORY},
        "notes": [],
    }


def _row(
    place: Place, told: Mapping[str, Any], found: Throughput, worth: tuple[Worth, ...], share: float
) -> dict[str, Any]:
    """A phase; `told` is the prediction that it is part of, `share` its part of the time of that work."""
    return {
        "name": place.name,
        "phase": found.phase,
        "fits": True,
        "why": place.why,
        "asked_chips": place.asked,
        "workload": place.job.id,
        "deployment": told["deployment"],
        "memory": {name: told["memory"][name] for name in MEMORY},
        "share": share,
        "rate": _rate(found),
        "parallelism": _parallelism(found),
        "pattern": _pattern(found),
        "intensity": _intensity(found),
        "movement": _movement(found),
        "waiting": _waiting(found, worth),
        "spending": _spending(found),
        "worth": [_worth(item) for item in worth],
        "roofs": told["roofs"],
        "evidence": _evidence(found),
        "notes": told["notes"],
    }


def _evidence(found: Throughput) -> dict[str, Any]:
    """What stands behind the expectation of a phase, and how far off such predictions were."""
    prediction = found.prediction
    spread = spread_of(prediction.deployment.spreads, interval.PHASES[found.phase])
    return {
        "calibration": prediction.evidence,
        "cases": spread.cases if spread else 0,
        "median_error": spread.median_error if spread else None,
    }


def _rate(found: Throughput) -> dict[str, float | None]:
    """Tokens per second of all chips and of one, while nothing but this phase goes on."""
    low, high = found.interval or (None, None)
    rates = {"": found.rate, "_ideal": found.ideal_rate, "_low": low, "_high": high}
    chips = found.chips
    return {
        **{f"tokens_per_s{suffix}": number(value) for suffix, value in rates.items()},
        **{
            f"tokens_per_s_per_chip{suffix}": number(None if value is None else value / chips)
            for suffix, value in rates.items()
        },
    }


def _parallelism(found: Throughput) -> dict[str, float | None]:
    """How much can be done at once."""
    tiles, units = pattern.tiles_per_product(found), found.prediction.deployment.chip.compute_units
    return {
        "tokens_in_flight": number(found.in_flight),
        "rows_per_product": number(pattern.rows_per_product(found)),
        "tiles_per_product": number(tiles),
        "tiles_per_unit": number(None if tiles is None or units is None else tiles / units),
    }


def _pattern(found: Throughput) -> dict[str, float | None]:
    """What the time goes to, and whether steps are alike."""
    return {
        **{f"{name}_share": number(share) for name, share in pattern.shares(found).items()},
        "hidden_communication_share": number(pattern.hidden_share(found)),
        "last_step_over_first": number(pattern.last_over_first(found)),
    }


def _flops(phase: Phase) -> Num:
    return phase.flops


def _bytes(phase: Phase) -> Num:
    return phase.memory_bytes


def _sent(phase: Phase) -> Num:
    return phase.network_bytes


def _useful(phase: Phase) -> Num:
    return phase.repeat * phase.useful_flops


def _intensity(found: Throughput) -> dict[str, Any]:
    """FLOP per byte beside the chip's ridge point, and how near its two roofs are."""
    deployment, precision = found.prediction.deployment, found.prediction.precision
    peak, bandwidth = roof.peak(deployment.chip, precision.arithmetic), deployment.chip.bandwidth
    flops, moved = found.per_token(_flops), found.per_token(_bytes)
    intensity = number(flops / where(np.greater(moved, 0.0), moved, np.inf))
    ridge = number(np.divide(peak, bandwidth))
    return {
        "arithmetic_intensity": intensity,
        "ridge_point": ridge,
        "intensity_over_ridge": intensity / ridge if intensity is not None and ridge else None,
        "attained_flops_per_s": number(found.attained(_flops)),
        "mfu": number(found.attained(_useful) / peak) if np.isfinite(peak) else None,
        "mbu": number(found.attained(_bytes) / bandwidth),
        "bound": BOUNDS[int(_bound(found))],
    }


def _bound(found: Throughput) -> Num:
    """What most of the time is bound by, as an index into `BOUNDS`."""
    return roof.bound([item for phase in found.phases for item in phase.operators])


def _movement(found: Throughput) -> dict[str, float | None]:
    """What is moved and calculated for one token, over all chips."""
    flops, moved = found.per_token(_flops), found.per_token(_bytes)
    return {
        "flops_per_token": number(flops),
        "memory_bytes_per_token": number(moved),
        "network_bytes_per_token": number(found.per_token(_sent)),
        "bytes_per_flop": number(moved / flops),
    }


def _waiting(found: Throughput, worth: tuple[Worth, ...]) -> dict[str, float | None]:
    """How long one step takes, what a user waits for, and what is lost if every step takes a millisecond more."""
    latency = sum(item.elasticity for item in worth if item.resource in ("link_latency", "overhead"))
    metrics, awaited = found.prediction.metrics, WAITS.get(found.phase)
    return {
        "step_time_s": number(found.step_time),
        **{
            f"{name}{edge}": number(metrics.get(f"{name}{edge}")) if name == awaited else None
            for name in WAITS.values()
            for edge in ("", "_low", "_high")
        },
        "latency_elasticity": number(latency),
        "loss_per_ms": number(DELAY / (found.step_time + DELAY)),
    }


def _spending(found: Throughput) -> dict[str, float | None]:
    """Power of all chips, energy and rent of a token."""
    deployment = found.prediction.deployment
    power = _power(deployment, found.phases)
    rent = cost.usd_per_second(deployment.chip, found.chips)
    return {
        "power_w": number(None if power is None else power * found.chips),
        "energy_j_per_token": number(None if power is None else power * found.chips / found.rate),
        "usd_per_million_tokens": number(cost.usd_per_million(rent, found.rate)),
    }


def _power(deployment: Deployment, phases: tuple[Phase, ...]) -> Num | None:
    """Watts of one chip, the mean over phases that follow each other; None where it is not known."""
    powers = [(energy.chip_power(deployment.chip, phase), phase.time) for phase in phases]
    known = [power * seconds for power, seconds in powers if power is not None]
    return sum(known, start=0.0) / sum((time for _, time in powers), start=0.0) if len(known) == len(powers) else None


def _worth(item: Worth) -> dict[str, Any]:
    few, many = item.filled_requests or (None, None)
    return {
        "resource": item.resource,
        "elasticity": number(item.elasticity),
        "gain": number(item.gain),
        "filled_gain": number(item.filled_gain),
        "filled_requests": number(few),
        "filled_requests_doubled": number(many),
    }
