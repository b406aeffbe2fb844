"""What a deployment trades: the cost of tokens against the time that users wait for each.

More requests at once share each reading of the weights, so tokens get cheaper and each user's come more slowly. Every
plan with 1, 2, 4 … requests and with as many as it holds is one vectorised prediction; what nothing beats in both time
and cost is the frontier (Pope et al. 2022, arXiv 2211.05102, figure 1, draw theirs so).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline.engine import inference, plans, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import RooflineError
from roofline.numeric import Num
from roofline.studies import contract
from roofline.studies.pareto import front
from roofline.workload import Serving, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATENCY, PRICE, CHIP_SECONDS = "tpot_s", "usd_per_million_tokens", "chip_seconds_per_million_tokens"
MOST = 2.0**30  # requests at once


def frontier(job: Workload, deployment: Deployment, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every trade that nothing beats, the fastest first: running requests, the best plan for them (with the `given`
    degrees; pools keep theirs), and all metrics.

    `cost` names what is traded: USD per million output tokens, or chip-seconds where no price is known. `promised` is
    the cheapest of all that keep the workload's service level, on the frontier or not. Raises `RooflineError` for a
    workload that generates nothing.
    """
    if not isinstance(job, Serving):
        raise RooflineError(f"--frontier belongs to serving; {job.id} trains")
    if not np.all(np.greater(job.output_len, 0.0)):
        raise RooflineError(f"--frontier: {job.id} generates no tokens, so nobody waits for them")
    if deployment.prefill_plan is None:
        deployment = replace(
            deployment, plan=search.serving_plans(job, deployment.chip, deployment.num_chips, deployment.stack, given)
        )
    batch = batches(_most(job, deployment))
    choices = Choices.of(job, search.predict(replace(job, batch=batch), deployment), batch)
    return {
        "latency": LATENCY,
        "cost": choices.cost,
        "points": [choices.point(index) for index in front(choices.costs())],
        "promised": choices.promised(),
    }


def batches(most: Num) -> NDArray[np.float64]:
    """Running requests to try [batches, plans]: powers of two up to the largest of `most` [plans], and `most` itself.

    >>> batches(np.array([1.0, 6.0])).tolist()
    [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [1.0, 6.0]]
    """
    full = np.atleast_2d(np.clip(np.asarray(most, dtype=np.float64), 1.0, MOST))
    powers = 2.0 ** np.arange(np.floor(np.log2(np.max(full))) + 1.0)
    return np.concatenate([np.broadcast_to(powers[:, None], (powers.size, full.size)), full])


def _most(job: Serving, deployment: Deployment) -> Num:
    """Requests that memory holds, of each plan; of pools those that the decode pool holds."""
    if deployment.prefill_plan is not None:
        return search.predict(replace(job, batch=1.0), deployment).max_batch
    return inference.largest_batch(replace(job, batch=1.0), deployment, deployment.precision_for(job.precision))


@dataclass(frozen=True)
class Choices:
    """A prediction of all plans with all batches, `[batches, plans]`, and what of it memory holds."""

    job: Serving
    found: Prediction
    batch: NDArray[np.float64]
    metrics: Mapping[str, Num | None]
    held: NDArray[np.bool_]

    @classmethod
    def of(cls, job: Serving, found: Prediction, batch: NDArray[np.float64]) -> Choices:
        """With chip-seconds beside the prediction's own metrics."""
        rate = np.asarray(found.metrics["output_tokens_per_s_per_chip"], dtype=np.float64)
        metrics = {**found.metrics, CHIP_SECONDS: 1e6 / np.where(rate > 0.0, rate, np.nan)}
        held = np.logical_and(found.fits, np.less_equal(batch, found.max_batch))
        return cls(job, found, batch, metrics, np.broadcast_to(held, batch.shape))

    @property
    def cost(self) -> str:
        """The name of what tokens cost."""
        return CHIP_SECONDS if self.metrics.get(PRICE) is None else PRICE

    def costs(self) -> NDArray[np.float64]:
        """Time and cost of every choice [choices, 2]; not a number where memory does not hold it."""
        both = (np.where(self.held, self._all(name), np.nan) for name in (LATENCY, self.cost))
        return np.stack([values.ravel() for values in both], axis=1)

    def kept(self) -> NDArray[np.bool_]:
        """Whether each choice keeps what the workload promises."""
        return self.job.slo.kept(self._all("ttft_s"), self._all(LATENCY)) & self.held

    def promised(self) -> dict[str, Any] | None:
        """The cheapest choice that keeps it; None if none does, or nothing is promised."""
        cost = np.where(self.kept(), self._all(self.cost), np.nan).ravel()
        known = np.isfinite(cost)
        if not self.job.slo.promises or not known.any():
            return None
        return self.point(int(np.argmin(np.where(known, cost, np.inf))))

    def point(self, index: int) -> dict[str, Any]:
        """One choice as the contract has it."""
        place = np.unravel_index(index, self.batch.shape)
        at = {name: None if value is None else self._all(name)[place] for name, value in self.metrics.items()}
        return {
            "batch": contract.number(self.batch[place]),
            "plan": contract.plan_fields(plans.pick(self.found.deployment.plan, int(place[1])), trains=False),
            "keeps_slo": bool(self.kept()[place]) if self.job.slo.promises else None,
            "metrics": contract.metrics(at),
        }

    def _all(self, name: str) -> NDArray[np.float64]:
        """A metric of every choice."""
        return np.broadcast_to(np.asarray(self.metrics[name], dtype=np.float64), self.batch.shape)
