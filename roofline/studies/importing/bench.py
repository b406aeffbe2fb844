"""Results of benchmarks as rows of the measured table, which `validate` and `calibrate` read."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from roofline import __version__
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.errors import RooflineError, SpecError, did_you_mean
from roofline.studies.importing import benchmarks
from roofline.studies.importing.benchmarks import content
from roofline.studies.importing.benchmarks.content import Figure, Run
from roofline.studies.importing.model import IMPORT_SCHEMA
from roofline.studies.importing.writing import put
from roofline.studies.measured import serving, table
from roofline.studies.measured.names import known
from roofline.studies.measured.table import case_of, format_of

COLUMNS = (
    "id", "chip", "num_chips", "model", "weight_dtype", "act_dtype", "kv_dtype", "tp", "pp", "ep", "dp", "phase",
    "batch", "input_len", "output_len", "cached", "chunk", "mode", "speculative", "framework", "version", "date",
    "metric", "value", "source", "note",
)  # fmt: skip
NUMBERS = ("num_chips", "tp", "pp", "ep", "dp", "batch", "input_len", "output_len", "cached")
# What a file may not say, and what the command line calls it.
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "model": "--model",
        "chip": "--chip",
        "num_chips": "--num-chips",
        "tp": "--tp",
        "pp": "--pp",
        "dp": "--dp",
        "ep": "--ep",
        "weight_dtype": "--weights",
        "act_dtype": "--activations",
        "kv_dtype": "--kv-cache",
        "batch": "--batch",
        "input_len": "--input",
        "output_len": "--output",
        "cached": "--cached",
        "mode": "--mode",
        "framework": "--framework",
        "version": "--release",
        "date": "--date",
    }
)
MODES = (*serving.STATIC_MODES, "server_concurrency", serving.OFFLINE_MODE)
# Words at the end of a name: how a model was trained on, when, and in what format its weights are.
SAME_SHAPE = re.compile(
    r"instruct|chat|it|base|hf|thinking|reasoning|v\d[\d.]*|\d{4,6}|gguf|awq|gptq|kv|dynamic|quantized|block|blockwise|"
    r"(bf|fp|int|nvfp|mxfp)\d+|\d?bit|\d+bit|w\d+a\d+"
)
Row = dict[str, str]


def import_bench(
    paths: Sequence[Path],
    catalog: Catalog,
    given: Mapping[str, Any],
    *,
    form: str | None = None,
    out: str | None = None,
    save: bool = True,
) -> dict[str, Any]:
    """Rows of the measured table made of result files, as the contract has it, written to `out` or `NAME.csv`.

    `given` are cells by column that the files do not state, or state wrongly; `form` is the format instead of the one
    that is told by a file's content.
    """
    stated, catalog = _stated(given), Snapshot.of(catalog)
    files, rows, notes = [], [], []
    for path in paths:
        found = content.read(path)
        read = benchmarks.format_of(found, form)
        runs = list(read.read(found))
        own = list(_rows(path, runs, stated, catalog))
        if not own:
            raise RooflineError(f"{path}: holds no figure that can be read as {read.name} ({read.says})")
        if faults := dict.fromkeys(fault for row in own for fault in table.faults(path, 0, row)):
            raise SpecError(list(faults))
        files.append({"path": str(path), "format": read.name, "runs": len(runs), "rows": len(own)})
        rows += own
        notes += [f"{path.name}: {note}" for note in _told(runs)]
    target = Path(out) if out else Path(f"{_slug(paths[0])}.csv")
    written = put(target, text(rows), over=out is not None) if save else None
    return {
        "schema": IMPORT_SCHEMA,
        "version": __version__,
        "kind": "bench",
        "files": files,
        "written": str(written) if written else None,
        "rows": [_typed(row) for row in rows],
        "missing": _missing(rows, catalog),
        "skipped": _skipped(rows, catalog),
        "notes": notes,
        "text": text(rows),
    }


def text(rows: Sequence[Row]) -> str:
    """Rows as a CSV file."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _stated(given: Mapping[str, Any]) -> Row:
    """Cells that a user gives; `RooflineError` for a column that there is not, or a value that it can't have."""
    cells: Row = {}
    for column, value in given.items():
        if column not in OPTIONS:
            near = did_you_mean(column, OPTIONS, most=1)
            raise RooflineError(f"unknown option {column!r}" + (f"; did you mean {near}?" if near else ""))
        if value is None:
            continue
        if column in NUMBERS:
            _check_number(column, value)
        if column == "mode" and value not in MODES:
            near = did_you_mean(str(value), MODES, most=1)
            raise RooflineError(
                f"--mode {value}: " + (f"did you mean {near}?" if near else f"one of {', '.join(MODES)}")
            )
        if column.endswith("_dtype") and format_of(str(value)) is None:
            raise RooflineError(f"{OPTIONS[column]} {value}: no such format, e.g. bf16, fp8, q4_k_m")
        cells[column] = _line(value)
    return cells


def _check_number(column: str, value: Any) -> None:
    least = 0 if column in ("input_len", "output_len", "cached") else 1
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < 1e15:
        raise RooflineError(f"{OPTIONS[column]} {value}: must be a number of at least {least}")


def _rows(path: Path, runs: Sequence[Run], stated: Row, catalog: Catalog) -> Iterator[Row]:
    """One row for each figure; what a user states stands before what a file does."""
    number = 0
    for run in runs:
        for figure in run.figures:
            number += 1
            yield _row(f"{_slug(path)}-{number:04d}", path, run, figure, stated, catalog)


def _row(name: str, path: Path, run: Run, figure: Figure, stated: Row, catalog: Catalog) -> Row:
    cells = {column: _line(value) for column, value in {**run.cells, **figure.cells, **stated}.items() if value}
    cells["chip"] = known(catalog, "chip", cells.get("chip", "")) or cells.get("chip", "")
    cells["model"] = _named(cells.get("model", ""), catalog)
    told = {"id": name, "metric": figure.metric, "value": f"{figure.value:.10g}", "source": path.name, "note": "[T1]"}
    return {column: ({**cells, **told}).get(column, "") for column in COLUMNS}


def _named(name: str, catalog: Catalog) -> str:
    """A model of the catalogue by the name of its repository, without the words at its end that change no shape; else
    the name as it stands: another model that only begins so is none of it."""
    if not name:
        return ""
    own = known(catalog, "model", name)
    if own:
        return name if "/" in name or name.endswith((".yaml", ".yml")) else own
    words = re.split(r"[-_]", re.sub(r"^meta-", "", name.rpartition("/")[2].lower()))
    while words:
        if found := known(catalog, "model", "-".join(words)):
            return found
        if not SAME_SHAPE.fullmatch(words.pop()):
            break
    return name


def _missing(rows: Sequence[Row], catalog: Catalog) -> list[dict[str, Any]]:
    """What the files do not say and no option gave: a column, the option for it, and the rows that lack it."""
    lacking: Counter[str] = Counter(column for row in rows for column in _lacking(row, catalog))
    return [{"column": column, "option": OPTIONS[column], "rows": count} for column, count in lacking.items()]


def _lacking(row: Row, catalog: Catalog) -> Iterator[str]:
    for column, kind in (("chip", "chip"), ("model", "model")):
        if not row[column] or known(catalog, kind, row[column]) is None:
            yield column
    needed = ["weight_dtype", "mode", "input_len", "output_len"]
    yield from (column for column in needed if not row[column])
    if not row["batch"] and row["mode"] != serving.OFFLINE_MODE:
        yield "batch"


def _skipped(rows: Sequence[Row], catalog: Catalog) -> list[dict[str, str]]:
    """Rows that `validate` will not predict, each with its reason."""
    _, skipped = serving.group([case_of(row) for row in rows], catalog)
    return skipped


def _told(runs: Sequence[Run]) -> list[str]:
    """Remarks of all runs, each once."""
    return list(dict.fromkeys(note for run in runs for note in run.notes))


def _typed(row: Row) -> dict[str, Any]:
    """A row with numbers as numbers, and null for empty cells."""
    numbers = (*NUMBERS, "chunk", "value")
    return {column: (float(cell) if column in numbers else cell) if cell else None for column, cell in row.items()}


def _slug(path: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:48] or "bench"


def _line(value: Any) -> str:
    """A cell on one line, without what a spreadsheet would take for a formula."""
    plain = f"{value:.10g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
    return re.sub(r"[\x00-\x1f\x7f]+", " ", plain).strip().lstrip("=+@")[:200]
