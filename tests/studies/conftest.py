"""A made-up house: two chips of one family, a stack on them, and tables of what they would be measured at."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from roofline.catalog.store import Catalog
from roofline.machine import Chip, Efficiency, LinkEfficiency
from roofline.studies.calibrate import Outcome, outcome
from roofline.studies.calibration import kernels, runs
from roofline.studies.measured.table import read

Rows = list[dict[str, str]]

CHIP = """format: 1
id: {id}
name: {id}
vendor: nobody
kind: gpu
family: synthetic
compute:
  units: {{count: 100, clock: 1.5 GHz, source: made-up}}
  vector: {{rate: 40 TFLOP/s, source: made-up}}
  peaks:
    bf16: {{dense: 400 TFLOP/s, source: made-up}}
memory:
  - {{name: HBM, capacity: 160 GiB, bandwidth: {bandwidth}, source: made-up}}
links:
  - {{name: Link, scope: scale-up, bandwidth: 200 GB/s, per: direction, chips: 8, source: made-up}}
stacks: {{serving: synthetic-stack}}
sources:
  made-up: {{title: made up, date: "2026"}}
"""
FAMILY = "format: 1\nid: synthetic\nname: Synthetic\nkernels: {}\n"
STACK = "format: 1\nid: synthetic-stack\nname: Synthetic stack\noverheads: {}\n"

KNOWN = """extends: {id}
id: {id}
achieved:
  kernels:
    matmul: {{compute: 0.55, memory: 0.85, latency: 6 us, overlap: 3, fill: 0.2, split: 5 us, source: known}}
    elementwise: {{memory: 0.7, latency: 4 us, source: known}}
  links:
    scale-up: {{bandwidth: 0.65, latency: 9 us, step: 2 us, overlap: 0.8, source: known}}
sources:
  known: {{title: known, date: "2026"}}
"""
KERNELS = {
    "matmul": Efficiency(compute=0.55, memory=0.85, latency=6e-6, overlap=3.0, fill=0.2, split=5e-6),
    "elementwise": Efficiency(memory=0.7, latency=4e-6),
}
LINKS = {"scale-up": LinkEfficiency(bandwidth=0.65, latency=9e-6, step=2e-6, overlap=0.8)}
SOFTWARE = {"step": 2e-3, "layer": 30e-6, "latency": 1.0, "compute": 0.8, "memory": 0.9}
CHIPS, MODELS = ("synth-1", "synth-3"), ("llama-3.1-8b", "qwen2.5-7b")  # each in a fold of its own


@dataclass(frozen=True)
class House:
    """Where its files are, where those are that state the truth of its chips, tables of rows, and the truth."""

    folder: Path
    known: Path
    timings: Rows
    requests: Rows
    table: Callable[[str, Rows], Path]
    kernels: Mapping[str, Efficiency]
    links: Mapping[str, LinkEfficiency]
    software: Mapping[str, float]

    def catalog(self, *over: Path) -> Catalog:
        """The catalogue with the house, and folders laid over it."""
        return Catalog((*over, self.folder))


def true_chip(chip: Chip) -> Chip:
    """A chip of the house as it really is."""
    return replace(chip, achieved=KERNELS, achieved_links=LINKS)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("house")
    for kind, name, text in (
        ("families", "synthetic", FAMILY),
        ("chips", "synth-1", CHIP.format(id="synth-1", bandwidth="2 TB/s")),
        ("chips", "synth-3", CHIP.format(id="synth-3", bandwidth="1 TB/s")),
        ("stacks", "synthetic-stack", STACK),
    ):
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / f"{name}.yaml").write_text(text, encoding="utf-8")

    def table(name: str, rows: Rows) -> Path:
        path = folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
        return path

    catalog = Catalog((folder,))
    timings = timed(table, [row for chip in CHIPS for row in blank_timings(chip)], catalog)
    requests = served(table, [row for chip in CHIPS for row in blank_requests(chip)], catalog)
    known = tmp_path_factory.mktemp("known")
    (known / "chips").mkdir()
    for chip in CHIPS:
        (known / "chips" / f"{chip}.yaml").write_text(KNOWN.format(id=chip), encoding="utf-8")
    return House(folder, known, timings, requests, table, KERNELS, LINKS, SOFTWARE)


def blank_timings(chip: str) -> Rows:
    products = [
        {"op": "gemm", "dtype": "bf16", "m": str(m), "n": str(n), "k": str(k)}
        for m in (1, 16, 256, 4096)
        for n, k in ((1024, 4096), (4096, 4096), (4096, 14336), (28672, 4096), (16384, 8192))
    ]
    copies = [{"op": "memcpy", "bytes": str(2**power)} for power in range(12, 31)]
    sums = [{"op": "allreduce", "ranks": str(ranks), "bytes": str(2**power), "software": "nccl"}
            for ranks in (2, 4, 8) for power in range(12, 30, 2)]  # fmt: skip
    rows = [*products, *copies, *sums]
    return [
        {"chip": chip, "latency_us": "1", "software": "bench", **row, "id": f"{chip}-{index}"}
        for index, row in enumerate(rows)
    ]


def blank_requests(chip: str) -> Rows:
    points = [("tpot_ms", batch, length, 200) for batch in (1, 8, 32, 64) for length in (256, 1024)]
    points += [("output_tokens_per_s_total", batch, 1500, 2) for batch in (1, 4, 16)]  # reading prompts, most of it
    return [
        {
            "id": f"{chip}-{model}-{index}", "chip": chip, "num_chips": "1", "model": model, "weight_dtype": "bf16",
            "tp": "1", "batch": str(batch), "input_len": str(inputs), "output_len": str(outputs), "mode": "fixed_batch",
            "framework": "synthetic-stack", "date": "2025-06-01", "metric": metric,
            "value": "0.001" if "per_s" in metric else "1e6",
        }
        for model in MODELS
        for index, (metric, batch, inputs, outputs) in enumerate(points)
    ]  # fmt: skip


def timed(table: Callable[[str, Rows], Path], rows: Rows, catalog: Catalog) -> Rows:
    """The rows with the times that the true chips take."""
    by_entry, skipped = kernels.usable(read(table("blank.csv", rows)).cases, catalog, calibration=None)
    assert not skipped
    parts = [part for some in by_entry.values() for part in some]
    true = (replace(part, chip=true_chip(part.chip)).seconds()[1] * 1e6 for part in parts)
    return filled(rows, "latency_us", zip(parts, true, strict=True))


def served(table: Callable[[str, Rows], Path], rows: Rows, catalog: Catalog) -> Rows:
    """The rows with what the true stack on the true chips reaches."""
    usable = runs.usable(read(table("blank.csv", rows)).cases, catalog, calibration=None)
    assert not usable.skipped
    parts = usable.fitted["synthetic-stack"]
    true = [
        replace(part, where=replace(part.where, chip=true_chip(part.where.chip))).predicted(SOFTWARE)[0]
        / [metric.unit for metric in part.metrics]
        for part in parts
    ]
    return filled(rows, "value", zip(parts, true, strict=True))


def filled(rows: Rows, column: str, found: object) -> Rows:
    """The rows with values by id in one column."""
    values = {case["id"]: value for part, some in found for case, value in zip(part.cases, some, strict=True)}  # type: ignore[attr-defined]
    return [{**row, column: f"{values[row['id']]:.6g}"} for row in rows]


@pytest.fixture(scope="session")
def from_requests(house: House) -> Outcome:
    """What requests tell of a stack on chips that are known, two rows among them that nothing is fitted to."""
    first = {**house.requests[0], "mode": "server_concurrency"}
    watched = [
        {**first, "id": "queued", "metric": "ttft_ms", "value": "900"},
        {
            **first,
            "id": "offline",
            "mode": "offline_max_throughput",
            "metric": "output_tokens_per_s_total",
            "batch": "",
            "value": "9",
        },
    ]
    return outcome([house.table("requests.csv", [*house.requests, *watched])], house.catalog(house.known))


@pytest.fixture(scope="session")
def from_sums(house: House) -> Outcome:
    """What one kind of collective tells of two chips."""
    rows = [row for row in house.timings if row["op"] == "allreduce"]
    return outcome([house.table("sums.csv", rows)], house.catalog())
