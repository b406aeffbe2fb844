"""Results as the contract has them, written by hand: no engine, no catalogue, names that try to break things."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

Result = dict[str, Any]


def operator(name: str, time: float, flops: float, moved: float, **more: Any) -> Result:
    return {
        "name": name, "kind": "matmul", "count": 80.0, "time_s": time, "ideal_time_s": time / 2, "share": 0.1,
        "bound": "memory", "flops": flops, "memory_bytes": moved, "network_bytes": 0.0,
        "arithmetic_intensity": flops / moved if moved else None, **more,
    }  # fmt: skip


def phase(name: str, time: float, bound: str | None, operators: list[Result]) -> Result:
    for item in operators:
        item["share"] = item["time_s"] / sum(other["time_s"] for other in operators)
    return {
        "phase": name, "passes": 211.0 if name == "decode" else 1.0, "time_s": time, "ideal_time_s": time / 2, "low_time_s": None, "high_time_s": None,
        "bound": bound, "flops": 1e15, "memory_bytes": 1e12, "network_bytes": 1e9, "arithmetic_intensity": 999.7,
        "ridge_point": 590.7, "mfu": 0.354, "mbu": 0.2306, "power_w": 4210.0, "energy_j": 8420.0,
        "layers": [{"name": "layer", "count": 80.0, "time_s": time / 100},
                   {"name": "outside of layers", "count": 1.0, "time_s": time / 200}],
        "operators": operators,
    }  # fmt: skip


def prediction(label: str, work: Result, phases: list[Result], metrics: Result, **more: Any) -> Result:
    return {
        "schema": "roofline.prediction/1",
        "version": "0.1.0",
        "workload": work,
        "deployment": {
            "label": label, "chip": label.partition("x")[2], "chip_name": "A Chip", "chip_kind": "gpu", "num_chips": 8,
            "stack": "ideal", "plan": {"tp": 8.0, "pp": 1.0, "dp": 1.0, "ep": 1.0, "cp": 1.0},
            "weights": "fp8", "activations": "fp8", "kv_cache": "fp8", "arithmetic": "fp8",
        },
        "model": {"id": "m", "parameters": 7e10, "active_parameters": 7e10, "weight_bytes": 7e10,
                  "kv_cache_bytes_per_token": 163840.0},
        "fits": True,
        "why": None,
        "memory": {
            "capacity_bytes": 77.3e9, "weight_bytes": 18.2e9, "kv_cache_bytes": 895e6, "gradient_bytes": 0.0,
            "optimizer_bytes": 0.0, "activation_bytes": 127e6, "total_bytes": 19.2e9, "max_batch": 2108.0,
        },
        "phases": phases,
        "metrics": metrics,
        "roofs": {
            "dtype": "fp8", "peak_flops_per_s": 1.979e15, "link_bytes_per_s": 450e9,
            "memory": [{"name": "L2", "bandwidth_bytes_per_s": 12e12, "main": False},
                       {"name": "L1", "bandwidth_bytes_per_s": None, "main": False},
                       {"name": "HBM3", "bandwidth_bytes_per_s": 3.35e12, "main": True}],
        },
        "evidence": {"calibration": "datasheet", "cases": 0, "median_error": None, "sources": []},
        "notes": ["power is the TDP, an upper bound"],
        **more,
    }  # fmt: skip


def with_bounds(**metrics: float | None) -> Result:
    known = {f"{name}{suffix}": value for name, value in metrics.items() for suffix in ("", "_ideal")}
    return known | {f"{name}{suffix}": None for name in metrics for suffix in ("_low", "_high")}


CHAT: Result = {
    "id": "a-chat", "kind": "serving", "model": "a-model-70b", "steps": [{"prefill": 1155.0}, {"decode": 211.0}],
    "batch": 32.0, "input_len": 1155.0, "output_len": 211.0, "slo": {"ttft_s": 0.45, "tpot_s": 0.04},
}  # fmt: skip
RUN: Result = {
    "id": "a-run", "kind": "training", "model": "a-model-70b", "tokens": 1.5e13, "seq_len": 8192.0, "global_batch": 256.0,
}  # fmt: skip
FIRST, SECOND, MISFIT, TRAINER = (
    "8xchip-with-a-rather-long-name:weights=bf16,tp=4",
    "16x=cmd|`rm`*<b>&amp;[x]_\x1b[31m\u202e芯片$a_{$",
    "1xtoo-small",
    "16384xtrainer",
)


def serving_phases() -> list[Result]:
    big = [operator("ffn/up", 0.0189, 2e13, 1.2e10), operator("attention/qkv", 0.004, 4e12, 3e9)]
    small = [operator(f"part-{index}", 0.8 / (index + 1), 6e13, 2e12, bound="network") for index in range(12)]
    return [
        phase("prefill", 0.057, "compute", [*big, operator("all-reduce", 0.0066, 0.0, 0.0, bound="network")]),
        phase("decode", 2.53, "memory", small),
        {**phase("pause", 2.0, None, []), "arithmetic_intensity": None, "mfu": None, "mbu": None},
    ]


def serving(label: str, **more: Any) -> Result:
    metrics = with_bounds(
        ttft_s=0.99972, tpot_s=0.016, e2e_latency_s=3.4416, output_tokens_per_s=1961.8479765126635,
        output_tokens_per_s_per_chip=245.23, output_tokens_per_s_per_user=62.34,
    )  # fmt: skip
    more_metrics = {"power_w": 999.6e3, "energy_j_per_token": 2.07, "usd_per_million_tokens": 4.4176}
    return prediction(label, CHAT, serving_phases(), metrics | more_metrics, **more)


@pytest.fixture
def chat() -> Result:
    return deepcopy(serving(FIRST))


@pytest.fixture
def training() -> Result:
    steps = [operator("forward/ffn/up", 1.2, 7e14, 3e11), operator("backward/ffn/up", 2.4, 1.4e15, 6e11)]
    metrics = with_bounds(step_time_s=6.31, tokens_per_s=332249.0, tokens_per_s_per_chip=1298.0, mfu=0.589)
    more = {"time_to_train_s": 2.3e8, "power_w": 179e3, "energy_j_per_token": 0.5, "usd_per_million_tokens": 0.0012}
    metrics |= with_bounds(time_to_train_s=2.3e8) | more | {"cost_usd": 12.5e6}
    result = prediction(TRAINER, RUN, [phase("training", 6.31, "compute", steps)], metrics)
    result["deployment"]["plan"] |= {"vpp": 1.0, "zero": 1.0, "micro_batch": 2.0, "recompute": "selective"}
    result["memory"] |= {"gradient_bytes": 13.4e9, "optimizer_bytes": 314e6}
    return deepcopy(result)


@pytest.fixture
def comparison() -> Result:
    misfit = serving(MISFIT, fits=False, why="needs 141 GB per chip, has 80 GB")
    rows = [serving(FIRST), serving(SECOND), misfit]
    apart = {"metric": "output_tokens_per_s_per_chip", "pairs": []}
    return deepcopy({"schema": "roofline.comparison/1", "version": "0.1.0", "workload": CHAT, "rows": rows,
                     "indistinguishable": apart})  # fmt: skip


def traded(cost: str, slowest: float = 0.1, points: int = 6) -> Result:
    """A frontier: the time of a token grows and its cost falls with the requests that run."""
    found = []
    for index in range(points):
        latency = 0.01 * (slowest / 0.01) ** (index / max(points - 1, 1))
        metrics = with_bounds(ttft_s=0.2, tpot_s=latency, output_tokens_per_s_per_chip=2.0**index / latency / 8) | {
            "output_tokens_per_s_per_user": 1 / latency, "usd_per_million_tokens": None,
            "chip_seconds_per_million_tokens": 1e6 * latency / 2.0**index * 8,
        }  # fmt: skip
        if cost == "usd_per_million_tokens":
            metrics[cost] = metrics["chip_seconds_per_million_tokens"] / 900.0
        plan = {"tp": 8.0, "pp": 1.0, "dp": 1.0, "ep": 1.0, "cp": 1.0}
        batch = 2.0**index if index < points - 1 or points == 1 else 3.0 * 2.0 ** (points - 2)
        found.append({"batch": batch, "plan": plan, "keeps_slo": latency <= 0.04, "metrics": metrics})
    kept = [point for point in found if point["keeps_slo"]]
    return {"latency": "tpot_s", "cost": cost, "points": found, "promised": kept[-1] if kept else None}


@pytest.fixture
def trade() -> Result:
    result = serving(FIRST, frontier=traded("usd_per_million_tokens"))
    return deepcopy(result)


@pytest.fixture
def trades() -> Result:
    """Three deployments: one with a price, one without, one that holds nothing."""
    nothing: Result = {"latency": "tpot_s", "cost": "usd_per_million_tokens", "points": [], "promised": None}
    rows = [
        serving(FIRST, frontier=traded("usd_per_million_tokens")),
        serving(SECOND, frontier=traded("chip_seconds_per_million_tokens", 0.03)),
        serving(MISFIT, fits=False, why="needs 141 GB per chip, has 80 GB", frontier=nothing),
    ]
    apart = {"metric": "output_tokens_per_s_per_chip", "pairs": []}
    return deepcopy({"schema": "roofline.comparison/1", "version": "0.1.0", "workload": CHAT, "rows": rows,
                     "indistinguishable": apart})  # fmt: skip


@pytest.fixture
def listing() -> Result:
    row = {"id": "a-chip-with-a-long-name", "name": "A Chip With a Longer Name 80GB", "kind": "gpu",
           "bf16_flops_per_s": 999.7e12, "memory_bytes": 85899345920.0, "bandwidth_bytes_per_s": 2.039e12,
           "link_bytes_per_s": 3e11, "tdp_w": 400.0, "usd_per_hour": 2.12, "stack": "vllm", "calibrated": True}  # fmt: skip
    rows = [row, row | {"id": "b", "name": "@B", "tdp_w": None, "calibrated": False}]
    return {"schema": "roofline.catalogue/1", "version": "0.1.0", "kind": "chips", "rows": rows}


@pytest.fixture
def entry() -> Result:
    fields = [{"key": "compute.peaks.bf16", "value": "989.4 TFLOP/s", "source": "a datasheet " * 9}]
    sources = [{"key": "d", "title": "A datasheet", "url": "https://example.org/a|b", "date": "2026-01-02"}]
    return {"schema": "roofline.entry/1", "version": "0.1.0", "kind": "chip", "id": "a", "name": "A", "aliases": [],
            "note": "", "path": "a.yaml", "origin": "project", "fields": fields, "sources": sources,
            "over": [{"path": "b.yaml", "origin": "shipped", "extended": True}],
            "conflicts": [{"of": "compute.peaks.bf16", "value": "990 TFLOP/s", "why": "rounded", "source": "A page"}]}  # fmt: skip


@pytest.fixture
def explanation() -> Result:
    line = {"quantity": "FLOPs", "formula": "2·m·k·n", "numbers": "2·16·8,192·14,336", "result": "3.758 GFLOP",
            "source": "count, no chip in it, but a sentence that is long enough to be wrapped"}  # fmt: skip
    part = {"phase": "decode", "name": "ffn/up", "kind": "matmul", "dtype": "fp8", "time_s": 0.83, "bound": "memory"}
    return {"schema": "roofline.explanation/1", "version": "0.1.0", "workload": "a-chat", "deployment": FIRST,
            "operator": part, "lines": [line]}  # fmt: skip


@pytest.fixture
def lint() -> Result:
    row = {
        "path": "a.yaml",
        "line": 3,
        "column": 7,
        "severity": "error",
        "rule": None,
        "key": "memory.0",
        "message": "needs a unit",
    }
    return {"schema": "roofline.lint/1", "version": "0.1.0", "files": 2, "rows": [row]}


def validated(name: str, measured: float, predicted: float, ideal: float, **more: Any) -> Result:
    return {
        "id": name, "what": "server decode", "metric": "tpot_ms", "unit": "ms", "chip": "a-chip", "chip_kind": "gpu",
        "model": "a-model-70b", "num_chips": 8, "mode": "server_concurrency", "phase": "decode", "framework": "vLLM",
        "version": "0.9", "stack": "vllm", "weights": "fp8", "batch": 32.0, "input_len": 1024.0, "output_len": 256.0,
        "split": "scoring", "predicted": predicted, "measured": measured, "error": predicted / measured - 1.0,
        "ideal": ideal, "beats_ideal": measured < ideal, "fits": True, "low": None, "high": None,
        "evidence": "measured", "source": "a|page", **more,
    }  # fmt: skip


def group(name: str, values: Result, cases: int, coverage: float | None) -> Result:
    return {
        "group": name, "values": values, "cases": cases, "median_absolute_error": 0.1234, "p90_absolute_error": 0.5,
        "bias": -0.0231, "coverage": coverage, "beats_ideal": 1,
    }  # fmt: skip


@pytest.fixture
def validation() -> Result:
    kernel = {"what": "matmul", "metric": "time_us", "unit": "us", "model": "", "phase": "gemm", "mode": "kernel",
              "batch": None, "input_len": None, "output_len": None}  # fmt: skip
    rate = {"what": "offline", "metric": "output_tokens_per_s_total", "unit": "tokens/s", "chip_kind": "tpu"}
    rows = [
        validated("close", 10.0, 9.0, 5.0),
        validated("far", 10.0, 100.0, 5.0),
        validated("too-slow", 10.0, 0.5, 0.4),
        validated("impossible", 10.0, 13.0, 12.0, **kernel),
        validated("a-rate", 5e4, 6e4, 7e4, beats_ideal=False, **rate),
    ]
    reasons = ["batch is not stated"] * 3 + [f"chip {name} is not in the catalogue" for name in "abcdefghij"]
    summary = [group("all", {}, 5, 0.875), group("gpu -", {"chip_kind": "gpu", "batch": None}, 4, None),
               group("tpu 32", {"chip_kind": "tpu", "batch": 32.0}, 1, 1.0)]  # fmt: skip
    return deepcopy({
        "schema": "roofline.validation/1", "version": "0.1.0", "by": ["chip_kind", "batch"], "split": "scoring",
        "left_out": 1234, "summary": summary, "rows": rows,
        "skipped": [{"id": str(index), "reason": reason} for index, reason in enumerate(reasons)],
    })  # fmt: skip


def contrasted(label: str, phase: str, rate: float, intensity: float, gains: Result) -> Result:
    """A phase of a deployment that fits; `gains` are what a doubling of each resource adds."""
    base = prediction(label, CHAT, [], {})
    shares = {"large_matmul": 0.5, "gemv": 0.2, "attention": 0.1, "communication": 0.1, "passes": 0.1}
    edges = {"": 1.0, "_ideal": 2.0, "_low": 0.5, "_high": 1.5}
    return {
        "name": label, "phase": phase, "fits": True, "why": None, "asked_chips": None,
        "workload": "a-run" if phase == "training" else "a-chat",
        "deployment": base["deployment"],
        "memory": {name: value for name, value in base["memory"].items() if name != "max_batch"},
        "share": {"training": 1.0, "prefill": 0.25, "decode": 0.75}[phase],
        "rate": {name + edge: factor * rate * by for name, by in (("tokens_per_s", 8.0), ("tokens_per_s_per_chip", 1.0))
                 for edge, factor in edges.items()},
        "parallelism": {"tokens_in_flight": 32.0, "rows_per_product": 32.0, "tiles_per_product": 88.0, "tiles_per_unit": None},
        "pattern": {f"{name}_share": shares.get(name, 0.0) for name in (*shares, "software", "bubble")}
        | {"hidden_communication_share": 0.0, "last_step_over_first": 1.0312},
        "intensity": {
            "arithmetic_intensity": intensity, "ridge_point": 590.7, "intensity_over_ridge": intensity / 590.7,
            "attained_flops_per_s": 1e12 * intensity, "mfu": intensity / 1979, "mbu": 0.2985, "bound": "memory",
        },
        "movement": {"flops_per_token": 1.4e11, "memory_bytes_per_token": 1.4e11 / intensity,
                     "network_bytes_per_token": 0.0, "bytes_per_flop": 1.0 / intensity},
        "waiting": {
            "step_time_s": 0.0136, "ttft_s": 0.0856, "ttft_s_low": None, "ttft_s_high": None, "tpot_s": None,
            "tpot_s_low": None, "tpot_s_high": None, "latency_elasticity": -0.0, "loss_per_ms": 0.0685,
        },
        "spending": {"power_w": 5600.0, "energy_j_per_token": 1.37, "usd_per_million_tokens": None},
        "worth": [{"resource": name, "elasticity": gain, "gain": gain, "filled_gain": None, "filled_requests": None,
                   "filled_requests_doubled": None} for name, gain in gains.items()],
        "roofs": base["roofs"],
        "evidence": {"calibration": "datasheet", "cases": 0, "median_error": None},
        "notes": ["power is the TDP, an upper bound"],
    }  # fmt: skip


@pytest.fixture
def contrast() -> Result:
    gains = {"flops": 0.0, "bandwidth": 0.358, "link_bandwidth": 0.01, "link_latency": 0.02, "overhead": 0.2547,
             "capacity": 0.0}  # fmt: skip
    trains = contrasted(FIRST, "training", 1203.0, 1236.0, gains | {"flops": 0.3757})
    rows = [
        trains | {"why": "needs 160 GB per chip", "asked_chips": 4},
        *(contrasted(FIRST, name, 295.0, 30.0, gains) for name in ("prefill", "decode")),
        {"name": SECOND, "phase": "training", "fits": False, "why": "needs 2.91 GB", "asked_chips": 16, "workload": "a-run",
         "deployment": trains["deployment"] | {"label": SECOND, "plan": None, "stack": None},
         "memory": trains["memory"], "notes": []},
        *(contrasted(SECOND, name, 371.0, 55.0, gains) for name in ("prefill", "decode")),
    ]  # fmt: skip
    rows[2]["worth"][-1] |= {"filled_gain": 0.0589, "filled_requests": 2280.0, "filled_requests_doubled": 5260.0}
    entries = [{"name": name, "label": name, "value": value, "low": value / 2, "high": value * 1.5}
               for name, value in ((SECOND, 371.0), (FIRST, 295.0))]  # fmt: skip
    ranking = {"phase": "decode", "per": "chip", "entries": entries, "lead": 0.2576, "lead_low": -0.5, "lead_high": 2.1,
               "alike": [FIRST]}  # fmt: skip
    suited = {"phase": "decode", "per": "chip", "value": 1.12, "scores": []}
    return deepcopy({
        "schema": "roofline.contrast/1", "version": "0.1.0",
        "model": {"id": "a-model-70b", "parameters": 7e10, "active_parameters": 7e10}, "workloads": [RUN, CHAT],
        "rows": rows, "rankings": [ranking],
        "suits": [{"name": FIRST, **suited, "value": 0.88}, {"name": SECOND, **suited}],
    })  # fmt: skip


@pytest.fixture(
    params=[
        "chat",
        "training",
        "comparison",
        "contrast",
        "trade",
        "trades",
        "listing",
        "entry",
        "explanation",
        "lint",
        "validation",
    ]
)
def result(request: pytest.FixtureRequest) -> Result:
    found: Result = request.getfixturevalue(request.param)
    return found
