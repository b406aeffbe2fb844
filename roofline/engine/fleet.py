"""Fleets: how many replicas serve a load that rises and falls. Requests per second; no chip and no price in it.

A load is told by its mean and its peak. Between them it follows the load-duration curve `L(t) = peak·t^(p−1)`, hours
sorted from the quietest (t = 0) to the busiest (t = 1) and `p = peak/mean`: the one power law that has that mean.
`p = 1` never changes; `p = 2` rises in a straight line.
"""

from __future__ import annotations

import numpy as np

from roofline.numeric import Num, ceil_div, larger, smaller

EVEN = 1e-9  # excess of a peak over its mean that is none


def overflow(capacity: Num, mean: Num, peak: Num) -> Num:
    """Mean requests/s beyond a capacity [1/s] of a load with that mean and peak [1/s].

    The area of the load-duration curve above the capacity `c`: with `t = (c/peak)^(1/(p−1))` the hours below it,
    `peak·(1 − t^p)/p − c·(1 − t)`.

    >>> float(overflow(1.0, mean=1.0, peak=2.0)), float(overflow(0.0, mean=3.0, peak=4.0))
    (0.25, 3.0)
    """
    steep = larger(peak / mean - 1.0, EVEN)
    below = np.power(smaller(capacity / peak, 1.0), 1.0 / steep)
    above = peak * (1.0 - np.power(below, 1.0 + steep)) / (1.0 + steep) - capacity * (1.0 - below)
    return larger(above, 0.0)


def carried(capacity: Num, mean: Num, peak: Num) -> Num:
    """Mean requests/s of a load that a capacity serves: all but the `overflow`."""
    return mean - overflow(capacity, mean, peak)


def replicas(peak: Num) -> Num:
    """Whole replicas for a peak, told in replicas that it fills; one at least.

    >>> float(replicas(0.2)), float(replicas(3.4))
    (1.0, 4.0)
    """
    return larger(ceil_div(peak, 1.0), 1.0)


def running(mean: Num, most: Num) -> Num:
    """Replicas that run on average where they are started and stopped with the load: half of one is begun but not
    full; one at least, `most` at most. `mean` is the load in replicas that it fills.

    >>> float(running(0.1, 1.0)), float(running(6.2, 10.0)), float(running(9.9, 10.0))
    (1.0, 6.7, 10.0)
    """
    return smaller(larger(mean + 0.5, 1.0), most)
