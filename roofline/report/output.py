"""Files to write: checked before anything is computed, written beside and renamed, so no half file is ever seen."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.errors import OutputError
from roofline.report import charts, formats


@dataclass(frozen=True)
class Sinks:
    """The files of one command: (where it shall be, where it is written meanwhile)."""

    files: tuple[tuple[Path, Path], ...]
    chart: tuple[Path, Path] | None
    chart_kind: str | None = None

    def write(self, result: Mapping[str, Any], **view: Any) -> None:
        """Render the result into every file and, when all are whole, rename each into place; `view` are its options."""
        for place, temporary in self.files:
            text = formats.render(result, formats.format_of(str(place)), **view)
            with refused(place):
                temporary.write_text(text, encoding="utf-8", newline="\n")
        if self.chart is not None:
            place, temporary = self.chart
            with refused(place):
                charts.draw(result, temporary, suffix=place.suffix, kind=self.chart_kind)
        for place, temporary in (*self.files, *([self.chart] if self.chart else ())):
            with refused(place):
                os.replace(temporary, os.path.realpath(place))


@contextmanager
def opened(places: Sequence[str], chart: str | None = None, chart_kind: str | None = None) -> Iterator[Sinks]:
    """Make sure that every file can be written, and that there is a chart of that kind; `OutputError` if not. Leaves
    nothing behind when the work fails."""
    for place in places:
        formats.format_of(place)
    if chart is not None:
        check_chart(chart)
    if chart_kind is not None:
        charts.check_kind(chart_kind, chart)
    made: list[Path] = []
    try:
        files = tuple((Path(place), _beside(Path(place), made)) for place in places)
        drawn = (Path(chart), _beside(Path(chart), made)) if chart is not None else None
        yield Sinks(files, drawn, chart_kind)
    finally:
        for temporary in made:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def refused(place: Path) -> Iterator[None]:
    """What the system refuses to do with a file, as an `OutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{place}: can't be written: {(error.strerror or str(error)).lower()}") from None


def check_chart(path: str) -> None:
    """`OutputError` unless charts can be drawn into files of that suffix."""
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OutputError(f"{path}: charts are drawn as .png, .svg or .pdf")


def _beside(place: Path, made: list[Path]) -> Path:
    """An empty temporary file in the folder of `place`, or of the file that `place` links to."""
    with refused(place):
        if place.is_dir():
            raise OutputError(f"{place}: is a folder; name a file")
        target = Path(os.path.realpath(place))
        if target.exists() and not target.is_file():
            raise OutputError(f"{place}: is no file that could be replaced; - is stdout")
        if not target.parent.is_dir():
            raise OutputError(f"{place}: no such folder: {place.parent}")
        if target.exists() and not os.access(target, os.W_OK):
            raise OutputError(f"{place}: can't be written: permission denied")
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".roofline-")
        os.close(handle)
        temporary = Path(name)
        made.append(temporary)
        temporary.chmod(_mode(target))
    return temporary


def _mode(target: Path) -> int:
    """The permissions of the file to be replaced; those of any new file if there is none."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
