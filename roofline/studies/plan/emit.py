"""The flags that start a deployment: quantities of a plan, written as each stack is told them (`launch.yaml`)."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roofline.catalog import document
from roofline.engine.plans import experts_of
from roofline.engine.training import micro_batches
from roofline.errors import RooflineError, did_you_mean
from roofline.workload import Plan, Precision, Serving, Training, Workload

FILE = Path(__file__).with_name("launch.yaml")
PLAIN = ("bf16", "fp16")  # formats that checkpoints have unless something is said
AHEAD = 2.0  # requests in a stage of a prefill pool: the one that is read, and the next
PARTLY = (1.0, 2.0)  # ZeRO stages that divide something, but not everything
Quantities = Mapping[str, Any]
Stack = Mapping[str, Any]


def stack(name: str, job: Workload) -> Stack:
    """What is known of a stack; `RooflineError` if that is nothing, or it does another kind of work."""
    known = document.read(FILE).data
    if name not in known:
        near = did_you_mean(name, known, most=1)
        raise RooflineError(f"--emit {name}: " + (f"did you mean {near}?" if near else f"one of {', '.join(known)}"))
    found: Stack = known[name]
    kind = "training" if isinstance(job, Training) else "serving"
    if found["of"] != kind:
        others = ", ".join(other for other, item in known.items() if item["of"] == kind)
        raise RooflineError(f"--emit {name}: {found['name']} is for {found['of']}; {job.id} is {kind} ({others})")
    return found


def emit(name: str, job: Workload, plan: Plan, reads: Plan | None, precision: Precision) -> dict[str, Any]:
    """The commands of a deployment, one for each pool, and what must be known besides.

    Raises `RooflineError` for what the stack can't do.
    """
    told = stack(name, job)
    pools = told.get("pools", {})
    if reads is not None and not pools:
        raise RooflineError(f"--emit {name}: {told['name']} has no flags here for pools; leave --disaggregate out")
    parts = [("", plan)] if reads is None else [("prefill", reads), ("decode", plan)]
    commands: list[dict[str, Any]] = []
    notes: list[str] = []
    for pool, one in parts:
        known = quantities(_in_pool(job, one, pool), one, precision, told)
        _refuse(name, told, known)
        arguments = [*_arguments(name, told, known), *(pools[pool] if pool else ())]
        commands.append({"what": _what(pool, known), "lines": _lines(told, job, arguments), "arguments": arguments})
        notes += _notes(told, known)
    if reads is not None:
        notes.append("a router of your own sends prompts to the prefill pool and hands them on")
    return {
        "stack": name,
        "name": told["name"],
        "commands": commands,
        "notes": list(dict.fromkeys(notes)),
        "sources": list(told["sources"]),
    }


def _in_pool(job: Workload, plan: Plan, pool: str) -> Workload:
    """The requests of a pool: of those that read prompts as many as a replica reads, and as many on their way."""
    if pool != "prefill" or isinstance(job, Training):
        return job
    return replace(job, batch=min(float(job.batch), AHEAD * float(plan.dp) * float(plan.pp)))


def quantities(job: Workload, plan: Plan, precision: Precision, told: Stack) -> dict[str, Any]:
    """Everything that flags are made of."""
    degrees = {name: float(getattr(plan, name)) for name in ("tp", "pp", "dp", "ep", "cp", "vpp", "zero")}
    known: dict[str, Any] = {
        **degrees,
        "chips": float(plan.num_chips),
        "weights": precision.weights,
        "activations": precision.activations,
        "kv_cache": precision.kv_cache,
    }
    return known | (_of_run(job, plan) if isinstance(job, Training) else _of_server(job, plan, told))


def _of_server(job: Serving, plan: Plan, told: Stack) -> dict[str, Any]:
    """What servers are told: `joined` replicas are one server, as they share experts or as one command starts them
    (`joined_apart` of them)."""
    tp, dp, ep = (float(value) for value in (plan.tp, plan.dp, plan.ep))
    by_experts = max(ep / tp, 1.0)
    plain = experts_of(job.model) <= 1 and "replicas" in told["joins"]
    joined = dp if plain else by_experts
    servers = dp / joined
    each = float(job.batch) / servers / (joined if told["counts"] == "replica" or plain else 1.0)
    return {
        "joined": joined,
        "joined_by_experts": by_experts,
        "joined_apart": joined / by_experts,
        "tp_joined": tp * by_experts,
        "ranks_without_experts": tp * by_experts / ep if ep > 1.0 else 1.0,
        "servers": servers,
        "requests": float(math.ceil(each)),
        "context": float(math.ceil(float(job.context_len))),
    }


def _of_run(job: Training, plan: Plan) -> dict[str, Any]:
    """What a run is told."""
    zero, dp = float(plan.zero), float(plan.dp)
    layers = float(plan.recompute_layers)
    stage = math.ceil(job.model.layers / float(plan.pp))
    shared = zero > PARTLY[-1]  # weights too
    accumulated = float(micro_batches(job, plan))
    return {
        "servers": 1.0,
        "micro_batch": float(plan.micro_batch),
        "global_batch": float(job.global_batch),
        "seq_len": float(job.seq_len),
        "expert_tp": float(plan.expert_tp),
        "recompute": plan.recompute,
        "recomputed_layers": min(layers, float(stage)) if plan.recompute == "full" else 0.0,
        "shared_norms": float(plan.tp) if plan.sequence_parallel else 1.0,
        "offloaded": float(plan.offload_activations) + float(plan.offload_optimizer),
        "lora_rank": float(job.lora_rank),
        "sharded_replicas": dp if shared else 1.0,
        "whole_replicas": 1.0 if shared else dp,
        "partly_sharded": zero if zero in PARTLY and dp > 1.0 else 0.0,
        "accumulated": accumulated,
        "sequences_per_chip": float(job.global_batch) / (float(plan.num_chips) * accumulated),
    }


def _refuse(name: str, told: Stack, known: Quantities) -> None:
    for rule in told["never"]:
        if known[rule["of"]] > rule["above"]:
            raise RooflineError(f"--emit {name}: {told['name']} can't do this plan: {rule['why']}")


def _arguments(name: str, told: Stack, known: Quantities) -> Iterator[str]:
    """Flags with their values, in the order of the file."""
    for rule in told["flags"]:
        value = known[rule["of"]]
        if "above" in rule and not value > rule["above"]:
            continue
        text = _text(value)
        if "values" in rule:
            choices = {str(key): written for key, written in rule["values"].items()}
            if text not in choices:
                raise RooflineError(
                    f"--emit {name}: {told['name']} is not known to take {rule['of']}={text}; "
                    f"possible: {', '.join(choices)}"
                )
            if choices[text] is None:
                continue
            text = str(choices[text])
        if rule.get("bare"):
            yield rule["flag"]
        elif told.get("assigns"):
            yield f"{rule['flag']}={text}"
        else:
            yield from (rule["flag"], text)


def _text(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _lines(told: Stack, job: Workload, arguments: list[str]) -> list[str]:
    """A command over lines, a flag with its value on each."""
    start = [*told["start"], *(["MODEL"] if isinstance(job, Serving) else [])]
    grouped: list[list[str]] = []
    for item in arguments:
        if item.startswith("--") or told.get("assigns") or not grouped:
            grouped.append([item])
        else:
            grouped[-1].append(item)
    lines = [shlex.join(start), *(f"    {shlex.join(group)}" for group in grouped)]
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _what(pool: str, known: Quantities) -> str:
    """Which part of a deployment a command starts, and how often."""
    times = f"{known['servers']:.0f} servers, each on {known['chips'] / known['servers']:.0f} chips, so"
    several = times if known["servers"] > 1.0 else ""
    where = f"pool of {known['chips']:.0f} chips for {pool}" if pool else ""
    return ", ".join(part for part in (where, several) if part)


def _notes(told: Stack, known: Quantities) -> Iterator[str]:
    for rule in told["flags"]:
        values = {str(key): written for key, written in rule.get("values", {}).items()}
        if rule.get("note") and values[_text(known[rule["of"]])] is None and known[rule["of"]] not in PLAIN:
            yield rule["note"].format(**known)
    if known["servers"] > 1.0:
        yield "a router of your own deals requests to the servers"
    for note in told.get("notes", ()):
        yield note.format(**{key: _text(value) for key, value in known.items()})
