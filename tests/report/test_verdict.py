"""Verdicts: what each result comes down to, and the figures that are told first."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.report.views.verdict import Figure, Verdict, verdict

Result = dict[str, Any]


def said(result: Result) -> tuple[str, str]:
    sentence = verdict(result).sentence
    assert sentence is not None
    return sentence.text, sentence.tone


def test_a_deployment_that_fits(chat: Result, training: Result) -> None:
    chat["metrics"] |= {"tpot_s_low": 0.013, "tpot_s_high": 0.024, "own_usd_per_million_tokens": 1.5}
    assert said(chat) == ("fits; prefill is bound by compute, decode is bound by memory", "good")
    assert verdict(chat).figures == (
        Figure("time to first token", "1 s"),
        Figure("time per output token", "16 ms", "13 ms to 24 ms"),
        Figure("tokens/s per chip", "245"),
        Figure("per million tokens, rented", "$4.42"),
        Figure("per million tokens, owned", "$1.50"),
    )
    assert [figure.name for figure in verdict(training).figures] == [
        "time to train",
        "tokens/s per chip",
        "MFU",
        "rented",
    ]


def test_a_deployment_that_does_not_fit_has_no_figures(chat: Result) -> None:
    found = {**chat, "fits": False, "why": "needs 141 GB"}
    assert said(found) == ("does not fit: needs 141 GB", "bad")
    assert verdict(found).figures == ()


def test_curves_have_no_figures_of_one_point(trade: Result, training: Result) -> None:
    assert verdict(trade).figures == ()
    assert verdict({**training, "scaling": {"rows": [1]}}).figures == ()


def test_a_comparison_tells_who_is_best(comparison: Result) -> None:
    first, second, _ = comparison["rows"]
    second["metrics"] |= {"output_tokens_per_s_per_chip": 300.0, "usd_per_million_tokens": 5.0}
    assert said(comparison) == ("2 of 3 fit", "plain")
    assert verdict(comparison).figures == (
        Figure("most tokens/s per chip", "300", second["deployment"]["label"]),
        Figure("cheapest to rent, a million tokens", "$4.42", first["deployment"]["label"]),
    )
    comparison["indistinguishable"]["pairs"] = [["a", "b"]]
    del comparison["rows"][2]
    assert said(comparison) == ("all 2 fit; some can't be told apart, as their intervals overlap", "good")
    for row in comparison["rows"]:
        row["fits"] = False
    assert said(comparison) == ("nothing fits", "bad")
    assert verdict({**comparison, "rows": []}) == Verdict()


def test_a_contrast_tells_what_each_suits(contrast: Result) -> None:
    names = [item["name"] for item in contrast["suits"]]
    assert said(contrast) == (f"{names[0]} suits decode; {names[1]} suits decode", "good")
    assert said({**contrast, "suits": [{"name": "a", "phase": None}]}) == ("nothing fits", "bad")


def test_a_plan_tells_the_best_or_the_nearest(chat: Result) -> None:
    plan: Result = {"schema": "roofline.plan/1", "rows": [{**chat, "batch": 32.0}], "nearest": None}
    label = chat["deployment"]["label"]
    assert said(plan) == (f"best: {label}, tp8, 32 requests at once", "good")
    assert verdict(plan).figures == verdict(chat).figures
    nearest = {"text": "8xa misses TPOT by 5 %"}
    assert said({**plan, "rows": [], "nearest": nearest}) == ("nothing is feasible; 8xa misses TPOT by 5 %", "bad")


def test_a_decision_tells_who_does_what_for_how_much() -> None:
    run: Result = {"workload": "a-run", "options": [{"who": "own", "usd": 54.78, "usd_low": 41.0, "usd_high": None}]}
    load: Result = {"model": "a-model", "options": [{"where": "edge", "usd_per_month": 1612.3, "usd_per_month_low": 830.0,
                                                     "usd_per_month_high": 3499.0}]}  # fmt: skip
    decision: Result = {"schema": "roofline.decision/1", "training": [run], "serving": [load]}
    assert said(decision) == ("best to train a-run: own; best to serve a-model: edge", "good")
    assert verdict(decision).figures == (
        Figure("train a-run", "$54.78"),
        Figure("serve a-model, a month", "$1,612", "$830.00 to $3,499"),
    )
    run["options"] = []
    assert said(decision) == ("best to serve a-model: edge; nothing can train a-run", "bad")
    assert verdict({**decision, "training": [], "serving": []}) == Verdict()


@pytest.mark.parametrize(
    ("beating", "words", "tone"), [(0, "none beats the ideal bound", "good"), (3, "3 beat", "bad")]
)
def test_a_validation_tells_how_far_off(beating: int, words: str, tone: str, validation: Result) -> None:
    validation["summary"][0]["beats_ideal"] = beating
    text, told = said(validation)
    assert text.startswith(f"half of the predictions are within 12.3 % of what was measured; {words}")
    assert told == tone
    assert [figure.value for figure in verdict(validation).figures] == ["5", "12.3 %", "50.0 %", "87.5 %"]
    assert said({**validation, "summary": []}) == ("no case was predicted", "bad")


def test_where_nothing_is_decided_nothing_is_said(listing: Result, entry: Result) -> None:
    assert verdict(listing) == verdict(entry) == Verdict()
