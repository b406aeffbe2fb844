"""Files of a run, all or none: written into a folder beside the one that they are for, and moved there when whole.

What an earlier run wrote there and this one does not goes away; what nobody's run wrote is never touched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from roofline.catalog import reading, spreads
from roofline.catalog.document import MAX_BYTES
from roofline.errors import OutputError, SpecError
from roofline.files import refused

MARK = "# Written by `roofline calibrate`"  # begins the line that tells a run's files from those of people
FOLDERS: Mapping[str, str] = MappingProxyType({"family": "families", "chip": "chips", "stack": "stacks"})


def written(folder: Path) -> list[Path]:
    """The files in a folder of hardware that an earlier run wrote."""
    places = [folder / kind for kind in FOLDERS.values() if os.path.isdir(folder / kind)]
    paths = (path for place in places for path in sorted(place.rglob("*.yaml")))
    return [path for path in paths if _marked(path)]


def _marked(path: Path) -> bool:
    try:
        return any(line.startswith(MARK) for line in reading.text(path, MAX_BYTES).splitlines()[:3])
    except SpecError:
        return False


@dataclass(frozen=True, slots=True)
class Draft:
    """The files of one run, in a folder of their own until all are whole; `place` is where they go, if anywhere."""

    folder: Path
    place: Path | None

    def add(self, kind: str, name: str, content: str) -> None:
        """Write one file; `OutputError` if there is one of that name that no run wrote."""
        if self.place is not None:
            for path in (self.place / FOLDERS[kind]).rglob(f"{name}.yaml"):
                if not _marked(path):
                    raise OutputError(f"{path} was not written by 'roofline calibrate'; choose another folder")
        path = self.folder / FOLDERS[kind] / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")

    def add_spreads(self, content: str) -> None:
        """Write how far off predictions were on what the fits did not see."""
        (self.folder / spreads.FILE).write_text(content, encoding="utf-8", newline="\n")

    def publish(self) -> tuple[list[Path], list[Path]]:
        """Move every file to its place, then remove what else earlier runs wrote there: files there now, files gone."""
        if self.place is None:
            return [], []
        names = sorted(path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        now = [self.place / name for name in names]
        with refused(self.place):
            for name, target in zip(names, now, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.folder / name, target)
            gone = [path for path in written(self.place) if path not in now]
            for path in gone:
                path.unlink()
        return now, gone


@contextmanager
def draft(place: Path | None) -> Iterator[Draft]:
    """A draft that leaves nothing behind; `OutputError` if the folder that it is for can't be written."""
    if place is None:
        with tempfile.TemporaryDirectory(prefix="roofline-") as folder:
            yield Draft(Path(folder), None)
        return
    with refused(place):
        if place.exists() and not place.is_dir():  # told here of a name that no folder can have
            raise OutputError(f"{place}: is no folder")
        if not os.path.isdir(place) and not os.path.isdir(place.parent):
            raise OutputError(f"{place}: no such folder: {place.parent}")
        beside = Path(tempfile.mkdtemp(prefix=".roofline-", dir=place if os.path.isdir(place) else place.parent))
    try:
        yield Draft(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
