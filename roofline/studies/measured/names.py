"""Names in tables of measurements: chips and models of the catalogue, however a source spells them."""

from __future__ import annotations

from roofline.catalog.store import Catalog, is_path
from roofline.errors import UnknownNameError


def known(catalog: Catalog, kind: str, name: str) -> str | None:
    """The id of the catalogue's entry that a name means; None if there is none."""
    name = name.strip()
    if not name or (is_path(name) and not name.endswith((".yaml", ".yml"))):
        return None
    try:
        return catalog.spec(kind, name).id
    except UnknownNameError:
        return None
