"""`roofline compare`."""

from __future__ import annotations

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import (
    Chart,
    ChartKind,
    Costs,
    Deployments,
    ExplainPlan,
    Frontier,
    FullAttention,
    RequireFit,
    Workload,
)


@asking(work, files, output)
def compare(
    workload: Workload,
    deployments: Deployments,
    ask: Ask,
    chart: Chart = None,
    chart_kind: ChartKind = None,
    explain_plan: ExplainPlan = False,
    frontier: Frontier = False,
    full_attention: FullAttention = False,
    costs: Costs = False,
    require_fit: RequireFit = False,
) -> None:
    """The same work on many chips, one row each."""
    from roofline.studies.analyze import compare as study
    from roofline.studies.analyze import require_fit as demand

    result = emit(
        ask,
        lambda: study(workload, deployments, ask.options, ask.catalog, explain_plan=explain_plan, frontier=frontier),
        chart=chart,
        chart_kind=chart_kind,
        full_attention=full_attention,
        costs=costs,
    )
    if require_fit:
        demand(result["rows"])


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline compare llama-3.1-70b-chat 8xh100-sxm 8xmi300x 8xtpu-v6e 576xgroq-lpu-v1",
            "roofline compare llama-3.1-70b-chat 16xh100-sxm 16xh100-sxm:pools=4:12 16xh100-sxm:pools=auto",
            "roofline compare llama-3.1-70b 8xh100-sxm 8xmi300x --scenario agent",
            "roofline compare llama-3.1-70b-chat 8xh100-sxm 8xgaudi3 --costs --assumptions ./examples/our-prices.yaml",
            "roofline compare llama-3.1-8b h100-sxm l40s --phase decode --batch 16 --format csv",
            "roofline compare llama-3.1-70b-chat h100-sxm b200-sxm ./examples/my-asic.yaml --chart roofline.png",
            "roofline compare llama-3.1-70b-chat 8xh100-sxm 8xmi300x --chart time.svg --chart-kind time",
            "roofline compare llama-3.1-70b-chat 8xh100-sxm 8xtpu-v6e --frontier --chart frontier.svg",
        ),
    )(compare)
