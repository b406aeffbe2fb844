"""A progress bar on a terminal: how much is done, how fast, how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from roofline.studies.sweep.run import Watch

if TYPE_CHECKING:
    from roofline.studies.sweep.chunks import Tally

WIDTH, EVERY = 24, 0.2  # characters, seconds


class Bar(Watch):
    """Draws itself on one line of a stream, and leaves that line empty at the end."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.total, self.drawn = stream, 0, 0.0
        self.start, self.before = time.monotonic(), 0

    def counted(self, tally: Tally, *, exact: bool) -> None:
        """Tell how many points there are, before any is priced."""
        self.total = tally.points
        about = "" if exact else "about "
        self.stream.write(f"{tally.points:,} points, {about}{tally.fitting:,} fit\n")
        self.start = time.monotonic()

    def begun(self, points: int) -> None:
        """Tell from where a run goes on."""
        self.before = points
        if points:
            self.stream.write(f"{points:,} points are done already; going on\n")

    def done(self, tally: Tally) -> None:
        """Draw."""
        now = time.monotonic()
        if now - self.drawn < EVERY and tally.points < self.total:
            return
        self.drawn = now
        self.stream.write(f"\r\x1b[K{line(tally, self.total, self.before, now - self.start)}")
        self.stream.flush()

    def end(self) -> None:
        """Leave the line empty."""
        if self.drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def meter(stream: TextIO) -> Callable[[float, str], None]:
    """What tells a terminal, on one line, the share of a budget that is used and what is being timed; other streams
    nothing."""
    if not stream.isatty():
        return lambda share, what: None
    drawn = [0.0]

    def tell(share: float, what: str) -> None:
        now = time.monotonic()
        if now - drawn[0] >= EVERY:
            drawn[0] = now
            bar = ("#" * round(share * WIDTH)).ljust(WIDTH)
            stream.write(f"\r\x1b[K[{bar}] {share * 100:3.0f}% {what[:48]}\r")
            stream.flush()

    return tell


def line(tally: Tally, total: int, before: int, seconds: float) -> str:
    """The bar as text: share, points, rate, time that remains.

    >>> from roofline.studies.sweep.chunks import Tally
    >>> line(Tally(points=500_000, kept=1000), 1_000_000, 0, 2.0)
    '[############            ]  50% 500,000 of 1,000,000 points, 1,000 kept, 250,000/s, 0:02 left'
    """
    share = tally.points / max(total, 1)
    bar = ("#" * round(share * WIDTH)).ljust(WIDTH)
    rate = (tally.points - before) / max(seconds, 1e-9)
    left = (total - tally.points) / rate if rate > 0 else 0.0
    minutes, rest = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    remaining = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    told = f"{tally.points:,} of {total:,} points, {tally.kept:,} kept, {rate:,.0f}/s, {remaining} left"
    return f"[{bar}] {share * 100:3.0f}% {told}"
