"""Mixers that remember: a sequence leaves behind a state of a fixed size, `state` values, however long it is.

Each answers `parameters(hidden)`. Every count is of the whole model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba1:
    """Selective state space layer (arXiv 2312.00752): a `state_dim`-vector for each of `inner` channels."""

    inner: int
    state_dim: int
    dt_rank: int
    conv: int = 4

    def parameters(self, hidden: int) -> float:
        """Input projection, convolution, the projections of B, C and dt, A, D, output projection."""
        return float(
            hidden * 2 * self.inner
            + self.inner * (self.conv + 1)
            + self.inner * (self.dt_rank + 2 * self.state_dim)
            + self.dt_rank * self.inner
            + self.inner
            + self.inner * self.state_dim
            + self.inner
            + self.inner * hidden
        )

    @property
    def state(self) -> float:
        """The recurrent state and the convolution's window."""
        return float(self.inner * (self.state_dim + self.conv))

    @property
    def input_dim(self) -> int:
        """Columns of the input projection (the channel-wise x, z pair)."""
        return 2 * self.inner


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2:
    """State space duality layer (arXiv 2405.21060): a `head_dim x state_dim` matrix for each head."""

    heads: int
    head_dim: int
    state_dim: int
    groups: int = 1
    conv: int = 4

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_dim

    @property
    def input_dim(self) -> int:
        """Columns of the input projection: z, x, B, C and dt."""
        return 2 * self.inner + 2 * self.groups * self.state_dim + self.heads

    @property
    def conv_dim(self) -> int:
        """Channels that the convolution runs over: x, B and C."""
        return self.inner + 2 * self.groups * self.state_dim

    def parameters(self, hidden: int) -> float:
        """Input projection, convolution with bias, A, D and dt per head, gated norm, output projection."""
        return float(
            hidden * self.input_dim
            + self.conv_dim * (self.conv + 1)
            + 3 * self.heads
            + self.inner
            + self.inner * hidden
        )

    @property
    def state(self) -> float:
        """The recurrent state and the convolution's window."""
        return float(self.inner * self.state_dim + self.conv_dim * self.conv)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDeltaNet:
    """Gated delta rule (arXiv 2412.06464): a `key_dim x value_dim` matrix for each value head.

    With a `decay_rank` every key channel has its own decay, through a bottleneck that wide (Kimi, arXiv 2510.26692).
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int = 4
    decay_rank: int = 0

    @property
    def inner(self) -> int:
        """Width of all values together."""
        return self.value_heads * self.value_dim

    @property
    def input_dim(self) -> int:
        """Columns of the input projection: queries, keys, values, output gate, a rate and a decay per head."""
        decay = self.decay_rank or self.value_heads
        return 2 * self.key_heads * self.key_dim + 2 * self.inner + self.value_heads + decay

    @property
    def conv_dim(self) -> int:
        """Channels that the convolution runs over: queries, keys and values."""
        return 2 * self.key_heads * self.key_dim + self.inner

    def parameters(self, hidden: int) -> float:
        """Input projection, convolution, A and dt per head (dt per channel), gated norm, output projection."""
        channels = self.key_heads * self.key_dim
        decay = self.decay_rank * channels + channels if self.decay_rank else self.value_heads
        return float(
            hidden * self.input_dim
            + self.conv_dim * self.conv
            + self.value_heads
            + decay
            + self.value_dim
            + self.inner * hidden
        )

    @property
    def state_dim(self) -> int:
        """Values of state for each value channel."""
        return self.key_dim

    @property
    def state(self) -> float:
        """The recurrent state and the convolution's window."""
        return float(self.inner * self.key_dim + self.conv_dim * self.conv)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningAttention:
    """Linear attention with a decay per head (arXiv 2401.04658): a `head_dim x head_dim` matrix for each head."""

    heads: int
    head_dim: int

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_dim

    @property
    def input_dim(self) -> int:
        """Columns of the input projection: queries, keys, values and the output gate."""
        return 4 * self.inner

    def parameters(self, hidden: int) -> float:
        """Projections of queries, keys, values and gate, norm, output projection."""
        return float(hidden * self.input_dim + self.inner + self.inner * hidden)

    @property
    def state_dim(self) -> int:
        """Values of state for each channel."""
        return self.head_dim

    @property
    def state(self) -> float:
        """The recurrent state."""
        return float(self.inner * self.head_dim)


LinearMixer: TypeAlias = Mamba1 | Mamba2 | GatedDeltaNet | LightningAttention
