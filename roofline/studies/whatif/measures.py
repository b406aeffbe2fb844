"""Metrics as what-ifs ask for them: short names, units, which way is better, and which phase decides them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from roofline.engine.prediction import Prediction
from roofline.errors import RooflineError, did_you_mean
from roofline.numeric import Num
from roofline.studies.contract import BESIDE
from roofline.workload import Training, Workload

Array = NDArray[np.float64]

SHORT: Mapping[str, str] = MappingProxyType(
    {
        "ttft": "ttft_s",
        "tpot": "tpot_s",
        "latency": "e2e_latency_s",
        "request": "e2e_latency_s",
        "step": "step_time_s",
        "time_to_train": "time_to_train_s",
        "rate": "output_tokens_per_s",
        "energy": "energy_j_per_token",
        "power": "power_w",
        "cost": "usd_per_million_tokens",
    }
)
# What tables show of each kind of work.
SERVED = ("ttft_s", "tpot_s", "output_tokens_per_s", "energy_j_per_token", "usd_per_million_tokens")
TRAINED = ("step_time_s", "tokens_per_s", "time_to_train_s", "energy_j_per_token", "cost_usd")
# Of what a name ends in or begins with: its unit.
UNITS: Mapping[str, str] = MappingProxyType({"usd": "USD", "energy_j": "J", "power_w": "W"})
SHARES = ("mfu", "hfu", "goodput", "break_even_utilization", "mfu_full_attention")
LESS_IS_BETTER = ("_s", "usd", "energy", "power", "chip_hours", "break_even")
WORKS_PER = ("per_s", "per_s_per_chip", "per_s_per_user")


def main(job: Workload, found: Mapping[str, object]) -> list[str]:
    """What tables show, as far as it is known."""
    return [name for name in (TRAINED if isinstance(job, Training) else SERVED) if name in found]


def default(found: Mapping[str, object]) -> str:
    """What is ranked by if nothing is said: the step of training, the time of a token, of prompts alone the first."""
    return next(name for name in ("step_time_s", "tpot_s", "ttft_s", *found) if name in found)


def unit(name: str) -> str:
    """The unit of a metric, a key of `units.DIMENSIONS`; empty for plain numbers and rates of tokens.

    >>> unit("tpot_s"), unit("usd_per_request"), unit("output_tokens_per_s"), unit("mfu")
    ('s', 'USD', '', '1')
    """
    if name in SHARES:
        return "1"
    for word, found in UNITS.items():
        if word in name:
            return found
    return "s" if name.endswith("_s") and not name.endswith(WORKS_PER) else ""


def less_is_better(name: str) -> bool:
    """Whether a smaller value is the better one: of times, money, energy and power.

    >>> less_is_better("tpot_s"), less_is_better("tokens_per_kwh"), less_is_better("job_mtbf_s")
    (True, False, False)
    """
    if name.endswith(WORKS_PER) or name == "job_mtbf_s":
        return False
    return unit(name) == "s" or any(word in name for word in LESS_IS_BETTER[1:])


def values(result: Prediction, size: int) -> dict[str, Array]:
    """Every metric along an axis of turns, expected alone; NaN where it is not known."""
    found = {}
    for name, value in result.metrics.items():
        if not name.endswith(BESIDE) and value is not None:
            array = np.broadcast_to(np.asarray(value, dtype=np.float64), (size,))
            if np.any(np.isfinite(array) & np.greater(array, 0.0)):
                found[name] = array
    return found


def flat(value: Num, size: int) -> Array:
    """A number along an axis of turns."""
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (size,))


def name_of(text: str, found: Mapping[str, object], what: str) -> str:
    """The metric that a name means; `RooflineError`, which begins with `what`, suggests others."""
    wanted = text.strip().replace("-", "_")
    for name in (wanted, SHORT.get(wanted, ""), f"{wanted}_s"):
        if name in found:
            return name
    names = [*found, *(short for short, name in SHORT.items() if name in found)]
    near = did_you_mean(wanted, names)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(found)}"
    raise RooflineError(f"{what} {text.strip()}: not a metric of this work; {hint}")
