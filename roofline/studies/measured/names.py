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


def stack_named(catalog: Catalog, software: str, *, anywhere: bool = False) -> str | None:
    """The stack that the name of a software begins with, `TensorRT-LLM (PyTorch backend)` for one; else the first that
    stands anywhere in it, if that is asked for, as in `Dynamo vLLM`."""
    words = re.findall(r"[a-z0-9.]+(?:-[a-z0-9.]+)*", software.lower())
    starts = range(len(words) if anywhere else min(len(words), 1))
    names = ("-".join(words[first:last]) for first in starts for last in range(len(words), first, -1))
    return next((found for name in names if (found := known(catalog, "stack", name))), None)
