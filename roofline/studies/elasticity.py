"""What a better chip would be worth: how the rate of each phase follows each of a chip's resources.

An elasticity is `d log(rate) / d log(resource)`: the part of one percent more of a resource that arrives in the rate.
With all speeds times k and all latencies over k everything is k times as fast, so the elasticities of all resources but
the capacity add up to 1 (Euler's theorem on homogeneous functions). They are found under the plan as it is; capacity is
worth what another plan, or more requests, make of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.engine import inference, search
from roofline.engine.deployment import Deployment
from roofline.engine.throughput import DECODE, throughputs
from roofline.machine import Chip, Stack
from roofline.numeric import Num
from roofline.workload import Serving, Workload

SPEEDS = ("flops", "bandwidth", "link_bandwidth", "link_latency", "overhead")
CAPACITY = "capacity"
RESOURCES = (*SPEEDS, CAPACITY)
# What software adds, in seconds; all else in a stack are shares, multiples and rules.
SOFTWARE_TIMES = ("step", "sequence", "layer", "operator", "request", "server", "host", "handling", "routing")
SMALL = 1e-3  # change of a resource's logarithm, either way, that finds the slope
SAMPLES = 3  # of each resource: a little more, a little less, twice as much

Scales = Mapping[str, Num]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Worth:
    """What a resource is worth to a phase: its elasticity, and the share that a doubling adds to the rate.

    Of capacity for decoding also what a doubling adds where memory is full of requests, and how many fill it, before
    and after. The elasticity of capacity is the mean over a doubling, as requests and plans come in whole numbers.
    """

    resource: str
    elasticity: float
    gain: float
    filled_gain: float | None = None
    filled_requests: tuple[float, float] | None = None


def worths(job: Workload, deployment: Deployment, given: Mapping[str, Any]) -> dict[str, tuple[Worth, ...]]:
    """The worth of every resource for each phase of a workload that fits; `given` are fields of a plan that stay.

    All speeds are one prediction, an array over what they are multiplied by.
    """
    axis = _axis()
    rates = _rates(job, faster(deployment, axis))
    base = {phase: float(found[0]) for phase, found in rates.items()}
    room = _capacity(job, deployment, given, base)
    return {phase: (*_slopes(found), room[phase]) for phase, found in rates.items()}


def faster(deployment: Deployment, scales: Scales) -> Deployment:
    """A deployment whose resources are so many times as good: rates multiplied, seconds divided."""
    return replace(deployment, chip=better_chip(deployment.chip, scales), stack=leaner_stack(deployment.stack, scales))


def better_chip(chip: Chip, scales: Scales) -> Chip:
    """A chip whose resources are so many times as good (see `SPEEDS`); what is not named stays.

    A clock counts as arithmetic: compute units that take so many bytes each clock are fed no faster by a faster memory.
    The energy of a FLOP stays, so that faster arithmetic draws more watts.
    """
    flops, bandwidth = scales.get("flops", 1.0), scales.get("bandwidth", 1.0)
    wires, latency = scales.get("link_bandwidth", 1.0), scales.get("link_latency", 1.0)
    overhead, capacity = scales.get("overhead", 1.0), scales.get(CAPACITY, 1.0)
    main = chip.main % len(chip.memory)
    return replace(
        chip,
        peaks={
            name: replace(peak, dense=peak.dense * flops, narrow=_times(peak.narrow, flops))
            for name, peak in chip.peaks.items()
        },
        vector=_times(chip.vector, flops),
        clock=_times(chip.clock, flops),
        energy=None if chip.energy is None else replace(chip.energy, compute=chip.energy.compute * flops),
        memory=tuple(
            replace(
                level,
                bandwidth=_times(level.bandwidth, bandwidth),
                capacity=level.capacity * capacity if index == main else level.capacity,
            )
            for index, level in enumerate(chip.memory)
        ),
        links=tuple(
            replace(link, bandwidth=link.bandwidth * wires, latency=link.latency / latency) for link in chip.links
        ),
        achieved={
            name: replace(reached, latency=reached.latency / overhead, split=reached.split / overhead)
            for name, reached in chip.achieved.items()
        },
        achieved_links={
            name: replace(reached, latency=reached.latency / latency, step=reached.step / latency)
            for name, reached in chip.achieved_links.items()
        },
    )


def leaner_stack(stack: Stack, scales: Scales) -> Stack:
    """Software that takes its seconds over `overhead`."""
    overhead = scales.get("overhead", 1.0)
    times: dict[str, Any] = {name: getattr(stack, name) / overhead for name in SOFTWARE_TIMES}
    return replace(stack, **times)


def _times(value: Num | None, scale: Num) -> Num | None:
    return None if value is None else value * scale


def _axis() -> dict[str, Array]:
    """What each speed is multiplied by: at first all by 1, then one of them after the other by each of its samples."""
    samples = (np.exp(SMALL), np.exp(-SMALL), 2.0)
    found = {name: np.ones(1 + SAMPLES * len(SPEEDS)) for name in SPEEDS}
    for index, scales in enumerate(found.values()):
        scales[1 + SAMPLES * index : 1 + SAMPLES * (index + 1)] = samples
    return found


def _rates(job: Workload, deployment: Deployment, size: int = 1 + SAMPLES * len(SPEEDS)) -> dict[str, Array]:
    """Tokens per second of each phase along the axis."""
    found = throughputs(search.predict(job, deployment))
    return {item.phase: np.broadcast_to(np.asarray(item.rate, dtype=np.float64), (size,)) for item in found}


def slope(more: float, less: float, width: float) -> float | None:
    """An elasticity, from what comes out at the two ends of so wide a step of a logarithm; None if there is none.

    >>> slope(4.0, 1.0, float(np.log(2.0))), slope(4.0, 1.0, 0.0)
    (2.0, None)
    """
    known = width > 0.0 and np.isfinite(more) and np.isfinite(less) and more > 0.0 and less > 0.0
    return float(np.log(more / less) / width) if known else None


def _slopes(rates: Array) -> tuple[Worth, ...]:
    """The worth of each speed from the rates along the axis."""
    base, *_ = rates
    found = []
    for index, name in enumerate(SPEEDS):
        more, less, twice = rates[1 + SAMPLES * index : 1 + SAMPLES * (index + 1)]
        found.append(Worth(name, slope(more, less, 2.0 * SMALL) or 0.0, float(twice / base - 1.0)))
    return tuple(found)


def _capacity(
    job: Workload, deployment: Deployment, given: Mapping[str, Any], base: Mapping[str, float]
) -> dict[str, Worth]:
    """What twice the memory is worth to each phase: under the same plan or the best for it, whichever is faster."""
    roomy = replace(deployment, chip=better_chip(deployment.chip, {CAPACITY: 2.0}))
    other = replace(roomy, plan=search.best_plan(job, roomy, given))
    kept, new = (_rates(job, where, 1) for where in (roomy, other))
    found = {}
    for phase, rate in base.items():
        gain = max(float(kept[phase][0]), float(new[phase][0]), rate) / rate - 1.0
        found[phase] = Worth(CAPACITY, float(np.log2(1.0 + gain)), gain)
    if isinstance(job, Serving) and DECODE in found:
        found[DECODE] = replace(found[DECODE], **_filled(job, deployment))
    return found


def _filled(job: Serving, deployment: Deployment) -> dict[str, Any]:
    """What twice the memory is worth to a server that runs as many requests as it holds."""
    roomy = replace(deployment, chip=better_chip(deployment.chip, {CAPACITY: np.array([1.0, 2.0])}))
    requests = inference.largest_batch(job, roomy, deployment.precision_for(job.precision))
    before, after = _rates(replace(job, batch=requests), roomy, 2)[DECODE]
    few, many = np.broadcast_to(requests, (2,))
    return {"filled_gain": float(after / before - 1.0), "filled_requests": (float(few), float(many))}
