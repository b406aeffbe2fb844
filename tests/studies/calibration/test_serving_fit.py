"""Constants of stacks that serve: which levels have some of their own, and which rows tell them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.machine.chip import DECODE_ATTENTION
from roofline.studies.calibration import runs
from roofline.studies.calibration.constants import CONSTANTS, stated
from roofline.studies.calibration.runs import Part
from roofline.studies.calibration.stacks import fit_level, fit_stack
from roofline.studies.measured.table import SERVING, Case

ROW = {
    "id": "x", "num_chips": "1", "weight_dtype": "bf16", "phase": "decode", "mode": "fixed_batch", "metric": "tpot_ms",
    "value": "1e6", "framework": "tensorrt-llm", "version": "0.6", "output_len": "128", "tp": "1",
}  # fmt: skip
MODELS = ("llama-2-7b", "mistral-7b")  # each query head with keys and values of its own; four share them


@cache
def snapshot() -> Catalog:
    return Snapshot.of(Catalog())


def rows(chip: str, *models: str) -> list[Part]:
    """Six rows of each model on a chip, half of them of long contexts."""
    cases = []
    for model in models:
        for batch in (1, 8, 32):
            for length in (128, 2048):
                cells = ROW | {"chip": chip, "model": model, "batch": str(batch), "input_len": str(length)}
                numbers = {name: float(cells[name]) if cells.get(name) else None for name in SERVING.numbers}
                cases.append(Case(cells, numbers))
    return runs.parts(cases, snapshot(), calibration=None)["trtllm-2023"]


@pytest.mark.parametrize(("models", "own"), [(MODELS, True), (MODELS[:1], False)])
def test_a_chip_needs_two_models_for_constants_of_its_own(models: tuple[str, ...], own: bool) -> None:
    """What one model alone tells is as much of the model as of the chip."""
    parts = [*rows("a100-sxm-80gb", *models), *rows("a100-sxm-40gb", *MODELS)]
    fitted = fit_stack("trtllm-2023", parts)
    assert fitted is not None
    assert ("a100-sxm-80gb" in fitted.fits) is own
    assert {"", "ampere", "a100-sxm-40gb"} <= fitted.fits.keys()


def test_how_often_a_cache_is_read_is_told_where_heads_share_it() -> None:
    truth, parts = {"reread": 0.6, DECODE_ATTENTION: 0.9}, rows("a100-sxm-80gb", *MODELS)
    start = {name: stated(parts[0].where.stack, name) for name in CONSTANTS}
    measured = []
    for part in parts:
        values = {name: np.array([[value]]) for name, value in (start | truth).items()}
        told = zip(part.cases, part.predicted(values)[0], part.metrics, strict=True)
        cases = [
            replace(one, numbers={**one.numbers, "value": float(value) / metric.unit}) for one, value, metric in told
        ]
        measured.append(replace(part, cases=cases))
    found = fit_level(measured, start).values
    assert {name: found[name] for name in truth} == pytest.approx(truth, rel=0.1)


def test_software_that_does_not_say_so_reads_a_cache_once() -> None:
    parts = [replace(part, where=replace(part.where, stack=replace(part.where.stack, reread=0.0)))
             for part in rows("a100-sxm-80gb", *MODELS)]  # fmt: skip
    start = {name: stated(parts[0].where.stack, name) for name in CONSTANTS}
    assert not {"reread", DECODE_ATTENTION} & set(fit_level(parts, start).free)
