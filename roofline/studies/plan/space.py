"""All combinations of one chip in one precision as arrays: what each of them does, and whether memory holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from roofline.engine import billing, plans
from roofline.engine.deployment import Deployment
from roofline.numeric import Num
from roofline.units import HOUR
from roofline.workload import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
Truth: TypeAlias = "NDArray[np.bool_]"
Metrics: TypeAlias = "Mapping[str, Num | None]"


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Combinations of plans and running requests, every number an array `[combinations]`.

    `numbers` hold the figures that limits and rankings are about; `held` says which ones memory holds; `batch` is not
    a number of training. `plan` has its degrees `[plans]`, and `place` says which of them a combination has; so does
    `reads` for the pool that reads prompts, if there is one. What of plans is no degree is in `whole`, if anything.
    """

    deployment: Deployment
    plan: Plan
    place: NDArray[np.intp]
    batch: Array
    numbers: Mapping[str, Array]
    held: Truth
    reads: Plan | None = None
    whole: tuple[Plan, ...] = ()

    def plan_at(self, index: int) -> Plan:
        """The plan of one combination."""
        return self.whole[self.place[index]] if self.whole else plans.pick(self.plan, int(self.place[index]))

    def reads_at(self, index: int) -> Plan | None:
        """The plan of its prefill pool."""
        return None if self.reads is None else plans.pick(self.reads, int(self.place[index]))


def figures(metrics: Metrics, chips: Num, shape: tuple[int, ...]) -> dict[str, Array]:
    """Figures of requests that are served, all of them of one shape and then flat; not a number where unknown.

    `usd_per_hour` is rent, or what owning costs where no rent is known. Energy is that of chips with their hosts.
    """

    def flat(value: Num | None) -> Array:
        known = np.nan if value is None else value
        return np.ascontiguousarray(np.broadcast_to(np.asarray(known, dtype=np.float64), shape)).ravel()

    requests = flat(metrics["requests_per_s"])
    prefix = "" if metrics.get("usd_per_request") is not None else "own_"
    generates = bool(np.any(metrics["output_tokens_per_s"]))
    rate = flat(metrics["output_tokens_per_s" if generates else "total_tokens_per_s"])
    request, power = flat(metrics.get(f"{prefix}usd_per_request")), flat(billing.system_power(metrics))
    busy = np.where(requests > 0.0, requests, np.nan)
    return {
        "ttft_s": flat(metrics["ttft_s"]),
        "tpot_s": flat(metrics["tpot_s"]),
        "e2e_latency_s": flat(metrics["e2e_latency_s"]),
        "tokens_per_s": rate,
        "tokens_per_s_per_user": flat(metrics["output_tokens_per_s_per_user"]),
        "tokens_per_s_per_chip": rate / flat(chips),
        "power_w": power,
        "usd_per_hour": request * requests * HOUR,
        "usd_per_request": request,
        "joule_per_request": power / busy,
        "num_chips": flat(chips),
    }
