"""Charts as SVG: text as text, colours by class so that the page's style decides them, marks that can be focused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from roofline.report.charts.placement import Box, place, spread
from roofline.report.html.markup import Html, joined, tag
from roofline.report.html.plot import Line, Mark, Note, Plot

PER_POINT = 1.6  # pixels of one point of a marker's size
LETTER = 0.56  # width of a letter in heights of the type
SMALL, NORMAL = 11.0, 12.5  # type sizes, as in the style sheet
NEAR = 15.0  # pixels between marks that share a name
MANY = 300  # marks above which they are drawn fainter, and with no room around them
STEP = 22.0  # pixels from one line of a key or an axis' title to the next

SHAPES = MappingProxyType(
    {
        "o": "M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0z",
        "D": "M0,-1.25L1.25,0L0,1.25L-1.25,0z",
        "s": "M-.9,-.9H.9V.9H-.9z",
        "^": "M0,-1.2L1.1,.8H-1.1z",
        "v": "M0,1.2L1.1,-.8H-1.1z",
    }
)


@dataclass(frozen=True)
class Frame:
    """Where the data lies in the picture, in pixels."""

    plot: Plot
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, value: float) -> float:
        """Pixels from the left edge."""
        return self.left + (self.right - self.left) * self.plot.x.share(value)

    def y(self, value: float) -> float:
        """Pixels from the top edge."""
        return self.bottom - (self.bottom - self.top) * self.plot.y.share(value)

    @property
    def slope(self) -> float:
        """The angle in degrees, clockwise, of a line that rises a decade in a decade."""
        across = self.x(self.plot.x.low * 10) - self.left
        up = self.bottom - self.y(self.plot.y.low * 10)
        return -math.degrees(math.atan2(up, across))


def render(plot: Plot) -> Html:
    """A chart: its data with what is said of it."""
    frame = _frame(plot)
    drawn = joined(
        [
            _grid(frame),
            *(_line(frame, line) for line in plot.lines),
            *(_note(frame, note) for note in plot.notes),
            *_ends(frame),
            *_names(frame),
            _marks(frame),
            *_key(frame),
        ]
    )
    return figure(drawn, plot.title, plot.below, frame.width, frame.height, wide=plot.wide)


def figure(drawn: Html, title: str, below: Sequence[str], width: float, height: float, *, wide: bool = True) -> Html:
    """A picture of so many pixels under its title and what is said of it; two that are not `wide` share a row."""
    half = None if wide else "half"
    picture = tag(
        "svg",
        drawn,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="group",
        aria_label=f"chart: {title}",
        class_="chart" if wide else "chart half",
    )
    caption = tag("figcaption", tag("strong", title), *(tag("span", words) for words in below))
    return tag("figure", caption, tag("div", picture, class_="scroll"), class_=half)


def _frame(plot: Plot) -> Frame:
    width, height = (960.0, 540.0) if plot.wide else (520.0, 480.0)
    ticks = max((len(text) for _, text in plot.y.ticks), default=0) * LETTER * SMALL
    ends = max((len(text) for end in plot.ends for text in (end.name, *end.figures)), default=0) * LETTER * NORMAL
    left = 14.0 + STEP + ticks
    right = width - (ends + 30.0 if plot.ends else 24.0)
    return Frame(plot, width, height, left, right, 12.0 + (STEP if plot.key else 0.0), height - 2 * STEP - 6.0)


def number(value: float) -> str:
    """Pixels to a tenth.

    >>> number(1.0), number(2.34)
    ('1', '2.3')
    """
    return f"{value:.1f}".removesuffix(".0")


def words_at(words: str, x: float, y: float, kind: str, anchor: str = "middle", turn: float = 0.0) -> Html:
    """A text of a kind of the style sheet, turned by so many degrees."""
    at = f"translate({number(x)},{number(y)})" + (f" rotate({number(turn)})" if turn else "")
    return tag("text", words, transform=at, text_anchor=anchor, class_=kind)


def _grid(frame: Frame) -> Html:
    """Ticks with lines behind everything, and what the axes measure."""
    plot = frame.plot
    lines: list[Html] = []
    for value, words in plot.x.ticks:
        x = frame.x(value)
        lines.append(tag("path", d=f"M{number(x)},{number(frame.top)}V{number(frame.bottom)}", class_="grid"))
        lines.append(words_at(words, x, frame.bottom + 18.0, "tick"))
    for value, words in plot.y.ticks:
        y = frame.y(value)
        lines.append(tag("path", d=f"M{number(frame.left)},{number(y)}H{number(frame.right)}", class_="grid"))
        lines.append(words_at(words, frame.left - 8.0, y + 4.0, "tick", "end"))
    edge = f"M{number(frame.left)},{number(frame.top)}V{number(frame.bottom)}H{number(frame.right)}"
    middle = (frame.left + frame.right) / 2
    return joined(
        [
            *lines,
            tag("path", d=edge, class_="edge"),
            words_at(plot.x.title, middle, frame.height - 10.0, "axis"),
            words_at(plot.y.title, 16.0, (frame.top + frame.bottom) / 2, "axis", turn=-90.0),
        ]
    )


def _series(kind: str, series: int | None) -> str:
    return kind if series is None else f"{kind} s{series % 8}"


def _line(frame: Frame, line: Line) -> Html:
    points = " ".join(f"{number(frame.x(x))},{number(frame.y(y))}" for x, y in line.points)
    return tag("polyline", points=points, class_=_series(f"line {line.style}", line.series))


def _note(frame: Frame, note: Note) -> Html:
    turn = frame.slope if note.along else 0.0
    x, y = frame.x(note.x) + note.across, frame.y(note.y) + note.down
    if note.along:  # above the line, not on it
        angle = math.radians(turn)
        x, y = x + 6.0 * math.sin(angle), y - 6.0 * math.cos(angle)
    return words_at(note.words, x, y, _series("note", note.series), note.anchor, turn)


def _ends(frame: Frame) -> Iterator[Html]:
    """Names at the right ends, moved apart where they would lie on each other, with as many figures as have room."""
    ordered = sorted(frame.plot.ends, key=lambda end: -end.y)
    room = (frame.bottom - frame.top) / max(len(ordered), 1)
    rows = min(max((len(end.figures) for end in ordered), default=0), max(0, int((room - 20.0) // 14.0)))
    heights = [-frame.y(end.y) for end in ordered]
    places = [-place for place in spread(heights, min(rows * 14.0 + 20.0, room))]
    shift = max(0.0, frame.top + 8.0 - min(places, default=frame.bottom)) - max(
        0.0, max(places, default=0.0) - frame.bottom + 30.0
    )
    for end, height, at in zip(ordered, heights, places, strict=True):
        y = at + shift
        start, stop = number(frame.right), number(frame.right + 12.0)
        yield tag("path", d=f"M{start},{number(-height)}L{stop},{number(y)}", class_=_series("lead", end.series))
        yield words_at(end.name, frame.right + 17.0, y + 4.0, "name", "start")
        for row, words in enumerate(end.figures[:rows], start=1):
            yield words_at(words, frame.right + 17.0, y + 4.0 + 14.0 * row, "note", "start")


def _radius(mark: Mark) -> float:
    return math.sqrt(mark.area / math.pi) * PER_POINT


def _marks(frame: Frame) -> Html:
    """All marks; one of a chart is reached by tab, the others from it by arrow keys."""
    many = len(frame.plot.marks) > MANY
    drawn = (_mark(frame, mark, first=not at, many=many) for at, mark in enumerate(frame.plot.marks))
    return tag("g", *drawn, class_="marks many" if many else "marks")


def _mark(frame: Frame, mark: Mark, *, first: bool, many: bool) -> Html:
    """A mark with what it tells, and around it room for fingers where marks are few."""
    size = _radius(mark)
    return tag(
        "g",
        tag("title", "\n".join(mark.told)),
        None if many else tag("circle", r=number(max(size + 3.0, 9.0)), class_="hit"),
        tag("path", d=SHAPES[mark.shape], transform=f"scale({number(size)})"),
        class_=_series("mark" if mark.face == "full" else f"mark {mark.face}", mark.series),
        transform=f"translate({number(frame.x(mark.x))},{number(frame.y(mark.y))})",
        tabindex=0 if first else -1,
        role="img",
    )


def _names(frame: Frame) -> Iterator[Html]:
    """Names beside marks where there is room; those that lie on each other share one."""
    groups = _groups(frame)
    centres = [(frame.x(group[0].x), -frame.y(group[0].y)) for group in groups]
    lines = [_words(group) for group in groups]
    sizes = [(max(map(len, told)) * LETTER * SMALL + 4.0, 13.5 * len(told)) for told in lines]
    room = Box(frame.left, -frame.bottom, frame.right, -frame.top)
    places = place(centres, sizes, list(_taken(frame)), room, gap=9.0, far=(1.0, 1.8, 2.8, 4.0))
    for (x, y), told, box in zip(centres, lines, places, strict=True):
        if box is None:
            continue
        middle, top = (box.left + box.right) / 2, -box.top
        if not (box.left - 14.0 < x < box.right + 14.0 and box.bottom - 14.0 < y < box.top + 14.0):
            start = f"{number(x)},{number(-y)}"
            near = f"{number(min(max(x, box.left), box.right))},{number(-min(max(y, box.bottom), box.top))}"
            yield tag("path", d=f"M{start}L{near}", class_="lead")
        for row, words in enumerate(told):
            yield words_at(words, middle, top + 10.5 + 13.5 * row, "point")


def _groups(frame: Frame) -> list[list[Mark]]:
    """Named marks by where they are, the largest first."""
    groups: list[list[Mark]] = []
    for mark in sorted((mark for mark in frame.plot.marks if mark.name), key=lambda mark: -mark.area):
        for group in groups:
            apart = math.hypot(frame.x(mark.x) - frame.x(group[0].x), frame.y(mark.y) - frame.y(group[0].y))
            if apart < NEAR:
                group.append(mark)
                break
        else:
            groups.append([mark])
    return groups


def _words(group: Sequence[Mark]) -> list[str]:
    """The names of a group, more than two below each other."""
    names = list(dict.fromkeys(mark.name for mark in group))
    return [", ".join(names)] if len(names) < 3 else names


def _taken(frame: Frame) -> Iterator[Box]:
    """What names must not cross: marks, lines, notes."""
    for mark in frame.plot.marks:
        x, y, half = frame.x(mark.x), -frame.y(mark.y), _radius(mark)
        yield Box(x - half, y - half, x + half, y + half)
    for line in frame.plot.lines:
        yield from _along(frame, line)
    for note in frame.plot.notes:
        yield from _under(frame, note)


def _along(frame: Frame, line: Line) -> Iterator[Box]:
    places = [(frame.x(x), -frame.y(y)) for x, y in line.points]
    for (x, y), (to_x, to_y) in pairwise(places):
        pieces = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / 6.0))
        for piece in range(pieces + 1):
            at, up = x + (to_x - x) * piece / pieces, y + (to_y - y) * piece / pieces
            yield Box(at - 3.0, up - 3.0, at + 3.0, up + 3.0)


def _under(frame: Frame, note: Note) -> Iterator[Box]:
    """Small squares under the words of a note, whatever way they run."""
    width = len(note.words) * LETTER * SMALL
    start = {"start": 0.0, "middle": -width / 2, "end": -width}[note.anchor]
    angle = math.radians(-frame.slope if note.along else 0.0)
    x, y = frame.x(note.x) + note.across, -frame.y(note.y) - note.down
    for step in range(math.ceil(width / 8.0) + 1):
        at = start + min(8.0 * step, width)
        across, up = x + at * math.cos(angle), y + at * math.sin(angle) + 4.0
        yield Box(across - 7.0, up - 7.0, across + 7.0, up + 7.0)


def _key(frame: Frame) -> Iterator[Html]:
    """What shapes and colours mean, in a row above the data."""
    x = frame.left
    for shape, series, words in frame.plot.key:
        at = f"translate({number(x + 6.0)},12) scale(5)"
        yield tag("path", d=SHAPES[shape], transform=at, class_=_series("mark", series))
        yield words_at(words, x + 16.0, 16.0, "note", "start")
        x += 16.0 + len(words) * LETTER * SMALL + 18.0
