"""One workload on one deployment, or on many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.prediction import Prediction
from roofline.errors import CheckFailedError
from roofline.studies import contract, economics
from roofline.studies.explain_plan import explain_plan as plans_of
from roofline.studies.frontier import frontier as trade
from roofline.studies.provenance import sources
from roofline.studies.request import Options, plan_settings, resolve_deployment, resolve_workload
from roofline.studies.scaling import scaling as curve


def predict(workload: str, deployment: str, options: Options = Options(), catalog: Catalog = Catalog()) -> Prediction:  # noqa: B008
    """The prediction of a named workload on a deployment as written; raises `RooflineError` for bad input."""
    job = resolve_workload(catalog, workload, options)
    return search.predict(job, resolve_deployment(catalog, deployment, job, options))


def analyze(
    workload: str,
    deployment: str,
    options: Options,
    catalog: Catalog,
    *,
    explain_plan: bool = False,
    scaling: str | None = None,
    costs: bool = False,
    frontier: bool = False,
) -> dict[str, Any]:
    """The contract's object for one deployment; of training also why its plan is the best, or how the run scales
    (strong or weak); of serving also what it trades, cost against latency; with `costs` also what tokens cost over
    utilisation."""
    job = resolve_workload(catalog, workload, options)
    where = resolve_deployment(catalog, deployment, job, options)
    found = search.predict(job, where)
    result, given = contract.prediction(found), plan_settings(deployment, options)
    result |= economics.assumed(where.economics) | sources(job.model, [found.deployment])
    if costs:
        result["costs"] = economics.curve(found)
    if explain_plan:
        result["plans"] = plans_of(job, where, given)
    if scaling is not None:
        result["scaling"] = curve(job, where, given, scaling)
    if frontier:
        result["frontier"] = trade(job, where, given)
    return result


def compare(
    workload: str,
    deployments: Sequence[str],
    options: Options,
    catalog: Catalog,
    *,
    explain_plan: bool = False,
    frontier: bool = False,
) -> dict[str, Any]:
    """The contract's object for many deployments of the same workload, in the order given; one that nothing holds is
    a row like the others, which does not fit."""
    job = resolve_workload(catalog, workload, options)
    resolved = [resolve_deployment(catalog, text, job, options, anyway=True) for text in deployments]
    found = [search.predict(job, deployment) for deployment in resolved]
    rows = [contract.prediction(result) for result in found]
    for row, equal in zip(rows, economics.against_cheapest(found), strict=True):
        economics.compare_in(row, equal)
    if explain_plan:
        for row, text, deployment in zip(rows, deployments, resolved, strict=True):
            row["plans"] = plans_of(job, deployment, plan_settings(text, options))
    if frontier:
        for row, text, deployment in zip(rows, deployments, resolved, strict=True):
            row["frontier"] = trade(job, deployment, plan_settings(text, options))
    more = economics.assumed(resolved[0].economics if resolved else None) | sources(job.model, resolved)
    return contract.comparison(job, rows) | more


def require_fit(rows: Sequence[Mapping[str, Any]]) -> None:
    """`CheckFailedError` naming the deployments that do not fit, if there are any."""
    failed = [_misfit(row) for row in rows if not row["fits"]]
    if failed:
        raise CheckFailedError("does not fit: " + "; ".join(failed))


def _misfit(row: Mapping[str, Any]) -> str:
    """The deployment with its reason, or the first of the values that were varied."""
    if "deployment" in row:
        return f"{row['deployment']['label']} {row['why']}"
    name, value = next(iter(row.items()))
    return f"{name}={value:g}"
