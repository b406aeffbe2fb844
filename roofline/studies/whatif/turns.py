"""Elasticities: every knob a little and a fifth more and less, all of them one vectorised prediction.

`d log(metric) / d log(knob)` by central differences; of knobs that go in steps (capacities, counts of the work) the
mean over a fifth either way. At an edge, such as a share of 1, the difference is one-sided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roofline.studies.elasticity import SMALL, slope
from roofline.studies.knobs.knob import Case, Knob, turned
from roofline.studies.whatif import measures

Array = NDArray[np.float64]
STEP = 0.2  # of a knob's value, either way, that changes are told for
SAMPLES = 4  # a little less, a little more, a fifth less, a fifth more
NOTHING = 1e-9  # changes and slopes that are smaller are rounding


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What a knob is worth: for each metric its elasticity, and its change where the knob is at `low` and at `high`;
    whether the work fits there. Elasticities are None where there is no slope."""

    knob: Knob
    low: float
    high: float
    elasticities: Mapping[str, float | None]
    low_changes: Mapping[str, float | None]
    high_changes: Mapping[str, float | None]
    fits: tuple[bool, bool]

    def effect(self, metric: str) -> float:
        """The larger change of a metric over the two turns."""
        found = (changes.get(metric) for changes in (self.low_changes, self.high_changes))
        return max((abs(change) for change in found if change is not None), default=0.0)

    @property
    def any_effect(self) -> bool:
        """Whether anything changes at all."""
        return any(self.effect(metric) > NOTHING for metric in self.elasticities)


def worths(case: Case, known: Sequence[Knob]) -> list[Worth]:
    """The worth of every knob that is above 0."""
    wanted = [knob for knob in known if knob.value > 0.0]
    turns = np.array([_turns(knob) for knob in wanted])
    size = 1 + turns.size
    axes = []
    for index, knob in enumerate(wanted):
        axis = np.full(size, knob.value)
        axis[1 + SAMPLES * index : 1 + SAMPLES * (index + 1)] = turns[index]
        axes.append((knob, axis))
    result = turned(case, axes).predicted()
    found = measures.values(result, size)
    fits = measures.flat(result.fits, size) > 0.0
    return [
        _worth(knob, turns[index], {name: array[0] for name, array in found.items()},
               {name: array[1 + SAMPLES * index : 1 + SAMPLES * (index + 1)] for name, array in found.items()},
               fits[1 + SAMPLES * index + 2 : 1 + SAMPLES * (index + 1)])
        for index, knob in enumerate(wanted)
    ]  # fmt: skip


def _turns(knob: Knob) -> Array:
    """The values of a knob that are tried; of things that are counted, one more and one less at least."""
    far = knob.value * np.array([1.0 - STEP, 1.0 + STEP])
    if knob.whole:
        far = np.array([min(far[0], knob.value - 1.0), max(far[1], knob.value + 1.0)])
    far = np.asarray(knob.within(far), dtype=np.float64)
    near = np.asarray(knob.within(knob.value * np.exp([-SMALL, SMALL])), dtype=np.float64) if knob.smooth else far
    return np.concatenate([near, far])


def _worth(
    knob: Knob, turns: Array, base: Mapping[str, float], found: Mapping[str, Array], fits: NDArray[np.bool_]
) -> Worth:  # fmt: skip
    elasticities = {name: slope(array[1], array[0], np.log(_over(turns[1], turns[0]))) for name, array in found.items()}
    low, high = ({name: _change(array[at], base[name]) for name, array in found.items()} for at in (2, 3))
    return Worth(
        knob, float(turns[2]), float(turns[3]), elasticities, low, high, (bool(fits[0]), bool(fits[1]))
    )  # fmt: skip


def _over(more: float, less: float) -> float:
    return float(more / less) if less > 0.0 and more > less else 1.0


def _change(value: float, base: float) -> float | None:
    """Share by which a metric changes; None where it is not known."""
    known = np.isfinite(value) and np.isfinite(base) and base > 0.0
    found = float(value / base - 1.0) if known else None
    return 0.0 if found is not None and abs(found) < NOTHING else found
