"""Published measurements: rows of a CSV as cases, each with what it says of the work, the machine and the result.

The columns are described in `workloads/measured/README.md`; unknown ones are ignored, an empty cell means not stated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from roofline.catalog import reading
from roofline.catalog.store import builtin
from roofline.errors import Finding, SpecError, did_you_mean
from roofline.machine.evidence import ENERGY, POWER, SYSTEM
from roofline.workload import DTYPES

Phase = Literal["prefill", "decode", "e2e", "training"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a measured figure is: its name in a prediction, its unit in SI, whether more is better, what it spans; and
    what it is measured in, if that is not time."""

    name: str
    unit: float
    more_is_better: bool
    phase: Phase
    measured_in: Literal["", "W", "J"] = ""

    @property
    def of_power(self) -> bool:
        """Whether it tells power or energy rather than time."""
        return self.measured_in != ""


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
        ("step_time_s", "training"): Metric("step_time_s", 1.0, False, "training"),
        ("total_tokens_per_s", "training"): Metric("tokens_per_s", 1.0, True, "training"),
        ("tokens_per_s_per_chip", "training"): Metric("tokens_per_s_per_chip", 1.0, True, "training"),
        ("mfu", "training"): Metric("mfu", 1.0, True, "training"),
        ("tflops_per_chip_model", "training"): Metric("tflops_per_chip_model", 1.0, True, "training"),
        ("tflops_per_chip_hw", "training"): Metric("tflops_per_chip_hardware", 1.0, True, "training"),
        ("j_per_output_token", ""): Metric("energy_j_per_token", 1.0, False, "e2e", "J"),
        ("j_per_total_token", ""): Metric("energy_j_per_total_token", 1.0, False, "e2e", "J"),
        ("j_per_request", ""): Metric("energy_j_per_request", 1.0, False, "e2e", "J"),
        ("avg_power_w_per_chip", ""): Metric("power_w_per_chip", 1.0, False, "e2e", "W"),
        ("avg_power_w_system", ""): Metric("system_power_w", 1.0, False, "e2e", "W"),
        ("j_per_total_token", "training"): Metric("energy_j_per_token", 1.0, False, "training", "J"),
        ("avg_power_w_per_chip", "training"): Metric("power_w_per_chip", 1.0, False, "training", "W"),
        ("avg_power_w_system", "training"): Metric("system_power_w", 1.0, False, "training", "W"),
    }
)
POWERS = frozenset(name for (name, _), metric in METRICS.items() if metric.of_power)  # as rows call them
HOSTS = ("node", "wall")  # scopes of a power meter that hosts are in


def scoped(metric: Metric, scope: str) -> Metric:
    """A metric as a meter of that scope tells it: energy with that of hosts, where they are in it."""
    with_hosts = metric.measured_in == "J" and scope.strip().lower() in HOSTS
    return replace(metric, name=f"system_{metric.name}") if with_hosts else metric


def class_of_power(metric: Metric) -> str:
    """What a figure of power or energy says, as a class of figures that err alike."""
    if metric.name.startswith("system_"):
        return SYSTEM
    return POWER if metric.measured_in == "W" else ENERGY


# Names that sources give to formats, besides their own.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("f16", "float16", "half", "fp16_scaled"), "fp16"),
        **dict.fromkeys(("bfloat16", "16-bit"), "bf16"),
        **dict.fromkeys(("f32", "float32"), "fp32"),
        **dict.fromkeys(("fp8_kv", "fp8_e4m3", "fp8_e5m2", "fp8-e4m3", "float8", "float8_e4m3fn"), "fp8"),
        **dict.fromkeys(("float8_e4m3fnuz", "fp8-dynamic", "fp8_rowwise", "fp8_per_tensor"), "fp8"),
        **dict.fromkeys(("fp8_block", "fp8-block-scaled", "blockwise-fp8"), "fp8-block"),
        **dict.fromkeys(("int8-w8a8", "w8a8", "8bit", "8-bit", "i8"), "int8"),
        **dict.fromkeys(("float4_e2m1fn_x2", "mxfp4_moe"), "mxfp4"),
        **dict.fromkeys(("nvfp4_block", "fp4_block"), "nvfp4"),
        **dict.fromkeys(
            ("int4-awq-g128", "gptq-int4-g128", "awq", "gptq", "int4-awq", "int4-gptq", "w4a16"), "int4-g128"
        ),
        **dict.fromkeys(("4bit", "4-bit", "q4f16", "q4f16_1", "q4f32_1", "int4-g64"), "int4-g32"),
        **dict.fromkeys(("q4_k_xl", "ud-q4_k_xl", "q4_k_s"), "q4_k_m"),
        **dict.fromkeys(("q5_k_xl", "ud-q5_k_xl", "q5_k_s"), "q5_k_m"),
        **dict.fromkeys(("q6_k_xl", "ud-q6_k_xl", "q6_k_l"), "q6_k"),
        **dict.fromkeys(("q8_k_xl", "ud-q8_k_xl", "q8"), "q8_0"),
        **dict.fromkeys(("q3_k_xl", "q3_k_s", "q3_k_l"), "q3_k_m"),
        "q4": "q4_0",
        "i4": "int4",
    }
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one kind of table: those that must exist, those that hold numbers, of these those that count
    things and so are whole, and those filled in every row."""

    name: str
    needed: tuple[str, ...]
    numbers: tuple[str, ...]
    whole: tuple[str, ...]
    filled: tuple[str, ...] = ()


SERVING = Layout(
    name="serving",
    needed=("id", "chip", "model", "metric", "value"),
    numbers=(
        "num_chips", "tp", "pp", "ep", "dp", "batch", "input_len", "output_len", "cached", "chunk", "requests",
        "value", "seq_len", "global_batch_seqs", "micro_batch_seqs", "vpp", "cp", "fsdp_zero", "expert_tp", "lora_rank",
        "scale_out_gbps", "chips_per_node", "tokens_per_s",
    ),
    whole=("num_chips", "tp", "pp", "ep", "dp", "vpp", "cp", "expert_tp"),
    filled=("value",),
)  # fmt: skip
KERNELS = Layout(
    name="kernels",
    needed=("id", "chip", "op"),
    numbers=(
        "num_chips", "m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "q_len", "kv_len", "bytes", "ranks",
        "latency_us", "tflops", "gbps",
    ),
    whole=(
        "num_chips", "m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "q_len", "kv_len", "bytes", "ranks",
    ),
)  # fmt: skip


LEAST, MOST = 1e-12, 1e12  # what is measured lies between, whatever its unit


class SkipError(Exception):
    """Why a row can't be predicted."""


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: its cells as text, and those that are numbers as numbers (None where not stated)."""

    cells: Mapping[str, str]
    numbers: Mapping[str, float | None]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column) or ""  # a row that ends early has None


def format_of(name: str) -> str | None:
    """The stored format that a source means; of the larger part where it names several (`bfp4 MLP + …`)."""
    words = name.strip().lower().split()
    for candidate in (" ".join(words), words[0] if words else ""):
        found = ALIASES.get(candidate, candidate)
        if found in DTYPES:
            return found
    return None


@dataclass(frozen=True, slots=True)
class Table:
    """A file of measurements: its layout and its rows."""

    layout: Layout
    cases: list[Case]


def shipped() -> tuple[Path, ...]:
    """The measurements that ship with the library."""
    folder = builtin("workloads") / "measured"
    return tuple(folder / name for name in ("inference.csv", "training.csv", "operators.csv", "energy.csv"))


def read(path: Path) -> Table:
    """A CSV file; `SpecError` with every missing column or cell that is no number. A column `op` marks kernels."""
    columns, rows = reading.table(path)
    layout = KERNELS if "op" in columns else SERVING
    missing = [column for column in layout.needed if column not in columns]
    if missing:
        raise SpecError([_missing(path, column, columns) for column in missing])
    findings = [finding for line, row in enumerate(rows, start=2) for finding in faults(path, line, row, layout)]
    if findings:
        raise SpecError(findings)
    return Table(layout, [case_of(row, layout) for row in rows])


def case_of(row: Mapping[str, str], layout: Layout = SERVING) -> Case:
    """A row's cells as a case."""
    return Case(row, {name: _number(row.get(name)) for name in layout.numbers})


def _missing(path: Path, column: str, columns: tuple[str, ...]) -> Finding:
    near = did_you_mean(column, columns, most=1)
    return Finding(str(path), column, "missing column" + (f"; is it {near}?" if near else ""), 1, 1)


def faults(path: Path, line: int, row: Mapping[str, Any], layout: Layout = SERVING) -> Iterator[Finding]:
    """What is wrong with the numbers of a row."""
    for column in layout.numbers:
        text = (row.get(column) or "").strip()
        if not text:
            if column in layout.filled:
                yield Finding(str(path), column, "missing", line)
            continue
        number = _number(text)
        if wrong := _wrong(number, zero=column not in layout.filled, whole=column in layout.whole):
            yield Finding(str(path), column, f"{wrong}, got {text[:60]!r}", line)


def _wrong(number: float | None, *, zero: bool, whole: bool) -> str:
    """What a cell must be that is not; empty if it is."""
    if number is None or not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        return "must be a positive number"
    if whole and (not number.is_integer() or number == 0):
        return "must be a whole number from 1 on"
    return "" if number == 0 or LEAST <= number <= MOST else f"must be from {LEAST:g} to {MOST:g}"


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text and text.strip() else None
    except ValueError:
        return None
