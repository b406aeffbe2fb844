"""Knobs of the software on a chip: the seconds that it adds, and what its kernels reach beside measured ones."""

from __future__ import annotations

from collections.abc import Iterator

from roofline.studies.elasticity import SOFTWARE_TIMES
from roofline.studies.knobs.knob import Case, Knob, Turn, known

MULTIPLES = ("latency", "compute", "memory")
SHARES = ("flow", "usable_memory", "cache_memory")


def knobs(case: Case) -> Iterator[Knob]:
    """All of them; of seconds also those that are 0."""
    stack = case.deployment.stack
    for name in SOFTWARE_TIMES:
        yield Knob(f"stack.{name}", "s", float(getattr(stack, name)), _field(name), "delay", optional=True)
    for name in MULTIPLES:
        yield Knob(f"stack.{name}", "", float(getattr(stack, name)), _field(name))
    for name in SHARES:
        smooth = name == "flow"
        yield Knob(f"stack.{name}", "1", float(getattr(stack, name)), _field(name), most=1.0, smooth=smooth)
    for name, value in known((("stream", stack.stream), ("reread", stack.reread))):
        yield Knob(f"stack.{name}", "", value, _field(name))
    for name, value in known((("prefill_chunk", stack.prefill_chunk),)):
        yield Knob(f"stack.{name}", "", value, _field(name), least=1.0, whole=True, smooth=False)
    for kind, value in known(stack.rates.items()):
        yield Knob(f"stack.rates.{kind}", "", value, _of("rates", kind))
    for kind, value in known(stack.overlaps.items()):
        yield Knob(f"stack.overlaps.{kind}", "1", value, _of("overlaps", kind), most=1.0)


def _field(name: str) -> Turn:
    return lambda case, value: case.on_stack(**{name: value})


def _of(group: str, kind: str) -> Turn:
    return lambda case, value: case.on_stack(**{group: {**getattr(case.deployment.stack, group), kind: value}})
