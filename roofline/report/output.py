"""Files that a command writes: checked before anything is computed, rendered when it is, renamed when all are whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.errors import OutputError
from roofline.files import Drafts, drafts, refused
from roofline.report import charts, formats


@dataclass(frozen=True)
class Sinks:
    """The files of one command: (where it shall be, where it is written meanwhile)."""

    files: tuple[tuple[Path, Path], ...]
    chart: tuple[Path, Path] | None
    made: Drafts
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
        self.made.publish()


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
    with drafts() as made:
        files = tuple((Path(place), made.beside(Path(place))) for place in places)
        drawn = (Path(chart), made.beside(Path(chart))) if chart is not None else None
        yield Sinks(files, drawn, made, chart_kind)


def check_chart(path: str) -> None:
    """`OutputError` unless charts can be drawn into files of that suffix."""
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OutputError(f"{path}: charts are drawn as .png, .svg or .pdf")
