"""Kernels against plain second derivations, the two backends against each other, and what can't be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline.errors import RooflineError
from roofline.studies.measuring import backends
from roofline.studies.measuring.backends import chosen
from roofline.studies.measuring.backends.numpy import Numpy
from roofline.studies.measuring.decoder import Decoder, Shape

B, NEW, HEADS, GROUPS, DIM = 2, 5, 6, 2, 8
TINY = Shape("tiny", 2, 24, HEADS, GROUPS, 4, 40, 50)
ROUTED = Shape("routed", 2, 24, HEADS, GROUPS, 4, 16, 50, experts=4, top_k=2)


def random(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def test_attention_is_that_of_every_head_by_itself() -> None:
    q, k, v = random(B, NEW, HEADS, DIM), random(B, NEW, GROUPS, DIM), random(B, NEW, GROUPS, DIM) * 2.0
    cache = (np.zeros((B, GROUPS, NEW, DIM), np.float32), np.zeros((B, GROUPS, NEW, DIM), np.float32))
    found = Numpy().attend(q, k, v, cache, 0).reshape(B, NEW, HEADS, DIM)
    for b in range(B):
        for head in range(HEADS):
            group = head // (HEADS // GROUPS)
            for place in range(NEW):
                scores = q[b, place, head] @ k[b, : place + 1, group].T / np.sqrt(DIM)
                shares = np.exp(scores) / np.exp(scores).sum()
                np.testing.assert_allclose(
                    found[b, place, head], shares @ v[b, : place + 1, group], rtol=2e-4, atol=1e-5
                )


def test_a_token_after_others_sees_what_it_sees_among_them() -> None:
    q, k, v = random(B, NEW, HEADS, DIM), random(B, NEW, GROUPS, DIM), random(B, NEW, GROUPS, DIM) + 1.0
    backend = Numpy()

    def cache() -> tuple[Any, Any]:
        return np.zeros((B, GROUPS, NEW, DIM), np.float32), np.zeros((B, GROUPS, NEW, DIM), np.float32)

    whole = backend.attend(q, k, v, cache(), 0).reshape(B, NEW, -1)
    held = cache()
    backend.attend(q[:, :-1], k[:, :-1], v[:, :-1], held, 0)
    last = backend.attend(q[:, -1:], k[:, -1:], v[:, -1:], held, NEW - 1)
    np.testing.assert_allclose(last, whole[:, -1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(backend.attend_prompt(q, k, v), whole.reshape(B * NEW, -1), rtol=1e-4, atol=1e-6)


def test_rows_pass_the_experts_that_they_chose() -> None:
    backend = Numpy()
    x, up, down = random(7, 12), random(4, 20, 12), random(4, 12, 10)
    chosen_, shares = backend.choose(random(7, 4), 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
    wanted = [
        sum(share * (backend.gate(row[None] @ up[e].T) @ down[e].T)[0] for e, share in zip(own, part, strict=True))
        for row, own, part in zip(x, chosen_, shares, strict=True)
    ]
    np.testing.assert_allclose(backend.experts(x, chosen_, shares, up, down), wanted, rtol=1e-3, atol=1e-4)


def test_turning_keeps_lengths_and_norms_make_them_one() -> None:
    backend = Numpy()
    x = random(1, NEW, HEADS, DIM)
    turned = backend.rotate(x, backend.angles(NEW, DIM, "fp32"))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-4)
    np.testing.assert_allclose(turned[:, 0], x[:, 0], rtol=1e-6)
    added, normed = backend.norm(random(3, 16), random(3, 16), np.ones(16, np.float32))
    np.testing.assert_allclose(np.mean(normed**2, axis=1), 1.0, rtol=1e-3)
    np.testing.assert_allclose(added, 2.0 * random(3, 16), rtol=1e-6)


@pytest.mark.parametrize("shape", [TINY, ROUTED], ids=lambda shape: shape.name)
def test_parameters_are_those_that_weights_have(shape: Shape) -> None:
    model = Decoder.of(Numpy(), shape, "fp32")
    assert sum(weight.size for weight in model.weights) == shape.parameters


@pytest.mark.parametrize("shape", [TINY, ROUTED], ids=lambda shape: shape.name)
def test_one_token_at_a_time_comes_to_what_all_at_once_do(shape: Shape) -> None:
    backend = Numpy()
    model = Decoder.of(backend, shape, "fp32")
    tokens, angles = backend.tokens(2, 6, shape.vocab), backend.angles(6, shape.head_dim, "fp32")
    at_once = model.run(tokens, model.caches(2, 6), 0, angles)
    caches = model.caches(2, 6)
    for place in range(6):
        one = model.run(tokens[:, place : place + 1], caches, place, angles)
    np.testing.assert_allclose(one, at_once, rtol=1e-3, atol=1e-5)
    assert at_once.shape == (2, shape.vocab)


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("numpi", None, "--backend numpi: there is no such backend; did you mean 'numpy'?"),
        (None, "gpu", "--device gpu: there is no such device; did you mean 'cpu'?"),
        ("numpy", "mps", "--backend numpy runs on the CPU alone; leave it out for --device mps"),
    ],
)
def test_what_there_is_not_is_said(
    backend: str | None, device: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: object())
    with pytest.raises(RooflineError, match="^" + message.replace("?", r"\?") + "$"):
        chosen(backend, device)


@pytest.mark.parametrize(("backend", "device"), [("torch", None), (None, "cuda")])
def test_without_torch_there_is_a_hint(
    backend: str | None, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(RooflineError, match=r"PyTorch is not installed; pip install 'roofline\[torch\]'"):
        chosen(backend, device)
    assert chosen(None, None).name == "numpy"


def torch_backend() -> Any:
    pytest.importorskip("torch")
    return chosen("torch", "cpu")


@pytest.mark.parametrize("shape", [TINY, ROUTED], ids=lambda shape: shape.name)
def test_both_backends_agree(shape: Shape) -> None:
    backend = torch_backend()
    model, twin = Decoder.of(backend, shape, "fp32"), Decoder.of(Numpy(), shape, "fp32")
    for mine, its in zip(twin.weights, model.weights, strict=True):
        mine[...] = its.numpy()
    tokens = backend.tokens(2, 6, shape.vocab)
    with backend.forgetting():
        found = model.run(tokens, model.caches(2, 6), 0, backend.angles(6, shape.head_dim, "fp32"))
    wanted = twin.run(tokens.numpy(), twin.caches(2, 6), 0, Numpy().angles(6, shape.head_dim, "fp32"))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", [TINY, ROUTED], ids=lambda shape: shape.name)
def test_training_lowers_the_loss(shape: Shape, dtype: str) -> None:
    backend = torch_backend()
    model = Decoder.of(backend, shape, dtype)
    learner = backend.learner(list(model.weights))
    for group in learner.optimizer.param_groups:
        group["lr"] = 0.02
    tokens, angles = backend.tokens(2, 6, shape.vocab), backend.angles(6, shape.head_dim, dtype)
    losses = []
    for _ in range(12):
        loss = learner.ahead(lambda: model.run(tokens, None, 0, angles), tokens)
        learner.back(loss)
        learner.update()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_device_that_torch_finds_none_of_is_said() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RooflineError, match=r"--device cuda: PyTorch .* finds none here; it finds cpu"):
        chosen(None, "cuda")
