"""What a user asks for, as text and options, resolved against the catalogue: workloads and deployments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePath
from sys import float_info
from types import MappingProxyType
from typing import Any, get_args

import numpy as np

from roofline.catalog.store import Catalog, is_path
from roofline.engine import plans, pools
from roofline.engine.deployment import Deployment
from roofline.engine.search import best_plan, check, fewest_chips
from roofline.errors import NoRoomError, PlanError, RooflineError, did_you_mean
from roofline.machine import Chip, Stack
from roofline.studies import assumptions
from roofline.workload import (
    DTYPES,
    Cached,
    Decode,
    Model,
    Plan,
    Precision,
    Prefill,
    Serving,
    Speculation,
    Step,
    Training,
    Workload,
)
from roofline.workload.dtype import usual_activations
from roofline.workload.job import LoraTargets, Optimizer
from roofline.workload.plan import RECOMPUTES, ContextExchange, Schedule

# Settings of a plan by what they are: whole numbers with their least and most, shares, switches, and names.
MOST = 10_000_000
DEGREES = ("tp", "pp", "dp", "ep", "cp")
COUNTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    dict.fromkeys((*DEGREES, "vpp"), (1, MOST))
    | {"zero": (0, 3)}
    | dict.fromkeys(("micro_batch", "shard", "expert_tp", "recompute_layers"), (1, MOST))
)
PARTS, SWITCHES = (
    ("selective", "offload_activations", "offload_optimizer"),
    ("sequence_parallel", "flash", "fused_loss"),
)
NAMED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recompute": RECOMPUTES,
        "schedule": get_args(Schedule),
        "context": get_args(ContextExchange),
    }
)
PLAN_KEYS = (*COUNTS, *PARTS, *SWITCHES, *NAMED)
FORMAT_KEYS = ("weights", "activations", "kv_cache")
READS = ("prefill_tp", "prefill_pp", "prefill_ep")  # degrees of the prefill pool where it has its own
KEYS = (*PLAN_KEYS, "pools", *READS, "stack", *FORMAT_KEYS)
SHAPE = "shape"  # of a torus; what a deployment alone says, as it belongs to one system
ON, OFF = ("on", "yes", "true"), ("off", "no", "false")
TRAINING_ONLY = ("seq_len", "global_batch", "tokens", "lora_rank", "lora_targets", "optimizer")
PHASES = ("training", "prefill", "decode")
NAMES = ("phase", "scenario", "draft", "lora_targets", "optimizer", "assumptions")
FROM_ZERO = ("context_len", "draft_tokens", "lora_rank")
SHARES = ("cached_share", "acceptance")
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"lora_targets": get_args(LoraTargets), "optimizer": get_args(Optimizer)}
)

DEFAULT_INPUT, DEFAULT_OUTPUT, DEFAULT_SEQ, DEFAULT_GLOBAL_BATCH = 1024.0, 256.0, 4096.0, 256.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the options of the command line (or the keywords of the API) ask for; None leaves a thing as it is.

    `scenario` names what requests to a bare model do. Lengths are tokens. `cached_share` of the first prompt is found
    in the prefix cache; `draft_tokens` are guessed in each step by the model `draft` (by nothing that costs time
    without one) and right with probability `acceptance`; `imbalance` are the rows of the hottest expert-parallel rank
    over the mean. `lora_rank` trains adapters of that rank beside `lora_targets` instead of weights, `optimizer`
    updates them. `assumptions` is the name of what costs rest on. `settings` are plan degrees, `recompute`, `stack` and
    formats for every deployment that does not say its own.
    """

    phase: str | None = None
    scenario: str | None = None
    batch: float | None = None
    input_len: float | None = None
    output_len: float | None = None
    context_len: float | None = None
    seq_len: float | None = None
    global_batch: float | None = None
    tokens: float | None = None
    cached_share: float | None = None
    draft_tokens: float | None = None
    acceptance: float | None = None
    draft: str | None = None
    imbalance: float | None = None
    lora_rank: float | None = None
    lora_targets: str | None = None
    optimizer: str | None = None
    assumptions: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def options(given: Mapping[str, Any]) -> Options:
    """Keywords of the API as options; raises `RooflineError` for one that does not exist."""
    known = [item.name for item in fields(Options) if item.name != "settings"]
    unknown = [name for name in given if name not in (*known, *KEYS)]
    if unknown:
        near = did_you_mean(unknown[0], (*known, *KEYS), most=1)
        raise RooflineError(f"unknown option {unknown[0]!r}" + (f"; did you mean {near}?" if near else ""))
    numbers = {name: _number(name, given[name]) for name in known if name in given and name not in NAMES}
    settings = {key: setting(key, given[key]) for key in KEYS if key in given}
    draft = _name("draft", given, "a model, e.g. 'llama-3.2-1b'")
    scenario = _name("scenario", given, "a scenario, e.g. 'chat'")
    assumptions = _name("assumptions", given, "a file of assumptions, e.g. './our-prices.yaml'")
    names = {name: _choice(name, given[name]) for name in CHOICES if given.get(name) is not None}
    told: dict[str, Any] = {**numbers, **names}
    return Options(
        phase=given.get("phase"), scenario=scenario, draft=draft, assumptions=assumptions, settings=settings, **told
    )  # fmt: skip


def _name(name: str, given: Mapping[str, Any], what: str) -> str | None:
    """The name or the path that an option is; None if it was not given."""
    value = given.get(name)
    if value is not None and not isinstance(value, str | PurePath):
        raise RooflineError(f"{name}={value!r}: must be the name of {what}")
    return None if value is None else str(value)


def _choice(name: str, value: Any) -> str:
    """One of a few names."""
    known = CHOICES[name]
    if value not in known:
        near = did_you_mean(str(value), known, most=1)
        hint = f"did you mean {near}?" if near else f"must be one of {', '.join(known)}"
        raise RooflineError(f"{name}={value!r}: {hint}")
    return str(value)


def _number(name: str, value: Any) -> float:
    """A length or batch, a positive number; one that may be zero; or a share. A batch may be `max`: infinite."""
    if name == "batch" and isinstance(value, str):
        return _batch(value)
    if name in SHARES:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise RooflineError(f"{name}={value!r}: must be a number from 0 to 1")
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= float_info.max:
        raise RooflineError(f"{name}={value!r}: must be a number of at least {0 if name in FROM_ZERO else 1}")
    if value < 1 and name not in FROM_ZERO:
        raise RooflineError(f"{name}={value!r}: must be at least 1")
    return float(value)


def _batch(text: str) -> float:
    """As the command line gives it."""
    if text == "max":
        return float("inf")
    if re.fullmatch(r"[1-9][0-9]{0,14}", text.strip()) is None:
        raise RooflineError(f"batch {text!r}: write how many requests run at once, e.g. 32, or max")
    return float(text)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A deployment as written: `[COUNTx]CHIP[:key=value,…]`, where the chip may be a system of `each` chips."""

    text: str
    chip: str
    count: int | None
    settings: Mapping[str, Any]
    each: int = 1

    @property
    def chips(self) -> int | None:
        """How many chips that are, where a count is written."""
        return None if self.count is None else self.count * self.each

    @property
    def stated(self) -> int | None:
        """How many chips are said: by a count, or by the name of a system, which is one of it."""
        return self.chips if self.each == 1 else self.each * (self.count or 1)

    @property
    def shape(self) -> str | None:
        """The shape of its slices, where one is written."""
        shape: str | None = self.settings.get(SHAPE)
        return shape

    def whole(self, chips: int) -> int:
        """As many chips, or as many more as whole systems have."""
        return -(-chips // self.each) * self.each


AUTO = "auto"
_POOLS = re.compile(r"[1-9][0-9]{0,7}:[1-9][0-9]{0,7}")
_DEPLOYMENT = re.compile(r"(?:(?P<count>[0-9]+)x)?(?P<chip>.+?)(?::(?P<settings>[a-z_]+=.*))?")


def parse_deployment(text: str) -> Wanted:
    """Read a deployment as written.

    >>> parse_deployment("8xh100-sxm:tp=8,stack=vllm").settings
    {'tp': 8, 'stack': 'vllm'}
    """
    match = _DEPLOYMENT.fullmatch(text.strip())
    if match is None:
        raise RooflineError(f"deployment {text!r}: write [COUNTx]CHIP[:key=value,…], e.g. '8xh100-sxm:tp=8'")
    count = int(match["count"]) if match["count"] else None
    if count is not None and not 1 <= count <= 10_000_000:
        raise RooflineError(f"deployment {text!r}: {count:,} chips; write between 1 and 10,000,000")
    settings: dict[str, Any] = {}
    for part in (match["settings"] or "").split(","):
        if part:
            key, separator, value = part.partition("=")
            if not separator:
                raise RooflineError(f"deployment {text!r}: {part!r} has no value; write key=value")
            key, value = key.strip(), value.strip()
            settings[key] = _shape(value, text) if key == SHAPE else setting(key, value, f"deployment {text!r}: ")
    return Wanted(text, match["chip"], count, settings)


def _shape(value: str, text: str) -> str:
    if re.fullmatch(r"[1-9][0-9]{0,4}(x[1-9][0-9]{0,4}){1,2}", value) is None:
        raise RooflineError(f"deployment {text!r}: shape={value}: write chips along each axis, e.g. shape=4x4x8")
    return value


def meant(catalog: Catalog, text: str) -> Wanted:
    """A deployment as written, with the number of chips that one of it is."""
    wanted = parse_deployment(text)
    each = _unit(catalog, wanted)[1]
    if (wanted.count or 1) * each > MOST:
        raise RooflineError(f"deployment {text!r}: {(wanted.count or 1) * each:,} chips; write at most {MOST:,}")
    return replace(wanted, each=each)


def chip_of(catalog: Catalog, wanted: Wanted) -> Chip:
    """The chip of a deployment, wired as it is in its system or its slice."""
    return _unit(catalog, wanted)[0]


def _unit(catalog: Catalog, wanted: Wanted) -> tuple[Chip, int]:
    """A chip and how many of it one of a deployment is; `PlanError` for the shape of what is no torus."""
    kind, place = catalog.machine(wanted.chip)
    if kind == "system":
        system = catalog.system(place)
        system = system if wanted.shape is None else system.slice(wanted.shape)
        return system.chip, system.chips
    if wanted.shape is not None:
        raise PlanError(f"{wanted.text}: shape={wanted.shape} is of a slice of a system; {wanted.chip} is one chip")
    return catalog.chip(wanted.chip), 1


def setting(key: str, value: Any, where: str = "") -> Any:
    """One checked setting of a deployment."""
    if key not in KEYS:
        known = (*KEYS, SHAPE) if where.startswith("deployment") else KEYS
        near = did_you_mean(key, known, most=1)
        raise RooflineError(
            f"{where}unknown setting {key!r}; " + (f"did you mean {near}?" if near else f"known: {', '.join(known)}")
        )
    if key in (*COUNTS, *READS):
        least, most = COUNTS[key.removeprefix("prefill_")]
        if not str(value).isdecimal() or len(str(value)) > 15 or not least <= int(value) <= most:
            top = f" to {most}" if most < MOST else " or more"
            raise RooflineError(f"{where}{key}={value}: must be a whole number, {least}{top}")
        return int(value)
    if key in PARTS:
        return _share(key, value, where)
    if key in SWITCHES:
        told = str(value).lower()
        if told not in (*ON, *OFF):
            raise RooflineError(f"{where}{key}={value}: must be on or off")
        return told in ON
    if key == "pools" and value != AUTO and not _POOLS.fullmatch(str(value)):
        raise RooflineError(f"{where}pools={value}: must be {AUTO} or PREFILL:DECODE chips, e.g. pools=4:12")
    choices = {**NAMED, **dict.fromkeys(FORMAT_KEYS, DTYPES)}.get(key)
    if choices and value not in choices:
        raise RooflineError(f"{where}{key}={value}: must be one of {', '.join(choices)}")
    return value


def _share(key: str, value: Any, where: str) -> float:
    """A share, as a number from 0 to 1 or in percent.

    >>> _share("offload_optimizer", "50%", ""), _share("offload_optimizer", 1, "")
    (0.5, 1.0)
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(%?)", str(value).strip())
    share = float(found[1]) / (100.0 if found[2] else 1.0) if found else -1.0
    if isinstance(value, bool) or not 0.0 <= share <= 1.0:
        raise RooflineError(f"{where}{key}={value}: must be a share from 0 to 1, or in percent, e.g. {key}=0.5")
    return share


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


def flag(name: str) -> str:
    """An option as the command line calls it, without its dashes.

    >>> flag("input_len"), flag("global_batch")
    ('input', 'global-batch')
    """
    return name.removesuffix("_len").replace("_", "-")


def resolve_deployment(
    catalog: Catalog, text: str, workload: Workload, options: Options, *, anyway: bool = False
) -> Deployment:  # fmt: skip
    """The deployment that a text means: chip and stack found, chips counted, a plan checked or found.

    Where no number of chips holds the workload, that is an error, or, `anyway`, as many are taken as their links join.
    """
    wanted = meant(catalog, text)
    given = plan_settings(text, options)
    settings = _settings(wanted, options)
    apart = settings.get("pools")
    try:
        _check_kind(workload, given)
        bare = unplanned(catalog, wanted, workload, options)
        count = wanted.chips or _pooled(apart) or _count(given)
        precision = bare.precision or workload.precision
        count = count or _fewest(workload, bare.chip, bare.stack, precision, given, anyway=anyway)
        count = wanted.whole(count)
        if apart == AUTO and wanted.count is None:
            count *= 2  # as many for each pool
        plans.check_wiring(bare.chip, count)
        deployment = replace(bare, num_chips=count, label=label(wanted, count))
        if apart:
            own = {key.removeprefix("prefill_"): settings[key] for key in READS if key in settings}
            return _disaggregated(workload, deployment, apart, given, wanted, {**given, **own})
        if lone := next((key for key in READS if key in settings), None):
            raise PlanError(f"{lone} is of a prefill pool; add pools, e.g. pools=4:12")
        plan = best_plan(workload, deployment, given)
        check(plan, workload, count)
    except PlanError as error:
        raise PlanError(f"{text}: {error}") from None
    return replace(deployment, plan=plan)


def unplanned(catalog: Catalog, wanted: Wanted, workload: Workload, options: Options) -> Deployment:
    """One chip of a deployment as written, with its stack, formats and what costs rest on, without a plan."""
    chip = chip_of(catalog, wanted)
    settings = _settings(wanted, options)
    kind = "training" if isinstance(workload, Training) else "serving"
    stack = catalog.stack(settings.get("stack") or chip.stack(kind), chip)
    precision = replace(workload.precision, **{key: settings[key] for key in FORMAT_KEYS if key in settings})
    bare = Deployment(
        chip=chip, num_chips=1, stack=stack, plan=Plan(), precision=precision, spreads=catalog.spreads(chip, stack),
        label=label(wanted, wanted.chips or wanted.each),
    )  # fmt: skip
    return assumptions.under(bare, catalog.economics(options.assumptions or "default"))


def plan_settings(text: str, options: Options) -> dict[str, Any]:
    """The fields of a plan that a deployment, as written, or options decide."""
    settings = _settings(parse_deployment(text), options)
    return {key: settings[key] for key in PLAN_KEYS if key in settings}


def _settings(wanted: Wanted, options: Options) -> dict[str, Any]:
    """Settings of a deployment: its own, and those of the options that it does not say."""
    return {**{key: setting(key, value) for key, value in options.settings.items()}, **wanted.settings}


def _check_kind(workload: Workload, given: Mapping[str, Any]) -> None:
    """`PlanError` if a plan for serving says what only training has."""
    wrong = next((key for key in given if key not in DEGREES), None)
    if wrong and not isinstance(workload, Training):
        raise PlanError(f"{wrong} belongs to training; {workload.id} is served ({', '.join(DEGREES)}, pools)")
    if "selective" in given and given.get("recompute", "selective") != "selective":
        raise PlanError(f"selective={given['selective']:g} needs recompute=selective, not {given['recompute']}")


def _fewest(
    workload: Workload, chip: Chip, stack: Stack, precision: Precision, given: Mapping[str, Any], *, anyway: bool
) -> int:  # fmt: skip
    try:
        return fewest_chips(workload, chip, stack, precision, given)
    except NoRoomError as error:
        if anyway:
            return error.most
        raise


def _pooled(apart: str | None) -> int | None:
    """Chips of both pools, where they are counted."""
    return sum(map(int, apart.split(":"))) if apart and apart != AUTO else None


def _disaggregated(
    workload: Workload, deployment: Deployment, apart: str, given: Mapping[str, Any], wanted: Wanted,
    read_given: Mapping[str, Any],
) -> Deployment:  # fmt: skip
    """The deployment with the pools that were asked for, or with the best; its label names them. `read_given` are the
    degrees of the prefill pool."""
    if isinstance(workload, Training):
        raise PlanError(f"pools={apart}: belongs to serving; {workload.id} trains")
    count = deployment.num_chips
    if apart != AUTO and _pooled(apart) != count:
        raise PlanError(f"pools={apart}: {_pooled(apart)} chips, but the deployment has {count}")
    prefill, _, decode = apart.partition(":")
    split = pools.splits(count, given) if apart == AUTO else [(int(prefill), int(decode))]
    found = pools.best_plans(workload, deployment, given, split, read_given)
    sizes = [f"{plan.num_chips:.0f}" for plan in (found.prefill_plan, found.plan) if plan]
    return replace(found, label=label(replace(wanted, settings={**wanted.settings, "pools": ":".join(sizes)}), count))


def _count(given: Mapping[str, Any]) -> int | None:
    """Chips that a plan asks for by itself: the product of its degrees, if it names any that multiply."""
    product = 1
    for degree in ("tp", "pp", "dp", "cp"):
        product *= given.get(degree, 1)
    return product if any(degree in given for degree in ("tp", "pp", "dp")) else None


def label(wanted: Wanted, count: int) -> str:
    """How reports call a deployment: what was written, with the count of chips that was found, or of whole systems."""
    chip = wanted.chip.rsplit("/", 1)[-1].rsplit(".", 1)[0] if is_path(wanted.chip) else wanted.chip
    said = {True: "on", False: "off"}
    settings = ",".join(
        f"{key}={said[value] if isinstance(value, bool) else value}" for key, value in wanted.settings.items()
    )
    return f"{count // wanted.each}x{chip}" + (f":{settings}" if settings else "")
