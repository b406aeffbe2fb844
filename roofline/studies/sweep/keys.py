"""What can be an axis: every number of work, plan, chip, price and software by its name, and how it is changed.

A value may be an array: the result then is a mesh. Changing one number leaves all others as they are: the energy of a
byte stays where a bandwidth moves, and the plan that was found stays where it is not itself an axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

from roofline.engine.deployment import Deployment
from roofline.errors import RooflineError, did_you_mean
from roofline.machine import Chip
from roofline.machine.chip import Scope
from roofline.numeric import Num
from roofline.studies import request, vary
from roofline.studies.timeline import KINDS
from roofline.units import HOUR
from roofline.workload import Serving, Workload


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Work on a deployment."""

    job: Workload
    deployment: Deployment

    def on_chip(self, **numbers: Any) -> Case:
        """With other numbers of the chip."""
        return Case(self.job, replace(self.deployment, chip=replace(self.deployment.chip, **numbers)))


Change = Callable[[Case, Num], Case]


@dataclass(frozen=True, slots=True)
class Key:
    """A number that can be an axis: its unit (a dimension of `units`, or what it counts), least and most, and how it is
    changed; `whole` where there are no parts of it, `degree` where it multiplies to the chips."""

    name: str
    unit: str
    change: Change
    least: float = 0.0
    most: float = math.inf
    above: bool = False  # whether it has to be more than the least
    whole: bool = False
    degree: bool = False


ALIASES: Mapping[str, str] = MappingProxyType(
    {"input_len": "input", "output_len": "output", "context_len": "context", "seq": "seq_len", "price": "price.hourly"}
)
DEGREES = request.DEGREES
SCOPES: tuple[Scope, ...] = ("scale-up", "scale-out")
TRAINED: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "seq_len": ("tokens", 1.0),
        "global_batch": ("sequences", 1.0),
        "tokens": ("tokens", 1.0),
        "imbalance": ("1", 1.0),
        "lora_rank": ("rank", 0.0),
    }
)
SOFTWARE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("step", "sequence", "layer", "operator", "request", "host"), "s"),
        **dict.fromkeys(("latency", "compute", "memory", "flow", "usable_memory", "cache_memory"), "1"),
    }
)
SHARES = ("flow", "usable_memory", "cache_memory")
# Name, field, unit, least, and what the unit is over that of the field.
ASSUMED: Mapping[str, tuple[str, str, float, float]] = MappingProxyType(
    {
        "electricity": ("electricity", "USD/J", 0.0, 1.0),
        "pue": ("pue", "1", 1.0, 1.0),
        "hosting": ("hosting", "USD/W/s", 0.0, 1.0),
        "amortisation": ("amortisation", "s", 1.0, 1.0),
        "residual": ("residual", "1", 0.0, 1.0),
        "interest": ("interest", "/year", 0.0, 1.0),
        "maintenance": ("maintenance", "/year", 0.0, 1.0),
        "utilization": ("owned", "1", 0.01, 1.0),
        "rented_utilization": ("rented", "1", 0.01, 1.0),
        "people": ("people", "USD/h", 0.0, HOUR),
    }
)


def key(case: Case, name: str) -> Key:
    """What a name means for a case; `RooflineError` with near names if it means nothing."""
    name = ALIASES.get(name, name)
    known = keys(case)
    if name in known:
        return known[name]
    if name.replace("-", "_") in known:
        return known[name.replace("-", "_")]
    if isinstance(case.job, Serving):
        step = _step(case.job, name)
        if step is not None:
            return step
    near = did_you_mean(name, [*known, *_steps(case)], most=2)
    hint = f"did you mean {near}?" if near else f"known: {', '.join([*_steps(case), *known])}"
    raise RooflineError(f"--vary {name}: no such number; {hint}")


def keys(case: Case) -> dict[str, Key]:
    """Everything that can be varied of a case, by name, but the steps of a request."""
    found = [*_of_work(case.job), *_of_plan(case), *_of_chip(case.deployment.chip), *_of_software()]
    if case.deployment.economics is not None:
        found += _of_assumptions()
    return {item.name: item for item in found}


# --- work -----------------------------------------------------------------------------------------------------------


def _of_work(job: Workload) -> list[Key]:
    if isinstance(job, Serving):
        told = {name: item for name, item in vary.PARAMETERS.items() if not item.drafts or job.speculative.on}
        return [_requested(name, item) for name, item in told.items()]
    return [
        Key(
            name,
            unit,
            lambda case, value, field=name: Case(replace(case.job, **{field: value}), case.deployment),  # type: ignore[misc]
            least,
            whole=unit != "1",
        )
        for name, (unit, least) in TRAINED.items()
        if name != "lora_rank" or job.lora_rank
    ]


def _requested(name: str, item: vary.Parameter) -> Key:
    """A number of a request."""

    def change(case: Case, value: Num) -> Case:
        return Case(vary.changed(cast("Serving", case.job), name, value), case.deployment)

    return Key(name, item.unit, change, item.least, item.most, whole=item.unit in vary.WHOLE)


def _step(job: Serving, name: str) -> Key | None:
    """The length of a step by its name; None if no step has it."""
    words = name.partition(".")[0]
    if words not in (*(step.name for step in job.steps if step.name), *vary.SINGLE, *KINDS.values()):
        return None
    return _requested(name, vary.parameter(job, name))


def _steps(case: Case) -> list[str]:
    return (
        [name for name in vary.names(case.job) if name not in vary.PARAMETERS] if isinstance(case.job, Serving) else []
    )


# --- plan -----------------------------------------------------------------------------------------------------------


def _of_plan(case: Case) -> list[Key]:
    serves = isinstance(case.job, Serving)
    names = DEGREES if serves else tuple(request.COUNTS)
    found = []
    for name in names:
        least, most = request.COUNTS[name]
        top = math.inf if most == request.MOST else float(most)
        found.append(Key(name, "count", _planned(name), float(least), top, whole=True, degree=name in DEGREES))
    return found + ([] if serves else [Key(name, "1", _planned(name), 0.0, 1.0) for name in request.PARTS])


def _planned(name: str) -> Change:
    def change(case: Case, value: Num) -> Case:
        told: dict[str, Any] = {name: value}
        return Case(case.job, replace(case.deployment, plan=replace(case.deployment.plan, **told)))

    return change


# --- chip and its price ---------------------------------------------------------------------------------------------


def _of_chip(chip: Chip) -> list[Key]:
    found = [Key("compute", "1", _all_peaks, above=True)]
    found += [Key(f"compute.{name}", "FLOP/s", _peak(name), above=True) for name in chip.peaks]
    found += [Key(f"memory.{field}", unit, _memory(field, chip.main), above=True) for field, unit in _MEMORY]
    if chip.scratchpad is not None:
        name, place = chip.scratchpad.name, chip.memory.index(chip.scratchpad)
        found += [Key(f"memory.{name}.{field}", unit, _memory(field, place), above=True) for field, unit in _MEMORY]
    for scope in SCOPES:
        if chip.link(scope) is not None:
            found.append(Key(f"links.{scope}.bandwidth", "B/s", _link(scope, "bandwidth"), above=True))
            found.append(Key(f"links.{scope}.latency", "s", _link(scope, "latency")))
    if chip.tdp is not None:
        found.append(Key("power.tdp", "W", lambda case, value: case.on_chip(tdp=value), above=True))
    found.append(Key("price.hourly", "USD/h", _price("hourly"), above=True))
    found.append(Key("price.purchase", "USD", _price("purchase"), above=True))
    return found


_MEMORY = (("bandwidth", "B/s"), ("capacity", "B"))


def _all_peaks(case: Case, value: Num) -> Case:
    """All peaks of the matrix units at so many times their rates."""
    peaks = {
        name: replace(
            peak,
            dense=peak.dense * value,
            sparse=None if peak.sparse is None else peak.sparse * value,
            narrow=None if peak.narrow is None else peak.narrow * value,
        )
        for name, peak in case.deployment.chip.peaks.items()
    }
    return case.on_chip(peaks=peaks)


def _peak(name: str) -> Change:
    """The dense rate of one format; that with narrow sums keeps its ratio to it."""

    def change(case: Case, value: Num) -> Case:
        peaks = case.deployment.chip.peaks
        peak = peaks[name]
        narrow = None if peak.narrow is None else peak.narrow / peak.dense * value
        return case.on_chip(peaks={**peaks, name: replace(peak, dense=value, narrow=narrow)})

    return change


def _memory(field: str, place: int) -> Change:
    """A number of one level of memory."""

    def change(case: Case, value: Num) -> Case:
        levels, told = list(case.deployment.chip.memory), {field: value}
        levels[place] = replace(levels[place], **told)  # type: ignore[arg-type]
        return case.on_chip(memory=tuple(levels))

    return change


def _link(scope: Scope, field: str) -> Change:
    def change(case: Case, value: Num) -> Case:
        chip, told = case.deployment.chip, {field: value}
        links = tuple(replace(link, **told) if link.scope == scope else link for link in chip.links)  # type: ignore[arg-type]
        return case.on_chip(links=links)

    return change


def _price(field: str) -> Change:
    def change(case: Case, value: Num) -> Case:
        told: dict[str, Any] = {field: value}
        return case.on_chip(price=replace(case.deployment.chip.price, **told))

    return change


# --- software and what costs rest on --------------------------------------------------------------------------------


def _of_software() -> list[Key]:
    return [
        Key(f"stack.{name}", unit, _software(name), 0.0, 1.0 if name in SHARES else math.inf, above=unit == "1")
        for name, unit in SOFTWARE.items()
    ]


def _software(name: str) -> Change:
    def change(case: Case, value: Num) -> Case:
        told: dict[str, Any] = {name: value}
        return Case(case.job, replace(case.deployment, stack=replace(case.deployment.stack, **told)))

    return change


def _of_assumptions() -> list[Key]:
    shares = ("residual", "owned", "rented")
    return [
        Key(f"economics.{name}", unit, _assumed(field, over), least, 1.0 if field in shares else math.inf)
        for name, (field, unit, least, over) in ASSUMED.items()
    ]


def _assumed(field: str, over: float) -> Change:
    def change(case: Case, value: Num) -> Case:
        told: dict[str, Any] = {field: value / over}
        where = case.deployment
        return Case(case.job, replace(where, economics=replace(where.economics, **told)))  # type: ignore[type-var]

    return change
