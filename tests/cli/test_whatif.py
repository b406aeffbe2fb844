"""`roofline whatif`: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ASKED = ("whatif", "llama-3.1-70b-chat", "8xh100-sxm:tp=4,dp=2")
Run = Callable[..., Any]


def test_the_largest_effects_come_first_and_the_rest_is_counted(run: Run) -> None:
    ran = run(*ASKED)
    assert (ran.code, ran.err) == (0, "")
    lines = [line for line in ran.out.splitlines() if line.startswith(("memory.", "batch", "compute", "stack."))]
    assert lines[0].startswith("memory.bandwidth")
    assert "more numbers with less effect (--all)" in ran.out
    every = run(*ASKED, "--all")
    assert len(every.out.splitlines()) > len(ran.out.splitlines()) + 20
    assert "(--all)" not in every.out


def test_another_metric_ranks_otherwise(run: Run) -> None:
    order = [
        [row["key"] for row in json.loads(run(*ASKED, "--metric", metric, "-f", "json").out)["worth"]["rows"]]
        for metric in ("tpot", "ttft", "cost")
    ]
    assert order[0] != order[1]
    assert order[1].index("compute") < order[0].index("compute")
    assert set(order[2][:2]) == {"price.hourly", "rented_utilization"}
    assert len({tuple(sorted(keys)) for keys in order}) == 1


def test_numbers_set_are_shown_before_and_after(run: Run) -> None:
    ran = run(*ASKED, "--set", "memory.bandwidth=+20%", "--set", "stack.step=x0.5")
    assert "set: memory.bandwidth 3.35 TB/s -> 4.02 TB/s (+20.0 %); stack.step" in ran.out
    assert "the plan stays; --replan looks for the best one" in ran.out
    again = run(*ASKED[:2], "8xh100-sxm", "--set", "memory.capacity=x3", "--replan").out
    assert "best plan" in again


def test_a_change_to_what_does_not_fit_says_so(run: Run) -> None:
    ran = run(*ASKED, "--set", "memory.capacity=16GB")
    assert ran.code == 0
    assert "does not fit with these numbers" in ran.out


def test_a_target_says_what_it_needs(run: Run) -> None:
    ran = run(*ASKED, "--target", "tpot=15ms", "--solve", "memory.bandwidth")
    assert "TPOT 15 ms needs memory.bandwidth" in ran.out
    assert "of now" in ran.out


def test_csv_has_a_row_for_each_number_metric_or_crossing(run: Run) -> None:
    def rows(*more: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(run(*ASKED, *more, "-f", "csv").out)))

    worth = rows()
    assert float(next(row for row in worth if row["key"] == "memory.bandwidth")["tpot_s_elasticity"]) < 0
    assert {"tpot_s_low_change", "tpot_s_high_change"} <= worth[0].keys()
    assert {row["metric"] for row in rows("--set", "batch=x2")} >= {"tpot_s", "ttft_s", "usd_per_million_tokens"}
    (solved,) = rows("--target", "tpot=15ms", "--solve", "memory.bandwidth")
    assert float(solved["solved"]) > float(solved["now"])
    (crossing,) = rows("--against", "8xmi300x", "--solve", "price.hourly")
    assert float(crossing["metric_below"]) == pytest.approx(float(crossing["against_metric_below"]))
    (none,) = rows("--against", "8xl40s", "--solve", "output", "--metric", "tpot")
    assert none["better_below"] == none["better_above"] == ASKED[2]
    assert none["below"] == none["metric_below"] == ""


def test_a_break_even_names_both(run: Run) -> None:
    out = run(*ASKED, "--against", "8xmi300x", "--solve", "price.hourly").out
    assert "price.hourly of 8xh100-sxm:tp=4,dp=2 alone" in out
    assert "8xmi300x" in out
    none = run(*ASKED, "--against", "8xl40s", "--solve", "output", "--metric", "tpot").out
    assert "is better throughout" in none


def test_the_tornado_is_drawn_alike_each_time(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, second):
        assert run(*ASKED, "--chart", str(path)).code == 0
    text = first.read_text(encoding="utf-8")
    assert first.read_bytes() == second.read_bytes()
    for told in ("What moves TPOT", "memory.bandwidth  3.35 TB/s", "at 4.02 TB/s", "roofline 0.1.0; expected values"):
        assert told in text
    png = tmp_path / "c.png"
    assert run(*ASKED, "--target", "tpot=15ms", "--solve", "memory.bandwidth", "--chart", str(png)).code == 0
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_break_even_is_drawn_with_both_lines_and_where_they_meet(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, second):
        assert run(*ASKED, "--against", "8xmi300x", "--solve", "price.hourly", "--chart", str(path)).code == 0
    text = first.read_text(encoding="utf-8")
    assert first.read_bytes() == second.read_bytes()
    for told in ("over price.hourly of 8xh100-sxm:tp=4,dp=2", "8xmi300x is better from there on", "now 3.9 USD/h"):
        assert told in text
    zero = tmp_path / "c.png"  # a context of 0 has no place on a log axis
    assert run(*ASKED, "--against", "8xmi300x", "--solve", "context", "--chart", str(zero)).code == 0
    assert zero.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "memory.bandwith=+20%"), "did you mean 'memory.bandwidth'"),
        (("--set", "memory.bandwidth=4"), "needs a unit"),
        (("--set", "batch=x2", "--chart", "x.svg"), "--chart draws what numbers are worth"),
        (("--target", "tpot=20ms"), "--solve KEY is missing"),
        (("--against", "h10-sxm", "--solve", "batch"), "h100-sxm"),
    ],
)
def test_bad_questions_exit_with_two(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*ASKED, *more)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not list(tmp_path.iterdir())
