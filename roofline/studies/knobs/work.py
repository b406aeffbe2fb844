"""Knobs of the work: how many requests run and how long their steps are; batch and sequence of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any, cast

from roofline.numeric import Num
from roofline.studies import vary
from roofline.studies.knobs.knob import Case, Knob, Turn, known
from roofline.studies.timeline import KINDS
from roofline.workload import Cached, Decode, Pause, Prefill, Serving, Training
from roofline.workload.job import Operations

RUN = ("seq_len", "global_batch", "tokens", "imbalance")
COUNTED = ("batch", "context", "draft_tokens")


def knobs(case: Case) -> Iterator[Knob]:
    """All of them."""
    yield from _of_run(case.job) if isinstance(case.job, Training) else _of_requests(case.job)


def _of_run(job: Training) -> Iterator[Knob]:
    for name in RUN:
        value, counts = float(getattr(job, name)), name != "imbalance"
        yield Knob(name, "", value, _field(name), least=1.0, whole=counts, smooth=not counts, shared=True)
    if job.lora_rank:
        yield Knob("lora_rank", "", float(job.lora_rank), _field("lora_rank"), least=1.0, whole=True, smooth=False,
                   shared=True)  # fmt: skip
    if job.operations is not None:
        for name, value in known((name, getattr(job.operations, name)) for name in ("checkpoint_stall", "restart")):
            yield Knob(f"operations.{name}", "s", value, _operation(name), "delay", shared=True, optional=True)


def _field(name: str) -> Turn:
    def turn(case: Case, value: Num) -> Case:
        told: dict[str, Any] = {name: value}
        return Case(replace(case.job, **told), case.deployment)

    return turn


def _operation(name: str) -> Turn:
    def turn(case: Case, value: Num) -> Case:
        run = cast("Training", case.job)
        operations = replace(cast("Operations", run.operations), **{name: value})
        return Case(replace(run, operations=operations), case.deployment)

    return turn


def _of_requests(job: Serving) -> Iterator[Knob]:
    """Lengths of steps by their names, those of an only prompt or output as `input` and `output`; then the rest."""
    for name, index in dict(_named(job)).items():
        yield _length(job, name, index)
    values = {"batch": job.batch, "context": job.cached, "imbalance": job.imbalance}
    values |= {"cached_share": job.cached_share} if any(isinstance(step, Prefill) for step in job.steps) else {}
    if job.speculative.on:
        values |= {"draft_tokens": job.speculative.tokens, "acceptance": job.speculative.acceptance}
    for name, value in known(values.items()):
        told = vary.PARAMETERS[name]
        unit, counts = "1" if name in ("cached_share", "acceptance") else "", name in COUNTED
        yield Knob(
            name, unit, value, _changed(name), least=told.least, most=told.most, whole=counts, smooth=not counts,
            shared=True, optional=not told.least, reach=_longest(job) if name == "context" else inf,
        )  # fmt: skip


def step(job: Serving, name: str) -> Knob:
    """The length of steps by any of their names, such as `prefill` or `prefill.2`; `RooflineError` if none has it."""
    return _length(job, name, vary.steps_called(job, name)[0])


def _length(job: Serving, name: str, index: int) -> Knob:
    """The length of the steps of a name, of which that at `index` is the first."""
    found = job.steps[index]
    if isinstance(found, Pause):
        return Knob(name, "s", float(found.seconds), _changed(name), "delay", shared=True, optional=True)
    least = 0.0 if isinstance(found, Cached) else 1.0
    return Knob(
        name, "", float(found.tokens), _changed(name), least=least, whole=True, smooth=False, shared=True,
        optional=not least, reach=_longest(job),
    )  # fmt: skip


def _longest(job: Serving) -> float:
    return float(job.model.max_context or inf)


def _named(job: Serving) -> Iterator[tuple[str, int]]:
    """Names of steps, each with the first step that it means; every step by one name."""
    for at, step in enumerate(job.steps):
        kind = KINDS[type(step)]
        alike = [index for index, other in enumerate(job.steps) if type(other) is type(step)]
        single = {Prefill: "input", Decode: "output"}.get(type(step), kind) if len(alike) == 1 else ""
        yield step.name or single or f"{kind}.{alike.index(at) + 1}", at


def _changed(name: str) -> Turn:
    def turn(case: Case, value: Num) -> Case:
        return Case(vary.changed(cast("Serving", case.job), name, value), case.deployment)

    return turn
