"""What works on each token alone: one network for all, or experts of which each token visits a few.

Each answers `parameters(hidden)`. Every count is of the whole model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFFN:
    """Two matrices (`gated`: three) of `width`, for every token."""

    width: int
    gated: bool = True
    bias: bool = False

    def parameters(self, hidden: int) -> float:
        """All of its matrices."""
        matrices = 3 if self.gated else 2
        return float(matrices * hidden * self.width + (((matrices - 1) * self.width + hidden) if self.bias else 0))

    active_parameters = parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class MoE:
    """`experts` ffns of which a router sends each token to `top_k`, and `shared` ones that every token visits."""

    experts: int
    top_k: int
    width: int
    shared: int = 0
    shared_width: int = 0  # of each shared expert; 0: as wide as the others
    gated: bool = True
    bias: bool = False  # on the experts' matrices and the router (gpt-oss)
    router_bias: bool = False  # one correction per expert (DeepSeek-V3)
    shared_gate: bool = False  # a learned scalar gate on the shared expert (Qwen)
    latent: int = 0  # what routed experts read and write, between two projections (Nemotron 3); 0: the model's width

    @property
    def expert(self) -> DenseFFN:
        """One routed expert."""
        return DenseFFN(width=self.width, gated=self.gated, bias=self.bias)

    @property
    def shared_ffn(self) -> DenseFFN | None:
        """All shared experts together as one ffn, None if there are none."""
        if not self.shared:
            return None
        return DenseFFN(width=self.shared * (self.shared_width or self.width), gated=self.gated)

    def routed_dim(self, hidden: int) -> int:
        """Width of what routed experts read and write."""
        return self.latent or hidden

    def expert_parameters(self, hidden: int) -> float:
        """One routed expert's matrices."""
        return self.expert.parameters(self.routed_dim(hidden))

    def router_parameters(self, hidden: int) -> float:
        """The router, its biases, the shared expert's gate and the projections to and from the latent."""
        bias = self.experts if self.bias or self.router_bias else 0
        return float(hidden * (self.experts + 2 * self.latent) + bias + (hidden if self.shared_gate else 0))

    def _fixed(self, hidden: int) -> float:
        shared = self.shared_ffn.parameters(hidden) if self.shared_ffn else 0.0
        return self.router_parameters(hidden) + shared

    def parameters(self, hidden: int) -> float:
        """Router, every expert, shared experts."""
        return self._fixed(hidden) + self.experts * self.expert_parameters(hidden)

    def active_parameters(self, hidden: int) -> float:
        """Router, the experts that one token visits, shared experts."""
        return self._fixed(hidden) + self.top_k * self.expert_parameters(hidden)


FFN: TypeAlias = DenseFFN | MoE
