"""The view of a ranking of plans: the best ones beside each other, and in words what the others lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roofline.report.document import Cell, Column, Grid, Part, Text
from roofline.report.human import count, duration, percent, quantity
from roofline.report.views.common import plan_text

Result = Mapping[str, Any]
LEAST = 0.0005  # of a step: parts that take less are not shown

# Parts of a step as people call them, in the order in which they are shown.
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "products": "products",
        "attention": "attention",
        "elementwise": "norms and other passes",
        "recompute": "recomputation",
        "tensor_messages": "tensor-parallel messages",
        "expert_messages": "expert-parallel messages",
        "context_messages": "context-parallel messages",
        "pipeline_messages": "messages between stages",
        "data_messages": "messages between replicas",
        "bubble": "pipeline bubble",
        "update": "optimizer's update",
        "offload": "transfers from and to the host",
        "software": "software",
    }
)


def words(part: str) -> str:
    """A part of a step in words.

    >>> words("tensor_messages"), words("products")
    ('tensor-parallel messages', 'products')
    """
    return WORDS.get(part, part)


def parts_of_step(parts: Sequence[Result]) -> Grid:
    """What a step consists of, and what passes behind other work."""
    rows = [
        (words(part["name"]), duration(part["time_s"]), percent(part["share"]), duration(part["hidden_time_s"] or None))
        for part in parts
    ]
    columns = ("part of the step", "time", "share", "hidden")
    return Grid.of([Column(name, right=index > 0) for index, name in enumerate(columns)], rows)


def parts(plans: Result) -> Iterator[Part]:
    """The table, a sentence for each plan that lost, and how many there were."""
    rows = plans["rows"]
    if rows:
        yield _table(rows)
        yield Text(_won(rows[0]))
        for row in rows[1:]:
            yield Text(_lost(row))
    told = f"{count(plans['considered'])} plans considered: {count(plans['invalid'])} break a rule, "
    told += f"{count(plans['too_large'])} do not fit, {count(plans['fitting'])} fit"
    yield Text(told, "quiet")


def _table(rows: Sequence[Result]) -> Grid:
    """Plans below each other, the parts of their steps beside each other."""
    large = {part["name"] for row in rows for part in row["parts"] if (part["share"] or 0.0) >= LEAST}
    known = [name for name in WORDS if name in large]
    heads = ("rank", "plan", "step", "loss", "memory", *(words(name) for name in known))
    columns = [Column(head, right=head not in ("rank", "plan")) for head in heads]
    return Grid.of(columns, [_row(row, known) for row in rows], turns=True)


def _row(row: Result, names: Sequence[str]) -> list[str | Cell]:
    times = {part["name"]: part["time_s"] for part in row["parts"]}
    loss = percent(row["loss"]) if row["rank"] > 1 else ""
    shown = [duration(times.get(name)) for name in names]
    first = [count(row["rank"]), plan_text(row["plan"]), duration(row["step_time_s"]), loss]
    return [*first, quantity(row["memory_bytes"], "B"), *shown]


def _won(row: Result) -> str:
    """What the step of the fastest plan is made of."""
    largest = sorted(row["parts"], key=lambda part: -(part["share"] or 0.0))[:3]
    made = ", ".join(f"{percent(part['share'])} {words(part['name'])}" for part in largest)
    hidden = sum(part["hidden_time_s"] or 0.0 for part in row["parts"])
    behind = f"; {duration(hidden)} of messages pass behind its work" if hidden else ""
    return f"1. {plan_text(row['plan'])} is the fastest: {made}{behind}"


def _lost(row: Result) -> str:
    """What another plan loses, and where most of it."""
    head = f"{row['rank']}. {plan_text(row['plan'])} is {percent(row['loss'])} slower"
    grew = row["grew"]
    return f"{head}: {duration(grew['time_s'])} more of {words(grew['name'])}" if grew else head
