"""The best plan for a workload on so many chips, and the fewest chips that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.engine import disaggregated, inference, memory, plans, training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import NoRoomError, PlanError
from roofline.machine import Chip, Stack
from roofline.workload import Plan, Precision, Serving, Training, Workload

MOST_TRIED = 20_000  # chips, when none are given


def predict(workload: Workload, deployment: Deployment) -> Prediction:
    """The prediction of any workload on a deployment whose plan is known."""
    if isinstance(workload, Training):
        return training.predict(workload, deployment)
    if deployment.prefill_plan is not None:
        return disaggregated.predict(workload, deployment)
    return inference.predict(workload, deployment)


def best_plan(workload: Workload, deployment: Deployment, given: Mapping[str, Any]) -> Plan:
    """The fastest plan that fits `deployment.num_chips` chips (its plan is ignored), keeping `given` fields.

    If nothing fits, the plan that needs the least memory. All candidates are priced in one vectorised prediction.
    Raises `PlanError` if no plan divides the model and the chips.
    """
    if isinstance(workload, Training):
        return training.best_plan(workload, deployment, given)
    candidate = serving_plans(workload, deployment.chip, deployment.num_chips, deployment.stack, given)
    prediction = predict(workload, replace(deployment, plan=candidate))
    score = np.atleast_1d(np.asarray(prediction.metrics["total_tokens_per_s"], dtype=np.float64))
    return plans.pick(candidate, plans.best(score, prediction.fits, prediction.memory.total))


def check(plan: Plan, workload: Workload, num_chips: int) -> None:
    """`PlanError`, naming what is possible, if a plan is none for a workload on so many chips."""
    if isinstance(workload, Training):
        training.check(plan, workload, num_chips)
    else:
        plans.check(plan, workload.model, num_chips)


def serving_plans(
    serving: Serving, chip: Chip, num_chips: int, stack: Stack, given: Mapping[str, Any]
) -> Plan:  # fmt: skip
    """Every plan that serves a workload on so many chips, degrees as arrays `[plans]`, `given` ones kept.

    Raises `PlanError` if none exists.
    """
    degrees = {name: int(given[name]) for name in plans.DEGREES if name in given}
    return plans.candidates(serving.model, num_chips, degrees, stack.placement, float(np.max(chip.devices)))


def fewest_chips(workload: Workload, chip: Chip, stack: Stack, precision: Precision, given: Mapping[str, Any]) -> int:
    """The smallest number of chips that holds a workload under some plan; memory alone is asked.

    Raises `NoRoomError` if the wiring does not join enough of them.
    """
    if isinstance(workload, Serving) and workload.saturated:
        workload = replace(workload, batch=1.0)  # whatever holds one is filled
    limit = float(np.max(chip.main_memory.capacity * stack.usable_memory))
    least = float(np.max(memory.weight_bytes(workload.model, precision, Plan())))
    most = int(min(plans.most_chips(chip), MOST_TRIED))
    count = max(1, int(least // limit))
    tried = count - 1
    while count <= most:
        if _holds(workload, chip, stack, precision, count, given):
            between = range(tried + 1, count)
            return next((few for few in between if _holds(workload, chip, stack, precision, few, given)), count)
        tried, count = count, count + max(1, count // 32)
    raise NoRoomError(f"{workload.id} does not fit on {most:,} x {chip.id}, the most that its links join", most)


def _holds(
    workload: Workload, chip: Chip, stack: Stack, precision: Precision, count: int, given: Mapping[str, Any]
) -> bool:  # fmt: skip
    """Whether some plan for `count` chips fits."""
    if isinstance(workload, Training):
        return training.holds(workload, chip, stack, count, precision, given)
    try:
        plan = serving_plans(workload, chip, count, stack, given)
    except PlanError:
        return False
    deployment = Deployment(chip=chip, num_chips=count, stack=stack, plan=plan, precision=precision)
    return bool(np.any(np.greater_equal(inference.memory_room(workload, deployment, precision).most, workload.batch)))
