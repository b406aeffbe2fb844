"""One workload on one deployment, or on many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.prediction import Prediction
from roofline.errors import CheckFailedError
from roofline.studies import contract
from roofline.studies.request import Options, resolve_deployment, resolve_workload


def predict(workload: str, deployment: str, options: Options = Options(), catalog: Catalog = Catalog()) -> Prediction:  # noqa: B008
    """The prediction of a named workload on a deployment as written; raises `RooflineError` for bad input."""
    job = resolve_workload(catalog, workload, options)
    return search.predict(job, resolve_deployment(catalog, deployment, job, options))


def analyze(workload: str, deployment: str, options: Options, catalog: Catalog) -> dict[str, Any]:
    """The contract's object for one deployment."""
    return contract.prediction(predict(workload, deployment, options, catalog))


def compare(workload: str, deployments: Sequence[str], options: Options, catalog: Catalog) -> dict[str, Any]:
    """The contract's object for many deployments of the same workload, in the order given; one that nothing holds is
    a row like the others, which does not fit."""
    job = resolve_workload(catalog, workload, options)
    resolved = [resolve_deployment(catalog, text, job, options, anyway=True) for text in deployments]
    return contract.comparison(job, [contract.prediction(search.predict(job, deployment)) for deployment in resolved])


def require_fit(rows: Sequence[Mapping[str, Any]]) -> None:
    """`CheckFailedError` naming the deployments that do not fit, if there are any."""
    failed = [f"{row['deployment']['label']} {row['why']}" for row in rows if not row["fits"]]
    if failed:
        raise CheckFailedError("does not fit: " + "; ".join(failed))
