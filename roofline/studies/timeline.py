"""The steps of one request as the contract has them: what each takes, what binds it, what it uses, and its pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from roofline.engine.pauses import Hold
from roofline.engine.prediction import Prediction
from roofline.engine.roof import BOUNDS
from roofline.engine.usage import Use
from roofline.numeric import Num, added, finite
from roofline.workload import Cached, Decode, Pause, Prefill, Step

KINDS: dict[type[Step], str] = {Prefill: "prefill", Decode: "decode", Pause: "pause", Cached: "cached"}


def step(item: Step) -> dict[str, Any]:
    """A step as it was asked for: its kind with its length, and what else was said of it."""
    length = item.seconds if isinstance(item, Pause) else item.tokens
    hidden = isinstance(item, Decode) and item.hidden
    return {
        KINDS[type(item)]: finite(length),
        **({"name": item.name} if item.name else {}),
        **({"hidden": True} if hidden else {}),
    }


def timeline(result: Prediction) -> dict[str, Any]:
    """The steps of one request and what it takes of the deployment; nothing of training."""
    uses = result.uses
    return {"steps": _steps(result, uses), "request": _request(result, uses)} if uses else {}


def _steps(result: Prediction, uses: Sequence[Use]) -> list[dict[str, Any]]:
    """Every step in order; `share` is that of the request's whole time."""
    whole = result.waiting + added(use.effort.time for use in uses)
    return [_use(use, whole) for use in uses]


def _use(use: Use, whole: Num) -> dict[str, Any]:
    effort, item = use.effort, use.step
    return {
        "step": KINDS[type(item)],
        "name": item.name,
        "hidden": isinstance(item, Decode) and item.hidden,
        "tokens": None if isinstance(item, Pause) else finite(item.tokens),
        "context_len": finite(use.context),
        "time_s": finite(effort.time),
        "ideal_time_s": finite(effort.ideal_time),
        "share": finite(effort.time / whole) if whole else None,
        "bound": None if effort.bound is None else BOUNDS[int(effort.bound)],
        "chip_seconds": finite(effort.chip_seconds),
        "energy_j": finite(effort.energy),
        "cost_usd": finite(effort.usd),
    }


def _request(result: Prediction, uses: Sequence[Use]) -> dict[str, Any]:
    """All chip-seconds of the deployment for one request, those in which nothing works, its wait and its pauses."""
    rate = result.metrics["requests_per_s"]
    whole = result.deployment.num_chips / np.asarray(rate, dtype=np.float64)
    used = added(use.effort.chip_seconds for use in uses)
    held = [(use.step.seconds, use.hold) for use in uses if isinstance(use.step, Pause) and use.hold]
    return {
        "waiting_s": finite(result.waiting),
        "chip_seconds": finite(whole),
        "idle_chip_seconds": finite(np.maximum(whole - used, 0.0)),
        "energy_j": finite(result.metrics["energy_j_per_request"]),
        "cost_usd": finite(result.metrics["usd_per_request"]),
        "pauses": dict(_pauses(result, held)) if held else None,
    }


def _pauses(result: Prediction, held: list[tuple[Num, Hold]]) -> Iterator[tuple[str, Any]]:
    """All pauses of a request together: what their caches take of a chip, and the two ways through them."""
    seconds = added(length for length, _ in held)
    keep, again, prompt = (added(getattr(hold, name) for _, hold in held) for name in ("keep", "recompute", "prompt"))
    drops = np.less(again, keep)
    yield "count", len(held)
    yield "seconds", finite(seconds)
    yield "held_bytes", finite(added(length * hold.held for length, hold in held) / seconds) if seconds else None
    yield "keep_chip_seconds", finite(keep)
    yield "recompute_chip_seconds", finite(again)
    yield "recompute_time_s", finite(prompt)
    yield "break_even_s", finite(result.metrics["pause_break_even_s"])
    yield "memory_full", bool(held[0][1].full)
    yield "cheaper", ("recompute" if drops and held[0][1].full else "keep") if again else None
