"""Where a model trains and where it is served: one deployment as written, resolved once for each kind of work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from roofline.catalog.store import Catalog
from roofline.engine import plans, search, training
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import NoRoomError, PlanError, RooflineError
from roofline.machine import Chip
from roofline.studies import contract
from roofline.studies.request import (
    DEGREES,
    PLAN_KEYS,
    TRAINING_ONLY,
    Options,
    Wanted,
    chip_of,
    label,
    meant,
    plan_settings,
    resolve_deployment,
    work_of,
)
from roofline.workload import Model, Serving, Training, Workload

SERVING_ONLY = (
    "batch",
    "input_len",
    "output_len",
    "context_len",
    "cached_share",
    "draft_tokens",
    "acceptance",
    "draft",
)
SERVED_FORMATS = ("weights", "kv_cache")  # a run that trains has formats of its own


@dataclass(frozen=True, slots=True)
class Jobs:
    """What is contrasted: a run that trains a model, and requests to it."""

    training: Training
    serving: Serving

    @property
    def all(self) -> tuple[Workload, ...]:
        """Both, in the order in which they are shown."""
        return self.training, self.serving


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of work on a deployment: its prediction, None where no plan would do, and the given fields of a plan.
    `why` says what keeps it from fitting; `asked` are the chips as written, where it is shown on more of them."""

    name: str
    chip: Chip
    job: Workload
    prediction: Prediction | None
    given: Mapping[str, Any]
    why: str | None = None
    asked: int | None = None


def jobs(catalog: Catalog, name: str, options: Options) -> Jobs:
    """A model, or the model of a workload, as a run and as requests; the workload itself is one of the two."""
    if options.phase is not None:
        raise RooflineError("--phase: a contrast shows all phases; leave it out")
    if options.scenario is not None:
        raise RooflineError("--scenario: a contrast shows phases, not the steps of a request; leave it out")
    found = catalog.workload(name)
    model = found if isinstance(found, Model) else found.model
    trains = work_of(found if isinstance(found, Training) else model, _of_training(options), catalog)
    serves = work_of(found if isinstance(found, Serving) else model, _of_serving(options), catalog)
    if not isinstance(trains, Training) or not isinstance(serves, Serving):
        raise TypeError(f"{name} is neither trained nor served")
    return Jobs(trains, serves)


def _of_training(options: Options) -> Options:
    """The options that are about training."""
    rest: dict[str, Any] = dict.fromkeys(SERVING_ONLY)
    return replace(options, phase="training", settings=_training_settings(options.settings), **rest)


def _of_serving(options: Options) -> Options:
    """The options that are about serving."""
    rest: dict[str, Any] = dict.fromkeys(TRAINING_ONLY)
    return replace(options, settings=_serving_settings(options.settings), **rest)


def _training_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in SERVED_FORMATS}


def _serving_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    own = [key for key in PLAN_KEYS if key not in DEGREES] + ["cp"]
    return {key: value for key, value in settings.items() if key not in own}


def places(catalog: Catalog, text: str, jobs: Jobs, options: Options) -> Iterator[Place]:
    """Both kinds of work on a deployment as written."""
    wanted = meant(catalog, text)
    if "pools" in wanted.settings or "pools" in options.settings:
        raise RooflineError(f"{text}: pools: each phase is shown by itself on all chips; leave pools out")
    _check_wiring(catalog, text, wanted)
    trains = replace(wanted, settings=_training_settings(wanted.settings))
    serves = replace(wanted, settings=_serving_settings(wanted.settings))
    yield _place(catalog, _name(wanted), trains, jobs.training, _of_training(options))
    yield _place(catalog, _name(wanted), serves, jobs.serving, _of_serving(options))


def _check_wiring(catalog: Catalog, text: str, wanted: Wanted) -> None:
    """`PlanError` if so many chips can't be joined, whatever they do."""
    try:
        plans.check_wiring(chip_of(catalog, wanted), wanted.chips or 1)
    except PlanError as error:
        raise PlanError(f"{text}: {error}") from None


def _place(catalog: Catalog, name: str, wanted: Wanted, job: Workload, options: Options) -> Place:
    """A kind of work where it was wanted; what nothing holds is told, not raised, unless a plan was asked for."""
    chip = chip_of(catalog, wanted)
    wanted, options = _with_own_software(catalog, chip, wanted, job, options)
    text = _written(wanted)
    given = plan_settings(text, options)
    try:
        deployment = resolve_deployment(catalog, text, job, options)
    except PlanError as error:
        if given and not isinstance(error, NoRoomError):
            raise
        return Place(name, chip, job, None, given, str(error), wanted.chips)
    found = search.predict(job, deployment)
    place = Place(name, chip, job, found, given)
    if found.fits:
        return place
    why = contract.why_not(found.memory, found.capacity, found.max_batch, job)
    more = _enough(job, deployment, given) if isinstance(job, Training) and wanted.count else None
    if more is None:
        return replace(place, why=why)
    larger = resolve_deployment(catalog, _written(replace(wanted, count=more // wanted.each)), job, options)
    return replace(place, prediction=search.predict(job, larger), why=why, asked=wanted.chips)


def _enough(job: Training, deployment: Deployment, given: Mapping[str, Any]) -> int | None:
    """The first doubling of a deployment's chips that holds a run; None if none does that the links join."""
    chip, stack, precision = deployment.chip, deployment.stack, deployment.precision_for(job.precision)
    count, most = 2 * deployment.num_chips, min(plans.most_chips(chip), search.MOST_TRIED)
    while count <= most:
        if training.holds(job, chip, stack, count, precision, given):
            return count
        count *= 2
    return None


def _with_own_software(
    catalog: Catalog, chip: Chip, wanted: Wanted, job: Workload, options: Options
) -> tuple[Wanted, Options]:
    """Without a stack that was named for the other kind of work: that which says what of its messages training hides is
    for training, all others serve, and what states nothing at all does both."""
    named = wanted.settings.get("stack") or options.settings.get("stack")
    if named is None:
        return wanted, options
    stack = catalog.stack(named, chip)
    if not stack.sources or bool(stack.overlaps) == isinstance(job, Training):
        return wanted, options
    return replace(wanted, settings=_without_stack(wanted.settings)), replace(
        options, settings=_without_stack(options.settings)
    )


def _without_stack(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "stack"}


def _written(wanted: Wanted) -> str:
    """A deployment as text again."""
    settings = ",".join(f"{key}={value}" for key, value in wanted.settings.items())
    count = f"{wanted.count}x" if wanted.count else ""
    return f"{count}{wanted.chip}" + (f":{settings}" if settings else "")


def _name(wanted: Wanted) -> str:
    """How a deployment is called, its count only where one was written."""
    called = label(wanted, wanted.chips or wanted.each)
    return called if wanted.count else called.removeprefix("1x")
