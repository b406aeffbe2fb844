"""The kernels of a decoder in PyTorch, launched one by one, on CPU, CUDA, ROCm or Apple's GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from roofline.errors import RooflineError
from roofline.studies.measuring import system
from roofline.studies.measuring.backends import Learner, Ranks, distributed
from roofline.studies.measuring.processes import LostError

Array = Any  # a tensor
EPSILON = 1e-5
CARRIERS = {"cpu": "gloo", "cuda": "nccl"}  # what carries messages between processes, as PyTorch names it


class AdamW:
    """See `Learner`; weights of less than 32 bits have copies in 32, which are what is updated."""

    def __init__(self, torch: Any, weights: Sequence[Array]) -> None:
        self.torch, self.weights = torch, [each.requires_grad_() for each in weights]
        wide = [each.dtype == torch.float32 for each in weights]
        self.masters = [each if same else each.detach().float() for each, same in zip(weights, wide, strict=True)]
        self.optimizer = torch.optim.AdamW(self.masters, lr=1e-5, fused=True)

    def ahead(self, run: Callable[[], Array], tokens: Array) -> object:
        """As of the protocol; the last token is followed by the first."""
        with self.torch.enable_grad():
            following = tokens.roll(-1, dims=1).reshape(-1)
            return self.torch.nn.functional.cross_entropy(run().float(), following)

    def back(self, loss: Any) -> object:
        """As of the protocol."""
        return loss.backward()

    def update(self, gradients: Sequence[Array] | None = None) -> object:
        """As of the protocol."""
        for weight, gradient in zip(self.weights, gradients or (), strict=bool(gradients)):
            weight.grad = gradient
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                master.grad = weight.grad.float()
        self.optimizer.step()
        with self.torch.no_grad():
            for weight, master in zip(self.weights, self.masters, strict=True):
                if master is not weight:
                    weight.copy_(master)
                weight.grad = None
        return None


class Torch:
    """See `Backend`."""

    name = "torch"
    trains = True

    def __init__(self, device: str) -> None:
        import torch

        there = {"cpu": lambda: True, "cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
        if not there[device]():
            found = ", ".join(name for name, here in there.items() if here())
            raise RooflineError(f"--device {device}: PyTorch {torch.__version__} finds none here; it finds {found}")
        self.torch, self.device = torch, device
        self.kernels = torch.nn.functional
        self.software = f"eager torch {torch.__version__.partition('+')[0]}"
        self.formats = {"fp32": torch.float32, "bf16": torch.bfloat16}
        self.dtypes: Sequence[str] = tuple(self.formats)
        self.wait: Callable[[], None] = {
            "cpu": lambda: None, "cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize
        }[device]  # fmt: skip
        self.places = distributed.places_of(torch, device)
        self.devices = len(self.places)
        self.most_ranks = system.available_cores() if device == "cpu" else self.devices

    def ran_out(self, error: Exception) -> bool:
        """As of the protocol; the allocator of the CPU has no error of its own."""
        known = isinstance(error, (MemoryError, self.torch.cuda.OutOfMemoryError))
        return known or (isinstance(error, RuntimeError) and "allocate memory" in str(error))

    def values(self, *shape: int, dtype: str) -> Array:
        """As of the protocol."""
        return self.torch.empty(shape, dtype=self.formats[dtype], device=self.device).uniform_(-0.05, 0.05)

    def tokens(self, batch: int, length: int, vocab: int) -> Array:
        """As of the protocol."""
        return self.torch.randint(0, vocab, (batch, length), device=self.device)

    def lookup(self, table: Array, tokens: Array) -> Array:
        """As of the protocol."""
        return self.kernels.embedding(tokens.reshape(-1), table)

    def product(self, x: Array, w: Array) -> Array:
        """As of the protocol."""
        return self.kernels.linear(x, w)

    def norm(self, x: Array, branch: Array, scale: Array) -> tuple[Array, Array]:
        """As of the protocol."""
        added = x + branch
        return added, self.kernels.rms_norm(added, scale.shape, scale, EPSILON)

    def angles(self, length: int, dim: int, dtype: str) -> tuple[Array, Array]:
        """As of the protocol."""
        turns = self.torch.arange(length)[:, None] * 10000.0 ** (-self.torch.arange(dim // 2) / (dim // 2))
        cosine, sine = (each.to(device=self.device, dtype=self.formats[dtype]) for each in (turns.cos(), turns.sin()))
        return cosine, sine

    def rotate(self, x: Array, angles: tuple[Array, Array]) -> Array:
        """As of the protocol."""
        cosine, sine = (each[None, :, None, :] for each in angles)
        left, right = x.chunk(2, dim=-1)
        return self.torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)

    def gate(self, x: Array) -> Array:
        """As of the protocol."""
        left, right = x.chunk(2, dim=1)
        return self.kernels.silu(left) * right

    def attend(self, q: Array, k: Array, v: Array, cache: tuple[Array, Array], at: int) -> Array:
        """As of the protocol; one new query of each head of a group is a row of one attention."""
        b, new, heads, dim = q.shape
        groups, seen = k.shape[2], at + new
        for held, fresh in zip(cache, (k, v), strict=True):
            held[:, :, at:seen] = fresh.transpose(1, 2)
        keys, values = (held[:, :, :seen] for held in cache)
        if new == 1:
            rows = q.reshape(b, groups, heads // groups, dim)
            found = self.kernels.scaled_dot_product_attention(rows, keys, values)
            return found.reshape(b, heads * dim)
        return self.attend_prompt(q, keys.transpose(1, 2), values.transpose(1, 2))

    def attend_prompt(self, q: Array, k: Array, v: Array) -> Array:
        """As of the protocol."""
        b, new, heads, dim = q.shape
        wide = heads // k.shape[2]
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        if wide > 1:
            k, v = (each.repeat_interleave(wide, dim=1) for each in (k, v))
        found = self.kernels.scaled_dot_product_attention(q, k, v, is_causal=True)
        return found.transpose(1, 2).reshape(b * new, heads * dim)

    def learner(self, weights: Sequence[Array]) -> Learner:
        """As of the protocol."""
        return AdamW(self.torch, weights)

    def choose(self, logits: Array, top_k: int) -> tuple[Array, Array]:
        """As of the protocol."""
        best = logits.topk(top_k, dim=1)
        return best.indices, best.values.softmax(dim=1)

    def experts(self, x: Array, chosen: Array, shares: Array, up: Array, down: Array) -> Array:
        """As of the protocol."""
        found = self.torch.zeros_like(x)
        for expert in range(len(up)):
            rows, place = self.torch.nonzero(chosen == expert, as_tuple=True)
            if len(rows):
                inner = self.gate(self.product(x[rows], up[expert]))
                found = found.index_add(0, rows, self.product(inner, down[expert]) * shares[rows, place, None])
        return found

    def total(self, x: Array) -> object:
        """As of the protocol."""
        return x.sum()

    def copy(self, source: Array, target: Array) -> object:
        """As of the protocol."""
        return target.copy_(source)

    def from_host(self, x: Array) -> Array:
        """As of the protocol."""
        return x.to(self.device)

    def to_host(self, x: Array) -> Array:
        """As of the protocol."""
        return x.cpu()

    @property
    def library(self) -> str:
        """As of the protocol."""
        return distributed.library_of(self.torch, self.device)

    def joined(self, ranks: int, groups: Sequence[int]) -> AbstractContextManager[Ranks]:
        """As of the protocol; ranks on a CPU have no places of their own."""
        if not self.library:
            raise LostError(f"PyTorch {self.torch.__version__} exchanges nothing between processes on {self.device}")
        places = (0,) * ranks if self.device == "cpu" else self.places[:ranks]
        return distributed.joined(CARRIERS[self.device], places, groups)

    def release(self) -> None:
        """As of the protocol."""
        if self.device == "cuda":
            self.torch.cuda.empty_cache()

    def forgetting(self) -> AbstractContextManager[Any]:
        """As of the protocol."""
        found: AbstractContextManager[Any] = self.torch.no_grad()
        return found
