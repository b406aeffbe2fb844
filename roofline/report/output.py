"""Files to write: checked before anything is computed, written beside and renamed, so no half file is ever seen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.errors import OutputError
from roofline.report import formats


@dataclass(frozen=True)
class Sinks:
    """The files of one command: (where it shall be, where it is written meanwhile)."""

    files: tuple[tuple[Path, Path], ...]
    chart: tuple[Path, Path] | None

    def write(self, result: Mapping[str, Any]) -> None:
        """Render the result into every file and rename each into place."""
        for place, temporary in self.files:
            temporary.write_text(formats.render(result, formats.format_of(str(place))), encoding="utf-8")
        if self.chart is not None:
            from roofline.report.chart import roofline_chart

            place, temporary = self.chart
            roofline_chart(result.get("rows", [result]), temporary, suffix=place.suffix)
        for place, temporary in (*self.files, *([self.chart] if self.chart else ())):
            os.replace(temporary, place)


@contextmanager
def opened(places: Sequence[str], chart: str | None = None) -> Iterator[Sinks]:
    """Make sure that every file can be written; `OutputError` if not. Leaves nothing behind when the work fails."""
    for place in places:
        formats.format_of(place)
    if chart is not None:
        check_chart(chart)
    made: list[Path] = []
    try:
        files = tuple((Path(place), _beside(Path(place), made)) for place in places)
        drawn = (Path(chart), _beside(Path(chart), made)) if chart is not None else None
        yield Sinks(files, drawn)
    finally:
        for temporary in made:
            temporary.unlink(missing_ok=True)


def check_chart(path: str) -> None:
    """`OutputError` unless charts can be drawn into files of that suffix."""
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OutputError(f"{path}: charts are drawn as .png, .svg or .pdf")


def _beside(place: Path, made: list[Path]) -> Path:
    """An empty temporary file in the folder of `place`."""
    if place.is_dir():
        raise OutputError(f"{place}: is a folder; name a file")
    folder = place.parent
    if not folder.is_dir():
        raise OutputError(f"{place}: no such folder: {folder}")
    if place.exists() and not os.access(place, os.W_OK):
        raise OutputError(f"{place}: can't be written: permission denied")
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{place.name}.")
    except OSError as error:
        raise OutputError(f"{place}: can't be written: {error.strerror or error}") from None
    os.close(handle)
    temporary = Path(name)
    made.append(temporary)
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    return temporary
