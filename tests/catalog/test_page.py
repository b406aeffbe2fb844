"""What docs/catalogue.md says of the catalogue: how much ships, and what was looked into and lacks a figure."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from roofline.catalog.store import KINDS, Catalog

PAGE = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
MISSING = re.findall(r"^\| `([a-z0-9.-]+)` \| \w", PAGE.partition("## What is missing")[2].partition("## ")[0], re.M)

# All chips and models whose figures were collected, by the name they were collected under.
with (Path(__file__).parent / "surveyed.csv").open(encoding="utf-8", newline="") as file:
    SURVEYED = [(row["kind"], row["id"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", ["chip", "system", "model"])
def test_the_page_counts_what_ships(kind: str) -> None:
    (count,) = re.findall(rf"(\d+) {kind}s", PAGE.partition("ship with `roofline`")[0])
    assert int(count) == len(Catalog().files(KINDS[kind]))


@pytest.mark.parametrize(("kind", "name"), SURVEYED)
def test_what_was_looked_into_ships_or_is_missing_for_a_reason(catalog: Catalog, kind: str, name: str) -> None:
    if kind == "chip" and name in MISSING:
        assert name not in catalog.files(KINDS["chip"])
    else:
        assert (catalog.chip if kind == "chip" else catalog.model)(name)


def test_nothing_else_is_missing() -> None:
    assert set(MISSING) <= {name for kind, name in SURVEYED if kind == "chip"}
    assert len(MISSING) == len(set(MISSING)) > 0
