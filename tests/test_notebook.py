"""The example notebook is executed: each cell shows what stands below it.

`ROOFLINE_UPDATE=1 python -m pytest tests/test_notebook.py` writes the outputs again.
"""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "notebook.ipynb"
KINDS = {"text/html": "_repr_html_", "image/svg+xml": "_repr_svg_"}
Cell = dict[str, Any]


def executed(source: str, names: dict[str, Any]) -> Any:
    """What a cell shows: the value of its last expression."""
    *first, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        first, last = [*first, last], ast.Expr(ast.Constant(None))
    exec(compile(ast.Module(first, []), "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


def shown(value: Any, number: int) -> list[Cell]:
    """A value as the outputs of a cell, as Jupyter keeps them."""
    if value is None:
        return []
    data = {kind: getattr(value, method)() for kind, method in KINDS.items() if hasattr(value, method)}
    data["text/plain"] = repr(value)
    return [{"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}]


def told(outputs: list[Cell]) -> list[str]:
    """All that outputs say, without what versions of pandas and Matplotlib make differently."""
    texts = [text for output in outputs for text in output["data"].values()]
    return [" ".join(re.findall(r">([^<>]*[\w$][^<>]*)<", text)) if "<" in text else text for text in texts]


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    """The cells of code with what they show now."""
    names: dict[str, Any] = {}
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    found = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    fresh = [shown(executed(cell["source"], names), number) for number, cell in enumerate(found, start=1)]
    if os.environ.get("ROOFLINE_UPDATE"):
        for number, (cell, outputs) in enumerate(zip(found, fresh, strict=True), start=1):
            cell |= {"execution_count": number, "outputs": outputs}
        NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [{**cell, "fresh": outputs} for cell, outputs in zip(found, fresh, strict=True)]


def test_every_cell_shows_what_stands_below_it(cells: list[Cell]) -> None:
    assert len(cells) >= 5
    for cell in cells:
        kept, fresh = cell["outputs"], cell["fresh"]
        assert [sorted(output["data"]) for output in kept] == [sorted(output["data"]) for output in fresh]
        if "image/svg+xml" not in str(kept):  # versions of Matplotlib place things a little differently
            assert told(kept) == told(fresh), cell["source"]


def test_results_show_themselves_as_reports_and_charts(cells: list[Cell]) -> None:
    kinds = [kind for cell in cells for output in cell["outputs"] for kind in output["data"]]
    assert kinds.count("text/html") >= 3
    assert "image/svg+xml" in kinds
    report = cells[0]["outputs"][0]["data"]["text/html"]
    assert "fits; prefill is bound by compute" in report
    assert report.count("<svg") == 2
    assert "<script" not in report


def test_the_notebook_is_a_notebook(cells: list[Cell]) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    assert all(
        set(cell) - {"fresh"} <= {"cell_type", "id", "metadata", "source", "outputs", "execution_count"}
        for cell in cells
    )
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
