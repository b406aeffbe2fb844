"""The view of a calibration: errors of chips, families and stacks before and after, the constants, what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Part, Text
from roofline.report.human import count, percent, quantity, ratio

Result = Mapping[str, Any]
MANY = 12  # subjects beyond which their constants are shown only if asked for
REASONS = 8
SPLITS = {"calibration": "the rows set aside for calibration", "all": "all rows"}


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """The whole report; `all_rows` lists the constants of ever so many subjects, every file and every reason."""
    return tuple(_parts(result, all_rows))


def _parts(result: Result, all_rows: bool) -> Iterator[Part]:
    rows = result["rows"]
    if result.get("machine"):
        yield from _machine(result["machine"])
    yield Heading(f"constants of {count(len(rows))} subjects fitted, {count(len(result['skipped']))} rows skipped")
    for file in result["files"]:
        yield Text(
            f"{file['name']}: {count(file['rows'])} rows ({file['kind']}), fitted to {SPLITS[file['split']]}", "quiet"
        )
    yield _errors(rows)
    if all_rows or len(rows) <= MANY:
        yield _constants(rows)
    else:
        yield Text("--all lists the constants", "quiet")
    yield from _files(result)
    yield from _skipped(result["skipped"], None if all_rows else REASONS)


def _machine(machine: Result) -> Iterator[Part]:
    """What this machine reached, how far off the fit of each kind of kernel is, and what to beware of."""
    yield Heading(f"{machine['name']}: {count(machine['timings'])} timings in {machine['seconds']:.0f} s")
    yield Text(
        f"{machine['software']} on {machine['device']}; a typical timing spreads by {percent(machine['spread'])}",
        "quiet",
    )
    reached = [(f"{dtype} products", quantity(rate, "FLOP/s")) for dtype, rate in machine["peaks"].items()]
    reached += [(name, quantity(rate, "B/s")) for name, rate in machine["bandwidths"].items()]
    reached += [
        (f"{link['name']}, {count(link['ranks'])} of them", quantity(link["bandwidth_bytes_per_s"], "B/s"))
        for link in machine["links"]
    ]
    yield Grid.of((Column("fastest that was timed"), Column("rate", right=True)), reached)
    errors = [(kernel, percent(error)) for kernel, error in machine["errors"].items()]
    yield Grid.of((Column("kernel or link"), Column("median error", right=True)), errors)
    for warning in machine["warnings"]:
        yield Text(warning, "bad")


def _errors(rows: Sequence[Result]) -> Grid:
    columns = (
        Column("subject"),
        Column("id"),
        Column("level"),
        *(Column(head, right=True) for head in ("rows", "constants", "median error before", "after")),
        Column("left out"),
        *(Column(head, right=True) for head in ("rows left out", "median error of these")),
    )
    body = [
        (
            row["subject"],
            row["id"],
            _level(row),
            count(row["rows"]),
            count(len(row["constants"])),
            percent(row["median_error_before"]),
            percent(row["median_error_after"]),
            f"each {row['left_out']}" if row["left_out_rows"] else "-",
            count(row["left_out_rows"]),
            percent(row["median_error_left_out"]),
        )
        for row in rows
    ]
    return Grid.of(columns, body)


def _level(row: Result) -> str:
    return row["level"] or "all chips" if row["subject"] == "stack" else "-"


def _constants(rows: Sequence[Result]) -> Grid:
    body = [
        (f"{row['id']} {row['level']}".strip(), group, text)
        for row in rows
        for group, text in _groups(row["constants"])
    ]
    return Grid.of((Column("constants of"), Column("kernel or link"), Column("found", wraps=True)), body)


def _groups(constants: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Constants by what stands before the last point of their name: one kernel, one link; of a stack all together."""
    found: dict[str, list[str]] = {}
    for name, value in constants.items():
        group, _, field = name.partition(".")
        group, field = (group, field) if field else ("-", name)
        seconds = field.endswith("_s")
        shown = quantity(value, "s") if seconds else ratio(value)
        found.setdefault(group, []).append(f"{field.removesuffix('_s')} {shown}")
    yield from ((group, ", ".join(texts)) for group, texts in found.items())


def _files(result: Result) -> Iterator[Part]:
    for key, verb in (("written", "wrote"), ("removed", "removed")):
        if result[key]:
            paths = result[key]
            yield Text(f"{verb} {paths[0]}" + (f" and {count(len(paths) - 1)} more files" if len(paths) > 1 else ""))
    if not result["written"]:
        yield Text("nothing was written; -o DIR writes the constants as files", "quiet")


def _skipped(skipped: Sequence[Result], most: int | None) -> Iterator[Part]:
    reasons = Counter(item["reason"] for item in skipped).most_common()
    if reasons:
        body = [(reason, count(number)) for reason, number in reasons[:most]]
        yield Grid.of((Column("skipped because", wraps=True), Column("rows", right=True)), body)
    if most is not None and len(reasons) > most:
        others = sum(number for _, number in reasons[most:])
        yield Text(f"and {count(others)} for {count(len(reasons) - most)} other reasons (--all)", "quiet")
