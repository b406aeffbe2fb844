"""`roofline check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from roofline.cli.ask import Ask, asking, files
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, Out

TESTS = "What is tested"

Baseline = Annotated[
    Path | None,
    typer.Argument(help="Predictions as they were; by default the file that roofline.toml names.", metavar="BASELINE"),
]
Update = Annotated[
    bool, typer.Option("--update", help="Write the baseline, and tell what moved.", rich_help_panel=TESTS)
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What to test; by default ./roofline.toml.", rich_help_panel=TESTS),
]
All = Annotated[
    bool,
    typer.Option("--all", help="Every figure, promise and gate, not only what failed.", rich_help_panel=OUTPUT),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help="table, markdown, csv, json, jsonl, junit (.xml), sarif, or github: annotations, which jobs of GitHub "
        "Actions get besides.",
        rich_help_panel=OUTPUT,
        metavar="FORMAT",
    ),
]


def reports(format: Format = None, to: Out = None) -> None:
    """Options that say where results go."""


@asking(files, reports)
def check(
    ask: Ask, baseline: Baseline = None, update: Update = False, config: Config = None, all_: All = False
) -> None:  # fmt: skip
    """Whether predictions moved, and why; whether they keep what was promised.

    Exits with 1 if one moved, is new or has vanished, a promise is broken, or a gate on accuracy is missed; with
    --update only for promises and gates."""
    from roofline.studies.check import check as study
    from roofline.studies.check import demand

    result = emit(
        ask,
        lambda: study(ask.catalog, config=config, against=baseline, update=update, every=all_),
        all_rows=all_,
        root=os.environ.get("GITHUB_WORKSPACE"),
        timestamp=_now(),
    )
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(result, annotated=ask.format == "github")
    demand(result)


def _now() -> str:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def _tell_github(result: Mapping[str, Any], *, annotated: bool) -> None:
    """Annotate the files, and add a summary to the page of the job. GitHub reads annotations from both streams: what
    is on stdout stays as it was asked for."""
    from roofline.files import refused
    from roofline.report import formats

    if not annotated:
        print(formats.render(result, "github", root=os.environ.get("GITHUB_WORKSPACE")), end="", file=sys.stderr)
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with refused(Path(place)), Path(place).open("a", encoding="utf-8") as file:
            file.write(formats.render(result, "markdown"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline new check",
            "roofline check --update",
            "roofline check",
            "roofline check --all --format csv",
            "roofline check -o report.xml -o report.md",
        ),
    )(check)
