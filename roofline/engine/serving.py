"""How requests share a server that batches continuously: arithmetic of seconds, with no chip and no model in it.

Orca (OSDI 2022): prefills of some requests run between the decode steps of the others. `others` are the requests that
run beside the one that is looked at, `prefill` the seconds for which one prompt occupies the server.
"""

from __future__ import annotations

import numpy as np

from roofline.numeric import Num


def interleaved(decode: Num, prefill: Num, others: Num) -> Num:
    """Seconds in which a request generates its tokens: while it does, each of the others has one prefill."""
    return decode + others * prefill


def turn(prefill: Num, others: Num, cycle: Num) -> Num:
    """Seconds until earlier prompts are read (M/D/1, Pollaczek-Khinchine), never more than all of the others' halves.

    `cycle` are the seconds from one request of a client to its next: a closed loop in which load stays below one.
    """
    load = np.minimum(others * prefill / np.maximum(cycle, 1e-300), 1.0)
    open_loop = load * prefill / (2.0 * np.maximum(1.0 - load, 1e-12))
    return np.minimum(open_loop, others * prefill / 2.0)


def following(prefill: Num, others: Num) -> Num:
    """Mean seconds until its turn where all requests are equally long, so that one ends in each step of a row of them.

    The next of a client finds a step under way and another one scheduled, each with a prompt of those before it: none
    of these for the first of the row, one for the second, two for all others.
    """
    return np.maximum(2.0 - 3.0 / (others + 1.0), 0.0) * prefill


def opening(prefill: Num, others: Num, burst: Num) -> Num:
    """Mean seconds that a share `burst` of requests adds by arriving together: half of them are read first."""
    return burst * others * prefill / 2.0


def queue(prefill: Num, others: Num, cycle: Num) -> Num:
    """Seconds until earlier prompts are read where nothing but prompts is: `cycle` is a request's time without them.

    The wait `w` of `turn` where it lengthens the cycle itself: of load ρ = others·P/(cycle + w), ρ/(1 − ρ)·P/2 = w is
    a quadratic. Its root is the open queue's wait under little load, and `others·P − cycle` where prompts are all that
    counts (Little's law); never more than all others' prompts.
    """
    ahead = others * prefill
    slack = cycle - ahead
    root = np.sqrt(np.square(slack) + 2.0 * ahead * prefill)
    # of the two ways to write the root, the one that subtracts nothing
    wait = np.where(slack > 0.0, ahead * prefill / np.maximum(slack + root, 1e-300), (root - slack) / 2.0)
    return np.minimum(wait, ahead)
