"""One workload on one deployment, or on many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.prediction import Prediction
from roofline.errors import CheckFailedError
from roofline.studies import contract
from roofline.studies.explain_plan import explain_plan as plans_of
from roofline.studies.frontier import frontier as trade
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
    frontier: bool = False,
) -> dict[str, Any]:
    """The contract's object for one deployment; of training also why its plan is the best, or how the run scales
    (strong or weak); of serving also what it trades, cost against latency."""
    job = resolve_workload(catalog, workload, options)
    where = resolve_deployment(catalog, deployment, job, options)
    result, given = contract.prediction(search.predict(job, where)), plan_settings(deployment, options)
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
    rows = [contract.prediction(search.predict(job, deployment)) for deployment in resolved]
    if explain_plan:
        for row, text, deployment in zip(rows, deployments, resolved, strict=True):
            row["plans"] = plans_of(job, deployment, plan_settings(text, options))
    if frontier:
        for row, text, deployment in zip(rows, deployments, resolved, strict=True):
            row["frontier"] = trade(job, deployment, plan_settings(text, options))
    return contract.comparison(job, rows)


def require_fit(rows: Sequence[Mapping[str, Any]]) -> None:
    """`CheckFailedError` naming the deployments that do not fit, if there are any."""
    failed = [f"{row['deployment']['label']} {row['why']}" for row in rows if not row["fits"]]
    if failed:
        raise CheckFailedError("does not fit: " + "; ".join(failed))
