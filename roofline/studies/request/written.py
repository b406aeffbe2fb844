"""A deployment as it is written: `[COUNTx]CHIP[:key=value,…]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from roofline.catalog.store import Catalog, is_path
from roofline.errors import PlanError, RooflineError
from roofline.machine import Chip
from roofline.studies.request.settings import MOST, SHAPE, setting

_DEPLOYMENT = re.compile(r"(?:(?P<count>[0-9]+)x)?(?P<chip>.+?)(?::(?P<settings>[a-z_]+=.*))?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A deployment as written: `[COUNTx]CHIP[:key=value,…]`, where the chip may be a system of `each` chips."""

    text: str
    chip: str
    count: int | None
    settings: Mapping[str, Any]
    each: int = 1

    @property
    def chips(self) -> int | None:
        """How many chips that are, where a count is written."""
        return None if self.count is None else self.count * self.each

    @property
    def stated(self) -> int | None:
        """How many chips are said: by a count, or by the name of a system, which is one of it."""
        return self.chips if self.each == 1 else self.each * (self.count or 1)

    @property
    def shape(self) -> str | None:
        """The shape of its slices, where one is written."""
        shape: str | None = self.settings.get(SHAPE)
        return shape

    def whole(self, chips: int) -> int:
        """As many chips, or as many more as whole systems have."""
        return -(-chips // self.each) * self.each


def parse_deployment(text: str) -> Wanted:
    """Read a deployment as written.

    >>> parse_deployment("8xh100-sxm:tp=8,stack=vllm").settings
    {'tp': 8, 'stack': 'vllm'}
    """
    match = _DEPLOYMENT.fullmatch(text.strip())
    if match is None:
        raise RooflineError(f"deployment {text!r}: write [COUNTx]CHIP[:key=value,…], e.g. '8xh100-sxm:tp=8'")
    count = int(match["count"]) if match["count"] else None
    if count is not None and not 1 <= count <= 10_000_000:
        raise RooflineError(f"deployment {text!r}: {count:,} chips; write between 1 and 10,000,000")
    settings: dict[str, Any] = {}
    for part in (match["settings"] or "").split(","):
        if part:
            key, separator, value = part.partition("=")
            if not separator:
                raise RooflineError(f"deployment {text!r}: {part!r} has no value; write key=value")
            key, value = key.strip(), value.strip()
            settings[key] = _shape(value, text) if key == SHAPE else setting(key, value, f"deployment {text!r}: ")
    return Wanted(text, match["chip"], count, settings)


def _shape(value: str, text: str) -> str:
    if re.fullmatch(r"[1-9][0-9]{0,4}(x[1-9][0-9]{0,4}){1,2}", value) is None:
        raise RooflineError(f"deployment {text!r}: shape={value}: write chips along each axis, e.g. shape=4x4x8")
    return value


def meant(catalog: Catalog, text: str) -> Wanted:
    """A deployment as written, with the number of chips that one of it is."""
    wanted = parse_deployment(text)
    each = _unit(catalog, wanted)[1]
    if (wanted.count or 1) * each > MOST:
        raise RooflineError(f"deployment {text!r}: {(wanted.count or 1) * each:,} chips; write at most {MOST:,}")
    return replace(wanted, each=each)


def chip_of(catalog: Catalog, wanted: Wanted) -> Chip:
    """The chip of a deployment, wired as it is in its system or its slice."""
    return _unit(catalog, wanted)[0]


def _unit(catalog: Catalog, wanted: Wanted) -> tuple[Chip, int]:
    """A chip and how many of it one of a deployment is; `PlanError` for the shape of what is no torus."""
    kind, place = catalog.machine(wanted.chip)
    if kind == "system":
        system = catalog.system(place)
        system = system if wanted.shape is None else system.slice(wanted.shape)
        return system.chip, system.chips
    if wanted.shape is not None:
        raise PlanError(f"{wanted.text}: shape={wanted.shape} is of a slice of a system; {wanted.chip} is one chip")
    return catalog.chip(wanted.chip), 1


def label(wanted: Wanted, count: int) -> str:
    """How reports call a deployment: what was written, with the count of chips that was found, or of whole systems."""
    chip = wanted.chip.rsplit("/", 1)[-1].rsplit(".", 1)[0] if is_path(wanted.chip) else wanted.chip
    said = {True: "on", False: "off"}
    settings = ",".join(
        f"{key}={said[value] if isinstance(value, bool) else value}" for key, value in wanted.settings.items()
    )
    return f"{count // wanted.each}x{chip}" + (f":{settings}" if settings else "")
