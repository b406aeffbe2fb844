"""`mlperf_log_summary.txt` of MLPerf Inference: scenario, rates and latencies; what ran is not in it.

Read from loadgen/results.cc of mlcommons/inference at 05a9cec (`PerformanceSummary::LogSummary`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from roofline.studies.importing.benchmarks.content import Content, Figure, Format, Run, number, told

TITLE = "MLPerf Results Summary"
MODES: Mapping[str, str] = {
    "Offline": "offline_max_throughput",
    "Server": "server_concurrency",
    "Interactive": "server_concurrency",
    "SingleStream": "single_stream",
}
NS = 1e-9


def _recognises(content: Content) -> bool:
    return TITLE in content.text


def _read(content: Content) -> Iterator[Run]:
    for text in content.text.split(TITLE)[1:]:
        yield _run(_lines(text))


def _lines(text: str) -> dict[str, str]:
    """What each line says, by what stands before its colon."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {re.sub(r"\s+", " ", name).strip(): value.strip() for name, separator, value in pairs if separator}


def _run(said: Mapping[str, str]) -> Run:
    scenario = said.get("Scenario", "")
    rate = number(said, "Completed samples per second")
    latency = number(said, "Mean latency (ns)")
    server = scenario in ("Server", "Interactive")
    batch = 1.0 if scenario == "SingleStream" else rate * latency * NS if server and rate and latency else None
    cells = {
        "mode": MODES.get(scenario, ""),
        "batch": told(max(round(batch, 2), 1.0) if batch else None),
        "speculative": "no",
        "phase": "e2e",
    }
    tokens = number(said, "Tokens per second") or number(said, "Completed tokens per second")
    wanted = (
        ("output_tokens_per_s_total", tokens, 1.0),
        ("ttft_ms", number(said, "Mean First Token latency (ns)"), NS * 1e3),
        ("tpot_ms", number(said, "Mean Time to Output Token (ns)"), NS * 1e3),
        ("e2e_latency_s", latency if scenario == "SingleStream" else None, NS),
    )
    found = [Figure(metric, value * factor) for metric, value, factor in wanted if value and value > 0]
    return Run(cells, found, list(_remarks(said, scenario, server, found)))


def _remarks(said: Mapping[str, str], scenario: str, server: bool, found: list[Figure]) -> Iterator[str]:
    yield f"scenario {scenario or '(not stated)'}, system {said.get('SUT name', '(not stated)')}"
    if said.get("Result is", "VALID") != "VALID":
        yield "the result is INVALID by MLPerf's rules"
    if server:
        yield "requests came at a rate: batch is the mean of those in flight (rate times latency)"
    if not found:
        yield "no rate of tokens is in the file: it is no run of a language model, or one of accuracy"


SUMMARY = Format("mlperf", "the text 'MLPerf Results Summary'", _recognises, _read)
