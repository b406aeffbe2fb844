"""What is fitted of a stack: times that the work does not hide, and shares of what kernels reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from roofline.machine import Stack
from roofline.machine.chip import (
    ATTENTION,
    DECODE_ATTENTION,
    DECODE_SCAN,
    EXPERTS,
    MATMUL,
    PERMUTE,
    QUANTISE,
)
from roofline.machine.stack import EXPERT, PARALLEL
from roofline.studies.calibration.fitting import Constant, Values

MS, US = 1e-3, 1e-6
SERVER = "server"


def _by_name(*constants: Constant) -> Mapping[str, Constant]:
    return MappingProxyType({constant.name: constant for constant in constants})


# Physical limits of each constant, how far from its start is far, and where it starts if nothing is stated.
CONSTANTS = _by_name(
    Constant("step", 0.0, 0.0, 200 * MS, 1 * MS),
    Constant("sequence", 0.0, 0.0, 2 * MS, 20 * US),
    Constant("layer", 0.0, 0.0, 5 * MS, 20 * US),
    Constant("request", 0.0, 0.0, 200 * MS, 10 * MS),
    Constant(SERVER, 0.0, 0.0, 200 * MS, 10 * MS),
    Constant("host", 0.0, 0.0, 5 * MS, 20 * US),
    Constant("handling", 0.0, 0.0, 1 * MS, 20 * US),
    Constant("latency", 1.0, 0.2, 5.0, 0.2),
    Constant("compute", 1.0, 0.03, 1.1, 0.15),
    Constant("memory", 1.0, 0.05, 1.15, 0.1),
    Constant("stream", 6.4, 0.64, 10.0, 1.28),
    Constant("flow", 1.0, 0.0, 1.0, 0.3),
    Constant("reread", 0.0, 0.0, 1.0, 0.2),
    Constant(EXPERTS, 1.0, 0.01, 3.0, 0.2),  # unfused, one expert after another
    Constant(ATTENTION, 1.0, 0.02, 2.0, 0.3),
    Constant(DECODE_ATTENTION, 1.0, 0.05, 2.0, 0.2),
    Constant(DECODE_SCAN, 1.0, 0.02, 2.0, 0.3),
)
# Where the search begins: a host that keeps ahead of the chip by far tells nothing of how fast it is.
BEGIN: Values = MappingProxyType({"host": 1 * MS, "routing": 10 * MS})
NARROW, NARROWER = f"{MATMUL}/fp8", f"{MATMUL}/fp4"  # products of 8 and of 4 bits
OVERLAP = "overlap."  # begins the name of a constant that is the share of some messages that work hides
# Constants of a stack that trains: no request waits, and messages may hide.
TRAINED = _by_name(
    Constant("step", 0.0, 0.0, 500 * MS, 2 * MS),
    Constant("layer", 0.0, 0.0, 50 * MS, 20 * US),
    Constant("host", 0.0, 0.0, 50 * MS, 1 * MS),
    Constant("routing", 0.0, 0.0, 100 * MS, 10 * MS),
    Constant("compute", 1.0, 0.03, 1.3, 0.15),
    Constant("memory", 1.0, 0.05, 1.5, 0.15),
    Constant(NARROW, 1.0, 0.2, 1.5, 0.15),
    Constant(NARROWER, 1.0, 0.2, 1.5, 0.15),
    Constant(QUANTISE, 1.0, 0.2, 10.0, 0.3),
    Constant(EXPERTS, 1.0, 0.1, 2.0, 0.1),
    Constant(PERMUTE, 1.0, 0.02, 2.0, 0.3),
    Constant(ATTENTION, 1.0, 0.2, 2.0, 0.15),
    *(Constant(f"{OVERLAP}{kind}", 1.0, 0.0, 1.0, 0.3) for kind in PARALLEL),
)
OF_EXPERTS = ("routing", EXPERTS, PERMUTE, f"{OVERLAP}{EXPERT}")
# Constants that are rates of one kind of kernel.
KINDS = (EXPERTS, PERMUTE, ATTENTION, DECODE_ATTENTION, DECODE_SCAN, QUANTISE, NARROW, NARROWER)


def with_values(stack: Stack, values: Values) -> Stack:
    """The stack with these constants."""
    others: dict[str, Any] = dict(values)
    rates = {name: others.pop(name) for name in KINDS if name in values}
    hidden = {name.removeprefix(OVERLAP): others.pop(name) for name in values if name.startswith(OVERLAP)}
    return replace(stack, rates={**stack.rates, **rates}, overlaps={**stack.overlaps, **hidden}, **others)


def stated(stack: Stack, name: str) -> float:
    """What a stack says of a constant."""
    if name.startswith(OVERLAP):
        return float(stack.overlaps.get(name.removeprefix(OVERLAP), 1.0))
    return float(stack.rates.get(name, 1.0) if name in KINDS else getattr(stack, name))
