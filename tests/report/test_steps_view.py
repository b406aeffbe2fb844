"""The steps of a request as people read them: tables, sums of many, and the pause in words."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.report import formats
from roofline.report.views import steps

Result = dict[str, Any]


def step(kind: str, name: str = "", *, hidden: bool = False, **more: Any) -> Result:
    works = kind in ("prefill", "decode")
    return {
        "step": kind, "name": name, "hidden": hidden, "tokens": None if kind == "pause" else 100.0, "context_len": 1000.0,
        "time_s": 2.0, "ideal_time_s": 1.0, "share": 0.25, "bound": "memory" if works else None, "chip_seconds": 1.0,
        "energy_j": 700.0 if works else 0.0, "cost_usd": 0.002 if works else 0.0, **more,
    }  # fmt: skip


PAUSES: Result = {
    "count": 1, "seconds": 5.0, "held_bytes": 2e9, "keep_chip_seconds": 40.0, "recompute_chip_seconds": 8.0,
    "recompute_time_s": 1.0, "break_even_s": 1.0, "memory_full": True, "cheaper": "recompute",
}  # fmt: skip


def told(chat: Result, found: list[Result], pauses: Result | None = None, **view: Any) -> str:
    request = {"waiting_s": 0.05, "chip_seconds": 10.0, "idle_chip_seconds": 1.0, "energy_j": 2000.0, "cost_usd": 0.01,
               "pauses": pauses}  # fmt: skip
    return formats.render({**chat, "steps": found, "request": request}, "table", **view)


THREE = [step("prefill", "question"), step("decode", "thinking", hidden=True), step("decode", "answer")]


def test_each_step_is_a_row(chat: Result) -> None:
    lines = told(chat, THREE).splitlines()
    row = next(line for line in lines if line.startswith("decode thinking (hidden)"))
    assert row.split()[3:] == ["1,000", "100", "2", "s", "25.0", "%", "memory", "700", "J", "$0.002"]
    assert any(line.split() == ["wait", "for", "its", "turn", "50", "ms"] for line in lines)
    assert "one request takes 10 s of a chip, 10.0 % of them idle, 2 kJ, $0.01" in lines


def test_a_prompt_and_its_answer_need_no_table(chat: Result) -> None:
    assert "wait for its turn" not in told(chat, [step("prefill"), step("decode")])
    assert "wait for its turn" in told(chat, [step("decode", hidden=True), step("decode")])
    assert "wait for its turn" not in formats.render(chat, "table")  # of who tells no steps


def test_many_steps_are_sums(chat: Result) -> None:
    turns = [item for _ in range(20) for item in (*THREE, step("pause", "tool"))]
    short = told(chat, turns)
    row = next(line for line in short.splitlines() if line.startswith("20 x decode thinking (hidden)"))
    assert row.split()[5:] == ["1,000", "2,000", "40", "s", "500.0", "%", "memory", "14", "kJ", "$0.04"]
    assert "80 steps, those of one kind and name together; --all shows each" in short
    assert told(chat, turns, all_rows=True).count("decode thinking (hidden)") == 20


def test_what_binds_longest_binds_the_sum(chat: Result) -> None:
    turns = [*(step("decode", bound="network", time_s=1.0) for _ in range(20)), *(step("decode") for _ in range(15))]
    row = next(line for line in told(chat, turns).splitlines() if line.startswith("35 x decode"))
    assert "memory" in row


def test_what_is_unknown_stays_unknown(chat: Result) -> None:
    turns = [step("decode", cost_usd=None, energy_j=None) for _ in range(30)]
    row = next(line for line in told(chat, turns).splitlines() if line.startswith("30 x decode"))
    assert row.split()[-2:] == ["-", "-"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "holds 2 GB of each chip: drop it and read the context again. Keeping it through the pause of 5 s takes memory "
             "worth 40 chip-seconds, reading again 8 and 1 s of the user's time; both are equal at 1 s"),
        ({"memory_full": False, "cheaper": "keep", "count": 3}, "keep it. Keeping it through 3 pauses of 5 s takes"),
        ({"memory_full": False, "cheaper": "keep"}, "there is room for more requests, so keeping displaces none"),
        ({"cheaper": None}, "none of which is needed again: drop it"),
    ],
)  # fmt: skip
def test_the_pause_in_words(chat: Result, more: Result, expected: str) -> None:
    text = " ".join(told(chat, [*THREE, step("pause")], PAUSES | more).split())
    assert expected in text


def test_of_many_phases_the_longest_of_each_kind_is_told(chat: Result) -> None:
    prefill, decode, pause = chat["phases"]
    longer = {**decode, "time_s": 9.0}
    many = {**chat, "phases": [prefill, decode, pause] * 3 + [longer]}
    short, whole = (formats.render(many, "table", all_rows=shown) for shown in (False, True))
    assert "the longest of 10 phases of each kind (--all)" in short
    assert short.count("decode operator") == 1
    assert whole.count("decode operator") == 4


def test_steps_say_more_than_phases_where_there_are_many_or_some_are_hidden() -> None:
    assert not steps.told({})
    assert not steps.told({"steps": THREE[:1]})
    assert steps.told({"steps": THREE})


def test_a_brief_report_has_metrics_and_steps_alone(chat: Result) -> None:
    whole, brief = (told(chat, THREE, brief=short) for short in (False, True))
    assert "decode thinking (hidden)" in brief
    assert "time to first token" in brief
    for part in ("memory per chip", "decode operator", "ridge point"):
        assert part in whole
        assert part not in brief
