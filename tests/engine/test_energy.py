"""Power: what each term is, by a second derivation, and what no constant may do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import energy, ops, roof
from roofline.engine.ops import COLLECTIVE, OVERHEAD, Message, Op
from roofline.engine.prediction import Phase
from roofline.machine import Chip, EnergyCosts, EnergyShares, Host, Link, Memory, Peak, Stack

PEAK, BANDWIDTH, TDP = 1e15, 4e12, 1e6  # a TDP that nothing reaches
COSTS = EnergyCosts(
    idle=60.0, base=100.0, busy=50.0, per_byte=1e-10, compute=2000.0, per_link_byte=1e-11, formats={"fp8-block": 3.0}
)
CHIP = Chip(
    id="any", name="Any", vendor="any", kind="gpu",
    peaks={"bf16": Peak(dense=PEAK), "fp8": Peak(dense=2.0 * PEAK)}, vector=PEAK / 16,
    memory=(Memory(name="HBM", capacity=8e10, bandwidth=BANDWIDTH),),
    links=(Link(name="near", scope="scale-up", bandwidth=1e11, chips=8),), tdp=TDP, energy=COSTS,
)  # fmt: skip
STACK = Stack(id="any", name="Any")
positive = st.floats(0.1, 1e4)


def product(m: float, dtype: str = "bf16", width: float = 2.0) -> Op:
    return ops.matmul("x", m, 4096.0, 4096.0, w=width, a=width, r=2.0, dtype=dtype)


def phase(*found: Op, chip: Chip = CHIP, waits: float = 0.0, busy: float = 1.0) -> Phase:
    """Operators one after another, and a host that takes its time."""
    waiting = Op("host", OVERHEAD, terms={"seconds": waits})
    priced = roof.price_all((*found, waiting), chip, STACK)
    return Phase("decode", priced, busy=busy, step_time=float(roof.expected_time(priced)))


def drawn(work: Phase, chip: Chip = CHIP) -> float:
    power = energy.chip_power(chip, work)
    assert power is not None
    return float(power)


def test_a_product_draws_by_its_bytes_and_flops() -> None:
    m = 4096.0
    seconds = 2.0 * m * 4096.0 * 4096.0 / PEAK
    moved = (m * 4096.0 + 4096.0 * 4096.0 + m * 4096.0) * 2.0
    assert drawn(phase(product(m))) == pytest.approx(100.0 + 50.0 + 1e-10 * moved / seconds + 2000.0)


def test_no_chip_is_busier_than_all_of_the_time() -> None:
    """Batches that follow each other through a pipeline occupy a stage at most without a pause."""
    chip = replace(CHIP, energy=EnergyCosts(idle=60.0, base=100.0, busy=50.0))
    assert [drawn(phase(product(4096.0), busy=busy), chip) for busy in (0.5, 1.0, 3.0)] == [125.0, 150.0, 150.0]


def test_a_chip_that_waits_for_its_host_draws_its_base() -> None:
    assert drawn(phase(waits=1.0)) == 100.0
    work = phase(product(4096.0))
    half = phase(product(4096.0), waits=float(work.step_time))
    assert drawn(half) - 100.0 == pytest.approx((drawn(work) - 100.0) / 2.0)


def test_nothing_to_do_draws_idle_power() -> None:
    assert drawn(Phase("pause", step_time=3.0)) == 60.0


def test_formats_cost_what_their_rate_says_and_blocks_more() -> None:
    wide, narrow, block = (
        energy.terms(CHIP, COSTS, phase(product(1e5, dtype, width)))
        for dtype, width in (("bf16", 2.0), ("fp8", 1.0), ("fp8-block", 1.0))
    )
    assert wide.compute == pytest.approx(2000.0)  # at the full rate of either format
    assert narrow.compute == pytest.approx(2000.0)
    assert block.compute == pytest.approx(6000.0)


@given(rows=st.floats(1.0, 64.0))
def test_tiles_of_experts_are_worked_on_whole(rows: float) -> None:
    few, many = (
        ops.expert_matmul("e", 16.0 * each, 16.0, 64.0, 64.0, w=2.0, a=2.0, r=2.0, dtype="bf16")
        for each in (rows, 64.0 + rows)
    )
    assert float(energy.tiled(few, 64.0)) == pytest.approx(64.0 / rows)
    assert float(energy.tiled(many, 64.0)) == 1.0
    assert energy.tiled(product(rows), 64.0) == 1.0  # turned round


def test_experts_of_few_tokens_cost_more_than_their_flops() -> None:
    """Sixteen experts of one row each execute as many FLOPs as of 64 rows."""
    costs = replace(COSTS, rows=64.0)
    few = ops.expert_matmul("e", 16.0, 16.0, 4096.0, 4096.0, w=2.0, a=2.0, r=2.0, dtype="bf16")
    item = roof.price_all([few], CHIP, STACK)[0]
    assert float(energy.executing(item, CHIP, costs)) == pytest.approx(64.0 * float(few.flops) / PEAK)


def test_messages_draw_by_their_bytes() -> None:
    message = Op("m", COLLECTIVE, message=Message("all-reduce", 1e9, 8.0))
    found = energy.terms(CHIP, COSTS, phase(message))
    assert found.network == pytest.approx(1e-11 * 1e9 / float(phase(message).step_time))
    assert found.busy == pytest.approx(50.0)
    assert found.compute == 0.0


def test_a_stage_of_a_pipeline_holds_a_share_of_the_operators() -> None:
    whole = energy.terms(CHIP, COSTS, phase(product(4096.0)))
    quarter = energy.terms(CHIP, COSTS, phase(product(4096.0), busy=0.25))
    assert quarter.compute == pytest.approx(whole.compute / 4.0)
    assert quarter.memory == pytest.approx(whole.memory / 4.0)
    flowing = phase(product(4096.0), busy=1.0)  # four chunks in four stages at once: a step is a quarter as long
    flowing = replace(flowing, step_time=flowing.step_time / 4.0, flowing=4.0)
    assert energy.terms(CHIP, COSTS, flowing).compute == pytest.approx(whole.compute)


def test_no_chip_draws_more_than_its_tdp() -> None:
    small = replace(CHIP, tdp=700.0)
    assert drawn(phase(product(4096.0)), small) == 700.0
    assert drawn(phase(waits=1.0), small) == 100.0


def test_without_constants_power_is_the_tdp_and_said_so() -> None:
    bare = replace(CHIP, energy=None, tdp=500.0)
    assert drawn(phase(product(1.0)), bare) == 500.0
    assert "upper bound" in energy.notes(bare)[0]
    assert energy.chip_power(replace(bare, tdp=None), phase(product(1.0))) is None
    assert energy.notes(replace(bare, tdp=None)) == []


@given(rows=positive, waits=st.floats(0.0, 1.0), more=st.floats(1.0, 10.0))
def test_power_lies_between_base_and_tdp_and_falls_with_waiting(rows: float, waits: float, more: float) -> None:
    chip = replace(CHIP, tdp=1500.0)
    busy, slow = (drawn(phase(product(rows), waits=time), chip) for time in (waits, waits * more))
    assert 100.0 <= slow <= busy <= 1500.0


@given(first=positive, second=positive)
def test_mean_power_lies_between_those_of_its_phases(first: float, second: float) -> None:
    hot, cold = phase(product(4096.0)), phase(waits=1.0)
    mean = energy.mean_power(CHIP, [(hot, first), (cold, second)])
    assert mean is not None
    joules = drawn(hot) * first + drawn(cold) * second
    assert float(mean) == pytest.approx(joules / (first + second))


def test_points_of_a_sweep_are_single_points() -> None:
    rows = np.array([1.0, 30.0, 500.0])
    priced = roof.price_all([ops.matmul("x", rows, 4096.0, 4096.0, w=2.0, a=2.0, r=2.0, dtype="bf16")], CHIP, STACK)
    together = energy.chip_power(CHIP, Phase("decode", priced, step_time=roof.expected_time(priced)))
    assert together is not None
    assert [float(each) for each in np.asarray(together)] == [drawn(phase(product(row))) for row in rows]


def test_hosts_draw_a_share_and_a_constant() -> None:
    chip = replace(CHIP, host=Host(power=147.0, share=0.3, liquid=0.1))
    assert energy.system_power(chip, 5600.0, 8.0) == pytest.approx(5600.0 * 1.3 + 8 * 147.0)
    assert chip.host is not None
    cooled = replace(chip, host=chip.host.cooled_by_liquid)
    assert energy.system_power(cooled, 5600.0, 8.0) == pytest.approx(5600.0 * 1.1 + 8 * 147.0)
    assert Host(power=1.0, share=0.3).cooled_by_liquid.share == 0.3
    assert energy.system_power(CHIP, 5600.0, 8.0) is None
    assert energy.system_power(chip, None, 8.0) is None


def test_shares_are_watts_on_a_chip() -> None:
    shares = EnergyShares(idle=0.1, base=0.2, busy=0.05, memory=0.5, compute=2.0, rows=64.0, measured_on=("any",))
    costs = shares.of(700.0, 3.5e12, 1e15)
    assert (costs.idle, costs.base, costs.busy, costs.compute) == (70.0, 140.0, 35.0, 1400.0)
    assert costs.per_byte == pytest.approx(100e-12)
    assert costs.rows == 64.0
    joules = replace(shares, per_byte=2e-10, per_flop=1.5e-12).of(700.0, 3.5e12, 1e15)
    assert (joules.per_byte, joules.base) == (2e-10, 140.0)
    assert joules.compute == pytest.approx(1500.0)


def test_metrics_of_nothing_made_have_no_energy() -> None:
    found = energy.metrics(CHIP, 800.0, 8.0, tokens_per_s=0.0, more={"request": 2.0})
    assert found["energy_j_per_token"] is None
    assert found["energy_j_per_request"] == 400.0
    assert found["power_w_per_chip"] == 100.0
    assert found["system_power_w"] is None
