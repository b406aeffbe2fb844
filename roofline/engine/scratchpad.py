"""Weights that stay on the chip: a memory before the main one in which software keeps as many as it holds.

A cache keeps none of a model that is larger: what is read in turn is evicted before it is read again. A memory that
software manages, such as the CMEM of a TPU (Jouppi et al., ISCA 2021), can keep a fixed part of every matrix: each step
reads that part there and the rest from main memory. No measurement stands behind it. All weights stay in main memory as
well, and reading the part costs as much energy as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roofline.engine import memory
from roofline.engine.ops import Op
from roofline.machine import Chip
from roofline.machine.chip import EXPERTS, MATMUL
from roofline.numeric import Num, changed, smaller, some
from roofline.workload import Model, Plan, Precision

HOLDING = (MATMUL, EXPERTS)  # kernels that read weights


def share(model: Model, precision: Precision, plan: Plan, chip: Chip) -> Num:
    """Share of the weights on a chip that its scratchpad holds; 0 without one."""
    pad = chip.scratchpad
    return 0.0 if pad is None else smaller(pad.capacity / memory.weight_bytes(model, precision, plan), 1.0)


def pinned(operators: Iterable[Op], near: Num) -> Iterator[Op]:
    """Operators of a served model that find a share `near` of their weights there: of what they move, that share of all
    that their rows do not bring."""
    for op in operators:
        holds = some(near) and op.kind in HOLDING
        yield changed(op, resident=near * (1.0 - op.growing)) if holds else op
