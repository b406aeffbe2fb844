"""Rules of training plans: what each forbids, in words that say what is possible, and elementwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import training
from roofline.engine.plans import pick
from roofline.engine.training import rules
from roofline.errors import PlanError
from roofline.workload import Attention, Block, DenseFFN, Model, MoE, Plan, Training

MIXER = Attention(heads=16, kv_heads=8, head_dim=64)
DENSE = Model(id="dense", name="Dense", vocab=1000, hidden=1024, blocks=(Block(count=10, mixer=MIXER, ffn=DenseFFN(width=4096)),))  # fmt: skip
SPARSE = replace(
    DENSE, id="sparse", blocks=(Block(count=10, mixer=MIXER, ffn=MoE(experts=8, top_k=2, width=1408, shared=1)),)
)


def run(model: Model = DENSE, batch: float = 48.0, seq: float = 4096.0) -> Training:
    return Training(id="run", model=model, tokens=1e9, seq_len=seq, global_batch=batch)


BROKEN = [
    (DENSE, Plan(tp=3.0), "tp=3 does not divide the 16 heads of dense; possible: 1 2 4 8 16"),
    (DENSE, Plan(pp=16.0), "pp=16 is more than the 10 layers of dense"),
    (DENSE, Plan(pp=7.0), "pp=7 leaves stages empty: 2 layers on each put the 10 of dense on 5; possible: 6 or 10"),
    (DENSE, Plan(pp=9.0), "pp=9 leaves stages empty: 2 layers on each put the 10 of dense on 5; possible: 6 or 10"),
    (DENSE, Plan(vpp=2.0), "vpp=2 needs pp>1: chunks of a pipeline's stages take turns; leave vpp out, or write pp=2"),
    (DENSE, Plan(pp=2.0, vpp=2.0), "vpp=2 does not divide the 5 layers of a stage (10 over pp=2); possible: 1 5"),
    (DENSE, Plan(pp=4.0, vpp=6.0), "vpp=6 does not divide the 3 layers of a stage (10 over pp=4); possible: 1 3"),
    (DENSE, Plan(dp=32.0), "dp=32 does not divide the global batch of 48 sequences; possible: 1 2 3 4 6 8 12 16 24 48"),
    (
        DENSE,
        Plan(dp=8.0, micro_batch=4.0),
        "dp·micro_batch = 8·4 = 32 does not divide the global batch of 48 sequences; possible with dp=8: micro_batch 1 2 3 6",
    ),
    (
        DENSE,
        Plan(pp=2.0, vpp=5.0, dp=16.0),
        "vpp=5 takes micro-batches in groups of pp=2, but global_batch/(dp·micro_batch) = 48/(16·1) = 3; "
        "possible: vpp=1, or dp·micro_batch 1 2 3 4 6 8 12 24",
    ),
    (
        DENSE,
        Plan(pp=5.0, vpp=2.0),
        "vpp=2 takes micro-batches in groups of pp=5, but global_batch/(dp·micro_batch) = 48/(1·1) = 48; possible: vpp=1",
    ),
    (
        DENSE,
        Plan(cp=3.0),
        "cp=3 does not cut sequences of 4,096 tokens into 2·cp = 6 equal pieces; "
        "possible: 1 2 4 8 16 32 64 128 256 512 1024 2048",
    ),
    (
        DENSE,
        Plan(tp=4.0, cp=8.0, context="all-to-all"),
        "context=all-to-all: tp·cp = 4·8 = 32 does not divide the 16 heads of dense; possible with tp=4: cp 1 2 4, or context=ring",
    ),
    (DENSE, Plan(dp=2.0, ep=2.0), "ep=2: dense has no experts; leave ep out"),
    (DENSE, Plan(expert_tp=2.0), "expert_tp=2: dense has no experts; leave expert_tp out"),
    (SPARSE, Plan(dp=3.0, ep=3.0), "ep=3 does not divide the 8 experts of sparse; possible: 1 2 4 8"),
    (SPARSE, Plan(tp=2.0, ep=8.0), "ep=8 must divide or be a multiple of tp=2 within tp·dp=2; possible: 1 2"),
    (
        SPARSE,
        Plan(tp=2.0, cp=2.0, ep=8.0),
        "ep=8 must divide or be a multiple of tp=2 within tp·cp·dp=4; possible: 1 2 4",
    ),
    (
        SPARSE,
        Plan(tp=4.0, dp=2.0, ep=2.0, expert_tp=1.0),
        "ep·expert_tp = 2·1 = 2 must be a multiple of tp=4 and divide tp·cp·dp=8; possible with ep=2: expert_tp 2 4",
    ),
    (
        SPARSE,
        Plan(dp=3.0, expert_tp=3.0),
        "expert_tp=3 does not divide the 1,408 columns of an expert of sparse; possible: 1 2 4 8 11 16 22 32 44 64 88 128 176 352 704 1408",
    ),
    (DENSE, Plan(dp=4.0, shard=2.0), "shard=2 needs zero: write zero=1, 2 or 3 for what is sharded"),
    (
        DENSE,
        Plan(dp=4.0, cp=2.0, zero=3.0, shard=3.0),
        "shard=3 does not divide the dp·cp = 4·2 = 8 ranks that have the same parameters; possible: 1 2 4 8",
    ),
    (
        DENSE,
        Plan(recompute="selective", recompute_layers=2.0),
        "recompute_layers=2 needs recompute=full, not selective: only whole layers are counted",
    ),
    (
        DENSE,
        Plan(pp=2.0, recompute="full", recompute_layers=6.0),
        "recompute_layers=6 is more than the 5 layers of a stage (10 over pp=2); possible: 1 to 5",
    ),
]


@pytest.mark.parametrize(("model", "plan", "message"), BROKEN, ids=[message[:40] for *_, message in BROKEN])
def test_a_broken_rule_says_what_is_possible(model: Model, plan: Plan, message: str) -> None:
    with pytest.raises(PlanError) as error:
        training.check(plan, run(model), int(plan.num_chips))
    assert str(error.value) == message
    assert not rules.valid(plan, run(model))


def test_every_rule_has_a_plan_that_breaks_it() -> None:
    """Each is the first that some plan above breaks."""
    first = [
        next(index for index, rule in enumerate(rules.RULES) if not np.all(rule.holds(run(model), plan)))
        for model, plan, _ in BROKEN
    ]
    assert set(first) == set(range(len(rules.RULES)))


def test_chips_that_are_left_over_are_told() -> None:
    with pytest.raises(PlanError, match=r"tp·pp·dp·cp = 2·1·2·1 = 4, but the deployment has 8 chips"):
        training.check(Plan(tp=2.0, dp=2.0), run(), 8)


def test_compilers_that_spread_evenly_have_no_rules_about_heads_and_layers() -> None:
    for plan in (Plan(tp=3.0), Plan(pp=7.0)):
        training.check(replace(plan, placement="even"), run(), int(plan.num_chips))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(tp=16.0, pp=6.0, dp=3.0),
        Plan(pp=2.0, vpp=5.0, dp=8.0, micro_batch=3.0),
        Plan(cp=4.0, dp=4.0, zero=3.0, shard=8.0),
        Plan(pp=5.0, recompute="full", recompute_layers=2.0),
    ],
)
def test_what_obeys_passes(plan: Plan) -> None:
    training.check(plan, run(), int(plan.num_chips))


def test_experts_may_be_spread_over_replicas_and_ranks_of_a_sequence() -> None:
    training.check(Plan(tp=2.0, cp=2.0, dp=2.0, ep=8.0), run(SPARSE), 8)
    training.check(Plan(tp=2.0, dp=4.0, ep=4.0, expert_tp=2.0), run(SPARSE), 8)


DEGREE = st.sampled_from([1.0, 2.0, 3.0, 4.0, 6.0, 8.0])


@given(degrees=st.lists(st.tuples(*[DEGREE] * 8), min_size=1, max_size=20), zero=st.sampled_from([0.0, 3.0]))
def test_many_plans_are_judged_as_each_alone(degrees: list[tuple[float, ...]], zero: float) -> None:
    names = ("tp", "pp", "dp", "ep", "cp", "vpp", "micro_batch", "expert_tp")
    columns = dict(zip(names, np.array(degrees).T, strict=True))
    many = Plan(**columns, zero=zero, shard=2.0)
    work = run(SPARSE)
    flags = np.broadcast_to(rules.valid(many, work), (len(degrees),))
    assert flags.tolist() == [bool(rules.valid(pick(many, index), work)) for index in range(len(degrees))]
