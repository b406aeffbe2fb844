"""Files of assumptions: every fault with its place, what is laid over what, and prices that come before chips' own."""

from __future__ import annotations

from pathlib import Path

import pytest

import roofline as rl
from roofline import units
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError, SpecError
from roofline.machine import Price

SOURCES = "sources: {x: {title: X, date: 2026-01-05}}\n"
HEAD = "format: 1\nid: mine\nname: Mine\nextends: default\n"


def mine(folder: Path, text: str, head: str = HEAD) -> str:
    path = folder / "mine.yaml"
    path.write_text(head + text + SOURCES, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("electricity: {value: -0.1 USD/kWh, source: x}", "electricity.value: must not be negative, got -0.1 USD/kWh"),
        ("electricity: {value: 0.1, source: x}", "needs a unit, e.g. '0.08 USD/kWh' (got the bare number 0.1)"),
        ("electricity: {value: 100 USD/kW-month, source: x}", "is in USD/kW-month (rent of power); expected price of"),
        ("pue: {value: 0.9, source: x}", "pue.value: must be a number of at least 1, got 0.9"),
        ("pue: {value: 0, source: x}", "pue.value: must be a number of at least 1, got 0"),
        ("amortisation: {value: 0 years, source: x}", "amortisation.value: must be positive, got 0 s"),
        ("amortisation: {value: -1 years, source: x}", "amortisation.value: must be positive, got"),
        ("amortisation: {value: 5, source: x}", "amortisation.value: needs a unit"),
        ("residual: {value: 1, source: x}", "residual.value: must lie from 0 to below 1, got 1"),
        ("residual: {value: 120 %, source: x}", "residual.value: must lie from 0 to below 1, got 1.2"),
        ("residual: {value: -5 %, source: x}", "residual.value: must lie from 0 to below 1, got -0.05"),
        ("interest: {value: -1 %/year, source: x}", "interest.value: must not be negative, got -1 %/year"),
        ("server: {value: 0.5, source: x}", "server.value: must be a number of at least 1, got 0.5"),
        ("network: {value: .inf, source: x}", "network.value: "),
        (
            "utilization: {value: 0, source: x}",
            "utilization.value: must lie above 0 and not above 1, got 0",
        ),
        (
            "rented_utilization: {value: 101 %, source: x}",
            "rented_utilization.value: must lie above 0 and not above 1",
        ),
        ("utilisation: {value: 0.5, source: x}", "utilisation: unknown key; did you mean 'utilization'?"),
        ("user: {requests: 0, source: x}", "user.requests: must be between 1 and 10^15, got 0"),
        ("people: {value: 100000 USD/year, chips: 0, source: x}", "people.chips: must be between 1 and 10^15, got 0"),
        ("people: {value: 100000 USD/year, source: x}", "people.chips: missing"),
        ("hosting: {value: 150 USD/kW-month, source: y}", "hosting: source 'y' is not in sources"),
        (
            "tokens: {input: 0 USD/Mtok, output: 1 USD/Mtok, source: x}",
            "tokens.input: must be positive, got 0 USD/Mtok",
        ),
        ("tokens: {input: 1 USD/Mtok, source: x}", "tokens.output: missing"),
        ("prices: {h100-sxm: {}}", "prices.h100-sxm: states neither 'purchase' nor 'hourly'"),
        ("prices: {h100-sxm: {hourly: {value: 0 USD/h, source: x}}}", "hourly.value: must be positive, got 0 USD/h"),
        (
            "prices: {h100-sxm: {purchase: {value: 5 USD, covers: desk, source: x}}}",
            "must be 'chip', 'server' or 'rack'",
        ),
        ("prices: {h10-sxm: {hourly: {value: 1 USD/h, source: x}}}", "no chip 'h10-sxm'; did you mean 'h100-sxm'"),
    ],
)
def test_a_wrong_assumption_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = mine(tmp_path, text + "\n")
    with pytest.raises(SpecError) as error:
        rl.predict("llama-3.1-8b-chat", "h100-sxm", assumptions=path)
    (finding,) = error.value.findings
    assert str(finding).startswith(f"{path}:5:")
    assert message in str(finding)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = mine(tmp_path, "pue: {value: 0.5, source: x}\nresidual: {value: 2, source: x}\n")
    with pytest.raises(SpecError) as error:
        Catalog().economics(path)
    assert [finding.line for finding in error.value.findings] == [5, 6]


def test_a_file_that_extends_nothing_misses_what_it_does_not_say(tmp_path: Path) -> None:
    path = mine(tmp_path, "electricity: {value: 0.1 USD/kWh, source: x}\n", HEAD.replace("extends: default\n", ""))
    with pytest.raises(SpecError) as error:
        Catalog().economics(path)
    told = [str(finding) for finding in error.value.findings]
    for key in ("pue", "hosting", "amortisation", "residual", "utilization", "server"):
        assert any(f"{key}: missing" in text for text in told), key


def test_files_that_do_not_exist_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        Catalog().economics(str(tmp_path / "none.yaml"))
    with pytest.raises(RooflineError, match="no assumptions 'defalt'; did you mean 'default'"):
        Catalog().economics("defalt")
    with pytest.raises(RooflineError, match="assumptions=3: must be the name of a file of assumptions"):
        rl.predict("llama-3.1-8b-chat", "h100-sxm", assumptions=3)


def test_a_file_lies_over_what_ships(tmp_path: Path) -> None:
    path = mine(tmp_path, "pue: {value: 1.5, source: x}\namortisation: {value: 2 years, source: x}\n")
    found, shipped = Catalog().economics(path), Catalog().economics()
    assert (found.pue, found.amortisation) == (1.5, 2 * units.YEAR)
    assert found.hosting == shipped.hosting
    assert found.sources["pue"].title == "X"
    assert found.sources["hosting"] == shipped.sources["hosting"]


def test_the_shipped_numbers_in_si() -> None:
    found = Catalog().economics()
    assert found.electricity == pytest.approx(0.0892 / 3.6e6)
    assert found.hosting == pytest.approx(163.44 / 1000 / (365.25 * 86400 / 12))
    assert found.maintenance == pytest.approx(0.038)
    assert found.people is None


def test_a_price_of_ones_own_comes_before_the_chips(tmp_path: Path) -> None:
    text = "prices: {nvidia-h100-sxm: {hourly: {value: 1.5 USD/h, date: 2027-01-05, source: x}}}\n"
    path = mine(tmp_path, text)
    before = rl.predict("llama-3.1-8b-chat", "h100-sxm")
    after = rl.predict("llama-3.1-8b-chat", "h100-sxm", assumptions=path)
    old, new = before["economics"]["price"], after["economics"]["price"]
    assert (new["hourly_usd"], new["hourly_source"]) == (1.5, "X")
    assert (new["purchase_usd"], new["covers"]) == (old["purchase_usd"], old["covers"])
    ratio = after["metrics"]["usd_per_request"] / before["metrics"]["usd_per_request"]
    assert ratio == pytest.approx(1.5 / old["hourly_usd"])


def test_a_price_lies_over_another_part_by_part() -> None:
    base = Price(purchase=10.0, hourly=1.0, date="2025", covers="server")
    assert Price(hourly=2.0, date="2026").over(base) == Price(purchase=10.0, hourly=2.0, date="2026", covers="server")
    assert Price(purchase=5.0).over(base) == Price(purchase=5.0, hourly=1.0, date="2025", covers="chip")


def test_the_example_and_the_template_are_sound(tmp_path: Path) -> None:
    path = rl.new("economics", "our-prices", tmp_path)
    assert rl.lint(path)["rows"] == []
    assert Catalog().economics(str(path)).pue == 1.3
