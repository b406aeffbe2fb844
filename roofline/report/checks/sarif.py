"""SARIF 2.1.0, the format of static analysis results (OASIS), as code scanning reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from roofline.report.checks.words import Tested, relative, tested

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULES: Mapping[str, str] = MappingProxyType(
    {
        "moved": "A prediction is not as its baseline says",
        "broken": "A prediction does not keep what was promised",
        "missed": "Predictions are further from measurements than they may be",
    }
)


def render(result: Mapping[str, Any], *, root: str | None = None, **_: Any) -> str:
    """A run with a result for each thing that failed, paths from the folder `root` of the repository."""
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in RULES.items()]
    tool = {"driver": {"name": "roofline", "version": result["version"], "rules": rules}}
    found = [_result(item, root) for item in tested(result) if item.failed]
    whole = {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": tool, "results": found}]}
    return json.dumps(whole, indent=2) + "\n"


def _result(item: Tested, root: str | None) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": quote(relative(item.path, root), errors="replace")},
        "region": {"startLine": item.line},
    }
    return {
        "ruleId": item.kind,
        "ruleIndex": list(RULES).index(item.kind),
        "level": "error",
        "message": {"text": f"{item.group}, {item.name}: {item.message}"},
        "locations": [{"physicalLocation": place}],
        # the same thing is the same alert, wherever its line has moved to
        "partialFingerprints": {"tested/v1": f"{item.suite}/{item.group}/{item.name}"},
    }
