"""What a training run was measured on: a published case resolved against the catalogue, and the prediction of the same.

Cases that differ only in numbers (degrees, batches, lengths) share a `Setup` and are one vectorised prediction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import plans, training
from roofline.engine.deployment import Deployment
from roofline.errors import PlanError
from roofline.machine import Stack
from roofline.numeric import Num
from roofline.studies.measured import shapes
from roofline.studies.measured.names import known, stack_named
from roofline.studies.measured.rules import shipped_rules
from roofline.studies.measured.table import METRICS, Case, Metric, SkipError, format_of
from roofline.workload import Model, Plan, Precision, Training
from roofline.workload.plan import Recompute

TRAINING = "training"  # the phase of a row about a training run
RECOMPUTES: tuple[Recompute, ...] = ("none", "selective", "full")
# Ways of counting the FLOPs of attention, by words of a note; where nothing is said all pairs of a sequence count.
CAUSAL, NO_ATTENTION = ("causal-halved",), ("6n only", "no attention", "= 6n vs", "6n (no")
CONVENTIONS: Mapping[str, str] = MappingProxyType(
    {"mfu": "mfu_full_attention", "tflops_per_chip_model": "tflops_per_chip_model_full_attention"}
)
ZERO = 1.0  # stage of sharding where nobody states it: Megatron-LM's distributed optimizer


@dataclass(frozen=True, slots=True)
class Setup:
    """What cases of one prediction share."""

    chip: str
    model: str
    shape: shapes.Shape | None  # where the rows state the model's shape themselves
    format: str
    stack: str
    recompute: Recompute
    sequence_parallel: bool
    flash: bool
    dropout: bool
    lora: bool


def group(cases: Iterable[Case], catalog: Catalog) -> tuple[dict[Setup, list[Case]], list[dict[str, str]]]:
    """Cases by setup, and those that can't be predicted with the reason."""
    groups: dict[Setup, list[Case]] = defaultdict(list)
    skipped: list[dict[str, str]] = []
    read = reader(catalog)
    for case in cases:
        try:
            setup, whole = read(case)
            groups[setup].append(whole)
        except SkipError as reason:
            skipped.append({"id": case["id"], "reason": str(reason)})
    return groups, skipped


def reader(catalog: Catalog) -> Callable[[Case], tuple[Setup, Case]]:
    """How a case is read: what it shares with others, and the case with its plan complete. Raises `SkipError`."""
    rules = shipped_rules()

    @cache
    def named(kind: str, name: str) -> str | None:
        return known(catalog, kind, name)

    @cache
    def stack_by(framework: str) -> str | None:
        return stack_named(catalog, framework, anywhere=True)

    @cache
    def released(stack: str, version: str, date: str) -> str:
        earlier = catalog.stack_spec(stack).earlier
        return released(earlier.stack, version, date) if earlier and earlier.covers(version, date) else stack

    def read(case: Case) -> tuple[Setup, Case]:
        chip = named("chip", case["chip"])
        case = rules.applied(case, chip)
        if chip is None:
            raise SkipError(f"chip {case['chip']} is not in the catalogue")
        listed = named("model", case["model"])
        shape = None if listed else shapes.stated(case)
        model = listed or (shape.name if shape else None)
        if model is None:
            raise SkipError(f"model {case['model'] or '(empty)'} is not in the catalogue")
        _complete(case)
        usual = stack_by(case["framework"]) or catalog.chip(chip).stack(TRAINING)
        setup = Setup(
            chip=chip,
            model=model,
            shape=shape,
            format=_format(case["dtype"] or "bf16"),
            stack=released(usual, case["version"], case["date"]),
            recompute="none",
            sequence_parallel=case["sequence_parallel"] != "no",
            flash=case["flash_attention"] != "no",
            dropout=case["dropout"] == "yes",
            lora=bool(case.numbers["lora_rank"]),
        )
        whole = _planned(case, float(catalog.chip(chip).devices))
        if case["recompute"]:
            return replace(setup, recompute=_recompute(case["recompute"])), whole
        return replace(setup, recompute=_least_recompute(setup, whole, catalog)), whole

    return read


def _recompute(name: str) -> Recompute:
    found = next((mode for mode in RECOMPUTES if mode == name), None)
    if found is None:
        raise SkipError(f"recompute {name} is not one of {', '.join(RECOMPUTES)}")
    return found


def _complete(case: Case) -> None:
    """Raises the reason if a case lacks what a prediction needs."""
    if (case["metric"], TRAINING) not in METRICS:
        raise SkipError(f"metric {case['metric']} of training is not predicted")
    if case["metric"] in CONVENTIONS and any(word in case["note"].lower() for word in NO_ATTENTION):
        raise SkipError("FLOPs are counted without attention")
    for column, what in (("seq_len", "sequence length"), ("num_chips", "number of chips")):
        if not case.numbers[column]:
            raise SkipError(f"{what} is not stated")
    if not case.numbers["global_batch_seqs"] and not case.numbers["micro_batch_seqs"]:
        raise SkipError("neither the global batch nor the micro-batch is stated")


def _format(name: str) -> str:
    found = format_of(name)
    if found is None:
        raise SkipError(f"format {name} is not modelled")
    return found


def _planned(case: Case, devices: float) -> Case:
    """The case with every degree and batch: those not stated are 1, replicas what is left of the chips."""
    numbers = dict(case.numbers)
    for name in ("tp", "pp", "cp", "vpp", "ep"):
        numbers[name] = numbers[name] or 1.0
    chips = float(numbers["num_chips"] or 1.0)
    inside = float(np.prod([numbers[name] for name in ("tp", "pp", "cp")]))
    if inside > chips:  # a source may count the devices of each chip as ranks
        chips *= devices
    ranks = inside * (numbers["dp"] or 0.0)
    numbers["dp"] = max(chips / inside, 1.0) if ranks not in (chips, chips * devices) else numbers["dp"]
    if ranks == chips * devices and devices > 1.0:
        name = next((name for name in ("tp", "dp") if float(numbers[name] or 1.0) % devices == 0), "dp")
        numbers[name] = float(numbers[name] or 1.0) / devices
    if numbers["dp"] % 1.0 or numbers["tp"] * numbers["pp"] * numbers["cp"] * numbers["dp"] != numbers["num_chips"]:
        raise SkipError("the degrees do not multiply to the number of chips")
    numbers["micro_batch_seqs"] = numbers["micro_batch_seqs"] or 1.0
    least = float(numbers["dp"]) * float(numbers["micro_batch_seqs"])
    numbers["global_batch_seqs"] = numbers["global_batch_seqs"] or least
    numbers["fsdp_zero"] = ZERO if numbers["fsdp_zero"] is None else numbers["fsdp_zero"]
    return replace(case, numbers=numbers)


def _least_recompute(setup: Setup, case: Case, catalog: Catalog) -> Recompute:
    """Where nobody says what is recomputed: as little as fits in memory."""
    model, stack = model_of(setup, catalog), stack_of(setup, catalog)
    for mode in RECOMPUTES:
        asked = replace(setup, recompute=mode)
        where = deployment(asked, catalog, model, stack, [case])
        held = training.memory_needs(work(asked, [case], model, where), where.plan, where.precision or Precision())
        if np.all(np.less_equal(held.total, where.chip.main_memory.capacity * stack.usable_memory)):
            return mode
    return "full"


def model_of(setup: Setup, catalog: Catalog) -> Model:
    """The model of a setup: of the catalogue, or built from the shape that the rows state."""
    return setup.shape.build() if setup.shape else catalog.model(setup.model)


def stack_of(setup: Setup, catalog: Catalog) -> Stack:
    """The stack of a setup."""
    return catalog.stack(setup.stack, catalog.chip(setup.chip))


def deployment(
    setup: Setup, catalog: Catalog, model: Model, stack: Stack, cases: Sequence[Case]
) -> Deployment:  # fmt: skip
    """Where the cases of a setup ran, degrees as arrays over them; `SkipError` if the chips can't be wired so."""
    chip = catalog.chip(setup.chip)
    chips = int(np.max(_column(cases, "num_chips")))
    try:
        plans.check_wiring(chip, chips)
    except PlanError as reason:
        raise SkipError(str(reason)) from None
    plan = Plan(
        tp=_column(cases, "tp"),
        pp=_column(cases, "pp"),
        dp=_column(cases, "dp"),
        ep=_column(cases, "ep"),
        cp=_column(cases, "cp"),
        vpp=_column(cases, "vpp"),
        zero=_column(cases, "fsdp_zero"),
        micro_batch=_column(cases, "micro_batch_seqs"),
        recompute=setup.recompute,
        sequence_parallel=setup.sequence_parallel,
        flash=setup.flash,
        placement=stack.placement,
    )
    return Deployment(
        chip=chip,
        num_chips=chips,
        stack=stack,
        plan=plan,
        precision=Precision(setup.format, setup.format),
        spreads=catalog.spreads(chip, stack),
    )


def _column(cases: Sequence[Case], name: str) -> Num:
    return np.array([case.numbers[name] or 0.0 for case in cases], dtype=np.float64)


def work(setup: Setup, cases: Sequence[Case], model: Model, where: Deployment) -> Training:
    """The runs of the cases of a setup, as arrays over the cases."""
    return Training(
        id="measured",
        model=model,
        tokens=1e12,
        seq_len=_column(cases, "seq_len"),
        global_batch=_column(cases, "global_batch_seqs"),
        precision=where.precision or Precision(),
        dropout=setup.dropout,
        lora_rank=_column(cases, "lora_rank") if setup.lora else 0.0,
    )


def of_case(case: Case) -> Metric:
    """What a readable case measures, in its source's way of counting FLOPs."""
    found = METRICS[case["metric"], TRAINING]
    if case["metric"] in CONVENTIONS and not any(word in case["note"].lower() for word in CAUSAL):
        return replace(found, name=CONVENTIONS[case["metric"]])
    return found
