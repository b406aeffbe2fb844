"""What a pass becomes: narrowed activations, heads over ranks, experts that are read."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.engine import inference
from roofline.engine.deployment import Deployment
from roofline.engine.lower import Pass, heads_per_chip, lower
from roofline.engine.memory import expert_parameters, layer_parameters, weight_bytes
from roofline.engine.ops import Op
from roofline.machine import Chip, Link, Memory, Peak, Stack
from roofline.machine.chip import EXPERTS, MATMUL, QUANTISE
from roofline.workload import Attention, Block, Decode, GatedDeltaNet, Model, MoE, Plan, Precision, Serving
from roofline.workload.dtype import bytes_of
from roofline.workload.plan import Placement

MODELS = sorted(Catalog().files(KINDS["model"]))
STEP = Pass(sequences=4.0, context=1000.0, decode=True)
PROMPT = Pass(sequences=1.0, new=512.0)


# --- activations narrower than the residual stream --------------------------------------------------------------


NARROW = (Precision("fp8", "fp8"), Precision("nvfp4", "nvfp4"), Precision("int4", "int8"))
WIDE = (Precision(), Precision("fp16", "fp16"), Precision("int4", "bf16"), Precision("mxfp4", "bf16"))


def narrowed(model: Model, precision: Precision, work: Pass) -> list[tuple[Op, Op]]:
    """Every quantisation with the operator after it."""
    operators = lower(model, precision, Plan(), work)
    return [(op, after) for op, after in pairwise(operators) if op.kind == QUANTISE]


@pytest.mark.parametrize("name", MODELS)
def test_activations_are_narrowed_exactly_where_they_are_narrower(catalog: Catalog, name: str) -> None:
    """Than the residual stream, that is; weights alone may be as narrow as they like. Parts that were published narrow
    read narrow values though the others do not."""
    model = catalog.model(name)
    some = [bool(narrowed(model, precision, PROMPT)) for precision in (*NARROW, *WIDE)]
    rest = [bool(model.rest) and precision.weights == model.dtype for precision in WIDE]
    assert some == [True] * len(NARROW) + rest


@pytest.mark.parametrize("name", MODELS)
def test_what_a_product_reads_narrow_was_narrowed_before_it(catalog: Catalog, name: str) -> None:
    """Each quantisation stands before the product of its name and makes all the values that it reads."""
    model = catalog.model(name)
    assert all(
        after.name == op.name.removesuffix("-quantise")
        and after.kind in (MATMUL, EXPERTS)
        and float(op.write) == float(after.terms["m"] * after.terms["k"] * after.terms["a"])
        for precision in NARROW
        for work in (STEP, PROMPT)
        for op, after in narrowed(model, precision, work)
    )


@pytest.mark.parametrize("name", [name for name in MODELS if Catalog().model(name).quantised == "experts"])
def test_only_experts_read_narrow_where_only_they_are(catalog: Catalog, name: str) -> None:
    before = {after.kind for _, after in narrowed(catalog.model(name), Precision("fp8", "fp8"), PROMPT)}
    assert before == {EXPERTS}


def test_what_is_not_narrowed_is_as_it_was_published(catalog: Catalog) -> None:
    """Experts of four bits beside attention of eight, unless another format than the published is asked for."""
    model = catalog.model("deepseek-v4-flash")
    published = model.outside(Precision(model.dtype, "bf16"))
    assert (published.weights, published.activations) == ("fp8-block", "fp8-block")
    assert model.outside(Precision("int4", "bf16")).weights == "bf16"
    assert model.outside(Precision("bf16")).weights == "bf16"
    alike = catalog.model("deepseek-v3")
    assert alike.outside(Precision("fp8-block")).weights == "fp8-block"
    plain = replace(model, rest="")
    layers = {each.rest: float(weight_bytes(each, Precision(model.dtype, "bf16"), Plan())) for each in (model, plain)}
    beside = float(layer_parameters(model, Plan()) - expert_parameters(model, Plan()))
    assert layers[""] - layers["fp8-block"] == pytest.approx(beside * (2.0 - bytes_of("fp8-block")))


@pytest.mark.parametrize("name", MODELS)
def test_the_output_matrix_and_the_router_read_wide_values(catalog: Catalog, name: str) -> None:
    operators = lower(catalog.model(name), Precision("fp8", "fp8"), Plan(), STEP)
    wide = [op for op in operators if op.name.endswith(("head/logits", "moe/router"))]
    assert all(op.terms["a"] == 2.0 and op.terms["w"] == 2.0 for op in wide)


# --- heads over ranks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "tp", "devices", "placement", "expected"),
    [
        (40.0, 8.0, 1.0, "layers", 5.0),
        (8.0, 32.0, 1.0, "layers", 1.0),  # replicated
        (40.0, 16.0, 1.0, "padded", 3.0),  # 48 in all
        (40.0, 8.0, 2.0, "padded", 6.0),  # 16 ranks of 3
        (40.0, 16.0, 1.0, "even", 2.5),
        (40.0, 16.0, 2.0, "even", 2.5),
        (1.0, 1.0, 8.0, "padded", 8.0),  # each device keeps the only one
    ],
)
def test_ranks_have_whole_heads_unless_a_compiler_spreads_them(
    heads: float, tp: float, devices: float, placement: Placement, expected: float
) -> None:
    assert float(heads_per_chip(heads, Plan(tp=tp, devices=devices, placement=placement))) == expected


@given(
    heads=st.integers(min_value=1, max_value=256).map(float),
    tp=st.integers(min_value=1, max_value=64).map(float),
    devices=st.sampled_from([1.0, 2.0, 8.0]),
    placement=st.sampled_from(["layers", "padded", "even"]),
)
def test_ranks_together_have_every_head(heads: float, tp: float, devices: float, placement: Placement) -> None:
    """And no rank more than one that another lacks."""
    each = float(heads_per_chip(heads, Plan(tp=tp, devices=devices, placement=placement)))
    assert heads * (1 - 1e-12) <= each * tp < heads + tp * devices


@given(heads=st.integers(min_value=1, max_value=256).map(float), tp=st.integers(min_value=1, max_value=64).map(float))
def test_more_devices_never_mean_fewer_heads(heads: float, tp: float) -> None:
    found = [float(heads_per_chip(heads, Plan(tp=tp, devices=devices))) for devices in (1.0, 2.0, 4.0, 8.0)]
    assert found == sorted(found)


def test_padded_heads_are_projected_and_attended_to() -> None:
    """40 heads on 16 ranks: each works on 3 of 128 columns, and keeps one of the 8 that hold keys."""
    mixer = Attention(heads=40, kv_heads=8, head_dim=128)
    model = Model(id="m", name="M", hidden=5120, vocab=100, blocks=(Block(count=1, mixer=mixer),))
    named = {op.name: op.terms for op in lower(model, Precision(), Plan(tp=16.0, placement="padded"), STEP)}
    columns = named["attention/qkv"]["n"], named["attention/core"]["h"], named["attention/output"]["k"]
    assert [float(value) for value in columns] == [(3 + 2) * 128, 3, 3 * 128]


def test_a_gated_recurrence_reads_its_values_and_their_gate() -> None:
    """Norm and gate after the recurrence: 8 heads of 64 values and as many gates in, the gated values out."""
    mixer = GatedDeltaNet(key_heads=4, value_heads=8, key_dim=32, value_dim=64)
    model = Model(id="m", name="M", hidden=512, vocab=1000, blocks=(Block(count=1, mixer=mixer),))
    (gate,) = (op for op in lower(model, Precision(), Plan(tp=2.0), PROMPT) if op.name == "mixer/gate")
    assert (float(gate.read), float(gate.write)) == (512 * 2 * 256 * 2.0, 512 * 256 * 2.0)
    assert float(gate.flops) == 512 * 4 * 256


# --- experts ----------------------------------------------------------------------------------------------------

SPARSE = Model(
    id="m",
    name="M",
    hidden=512,
    vocab=1000,
    blocks=(
        Block(
            count=2,
            mixer=Attention(heads=8, kv_heads=8, head_dim=64),
            ffn=MoE(experts=64, top_k=4, width=256, shared=1),
        ),
    ),
)


def streamed(work: Pass, plan: Plan = Plan()) -> float:  # noqa: B008
    """Experts of one layer that all ranks together read."""
    op = next(op for op in lower(SPARSE, Precision(), plan, work) if op.name == "moe/up")
    return float(op.terms["e"] * plan.ep)


def test_equal_requests_visit_equal_experts() -> None:
    assert streamed(replace(STEP, sequences=64.0, distinct=1.0)) == 4.0


@given(distinct=st.integers(min_value=1, max_value=256).map(float))
def test_each_request_that_differs_adds_experts(distinct: float) -> None:
    """64 requests of which so many differ read as much as that many alone."""
    work = replace(STEP, sequences=64.0, distinct=distinct)
    assert streamed(work) == streamed(replace(STEP, sequences=min(distinct, 64.0)))


@given(few=st.integers(min_value=1, max_value=256).map(float), more=st.integers(min_value=0, max_value=256).map(float))
def test_more_distinct_requests_never_read_less(few: float, more: float) -> None:
    work = replace(STEP, sequences=256.0)
    assert 4.0 <= streamed(replace(work, distinct=few)) <= streamed(replace(work, distinct=few + more)) <= 64.0


def test_equal_requests_still_bring_all_of_their_rows() -> None:
    operators = lower(SPARSE, Precision(), Plan(), replace(STEP, sequences=64.0, distinct=1.0))
    up = next(op for op in operators if op.name == "moe/up")
    assert (float(up.terms["m"]), float(up.rows)) == (64.0 * 4.0, 64.0)


@pytest.mark.parametrize("pool", [1.0, 2.0, 16.0])
def test_pooled_replicas_of_equal_requests_visit_no_more_experts(pool: float) -> None:
    """Whichever replica serves a request, its equal visits the same experts."""
    work = replace(STEP, sequences=8.0, distinct=1.0)
    assert streamed(work, Plan(dp=pool, ep=pool)) == pytest.approx(4.0)


def test_a_prompt_is_distinct_token_by_token() -> None:
    """One prompt of many tokens, or the same one in every request."""
    alone = Pass(sequences=1.0, new=64.0)
    assert streamed(Pass(sequences=8.0, new=64.0, distinct=1.0)) == streamed(alone)


@pytest.mark.parametrize(("distinct", "expected"), [(1.0, 4.0), (np.inf, 64 * 32 * 4 / (64 - 4 + 32 * 4))])
def test_serving_reads_the_experts_of_distinct_requests(distinct: float, expected: float) -> None:
    work = Serving(id="w", model=SPARSE, steps=(Decode(16.0),), batch=32.0, cached=100.0, distinct=distinct)
    deployment = Deployment(chip=CHIP, num_chips=1, stack=Stack(id="ideal", name="none"), plan=Plan())
    operators = [item.op for item in inference.predict(work, deployment).phases[0].operators]
    assert float(named(operators, "moe/up").terms["e"]) == pytest.approx(expected, rel=1e-12)


def named(operators: list[Op], name: str) -> Op:
    """The operator of that name."""
    return next(op for op in operators if op.name == name)


CHIP = Chip(
    id="any",
    name="Any",
    vendor="any",
    kind="gpu",
    peaks={"bf16": Peak(dense=1e15)},
    memory=(Memory(name="HBM", capacity=1e12, bandwidth=4e12),),
    links=(Link(name="near", scope="scale-up", bandwidth=1e12, chips=64.0),),
)
