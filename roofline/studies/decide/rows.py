"""Options as the JSON contract has them: who, where, on what, for how much, how sure, and how to look closer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.engine.roof import BOUNDS
from roofline.numeric import Num
from roofline.studies import contract
from roofline.studies.decide.fleets import Load, Part
from roofline.studies.decide.serving import Option, Refused
from roofline.studies.decide.training import Choice, Trained
from roofline.units import HOUR, MONTH
from roofline.workload import Plan
from roofline.workload.need import Demand

FLAGS = {"input_len": "input", "output_len": "output", "kv_cache": "kv-cache"}
OUTPUT, STEP = "output_tokens_per_s", "step_time_s"


def option(found: Option, catalog: Catalog) -> dict[str, Any]:
    """A way to serve a load."""
    parts = [part(item, found.load, catalog) for item in found.parts]
    usd, usual = found.usd, [item["usd_per_month"] for item in parts]
    edges = {
        edge: None if usd is None else sum(bill * item[edge] for bill, item in zip(usual, parts, strict=True))
        for edge in ("least", "most")
        if all(item[edge] is not None for item in parts)
    }
    each = [row for item in parts for row in item["demands"]]
    return {
        "where": found.where,
        "parts": parts,
        "num_chips": sum(item["num_chips"] for item in parts),
        "usd_per_month": None if usd is None else usd * MONTH,
        "usd_per_month_low": edges.get("least"),
        "usd_per_month_high": edges.get("most"),
        "usd_per_million_tokens": None if usd is None else usd / found.load.tokens_per_s * 1e6,
        "power_w": contract.number(found.power),
        "ttft_s": max((row["ttft_s"] for row in each), default=None),
        "tpot_s": max((row["tpot_s"] for row in each), default=None),
        "bound": max(each, key=lambda row: row["share"])["bound"] if each else None,
        "evidence": _weakest([item["evidence"] for item in parts]),
    }


def part(found: Part, load: Load, catalog: Catalog) -> dict[str, Any]:
    """The share of a load that one place serves; `least` and `most` are its bill over the expected one."""
    where, chip = labelled(found.deployment, catalog), found.deployment.chip
    rows, predictions = [], []
    for index, demand in enumerate(load.demands):
        job = replace(load.jobs[index], batch=float(found.replica.batch[index, found.position]))
        predicted = search.predict(job, where)
        predictions.append(predicted)
        rate = float(found.replica.rate[index, found.position])
        rows.append(_demand(demand, found, predicted, job.batch, rate))
    fills = [row["share"] for row in rows]
    return {
        "place": found.place.name,
        "chip": chip.id,
        "chip_kind": chip.kind,
        "deployment": where.label,
        "stack": where.stack.id,
        "plan": contract.plan_fields(where.plan, trains=False),
        "sites": found.place.sites,
        "replicas": found.replicas,
        "running_replicas": found.running,
        "num_chips": int(found.chips),
        "share": found.share,
        "power_w": contract.number(found.power),
        "rated_power_w": contract.number(found.rated),
        "price": contract.number(found.terms.price),
        "price_of": found.terms.price_of,
        "usd_per_month": None if found.usd is None else found.usd * MONTH,
        **{name: _edge(predictions, fills, suffix) for name, suffix in (("least", "_high"), ("most", "_low"))},
        "evidence": predictions[0].evidence,
        "demands": rows,
    }


def _demand(demand: Demand, found: Part, predicted: Prediction, batch: Num, rate: float) -> dict[str, Any]:
    """Requests of one kind on a replica of a part."""
    metrics = predicted.metrics
    longest = max(predicted.phases, key=lambda phase: float(phase.time) if phase.operators else 0.0)
    largest = max(longest.operators, key=lambda item: float(item.time))
    return {
        "name": demand.name,
        "batch": contract.number(batch),
        "requests_per_s": rate,
        "share": demand.mean / rate * found.share,
        "ttft_s": (contract.number(metrics["ttft_s"]) or 0.0) + found.place.network,
        "tpot_s": contract.number(metrics["tpot_s"]),
        "bound": BOUNDS[int(longest.bound)],
        "explain": command(
            "explain", demand.workload, predicted.deployment.label, f"{longest.name}/{largest.op.name}",
            {**demand.options, "batch": f"{float(np.max(batch)):.0f}"},
        ),
    }  # fmt: skip


def _edge(predictions: list[Prediction], fills: list[float], suffix: str) -> float | None:
    """The bill over the expected one where every rate is at that edge of its interval."""
    factors = []
    for predicted in predictions:
        usual, edge = predicted.metrics[OUTPUT], predicted.metrics.get(f"{OUTPUT}{suffix}")
        if edge is None or usual is None:
            return None
        factors.append(float(np.max(usual / edge)))
    return float(np.dot(factors, fills) / np.sum(fills))


def choice(found: Choice) -> dict[str, Any]:
    """Somebody's chips for a training run."""
    trained, usd = found.trained, found.usd
    metrics, deployment = trained.prediction.metrics, trained.deployment
    hours = trained.lasts * deployment.num_chips / HOUR
    least, most = _step_edges(trained)
    return {
        "who": found.who,
        "chip": deployment.chip.id,
        "chip_kind": deployment.chip.kind,
        "deployment": deployment.label,
        "stack": deployment.stack.id,
        "plan": contract.plan_fields(deployment.plan, trains=True),
        "num_chips": deployment.num_chips,
        "chip_hours": contract.number(hours),
        "chip_hours_low": None if least is None else hours * least,
        "chip_hours_high": None if most is None else hours * most,
        "time_to_train_s": contract.number(trained.lasts),
        "in_time": trained.in_time,
        "why": _late(trained),
        "price": contract.number(found.terms.price),
        "price_of": found.terms.price_of,
        "usd": usd,
        "usd_low": None if usd is None or least is None else usd * least,
        "usd_high": None if usd is None or most is None else usd * most,
        "power_w": contract.number(metrics.get("power_w")),
        "goodput": contract.number(metrics.get("goodput")),
        "mfu": contract.number(metrics.get("mfu")),
        "bound": BOUNDS[int(trained.prediction.phases[0].bound)],
        "evidence": trained.prediction.evidence,
        "explain": command("explain", trained.run.workload, deployment.label, _largest(trained), trained.run.options),
    }


def _late(trained: Trained) -> str | None:
    """Why a run is none that is done in time."""
    prediction = trained.prediction
    if not prediction.fits:
        return contract.why_not(prediction.memory, prediction.capacity, prediction.max_batch, prediction.workload)
    return None if trained.in_time else f"takes {trained.lasts / 86400.0:,.3g} days"


def _step_edges(trained: Trained) -> tuple[float | None, float | None]:
    """The shortest and the longest step over the expected one."""
    metrics = trained.prediction.metrics
    usual, low, high = (metrics.get(f"{STEP}{suffix}") for suffix in ("", "_low", "_high"))
    if usual is None or low is None or high is None:
        return None, None
    return float(np.max(low / usual)), float(np.max(high / usual))


def _largest(trained: Trained) -> str:
    """The operator that takes most of a step."""
    step = trained.prediction.phases[0]
    return f"{step.name}/{max(step.operators, key=lambda item: float(item.time)).op.name}"


def refused(found: Refused) -> dict[str, Any]:
    """A chip that can't serve a load in a place."""
    return {"chip": found.chip, "place": found.place, "why": found.why}


def labelled(deployment: Deployment, catalog: Catalog) -> Deployment:
    """A deployment called as one writes it, with what predictions like its own were off by."""
    named = ",".join(f"{name}={value:.0f}" for name, value in _degrees(deployment.plan))
    label = f"{deployment.num_chips}x{deployment.chip.id}" + (f":{named}" if named else "")
    return replace(deployment, label=label, spreads=catalog.spreads(deployment.chip, deployment.stack))


def _degrees(plan: Plan) -> Iterator[tuple[str, float]]:
    """Degrees that are worth writing."""
    for name in ("tp", "pp", "dp", "ep"):
        value = float(getattr(plan, name))
        if value > 1.0:
            yield name, value


def command(verb: str, workload: str, deployment: str, operator: str, options: dict[str, Any] | Any) -> str:
    """The command that shows how a number came about.

    >>> command("explain", "llama-3.1-8b", "h100-sxm", "decode/mlp/down", {"batch": "8", "input_len": 100})
    'roofline explain llama-3.1-8b h100-sxm decode/mlp/down --batch 8 --input 100'
    """
    flags = " ".join(f"--{FLAGS.get(name, name.replace('_', '-'))} {value}" for name, value in options.items())
    return f"roofline {verb} {workload} {deployment} {operator} {flags}".rstrip()


def _weakest(evidence: list[str]) -> str:
    """The least that stands behind any of several predictions."""
    return min(evidence, key=("datasheet", "transferred", "measured").index)
