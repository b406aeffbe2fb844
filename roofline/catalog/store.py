"""Finding files by name: where the catalogue looks, in which order, and how a file may extend another."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from roofline.catalog import document, overlays, reading, spreads
from roofline.catalog.document import Document
from roofline.catalog.faults import explain
from roofline.catalog.rules import check
from roofline.catalog.specs.chip import ChipSpec, FamilySpec
from roofline.catalog.specs.common import Identified
from roofline.catalog.specs.economics import EconomicsSpec
from roofline.catalog.specs.job import ScenarioSpec, ServingSpec, TrainingSpec
from roofline.catalog.specs.model import ModelSpec
from roofline.catalog.specs.need import NeedSpec
from roofline.catalog.specs.stack import StackSpec
from roofline.catalog.specs.system import SystemSpec
from roofline.errors import Finding, RooflineError, SpecError, UnknownNameError
from roofline.machine import Chip, Economics, Family, Stack, System
from roofline.machine.evidence import Spreads, calibration
from roofline.workload import Model, Scenario, Workload
from roofline.workload.need import Need

PACKAGE = Path(__file__).resolve().parent.parent
CALIBRATED = "calibrated"  # folder below the shipped hardware
SHIPPED, PATH = "shipped", "path"  # what the origin is called of files that ship, and of those in no known folder
Resolve = Callable[[str, Path], Path]  # the base that a name in the file of that path means
S = TypeVar("S", bound=Identified)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: its folder below `hardware` or `workloads`, how to tell it, and its format."""

    name: str
    root: str
    folder: str
    mark: str  # a key that every file of this kind has, and no file of a kind after it
    spec: type[Identified]


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("chip", "hardware", "chips", "compute", ChipSpec),
        Kind("system", "hardware", "systems", "chip", SystemSpec),
        Kind("stack", "hardware", "stacks", "overheads", StackSpec),
        Kind("family", "hardware", "families", "kernels", FamilySpec),
        Kind("economics", "hardware", "economics", "electricity", EconomicsSpec),
        Kind("model", "workloads", "models", "blocks", ModelSpec),
        Kind("training", "workloads", "training", "tokens", TrainingSpec),
        Kind("serving", "workloads", "serving", "model", ServingSpec),
        Kind("scenario", "workloads", "scenarios", "steps", ScenarioSpec),
        Kind("need", "workloads", "needs", "places", NeedSpec),
    )
}

MACHINES = ("chip", "system")  # kinds that can be deployed


def builtin(root: str) -> Path:
    """The shipped `hardware` or `workloads`: inside an installed wheel, beside the package in a checkout."""
    packed = PACKAGE / "_data" / root
    return packed if packed.is_dir() else PACKAGE.parent / root


@dataclass(frozen=True, slots=True)
class Catalog:
    """Where to look for files: the given folders, then the environment's, the project's, the user's, and those that
    ship. The project is the nearest folder `.roofline` above where one works.

    `hardware_dirs` and `workload_dirs` are laid out like the shipped `hardware` and `workloads`; first match wins. Of
    those that ship `hardware/calibrated` comes first: what `roofline calibrate` wrote, laid over the files that state
    what others published. A file may extend the one of its own name further down. `hidden` files are not seen at all.
    """

    hardware_dirs: tuple[Path, ...] = ()
    workload_dirs: tuple[Path, ...] = ()
    hidden: frozenset[Path] = frozenset()

    def roots(self, root: str) -> list[Path]:
        """Every `hardware` or `workloads` that may exist, in order of precedence."""
        return [path for _, path in self._places(root)]

    def _places(self, root: str) -> list[tuple[str, Path]]:
        """The same, each with what people call it."""
        given = self.hardware_dirs if root == "hardware" else self.workload_dirs
        project = overlays.project(root)
        shipped = builtin(root)
        return [
            *((overlays.OPTIONS[root], path) for path in given),
            *((overlays.VARIABLES[root], path) for path in overlays.environment(root)),
            *([("project", project)] if project else []),
            ("user", overlays.user(root)),
            (SHIPPED, shipped / CALIBRATED),
            (SHIPPED, shipped),
        ]

    def origin(self, path: Path) -> str:
        """Where a file comes from: an option, a variable, the project, the user, `shipped`, or only its path."""
        above = real(path).parents
        places = [place for root in ("hardware", "workloads") for place in self._places(root)]
        return next((name for name, folder in places if real(folder) in above), PATH)

    def below(self, kind: Kind, path: Path) -> list[Path]:
        """The files of the same name in folders that come after a file's, in order of precedence; none for a file that
        only its path leads to."""
        folders = [] if self.origin(path) == PATH else self._after(kind, path)
        return [other for folder in folders for other in self._inside(folder) if other.stem == path.stem]

    def _after(self, kind: Kind, path: Path) -> list[Path]:
        """The folders of a kind that come after the one that a file is in; all for a file that is in none."""
        folders, above = self.folders(kind), real(path).parents
        place = next((index for index, folder in enumerate(folders) if real(folder) in above), -1)
        return folders[place + 1 :]

    def folders(self, kind: Kind) -> list[Path]:
        """Folders of that kind that exist, in order of precedence."""
        return [folder for root in self.roots(kind.root) if os.path.isdir(folder := root / kind.folder)]

    def files(self, kind: Kind, below: Path | None = None) -> dict[str, Path]:
        """Every file of a kind by id (the file's stem), shadowed ones left out; those in folders after `below`'s."""
        found: dict[str, Path] = {}
        folders = self.folders(kind)
        for folder in folders if below is None else self._after(kind, below):
            for path in self._inside(folder):
                found.setdefault(path.stem, path)
        return dict(sorted(found.items()))

    def _inside(self, folder: Path) -> list[Path]:
        """Files below a folder; links that lead nowhere are none: editors leave some while a file is open."""
        paths = sorted(path for path in folder.rglob("*.yaml") if path.is_file())
        return [path for path in paths if real(path) not in self.hidden] if self.hidden else paths

    def texts(self, kind: Kind) -> Iterable[tuple[Path, str]]:
        """Every file of a kind with its text, shadowed ones too, in order of precedence; none that can't be read."""
        for folder in self.folders(kind):
            for path in self._inside(folder):
                with suppress(SpecError):
                    yield path, reading.text(path, document.MAX_BYTES)

    def chip(self, name: str) -> Chip:
        """The chip of that id, alias or path; of a system, its chip as it is wired in there."""
        kind, place = self.machine(name)
        return self.system(place).chip if kind == "system" else self._chip(place)

    def machine(self, name: str) -> tuple[str, str]:
        """Whether a name means a chip or a system, and where that is found: both are deployed."""
        if is_path(name):
            found = document.read(self._given_path(Path(name), ("chip",))[0])
            with suppress(SpecError):  # a chip with faults is told as one
                return self.kind_of(found, MACHINES), name
            return "chip", name
        path, kind = self.find(MACHINES, name, "chip")
        return kind, str(path)

    def system(self, name: str) -> System:
        """The system of that id, alias or path."""
        spec = self._load("system", name, SystemSpec)
        try:
            return spec.build(self._chip(spec.chip))
        except UnknownNameError as error:
            raise RooflineError(f"system {name}: {error}") from None

    def _chip(self, name: str) -> Chip:
        spec = self._load("chip", name, ChipSpec)
        try:
            return spec.build(self.family(spec.relatives))
        except UnknownNameError:
            if spec.family:
                raise
            return spec.build()

    def family(self, name: str) -> Family:
        """The family of chips of that id, alias or path."""
        return self._load("family", name, FamilySpec).build()

    def families(self) -> tuple[str, ...]:
        """Ids of all families."""
        return tuple(self.files(KINDS["family"]))

    def stack(self, name: str, chip: Chip | None = None) -> Stack:
        """The software stack of that id, alias or path, as it is on a chip."""
        places = (chip.kind, chip.family, chip.id) if chip else ()
        return self._load("stack", name, StackSpec).build(*places)

    def stack_spec(self, name: str) -> StackSpec:
        """The checked file of a stack, as written."""
        return self._load("stack", name, StackSpec)

    def economics(self, name: str = "default") -> Economics:
        """The assumptions behind costs of that id, alias or path; prices go by the ids of chips.

        `SpecError` for a price of a chip that nobody knows: one that only a path leads to states its price itself.
        """
        path, _ = self.find(("economics",), name, "assumptions")
        found = extended(document.read(path), self.resolver("economics"))
        built = checked(found, EconomicsSpec).build()
        ids: dict[str, str] = {}
        faults: list[Finding] = []
        for chip in built.prices:
            try:
                ids[chip] = self.find(("chip",), chip, "chip")[0].stem
            except UnknownNameError as error:
                faults.append(found.finding(("prices", chip), str(error)))
        if faults:
            raise SpecError(faults)
        return _under_ids(built, ids)

    def spread_entries(self) -> Sequence[spreads.Entry]:
        """How far predictions were off, by what stands behind them, in order of precedence."""
        paths = (root / spreads.FILE for root in self.roots("hardware"))
        return [entry for path in paths if os.path.isfile(path) for entry in spreads.read(path)]

    def spreads(self, chip: Chip, stack: Stack) -> Spreads:
        """How far predictions of this stack on this chip were off, on the closest evidence there is."""
        return spreads.closest(self.spread_entries(), calibration(chip, stack), stack.id, chip)

    def model(self, name: str) -> Model:
        """The model of that id, alias or path."""
        return self._load("model", name, ModelSpec).build()

    def scenario(self, name: str) -> Scenario:
        """The scenario of that id, alias or path."""
        return self._load("scenario", name, ScenarioSpec).build(self.model)

    def workload(self, name: str) -> Workload | Model:
        """The training run, request or bare model of that id, alias or path."""
        kinds = ("training", "serving", "model", "scenario")
        path, kind = self.find(kinds, name, "workload")
        spec = load(path, KINDS[kind].spec, self.resolver(kind))
        if isinstance(spec, ServingSpec):
            return spec.build(self.model, self.scenario)
        if isinstance(spec, TrainingSpec):
            return spec.build(self.model)
        if isinstance(spec, ScenarioSpec):
            raise RooflineError(f"{name} is a scenario and names no model; write MODEL DEPLOYMENT --scenario {name}")
        return self._load("model", name, ModelSpec).build()

    def need(self, name: str) -> Need:
        """The need of that id, alias or path."""
        return self._load("need", name, NeedSpec).build()

    def spec(self, kind: str, name: str) -> Identified:
        """The checked file of that kind and name, as written."""
        return self._load(kind, name, KINDS[kind].spec)

    def resolver(self, kind: str) -> Resolve:
        """How `extends:` finds its base among files of a kind: for a file's own name, the next one down."""

        def resolve(name: str, origin: Path) -> Path:
            if name != origin.stem:
                return self.find((kind,), name, kind)[0]
            lower = self.files(KINDS[kind], below=origin)
            if name not in lower:
                raise UnknownNameError(kind, name, (), "nothing of that name stands below this file")
            return lower[name]

        return resolve

    def find(self, kinds: Sequence[str], name: str, what: str) -> tuple[Path, str]:
        """The file that a name or path means, and its kind; `UnknownNameError` with near names if there is none."""
        if is_path(name):
            return self._given_path(Path(name), kinds)
        files = {kind: self.files(KINDS[kind]) for kind in kinds}
        wanted = spelled(name)
        for kind, by_id in files.items():
            if name in by_id or wanted in by_id:
                return by_id[name if name in by_id else wanted], kind
        for kind, by_id in files.items():
            for path, text in self.texts(KINDS[kind]):  # shadowed ones too: an overlay keeps the aliases of its base
                if wanted in text and wanted in _aliases(path, text):
                    return by_id[path.stem], kind
        known = [stem for by_id in files.values() for stem in by_id]
        group = KINDS[kinds[0]].folder if len(kinds) == 1 or kinds == MACHINES else "workloads"
        hint = f"'roofline show {group}' lists all"
        raise UnknownNameError(what, name, known, hint)

    def _given_path(self, path: Path, kinds: Sequence[str]) -> tuple[Path, str]:
        if not os.path.isfile(path):  # unlike a Path's own, also where no file could have that name
            raise SpecError([Finding(str(path), "", "no such file")])
        return path, kinds[0] if len(kinds) == 1 else self.kind_of(document.read(path), kinds)

    def kind_of(self, found: Document, kinds: Sequence[str] = tuple(KINDS)) -> str:
        """Which of these kinds a file is: by its keys, else that of the file that it extends."""
        kind = kind_by_keys(found, kinds)
        base = found.data.get("extends")
        if kind in (None, "scenario") and isinstance(base, str):  # requests to a model have steps, too
            named = str(Path(found.path).parent / base) if is_path(base) else base
            try:
                return self.find(kinds, named, "file")[1]
            except UnknownNameError as error:
                raise SpecError([found.finding(("extends",), str(error))]) from None
        if kind is None:
            wanted = ", ".join(f"{KINDS[name].mark} ({name})" for name in kinds)
            raise SpecError([found.finding((), f"can't tell what this file is; it has none of the keys {wanted}")])
        return kind

    def _load(self, kind: str, name: str, spec: type[S]) -> S:
        path, _ = self.find((kind,), name, kind)
        return load(path, spec, self.resolver(kind))


def _under_ids(economics: Economics, ids: Mapping[str, str]) -> Economics:
    """Assumptions with the prices, and the sources of these, under the ids of chips instead of other names."""
    sources = dict(economics.sources)
    for name, chip in ids.items():
        for kind in ("purchase", "hourly"):
            if (source := sources.pop(f"prices.{name}.{kind}", None)) is not None:
                sources[f"prices.{chip}.{kind}"] = source
    return replace(economics, prices={ids[name]: price for name, price in economics.prices.items()}, sources=sources)


def real(path: Path) -> Path:
    """A path without links; unlike a Path's own also of one that goes in a circle, which is left as it is."""
    return Path(os.path.realpath(path))


def is_path(name: str) -> bool:
    """Whether a name means a file rather than a catalogue entry."""
    return name.endswith((".yaml", ".yml")) or os.sep in name or (os.altsep is not None and os.altsep in name)


def spelled(name: str) -> str:
    """A name as ids and aliases are spelled.

    >>> spelled("RTX 4090"), spelled("H100_SXM")
    ('rtx-4090', 'h100-sxm')
    """
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def _aliases(path: Path, text: str) -> tuple[str, ...]:
    """The aliases in a file of that text; broken files have none."""
    try:
        aliases = document.parse(text, str(path)).data.get("aliases", ())
    except SpecError:
        return ()
    return tuple(alias for alias in aliases if isinstance(alias, str)) if isinstance(aliases, list) else ()


def kind_by_keys(found: Document, kinds: Sequence[str]) -> str | None:
    """Which kind of file this is, by the keys that only that kind has; None if it has none of them."""
    return next((kind for kind in kinds if KINDS[kind].mark in found.data), None)


def load(path: Path, spec: type[S], resolve: Resolve | None = None) -> S:
    """Read, extend, check: the file as a spec, or `SpecError` with every fault in it."""
    return checked(extended(document.read(path), resolve), spec)


def checked(found: Document, spec: type[S]) -> S:
    """A document as a spec, or `SpecError` with every fault in it."""
    try:
        valid = spec.model_validate(found.data)
    except ValidationError as error:
        raise SpecError(explain(error, found, spec)) from None
    faults = [finding for finding in check(valid, found) if finding.severity == "error"]
    if faults:
        raise SpecError(faults)
    return valid


def extended(found: Document, resolve: Resolve | None, seen: tuple[str, ...] = ()) -> Document:
    """The document laid over the one that its `extends:` names, and that one over its own base."""
    if "extends" not in found.data:
        return found
    name = found.data["extends"]
    if not isinstance(name, str):
        raise SpecError([found.finding(("extends",), "must be the id or the path of one file")])
    here = os.path.realpath(found.path)
    if here in seen:
        chain = " -> ".join(Path(part).name for part in (*seen, here))
        raise SpecError([found.finding(("extends",), f"goes in a circle: {chain}")])
    base = extended(document.read(_base_path(found, name, resolve)), resolve, (*seen, here))
    data = {key: value for key, value in found.data.items() if key != "extends"}
    same = base.data.get("id") == found.data.get("id")
    inherited = {key: value for key, value in base.data.items() if same or key not in ("id", "aliases")}
    return Document(found.path, merge(inherited, data), base.places | found.places)


def _base_path(found: Document, name: str, resolve: Resolve | None) -> Path:
    if is_path(name):
        path = Path(found.path).parent / name
        if not os.path.isfile(path):
            raise SpecError([found.finding(("extends",), f"no such file: {path}")])
        return path
    try:
        if resolve is None:
            raise UnknownNameError("file", name, ())
        return resolve(name, Path(found.path))
    except UnknownNameError as error:
        raise SpecError([found.finding(("extends",), str(error))]) from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge key by key, lists of named things by name, all else is replaced.

    >>> merge({"power": {"tdp": "700 W", "idle": "80 W"}}, {"power": {"tdp": "500 W"}})
    {'power': {'tdp': '500 W', 'idle': '80 W'}}
    """
    merged = dict(base)
    for key, value in over.items():
        below: Any = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        elif _named(below) and _named(value):
            merged[key] = _merge_named(below, value)
        else:
            merged[key] = value
    return merged


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)


def _merge_named(base: list[dict[str, Any]], over: list[dict[str, Any]]) -> list[dict[str, Any]]:
    replaced = {item["name"]: item for item in over}
    kept = [merge(item, replaced.pop(item["name"])) if item["name"] in replaced else item for item in base]
    return [*kept, *(item for item in over if item["name"] in replaced)]
