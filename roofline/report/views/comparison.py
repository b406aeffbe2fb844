"""The view of a comparison: one row for each deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roofline.report.document import Cell, Column, Document, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, duration, percent, quantity, rate, usd
from roofline.report.views import economics, frontier, ranking
from roofline.report.views.common import between, layout_text, notes, work_text

Result = Mapping[str, Any]
Field = tuple[Column, Callable[[Result], str]]


def view(
    result: Result, *, width: int | None = None, full_attention: bool = False, costs: bool = False, **_: Any
) -> Document:  # fmt: skip
    """The table, why rows do not fit, why plans are as they are, what is behind the numbers."""
    rows = result["rows"]
    if any(row.get("frontier") for row in rows):
        return (Heading(work_text(result["workload"], at_once=False)), *frontier.ends(rows), *_below(rows))
    heading = Heading(work_text(result["workload"])) if result.get("workload") else Heading("nothing to compare")
    training = bool(rows) and rows[0]["workload"]["kind"] == "training"
    fields = list(_training(full_attention) if training else _serving(rows, _hides(result)))
    heads = (Column("deployment"), Column("fits"), *(column for column, _ in fields))
    table = Grid.of(heads, [_row(row, fields) for row in rows], turns=True)
    return (heading, table, *_apart(result), *_plans(rows), *_costs(result, costs), *_below(rows))


def _row(row: Result, fields: list[Field]) -> list[str | Cell]:
    label = row["deployment"]["label"]
    if not row["fits"]:
        plan = Column("plan")
        return [label, Cell("no", "bad"), *(show(row) if column == plan else UNKNOWN for column, show in fields)]
    return [label, Cell("yes", "good"), *(show(row) for _, show in fields)]


def _metric(name: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    return lambda row: show(row["metrics"].get(name))


def _interval(name: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    def shown(row: Result) -> str:
        return between(row["metrics"].get(f"{name}_low"), row["metrics"].get(f"{name}_high"), show) or UNKNOWN

    return shown


def _bound(phase: str) -> Callable[[Result], str]:
    """What binds the phases of that name; the longest of them where there are several."""

    def show(row: Result) -> str:
        found = [item for item in row["phases"] if item["phase"] == phase and item["bound"]]
        return max(found, key=lambda item: item["time_s"] or 0.0)["bound"] if found else UNKNOWN

    return show


def _hides(result: Result) -> bool:
    """Whether a request generates tokens that the user does not wait for."""
    return any(step.get("hidden") for step in (result.get("workload") or {}).get("steps") or ())


def _serving(rows: list[Result], hides: bool) -> Iterator[Field]:
    yield Column("plan"), lambda row: layout_text(row["deployment"])
    yield Column("TTFT", right=True), _metric("ttft_s", duration)
    if rows and not any(row["workload"]["output_len"] for row in rows):
        yield from _reading()
        return
    if hides:
        yield Column("first useful token", right=True), _metric("time_to_first_useful_token_s", duration)
    yield Column("TPOT", right=True), _metric("tpot_s", duration)
    yield Column("tok/s/user", right=True), _metric("output_tokens_per_s_per_user", rate)
    yield Column("tok/s", right=True), _metric("output_tokens_per_s", rate)
    yield Column("tok/s/chip", right=True), _metric("output_tokens_per_s_per_chip", rate)
    yield Column("90 % interval", right=True), _interval("output_tokens_per_s_per_chip", rate)
    yield Column("prefill"), _bound("prefill")
    yield Column("decode"), _bound("decode")
    yield Column("power", right=True), _metric("power_w", lambda value: quantity(value, "W"))
    yield Column("$/Mtok", right=True), _metric("usd_per_million_tokens", usd)
    yield Column("owned", right=True), _metric("own_usd_per_million_tokens", usd)
    yield Column("evidence"), lambda row: str(row["evidence"]["calibration"])


def _reading() -> Iterator[Field]:
    """Of prompts that nothing is generated after."""
    yield Column("tok/s read", right=True), _metric("prefill_tokens_per_s", rate)
    yield Column("90 % interval", right=True), _interval("prefill_tokens_per_s", rate)
    yield Column("prefill"), _bound("prefill")
    yield Column("power", right=True), _metric("power_w", lambda value: quantity(value, "W"))
    yield Column("$/Mtok read", right=True), _metric("usd_per_million_input_tokens", usd)
    yield Column("owned", right=True), _metric("own_usd_per_million_input_tokens", usd)
    yield Column("evidence"), lambda row: str(row["evidence"]["calibration"])


def _training(full_attention: bool) -> Iterator[Field]:
    yield Column("plan"), lambda row: layout_text(row["deployment"])
    yield Column("step", right=True), _metric("step_time_s", duration)
    yield Column("tok/s", right=True), _metric("tokens_per_s", rate)
    yield Column("tok/s/chip", right=True), _metric("tokens_per_s_per_chip", rate)
    if full_attention:
        yield Column("MFU (full attention)", right=True), _metric("mfu_full_attention", percent)
    else:
        yield Column("MFU", right=True), _metric("mfu", percent)
    yield Column("HFU", right=True), _metric("hfu", percent)
    yield Column("memory", right=True), lambda row: quantity(row["memory"]["total_bytes"], "B")
    yield Column("bound"), _bound("training")
    yield Column("train for", right=True), _metric("time_to_train_s", duration)
    yield Column("power", right=True), _metric("power_w", lambda value: quantity(value, "W"))
    yield Column("cost", right=True), _metric("cost_usd", usd)
    yield Column("owned", right=True), _metric("own_cost_usd", usd)
    yield Column("evidence"), lambda row: str(row["evidence"]["calibration"])


RANKED = {
    "output_tokens_per_s_per_chip": "tokens/s per chip",
    "prefill_tokens_per_s": "prefill tokens/s",
    "tokens_per_s_per_chip": "tokens/s per chip",
}


def _apart(result: Result) -> Iterator[Text]:
    """Which deployments the evidence can't tell apart."""
    found = result.get("indistinguishable") or {"pairs": []}
    others: dict[str, list[str]] = {}
    for one, other in found["pairs"]:
        others.setdefault(one, []).append(other)
    if others:
        groups = "; ".join(f"{one} from {', '.join(names)}" for one, names in others.items())
        yield Text(f"not distinguishable, as intervals of {RANKED[found['metric']]} overlap: {groups}")


def _plans(rows: list[Result]) -> Iterator[Part]:
    """Where it was asked for, why each deployment's plan is the fastest."""
    for row in rows:
        if row.get("plans"):
            yield Heading(row["deployment"]["label"])
            yield from ranking.parts(row["plans"])


def _costs(result: Result, at_length: bool) -> Iterator[Part]:
    """What chips without a price may cost, and what costs rest on; at length that of all chips, and every source."""
    rows, assumptions = result["rows"], result.get("assumptions")
    yield from economics.beside(rows, at_length=at_length)
    if assumptions and at_length:
        yield economics.prices(rows)
        yield economics.table(assumptions)
    elif assumptions:
        yield economics.line(assumptions)


def _below(rows: list[Result]) -> Iterator[Text]:
    for row in rows:
        if not row["fits"]:
            yield Text(f"{row['deployment']['label']} does not fit: {row['why']}", "bad")
    if any(row["evidence"]["calibration"] == "datasheet" for row in rows):
        yield Text("datasheet: nothing was measured on that chip, so its figures are bounds, not expectations", "quiet")
    yield from notes([row for row in rows if row["fits"]])
