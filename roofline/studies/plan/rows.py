"""Combinations as the contract has them, each predicted by itself, as `analyze` does with the deployment it names."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.plans import experts_of
from roofline.numeric import finite
from roofline.studies import contract
from roofline.studies.plan.choose import Option
from roofline.studies.plan.limits import Limit
from roofline.studies.request import SHAPE, Options, flag, resolve_deployment
from roofline.workload import Plan, Serving, Training, Workload

# The far edge of the interval of what limits are about, of serving and (True) of training.
WORST = {
    ("ttft", False): "ttft_s_high",
    ("tpot", False): "tpot_s_high",
    ("throughput", False): "output_tokens_per_s_low",
    ("power", False): "system_power_w_high",
    ("within", True): "time_to_train_s_high",
    ("throughput", True): "tokens_per_s_low",
    ("power", True): "system_power_w_high",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What all rows of a chip share: how workload and chip, or system of `each` chips, were written, and settings that
    are not the workload's."""

    workload: str
    chip: str
    settings: Mapping[str, Any]
    each: int = 1


def written(asked: Asked, option: Option, job: Workload) -> str:
    """The deployment that `analyze` takes for a combination."""
    plan, reads = option.space.plan_at(option.index), option.space.reads_at(option.index)
    settings = {**asked.settings, **_plan_settings(plan, job)}
    if reads is not None:
        settings |= {"pools": f"{reads.num_chips:.0f}:{plan.num_chips:.0f}"}
        settings |= {f"prefill_{name}": value for name, value in _plan_settings(reads, job).items()}
    told = ",".join(f"{key}={_text(value)}" for key, value in settings.items())
    return f"{option.figure('num_chips') / asked.each:.0f}x{asked.chip}:{told}"


def _label(label: str, asked: Asked) -> str:
    """How many of what, without the plan, which has a column of its own."""
    shape = asked.settings.get(SHAPE)
    return label.partition(":")[0] + (f":{SHAPE}={shape}" if shape else "")


def _plan_settings(plan: Plan, job: Workload) -> dict[str, Any]:
    """What of a plan is to be said, so that nothing is left to find: dp follows from the number of chips."""
    fields = contract.plan_fields(plan, trains=isinstance(job, Training))
    told = {name: value for name, value in fields.items() if value is not None and name != "dp"}
    if experts_of(job.model) <= 1:
        told.pop("ep", None)
    if isinstance(job, Serving):
        told.pop("cp", None)
    return told


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def row(
    option: Option, asked: Asked, job: Workload, limits: Sequence[Limit], options: Options, catalog: Catalog
) -> dict[str, Any]:  # fmt: skip
    """A combination in full: what it is, what it does, and what the limits leave of it."""
    text = written(asked, option, job)
    if isinstance(job, Serving):
        job = replace(job, batch=float(option.space.batch[option.index]))
    found = search.predict(job, resolve_deployment(catalog, text, job, options))
    told = contract.prediction(found)
    metrics = told["metrics"]
    rented = metrics.get("cost_usd" if isinstance(job, Training) else "usd_per_request") is not None
    figures = {name: finite(option.figure(name)) for name in option.space.numbers}
    known = rented or metrics.get("own_cost_usd" if isinstance(job, Training) else "own_usd_per_request") is not None
    return {
        "deployment": told["deployment"] | {"label": _label(told["deployment"]["label"], asked)},
        "written": text,
        "batch": None if isinstance(job, Training) else finite(float(job.batch)),
        "payment": ("rent" if rented else "own") if known else None,
        "figures": figures,
        "limits": [
            {
                "limit": limit.name,
                "value": figures[limit.figure],
                "bound": limit.value,
                "margin": limit.margin(figures[limit.figure]),
                "worst": metrics.get(WORST.get((limit.name, isinstance(job, Training)), "")),
            }
            for limit in limits
        ],
        "bounds": {item["phase"]: item["bound"] for item in told["phases"]},
        "memory": told["memory"],
        "metrics": metrics,
        "evidence": told["evidence"],
        "notes": told["notes"],
        "analyze": command(asked.workload, text, job, options),
        "spent": spent(told),
    }


def spent(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the time of a request alone, or of a step, goes to: shares, the largest first."""
    seconds: dict[tuple[str, str], float] = {}
    for phase in told["phases"]:
        for item in phase["operators"]:
            key = (phase["phase"], item["bound"])
            seconds[key] = seconds.get(key, 0.0) + (item["time_s"] or 0.0)
    every = sum(seconds.values()) or 1.0
    found = [
        {"phase": phase, "bound": bound, "time_s": time, "share": time / every}
        for (phase, bound), time in seconds.items()
    ]
    return sorted(found, key=lambda item: -item["share"])


def point(option: Option, job: Workload, kept: bool) -> dict[str, Any]:
    """A combination in short, as a point of a frontier."""
    space, index = option.space, option.index
    reads = space.reads_at(index)
    precision = space.deployment.precision_for(job.precision)
    names = ("num_chips", "ttft_s", "tpot_s", "tokens_per_s_per_user", "tokens_per_s_per_chip", "usd_per_hour")
    return {
        "batch": finite(float(space.batch[index])),
        "plan": contract.plan_fields(space.plan_at(index), trains=False),
        **({} if reads is None else _apart(reads, space.plan_at(index))),
        "weights": precision.weights,
        **{name: finite(option.figure(name)) for name in names},
        "kept": kept,
    }


def _apart(reads: Plan, writes: Plan) -> dict[str, Any]:
    """The pools of a combination, as a deployment has them."""
    chips = {"prefill": int(reads.num_chips), "decode": int(writes.num_chips)}
    return {"pools": chips, "prefill_plan": contract.plan_fields(reads, trains=False)}


def command(name: str, deployment: str, job: Workload, options: Options) -> str:
    """What to run for a closer look: the deployment, and everything that was asked besides."""
    told = ["roofline", "analyze", name, deployment]
    told += ["--batch", f"{float(job.batch):.0f}"] if isinstance(job, Serving) else []
    for item in fields(options):
        value = getattr(options, item.name)
        if item.name not in ("settings", "batch") and value is not None:
            told += [f"--{flag(item.name)}", _text(value)]
    return shlex.join(told)
