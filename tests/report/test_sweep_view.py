"""The view of a sweep."""

from __future__ import annotations

from typing import Any

import roofline as rl
from roofline.report.views.sweep import summary


def test_numbers_are_shown_with_their_units() -> None:
    told = str(
        rl.sweep(
            "llama-3.1-8b-chat",
            "h100-sxm",
            vary=[
                "memory.bandwidth=2..4TB/s:2",
                "links.scale-up.latency=1,2 us",
                "price.hourly=2,3 USD/h",
                "weights=bf16,fp8",
            ],
            columns="main,total_bytes,decode_bound,decode_mbu",
        )
    )
    for word in ("2 TB/s", "1 us", "$2.00", "fp8", " GB", "fits yes", "decode_bound memory"):
        assert word in told, word


def test_what_fits_and_is_possible_is_told() -> None:
    result = rl.sweep("llama-3.1-70b-chat", "8xh100-sxm", vary="tp=1,3,8", weights="fp32")
    told = str(result)
    assert "3 points, 2 of them with a plan that is possible" in told
    assert "heads" in told
    assert "memory" in told


def test_a_summary_says_what_was_done_before() -> None:
    counts = {"points": 10, "valid": 10, "fitting": 8, "kept": 4}
    result: dict[str, Any] = {"counts": counts, "written": "x.csv", "resumed": 2, "estimate": None}
    assert summary(result) == "10 points, 8 fit, 4 kept; wrote x.csv (2 chunks were done already)"
