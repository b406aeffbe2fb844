"""Looking into the catalogue: what is there, and what one entry says, each number with its source."""

from __future__ import annotations

from typing import Any

from roofline.catalog.store import Catalog
from roofline.studies.show.entry import entry
from roofline.studies.show.listing import GROUPS, listing

__all__ = ["entry", "listing", "show"]


def show(name: str, catalog: Catalog) -> dict[str, Any]:
    """A group's listing, or one entry, by name."""
    return listing(name, catalog) if name in GROUPS else entry(name, catalog)
