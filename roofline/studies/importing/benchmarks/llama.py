"""`llama-bench` of llama.cpp: JSON, JSON lines or CSV, one record for each test.

Read from tools/llama-bench/llama-bench.cpp (fields of `get_fields`, ROCm/llama.cpp at 198cf31). A test reads `n_prompt`
tokens, then generates `n_gen`, behind `n_depth` that were read before; `avg_ts` is tokens of both per second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from roofline.studies.importing.benchmarks.content import Content, Figure, Format, Run, number, told, word

NEEDED = {"model_type", "n_prompt", "n_gen", "avg_ts"}


def _recognises(content: Content) -> bool:
    return any(set(record) >= NEEDED for record in content.records)


def _read(content: Content) -> Iterator[Run]:
    for record in content.records:
        yield _run(record)


def _run(record: Mapping[str, Any]) -> Run:
    backend = re.sub(r",.*", "", word(record, "backends"))
    commit, build = word(record, "build_commit"), number(record, "build_number")
    cells = {
        "chip": _device(record),
        "model": _model(word(record, "model_filename")),
        "weight_dtype": weights(word(record, "model_type")),
        "kv_dtype": word(record, "type_k") if word(record, "type_k") == word(record, "type_v") else "",
        "framework": f"llama.cpp {backend}".strip(),
        "version": f"{commit} ({told(build)})" if build else commit,
        "date": word(record, "test_time")[:10],
        "batch": "1",
        "mode": "single_stream",
        "speculative": "no",
        "cached": told(number(record, "n_depth") or 0.0) if number(record, "n_depth") else "",
    }
    return Run(cells, _figures(record), list(_remarks(record)))


def _figures(record: Mapping[str, Any]) -> list[Figure]:
    """A test of a prompt, of generation, or of both in turn."""
    reads, writes, rate = (max(number(record, key) or 0.0, 0.0) for key in ("n_prompt", "n_gen", "avg_ts"))
    if not rate or not (reads or writes):
        return []
    lengths = {"input_len": told(reads), "output_len": told(writes)}
    if reads and writes:
        return [Figure("total_tokens_per_s", rate, {**lengths, "phase": "e2e"})]
    if reads:
        chunk = {"chunk": told(number(record, "n_ubatch"))}
        return [Figure("prefill_tokens_per_s", rate, {**lengths, **chunk, "phase": "prefill"})]
    return [Figure("tokens_per_s_per_user", rate, {**lengths, "phase": "decode"})]


def _device(record: Mapping[str, Any]) -> str:
    """The one device that did the work; empty where several did, or the processor."""
    listed = [name.strip() for name in word(record, "gpu_info").split(",") if name.strip()]
    return listed[0] if len(listed) == 1 else ""


def _model(path: str) -> str:
    """A model by its file's name, without the format of its weights and the number of a part.

    >>> _model("models/Llama-3.1-8B-Instruct-Q4_K_M.gguf"), _model("gpt-oss-20b-mxfp4-00001-of-00002.gguf")
    ('Llama-3.1-8B-Instruct', 'gpt-oss-20b')
    """
    stem = re.sub(r"\.gguf$", "", path.replace("\\", "/").rpartition("/")[2], flags=re.IGNORECASE)
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", stem)
    return re.sub(r"[-._](ud-)?(i?q\d\w*|b?f16|f32|mxfp4\w*)$", "", stem, flags=re.IGNORECASE)


def weights(description: str) -> str:
    """The format in llama.cpp's description of a model.

    >>> weights("llama 8B Q4_K - Medium"), weights("gpt-oss 20B MXFP4 MoE"), weights("qwen3 8B BF16")
    ('q4_k_m', 'mxfp4', 'bf16')
    """
    found = re.search(r"\b(I?Q\d\w*|BF16|F16|F32|MXFP4)(?: - (Medium|Small|Large))?", description)
    if found is None:
        return ""
    size = {"Medium": "_m", "Small": "_s", "Large": "_l"}.get(found[2] or "", "")
    return found[1].lower() + size


def _remarks(record: Mapping[str, Any]) -> Iterator[str]:
    layers = number(record, "n_gpu_layers")
    if layers == 0:
        yield "no layer ran on a GPU: the figure is the processor's"
    if number(record, "n_cpu_moe"):
        yield "experts of some layers ran on the processor, which no prediction does"
    if len(word(record, "gpu_info").split(",")) > 1:
        yield "several devices are listed: give --chip and --num-chips"


BENCH = Format("llama-bench", "JSON, JSON lines or CSV with model_type, n_prompt, n_gen and avg_ts", _recognises, _read)
