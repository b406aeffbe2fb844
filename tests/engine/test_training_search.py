"""The search for a training plan, against every plan tried one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import search, training
from roofline.engine.deployment import Deployment
from roofline.engine.plans import DEGREES, pick
from roofline.engine.training import rules
from roofline.engine.training.space import HALVED, SHIFTED, taken
from roofline.engine.training.step import seconds
from roofline.errors import PlanError
from roofline.machine import Chip, Link, Memory, Peak, Stack
from roofline.workload import Attention, Block, DenseFFN, Model, MoE, Plan, Precision, Training
from roofline.workload.plan import RECOMPUTES

MIXER = Attention(heads=4, kv_heads=2, head_dim=64)
DENSE = Model(id="dense", name="Dense", vocab=3000, hidden=256, blocks=(Block(count=6, mixer=MIXER, ffn=DenseFFN(width=1024)),))  # fmt: skip
SPARSE = replace(
    DENSE,
    id="sparse",
    blocks=(
        Block(count=2, mixer=MIXER, ffn=DenseFFN(width=1024)),
        Block(count=4, mixer=MIXER, ffn=MoE(experts=4, top_k=2, width=512)),
    ),
)
IDEAL = Stack(id="ideal", name="none")
REAL = Stack(
    id="real", name="real", step=1e-3, layer=2e-6, operator=1e-6,
    overlaps={"tensor": 0.5, "expert": 0.0, "context": 0.7, "pipeline": 0.5, "data": 0.9},
)  # fmt: skip


def chip(capacity: float, near: float = 4e11, far: float = 5e10, domain: float = 4.0) -> Chip:
    return Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=capacity, bandwidth=3e12),),
        links=(
            Link(name="near", scope="scale-up", bandwidth=near, chips=domain, latency=1e-6),
            Link(name="far", scope="scale-out", bandwidth=far, latency=5e-6),
        ),
    )


def run(model: Model = DENSE, batch: float = 8.0, seq: float = 1024.0) -> Training:
    return Training(id="run", model=model, tokens=1e9, seq_len=seq, global_batch=batch)


def where(machine: Chip, chips: int, stack: Stack = IDEAL, plan: Plan | None = None) -> Deployment:
    return Deployment(chip=machine, num_chips=chips, stack=stack, plan=plan or Plan())


def brute(work: Training, chips: int, **fixed: Any) -> Plan:
    """Every plan of all whole numbers that could matter which obeys the rules, without a thought of what divides."""
    batch, layers = int(work.global_batch), work.model.layers
    counts = (chips, chips, chips, chips, 4, batch, layers)
    tp, pp, cp, dp, ep, micro, vpp, zero = (
        axis.ravel() for axis in np.meshgrid(*(np.arange(1.0, count + 1.0) for count in counts), np.arange(4.0))
    )
    used = tp * pp * cp * dp == chips
    plan = Plan(
        tp=tp[used], pp=pp[used], cp=cp[used], dp=dp[used], ep=ep[used], micro_batch=micro[used], vpp=vpp[used],
        zero=zero[used], **fixed,
    )  # fmt: skip
    return taken(plan, np.flatnonzero(rules.valid(plan, work)))


@settings(max_examples=12, deadline=None)
@given(
    model=st.sampled_from([DENSE, SPARSE]),
    chips=st.sampled_from([1, 2, 4, 6, 8]),
    batch=st.sampled_from([4.0, 6.0, 8.0]),
    capacity=st.sampled_from([3e7, 6e7, 1.2e8, 2.5e8, 1e9]),
    near=st.sampled_from([1e10, 4e11]),
    far=st.sampled_from([1e9, 5e10]),
    stack=st.sampled_from([IDEAL, REAL]),
)
def test_no_plan_is_faster_than_the_one_that_is_found(
    model: Model, chips: int, batch: float, capacity: float, near: float, far: float, stack: Stack
) -> None:
    """Among all that pass the check, recomputed in any way, of layers all or as few as fit, with sequence parallelism
    or not."""
    work, machine = run(model, batch), chip(capacity, near, far)
    ranking = training.rank(work, where(machine, chips, stack), {}, most=3)
    best = ranking.plans[0]
    training.check(best, work, chips)
    found = training.predict(work, where(machine, chips, stack, best))
    assert bool(found.fits) == bool(ranking.times)
    plain = brute(work, chips)
    least, fastest, fitting = np.inf, np.inf, 0
    ways = [*((mode, np.inf) for mode in RECOMPUTES), *(("full", float(layers)) for layers in range(1, model.layers))]
    enough: dict[bool, Any] = {True: False, False: False}  # where so few layers are
    for (recompute, layers), shared in product(ways, (True, False)):
        every = replace(plain, recompute=recompute, recompute_layers=layers, sequence_parallel=shared)
        other = training.predict(work, where(machine, chips, stack, every))
        fits = np.asarray(other.fits)
        if layers < np.inf:
            fits, enough[shared] = fits & ~np.asarray(enough[shared]), fits | enough[shared]
        times = np.where(fits, other.phases[0].time, np.inf)
        fastest, least = min(fastest, float(times.min())), min(least, float(np.min(other.memory.total)))
        if recompute != "selective" and layers == np.inf:  # scores of attention that is fused are not kept anyway
            fitting += int(np.count_nonzero(np.logical_and(other.fits, shared | np.greater(every.tp, 1.0))))
    assert training.count(work, where(machine, chips, stack), {}).fitting == fitting
    if ranking.times:
        assert ranking.times[0] == pytest.approx(fastest, rel=1e-9)
        assert float(found.phases[0].time) == pytest.approx(fastest, rel=1e-9)
    else:
        assert fastest == np.inf
        assert float(found.memory.total) == pytest.approx(least, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    model=st.sampled_from([DENSE, SPARSE]),
    stack=st.sampled_from([IDEAL, REAL]),
    near=st.sampled_from([1e9, 1e10, 1.3e10, 1e11, 1e15]),
    zero=st.sampled_from([0.0, 1.0, 2.0, 3.0]),
    schedule=st.sampled_from(["1f1b", "zero-bubble"]),
)
def test_modes_save_no_more_than_the_search_allows_for(
    model: Model, stack: Stack, near: float, zero: float, schedule: Any
) -> None:
    """Even on a network so slow that little hides; where all hides that may recomputation only costs time."""
    work, machine = run(model), chip(1e12, near, near / 8)
    plain = replace(brute(work, 8, schedule=schedule), zero=zero)
    for shared in (True, False):
        times = [
            seconds(
                work, where(machine, 8, stack, replace(plain, recompute=mode, sequence_parallel=shared)), Precision()
            )
            for mode in RECOMPUTES
        ]
        for other in times:
            assert np.all(np.less_equal(times[0], other * (1 + SHIFTED * 0.5)))
            if near == 1e15:
                assert np.all(np.less_equal(times[0], other * (1 + 1e-12)))
        if shared:
            first = times[0]
        else:
            assert np.all(np.less_equal(first, times[0] * (1 + HALVED)))
    flat = replace(plain, recompute="none")
    held = training.memory_needs(work, flat, Precision()).total
    assert np.all(np.equal(held, training.memory_needs(work, replace(flat, recompute="selective"), Precision()).total))


@pytest.mark.parametrize("name", ["llama-3.1-70b-pretraining", "deepseek-v3-pretraining"])
@pytest.mark.parametrize("stack", ["ideal", "megatron"])
def test_the_ranking_is_in_the_words_of_the_prediction(catalog: Catalog, name: str, stack: str) -> None:
    work = catalog.workload(name)
    assert isinstance(work, Training)
    machine = catalog.chip("h100-sxm")
    deployment = replace(where(machine, 512, catalog.stack(stack, machine)), precision=work.precision)
    ranking = training.rank(work, deployment, {}, most=4)
    assert len(ranking.plans) == len(ranking.times) == 4
    assert list(ranking.times) == sorted(ranking.times)
    assert len({tuple(getattr(plan, degree) for degree in DEGREES) for plan in ranking.plans}) == 4
    for plan, time in zip(ranking.plans, ranking.times, strict=True):
        training.check(plan, work, 512)
        found = search.predict(work, replace(deployment, plan=plan))
        assert bool(found.fits)
        assert float(found.phases[0].time) == pytest.approx(time, rel=1e-9)
    counts = training.count(work, deployment, {})
    assert counts.considered == counts.invalid + counts.too_large + counts.fitting
    assert min(counts.invalid, counts.fitting) > 0
    assert training.best_plan(work, deployment, {}) == ranking.plans[0]


def test_a_plan_among_many_is_priced_as_it_is_alone() -> None:
    """Experts inside of a tensor-parallel group send no tokens, whatever those of other plans do."""
    work, machine = run(SPARSE), chip(1e9)
    every = brute(work, 4)
    together = np.broadcast_to(
        training.step(work, where(machine, 4, REAL, every), Precision()).time, np.shape(every.tp)
    )
    for index in range(0, np.size(every.tp), 7):
        alone = training.step(work, where(machine, 4, REAL, pick(every, index)), Precision())
        assert together[index] == pytest.approx(float(alone.time), rel=1e-12)


GIVEN = [
    {"tp": 2}, {"pp": 3}, {"dp": 4}, {"cp": 2}, {"vpp": 2}, {"zero": 0}, {"micro_batch": 2}, {"recompute": "full"},
    {"recompute_layers": 2}, {"shard": 2}, {"sequence_parallel": False}, {"flash": False}, {"schedule": "zero-bubble"},
    {"context": "all-gather", "cp": 2}, {"context": "all-to-all", "cp": 2}, {"fused_loss": True}, {"selective": 0.5},
    {"tp": 2, "pp": 6},
]  # fmt: skip


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_what_is_given_is_kept(given: dict[str, Any]) -> None:
    work = run(batch=24.0)
    plan = training.best_plan(work, where(chip(1e9), 12, REAL), given)
    training.check(plan, work, 12)
    for name, value in given.items():
        assert getattr(plan, name) == value
    if "recompute_layers" in given or "selective" in given:
        assert plan.recompute == ("full" if "recompute_layers" in given else "selective")


@pytest.mark.parametrize("given", [{"offload_optimizer": 0.5}, {"offload_activations": 1.0}])
def test_what_is_offloaded_must_fit_the_host(given: dict[str, float]) -> None:
    """Without a host the chip's file is what is wrong; with one, its room counts as the chip's own does."""
    work = run(batch=24.0)
    with pytest.raises(PlanError, match="any has nowhere to offload to"):
        training.best_plan(work, where(chip(1e9), 12, REAL), given)
    for room in (1e3, 1e12):
        machine = chip(1e9)
        machine = replace(
            machine, memory=(*machine.memory, Memory(name="host", capacity=room, bandwidth=5e10)), main=-2
        )
        plan = training.best_plan(work, where(machine, 12, REAL), given)
        assert all(getattr(plan, name) == value for name, value in given.items())
        assert bool(training.predict(work, where(machine, 12, REAL, plan)).fits) == (room == 1e12)


@pytest.mark.parametrize("given", [{"ep": 2}, {"ep": 4, "expert_tp": 1}, {"expert_tp": 2}])
def test_what_is_given_of_experts_is_kept(given: dict[str, Any]) -> None:
    work = run(SPARSE, batch=24.0)
    plan = training.best_plan(work, where(chip(1e9), 12, REAL), given)
    training.check(plan, work, 12)
    assert all(getattr(plan, name) == value for name, value in given.items())


def test_of_equal_plans_the_one_with_the_fewest_moving_parts() -> None:
    alone = training.best_plan(run(batch=1.0), where(chip(1e9), 1), {})
    assert (alone.zero, alone.vpp, alone.recompute) == (0.0, 1.0, "none")


@pytest.mark.parametrize(
    ("chips", "given", "message"),
    [
        (8, {"tp": 3}, "tp=3 does not divide the 4 heads of dense; possible: 1 2 4"),
        (8, {"tp": 4, "dp": 4}, "tp·pp·dp·cp = 4·1·4·1 = 16, but the deployment has 8 chips; leave one degree out to have it found"),
        (8, {"dp": 3}, "dp=3 does not divide the global batch of 8 sequences; possible: 1 2 4 8"),
        (8, {"pp": 8}, "pp=8 is more than the 6 layers of dense"),
        (8, {"pp": 4}, None),
        (8, {"pp": 2, "vpp": 2}, "vpp=2 does not divide the 3 layers of a stage (6 over pp=2); possible: 1 3"),
        (8, {"pp": 1, "vpp": 3}, "vpp=3 needs pp>1: chunks of a pipeline's stages take turns; leave vpp out, or write pp=2"),
        (8, {"ep": 2}, "ep=2: dense has no experts; leave ep out"),
        (8, {"dp": 8, "micro_batch": 2}, "dp·micro_batch = 8·2 = 16 does not divide the global batch of 8 sequences; possible with dp=8: micro_batch 1"),
        (16, {"dp": 16}, "dp=16 does not divide the global batch of 8 sequences; possible: 1 2 4 8"),
        (49, {}, "49 chips leave dp=7, 49, and none of them divides the global batch of 8 sequences; write another number of chips or --global-batch"),
        (8, {"zero": 0, "shard": 2}, "shard=2 needs zero: write zero=1, 2 or 3 for what is sharded"),
        (8, {"recompute": "none", "recompute_layers": 2}, "recompute_layers=2 needs recompute=full, not none: only whole layers are counted"),
    ],
)  # fmt: skip
def test_a_search_without_a_plan_says_which_rule_leaves_none(
    chips: int, given: dict[str, Any], message: str | None
) -> None:
    work = run(seq=1024.0) if chips != 49 else run(seq=7.0 * 1024.0)
    if message is None:
        training.best_plan(work, where(chip(1e9), chips), given)
        return
    with pytest.raises(PlanError) as error:
        training.best_plan(work, where(chip(1e9), chips), given)
    assert str(error.value) == message


@settings(max_examples=20, deadline=None)
@given(
    model=st.sampled_from([DENSE, SPARSE]),
    chips=st.integers(min_value=1, max_value=12),
    capacity=st.floats(min_value=2e7, max_value=3e8),
    zero=st.sampled_from([None, 0, 1]),
)
def test_what_holds_is_what_a_search_finds_to_fit(model: Model, chips: int, capacity: float, zero: int | None) -> None:
    work, machine, given = run(model), chip(capacity), {} if zero is None else {"zero": zero}
    held = training.holds(work, machine, IDEAL, chips, Precision(), given)
    try:
        ranking = training.rank(work, where(machine, chips), given, most=1)
    except PlanError:
        assert not held
    else:
        assert held == bool(ranking.times)


def test_more_chips_never_need_a_slower_plan_of_a_fixed_batch() -> None:
    """Where the links are fast, doubling the chips is never slower: replicas divide the batch until it is spent."""
    work = run(batch=64.0)
    times = [training.rank(work, where(chip(1e9), chips), {}, most=1).times[0] for chips in (1, 2, 4)]
    assert times == sorted(times, reverse=True)
