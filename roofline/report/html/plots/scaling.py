"""Tokens per second over chips of a training run that scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from roofline.report.html.plot import Axis, Line, Mark, Plot, decades
from roofline.report.human import count, percent, rate

Result = Mapping[str, Any]


def plots(result: Result) -> Iterator[Plot]:
    """The curve, beside as many tokens for each chip as the fewest make."""
    curve = result["scaling"]
    if not curve["rows"]:
        return
    chips = [float(row["num_chips"]) for row in curve["rows"]]
    made = [row["tokens_per_s"] for row in curve["rows"]]
    cliff = curve["cliff"]["num_chips"] if curve["cliff"] else None
    ideal = ((chips[0], made[0]), (chips[-1], made[0] * chips[-1] / chips[0]))
    fewest, most = chips[0] / 1.5, chips[-1] * 1.5
    below = ["dashed: as many for each chip as on the fewest; percent: of that"]
    below += ["orange: where that drops most"] if cliff else []
    yield Plot(
        f"{curve['kind'].capitalize()} scaling of {result['workload']['id']}",
        Axis(f"chips ({result['deployment']['chip_name']})", fewest, most, tuple((at, count(at)) for at in chips)),
        decades("tokens/s", min(made) / 2.0, max(made[0] * chips[-1] / chips[0], *made) * 1.5, rate),
        lines=(Line(ideal, style="dashed"), Line(tuple(zip(chips, made, strict=True)), 0)),
        marks=tuple(_mark(row, there=row["num_chips"] == cliff) for row in curve["rows"]),
        below=tuple(below),
    )


def _mark(row: Result, *, there: bool) -> Mark:
    efficiency = percent(row["efficiency"])
    told = (f"{count(row['num_chips'])} chips", f"{rate(row['tokens_per_s'])} tokens/s", f"{efficiency} efficient")
    return Mark(float(row["num_chips"]), row["tokens_per_s"], 1 if there else 0, told, efficiency, area=26.0)
