"""Benchmarks that send requests to a server: `vllm bench serve` and SGLang's `bench_serving`, whose results are alike.

Read from vllm/benchmarks/serve.py of vLLM at 009e6d4 (2026, also what 0.6 to 0.11 write) and
python/sglang/bench_serving.py of SGLang at 0033168.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from roofline.studies.importing.benchmarks.content import Content, Figure, Format, Run, figures, number, told, word

USUAL = 10.0  # requests for each client that the prediction of a burst takes for granted

LATENCIES: Mapping[str, tuple[str, float]] = {
    "mean_ttft_ms": ("ttft_ms", 1.0),
    "mean_tpot_ms": ("tpot_ms", 1.0),
    "mean_e2el_ms": ("e2e_latency_s", 1e-3),
    "mean_e2e_latency_ms": ("e2e_latency_s", 1e-3),
}
RATES: Mapping[str, tuple[str, float]] = {
    "output_throughput": ("output_tokens_per_s_total", 1.0),
    "total_token_throughput": ("total_tokens_per_s", 1.0),
    "total_throughput": ("total_tokens_per_s", 1.0),
}
STATED = ("chip", "num_chips", "model", "tp", "pp", "dp", "ep", "version", "weight_dtype", "kv_dtype")  # of --metadata


def _of_server(content: Content) -> bool:
    keys = {"completed", "total_input_tokens", "request_throughput", "duration"}
    return any(keys <= set(record) for record in content.records)


def _of_vllm(content: Content) -> bool:
    return _of_server(content) and any("model_id" in record for record in content.records)


def _of_sglang(content: Content) -> bool:
    return _of_server(content) and not _of_vllm(content)


def _read_vllm(content: Content) -> Iterator[Run]:
    for record in content.records:
        yield _run(record, "vLLM", word(record, "model_id"))


def _read_sglang(content: Content) -> Iterator[Run]:
    for record in content.records:
        stated = record.get("server_info")
        model = word(stated, "model_path") if isinstance(stated, dict) else ""
        yield _run(record, "SGLang", model)


def _run(record: Mapping[str, Any], software: str, model: str) -> Run:
    done = number(record, "completed") or 0.0
    inputs, outputs = (number(record, f"total_{name}_tokens") for name in ("input", "output"))
    running, remarks = _running(record, done)
    cells = {
        "model": model,
        "framework": software,
        "date": _day(word(record, "date")),
        "input_len": told(round(inputs / done, 2) if inputs and done else None),
        "output_len": told(round(outputs / done, 2) if outputs and done else None),
        "batch": told(running),
        "mode": "server_concurrency",
        "speculative": "yes" if _drafts(record) else "no",
        **{name: str(record[name]) for name in STATED if isinstance(record.get(name), (str, int)) and name != "model"},
    }
    found = [*figures(record, LATENCIES), *figures(record, RATES, phase="e2e")]
    return Run(cells, found, [*remarks, *_remarks(record, found)])


def _drafts(record: Mapping[str, Any]) -> bool:
    length = number(record, "accept_length") or number(record, "spec_decode_acceptance_length")
    return bool(length and length > 1.0) or "spec_decode_acceptance_rate" in record


def _running(record: Mapping[str, Any], done: float) -> tuple[float | None, list[str]]:
    """How many requests ran at once: as many as clients, or by Little's law where the rate was given."""
    clients = number(record, "max_concurrency")
    endless = record.get("request_rate") in ("inf", None) or number(record, "request_rate") is None
    if clients and endless:
        held = min(clients, done) if done else clients
        return held, _short_run(done, held)
    latency = number(record, "mean_e2el_ms") or number(record, "mean_e2e_latency_ms")
    rate = number(record, "request_throughput")
    if not endless and latency and rate:
        mean = max(round(rate * latency / 1e3, 2), 1.0)
        return mean, [f"requests came at a rate: batch {mean:g} is the mean of those in flight (rate times latency)"]
    if not endless:
        return None, [
            "requests came at a rate and no latency of whole requests is in the file (--percentile-metrics e2el): "
            "how many ran at once is not known; give --batch"
        ]
    return done or None, ["all requests were sent at once: batch is their number"]


def _short_run(done: float, clients: float) -> list[str]:
    if not done or done >= USUAL * clients / 2.0:
        return []
    return [
        f"{done:g} requests for {clients:g} clients: the prediction takes ten for each for granted, with fewer the "
        "opening burst weighs more"
    ]


def _remarks(record: Mapping[str, Any], found: list[Figure]) -> Iterator[str]:
    failed = number(record, "failed")
    if failed:
        yield f"{failed:g} requests failed and are not counted"
    lengths = number(record, "random_range_ratio")
    if lengths is not None and 0.0 < lengths < 1.0:
        yield "lengths of requests differed: means stand for them"
    names = {figure.metric for figure in found}
    if "tpot_ms" not in names and "ttft_ms" not in names:
        yield "no latencies are in the file"
    left = [key for key in ("goodput", "request_goodput") if number(record, key)]
    if left:
        yield "goodput is not compared with anything"


def _day(text: str) -> str:
    """`20251126-101500` as a day.

    >>> _day("20251126-101500"), _day("")
    ('2025-11-26', '')
    """
    found = re.match(r"(20\d\d)(\d\d)(\d\d)\b", text)
    return "-".join(found.groups()) if found else ""


VLLM = Format("vllm-serve", "JSON with model_id and request_throughput", _of_vllm, _read_vllm)
SGLANG = Format("sglang-serve", "JSON lines with request_throughput and concurrency", _of_sglang, _read_sglang)
