"""Static shapes: a compiler that knows no page tables makes one program for each power of two of cached tokens.

A step runs the program of the smallest bucket that holds its context, reads all of it and masks the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from roofline.numeric import Num

Pairs = Callable[[Num, Num], Num]  # what a number of tokens see together that follow a context


def bucket(tokens: Num, smallest: Num = 1.0) -> Num:
    """The least power of two that holds `tokens`, and the smallest bucket at least.

    >>> [float(bucket(tokens)) for tokens in (1.0, 4.0, 5.0, 1024.0)], float(bucket(5.0, 128.0))
    ([1.0, 4.0, 8.0, 1024.0], 128.0)
    """
    mantissa, exponent = np.frexp(tokens)  # exact, as a logarithm is not
    least: Num = np.ldexp(1.0, exponent - np.equal(mantissa, 0.5))
    return np.maximum(least, smallest)


def mean_seen(pairs: Pairs, context: Num, tokens: Num, smallest: Num) -> Num:
    """What a query sees in its bucket, the mean over `tokens` steps of one token each after `context`.

    Exact: for each bucket, the steps that run in it times what its last token sees.
    """
    total: Num = 0.0
    below: Num = 0.0
    for power in _powers(context, tokens):
        steps = np.clip(power - context, 0.0, tokens) - np.clip(below - context, 0.0, tokens)
        total = total + steps * pairs(np.maximum(power, smallest) - 1.0, 1.0)
        below = power
    return total / tokens


def _powers(context: Num, tokens: Num) -> list[float]:
    """The powers of two that the steps of a decoding may run in."""
    first, last = float(np.min(bucket(context + 1.0))), float(np.max(bucket(context + tokens)))
    return [first * 2.0**step for step in range(int(np.log2(last / first)) + 1)]


def padding(pairs: Pairs, context: Num, tokens: Num, seen: Num, smallest: Num) -> Num:
    """How many times what a query would see it works on, never below 1."""
    padded = np.maximum(mean_seen(pairs, context, tokens, smallest), seen)
    return np.where(np.greater(seen, 0.0), padded / np.maximum(seen, 1e-300), 1.0)
