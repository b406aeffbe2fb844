"""Fitting few bounded constants to many measurements: robust, deterministic, in relative terms.

The loss is that of the logarithm of predicted over measured, linear for outliers (soft L1), so that a factor of two too
long and too short weigh alike and one broken row does not bend a constant. A weak pull towards the starting values
decides what the rows leave open. The model is asked for all of its derivatives at once: constants are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roofline.numeric import Num

SOFTNESS = 0.05  # errors below about this count squared, above it linearly
NUDGE = 1e-4  # of a constant's scale: the difference that derivatives are taken over
Values = Mapping[str, Num]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant to fit: its physical range, where to start, and how far from there is far (in units of `scale`)."""

    name: str
    start: float
    low: float
    high: float
    scale: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What was found: the constants, and the median absolute relative error before and after."""

    values: dict[str, float]
    before: float
    after: float
    rows: int


def fit(
    constants: Sequence[Constant],
    predict: Callable[[Values], Array],
    measured: Array,
    *,
    pull: float = 0.1,
    weights: Array | None = None,
) -> Fit:
    """The constants that bring `predict(values)` closest to `measured` (both positive, one value per row).

    `predict` takes each constant as an array `[points, 1]` and returns `[points, rows]`. `pull` is the weight of the
    starting values: the residual, in softnesses, of a constant one `scale` away. `weights` multiply residuals.
    """
    from scipy.optimize import least_squares

    start, low, high, scale = (
        np.array([getattr(constant, field) for constant in constants]) for field in ("start", "low", "high", "scale")
    )
    inside = np.clip(start, low, high) / scale
    weight = np.ones(len(measured)) if weights is None else weights

    def predicted(points: Array) -> Array:
        """Predictions `[points, rows]` at points in units of the scales."""
        values = {constant.name: points[:, index, None] * scale[index] for index, constant in enumerate(constants)}
        return np.broadcast_to(predict(values), (len(points), len(measured)))

    def residuals(points: Array) -> Array:
        errors = np.log(np.maximum(predicted(points), 1e-300) / measured)
        pulls = (points - inside) * pull * SOFTNESS
        return np.concatenate([np.clip(errors, -20.0, 20.0) * weight, pulls], axis=1)

    def at(point: Array) -> Array:
        return residuals(point[None, :])[0]

    def slopes(point: Array) -> Array:
        nudge = np.where(point + NUDGE > high / scale, -NUDGE, NUDGE)
        found = residuals(np.concatenate([point[None, :], point + np.diag(nudge)]))
        return ((found[1:] - found[0]) / nudge[:, None]).T

    margin = 1e-6 * (high - low) / scale  # strictly inside, as the solver wants it
    found = least_squares(
        at,
        np.clip(inside, low / scale + margin, high / scale - margin),
        jac=slopes,
        bounds=(low / scale, high / scale),
        loss="soft_l1",
        f_scale=SOFTNESS,
        max_nfev=100,
    )
    values = {constant.name: float(value) for constant, value in zip(constants, found.x * scale, strict=True)}
    before, after = (error(predicted(point[None, :])[0], measured) for point in (inside, found.x))
    return Fit(values, before, after, len(measured))


def error(predicted: Array, measured: Array) -> float:
    """Median of |predicted/measured − 1|."""
    return float(np.median(np.abs(predicted / measured - 1.0))) if len(measured) else float("nan")
