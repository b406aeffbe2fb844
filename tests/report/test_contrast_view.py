"""The view of a contrast: a sentence for each deployment, the winners, figures of phases beside each other."""

from __future__ import annotations

import re
from typing import Any

import pytest

from roofline.report import formats
from roofline.report.rows import flat_rows
from roofline.report.views import contrast as view
from roofline.studies.contrast.winners import MEASURES
from roofline.studies.elasticity import RESOURCES

Result = dict[str, Any]


def lines(result: Result) -> list[str]:
    return formats.render(result, "table").splitlines()


def test_a_sentence_tells_what_is_reached_what_buys_most_and_what_suits(contrast: Result) -> None:
    (first,) = (line for line in lines(contrast) if line.startswith(f"{contrast['rows'][0]['name']}: "))
    assert "training on 8 chips reaches 62.5 % of its FLOP/s and 29.8 % of its bandwidth, so doubling FLOP/s buys +37.6 % and doubling bandwidth buys +35.8 %;" in first  # fmt: skip
    assert "decode of 32 requests reaches 1.5 % of its FLOP/s and 29.8 % of its bandwidth, so doubling bandwidth buys +35.8 % and halving overheads buys +25.5 %;" in first  # fmt: skip
    assert first.endswith("it is nearest to the others in decode: a chip makes 0.88 times the median of those compared")


@pytest.mark.parametrize(
    ("suited", "words"),
    [
        ({"phase": "decode", "per": "chip", "value": 1.9}, "; it suits decode, where a chip makes 1.9 times the median of those compared"),
        ({"phase": "decode", "per": "chip", "value": 1.0}, "; it is nearest to the others in decode: a chip makes as much as the median of those compared"),
        ({"phase": "decode", "per": "user", "value": 4.7}, "; it suits decode, where each user gets 4.7 times the median of those compared"),
        ({"phase": "prefill", "per": "roof", "value": 0.6}, "; it suits prefill, where it comes nearest to a roof"),
        ({"phase": None, "per": None, "value": None}, "; training does not fit"),
    ],
)  # fmt: skip
def test_words_follow_the_figure_that_decides(contrast: Result, suited: Result, words: str) -> None:
    rows = [contrast["rows"][2], contrast["rows"][3]]
    assert view.sentence({"name": "x", **suited}, rows, contrast["workloads"]).endswith(words)


def test_roofs_that_nobody_knows_are_not_told(contrast: Result) -> None:
    row = contrast["rows"][2]
    suited = contrast["suits"][1]
    row["intensity"]["mfu"] = None
    assert "reaches 29.8 % of its bandwidth, so" in view.sentence(suited, [row], [])
    row["intensity"]["mbu"] = None
    assert "decode reaches no known roof, so" in view.sentence(suited, [row], [])


def test_winners_lead_within_limits(contrast: Result) -> None:
    line = next(line for line in lines(contrast) if line.startswith("decode  a chip"))
    assert "371 tokens/s  +25.8 %  -50.0 % to +210.0 %" in line
    contrast["rankings"][0] |= {"lead_low": None, "lead_high": None, "alike": []}
    line = next(line for line in lines(contrast) if line.startswith("decode  a chip"))
    assert line.split("+25.8 %")[1].split() == ["-", "-"]


def test_phases_stand_beside_each_other(contrast: Result) -> None:
    table = lines(contrast)
    first = contrast["rows"][0]["name"]
    head = next(index for index, line in enumerate(table) if line.startswith(first) and line.endswith("decode"))
    assert table[head].split()[-3:] == ["training", "prefill", "decode"]
    shown = {
        label: figures for label, *figures in (re.split(r" {2,}", line.strip()) for line in reversed(table[head:]))
    }
    assert shown["tokens/s per chip"] == ["1,203", "295", "295"]
    assert shown["FLOP per byte"] == ["1,236", "30", "30"]
    assert shown["elasticity of latency"] == ["0.00"] * 3
    assert shown["last step over the first"] == ["1.03"] * 3
    assert "tiles of a product for each compute unit" not in shown  # nobody knows how many units there are
    assert "software" not in shown  # nothing of it
    assert ["requests that fill it", "-", "-", "2,280 to 5,260"] in [re.split(r" {2,}", line.strip()) for line in table]


def test_a_brief_report_leaves_figures_out(contrast: Result) -> None:
    whole, brief = (formats.render(contrast, "table", brief=brief) for brief in (False, True))
    assert "FLOP per byte" in whole
    assert "FLOP per byte" not in brief
    assert "it suits decode" in brief
    assert "not distinguishable from" in brief


def test_what_does_not_fit_is_told_once_with_its_reason(contrast: Result) -> None:
    table = lines(contrast)
    first, second = contrast["rows"][0]["name"], contrast["suits"][1]["name"]
    assert f"training does not fit {first}: needs 160 GB per chip; shown on 8 chips" in table
    assert sum("needs 2.91 GB" in line for line in table) == 1
    assert second.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd") in "\n".join(table)
    assert sum("power is the TDP" in line for line in table) == 1
    assert sum(line.startswith("datasheet: nothing was measured") for line in table) == 1


def test_every_resource_and_measure_has_words() -> None:
    assert set(view.BETTER) == set(RESOURCES)
    assert set(view.MEASURES) == set(MEASURES)


def test_csv_has_one_row_for_each_phase_of_each_deployment(contrast: Result) -> None:
    rows = flat_rows(contrast)
    assert [(row["name"], row["phase"], row["fits"]) for row in rows] == [
        (row["name"], row["phase"], row["fits"]) for row in contrast["rows"]
    ]
    assert rows[2]["bandwidth_gain"] == 0.358
    assert rows[2]["capacity_filled_requests_doubled"] == 5260.0
    assert rows[0]["tp"] == 8.0
    assert rows[3]["capacity_bytes"] == 77.3e9
    assert "tokens_per_s" not in rows[3]


def test_nothing_to_compare_leaves_no_winners(contrast: Result) -> None:
    contrast["rankings"] = []
    assert not any("not distinguishable" in line for line in lines(contrast))
