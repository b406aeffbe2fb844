"""The time of a collective written out: inside a scale-up domain and beyond it, of a library and of a stack's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from roofline.engine import collectives
from roofline.engine.ops import Message, Op
from roofline.machine import Chip, Link, Stack
from roofline.machine.chip import IDEAL_LINK
from roofline.machine.stack import DIRECT
from roofline.studies.arithmetic.sheet import UNMEASURED, Constant, Line, Sheet, cited, joined, product, stack_source

RINGS = "Thakur, Rabenseifner, Gropp 2005, sections 3 and 4"
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
