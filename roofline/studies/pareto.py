"""What nothing else beats: the Pareto front of any number of costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def front(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which rows of `costs` [choices, costs] no other row beats: none is lower somewhere and higher nowhere.

    In ascending order of the first cost, then of the next ones; of equal rows the first alone; none that is not finite.

    >>> front(np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [1, 0]
    """
    finite = np.flatnonzero(np.isfinite(costs).all(axis=1))
    left = finite[np.lexsort(costs[finite].T[::-1])]
    kept = []
    while left.size:  # the first is not beaten: what beats it would stand before it
        kept.append(left[0])
        left = left[(costs[left] < costs[left[0]]).any(axis=1)]
    return np.array(kept, dtype=np.intp)
