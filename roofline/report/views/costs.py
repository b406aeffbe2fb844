"""Where the time of a phase goes, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from roofline.report.human import duration, percent

Result = Mapping[str, Any]
MOST = 3  # costs that are told
# What each kind of operator is doing, by what binds it where that differs.
DOING: Mapping[tuple[str, str], str] = {
    ("matmul", "memory"): "reading weights",
    ("matmul", "compute"): "multiplying by weights",
    ("experts", "memory"): "reading experts",
    ("experts", "compute"): "multiplying by experts",
    ("decode-attention", ""): "attention over the cache",
    ("attention", ""): "attention within the prompt",
    ("scan", ""): "recurrent layers",
    ("decode-scan", ""): "recurrent layers",
    ("elementwise", ""): "norms, activations and other passes over values",
    ("quantise", ""): "narrowing activations",
    ("update", ""): "updating weights",
    ("overhead", ""): "software",
}
OUTSIDE = "outside of layers"  # the name of the last group
# What layers of every group have alike, where there are several groups.
EVERY: Mapping[str, str] = MappingProxyType({"context": "keys and values of others"})
COLLECTIVES = "exchange between chips"
WAITING = "starting kernels"


def costs_text(phase: Result) -> str:
    """The largest costs of a phase in a sentence."""
    shares: dict[str, float] = defaultdict(float)
    for operator in phase["operators"]:
        shares[doing(operator)] += operator["share"] or 0.0
    largest = sorted(shares.items(), key=lambda item: -item[1])[:MOST]
    told = ", ".join(f"{percent(share)} {what}" for what, share in largest if share > 0)
    return f"{phase['phase']} spends its time on: {told}" if told else f"{phase['phase']} takes no time"


def doing(operator: Result) -> str:
    """What an operator is doing, in words.

    >>> doing({"kind": "matmul", "bound": "memory"}), doing({"kind": "all-reduce", "bound": "network"})
    ('reading weights', 'exchange between chips')
    """
    kind, bound = operator["kind"], operator["bound"]
    if (kind, "") not in DOING and (kind, bound) not in DOING:
        return WAITING if bound == "overhead" else COLLECTIVES
    return DOING.get((kind, bound)) or DOING[kind, ""]


def layers_text(phase: Result) -> str:
    """The time of one layer of each group in one pass, and of all outside."""
    told = (_group(group["name"], group["count"], duration(group["time_s"])) for group in phase["layers"])
    return f"one pass of {phase['phase']}: {', '.join(told)}"


def _group(name: str, layers: float, each: str) -> str:
    if name == OUTSIDE:
        return f"{each} {OUTSIDE}"
    if name in EVERY:
        return f"{each} for {EVERY[name]} of each of {layers:,.0f} layers"
    kind = "layer" if name == "layer" else f"{name} layer"
    return f"{each} for one {kind}" if layers == 1.0 else f"{each} for each of {layers:,.0f} {kind}s"
