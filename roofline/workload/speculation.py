"""Speculative decoding: tokens that something cheap guesses and the model verifies in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.numeric import Num
from roofline.workload.model import Model


def tokens_per_step(drafted: Num, acceptance: Num) -> Num:
    """Tokens that one verification yields on average: the accepted ones of `drafted`, and one of the model's own.

    `(1 − α^(k+1))/(1 − α)` where each guess is right with probability α and the first wrong one ends the rest
    (Leviathan, Kalman, Matias 2023, arXiv 2211.17192, equation 1).

    >>> float(tokens_per_step(0.0, 0.7)), float(tokens_per_step(2.0, 0.5)), float(tokens_per_step(4.0, 1.0))
    (1.0, 1.75, 5.0)
    """
    most = np.add(drafted, 1.0)
    miss = np.subtract(1.0, acceptance)
    found = np.divide(1.0 - np.power(acceptance, most), np.maximum(miss, 1e-300))
    return np.clip(np.where(np.greater(miss, 0.0), found, most), 1.0, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """`tokens` are drafted in each step, each accepted with probability `acceptance`; 0 tokens: no speculation.

    A draft `model` on the same chips guesses them one after another. Without one they come from n-grams or from heads
    of the model itself, a share `cost` of its size: of its time for each token, of its weights and of its cache.
    """

    tokens: Num = 0.0
    acceptance: Num = 0.0
    model: Model | None = None
    cost: Num = 0.0

    @property
    def on(self) -> bool:
        """Whether anything is drafted anywhere in a sweep."""
        return bool(np.any(np.greater(self.tokens, 0.0)))

    @property
    def gain(self) -> Num:
        """Tokens that a step yields on average."""
        return tokens_per_step(self.tokens, self.acceptance)

    @property
    def share(self) -> Num:
        """How much of the draft model is there: all of it, or the share of the model that drafts for itself."""
        return np.greater(self.tokens, 0.0) * (1.0 if self.model else self.cost)

    @property
    def drafts(self) -> bool:
        """Whether guessing takes time and memory anywhere in a sweep; looking n-grams up takes none."""
        return bool(np.any(np.greater(self.share, 0.0)))


NONE = Speculation()
