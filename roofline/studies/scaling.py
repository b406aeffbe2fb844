"""How a training run scales: the best plan for more and more chips, what it makes of them, and where that ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from roofline.engine import plans, search, training
from roofline.engine.deployment import Deployment
from roofline.engine.roof import BOUNDS
from roofline.errors import PlanError, RooflineError, did_you_mean
from roofline.studies import contract
from roofline.studies.explain_plan import most_grown, times
from roofline.workload import Training, Workload

STRONG, WEAK = KINDS = ("strong", "weak")
MOST = 64  # times the fewest chips, where nothing else says how far to go
SAME = 0.99  # of the efficiency before: what keeps as much has not dropped
WORTH = 0.8  # of the tokens per second and chip that the fewest chips reach


def scaling(job: Workload, deployment: Deployment, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Chips in powers of two from the fewest that hold the run, to those of the deployment and 64 times as many.

    `strong` scaling keeps the global batch, `weak` scaling lets it grow with the chips from what it is on the fewest.
    """
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS, most=1)
        raise RooflineError(f"--scaling {kind}: " + (f"did you mean {near}?" if near else f"one of {', '.join(KINDS)}"))
    if not isinstance(job, Training):
        raise RooflineError(f"--scaling belongs to training; {job.id} is served")
    rows, stopped = [], None
    fewest = _fewest(job, deployment, given)
    for count in _counts(deployment, fewest):
        grown = replace(job, global_batch=job.global_batch * (count / fewest if kind == WEAK else 1.0))
        where = replace(deployment, num_chips=count)
        try:
            rows.append(_row(grown, replace(where, plan=training.best_plan(grown, where, given))))
        except PlanError as reason:
            stopped = f"{count:,} chips: {reason}"
            break
    fitting = [row for row in rows if row["fits"]]
    told = [_beside(fitting[0], row) for row in fitting]
    return {"kind": kind, "rows": told, "cliff": cliff(told), "stopped": stopped}


def _fewest(job: Training, deployment: Deployment, given: Mapping[str, Any]) -> int:
    """The smallest power of two that holds the run; `PlanError` if none does that links join."""
    chip, stack, precision = deployment.chip, deployment.stack, deployment.precision_for(job.precision)
    most = int(min(plans.most_chips(chip), max(search.MOST_TRIED, deployment.num_chips)))
    for count in (1 << power for power in range(most.bit_length())):
        if training.holds(job, chip, stack, count, precision, given):
            return count
    raise PlanError(f"{deployment.label}: no power of two of up to {most:,} chips holds {job.id}")


def _counts(deployment: Deployment, fewest: int) -> Iterator[int]:
    """Powers of two, and the deployment's own number of chips."""
    most = min(plans.most_chips(deployment.chip), max(MOST * fewest, deployment.num_chips))
    count = fewest
    while count <= most:
        yield count
        if count < deployment.num_chips < 2 * count:
            yield deployment.num_chips
        count *= 2


def _row(job: Training, deployment: Deployment) -> dict[str, Any]:
    """The run on so many chips."""
    found = search.predict(job, deployment)
    (step,) = found.phases
    return {
        "num_chips": deployment.num_chips,
        "global_batch": contract.number(job.global_batch),
        "plan": contract.plan_fields(deployment.plan, trains=True),
        "fits": bool(found.fits),
        **{
            name: contract.number(found.metrics[name])
            for name in ("step_time_s", "tokens_per_s", "tokens_per_s_per_chip")
        },
        "bound": BOUNDS[int(step.bound)],
        "parts": contract.parts(step),
    }


def _beside(base: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """With what a chip makes of its time beside one of the fewest, and the part that takes most of what is lost."""
    return {
        **{name: value for name, value in row.items() if name != "fits"},
        "efficiency": row["tokens_per_s_per_chip"] / base["tokens_per_s_per_chip"],
        "grew": _grew(base, row),
    }


def _grew(base: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part that needs most more chip-seconds for a token, as a share of all that a token needs on the fewest."""
    found = most_grown(_costs(base), _costs(row))
    return {"name": found[0], "loss": found[1] * base["tokens_per_s_per_chip"]} if found else None


def _costs(row: Mapping[str, Any]) -> dict[str, float]:
    """Chip-seconds of a token, by part of the step."""
    token = 1.0 / row["tokens_per_s_per_chip"]
    return {name: seconds / row["step_time_s"] * token for name, seconds in times(row["parts"]).items()}


def cliff(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Where it stops to pay: the first row below four fifths of the efficiency, else the one after the largest drop;
    `grew` is what takes most of what is lost since the fewest chips, or since the row before. None if nothing drops.
    """
    below = next((row for row in rows if row["efficiency"] < WORTH), None)
    if below:
        return _cliff(rows[0], below, WORTH)
    kept = {after["efficiency"] / before["efficiency"]: (before, after) for before, after in pairwise(rows)}
    least = min(kept, default=1.0)
    return _cliff(*kept[least], None) if least < SAME else None


def _cliff(before: Mapping[str, Any], after: Mapping[str, Any], below: float | None) -> dict[str, Any]:
    return {
        "num_chips": after["num_chips"],
        "efficiency": after["efficiency"],
        "before": before["efficiency"],
        "below": below,
        "grew": _grew(before, after),
    }
