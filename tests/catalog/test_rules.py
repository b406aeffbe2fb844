"""Rules beyond types: each has a file that breaks it, and its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roofline.catalog.rules import RULES
from roofline.catalog.store import Catalog
from roofline.studies.lint import lint_file

Write = Callable[..., Path]

BROKEN = {
    "id_is_stem": ("id: test-chip", "id: other", "warning: id: is 'other' but the file is called test-chip.yaml"),
    "sources_resolve": (
        "power: {tdp: 450 W, source: sheet}",
        "power: {tdp: 450 W, source: shet}",
        "power: source 'shet' is not in sources; did you mean 'sheet'?",
    ),
    "sparse_not_below_dense": (
        "{dense: 400 TFLOP/s,",
        "{dense: 400 TFLOP/s, sparse: 200 TFLOP/s,",
        "compute.peaks.bf16.sparse: 200 TFLOP/s is below dense 400 TFLOP/s; are the two swapped?",
    ),
    "narrow_not_below_wide": ("800 TFLOP/s", "300 TFLOP/s", "warning: compute.peaks.fp8.dense: is below the bf16 peak"),
    "one_main_memory": (
        ", bandwidth: 4 TB/s",
        "",
        "memory.1: the main memory needs a bandwidth, e.g. 'bandwidth: 3.35 TB/s'",
    ),
    "one_scratchpad": (
        "100 MB, source",
        "100 MB, pinned: true, source",
        "memory.0: weights that are pinned here are read at its bandwidth; add it",
    ),
    "near_to_far": (
        "100 MB, source",
        "100 MB, bandwidth: 1 TB/s, source",
        "warning: memory.1.bandwidth: is above that of SRAM, a nearer level",
    ),
    "ridge_point_plausible": (
        "4 TB/s",
        "4 GB/s",
        "ridge point 1e+05 FLOP/B against HBM is outside 0.1 to 10,000; check the prefixes",
    ),
    "link_below_memory": ("300 GB/s", "9 TB/s", "links.0.bandwidth: is above that of HBM; per chip and one direction?"),
}


@pytest.mark.parametrize("rule", sorted(BROKEN))
def test_a_broken_rule_is_found(write: Write, chip_text: str, rule: str) -> None:
    old, new, message = BROKEN[rule]
    assert old in chip_text
    found = [str(finding) for finding in lint_file(write(chip_text.replace(old, new)), Catalog())]
    assert any(message in item for item in found), found


def test_a_second_main_memory_is_refused(write: Write, chip_text: str) -> None:
    text = chip_text.replace("100 MB,", "100 MB, bandwidth: 9 TB/s, main: true,").replace(
        "96 GiB,", "96 GiB, main: true,"
    )
    found = [str(finding) for finding in lint_file(write(text), Catalog())]
    assert any("memory.1.main: a second main memory; only one level holds the weights" in item for item in found)


def test_weights_are_pinned_before_the_main_memory_alone(write: Write, chip_text: str) -> None:
    text = chip_text.replace("96 GiB,", "96 GiB, pinned: true,")
    found = [str(finding) for finding in lint_file(write(text), Catalog())]
    assert any("memory.1.pinned: weights are pinned to a memory before the main one" in item for item in found), found


def test_an_unused_source_is_a_warning(write: Write, chip_text: str) -> None:
    found = lint_file(write(chip_text + "  spare: {title: Unused}\n"), Catalog())
    assert [(item.severity, item.message) for item in found] == [("warning", "no number refers to this source")]


def test_a_sound_file_is_silent(write: Write, chip_text: str) -> None:
    assert lint_file(write(chip_text), Catalog()) == []


def test_every_rule_has_a_broken_file() -> None:
    """`heads_divide` is broken in test_faults, with models, `prices_say_something` in test_economics, `steps_in_order` in
    test_scenarios."""
    elsewhere = {"heads_divide", "prices_say_something", "steps_in_order"}
    assert {rule.__name__ for rule in RULES} == {*BROKEN, *elsewhere}
