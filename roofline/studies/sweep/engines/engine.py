"""What all engines have in common: chunks in order in, answers in order out, few of them ready before their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from roofline.studies.sweep.chunks import Part, Tally
from roofline.studies.sweep.columns import Table

AHEAD = 2  # chunks for each process that may be ready before their turn

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class Engine(Protocol):
    """Prices the chunks of a work; whoever stops to listen ends it."""

    @property
    def processes(self) -> int:
        """Chunks that are priced at once."""

    def written(self, begin: int, place: Callable[[int], Path]) -> Generator[Part]:
        """Write each chunk from `begin` on to its place, in order."""

    def reduced(self, begin: int) -> Generator[tuple[Table, Tally]]:
        """What may be left of each chunk from `begin` on, in order."""


class Promise(Protocol[Answer_co]):
    """An answer that comes."""

    def result(self) -> Answer_co:
        """Wait for it."""


def in_order(
    submit: Callable[[int], Promise[Answer]], chunks: Iterable[int], processes: Callable[[], int]
) -> Iterator[Answer]:  # fmt: skip
    """The answer for each chunk, in order, however many `processes` there are meanwhile."""
    waiting: deque[Promise[Answer]] = deque()
    for chunk in chunks:
        waiting.append(submit(chunk))
        if len(waiting) >= AHEAD * processes():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
