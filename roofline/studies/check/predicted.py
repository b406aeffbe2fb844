"""Predictions as they are: of each case every figure, and hashes of what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from roofline import __version__
from roofline.catalog.document import KeyPath
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.specs.check import DEFAULT
from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.prediction import Prediction
from roofline.errors import Finding, RooflineError, SpecError, did_you_mean
from roofline.studies import contract, fingerprint
from roofline.studies.check.baseline import Baseline, Key
from roofline.studies.check.config import Case, Config
from roofline.studies.request import parse_deployment, resolve_deployment, resolve_workload

DIGITS, HASH = 6, 16  # significant digits of a figure, hexadecimal ones of a hash
MADE_OF = ("model", "stack", "costs")  # figures that name what a prediction rests on; always told

Figure = float | bool | str | None


@dataclass(frozen=True, slots=True)
class Predicted:
    """One case: every figure by name, None where it is not known, and a hash of each kind of input."""

    case: Case
    figures: Mapping[str, Figure]
    hashes: Mapping[str, str]

    @property
    def told(self) -> dict[Key, str]:
        """What a baseline holds of it: what is known, and asked for."""
        where = (self.case.deployment, self.case.work)
        return {
            (*where, name): text(value)
            for name, value in self.figures.items()
            if value is not None and (name in MADE_OF or self.case.tells(name))
        }

    @property
    def inputs(self) -> dict[Key, str]:
        """Hashes by kind and name of what it rests on."""
        names = named(self.case.deployment, self.case.work, self.told)
        return {(kind, names[kind]): value[:HASH] for kind, value in self.hashes.items()}


class _NoWorkError(RooflineError):
    """A workload that is none, whatever it shall run on."""


def text(value: float | bool | str) -> str:
    """A figure as baselines hold it: a number to six significant digits, or a word.

    >>> text(0.01612345678), text(16384.0), text("memory"), text(True)
    ('0.0161235', '16384', 'memory', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.{DIGITS}g}"


def named(deployment: str, work: str, told: Mapping[Key, str]) -> dict[str, str]:
    """What each kind of input of a case is called, by the figures that are told of it."""
    chip = parse_deployment(deployment).chip
    model, stack, costs = (told.get((deployment, work, name), "") for name in MADE_OF)
    return {
        fingerprint.CHIP: chip,
        fingerprint.CONSTANT: chip,
        fingerprint.MODEL: model,
        fingerprint.WORKLOAD: work,
        fingerprint.STACK: f"{stack}@{chip}",
        fingerprint.SPREADS: f"{stack}@{chip}",
        fingerprint.COSTS: f"{costs}@{chip}",
        fingerprint.ENGINE: "roofline",
    }


def predict(config: Config, catalog: Catalog) -> list[Predicted]:
    """All cases; `SpecError` with every one that can't be predicted, and every name of a metric that none has."""
    places = Snapshot.of(config.catalog(catalog))
    found: list[Predicted] = []
    faults: list[Finding] = []
    for case in config.cases():
        try:
            found.append(_predict(config, case, places))
        except SpecError as error:  # a file of the catalogue is broken, and says where
            faults += error.findings
        except _NoWorkError as error:
            faults.append(config.fault(case.work_place, error))
        except RooflineError as error:
            faults.append(config.fault(case.place, error))
    faults = list(dict.fromkeys(faults)) or list(_unknown(config, found))
    if faults:
        raise SpecError(faults)
    return found


def baseline(found: Sequence[Predicted]) -> Baseline:
    """Predictions as a baseline."""
    inputs: dict[Key, str] = {(fingerprint.ENGINE, "roofline"): fingerprint.program(fingerprint.FORMULAS)[:HASH]}
    predictions: dict[Key, str] = {}
    for item in found:
        inputs |= item.inputs
        predictions |= item.told
    return Baseline(__version__, inputs, predictions)


def _predict(config: Config, case: Case, places: Catalog) -> Predicted:
    asked = config.options(case)
    try:
        job = resolve_workload(places, config.placed(case.workload), asked)
    except SpecError:
        raise
    except RooflineError as error:
        raise _NoWorkError(str(error)) from None
    where = resolve_deployment(places, config.deployment(case.deployment), job, asked, anyway=True)
    return Predicted(case, figures(search.predict(job, where)), fingerprint.inputs(job, where))


def figures(found: Prediction) -> dict[str, Figure]:
    """Everything that a prediction says in numbers and single words, under the names of the contract."""
    told, economics = contract.prediction(found), found.deployment.economics
    where = told["deployment"]
    words: dict[str, Figure] = {
        **dict(zip(MADE_OF, (told["model"]["id"], where["stack"], economics.id if economics else "none"), strict=True)),
        **{name: _plan(where[name]) for name in ("plan", "prefill_plan") if name in where},
        **{name: where[name] for name in ("weights", "activations", "kv_cache", "arithmetic")},
        "fits": told["fits"],
        "evidence": told["evidence"]["calibration"],
    }
    phases: dict[str, Figure] = {}
    for index, phase in enumerate(told["phases"]):
        name = phase["phase"] if f"{phase['phase']}_time_s" not in phases else f"{phase['phase']}_{index + 1}"
        phases |= {f"{name}_{field}": phase[field] for field in ("time_s", "bound", "mfu", "mbu")}
    return {**words, "num_chips": float(where["num_chips"]), **told["memory"], **phases, **told["metrics"]}


def _plan(plan: Mapping[str, Any]) -> str:
    """A plan as one word.

    >>> _plan({"tp": 8.0, "zero": 1.0, "recompute": "full"})
    'tp=8,zero=1,recompute=full'
    """
    return ",".join(f"{name}={text(value)}" for name, value in plan.items())


def _unknown(config: Config, found: Sequence[Predicted]) -> Iterator[Finding]:
    """Names of metrics, in tolerances and among what is asked for, that mean nothing of what is predicted."""
    known = list(dict.fromkeys(name for item in found for name in item.figures))
    asked: list[tuple[KeyPath, str]] = [
        (("tolerances", name), name) for name in config.spec.tolerances if name != DEFAULT
    ]
    for index, group in enumerate(config.spec.predictions):
        asked += [(("predictions", index, "metrics", at), name) for at, name in enumerate(group.metrics)]
    for place, name in asked:
        if not any(fnmatchcase(metric, name) for metric in known):
            near = did_you_mean(name, known)
            hint = f"did you mean {near}?" if near else "'roofline check --all' shows all"
            yield config.document.finding(place, f"no metric {name!r}; {hint}")
