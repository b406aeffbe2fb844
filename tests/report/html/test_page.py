"""Pages hold together, need nothing besides themselves, and show names from files without running them."""

from __future__ import annotations

import re
from base64 import b64encode
from copy import deepcopy
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from roofline.report import formats
from roofline.report.charts.figure import PALETTE
from roofline.report.html import page
from roofline.report.html.markup import VOID, linked, tag, text

Result = dict[str, Any]
HOSTILE = "</title></style></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;b&gt;javascript:x"
# What a result says in words of its own; no file of a user decides them.
FIXED = {
    "schema", "kind", "phase", "bound", "calibration", "metric", "unit", "per", "split", "severity", "latency", "cost",
    "resource", "by", "values", "recompute",
}  # fmt: skip
TAGS = {
    "html", "head", "meta", "link", "title", "style", "body", "main", "script", "header", "section", "footer", "h1", "h2",
    "p", "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "small", "pre", "a", "figure", "figcaption",
    "strong", "span", "svg", "g", "path", "polyline", "rect", "circle", "text",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "rel", "href", "class", "tabindex", "role", "aria-label", "scope",
    "data-v", "viewbox", "d", "points", "transform", "text-anchor", "r", "x", "y", "width", "height", "fill",
}  # fmt: skip


class Reader(HTMLParser):
    """Elements as they nest, and what is text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append((self.open[-1] if self.open else "", data))

    def words(self) -> str:
        return "".join(data for within, data in self.said if within not in ("style", "script"))

    def inside(self, name: str) -> str:
        return "".join(data for within, data in self.said if within == name)


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert reader.open == []
    return reader


def defaced(value: Any, key: str = "") -> Any:
    """The same with an attack behind every name."""
    if isinstance(value, dict):
        return {name: item if name in FIXED else defaced(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [defaced(item, key) for item in value]
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def test_pages_hold_together(result: Result) -> None:
    found = read(formats.render(result, "html"))
    names = [name for name, _ in found.elements]
    assert set(names) <= TAGS
    assert names.count("h1") <= 1
    assert found.inside("title")
    for name, attributes in found.elements:
        assert name != "table" or set(attributes) <= {"class"}
        assert name != "th" or attributes.get("scope") == "col"


def test_the_same_result_gives_the_same_page(result: Result) -> None:
    assert formats.render(deepcopy(result), "html") == formats.render(result, "html")


@pytest.mark.parametrize("render", [page.render, page.fragment])
def test_no_name_becomes_markup(result: Result, render: Any) -> None:
    clean, attacked = read(render(result)), read(render(defaced(result)))
    assert {name for name, _ in attacked.elements} <= TAGS
    assert {name for _, attributes in attacked.elements for name in attributes} <= ATTRIBUTES
    assert "<script>alert(1)</script>" in attacked.words()
    assert attacked.inside("script") == clean.inside("script")
    assert attacked.inside("style") == clean.inside("style")


def test_nothing_is_loaded_from_anywhere(result: Result) -> None:
    found = read(formats.render(defaced(result), "html"))
    for name, attributes in found.elements:
        assert not {"src", "srcset", "style", "data", "action", "poster", "xlink:href"} & attributes.keys()
        if "href" in attributes:
            link = str(attributes["href"])
            assert link == "data:," if name == "link" else name == "a"
            assert name != "a" or re.match(r"https?://", link)
    for kind in ("style", "script"):
        assert not re.search(r"https?:|@import|url\(|fetch|XMLHttp|import\(|eval|innerHTML", found.inside(kind))


def test_the_policy_allows_this_style_and_this_script_alone(chat: Result) -> None:
    found = read(formats.render(chat, "html"))
    policy = next(
        item["content"] for name, item in found.elements if item.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    assert rules["default-src"] == "'none'"
    for kind in ("style", "script"):
        digest = b64encode(sha256(found.inside(kind).encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_the_verdict_stands_before_everything_else(chat: Result) -> None:
    words = read(formats.render(chat, "html")).words()
    order = ["8xchip-with-a-rather-long-name", "fits; prefill is bound by compute", "time to first token", "a-chat:",
             "Roofline of", "memory per chip", "Evidence"]  # fmt: skip
    places = [words.index(told, words.index("fits;") - 90) for told in order]
    assert places == sorted(places)
    assert words.count("fits; prefill is bound by compute") == 1


def test_what_does_not_fit_is_told_as_such(chat: Result) -> None:
    found = read(formats.render({**chat, "fits": False, "why": "needs 141 GB"}, "html"))
    assert ("p", {"class": "verdict bad"}) in found.elements
    assert "dl" not in {name for name, _ in found.elements}


def test_numbers_stand_right_and_tell_what_they_sort_by(comparison: Result) -> None:
    markup = formats.render(comparison, "html")
    found = read(markup)
    cells = [attributes for name, attributes in found.elements if name == "td" and "data-v" in attributes]
    assert cells
    assert all("number" in str(attributes["class"]) for attributes in cells)
    assert '<td class="number" data-v="0.016">16</td>' in markup
    assert '<th class="number" scope="col">TPOT<small> [ms]</small></th>' in markup


def test_the_colours_are_those_of_the_charts(chat: Result) -> None:
    style = read(formats.render(chat, "html")).inside("style")
    for schemes in (0, -1):  # by day, and on paper
        assert [re.findall(rf"--s{at}: (#\w+);", style)[schemes].upper() for at in range(8)] == list(PALETTE)


def test_options_of_the_view_matter(chat: Result) -> None:
    short, whole = (read(formats.render(chat, "html", all_rows=flag)).words() for flag in (False, True))
    assert "(--all)" in short
    assert "(--all)" not in whole


def test_a_page_is_written_where_its_suffix_says_so(chat: Result) -> None:
    assert formats.format_of("a/report.html") == formats.format_of("REPORT.HTM") == "html"
    assert formats.render(chat, "html").startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')


def test_the_style_and_the_script_are_small() -> None:
    folder = Path(page.__file__).parent
    assert all(len((folder / name).read_text(encoding="utf-8").splitlines()) < 250 for name in ("page.css", "page.js"))


def test_every_rule_of_the_style_keeps_to_the_report() -> None:
    style = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
    bare = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    selectors = [item.strip() for group in re.findall(r"([^{};]+)\{", bare) for item in group.split(",")]
    told = [item for item in selectors if not item.startswith(("@media", "@page"))]
    assert len(told) > 60
    assert all(item.startswith((".roofline", "body.roofline")) for item in told)


# --- markup


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("a<b>", "a&lt;b&gt;"),
        ("\"'&", "&quot;&#x27;&amp;"),
        ("a\x00\x1b[31m\u202eb", "a\ufffd\ufffd[31m\ufffdb"),
        ("芯片", "芯片"),
    ],
)
def test_text_is_shown_as_it_is(words: str, shown: str) -> None:
    assert text(words) == shown
    assert tag("p", words, title=words) == f'<p title="{shown}">{shown}</p>'


@pytest.mark.parametrize(
    "words", ["javascript:alert(1)", "data:text/html,x", "ftp://example.org", "//example.org", "http://"]
)
def test_only_web_addresses_become_links(words: str) -> None:
    assert linked(words) == text(words)


def test_a_link_can_not_be_left() -> None:
    found = read(linked('https://a.org/"onclick=x <b> https://b.org/x;y'))
    assert [attributes for name, attributes in found.elements] == [
        {"href": "https://a.org/", "rel": "noreferrer"}, {"href": "https://b.org/x", "rel": "noreferrer"},
    ]  # fmt: skip
