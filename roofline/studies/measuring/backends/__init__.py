"""Software that the kernels of a decoder are run with: each module offers the same few of them (see `Backend`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any, Protocol

from roofline.errors import RooflineError, did_you_mean

NUMPY, TORCH = BACKENDS = ("numpy", "torch")
DEVICES = ("cpu", "cuda", "mps")
HINT = "pip install 'roofline[torch]'"

Array = Any  # an array of the backend's own


class Learner(Protocol):
    """Training by AdamW of weights in 32 bits, or of a copy in 32 bits of narrower ones."""

    def ahead(self, run: Callable[[], Array], tokens: Array) -> object:
        """The loss: how far logits `[b*q, vocab]` of tokens `[b, q]` are from the tokens that follow each."""

    def back(self, loss: Any) -> object:
        """Gradients of every weight."""

    def update(self, gradients: Sequence[Array] | None = None) -> object:
        """One step of the optimizer, by the gradients that going back left or by these."""


class Ranks(Protocol):
    """Processes that exchange messages, each with a device of its own, the first few of which are groups, too."""

    def hold(self, size: float) -> float:
        """Make room for messages of so many bytes, or less if there is not memory enough: of how many."""

    def seconds(self, op: str, ranks: int, size: int, calls: int) -> float:
        """Until the last of the first `ranks` has done a collective once, of `calls` in a row; `size` are bytes of the
        larger buffer. `RefusedError` if it can't be done, `LostError` if none of them will do any more."""


class Backend(Protocol):
    """The kernels of a decoder in one software on one device. Matrices of weights are `[n, k]`, values `[m, k]`."""

    name: str
    software: str  # as rows of measurements state it: kernels launched one by one, then name and version
    device: str
    dtypes: Sequence[str]
    trains: bool  # whether it knows gradients
    devices: int  # of one kind, that there are
    most_ranks: int  # processes that can exchange messages at most

    def ran_out(self, error: Exception) -> bool:
        """Whether an error says that there is not memory enough."""

    def values(self, *shape: int, dtype: str) -> Array:
        """Small random values."""

    def tokens(self, batch: int, length: int, vocab: int) -> Array:
        """Random token numbers `[batch, length]`."""

    def lookup(self, table: Array, tokens: Array) -> Array:
        """Rows of a table for tokens `[batch, length]`: `[batch*length, k]`."""

    def product(self, x: Array, w: Array) -> Array:
        """`[m, k]` times the transpose of `[n, k]`."""

    def norm(self, x: Array, branch: Array, scale: Array) -> tuple[Array, Array]:
        """The residual stream with a branch added, and that normalised by its root mean square."""

    def rotate(self, x: Array, angles: tuple[Array, Array]) -> Array:
        """Pairs of values of each head turned by an angle: `x [b, q, heads, d]`, cosines and sines `[q, d/2]`."""

    def angles(self, length: int, dim: int, dtype: str) -> tuple[Array, Array]:
        """Cosines and sines for every place of a sequence."""

    def gate(self, x: Array) -> Array:
        """`[m, 2w]` to `[m, w]`: one half through SiLU, times the other."""

    def attend(self, q: Array, k: Array, v: Array, cache: tuple[Array, Array], at: int) -> Array:
        """Keys and values `[b, q, g, d]` into the cache `[b, g, l, d]` from place `at` on; then causal attention of
        queries `[b, q, h, d]` to all that is in it: `[b*q, h*d]`."""

    def attend_prompt(self, q: Array, k: Array, v: Array) -> Array:
        """The same of a whole sequence to itself, nothing of which is kept."""

    def learner(self, weights: Sequence[Array]) -> Learner:
        """What trains weights; `NotImplementedError` where the software can't."""

    def experts(self, x: Array, chosen: Array, shares: Array, up: Array, down: Array) -> Array:
        """Rows `[m, h]` through the experts that each has chosen, `[m, k]`, added up by their shares; the matrices are
        `[e, 2w, h]` and `[e, h, w]`."""

    def choose(self, logits: Array, top_k: int) -> tuple[Array, Array]:
        """The experts with the highest logits and their shares, both `[m, k]`."""

    def total(self, x: Array) -> object:
        """The sum of values: reading, and next to nothing else."""

    def copy(self, source: Array, target: Array) -> object:
        """Values copied."""

    def from_host(self, x: Array) -> Array:
        """Values in the host's memory copied to the device's."""

    def to_host(self, x: Array) -> Array:
        """And back."""

    def wait(self) -> None:
        """Return when the device has done what it was given."""

    @property
    def library(self) -> str:
        """What carries messages between processes, as rows of measurements state it; empty if nothing does."""

    def joined(self, ranks: int, groups: Sequence[int]) -> AbstractContextManager[Ranks]:
        """Processes that find each other, of which the first so many form groups; `LostError` if they do not,
        `NotImplementedError` where the software knows no such thing."""

    def forgetting(self) -> AbstractContextManager[Any]:
        """A context in which nothing is remembered for a way back."""

    def release(self) -> None:
        """Give memory that is no longer used back to the device."""


def chosen(backend: str | None, device: str | None) -> Backend:
    """The backend of that name on that device; PyTorch where it is installed, else NumPy. `RooflineError` for one that
    there is not, or that is not installed."""
    for option, value, known in (("--backend", backend, BACKENDS), ("--device", device, DEVICES)):
        if value is not None and value not in known:
            near = did_you_mean(value, known, most=1)
            hint = f"did you mean {near}?" if near else f"one of {', '.join(known)}"
            raise RooflineError(f"{option} {value}: there is no such {option[2:]}; {hint}")
    installed = find_spec(TORCH) is not None
    if (backend == TORCH or device not in (None, "cpu")) and not installed:
        raise RooflineError(f"PyTorch is not installed; {HINT}")
    if backend == NUMPY and device not in (None, "cpu"):
        raise RooflineError(f"--backend numpy runs on the CPU alone; leave it out for --device {device}")
    if backend == NUMPY or not installed:
        from roofline.studies.measuring.backends.numpy import Numpy

        return Numpy()
    from roofline.studies.measuring.backends.torch import Torch

    return Torch(device or "cpu")
