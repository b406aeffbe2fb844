"""A file that a study writes: beside its place first, then renamed, so that nobody ever sees half of it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from roofline.errors import OutputError


def put(place: Path, text: str, *, over: bool) -> Path:
    """Write a text file; `over` one that exists only if that is asked for. `OutputError` if it can't be written."""
    if os.path.isdir(place):
        raise OutputError(f"{place}: is a folder; name a file")
    if os.path.exists(place) and not os.path.isfile(place):
        raise OutputError(f"{place}: is no file that could be replaced; - is stdout")
    if not os.path.isdir(place.parent):
        raise OutputError(f"{place}: no such folder: {place.parent}")
    if os.path.exists(place) and not over:
        raise OutputError(f"{place} exists already; name it with -o to write over it, or choose another name")
    beside: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".roofline-")
        beside = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        beside.chmod(0o644)
        os.replace(beside, place)
    except OSError as error:
        raise OutputError(f"{place}: can't be written: {(error.strerror or str(error)).lower()}") from None
    finally:
        if beside is not None:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    return place
