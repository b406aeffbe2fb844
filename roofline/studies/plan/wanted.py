"""What chips a plan may take, as written: `CHIP`, `COUNTxCHIP` or `MIN-MAXxCHIP`, each with settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.studies.request import Wanted, meant

_RANGE = re.compile(r"(?P<least>[0-9]+)-(?P<most>[0-9]+)x(?P<rest>.+)")
MOST_SIZES = 256  # that are tried of a range
LARGER = 4  # doublings of the fewest chips that are tried where nothing limits them


@dataclass(frozen=True, slots=True)
class Choice:
    """One kind of chip or system, and how many of it: `least` to `most`, both None where nobody says."""

    wanted: Wanted
    least: int | None = None
    most: int | None = None


def choice(text: str, catalog: Catalog) -> Choice:
    """A chip or system as written.

    >>> found = choice("8-64xh100-sxm:stack=vllm", Catalog())
    >>> found.wanted.chip, found.least, found.most, found.wanted.settings
    ('h100-sxm', 8, 64, {'stack': 'vllm'})
    """
    ranged = _RANGE.fullmatch(text.strip())
    wanted = meant(catalog, ranged["rest"] if ranged else text)
    if "pools" in wanted.settings:
        raise RooflineError(f"{text}: leave pools out; --disaggregate tries all of them")
    if ranged is None:
        return Choice(wanted, wanted.count, wanted.count)
    least, most = int(ranged["least"]), int(ranged["most"])
    if wanted.count is not None or not 1 <= least <= most <= 10_000_000:
        raise RooflineError(f"{text}: write MIN-MAXxCHIP, the smaller number first, e.g. 8-64xh100-sxm")
    return Choice(replace(wanted, text=text), least, most)


def counts(least: int, most: int) -> list[int]:
    """All numbers of chips in a range; of a long one its ends, powers of two, and others evenly spaced.

    >>> counts(3, 6), len(counts(1, 100_000)) < 300
    ([3, 4, 5, 6], True)
    """
    step = max(1, -(-(most - least + 1) // MOST_SIZES))
    return sorted({most, *range(least, most + 1, step), *(size for size in doublings(1, most) if size >= least)})


def doublings(fewest: int, most: int) -> list[int]:
    """The fewest, and the powers of two above.

    >>> doublings(3, 20)
    [3, 4, 8, 16]
    """
    first = 1 << (fewest - 1).bit_length()
    powers = [first << step for step in range(max(most, 1).bit_length())]
    return sorted({fewest, *(size for size in powers if size <= most)})


def sizes(asked: Choice, fewest: int, wiring: int, at_most: int | None, *, all_doublings: bool = False) -> list[int]:
    """Numbers of chips to try: those that were asked for, as far as the model fits, wiring joins and limits let them.

    Where nothing is said, from the fewest on in doublings: up to the limit, or `LARGER` of them (`all_doublings`: as
    far as the wiring goes). Of a system whole ones are counted.
    """
    each = asked.wanted.each
    limit = (wiring if at_most is None else min(wiring, at_most)) // each
    found = _units(asked, -(-fewest // each), limit, limited=at_most is not None, all_doublings=all_doublings)
    return [each * units for units in found]


def _units(asked: Choice, fewest: int, limit: int, *, limited: bool, all_doublings: bool) -> list[int]:
    """The same in what is counted: chips or whole systems."""
    if asked.least is not None and asked.most is not None:
        least, most = max(asked.least, fewest), min(asked.most, limit)
        return counts(least, most) if least <= most else []
    if fewest > limit:
        return []
    if limited:
        return sorted({*doublings(fewest, limit), limit})
    return doublings(fewest, limit if all_doublings else min(limit, fewest << LARGER))
