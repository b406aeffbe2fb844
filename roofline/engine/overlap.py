"""Messages behind work: whom a message serves, and halves of a batch that work while the other's experts exchange.

Two halves (DeepSeek-V3, arXiv 2412.19437, section 3.4): each layer runs twice on half of the rows, so that weights are
read twice and kernels start twice, and what one half sends passes while the other half computes. Some compute units
carry the messages of a prompt meanwhile (ibid., section 3.2.2), so that the work takes longer; where tokens are
generated the network's own processors do (DeepEP, low-latency kernels).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from roofline.engine.ops import COLLECTIVE, OVERHEAD, Op
from roofline.engine.roof import Priced
from roofline.machine import Chip, Stack
from roofline.machine.stack import CONTEXT, DATA, EXPERT, PIPELINE, TENSOR
from roofline.numeric import Num, smaller, where
from roofline.workload import Plan

# The kind of parallelism that a message serves, by a word of its name; all others are tensor-parallel.
SERVES: Mapping[str, str] = MappingProxyType(
    {
        "pipeline": PIPELINE,
        "context": CONTEXT,
        "dispatch": EXPERT,
        "combine": EXPERT,
        "gradients": DATA,
        "weights": DATA,
        "experts-gradients": DATA,
        "experts-weights": DATA,
    }
)


def served(op: Op) -> str:
    """The kind of parallelism that a message serves."""
    return next((SERVES[word] for word in op.name.split("/") if word in SERVES), TENSOR)


def halves(plan: Plan) -> Num:
    """Into how many parts a batch is cut: two where experts are apart, whose messages are worth hiding."""
    return where(plan.ep > 1.0, 2.0, 1.0)


def carrying(chip: Chip, stack: Stack) -> Num:
    """The share of a chip's compute units that messages take from work which they pass behind; 0 where unknown."""
    return 0.0 if chip.compute_units is None else smaller(stack.message_units / chip.compute_units, 1.0)


def behind_halves(priced: Sequence[Priced], parts: Num, carrying: Num = 0.0) -> tuple[Priced, ...]:
    """Passes of `parts` of a batch one after another: experts' messages pass behind the other's work, as far as there
    is work, and take a share `carrying` of the chip from it. With one part nothing hides.

    While M seconds of messages pass, (1 − c)·M of work is done: `min((1 − c)·M, W)` seconds are saved of W + M.
    """
    exchanged = [item.op.kind == COLLECTIVE and served(item.op) == EXPERT for item in priced]
    messages = _sum(item.taken for item, sent in zip(priced, exchanged, strict=True) if sent)
    work = _sum(item.taken for item in priced if item.op.kind not in (COLLECTIVE, OVERHEAD))
    hidden = where(parts > 1.0, smaller(messages * (1.0 - carrying), work) / where(messages > 0.0, messages, 1.0), 0.0)
    return tuple(item.behind(hidden) if sent else item for item, sent in zip(priced, exchanged, strict=True))


def _sum(terms: Iterable[Num]) -> Num:
    return sum(terms, start=0.0)
