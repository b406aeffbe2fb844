"""Operators: the text that explains them is the arithmetic that is done, for every model and phase."""

from __future__ import annotations

import math
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.engine import ops
from roofline.engine.lower import Pass, lower
from roofline.workload import Plan, Precision

MODELS = sorted(Catalog().files(KINDS["model"]))
PASSES = {
    "prefill": Pass(sequences=3.0, new=700.0, context=100.0),
    "decode": Pass(sequences=5.0, context=900.0, steps=64.0, decode=True),
    "verify": Pass(sequences=5.0, new=5.0, logits=5.0, context=900.0, steps=64.0, gain=2.7, decode=True),
    "training": Pass(sequences=2.0, new=512.0, logits=512.0),
}
PLANS = {"one": Plan(), "tensor": Plan(tp=4.0, pp=2.0)}


def evaluated(formula: str, terms: dict[str, float]) -> float:
    assert re.fullmatch(r"[a-z0-9*+() ]+", formula), formula
    return float(eval(formula, {"__builtins__": {}}, terms))


@pytest.mark.parametrize(("model", "work", "plan"), list(product(MODELS, PASSES, PLANS)))
def test_every_formula_text_is_its_arithmetic(catalog: Catalog, model: str, work: str, plan: str) -> None:
    for op in lower(catalog.model(model), Precision("fp8", "fp8", "fp8"), PLANS[plan], PASSES[work]):
        terms = {name: float(value) for name, value in op.terms.items()}
        for text, value in (
            (op.formula.flops, op.flops),
            (op.formula.read, op.read),
            (op.formula.write, op.write),
            (op.formula.message, op.message.size if op.message else 0.0),
        ):
            assert math.isclose(evaluated(text, terms), float(value), rel_tol=1e-12), op.name


@pytest.mark.parametrize(("model", "work"), list(product(MODELS, PASSES)))
def test_counts_are_finite_floats_never_negative(catalog: Catalog, model: str, work: str) -> None:
    """Integers would overflow in silence."""
    for op in lower(catalog.model(model), Precision(), Plan(tp=2.0, pp=2.0), PASSES[work]):
        for value in (op.flops, op.read, op.write, op.count, op.message.size if op.message else 0.0):
            assert np.asarray(value).dtype == np.float64, op.name
            assert np.isfinite(value), op.name
            assert value >= 0, op.name


def test_a_batch_axis_stays_float(catalog: Catalog) -> None:
    work = Pass(sequences=np.arange(1.0, 5.0)[:, None], context=np.linspace(1.0, 9.0, 3), decode=True)
    for op in lower(catalog.model("mixtral-8x7b"), Precision(), Plan(tp=np.array([1.0, 2.0])[:, None, None]), work):
        assert np.asarray(op.flops).dtype == np.float64


@given(
    experts=st.integers(min_value=1, max_value=512),
    share=st.floats(min_value=0.01, max_value=1.0),
    tokens=st.integers(min_value=1, max_value=4096),
)
def test_expected_experts_lie_between_top_k_and_all(experts: int, share: float, tokens: int) -> None:
    top_k = max(1.0, round(experts * share))
    found = float(ops.expected_experts(float(experts), top_k, float(tokens)))
    assert top_k * (1 - 1e-9) <= found <= min(experts, top_k * tokens) * (1 + 1e-9)


def test_expected_experts_agrees_with_drawing_from_exponential_rates() -> None:
    generator = np.random.default_rng(1)
    rates = generator.exponential(6.0 / (64.0 - 6.0), (4000, 64))
    visited = np.mean(np.sum(generator.poisson(20.0 * rates) > 0, axis=1))
    assert float(ops.expected_experts(64.0, 6.0, 20.0)) == pytest.approx(visited, rel=0.01)
