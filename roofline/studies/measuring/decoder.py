"""A small decoder-only transformer with random weights, made of a backend's kernels alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from roofline.machine.chip import ATTENTION, DECODE_ATTENTION, ELEMENTWISE, EXPERTS, MATMUL
from roofline.studies.measuring.backends import Array, Backend
from roofline.workload.dtype import BITS

T = TypeVar("T")
Timer = Callable[..., Any]  # of a kind of operator, a function and its arguments: what the function returns


@dataclass(frozen=True, slots=True)
class Shape:
    """The figures of one model; `experts` 0 is a dense one, else `ffn` is the width of each."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    experts: int = 0
    top_k: int = 0

    @property
    def parameters(self) -> int:
        """All of them."""
        mixer = (2 * self.heads + 2 * self.kv_heads) * self.head_dim * self.hidden
        ffn = 3 * self.hidden * self.ffn * max(self.experts, 1) + self.hidden * self.experts
        return self.layers * (mixer + ffn + 2 * self.hidden) + (2 * self.vocab + 1) * self.hidden

    @property
    def cells(self) -> dict[str, object]:
        """The columns of a table of measurements that state it."""
        routed = {"experts": self.experts, "experts_topk": self.top_k, "moe_ffn": self.ffn} if self.experts else {}
        return {
            "model": self.name, "layers": self.layers, "hidden": self.hidden, "heads": self.heads,
            "kv_heads": self.kv_heads, "head_dim": self.head_dim, "ffn": self.ffn, "glu": "yes",
            "vocab": self.vocab, **routed,
        }  # fmt: skip

    def needs(self, dtype: str, batch: int, length: int) -> float:
        """Bytes of weights and caches, activations aside."""
        cached = 2 * self.layers * self.kv_heads * self.head_dim * batch * length
        return (self.parameters + cached) * BITS[dtype] / 8.0


def straight(kind: str, function: Callable[..., T], *given: Any) -> T:
    """A timer that takes no time."""
    return function(*given)


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer; those of experts have one more side."""

    norms: tuple[Array, Array]
    qkv: Array
    output: Array
    up: Array
    down: Array
    router: Array | None = None

    @property
    def weights(self) -> list[Array]:
        """All of them."""
        return [*self.norms, self.qkv, self.output, self.up, self.down, *([] if self.router is None else [self.router])]


@dataclass
class Decoder:
    """A model on a backend: its weights, and how tokens pass through them."""

    backend: Backend
    shape: Shape
    dtype: str
    table: Array
    layers: Sequence[Layer]
    norm: Array
    head: Array

    @classmethod
    def of(cls, backend: Backend, shape: Shape, dtype: str) -> Decoder:
        """Random weights."""

        def values(*sides: int) -> Array:
            return backend.values(*sides, dtype=dtype)

        s = shape
        width = (s.heads + 2 * s.kv_heads) * s.head_dim
        experts = (s.experts,) if s.experts else ()
        layers = [
            Layer(
                norms=(values(s.hidden), values(s.hidden)),
                qkv=values(width, s.hidden),
                output=values(s.hidden, s.heads * s.head_dim),
                up=values(*experts, 2 * s.ffn, s.hidden),
                down=values(*experts, s.hidden, s.ffn),
                router=values(s.experts, s.hidden) if s.experts else None,
            )
            for _ in range(s.layers)
        ]
        return cls(backend, s, dtype, values(s.vocab, s.hidden), layers, values(s.hidden), values(s.vocab, s.hidden))

    @property
    def weights(self) -> Iterator[Array]:
        """Every array of weights."""
        yield from (self.table, self.norm, self.head)
        for layer in self.layers:
            yield from layer.weights

    def caches(self, batch: int, length: int) -> list[tuple[Array, Array]]:
        """Room for keys and values of every layer."""
        sides = (batch, self.shape.kv_heads, length, self.shape.head_dim)
        return [
            (self.backend.values(*sides, dtype=self.dtype), self.backend.values(*sides, dtype=self.dtype))
            for _ in self.layers
        ]

    def run(
        self,
        tokens: Array,
        caches: Sequence[tuple[Array, Array]] | None,
        at: int,
        angles: tuple[Array, Array],
        on: Timer = straight,
    ) -> Array:
        """Logits of the last of new tokens `[b, q]` that come after `at` others, `[b, vocab]`; of all of them,
        `[b*q, vocab]`, without caches."""
        backend, s = self.backend, self.shape
        batch, new = tokens.shape
        attends = DECODE_ATTENTION if caches is not None and new == 1 else ATTENTION
        turns = (angles[0][at : at + new], angles[1][at : at + new])
        x = on(ELEMENTWISE, backend.lookup, self.table, tokens)
        branch = x
        for index, layer in enumerate(self.layers):
            x, normed = on(ELEMENTWISE, backend.norm, x, branch, layer.norms[0])
            joint = on(MATMUL, backend.product, normed, layer.qkv).reshape(batch, new, -1, s.head_dim)
            q, k, v = joint[:, :, : s.heads], joint[:, :, s.heads : -s.kv_heads], joint[:, :, -s.kv_heads :]
            turned = on(ELEMENTWISE, backend.rotate, joint[:, :, : -s.kv_heads], turns)
            q, k = turned[:, :, : s.heads], turned[:, :, s.heads :]
            if caches is None:
                found = on(attends, backend.attend_prompt, q, k, v)
            else:
                found = on(attends, backend.attend, q, k, v, caches[index], at)
            branch = on(MATMUL, backend.product, found, layer.output)
            x, normed = on(ELEMENTWISE, backend.norm, x, branch, layer.norms[1])
            branch = self._ffn(layer, normed, on)
        if caches is not None:
            x, branch = (each.reshape(batch, new, -1)[:, -1] for each in (x, branch))
        _, normed = on(ELEMENTWISE, backend.norm, x, branch, self.norm)
        return on(MATMUL, backend.product, normed, self.head)

    def _ffn(self, layer: Layer, x: Array, on: Timer) -> Array:
        backend = self.backend
        if layer.router is None:
            inner = on(ELEMENTWISE, backend.gate, on(MATMUL, backend.product, x, layer.up))
            return on(MATMUL, backend.product, inner, layer.down)
        logits = on(MATMUL, backend.product, x, layer.router)
        chosen, shares = on(EXPERTS, backend.choose, logits, self.shape.top_k)
        return on(EXPERTS, backend.experts, x, chosen, shares, layer.up, layer.down)
