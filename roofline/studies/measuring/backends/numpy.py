"""The kernels of a decoder in NumPy: what a machine does with the BLAS that NumPy brings, in 32 bits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.studies.measuring.backends import Learner, Ranks

Array = NDArray[Any]
SOME = 1 << 20  # random values, of which all others are copies
EPSILON = 1e-5
REMOTE = -1e9  # a score that says "not seen"


class Numpy:
    """See `Backend`."""

    name = "numpy"
    software = f"eager numpy {np.__version__}"
    device = "cpu"
    trains = False
    library = ""
    devices = most_ranks = 1
    dtypes: Sequence[str] = ("fp32",)

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.some = self.random.uniform(-0.05, 0.05, SOME).astype(np.float32)

    def ran_out(self, error: Exception) -> bool:
        """As of the protocol."""
        return isinstance(error, MemoryError)

    def values(self, *shape: int, dtype: str) -> Array:
        """As of the protocol."""
        return np.resize(self.some, shape)

    def tokens(self, batch: int, length: int, vocab: int) -> Array:
        """As of the protocol."""
        return self.random.integers(0, vocab, (batch, length))

    def lookup(self, table: Array, tokens: Array) -> Array:
        """As of the protocol."""
        return np.asarray(table[tokens.reshape(-1)])

    def product(self, x: Array, w: Array) -> Array:
        """As of the protocol."""
        return np.asarray(x @ w.T)

    def norm(self, x: Array, branch: Array, scale: Array) -> tuple[Array, Array]:
        """As of the protocol."""
        added = x + branch
        squares = np.einsum("mk,mk->m", added, added)[:, None] / np.float32(added.shape[1])
        return added, added * (scale / np.sqrt(squares + np.float32(EPSILON)))

    def angles(self, length: int, dim: int, dtype: str) -> tuple[Array, Array]:
        """As of the protocol."""
        turns = np.arange(length)[:, None] * 10000.0 ** (-np.arange(dim // 2) / (dim // 2))
        return np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)

    def rotate(self, x: Array, angles: tuple[Array, Array]) -> Array:
        """As of the protocol."""
        cosine, sine = (each[None, :, None, :] for each in angles)
        left, right = np.split(x, 2, axis=-1)
        return np.concatenate([left * cosine - right * sine, right * cosine + left * sine], axis=-1)

    def gate(self, x: Array) -> Array:
        """As of the protocol."""
        left, right = np.split(x, 2, axis=1)
        return np.asarray(left / (1.0 + np.exp(-left)) * right)

    def attend(self, q: Array, k: Array, v: Array, cache: tuple[Array, Array], at: int) -> Array:
        """As of the protocol."""
        b, new, heads, dim = q.shape
        groups, seen = k.shape[2], at + new
        for held, fresh in zip(cache, (k, v), strict=True):
            held[:, :, at:seen] = fresh.transpose(0, 2, 1, 3)
        keys, values = (held[:, :, :seen] for held in cache)
        queries = q.reshape(b, new, groups, heads // groups, dim).transpose(0, 2, 3, 1, 4)
        scores = queries.reshape(b, groups, -1, dim) @ keys.swapaxes(-1, -2) * np.float32(dim**-0.5)
        if new > 1:
            hidden = np.triu(np.full((new, seen), REMOTE, dtype=np.float32), at + 1)
            scores = (scores.reshape(b, groups, -1, new, seen) + hidden).reshape(scores.shape)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        found = (scores @ values) / scores.sum(axis=-1, keepdims=True)
        found = found.reshape(b, groups, heads // groups, new, dim).transpose(0, 3, 1, 2, 4)
        return np.ascontiguousarray(found).reshape(b * new, heads * dim)

    def attend_prompt(self, q: Array, k: Array, v: Array) -> Array:
        """As of the protocol."""
        return self.attend(q, k, v, (k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)), 0)

    def learner(self, weights: Sequence[Array]) -> Learner:
        """NumPy knows no gradients."""
        raise NotImplementedError

    def choose(self, logits: Array, top_k: int) -> tuple[Array, Array]:
        """As of the protocol."""
        best = np.argpartition(logits, -top_k, axis=1)[:, -top_k:]
        shares = np.exp(np.take_along_axis(logits, best, axis=1))
        return best, shares / shares.sum(axis=1, keepdims=True)

    def experts(self, x: Array, chosen: Array, shares: Array, up: Array, down: Array) -> Array:
        """As of the protocol."""
        found = np.zeros_like(x)
        for expert in range(len(up)):
            rows, place = np.nonzero(chosen == expert)
            if len(rows):
                inner = self.gate(self.product(x[rows], up[expert]))
                found[rows] += self.product(inner, down[expert]) * shares[rows, place, None]
        return found

    def total(self, x: Array) -> object:
        """As of the protocol."""
        return x.sum()

    def copy(self, source: Array, target: Array) -> object:
        """As of the protocol."""
        np.copyto(target, source)
        return target

    def from_host(self, x: Array) -> Array:
        """The host is the device."""
        return x

    def to_host(self, x: Array) -> Array:
        """The host is the device."""
        return x

    def wait(self) -> None:
        """Everything is done when a function returns."""

    def release(self) -> None:
        """Memory is given back by itself."""

    def joined(self, ranks: int, groups: Sequence[int]) -> AbstractContextManager[Ranks]:
        """NumPy runs in one process."""
        raise NotImplementedError

    def forgetting(self) -> AbstractContextManager[Any]:
        """Nothing is ever remembered for a way back."""
        return nullcontext()
