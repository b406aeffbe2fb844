"""The study: what is asked of which numbers, resolved and answered as the contract's object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies import contract
from roofline.studies.knobs import knobs
from roofline.studies.knobs.knob import Case, Knob, find, turned
from roofline.studies.request import Options, plan_settings, resolve_deployment, resolve_workload
from roofline.studies.whatif import against as sides
from roofline.studies.whatif import asked, measures, need, turns
from roofline.studies.whatif.change import change, turned_numbers

WHATIF_SCHEMA = "roofline.whatif/1"
TURNS, CHANGE, NEED, BREAK_EVEN = "elasticities", "change", "solution", "break-even"


def whatif(
    workload: str,
    deployment: str,
    options: Options,
    catalog: Catalog,
    *,
    settings: Sequence[str] = (),
    target: str | None = None,
    solve: str | None = None,
    against: str | None = None,
    metric: str | None = None,
    replan: bool = False,
) -> dict[str, Any]:
    """The contract's object of what turning numbers changes.

    Alone, the elasticities of every metric with respect to every knob, ranked by what they do to `metric`; `settings`
    ("KEY=VALUE") give the prediction before and after; a `target` ("METRIC=VALUE") what `solve` has to be for
    it; `against` another deployment where `solve` makes both equal in `metric`. What is set is set in all of these.
    Raises `RooflineError` for keys, values and combinations that mean nothing.
    """
    _check(settings, target, solve, against, metric, replan)
    job = resolve_workload(catalog, workload, options)
    where = resolve_deployment(catalog, deployment, job, options)
    given = plan_settings(deployment, options)
    base = Case(job, where)
    wanted = asked.settings(settings, knobs(base))
    case = turned(base, wanted)
    found = case.predicted()
    names = measures.values(found, 1)
    result: dict[str, Any] = {
        "schema": WHATIF_SCHEMA,
        "version": __version__,
        "kind": BREAK_EVEN if against else NEED if target else CHANGE if settings else TURNS,
        **_told(base),
        "set": turned_numbers(wanted),
    }
    if against and solve:
        other = Case(job, resolve_deployment(catalog, against, job, options))
        other = turned(other, [(find(knob.key, knobs(other), "--set"), value) for knob, value in wanted if knob.shared])
        return result | {"break_even": _break_even(case, other, solve, metric, names)}
    if target and solve:
        told, there = need.solution(case, find(solve, knobs(case), "--solve"), *asked.target(target, names))
        return result | {"solution": told, "worth": _ranked(there, told["metric"])}
    if settings:
        if replan and where.prefill_plan is not None:
            raise RooflineError("--replan: of pools no other plan is looked for; give one with pools=auto instead")
        return result | {"change": change(base, case, given, replan=replan)}
    return result | {"worth": _ranked(base, measures.name_of(metric, names, "--metric") if metric else None)}


def _check(
    settings: Sequence[str],
    target: str | None,
    solve: str | None,
    against: str | None,
    metric: str | None,
    replan: bool,
) -> None:
    """`RooflineError` for what does not go together."""
    if target and against:
        raise RooflineError("--target and --against ask for different things; give one of them")
    if (target or against) and not solve:
        raise RooflineError("--solve KEY is missing: the number to be found, e.g. --solve memory.bandwidth")
    if solve and not (target or against):
        raise RooflineError("--solve needs --target METRIC=VALUE, e.g. --target tpot=20ms, or --against DEPLOYMENT")
    if replan and (target or against or not settings):
        raise RooflineError("--replan goes with --set alone")
    if metric and target:
        raise RooflineError("--metric: the target names the metric already")


def _told(case: Case) -> dict[str, Any]:
    """Workload, deployment, whether it fits, and what stands behind the expectation, as of any prediction."""
    found = contract.prediction(case.predicted())
    return {name: found[name] for name in ("workload", "deployment", "fits", "why", "evidence", "notes")}


def _ranked(case: Case, metric: str | None) -> dict[str, Any]:
    """Every knob with an effect, the largest on a metric first."""
    found = turns.worths(case, knobs(case))
    base = {name: float(array[0]) for name, array in measures.values(case.predicted(), 1).items()}
    ranked_by = metric or measures.default(base)
    rows = sorted((worth for worth in found if worth.any_effect), key=lambda worth: -worth.effect(ranked_by))
    return {
        "metric": ranked_by,
        "main_metrics": list(dict.fromkeys([*measures.main(case.job, base), ranked_by])),
        "units": {name: measures.unit(name) for name in base},
        "metrics": base,
        "step": turns.STEP,
        "without_effect": len(found) - len(rows),
        "rows": [_row(worth) for worth in rows],
    }


def _row(worth: turns.Worth) -> dict[str, Any]:
    knob = worth.knob
    return {
        "key": knob.key,
        "unit": knob.unit,
        "value": knob.value,
        "low": worth.low,
        "high": worth.high,
        "role": knob.role,
        "slope": "point" if knob.smooth else "mean",
        "part_of": knob.part_of or None,
        "fits_low": worth.fits[0],
        "fits_high": worth.fits[1],
        "elasticities": dict(worth.elasticities),
        "low_changes": dict(worth.low_changes),
        "high_changes": dict(worth.high_changes),
    }


def _break_even(case: Case, other: Case, solve: str, metric: str | None, names: dict[str, Any]) -> dict[str, Any]:
    """Of a number of the work both are turned, of any other the first deployment alone."""
    knob: Knob = find(solve, knobs(case), "--solve")
    also = find(knob.key, knobs(other), "--solve") if knob.shared else None
    default = "usd_per_million_tokens" if "usd_per_million_tokens" in names else measures.default(names)
    told = measures.name_of(metric, names, "--metric") if metric else default
    found = sides.break_even(case, other, knob, also, told)
    second = _told(other)["deployment"]
    return {**found, "metric_unit": measures.unit(told), "against": second}
