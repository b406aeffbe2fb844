"""`roofline new`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from roofline.cli.help import Command, examples


class Kind(str, Enum):
    """What can be begun from a template."""

    chip = "chip"
    system = "system"
    model = "model"
    workload = "workload"
    economics = "economics"
    scenario = "scenario"
    need = "need"
    check = "check"


What = Annotated[
    Kind,
    typer.Argument(
        help="chip, system, model, workload, scenario, economics (what costs rest on), need (what to decide) or check "
        "(what to test)."
    ),
]
Name = Annotated[
    str | None,
    typer.Argument(help="Id of the new entry; the file is called NAME.yaml, of a check roofline.toml.", metavar="NAME"),
]
Folder = Annotated[Path | None, typer.Option("--dir", help="Folder to write it to; by default this one.")]
Project = Annotated[
    bool, typer.Option("--project", help="Write it where all of the project finds it by name: into .roofline/.")
]
User = Annotated[bool, typer.Option("--user", help="Write it where you find it by name in every project.")]
Trains = Annotated[bool, typer.Option("--training", help="With workload: a training run, not a request to serve.")]


def new(
    kind: What,
    name: Name = None,
    folder: Folder = None,
    project: Project = False,
    user: User = False,
    training: Trains = False,
) -> None:
    """Write a commented template to edit and to check with lint."""
    from roofline.errors import RooflineError
    from roofline.studies.new import hidden, place
    from roofline.studies.new import new as study

    if training and kind is not Kind.workload:
        raise RooflineError("--training goes with 'new workload' alone")
    if sum((folder is not None, project, user)) > 1:
        raise RooflineError("--dir, --project and --user are three places; choose one")
    template = ("training" if training else "serving") if kind is Kind.workload else kind.value
    where = place(template, project=project) if project or user else folder or Path()
    hides = (project or user) and hidden(template, name)
    path = study(template, name, where)
    typer.echo(path)
    if hides:
        typer.echo(
            f"note: it hides another {name}; to change only some of that, begin with 'extends: {name}'", err=True
        )
    then = "check --update" if kind is Kind.check else f"lint {path}"
    typer.echo(f"edit it, then: roofline {then}", err=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline new chip my-asic",
            "roofline new chip my-asic --project",
            "roofline new system my-rack",
            "roofline new workload our-chat",
            "roofline new workload our-run --training",
            "roofline new scenario our-agent",
            "roofline new economics our-prices",
            "roofline new need our-need",
            "roofline new check",
        ),
    )(new)
