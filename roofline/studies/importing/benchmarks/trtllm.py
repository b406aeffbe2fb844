"""`trtllm-bench`: the report in JSON (`--report_json`), or the text that it prints.

Read from tensorrt_llm/bench/dataclasses/reporting.py of TensorRT-LLM at 0249976 (1.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from roofline.catalog.huggingface.formats import MODELOPT
from roofline.studies.importing.benchmarks.content import (
    Content,
    Figure,
    Format,
    Run,
    figures,
    number,
    part,
    told,
    word,
)

# Lines of the printed report and where their values stand in the other.
LINES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Model": ("engine", "model"),
        "TensorRT LLM Version": ("engine", "version"),
        "TensorRT-LLM Version": ("engine", "version"),
        "Dtype": ("engine", "dtype"),
        "KV Cache Dtype": ("engine", "kv_cache_dtype"),
        "Quantization": ("engine", "quantization"),
        "TP Size": ("world_info", "tp_size"),
        "PP Size": ("world_info", "pp_size"),
        "EP Size": ("world_info", "ep_size"),
        "Max Runtime Batch Size": ("world_info", "max_batch_size"),
        "Number of requests": ("request_info", "num_requests"),
        "Number of concurrent requests": ("request_info", "avg_num_concurrent_requests"),
        "Average Input Length (tokens)": ("request_info", "avg_input_length"),
        "Average Output Length (tokens)": ("request_info", "avg_output_length"),
        "Total Output Throughput (tokens/sec)": ("performance", "system_output_throughput_tok_s"),
        "Total Token Throughput (tokens/sec)": ("performance", "system_total_throughput_tok_s"),
        "Average request latency (ms)": ("performance", "avg_request_latency_ms"),
        "Average time-to-first-token [TTFT] (ms)": ("streaming_metrics", "avg_ttft_ms"),
        "Average time-per-output-token [TPOT] (ms)": ("streaming_metrics", "avg_tpot_ms"),
    }
)
MOSTLY = 0.75  # share of all requests in flight on average beyond which they came together
DECODING = "= DECODING STATISTICS"
RATES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "system_output_throughput_tok_s": ("output_tokens_per_s_total", 1.0),
        "system_total_throughput_tok_s": ("total_tokens_per_s", 1.0),
    }
)
LATENCIES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {"avg_ttft_ms": ("ttft_ms", 1.0), "avg_tpot_ms": ("tpot_ms", 1.0)}
)
WHOLE: Mapping[str, tuple[str, float]] = MappingProxyType({"avg_request_latency_ms": ("e2e_latency_s", 1e-3)})


def _recognises(content: Content) -> bool:
    parts = {"engine", "world_info", "request_info", "performance"}
    return any(parts <= set(record) for record in content.records) or "= PERFORMANCE OVERVIEW" in content.text


def _read(content: Content) -> Iterator[Run]:
    for record in content.records or (_printed(content.text),):
        yield _run(record)


def _printed(text: str) -> dict[str, Any]:
    """The report in JSON, as far as the printed one has it."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        place = LINES.get(re.sub(r"^.*\]\s*(?=\w)", "", name).strip()) or LINES.get(name.strip())
        if separator and place and value.strip() != "None":
            found.setdefault(place[0], {})[place[1]] = value.strip()
    device = re.search(r"= MACHINE DETAILS\s*\n=+\n(.+?), memory", text)
    if device:
        found["machine"] = {"name": device[1]}
    if DECODING in text:
        found["decoding_stats"] = {}
    return found


def _run(record: Mapping[str, Any]) -> Run:
    engine, world, asked = (part(record, name) for name in ("engine", "world_info", "request_info"))
    chips = number(world, "world_size") or (number(world, "tp_size") or 1.0) * (number(world, "pp_size") or 1.0)
    batch, queued = _running(world, asked)
    cells = {
        "chip": word(part(record, "machine"), "name"),
        "num_chips": told(chips),
        "model": word(engine, "model"),
        "weight_dtype": _weights(engine),
        "kv_dtype": word(engine, "kv_cache_dtype").lower(),
        "tp": told(number(world, "tp_size")),
        "pp": told(number(world, "pp_size")),
        "ep": told(number(world, "ep_size")),
        "framework": "TensorRT-LLM",
        "version": word(engine, "version"),
        "input_len": told(number(asked, "avg_input_length")),
        "output_len": told(number(asked, "avg_output_length")),
        "batch": told(batch),
        "mode": "offline_max_throughput" if queued else "server_concurrency",
        "speculative": "yes" if "decoding_stats" in record else "no",
    }
    speed, streamed = part(record, "performance"), part(record, "streaming_metrics")
    found: list[Figure] = figures(speed, RATES, phase="e2e")
    if queued:
        return Run(cells, found, ["all requests were queued at the start: latencies are those of the queue, left out"])
    return Run(cells, [*found, *figures(streamed, LATENCIES), *figures(speed, WHOLE)], ())


def _running(world: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[float | None, bool]:
    """How many requests ran at once, and whether all came at the start: then most of them are in flight on average,
    those that wait counted."""
    flight, most = number(asked, "avg_num_concurrent_requests"), number(world, "max_batch_size")
    requests = number(asked, "num_requests")
    held = min((value for value in (requests, most) if value), default=None)
    if flight is None:
        return held, True
    queued = (most is not None and flight > most) or (requests is not None and flight > MOSTLY * requests)
    return (held, True) if queued else (max(round(flight, 2), 1.0), False)


def _weights(engine: Mapping[str, Any]) -> str:
    quantised = word(engine, "quantization")
    blocks = {"FP8_BLOCK_SCALES": "fp8-block", "W4A8_MXFP4_FP8": "mxfp4", "W4A16_MXFP4": "mxfp4"}
    return (
        (blocks.get(quantised) or MODELOPT.get(quantised) or quantised.lower()) if quantised else word(engine, "dtype")
    )


BENCH = Format(
    "trtllm-bench", "JSON with engine, world_info and performance, or the printed report", _recognises, _read
)
