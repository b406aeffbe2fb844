"""The time of a kernel written out: datasheet, what kernels of its kind reach, what software makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from roofline.engine import roof
from roofline.engine.ops import Op
from roofline.machine import Chip, Efficiency, Stack
from roofline.machine.chip import DECODE_ATTENTION
from roofline.studies.arithmetic.sheet import (
    UNMEASURED,
    Constant,
    Line,
    Sheet,
    cited,
    grouped,
    joined,
    product,
    stack_source,
)


def kernel(op: Op, chip: Chip, stack: Stack) -> list[Line]:
    """The time of one execution of a kernel, expected (`one_execution`) and at best (`at_best`)."""
    sheet = Sheet()
    sheet.known |= {"FLOPs": (float(op.flops), "FLOP"), "bytes": (float(op.bytes), "B")}
    sheet.put(*_datasheet(op, chip, stack), *_reached(op, chip, stack), *_software(op, chip, stack))
    has = sheet.known
    busy = _busy(op, sheet, "")
    if "fill" in has:
        row = _busy(op, sheet, "row_") if "above" in has else busy
        loss = f"{row}*fill*units*above/tiles" if "above" in has else f"{row}*fill*units/tiles"
        sheet.take("idle_units", f"min({loss}, split)" if "split" in has else loss)
    if "expanded" in has:
        sheet.take("expansion", f"expanded/{grouped(_rate_of_memory(sheet))}")
    launch = product("latency", "software_latency" if "software_latency" in has else "")
    terms = (term for term in ("operator", "expansion", busy, "idle_units") if term in has)
    sheet.take("one_execution", " + ".join([launch, *terms]))
    sheet.take("at_best", _best(op, sheet), source="the same without software, arithmetic and memory overlapped")
    return sheet.lines


def _busy(op: Op, sheet: Sheet, part: str) -> str:
    """The name of the time that arithmetic and memory take together: of the whole kernel, or of one row of tiles."""
    has = sheet.known
    overlap = has["overlap"][0] if "overlap" in has else np.inf
    slow = _slowly(sheet, part)
    if op.flops:
        work = product(
            "FLOPs",
            "padded" if "padded" in has else "",
            "(1 + score/columns)" if "score" in has else "",
            slow,
            _packing(part) if "pack" in has else "",
        )
        work += "/above" if part else ""
        sheet.take(f"{part}compute_time", f"{work}/{grouped(_rate_of_compute(sheet))}")
    moved = _moved(sheet, slow if op.kind in roof.STREAMING else "", part)
    sheet.take(f"{part}memory_time", f"{moved}/{grouped(_rate_of_memory(sheet))}")
    if not op.flops:
        return f"{part}memory_time"
    sheet.take(f"{part}work", joined(f"{part}compute_time", f"{part}memory_time", overlap))
    return f"{part}work"


def _slowly(sheet: Sheet, part: str) -> str:
    """How many times as long a kernel, or one row of its tiles, takes as with rows enough."""
    over = "*above/rows" if part else "/rows"
    ramp = f"1 + half{over}" if "half" in sheet.known else ""
    if "least" in sheet.known:
        return f"max({ramp or 1}, least{over})"
    return f"({ramp})" if ramp else ""


def _packing(part: str) -> str:
    """What laying out weights anew adds to the arithmetic: of the whole kernel, or of one row of tiles."""
    share = "above/rows" if part else "1/rows"
    return f"(1 + pack*(1 - {share})*{share})"


def _datasheet(op: Op, chip: Chip, stack: Stack) -> Iterator[Constant]:
    """What the chip could do at best."""
    if op.flops:
        peak, most = float(roof.summed(chip, op.dtype, stack)), float(roof.most(chip, op))
        found = roof.multiplied(chip, op.dtype, stack)
        path = f"compute.peaks.{found}" if found in chip.peaks else "compute.vector"
        source = cited(chip.sources.get(path), "not published")
        yield Constant("peak", f"dense {found}", peak, "FLOP/s", source)
        fed = float(roof.multipliers(chip, op.dtype))
        if fed != peak:
            yield Constant(
                "multipliers", "what they could do if sums in wide numbers held none back", fed, "FLOP/s", source
            )
        if most != peak:
            yield Constant("most", "in the narrowest format and sums that it could run in", most, "FLOP/s", source)
    main = chip.main_memory.name
    source = cited(chip.sources.get(f"memory.{main}"), "not published")
    yield Constant("bandwidth", main, float(chip.bandwidth), "B/s", source)


def _reached(op: Op, chip: Chip, stack: Stack) -> Iterator[Constant]:
    """What kernels of its kind reach, as far as it matters to this one."""
    key = chip.efficiency_key(op.kind, *roof.formats(op, chip))
    reached = chip.efficiency(op.kind, *roof.formats(op, chip))
    source = cited(chip.sources.get(f"achieved.kernels.{key}"), UNMEASURED)
    if op.flops:
        yield Constant(
            "compute", f"share of the peak that {key or op.kind} reaches", float(reached.compute), "", source
        )
    yield Constant("memory", "share of the bandwidth", float(reached.memory), "", source)
    yield Constant("latency", "what an empty kernel costs", float(reached.latency), "s", source)
    if op.flops and np.isfinite(reached.overlap):
        meaning = "1: arithmetic waits for memory; larger: each hides the other"
        yield Constant("overlap", meaning, float(reached.overlap), "", source)
    few = list(_few_rows(op, reached, source)) if np.isfinite(op.rows) else []
    yield from few
    ramped = bool(reached.half or reached.least) and bool(few) and op.kind in roof.STREAMING
    apart = op.padded != 1.0 or _rereads(op, stack)
    if op.growing and (ramped or apart or _stands(op, reached, chip)):
        yield Constant("growing", "share of its bytes that come with its rows", float(op.growing))
    if reached.score and np.isfinite(op.columns):
        yield Constant("score", "cost of a pair's softmax, in columns", float(reached.score), "", source)
        yield Constant("columns", "of the two products of a pair", float(op.columns))
    if reached.fill and chip.compute_units is not None and np.isfinite(op.tiles):
        yield Constant("fill", "share of one unit's time that a tile loses", float(reached.fill), "", source)
        units = cited(chip.sources.get("compute.units"))
        yield Constant("units", "compute units of the chip", float(chip.compute_units), "", units)
        yield Constant("tiles", "pieces of the result that units can work on apart", float(op.tiles))
        if _stands(op, reached, chip):
            yield Constant("above", "rows of tiles that share their columns", float(op.above))
        if np.isfinite(reached.split):
            yield Constant("split", "cost of dividing tiles among idle units", float(reached.split), "s", source)
    if op.resident:
        yield Constant("resident", "share that a memory before the main one holds already", float(op.resident))
    if op.resident and chip.near_speed is not None:
        pad = chip.scratchpad
        cache = cited(chip.sources.get("achieved.cache" if pad is None else f"memory.{pad.name}"), UNMEASURED)
        yield Constant(
            "cache", "speed of that memory, in multiples of the bandwidth", float(chip.near_speed), "", cache
        )


def _few_rows(op: Op, reached: Efficiency, source: str) -> Iterator[Constant]:
    """What makes a kernel of few rows slow."""
    constants = (
        ("half", "rows at which half of the rate is reached (Hockney's n½)", reached.half),
        ("least", "rows that it takes the time of where there are fewer", reached.least),
        ("pack", "what laying out weights anew costs, in rows", reached.pack),
    )
    told = [Constant(name, meaning, float(value), "", source) for name, meaning, value in constants if value]
    yield from told
    if told:
        yield Constant("rows", "rows that share what it loads", float(np.maximum(op.rows * op.padded, 1.0)))


def _stands(op: Op, reached: Efficiency, chip: Chip) -> bool:
    """Whether idle units cost something and tiles stand above each other, so that one row of them decides what."""
    return bool(reached.fill and chip.compute_units is not None and np.isfinite(op.tiles) and op.above > 1.0)


def _rereads(op: Op, stack: Stack) -> bool:
    """Whether software reads a cache again for query heads that share it."""
    return bool(op.kind == DECODE_ATTENTION and stack.reread and op.sharing != 1.0)


def _software(op: Op, chip: Chip, stack: Stack) -> Iterator[Constant]:
    """What the stack makes of kernels on the chip, as far as it changes anything."""
    key = stack.rate_key(op.kind, *roof.formats(op, chip))
    kind = float(stack.rates[key]) if key else 1.0
    for name, value, path, meaning in (
        ("software_latency", stack.latency, "rates.latency", "latency"),
        ("software_compute", stack.compute, "rates.compute", "compute"),
        ("software_memory", stack.memory, "rates.memory", "memory"),
        ("software_kind", kind, f"rates.{key}", f"{key} rates"),
    ):
        if value != 1.0 and (op.flops or name != "software_compute"):
            source = stack_source(stack, chip, path)
            yield Constant(name, f"{stack.id}, as a multiple of measured {meaning}", float(value), "", source)
    if _rereads(op, stack):
        source = stack_source(stack, chip, "rates.reread")
        meaning = f"{stack.id}, of the first time that a cache is read, for each further query head"
        yield Constant("reread", meaning, float(stack.reread), "", source)
        yield Constant("sharing", "query heads that share each head of the cache", float(op.sharing))
    if op.padded != 1.0:
        source = stack_source(stack, chip, "kv")
        yield Constant("padded", f"{stack.id}, cached tokens read over those there are", float(op.padded), "", source)
    if stack.operator:
        source = stack_source(stack, chip, "overheads.operator")
        yield Constant("operator", f"{stack.id}, for each operator", float(stack.operator), "s", source)
    if np.isfinite(roof.streamed(chip, stack)):
        source = stack_source(stack, chip, "rates.stream")
        yield Constant(
            "stream", "what all compute units together get", float(roof.streamed(chip, stack)), "B/s", source
        )
    if op.expanded and op.rows > stack.expand_rows:
        source = stack_source(stack, chip, "expansion")
        yield Constant("expanded", "narrow weights written at 16 bits and read again", float(op.expanded), "B", source)


def _rate_of_compute(sheet: Sheet) -> str:
    """FLOP/s of a kernel, never more than the chip could do."""
    has = sheet.known
    reached = "min(multipliers*compute, peak)" if "multipliers" in has else product("peak", "compute")
    rate = product(reached, *(name for name in ("software_compute", "software_kind") if name in has))
    limit = "most" if "most" in has else "peak"
    beyond = "software_compute" in has or "software_kind" in has or has[limit][0] < has["peak"][0]
    return f"min({rate}, {limit})" if beyond else rate


def _rate_of_memory(sheet: Sheet) -> str:
    """Bytes per second of a kernel, never more than the datasheet's."""
    has = sheet.known
    faster = [name for name in ("software_memory", "software_kind") if name in has]
    share = product("memory", *faster)
    rate = product("bandwidth", f"min({share}, 1)" if faster else share)
    return f"min({rate}, stream)" if "stream" in has else rate


def _moved(sheet: Sheet, slow: str, part: str) -> str:
    """Bytes that a kernel or one row of its tiles moves, with those that few rows, software and cache add or save."""
    has = sheet.known
    own = product(
        "growing/above" if part else "growing",
        "padded" if "padded" in has else "",
        slow,
        "(1 + reread*(sharing - 1))" if "reread" in has else "",
    )
    changed = "growing" in has and own != "growing"
    moved = product("bytes", f"(1 - growing + {own})" if changed else "")
    return product(moved, "(1 - resident*(1 - 1/cache))" if "cache" in has else "")


def _best(op: Op, sheet: Sheet) -> str:
    """The least time: datasheet rates, and what a better kernel would keep on the chip kept there."""
    has = sheet.known
    bytes_left = "bytes*(1 - resident)" if "resident" in has else "bytes"
    memory = "0" if op.fusable else f"{bytes_left}/bandwidth"
    if not op.flops:
        return memory
    compute = f"FLOPs/{'most' if 'most' in has else 'peak'}"
    return compute if op.fusable else f"max({compute}, {memory})"
