"""A new file of the catalogue, or a new `roofline.toml`, from a commented template."""

from __future__ import annotations

import re
from pathlib import Path

from roofline.catalog import overlays, store
from roofline.errors import OutputError, RooflineError

TEMPLATES = Path(__file__).resolve().parent.parent / "catalog" / "templates"
KINDS = ("chip", "system", "model", "serving", "scenario", "training", "need", "economics", "check")
CHECK = "check"  # of which a project has one, in TOML
_ID = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


def template(kind: str, name: str) -> str:
    """The text of a template for a new entry of that id."""
    if not _ID.fullmatch(name):
        raise RooflineError(f"{name!r} can't be an id: write small letters, digits, '.', '+' and '-', e.g. 'my-asic'")
    if kind == CHECK:
        return (TEMPLATES / "check.toml").read_text(encoding="utf-8")
    text = (TEMPLATES / f"{kind}.yaml").read_text(encoding="utf-8")
    return text.format(id=name, name=name.replace("-", " ").title())


def place(kind: str, *, project: bool) -> Path:
    """The folder where files of a kind are found by name: the project's, which is begun here if there is none above, or
    the user's. It is made if need be."""
    if kind == CHECK:
        raise RooflineError("a check is found in the folder where it is run; leave --project and --user out")
    found = store.KINDS[kind]
    own = overlays.project(found.root) or Path(overlays.PROJECT) / found.root
    folder = (own if project else overlays.user(found.root)) / found.folder
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be made: {error.strerror or error}") from None
    return folder


def hidden(kind: str, name: str | None) -> bool:
    """Whether an entry of that name is there already, which a new file nearer than it hides."""
    return kind in store.KINDS and name in store.Catalog().files(store.KINDS[kind])


def new(kind: str, name: str | None, folder: Path) -> Path:
    """Write a new file `NAME.yaml` into a folder, or `roofline.toml` for a check; never over one that exists."""
    if name is None and kind != CHECK:
        raise RooflineError(f"a {kind} needs a name, its id, e.g. 'roofline new {kind} our-{kind}'")
    name = name or "roofline"
    path = folder / f"{name}.{'toml' if kind == CHECK else 'yaml'}"
    text = template(kind, name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OutputError(f"{path} exists already; choose another name or remove it") from None
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror or error}") from None
    return path
