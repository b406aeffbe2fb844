"""From residuals to intervals: the table of spreads that predictions carry.

Rows of one group (software on a chip and the model, or the shape) err alike: a group counts for the square root of its
rows. The percentiles are those order statistics between which the next of so many lies as often as promised, on average
(split conformal prediction, Vovk et al. 2005).
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from roofline.catalog.spreads import COLUMNS, Entry
from roofline.machine.chip import Calibration
from roofline.machine.evidence import Spread
from roofline.studies.calibration.fitting import Array
from roofline.studies.calibration.residuals import LeftOut, Residual

COVER = 0.9
FEWEST_GROUPS, FEWEST_CASES = 4, 12  # below which a place has no spread of its own: the next wider one stands in
EVIDENCE: Mapping[LeftOut, Calibration] = MappingProxyType(
    {"model": "measured", "shape": "measured", "chip": "transferred", "everything": "datasheet"}
)


def table(residuals: Iterable[Residual]) -> str:
    """The table of spreads as CSV, a row for every place whose residuals are enough."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries(residuals):
        spread = entry.spread
        place = entry.evidence, entry.stack, entry.kind, entry.chip, entry.figure
        shown = (f"{value:.3g}" for value in (spread.median_error, spread.low, spread.high))
        writer.writerow([*place, spread.cases, spread.groups, *shown])
    return out.getvalue()


def entries(residuals: Iterable[Residual]) -> Iterator[Entry]:
    """Spreads of stacks on chips and on kinds, of kinds, of all, in that order, as far as there are rows enough."""
    places: dict[tuple[str, ...], list[Residual]] = defaultdict(list)
    for residual in nearest(residuals):
        behind = EVIDENCE[residual.left_out]
        for stack, kind, chip in _places(residual, behind):
            places[behind, stack, kind, chip, residual.figure].append(residual)
    for place in sorted(places, key=lambda place: (place[0], [part == "" for part in place[1:4]], place)):
        found = spread(places[place])
        if found.groups >= FEWEST_GROUPS and found.cases >= FEWEST_CASES:
            evidence, stack, kind, chip, figure = place
            yield Entry(evidence, stack, kind, chip, figure, found)


def nearest(residuals: Iterable[Residual]) -> Iterable[Residual]:
    """Each row as constants of the closest relatives predicted it: of its family rather than of its kind."""
    found: dict[tuple[str, ...], Residual] = {}
    for residual in residuals:
        key = residual.id, residual.figure, residual.phase, residual.left_out
        if key not in found or residual.level == residual.family:
            found[key] = residual
    return found.values()


def _places(residual: Residual, evidence: Calibration) -> Iterator[tuple[str, str, str]]:
    """Stack, kind and chip of every place that a residual is an example of; kernels of libraries are of no stack."""
    if evidence == "measured":
        yield residual.stack, residual.kind, residual.chip
    if evidence != "datasheet" and residual.stack:
        yield residual.stack, residual.kind, ""
    yield "", residual.kind, ""
    yield "", "", ""


def spread(residuals: Sequence[Residual]) -> Spread:
    """The percentiles of measured over predicted seconds, and the median of the absolute error."""
    group = [(residual.stack, residual.chip, residual.group) for residual in residuals]
    count = Counter(group)
    weights = np.array([count[name] ** -0.5 for name in group])
    errors = -np.array([residual.error for residual in residuals])  # ln(measured/predicted)
    tail = (1.0 - COVER) / 2.0
    beyond = max(tail - (0.5 - tail) / float(np.sum(weights)), 0.0)  # the next lies below the k-th of n in k of n + 1
    low, high = (float(np.exp(quantile(errors, weights, level))) for level in (beyond, 1.0 - beyond))
    median = float(np.median(np.abs(np.expm1(-errors))))
    return Spread(low=low, high=high, cases=len(residuals), groups=len(count), median_error=median)


def quantile(values: Array, weights: Array, level: float) -> float:
    """The value below which a share of the weight lies, between the middles of neighbours.

    >>> quantile(np.array([3.0, 1.0, 2.0]), np.ones(3), 0.5)
    2.0
    """
    order = np.argsort(values)
    weights = weights[order]
    middles = (np.cumsum(weights) - weights / 2.0) / np.sum(weights)
    return float(np.interp(level, middles, values[order]))
