"""Laws of kernels: what each constant does to a time, and what no constant may do, shipped or made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.catalog.store import KINDS, Catalog
from roofline.engine import ops, roof
from roofline.engine.ops import Op
from roofline.machine import Chip, Efficiency, Memory, Peak, Stack
from roofline.machine.chip import ATTENTION, DECODE_ATTENTION, ELEMENTWISE, EXPERTS, IDEAL_KERNEL, MATMUL, QUANTISE

PEAK, BANDWIDTH, UNITS, US = 1e15, 4e12, 100.0, 1e-6
NOTHING = Stack(id="ideal", name="none")
FORMATS = {"bf16": 2.0, "fp8": 1.0, "fp8-block": 1.0, "nvfp4": 0.5, "int8": 1.0}


def machine(reached: Efficiency = IDEAL_KERNEL, kind: str = MATMUL, **more: Any) -> Chip:
    """A chip on which kernels of one kind reach that much, and all others the datasheet."""
    chip = Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={name: Peak(dense=PEAK * 2.0 / width) for name, width in FORMATS.items() if "-" not in name},
        vector=PEAK / 16,
        compute_units=UNITS,
        clock=2e9,
        memory=(Memory(name="L2", capacity=5e7), Memory(name="HBM", capacity=8e10, bandwidth=BANDWIDTH)),
        achieved={kind: reached},
    )
    return replace(chip, **more)


def quick(chip: Chip, what: str) -> Chip:
    """The same with endless arithmetic, or endless bandwidth: the other roof alone."""
    if what == "arithmetic":
        return replace(chip, peaks={name: Peak(dense=np.inf) for name in chip.peaks}, vector=np.inf)
    return replace(chip, memory=(*chip.memory[:-1], replace(chip.memory[-1], bandwidth=np.inf)))


def seconds(op: Op, chip: Chip, stack: Stack = NOTHING) -> float:
    """Expected seconds of one execution."""
    return float(roof.price(op, chip, stack, ideal=False).time)


def product(m: float, k: float = 4096.0, n: float = 4096.0, dtype: str = "bf16") -> Op:
    width = FORMATS[dtype]
    return ops.matmul("x", m, k, n, w=width, a=width, r=2.0, dtype=dtype)


def prompt(q: float, context: float = 0.0, b: float = 1.0, h: float = 8.0, dtype: str = "bf16") -> Op:
    pairs, c = q * context + q * (q + 1.0) / 2.0, FORMATS[dtype]
    return ops.attention(
        "x", b=b, q=q, p=pairs, l=context + q, h=h, d=128.0, v=128.0, g=h * 64.0, a=2.0, r=2.0, c=c, dtype=dtype
    )


def token(l: float, b: float = 1.0, h: float = 8.0, dtype: str = "bf16") -> Op:
    c = FORMATS[dtype]
    return ops.decode_attention(
        "x", b=b, l=l, h=h, d=128.0, v=128.0, g=h * 64.0, a=2.0, r=2.0, c=c, dtype=dtype, stored=dtype
    )


def experts(m: float, k: float = 4096.0, n: float = 2048.0, dtype: str = "bf16") -> Op:
    """Eight of 64 for each token."""
    width, touched = FORMATS[dtype], ops.expected_experts(64.0, 8.0, m)
    return ops.expert_matmul("x", 8.0 * m, touched, k, n, w=width, a=width, r=2.0, dtype=dtype)


def narrowed(m: float, k: float = 4096.0, dtype: str = "fp8") -> Op:
    return ops.quantise("x", m=m, k=k, a=FORMATS[dtype], r=2.0)


def passed(m: float, k: float = 4096.0, dtype: str = "bf16") -> Op:
    return ops.elementwise("x", m=m, i=k, o=k, f=6.0 * k, r=2.0)


def recurrence(m: float, b: float = 4.0, dtype: str = "bf16") -> Op:
    return ops.scan("x", m=m, b=b, s=1e5, i=8192.0, o=4096.0, f=5.0, z=4.0, a=2.0, r=2.0, dtype=dtype, decode=False)


# --- each constant alone ----------------------------------------------------------------------------------------

LARGE = product(8192.0, 8192.0, 8192.0)  # more arithmetic than memory on any machine here
ROOF = float(LARGE.flops) / PEAK


def test_half_are_the_rows_at_half_of_the_rate() -> None:
    assert seconds(LARGE, machine(Efficiency(half=8192.0))) == pytest.approx(2 * ROOF, rel=1e-12)


def test_a_ramp_costs_the_arithmetic_of_half_more_rows() -> None:
    ramped = seconds(product(100.0), quick(machine(Efficiency(half=28.0)), "memory"))
    assert ramped == pytest.approx(seconds(product(128.0), quick(machine(), "memory")), rel=1e-12)


@pytest.mark.parametrize("op", [prompt(100.0), token(100.0)])
def test_a_ramp_of_attention_counts_what_its_rows_bring(op: Op) -> None:
    """Half more of the bytes that grow with the rows: all of a prompt's, of a token's those of the cache."""
    ramped = seconds(op, quick(machine(Efficiency(half=50.0), op.kind), "arithmetic"))
    cached = op.bytes if op.kind == ATTENTION else op.terms["b"] * op.terms["l"] * op.terms["g"] * op.terms["c"]
    assert ramped == pytest.approx((op.bytes + 0.5 * cached) / BANDWIDTH, rel=1e-12)


def test_a_short_sequence_takes_the_time_of_the_least() -> None:
    """Of the cache that it reads; a long one takes its own."""
    chip = quick(machine(Efficiency(least=50.0), DECODE_ATTENTION), "arithmetic")
    short, long = token(10.0), token(100.0)
    cached = short.terms["b"] * short.terms["g"] * short.terms["c"]
    assert seconds(short, chip) == pytest.approx((short.bytes + 40.0 * cached) / BANDWIDTH, rel=1e-12)
    assert seconds(long, chip) == pytest.approx(long.bytes / BANDWIDTH, rel=1e-12)


def test_a_ramp_does_not_read_the_context_again() -> None:
    """Few tokens after many: the cache is read once, and only what half more tokens would bring is added."""
    each, chip = prompt(1.0), quick(machine(Efficiency(half=50.0), ATTENTION), "arithmetic")
    op = prompt(10.0, context=100_000.0)
    assert seconds(op, chip) == pytest.approx((op.bytes + 50.0 * each.bytes) / BANDWIDTH, rel=1e-12)


def test_products_load_their_weights_once_however_slow_they_start() -> None:
    chips = [quick(machine(Efficiency(half=half)), "arithmetic") for half in (0.0, 500.0)]
    assert seconds(product(16.0), chips[0]) == seconds(product(16.0), chips[1])


def test_nothing_to_read_takes_no_time() -> None:
    """An indexer has no complete group to score yet: no rows, and no division by them."""
    op = ops.decode_attention("x", b=1.0, l=0.0, h=8.0, d=64.0, v=0.0, g=64.0, a=2.0, r=2.0, c=2.0, dtype="bf16")
    assert seconds(op, machine(Efficiency(half=50.0), DECODE_ATTENTION)) == pytest.approx(op.bytes / BANDWIDTH)


def test_the_softmax_of_a_pair_costs_columns() -> None:
    """Two products of 128 columns each, and a score of 64: a quarter more."""
    op = prompt(4096.0)
    assert seconds(op, machine(Efficiency(score=64.0), ATTENTION)) == pytest.approx(op.flops / PEAK * 1.25, rel=1e-12)


@pytest.mark.parametrize("fill", [0.1, 0.5])
@pytest.mark.parametrize("rows", [1.0, 128.0])
def test_a_tile_alone_loses_the_time_of_the_units_without_one(rows: float, fill: float) -> None:
    """Few rows make a smaller tile, not less than one."""
    op = product(rows, n=128.0)
    alone = seconds(op, machine(Efficiency(fill=fill)))
    assert alone == pytest.approx(seconds(op, machine()) * (1 + fill * UNITS), rel=1e-12)


@given(tiles=st.integers(min_value=1, max_value=10_000))
def test_many_tiles_leave_no_unit_without_work(tiles: int) -> None:
    """What is lost is that of one row of 32 tiles, however many rows there are: less and less of the whole."""
    op, row = product(128.0 * tiles), product(128.0)
    lost = seconds(op, machine(Efficiency(fill=0.5))) - seconds(op, machine())
    assert lost == pytest.approx(0.5 * UNITS / 32 * seconds(row, machine()), rel=1e-9)


@given(
    m=st.integers(min_value=1, max_value=8192).map(float),
    n=st.integers(min_value=1, max_value=8192).map(float),
    fill=st.floats(min_value=0.0, max_value=5.0),
    split=st.floats(min_value=0.0, max_value=50.0).map(lambda us: us * US),
)
def test_dividing_tiles_caps_what_idle_units_cost(m: float, n: float, fill: float, split: float) -> None:
    op = product(m, n=n)
    lost = seconds(op, machine(Efficiency(fill=fill, split=split))) - seconds(op, machine())
    assert -1e-15 <= lost <= split * (1 + 1e-9) + 1e-15


def test_units_that_nobody_counted_are_never_idle() -> None:
    chips = [machine(Efficiency(fill=fill), compute_units=None) for fill in (0.0, 5.0)]
    assert seconds(product(1.0, n=128.0), chips[0]) == seconds(product(1.0, n=128.0), chips[1])


@pytest.mark.parametrize(("overlap", "expected"), [(1.0, 7.0), (2.0, 5.0), (np.inf, 4.0)])
def test_arithmetic_waits_for_memory_or_hides_it(overlap: float, expected: float) -> None:
    """Three of one and four of the other: their sum, something between, the longer."""
    op = replace(LARGE, flops=3 * PEAK, read=4 * BANDWIDTH, write=0.0)
    assert seconds(op, machine(Efficiency(overlap=overlap))) == pytest.approx(expected, rel=1e-12)


def test_an_empty_kernel_costs_its_latency() -> None:
    op = replace(LARGE, flops=0.0, read=0.0, write=0.0)
    assert seconds(op, machine(Efficiency(latency=7 * US))) == pytest.approx(7 * US, rel=1e-12)


# --- whose constants --------------------------------------------------------------------------------------------

SLOW, SLOWER = Efficiency(latency=1.0), Efficiency(latency=2.0)
WIDE_OVER_NARROW = replace(token(1.0, dtype="fp8"), dtype="bf16")  # 16-bit queries over an 8-bit cache


@pytest.mark.parametrize(
    ("achieved", "op", "expected"),
    [
        ({"matmul": SLOW}, product(1.0), SLOW),
        ({"matmul": SLOW, "matmul/fp8": SLOWER}, product(1.0), SLOW),
        ({"matmul": SLOW, "matmul/fp8": SLOWER}, product(1.0, dtype="fp8"), SLOWER),
        ({"matmul": SLOW, "matmul/fp8": SLOWER}, product(1.0, dtype="fp8-block"), SLOWER),
        ({"matmul/fp8": SLOW, "matmul/fp8-block": SLOWER}, product(1.0, dtype="fp8-block"), SLOWER),
        ({"decode-attention/bf16": SLOW, "decode-attention/fp8": SLOWER}, WIDE_OVER_NARROW, SLOWER),
        ({"decode-attention/bf16": SLOW}, WIDE_OVER_NARROW, SLOW),
        ({"matmul": SLOW}, experts(1.0), SLOW),
        ({"matmul": SLOW, "experts": SLOWER}, experts(1.0), SLOWER),
        ({"matmul/fp8": SLOWER, "experts": SLOW}, experts(1.0, dtype="fp8"), SLOW),
        ({"elementwise": SLOW}, narrowed(1.0), SLOW),
        ({"elementwise": SLOW, "quantise": SLOWER}, narrowed(1.0), SLOWER),
        ({"attention": SLOW}, token(1.0), IDEAL_KERNEL),
        ({}, product(1.0), IDEAL_KERNEL),
    ],
)
def test_the_nearest_measurement_counts(achieved: Mapping[str, Efficiency], op: Op, expected: Efficiency) -> None:
    """Of the format stored, asked for, multiplied in; of the kind; of its like; else the datasheet."""
    chip = machine(achieved=achieved)
    assert chip.efficiency(op.kind, *roof.formats(op, chip)) == expected


# --- what software makes of kernels -----------------------------------------------------------------------------

HALF = Efficiency(compute=0.5, memory=0.5, latency=8 * US)


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (replace(NOTHING, latency=0.25), 2 * US + 2 * ROOF),
        (replace(NOTHING, operator=3 * US), 11 * US + 2 * ROOF),
        (replace(NOTHING, compute=1.25), 8 * US + 1.6 * ROOF),
        (replace(NOTHING, rates={MATMUL: 0.5}), 8 * US + 4 * ROOF),
        (replace(NOTHING, rates={EXPERTS: 0.5}), 8 * US + 2 * ROOF),
        (replace(NOTHING, compute=1.25, rates={MATMUL: 1.6}), 8 * US + ROOF),
        (replace(NOTHING, compute=9.0), 8 * US + ROOF),
    ],
)
def test_software_multiplies_what_kernels_reach_up_to_the_datasheet(stack: Stack, expected: float) -> None:
    assert seconds(LARGE, machine(HALF), stack) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("multiple", "expected"), [(1.0, 2.0), (1.25, 1.6), (2.0, 1.0), (9.0, 1.0)])
def test_software_multiplies_the_bandwidth_up_to_the_datasheet(multiple: float, expected: float) -> None:
    op = token(1e6)
    chip = quick(machine(Efficiency(memory=0.5), DECODE_ATTENTION), "arithmetic")
    found = seconds(op, chip, replace(NOTHING, memory=multiple))
    assert found == pytest.approx(expected * op.bytes / BANDWIDTH, rel=1e-12)


def test_compute_units_take_no_more_than_they_are_sent() -> None:
    """100 units of 2 GHz, 3.2 bytes each clock: 640 GB/s."""
    op, chip = product(1.0), quick(machine(), "arithmetic")
    assert seconds(op, chip, replace(NOTHING, stream=3.2)) == pytest.approx(op.bytes / 640e9, rel=1e-12)


@pytest.mark.parametrize(("rows", "times"), [(64.0, 0.0), (65.0, 1.0)])
def test_large_products_expand_narrow_weights_first(rows: float, times: float) -> None:
    """Two bytes of each weight, written and read again."""
    op, chip = product(rows, dtype="fp8"), quick(machine(), "arithmetic")
    found = seconds(op, chip, replace(NOTHING, expand_rows=64.0))
    assert found == pytest.approx((op.bytes + times * 4096 * 4096 * 4) / BANDWIDTH, rel=1e-12)


def test_weights_of_16_bits_need_no_expansion() -> None:
    found = [seconds(product(512.0), machine(), replace(NOTHING, expand_rows=rows)) for rows in (64.0, np.inf)]
    assert found[0] == found[1]


@pytest.mark.parametrize(("narrow", "expected"), [(False, ROOF), (True, ROOF / 2)])
def test_narrow_sums_are_faster_where_the_chip_has_them(narrow: bool, expected: float) -> None:
    chip = quick(machine(peaks={"bf16": Peak(dense=PEAK, narrow=2 * PEAK)}), "memory")
    assert seconds(LARGE, chip, replace(NOTHING, narrow_sums=narrow)) == pytest.approx(expected, rel=1e-12)


def test_narrow_sums_are_those_of_fp16_products() -> None:
    """A kernel that widens narrow weights to bf16 by the letter multiplies in fp16; bf16 weights stay what they are."""
    peaks = {"bf16": Peak(dense=PEAK), "fp16": Peak(dense=PEAK, narrow=2 * PEAK), "fp8": Peak(dense=4 * PEAK)}
    chip, software = quick(machine(peaks=peaks), "memory"), replace(NOTHING, narrow_sums=True)
    assert seconds(replace(LARGE, least="fp8"), chip, software) == pytest.approx(ROOF / 2, rel=1e-12)
    assert seconds(LARGE, chip, software) == pytest.approx(ROOF, rel=1e-12)


@pytest.mark.parametrize(("reached", "share"), [(0.2, 0.4), (0.5, 1.0), (0.8, 1.0)])
@pytest.mark.parametrize("kept", ["fp16", "bf16"])
def test_wide_sums_bind_before_what_feeds_multipliers(kept: str, reached: float, share: float) -> None:
    """Multipliers are fed at a share of what they could do, and summed at half of that; those of bf16 are of fp16."""
    peaks = {"bf16": Peak(dense=PEAK), "fp16": Peak(dense=PEAK, narrow=2 * PEAK)}
    chip = quick(machine(Efficiency(compute=reached), peaks=peaks), "memory")
    assert seconds(replace(LARGE, dtype=kept), chip) == pytest.approx(ROOF / share, rel=1e-12)
    slow = seconds(replace(LARGE, dtype=kept), chip, replace(NOTHING, compute=0.5))
    assert slow == pytest.approx(2 * ROOF / share, rel=1e-12)


def test_query_heads_by_themselves_read_the_cache_again() -> None:
    """Eight query heads, two heads of keys and values: three more readings of each, a quarter of the time apiece."""
    op, chip = token(1e6), quick(machine(), "arithmetic")
    assert op.sharing == 4.0
    again = seconds(op, chip, replace(NOTHING, reread=0.25)) - seconds(op, chip)
    assert again == pytest.approx(0.75 * op.growing * op.bytes / BANDWIDTH, rel=1e-12)
    best = [float(roof.price(op, chip, replace(NOTHING, reread=share), ideal=True).time) for share in (0.0, 0.25)]
    assert best[0] == best[1]


def test_heads_that_share_nothing_read_a_cache_once() -> None:
    alone = ops.decode_attention(
        "x", b=1.0, l=1e6, h=8.0, d=128.0, v=128.0, g=8.0 * 256.0, a=2.0, r=2.0, c=2.0, dtype="bf16"
    )
    assert seconds(alone, machine(), replace(NOTHING, reread=0.5)) == seconds(alone, machine())


# --- what a better kernel would not do --------------------------------------------------------------------------


@pytest.mark.parametrize("op", [passed(1e6), narrowed(1e6)])
def test_at_best_a_pass_over_values_is_fused_into_its_neighbours(op: Op) -> None:
    best = roof.price(op, machine(), NOTHING, ideal=True)
    assert float(best.time) == pytest.approx(float(op.flops) / (PEAK / 16), rel=1e-12)


@pytest.mark.parametrize("op", [passed(1e6), narrowed(1e6)])
def test_a_pass_over_values_is_expected_to_move_them(op: Op) -> None:
    assert seconds(op, quick(machine(), "arithmetic")) == pytest.approx(float(op.bytes) / BANDWIDTH, rel=1e-12)


# --- the cache before main memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(("speed", "expected"), [(None, 1.0), (1.0, 1.0), (4.0, 0.55)])
def test_what_the_cache_holds_is_read_at_its_speed(speed: float | None, expected: float) -> None:
    """Sixty percent of the bytes at four times the bandwidth, the others at one."""
    op = replace(product(1.0), resident=0.6)
    chip = quick(machine(cache_speed=speed), "arithmetic")
    assert seconds(op, chip) == pytest.approx(expected * op.bytes / BANDWIDTH, rel=1e-12)


def test_at_best_what_the_cache_holds_costs_nothing() -> None:
    op = replace(product(1.0), resident=0.6)
    best = roof.price(op, quick(machine(), "arithmetic"), NOTHING, ideal=True).time
    assert float(best) == pytest.approx(0.4 * op.bytes / BANDWIDTH, rel=1e-12)


# --- what no constants may do -----------------------------------------------------------------------------------

SIZE = st.integers(min_value=1, max_value=4096).map(float)
WIDTH = st.integers(min_value=1, max_value=128).map(lambda value: 64.0 * value)
CONTEXT = st.integers(min_value=0, max_value=100_000).map(float)
HEADS = st.sampled_from([1.0, 4.0, 8.0, 32.0, 128.0])
Sizes = dict[str, float]
# Every kind of kernel with its sizes: all that makes it more work.
KIND: Mapping[str, tuple[Callable[..., Op], dict[str, st.SearchStrategy[float]]]] = {
    MATMUL: (product, {"m": SIZE, "k": WIDTH, "n": WIDTH}),
    EXPERTS: (experts, {"m": SIZE, "k": WIDTH, "n": WIDTH}),
    ATTENTION: (prompt, {"q": SIZE, "context": CONTEXT, "b": st.sampled_from([1.0, 3.0, 16.0]), "h": HEADS}),
    DECODE_ATTENTION: (token, {"l": SIZE, "b": SIZE, "h": HEADS}),
    ELEMENTWISE: (passed, {"m": SIZE, "k": WIDTH}),
    QUANTISE: (narrowed, {"m": SIZE, "k": WIDTH}),
    "scan": (recurrence, {"m": SIZE, "b": st.just(4.0)}),
}
DTYPES = st.sampled_from(sorted(FORMATS))
ROUGH = Efficiency(
    compute=0.6, memory=0.8, latency=4 * US, overlap=2.5, half=40.0, least=60.0, fill=0.3, split=5 * US, score=90.0
)
CATALOG = Catalog()
# Constants of every family on one datasheet, and every chip that has some of its own.
OWN = sorted(name for name, path in CATALOG.files(KINDS["chip"]).items() if path.parent.name == "chips")
SHIPPED = [*CATALOG.families(), *OWN]
MACHINES = ["rough", *SHIPPED]
FEW = 25  # examples on each of many machines


@cache
def shipped(name: str) -> Chip:
    """The machine of that name: made up, a family's constants on one datasheet, or a chip of the catalogue."""
    if name == "rough":
        return machine(ROUGH, achieved=dict.fromkeys(KIND, ROUGH))
    if name in OWN:
        return CATALOG.chip(name)
    family = CATALOG.family(name)
    return machine(achieved=family.kernels, cache_speed=family.cache, family=family.id)


def busy(chip: Chip) -> Chip:
    """The same, no unit of it ever idle."""
    return replace(chip, compute_units=None)


@st.composite
def kernels(draw: st.DrawFn) -> tuple[str, str, Sizes]:
    """A kind of kernel, a format, sizes."""
    kind = draw(st.sampled_from(sorted(KIND)))
    return kind, draw(DTYPES), {name: draw(sizes) for name, sizes in KIND[kind][1].items()}


def made(kind: str, dtype: str, sizes: Sizes) -> Op:
    """The operator of that kind with those sizes."""
    return KIND[kind][0](**sizes, dtype=dtype)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(kernel=kernels())
def test_an_expectation_never_beats_the_datasheet(name: str, kernel: tuple[str, str, Sizes]) -> None:
    chip, op = shipped(name), made(*kernel)
    ideal, expected = (float(roof.price(op, chip, NOTHING, ideal=flag).time) for flag in (True, False))
    assert expected >= ideal * (1 - 1e-12)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(kernel=kernels(), more=st.floats(min_value=1.0, max_value=8.0), data=st.data())
def test_more_work_is_never_faster(name: str, kernel: tuple[str, str, Sizes], more: float, data: st.DataObject) -> None:
    """Whichever size grows, while every compute unit has work."""
    kind, dtype, sizes = kernel
    grown = data.draw(st.sampled_from(sorted(sizes)))
    larger = {**sizes, grown: np.ceil(sizes[grown] * more)}
    chip = busy(shipped(name))
    assert seconds(made(kind, dtype, larger), chip) >= seconds(made(*kernel), chip) * (1 - 1e-12)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(m=SIZE, k=WIDTH, n=WIDTH, dtype=DTYPES, more=st.floats(min_value=1.0, max_value=8.0))
def test_longer_sums_are_never_faster(name: str, m: float, k: float, n: float, dtype: str, more: float) -> None:
    """The inner dimension of a product makes no tiles, so idle units change nothing."""
    chip = shipped(name)
    assert seconds(product(m, k * more, n, dtype), chip) >= seconds(product(m, k, n, dtype), chip) * (1 - 1e-12)


def test_more_rows_are_never_faster_while_units_are_idle() -> None:
    chip = machine(Efficiency(fill=0.1))
    times = [seconds(product(m, 8192.0, 512.0), chip) for m in (128.0, 256.0)]
    assert times == sorted(times)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(kernel=kernels(), more=st.floats(min_value=1.0, max_value=8.0), what=st.sampled_from(["compute", "memory"]))
def test_a_faster_roof_is_never_slower(name: str, kernel: tuple[str, str, Sizes], more: float, what: str) -> None:
    chip, op = shipped(name), made(*kernel)
    assert seconds(op, raised(chip, what, more)) <= seconds(op, chip) * (1 + 1e-12)


def raised(chip: Chip, what: str, more: float) -> Chip:
    """The same with so many times the arithmetic, or the bandwidth."""
    if what == "memory":
        return replace(chip, memory=tuple(level_with(level, more) for level in chip.memory))
    peaks = {name: Peak(dense=peak.dense * more) for name, peak in chip.peaks.items()}
    return replace(chip, peaks=peaks, vector=None if chip.vector is None else chip.vector * more)


def level_with(level: Memory, more: float) -> Memory:
    """A memory with so many times its bandwidth."""
    return replace(level, bandwidth=None if level.bandwidth is None else level.bandwidth * more)


# What may be done together: rows of a product, tokens of experts, sequences of attention.
TOGETHER = {MATMUL: "m", EXPERTS: "m", ATTENTION: "b", DECODE_ATTENTION: "b", ELEMENTWISE: "m", QUANTISE: "m"}


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=FEW)
@given(kernel=kernels().filter(lambda kernel: kernel[0] in TOGETHER), other=SIZE)
def test_two_in_one_never_cost_more_than_two(name: str, kernel: tuple[str, str, Sizes], other: float) -> None:
    kind, dtype, sizes = kernel
    chip, shared = shipped(name), TOGETHER[kind]
    apart = [seconds(made(kind, dtype, {**sizes, shared: size}), chip) for size in (sizes[shared], other)]
    together = seconds(made(kind, dtype, {**sizes, shared: sizes[shared] + other}), chip)
    assert together <= sum(apart) * (1 + 1e-12)


@given(kernel=kernels(), k=st.floats(min_value=0.01, max_value=100.0))
def test_rates_times_k_and_times_over_k_is_time_over_k(kernel: tuple[str, str, Sizes], k: float) -> None:
    faster = replace(ROUGH, latency=ROUGH.latency / k, split=ROUGH.split / k)
    base = shipped("rough")
    chip = raised(raised(replace(base, achieved=dict.fromkeys(KIND, faster)), "compute", k), "memory", k)
    op = made(*kernel)
    assert seconds(op, chip) == pytest.approx(seconds(op, base) / k, rel=1e-9)


@given(kernel=kernels())
def test_a_kernel_lies_between_its_longest_roof_and_their_sum(kernel: tuple[str, str, Sizes]) -> None:
    priced = roof.price(made(*kernel), shipped("rough"), NOTHING, ideal=False)
    parts = [float(priced.of(bound)) for bound in roof.BOUNDS]
    assert max(parts) * (1 - 1e-12) <= float(priced.time) <= sum(parts) * (1 + 1e-12)


@pytest.mark.parametrize("kind", sorted(KIND))
def test_a_size_of_many_values_is_its_values_one_by_one(kind: str) -> None:
    build, sizes = KIND[kind]
    first = next(iter(sizes))
    others = {"b": 4.0, "k": 512.0, "n": 256.0, "h": 8.0, "context": 100.0}
    given_sizes = {name: others[name] for name in sizes if name != first}
    many = np.array([1.0, 7.0, 130.0, 4096.0])
    swept = roof.price(build(**{first: many}, **given_sizes), shipped("rough"), NOTHING, ideal=False).time
    alone = [seconds(build(**{first: float(value)}, **given_sizes), shipped("rough")) for value in many]
    assert np.asarray(swept).tolist() == alone


def test_laying_out_weights_costs_products_of_several_rows_and_none_of_one() -> None:
    """In rows' worth of arithmetic, which more rows share: by hand, and never less for more rows."""
    plain, packs = (quick(machine(Efficiency(compute=0.5, pack=pack)), "memory") for pack in (0.0, 20.0))
    m = np.arange(1.0, 300.0)
    op = ops.matmul("x", m, 512.0, 1024.0, w=4.0, a=4.0, r=4.0, dtype="bf16")
    without, found = (np.asarray(roof.price(op, chip, NOTHING, ideal=False).compute) for chip in (plain, packs))
    each = 2.0 * 512.0 * 1024.0 / (PEAK * 0.5)
    np.testing.assert_allclose(found - without, each * 20.0 * (1.0 - 1.0 / m), rtol=1e-9, atol=1e-18)
    assert found[0] == without[0]
    assert np.all(np.diff(found) > 0.0)
