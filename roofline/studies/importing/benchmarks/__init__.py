"""Formats of benchmark results, each read into runs and figures in the words of the measured table."""

from __future__ import annotations

from roofline.errors import RooflineError, did_you_mean
from roofline.studies.importing.benchmarks import llama, mlperf, offline, serving, trtllm
from roofline.studies.importing.benchmarks.content import Content, Format

FORMATS: tuple[Format, ...] = (
    serving.VLLM, serving.SGLANG, offline.LATENCY, offline.THROUGHPUT, llama.BENCH, trtllm.BENCH, mlperf.SUMMARY,
)  # fmt: skip


def format_of(content: Content, name: str | None) -> Format:
    """The format of that name, or the one that a file's content has; `RooflineError` if there is none."""
    names = [form.name for form in FORMATS]
    if name is not None:
        found = next((form for form in FORMATS if form.name == name), None)
        if found is None:
            near = did_you_mean(name, names, most=1)
            raise RooflineError(
                f"--bench-format {name}: " + (f"did you mean {near}?" if near else f"one of {', '.join(names)}")
            )
        return found
    found = next((form for form in FORMATS if form.recognises(content)), None)
    if found is None:
        known = "; ".join(f"{form.name} ({form.says})" for form in FORMATS)
        raise RooflineError(f"{content.path}: is of no known format of benchmark results; known: {known}")
    return found
