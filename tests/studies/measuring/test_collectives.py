"""What ranks exchange is timed within a budget, whatever becomes of them, and a link that is known is found again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import jsonschema
import numpy as np
import pytest

from roofline.catalog.overlay import known
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.report import formats
from roofline.studies import contract
from roofline.studies.lint import lint
from roofline.studies.measured import kernels, table
from roofline.studies.measured.table import KERNELS, Case
from roofline.studies.measuring import calibrate, collectives, fitting, measure
from roofline.studies.measuring.backends import Backend
from roofline.studies.measuring.backends.numpy import Numpy
from roofline.studies.measuring.clock import Clock, Timing
from roofline.studies.measuring.collectives import OPS, SIZES, USED_UP, Exchange, exchanged, exchanges, ranks_of
from roofline.studies.measuring.jobs import Job
from roofline.studies.measuring.measure import Measured, Timed
from roofline.studies.measuring.processes import LostError, RefusedError
from roofline.studies.measuring.system import Machine
from roofline.studies.validate import validate

LIBRARY = "nccl 2.27.5 (torch 2.9.1)"
TRUE = """format: 1
id: found
name: "True machine"
vendor: acme
kind: gpu
compute:
  peaks: {fp32: {dense: 20 TFLOP/s, source: s}}
memory:
  - {name: main memory, capacity: 80 GB, bandwidth: 2 TB/s, source: s}
links:
  - {name: wires, scope: scale-up, bandwidth: 300 GB/s, per: direction, chips: 8, TOPOLOGYsource: s}
achieved:
  links:
    scale-up: {bandwidth: 0.8, latency: 12 us, step: 1.5 us, overlap: 0.8, source: s}
sources: {s: {title: "made up"}}
"""
GPU = Machine("Test GPU", "unknown", "gpu", 80.0 * 2**30, 100, 1.5e9)


class Talking(Numpy):
    """NumPy, and processes that only seem to exchange messages: a second for each GB, 10 us at least."""

    name = "talking"
    library = LIBRARY
    devices = most_ranks = 8
    room = 1e12
    refused: Sequence[str] = ()
    joins = True
    lasts = 10**9  # requests until they are lost

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int, int, int]] = []
        self.left = 0

    @contextmanager
    def joined(self, ranks: int, groups: Sequence[int]) -> Iterator[Talking]:
        if not self.joins:
            raise LostError("nobody answers")
        assert groups == collectives.groups(ranks)
        try:
            yield self
        finally:
            self.left += 1

    def hold(self, size: float) -> float:
        return min(size, self.room)

    def seconds(self, op: str, ranks: int, size: int, calls: int) -> float:
        self.asked.append((op, ranks, size, calls))
        if len(self.asked) > self.lasts:
            raise LostError("process 3 of 8 ended with exit code 1")
        if op in self.refused:
            raise RefusedError("Function not implemented")
        return 1e-5 + size / 1e9


def over(budget: float = 1e6, backend: Talking | None = None) -> tuple[Talking, collectives.Exchanged]:
    backend = backend or Talking()
    found = exchanged(backend, 8, Clock(budget))
    assert backend.left == backend.joins
    return backend, found


def test_all_is_exchanged_between_two_and_between_all() -> None:
    backend, found = over()
    assert found.left_out == {}
    assert {(item.op, item.ranks) for item, _ in found.samples} == {(op, ranks) for op in OPS for ranks in (2, 8)}
    assert len({item.what for item, _ in found.samples}) == len(found.samples) == len(OPS) * len(SIZES) * 2
    assert {len(samples) for _, samples in found.samples} == {15}
    for item, samples in found.samples:
        assert np.median(samples) == pytest.approx(1e-5 + item.size / 1e9)
    assert min(SIZES) == 1024
    assert max(SIZES) > 1e8
    assert [asked for asked in backend.asked if asked[2] == 1024 and asked[0] == "allreduce"][-1][3] == 200
    assert max(calls for _, _, size, calls in backend.asked if size > 1e7) == 1  # a sample by itself


@pytest.mark.parametrize("ranks", [2, 3, 7, 8])
def test_buffers_divide_among_ranks(ranks: int) -> None:
    for item in exchanges(ranks, LIBRARY):
        assert item.size % (4 * item.ranks) == 0
        assert 0 < item.size <= max(SIZES)
        assert set(item.cells) <= set(measure.COLUMNS)
        share = {"allreduce": 2.0}.get(item.op, 1.0) * (item.ranks - 1) / item.ranks
        assert item.sent == pytest.approx(item.size * share)


def test_without_time_a_few_sizes_of_each_are_timed_once() -> None:
    _, found = over(0.0)
    assert {len(samples) for _, samples in found.samples} == {1}
    assert sorted({item.size for item, _ in found.samples}) == [1024, 65536, 4194304]
    assert len(found.samples) == 3 * len(OPS) * 2
    assert set(found.left_out.values()) == {USED_UP}
    assert len(found.samples) + len(found.left_out) == len(OPS) * len(SIZES) * 2


def test_what_can_not_be_done_is_left_out_and_the_rest_goes_on() -> None:
    backend = Talking()
    backend.refused, backend.room = ("reducescatter",), 1e6
    _, found = over(backend=backend)
    assert {item.op for item, _ in found.samples} == {*OPS} - {"reducescatter"}
    assert max(item.size for item, _ in found.samples) <= 1e6
    assert set(found.left_out.values()) == {"Function not implemented", "not enough memory"}


@pytest.mark.parametrize(("lasts", "timed"), [(0, 0), (1, 0), (3, 1), (1000, 80)])
def test_processes_that_are_lost_leave_what_they_timed(lasts: int, timed: int) -> None:
    backend = Talking()
    backend.lasts = lasts
    _, found = over(backend=backend)
    assert set(found.left_out.values()) == {"process 3 of 8 ended with exit code 1"}
    assert len(found.samples) == timed
    assert all(samples for _, samples in found.samples)
    assert len(found.left_out) == (80 - timed or 1)
    assert (collectives.MORE in found.left_out) == (timed == 80)


def test_processes_that_do_not_start_are_a_warning() -> None:
    backend = Talking()
    backend.joins = False
    _, found = over(backend=backend)
    assert found.samples == []
    assert set(found.left_out.values()) == {"nobody answers"}


def test_how_many_take_part() -> None:
    backend = Talking()
    assert ranks_of(backend, None) == 8
    assert ranks_of(backend, 2) == 2
    assert ranks_of(Numpy(), None) == ranks_of(Numpy(), 1) == 1
    with pytest.raises(RooflineError, match="--ranks 0: must be 1, which exchanges nothing, or more"):
        ranks_of(backend, 0)
    with pytest.raises(RooflineError, match=r"--ranks 2: NumPy exchanges nothing between processes, PyTorch does"):
        ranks_of(Numpy(), 2)
    with pytest.raises(RooflineError, match="--ranks 9: a rank takes one of the cores of cpu; there are 8"):
        ranks_of(backend, 9)
    backend.device = "cuda"
    with pytest.raises(RooflineError, match="--ranks 9: a rank takes one of the devices of cuda; there are 8"):
        ranks_of(backend, 9)


def test_collectives_come_last_and_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels get their share of the budget, what is between ranks the rest."""
    shares: list[float] = []

    def between(backend: Backend, ranks: int, clock: Clock, tell: object) -> collectives.Exchanged:
        shares.append(clock.budget)
        return collectives.Exchanged()

    monkeypatch.setattr(measure, "exchanged", between)
    monkeypatch.setattr(measure, "_Runs", _runs(shares))
    measure.measure(Talking(), 10.0, ranks=2)
    assert shares == [8.0, 10.0]
    measure.measure(Talking(), 10.0)
    assert shares[2:] == [10.0]


def test_rows_say_who_took_part_and_what_carried_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, str]] = []
    monkeypatch.setattr(measure, "jobs", lambda *_: [])
    found = measure.measure(Talking(), 0.01, lambda share, what: told.append((share, what)), ranks=8)
    rows = measure.rows(found, "mine")
    assert len(rows) == len(found.timed) >= 24
    assert {(row["ranks"], row["num_chips"], row["software"]) for row in rows} == {(2, 2, LIBRARY), (8, 8, LIBRARY)}
    assert {row["chip"] for row in rows} == {"mine"}
    assert told[0][1] == "starting 8 processes"
    assert all(0.0 < share <= 1.0 for share, _ in told)


def _runs(budgets: list[float]) -> type:
    class Runs:
        samples: Sequence[object] = ()
        left_out: Mapping[str, str] = MappingProxyType({})

        def __init__(self, backend: Backend, clock: Clock, *_: object) -> None:
            budgets.append(clock.budget)

        def over(self, wanted: object) -> None:
            pass

    return Runs


def as_timed(topology: str = "switch", ranks: int = 8, machine: Machine = GPU) -> Measured:
    """Every collective with the seconds that the true machine needs for it, and what a chip has to have besides."""
    random = np.random.default_rng(2)
    text = TRUE.replace("TOPOLOGY", f"topology: {topology}, ")
    product = {"op": "gemm", "dtype": "fp32", "m": 512, "n": 512, "k": 512, "note": "cold"}
    copies = [{"op": "memcpy", "dtype": "fp32", "bytes": size * 10**7, "note": "cold"} for size in range(1, 6)]
    besides = [(product, 1e-4), *((copy, 1e-5 + float(str(copy["bytes"])) / 1e12) for copy in copies)]
    found = [Timed(Job(cells, 1.0, lambda: lambda: 0), Timing(least, least, 5)) for cells, least in besides]
    with known("found", text, Catalog()) as catalog:
        chip = catalog.chip("found")
        wanted = [*exchanges(ranks, LIBRARY)]
        for bench, cases in kernels.group([case(str(at), item) for at, item in enumerate(wanted)], catalog)[0].items():
            assert not bench.direct
            _, expected, _ = kernels.seconds(bench, cases, chip, kernels.stack_for(bench, catalog, chip))
            for one, least in zip(cases, np.broadcast_to(expected, len(cases)).tolist(), strict=True):
                timing = Timing(least * (1.0 + 0.04 * random.random()), least, 5)
                found.append(Timed(wanted[int(one["id"])], timing))
    return Measured(machine, Talking(), found, {}, 3.0, 60.0, "2026-01-02")


def case(name: str, item: Exchange) -> Case:
    cells = {column: str(value) for column, value in item.cells.items()}
    cells |= {"id": name, "chip": "found", "latency_us": "1"}
    return Case(cells, {column: float(cells[column]) if cells.get(column) else None for column in KERNELS.numbers})


@pytest.fixture(scope="module")
def outcome() -> calibrate.Outcome:
    return calibrate.outcome(as_timed(), "mine", Catalog())


def test_a_link_is_found_again(outcome: calibrate.Outcome) -> None:
    rings, sends = (outcome.fitted.fits[f"links:{name}"] for name in ("scale-up", "scale-up/sends"))
    assert (rings.rows, sends.rows) == (60, 20)
    assert max(rings.after, sends.after) < 0.03
    chip = outcome.fitted.chip
    (link,), reached = chip.links, chip.achieved_links["scale-up"]
    assert float(link.bandwidth * reached.bandwidth) == pytest.approx(0.8 * 300e9, rel=0.1)
    assert float(reached.latency + reached.step) == pytest.approx(13.5e-6, rel=0.15)
    assert link.chips == 8.0


@pytest.mark.parametrize("topology", ["switch", "mesh"])
def test_no_timing_beats_the_link_of_the_file(topology: str, tmp_path: Path) -> None:
    found = as_timed(topology)
    rates = fitting.rates(found)
    assert rates.joined is not None
    assert (rates.joined.topology, rates.joined.ranks) == (topology, 8)
    assert 0.9 * 0.8 * 300e9 < rates.joined.bandwidth <= 0.8 * 300e9
    told = calibrate.outcome(found, "mine", Catalog())
    path = tmp_path / "rows.csv"
    path.write_text(told.rows)
    with known("mine", told.chip, Catalog()) as catalog:
        chip = catalog.chip("mine")
        assert chip.links[0].topology == topology
        for bench, cases in kernels.group(table.read(path).cases, catalog)[0].items():
            measured, _, ideal = kernels.seconds(bench, cases, chip, kernels.stack_for(bench, catalog, chip))
            assert np.all(measured >= ideal * 0.999), bench


def test_two_ranks_alone_are_a_switch() -> None:
    rates = fitting.rates(as_timed("mesh", ranks=2))
    assert rates.joined is not None
    assert (rates.joined.topology, rates.joined.ranks) == ("switch", 2)


def test_the_file_says_that_the_link_was_measured(outcome: calibrate.Outcome, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(outcome.chip)
    assert [row["message"] for row in lint([path], Catalog())["rows"]] == []
    with known("mine", outcome.chip, Catalog()) as catalog:
        titles = {name: source.title for name, source in catalog.chip("mine").sources.items()}
    said = titles["links.between devices"]
    assert said.startswith(f"The fastest of 80 timings of collectives in mine.csv ({LIBRARY}, up to 8 processes on cpu")
    assert "timings in mine.csv" in titles["achieved.links.scale-up"]
    assert "The fastest of 6 timings in mine.csv" in titles["compute.peaks.fp32"]
    assert "no chips of their own" not in outcome.chip


def test_processes_of_one_processor_are_said_to_be_no_chips() -> None:
    told = calibrate.outcome(as_timed(ranks=2, machine=replace(GPU, kind="cpu")), "mine", Catalog())
    assert "no chips of their own" in told.chip
    assert "name: between processes" in told.chip


def test_the_report_obeys_the_contract_and_shows_the_link(outcome: calibrate.Outcome) -> None:
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    report = json.loads(json.dumps(calibrate.report(outcome, "mine.csv", [])))
    jsonschema.Draft7Validator(schema).validate(report)
    (link,) = report["machine"]["links"]
    assert (link["ranks"], link["timings"], link["software"]) == (8, 80, LIBRARY)
    assert report["rows"][0]["constants"]["links:scale-up.latency_s"] > 0.0
    shown = " ".join(formats.render(report, "table").split())
    assert "between devices, 8 of them" in shown
    assert "links:scale-up" in shown


def test_a_link_that_was_timed_too_seldom_is_said() -> None:
    found = as_timed()
    timed = [item for item in found.timed if isinstance(item.job, Job)]
    few = replace(found, timed=[*timed, *[item for item in found.timed if isinstance(item.job, Exchange)][:4]])
    told = calibrate.outcome(few, "mine", Catalog())
    assert "links:scale-up" not in told.fitted.fits
    assert any("links:scale-up" in warning for warning in calibrate.report(told, "mine.csv", [])["machine"]["warnings"])


def test_without_ranks_there_is_no_link() -> None:
    found = as_timed()
    alone = replace(found, timed=[item for item in found.timed if isinstance(item.job, Job)])
    told = calibrate.outcome(alone, "mine", Catalog())
    assert "links" not in told.chip
    assert calibrate.report(told, "mine.csv", [])["machine"]["links"] == []


def test_the_table_is_read_by_those_who_get_it(outcome: calibrate.Outcome, tmp_path: Path) -> None:
    """By `calibrate --fit` and by `validate`, as rows of others are."""
    from roofline.studies.calibrate import EVERYTHING
    from roofline.studies.calibrate import calibrate as fit

    path = tmp_path / "mine.csv"
    path.write_text(outcome.rows)
    rows = [row for row in csv.DictReader(outcome.rows.splitlines()) if row["ranks"]]
    assert {(row["ranks"], row["num_chips"], row["software"]) for row in rows} == {
        ("2", "2", LIBRARY), ("8", "8", LIBRARY)
    }  # fmt: skip
    with known("mine", outcome.chip, Catalog()) as catalog:
        found = fit([path], catalog, wanted=replace(EVERYTHING, chip="mine", cross_check=False))
        told = validate(path, catalog, ("what",))
    constants = found["rows"][0]["constants"]
    link = float(outcome.fitted.chip.achieved_links["scale-up"].bandwidth)
    assert constants["links:scale-up.bandwidth"] == pytest.approx(link, rel=0.1)
    (summary,) = [row for row in told["summary"] if row["group"] == "collective"]
    assert summary["cases"] == 80
    assert summary["median_absolute_error"] < 0.05
