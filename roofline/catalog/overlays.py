"""Where files of one's own are found, before those that ship: the environment, the project, the user.

Each of these places has a folder `hardware` and a folder `workloads`, laid out like those that ship.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from roofline.errors import RooflineError

PROJECT = ".roofline"
OPTIONS: Mapping[str, str] = MappingProxyType({"hardware": "--hardware-dir", "workloads": "--workload-dir"})
VARIABLES: Mapping[str, str] = MappingProxyType(
    {"hardware": "ROOFLINE_HARDWARE_DIR", "workloads": "ROOFLINE_WORKLOAD_DIR"}
)
FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hardware": ("chips", "systems", "stacks", "families", "economics"),
        "workloads": ("models", "serving", "training", "scenarios", "needs"),
    }
)


def check(folder: Path, root: str, where: str = "") -> None:
    """`RooflineError` for a folder that is none, or that has files beside the folders that they belong into."""
    if not os.path.isdir(folder):  # unlike a Path's own, also where no folder could have that name
        raise RooflineError(f"{where}{folder}: no such folder")
    try:
        inside = {path.name for path in folder.iterdir() if path.is_dir()}
    except OSError as error:
        raise RooflineError(f"{where}{folder}: can't be read: {error.strerror or error}") from None
    astray = next(iter(sorted(folder.glob("*.yaml"))), None)
    if astray and not inside & set(FOLDERS[root]):
        raise RooflineError(
            f"{where}{folder}: has none of the folders {', '.join(FOLDERS[root])}; "
            f"{astray.name} belongs into one of them, e.g. {folder / FOLDERS[root][0] / astray.name}"
        )


def environment(root: str) -> list[Path]:
    """The folders that the environment names, separated as in PATH."""
    return [Path(part) for part in os.environ.get(VARIABLES[root], "").split(os.pathsep) if part]


def project(root: str) -> Path | None:
    """The folder of the nearest project at or above where one works; None outside of any."""
    try:
        here = Path.cwd()
        found = next((folder for folder in (here, *here.parents) if (folder / PROJECT).is_dir()), None)
    except OSError:  # the folder is gone, or one above can't be looked into
        return None
    return found / PROJECT / root if found else None


def user(root: str) -> Path:
    """The folder of the user's own configuration."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "roofline" / root
