"""Elements of HTML and SVG. What is text becomes text: only an element's own tags are ever markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from roofline.report.text import clean

VOID = ("meta", "link")
ADDRESS = re.compile(r"https?://[^\s;,<>\"']*[^\s;,<>\"'.)\]]")


class Html(str):
    """Markup, as opposed to text that has yet to be escaped."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Html:
    """An element. Children that are not `Html` are escaped, None is left out; so are attributes that are None.

    An attribute's underscores stand for hyphens, a last one for nothing, as `class` and `for` are Python's words.

    >>> tag("a", "<b>", href='"', data_v=1, title=None)
    '<a href="&quot;" data-v="1">&lt;b&gt;</a>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{told}>" if name in VOID else f"<{name}{told}>{joined(children)}</{name}>")


def joined(children: Iterable[str | None]) -> Html:
    """Markup and text one after the other."""
    return Html("".join(text(child) for child in children if child is not None))


def text(words: str) -> Html:
    """Text that is shown as it is; markup stays as it is. Control characters, and those that turn the direction of
    writing, become replacement characters.

    >>> text("a<b>\\x00")
    'a&lt;b&gt;\\ufffd'
    """
    return words if isinstance(words, Html) else Html(escape(clean(words)))


def linked(words: str) -> Html:
    """Text whose web addresses can be followed, each told by its host.

    >>> linked("see https://example.org/a?b=1&c.")
    'see <a href="https://example.org/a?b=1&amp;c" rel="noreferrer">example.org</a>.'
    """
    parts: list[str] = []
    end = 0
    for found in ADDRESS.finditer(words):
        address = found[0]
        parts += [words[end : found.start()], tag("a", address.split("/")[2], href=address, rel="noreferrer")]
        end = found.end()
    return joined([*parts, words[end:]])
