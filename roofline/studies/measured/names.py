"""Names in tables of measurements: chips and models of the catalogue, however a source spells them."""

from __future__ import annotations

import re

from roofline.catalog.store import Catalog, is_path
from roofline.errors import UnknownNameError


def known(catalog: Catalog, kind: str, name: str) -> str | None:
    """The id of the catalogue's entry that a name means; None if there is none."""
    name = re.sub(r"\(.*?\)", "", name).strip()  # remarks in parentheses
    if not name or (is_path(name) and not name.endswith((".yaml", ".yml"))):
        return None
    try:
        return catalog.spec(kind, name).id
    except UnknownNameError:
        return None


def stack_named(catalog: Catalog, software: str) -> str | None:
    """The stack that the name of a software begins with, `TensorRT-LLM (PyTorch backend)` for one."""
    words = re.findall(r"[a-z0-9.]+(?:-[a-z0-9.]+)*", software.lower())
    beginnings = ("-".join(words[:count]) for count in range(len(words), 0, -1))
    return next((found for name in beginnings if (found := known(catalog, "stack", name))), None)
