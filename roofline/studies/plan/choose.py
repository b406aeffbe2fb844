"""Which combinations are best: by cost, energy, chips or latency, and which trades nothing beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from roofline.studies.pareto import front
from roofline.studies.plan.limits import Limit
from roofline.studies.plan.space import Array, Space
from roofline.workload import Training, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

Truth: TypeAlias = "NDArray[np.bool_]"

RANKS = ("cost", "energy", "chips", "latency")
DIGITS = 9  # of figures that are compared: sums in another order are the same
USER, CHIP = "tokens_per_s_per_user", "tokens_per_s_per_chip"

# What each ranking compares, of requests that are served, of a load that is given, and of a training run.
PER_REQUEST: Mapping[str, str] = MappingProxyType(
    {"cost": "usd_per_request", "energy": "joule_per_request", "chips": "num_chips", "latency": "tpot_s"}
)
PER_LOAD: Mapping[str, str] = MappingProxyType({**PER_REQUEST, "cost": "usd_per_hour"})
PER_RUN: Mapping[str, str] = MappingProxyType(
    {"cost": "usd", "energy": "joule", "chips": "num_chips", "latency": "time_to_train_s"}
)
# What decides among equals: the next of these that differs.
NEXT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cost": ("cost", "chips", "latency"),
        "energy": ("energy", "chips", "cost", "latency"),
        "chips": ("chips", "cost", "latency"),
        "latency": ("latency", "cost", "chips"),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One combination of a space, and what it is ranked by, less being better."""

    space: Space
    index: int
    key: tuple[float, ...]

    def figure(self, name: str) -> float:
        """One of its figures."""
        return float(self.space.numbers[name][self.index])


def ranked_by(job: Workload, limits: Sequence[Limit]) -> Mapping[str, str]:
    """The figure behind each ranking.

    Who must serve a given rate pays for the chips whether or not they could do more; else every request has its price.
    """
    if isinstance(job, Training):
        return PER_RUN
    loaded = any(limit.figure == "tokens_per_s" for limit in limits)
    figures = PER_LOAD if loaded else PER_REQUEST
    return figures if np.any(job.output_len) else {**figures, "latency": "ttft_s"}


def keys(space: Space, rank: str, figures: Mapping[str, str]) -> Array:
    """What combinations are ranked by `[combinations, keys]`; what is not known comes last."""
    columns = [_compared(space.numbers[figures[name]]) for name in NEXT[rank]]
    return np.stack(columns, axis=1)


def _compared(values: Array) -> Array:
    """Values to so many digits; infinite where unknown."""
    known = np.isfinite(values) & (values > 0.0)
    scale = 10.0 ** (DIGITS - 1.0 - np.floor(np.log10(np.where(known, values, 1.0))))
    return np.where(known, np.round(np.where(known, values, 1.0) * scale) / scale, np.where(values <= 0.0, 0.0, np.inf))


def best(space: Space, kept: Truth, rank: str, figures: Mapping[str, str]) -> list[Option]:
    """The best combination of each layout that is kept, the best first.

    Replicas of a layout are one: with as many requests each, twice as many chips do twice as much.
    """
    compared = keys(space, rank, figures)
    at = np.flatnonzero(kept)
    order = at[np.lexsort(compared[at].T[::-1])]
    layouts = _layouts(space)[order]
    _, first = np.unique(layouts, axis=0, return_index=True)
    return [Option(space, int(order[place]), tuple(compared[order[place]].tolist())) for place in np.sort(first)]


def _layouts(space: Space) -> Array:
    """What makes layouts different `[combinations, degrees]`: of a run also how many chips it has."""
    plans = [space.plan] if space.reads is None else [space.plan, space.reads]
    columns = [np.broadcast_to(getattr(plan, name), np.shape(space.plan.tp))[space.place]
               for plan in plans for name in ("tp", "pp", "ep", "cp")]  # fmt: skip
    if space.whole or space.reads is not None:
        columns.append(space.numbers["num_chips"])
    return np.stack(columns, axis=1).astype(np.float64)


def frontier(spaces: Sequence[Space]) -> list[Option]:
    """Combinations that none beats both in tokens for a user and in tokens of a chip, the fastest for a user first."""
    owners = np.concatenate([np.full(space.held.shape, place) for place, space in enumerate(spaces)])
    at = np.concatenate([np.arange(space.held.size) for space in spaces])
    costs = np.stack(
        [
            np.concatenate([np.where(space.held, -space.numbers[name], np.nan) for space in spaces])
            for name in (USER, CHIP)
        ],
        axis=1,
    )
    return [Option(spaces[int(owners[place])], int(at[place]), tuple(costs[place].tolist())) for place in front(costs)]
