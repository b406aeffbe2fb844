"""Documents as GitHub markdown."""

from __future__ import annotations

from roofline.report.document import Document, Drawing, Grid, Heading, Text, is_empty


def render(document: Document) -> str:
    """A document as markdown: headings, paragraphs, pipe tables, drawings in fences."""
    parts = []
    for part in document:
        if is_empty(part):
            continue
        if isinstance(part, Heading):
            parts.append(f"### {escape(part.text)}")
        elif isinstance(part, Text):
            parts.append(escape(part.text))
        elif isinstance(part, Drawing):
            parts.append("```text\n" + "\n".join(part.lines) + "\n```")
        else:
            parts.append(_table(part))
    return "\n\n".join(parts) + "\n"


def _table(grid: Grid) -> str:
    head = [escape(column.head) for column in grid.columns]
    rule = ["---:" if column.right else "---" for column in grid.columns]
    body = [[escape(cell.text) for cell in row] for row in grid.rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *body))


def escape(text: str) -> str:
    """Text that markdown shows as it is."""
    for char in "\\`*_~&<>|[]":
        text = text.replace(char, f"\\{char}")
    return " ".join(text.splitlines())
