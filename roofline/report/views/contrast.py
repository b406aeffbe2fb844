"""The view of a contrast: what each deployment suits, who wins each phase, and phases beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roofline.report.document import Cell, Column, Document, Grid, Heading, Text
from roofline.report.human import UNKNOWN, count, duration, many, percent, quantity, rate, ratio, usd
from roofline.report.views.common import between, notes, plan_text, work_text

Result = Mapping[str, Any]
Show = Callable[[Any], str]

PHASES = ("training", "prefill", "decode")
# What is done to a resource, in words.
BETTER: Mapping[str, str] = MappingProxyType(
    {
        "flops": "doubling FLOP/s",
        "bandwidth": "doubling bandwidth",
        "link_bandwidth": "doubling link bandwidth",
        "link_latency": "halving link latency",
        "overhead": "halving overheads",
        "capacity": "doubling memory",
    }
)
# What is ranked, its unit, and how it is shown.
MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "chip": ("a chip", "tokens/s"),
        "usd": ("a dollar", "tokens"),
        "joule": ("a joule", "tokens"),
        "user": ("a user", "tokens/s"),
    }
)
TOLD = 2  # resources in a sentence


def view(result: Result, *, brief: bool = False, **_: Any) -> Document:
    """A sentence for each deployment, the winners, the figures unless it is `brief`, why something does not fit, what
    is behind them."""
    rows = result["rows"]
    names = dict.fromkeys(row["name"] for row in rows)
    by_name = {name: [row for row in rows if row["name"] == name] for name in names}
    return (
        Heading(f"training and inference of {result['model']['id']}, {many(result['model']['parameters'])} parameters"),
        *(Text(work_text(work)) for work in result["workloads"]),
        *(Text(sentence(suited, by_name[suited["name"]], result["workloads"])) for suited in result["suits"]),
        _winners(result["rankings"]),
        *(() if brief else (_figures(name, found) for name, found in by_name.items())),
        *_below(rows),
    )


def sentence(suited: Result, rows: Sequence[Result], workloads: Sequence[Result]) -> str:
    """What a deployment makes of each phase, what that makes worth having, and what it suits."""
    requests = next((work["batch"] for work in workloads if work["kind"] == "serving"), None)
    told = [_reaches(row, requests) for row in rows]
    return f"{suited['name']}: {'; '.join([*told, *_suits(suited)])}"


def _reaches(row: Result, requests: float | None) -> str:
    """The roofs that a phase comes to, and the two resources that would buy most."""
    phase = row["phase"]
    if not row["fits"]:
        return f"{phase} does not fit"
    many_requests = f" of {count(requests)} requests" if phase == "decode" and requests else ""
    where = f" on {count(row['deployment']['num_chips'])} chips" if row["asked_chips"] else ""
    reached = row["intensity"]
    roofs = [f"{percent(reached[name])} of its {roof}" for name, roof in (("mfu", "FLOP/s"), ("mbu", "bandwidth"))
             if reached[name] is not None]  # fmt: skip
    best = sorted(row["worth"], key=lambda worth: -(worth["gain"] or 0.0))[:TOLD]
    buys = " and ".join(f"{BETTER[worth['resource']]} buys {_more(worth['gain'])}" for worth in best)
    return f"{phase}{many_requests}{where} reaches {' and '.join(roofs) or 'no known roof'}, so {buys}"


def _times(value: float) -> str:
    """How often the median, in words where it is the median itself."""
    return "as much as" if ratio(value) == "1" else f"{ratio(value)} times"


def _suits(suited: Result) -> Iterator[str]:
    """What it suits, by the figure that says so."""
    phase, value = suited["phase"], suited["value"]
    if phase is None:
        return
    beside = f"{_made(suited)} {_times(value)} the median of those compared"
    if suited["per"] == "roof":
        yield f"it suits {phase}, where it comes nearest to a roof"
    else:
        yield (
            f"it suits {phase}, where {beside}" if value > 1.0 else f"it is nearest to the others in {phase}: {beside}"
        )


def _made(suited: Result) -> str:
    return "each user gets" if suited["per"] == "user" else "a chip makes"


def _more(gain: float | None) -> str:
    """A gain as people write it.

    >>> _more(0.5812), _more(-0.0), _more(None)
    ('+58.1 %', '+0.0 %', '-')
    """
    return UNKNOWN if gain is None else f"{gain * 100 + 0.0:+.1f} %"


def _winners(rankings: Sequence[Result]) -> Grid:
    """Who makes most of each phase, by how much, and who can't be told from it."""
    columns = ("phase", "for", "best", "makes", "lead", "lead within", "not distinguishable from")
    right = ("makes", "lead", "lead within")
    return Grid.of([Column(name, right=name in right) for name in columns], list(map(_winner, rankings)), turns=True)


def _winner(ranking: Result) -> list[str | Cell]:
    first, *_ = ranking["entries"]
    per, unit = MEASURES[ranking["per"]]
    return [
        ranking["phase"],
        per,
        first["label"],
        f"{_amount(first['value'])} {unit}",
        _more(ranking["lead"]),
        between(ranking["lead_low"], ranking["lead_high"], _more) or UNKNOWN,
        ", ".join(ranking["alike"]) or UNKNOWN,
    ]


def _amount(value: float) -> str:
    return many(value) if value >= 1e6 else rate(value)


def _below(rows: Sequence[Result]) -> Iterator[Text]:
    """Why something does not fit, what words mean, notes."""
    for row in _once(rows):
        if row["why"]:
            work = "training" if row["phase"] == "training" else "inference"
            more = f"; shown on {count(row['deployment']['num_chips'])} chips" if row["fits"] else ""
            yield Text(f"{work} does not fit {row['name']}: {row['why']}{more}", "bad")
    fitting = [row for row in rows if row["fits"]]
    if any(row["evidence"]["calibration"] == "datasheet" for row in fitting):
        yield Text("datasheet: nothing was measured on that chip, so its figures are bounds, not expectations", "quiet")
    yield Text(
        "each phase by itself, all pipelines full; GEMV: products below the ridge point, which stream their weights",
        "quiet",
    )
    yield from notes(_once(fitting))


def _once(rows: Sequence[Result]) -> list[Result]:
    """One row for each kind of work on a deployment: phases of a request fit, or do not, together."""
    found: dict[tuple[str, str], Result] = {}
    for row in rows:
        found.setdefault((row["name"], row["workload"]), row)
    return list(found.values())


def _figures(name: str, rows: Sequence[Result]) -> Grid:
    """All figures of a deployment, phases beside each other."""
    heads = (Column(name), *(Column(row["phase"], right=True) for row in rows))
    lines: list[list[str | Cell]] = []
    for title, fields in SECTIONS.items():
        found = [(label, [_cell(row, group, key, show) for row in rows]) for label, group, key, show in fields]
        told = [(label, cells) for label, cells in found if any(cell != UNKNOWN for cell in cells)]
        if told:
            lines.append([Cell(title, "strong"), *("" for _ in rows)])
            lines += [[f"  {label}", *cells] for label, cells in told]
    return Grid.of(heads, lines)


def _cell(row: Result, group: str, key: str, show: Show) -> str:
    """A figure; of a worth, its gain."""
    if group == "worth":
        worth = next((item for item in row.get("worth", ()) if item["resource"] == key), None)
        return show(worth) if worth else UNKNOWN
    if not group:
        return show(row)
    value = (row.get(group) or {}).get(key)
    return UNKNOWN if value is None else show(value)


def _bytes(value: float | None) -> str:
    return quantity(value, "B") if value else UNKNOWN


def _share(value: float | None) -> str:
    return percent(value) if value else UNKNOWN


def _thousand(value: float) -> str:
    return ratio(1e3 * value)


def _two(value: float) -> str:
    return f"{value + 0.0:.2f}"


def _places(row: Result) -> str:
    chips = row["deployment"]["num_chips"]
    return "does not fit" if not row["fits"] else f"{count(chips)}"


def _layout(row: Result) -> str:
    return plan_text(row["deployment"]["plan"]) if row["fits"] else UNKNOWN


def _formats(row: Result) -> str:
    deployment = row["deployment"]
    return f"{deployment['weights']}, in {deployment['arithmetic']}" if row["fits"] else UNKNOWN


def _interval(row: Result) -> str:
    made = row.get("rate") or {}
    return between(made.get("tokens_per_s_per_chip_low"), made.get("tokens_per_s_per_chip_high"), rate) or UNKNOWN


def _evidence(row: Result) -> str:
    return row["evidence"]["calibration"] if row["fits"] else UNKNOWN


def _gain(worth: Result) -> str:
    return _more(worth["gain"])


def _filled(worth: Result) -> str:
    return _more(worth["filled_gain"])


def _requests(worth: Result) -> str:
    before, after = worth["filled_requests"], worth["filled_requests_doubled"]
    return UNKNOWN if before is None else f"{count(before)} to {count(after)}"


# Every figure: how it is called, the group and name it has in the contract, and how it is shown.
SECTIONS: Mapping[str, Sequence[tuple[str, str, str, Show]]] = MappingProxyType(
    {
        "deployment": (
            ("chips", "", "", _places),
            ("plan", "", "", _layout),
            ("weights, products", "", "", _formats),
        ),
        "rate": (
            ("tokens/s per chip", "rate", "tokens_per_s_per_chip", rate),
            ("90 % of measurements", "", "", _interval),
            ("at best", "rate", "tokens_per_s_per_chip_ideal", rate),
            ("evidence", "", "", _evidence),
        ),
        "parallelism": (
            ("tokens in flight", "parallelism", "tokens_in_flight", many),
            ("rows that share weights", "parallelism", "rows_per_product", ratio),
            ("tiles of a product for each compute unit", "parallelism", "tiles_per_unit", ratio),
        ),
        "share of time": (
            ("large matrix products", "pattern", "large_matmul_share", _share),
            ("GEMV", "pattern", "gemv_share", _share),
            ("attention", "pattern", "attention_share", _share),
            ("communication", "pattern", "communication_share", _share),
            ("norms and other passes", "pattern", "passes_share", _share),
            ("software", "pattern", "software_share", _share),
            ("pipeline bubble", "pattern", "bubble_share", _share),
            ("communication that is hidden", "pattern", "hidden_communication_share", _share),
            ("last step over the first", "pattern", "last_step_over_first", ratio),
        ),
        "arithmetic intensity": (
            ("FLOP per byte", "intensity", "arithmetic_intensity", ratio),
            ("ridge point", "intensity", "ridge_point", ratio),
            ("over the ridge point", "intensity", "intensity_over_ridge", ratio),
            ("bound", "intensity", "bound", str),
            ("share of FLOP/s (MFU)", "intensity", "mfu", percent),
            ("share of bandwidth (MBU)", "intensity", "mbu", percent),
        ),
        "memory of a chip": (
            ("weights", "memory", "weight_bytes", _bytes),
            ("gradients", "memory", "gradient_bytes", _bytes),
            ("optimizer", "memory", "optimizer_bytes", _bytes),
            ("activations", "memory", "activation_bytes", _bytes),
            ("buffers", "memory", "buffer_bytes", _bytes),
            ("KV cache", "memory", "kv_cache_bytes", _bytes),
            ("all", "memory", "total_bytes", _bytes),
            ("usable", "memory", "capacity_bytes", _bytes),
        ),
        "moved for a token": (
            ("FLOP", "movement", "flops_per_token", many),
            ("bytes of memory", "movement", "memory_bytes_per_token", _bytes),
            ("bytes of messages", "movement", "network_bytes_per_token", _bytes),
            ("bytes per thousand FLOP", "movement", "bytes_per_flop", _thousand),
        ),
        "waiting": (
            ("one step", "waiting", "step_time_s", duration),
            ("time to first token", "waiting", "ttft_s", duration),
            ("time per output token", "waiting", "tpot_s", duration),
            ("lost by 1 ms more a step", "waiting", "loss_per_ms", percent),
            ("elasticity of latency", "waiting", "latency_elasticity", _two),
        ),
        "spent on a token": (
            ("energy", "spending", "energy_j_per_token", lambda value: quantity(value, "J")),
            ("USD per million", "spending", "usd_per_million_tokens", usd),
        ),
        "what more would buy": (
            *((words, "worth", resource, _gain) for resource, words in BETTER.items()),
            ("doubling memory full of requests", "worth", "capacity", _filled),
            ("requests that fill it", "worth", "capacity", _requests),
        ),
    }
)  # fmt: skip
