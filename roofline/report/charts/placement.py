"""Where names go in a drawing so that none lies on another: pure geometry, no drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle, left to right and bottom to top."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether the two share any area."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def within(self, other: Box) -> bool:
        """Whether it lies wholly inside the other."""
        across = self.left >= other.left and self.right <= other.right
        return across and self.bottom >= other.bottom and self.top <= other.top


FAR = (1.0, 2.2, 3.6)  # how far from its point a name may stand, in gaps


def around(
    x: float, y: float, width: float, height: float, gap: float, far: Sequence[float] = FAR
) -> Iterator[Box]:  # fmt: skip
    """Places for a name beside a point, the most natural first: right, left, below, above, then the corners."""
    sides = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, 1), (1, 1), (-1, -1))
    for gaps in far:
        for across, up in sides:
            left = x - width / 2 + across * (width / 2 + gap * gaps)
            bottom = y - height / 2 + up * (height / 2 + gap * gaps)
            yield Box(left, bottom, left + width, bottom + height)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    frame: Box,
    gap: float,
    far: Sequence[float] = FAR,
) -> list[Box | None]:
    """A box for each point's name, none on another or on what is taken; None where there is no room.

    >>> place([(5.0, 5.0)], [(2.0, 1.0)], [], Box(0.0, 0.0, 10.0, 10.0), 1.0)
    [Box(left=6.0, bottom=4.5, right=8.0, top=5.5)]
    """
    obstacles = list(taken)
    found: list[Box | None] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        free = (
            box
            for box in around(x, y, width, height, gap, far)
            if box.within(frame) and not any(box.meets(other) for other in obstacles)
        )
        box = next(free, None)
        found.append(box)
        obstacles.extend([box] if box else [])
    return found


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Descending positions moved as little as possible until neighbours are `gap` apart.

    Neighbours that collide become one group around the mean of their values.

    >>> spread([5.0, 5.0, 1.0], 1.0)
    [5.5, 4.5, 1.0]
    """
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and _lowest(groups[-2], gap) - gap < _highest(groups[-1], gap):
            last = groups.pop()
            groups[-1].extend(last)
    return [_highest(group, gap) - gap * index for group in groups for index in range(len(group))]


def _highest(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) + gap * (len(group) - 1) / 2


def _lowest(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2
