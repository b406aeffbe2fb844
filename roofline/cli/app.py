"""The application: every command in the order in which help lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline import __version__
from roofline.cli import (
    analyze,
    calibrate,
    check,
    compare,
    contrast,
    decide,
    explain,
    import_,
    lint,
    market,
    new,
    plan,
    show,
    sweep,
    validate,
    whatif,
)

app = typer.Typer(
    name="roofline",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 something was found, 2 bad usage or bad input, 70 a bug.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"roofline {__version__}")
        raise typer.Exit


@app.callback()
def roofline(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Predict how fast a chip runs a large language model, before anyone buys the chip.

    A deployment is written [COUNTx]CHIP[:key=value,...]: 8xh100-sxm, or mi300x (as many as the model needs),
    or 8xh100-sxm:tp=4,pp=2, or ./my-asic.yaml.
    """


for command in (
    analyze, compare, contrast, plan, sweep, whatif, decide, explain, market, validate, check, calibrate, show, lint,
    new, import_,
):  # fmt: skip
    command.register(app)
