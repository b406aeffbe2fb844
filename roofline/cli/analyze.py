"""`roofline analyze`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import (
    OUTPUT,
    WORK,
    Chart,
    ChartKind,
    Costs,
    Deployment,
    ExplainPlan,
    Frontier,
    FullAttention,
    RequireFit,
    Workload,
)

All = Annotated[bool, typer.Option("--all", help="Every operator, not only the largest.", rich_help_panel=OUTPUT)]

Brief = Annotated[
    bool,
    typer.Option(
        "--brief", help="Only what is reached, step by step; with --costs what it costs, too.", rich_help_panel=OUTPUT
    ),
]

Scaling = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Training: the best plan for more and more chips, in powers of two from the fewest that hold the run. "
        "strong keeps the global batch, weak lets it grow with the chips. --chart draws it.",
        rich_help_panel=OUTPUT,
    ),
]


Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=RANGE",
        help="Serving: a row for each value of a step's length (by name, or decode, prefill.2) or of batch, context, "
        "acceptance …: 1,2,4 or 1:512:x2 or 0:32000:+4000 or 1000:9000:5. Repeatable.",
        rich_help_panel=WORK,
    ),
]


@asking(work, files, output)
def analyze(
    workload: Workload,
    deployment: Deployment,
    ask: Ask,
    vary: Vary = None,
    chart: Chart = None,
    chart_kind: ChartKind = None,
    all_: All = False,
    brief: Brief = False,
    explain_plan: ExplainPlan = False,
    scaling: Scaling = None,
    frontier: Frontier = False,
    full_attention: FullAttention = False,
    costs: Costs = False,
    require_fit: RequireFit = False,
) -> None:
    """One deployment in depth: phases, operators, memory, energy, cost."""
    from roofline.errors import RooflineError
    from roofline.studies.analyze import analyze as study
    from roofline.studies.analyze import require_fit as demand

    if vary and (chart or explain_plan or scaling or frontier or costs):
        raise RooflineError("--vary goes with none of --chart, --explain-plan, --scaling, --frontier and --costs")

    def compute() -> dict[str, Any]:
        if vary:
            from roofline.studies.vary import vary as over

            return over(workload, deployment, vary, ask.options, ask.catalog)
        return study(
            workload, deployment, ask.options, ask.catalog, explain_plan=explain_plan, scaling=scaling, costs=costs,
            frontier=frontier,
        )  # fmt: skip

    result = emit(
        ask,
        compute,
        chart=chart,
        chart_kind=chart_kind,
        all_rows=all_,
        brief=brief,
        full_attention=full_attention,
        costs=costs,
    )
    if require_fit:
        demand(result["rows"] if vary else [result])


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline analyze llama-3.1-70b-chat 8xh100-sxm",
            "roofline analyze llama-3.1-405b-pretraining 16384xh100-sxm --explain-plan",
            "roofline analyze llama-3.1-70b-pretraining 64xh100-sxm:zero=3,shard=8,recompute=full --full-attention",
            "roofline analyze llama-3.1-70b-pretraining h100-sxm --scaling strong",
            "roofline analyze llama-3.1-70b-chat 8xh100-sxm --frontier --chart frontier.svg",
            "roofline analyze qwen3-32b mi300x --phase decode --batch 64 --context 8192 --format json",
            "roofline analyze llama-3.1-70b 8xh100-sxm --scenario retrieval --brief",
            "roofline analyze llama-3.1-70b 8xh100-sxm --scenario reasoning --vary thinking=1000:16000:x2",
            "roofline analyze llama-3.1-8b-chat h100-sxm --costs --chart costs.svg",
            "roofline analyze llama-3.1-70b-chat 8xh100-sxm --draft llama-3.2-1b --draft-tokens 4 --acceptance 0.7",
        ),
    )(analyze)
