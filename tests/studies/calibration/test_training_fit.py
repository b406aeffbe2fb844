"""Constants of stacks that train: what made-up steps tell, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.studies.calibration.constants import NARROW, TRAINED, stated, with_values
from roofline.studies.calibration.runs import Part
from roofline.studies.calibration.runs import parts as read_parts
from roofline.studies.calibration.stacks import fit_level, fit_stack
from roofline.studies.measured.table import SERVING, Case

TRUE = {"compute": 0.85, "memory": 0.8, "attention": 0.7, "overlap.data": 0.4}
ROW = {
    "id": "x", "chip": "a100-sxm-80gb", "phase": "training", "recompute": "none", "dtype": "bf16", "framework": "fsdp",
    "fsdp_zero": "3", "tp": "1", "pp": "1", "vpp": "1", "metric": "step_time_s", "value": "1e6",
}  # fmt: skip


@cache
def snapshot() -> Catalog:
    return Snapshot.of(Catalog())


def case(**cells: object) -> Case:
    text = ROW | {name: str(value) for name, value in cells.items()}
    return Case(text, {name: float(text[name]) if text.get(name) else None for name in SERVING.numbers})


def parts(cases: list[Case], stack: str = "fsdp") -> list[Part]:
    """As read, before anything was fitted."""
    found = read_parts(cases, snapshot(), calibration=None)[stack]
    plain = {name: constant.start for name, constant in TRAINED.items()}
    return [replace(part, where=replace(part.where, stack=with_values(part.where.stack, plain))) for part in found]


def truthful(rows: list[Part], values: dict[str, float]) -> list[Part]:
    """The same rows, measured at what these constants predict."""
    made = []
    for part in rows:
        told = part.predicted({name: np.array([[value]]) for name, value in values.items()})[0]
        cases = [
            replace(one, numbers={**one.numbers, "value": float(value)})
            for one, value in zip(part.cases, told, strict=True)
        ]
        made.append(replace(part, cases=cases))
    return made


def runs(**cells: object) -> list[Case]:
    """Models of two sizes on several counts of chips, with short and long sequences."""
    return [
        case(
            model=model, num_chips=chips, seq_len=seq, micro_batch_seqs=micro, global_batch_seqs=chips * micro, **cells
        )
        for model in ("llama-3.1-8b", "llama-2-13b", "qwen2.5-7b")
        for chips in (8, 64, 512)
        for seq, micro in ((2048, 8), (8192, 1), (32768, 1))
    ]


def test_constants_are_found_again() -> None:
    rows = truthful(parts(runs()), TRUE)
    found = fit_level(rows, {name: constant.start for name, constant in TRAINED.items()})
    assert found.after < 0.01 < found.before
    for name in ("compute", "attention"):  # these rows hardly tell how fast values are passed over
        assert found.values[name] == pytest.approx(TRUE[name], abs=0.1), name
    assert found.values["overlap.data"] < 0.7  # from 1 most of the way, against the pull


def test_what_no_row_tells_stays_as_stated() -> None:
    """Nothing here is narrow, has experts, a pipeline or tensor parallelism."""
    rows = truthful(parts(runs()), TRUE)
    found = fit_level(rows, dict.fromkeys(TRAINED, 0.123))
    silent = {NARROW, "matmul/fp4", "quantise", "experts", "permute", "routing"}
    silent |= {f"overlap.{kind}" for kind in ("tensor", "expert", "context", "pipeline")}
    assert not silent & set(found.free)
    assert {found.values[name] for name in silent} == {0.123}


def test_one_familys_narrow_products_say_nothing_of_anothers() -> None:
    wide = [*parts(runs()), *parts(runs(chip="h100-sxm"))]
    narrow = parts(runs(chip="h100-sxm", dtype="fp8"))
    rows = [*truthful(wide, TRUE), *truthful(narrow, {**TRUE, NARROW: 0.5})]
    fitted = fit_stack("fsdp", rows)
    assert fitted is not None
    assert fitted.trains
    assert NARROW not in fitted.fits[""].free
    assert fitted.fits["hopper"].values[NARROW] < 0.8


def test_experts_are_told_by_models_that_have_some() -> None:
    """The others tell all else; a slow host shows only where layers of experts are quickly done."""
    dense = truthful(parts(runs(framework="Megatron-LM", date="2026-06", fsdp_zero="1"), "megatron"), TRUE)
    routed = parts(mixtures(), "megatron")
    slow = {**TRUE, "routing": 0.02}
    found = fit_level([*dense, *truthful(routed, slow)], {name: constant.start for name, constant in TRAINED.items()})
    assert found.values["compute"] == pytest.approx(TRUE["compute"], abs=0.08)
    assert found.values["routing"] == pytest.approx(0.02, rel=0.3)


def mixtures(**cells: object) -> list[Case]:
    """Models with experts."""
    return [
        case(
            model=model, num_chips=64, ep=8, seq_len=seq, micro_batch_seqs=1, global_batch_seqs=64, fsdp_zero="1",
            framework="Megatron-LM", date="2026-06", **cells,
        )
        for model in ("mixtral-8x7b", "qwen3-30b-a3b")
        for seq in (1024, 4096, 16384)
    ]  # fmt: skip


def test_experts_keep_the_speed_that_others_told() -> None:
    """One family's other products are slow; nothing of it tells of experts, whose kernels are not those."""
    megatron = {"framework": "Megatron-LM", "date": "2026-06", "fsdp_zero": "1"}
    rows = [
        *truthful(parts(runs(**megatron), "megatron"), {**TRUE, "compute": 0.6}),
        *truthful(parts(runs(chip="h100-sxm", **megatron), "megatron"), TRUE),
        *truthful(parts(mixtures(chip="h100-sxm"), "megatron"), TRUE),
    ]
    fitted = fit_stack("megatron", rows)
    assert fitted is not None
    whole, ampere = fitted.fits[""].values, fitted.fits["ampere"].values
    assert ampere["compute"] < 0.95 * whole["compute"]
    assert ampere["experts"] * ampere["compute"] == pytest.approx(whole["experts"] * whole["compute"])
    assert "experts" in fitted.fits["ampere"].free


def test_experts_that_nobody_told_of_stay_as_stated() -> None:
    """Also in relation to other products: no file that builds on the stack's is overruled."""
    rows = [*truthful(parts(runs()), TRUE), *truthful(parts(runs(chip="h100-sxm")), {**TRUE, "compute": 0.6})]
    fitted = fit_stack("fsdp", rows)
    assert fitted is not None
    assert all("experts" not in fit.free for fit in fitted.fits.values())


@pytest.mark.parametrize(("beside", "told"), [(1, False), (3, True)])
def test_a_few_rows_of_another_family_are_not_several_families(beside: int, told: bool) -> None:
    """Nine rows of one family and one of another are those of one."""
    narrow = [*parts(runs(chip="h100-sxm", dtype="fp8")), *parts(runs(chip="mi300x", dtype="fp8")[:beside])]
    rows = [*truthful(parts(runs()), TRUE), *truthful(narrow, {**TRUE, NARROW: 0.5})]
    fitted = fit_stack("fsdp", rows)
    assert fitted is not None
    assert (NARROW in fitted.fits[""].free) is told


def test_a_stack_says_what_it_says() -> None:
    stack = snapshot().stack("megatron-2022")
    assert stated(stack, "overlap.tensor") == float(stack.overlaps["tensor"])
    assert stated(stack, "overlap.expert") == 1.0  # nothing is said: all may hide
    assert stated(stack, "quantise") == float(stack.rates.get("quantise", 1.0))
