"""What a user writes: `memory.bandwidth=4 TB/s`, `+20%`, `x2`, `tpot=20ms`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from roofline import units
from roofline.errors import RooflineError, UnitError
from roofline.studies.knobs.knob import Knob, find, said
from roofline.studies.whatif import measures

NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?|\.[0-9]+"
_RELATIVE, _TIMES, _PLAIN = (re.compile(text) for text in (rf"([+-])\s*({NUMBER})\s*%", rf"x\s*({NUMBER})", NUMBER))
HOW = "write KEY=VALUE with its unit, +20%, -10% or x2, e.g. memory.bandwidth=+20%"


def settings(texts: Sequence[str], known: Sequence[Knob]) -> list[tuple[Knob, float]]:
    """Every `KEY=VALUE`, read and checked; all faults are told at once."""
    found, faults = [], []
    for text in texts:
        try:
            found.append(setting(text, known))
        except RooflineError as error:
            faults.append(str(error))
    keys = [knob.key for knob, _ in found]
    faults += [f"--set {key} is given twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if any(knob.key == "compute" for knob, _ in found):
        others = [key for key in keys if key.startswith("compute.") and key != "compute.units.count"]
        faults += [f"--set {key}: is turned by compute too; give one of them" for key in others]
    if faults:
        raise RooflineError("\n".join(faults))
    return found


def setting(text: str, known: Sequence[Knob]) -> tuple[Knob, float]:
    """One `KEY=VALUE`."""
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise RooflineError(f"--set {text!r}: {HOW}")
    knob = find(key, known, "--set")
    where = f"--set {key}={value}"
    wanted = turned_value(value, knob, where)
    if not knob.allows(wanted):
        raise RooflineError(f"{where}: must be {knob.span}; it is {said(knob.value, knob.unit)} now")
    if knob.whole and wanted != round(wanted):
        if "%" in value or value.startswith("x"):
            return knob, float(knob.within(wanted))
        raise RooflineError(f"{where}: must be a whole number")
    return knob, wanted


def turned_value(text: str, knob: Knob, where: str) -> float:
    """The value that a knob is turned to."""
    if found := _RELATIVE.fullmatch(text):
        part = float(found[2]) / 100.0
        return knob.value * (1.0 + part if found[1] == "+" else 1.0 - part)
    if found := _TIMES.fullmatch(text):
        return knob.value * float(found[1])
    return amount(text, knob.unit, where)


def amount(text: str, unit: str, where: str) -> float:
    """A value with its unit; shares also as plain numbers, plain numbers without any."""
    if _PLAIN.fullmatch(text) and unit in ("", "1", "USD"):
        return float(text)
    if not unit:
        raise RooflineError(f"{where}: is a plain number; {HOW}")
    try:
        return units.parse(text, unit)
    except UnitError as error:
        raise RooflineError(f"{where}: {error}") from None


def target(text: str, found: Mapping[str, object]) -> tuple[str, float]:
    """`METRIC=VALUE` of `--target`."""
    name, _, value = (part.strip() for part in text.partition("="))
    if not name or not value:
        raise RooflineError(f"--target {text!r}: write METRIC=VALUE, e.g. tpot=20ms or output_tokens_per_s=5000")
    metric = measures.name_of(name, found, "--target")
    wanted = amount(value.lstrip("$"), measures.unit(metric), f"--target {name}={value}")
    if wanted <= 0.0:
        raise RooflineError(f"--target {name}={value}: must be above 0")
    return metric, wanted
