"""A result as one page that needs nothing besides itself, and as a fragment for notebooks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

from roofline.report.document import Document, Heading, Part, Text
from roofline.report.html.markup import Html, linked, tag
from roofline.report.html.parts import render as render_parts
from roofline.report.html.plots import figures_of
from roofline.report.views import provenance, view
from roofline.report.views.verdict import Figure, Verdict, verdict

Result = Mapping[str, Any]


def render(result: Result, **options: Any) -> str:
    """The page of a result: verdict, charts, the view's parts, evidence and sources; `options` are the view's own.

    The same result gives the same bytes. Nothing is loaded, and the page forbids that anything is.
    """
    style, script = _asset("page.css"), _asset("page.js")
    document = view(result, drawn=False, **options)
    behind = provenance.parts(result, costs=bool(options.get("costs")))
    sections = (*_body(result, document), tag("section", render_parts(behind), class_="provenance"), _foot(result))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"roofline {result.get('version', '')}".strip()),
        tag("link", rel="icon", href="data:,"),
        tag("title", _title(document)),
        tag("style", Html(style)),
    )
    body = tag("body", tag("main", *sections), tag("script", Html(script)), class_="roofline")
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def fragment(result: Result, **options: Any) -> str:
    """The same without what only a page of its own has: no script, no sources, styles that reach nothing else."""
    document = view(result, drawn=False, **options)
    return tag("div", tag("style", Html(_asset("page.css"))), *_body(result, document), class_="roofline")


def _body(result: Result, document: Document) -> Iterator[Html]:
    """The head with the verdict, the charts, and the rest of the document."""
    found = verdict(result)
    head, rest = _apart(document, found)
    yield tag("header", *_head(head, found))
    figures = list(figures_of(result))
    if figures:
        yield tag("section", *figures, class_="figures")
    yield tag("section", render_parts(rest))


def _apart(document: Document, found: Verdict) -> tuple[Sequence[Part], Sequence[Part]]:
    """What stands before the first table, without the verdict, and what follows."""
    first = next((at for at, part in enumerate(document) if at and not isinstance(part, Text)), len(document))
    head = [part for part in document[:first] if part != found.sentence]
    return head, document[first:]


def _head(head: Sequence[Part], found: Verdict) -> Iterator[Html]:
    """The title, the verdict, its figures, and in small type what it is about."""
    for part in head:
        if isinstance(part, Heading):
            yield tag("h1", part.text)
    if found.sentence:
        yield tag("p", linked(found.sentence.text), class_=f"verdict {found.sentence.tone}")
    if found.figures:
        yield tag("dl", *map(_figure, found.figures))
    yield render_parts(part for part in head if not isinstance(part, Heading))


def _figure(figure: Figure) -> Html:
    more = tag("dd", figure.more, class_="more") if figure.more else None
    return tag("div", tag("dt", figure.name), tag("dd", figure.value), more)


def _foot(result: Result) -> Html:
    """What made the page, and what of."""
    kind = str(result["schema"]).removeprefix("roofline.")
    told = (f"roofline {result['version']}",) if result.get("version") else ()
    return tag("footer", tag("p", " · ".join((*told, kind))))


def _title(document: Document) -> str:
    """The first heading, else the first words."""
    return next((part.text for part in document if isinstance(part, (Heading, Text))), "roofline")


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded; only this style and this script are in force."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{_digest(style)}'",
            f"script-src 'sha256-{_digest(script)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return files("roofline.report.html").joinpath(name).read_text(encoding="utf-8")
