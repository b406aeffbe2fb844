"""The best plan for a workload on so many chips, and the fewest chips that hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.engine import disaggregated, inference, memory, plans, training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import NoRoomError, PlanError
from roofline.machine import Chip, Stack
from roofline.workload import Plan, Precision, Serving, Training, Workload
from roofline.workload.plan import Recompute

MICRO_BATCHES = (1.0, 2.0, 4.0, 8.0)  # sequences
CHUNKS = (1.0, 2.0, 4.0, 8.0)  # per pipeline stage
RECOMPUTES: tuple[Recompute, ...] = ("none", "full")
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
    found: list[tuple[float, float, Plan]] = []
    for candidate in _candidates(workload, deployment.chip, deployment.num_chips, deployment.stack, given):
        prediction = predict(workload, replace(deployment, plan=candidate))
        score = _score(prediction)
        index = plans.best(score, prediction.fits, prediction.memory.total)
        fits = bool(np.broadcast_to(prediction.fits, np.shape(score))[index])
        need = float(np.broadcast_to(prediction.memory.total, np.shape(score))[index])
        found.append((float(score[index]) if fits else -np.inf, -need, plans.pick(candidate, index)))
    return max(found, key=lambda item: item[:2])[2]


def _score(prediction: Prediction) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """What a plan is chosen for: tokens per second."""
    name = "tokens_per_s" if isinstance(prediction.workload, Training) else "total_tokens_per_s"
    return np.atleast_1d(np.asarray(prediction.metrics[name], dtype=np.float64))


def _candidates(
    workload: Workload, chip: Chip, num_chips: int, stack: Stack, given: Mapping[str, Any]
) -> Iterable[Plan]:  # fmt: skip
    """Arrays of plans; for training one array for each way to recompute, the only setting that is not a number."""
    degrees = {name: int(given[name]) for name in plans.DEGREES if name in given}
    whole = plans.candidates(workload.model, num_chips, degrees, stack.placement, float(np.max(chip.devices)))
    if isinstance(workload, Serving):
        yield whole
        return
    crossed = _with_schedules(workload, whole, given)
    recomputes = [given["recompute"]] if "recompute" in given else RECOMPUTES
    for recompute in recomputes:
        yield replace(crossed, recompute=recompute)


def _with_schedules(workload: Training, whole: Plan, given: Mapping[str, Any]) -> Plan:
    """Every plan with every size of micro-batch and number of chunks per stage that divide its batch and its layers."""
    micro, chunks = (
        np.array([float(given[name])] if name in given else choices)
        for name, choices in (("micro_batch", MICRO_BATCHES), ("vpp", CHUNKS))
    )
    index, micro_batch, vpp = (axis.ravel() for axis in np.meshgrid(np.arange(np.size(whole.tp)), micro, chunks))
    degrees = {name: np.broadcast_to(getattr(whole, name), np.shape(whole.tp))[index] for name in plans.DEGREES}
    divides = np.equal(np.mod(workload.global_batch, degrees["dp"] * micro_batch), 0.0)
    if not divides.any():
        dp = ", ".join(f"{value:.0f}" for value in np.unique(degrees["dp"]))
        raise PlanError(f"no dp of {dp} divides the global batch of {np.max(workload.global_batch):,.0f} sequences")
    useful = (vpp == 1.0) | (degrees["pp"] > 1.0) & (vpp <= np.ceil(workload.model.layers / degrees["pp"]))
    kept = divides & (useful | ("vpp" in given))
    return Plan(
        **{name: values[kept] for name, values in degrees.items()},
        micro_batch=micro_batch[kept],
        vpp=vpp[kept],
        zero=float(given.get("zero", 1)),
        placement=whole.placement,
        devices=whole.devices,
    )


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
    try:
        for plan in _candidates(workload, chip, count, stack, given):
            deployment = Deployment(chip=chip, num_chips=count, stack=stack, plan=plan, precision=precision)
            if isinstance(workload, Training):
                total = training.memory_needs(workload, plan, precision).total
                held = np.less_equal(total, chip.main_memory.capacity * stack.usable_memory)
            else:
                held = np.greater_equal(inference.memory_room(workload, deployment, precision).most, workload.batch)
            if np.any(held):
                return True
    except PlanError:
        return False
    return False
