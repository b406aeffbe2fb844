"""What is kept of many rows: those that nothing else beats, the first of an order, or so many of them.

Each chunk is reduced by itself, then what is left of all of them together: the front of fronts is the front of all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roofline.errors import RooflineError
from roofline.studies.pareto import front
from roofline.studies.sweep.columns import Table, Values, Words, find, size, taken

# Metrics of which more is better; of anything else, less.
_MORE = re.compile(r"(tokens|requests)_per_|^(mfu|mbu|hfu|goodput|max_batch)|_(mfu|mbu)(_|$)|tflops_per_")
_LESS = re.compile(r"^(own_)?usd_|energy_|power")


@dataclass(frozen=True, slots=True)
class Reduction:
    """First what nothing else beats in the columns `pareto`, among rows that fit; then the order of a column, from the
    largest if `falling`; then the first `top` rows."""

    pareto: tuple[str, ...] = ()
    sort: str | None = None
    falling: bool = False
    top: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that it looks at."""
        return (*self.pareto, *((self.sort,) if self.sort else ()), *(("fits",) if self.pareto else ()))

    @property
    def small(self) -> bool:
        """Whether little is left of many rows."""
        return bool(self.pareto) or self.top is not None

    @property
    def any(self) -> bool:
        """Whether rows are left out or moved at all."""
        return self.small or self.sort is not None

    def of_part(self, table: Table) -> Table:
        """What may be left of a part of the rows."""
        if self.pareto:
            return self._front(table)
        return self._first(self._sorted(table)) if self.top is not None else table

    def of_all(self, table: Table) -> Table:
        """What is left of all parts together."""
        return self._first(self._sorted(self._front(table) if self.pareto else table))

    def _front(self, table: Table) -> Table:
        costs = np.stack([_cost(name, table[name]) for name in self.pareto], axis=1)
        costs[~np.asarray(table["fits"], dtype=bool)] = np.nan
        return taken(table, front(costs))

    def _sorted(self, table: Table) -> Table:
        if self.sort is None or not size(table):
            return table
        values = table[self.sort]
        if isinstance(values, Words):
            order = np.argsort(np.array(values.names))
            values = np.argsort(order)[values.codes]
        numbers = np.asarray(values, dtype=np.float64)
        return taken(table, np.argsort(-numbers if self.falling else numbers, kind="stable"))  # unknown ones come last

    def _first(self, table: Table) -> Table:
        return table if self.top is None else taken(table, slice(0, self.top))


def reduction(
    known: Sequence[str], *, sort: str | None = None, top: int | None = None, pareto: str | Sequence[str] | None = None
) -> Reduction:
    """What options ask for; `RooflineError` for columns that do not exist.

    `sort` is a column, from the smallest, or behind a minus from the largest: `-tokens_per_s`.
    """
    if top is not None and top < 1:
        raise RooflineError(f"--top {top}: must be 1 or more")
    falling = bool(sort) and str(sort).startswith("-")
    named = find(str(sort).lstrip("-+"), known, "--sort") if sort else None
    wanted = [part.strip() for part in pareto.split(",")] if isinstance(pareto, str) else list(pareto or ())
    traded = tuple(find(name, known, "--pareto") for name in wanted)
    if len(traded) == 1:
        raise RooflineError(f"--pareto {traded[0]}: name two columns or more, e.g. --pareto {traded[0]},tpot_s")
    return Reduction(traded, named, falling, top)


def more_is_better(name: str) -> bool:
    """Whether more of a column is better.

    >>> more_is_better("output_tokens_per_s"), more_is_better("tpot_s"), more_is_better("usd_per_million_tokens")
    (True, False, False)
    """
    return bool(_MORE.search(name)) and not _LESS.search(name)


def _cost(name: str, values: Values) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if isinstance(values, Words):
        raise RooflineError(f"--pareto {name}: is a word; name numbers")
    numbers = np.asarray(values, dtype=np.float64)
    return -numbers if more_is_better(name) else numbers
