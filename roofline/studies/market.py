"""What serving a model costs beside what the market asks for it, by kind of machine.

Each model that is offered is served with the steps, the formats and the service level of one workload, on the chips of
the kind that its providers run: as many requests at once, on as many chips, as serve most requests for each chip-second
within that level. Hardware is owned, or rented around the clock, and works the share of the time that the assumptions
say. A price is no cost: what lies between the two is told as the share of the time, and the rent of a chip, at which
they would be equal.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog, builtin
from roofline.engine import billing, cost, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Prediction
from roofline.errors import PlanError, RooflineError
from roofline.numeric import Truth
from roofline.studies import economics, offers
from roofline.studies.contract import plan_fields
from roofline.studies.offers import Offer
from roofline.studies.plain import number
from roofline.studies.request import Options, resolve_deployment
from roofline.workload import Serving

MARKET_SCHEMA = "roofline.market/1"
MORE = (1, 2, 4, 8)  # times the fewest chips that hold a model
MOST_DOUBLINGS = 12  # of the requests that run at once
STARTS = (32.0, 1024.0)  # requests for which a plan is looked for
MILLION = 1e6


def market(
    like: str, catalog: Catalog, *, prices: Path | None = None, assumptions: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """The contract's comparison of costs and prices, of all offers or those of one model; `like` names the workload
    whose requests are served. Raises `RooflineError` for a workload that is no request, and for broken files."""
    catalog = Snapshot.of(catalog)
    serving, used = _served(like, catalog), catalog.economics(assumptions or "default")
    known = offers.read(prices or offers.shipped())
    wanted = catalog.model(model).id if model else None
    groups = _groups([offer for offer in known if wanted in (None, offer.model)])
    if wanted and not groups:
        raise RooflineError(f"nobody in the list of prices offers {wanted}")
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for (name, kind, chip), found in groups.items():
        try:
            rows.append(_row(replace(serving, model=catalog.model(name)), kind, chip, found, catalog, assumptions))
        except RooflineError as error:
            skipped.append({"id": f"{name} on {chip}", "reason": str(error)})
    return {
        "schema": MARKET_SCHEMA,
        "version": __version__,
        "like": like,
        "input_len": number(serving.input_len),
        "output_len": number(serving.output_len),
        **economics.assumed(used),
        "summary": list(_summary(rows)),
        "rows": rows,
        "skipped": skipped,
    }


def _served(like: str, catalog: Catalog) -> Serving:
    found = catalog.workload(like)
    if not isinstance(found, Serving) or not np.all(np.greater(found.output_len, 0.0)):
        raise RooflineError(f"{like}: must be a workload of requests that generate tokens, e.g. 'llama-3.1-70b-chat'")
    return found


def _groups(known: Sequence[Offer]) -> dict[tuple[str, str, str], list[Offer]]:
    """Offers of one model on one kind of machine, on the chip that was named or the one that stands for its kind."""
    stands_for = machines()
    groups: dict[tuple[str, str, str], list[Offer]] = {}
    for offer in known:
        groups.setdefault((offer.model, offer.kind, offer.chip or stands_for[offer.kind]), []).append(offer)
    order = list(offers.KINDS)
    return dict(sorted(groups.items(), key=lambda item: (order.index(item[0][1]), item[0])))


def machines() -> dict[str, str]:
    """The chip that stands for each kind of machine where a provider names none."""
    path = builtin("workloads") / "market" / "machines.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return {row["kind"]: row["chip"] for row in csv.DictReader(file)}


# --- one model on one kind of machine --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """Where a deployment serves most for its chips: the prediction of so many requests at once."""

    result: Prediction
    keeps: bool  # the service level

    @property
    def yields(self) -> float:
        """Requests for each chip-second."""
        return float(economics.unit_rate(self.result)) / self.result.deployment.num_chips


def _row(
    serving: Serving, kind: str, chip: str, found: Sequence[Offer], catalog: Catalog, assumptions: str | None
) -> dict[str, Any]:  # fmt: skip
    points = list(_points(serving, chip, catalog, Options(assumptions=assumptions)))
    best = max(points, key=lambda point: (point.keeps, point.yields if point.keeps else -_tpot(point)))
    asked = sorted(offer.request(serving) for offer in found)
    return {
        "model": serving.model.id,
        "kind": kind,
        "chip": chip,
        "chip_stated": all(offer.chip for offer in found),
        "offers": len(found),
        "providers": sorted({offer.provider for offer in found}),
        "first_date": min(offer.date for offer in found),
        "last_date": max(offer.date for offer in found),
        "market_usd_per_million_input_tokens": median(offer.input for offer in found) * MILLION,
        "market_usd_per_million_output_tokens": median(offer.output for offer in found) * MILLION,
        "market_usd_per_request_low": asked[0],
        "market_usd_per_request": median(asked),
        "market_usd_per_request_high": asked[-1],
        **_predicted(best, median(asked)),
    }


def _points(serving: Serving, chip: str, catalog: Catalog, options: Options) -> Iterator[Point]:
    """The best number of requests at once on more and more chips; `RooflineError` where no number holds the model."""
    few = resolve_deployment(catalog, chip, replace(serving, batch=1.0), options)
    for more, start in product(MORE, STARTS):
        try:
            where = resolve_deployment(
                catalog, f"{few.num_chips * more}x{chip}", replace(serving, batch=start), options
            )
        except PlanError:
            continue
        yield _best(serving, where)


def _best(serving: Serving, where: Deployment) -> Point:
    """As many requests at once as serve most within the service level; one, if none keeps it."""
    batches = np.exp2(np.arange(MOST_DOUBLINGS + 1, dtype=np.float64))
    result = search.predict(replace(serving, batch=batches), where)
    keeps = np.logical_and(np.broadcast_to(result.fits, batches.shape), _kept(serving, result))
    rates = np.where(keeps, economics.unit_rate(result), -np.inf)
    index = int(np.argmax(rates)) if np.any(keeps) else 0
    return Point(search.predict(replace(serving, batch=float(batches[index])), where), bool(np.any(keeps)))


def _kept(serving: Serving, result: Prediction) -> Truth:
    """Whether each time of the service level is kept."""
    limits = (("ttft_s", serving.slo.ttft_s), ("tpot_s", serving.slo.tpot_s))
    times = [(np.asarray(result.metrics[name], dtype=np.float64), limit) for name, limit in limits]
    kept = [np.less_equal(time, np.inf if limit is None else limit) for time, limit in times]
    return np.logical_and(*kept)


def _tpot(point: Point) -> float:
    return float(np.asarray(point.result.metrics["tpot_s"]))


def _predicted(point: Point, asked: float) -> dict[str, Any]:
    """What a request costs there, rented around the clock and owned, and what would make that the market's price."""
    result = _around_the_clock(point.result)
    deployment, metrics, assumed = result.deployment, result.metrics, result.deployment.economics
    spent = {name: number(metrics[name]) for name in metrics if "usd_per_" in name and "user" not in name}
    least = min((usd for usd in (spent["usd_per_request"], spent["own_usd_per_request"]) if usd), default=None)
    income = asked * float(economics.unit_rate(result))
    worth = economics.worth(result, income)
    owned = billing.owned_by(deployment.chip, deployment.num_chips, assumed, metrics)
    return {
        "num_chips": deployment.num_chips,
        "plan": plan_fields(deployment.plan, trains=False),
        "batch": number(getattr(result.workload, "batch", None)),
        "keeps_service_level": point.keeps,
        **{name: number(metrics[name]) for name in ("ttft_s", "tpot_s", "output_tokens_per_s_per_chip")},
        "utilization": None if assumed is None else number(assumed.owned),
        **spent,
        "market_over_cost": _over(asked, least),
        "market_over_rent": _over(asked, spent["usd_per_request"]),
        "market_over_own": _over(asked, spent["own_usd_per_request"]),
        "own_break_even_utilization": None if owned is None else number(cost.break_even_utilization(owned, income)),
        "hourly_usd": number(deployment.chip.price.hourly),
        "break_even_hourly_usd": worth["hourly_usd"],
        "break_even_purchase_usd": worth["purchase_usd"],
        "evidence": result.evidence,
    }


def _around_the_clock(result: Prediction) -> Prediction:
    """A prediction with chips that are rented for as many hours as they would be owned."""
    deployment, assumed = result.deployment, result.deployment.economics
    if assumed is None:
        return result
    fleet = replace(assumed, rented=assumed.owned)
    return search.predict(result.workload, replace(deployment, economics=fleet))


def _over(asked: float, spent: float | None) -> float | None:
    return asked / spent if spent else None


def _summary(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """By kind of machine: the middle of price over cost, and of the rent of a chip that prices would pay."""
    for kind in offers.KINDS:
        own = [row for row in rows if row["kind"] == kind]
        if own:
            yield {
                "kind": kind,
                "chips": sorted({row["chip"] for row in own}),
                "models": len(own),
                "offers": sum(row["offers"] for row in own),
                **{name: _middle(own, name) for name in ("market_over_cost", "market_over_rent", "market_over_own")},
                "hourly_usd": _middle(own, "hourly_usd"),
                "break_even_hourly_usd": _middle(own, "break_even_hourly_usd"),
                "tpot_s": _middle(own, "tpot_s"),
            }


def _middle(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return median(known) if known else None
