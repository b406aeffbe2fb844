"""Faults of a file in words: what the validator found, where it stands, what to write instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from roofline.catalog.document import Document, KeyPath
from roofline.errors import Finding, did_you_mean

_KIND_TAGS = {
    "full", "sliding", "chunked", "mla", "mamba1", "mamba2", "gated-delta-net", "lightning", "dense", "moe",
}  # fmt: skip


def explain(error: ValidationError, found: Document, spec: type[BaseModel]) -> list[Finding]:
    """Every fault of a validation, in the order of the file."""
    faults = error.errors(include_url=False)
    findings = [_finding(fault, found, spec) for fault in faults if not _echo(fault, faults)]
    return sorted(findings, key=lambda finding: (finding.path != found.path, finding.line, finding.column))


def _echo(fault: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list counts as too short only because its items have faults of their own."""
    length = len(fault["loc"])
    inside = any(len(other["loc"]) > length and other["loc"][:length] == fault["loc"] for other in faults)
    return fault["type"] == "too_short" and inside


def _finding(fault: Mapping[str, Any], found: Document, spec: type[BaseModel]) -> Finding:
    place = tuple(part for part in fault["loc"] if part != "[key]")
    place = _without_tags(place, found)
    return found.finding(place, _message(fault, place, found, spec))


def _without_tags(place: KeyPath, found: Document) -> KeyPath:
    """The place without the tags that a tagged union adds to it."""
    kept: KeyPath = ()
    for part in place:
        if part in _KIND_TAGS and (*kept, part) not in found.places and kept and kept[-1] in ("mixer", "ffn"):
            continue
        kept = (*kept, part)
    return kept


def _message(fault: Mapping[str, Any], place: KeyPath, found: Document, spec: type[BaseModel]) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        siblings = _siblings(spec, place)
        near = did_you_mean(str(place[-1]), siblings, most=1)
        return f"unknown key; did you mean {near}?" if near else f"unknown key; known: {', '.join(sorted(siblings))}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        near = did_you_mean(str(fault["input"]), _choices(str(context["expected"])), most=1)
        return f"must be {context['expected']}, got {fault['input']!r}" + (f"; did you mean {near}?" if near else "")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = context.get("expected_tags", "a known kind")
        return f"needs a 'kind', one of {expected}"
    if kind == "string_pattern_mismatch":
        return f"{fault['input']!r} is not of the form {context['pattern']}"
    wanted = {
        "model_type": "a mapping of keys to values",
        "dict_type": "a mapping of keys to values",
        "mapping_type": "a mapping of keys to values",
        "tuple_type": "a list",
        "string_type": "text",
        "bool_type": "true or false",
        "float_type": "a number",
        "too_short": "given at least once",
    }.get(kind)
    return f"must be {wanted}, got {_short(fault['input'])}" if wanted else str(fault["msg"])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _choices(expected: str) -> list[str]:
    return [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]


def _siblings(spec: type[BaseModel], place: KeyPath) -> set[str]:
    """Keys that would have been right where the last one of `place` stands, walked through the JSON Schema."""
    schema = spec.model_json_schema()
    node: Mapping[str, Any] = schema
    for part in place[:-1]:
        node = _below(schema, node, part)
    return {key for option in _options(schema, node) for key in option.get("properties", {})}


def _options(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in node:
        return _options(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[1]])
    branches = [*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())]
    return [option for branch in branches for option in _options(schema, branch)] if branches else [node]


def _below(schema: Mapping[str, Any], node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    for option in _options(schema, node):
        if isinstance(part, int) and "items" in option:
            return dict(option["items"])
        if part in option.get("properties", {}):
            return dict(option["properties"][part])
        for key in ("additionalProperties", "patternProperties"):
            if isinstance(option.get(key), Mapping):
                below = option[key]
                return dict(below if key == "additionalProperties" else next(iter(below.values())))
    return {}
