"""The figure of the study: the frontier of all designs beside chips that exist, and what tokens cost at each price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from designs import Best, Served, Study

import roofline as rl
from roofline.report.charts import trade
from roofline.report.charts.figure import INK, PALETTE, box_of, footer, save, title
from roofline.report.human import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Frontiers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Point:
    """Tokens/s for a user and of a chip."""

    at: tuple[float, float]
    kept: bool = True


def draw(
    path: Path, study: Study, served: Served, cheapest: Sequence[Best], others: Frontiers, counts: str
) -> None:  # fmt: skip
    """Draw it into a .svg, .png or .pdf file; `others` are frontiers of chips that exist, `counts` is said below."""
    lines = {"all designs": [Point((item.user, item.chip), _promised(study, item.user)) for item in served.trades]}
    for name, found in others.items():
        lines[name] = [_point(point) for point in found["points"]]

    def panels(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _traded(left, study, lines)
        _priced(right, cheapest, others)
        budget = study.told["budget"]
        title(
            figure, "What an H100's silicon could be instead",
            f"{study.job.id} on {study.told['chips']} chips; designs of at most {budget['area']:.0f} mm² and "
            f"{budget['power']:.0f} W",
        )  # fmt: skip
        footer(
            figure, counts,
            "hollow: tokens come more slowly than promised; no phase of a design draws more than its TDP, while chips "
            "that exist may lower their clocks; each point has the best plan and number of requests",
            f"roofline {rl.__version__}; expected times, kernels and power as of H100s; areas from published figures "
            "and parameters of the study (study.yaml)",
        )  # fmt: skip
        figure.draw_without_rendering()
        _name(left, lines)

    save(panels, path, size=(12.0, 5.8))


def _promised(study: Study, user: float) -> bool:
    limit = study.job.slo.tpot_s
    return limit is None or bool(user * limit >= 1.0)


def _point(told: Mapping[str, Any]) -> Point:
    metrics = told["metrics"]
    at = metrics["output_tokens_per_s_per_user"], metrics["output_tokens_per_s_per_chip"]
    return Point(at, told["keeps_slo"] is not False)


def _traded(axes: Axes, study: Study, lines: Mapping[str, Sequence[Point]]) -> None:
    every = [point.at for points in lines.values() for point in points]
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(min(user for user, _ in every) / 1.3, max(user for user, _ in every) * 2.2)
    axes.set_ylim(min(chip for _, chip in every) / 1.5, max(chip for _, chip in every) * 1.6)
    axes.set(xlabel="output tokens/s for each user", ylabel="output tokens/s of each chip")
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        trade.ticks(axis, limits, rate, most=3000.0)
    trade.grid(axes)
    for color, points in zip(PALETTE, lines.values(), strict=False):
        trade.draw(axes, points, color, None)
    if study.job.slo.tpot_s:
        axes.axvline(1.0 / study.job.slo.tpot_s, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)


def _name(axes: Axes, lines: Mapping[str, Sequence[Point]]) -> None:
    taken = [box for points in lines.values() for box in trade.along(axes, points, None)]
    for color, (name, points) in zip(PALETTE, lines.items(), strict=False):
        ends = sorted(points, key=lambda point: point.at)
        taken += trade.put(axes, name, [ends[0], ends[-1], *ends], color, taken, box_of(axes), size=8.5, weight="bold")


def _priced(axes: Axes, cheapest: Sequence[Best], others: Frontiers) -> None:
    axes.plot(
        [item.price / 1e3 for item in cheapest], [item.usd for item in cheapest], color=PALETTE[0], linewidth=1.5,
        marker="o", markersize=3.5,
    )  # fmt: skip
    last = cheapest[-1]
    axes.annotate(
        "the cheapest design", (last.price / 1e3, last.usd), (-9, 0), textcoords="offset points", ha="right",
        color=PALETTE[0], weight="bold", fontsize=8.5,
    )  # fmt: skip
    for index, (color, (name, found)) in enumerate(zip(PALETTE[1:], others.items(), strict=False)):
        usd = found["promised"] and found["promised"]["metrics"].get("own_usd_per_million_tokens")
        if usd:
            axes.axhline(usd, color=color, linewidth=1.1)
            axes.annotate(
                f"{name}, owned", (0.99 - 0.19 * index, usd), (0, 3), xycoords=("axes fraction", "data"), ha="right",
                textcoords="offset points", color=color, fontsize=8,
            )  # fmt: skip
    axes.set(xlabel="price of a chip, thousand USD", ylabel="USD to own, per million output tokens", ylim=(0.0, None))
    trade.grid(axes)
