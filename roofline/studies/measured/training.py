"""What a training run was measured on: a published case resolved against the catalogue, and the prediction of the same.

Cases that differ only in numbers (degrees, batches, lengths) share a `Setup` and are one vectorised prediction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import get_args

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import plans, training
from roofline.engine.deployment import Deployment
from roofline.errors import PlanError
from roofline.machine import Chip, Stack
from roofline.machine.evidence import STEP
from roofline.numeric import Num
from roofline.studies.measured import shapes
from roofline.studies.measured.names import known, measured_on, released, stack_named
from roofline.studies.measured.rules import shipped_rules
from roofline.studies.measured.table import METRICS, Case, Metric, SkipError, class_of_power, format_of, scoped
from roofline.workload import Model, Plan, Precision, Training
from roofline.workload.job import LoraTargets
from roofline.workload.plan import RECOMPUTES, Recompute

TRAINING = "training"  # the phase of a row about a training run
CAUSAL, NONE = "causal", "none"  # ways of counting the FLOPs of attention; all pairs of a sequence if nothing is said
REMARKS: Mapping[str, str] = MappingProxyType(  # by words of a note
    {"causal-halved": CAUSAL, "6n only": NONE, "no attention": NONE, "= 6n vs": NONE, "6n (no": NONE}
)
CONVENTIONS: Mapping[str, str] = MappingProxyType(
    {"mfu": "mfu_full_attention", "tflops_per_chip_model": "tflops_per_chip_model_full_attention"}
)
NODE = 8.0  # chips of a node where nobody states it
LAYERS = "recompute_layers"  # a number of a case as read: layers of a stage that are made again, all if there is none
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
    lora_targets: LoraTargets
    scale_out: float  # bandwidth [B/s] of a chip's link to other nodes where it is stated, else 0
    liquid: bool  # whether a liquid cooled the chips rather than fans


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
        found = stack_named(catalog, framework, anywhere=True)
        trains = found and catalog.stack(found).overlaps  # what says which messages hide trains
        return found if trains else None

    @cache
    def release(stack: str, version: str, date: str) -> str:
        return released(catalog, stack, version, date)

    def read(case: Case) -> tuple[Setup, Case]:
        found = named("chip", case["chip"])
        case = rules.applied(case, found)
        chip, model, shape = measured_on(case, found, named("model", case["model"]))
        _complete(case)
        usual = stack_by(case["framework"]) or catalog.chip(chip).stack(TRAINING)
        setup = Setup(
            chip=chip,
            model=model,
            shape=shape,
            format=_format(case["dtype"] or "bf16"),
            stack=release(usual, case["version"], case["date"]),
            recompute="none",
            sequence_parallel=case["sequence_parallel"] != "no",
            flash=case["flash_attention"] != "no",
            dropout=case["dropout"] == "yes",
            lora=bool(case.numbers["lora_rank"]),
            lora_targets=next((name for name in get_args(LoraTargets) if name == case["lora_targets"]), "all"),
            scale_out=scale_out(case),
            liquid=case["cooling"] == "liquid",
        )
        built = model_of(setup, catalog)
        if built.routed_layers and not case.numbers["ep"] and case.numbers["num_chips"] != 1.0:  # no value is usual
            raise SkipError("over how many ranks experts are spread is not stated")
        whole = _planned(case, float(catalog.chip(chip).devices), built.layers)
        stated = _recompute(case["recompute"]) if case["recompute"] else "none"
        if case["recompute"] and stated != "selective":
            return replace(setup, recompute=stated), whole
        mode, layers = _least_recompute(setup, whole, catalog, stated)
        return replace(setup, recompute=mode), replace(whole, numbers={**whole.numbers, LAYERS: layers})

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
    if case["metric"] in CONVENTIONS and convention(case) == NONE:
        raise SkipError("FLOPs are counted without attention")
    for column, what in (("seq_len", "sequence length"), ("num_chips", "number of chips")):
        if not case.numbers[column]:
            raise SkipError(f"{what} is not stated")
    if not case.numbers["global_batch_seqs"] and not case.numbers["micro_batch_seqs"]:
        raise SkipError("neither the global batch nor the micro-batch is stated")
    if not case.numbers["global_batch_seqs"] and (case.numbers["pp"] or 1.0) > 1.0:
        raise SkipError("the global batch is not stated, which says how long the stages of a pipeline wait")


def _format(name: str) -> str:
    found = format_of(name)
    if found is None:
        raise SkipError(f"format {name} is not modelled")
    return found


def usual_chunks(layers: int, pp: float) -> float:
    """Chunks of a pipeline stage where nobody states them: as many of two layers or more as divide it evenly.

    >>> usual_chunks(96, 8.0), usual_chunks(126, 8.0), usual_chunks(32, 1.0)
    (6.0, 8.0, 1.0)
    """
    stage = int(np.ceil(layers / pp))
    even = (chunks for chunks in range(stage // 2, 1, -1) if stage % chunks == 0)
    return float(next(even, 1)) if pp > 1.0 else 1.0


def _planned(case: Case, devices: float, layers: int) -> Case:
    """The case with every degree and batch: replicas are what is left of the chips, what else is not stated is 1 or, of
    chunks, as usual."""
    given = {name: case.numbers[name] or 1.0 for name in ("tp", "pp", "cp", "ep", "num_chips")}
    given["vpp"] = case.numbers["vpp"] or usual_chunks(layers, given["pp"])
    chips, inside = given["num_chips"], given["tp"] * given["pp"] * given["cp"]
    dp = case.numbers["dp"] or chips / inside
    if inside * dp == chips * devices and devices > 1.0:  # a source may count the devices of each chip as ranks
        if given["tp"] % devices == 0.0:
            given["tp"] /= devices
        else:
            dp /= devices
    if dp % 1.0 or given["tp"] * given["pp"] * given["cp"] * dp != chips:
        raise SkipError("the degrees do not multiply to the number of chips")
    micro = case.numbers["micro_batch_seqs"] or 1.0
    zero = case.numbers["fsdp_zero"]
    more = {
        "dp": dp,
        "micro_batch_seqs": micro,
        "global_batch_seqs": case.numbers["global_batch_seqs"] or dp * micro,
        "fsdp_zero": ZERO if zero is None else zero,
    }
    return replace(case, numbers={**case.numbers, **given, **more})


def _least_recompute(setup: Setup, case: Case, catalog: Catalog, least: Recompute) -> tuple[Recompute, float | None]:
    """Where nobody says what is recomputed, or only that some of it is: as little as fits in memory. Software that has
    nothing in between recomputes as few layers of a stage, all others all of them, None."""
    model, stack = model_of(setup, catalog), stack_of(setup, catalog)

    def asked(mode: Recompute) -> tuple[Training, Plan, Precision, Num]:
        other = replace(setup, recompute=mode)
        where = deployment(other, catalog, model, stack, [case])
        room = where.chip.main_memory.capacity * stack.usable_memory
        return work(other, [case], model, where), where.plan, where.precision or Precision(), room

    for mode in RECOMPUTES[RECOMPUTES.index(least) : RECOMPUTES.index("full")]:
        job, plan, precision, room = asked(mode)
        if np.all(np.less_equal(training.memory_needs(job, plan, precision).total, room)):
            return mode, None
    few = np.inf if np.any(stack.selective) else float(np.max(training.few_layers(*asked("full"))))
    return "full", few if np.isfinite(few) else None


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
    chip = _wired(catalog.chip(setup.chip), setup.scale_out)
    if setup.liquid and chip.host is not None:
        chip = replace(chip, host=chip.host.cooled_by_liquid)
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
        expert_tp=np.array([expert_ranks(case) for case in cases]),
        vpp=_column(cases, "vpp"),
        zero=_column(cases, "fsdp_zero"),
        micro_batch=_column(cases, "micro_batch_seqs"),
        recompute=setup.recompute,
        recompute_layers=np.array([case.numbers.get(LAYERS) or np.inf for case in cases]),
        selective=stack.selective,
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


def _wired(chip: Chip, scale_out: float) -> Chip:
    """The chip with the link to other nodes that a cluster gave it."""
    if not scale_out:
        return chip
    links = (replace(link, bandwidth=scale_out) if link.scope == "scale-out" else link for link in chip.links)
    return replace(chip, links=tuple(links))


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
        lora_targets=setup.lora_targets,
    )


def scale_out(case: Case) -> float:
    """Bytes per second of a chip's link to other nodes: as stated, or `400 Gbps/node`; 0 if nothing is said."""
    found = re.match(r"(\d{1,6}) Gbps/node", case["interconnect"])
    node = float(found[1]) / (case.numbers["chips_per_node"] or NODE) if found else 0.0
    return (case.numbers["scale_out_gbps"] or node) * 1e9 / 8.0


def convention(case: Case) -> str:
    """How a source counts the FLOPs of attention: as stated, or in the words of a note."""
    note = case["note"].lower()
    return case["attention_flops"] or next((found for words, found in REMARKS.items() if words in note), "full")


def expert_ranks(case: Case) -> float:
    """Ranks that divide each expert: as stated, or `ETP=4` in a note; 0 if nothing is said."""
    found = re.search(r"\bETP=([1-9]\d{0,4})\b", case["note"])
    return case.numbers["expert_tp"] or (float(found[1]) if found else 0.0)


def of_case(case: Case) -> Metric:
    """What a readable case measures, in its source's way of counting FLOPs."""
    found = scoped(METRICS[case["metric"], TRAINING], case["scope"])
    if case["metric"] in CONVENTIONS and convention(case) != CAUSAL:
        return replace(found, name=CONVENTIONS[case["metric"]])
    return found


def what(metric: Metric, case: Case) -> str:
    """Time, rate and utilization of a step err alike."""
    return class_of_power(metric) if metric.of_power else STEP


def left_open(setup: Setup, case: Case, metric: Metric) -> str:
    """What a row leaves open that decides its figure as much as the machine does; empty if nothing."""
    if not case["micro_batch_seqs"].strip():
        return "the micro-batch is not stated"
    if (case.numbers["pp"] or 1.0) > 1.0 and not case["vpp"].strip():
        return "how many chunks a pipeline stage has is not stated"
    return ""


def weights_of(setup: Setup) -> str:
    """The format of the weights in products."""
    return setup.format
