"""Calibration: what made the rows is found again, written, and read back; a run does not depend on an earlier one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import roofline as rl
from roofline.catalog import store
from roofline.catalog.specs.common import source_keys
from roofline.catalog.store import Catalog
from roofline.studies import contract
from roofline.studies.calibrate import Outcome, report
from roofline.studies.calibration import kernels, overlay, runs
from roofline.studies.calibration.draft import MARK
from roofline.studies.lint import lint
from roofline.studies.measured import table

Rows = list[dict[str, str]]
ROOT = Path(__file__).resolve().parents[2]
SLOW = (  # as if an earlier run had found a very slow chip
    f"{MARK}\nextends: synth-1\nid: synth-1\nachieved:\n  kernels:\n"
    "    matmul: {compute: 0.1, memory: 0.1, latency: 90 us, source: x}\nsources:\n  x: {title: x}\n"
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def tables(house: Any, timings: Rows, requests: Rows = []) -> list[Path]:  # noqa: B006
    given = (("timings.csv", timings), ("requests.csv", requests))
    return [house.table(name, rows) for name, rows in given if rows]


def calibrated(house: Any, into: Path, *rows: Rows, **options: Any) -> rl.Result:
    return rl.calibrate(*tables(house, *rows), into=into, catalog=house.catalog(), **{"cross_check": False, **options})


def sums(house: Any) -> Rows:
    """The least that tells something: one kind of collective."""
    return [row for row in house.timings if row["op"] == "allreduce"]


def requests(house: Any, chip: str, model: str = "qwen2.5-7b") -> Rows:
    return [row for row in house.requests if (row["chip"], row["model"]) == (chip, model)]


@pytest.fixture(scope="module")
def run(house: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[rl.Result, Path]:
    into = tmp_path_factory.mktemp("run") / "fitted"
    return calibrated(house, into, house.timings, house.requests), into


def off(house: Any, into: Path) -> dict[str, np.ndarray[Any, Any]]:
    """ln(predicted/measured) of the house's rows with what was written laid over it."""
    catalog = house.catalog(into)
    timings = table.read(house.table("timings.csv", house.timings)).cases
    requests = table.read(house.table("requests.csv", house.requests)).cases
    by_entry = kernels.parts(timings, catalog, calibration=None)
    served = runs.parts(requests, catalog, calibration=None)["synthetic-stack"]
    return {
        **{entry: np.concatenate([part.errors() for part in parts]) for entry, parts in by_entry.items()},
        "requests": np.concatenate([part.errors() for part in served]),
    }


def test_predictions_read_back_are_the_measurements(house: Any, run: tuple[rl.Result, Path]) -> None:
    for what, errors in off(house, run[1]).items():
        assert np.max(np.abs(errors)) < 0.05, what
        assert np.median(np.abs(errors)) < 0.01, what


@pytest.mark.parametrize("name", ["synth-1", "synth-3"])
def test_constants_of_kernels_and_links_are_found_again(house: Any, run: tuple[rl.Result, Path], name: str) -> None:
    chip = house.catalog(run[1]).chip(name)
    assert chip.calibrated
    for kind, true in house.kernels.items():
        for field in ("compute", "memory"):
            assert getattr(chip.achieved[kind], field) == pytest.approx(getattr(true, field), rel=0.05), (kind, field)
    assert chip.achieved["elementwise"].latency == pytest.approx(house.kernels["elementwise"].latency, rel=0.05)
    for scope, link in house.links.items():
        for field in ("bandwidth", "latency", "step"):
            assert getattr(chip.achieved_links[scope], field) == pytest.approx(getattr(link, field), rel=0.15), field


def test_constants_of_the_stack_are_found_again(house: Any, run: tuple[rl.Result, Path]) -> None:
    catalog = house.catalog(run[1])
    stack = catalog.stack("synthetic-stack", catalog.chip("synth-1"))
    assert stack.measured_on == ("synth-1", "synth-3")
    for name in ("latency", "compute", "memory"):
        assert getattr(stack, name) == pytest.approx(house.software[name], rel=0.1), name
    found, true = (
        step + 30 * layer
        for step, layer in ((stack.step, stack.layer), (house.software["step"], house.software["layer"]))
    )
    assert found == pytest.approx(true, rel=0.1)  # models have much the same number of layers: only the sum is told


def test_the_report_says_what_was_found(run: tuple[rl.Result, Path]) -> None:
    result = run[0]
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(result.data)
    assert [(row["subject"], row["id"], row["level"]) for row in result["rows"]] == [
        ("family", "synthetic", ""),
        ("chip", "synth-1", ""),
        ("chip", "synth-3", ""),
        ("stack", "synthetic-stack", ""),
        ("stack", "synthetic-stack", "synthetic"),
        ("stack", "synthetic-stack", "synth-1"),
        ("stack", "synthetic-stack", "synth-3"),
    ]
    assert all(row["median_error_after"] < 0.02 for row in result["rows"])
    assert all(row["median_error_before"] > 0.1 for row in result["rows"])
    assert [row["rows"] for row in result["rows"]] == [132, 66, 66, 44, 44, 22, 22]
    assert result["rows"][3]["constants"]["step_s"] == pytest.approx(2e-3, rel=0.5)
    assert result["rows"][1]["constants"]["elementwise.latency_s"] == pytest.approx(4e-6, rel=0.05)
    assert {Path(path).name for path in result["written"]} == {
        "synthetic.yaml", "synth-1.yaml", "synth-3.yaml", "synthetic-stack.yaml",
    }  # fmt: skip


def test_every_number_in_a_file_has_its_source(house: Any, run: tuple[rl.Result, Path]) -> None:
    assert lint([run[1]], house.catalog(run[1]))["rows"] == []
    for kind, name in (("family", "synthetic"), ("chip", "synth-1"), ("stack", "synthetic-stack")):
        spec = house.catalog(run[1]).spec(kind, name)
        told = "requests.csv" if kind == "stack" else "timings.csv"
        numbers = [key for value in spec.numbers().values() for key in source_keys(value) if key != "made-up"]
        assert numbers
        assert all(told in spec.sources[key].title and ", sha256 " in spec.sources[key].title for key in numbers)
    assert spec.sources[numbers[0]].date == "2025-06-01"


def test_one_row_in_ten_may_be_broken(house: Any, tmp_path: Path) -> None:
    timings = [
        {**row, "latency_us": str(float(row["latency_us"]) * 6)} if index % 10 == 3 else row
        for index, row in enumerate(house.timings)
    ]
    calibrated(house, tmp_path, timings)
    for what, errors in off(house, tmp_path).items():
        if what != "requests":
            assert np.median(np.abs(errors)) < 0.03, what


def test_a_second_run_writes_the_same_bytes(house: Any, run: tuple[rl.Result, Path], tmp_path: Path) -> None:
    """Even where the first run's files are laid over the catalogue that the second one starts from."""
    into = tmp_path / "again"
    shutil.copytree(run[1], into)
    (into / "chips" / "synth-1.yaml").write_text(SLOW)
    files = tables(house, house.timings, house.requests)
    rl.calibrate(*files, into=into, catalog=house.catalog(into), cross_check=False)
    assert contents(into) == contents(run[1])


def test_files_of_earlier_runs_go_and_files_of_people_stay(house: Any, tmp_path: Path) -> None:
    into = tmp_path / "mixed"
    (into / "stacks").mkdir(parents=True)
    ours, theirs = into / "stacks" / "vllm.yaml", into / "stacks" / "by-hand.yaml"
    ours.write_text(f"{MARK}: gone.\nextends: vllm\nid: vllm\n")
    theirs.write_text("extends: vllm\nid: by-hand\nname: By hand\n")
    result = calibrated(house, into, sums(house))
    assert result["removed"] == [str(ours)]
    assert theirs.exists()
    written = {"families/synthetic.yaml", "chips/synth-1.yaml", "chips/synth-3.yaml"}
    assert set(contents(into)) == {*written, "stacks/by-hand.yaml"}


def test_a_file_of_the_same_name_that_no_run_wrote_is_never_touched(house: Any, tmp_path: Path) -> None:
    (tmp_path / "chips" / "sub").mkdir(parents=True)
    path = tmp_path / "chips" / "sub" / "synth-3.yaml"
    path.write_text("id: synth-3\n")
    before = contents(tmp_path)
    with pytest.raises(rl.RooflineError, match=r"synth-3\.yaml was not written by 'roofline calibrate'"):
        calibrated(house, tmp_path, sums(house))
    assert contents(tmp_path) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["chips"]


def test_files_that_can_not_be_read_go_nowhere(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "number", lambda value: "soon")
    with pytest.raises(rl.RooflineError, match="soon"):
        calibrated(house, tmp_path / "none", sums(house))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def packaged(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own, without calibrated constants, whose shipped measurements are the house's rows."""
    data = tmp_path / "package" / "_data"
    (data / "hardware" / "chips").mkdir(parents=True)
    for folder in ("families", "stacks"):
        shutil.copytree(ROOT / "hardware" / folder, data / "hardware" / folder)
    for folder in ("families", "stacks", "chips"):
        shutil.copytree(house.folder / folder, data / "hardware" / folder, dirs_exist_ok=True)
    (data / "workloads").symlink_to(ROOT / "workloads")
    monkeypatch.setattr(store, "PACKAGE", data.parent)
    files = tables(house, sums(house), [*requests(house, "synth-1"), *requests(house, "synth-3")])
    monkeypatch.setattr(table, "shipped", lambda: files)
    return data / "hardware"


def test_what_ships_does_not_depend_on_what_was_shipped_before(packaged: Path, house: Any, tmp_path: Path) -> None:
    into = packaged / "calibrated"
    first = rl.calibrate(shipped=True, into=into, catalog=Catalog(), cross_check=False)
    assert {file["split"] for file in first["files"]} == {"calibration"}
    assert {row["subject"] for row in first["rows"]} == {"family", "chip", "stack"}
    assert Catalog().chip("synth-1").calibrated
    once = contents(into)
    rl.calibrate(shipped=True, into=into, catalog=Catalog(), cross_check=False)
    assert contents(into) == once
    (into / "chips" / "synth-1.yaml").write_text(SLOW)
    rl.calibrate(shipped=True, into=tmp_path / "elsewhere", catalog=Catalog(), cross_check=False)
    assert contents(tmp_path / "elsewhere") == once


def test_rows_that_score_are_left_out_of_what_ships(packaged: Path, house: Any) -> None:
    sides = {
        split: rl.calibrate(shipped=True, split=split, cross_check=False) for split in (None, "calibration", "all")
    }
    used = {
        split: sum(row["rows"] for row in result["rows"] if row["subject"] == "chip") for split, result in sides.items()
    }
    assert used[None] == used["calibration"] < used["all"] == len(sums(house))
    reasons = [item["reason"] for item in sides["calibration"]["skipped"] if "synth" in item["id"]]
    assert reasons.count("set aside for scoring") >= used["all"] - used["calibration"] > 0


def test_one_chip_alone(house: Any, tmp_path: Path) -> None:
    rows = sums(house), [*requests(house, "synth-1"), *requests(house, "synth-3")]
    result = calibrated(house, tmp_path, *rows, chip="synth-3")
    assert [(row["subject"], row["id"], row["level"]) for row in result["rows"]] == [
        ("chip", "synth-3", ""), ("stack", "synthetic-stack", "synth-3"),
    ]  # fmt: skip
    catalog, before = house.catalog(tmp_path), house.catalog()
    assert catalog.chip("synth-1") == before.chip("synth-1")
    untouched = [each.stack("synthetic-stack", each.chip("synth-1")) for each in (catalog, before)]
    assert untouched[0].step == untouched[1].step == 0.0
    assert catalog.stack("synthetic-stack", catalog.chip("synth-3")).step > 0.0
    reasons = {item["reason"] for item in result["skipped"]}
    assert reasons == {"not asked for"}
    assert len(result["skipped"]) == sum(map(len, rows)) / 2


def test_one_stack_alone_leaves_chips_as_they_are(house: Any, tmp_path: Path) -> None:
    result = calibrated(house, tmp_path, sums(house), requests(house, "synth-1"), stack="synthetic-stack")
    assert {row["subject"] for row in result["rows"]} == {"stack"}
    assert set(contents(tmp_path)) == {"stacks/synthetic-stack.yaml"}


def test_a_part_never_takes_the_place_of_the_whole(house: Any, run: tuple[rl.Result, Path], tmp_path: Path) -> None:
    into = tmp_path / "whole"
    shutil.copytree(run[1], into)
    with pytest.raises(rl.RooflineError, match=r"holds what a run found that fitted more .* and 1 more"):
        calibrated(house, into, sums(house), chip="synth-3")
    assert contents(into) == contents(run[1])


def test_a_chip_with_numbers_below_gets_its_own_again(house: Any, run: tuple[rl.Result, Path], tmp_path: Path) -> None:
    """Else those of the layer below would hide what was found."""
    own = [row for row in requests(house, "synth-3") if row["metric"] == "tpot_ms"]
    rows = house.table("slower.csv", [{**row, "value": str(float(row["value"]) * 2)} for row in own])
    result = rl.calibrate(rows, into=tmp_path, catalog=house.catalog(run[1]), cross_check=False)
    assert [row["level"] for row in result["rows"]] == ["", "synthetic", "synth-3"]
    catalog = Catalog((tmp_path, run[1], house.folder))
    parts = runs.parts(table.read(rows).cases, catalog, calibration=None)["synthetic-stack"]
    assert np.median(np.abs(np.concatenate([part.errors() for part in parts]))) < 0.05


def test_rows_that_can_not_be_used_are_listed(house: Any, tmp_path: Path) -> None:
    broken = [
        {"chip": "abacus"},
        {"model": "eliza"},
        {"mode": "server_concurrency", "metric": "ttft_ms", "value": "1e6"},
        {"mode": "offline_max_throughput", "batch": "", "metric": "output_tokens_per_s_total", "value": "5"},
        {"value": "1e-9"},
        {"batch": "1000000"},
        {"framework": "ideal"},
    ]
    rows = [{**house.requests[0], "id": f"broken-{index}", **change} for index, change in enumerate(broken)]
    result = calibrated(house, tmp_path, [], [*requests(house, "synth-1"), *rows])
    reasons = {item["id"]: item["reason"] for item in result["skipped"]}
    assert reasons == {
        "broken-0": "chip abacus is not in the catalogue",
        "broken-1": "model eliza is not in the catalogue",
        "broken-2": "waiting in a queue is part of it",
        "broken-3": "how many requests ran at once is not stated",
        "broken-4": "beats the ideal bound",
        "broken-5": "does not fit in memory",
        "broken-6": "no stack of the catalogue stands for ideal",
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"chip": "abacus"}] * 9, "no constant can be fitted: 9 rows skipped: chip abacus is not in the catalogue"),
        ([{}] * 3, "no constant can be fitted: 3 rows are too few: a chip needs 12 of one kind of kernel, a stack 6"),
        ([], "rows.csv: no rows"),
    ],
)
def test_nothing_to_fit_is_an_error(house: Any, tmp_path: Path, rows: Rows, message: str) -> None:
    path = house.table("rows.csv", [{**house.requests[0], **row} for row in rows])
    if not rows:
        path.write_text(",".join(house.requests[0]) + "\n")
    with pytest.raises(rl.RooflineError) as error:
        rl.calibrate(path, into=tmp_path / "none", catalog=house.catalog())
    assert message in str(error.value)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to fit to; give --fit FILE or --shipped"),
        ({"shipped": True, "chip": "h10-sxm"}, "no chip 'h10-sxm'; did you mean 'h100-sxm'"),
        ({"shipped": True, "stack": "vlm"}, "no stack 'vlm'; did you mean 'vllm'"),
        ({"shipped": True, "split": "scoring"}, "--split scoring: no such side; one of calibration, all"),
        ({"shipped": True, "into": "no/such/folder"}, "no/such/folder: no such folder: no/such"),
        ({"shipped": True, "into": __file__}, f"{__file__}: is no folder"),
    ],
)
def test_bad_options_are_told_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(rl.RooflineError) as error:
        rl.calibrate(**options)
    assert message in str(error.value)


def test_what_was_left_out_is_predicted_too(from_requests: Outcome, from_sums: Outcome) -> None:
    """The truth of the house is one and the same everywhere, so that what is left out is predicted almost as well."""
    rows = [*report(from_requests)["rows"], *report(from_sums)["rows"]]
    assert len(rows) == 7
    for row in rows:
        single = "model" if row["level"].startswith("synth-") else "chip"
        assert row["left_out"] == {"family": "chip", "chip": "shape", "stack": single}[row["subject"]]
        assert row["left_out_rows"] == row["rows"], row
        assert row["median_error_left_out"] < 0.06, row


def test_a_flat_table_has_a_row_for_each_constant(from_sums: Outcome) -> None:
    result = rl.Result(report(from_sums))
    frame = result.to_frame()
    assert len(frame) == sum(len(row["constants"]) for row in result["rows"]) == 3 * 4
    found = frame[(frame["id"] == "synth-1") & (frame["constant"] == "links:scale-up.bandwidth")]
    assert found["value"].tolist() == [pytest.approx(0.65, rel=0.15)]
