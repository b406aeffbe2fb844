"""Files written whole or not at all: beside their place first, then renamed, so that nobody sees half of one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from roofline.errors import OutputError


def put(texts: Mapping[Path, str]) -> list[Path]:
    """Write text files, all or none, the last one last; `OutputError` for one that can't be written."""
    with drafts() as made:
        for place, text in texts.items():
            beside = made.beside(place)
            with refused(place):
                beside.write_text(text, encoding="utf-8", newline="\n")
        made.publish()
    return list(texts)


class Drafts:
    """Temporary files, each beside the place that it is for."""

    def __init__(self) -> None:
        self._made: dict[Path, Path] = {}

    def beside(self, place: Path) -> Path:
        """An empty file in the folder of `place`, or of the file that `place` links to; `OutputError` if there can be
        none."""
        check(place)
        target = _target(place)
        with refused(place):
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".roofline-")
            os.close(handle)
            self._made[place] = Path(name)
            Path(name).chmod(_mode(target))
        return Path(name)

    def publish(self) -> None:
        """Rename each into its place, in the order in which they were made."""
        for place, beside in self._made.items():
            with refused(place):
                os.replace(beside, _target(place))

    def discard(self) -> None:
        """Remove what was not published."""
        for beside in self._made.values():
            with suppress(OSError):
                beside.unlink(missing_ok=True)


@contextmanager
def drafts() -> Iterator[Drafts]:
    """Files to be written; those that are not published when the work ends, or fails, leave nothing behind."""
    made = Drafts()
    try:
        yield made
    finally:
        made.discard()


@contextmanager
def refused(place: Path) -> Iterator[None]:
    """What the system refuses to do with a file, as an `OutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{place}: can't be written: {(error.strerror or str(error)).lower()}") from None


def check(place: Path) -> None:
    """`OutputError` if there is no folder for a file, or it can't be written there."""
    with refused(place):
        if place.is_dir():
            raise OutputError(f"{place}: is a folder; name a file")
        target = _target(place)
        if target.exists() and not target.is_file():
            raise OutputError(f"{place}: is no file that could be replaced; - is stdout")
        if not target.parent.is_dir():
            raise OutputError(f"{place}: no such folder: {place.parent}")
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise OutputError(f"{place}: can't be written: permission denied")


def _target(place: Path) -> Path:
    """The file that a link leads to: it is replaced, the link stays."""
    return Path(os.path.realpath(place))


def _mode(target: Path) -> int:
    """The permissions of the file to be replaced; those of any new file if there is none."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
