"""Settings of a deployment, one by one: degrees and other fields of a plan, pools, stack and formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from roofline.errors import RooflineError, did_you_mean
from roofline.workload import DTYPES
from roofline.workload.plan import RECOMPUTES, ContextExchange, Schedule

# Settings of a plan by what they are: whole numbers with their least and most, shares, switches, and names.
MOST = 10_000_000
DEGREES = ("tp", "pp", "dp", "ep", "cp")
COUNTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    dict.fromkeys((*DEGREES, "vpp"), (1, MOST))
    | {"zero": (0, 3)}
    | dict.fromkeys(("micro_batch", "shard", "expert_tp", "recompute_layers"), (1, MOST))
)
PARTS, SWITCHES = (
    ("selective", "offload_activations", "offload_optimizer"),
    ("sequence_parallel", "flash", "fused_loss"),
)
NAMED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recompute": RECOMPUTES,
        "schedule": get_args(Schedule),
        "context": get_args(ContextExchange),
    }
)
PLAN_KEYS = (*COUNTS, *PARTS, *SWITCHES, *NAMED)
FORMAT_KEYS = ("weights", "activations", "kv_cache")
READS = ("prefill_tp", "prefill_pp", "prefill_ep")  # degrees of the prefill pool where it has its own
KEYS = (*PLAN_KEYS, "pools", *READS, "stack", *FORMAT_KEYS)
SHAPE = "shape"  # of a torus; what a deployment alone says, as it belongs to one system
ON, OFF = ("on", "yes", "true"), ("off", "no", "false")
AUTO = "auto"
_POOLS = re.compile(r"[1-9][0-9]{0,7}:[1-9][0-9]{0,7}")


def setting(key: str, value: Any, where: str = "") -> Any:
    """One checked setting of a deployment."""
    if key not in KEYS:
        known = (*KEYS, SHAPE) if where.startswith("deployment") else KEYS
        near = did_you_mean(key, known, most=1)
        raise RooflineError(
            f"{where}unknown setting {key!r}; " + (f"did you mean {near}?" if near else f"known: {', '.join(known)}")
        )
    if key in (*COUNTS, *READS):
        least, most = COUNTS[key.removeprefix("prefill_")]
        if not str(value).isdecimal() or len(str(value)) > 15 or not least <= int(value) <= most:
            top = f" to {most}" if most < MOST else " or more"
            raise RooflineError(f"{where}{key}={value}: must be a whole number, {least}{top}")
        return int(value)
    if key in PARTS:
        return _share(key, value, where)
    if key in SWITCHES:
        told = str(value).lower()
        if told not in (*ON, *OFF):
            raise RooflineError(f"{where}{key}={value}: must be on or off")
        return told in ON
    if key == "pools" and value != AUTO and not _POOLS.fullmatch(str(value)):
        raise RooflineError(f"{where}pools={value}: must be {AUTO} or PREFILL:DECODE chips, e.g. pools=4:12")
    choices = {**NAMED, **dict.fromkeys(FORMAT_KEYS, DTYPES)}.get(key)
    if choices and value not in choices:
        raise RooflineError(f"{where}{key}={value}: must be one of {', '.join(choices)}")
    return value


def _share(key: str, value: Any, where: str) -> float:
    """A share, as a number from 0 to 1 or in percent.

    >>> _share("offload_optimizer", "50%", ""), _share("offload_optimizer", 1, "")
    (0.5, 1.0)
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(%?)", str(value).strip())
    share = float(found[1]) / (100.0 if found[2] else 1.0) if found else -1.0
    if isinstance(value, bool) or not 0.0 <= share <= 1.0:
        raise RooflineError(f"{where}{key}={value}: must be a share from 0 to 1, or in percent, e.g. {key}=0.5")
    return share
