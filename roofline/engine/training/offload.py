"""What lies in the host's memory, and the seconds in which it crosses the link between host and chip.

Activations leave the chip while the forward pass makes them and come back ahead of the backward pass; what the
optimizer keeps passes through the chip while it is updated (ZeRO-Infinity, Rajbhandari et al. 2021, arXiv 2104.07857,
sections 5 and 6). Both directions of the link work at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from roofline.engine.ops import OVERHEAD, Op
from roofline.engine.training import memory
from roofline.errors import PlanError
from roofline.machine import Chip
from roofline.machine.chip import Memory as Level
from roofline.numeric import Num, some
from roofline.workload import Plan, Precision, Training

OUT, BACK, STATES = "offload/activations-out", "offload/activations-back", "offload/optimizer"


def host(chip: Chip, plan: Plan) -> Level | None:
    """The level beyond a chip's main memory, of which the chip has that much for itself; None if nothing goes there.

    Raises `PlanError` if the chip's file names no such level, or not how fast it is.
    """
    if not some(plan.offload_activations) and not some(plan.offload_optimizer):
        return None
    index = chip.main % len(chip.memory) + 1
    if index < len(chip.memory) and chip.memory[index].bandwidth is not None:
        return chip.memory[index]
    raise PlanError(
        f"{chip.id} has nowhere to offload to; write what its host lends it behind the main memory in its file, e.g. "
        f"'- {{name: host, capacity: 512 GB, bandwidth: 64 GB/s, source: ...}}', and 'main: true' at "
        f"{chip.main_memory.name}"
    )


def transfers(training: Training, chip: Chip, plan: Plan, precision: Precision, rounds: Num) -> Iterator[Op]:
    """What crosses the link in a step of `rounds` micro-batches: activations there and back, states both ways."""
    level = host(chip, plan)
    if level is None or level.bandwidth is None:
        return
    activations, states = memory.offloaded(training, plan, precision)
    for name, moved in ((OUT, rounds * activations), (BACK, rounds * activations), (STATES, states)):
        yield Op(name, OVERHEAD, terms={"seconds": moved / level.bandwidth, "moved": moved})
