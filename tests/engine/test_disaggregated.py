"""Prefill and decode apart, against hand derivations, closed forms and the chips that do both."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest

from roofline.catalog.store import Catalog
from roofline.engine import inference, pools, search
from roofline.engine.deployment import Deployment
from roofline.engine.disaggregated import moves
from roofline.engine.pools import Scores, best_plans, splits
from roofline.engine.prediction import POOLS, Prediction
from roofline.errors import PlanError
from roofline.machine import Chip, EnergyCosts, Link, Memory, Peak, Stack
from roofline.workload import Decode, Pause, Plan, Prefill, ServiceLevel, Serving, Speculation

IDEAL = Stack(id="ideal", name="none")
BUSY = replace(IDEAL, id="busy", step=2e-3, operator=2e-6, request=3e-3, usable_memory=0.9)
Wanted: TypeAlias = "list[tuple[int, int]]"
Given: TypeAlias = "dict[str, int]"
NEAR, FAR = 450e9, 50e9
KV = 131_072.0  # bytes that Llama 3.1 8B caches per token: 32 layers · 2 · 8 heads · 128 · 2


def machine(domain: float = 8.0, capacity: float = 1e12) -> Chip:
    return Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=capacity, bandwidth=4e12),),
        links=(
            Link(name="near", scope="scale-up", bandwidth=NEAR, chips=domain),
            Link(name="far", scope="scale-out", bandwidth=FAR),
        ),
    )


def request(catalog: Catalog, batch: float = 1.0, read: float = 1000.0, write: float = 100.0) -> Serving:
    model = catalog.model("llama-3.1-8b")
    return Serving(id="w", model=model, steps=(Prefill(read), Decode(write)), batch=batch)


def apart(
    work: Serving, prefill: Plan, decode: Plan, chip: Chip | None = None, stack: Stack = IDEAL
) -> Prediction:  # fmt: skip
    chips = int(np.max(prefill.num_chips + decode.num_chips))
    where = Deployment(
        chip=chip or machine(), num_chips=chips, stack=stack, plan=decode, prefill_plan=prefill
    )  # fmt: skip
    return search.predict(work, where)


def together(work: Serving, plan: Plan, chip: Chip | None = None, stack: Stack = IDEAL) -> Prediction:
    where = Deployment(chip=chip or machine(), num_chips=int(plan.num_chips), stack=stack, plan=plan)
    return inference.predict(work, where)


def best(work: Serving, chips: int, wanted: Wanted | None = None, given: Given | None = None) -> Prediction:
    where = Deployment(chip=machine(), num_chips=chips, stack=BUSY, plan=Plan())
    return search.predict(work, best_plans(work, where, given or {}, wanted or splits(chips, given or {})))


def metric(found: Prediction, name: str) -> float:
    value = found.metrics[name]
    assert value is not None
    return float(value)


def crossing(found: Prediction) -> float:
    """Seconds of every transfer."""
    return sum(
        float(item.time * phase.repeat)
        for phase in found.phases
        for item in phase.operators
        if item.op.name.startswith("kv-cache/")
    )


# --- the transfer -------------------------------------------------------------------------------------------------


def test_a_prompts_cache_crosses_at_the_bandwidth_of_the_link(catalog: Catalog) -> None:
    """1,000 tokens of 131,072 B over 450 GB/s: 291 us, after the prompt has been read and before the first token."""
    work = request(catalog)
    found = apart(work, Plan(), Plan())
    assert crossing(found) == pytest.approx(1000 * KV / NEAR, rel=1e-12)
    alone = float(together(replace(work, steps=work.steps[:1]), Plan()).phases[0].time)
    assert metric(found, "ttft_s") == pytest.approx(alone + 1000 * KV / NEAR, rel=1e-12)
    assert metric(found, "e2e_latency_s") == pytest.approx(sum(float(item.time) for item in found.phases), rel=1e-12)


@pytest.mark.parametrize(("domain", "bandwidth"), [(8.0, NEAR), (7.0, FAR), (4.0, FAR), (72.0, NEAR)])
def test_pools_that_share_a_domain_use_its_link(catalog: Catalog, domain: float, bandwidth: float) -> None:
    found = apart(request(catalog), Plan(tp=4.0), Plan(tp=4.0), machine(domain))
    assert crossing(found) == pytest.approx(1000 * KV / 4 / bandwidth, rel=1e-12)


@pytest.mark.parametrize(("prefill", "decode", "share"), [(8.0, 8.0, 8), (2.0, 8.0, 2), (8.0, 2.0, 2), (16.0, 16.0, 8)])
def test_the_side_with_fewer_links_decides(catalog: Catalog, prefill: float, decode: float, share: int) -> None:
    """Each chip sends what it holds; more ranks than kv heads hold copies, which are sent as well."""
    found = apart(request(catalog), Plan(tp=prefill), Plan(tp=decode), machine(64.0))
    assert crossing(found) == pytest.approx(1000 * KV / share / NEAR, rel=1e-12)


def test_a_latent_cache_is_whole_on_every_rank(catalog: Catalog) -> None:
    """DeepSeek-V3: 61 layers of 576 values, 2 bytes each, for every token."""
    work = replace(request(catalog), model=catalog.model("deepseek-v3"))
    found = apart(work, Plan(tp=8.0), Plan(tp=8.0), machine(64.0))
    assert crossing(found) == pytest.approx(1000 * 61 * 576 * 2 / NEAR, rel=1e-12)


def test_cached_tokens_go_along(catalog: Catalog) -> None:
    found = apart(replace(request(catalog), cached=500.0), Plan(), Plan())
    assert crossing(found) == pytest.approx(1500 * KV / NEAR, rel=1e-12)


def test_what_a_prefix_cache_holds_is_not_read_and_goes_along(catalog: Catalog) -> None:
    """Nine tenths of the prompt are found: a tenth is read after them, all of it crosses."""
    work = request(catalog)
    found = apart(replace(work, cached_share=0.9), Plan(), Plan())
    rest = apart(replace(work, steps=(Prefill(100.0), Decode(work.output_len)), cached=900.0), Plan(), Plan())
    assert crossing(found) == pytest.approx(1000 * KV / NEAR, rel=1e-12)
    assert metric(found, "ttft_s") == pytest.approx(metric(rest, "ttft_s"), rel=1e-12)
    assert metric(found, "tpot_s") == pytest.approx(metric(rest, "tpot_s"), rel=1e-12)


def test_guesses_from_the_prompt_speed_the_decode_pool_up(catalog: Catalog) -> None:
    work = replace(request(catalog), speculative=Speculation(tokens=3.0, acceptance=0.8))
    found, plain = apart(work, Plan(), Plan()), apart(request(catalog), Plan(), Plan())
    assert metric(found, "ttft_s") == metric(plain, "ttft_s")
    assert metric(plain, "tpot_s") / work.speculative.gain < metric(found, "tpot_s") < metric(plain, "tpot_s")


def test_a_second_cache_is_not_handed_over(catalog: Catalog) -> None:
    guesses = Speculation(tokens=3.0, acceptance=0.8, model=catalog.model("llama-3.2-1b"))
    with pytest.raises(PlanError, match="draft from n-grams"):
        apart(replace(request(catalog), speculative=guesses), Plan(), Plan())


def test_a_request_that_reads_again_goes_back_with_all_that_it_has(catalog: Catalog) -> None:
    steps = (Prefill(50.0), Decode(20.0), Pause(0.3), Prefill(2000.0), Decode(100.0))
    work = replace(request(catalog), steps=steps)
    assert [(move.name, move.context, move.prefill) for move in moves(work)] == [
        ("kv-cache/transfer", 50.0, 0),
        ("kv-cache/return", 70.0, 1),
        ("kv-cache/transfer", 2070.0, 1),
    ]
    found = apart(work, Plan(), Plan())
    assert [phase.name for phase in found.phases] == ["prefill", "decode", "pause", "prefill", "decode"]
    assert crossing(found) == pytest.approx((50 + 70 + 2070) * KV / NEAR, rel=1e-12)
    assert metric(found, "e2e_latency_s") == pytest.approx(sum(float(item.time) for item in found.phases), rel=1e-12)
    assert metric(found, "ttft_s") == pytest.approx(float(found.phases[0].time), rel=1e-12)
    bound = sum(float(item.ideal_time) for item in found.phases)
    assert metric(found, "e2e_latency_s_ideal") == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("chunk", [np.inf, 300.0])
@pytest.mark.parametrize("pp", [1.0, 4.0])
def test_a_phases_operators_are_all_of_its_time(catalog: Catalog, chunk: float, pp: float) -> None:
    """One transfer in all chunks, part of the sum along the pipeline that shares are shares of."""
    stack = replace(BUSY, prefill_chunk=chunk, operator=0.0)
    found = apart(request(catalog), Plan(pp=pp), Plan(), stack=stack).phases[0]
    bare = together(replace(request(catalog), steps=(Prefill(1000.0),)), Plan(pp=pp), stack=stack).phases[0]
    moved = 1000 * KV / NEAR  # the chip that gets it all decides
    assert float(found.time) == pytest.approx(float(bare.time) + moved, rel=1e-12)
    times = [float(item.time * found.repeat) for item in found.operators]
    along = float(bare.time * bare.flowing) + moved
    assert sum(times) == pytest.approx(along, rel=1e-12)


def test_at_best_the_cache_crosses_while_the_prompt_is_read(catalog: Catalog) -> None:
    """Layer by layer (Splitwise, section 4.3): the longer of the two, not their sum."""
    work = request(catalog)
    for chip in (
        machine(2.0),
        replace(machine(), links=(Link(name="slow", scope="scale-up", bandwidth=1e9, chips=8.0),)),
    ):
        found = apart(work, Plan(), Plan(), chip)
        read = float(together(replace(work, steps=work.steps[:1]), Plan()).phases[0].ideal_time)
        assert metric(found, "ttft_s_ideal") == pytest.approx(max(read, crossing(found)), rel=1e-12)


# --- rates --------------------------------------------------------------------------------------------------------


def rates(found: Prediction) -> tuple[float, float]:
    """Requests per second, and those that the prefill pool can read."""
    work = found.workload
    assert isinstance(work, Serving)
    return (
        metric(found, "output_tokens_per_s") / float(work.output_len),
        metric(found, "prefill_tokens_per_s") / float(work.input_len),
    )


def test_many_requests_go_as_fast_as_the_prefill_pool_reads(catalog: Catalog) -> None:
    work = request(catalog, batch=512.0, read=8000.0, write=10.0)
    found = apart(work, Plan(dp=2.0), Plan(dp=6.0))
    rate, reading = rates(found)
    prompt = float(together(replace(work, steps=work.steps[:1]), Plan()).phases[0].time)
    assert reading == pytest.approx(2.0 / prompt, rel=1e-12)
    assert rate == pytest.approx(reading, rel=1e-2)
    assert rate <= reading * (1 + 1e-12)
    assert metric(found, "e2e_latency_s") == pytest.approx(512 / rate, rel=1e-9)  # Little's law


def test_a_slow_link_limits_both_pools(catalog: Catalog) -> None:
    """4 chips send 1,000 tokens' cache each in turn, 4 get one; where reading takes less, they wait for the link."""
    slow = replace(machine(), links=(Link(name="slow", scope="scale-up", bandwidth=1e9, chips=8.0),))
    found = apart(request(catalog, batch=2000.0, write=4.0), Plan(dp=4.0), Plan(dp=4.0), slow)
    assert rates(found)[0] == pytest.approx(4 * 1e9 / (1000 * KV), rel=1e-12)


def test_the_decode_pools_memory_limits_the_rate(catalog: Catalog) -> None:
    """It holds so many requests for as long as each of them generates."""
    work = request(catalog, batch=600.0, write=1000.0)
    found = apart(work, Plan(dp=6.0), Plan(), machine(capacity=40e9))
    assert float(found.max_batch) < 300
    spent = float(found.phases[1].time)
    assert rates(found)[0] == pytest.approx(float(found.max_batch) / spent, rel=1e-9)
    assert any("the others wait before their first token" in note for note in found.notes)


@pytest.mark.parametrize("batch", [1.0, 7.0, 64.0, 1000.0])
def test_the_decode_pool_holds_those_that_come_while_one_is_there(catalog: Catalog, batch: float) -> None:
    """Little's law of the pool alone; never more than there are."""
    found = apart(request(catalog, batch=batch, read=4000.0), Plan(dp=4.0), Plan(), stack=BUSY)
    held = rates(found)[0] * float(found.phases[1].time)
    running = metric(found, "decode_tokens_per_s") * metric(found, "tpot_s")
    assert running == pytest.approx(held, rel=0.02)
    assert running <= batch


@pytest.mark.parametrize("batch", [1.0, 8.0, 64.0, 512.0])
@pytest.mark.parametrize("read", [100.0, 4000.0])
def test_no_prompt_comes_between_tokens(catalog: Catalog, batch: float, read: float) -> None:
    """On as many chips that decode, a token takes no longer than where they read prompts as well."""
    work = request(catalog, batch, read)
    alone = metric(together(work, Plan(tp=2.0, dp=2.0), stack=BUSY), "tpot_s")
    found = apart(work, Plan(tp=2.0, dp=2.0), Plan(tp=2.0, dp=2.0), stack=BUSY)
    assert metric(found, "tpot_s") <= alone * (1 + 1e-12)


@pytest.mark.parametrize("batch", [1.0, 16.0, 256.0, 4096.0])
@pytest.mark.parametrize("stack", [IDEAL, BUSY])
@pytest.mark.parametrize(("prefill", "decode"), [(Plan(), Plan(tp=4.0)), (Plan(pp=3.0, dp=2.0), Plan(pp=2.0))])
def test_nothing_beats_the_bound(catalog: Catalog, batch: float, stack: Stack, prefill: Plan, decode: Plan) -> None:
    found = apart(request(catalog, batch), prefill, decode, machine(2.0, 60e9), stack)
    for name in found.metrics:
        if f"{name}_ideal" in found.metrics:
            value, bound = metric(found, name), metric(found, f"{name}_ideal")
            assert (
                value >= bound * (1 - 1e-12)
                if name.endswith("_s") and "per_s" not in name
                else value <= bound * (1 + 1e-12)
            ), name


def test_more_requests_are_never_served_more_slowly(catalog: Catalog) -> None:
    batches = [1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1024.0]
    found = [rates(apart(request(catalog, batch), Plan(dp=2.0), Plan(), stack=BUSY))[0] for batch in batches]
    assert found == sorted(found)


def test_pools_are_arrays_like_every_number(catalog: Catalog) -> None:
    """Splits as an axis: each element has the bits of its own prediction."""
    work = replace(request(catalog), batch=np.array([[4.0], [200.0]]))
    reads, writes = np.array([1.0, 3.0, 6.0]), np.array([7.0, 5.0, 2.0])
    found = apart(work, Plan(dp=reads), Plan(dp=writes), stack=BUSY)
    for row, batch in enumerate((4.0, 200.0)):
        for column in range(3):
            one = apart(
                replace(work, batch=batch), Plan(dp=float(reads[column])), Plan(dp=float(writes[column])), stack=BUSY
            )  # fmt: skip
            for name in ("ttft_s", "tpot_s", "e2e_latency_s", "output_tokens_per_s", "output_tokens_per_s_ideal"):
                values = np.broadcast_to(np.asarray(found.metrics[name]), (2, 3))
                assert float(values[row, column]) == metric(one, name), name


def test_each_pool_has_its_power(catalog: Catalog) -> None:
    """A published TDP counts for both, busy or not."""
    found = apart(request(catalog, 8.0), Plan(dp=2.0), Plan(tp=4.0), replace(machine(), tdp=700.0))
    assert metric(found, "power_w") == pytest.approx(6 * 700.0)
    assert metric(found, "energy_j_per_token") == pytest.approx(4200.0 / metric(found, "output_tokens_per_s"))


@pytest.mark.parametrize("batch", [1.0, 8.0, 200.0])
def test_a_pool_draws_less_while_nothing_comes(catalog: Catalog, batch: float) -> None:
    """100 W at work, 60 W idle: a prompt keeps its replica at work for its time, a request its share of those beside it."""
    work = request(catalog, batch)
    chip = replace(machine(), energy=EnergyCosts(idle=60.0, base=100.0))
    found = apart(work, Plan(dp=2.0), Plan(tp=4.0), chip, BUSY)
    rate, reading = rates(found)
    running = max(metric(found, "decode_tokens_per_s") * metric(found, "tpot_s"), 1.0)
    busy = rate / reading, min(rate * float(found.phases[1].time) / running, 1.0)
    expected = sum(chips * (60.0 + 40.0 * share) for chips, share in zip((2.0, 4.0), busy, strict=True))
    assert metric(found, "power_w") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("batch", [1.0, 16.0, 600.0])
def test_a_request_is_its_steps_the_crossing_and_its_wait(catalog: Catalog, batch: float) -> None:
    found = apart(request(catalog, batch), Plan(dp=2.0), Plan(tp=4.0), stack=BUSY)
    spent = sum(float(use.effort.time) for use in found.uses) + crossing(found)
    assert metric(found, "e2e_latency_s") == pytest.approx(spent + float(found.waiting), rel=1e-9)


# --- memory -------------------------------------------------------------------------------------------------------


def test_a_pool_too_small_for_the_weights_does_not_fit(catalog: Catalog) -> None:
    chip = machine(capacity=12e9)  # 16 GB of weights
    for prefill, decode, pool in ((Plan(), Plan(tp=4.0), "prefill"), (Plan(tp=4.0), Plan(), "decode")):
        found = apart(request(catalog), prefill, decode, chip)
        assert not bool(found.fits)
        assert found.fullest is not None
        assert POOLS[int(found.fullest)] == pool
    assert bool(apart(request(catalog), Plan(tp=4.0), Plan(tp=4.0), chip).fits)


# --- the best pools -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "read", "write"), [(4.0, 500.0, 500.0), (64.0, 4000.0, 100.0), (256.0, 100.0, 400.0)]
)
@pytest.mark.parametrize("given", [{}, {"tp": 2}])
def test_no_split_is_better_than_the_best(
    catalog: Catalog, batch: float, read: float, write: float, given: dict[str, int]
) -> None:  # fmt: skip
    work = request(catalog, batch, read, write)
    found = best(work, 8, given=given)
    tried = [rates(best(work, 8, [split], given=given))[0] for split in splits(8, given)]
    assert rates(found)[0] == pytest.approx(max(tried), rel=1e-9)
    assert max(tried) > min(tried)


def test_longer_prompts_take_more_prefill_chips(catalog: Catalog) -> None:
    chips = []
    for read, write in ((100.0, 500.0), (8000.0, 50.0)):
        plan = best(request(catalog, 128.0, read, write), 8).deployment.prefill_plan
        assert plan is not None
        chips.append(float(plan.num_chips))
    assert chips[0] < chips[1]


def test_the_service_level_comes_before_the_rate(catalog: Catalog) -> None:
    work = request(catalog, 64.0, 2000.0, 200.0)
    free = best(work, 8)
    limit = 1.001 * min(metric(best(work, 8, [split]), "ttft_s") for split in splits(8, {}))
    assert limit < metric(free, "ttft_s")
    held = best(replace(work, slo=ServiceLevel(ttft_s=limit)), 8)
    assert metric(held, "ttft_s") <= limit
    assert metric(held, "output_tokens_per_s") < metric(free, "output_tokens_per_s")


def test_of_equals_the_one_with_fewer_prefill_chips_is_taken() -> None:
    yes, same = np.ones(4, dtype=bool), np.zeros(4)
    scores = Scores(yes, yes, same, np.array([1.0, 2.0, 2.0 * (1 + 1e-12), 1.5]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert scores.best(np.arange(4)) == 1
    assert scores.best(np.array([0, 2, 3])) == 2
    assert replace(scores, fits=~yes, kept=~yes, need=np.array([3.0, 2.0, 1.0, 4.0])).best(np.arange(4)) == 2


def test_of_very_many_splits_some_are_tried() -> None:
    tried = splits(16384, {"tp": 8})
    assert len(tried) <= pools.MOST_SPLITS
    assert all(prefill % 8 == 0 and prefill + decode == 16384 for prefill, decode in tried)


@pytest.mark.parametrize(
    ("steps", "stack", "message"),
    [
        ((Prefill(10.0),), IDEAL, "w has no step that generates tokens"),
        ((Decode(10.0),), IDEAL, "w has no step that reads a prompt"),
        ((Prefill(10.0), Decode(1.0)), replace(IDEAL, batching="static"), "ideal runs a batch from start to end"),
    ],
)
def test_there_must_be_something_to_divide(
    catalog: Catalog, steps: tuple[Prefill | Decode, ...], stack: Stack, message: str
) -> None:  # fmt: skip
    with pytest.raises(PlanError, match=message):
        apart(replace(request(catalog), steps=steps), Plan(), Plan(), stack=stack)
