"""`roofline explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output, work
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import Deployment, Workload

Operator = Annotated[
    str, typer.Argument(help="Operator as analyze names it, e.g. ffn/up or decode/attention/core; or decode/power.")
]


@asking(work, files, output, without=("tokens", "assumptions"))  # an operator knows neither
def explain(workload: Workload, deployment: Deployment, operator: Operator, ask: Ask) -> None:
    """The arithmetic of one operator, or of the power: formula, numbers, sources."""
    from roofline.studies.explain import explain as study

    emit(ask, lambda: study(workload, deployment, operator, ask.options, ask.catalog))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline explain llama-3.1-70b-chat 8xh100-sxm decode/ffn/up",
            "roofline explain deepseek-v3-chat 16xh200-sxm moe/up",
            "roofline explain deepseek-v3-chat 16xh200-sxm decode/power",
        ),
    )(explain)
