"""What a user asks for by options of the command line or keywords of the API, checked one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from sys import float_info
from types import MappingProxyType
from typing import Any, get_args

from roofline.errors import RooflineError, did_you_mean
from roofline.studies.request.settings import KEYS, setting
from roofline.workload.job import LoraTargets, Optimizer

NAMES = ("phase", "scenario", "draft", "lora_targets", "optimizer", "assumptions")
FROM_ZERO = ("context_len", "draft_tokens", "lora_rank")
SHARES = ("cached_share", "acceptance")
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"lora_targets": get_args(LoraTargets), "optimizer": get_args(Optimizer)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the options of the command line (or the keywords of the API) ask for; None leaves a thing as it is.

    `scenario` names what requests to a bare model do. Lengths are tokens. `cached_share` of the first prompt is found
    in the prefix cache; `draft_tokens` are guessed in each step by the model `draft` (by nothing that costs time
    without one) and right with probability `acceptance`; `imbalance` are the rows of the hottest expert-parallel rank
    over the mean. `lora_rank` trains adapters of that rank beside `lora_targets` instead of weights, `optimizer`
    updates them. `assumptions` is the name of what costs rest on. `settings` are plan degrees, `recompute`, `stack` and
    formats for every deployment that does not say its own.
    """

    phase: str | None = None
    scenario: str | None = None
    batch: float | None = None
    input_len: float | None = None
    output_len: float | None = None
    context_len: float | None = None
    seq_len: float | None = None
    global_batch: float | None = None
    tokens: float | None = None
    cached_share: float | None = None
    draft_tokens: float | None = None
    acceptance: float | None = None
    draft: str | None = None
    imbalance: float | None = None
    lora_rank: float | None = None
    lora_targets: str | None = None
    optimizer: str | None = None
    assumptions: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def options(given: Mapping[str, Any]) -> Options:
    """Keywords of the API as options; raises `RooflineError` for one that does not exist."""
    known = [item.name for item in fields(Options) if item.name != "settings"]
    unknown = [name for name in given if name not in (*known, *KEYS)]
    if unknown:
        near = did_you_mean(unknown[0], (*known, *KEYS), most=1)
        raise RooflineError(f"unknown option {unknown[0]!r}" + (f"; did you mean {near}?" if near else ""))
    numbers = {name: _number(name, given[name]) for name in known if name in given and name not in NAMES}
    settings = {key: setting(key, given[key]) for key in KEYS if key in given}
    draft = _name("draft", given, "a model, e.g. 'llama-3.2-1b'")
    scenario = _name("scenario", given, "a scenario, e.g. 'chat'")
    assumptions = _name("assumptions", given, "a file of assumptions, e.g. './our-prices.yaml'")
    names = {name: _choice(name, given[name]) for name in CHOICES if given.get(name) is not None}
    told: dict[str, Any] = {**numbers, **names}
    return Options(
        phase=given.get("phase"), scenario=scenario, draft=draft, assumptions=assumptions, settings=settings, **told
    )  # fmt: skip


def _name(name: str, given: Mapping[str, Any], what: str) -> str | None:
    """The name or the path that an option is; None if it was not given."""
    value = given.get(name)
    if value is not None and not isinstance(value, str | PurePath):
        raise RooflineError(f"{name}={value!r}: must be the name of {what}")
    return None if value is None else str(value)


def _choice(name: str, value: Any) -> str:
    """One of a few names."""
    known = CHOICES[name]
    if value not in known:
        near = did_you_mean(str(value), known, most=1)
        hint = f"did you mean {near}?" if near else f"must be one of {', '.join(known)}"
        raise RooflineError(f"{name}={value!r}: {hint}")
    return str(value)


def _number(name: str, value: Any) -> float:
    """A length or batch, a positive number; one that may be zero; or a share. A batch may be `max`: infinite."""
    if name == "batch" and isinstance(value, str):
        return _batch(value)
    if name in SHARES:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise RooflineError(f"{name}={value!r}: must be a number from 0 to 1")
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= float_info.max:
        raise RooflineError(f"{name}={value!r}: must be a number of at least {0 if name in FROM_ZERO else 1}")
    if value < 1 and name not in FROM_ZERO:
        raise RooflineError(f"{name}={value!r}: must be at least 1")
    return float(value)


def _batch(text: str) -> float:
    """As the command line gives it."""
    if text == "max":
        return float("inf")
    if re.fullmatch(r"[1-9][0-9]{0,14}", text.strip()) is None:
        raise RooflineError(f"batch {text!r}: write how many requests run at once, e.g. 32, or max")
    return float(text)


def flag(name: str) -> str:
    """An option as the command line calls it, without its dashes.

    >>> flag("input_len"), flag("global_batch")
    ('input', 'global-batch')
    """
    return name.removesuffix("_len").replace("_", "-")
