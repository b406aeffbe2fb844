"""Published measurements: rows of a CSV as cases, each with what it says of the work, the machine and the result.

The columns are described in `workloads/measured/README.md`; unknown ones are ignored, an empty cell means not stated.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from roofline.catalog.store import builtin
from roofline.errors import Finding, SpecError, did_you_mean
from roofline.workload import DTYPES

Phase = Literal["prefill", "decode", "e2e"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a measured figure is: its name in a prediction, its unit in SI, whether more is better, what it spans."""

    name: str
    unit: float
    more_is_better: bool
    phase: Phase


# By metric and, where that changes what a rate counts, the row's phase: tokens per second "of decoding" leave the
# prefill out, those of a whole request do not.
METRICS: Mapping[tuple[str, str], Metric] = MappingProxyType(
    {
        ("tpot_ms", ""): Metric("tpot_s", 1e-3, False, "decode"),
        ("itl_ms", ""): Metric("tpot_s", 1e-3, False, "decode"),
        ("ttft_ms", ""): Metric("ttft_s", 1e-3, False, "prefill"),
        ("prefill_tokens_per_s", ""): Metric("prefill_tokens_per_s", 1.0, True, "prefill"),
        ("e2e_latency_s", ""): Metric("e2e_latency_s", 1.0, False, "e2e"),
        ("output_tokens_per_s_total", ""): Metric("output_tokens_per_s", 1.0, True, "e2e"),
        ("output_tokens_per_s_total", "decode"): Metric("decode_tokens_per_s", 1.0, True, "decode"),
        ("output_tokens_per_s_per_chip", ""): Metric("output_tokens_per_s_per_chip", 1.0, True, "e2e"),
        ("output_tokens_per_s_per_chip", "decode"): Metric("decode_tokens_per_s_per_chip", 1.0, True, "decode"),
        ("total_tokens_per_s", ""): Metric("total_tokens_per_s", 1.0, True, "e2e"),
        ("tokens_per_s_per_user", ""): Metric("output_tokens_per_s_per_user", 1.0, True, "decode"),
    }
)
# Names that sources give to formats, besides their own.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "f16": "fp16",
        "f32": "fp32",
        "16-bit": "bf16",
        "q4_k_xl": "q4_k_m",
        "q5_k_xl": "q5_k_m",
        "q8_k_xl": "q8_0",
        "int4-awq-g128": "int4-g128",
        "gptq-int4-g128": "int4-g128",
        "int4-g32": "int4-g128",
    }
)
NEEDED = ("id", "chip", "model", "metric", "value")
NUMBERS = ("num_chips", "tp", "pp", "ep", "dp", "batch", "input_len", "output_len", "value")


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: its cells as text, and those that are numbers as numbers (None where not stated)."""

    cells: Mapping[str, str]
    numbers: Mapping[str, float | None]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def format_of(name: str) -> str | None:
    """The stored format that a source means; of the larger part where it names several (`bfp4 MLP + …`)."""
    words = name.strip().lower().split()
    for candidate in (" ".join(words), words[0] if words else ""):
        found = ALIASES.get(candidate, candidate)
        if found in DTYPES:
            return found
    return None


def shipped() -> Path:
    """The measurements that ship with the library."""
    return builtin("workloads") / "measured" / "inference.csv"


def read(path: Path) -> list[Case]:
    """The cases of a CSV file; `SpecError` with every missing column or cell that is no number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            missing = [column for column in NEEDED if column not in columns]
            if missing:
                raise SpecError([_missing(path, column, columns) for column in missing])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError([Finding(str(path), "", f"can't be read: {error}")]) from None
    findings = [finding for line, row in enumerate(rows, start=2) for finding in _faults(path, line, row)]
    if findings:
        raise SpecError(findings)
    return [Case(row, {column: _number(row.get(column)) for column in NUMBERS}) for row in rows]


def _missing(path: Path, column: str, columns: tuple[str, ...]) -> Finding:
    near = did_you_mean(column, columns, most=1)
    return Finding(str(path), column, "missing column" + (f"; is it {near}?" if near else ""), 1, 1)


def _faults(path: Path, line: int, row: Mapping[str, Any]) -> Iterator[Finding]:
    for column in NUMBERS:
        text = (row.get(column) or "").strip()
        if not text:
            if column == "value":
                yield Finding(str(path), column, "missing", line)
            continue
        number = _number(text)
        if number is None or not math.isfinite(number) or number < 0 or (column == "value" and number == 0):
            yield Finding(str(path), column, f"must be a positive number, got {text!r}", line)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text and text.strip() else None
    except ValueError:
        return None
