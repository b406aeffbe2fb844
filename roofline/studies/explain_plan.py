"""Why a training plan is the one that was found: the next best ones, and what each of them loses where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from roofline.engine import search, training
from roofline.engine.deployment import Deployment
from roofline.errors import RooflineError
from roofline.studies import contract
from roofline.workload import Training, Workload

SOUGHT, SHOWN = 24, 4  # plans of different degrees, and how many of them are told: the winner and three others
APART = 5e-4  # of a step: plans nearer than that to one that is told lose nothing to speak of


def explain_plan(job: Workload, deployment: Deployment, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fastest plans of different degrees that keep what is `given`, best first, and what became of all others."""
    if not isinstance(job, Training):
        raise RooflineError(f"--explain-plan belongs to training; {job.id} is served")
    ranking = training.rank(job, deployment, given, most=SOUGHT)
    counts = training.count(job, deployment, given)
    told = [ranking.plans[index] for index in apart(ranking.times)[:SHOWN]]
    rows = [_row(job, replace(deployment, plan=plan)) for plan in told]
    return {
        "considered": counts.considered,
        "invalid": counts.invalid,
        "too_large": counts.too_large,
        "fitting": counts.fitting,
        "rows": [
            {
                "rank": rank,
                **row,
                "loss": row["step_time_s"] / rows[0]["step_time_s"] - 1.0,
                "grew": _grew(rows[0], row),
            }
            for rank, row in enumerate(rows, start=1)
        ],
    }


def apart(times: Sequence[float]) -> list[int]:
    """Those of ascending times that differ from the one that is told before them.

    >>> apart([1.0, 1.0001, 1.1, 1.1, 1.2])
    [0, 2, 4]
    """
    told: list[int] = []
    for index, time in enumerate(times):
        if not told or time > times[told[-1]] * (1.0 + APART):
            told.append(index)
    return told


def _row(job: Training, deployment: Deployment) -> dict[str, Any]:
    """One plan: its step, the memory it needs, and the parts of the step."""
    found = search.predict(job, deployment)
    (step,) = found.phases
    return {
        "plan": contract.plan_fields(deployment.plan, trains=True),
        "step_time_s": contract.number(step.time),
        "memory_bytes": contract.number(found.memory.total),
        "parts": contract.parts(step),
    }


def _grew(base: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part that takes most more seconds than in the fastest plan."""
    found = most_grown(times(base["parts"]), times(row["parts"]))
    return {"name": found[0], "time_s": found[1]} if found else None


def times(parts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of each part of a step."""
    return {part["name"]: part["time_s"] or 0.0 for part in parts}


def most_grown(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[str, float] | None:
    """What has grown most, and by how much; None if nothing has.

    >>> most_grown({"bubble": 1.0, "update": 3.0}, {"bubble": 2.5, "update": 1.0, "software": 0.5})
    ('bubble', 1.5)
    """
    more = {name: value - before.get(name, 0.0) for name, value in after.items()}
    name = max(more, key=lambda each: more[each], default=None)
    return (name, more[name]) if name and more[name] > 0.0 else None
