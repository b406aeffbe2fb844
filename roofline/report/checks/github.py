"""Annotations of GitHub Actions: workflow commands, one a line, that put a message at the line of a file.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.report.checks.words import Tested, relative, tested, verdict

SHOWN = 10  # annotations of one step that GitHub shows


def render(result: Mapping[str, Any], *, root: str | None = None, **_: Any) -> str:
    """An error for each thing that failed, paths from the folder `root` of the repository; what is beyond those that
    are shown is counted in the last one. A notice where nothing failed."""
    failed = [item for item in tested(result) if item.failed]
    if not failed:
        return f"::notice title=roofline::{data(verdict(result))}\n"
    shown = failed if len(failed) <= SHOWN else failed[: SHOWN - 1]
    lines = [_error(item, root) for item in shown]
    if len(shown) < len(failed):
        lines.append(f"::error title=roofline::{data(f'and {len(failed) - len(shown):,} more; {verdict(result)}')}")
    return "".join(f"{line}\n" for line in lines)


def data(text: str) -> str:
    """The message of a command.

    >>> data("100 % off\\nat: a,b")
    '100 %25 off%0Aat: a,b'
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def value(text: str) -> str:
    """A property of a command.

    >>> value("C:\\\\a,b")
    'C%3A\\\\a%2Cb'
    """
    return data(text).replace(":", "%3A").replace(",", "%2C")


def _error(item: Tested, root: str | None) -> str:
    title = f"{item.suite}: {item.group}, {item.name}"
    return (
        f"::error file={value(relative(item.path, root))},line={item.line},title={value(title)}::{data(item.message)}"
    )
