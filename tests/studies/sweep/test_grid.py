"""Meshes: each row is the prediction of its point, to the last bit, however the grid is cut."""

from __future__ import annotations

import itertools
import pickle
import random
from typing import Any

import numpy as np
import pytest

import roofline as rl
from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.errors import RooflineError
from roofline.studies import knobs
from roofline.studies.knobs.knob import Case
from roofline.studies.request import Options, resolve_deployment, resolve_workload
from roofline.studies.sweep import axes
from roofline.studies.sweep.columns import plain
from roofline.studies.sweep.grid import Request, build
from roofline.studies.sweep.run import prepare
from roofline.workload import Serving

CHAT, CHIP = "llama-3.1-8b-chat", "h100-sxm"
Row = dict[str, Any]


def rows(workload: str, deployment: str, *vary: str, **options: Any) -> list[Row]:
    found: list[Row] = rl.sweep(workload, deployment, vary=vary, columns="all", **options)["rows"]
    return found


def same(row: Row, prediction: rl.Result) -> None:
    """Every metric, what memory holds, and each phase."""
    told = prediction["metrics"] | {name: value for name, value in prediction["memory"].items() if name in row}
    assert row["fits"] == prediction["fits"]
    for name, value in told.items():
        assert row[name] == value, name
    for phase in prediction["phases"]:
        name = phase["phase"]
        assert row[f"{name}_time_s"] == phase["time_s"]
        assert row[f"{name}_bound"] == phase["bound"]
        assert row[f"{name}_mfu"] == phase["mfu"]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("chip", ["8xh100-sxm", "8xmi300x", "8xtpu-v6e"])
def test_a_row_of_serving_is_the_prediction_of_its_point(chip: str) -> None:
    found = rows(CHAT, chip, "batch=1,7,64,300", "input=100:4000:3", "output=16,500", "tp=1,2,4", "pp=1,2")
    assert len(found) == 4 * 3 * 2 * 3 * 2
    for row in random.Random(1).sample(found, 12):
        degrees: dict[str, Any] = {name: int(row[name]) for name in ("tp", "pp", "dp", "ep")}
        same(
            row, rl.predict(CHAT, chip, batch=row["batch"], input_len=row["input"], output_len=row["output"], **degrees)
        )


@pytest.mark.usefixtures("small_blocks")
def test_experts_and_free_counts_of_chips() -> None:
    found = rows("deepseek-v3-chat", "h200-sxm", "tp=1,8", "dp=1,4", "ep=1,4,8,32", "weights=fp8,bf16", "batch=64,256")
    possible = [row for row in found if row["why"] in (None, "memory")]
    assert {row["why"] for row in found} >= {"nests", "memory", None}
    assert all(row["tpot_s"] is None and not row["fits"] for row in found if row not in possible)
    for row in random.Random(2).sample(possible, 8):
        assert row["num_chips"] == row["tp"] * row["dp"]
        degrees: dict[str, Any] = {name: int(row[name]) for name in ("tp", "pp", "dp", "ep")}
        same(
            row,
            rl.predict(
                "deepseek-v3-chat", CHIP.replace("h100", "h200"), batch=row["batch"], weights=row["weights"], **degrees
            ),
        )


@pytest.mark.usefixtures("small_blocks")
def test_a_row_of_training_is_the_prediction_of_its_point() -> None:
    work, where = "llama-3.1-8b-pretraining", "16xh100-sxm:zero=3,recompute=full,sequence_parallel=on"
    found = rows(work, where, "tp=1,2,3,8", "pp=1,2", "micro_batch=1,2", "global_batch=64,100")
    assert {row["why"] for row in found} >= {"heads", "batch", None}
    possible = [row for row in found if row["why"] is None]
    for row in random.Random(3).sample(possible, 6):
        plan: dict[str, Any] = {name: int(row[name]) for name in ("tp", "pp", "dp", "micro_batch")}
        same(row, rl.predict(work, where, global_batch=row["global_batch"], vpp=1, cp=1, **plan))


def test_numbers_of_a_chip_are_those_of_a_chip_that_has_them() -> None:
    for name in ("memory.bandwidth=2 TB/s", "links.scale-up.bandwidth=100 GB/s", "memory.capacity=40 GB"):
        (row,) = rows(CHAT, "2xh100-sxm:tp=2", name)
        base = rl.predict(CHAT, "2xh100-sxm:tp=2")
        case = build(Request((CHAT,), ("2xh100-sxm:tp=2",), (name,))).panels[0]
        changed = case.axes[0].knob.turn(case.case, float(case.axes[0].values[0]))
        assert row["tpot_s"] == float(search.predict(changed.job, changed.deployment).metrics["tpot_s"])  # type: ignore[arg-type]
        assert row["capacity_bytes"] < base["memory"]["capacity_bytes"] or row["tpot_s"] > base["metrics"]["tpot_s"], (
            name
        )


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("work", "where", "vary"),
    [
        (CHAT, "2xh100-sxm:tp=2", ("prefill=128,1024", "memory.bandwidth=2..8TB/s:3", "pue=1.1,1.3")),
        (CHAT, "8xh100-sxm", ("batch=1,8,9", "tp=1,2,3", "stack=vllm,ideal")),
        (
            "llama-3.1-8b-pretraining",
            "16xh100-sxm:zero=3",
            ("tp=1,2,3", "compute.peaks.bf16=1,2PFLOP/s", "seq_len=4096,8192"),
        ),
    ],
)
def test_another_process_makes_the_same_rows_without_files(
    work: str, where: str, vary: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a work that was pickled; the catalogue is not asked again."""
    here = prepare(Request((work,), (where,), vary, columns="all", where="batch != 9" if work == CHAT else None))
    text = pickle.dumps(here)
    monkeypatch.setattr(Catalog, "find", None)
    there = pickle.loads(text)
    assert there.chunks == here.chunks
    for chunk in range(here.chunks):
        (one, tally), (other, again) = here.reduced(chunk), there.reduced(chunk)
        assert tally == again
        assert plain(one) == plain(other)


@pytest.mark.parametrize("work", [CHAT, "llama-3.1-8b-pretraining"])
def test_every_key_as_an_array_is_what_it_is_as_a_number(catalog: rl.Catalog, work: str) -> None:
    """Each key by itself, at two values: the mesh holds what two predictions say."""
    job = resolve_workload(catalog, work, Options())
    where = resolve_deployment(catalog, "8xh100-sxm:tp=8", job, Options())
    case = Case(job, where)
    offload = "offload"  # to a memory that it has not
    for knob in knobs.axes(case):
        name = knob.key
        if name.startswith(offload):
            continue
        low = max(knob.least, 1e-3)
        pair = np.array([2.0, 3.0]) if knob.whole else np.array([max(low, 0.5), min(knob.most, max(2.0, low * 2))])
        told = [knob.turn(case, value) for value in pair]
        alone = [search.predict(item.job, item.deployment) for item in told]
        meshes = knob.turn(case, pair)
        together = search.predict(meshes.job, meshes.deployment)
        for metric, value in together.metrics.items():
            for at, other in enumerate(alone):
                expected = other.metrics[metric]
                assert (value is None) == (expected is None), (name, metric)
                if value is not None and expected is not None:
                    meshed = np.broadcast_to(value, (2,))[at]
                    assert np.array_equal(meshed, expected, equal_nan=True), (name, metric)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_cover_every_point_once_in_order() -> None:
    for shape in itertools.product((1, 3, 8, 9, 20), repeat=3):
        sizes = "".join(f"{name}=1:{size}:+1 " for name, size in zip(("batch", "input", "output"), shape, strict=True))
        panel = build(Request((CHAT,), ("h100-sxm:tp=1",), tuple(sizes.split()))).panels[0]
        seen: list[int] = []
        for index in range(panel.blocks):
            block = panel.block(index)
            assert block.size <= 8
            places = np.arange(panel.points).reshape(panel.shape)[tuple(slice(*span) for span in block.spans)]
            seen += places.ravel().tolist()
        assert seen == list(range(panel.points))


def test_counts_without_prices_are_those_of_rows() -> None:
    for work, where, axes_ in (
        ("llama-3.1-70b-chat", "8xh100-sxm", ("tp=1,2,3,8", "weights=bf16,fp8", "batch=1,512")),
        ("llama-3.1-8b-pretraining", "8xh100-sxm:zero=1", ("tp=1,2,8", "micro_batch=1,16,64")),
    ):
        result = rl.sweep(work, where, vary=axes_)
        estimated = rl.sweep(work, where, vary=axes_, dry_run=True)["counts"]
        assert {**result["counts"], "kept": None} == estimated
        assert 0 < estimated["fitting"] < estimated["points"]
        assert sum(row["fits"] for row in result["rows"]) == estimated["fitting"]


def test_without_axes_a_sweep_is_one_row() -> None:
    (row,) = rows(CHAT, "h100-sxm")
    same(row, rl.predict(CHAT, "h100-sxm"))


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("batch", "write NAME=RANGE"),
        ("batch=", "write NAME=RANGE"),
        ("batch=8:1:x2", "goes from 8 down to 1"),
        ("batch=0", "must be 1 or more"),
        ("batch=1,nan", "is no number"),
        ("batch=inf", "is no number"),
        ("batch=1..4", "write 1,2,4 or FROM:TO"),
        ("memory.bandwidth=2..8:3", "needs a unit"),
        ("memory.bandwidth=2..8 GB:3", "expected bandwidth"),
        ("memory.bandwidth=0 TB/s", "must be above 0"),
        ("memory.bandwith=1 TB/s", "did you mean 'memory.bandwidth'"),
        ("compute.bf16=1 PFLOP/s", "did you mean 'compute.peaks.bf16'?"),
        ("economics.pue=1.2", "did you mean 'pue'?"),
        ("links.scale-up.latency=1 TB/s", "expected time"),
        ("acceptance=0.5", "no such number"),
        ("seq_len=4096", "no such number"),
        ("weights=bf17", "must be one of"),
        ("weights=bf16,,fp8", "a name is missing"),
        ("stack=vlm", "no stack 'vlm'; did you mean"),
        ("cached_share=2", "must be 0 or more and at most 100 %"),
        ("price.hourly=1e5000 USD/h", "must be finite"),
        ("batch=1:1000000000:+1", "1,000,000 at most"),
    ],
)
def test_axes_that_mean_nothing_say_what_to_write(vary: str, message: str) -> None:
    with pytest.raises(RooflineError) as caught:
        rl.sweep(CHAT, "h100-sxm", vary=vary)
    assert message in str(caught.value)


def test_other_faults() -> None:
    big = ["batch=1:1000000:+1", "input=1:100000:+1", "output=1:11:+1"]
    for vary, options, message in (
        (["batch=1", "batch=2"], {}, "given twice"),
        (big, {}, "1,100,000,000,000 points, 1,000,000,000,000 at most; narrow batch (1,000,000 values) and input"),
        (["batch=1:400000:+1"], {}, "400,000 rows, 200,000 at most; write them to a file"),
        (["batch=1"], {"columns": "tpot"}, "did you mean 'tpot_s'"),
        (["batch=1"], {"sort": "tpot"}, "--sort: no column 'tpot'"),
        (["batch=1"], {"pareto": "tpot_s"}, "name two columns or more"),
        (["batch=1"], {"pareto": "tpot_s,chip"}, "is a word"),
        (["batch=1"], {"top": 0}, "must be 1 or more"),
        (["batch=1"], {"where": "chip < 3"}, "a word in quotes"),
        (["batch=1"], {"jobs": 0}, "must be 1 or more"),
        (["batch=1"], {"out": "x.xlsx"}, ".csv, .jsonl, .parquet"),
    ):
        with pytest.raises(RooflineError) as caught:
            rl.sweep(CHAT, "h100-sxm", vary=vary, **options)
        assert message in str(caught.value), message
    with pytest.raises(RooflineError, match="says its own weights"):
        rl.sweep(CHAT, "h100-sxm:weights=fp8", vary="weights=fp8,bf16")


def test_axes_are_in_si_units() -> None:
    bare = build(Request((CHAT,), (CHIP,), ())).panels[0].case
    assert isinstance(bare.job, Serving)
    assert axes.axis(bare, "memory.bandwidth", "2..8TB/s:4").values.tolist() == [2e12, 4e12, 6e12, 8e12]
    assert axes.axis(bare, "links.scale-up.latency", "1,2 us").values.tolist() == pytest.approx([1e-6, 2e-6])
    assert axes.axis(bare, "cached_share", "0,50%").values.tolist() == [0.0, 0.5]
    assert axes.axis(bare, "batch", "1:2:5").values.tolist() == [1.0, 2.0]
