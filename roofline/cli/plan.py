"""`roofline plan`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.completion import complete_deployment
from roofline.cli.emit import emit as write
from roofline.cli.help import Command, examples
from roofline.cli.options import MAPPING, OUTPUT, Chart, Workload

LIMITS = "Limits"

Chips = Annotated[
    list[str],
    typer.Argument(
        help="Each CHIP, COUNTxCHIP or MIN-MAXxCHIP, with settings, e.g. h100-sxm or 8-64xmi300x:stack=vllm.",
        autocompletion=complete_deployment,
    ),
]

Ttft = Annotated[
    str | None,
    typer.Option(
        "--ttft",
        metavar="TIME",
        help="Longest time to the first token, e.g. 500ms; by default what the workload promises, or none.",
        rich_help_panel=LIMITS,
    ),
]
Tpot = Annotated[
    str | None,
    typer.Option(
        "--tpot", metavar="TIME", help="Longest time per output token, e.g. 30ms; as --ttft.", rich_help_panel=LIMITS
    ),
]
Throughput = Annotated[
    str | None,
    typer.Option(
        "--throughput", metavar="RATE", help="Least output (of training all) tokens, e.g. 20000tok/s.",
        rich_help_panel=LIMITS,
    ),
]  # fmt: skip
Power = Annotated[
    str | None,
    typer.Option(
        "--power", metavar="POWER", help="Most power of all chips with their hosts, e.g. 40kW.", rich_help_panel=LIMITS
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="MONEY", help="Most money: of serving e.g. 20USD/h, of a training run e.g. 2MUSD.",
        rich_help_panel=LIMITS,
    ),
]  # fmt: skip
ChipsAtMost = Annotated[
    str | None,
    typer.Option("--chips-at-most", metavar="N", help="Most chips, e.g. 64.", rich_help_panel=LIMITS),
]
Within = Annotated[
    str | None,
    typer.Option("--within", metavar="TIME", help="Training: when it must be done, e.g. 30d.", rich_help_panel=LIMITS),
]
Disaggregate = Annotated[
    bool,
    typer.Option(
        "--disaggregate",
        help="Also every split of the chips into a prefill and a decode pool, each with every plan; takes seconds.",
        rich_help_panel=MAPPING,
    ),
]
Rank = Annotated[
    str,
    typer.Option(
        "--rank",
        metavar="BY",
        help="What is best: cost (of an hour with --throughput, else of a request), energy, chips or latency.",
        rich_help_panel=OUTPUT,
    ),
]
Top = Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows to show.", rich_help_panel=OUTPUT)]
PerChip = Annotated[
    int, typer.Option("--per-chip", metavar="N", min=1, help="Rows of each chip.", rich_help_panel=OUTPUT)
]
Emit = Annotated[
    str | None,
    typer.Option(
        "--emit",
        metavar="STACK",
        help="Also the flags that start the best: vllm, sglang, trtllm, megatron or maxtext.",
        rich_help_panel=OUTPUT,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All points of the frontier.", rich_help_panel=OUTPUT)]


@asking(work, files, output)
def plan(
    workload: Workload,
    chips: Chips,
    ask: Ask,
    ttft: Ttft = None,
    tpot: Tpot = None,
    throughput: Throughput = None,
    power: Power = None,
    budget: Budget = None,
    chips_at_most: ChipsAtMost = None,
    within: Within = None,
    disaggregate: Disaggregate = False,
    rank: Rank = "cost",
    top: Top = 10,
    per_chip: PerChip = 3,
    emit: Emit = None,
    chart: Chart = None,
    all_rows: All = False,
) -> None:
    """The best deployments under limits: how many of which chips, which plan, how many requests at once.

    Every number of chips with every plan and every number of requests is priced; what keeps all limits is ranked.
    Several formats are tried with --weights fp8,bf16. Exits with 1, and tells the nearest miss, if nothing is feasible.
    """
    from roofline.studies.plan import plan as study
    from roofline.studies.plan.study import demand

    limits = {"ttft": ttft, "tpot": tpot, "throughput": throughput, "power": power, "budget": budget,
              "chips_at_most": chips_at_most, "within": within}  # fmt: skip
    weights = [name.strip() for name in (ask.values.get("weights") or "").split(",") if name.strip()]
    rest = replace(ask, values={**ask.values, "weights": None})
    result = write(
        ask,
        lambda: study(
            workload, chips, rest.options, rest.catalog, given=limits, rank=rank, weights=weights, top=top,
            per_chip=per_chip, emit=emit, disaggregate=disaggregate,
        ),
        chart=chart,
        all_rows=all_rows,
    )  # fmt: skip
    demand(result)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline plan llama-3.1-70b-chat h100-sxm mi300x --ttft 500ms --tpot 30ms",
            "roofline plan llama-3.1-70b-chat 8-64xh100-sxm --throughput 20000tok/s --budget 250USD/h --rank chips",
            "roofline plan llama-3.1-70b-retrieval 8xh100-sxm 8xmi300x --disaggregate --emit sglang",
            "roofline plan deepseek-v3-chat h200-sxm b200-sxm --tpot 50ms --power 40kW --rank energy",
            "roofline plan llama-3.1-70b h100-sxm --scenario agent --weights fp8,bf16 --tpot 25ms --emit vllm",
            "roofline plan llama-3.1-70b-pretraining h100-sxm b200-sxm --within 60d --budget 30MUSD --emit megatron",
            "roofline plan llama-3.1-70b-chat h100-sxm mi300x tpu-v6e --tpot 30ms --chart plan.svg -o plan.csv",
        ),
    )(plan)
