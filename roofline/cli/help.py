"""Help in plain text: options in sections, examples kept as written, and no time spent on importing a renderer."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose help lists its options section by section."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel that options belong to, in the order of the command's signature."""
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None)
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections[panel or default].append(record)
        for title in sorted(sections, key=_last):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _last(title: str) -> int:
    """Where results go and what every command has come last; the rest stays in order."""
    return ("Output", "Options").index(title) + 1 if title in ("Output", "Options") else 0


def examples(*lines: str) -> str:
    """An epilog of runnable examples, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  $ {line}" for line in lines)
