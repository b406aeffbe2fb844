"""The keys of a `config.json`, read with their types; what is missing or malformed is noted, so that all of it is told
at once and nothing is guessed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from roofline.catalog import document, reading
from roofline.catalog.document import KeyPath, dotted
from roofline.errors import Finding, SpecError

MAX_BYTES = 4_000_000
MAX_LAYERS = 10_000
MOST = 10**12  # no dimension of a model is larger
NESTED = ("text_config", "llm_config", "language_config")  # where models that also see or hear keep their decoder
INHERITED = ("tie_word_embeddings", "dtype", "torch_dtype", "quantization_config", "_name_or_path")
KINDS: Mapping[type, str] = {int: "a whole number", bool: "true or false", str: "text", list: "a list", dict: "keys"}


class Config:
    """One mapping of a configuration. Reading a key that is missing or malformed notes a fault and gives a stand-in."""

    def __init__(self, data: Mapping[str, Any], place: KeyPath = (), faults: dict[KeyPath, str] | None = None) -> None:
        self.data = data
        self.place = place
        self.faults: dict[KeyPath, str] = {} if faults is None else faults

    def fault(self, key: str, message: str) -> None:
        """Note what is wrong with a key; the first of several faults of one key stays."""
        self.faults.setdefault((*self.place, key), message)

    def has(self, key: str) -> bool:
        """Whether a key is there and not null."""
        return self.data.get(key) is not None

    def count(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """A whole number under the first of the keys that is there; without a `default`, one of them must be."""
        key = next((key for key in keys if self.has(key)), None)
        if key is None:
            if default is None:
                self.fault(keys[0], "missing" + (f" (or {' or '.join(keys[1:])})" if keys[1:] else ""))
            return least or 1 if default is None else default
        value = self._typed(key, int)
        if not least <= value <= MOST:
            self.fault(key, f"must be a whole number from {least} to {MOST:,}, got {_short(value)}")
            return least or 1
        return int(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false; `default` where the key is absent."""
        return bool(self._typed(key, bool)) if self.has(key) else default

    def text(self, key: str, default: str = "") -> str:
        """Text; `default` where the key is absent."""
        return str(self._typed(key, str)) if self.has(key) else default

    def items(self, key: str) -> list[Any] | None:
        """A list; None where the key is absent."""
        return list(self._typed(key, list)) if self.has(key) else None

    def part(self, key: str) -> Config:
        """A nested mapping, whose faults are noted with these; an empty one where it is missing."""
        inner = self._typed(key, dict) if self.has(key) else {}
        return Config(inner, (*self.place, key), self.faults)

    def number(self, key: str) -> float:
        """A finite number above 0; 1 stands in where it is missing."""
        value = self.data.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MOST:
            self.fault(key, "missing" if value is None else f"must be a number above 0, got {_short(value)}")
            return 1.0
        return float(value)

    def per_layer(self, key: str, layers: int, known: Iterable[Any]) -> list[Any] | None:
        """A list with one of the `known` values for each layer; None where it is absent or malformed."""
        found = self.items(key)
        if found is None:
            return None
        strange = next((value for value in found if not _among(value, known)), None)
        if len(found) < layers:
            self.fault(key, f"has {len(found)} entries for {layers} layers")
        elif strange is not None:
            self.fault(key, f"{_short(strange)} is no kind of layer that can be imported; known: {_listed(known)}")
        else:
            return found[:layers]
        return None

    @property
    def layers(self) -> int:
        """How many layers there are, by any of the names that configurations have for it."""
        found = self.count("num_hidden_layers", "n_layer", "n_layers", "num_layers")
        if found > MAX_LAYERS:
            self.fault("num_hidden_layers", f"{found:,} layers are more than {MAX_LAYERS:,}")
            return 1
        return found

    def _typed(self, key: str, kind: type) -> Any:
        value = self.data[key]
        if type(value) is kind:
            return value
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        self.fault(key, f"must be {KINDS[kind]}, got {_short(value)}")
        return kind()


def decoder_of(config: Config) -> Config:
    """The part that describes the text decoder: nested in models that see or hear, else all of it."""
    nested = next((key for key in NESTED if isinstance(config.data.get(key), dict)), None)
    if nested is None:
        return config
    inherited = {key: config.data[key] for key in INHERITED if key in config.data}
    return Config({**inherited, **config.data[nested]}, (nested,), config.faults)


def read(path: Path) -> Config:
    """A `config.json`; `SpecError` if it can't be read or is no mapping."""
    return Config(reading.json_file(path, MAX_BYTES))


def findings(path: Path, faults: Mapping[KeyPath, str]) -> list[Finding]:
    """Faults with the lines where they stand, as far as the file can be read as YAML, which JSON nearly is."""
    try:
        found = document.read(path)
    except SpecError:
        return [Finding(str(path), dotted(place), message) for place, message in faults.items()]
    return [found.finding(place, message) for place, message in faults.items()]


def _among(value: Any, known: Iterable[Any]) -> bool:
    return any(type(value) is type(one) and value == one for one in known)


def _listed(known: Iterable[Any]) -> str:
    return ", ".join(str(one) for one in known)


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) > MOST:
        return "a number of so many digits" if abs(value) > 10**40 else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
        return "a list" if isinstance(value, Sequence) else "keys in braces"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
