"""Deployments that a user asks for: chip and stack found, chips counted, a plan checked or found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roofline.catalog.store import Catalog
from roofline.engine import plans, pools
from roofline.engine.deployment import Deployment
from roofline.engine.search import best_plan, check, fewest_chips
from roofline.errors import NoRoomError, PlanError
from roofline.machine import Chip, Stack
from roofline.studies import assumptions
from roofline.studies.request.asked import Options
from roofline.studies.request.settings import AUTO, DEGREES, FORMAT_KEYS, PLAN_KEYS, READS, setting
from roofline.studies.request.written import Wanted, chip_of, label, meant, parse_deployment
from roofline.workload import Plan, Precision, Training, Workload


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
