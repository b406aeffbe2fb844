"""Fitting few bounded constants to many measurements: robust, deterministic, in relative terms.

The loss is that of the logarithm of predicted over measured, linear for outliers (soft L1), so that a factor of two too
long and too short weigh alike and one broken row does not bend a constant. A weak pull towards the starting values
decides what the rows leave open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SOFTNESS = 0.05  # errors below about this count squared, above it linearly
Values = Mapping[str, float]
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
    constants: Sequence[Constant], predict: Callable[[Values], Array], measured: Array, *, pull: float = 0.1
) -> Fit:  # fmt: skip
    """The constants that bring `predict(values)` closest to `measured` (both positive, one value per row).

    `pull` is the weight of the starting values: the residual, in softnesses, of a constant one `scale` away.
    """
    from scipy.optimize import least_squares

    start, low, high, scale = (
        np.array([getattr(constant, field) for constant in constants]) for field in ("start", "low", "high", "scale")
    )
    inside = np.clip(start, low, high)

    def named(point: Array) -> dict[str, float]:
        return {constant.name: float(value) for constant, value in zip(constants, point * scale, strict=True)}

    def residuals(point: Array) -> Array:
        with np.errstate(over="ignore"):
            errors = np.log(np.maximum(predict(named(point)), 1e-300) / measured)
        return np.concatenate([np.clip(errors, -20.0, 20.0), (point - inside / scale) * pull * SOFTNESS])

    margin = 1e-9 * (high - low)  # strictly inside, as the solver wants it
    found = least_squares(
        residuals,
        np.clip(inside, low + margin, high - margin) / scale,
        bounds=(low / scale, high / scale),
        loss="soft_l1",
        f_scale=SOFTNESS,
        max_nfev=200,
    )
    values = named(found.x)
    return Fit(values, error(predict(named(inside / scale)), measured), error(predict(values), measured), len(measured))


def error(predicted: Array, measured: Array) -> float:
    """Median of |predicted/measured − 1|."""
    return float(np.median(np.abs(predicted / measured - 1.0))) if len(measured) else float("nan")
