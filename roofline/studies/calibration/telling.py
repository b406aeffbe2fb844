"""Which rows tell which constants of a stack, and how much each row weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from roofline.machine.chip import ATTENTION, DECODE_ATTENTION, DECODE_SCAN, EXPERTS, PERMUTE, QUANTISE
from roofline.machine.stack import PARALLEL
from roofline.studies.calibration.constants import NARROW, NARROWER, OVERLAP, SERVER
from roofline.studies.calibration.fitting import Array
from roofline.studies.calibration.runs import Part
from roofline.workload import BITS
from roofline.workload.recurrence import LinearMixer

FEWEST = 6  # rows that a family or a chip needs for numbers of its own, and a number that not every row tells
BESIDE = 3  # rows of other families that a number needs which holds for all
MOST = 4.0  # rows that those of one chip, model and phase count for at most: they share what the model gets wrong
LONG = 2048.0  # tokens of a prompt or context from which on attention is a part that rows can tell


def rows_of(parts: Sequence[Part]) -> int:
    """How many rows parts have together."""
    return sum(len(part.cases) for part in parts)


def _several(tells: Callable[[Part], bool]) -> Callable[[Sequence[Part]], bool]:
    """Fewer rows would only lend a constant their noise, on every chip of the stack."""
    return lambda rows: rows_of([part for part in rows if tells(part)]) >= FEWEST


def _widely(tells: Callable[[Part], bool]) -> Callable[[Sequence[Part]], bool]:
    """Rows of several families: what one of them nearly alone tells of its kernels says nothing of those of others."""

    def told(rows: Sequence[Part]) -> bool:
        telling = Counter[str]()
        for part in rows:
            telling[part.where.chip.family] += len(part.cases) * tells(part)
        beside = telling.total() - max(telling.values(), default=0)
        return telling.total() >= FEWEST and (len(telling) == 1 or beside >= BESIDE)

    return told


def _waits(part: Part) -> bool:
    return any(metric.name in ("ttft_s", "e2e_latency_s") for metric in part.metrics)


def chooses(part: Part) -> bool:
    """Whether the model of a part has experts to choose among."""
    return part.model.routed_layers > 0


def _reads_long(part: Part) -> bool:
    return ATTENTION not in part.where.stack.rates and any(
        metric.phase != "decode" and (case.numbers["input_len"] or 0.0) >= LONG
        for case, metric in zip(part.cases, part.metrics, strict=True)
    )


def _remembers_long(part: Part) -> bool:
    """Rows of long contexts, unless the kernels of this very software were timed by themselves; those that read a cache
    again for every head are of another age than what was."""
    stack = part.where.stack
    return (DECODE_ATTENTION not in stack.rates or bool(np.any(stack.reread))) and any(
        metric.phase != "prefill" and (case.numbers["input_len"] or 0.0) >= LONG
        for case, metric in zip(part.cases, part.metrics, strict=True)
    )


def _rereads(part: Part) -> bool:
    return bool(np.any(part.where.stack.reread)) and _remembers_long(part)


def _chooses_wide(part: Part) -> bool:
    """Experts in mxfp4 have kernels of their own, often of another age: they tell nothing of those in other formats."""
    return chooses(part) and part.reading.weights_of(part.setup) != "mxfp4"


def _recurs(part: Part) -> bool:
    return any(isinstance(block.mixer, LinearMixer) for block in part.model.blocks)


def _pipelines(part: Part) -> bool:
    return bool(np.any(np.greater(part.where.plan.pp, 1.0))) and any(m.phase != "decode" for m in part.metrics)


def _schedules(part: Part) -> bool:
    stack = part.where.stack
    return bool(np.any(stack.sequence)) and any((case.numbers["batch"] or 0.0) > 1.0 for case in part.cases)


def _handles(part: Part) -> bool:
    return bool(np.any(part.where.stack.handling)) and any((case.numbers["batch"] or 0.0) > 1.0 for case in part.cases)


def _launches(part: Part) -> bool:
    return bool(np.any(part.where.stack.host))


def _streams(part: Part) -> bool:
    return bool(np.all(np.isfinite(part.where.stack.stream))) and part.where.chip.compute_units is not None


# Whether enough rows tell a constant; the others are told by every row.
TELLS: Mapping[str, Callable[[Sequence[Part]], bool]] = MappingProxyType(
    {
        "request": _several(_waits),
        SERVER: _several(lambda part: part.queued),
        "sequence": _several(_schedules),
        "host": _several(_launches),
        "handling": _several(_handles),
        "stream": _several(_streams),
        "flow": _several(_pipelines),
        "reread": _several(_rereads),
        ATTENTION: _several(_reads_long),
        DECODE_ATTENTION: _several(_remembers_long),
        DECODE_SCAN: _several(lambda part: _recurs(part) and any(metric.phase != "prefill" for metric in part.metrics)),
        EXPERTS: _several(_chooses_wide),
    }
)


def _narrow(part: Part) -> bool:
    return BITS[part.reading.weights_of(part.setup)] < 16.0


def _divided(degree: str) -> Callable[[Part], bool]:
    return lambda part: bool(np.any(np.greater(getattr(part.where.plan, degree), 1.0)))


TELLS_OF_TRAINING: Mapping[str, Callable[[Sequence[Part]], bool]] = MappingProxyType(
    {
        NARROW: _widely(lambda part: _narrow(part) and BITS[part.reading.weights_of(part.setup)] > 6.0),
        NARROWER: _widely(lambda part: BITS[part.reading.weights_of(part.setup)] < 6.0),
        QUANTISE: _widely(_narrow),
        "routing": _several(chooses),
        EXPERTS: _several(chooses),
        PERMUTE: _several(chooses),
        **{
            f"{OVERLAP}{kind}": _several(_divided(degree))
            for kind, degree in zip(PARALLEL, ("tp", "ep", "cp", "pp", "dp"), strict=True)
        },
    }
)


def weights(rows: Sequence[Part]) -> Array:
    """Rows weigh less the more there are of their chip, model and phase (see `MOST`)."""
    keys = [(part.setup.chip, part.setup.model, metric.phase) for part in rows for metric in part.metrics]
    count = Counter(keys)
    return np.array([np.sqrt(min(count[key], MOST) / count[key]) for key in keys])
