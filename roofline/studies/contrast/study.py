"""The contrast of training and inference: every phase of a model on every deployment, who wins it, what each suits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline import __version__
from roofline.catalog.store import Catalog
from roofline.errors import CheckFailedError
from roofline.studies import contract
from roofline.studies.contrast.places import jobs, places
from roofline.studies.contrast.rows import rows
from roofline.studies.contrast.winners import rankings, suits
from roofline.studies.provenance import sources
from roofline.studies.request import Options

SCHEMA = "roofline.contrast/1"


def contrast(name: str, deployments: Sequence[str], options: Options, catalog: Catalog) -> dict[str, Any]:
    """The contract's object: a row for each deployment and phase, rankings, and the phase that each deployment suits.

    `name` is a model, or a workload: then it is one side of the contrast, and the other is its model's usual one. What
    nothing holds is a row that does not fit. Raises `RooflineError` for bad input.
    """
    both = jobs(catalog, name, options)
    found = [place for text in deployments for place in places(catalog, text, both, options)]
    told = [row for place in found for row in rows(place)]
    model = both.serving.model
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": {
            "id": model.id,
            "parameters": model.parameters,
            "active_parameters": model.active_parameters,
        },
        "workloads": [contract.workload(job) for job in both.all],
        "rows": told,
        "rankings": rankings(told),
        "suits": suits(told, [place.name for place in found]),
        **sources(model, [place.prediction.deployment for place in found if place.prediction]),
    }


def require_fit(rows: Sequence[Mapping[str, Any]]) -> None:
    """`CheckFailedError` naming what does not fit the chips as written, if anything does not."""
    failed = [f"{row['phase']} on {row['name']} {row['why']}" for row in rows if row["why"]]
    if failed:
        raise CheckFailedError("does not fit: " + "; ".join(failed))
