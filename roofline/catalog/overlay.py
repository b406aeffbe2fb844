"""A catalogue that knows one more chip: of a file anywhere, or of a text that is no file yet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from roofline.catalog.store import Catalog, is_path


@contextmanager
def beside(chip: str | None, catalog: Catalog) -> Iterator[Catalog]:
    """The catalogue, and with it the chip of a path under its id; one of the catalogue's own is known already.

    Raises what reading the chip raises.
    """
    if chip is None:
        yield catalog
        return
    name = catalog.spec("chip", chip).id
    if not is_path(chip):
        yield catalog
        return
    with known(name, f"extends: {json.dumps(os.path.realpath(chip))}\nid: {name}\n", catalog) as found:
        yield found


@contextmanager
def known(name: str, text: str, catalog: Catalog) -> Iterator[Catalog]:
    """The catalogue with a chip of that id and text before all others."""
    with TemporaryDirectory(prefix="roofline-") as folder:
        chips = Path(folder) / "chips"
        chips.mkdir()
        (chips / f"{name}.yaml").write_text(text, encoding="utf-8")
        yield Catalog((Path(folder), *catalog.hardware_dirs), catalog.workload_dirs, catalog.hidden)
