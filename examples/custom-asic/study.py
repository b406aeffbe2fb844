"""What an H100's silicon could be instead: ten million designs of an inference chip, on its area and within its power.

    python examples/custom-asic/study.py [study.yaml] [--workload NAME] [--chart frontier.svg] [--save winner.yaml]

A design is six numbers: FLOP/s, stacks of HBM, SRAM for weights, links, TDP and price. What does not fit on the die is
masked before anything is priced; what is left is priced by the functions that price one chip, over arrays. What is
assumed is in study.yaml with its source. Here are areas alone, and no formula of a prediction.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import groupby, permutations
from pathlib import Path
from typing import Any

import numpy as np
from designs import SILICON, WHY, Best, Design, Served, Study, operating, price, read, serve

import roofline as rl
from roofline.engine import energy, plans
from roofline.engine.roof import BOUNDS
from roofline.units import show

HERE = Path(__file__).resolve().parent
RIVALS = ("h100-sxm", "h200-sxm", "b200-sxm")
TOLD = 20_000.0  # USD: the price whose winner is explained


def describe(study: Study, design: Design) -> str:
    """A die in a line."""
    told = (
        f"{float(design.compute) / 1e12:,.0f} TFLOP/s",
        f"{float(design.stacks):.0f} HBM3E",
        f"{float(design.sram) / 1e6:.0f} MB SRAM",
        f"{float(design.link) / 1e9:.0f} GB/s links",
        f"{float(study.areas.total(design)):.0f} mm²",
    )
    return ", ".join(told)


def explain(study: Study, served: Served, best: Best) -> Iterator[str]:
    """Why a design wins: where its area, time and watts go, and what one step along each axis would bring, or one along
    one axis for one along another."""
    place = np.unravel_index(best.die, served.rate.shape)
    design, plan, batch = operating(study, served, study.silicon, np.array([best.die]))
    found = study.predict(design, plan, batch, best.tdp, best.price)
    metrics: Any = {name: None if value is None else float(np.max(value)) for name, value in found.metrics.items()}
    yield f"{describe(study, design.at(0))}, {best.tdp:.0f} W"
    yield (
        f"{_layout(plans.pick(plan, 0))}, {batch[0]:.0f} requests at once: "
        f"{metrics['output_tokens_per_s_per_chip']:,.0f} tokens/s per chip, "
        f"{metrics['output_tokens_per_s_per_user']:.1f} per user, first token after {show(metrics['ttft_s'], 's', 3)}, "
        f"{best.joules:.2f} J a token, {best.usd:.3f} USD a million tokens"
    )
    yield "mm²: " + ", ".join(f"{name} {float(np.max(value)):.0f}" for name, value in study.areas.parts(design).items())
    for phase in found.phases:
        watts = energy.terms(found.deployment.chip, found.deployment.chip.energy, phase)  # type: ignore[arg-type]
        told = {item.name: float(np.max(getattr(watts, item.name))) for item in fields(watts)}
        parts = ", ".join(f"{name} {value:.0f}" for name, value in told.items() if value)
        bound = BOUNDS[int(np.max(phase.bound))]
        yield f"{phase.name}: bound by {bound}, draws {sum(told.values()):.0f} W of {best.tdp:.0f}: {parts}"
    yield "one step along an axis, with the best plan and requests for it:"
    for name in SILICON:
        moves = (_moved(study, served, place, {name: step}) for step in (-1, 1))
        yield f"  {name:8}" + "; ".join(f"{word}: {told}" for word, told in zip(("less", "more"), moves, strict=True))
    for more, less in permutations(SILICON, 2):
        told = _moved(study, served, place, {more: 1, less: -1})
        if "%" in told:
            yield f"  {more} for {less}: {told}"


def _moved(study: Study, served: Served, place: Sequence[Any], steps: Mapping[str, int]) -> str:
    """What becomes of tokens/s and of the area some steps away on the axes."""
    at = tuple(index + steps.get(name, 0) for name, index in zip(SILICON, place, strict=True))
    if not all(0 <= index < size for index, size in zip(at, served.rate.shape, strict=True)):
        return "end of the axis"
    if why := WHY[served.why[at]]:
        return f"too much {why}"
    areas = [float(study.areas.total(study.silicon.at(there))) for there in (place, at)]
    return f"{served.rate[at] / served.rate[tuple(place)] - 1.0:+.1%} tokens/s, {areas[1] - areas[0]:+.0f} mm²"


def _layout(plan: Any) -> str:
    """The degrees of a plan that are more than one."""
    return " ".join(f"{name}{getattr(plan, name):.0f}" for name in ("tp", "pp", "dp") if getattr(plan, name) > 1)


def frontier(study: Study, served: Served) -> Iterator[str]:
    """Trades that nothing beats, fewest tokens for a user first, each at least a percent faster than the one before."""
    last = 0.0
    for item in sorted(served.trades, key=lambda item: item.user):
        if item.user < 1.01 * last:
            continue
        last = item.user
        design = study.silicon.at(np.unravel_index(item.die, served.rate.shape))
        layout = f"{_layout(plans.pick(study.plans, item.plan))}, {study.batches[item.batch]:.0f} at once"
        yield f"{item.user:7.1f} {item.chip:8,.0f}  {describe(study, design)}; {layout}"


def costs(study: Study, served: Served, cheapest: Sequence[Best]) -> Iterator[str]:
    """What tokens cost at each price, prices of one design together."""
    for (die, tdp), group in groupby(cheapest, key=lambda item: (item.die, item.tdp)):
        design, some = study.silicon.at(np.unravel_index(die, served.rate.shape)), list(group)
        prices, usd = (_span([getattr(item, name) for item in some]) for name in ("price", "usd"))
        yield f"{prices} USD a chip: {usd} USD a million tokens, {some[0].joules:.2f} J a token"
        yield f"  {describe(study, design)}, {tdp:.0f} W"


def _span(values: Sequence[float]) -> str:
    """The first and last of some numbers."""
    told = [f"{value:,.0f}" if value >= 100.0 else f"{value:.3f}" for value in values]
    return told[0] if len(told) == 1 else f"{told[0]} to {told[-1]}"


def rivals(cheapest: Sequence[Best], others: Mapping[str, Any]) -> Iterator[str]:
    """What tokens cost on chips that exist if they are owned, and the price at which a design costs as much."""
    usd = [item.usd for item in cheapest]
    for name, found in others.items():
        owned = found["promised"] and found["promised"]["metrics"]["own_usd_per_million_tokens"]
        if owned and usd[0] <= owned <= usd[-1]:
            equal = float(np.interp(owned, usd, [item.price for item in cheapest]))
            yield f"{name} {owned:.3f} USD a million tokens: a design costs as much at {equal:,.0f} USD a chip"


def counted(study: Study, served: Served, priced: int) -> str:
    """How many designs there are, and how many are left by each question."""
    counts = {name: int(np.count_nonzero(served.why == code)) for code, name in enumerate(WHY)}
    refused = ", ".join(f"{counts[name]:,} by {name}" for name in WHY[1:])
    return (
        f"{int(np.prod(study.shape)):,} designs of {served.why.size:,} dies; refused of these: {refused}; "
        f"{priced:,} designs work within their TDP and were priced"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and tell what came of it."""
    asked = argparse.ArgumentParser(description="Ten million designs of an inference chip.")
    asked.add_argument("study", nargs="?", type=Path, default=HERE / "study.yaml")
    asked.add_argument("--workload", help="another serving workload of the catalogue, e.g. llama-3.1-8b-chat")
    asked.add_argument("--chart", type=Path, help="draw the frontier into this .svg, .png or .pdf file")
    asked.add_argument("--save", type=Path, help="write the winner as a chip file")
    given, begun = asked.parse_args(arguments), time.perf_counter()
    try:
        study = read(given.study, workload=given.workload)
        served = serve(study)
        cheapest, priced = price(study, served)
        print(counted(study, served, priced))
        if not cheapest:
            print("no design keeps all of them")
            return 1
        best = min(cheapest, key=lambda item: abs(item.price - TOLD))
        print(f"\nthe cheapest at {best.price:,.0f} USD a chip:", *explain(study, served, best), sep="\n")
        print("\ntokens/s for a user, of a chip, design:", *frontier(study, served), sep="\n")
        print("\nthe cheapest design of each price:", *costs(study, served, cheapest), sep="\n")
        label = f"{study.told['chips']}x"
        others = {name: rl.predict(study.job.id, label + name, frontier=True)["frontier"] for name in RIVALS}
        print("\nowned:", *rivals(cheapest, others), sep="\n")
        if given.save:
            design = study.silicon.at(np.unravel_index(best.die, served.rate.shape))
            given.save.write_text(json.dumps(study.file(design, best.tdp, best.price), indent=2))
        if given.chart:
            from figure import draw

            draw(given.chart, study, served, cheapest, others, counted(study, served, priced))
    except (rl.RooflineError, FileNotFoundError, PermissionError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    print(f"\n{time.perf_counter() - begun:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
