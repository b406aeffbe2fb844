"""Plans: the best is what a loop finds, rows keep every limit by themselves, and tighter limits allow no more."""

from __future__ import annotations

import shlex
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.engine.capacity import BATCHES
from roofline.errors import CheckFailedError
from roofline.studies.plan.study import demand

SMALL, CHIP = "llama-3.1-8b-chat", "h100-sxm"
CATALOG = Snapshot.of(Catalog())
MANY: dict[str, Any] = {"top": 10_000, "per_chip": 10_000, "catalog": CATALOG}
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def alone(row: dict[str, Any], workload: str) -> rl.Result:
    """A row predicted by itself, as `analyze` does."""
    batch = {} if row["batch"] is None else {"batch": row["batch"]}
    return rl.predict(workload, row["written"], catalog=CATALOG, **batch)


def test_the_cheapest_is_the_cheapest_of_a_loop_over_everything() -> None:
    limits = {"ttft_s": 0.3, "tpot_s": 0.012}
    best: tuple[float, str, float] | None = None
    for (count, tp), batch in product(((1, 1), (2, 1), (2, 2)), BATCHES):
        for deployment in (f"{count}x{CHIP}:tp={tp},pp=1", *([f"2x{CHIP}:tp=1,pp=2"] if (count, tp) == (2, 2) else [])):
            found = rl.predict(SMALL, deployment, batch=float(batch), catalog=CATALOG)
            metrics = found["metrics"]
            if found["memory"]["max_batch"] < batch or any(metrics[name] > limit for name, limit in limits.items()):
                continue
            if best is None or metrics["usd_per_million_tokens"] < best[0] * (1 - 1e-9):
                best = (metrics["usd_per_million_tokens"], deployment, float(batch))
    assert best is not None
    row = rl.plan(SMALL, f"1-2x{CHIP}", ttft="300 ms", tpot="12 ms", catalog=CATALOG)["rows"][0]
    assert row["metrics"]["usd_per_million_tokens"] == pytest.approx(best[0], rel=1e-9)
    assert (row["written"], row["batch"]) == best[1:]


@pytest.mark.parametrize(
    ("workload", "chips", "limits"),
    [
        ("llama-3.1-70b-chat", ["h100-sxm", "mi300x"], {"tpot": "30 ms", "power": "20 kW"}),
        ("llama-3.1-70b-chat", ["8xh100-sxm:stack=trtllm", "gaudi3"], {"budget": "40 USD/h", "chips_at_most": 8}),
        ("llama-3.1-70b-chat", ["h100-sxm"], {"throughput": "20000 tok/s", "tpot": "40 ms"}),
        ("deepseek-v3-chat", ["h200-sxm"], {"tpot": "60 ms", "ttft": "none"}),
        ("llama-3.1-70b-pretraining", ["h100-sxm", "tpu-v5p"], {"within": "200 d", "chips_at_most": 2048}),
        ("llama-3.1-8b-pretraining", ["b200-sxm"], {"budget": "3 MUSD", "power": "200 kW"}),
    ],
)
def test_every_row_keeps_every_limit_when_it_is_predicted_alone(
    workload: str, chips: list[str], limits: dict[str, Any]
) -> None:
    result = rl.plan(workload, chips, catalog=CATALOG, **limits)
    assert result["rows"]
    for row in result["rows"]:
        found = alone(row, workload)
        assert found["fits"]
        assert found["metrics"] == row["metrics"]
        for item in row["limits"]:
            assert item["margin"] >= 0.0
        for name in ("ttft_s", "tpot_s", "time_to_train_s"):
            if name in row["figures"]:
                assert row["figures"][name] == pytest.approx(found["metrics"][name], rel=1e-12)
        power = found["metrics"].get("system_power_w") or found["metrics"]["power_w"]
        if row["figures"]["power_w"] is not None:
            assert row["figures"]["power_w"] == pytest.approx(power, rel=1e-12)
        assert row["figures"]["num_chips"] == found["deployment"]["num_chips"]
        if row["batch"] is not None:
            assert row["batch"] <= found["memory"]["max_batch"]


def test_money_is_rent_and_owning_only_where_no_rent_is_known() -> None:
    rows = rl.plan(SMALL, ["h100-sxm", "gaudi3"], catalog=CATALOG)["rows"]
    for row in rows:
        prefix = {"rent": "", "own": "own_"}[row["payment"]]
        metrics, figures = row["metrics"], row["figures"]
        hourly = metrics[f"{prefix}usd_per_million_tokens"] * metrics["output_tokens_per_s"] * 3600.0 / 1e6
        assert figures["usd_per_hour"] == pytest.approx(hourly, rel=1e-9)
    assert {row["deployment"]["chip"]: row["payment"] for row in rows} == {"h100-sxm": "rent", "gaudi3": "own"}


def told(limit: str, amount: str) -> dict[str, Any]:
    """Keywords that ask for all rows under a limit."""
    return {limit: amount, "rank": "latency", **MANY}


@FEW
@given(
    loose=st.floats(0.012, 0.1), share=st.floats(0.3, 1.0), limit=st.sampled_from(["tpot", "ttft", "power", "budget"])
)  # fmt: skip
def test_a_tighter_limit_adds_nothing(loose: float, share: float, limit: str) -> None:
    scale = {"tpot": ("s", 1.0), "ttft": ("s", 5.0), "power": ("W", 1e5), "budget": ("USD/h", 1000.0)}[limit]
    first, second = (
        rl.plan(SMALL, ["1-4xh100-sxm"], **told(limit, f"{value * scale[1]!r} {scale[0]}"))
        for value in (loose, loose * share)
    )
    assert first["considered"] == second["considered"]
    assert second["feasible"] <= first["feasible"]
    assert len(second["rows"]) <= len(first["rows"])
    for chip in (first["chips"][0], second["chips"][0]):
        assert chip["feasible"] + chip["memory"] <= chip["considered"]
        assert all(0 <= item["alone"] <= item["refused"] for item in chip["refused"].values())


@pytest.mark.parametrize("rank", ["cost", "energy", "chips", "latency"])
def test_rows_come_in_the_order_of_what_they_are_ranked_by(rank: str) -> None:
    result = rl.plan(SMALL, ["h100-sxm", "mi300x", "l40s"], rank=rank, tpot="40 ms", catalog=CATALOG)
    figures = [row["figures"][result["ranked_by"]] for row in result["rows"]]
    assert len(figures) > 3
    assert figures == sorted(figures, key=lambda value: round(value, 12))


def test_a_rate_that_no_replica_reaches_is_reached_by_several() -> None:
    result = rl.plan("llama-3.1-70b-chat", "h100-sxm", throughput="20000 tok/s", tpot="30 ms", catalog=CATALOG)
    best = result["rows"][0]
    assert best["metrics"]["output_tokens_per_s"] >= 20000.0
    assert best["deployment"]["plan"]["dp"] > 1.0
    one = rl.predict(
        "llama-3.1-70b-chat", "4xh100-sxm:tp=4,pp=1", batch=best["batch"] / best["deployment"]["plan"]["dp"]
    )
    several = best["deployment"]["plan"]["dp"] * one["metrics"]["output_tokens_per_s"]
    assert best["metrics"]["output_tokens_per_s"] == pytest.approx(several, rel=1e-9)


def test_nothing_beats_a_point_of_the_frontier() -> None:
    for traded in rl.plan("llama-3.1-70b-chat", ["h100-sxm", "mi300x"], catalog=CATALOG)["frontier"]:
        points = [(point["tokens_per_s_per_user"], point["tokens_per_s_per_chip"]) for point in traded["points"]]
        assert len(points) > 5
        assert points == sorted(points, key=lambda point: (-point[0], point[1]))
        assert len({chip for _, chip in points}) == len(points)


def test_reasons_are_made_of_the_figures_that_they_name() -> None:
    result = rl.plan("llama-3.1-70b-chat", ["h100-sxm", "mi300x"], tpot="30 ms", catalog=CATALOG)
    rows, (chip, plan) = result["rows"], result["why"]
    assert (chip["against"], plan["against"]) == ("chip", "plan")
    assert chip["ratio"] == pytest.approx(chip["hour_of_chip"] / chip["rate_of_chip"], rel=1e-9)
    assert plan["deployment"] == rows[1]["written"]
    assert plan["hour_of_chip"] == pytest.approx(1.0)
    for row in rows:
        assert sum(item["share"] for item in row["spent"]) == pytest.approx(1.0)


def test_all_formats_are_tried_and_the_label_says_which_it_is() -> None:
    result = rl.plan(SMALL, "h100-sxm", weights=["bf16", "fp8"], per_chip=20, top=20, catalog=CATALOG)
    formats = {row["deployment"]["weights"] for row in result["rows"]}
    assert formats == {"bf16", "fp8"}
    for row in result["rows"]:
        assert alone(row, SMALL)["deployment"]["weights"] == row["deployment"]["weights"]
    one = rl.plan(SMALL, "h100-sxm", weights="bf16", catalog=CATALOG)
    assert one["considered"] < result["considered"]


def test_pools_are_tried_with_all_pairs_of_plans_and_named_so_that_analyze_finds_them() -> None:
    work = "llama-3.1-70b-retrieval"
    asked: dict[str, Any] = {"tpot": "60 ms", "per_chip": 400, "top": 400, "catalog": CATALOG}
    joined, both = (rl.plan(work, "8xh100-sxm", disaggregate=apart, **asked) for apart in (False, True))
    assert both["considered"] > 3 * joined["considered"]
    assert both["feasible"] >= joined["feasible"]
    split = [row for row in both["rows"] if row["deployment"].get("pools")]
    assert any(
        row["deployment"]["prefill_plan"]["tp"] != row["deployment"]["plan"]["tp"] for row in split
    )  # fmt: skip
    for row in split[:: max(1, len(split) // 6)]:
        found = alone(row, work)
        assert found["fits"]
        assert found["deployment"]["prefill_plan"] == row["deployment"]["prefill_plan"]
        assert found["deployment"]["plan"] == row["deployment"]["plan"]
        assert found["metrics"]["tpot_s"] == pytest.approx(row["figures"]["tpot_s"], rel=1e-12)
        assert found["metrics"]["ttft_s"] == pytest.approx(row["figures"]["ttft_s"], rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"chips": "8xh100-sxm", "disaggregate": True, "workload": "llama-3.1-8b-pretraining"}, "belongs to serving"),
        ({"chips": "8xh100-sxm", "pools": "4:4", "workload": SMALL}, "leave pools out"),
    ],
)
def test_pools_that_mean_nothing_are_refused(call: dict[str, Any], message: str) -> None:
    with pytest.raises(rl.RooflineError, match=message):
        rl.plan(**call)


def test_degrees_of_a_prefill_pool_need_pools() -> None:
    with pytest.raises(rl.RooflineError, match="prefill_tp is of a prefill pool; add pools"):
        rl.predict(SMALL, "8xh100-sxm:prefill_tp=2")
    found = rl.predict("llama-3.1-70b-chat", "8xh100-sxm:pools=4:4,tp=2,prefill_tp=4")["deployment"]
    assert (found["prefill_plan"]["tp"], found["plan"]["tp"]) == (4.0, 2.0)


def test_nothing_feasible_tells_the_nearest_miss() -> None:
    result = rl.plan("llama-3.1-70b-chat", "h100-sxm", tpot="1 ms", ttft="1 s", catalog=CATALOG)
    assert result["rows"] == []
    (missed,) = result["nearest"]["missed"]
    assert missed["limit"] == "tpot"
    assert missed["margin"] == pytest.approx(1.0 - missed["value"] / 0.001)
    with pytest.raises(CheckFailedError, match=r"nothing is feasible; the nearest is 8xh100-sxm .* tpot"):
        demand(result)


def test_a_limit_on_what_nobody_knows_refuses_and_says_so() -> None:
    result = rl.plan(SMALL, "m2-ultra", power="1 kW", catalog=CATALOG)
    assert result["rows"] == []
    assert result["nearest"]["text"] == "m2-ultra: its power is not known"
    assert result["chips"][0]["refused"]["power"]["refused"] > 0


def test_a_chip_of_a_file_is_named_so_that_analyze_finds_it() -> None:
    row = rl.plan(SMALL, "./examples/my-asic.yaml", tpot="none", ttft="none", catalog=CATALOG)["rows"][0]
    assert row["deployment"]["label"].endswith("xmy-asic")
    assert alone(row, SMALL)["metrics"] == row["metrics"]


def test_a_chip_that_holds_nothing_says_so_and_leaves_the_others() -> None:
    result = rl.plan("llama-3.1-70b-chat", ["1xl4", "h100-sxm"], catalog=CATALOG)
    assert {row["deployment"]["chip"] for row in result["rows"]} == {"h100-sxm"}
    assert "needs" in result["chips"][0]["why"]


def test_the_promise_of_a_workload_is_a_limit_until_it_is_taken_back() -> None:
    promised = rl.plan("llama-3.1-70b-chat", "h100-sxm", catalog=CATALOG)
    assert {item["limit"]: item["promised"] for item in promised["limits"]} == {"ttft": True, "tpot": True}
    free = rl.plan("llama-3.1-70b-chat", "h100-sxm", ttft="none", tpot="none", catalog=CATALOG)
    assert free["limits"] == []
    assert free["feasible"] > promised["feasible"]


def test_what_to_run_for_a_closer_look_says_all_that_was_asked() -> None:
    row = rl.plan("llama-3.1-8b", "h100-sxm:stack=trtllm", input_len=2000, output_len=64, catalog=CATALOG)["rows"][0]
    told = shlex.split(row["analyze"])
    assert told[:3] == ["roofline", "analyze", "llama-3.1-8b"]
    assert "stack=trtllm" in told[3]
    assert told[told.index("--input") + 1] == "2000"
    assert told[told.index("--output") + 1] == "64"


@pytest.mark.parametrize(
    ("workload", "limits", "message"),
    [
        (SMALL, {"tpot": "30"}, r"--tpot 30: needs a unit, e.g. --tpot 30ms"),
        (SMALL, {"tpot": "30 W"}, r"--tpot 30 W: is in W"),
        (SMALL, {"ttft": "-1 s"}, r"--ttft -1 s: must be above zero"),
        (SMALL, {"throughput": "0 tok/s"}, "must be above zero"),
        (SMALL, {"power": "abc"}, "not a quantity"),
        (SMALL, {"budget": "20 USD"}, r"expected price per time in USD/h"),
        (SMALL, {"chips_at_most": 0}, "whole number of chips"),
        (SMALL, {"chips_at_most": "2.5"}, "whole number of chips"),
        (SMALL, {"within": "30 d"}, r"--within belongs to training"),
        ("llama-3.1-8b-pretraining", {"tpot": "30 ms"}, r"--tpot belongs to serving"),
        ("llama-3.1-8b-pretraining", {"budget": "20 USD/h"}, "expected money"),
        (SMALL, {"rank": "costs"}, "did you mean 'cost'"),
        (SMALL, {"weights": ["fp9"]}, "weights=fp9: must be one of"),
        (SMALL, {"tpp": 4}, "unknown option"),
        (SMALL, {"vpp": 4}, "belongs to training"),
    ],
)
def test_limits_that_mean_nothing_are_refused(workload: str, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(rl.RooflineError, match=message):
        rl.plan(workload, "h100-sxm", catalog=CATALOG, **limits)


@pytest.mark.parametrize(
    ("chip", "message"),
    [
        ("h100x", "h100x"),
        ("8-2xh100-sxm", "the smaller number first"),
        ("0-2xh100-sxm", "the smaller number first"),
        ("h100-sxm:pools=1:2", "leave pools out"),
        ("h100-sxm:tpp=2", "did you mean 'tp'"),
    ],
)
def test_chips_that_mean_nothing_are_refused(chip: str, message: str) -> None:
    with pytest.raises(rl.RooflineError, match=message):
        rl.plan(SMALL, chip, catalog=CATALOG)


def test_no_chip_at_all_is_refused() -> None:
    with pytest.raises(rl.RooflineError, match="name at least one chip"):
        rl.plan(SMALL, [], catalog=CATALOG)
