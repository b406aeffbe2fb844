"""The Python API reaches what the command line reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import roofline as rl


def test_results_are_mappings_with_frames_and_html() -> None:
    result = rl.compare("llama-3.1-70b-chat", ["8xh100-sxm", "8xmi300x"], batch=64)
    frame = result.to_frame()
    assert list(frame["deployment"]) == ["8xh100-sxm", "8xmi300x"]
    assert frame["tpot_s"].tolist() == [row["metrics"]["tpot_s"] for row in result["rows"]]
    assert result._repr_html_().startswith('<div class="roofline">')
    assert result.figure("time")._repr_svg_().startswith("<?xml")
    assert str(result).startswith("llama-3.1-70b-chat: llama-3.1-70b, 64 requests at once")
    assert set(result) == {"schema", "version", "workload", "rows", "indistinguishable", "assumptions", "sources"}
    assert len(result) == 7


def test_options_are_those_of_the_command_line() -> None:
    base = rl.predict("llama-3.1-70b-chat", "8xh100-sxm")
    changed = rl.predict("llama-3.1-70b-chat", "8xh100-sxm", batch=4, tp=8, stack="ideal", weights="bf16")
    assert changed["deployment"]["plan"]["tp"] == 8
    assert changed["deployment"]["weights"] == "bf16"
    assert changed["metrics"]["tpot_s"] != base["metrics"]["tpot_s"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bach": 4}, "unknown option 'bach'; did you mean 'batch'?"),
        ({"batch": 0}, "batch=0: must be at least 1"),
        ({"batch": float("nan")}, "batch=nan: must be a number of at least 1"),
        ({"batch": float("inf")}, "batch=inf: must be a number of at least 1"),
        ({"cached_share": 1.5}, "cached_share=1.5: must be a number from 0 to 1"),
        ({"cached_share": float("nan")}, "cached_share=nan: must be a number from 0 to 1"),
        ({"draft_tokens": 4, "acceptance": True}, "acceptance=True: must be a number from 0 to 1"),
        ({"draft_tokens": -1, "acceptance": 0.7}, "draft_tokens=-1: must be a number of at least 0"),
        (
            {"draft_tokens": 4, "acceptance": 0.7, "draft": 3},
            "draft=3: must be the name of a model, e.g. 'llama-3.2-1b'",
        ),
        ({"imbalance": 0.5}, "imbalance=0.5: must be at least 1"),
        ({"batch": "many"}, "batch 'many': write how many requests run at once, e.g. 32, or max"),
        ({"context_len": -1}, "context_len=-1: must be a number of at least 0"),
        ({"tp": 0}, "tp=0: must be a whole number, 1 or more"),
        ({"zero": 4}, "zero=4: must be a whole number, 0 to 3"),
    ],
)
def test_bad_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(rl.RooflineError) as error:
        rl.predict("llama-3.1-8b", "h100-sxm", **options)
    assert str(error.value) == message


def test_validations_are_grouped_by_one_column_or_several(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "id,chip,model,weight_dtype,batch,input_len,output_len,mode,metric,value\n"
        "a,h100-sxm,llama-3.1-8b,bf16,8,1000,100,fixed_batch,tpot_ms,9\n"
        "b,h200-sxm,llama-3.1-8b,bf16,8,1000,100,fixed_batch,tpot_ms,7\n"
    )
    for by in ("chip", ("chip",), ["chip", "batch"]):
        result = rl.validate(path, by=by)
        assert [group["values"].get("chip") for group in result["summary"]] == [None, "h100-sxm", "h200-sxm"]
    frame = result.to_frame()
    assert ((frame["low"] <= frame["predicted"]) & (frame["predicted"] <= frame["high"])).all()
    with pytest.raises(rl.RooflineError, match="--by chpi: no such column; did you mean 'chip'"):
        rl.validate(path, by="chpi")


def test_frames_of_predictions_hold_their_intervals() -> None:
    frame = rl.compare("llama-3.1-8b-chat", ["h100-sxm", "h200-sxm"]).to_frame()
    for name in ("ttft_s", "tpot_s", "output_tokens_per_s_per_chip"):
        assert ((frame[f"{name}_low"] < frame[name]) & (frame[name] < frame[f"{name}_high"])).all()


def test_everything_else(tmp_path: Path) -> None:
    assert rl.show("chips")["kind"] == "chips"
    assert rl.explain("llama-3.1-8b-chat", "h100-sxm", "decode/ffn/up")["operator"]["bound"] == "memory"
    path = rl.new("chip", "mine", tmp_path)
    assert rl.lint(path)["rows"] == []
    assert rl.lint().to_frame().empty
    chart = rl.predict("llama-3.1-8b-chat", str(path)).chart(tmp_path / "x.svg")
    assert chart.read_text().startswith("<?xml")
    assert "predict" in dir(rl)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rl.nothing  # noqa: B018


def test_a_comparison_shows_what_nothing_holds_as_a_row() -> None:
    result = rl.compare("llama-3.1-405b", ["h100-sxm", "rtx-4090"], phase="decode")
    held, unheld = result["rows"]
    assert (held["fits"], unheld["fits"]) == (True, False)
    assert (unheld["deployment"]["num_chips"], unheld["deployment"]["label"]) == (8, "8xrtx-4090")
    assert unheld["why"].startswith("needs ")


def test_scenarios_and_ranges_are_keywords() -> None:
    found = rl.predict("llama-3.1-8b", "h100-sxm", scenario="retrieval")
    assert [step["name"] for step in found["steps"] if step["hidden"]] == ["query"]
    rows = rl.predict("llama-3.1-8b", "h100-sxm", scenario="retrieval", vary="passages=1000,2000")["rows"]
    assert [row["passages"] for row in rows] == [1000.0, 2000.0]
    assert len(rl.predict("llama-3.1-8b", "h100-sxm", vary=["batch=1,2", "input=10,20"]).to_frame()) == 4
    with pytest.raises(rl.RooflineError, match="must be the name of a scenario"):
        rl.predict("llama-3.1-8b", "h100-sxm", scenario=3)
