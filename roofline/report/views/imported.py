"""The view of an import: a model with its counts and its checkpoint, or the rows that a benchmark's results make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Part, Text
from roofline.report.human import count, percent, quantity, ratio

Result = Mapping[str, Any]
ROWS = 12


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """What was read and what was made of it; `all_rows` lists ever so many rows of a benchmark."""
    return tuple(_model(result) if result["kind"] == "model" else _bench(result, all_rows))


def _model(result: Result) -> Iterator[Part]:
    (about,) = result["rows"]
    yield Heading(f"{about['id']}: a model of the family {about['architecture']}")
    context = f"{count(about['max_context'])} tokens" if about["max_context"] else "not stated"
    part = "" if about["quantised"] == "all" else f" ({about['quantised']} only)"
    rows = [
        ("layers, width, vocabulary", " x ".join(count(about[key]) for key in ("layers", "hidden", "vocab"))),
        ("longest context", context),
        ("format of the weights", f"{about['dtype']}{part}"),
        ("parameters", count(about["parameters"])),
        ("of these used by a token", count(about["active_parameters"])),
        ("cache of a token at 16 bits", quantity(about["kv_cache_bytes_per_token"], "B")),
        *_checkpoint(result["checkpoint"]),
    ]
    yield Grid.of((Column("shape"), Column("", wraps=True)), rows)
    if result["same_shape"]:
        yield Text(f"the same shape as {', '.join(result['same_shape'])} of the catalogue", "quiet")
    yield from (Text(note, "quiet") for note in result["notes"])
    yield from _written(result, f"roofline analyze {result['written']} 8xh100-sxm --phase decode")


def _checkpoint(held: Result | None) -> Iterator[tuple[str, str]]:
    if held is None:
        yield ("in the checkpoint", "none beside the configuration")
    elif held["parameters"] is None:
        yield ("in the checkpoint", f"not counted: {held['why']}")
    else:
        how = "" if held["exact"] else ", by bytes"
        more = f"; {held['why']}" if held["why"] else ""
        yield ("in the checkpoint", f"{count(held['parameters'])} ({held['difference']:+.2%}{how}){more}")
        if held["parameters_beside"]:
            yield ("beside the decoder", count(held["parameters_beside"]))


def _bench(result: Result, all_rows: bool) -> Iterator[Part]:
    rows = result["rows"]
    yield Heading(f"{count(len(rows))} measured {'figure' if len(rows) == 1 else 'figures'}")
    columns = (Column("file"), Column("format"), Column("runs", right=True), Column("figures", right=True))
    files = [(file["path"], file["format"], count(file["runs"]), count(file["rows"])) for file in result["files"]]
    yield Grid.of(columns, files)
    yield from _figures(rows if all_rows else rows[:ROWS])
    if not all_rows and len(rows) > ROWS:
        yield Text(f"and {count(len(rows) - ROWS)} more", "quiet")
    yield from (Text(note, "quiet") for note in result["notes"])
    for lack in result["missing"]:
        yield Text(f"{lack['column']} is not known in {_rows(lack['rows'])}: give {lack['option']}", "bad")
    if result["skipped"] and not result["missing"]:
        share = percent(len(result["skipped"]) / len(rows))
        reason = result["skipped"][0]["reason"]
        yield Text(f"{_rows(len(result['skipped']))} ({share}) can't be predicted: {reason}", "bad")
    yield from _written(result, f"roofline validate --measured {result['written']}")


def _rows(number: int) -> str:
    return f"{count(number)} {'row' if number == 1 else 'rows'}"


def _figures(rows: Sequence[Result]) -> Iterator[Part]:
    heads = ("id", "chips", "model", "weights", "mode", "batch", "input", "output", "metric", "value")
    right = ("batch", "input", "output", "value")
    body = [
        (
            row["id"],
            f"{count(row['num_chips'])}x{row['chip'] or '?'}" if row["num_chips"] else row["chip"] or "?",
            row["model"] or "?",
            row["weight_dtype"] or "?",
            row["mode"] or "?",
            *(ratio(row[key]) if row[key] is not None else "?" for key in ("batch", "input_len", "output_len")),
            row["metric"],
            ratio(row["value"]),
        )
        for row in rows
    ]
    yield Grid.of([Column(head, right=head in right) for head in heads], body)


def _written(result: Result, command: str) -> Iterator[Part]:
    if result["written"]:
        yield Text(f"wrote {result['written']}; next: {command}")
