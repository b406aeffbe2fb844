"""What a measurement was taken on: a published case resolved against the catalogue, and the prediction of the same.

Cases that differ only in numbers (batch, lengths) share a `Setup` and are one vectorised prediction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import plans
from roofline.engine.deployment import Deployment
from roofline.errors import PlanError
from roofline.machine import Stack
from roofline.machine.evidence import (
    DECODE,
    FIRST_TOKEN,
    OFFLINE,
    PREFILL,
    REQUEST,
    SERVER_DECODE,
    SERVER_REQUEST,
)
from roofline.studies.measured import shapes
from roofline.studies.measured.names import known, measured_on, released, stack_named
from roofline.studies.measured.rules import IDENTICAL, UNIFORM, shipped_rules
from roofline.studies.measured.table import METRICS, Case, Metric, SkipError, class_of_power, format_of, scoped
from roofline.workload import Decode, Model, Plan, Precision, Prefill, Serving, Step
from roofline.workload.dtype import usual_activations

STATIC_MODES = ("fixed_batch", "single_stream")
OFFLINE_MODE = "offline_max_throughput"
# Benchmarks of servers send ten requests for each client (InferenceX: `--num-prompts` is ten times the concurrency),
# the first of all clients at once.
BURST = 0.1


@dataclass(frozen=True, slots=True)
class Setup:
    """What cases of one prediction share."""

    chip: str
    num_chips: int
    model: str
    shape: shapes.Shape | None  # where the rows state the model's shape themselves
    weights: str
    activations: str
    kv_cache: str
    degrees: tuple[tuple[str, int], ...]
    stack: str
    static: bool
    offline: bool  # everything queued: as many requests run as memory holds
    decodes: bool
    prefills: bool
    identical: bool  # all requests of a batch are the same prompt
    chunk: float  # tokens of a pass of the prompt where the source states them, else 0


def group(cases: Iterable[Case], catalog: Catalog) -> tuple[dict[Setup, list[Case]], list[dict[str, str]]]:
    """Cases by setup, and those that can't be predicted with the reason."""
    groups: dict[Setup, list[Case]] = defaultdict(list)
    skipped: list[dict[str, str]] = []
    read = reader(catalog)
    for case in map(canonical, cases):
        try:
            setup, whole = read(case)
            groups[setup].append(whole)
        except SkipError as reason:
            skipped.append({"id": case["id"], "reason": str(reason)})
    return groups, skipped


def canonical(case: Case) -> Case:
    """The same case with its mode's whole name, and its figure as a metric that is predicted: seconds of a whole
    generation as those of a token, and tokens per second of a whole request, its prompt included, as its latency."""
    if case["mode"] == "offline_max":
        case = replace(case, cells={**case.cells, "mode": OFFLINE_MODE})
    value, tokens = case.numbers["value"], case.numbers["output_len"]
    if not value or not tokens:
        return case
    if case["metric"] == "e2e_latency_s" and case["phase"] == "decode":
        return _stating(case, "tpot_ms", value / tokens * 1e3)
    if case["metric"] == "tokens_per_s_per_user" and case["phase"] == "e2e" and case.numbers["input_len"]:
        return _stating(case, "e2e_latency_s", tokens / value)
    return case


def _stating(case: Case, metric: str, value: float) -> Case:
    return replace(case, cells={**case.cells, "metric": metric}, numbers={**case.numbers, "value": value})


def reader(catalog: Catalog) -> Callable[[Case], tuple[Setup, Case]]:
    """How a case is read, and the case with what is known of its source; names are looked up once each. The reader
    raises `SkipError`."""
    rules = shipped_rules()

    @cache
    def named(kind: str, name: str) -> str | None:
        return known(catalog, kind, name)

    @cache
    def stack_by(framework: str) -> str | None:
        found = stack_named(catalog, framework, anywhere=True)
        trains = found and catalog.stack(found).overlaps  # what says which messages hide trains
        return None if trains else found

    @cache
    def usual_cache(stack: str, weights: str) -> str:
        """Format of the cache where the source does not state it."""
        return catalog.stack(stack).cache.get(weights, "bf16")

    @cache
    def shipped_format(model: str) -> str:
        return catalog.model(model).dtype

    @cache
    def release(stack: str, version: str, date: str) -> str:
        return released(catalog, stack, version, date)

    def setup(case: Case) -> tuple[Setup, Case]:
        found = named("chip", case["chip"])
        case = rules.applied(case, found)
        chip, model, shape = measured_on(case, found, named("model", case["model"]))
        metric = _complete(case)
        own = "" if shape else shipped_format(model)
        weights = _as_shipped(_format(case["weight_dtype"], "weight format"), own)
        activations = _as_shipped(_format(case["act_dtype"] or usual_activations(weights), "activation format"), own)
        usual = stack_by(case["framework"]) or catalog.chip(chip).stack("serving")
        stack = release(usual, case["version"], case["date"])
        degrees = tuple((name, int(value)) for name in ("tp", "pp", "dp", "ep") if (value := case.numbers[name]))
        stated = [value for name, value in degrees if name != "ep"]
        read = Setup(
            chip=chip,
            num_chips=int(case.numbers["num_chips"] or np.prod(stated, initial=1)),
            model=model,
            shape=shape,
            weights=weights,
            activations=activations,
            kv_cache=_format(case["kv_dtype"] or usual_cache(stack, weights), "cache format"),
            degrees=degrees,
            stack=stack,
            static=case["mode"] in STATIC_MODES or metric.name == "prefill_tokens_per_s",
            offline=case["mode"] == OFFLINE_MODE and case.numbers["batch"] is None,
            decodes=metric.phase == "decode" or bool(case.numbers["output_len"]),
            prefills=bool(case.numbers["input_len"]),
            identical=case[IDENTICAL] == "yes",
            chunk=chunk(case),
        )
        return read, case

    return setup


def _complete(case: Case) -> Metric:
    """What a case measures; raises the reason if it lacks what a prediction needs."""
    metric = METRICS.get((case["metric"], case["phase"])) or METRICS.get((case["metric"], ""))
    if metric is None:
        raise SkipError(f"metric {case['metric']} is not predicted")
    if case["speculative"].lower() in ("yes", "true", "1"):
        raise SkipError("speculative decoding: how many drafts were accepted is not stated")
    alone = case["mode"] in STATIC_MODES
    needed = {
        "batch": case["mode"] != OFFLINE_MODE,
        "input_len": True,
        "output_len": metric.phase == "e2e" or not alone,
    }
    for column, what in (("batch", "batch"), ("input_len", "input length"), ("output_len", "output length")):
        if needed[column] and case.numbers[column] is None:
            raise SkipError(f"{what} is not stated")
    if not case["weight_dtype"]:
        raise SkipError("weight format is not stated")
    _check_sizes(case, metric)
    return metric


def _check_sizes(case: Case, metric: Metric) -> None:
    """Raises the reason if there is nothing that a figure could be of."""
    if case.numbers["batch"] == 0.0:
        raise SkipError("a batch of no requests")
    inputs, outputs = case.numbers["input_len"], case.numbers["output_len"]
    if not inputs and not outputs and metric.phase != "decode":
        raise SkipError("neither input nor output length is more than zero")
    if metric.phase == "prefill" and not inputs:
        raise SkipError(f"{case['metric']} of no prompt")
    if metric.name.startswith("output_tokens_per_s") and metric.phase == "e2e" and not outputs:
        raise SkipError(f"{case['metric']} of no output")


def _format(name: str, what: str) -> str:
    found = format_of(name)
    if found is None:
        raise SkipError(f"{what} {name} is not modelled")
    return found


def _as_shipped(found: str, own: str) -> str:
    """A format as a source means it of a model whose `own` weights are scaled by blocks: the bare width is theirs."""
    return own if own == f"{found}-block" else found


def model_of(setup: Setup, catalog: Catalog) -> Model:
    """The model of a setup: of the catalogue, or built from the shape that the rows state."""
    return setup.shape.build() if setup.shape else catalog.model(setup.model)


def stack_of(setup: Setup, catalog: Catalog) -> Stack:
    """The stack of a setup, batching as the measurement did."""
    stack = catalog.stack(setup.stack, catalog.chip(setup.chip))
    if setup.chunk:
        stack = replace(stack, prefill_chunk=setup.chunk)
    return replace(stack, batching="static") if setup.static else stack


def deployment(
    setup: Setup, catalog: Catalog, model: Model, stack: Stack, cases: Sequence[Case] = ()
) -> Deployment:  # fmt: skip
    """Where the cases of a setup ran; `SkipError` if the chips can't be wired so."""
    chip = catalog.chip(setup.chip)
    precision = Precision(setup.weights, setup.activations, setup.kv_cache)
    try:
        plans.check_wiring(chip, setup.num_chips)
        plan = _plan(setup, model, stack, float(chip.devices))
    except PlanError as reason:
        raise SkipError(str(reason)) from None
    spreads = catalog.spreads(chip, stack)
    return Deployment(
        chip=chip, num_chips=setup.num_chips, stack=stack, plan=plan, precision=precision, spreads=spreads
    )


def work(setup: Setup, cases: Sequence[Case], model: Model, where: Deployment) -> Serving:
    """The requests of the cases of a setup, as arrays over the cases."""
    batch, inputs, outputs = (
        np.array([case.numbers[column] or 0.0 for case in cases], dtype=np.float64)
        for column in ("batch", "input_len", "output_len")
    )
    steps: list[Step] = [Prefill(inputs)] if setup.prefills else []
    # a rate of decoding without an output length was read at the end of the prompt
    steps += [Decode(np.maximum(outputs, 1.0))] if setup.decodes else []
    return Serving(
        id="measured",
        model=model,
        steps=tuple(steps),
        batch=np.full(len(cases), np.inf) if setup.offline else batch,
        requests=np.array([case.numbers["requests"] or np.inf for case in cases]),
        uniform=np.array([case[UNIFORM] == "yes" for case in cases]),
        cached=np.array([depth(case) for case in cases]),
        burst=BURST if where.stack.batching == "continuous" else 0.0,
        distinct=1.0 if setup.identical else np.inf,
        precision=where.precision or Precision(),
    )


def depth(case: Case) -> float:
    """Tokens that were in the cache before: as stated, or `pp2048 @ d32768` in the words of llama-bench."""
    if case.numbers.get("cached"):
        return float(case.numbers["cached"] or 0.0)
    found = re.search(r"\bpp\d+ @ d(\d{1,9})\b", case["note"])
    return float(found[1]) if found else 0.0


def chunk(case: Case) -> float:
    """Tokens that passed at once: as stated, or `n_ubatch 2048` in the words of llama-bench; 0 if nothing is said."""
    if case.numbers.get("chunk"):
        return float(case.numbers["chunk"] or 0.0)
    found = re.search(r"\bn_ubatch (\d{1,9})$|\bn_ubatch (\d{1,9})[;,]", case["note"])
    return float(found[1] or found[2]) if found else 0.0


def _plan(setup: Setup, model: Model, stack: Stack, devices: float) -> Plan:
    """The plan as stated; where it is not, as much tensor parallelism as the chips and the model allow."""
    given = in_chips(dict(setup.degrees), setup.num_chips, int(devices))
    found = plans.candidates(model, setup.num_chips, given, stack.placement, devices)
    order = np.lexsort((np.asarray(found.ep), np.asarray(found.pp), -np.asarray(found.tp)))
    plan = plans.pick(found, int(order[0]))
    plans.check(plan, model, setup.num_chips)
    return plan


def in_chips(degrees: dict[str, int], chips: int, devices: int) -> dict[str, int]:
    """Degrees in chips, where a source counts the devices of each chip as ranks.

    >>> in_chips({"tp": 24}, 12, 2), in_chips({"tp": 2, "ep": 320}, 160, 2), in_chips({"tp": 12}, 12, 2)
    ({'tp': 12}, {'tp': 1, 'ep': 160}, {'tp': 12})
    """
    ranks = chips * devices
    counted = int(np.prod([degrees.get(name, 1) for name in ("tp", "pp", "dp")])) == ranks or degrees.get("ep") == ranks
    if devices == 1 or not counted:
        return degrees
    first = next((name for name in ("tp", "dp") if degrees.get(name, 1) % devices == 0), None)
    divided = [name for name in (first, "ep" if degrees.get("ep", 1) % devices == 0 else None) if name in degrees]
    return {name: value // devices if name in divided else value for name, value in degrees.items()}


def of_case(case: Case) -> Metric:
    """What a readable case measures."""
    return scoped(METRICS.get((case["metric"], case["phase"])) or METRICS[case["metric"], ""], case["scope"])


# What a figure says of requests served, alone and on a server that takes more in meanwhile, by what it spans.
SERVED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "decode": (DECODE, SERVER_DECODE),
        "prefill": (PREFILL, FIRST_TOKEN),
        "e2e": (REQUEST, SERVER_REQUEST),
    }
)


def what(metric: Metric, case: Case) -> str:
    """What a figure of requests served says, as a class of figures that err alike."""
    if metric.of_power:
        return class_of_power(metric)
    if case["mode"] == OFFLINE_MODE:
        return OFFLINE
    alone, shared = SERVED[metric.phase]
    return alone if case["mode"] in STATIC_MODES else shared


def left_open(setup: Setup, case: Case, metric: Metric) -> str:
    """What a row leaves open that decides its figure as much as the machine does; empty if nothing."""
    if setup.offline:
        return "how many requests ran at once is not stated"
    return "waiting in a queue is part of it" if _queued(case, metric) else ""


def _queued(case: Case, metric: Metric) -> bool:
    """Whether waiting in a queue, which the benchmark's arrivals decide, is part of a figure."""
    return metric.name == "ttft_s" and case["mode"] not in STATIC_MODES


def weights_of(setup: Setup) -> str:
    """The format of the weights."""
    return setup.weights
