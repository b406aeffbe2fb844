"""Workloads that a user asks for: those of the catalogue with options laid over them, and bare models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roofline.catalog.store import Catalog
from roofline.errors import RooflineError, did_you_mean
from roofline.studies.request.asked import Options, flag
from roofline.workload import Cached, Decode, Model, Precision, Prefill, Serving, Speculation, Step, Training, Workload
from roofline.workload.dtype import usual_activations

TRAINING_ONLY = ("seq_len", "global_batch", "tokens", "lora_rank", "lora_targets", "optimizer")
PHASES = ("training", "prefill", "decode")
DEFAULT_INPUT, DEFAULT_OUTPUT, DEFAULT_SEQ, DEFAULT_GLOBAL_BATCH = 1024.0, 256.0, 4096.0, 256.0


def resolve_workload(catalog: Catalog, name: str, options: Options) -> Workload:
    """The workload of that id, alias or path, with options laid over it; a bare model becomes one of its own."""
    return work_of(catalog.workload(name), options, catalog)


def work_of(found: Workload | Model, options: Options, catalog: Catalog) -> Workload:
    """A workload with options laid over it; of a bare model, one of its own."""
    if isinstance(found, Model) and options.scenario is None:
        found = _of_model(found, options)
    else:
        found = _in_scenario(catalog, found, options.scenario)
        found = found if options.phase is None else _only_phase(found, options.phase)
    return _with_training(found, options) if isinstance(found, Training) else _with_serving(found, options, catalog)


def _of_model(model: Model, options: Options) -> Workload:
    """A bare model as a workload: training, one phase of serving, or (by default) a request of both."""
    precision = Precision(model.dtype, usual_activations(model.dtype), "bf16")
    identity = f"{model.id}-{options.phase or 'request'}"
    _known_phase(options.phase)
    if options.phase == "training":
        seq_len = min(DEFAULT_SEQ, float(model.max_context or DEFAULT_SEQ))
        tokens = (
            20.0 * model.parameters
        )  # compute-optimal by Hoffmann et al. 2022 (arXiv 2203.15556), about 20 a weight
        return Training(
            id=identity, model=model, tokens=tokens, seq_len=seq_len, global_batch=DEFAULT_GLOBAL_BATCH,
            precision=replace(precision, weights="bf16", activations="bf16"),
        )  # fmt: skip
    steps: tuple[Step, ...] = (Prefill(DEFAULT_INPUT), Decode(DEFAULT_OUTPUT))
    cached = 0.0
    if options.phase == "prefill":
        steps = (Prefill(DEFAULT_INPUT),)
    elif options.phase == "decode":
        steps, cached = (Decode(1.0),), DEFAULT_INPUT
    return Serving(id=identity, model=model, steps=steps, cached=cached, precision=precision)


def _in_scenario(catalog: Catalog, found: Workload | Model, name: str | None) -> Workload:
    """A bare model in a scenario; a workload has its own."""
    if isinstance(found, Model):
        precision = Precision(found.dtype, usual_activations(found.dtype), "bf16")
        return catalog.scenario(name or "").of(found, precision)
    if name is not None:
        raise RooflineError(
            f"--scenario {name}: {found.id} says itself what is to be done; give the bare model {found.model.id!r}"
        )
    return found


def _known_phase(phase: str | None) -> None:
    if phase is not None and phase not in PHASES:
        near = did_you_mean(phase, PHASES, most=1)
        hint = f"did you mean {near}?" if near else f"one of {', '.join(PHASES)}"
        raise RooflineError(f"no phase {phase!r}; {hint}")


def _only_phase(workload: Workload, phase: str) -> Workload:
    """The steps of one phase alone, the context of the others taken as cached."""
    _known_phase(phase)
    if isinstance(workload, Training) != (phase == "training"):
        kind = "training" if isinstance(workload, Training) else "serving"
        raise RooflineError(
            f"--phase {phase}: {workload.id} is a {kind} workload; give the bare model {workload.model.id!r}"
        )
    if isinstance(workload, Training):
        return workload
    alone = workload.only(Prefill if phase == "prefill" else Decode)
    if alone is None:
        raise RooflineError(f"--phase {phase}: {workload.id} has no such step")
    return replace(alone, id=f"{workload.id}-{phase}")


def _with_serving(serving: Serving, options: Options, catalog: Catalog) -> Serving:
    """A request with other lengths, batch, cached prompt and drafts."""
    for name in TRAINING_ONLY:
        if getattr(options, name) is not None:
            raise RooflineError(
                f"--{flag(name)} belongs to training; {serving.id} is served (--batch --input --output)"
            )
    steps = _with_length(serving, serving.steps, Prefill, options.input_len, "--input")
    steps = _with_length(serving, steps, Decode, options.output_len, "--output")
    if options.cached_share is not None and not any(isinstance(step, Prefill) for step in steps):
        raise RooflineError(f"--cached-share: {serving.id} reads no prompt that a cache could hold")
    changed = replace(
        serving,
        steps=steps,
        batch=serving.batch if options.batch is None else options.batch,
        cached=serving.cached if options.context_len is None else options.context_len,
        cached_share=serving.cached_share if options.cached_share is None else options.cached_share,
        speculative=_with_drafts(serving, options, catalog),
        imbalance=serving.imbalance if options.imbalance is None else options.imbalance,
    )
    check_order(changed)
    return changed


def check_order(serving: Serving) -> None:
    """`RooflineError` if lengths were changed so that more is found in the cache than the context has."""
    grown = False
    for step, before in zip(serving.steps, serving.contexts, strict=False):
        if isinstance(step, Cached) and grown and np.any(np.greater(step.tokens, before)):
            least, most = float(np.min(before)), float(np.max(step.tokens))
            raise RooflineError(f"{serving.id}: {most:,.0f} tokens are cached when the context has {least:,.0f}")
        grown = grown or isinstance(step, Prefill | Decode)


def _with_drafts(serving: Serving, options: Options, catalog: Catalog) -> Speculation:
    """What is drafted, with another number of tokens, chance of each, or model; 0 tokens switch it off."""
    known = serving.speculative
    if options.draft_tokens == 0:
        return Speculation()
    if options.draft_tokens is None and not known.on:
        given = next((flag for flag in ("acceptance", "draft") if getattr(options, flag) is not None), None)
        if given:
            raise RooflineError(f"--{given} needs --draft-tokens, how many are guessed in each step")
        return known
    if options.acceptance is None and not known.on:
        raise RooflineError("--draft-tokens needs --acceptance, the chance of a drafted token, e.g. --acceptance 0.7")
    drafted = known if options.draft is None else replace(known, model=catalog.model(options.draft), cost=0.0)
    return replace(
        drafted,
        tokens=known.tokens if options.draft_tokens is None else options.draft_tokens,
        acceptance=known.acceptance if options.acceptance is None else options.acceptance,
    )


def _with_length(
    serving: Serving, steps: tuple[Step, ...], kind: type[Prefill] | type[Decode], tokens: float | None, flag: str
) -> tuple[Step, ...]:
    """The steps with another length for the only one of that kind."""
    if tokens is None:
        return steps
    matching = [index for index, step in enumerate(steps) if isinstance(step, kind)]
    if len(matching) != 1:
        raise RooflineError(f"{flag}: {serving.id} has {len(matching)} steps of that kind; change the file instead")
    return tuple(replace(step, tokens=tokens) if isinstance(step, kind) else step for step in steps)


def _with_training(training: Training, options: Options) -> Training:
    """A training run with other lengths, batch and imbalance."""
    for name in (
        "scenario", "batch", "input_len", "output_len", "context_len", "cached_share", "draft_tokens", "acceptance",
        "draft",
    ):  # fmt: skip
        if getattr(options, name) is not None:
            raise RooflineError(
                f"--{flag(name)} belongs to serving; {training.id} trains (--seq --global-batch --tokens)"
            )
    given = {name: getattr(options, name) for name in (*TRAINING_ONLY, "imbalance")}
    return replace(training, **{name: value for name, value in given.items() if value is not None})
