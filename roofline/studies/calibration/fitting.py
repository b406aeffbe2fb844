"""Fitting few bounded constants to many measurements: robust, deterministic, in relative terms.

The loss is that of the logarithm of predicted over measured, linear for outliers (soft L1), so that a factor of two too
long and too short weigh alike and one broken row does not bend a constant. A weak pull towards the starting values
decides what the rows leave open. The model is asked for all of its derivatives at once: constants are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from roofline.numeric import Num

SOFTNESS = 0.05  # errors below about this count squared, above it linearly
NUDGE = 1e-4  # of a constant's scale: the difference that derivatives are taken over
ENOUGH = 1e-6  # relative change of the loss or of the constants below which the search ends
FAR = 20.0  # logarithm of predicted over measured beyond which a row says no more
Values = Mapping[str, Num]
Array = NDArray[np.float64]
NO_VALUES: Values = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant to fit: its physical range, where to start, and how far from there is far (in units of `scale`)."""

    name: str
    start: float
    low: float
    high: float
    scale: float


@dataclass(frozen=True, slots=True, eq=False)  # arrays inside: == would be ambiguous
class Fit:
    """What was found: the constants, those of them that were `free`, and ln(predicted/measured) of each row before and
    with them."""

    values: dict[str, float]
    free: tuple[str, ...]
    start: Array
    end: Array

    @property
    def before(self) -> float:
        """Median error [1] before, by default with the constants that the fit started from."""
        return error(self.start)

    @property
    def after(self) -> float:
        """Median error [1] with the constants found."""
        return error(self.end)

    @property
    def rows(self) -> int:
        """How many rows were fitted to."""
        return len(self.end)


def fit(
    constants: Sequence[Constant],
    predict: Callable[[Values], Array],
    measured: Array,
    *,
    pull: float = 0.1,
    weights: Array | None = None,
    guess: Values = NO_VALUES,
) -> Fit:
    """The constants that bring `predict(values)` closest to `measured` (both positive, one value per row).

    `predict` takes each constant as an array `[points, 1]` and returns `[points, rows]`. `pull` is the weight of the
    starting values: the residual, in softnesses, of a constant one `scale` away. `weights` multiply residuals. `guess`
    is where the search begins, by default at the starting values: it saves time, the pull stays as it is.
    """
    from scipy.optimize import least_squares

    start, low, high, scale = (
        np.array([getattr(constant, field) for constant in constants]) for field in ("start", "low", "high", "scale")
    )
    inside = np.clip(start, low, high) / scale
    first = np.array([guess.get(constant.name, constant.start) for constant in constants]) / scale
    weight = np.ones(len(measured)) if weights is None else weights

    def predicted(points: Array) -> Array:
        """Predictions `[points, rows]` at points in units of the scales."""
        values = {constant.name: points[:, index, None] * scale[index] for index, constant in enumerate(constants)}
        return np.broadcast_to(predict(values), (len(points), len(measured)))

    def errors(points: Array) -> Array:
        return np.clip(np.log(np.maximum(predicted(points), 1e-300) / measured), -FAR, FAR)

    def residuals(points: Array) -> Array:
        pulls = (points - inside) * pull * SOFTNESS
        return np.concatenate([errors(points) * weight, pulls], axis=1)

    def at(point: Array) -> Array:
        values: Array = residuals(point[None, :])[0]
        return values

    def slopes(point: Array) -> Array:
        nudge = np.where(point + NUDGE > high / scale, -NUDGE, NUDGE)
        found = residuals(np.concatenate([point[None, :], point + np.diag(nudge)]))
        columns: Array = ((found[1:] - found[0]) / nudge[:, None]).T
        return columns

    margin = 1e-6 * (high - low) / scale  # strictly inside, as the solver wants it
    found = least_squares(
        at,
        np.clip(first, low / scale + margin, high / scale - margin),
        jac=slopes,
        bounds=(low / scale, high / scale),
        loss="soft_l1",
        f_scale=SOFTNESS,
        ftol=ENOUGH,
        xtol=ENOUGH,
        max_nfev=100,
    )
    values = {constant.name: float(value) for constant, value in zip(constants, found.x * scale, strict=True)}
    start_errors, end_errors = errors(np.stack([inside, found.x]))
    return Fit(values, tuple(values), start_errors, end_errors)


def error(errors: Array) -> float:
    """Median of |predicted/measured − 1| of ln(predicted/measured); not a number if there is none.

    >>> f"{error(np.log([0.9, 1.0, 1.3])):.3f}"
    '0.100'
    """
    return float(np.median(np.abs(np.expm1(errors)))) if len(errors) else float("nan")
