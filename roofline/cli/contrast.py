"""`roofline contrast`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, Chart, ChartKind, Deployments, RequireFit, Workload

Brief = Annotated[
    bool, typer.Option("--brief", help="Only what each deployment suits and who wins.", rich_help_panel=OUTPUT)
]


@asking(work, files, output)
def contrast(
    model: Workload,
    deployments: Deployments,
    ask: Ask,
    chart: Chart = None,
    chart_kind: ChartKind = None,
    brief: Brief = False,
    require_fit: RequireFit = False,
) -> None:
    """Training and inference side by side: why the right chip differs.

    Each phase of a model by itself: how much is done at once, what the time goes to, FLOP per byte against the ridge
    point, memory, bytes and energy per token, what waiting costs, and what twice of each resource would buy. MODEL may
    be a workload; then it is one side, and the other is its model's usual one. A run that does not fit is shown on
    the next doubling of chips that holds it. --weights and --kv-cache are about serving alone, and a --stack about
    what it was made for.
    """
    from roofline.studies.contrast import contrast as study
    from roofline.studies.contrast import require_fit as demand

    result = emit(
        ask,
        lambda: study(model, deployments, ask.options, ask.catalog),
        chart=chart,
        chart_kind=chart_kind,
        brief=brief,
    )
    if require_fit:
        demand(result["rows"])


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline contrast llama-3.1-70b 64xh100-sxm 64xtpu-v5p --batch 64 --input 2048 --output 512",
            "roofline contrast llama-3.1-70b-chat 8xh100-sxm 8xmi300x 576xgroq-lpu-v1 --chart contrast.png",
            "roofline contrast llama-3.1-8b h100-sxm mi300x --chart gains.svg --chart-kind elasticities",
            "roofline contrast llama-3.1-70b h100-sxm b200-sxm ./examples/my-asic.yaml --batch 64 --brief",
            "roofline contrast llama-3.1-8b 8xh100-sxm --batch 64 --seq 8192 --global-batch 512 --format markdown",
            "roofline contrast deepseek-v3 256xh200 --weights fp8 --activations fp8 --batch 256 --format csv",
        ),
    )(contrast)
