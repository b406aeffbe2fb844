"""Pricing: the time that each roof of a chip needs for an operator, and what they make together.

`ideal` is the datasheet: full peak, full bandwidth, compute and memory perfectly overlapped, fusable traffic kept on
the chip, no software. The expectation takes what was measured (`Efficiency`). Both take the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from roofline.engine import collectives
from roofline.engine.ops import COLLECTIVE, OVERHEAD, VECTOR, Op
from roofline.machine import Chip, Efficiency, Stack
from roofline.machine.chip import ATTENTION, DECODE_ATTENTION
from roofline.numeric import Num, larger, p_norm, smaller, some, where
from roofline.workload.dtype import math_dtype

BOUNDS = ("compute", "memory", "network", "overhead")
STREAMING = (ATTENTION, DECODE_ATTENTION)  # kernels whose ramp counts for what they read, too: their rows are that


@dataclass(frozen=True, slots=True, eq=False)
class Roofs:
    """Seconds that each roof alone would need for one execution, and the time of all together."""

    compute: Num
    memory: Num
    network: Num
    overhead: Num
    time: Num

    def of(self, bound: str) -> Num:
        """Seconds of one roof, by its name in `BOUNDS`."""
        return {"compute": self.compute, "memory": self.memory, "network": self.network}.get(bound, self.overhead)


NOTHING = Roofs(0.0, 0.0, 0.0, 0.0, 0.0)


def peak(chip: Chip, dtype: str) -> Num:
    """Dense FLOP/s of a chip for a dtype, of the next wider dtype where it lacks that one; infinite if unknown."""
    if dtype == VECTOR:
        return chip.vector if chip.vector is not None else np.inf
    found = math_dtype(dtype, chip.peaks)
    return chip.peaks[found].dense if found else np.inf


def summed(chip: Chip, dtype: str, stack: Stack) -> Num:
    """Dense FLOP/s of a chip for a dtype, summed as the software does."""
    found = multiplied(chip, dtype, stack)
    return chip.peaks[found].most if stack.narrow_sums and found in chip.peaks else peak(chip, found)


def multipliers(chip: Chip, dtype: str) -> Num:
    """FLOP/s of a chip's multipliers for a dtype, however wide the sums: those of bf16 are those of fp16."""
    found = arithmetic(chip, dtype)
    if found not in chip.peaks:
        return peak(chip, dtype)
    own = chip.peaks[found]
    half = chip.peaks.get("fp16", own) if found == "bf16" else own
    return own.dense if half.narrow is None else own.dense * half.narrow / half.dense


def multiplied(chip: Chip, dtype: str, stack: Stack) -> str:
    """The format in which software multiplies values of a dtype: fp16 for bf16 if it sums in 16 bits, as no chip does
    of bf16."""
    found = arithmetic(chip, dtype)
    return "fp16" if stack.narrow_sums and found == "bf16" and "fp16" in chip.peaks else found


def most(chip: Chip, op: Op) -> Num:
    """FLOP/s that no kernel can beat: in the narrowest format that an operator's arithmetic could be done in."""
    found = None if op.dtype == VECTOR else math_dtype(op.least or op.dtype, chip.peaks)
    return chip.peaks[found].most if found else peak(chip, op.dtype)


def arithmetic(chip: Chip, dtype: str) -> str:
    """The format in which a chip multiplies values of a dtype; the dtype itself if nothing is known."""
    return dtype if dtype == VECTOR else math_dtype(dtype, chip.peaks) or dtype


def price(op: Op, chip: Chip, stack: Stack, *, ideal: bool) -> Roofs:
    """Seconds of one execution of an operator on a chip under a stack."""
    if op.kind == COLLECTIVE:
        network = collectives.time(op.message, chip, stack, ideal=ideal) if op.message else 0.0
        launch = 0.0 if ideal or op.message is None else where(op.message.ranks > 1.0, stack.operator, 0.0)
        return Roofs(0.0, 0.0, network, launch, network + launch)
    if op.kind == OVERHEAD:
        overhead = 0.0 if ideal else op.terms["seconds"]
        return Roofs(0.0, 0.0, 0.0, overhead, overhead)
    if ideal:
        compute, moved = op.flops / most(chip, op), 0.0 if op.fusable else op.moved
        memory = moved / chip.bandwidth
        return Roofs(compute, memory, 0.0, 0.0, larger(compute, memory))
    return _kernel(op, chip, stack)


def _kernel(op: Op, chip: Chip, stack: Stack) -> Roofs:
    """Seconds of one execution of a kernel: what was measured of its kind (see `Efficiency`).

    What idle units cost is counted for one row of tiles: further rows change nothing of it, so more are never faster.
    """
    found = formats(op, chip)
    reached, rate = chip.efficiency(op.kind, *found), stack.rate(op.kind, *found)
    speed, moving = _speed(op, reached, rate, chip, stack), _moving(reached, rate, chip, stack)
    compute, memory = _roofs(op, 1.0, reached, speed, moving, chip, stack)
    work = p_norm(compute, memory, reached.overlap)
    if chip.compute_units is not None and some(reached.fill):
        row = work
        if some(op.above - 1.0):
            row = p_norm(*_roofs(op, 1.0 / op.above, reached, speed, moving, chip, stack), reached.overlap)
        lost = smaller(row * reached.fill * chip.compute_units / (op.tiles / op.above), reached.split)
        idle = 1.0 + lost / larger(work, 1e-12)
        compute, memory, work = compute * idle, memory * idle, work * idle
    before = _expansion(op, moving, stack)
    overhead = reached.latency * stack.latency + stack.operator
    return Roofs(compute, memory + before, 0.0, overhead, overhead + before + work)


def _roofs(
    op: Op, share: Num, reached: Efficiency, speed: Num, moving: Num, chip: Chip, stack: Stack
) -> tuple[Num, Num]:
    """Seconds of arithmetic and of memory for a share of a kernel's rows, with those that static shapes add."""
    share = share * op.padded
    rows = larger(op.rows * share, 1.0)
    slow = 1.0 + reached.half / rows
    if some(reached.least):
        slow = larger(slow, reached.least / rows)
    compute = op.flops * share * (1.0 + reached.score / op.columns) * slow / speed
    if some(reached.pack):
        compute = compute * (1.0 + reached.pack * (1.0 - 1.0 / rows) / rows)
    brought = op.growing * share * (slow if op.kind in STREAMING else 1.0)
    if op.kind == DECODE_ATTENTION and some(stack.reread):
        brought = brought * (1.0 + stack.reread * (op.sharing - 1.0))
    moved = op.bytes * (1.0 - op.growing + brought)
    near = chip.near_speed if some(op.resident) else None
    if near is not None:
        moved = moved * (1.0 - op.resident * (1.0 - 1.0 / near))
    return compute, moved / moving


def _expansion(op: Op, moving: Num, stack: Stack) -> Num:
    """Seconds in which narrow weights are written at 16 bits and read again, by a kernel before the product's."""
    if not some(op.expanded):
        return 0.0
    return where(op.rows > stack.expand_rows, op.expanded, 0.0) / moving


def _speed(op: Op, reached: Efficiency, rate: Num, chip: Chip, stack: Stack) -> Num:
    """FLOP/s of a kernel with rows enough, never more than any kernel's.

    `compute` is the share of what multipliers could do if nothing held them back but what feeds them: where sums in a
    wide format come at half of that rate, they bind first.
    """
    fed = multipliers(chip, op.dtype) * reached.compute
    return smaller(smaller(fed, summed(chip, op.dtype, stack)) * stack.compute * rate, most(chip, op))


def _moving(reached: Efficiency, rate: Num, chip: Chip, stack: Stack) -> Num:
    """Bytes per second of a kernel, never more than the datasheet's."""
    share = reached.memory * stack.memory * rate
    return smaller(chip.bandwidth * smaller(share, 1.0), streamed(chip, stack))


def streamed(chip: Chip, stack: Stack) -> Num:
    """Bytes per second that all compute units together get (see `Stack.stream`); infinite if nothing is known."""
    if chip.compute_units is None or chip.clock is None:
        return np.inf
    return chip.compute_units * chip.clock * stack.stream


def formats(op: Op, chip: Chip) -> tuple[str, ...]:
    """The formats by which a kernel's efficiency is looked up: of what it streams, asked for, multiplied in.

    Attention on values that the chip widens is that of the wider format; products of narrow weights are kernels apart.
    """
    widened = arithmetic(chip, op.dtype)
    return (op.stored, widened) if op.kind == ATTENTION else (op.stored, op.dtype, widened)


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """An operator with its time: ideal and expected; a share `hidden` of the latter passes behind other work."""

    op: Op
    ideal: Roofs
    expected: Roofs
    hidden: Num = 0.0

    def behind(self, hidden: Num) -> Priced:
        """The same with another share that passes behind other work."""
        return Priced(self.op, self.ideal, self.expected, hidden)

    @property
    def taken(self) -> Num:
        """Expected seconds of all executions by themselves."""
        return self.op.count * self.expected.time

    @property
    def time(self) -> Num:
        """Expected seconds of all executions that nothing else hides."""
        return self.taken * (1.0 - self.hidden) if some(self.hidden) else self.taken

    @property
    def hidden_time(self) -> Num:
        """Expected seconds of all executions that pass behind other work."""
        return self.taken * self.hidden if some(self.hidden) else 0.0

    @property
    def ideal_time(self) -> Num:
        """Ideal seconds of all executions."""
        return self.op.count * self.ideal.time

    @property
    def bound(self) -> Num:
        """What the expected time is mostly made of, as an index into `BOUNDS`."""
        return largest([self.expected.of(bound) for bound in BOUNDS])


def price_all(ops: Iterable[Op], chip: Chip, stack: Stack, *, bound: bool = True) -> tuple[Priced, ...]:
    """Every operator, priced both ways; without a `bound` only as expected, and ideal is left at nothing."""
    return tuple(
        Priced(op, price(op, chip, stack, ideal=True) if bound else NOTHING, price(op, chip, stack, ideal=False))
        for op in ops
    )


def expected_time(priced: Iterable[Priced]) -> Num:
    """Seconds of a sequence of operators: their sum."""
    return total(priced, lambda item: item.time)


def ideal_time(priced: Sequence[Priced]) -> Num:
    """Seconds below which no implementation can come: messages may hide behind work entirely, or work behind them."""
    work = total((item for item in priced if item.op.kind != COLLECTIVE), lambda item: item.ideal_time)
    messages = total((item for item in priced if item.op.kind == COLLECTIVE), lambda item: item.ideal_time)
    return larger(work, messages)


def bound(priced: Iterable[Priced]) -> Num:
    """What binds a sequence of operators, as an index into `BOUNDS`: the roof under which most of the time is spent."""
    held: list[Num] = [0.0] * len(BOUNDS)
    for item in priced:
        time, binds = item.time, item.bound
        for index, roof in enumerate(BOUNDS):
            if not nothing(item.expected.of(roof)):
                held[index] = held[index] + where(np.equal(binds, index), time, 0.0)
    return largest(held)


def largest(values: Sequence[Num]) -> Num:
    """Index of the largest of values that are not negative, elementwise; the first of equals."""
    best: Num = values[0]
    index: Num = 0.0
    for position, value in enumerate(values[1:], start=1):
        if not nothing(value):
            index = where(np.greater(value, best), float(position), index)
            best = larger(value, best)
    return index


def nothing(value: Num) -> bool:
    """Whether a number is a plain zero, which needs no look at any element."""
    return isinstance(value, float) and value == 0.0


def total(priced: Iterable[Priced], value: Callable[[Priced], Num]) -> Num:
    """Sum of a value over operators, attention last.

    Attention alone depends on the context, so over a mesh of batches, contexts and degrees everything else stays
    small until the end. The order is fixed: a single point and an element of a mesh agree to the last bit.
    """
    rest: Num = 0.0
    attending: Num = 0.0
    for item in priced:
        if item.op.kind in (ATTENTION, DECODE_ATTENTION):
            attending = attending + value(item)
        else:
            rest = rest + value(item)
    return rest + attending
