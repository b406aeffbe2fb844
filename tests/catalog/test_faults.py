"""Broken files: the line and the exact words, all faults at once (columns are tried in test_document)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from roofline.catalog.specs.chip import ChipSpec
from roofline.catalog.specs.job import ServingSpec, TrainingSpec
from roofline.catalog.specs.model import ModelSpec
from roofline.catalog.specs.stack import StackSpec
from roofline.catalog.store import load
from roofline.errors import SpecError
from roofline.workload import Operations

Write = Callable[..., Path]


def faults(path: Path, spec: type = ChipSpec) -> list[str]:
    with pytest.raises(SpecError) as error:
        load(path, spec)
    return [re.sub(r"^(\d+):\d+:", r"\1:", str(found).removeprefix(f"{path}:")) for found in error.value.findings]


def test_a_sound_file_loads(write: Write, chip_text: str) -> None:
    chip = load(write(chip_text), ChipSpec).build()
    assert chip.main_memory.name == "HBM"
    assert chip.peaks["bf16"].dense == 400e12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("400 TFLOP/s", "400 TB/s", "7: compute.peaks.bf16.dense: is in TB/s (bandwidth); expected arithmetic rate in FLOP/s, e.g. '989.4 TFLOP/s'"),
        ("96 GiB", "96", "11: memory.1.capacity: needs a unit, e.g. '80 GiB' (got the bare number 96)"),
        ("4 TB/s", "0 TB/s", "11: memory.1.bandwidth: must be positive, got 0 B/s"),
        ("4 TB/s", "-4 TB/s", "11: memory.1.bandwidth: must be positive, got -4 TB/s"),
        ("4 TB/s", ".nan", "11: memory.1.bandwidth: not a quantity: '.nan' (write a number and a unit, e.g. '3.35 TB/s')"),
        ("4 TB/s", "inf TB/s", "11: memory.1.bandwidth: not a quantity: 'inf TB/s' (write a number and a unit, e.g. '3.35 TB/s')"),
        ("4 TB/s", "1e400 TB/s", "11: memory.1.bandwidth: must be finite, got '1e400 TB/s'"),
        ("bandwidth: 4", "bandwith: 4", "11: memory.1.bandwith: unknown key; did you mean 'bandwidth'?"),
        ("power: {tdp: 450 W", "power: {tpd: 450 W", "14: power.tpd: unknown key; did you mean 'tdp'?"),
        ("kind: asic", "kind: gpux", "4: kind: must be 'gpu', 'tpu', 'lpu', 'asic', 'cpu' or 'npu', got 'gpux'; did you mean 'gpu'?"),
        ("per: direction, ", "", "13: links.0.per: missing"),
        ("sources:", "reliability: {chip_mtbf: 50000, source: sheet}\nsources:", "15: reliability.chip_mtbf: needs a unit, e.g. '0.7 us' (got the bare number 50000)"),
        ("sources:", "reliability: {chip_mtbf: 0 h, source: sheet}\nsources:", "15: reliability.chip_mtbf: must be positive, got 0 s"),
        ("sources:", "reliability: {mtbf: 9 h, source: sheet}\nsources:", "15: reliability.mtbf: unknown key; did you mean 'chip_mtbf'?"),
        ("sources:", "reliability: {chip_mtbf: 9 h}\nsources:", "15: reliability.source: missing"),
        ("sources:", "reliability: {chip_mtbf: 9 h, source: shet}\nsources:", "15: reliability: source 'shet' is not in sources"),
        ("chips: 8", "chips: 0", "13: links.0.chips: must be between 1 and 10^15, got 0"),
        ("chips: 8", "chips: 8.5", "13: links.0.chips: must be a whole number, got 8.5"),
        ("bf16:", "bf17:", "7: compute.peaks.bf17: must be"),
        ("name: Test", 'name: "a\\u202eb"', "2: name: must not hold control characters"),
        ("id: test-chip", "id: Test Chip", "1: id: 'Test Chip' is not of the form"),
        ("memory:\n", "memory: 3\nold:\n", "9: memory: must be a list, got 3"),
    ],
)  # fmt: skip
def test_each_fault_in_its_words(write: Write, chip_text: str, old: str, new: str, message: str) -> None:
    assert old in chip_text
    assert any(found.startswith(message) for found in faults(write(chip_text.replace(old, new)))), faults(
        write(chip_text.replace(old, new))
    )


def test_all_faults_at_once_in_the_order_of_the_file(write: Write, chip_text: str) -> None:
    broken = chip_text
    for old, new in (
        ("kind: asic", "kind: box"),
        ("400 TFLOP/s", "400"),
        ("800 TFLOP/s", "800 W"),
        ("100 MB", "-1 MB"),
        ("4 TB/s", "fast"),
        ("scope: scale-up", "scope: sideways"),
        ("450 W", "450 kg"),
    ):
        broken = broken.replace(old, new)
    found = faults(write(broken))
    lines = [int(message.split(":")[0]) for message in found]
    assert len(found) == 7
    assert lines == sorted(lines) == [4, 7, 8, 10, 11, 13, 14]


MODEL = """\
id: m
name: M
source: s
hidden: 64
vocab: 100
blocks:
  - count: 2
    mixer: {kind: full, heads: 4, kv_heads: 2, head_dim: 16}
    ffn: {kind: moe, experts: 4, top_k: 2, width: 32}
sources: {s: {title: x}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("head_dim: 16", "hed_dim: 16", "8: blocks.0.mixer.hed_dim: unknown key; did you mean 'head_dim'?"),
        ("kind: full", "kind: fulll", "8: blocks.0.mixer: needs a 'kind', one of"),
        ("kind: moe, ", "", "9: blocks.0.ffn: needs a 'kind', one of"),
        ("heads: 4", "heads: four", "8: blocks.0.mixer.heads: must be a whole number, got 'four'"),
        ("top_k: 2", "top_k: 9", "9: blocks.0.ffn.top_k: 9 is more than the 4 experts"),
        ("kv_heads: 2", "kv_heads: 3", "8: blocks.0.mixer.kv_heads: 3 does not divide 4 heads"),
        ("head_dim: 16", "head_dim: 16, window: 8", "8: blocks.0.mixer.window: goes with sliding or chunked attention"),
        ("kind: full", "kind: sliding", "8: blocks.0.mixer.window: needed for sliding"),
        (
            "kind: full, ",
            "kind: sliding, window: 8, selection: {top_k: 4}, ",
            "8: blocks.0.mixer.selection: goes with full, latent or compressed attention",
        ),
        (
            "head_dim: 16",
            "head_dim: 16, selection: {top_k: 4, heads: 2}",
            "8: blocks.0.mixer.selection: heads and head_dim go together",
        ),
        (
            "{kind: full, heads: 4, kv_heads: 2, head_dim: 16}",
            "{kind: compressed, heads: 4, head_dim: 16, q_lora_rank: 8, output_groups: 2, output_lora_rank: 4, window: 8,"
            " selection: {top_k: 4}}",
            "8: blocks.0.mixer.selection: needs groups to select from; add 'ratio', e.g. 'ratio: 4'",
        ),
        ("blocks:", "rest: fp8-block\nblocks:", "6: rest: goes with 'quantised: experts': else no part is left"),
        ("source: s\n", "source: t\n", "6: "),
        ("    mixer: {kind: full, heads: 4, kv_heads: 2, head_dim: 16}\n", "", "7: blocks: no block has a mixer: no token would see another"),
    ],
)  # fmt: skip
def test_models_break_as_clearly(write: Write, old: str, new: str, message: str) -> None:
    found = faults(write(MODEL.replace(old, new), "m.yaml"), ModelSpec)
    if "source" in old:
        assert any("source 't' is not in sources" in item for item in found)
    else:
        assert any(item.startswith(message) for item in found), found


JOB = """\
id: w
name: W
model: m
source: s
steps: [{prefill: 9}]
prefix_cache: {share: 0.5}
speculative: {tokens: 4, acceptance: 0.7, cost: 0.05}
imbalance: 1.3
sources: {s: {title: x}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("share: 0.5", "share: 1.5", "6: prefix_cache.share: must lie from 0 to 1, got 1.5"),
        ("share: 0.5", "shar: 0.5", "6: prefix_cache.shar: unknown key; did you mean 'share'?"),
        ("{share: 0.5}", "0.5", "6: prefix_cache: must be a mapping of keys to values, got 0.5"),
        ("tokens: 4", "tokens: 0", "7: speculative.tokens: must be between 1 and 10^15, got 0"),
        ("acceptance: 0.7", "acceptance: -0.7", "7: speculative.acceptance: must lie from 0 to 1, got -0.7"),
        ("acceptance: 0.7, ", "", "7: speculative.acceptance: missing"),
        ("cost: 0.05", "cost: cheap", "7: speculative.cost: "),
        (
            "cost: 0.05",
            "cost: 0.05, model: m",
            "7: speculative: tokens are drafted by a model or at a cost; leave one of them out",
        ),
        ("imbalance: 1.3", "imbalance: 0.5", "8: imbalance: must be a number of at least 1, got 0.5"),
        (
            "id: w",
            "id: w\nbatch: most",
            "2: batch: must be a whole number, got 'most', or max for as many as memory holds",
        ),
        (
            "id: w",
            "id: w\nbatch: 0",
            "2: batch: must be between 1 and 10^15, got 0, or max for as many as memory holds",
        ),
        ("imbalance: 1.3", "imbalance: yes", "8: imbalance: must be a number of at least 1, got 'yes'"),
    ],
)
def test_requests_break_as_clearly(write: Write, old: str, new: str, message: str) -> None:
    found = faults(write(JOB.replace(old, new), "w.yaml"), ServingSpec)
    assert any(item.startswith(message) for item in found), found


RUN = """\
id: r
name: R
model: m
source: s
tokens: 9
seq_len: 3
global_batch: 1
operations: {checkpoint_interval: 1 h, checkpoint_stall: 30 s, restart: 10 min, stragglers: 2 %, source: s}
sources: {s: {title: x}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("checkpoint_interval: 1 h", "checkpoint_interval: 0 h", "8: operations.checkpoint_interval: must be positive"),
        ("checkpoint_stall: 30 s", "checkpoint_stall: 30", "8: operations.checkpoint_stall: needs a unit, e.g."),
        ("checkpoint_stall: 30 s, ", "", "8: operations.checkpoint_stall: missing"),
        ("restart: 10 min", "restart: -10 min", "8: operations.restart: must not be negative, got -600 s"),
        ("restart: 10 min", "restarts: 10 min", "8: operations.restarts: unknown key; did you mean 'restart'?"),
        ("2 %", "102 %", "8: operations.stragglers: must lie from 0 to 1, got 1.02"),
        (", source: s}", "}", "8: operations.source: missing"),
        (", source: s}", ", source: t}", "8: operations: source 't' is not in sources"),
    ],
)
def test_training_runs_break_as_clearly(write: Write, old: str, new: str, message: str) -> None:
    found = faults(write(RUN.replace(old, new), "r.yaml"), TrainingSpec)
    assert any(item.startswith(message) for item in found), found


def test_operations_are_as_written_or_unknown(write: Write) -> None:
    stated = load(write(RUN, "r.yaml"), TrainingSpec)
    assert stated.operations is not None
    assert stated.operations.build() == Operations(
        checkpoint_interval=3600.0, checkpoint_stall=30.0, restart=600.0, stragglers=0.02
    )
    short = load(
        write(RUN.replace("checkpoint_interval: 1 h, ", "").replace("stragglers: 2 %, ", ""), "r.yaml"), TrainingSpec
    )
    assert short.operations is not None
    assert short.operations.build() == Operations(checkpoint_stall=30.0, restart=600.0)
    lines = [line for line in RUN.splitlines(keepends=True) if not line.startswith("operations")]
    assert load(write("".join(lines), "r.yaml"), TrainingSpec).operations is None


@pytest.mark.parametrize(("text", "batch"), [("7", 7.0), ("max", float("inf"))])
def test_a_batch_is_a_count_or_the_largest(write: Write, text: str, batch: float) -> None:
    assert load(write(JOB.replace("id: w", f"id: w\nbatch: {text}"), "w.yaml"), ServingSpec).batch == batch


@pytest.mark.parametrize("share", ["0", "1", "100 %", "0.0"])
def test_nothing_and_all_are_shares(write: Write, share: str) -> None:
    found = load(write(JOB.replace("share: 0.5", f"share: {share}"), "w.yaml"), ServingSpec)
    assert found.prefix_cache is not None
    assert found.prefix_cache.share in (0.0, 1.0)


STACK = """\
id: s
name: S
overheads: {}
kv: {policy: buckets, smallest: 128, source: s}
sources: {s: {title: x}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("policy: buckets", "policy: bucket", "4: kv.policy: must be 'paged' or 'buckets', got 'bucket'; did you mean"),
        ("policy: buckets", "policy: paged", "4: kv: smallest goes with 'policy: buckets'"),
        ("smallest: 128", "smallest: 0", "4: kv.smallest: must be between 1 and 10^15, got 0"),
        (", source: s", "", "4: kv.source: missing"),
    ],
)
def test_stacks_break_as_clearly(write: Write, old: str, new: str, message: str) -> None:
    found = faults(write(STACK.replace(old, new), "s.yaml"), StackSpec)
    assert any(item.startswith(message) for item in found), found


@pytest.mark.parametrize(
    ("kv", "bucket"),
    [("kv: {policy: buckets, smallest: 128, source: s}", 128.0), ("kv: {policy: buckets, source: s}", 1.0),
     ("kv: {policy: paged, source: s}", None), ("", None)],
)  # fmt: skip
def test_the_smallest_bucket_is_one_unless_stated(write: Write, kv: str, bucket: float | None) -> None:
    text = STACK.replace("kv: {policy: buckets, smallest: 128, source: s}", kv)
    assert load(write(text, "s.yaml"), StackSpec).build().bucket == bucket


def test_a_step_is_exactly_one_thing(write: Write) -> None:
    text = "id: w\nname: W\nmodel: m\nsource: s\nsteps:\n  - {prefill: 1, decode: 2}\nsources: {s: {title: x}}\n"
    message = "6: steps.0: must hold exactly one of prefill, decode, pause, cached, repeat, e.g. 'prefill: 2000'"
    assert faults(write(text, "w.yaml"), ServingSpec) == [message]
