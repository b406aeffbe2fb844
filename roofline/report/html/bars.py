"""Stacked bars that lie, as SVG: a row for each deployment, panel below panel, parts that tell their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roofline.report.charts.bars import Bar, Panel
from roofline.report.html.markup import Html, joined, tag
from roofline.report.html.svg import LETTER, NORMAL, SMALL, figure, number, words_at
from roofline.report.human import percent

WIDTH, LEFT, END = 960.0, 14.0, 150.0  # of the picture, before labels, and for what is told behind bars
BOLD = 0.66  # width of a bold letter in heights of the type
ROW, THICK, HEAD, LINE = 36.0, 20.0, 34.0, 18.0  # heights: of a bar's row, of the bar, of a panel's title, of the key


def render(panels: Sequence[Panel], title: str, below: Sequence[str]) -> Html:
    """A figure of panels below each other, with a key of what parts are."""
    key = {part.name: part.color for panel in panels for bar in panel.bars for part in bar.parts}
    rows, height = _key(key)
    drawn = [rows]
    labels = max((len(bar.label) for panel in panels for bar in panel.bars), default=0) * BOLD * NORMAL
    details = max((len(bar.detail) for panel in panels for bar in panel.bars), default=0) * LETTER * SMALL
    start = LEFT + min(max(labels, details) + 16.0, WIDTH / 3)
    for panel in panels:
        drawn.append(words_at(panel.title, LEFT, height + HEAD - 11.0, "name", "start"))
        height += HEAD
        longest = max((bar.reach for bar in panel.bars), default=0.0) or 1.0
        for bar in panel.bars:
            drawn.append(_bar(bar, panel, start, height, (WIDTH - END - start) / longest))
            height += ROW
        height += 8.0
    return figure(joined(drawn), title, below, WIDTH, height + 4.0)


def shade(color: str) -> str:
    """A colour of the charts, of which greys are shares of white, as HTML has it.

    >>> shade("#0072B2"), shade("0.72")
    ('#0072B2', '#b8b8b8')
    """
    return color if color.startswith("#") else "#" + f"{round(float(color) * 255):02x}" * 3


def _bar(bar: Bar, panel: Panel, start: float, top: float, scale: float) -> Html:
    """One bar: who and how on its left, its parts, its interval and bound, and what it comes to."""
    middle = top + THICK / 2
    reach = start + max(bar.reach, 0.0) * scale
    return tag(
        "g",
        words_at(bar.label, LEFT, middle + (0.0 if bar.detail else 4.0), "name", "start"),
        words_at(bar.detail, LEFT, middle + 13.0, "note", "start") if bar.detail else None,
        tag("g", *_parts(bar, panel, start, top, scale), class_="marks"),
        *_limits(bar, start, middle, scale),
        words_at(bar.end, (reach if bar.parts else start) + 8.0, middle + (0.0 if bar.more else 4.0), "point", "start"),
        words_at(bar.more, reach + 8.0, middle + 13.0, "note", "start") if bar.more else None,
    )


def _parts(bar: Bar, panel: Panel, start: float, top: float, scale: float) -> Iterator[Html]:
    at = start
    for index, part in enumerate(bar.parts):
        told = (f"{part.name}, {bar.label}", panel.show(part.value), f"{percent(part.value / bar.total)} of {bar.end}")
        yield tag(
            "g",
            tag("title", "\n".join(told)),
            tag("rect", width=number(part.value * scale), height=number(THICK), fill=shade(part.color)),
            class_="mark part",
            transform=f"translate({number(at)},{number(top)})",
            tabindex=0 if not index else -1,
            role="img",
        )
        at += part.value * scale


def _limits(bar: Bar, start: float, middle: float, scale: float) -> Iterator[Html]:
    """A whisker over the interval, and a triangle at what nothing can beat."""
    if bar.low is not None and bar.high is not None:
        low, high = (number(start + value * scale) for value in (bar.low, bar.high))
        y, up, down = (number(value) for value in (middle, middle - 5.0, middle + 5.0))
        yield tag("path", d=f"M{low},{up}V{down}M{low},{y}H{high}M{high},{up}V{down}", class_="whisker")
    if bar.ideal is not None:
        x, y = number(start + bar.ideal * scale), number(middle + THICK / 2 + 1.0)
        yield tag("path", d=f"M{x},{y}l4,6h-8z", class_="bound")


def _key(parts: dict[str, str]) -> tuple[Html, float]:
    """What the parts are, in as many rows as they need, and the height of these."""
    drawn: list[Html] = []
    x, y = LEFT, 4.0
    for name, color in parts.items():
        width = 18.0 + len(name) * LETTER * SMALL + 18.0
        if x + width > WIDTH and x > LEFT:
            x, y = LEFT, y + LINE
        swatch = tag("rect", x=number(x), y=number(y), width=10, height=10, fill=shade(color), class_="swatch")
        drawn += [swatch, words_at(name, x + 15.0, y + 9.0, "note", "start")]
        x += width
    return joined(drawn), y + LINE
