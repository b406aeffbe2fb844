"""Predictions as the JSON contract: plain dictionaries of SI numbers, stable names, `schema` for their version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from roofline import __version__
from roofline.engine import energy, interval, roof, training
from roofline.engine.memory import Memory
from roofline.engine.ops import COLLECTIVE
from roofline.engine.prediction import POOLS, Phase, Prediction
from roofline.engine.roof import BOUNDS, Priced
from roofline.machine.evidence import Spread
from roofline.numeric import Num
from roofline.studies import economics, plain, timeline
from roofline.units import show
from roofline.workload import Plan, Serving, Speculation, Training, Workload
from roofline.workload.dtype import bytes_of

number = plain.number

PREDICTION_SCHEMA = "roofline.prediction/1"
BESIDE = ("_ideal", "_low", "_high")  # what stands beside each time and rate
DRAWN = ("power_w", "energy_j_per_token", "system_power_w", "system_energy_j_per_token")  # have intervals, but no bound
# By what deployments are compared: the first of these that a workload has.
RANKED = ("output_tokens_per_s_per_chip", "prefill_tokens_per_s", "tokens_per_s_per_chip")
COMPARISON_SCHEMA = "roofline.comparison/1"
TRAINING = "training"  # the phase of a training run
ANY_LAYER = ("context", "software")  # what layers of every group have alike
# Fields of a plan that are told where they are not as they usually are.
UNUSUAL = (
    "shard", "expert_tp", "selective", "recompute_layers", "offload_activations", "offload_optimizer",
    "sequence_parallel", "flash", "fused_loss", "schedule", "context",
)  # fmt: skip
USUAL = Plan()


def prediction(result: Prediction) -> dict[str, Any]:
    """One prediction of one point (no arrays) as the contract has it."""
    deployment, chip = result.deployment, result.deployment.chip
    model, precision = result.workload.model, result.precision
    fits = bool(result.fits)
    pool = "" if result.fullest is None else POOLS[int(result.fullest)]
    return {
        "schema": PREDICTION_SCHEMA,
        "version": __version__,
        "workload": workload(result.workload),
        "deployment": {
            "label": deployment.label,
            "chip": chip.id,
            "chip_name": chip.name,
            "chip_kind": chip.kind,
            "num_chips": deployment.num_chips,
            "stack": deployment.stack.id,
            "plan": _plan(result, deployment.plan),
            **_pools(result),
            "weights": precision.weights,
            "activations": precision.activations,
            "kv_cache": precision.kv_cache,
            "arithmetic": roof.arithmetic(chip, precision.arithmetic),
        },
        "model": {
            "id": model.id,
            "parameters": model.parameters,
            "active_parameters": model.active_parameters,
            "weight_bytes": result.weight_bytes,
            "kv_cache_bytes_per_token": model.cache_values_per_token * bytes_of(precision.kv_cache),
        },
        "fits": fits,
        "why": None if fits else _why(result, pool),
        "memory": {
            "capacity_bytes": number(result.capacity),
            "weight_bytes": number(result.memory.weights),
            "kv_cache_bytes": number(result.memory.kv_cache),
            "gradient_bytes": number(result.memory.gradients),
            "optimizer_bytes": number(result.memory.optimizer),
            "activation_bytes": number(result.memory.activations),
            "buffer_bytes": number(result.memory.buffers),
            "host_bytes": number(result.memory.host),
            "total_bytes": number(result.memory.total),
            "max_batch": number(result.max_batch),
            **({"pool": pool} if pool else {}),
            **_stage(result),
        },
        "phases": [
            phase(
                item,
                _ridge(item),
                interval.of_phase(item.name, deployment),
                _rounds(result),
                _phase_power(result, item),
            )
            for item in result.phases
        ],
        **timeline.timeline(result),
        "metrics": metrics(result.metrics),
        "economics": economics.block(result),
        "roofs": {
            "dtype": roof.arithmetic(chip, precision.arithmetic),
            "peak_flops_per_s": number(roof.peak(chip, precision.arithmetic)),
            "memory": [
                {
                    "name": level.name,
                    "bandwidth_bytes_per_s": number(level.bandwidth),
                    "main": level is chip.main_memory,
                }
                for level in chip.memory
            ],
            "link_bytes_per_s": number(chip.links[0].bandwidth) if chip.links else None,
        },
        "evidence": {
            "calibration": result.evidence,
            **_worth(interval.headline(deployment, result.metrics)),
            "power": chip.energy_evidence if chip.energy is not None else None,
            "sources": list(result.sources),
        },
        "notes": list(result.notes),
    }


def comparison(job: Workload, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Predictions of one workload on several deployments, and which of them the evidence can't tell apart."""
    metric = next((name for name in RANKED if any(row["metrics"].get(name) for row in rows)), None)
    return {
        "schema": COMPARISON_SCHEMA,
        "version": __version__,
        "workload": workload(job),
        "rows": rows,
        "indistinguishable": {"metric": metric, "pairs": _pairs(rows, metric) if metric else []},
    }


def _pairs(rows: list[dict[str, Any]], metric: str) -> list[list[str]]:
    """Deployments that fit and whose intervals of a metric overlap, two and two."""
    known = [row for row in rows if row["fits"] and row["metrics"].get(f"{metric}_low") is not None]
    return [
        [one["deployment"]["label"], other["deployment"]["label"]]
        for one, other in combinations(known, 2)
        if _overlap(one["metrics"], other["metrics"], metric)
    ]


def _overlap(one: Mapping[str, float], other: Mapping[str, float], metric: str) -> bool:
    low, high = f"{metric}_low", f"{metric}_high"
    return one[low] <= other[high] and other[low] <= one[high]


def workload(job: Workload) -> dict[str, Any]:
    """What was asked for."""
    common = {"id": job.id, "kind": "training" if isinstance(job, Training) else "serving", "model": job.model.id}
    if isinstance(job, Training):
        return common | {
            "tokens": number(job.tokens),
            "seq_len": number(job.seq_len),
            "global_batch": number(job.global_batch),
            "optimizer": job.optimizer,
            "lora_rank": number(job.lora_rank),
            "lora_targets": job.lora_targets if job.frozen else None,
            "imbalance": number(job.imbalance),
        }
    return common | {
        "steps": [timeline.step(step) for step in job.steps],
        "batch": number(job.batch),
        "input_len": number(job.input_len),
        "output_len": number(job.output_len),
        "context_len": number(job.context_len),
        "cached_share": number(job.cached_share),
        "speculative": _speculation(job.speculative),
        "imbalance": number(job.imbalance),
        "slo": {"ttft_s": job.slo.ttft_s, "tpot_s": job.slo.tpot_s},
    }


def _speculation(guesses: Speculation) -> dict[str, Any] | None:
    """What is drafted, and how many tokens a step yields by it; None if nothing is."""
    if not guesses.on:
        return None
    return {
        "tokens": number(guesses.tokens),
        "acceptance": number(guesses.acceptance),
        "model": guesses.model.id if guesses.model else None,
        "cost": number(guesses.cost),
        "tokens_per_step": number(guesses.gain),
    }


def _stage(result: Prediction) -> dict[str, Any]:
    """The pipeline stage that needs the most memory, where a run has several: its number from 1, and its name."""
    stages = int(result.deployment.plan.pp)
    if not isinstance(result.workload, Training) or stages == 1:
        return {}
    index = int(result.memory.stage)
    name = "first" if index == 0 else "last" if index == stages - 1 else "second" if index == 1 else str(index + 1)
    return {"stage": index + 1, "stage_name": name}


def _pools(result: Prediction) -> dict[str, Any]:
    """Chips of each pool and the plan of the one that reads prompts, where there are two; `plan` is the other's."""
    reading, writing = result.deployment.prefill_plan, result.deployment.plan
    if reading is None:
        return {}
    chips = (int(plan.num_chips) for plan in (reading, writing))
    return {"pools": dict(zip(POOLS, chips, strict=True)), "prefill_plan": _plan(result, reading)}


def _plan(result: Prediction, plan: Plan) -> dict[str, Any]:
    return plan_fields(plan, trains=isinstance(result.workload, Training))


def plan_fields(plan: Plan, *, trains: bool) -> dict[str, Any]:
    """Degrees; of training also what every run has to say, and whatever else is not as usual."""
    degrees = {name: number(getattr(plan, name)) for name in ("tp", "pp", "dp", "ep", "cp")}
    if not trains:
        return degrees
    more = {name: number(getattr(plan, name)) for name in ("vpp", "zero", "micro_batch")}
    unusual = {name: getattr(plan, name) for name in UNUSUAL if getattr(plan, name) != getattr(USUAL, name)}
    if plan.recompute != "selective":
        unusual.pop("selective", None)
    told = {name: value if isinstance(value, (bool, str)) else number(value) for name, value in unusual.items()}
    return {**degrees, **more, "recompute": plan.recompute, **told}


def metrics(known: Mapping[str, Num | None]) -> dict[str, float | None]:
    """Every metric that is told; unknown where nothing like it was measured."""
    return {name: number(known.get(name)) for name in metric_names(known)}


def metric_names(known: Iterable[str]) -> Iterator[str]:
    """What is told of so many metrics: `_low` and `_high` too for each that has an ideal, and for power and energy."""
    given = list(known)
    for name in given:
        if not name.endswith(BESIDE):
            edges = BESIDE if f"{name}_ideal" in given else BESIDE[1:] if name in DRAWN else ()
            yield from (name, *(f"{name}{edge}" for edge in edges))


def _ridge(item: Phase) -> Num:
    return np.divide(item.peak, item.bandwidth) if np.isfinite(item.bandwidth) else np.inf


def _worth(spread: Spread | None) -> dict[str, float | None]:
    """How many measurements of its like there were, and how far off predictions of them were."""
    if spread is None:
        return {"cases": 0, "median_error": None}
    return {"cases": spread.cases, "median_error": spread.median_error}


def phase(
    item: Phase,
    chip_ridge: Num,
    factors: tuple[Num, Num] | None = None,
    rounds: Num = 1.0,
    power: Num | None = None,
) -> dict[str, Any]:
    """One phase with its operators, most expensive first; `factors` of its time make the interval, each layer works
    `rounds` times in a pass, and all chips together draw `power` [W]."""
    operators = [_operator(priced, item) for priced in item.operators]
    return {
        "phase": item.name,
        "passes": number(item.repeat),
        "time_s": number(item.time),
        "ideal_time_s": number(item.ideal_time),
        "low_time_s": number(np.maximum(item.time * factors[0], item.ideal_time)) if factors else None,
        "high_time_s": number(item.time * factors[1]) if factors else None,
        "bound": BOUNDS[int(item.bound)] if item.operators else None,
        "flops": number(item.flops),
        "memory_bytes": number(item.memory_bytes),
        "network_bytes": number(item.network_bytes),
        "arithmetic_intensity": _intensity(item.flops, item.memory_bytes),
        "ridge_point": number(chip_ridge),
        "mfu": number(item.mfu) if item.operators else None,
        "mbu": number(item.mbu) if item.operators else None,
        "power_w": number(power),
        "energy_j": None if power is None else number(power * item.time),
        "layers": _layers(item, rounds),
        **({"parts": parts(item)} if item.name == TRAINING else {}),
        "operators": sorted(operators, key=lambda operator: -(operator["time_s"] or 0.0)),
    }


def _phase_power(result: Prediction, item: Phase) -> Num | None:
    """Watts of all chips that work on a phase."""
    power = energy.chip_power(result.deployment.chip, item)
    return None if power is None else power * result.chips_of(item)


def parts(step: Phase) -> list[dict[str, Any]]:
    """What a training step consists of, all that takes time or would."""
    return [
        {
            "name": part.name,
            "time_s": number(part.time),
            "hidden_time_s": number(part.hidden),
            "share": number(part.time / step.time),
        }
        for part in training.parts(step)
        if part.time or part.hidden
    ]


def _rounds(result: Prediction) -> Num:
    """How often each layer works in a pass: once for each micro-batch of a training step."""
    return (
        training.micro_batches(result.workload, result.deployment.plan)
        if isinstance(result.workload, Training)
        else 1.0
    )


def _layers(item: Phase, rounds: Num) -> list[dict[str, Any]]:
    """Each group of layers: how many a pipeline stage has of it in training, or there are, and the time of one in one
    pass; last, all that is outside of layers. What belongs to layers of any group is theirs where they are all alike;
    else exchanges for attention are a group, and software is outside.
    """
    named = dict.fromkeys(priced.op.layer for priced in item.operators)
    own = [name for name in named if name and name not in ANY_LAYER]
    shared = dict.fromkeys(ANY_LAYER, own[0]) if len(own) == 1 else {"software": ""}
    group_of = {name: shared.get(name, name) for name in named}
    rows = []
    for group in sorted(dict.fromkeys(group_of.values()), key=lambda name: name == ""):
        inside = [priced for priced in item.operators if group_of[priced.op.layer] == group]
        counted = [priced.op.count for priced in inside if priced.op.layer == group]
        layers = min(counted) / rounds if group else 1.0
        each = number(roof.expected_time(inside) / layers)
        rows.append({"name": group or "outside of layers", "count": number(layers), "time_s": each})
    return rows


def _operator(priced: Priced, item: Phase) -> dict[str, Any]:
    op, count = priced.op, priced.op.count * item.repeat
    sent = op.message.size if op.kind == COLLECTIVE and op.message else 0.0
    step = float(total_time(item))
    return {
        "name": op.name,
        "kind": op.message.algorithm if op.message else op.kind,
        "count": number(count),
        "time_s": number(priced.time * item.repeat),
        "hidden_time_s": number(priced.hidden_time * item.repeat),
        "ideal_time_s": number(priced.ideal_time * item.repeat),
        "share": number(priced.time / step) if step else None,
        "bound": BOUNDS[int(priced.bound)],
        "flops": number(op.flops * count),
        "memory_bytes": number(op.moved * count),
        "network_bytes": number(sent * count),
        "arithmetic_intensity": _intensity(op.flops, op.moved),
    }


def total_time(item: Phase) -> Num:
    """Seconds of one step's operators, one after another."""
    return roof.expected_time(item.operators)


def _intensity(flops: Num, moved: Num) -> float | None:
    return number(flops / moved) if np.all(np.greater(moved, 0.0)) else None


def _why(result: Prediction, pool: str) -> str:
    """Why a workload does not fit, and in which pool."""
    text = why_not(result.memory, result.capacity, result.max_batch, result.workload)
    return f"its {pool} pool {text}" if pool else text


def why_not(held: Memory, capacity: Num, max_batch: Num, job: Workload) -> str:
    """Why a workload does not fit: what it needs against what there is, by part, and what would fit."""
    parts = {
        "weights": held.weights,
        "KV cache": held.kv_cache,
        "gradients": held.gradients,
        "optimizer": held.optimizer,
        "activations": held.activations,
    }
    shown = ", ".join(f"{name} {show(float(size), 'B', 3)}" for name, size in parts.items() if float(size) > 0)
    text = f"needs {show(float(held.total), 'B', 3)} per chip ({shown}), has {show(float(capacity), 'B', 3)}"
    if isinstance(job, Serving) and float(max_batch) >= 1:
        text += f"; at most {float(max_batch):,.0f} requests fit at once"
    return text
