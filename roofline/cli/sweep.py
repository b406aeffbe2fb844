"""`roofline sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.completion import complete_workload
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, WORK, Deployments

if TYPE_CHECKING:
    from roofline.studies.sweep.grid import Request

ROWS = "Rows"

Workloads = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD",
        help="Workload or model, or several: a,b,c.",
        autocompletion=complete_workload,
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--workload",
        metavar="NAME",
        help="One more workload, e.g. llama-3.1-8b-chat. Repeatable.",
        autocompletion=complete_workload,
        rich_help_panel=WORK,
    ),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=RANGE",
        help="An axis: a number of the work (batch, input, output, context, acceptance, a step's name, seq_len …), of "
        "the plan (tp, pp, dp, ep …), the chip (memory.bandwidth, memory.capacity, compute, compute.peaks.bf16, "
        "links.scale-up.bandwidth, power.tdp, price.hourly …), the software (stack.layer …) or of costs "
        "(electricity …), as 1,2,4 or 1:512:x2 or 0:32000:+4000 or 2..8TB/s:13; or names: weights=bf16,fp8, "
        "stack=vllm,ideal. Repeatable; the last one changes first.",
        rich_help_panel=ROWS,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITION",
        help='Keep rows for which this holds, e.g. "fits and tpot_s < 30 ms": columns, numbers with units, + - * /, '
        "comparisons, and, or, not, parentheses.",
        rich_help_panel=ROWS,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Columns to tell: names, main (the default), all, or e.g. main,decode_bound.",
        rich_help_panel=ROWS,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Order of the rows; -COLUMN from the largest, e.g. -mfu.", rich_help_panel=ROWS
    ),
]
Top = Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N rows.", rich_help_panel=ROWS)]
Pareto = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Of rows that fit, those that no other beats in all of these columns, e.g. "
        "tokens_per_s_per_chip,tokens_per_s_per_user.",
        rich_help_panel=ROWS,
    ),
]
PossibleOnly = Annotated[
    bool,
    typer.Option("--possible", help="Leave out rows whose plan is none, which are only counted.", rich_help_panel=ROWS),
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Processes; by default one for each core.", rich_help_panel=OUTPUT),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who prices the rows: local, the processes of this machine (the default), or dask, the workers of a "
        "cluster; the result is the same.",
        rich_help_panel=OUTPUT,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Where the scheduler of a Dask cluster is, e.g. tcp://10.0.0.1:8786; means --engine dask.",
        rich_help_panel=OUTPUT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only say how many points there are and fit, how long, how much disk.", rich_help_panel=OUTPUT
    ),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart", help="Discard what an unfinished sweep of the same file has done.", rich_help_panel=OUTPUT
    ),
]
All = Annotated[
    bool, typer.Option("--all", help="Every row in the table, not the first alone.", rich_help_panel=OUTPUT)
]


@asking(work, files, output)
def sweep(
    workload: Workloads,
    deployments: Deployments,
    ask: Ask,
    vary: Vary = None,
    more: More = None,
    where: Where = None,
    columns: Columns = None,
    sort: Sort = None,
    top: Top = None,
    pareto: Pareto = None,
    possible: PossibleOnly = False,
    jobs: Jobs = None,
    engine: Engine = None,
    scheduler: Scheduler = None,
    dry_run: DryRun = False,
    restart: Restart = False,
    all_: All = False,
) -> None:
    """A grid of numbers, one row each: to a table, CSV, JSON lines or Parquet."""
    from roofline.studies.sweep.grid import Request
    from roofline.studies.sweep.run import sweep as study

    catalog = ask.catalog
    request = Request(
        workloads=tuple(part.strip() for part in (*workload.split(","), *(more or ())) if part.strip()),
        deployments=tuple(deployments),
        vary=tuple(vary or ()),
        options=ask.options,
        hardware_dirs=catalog.hardware_dirs,
        workload_dirs=catalog.workload_dirs,
        columns=columns,
        where=where,
        keep_invalid=not possible,
    )
    out = None if dry_run and not ask.to else _streams_to(ask)
    asked: dict[str, Any] = {
        "sort": sort, "top": top, "pareto": pareto, "jobs": jobs, "engine": engine, "scheduler": scheduler,
        "dry_run": dry_run,
    }  # fmt: skip
    if out is None or dry_run:
        emit(
            ask if not dry_run else _to_stdout(ask),
            lambda: study(request, out=out, **asked, watch=_watch()),
            all_rows=all_,
        )
        return
    _stream(request, out, {**asked, "restart": restart})


def _to_stdout(ask: Ask) -> Ask:
    """The same without files: an estimate is for reading."""
    return Ask({**ask.values, "to": None})


def _streams_to(ask: Ask) -> str | None:
    """The file that rows stream to: the only one that is asked for, if its format holds rows."""
    from roofline.studies.sweep.sinks import format_of

    if len(ask.to) == 1 and ask.to[0] != "-" and ask.format is None and format_of(ask.to[0]):
        return ask.to[0]
    return None


def _stream(request: Request, out: str, asked: dict[str, Any]) -> None:
    """Rows to a file, and what there is to say to stderr."""
    import sys

    from roofline.report.views.sweep import summary
    from roofline.studies.sweep.run import sweep as study

    watch = _watch()
    try:
        result = study(request, out=out, **asked, watch=watch)
    finally:
        if watch is not None:
            watch.end()
    print(summary(result), file=sys.stderr)


def _watch() -> Any:
    """A progress bar on a terminal, nothing in a pipe."""
    import sys

    if not sys.stderr.isatty():
        return None
    from roofline.cli.progress import Bar

    return Bar(sys.stderr)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline sweep llama-3.1-70b-chat 8xh100-sxm --vary batch=1:512:x2 --vary tp=1,2,4,8",
            "roofline sweep llama-3.1-8b-chat h100-sxm mi300x --vary memory.bandwidth=2..8TB/s:13 "
            "--columns main,decode_bound",
            "roofline sweep llama-3.1-70b-chat 8xh100-sxm 8xmi300x --vary batch=1..256:32 --vary weights=bf16,fp8 "
            "--pareto tokens_per_s_per_chip,tokens_per_s_per_user",
            "roofline sweep llama-3.1-70b-pretraining 64xh100-sxm:zero=3,recompute=full --vary tp=1,2,4,8 "
            "--vary pp=1,2,4 --sort -mfu --top 5 --possible",
            "roofline sweep llama-3.1-8b-chat h100-sxm --vary batch=1:64:+1 --vary input=128:8192:x2 -o rows.csv",
            "roofline sweep llama-3.1-8b-chat h100-sxm --vary batch=1:512:+1 --vary input=1:8000:+1 -o rows.parquet "
            "--engine dask --scheduler tcp://10.0.0.1:8786",
            "roofline sweep llama-3.1-8b,qwen3-32b h100-sxm l40s --vary batch=1:64:x2 --format csv",
            "roofline sweep llama-3.1-70b-chat 8xh100-sxm --vary batch=1:512:+1 --vary input=1:8000:+1 --dry-run",
        ),
    )(sweep)
