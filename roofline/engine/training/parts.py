"""What a training step consists of: each operator belongs to one part, and their times add up to the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from roofline.engine.ops import COLLECTIVE, OVERHEAD, Op
from roofline.engine.overlap import served
from roofline.engine.prediction import Phase
from roofline.engine.training import offload
from roofline.engine.training.step import BUBBLE, RECOMPUTE
from roofline.machine.chip import ATTENTION, EXPERTS, MATMUL, SCAN
from roofline.machine.stack import PARALLEL
from roofline.numeric import Num

PRODUCTS, ATTENDING, PASSES, RECOMPUTED = "products", "attention", "elementwise", "recompute"
WAITING, UPDATE, MOVED, SOFTWARE = "bubble", "update", "offload", "software"
MESSAGES: Mapping[str, str] = MappingProxyType({kind: f"{kind}_messages" for kind in PARALLEL})
TRANSFERS = (offload.OUT, offload.BACK, offload.STATES)
PARTS = (PRODUCTS, ATTENDING, PASSES, RECOMPUTED, *MESSAGES.values(), WAITING, UPDATE, MOVED, SOFTWARE)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Seconds of a step that a part takes, and those that pass behind other work."""

    name: str
    time: Num = 0.0
    hidden: Num = 0.0


def parts(step: Phase) -> tuple[Part, ...]:
    """Every part of a step, in the order of `PARTS`, those too that take no time."""
    times: dict[str, Num] = dict.fromkeys(PARTS, 0.0)
    hidden: dict[str, Num] = dict.fromkeys(PARTS, 0.0)
    for item in step.operators:
        name = part_of(item.op)
        times[name] = times[name] + item.time
        hidden[name] = hidden[name] + item.hidden_time
    return tuple(Part(name, times[name], hidden[name]) for name in PARTS)


def part_of(op: Op) -> str:
    """The part that an operator of a step belongs to.

    Messages are told by the kind of parallelism that they serve, those of a recomputed layer too. Attention that is not
    fused is attention, whatever kernels it is made of; recurrences are products.
    """
    first, *words = op.name.split("/")
    if op.kind == COLLECTIVE:
        return MESSAGES[served(op)]
    if op.kind == OVERHEAD:
        return WAITING if op.name == BUBBLE else MOVED if op.name in TRANSFERS else SOFTWARE
    if first in ("optimizer", RECOMPUTE):
        return UPDATE if first == "optimizer" else RECOMPUTED
    if op.kind == ATTENTION or any(word.startswith("core") for word in words):
        return ATTENDING
    return PRODUCTS if op.kind in (MATMUL, EXPERTS, SCAN) else PASSES
