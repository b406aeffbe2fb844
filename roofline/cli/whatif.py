"""`roofline whatif`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.completion import complete_deployment
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, Chart, Deployment, Workload

ASKED = "What if"
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a number: memory.bandwidth=4TB/s, +20%, -10% or x2; links.scale-up.latency, stack.step, batch, "
        "electricity … Repeatable. Shows what changes.",
        rich_help_panel=ASKED,
    ),
]
Replan = Annotated[
    bool,
    typer.Option("--replan", help="With --set: also the best plan for the numbers set.", rich_help_panel=ASKED),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC=VALUE",
        help="What --solve has to be for this: tpot=20ms, ttft=0.5s, cost=2, output_tokens_per_s=5000.",
        rich_help_panel=ASKED,
    ),
]
Solve = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="The number to be found, with --target or --against, e.g. memory.bandwidth.",
        rich_help_panel=ASKED,
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="DEPLOYMENT",
        help="Where --solve (batch, context, price.hourly …) makes this deployment equal in --metric. Numbers of the "
        "work are turned on both, others on the first alone.",
        autocompletion=complete_deployment,
        rich_help_panel=ASKED,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What is ranked by or compared in: ttft, tpot, cost, energy, output_tokens_per_s, step …; by default "
        "tpot (ttft of prompts alone, step of training), with --against cost.",
        rich_help_panel=ASKED,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every number, not only the largest.", rich_help_panel=OUTPUT)]


@asking(work, files, output)
def whatif(
    workload: Workload,
    deployment: Deployment,
    ask: Ask,
    set_: Set = None,
    replan: Replan = False,
    target: Target = None,
    solve: Solve = None,
    against: Against = None,
    metric: Metric = None,
    chart: Chart = None,
    all_: All = False,
) -> None:
    """What matters, and what a chip would need.

    Alone: how much every metric follows every number of chip, software, costs and work (elasticities), the largest
    first. --set turns numbers, --target with --solve finds the value that a target needs, --against with --solve where
    two deployments are equal. The plan stays as it is.
    """
    from roofline.errors import RooflineError
    from roofline.studies.whatif import whatif as study

    if chart and set_ and not (target or against):
        raise RooflineError(
            "--chart draws what numbers are worth, or with --against a break-even; of --set alone nothing"
        )

    emit(
        ask,
        lambda: study(
            workload, deployment, ask.options, ask.catalog, settings=set_ or (), target=target, solve=solve,
            against=against, metric=metric, replan=replan,
        ),
        chart=chart,
        all_rows=all_,
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline whatif llama-3.1-70b-chat 8xh100-sxm",
            "roofline whatif llama-3.1-70b-chat 8xh100-sxm --metric cost --all --chart tornado.svg",
            "roofline whatif llama-3.1-70b-chat 8xh100-sxm --set memory.bandwidth=+20% --set stack.step=x0.5",
            "roofline whatif llama-3.1-70b-chat 8xh100-sxm --set memory.capacity=141GB --set batch=256 --replan",
            "roofline whatif llama-3.1-70b-chat 8xh100-sxm --target tpot=15ms --solve memory.bandwidth",
            "roofline whatif llama-3.1-8b-chat h100-sxm --against l40s --solve batch --metric cost --chart even.svg",
            "roofline whatif llama-3.1-70b-chat 8xh100-sxm --against 8xmi300x --solve price.hourly",
            "roofline whatif llama-3.1-70b-pretraining 64xh100-sxm --set links.scale-out.bandwidth=x2",
        ),
    )(whatif)
