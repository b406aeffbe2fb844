"""Prices written out: the constants that enter an operator's time, and each step of the law as text over them.

The engine computes (`roofline.engine.roof`, `collectives`). Here the same laws stand as text for people, without the
factors that do nothing for this operator on this chip. Every value is that of its text, so a test need only compare
the last one with the engine's price: the two can't drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from roofline.engine import collectives, roof
from roofline.engine.ops import Message, Op
from roofline.machine import Chip, Efficiency, Link, Stack
from roofline.machine.chip import DECODE_ATTENTION, IDEAL_LINK
from roofline.machine.stack import DIRECT
from roofline.source import Source
from roofline.studies.formula import evaluate, names

UNMEASURED = "not measured: the datasheet"
RINGS = "Thakur, Rabenseifner, Gropp 2005, sections 3 and 4"


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that steps use: its name in them, what it is, its value [unit, empty: none], who says so."""

    name: str
    meaning: str
    value: float
    unit: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One formula: the name of its result, its text, the terms in it (value and unit), its value [unit]."""

    name: str
    formula: str
    terms: Mapping[str, tuple[float, str]]
    value: float
    unit: str = "s"
    source: str = ""


Line = Constant | Step


class Sheet:
    """Constants and steps in the order in which they are written; a step may use all that stands above it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.known: dict[str, tuple[float, str]] = {}

    def put(self, *constants: Constant) -> None:
        """Write constants down."""
        for constant in constants:
            self.lines.append(constant)
            self.known[constant.name] = constant.value, constant.unit

    def take(self, name: str, formula: str, unit: str = "s", source: str = "") -> float:
        """Write a step down and return its value."""
        terms = {term: self.known[term] for term in names(formula)}
        value = evaluate(formula, {term: number for term, (number, _) in terms.items()})
        self.lines.append(Step(name, formula, terms, value, unit, source))
        self.known[name] = value, unit
        return value


def cited(source: Source | None, otherwise: str = "") -> str:
    """A source as one line: its title and when it was read."""
    if source is None:
        return otherwise
    return source.title + (f" ({source.date})" if source.date else "")


def stack_source(stack: Stack, chip: Chip, path: str) -> str:
    """Who states a number of a stack: for this chip, for its family or kind, or for every chip."""
    places = [f"variants.{place}.{path}" for place in (chip.id, chip.family, chip.kind)]
    return next((cited(stack.sources[place]) for place in (*places, path) if place in stack.sources), stack.name)


def product(*factors: str) -> str:
    """The factors that are there, multiplied; 1 if none is.

    >>> product("peak", "", "compute"), product()
    ('peak*compute', '1')
    """
    return "*".join(factor for factor in factors if factor) or "1"


def grouped(formula: str) -> str:
    """A formula that may stand below a fraction's line.

    >>> grouped("a*b"), grouped("a"), grouped("min(a*b, c)")
    ('(a*b)', 'a', 'min(a*b, c)')
    """
    return formula if formula.isidentifier() or formula.startswith("min(") else f"({formula})"


def joined(first: str, second: str, overlap: float, name: str = "overlap") -> str:
    """How two times make one (`p_norm`): their sum, the longer of them, or something between.

    >>> joined("a", "b", 1.0), joined("a", "b", float("inf")), joined("a", "b", 2.0)
    ('a + b', 'max(a, b)', '(a^overlap + b^overlap)^(1/overlap)')
    """
    if overlap == 1.0:
        return f"{first} + {second}"
    if np.isinf(overlap):
        return f"max({first}, {second})"
    return f"({first}^{name} + {second}^{name})^(1/{name})"


# --- kernels ----------------------------------------------------------------------------------------------------


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


# --- collectives ------------------------------------------------------------------------------------------------

# `collectives.VOLUME` and `STEPS` as text.
VOLUME: Mapping[str, str] = MappingProxyType(
    {
        "all-reduce": "2*(ranks - 1)/ranks",
        "all-gather": "(ranks - 1)/ranks",
        "reduce-scatter": "(ranks - 1)/ranks",
        "all-to-all": "(ranks - 1)/ranks",
        "send": "min(ranks - 1, 1)",
    }
)
EXCHANGES: Mapping[str, str] = MappingProxyType(
    {
        "all-reduce": "2*(ranks - 1)",
        "all-gather": "(ranks - 1)",
        "reduce-scatter": "(ranks - 1)",
        "all-to-all": "min(ranks - 1, 1)",
        "send": "min(ranks - 1, 1)",
    }
)


@dataclass(frozen=True, slots=True)
class Level:
    """The members of a group that share a link, and what passes among them: text over the message and constants."""

    link: Link
    ranks: float
    message: str
    constants: tuple[Constant, ...] = ()


# Of `copies` places drawn at random among so many, the different ones (`ops.drawn`).
DRAWN = "{0}*(1 - (1 - 1/{0})^copies)"


def levels(message: Message, chip: Chip) -> Iterator[Level]:
    """Inside a scale-up domain and beyond it, where there is anybody to talk to."""
    near, far = chip.link("scale-up"), chip.link("scale-out")
    group = float(message.ranks)
    inside = float(np.clip(np.floor((near.chips if near else 1.0) / message.stride), 1.0, group))
    outside = group / inside
    pairs = message.algorithm == "all-to-all"
    domains = Constant("domains", "domains that the group spreads over", outside)
    if near is not None and inside > 1.0:
        yield Level(near, inside, *(_pairs_inside(message, domains) if pairs else ("message",)))
    if far is not None and outside > 1.0:
        members = Constant("members", "members of each domain, who share it", inside)
        whole = ("message/members", (members,)) if inside > 1.0 else ("message",)
        yield Level(far, outside, *(_pairs_outside(message, domains) if pairs else whole))


def _pairs_inside(message: Message, domains: Constant) -> tuple[str, tuple[Constant, ...]]:
    """Of an all-to-all, what goes to the members of one domain."""
    group = Constant("group", "members of the whole group", float(message.ranks))
    drawn = (_copies(message), group) if message.copies != 1.0 else ()
    spread = (domains,) if domains.value > 1.0 else ()
    return product("message", DRAWN.format("group") if drawn else "") + ("/domains" if spread else ""), drawn + spread


def _pairs_outside(message: Message, domains: Constant) -> tuple[str, tuple[Constant, ...]]:
    """Of an all-to-all, what goes to other domains, to each once."""
    if message.copies == 1.0:
        return "message", ()
    return product("message", DRAWN.format("domains")), (_copies(message), domains)


def _copies(message: Message) -> Constant:
    return Constant("copies", "members, drawn at random, that each value goes to", float(message.copies))


def collective(op: Op, chip: Chip, stack: Stack) -> list[Line]:
    """The time of one execution of a collective (`one_execution`)."""
    sheet = Sheet()
    if op.message is None:
        return sheet.lines
    sheet.known["message"] = float(op.message.size), "B"
    found = [_level(sheet, level, op.message.algorithm, chip, stack) for level in levels(op.message, chip)]
    if stack.operator and float(op.message.ranks) > 1.0:
        source = stack_source(stack, chip, "overheads.operator")
        sheet.put(Constant("operator", f"{stack.id}, for each operator", float(stack.operator), "s", source))
        found.append("operator")
    sheet.take("one_execution", " + ".join(found) or "0")
    return sheet.lines


def _level(sheet: Sheet, level: Level, algorithm: str, chip: Chip, stack: Stack) -> str:
    """The time on one level; the name of its result."""
    link, scope = level.link, level.link.scope.replace("-", "_")
    sheet.put(*_link(level, chip))
    size = "message"
    if level.message != "message":
        size = f"{scope}_message"
        sheet.put(*level.constants)
        sheet.take(size, level.message, "B")
    sent = f"{size}*{VOLUME[algorithm]}", _link_rate(sheet, link, algorithm), _hops(link)
    own = chip.achieved_links.get(f"{link.scope}/{algorithm}") if stack.collectives == DIRECT else None
    if own is None:
        key = chip.link_key(link.scope, algorithm)
        apart = key != link.scope and algorithm == "all-to-all"
        return _way(sheet, "library", scope, chip, key, sent, "(ranks - 1)" if apart else EXCHANGES[algorithm])
    if algorithm != "all-reduce":
        return _way(sheet, "own", scope, chip, f"{link.scope}/{algorithm}", sent, "(ranks - 1)")
    ways = (
        _way(sheet, "library", "library_time", chip, link.scope, sent, EXCHANGES[algorithm]),
        _way(sheet, "own", "own_time", chip, f"{link.scope}/{algorithm}", sent, "(ranks - 1)"),
    )
    sheet.take(scope, f"min({', '.join(ways)})", source=stack_source(stack, chip, "collectives"))
    return scope


def _link(level: Level, chip: Chip) -> Iterator[Constant]:
    """The link of a level and who uses it."""
    link, source = level.link, cited(chip.sources.get(f"links.{level.link.name}"))
    yield Constant(
        "link", f"{link.name}: {link.scope}, {link.topology}, one direction", float(link.bandwidth), "B/s", source
    )
    yield Constant("ranks", "chips that share it", level.ranks)
    if link.topology == "mesh":
        yield Constant("chips", "that the mesh joins", float(link.chips), "", source)
    if link.latency:
        yield Constant("hop", "latency of the link", float(link.latency), "s", source)


def _link_rate(sheet: Sheet, link: Link, algorithm: str) -> str:
    """The bandwidth towards the others, by name or as text (`collectives.bandwidth`)."""
    if link.topology == "mesh":
        sheet.take("to_others", "link*min((ranks - 1)/max(chips - 1, 1), 1)", "B/s")
        return "to_others"
    if link.topology in collectives.TORUS_AXES:
        axes = f"{collectives.TORUS_AXES[link.topology]:g}"
        share = f"min(log2(ranks)/(2*{axes}), 1)"
        if algorithm == "all-to-all":
            share = f"(1 - 1/ranks)/({axes}*max(ranks^(1/{axes})/4, 1))"
        sheet.take("to_others", f"link*{share}", "B/s")
        return "to_others"
    return "link"


def _hops(link: Link) -> str:
    """The time of the hops that a message takes at least (`collectives.steps`), empty if the link states none."""
    if not link.latency:
        return ""
    if link.topology in collectives.TORUS_AXES:
        axes = f"{collectives.TORUS_AXES[link.topology]:g}"
        return f"{axes}*(ranks^(1/{axes}) - 1)*hop"
    if link.topology == "dragonfly":
        return "min(ceil(log2(ranks)), 3)*hop"
    return "ceil(log2(ranks))*hop"


def _way(
    sheet: Sheet, name: str, result: str, chip: Chip, key: str, sent: tuple[str, str, str], exchanges: str
) -> str:  # fmt: skip
    """One algorithm on one level: a library's ring, or a stack's own kernel; the name of its result."""
    reached = chip.achieved_links.get(key, IDEAL_LINK)
    source = cited(chip.sources.get(f"achieved.links.{key}"), UNMEASURED)
    volume, rate, hops = sent
    whose = {"library": "a library's", "own": "the stack's own"}[name]
    fraction = Constant(
        f"{name}_fraction", f"share of the link that {whose} kernels reach", float(reached.bandwidth), "", source
    )
    sheet.put(fraction)
    sheet.take(f"{name}_transfer", f"{volume}/({rate}*{fraction.name})", source=RINGS)
    body = f"{name}_transfer"
    if reached.latency or reached.step:
        sheet.put(
            Constant(f"{name}_latency", "what beginning costs", float(reached.latency), "s", source),
            Constant(f"{name}_step", "of each exchange with a neighbour", float(reached.step), "s", source),
        )
        sheet.take(f"{name}_start", f"{name}_latency + {name}_step*{exchanges}")
        if reached.overlap != 1.0:
            meaning = "1: start and bytes add; less: a pipeline of pieces fills slowly"
            sheet.put(Constant(f"{name}_overlap", meaning, float(reached.overlap), "", source))
        body = joined(f"{name}_start", body, float(reached.overlap), f"{name}_overlap")
    sheet.take(result, " + ".join(part for part in (body, hops) if part))
    return result
