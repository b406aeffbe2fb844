"""`roofline analyze`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, Chart, Deployment, RequireFit, Workload

All = Annotated[bool, typer.Option("--all", help="Every operator, not only the largest.", rich_help_panel=OUTPUT)]


@asking(work, files, output)
def analyze(
    workload: Workload,
    deployment: Deployment,
    ask: Ask,
    chart: Chart = None,
    all_: All = False,
    require_fit: RequireFit = False,
) -> None:
    """One deployment in depth: phases, operators, memory, energy, cost."""
    from roofline.studies.analyze import analyze as study
    from roofline.studies.analyze import require_fit as demand

    result = emit(ask, lambda: study(workload, deployment, ask.options, ask.catalog), chart=chart, all_rows=all_)
    if require_fit:
        demand([result])


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline analyze llama-3.1-70b-chat 8xh100-sxm",
            "roofline analyze llama-3.1-405b-pretraining 16384xh100-sxm",
            "roofline analyze qwen3-32b mi300x --phase decode --batch 64 --context 8192 --format json",
            "roofline analyze llama-3.1-70b-chat 8xh100-sxm --draft llama-3.2-1b --draft-tokens 4 --acceptance 0.7",
        ),
    )(analyze)
