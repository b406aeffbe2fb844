"""Where a number comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A title that can be found again, an address, and the day it was read."""

    title: str
    url: str = ""
    date: str = ""
