"""A machine with known constants is found again; files are whole, valid and honest about what is missing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from roofline.catalog.overlay import beside, known
from roofline.catalog.store import Catalog
from roofline.errors import OutputError, RooflineError
from roofline.files import put
from roofline.studies import contract
from roofline.studies.lint import lint
from roofline.studies.measured import kernels, table
from roofline.studies.measured.table import KERNELS, Case
from roofline.studies.measuring import calibrate, jobs, measure
from roofline.studies.measuring.backends.numpy import Numpy
from roofline.studies.measuring.clock import Timing
from roofline.studies.measuring.measure import Measured, Timed
from roofline.studies.measuring.system import Cache, Machine

TRUE = """format: 1
id: found
name: "True machine"
vendor: acme
kind: cpu
compute:
  units: {count: 2, source: s}
  peaks: {fp32: {dense: 200 GFLOP/s, source: s}}
memory:
  - {name: main memory, capacity: 8 GB, bandwidth: 20 GB/s, source: s}
achieved:
  kernels:
    matmul/fp32: {compute: 0.8, memory: 0.9, latency: 20 us, overlap: 4, fill: 0.1, split: 4 us, half: 12, source: s}
    elementwise: {memory: 0.5, latency: 15 us, source: s}
    attention/fp32: {compute: 0.4, memory: 0.8, latency: 30 us, overlap: 3, half: 60, score: 40, fill: 0.1, source: s}
    decode-attention/fp32: {compute: 0.5, memory: 0.7, latency: 25 us, overlap: 3, half: 20, split: 4 us, source: s}
    experts/fp32: {compute: 0.7, memory: 0.8, latency: 60 us, half: 10, source: s}
sources: {s: {title: "made up"}}
"""
MACHINE = Machine("Test CPU", "unknown", "cpu", 8.0 * 2**30, 2, 2e9, (Cache("L1", 65536.0), Cache("L2", 4e6)))
FILES = ("mine.csv", "mine.yaml")


def as_timed(noise: float = 0.0) -> Measured:
    """Every job with the seconds that the true machine needs for it, give or take."""
    backend = Numpy()
    random = np.random.default_rng(1)
    wanted = jobs.jobs(backend, MACHINE, jobs.pool_for(backend, MACHINE))
    found: list[Timed] = []
    with known("found", TRUE, Catalog()) as catalog:
        chip = catalog.chip("found")
        for job in wanted:
            cells = {name: str(value) for name, value in job.cells.items()} | {
                "id": "1", "chip": "found", "latency_us": "1", "software": "eager numpy 2",
            }  # fmt: skip
            case = Case(cells, {name: float(cells[name]) if cells.get(name) else None for name in KERNELS.numbers})
            if job.cells["op"] in kernels.OPERATORS:
                (bench, cases), *_ = kernels.group([case], catalog)[0].items()
                _, expected, _ = kernels.seconds(bench, cases, chip, kernels.stack_for(bench, catalog, chip))
                least = float(np.asarray(expected).ravel()[0])
            else:
                least = float(str(job.cells["bytes"])) / (60e9 if "L" in str(job.cells["note"]) else 20e9)
            found.append(Timed(job, Timing(least * (1.0 + noise * random.random()), least, 5)))
    return Measured(MACHINE, backend, found, {}, 3.0, 60.0, "2026-01-02")


@pytest.fixture(scope="module")
def outcome() -> calibrate.Outcome:
    return calibrate.outcome(as_timed(0.04), "mine", Catalog())


def test_what_was_timed_is_explained(outcome: calibrate.Outcome) -> None:
    for entry, fit in outcome.fitted.fits.items():
        assert fit.after < 0.05, entry
    chip = outcome.fitted.chip
    assert set(outcome.fitted.fits) == {
        "elementwise", "matmul/fp32", "attention/fp32", "decode-attention/fp32", "experts/fp32"
    }  # fmt: skip
    assert chip.achieved["elementwise"].latency == pytest.approx(15e-6, rel=0.2)
    rate = chip.achieved["matmul/fp32"].compute * chip.peaks["fp32"].dense
    assert rate == pytest.approx(0.8 * 200e9, rel=0.1)
    moving = chip.achieved["matmul/fp32"].memory * chip.bandwidth
    assert moving == pytest.approx(0.9 * 20e9, rel=0.1)


def test_no_timing_beats_what_the_file_calls_peaks(outcome: calibrate.Outcome, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(outcome.rows)
    with known("mine", outcome.chip, Catalog()) as catalog:
        groups, _ = kernels.group(table.read(path).cases, catalog)
        for bench, cases in groups.items():
            chip = catalog.chip(bench.chip)
            measured, _, ideal = kernels.seconds(bench, cases, chip, kernels.stack_for(bench, catalog, chip))
            if bench.op != "attention_decode":  # its caches may lie nearer than memory
                assert np.all(measured >= ideal * 0.999), bench


def test_the_file_is_valid_and_claims_nothing_it_did_not_read(outcome: calibrate.Outcome, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(outcome.chip)
    assert [row["message"] for row in lint([path], Catalog())["rows"]] == []
    with beside(str(path), Catalog()) as catalog:
        chip = catalog.chip("mine")
    titles = {name: source.title for name, source in chip.sources.items()}
    assert all("timings in mine.csv" in title for name, title in titles.items() if "peaks" in name or "main" in name)
    assert titles["compute.units"] == "As the operating system and the driver tell"
    assert chip.tdp is None
    assert chip.calibrated
    assert chip.stack("training") == "eager"
    assert [level.name for level in chip.memory] == ["L1", "L2", "main memory"]


def test_the_table_beside_it_is_fitted_by_those_who_get_it(outcome: calibrate.Outcome, tmp_path: Path) -> None:
    from roofline.studies.calibrate import EVERYTHING
    from roofline.studies.calibrate import calibrate as fit

    path = tmp_path / "rows.csv"
    path.write_text(outcome.rows)
    with known("mine", outcome.chip, Catalog()) as catalog:
        found = fit([path], catalog, wanted=replace(EVERYTHING, chip="mine", cross_check=False))
    constants = found["rows"][0]["constants"]
    assert constants["matmul/fp32.compute"] == pytest.approx(
        float(outcome.fitted.chip.achieved["matmul/fp32"].compute), rel=0.1
    )


def test_the_report_obeys_the_contract(outcome: calibrate.Outcome) -> None:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    report = calibrate.report(outcome, "mine.csv", [])
    jsonschema.Draft7Validator(schema).validate(json.loads(json.dumps(report)))
    assert report["machine"]["complete"]
    assert report["machine"]["warnings"] == []


def only(found: Measured, keep: Callable[[Timed], bool]) -> Measured:
    return replace(found, timed=[item for item in found.timed if keep(item)])


def test_what_is_missing_is_said() -> None:
    found = as_timed()
    with pytest.raises(RooflineError, match="not enough for one product and one pass over memory; raise --budget"):
        calibrate.outcome(only(found, lambda item: item.job.cells["op"] != "gemm"), "mine", Catalog())
    few = calibrate.outcome(only(found, lambda item: item.job.cells["op"] in ("gemm", "read")), "mine", Catalog())
    assert set(few.fitted.fits) == {"matmul/fp32"}
    assert any("attention" in warning for warning in calibrate.report(few, "mine.csv", [])["machine"]["warnings"])


@pytest.mark.parametrize(
    ("spread", "samples", "left_out", "words"),
    [
        (1.5, 5, {}, "the machine was busy: a typical timing is 50% above the least"),
        (1.0, 1, {}, "have fewer than 3 samples; give a longer --budget"),
        (1.0, 5, {"gemm": "not enough memory (MemoryError)"}, "1 timings left out: not enough memory (MemoryError)"),
    ],
)
def test_warnings(spread: float, samples: int, left_out: dict[str, str], words: str) -> None:
    found = as_timed()
    timed = [Timed(item.job, Timing(spread * item.timing.least, item.timing.least, samples)) for item in found.timed]
    told = replace(found, timed=timed, left_out=left_out)
    assert any(words in warning for warning in told.warnings)
    assert told.complete == (samples >= 3 and not left_out)


class Small(Numpy):
    """Memory for so many values and no more."""

    most = 10_000_000

    def values(self, *shape: int, dtype: str) -> Any:
        if np.prod(shape) > self.most:
            raise MemoryError
        return super().values(*shape, dtype=dtype)


def test_out_of_memory_steps_down() -> None:
    pool = jobs.Pool(Small(), 256e6)
    assert len(pool.values("fp32")) <= Small.most
    assert pool.size == 32e6
    wanted = jobs.jobs(Small(), MACHINE, pool)
    largest = max((job for job in wanted if job.cells["op"] == "gemm"), key=lambda job: job.work)
    with pytest.raises(MemoryError):
        pool.piece(4000, 4000, dtype="fp32")
    assert callable(largest.prepare)


def test_pieces_walk_through_the_pool() -> None:
    pool = jobs.Pool(Numpy(), 16e6)
    first, second = pool.piece(1000, 1000, dtype="fp32"), pool.piece(1000, 1000, dtype="fp32")
    assert not np.shares_memory(first, second)
    pool.piece(1000, 1000, dtype="fp32")
    pool.piece(1000, 1000, dtype="fp32")
    assert np.shares_memory(first, pool.piece(1000, 1000, dtype="fp32"))


def test_the_first_jobs_are_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Numpy()
    wanted = jobs.jobs(backend, MACHINE, jobs.pool_for(backend, MACHINE))
    kinds = {job.cells["op"] for job in wanted}
    assert {job.cells["op"] for job in wanted[: len(kinds) + 1]} == kinds
    assert len({job.what for job in wanted}) == len(wanted)


@pytest.mark.parametrize("name", ["mine.txt", "Mine.yaml", "no/mine.yaml"])
def test_a_place_that_can_not_be_is_refused_before_anything_is_timed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(calibrate, "measure", never)
    with pytest.raises(OutputError):
        calibrate.calibrate(Numpy(), tmp_path / name, Catalog())


def test_what_is_stopped_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "mine.yaml").write_text("mine\n")
    monkeypatch.setattr(calibrate, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        calibrate.calibrate(Numpy(), tmp_path / "mine.yaml", Catalog())
    monkeypatch.setattr("os.replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        put({tmp_path / "mine.yaml": "other\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    assert (tmp_path / "mine.yaml").read_text() == "mine\n"


def test_this_machine_in_five_seconds(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    path = tmp_path / "mine.yaml"
    found = calibrate.calibrate(
        Numpy(), path, Catalog(), budget=5.0, watch=lambda share, what: told.append((share, what))
    )
    assert sorted(Path(place).name for place in found["written"]) == list(FILES)
    assert sorted(place.name for place in tmp_path.iterdir()) == list(FILES)
    assert [row["message"] for row in lint([path], Catalog())["rows"]] == []
    assert 1e8 < found["machine"]["peaks"]["fp32"] < 1e14
    assert 1e8 < found["machine"]["bandwidths"]["main memory"] < 1e13
    assert 0.0 < told[0][0] <= told[-1][0] <= 1.0
    rows = list(csv.DictReader((tmp_path / "mine.csv").read_text().splitlines()))
    assert len(rows) == found["machine"]["timings"] == len({row["id"] for row in rows})
    assert all(float(row["least_us"]) <= float(row["latency_us"]) for row in rows)


def test_columns_hold_all_that_jobs_say() -> None:
    backend = Numpy()
    cells: Sequence[jobs.Job] = jobs.jobs(backend, MACHINE, jobs.pool_for(backend, MACHINE))
    assert {name for job in cells for name in job.cells} <= set(measure.COLUMNS)


def test_a_fault_that_is_not_of_memory_is_no_want_of_memory() -> None:
    class Broken(Numpy):
        def values(self, *shape: int, dtype: str) -> Any:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        measure.measure(Broken(), 1.0)
