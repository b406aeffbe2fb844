"""JSON Schema of the file formats, for editors: generated from the specs, committed, and tested to be fresh.

`python -m roofline.catalog.json_schema` writes them again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from roofline.catalog.store import KINDS

FOLDER = Path(__file__).resolve().parent / "schema"
DRAFT = "http://json-schema.org/draft-07/schema#"


def schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of file; a file that `extends` another may leave out everything but its id."""
    generated = KINDS[kind].spec.model_json_schema()
    definitions = json.loads(json.dumps(generated.pop("$defs", {})).replace("#/$defs/", "#/definitions/"))
    body = json.loads(json.dumps(generated).replace("#/$defs/", "#/definitions/"))
    required = body.pop("required", [])
    body["properties"]["extends"] = {"type": "string", "description": "id or path of the file to start from"}
    return {
        "$schema": DRAFT,
        "title": f"roofline {kind} file",
        **{key: value for key, value in body.items() if key != "title"},
        "if": {"required": ["extends"]},
        "then": {"required": ["id"]},
        "else": {"required": required},
        "definitions": definitions,
    }


def text(kind: str) -> str:
    """The schema as it is committed."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def path(kind: str) -> Path:
    """Where it is committed."""
    return FOLDER / f"{kind}.schema.json"


if __name__ == "__main__":
    for name in KINDS:
        path(name).write_text(text(name), encoding="utf-8")
