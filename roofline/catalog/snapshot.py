"""A catalogue as it is when a study begins: every file is looked for, read and checked once.

Studies of thousands of rows ask for the same chips, models and stacks again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from roofline.catalog.specs.common import Identified
from roofline.catalog.spreads import Entry
from roofline.catalog.store import Catalog, Kind
from roofline.machine import Chip, Economics, Family, Stack, System
from roofline.workload import Model, Scenario

T = TypeVar("T")
S = TypeVar("S", bound=Identified)


@dataclass(frozen=True)
class Snapshot(Catalog):
    """A catalogue that remembers; files that change meanwhile are not seen. Names that mean nothing are not kept."""

    kept: dict[tuple[object, ...], Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, catalog: Catalog) -> Snapshot:
        """A snapshot of what a catalogue finds; a snapshot is its own."""
        if isinstance(catalog, cls):
            return catalog
        return cls(catalog.hardware_dirs, catalog.workload_dirs, catalog.hidden)

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self.kept:
            self.kept[key] = make()
        found: T = self.kept[key]
        return found

    def folders(self, kind: Kind) -> list[Path]:
        """As of the catalogue."""
        return self._once(("folders", kind.name), partial(super().folders, kind))

    def files(self, kind: Kind, below: Path | None = None) -> dict[str, Path]:
        """As of the catalogue."""
        return self._once(("files", kind.name, below), partial(super().files, kind, below))

    def texts(self, kind: Kind) -> Sequence[tuple[Path, str]]:
        """As of the catalogue."""
        return self._once(("texts", kind.name), lambda: tuple(Catalog.texts(self, kind)))

    def find(self, kinds: Sequence[str], name: str, what: str) -> tuple[Path, str]:
        """As of the catalogue."""
        return self._once(("find", *kinds, name), partial(super().find, kinds, name, what))

    def chip(self, name: str) -> Chip:
        """As of the catalogue."""
        return self._once(("chip", name), partial(super().chip, name))

    def machine(self, name: str) -> tuple[str, str]:
        """As of the catalogue."""
        return self._once(("machine", name), partial(super().machine, name))

    def system(self, name: str) -> System:
        """As of the catalogue."""
        return self._once(("system", name), partial(super().system, name))

    def family(self, name: str) -> Family:
        """As of the catalogue."""
        return self._once(("family", name), partial(super().family, name))

    def stack(self, name: str, chip: Chip | None = None) -> Stack:
        """As of the catalogue."""
        return self._once(("stack", name, chip and chip.id), partial(super().stack, name, chip))

    def economics(self, name: str = "default") -> Economics:
        """As of the catalogue."""
        return self._once(("economics", name), partial(super().economics, name))

    def spread_entries(self) -> Sequence[Entry]:
        """As of the catalogue."""
        return self._once(("spreads",), super().spread_entries)

    def model(self, name: str) -> Model:
        """As of the catalogue."""
        return self._once(("model", name), partial(super().model, name))

    def scenario(self, name: str) -> Scenario:
        """As of the catalogue."""
        return self._once(("scenario", name), partial(super().scenario, name))

    def _load(self, kind: str, name: str, spec: type[S]) -> S:
        path, _ = self.find((kind,), name, kind)
        return self._once(("load", kind, path), partial(super()._load, kind, name, spec))
