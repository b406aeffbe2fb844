"""Formulas of cost: derived a second time by hand, and the laws that every price obeys."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import cost
from roofline.engine.cost import Owned
from roofline.machine import Chip, Economics, Memory, Peak, Price

YEAR = 365.25 * 86400.0
PLAIN: dict[str, Any] = {
    "id": "plain", "name": "Plain", "electricity": 0.1 / 3.6e6, "pue": 1.25, "hosting": 150.0 / 1e3 / (YEAR / 12),
    "amortisation": 5 * YEAR, "residual": 0.0, "interest": 0.0, "maintenance": 0.04, "server": 1.5, "network": 1.1,
    "owned": 0.8, "rented": 1.0, "requests": 100.0,
}  # fmt: skip

prices = st.floats(min_value=100.0, max_value=1e7)
shares = st.floats(min_value=0.01, max_value=1.0)
rates = st.floats(min_value=0.0, max_value=0.3)
powers = st.floats(min_value=1.0, max_value=1e5)


def economics(**changed: Any) -> Economics:
    return Economics(**{**PLAIN, **changed})


def chip(purchase: float | None = 30_000.0, hourly: float | None = 3.6, **more: Any) -> Chip:
    covers = more.pop("covers", "chip")
    return Chip(
        id="c", name="C", vendor="v", kind="gpu", peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=8e10, bandwidth=3e12),),
        price=Price(purchase=purchase, hourly=hourly, covers=covers), **{"tdp": 700.0, "idle": 100.0, **more},
    )  # fmt: skip


def owned_of(**changed: Any) -> Owned:
    found = cost.own(chip(), 8.0, economics(**changed), 4000.0, 5000.0)
    assert found is not None
    return found


# -- by hand


def test_rent_is_the_price_of_an_hour() -> None:
    assert cost.usd_per_second(chip(), 8.0) == pytest.approx(8 * 3.6 / 3600)
    assert cost.rent(chip(), 8.0, economics(rented=0.5)) == pytest.approx(2 * 8 * 3.6 / 3600)
    assert cost.rent(chip(hourly=None), 8.0, economics()) is None


def test_eight_chips_by_hand() -> None:
    found = owned_of()
    invested = 8 * 30_000 * 1.5 * 1.1
    assert found.investment == pytest.approx(invested)
    assert found.capital * YEAR == pytest.approx(invested / 5)
    assert found.maintenance * YEAR == pytest.approx(invested * 0.04)
    # 8 chips at their TDP and 1 kW of hosts, 12 months of 150 USD for each kW
    assert found.hosting * YEAR == pytest.approx((8 * 0.7 + 1.0) * 150 * 12)
    # 5 kW at work, 0.8 kW of resting chips and 1 kW of hosts otherwise, at 10 cents a kWh, a quarter more for cooling
    assert found.busy * 3600 == pytest.approx(5.0 * 1.25 * 0.1)
    assert found.idle * 3600 == pytest.approx(1.8 * 1.25 * 0.1)
    assert found.people == 0.0
    hour = found.fixed * 3600 / 0.8 + (0.8 * 0.625 + 0.2 * 0.225) / 0.8
    assert found.per_work_second(0.8) * 3600 == pytest.approx(hour)


def test_people_are_paid_for_each_chip() -> None:
    assert owned_of(people=0.001).people == pytest.approx(0.008)


@pytest.mark.parametrize(("covers", "factor"), [("chip", 1.5 * 1.1), ("server", 1.1), ("rack", 1.0)])
def test_what_a_price_covers_is_not_paid_twice(covers: str, factor: float) -> None:
    assert cost.investment(chip(covers=covers), 2.0, economics()) == pytest.approx(60_000 * factor)


def test_what_is_not_known_is_not_made_up() -> None:
    assert cost.own(chip(purchase=None), 8.0, economics(), 4000.0) is None
    assert cost.own(chip(), 8.0, economics(), None) is None
    assert cost.break_even_purchase(1.0, chip(), 8.0, economics(), None) is None


def test_power_at_rest_that_nobody_states_is_that_at_work() -> None:
    found = cost.own(chip(idle=None), 8.0, economics(), 4000.0)
    assert found is not None
    assert found.idle == found.busy


@pytest.mark.parametrize(("years", "residual", "rate"), [(3, 0.0, 0.08), (5, 0.25, 0.05), (1, 0.9, 0.2)])
def test_capital_is_what_pays_a_loan_off(years: int, residual: float, rate: float) -> None:
    """A loan that grows by its interest each year and falls by what is paid ends at what the hardware is worth."""
    assumed = economics(amortisation=years * YEAR, residual=residual, interest=rate)
    paid = float(cost.capital(1000.0, assumed)) * YEAR
    debt = 1000.0
    for _ in range(years):
        debt = debt * (1 + rate) - paid
    assert debt == pytest.approx(1000.0 * residual, abs=1e-6)


@given(price=prices, rate=st.floats(min_value=1e-13, max_value=1e-7))
def test_little_interest_is_the_straight_line(price: float, rate: float) -> None:
    straight = float(cost.capital(price, economics(residual=0.2)))
    assert float(cost.capital(price, economics(residual=0.2, interest=rate))) == pytest.approx(straight, rel=1e-5)


# -- laws


@given(one=prices, other=prices, use=shares, rate=rates)
def test_a_dearer_chip_never_costs_less(one: float, other: float, use: float, rate: float) -> None:
    assumed = economics(interest=rate)
    low, high = (cost.own(chip(price), 4.0, assumed, 2000.0) for price in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low.per_work_second(use) <= high.per_work_second(use)


@given(one=shares, other=shares, price=prices, power=powers)
def test_more_use_never_makes_a_second_of_work_dearer(one: float, other: float, price: float, power: float) -> None:
    found = cost.own(chip(price), 4.0, economics(), power)
    assert found is not None
    low, high = sorted((one, other))
    assert found.per_work_second(high) <= found.per_work_second(low) * (1 + 1e-12)


@given(price=prices, power=powers, hourly=st.floats(min_value=0.01, max_value=1000.0))
def test_at_the_break_even_both_cost_the_same(price: float, power: float, hourly: float) -> None:
    machine = chip(price, hourly)
    found, rent = cost.own(machine, 4.0, economics(), power), cost.rent(machine, 4.0, economics())
    assert found is not None
    assert rent is not None
    share = float(cost.break_even_utilization(found, rent))
    if math.isnan(share):
        assert found.per_work_second(1.0) > rent
    else:
        assert 0.0 < share <= 1.0
        assert found.per_work_second(share) == pytest.approx(rent)


@given(target=st.floats(min_value=1e-6, max_value=10.0), use=shares, covers=st.sampled_from(["chip", "server", "rack"]))
def test_at_the_break_even_price_owning_costs_the_target(target: float, use: float, covers: str) -> None:
    assumed, machine = economics(owned=use, interest=0.05, residual=0.1), chip(covers=covers)
    price = cost.break_even_purchase(target, machine, 4.0, assumed, 2000.0, 2500.0)
    free = cost.upkeep(machine, 4.0, assumed, 0.0, 2000.0, 2500.0)
    assert price is not None
    assert free is not None
    if math.isnan(float(price)):
        assert free.per_work_second(use) > target
    else:
        bought = replace(machine, price=Price(purchase=float(price), covers=covers))
        found = cost.own(bought, 4.0, assumed, 2000.0, 2500.0)
        assert found is not None
        assert found.per_work_second(use) == pytest.approx(target)


@given(target=st.floats(min_value=1e-6, max_value=10.0), rented=shares)
def test_at_the_break_even_rent_renting_costs_the_target(target: float, rented: float) -> None:
    assumed = economics(rented=rented)
    hourly = float(cost.break_even_hourly(target, 4.0, assumed))
    assert cost.rent(chip(hourly=hourly), 4.0, assumed) == pytest.approx(target)


def test_a_sweep_is_its_points_bit_for_bit() -> None:
    prices, uses, rates = np.array([[1e4], [3e4]]), np.array([0.2, 0.5, 1.0]), np.array([0.0, 0.05, 0.1])
    swept = cost.own(chip(prices), 8.0, economics(interest=rates), 4000.0)  # type: ignore[arg-type]
    assert swept is not None
    values = np.asarray(swept.per_work_second(uses))
    for row, price in enumerate((1e4, 3e4)):
        for column, (use, rate) in enumerate(zip(uses, rates, strict=True)):
            point = cost.own(chip(price), 8.0, economics(interest=float(rate)), 4000.0)
            assert point is not None
            assert float(point.per_work_second(float(use))) == values[row, column]


def test_hundred_percent_free_hardware_is_worth_any_rent() -> None:
    found = cost.upkeep(chip(), 1.0, economics(electricity=0.0, hosting=0.0), 0.0, 500.0)
    assert found is not None
    assert float(cost.break_even_utilization(found, 1.0)) == 0.0


def test_a_rent_of_nothing_has_no_break_even() -> None:
    assert math.isnan(float(cost.break_even_utilization(owned_of(), 0.0)))
