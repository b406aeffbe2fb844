"""Options as the JSON contract has them: who, where, on what, for how much, how sure, and how to look closer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import billing, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.engine.roof import BOUNDS
from roofline.studies import contract
from roofline.studies.decide.fleets import Part
from roofline.studies.decide.serving import Option, Refused
from roofline.studies.decide.training import Choice, Trained
from roofline.units import HOUR, MONTH
from roofline.workload import Plan, Serving
from roofline.workload.need import Demand

FLAGS = {"input_len": "input", "output_len": "output", "context_len": "context", "kv_cache": "kv-cache"}
OUTPUT, PREFILL, STEP = "output_tokens_per_s", "prefill_tokens_per_s", "step_time_s"
EVIDENCE = ("datasheet", "transferred", "measured")  # the least first


def option(found: Option, catalog: Catalog) -> dict[str, Any]:
    """A way to serve a load."""
    parts = [part(item, catalog) for item in found.parts]
    usd = found.usd
    each = [row for item in parts for row in item["demands"]]
    return {
        "where": found.where,
        "parts": parts,
        "num_chips": sum(item["num_chips"] for item in parts),
        "usd_per_month": None if usd is None else usd * MONTH,
        **{f"usd_per_month_{edge}": _sum(item[f"usd_per_month_{edge}"] for item in parts) for edge in ("low", "high")},
        "usd_per_million_tokens": None if usd is None else usd / found.load.tokens_per_s * 1e6,
        "power_w": contract.number(found.power),
        "ttft_s": max((row["ttft_s"] for row in each if row["ttft_s"]), default=None),
        "tpot_s": max((row["tpot_s"] for row in each if row["tpot_s"]), default=None),
        "bound": max(each, key=lambda row: row["replicas"] * row["chips"])["bound"],
        "evidence": min((item["evidence"] for item in parts), key=EVIDENCE.index),
    }


def part(found: Part, catalog: Catalog) -> dict[str, Any]:
    """The share of a load that one place serves."""
    where, chip = labelled(found.deployment, catalog), found.deployment.chip
    rows, predictions = [], []
    for index, demand in enumerate(found.load.demands):
        job = replace(found.load.jobs[index], batch=float(found.replica.batch[index, found.position]))
        predictions.append(search.predict(job, where))
        rows.append(_demand(demand, found, index, predictions[-1]))
    fills = [row["replicas"] for row in rows]
    edges = {name: _edge(predictions, fills, suffix) for name, suffix in (("low", "_high"), ("high", "_low"))}
    return {
        "place": found.place.name,
        "role": found.load.role or None,
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
        **{
            f"usd_per_month_{name}": None if edge is None or found.usd is None else found.usd * MONTH * edge
            for name, edge in edges.items()
        },
        "evidence": predictions[0].evidence,
        "demands": rows,
    }


def _demand(demand: Demand, found: Part, index: int, predicted: Prediction) -> dict[str, Any]:
    """Requests of one kind on a replica of a part; `replicas` are those that they fill in the mean."""
    rate, batch, ttft, tpot = (
        float(getattr(found.replica, name)[index, found.position]) for name in ("rate", "batch", "ttft", "tpot")
    )
    longest = max(predicted.phases, key=lambda phase: float(phase.time) if phase.operators else 0.0)
    largest = max(longest.operators, key=lambda item: float(item.time))
    options = {**of_role(demand, found.load.jobs[index], found.load.role), "batch": f"{batch:.0f}"}
    operator = f"{longest.name}/{largest.op.name}"
    return {
        "name": demand.name,
        "batch": batch,
        "requests_per_s": rate,
        "replicas": demand.mean / rate * found.share,
        "chips": found.deployment.num_chips,
        "ttft_s": None if found.load.role == "decode" else ttft,
        "tpot_s": tpot or None,
        "bound": BOUNDS[int(longest.bound)],
        "explain": command("explain", demand.workload, predicted.deployment.label, operator, options),
    }


def of_role(demand: Demand, job: Serving, role: str) -> dict[str, Any]:
    """The options that ask for what replicas of a role do of a request: the one phase, after the context before it."""
    given = dict(demand.options)
    if not role:
        return given
    output = given.pop("output_len", None)
    if role == "prefill":
        return {"phase": role, **given}
    lengths = {} if given.pop("input_len", None) is None else {"context_len": f"{float(np.max(job.cached)):.0f}"}
    given.pop("cached_share", None)
    return {"phase": role, **given, **lengths, **({} if output is None else {"output_len": output})}


def _edge(predictions: list[Prediction], fills: list[float], suffix: str) -> float | None:
    """The bill over the expected one where every rate is at that edge of its interval."""
    factors = []
    for predicted in predictions:
        name = OUTPUT if np.any(predicted.metrics[OUTPUT]) else PREFILL
        usual, edge = predicted.metrics[name], predicted.metrics.get(f"{name}{suffix}")
        if edge is None or usual is None:
            return None
        factors.append(float(np.max(usual / edge)))
    return float(np.dot(factors, fills) / np.sum(fills))


def _sum(values: Iterable[float | None]) -> float | None:
    """Sum of what is known; None if something is not."""
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)


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
        "power_w": contract.number(billing.system_power(metrics)),
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
