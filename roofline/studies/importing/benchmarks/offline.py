"""`vllm bench latency` and `vllm bench throughput`: one batch in seconds, and everything queued at the start.

Read from vllm/benchmarks/latency.py at 00cae07 and throughput.py at 0202831. Neither file says of what it is: model,
lengths and batch come from options.
"""

from __future__ import annotations

from collections.abc import Iterator

from roofline.studies.importing.benchmarks.content import Content, Format, Run, figures, number


def _of_latency(content: Content) -> bool:
    return any({"avg_latency", "latencies"} <= set(record) for record in content.records)


def _of_throughput(content: Content) -> bool:
    return any({"elapsed_time", "num_requests", "tokens_per_second"} <= set(record) for record in content.records)


def _read_latency(content: Content) -> Iterator[Run]:
    for record in content.records:
        cells = {"framework": "vLLM", "mode": "fixed_batch", "phase": "e2e", "speculative": "no"}
        yield Run(cells, figures(record, {"avg_latency": ("e2e_latency_s", 1.0)}))


def _read_throughput(content: Content) -> Iterator[Run]:
    for record in content.records:
        cells = {"framework": "vLLM", "mode": "offline_max_throughput", "phase": "e2e", "speculative": "no"}
        tokens, requests = number(record, "total_num_tokens"), number(record, "num_requests")
        told = figures(record, {"tokens_per_second": ("total_tokens_per_s", 1.0)})
        notes = []
        if tokens and requests:
            notes.append(
                f"a request has {tokens / requests:g} tokens, prompt and answer together: --input and --output must "
                "add up to it"
            )
        yield Run(cells, told, notes)


LATENCY = Format("vllm-latency", "JSON with avg_latency and latencies", _of_latency, _read_latency)
THROUGHPUT = Format("vllm-throughput", "JSON with elapsed_time and tokens_per_second", _of_throughput, _read_throughput)
