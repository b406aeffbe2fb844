"""What a result comes down to: one sentence, and the few figures that a reader looks for first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from roofline.report.document import Text
from roofline.report.human import count, duration, known, percent, rate, usd
from roofline.report.views.common import between, layout_text

Result = Mapping[str, Any]
Show = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its name, and what stands below it."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence, None where there is none to say, and the figures."""

    sentence: Text | None = None
    figures: tuple[Figure, ...] = ()


# Metrics that are told first, of those that are known.
SERVING: tuple[tuple[str, str, Show], ...] = (
    ("ttft_s", "time to first token", duration),
    ("tpot_s", "time per output token", duration),
    ("output_tokens_per_s_per_chip", "tokens/s per chip", rate),
    ("usd_per_million_tokens", "per million tokens, rented", usd),
    ("own_usd_per_million_tokens", "per million tokens, owned", usd),
)
TRAINING: tuple[tuple[str, str, Show], ...] = (
    ("time_to_train_s", "time to train", duration),
    ("tokens_per_s_per_chip", "tokens/s per chip", rate),
    ("mfu", "MFU", percent),
    ("cost_usd", "rented", usd),
    ("own_cost_usd", "owned", usd),
)


def verdict(result: Result) -> Verdict:
    """The verdict of a result, by its schema; an empty one where nothing is decided."""
    kind = str(result["schema"]).removeprefix("roofline.").partition("/")[0]
    return KINDS[kind](result) if kind in KINDS else Verdict()


def of_prediction(result: Result) -> Text:
    """Whether it fits and what decides the speed, in a sentence."""
    if not result["fits"]:
        return Text(f"does not fit: {result['why']}", "bad")
    bounds = [f"{phase['phase']} is bound by {phase['bound']}" for phase in result["phases"] if phase["bound"]]
    return Text(f"fits; {', '.join(dict.fromkeys(bounds))}", "good")


def _prediction(result: Result) -> Verdict:
    asked = result["fits"] and not result.get("scaling") and not result.get("frontier")
    return Verdict(of_prediction(result), tuple(_figures(result)) if asked else ())


def _figures(result: Result) -> Iterator[Figure]:
    """The metrics of a deployment that are told first, with their intervals."""
    metrics = result["metrics"]
    for name, words, show in TRAINING if "step_time_s" in metrics else SERVING:
        value = metrics.get(name)
        if known(value):
            yield Figure(words, show(value), between(metrics.get(f"{name}_low"), metrics.get(f"{name}_high"), show))


def _comparison(result: Result) -> Verdict:
    """Who makes most of a chip, who is cheapest, and how many do not fit."""
    fitting = [row for row in result["rows"] if row["fits"]]
    if not fitting:
        return Verdict(Text("nothing fits", "bad") if result["rows"] else None)
    told = [
        *_first(fitting, "output_tokens_per_s_per_chip", "most tokens/s per chip", rate, most=True),
        *_first(fitting, "tokens_per_s_per_chip", "most tokens/s per chip", rate, most=True),
        *_first(fitting, "usd_per_million_tokens", "cheapest to rent, a million tokens", usd),
        *_first(fitting, "cost_usd", "cheapest to rent", usd),
        *_first(fitting, "own_usd_per_million_tokens", "cheapest to own, a million tokens", usd),
        *_first(fitting, "own_cost_usd", "cheapest to own", usd),
    ]
    misfits = len(result["rows"]) - len(fitting)
    fits = f"{count(len(fitting))} of {count(len(result['rows']))} fit" if misfits else f"all {len(fitting)} fit"
    return Verdict(Text(f"{fits}{_alike(result)}", "plain" if misfits else "good"), tuple(told))


def _first(rows: Sequence[Result], name: str, words: str, show: Show, *, most: bool = False) -> Iterator[Figure]:
    """The deployment with the best figure, if the figure is known of any."""
    having = [row for row in rows if known(row["metrics"].get(name))]
    if having:
        best = (max if most else min)(having, key=lambda row: float(row["metrics"][name]))
        yield Figure(words, show(best["metrics"][name]), best["deployment"]["label"])


def _alike(result: Result) -> str:
    pairs = (result.get("indistinguishable") or {"pairs": []})["pairs"]
    return "; some can't be told apart, as their intervals overlap" if pairs else ""


def _contrast(result: Result) -> Verdict:
    """Which phase each deployment suits."""
    told = [f"{item['name']} suits {item['phase']}" for item in result["suits"] if item["phase"]]
    return Verdict(Text("; ".join(told), "good") if told else Text("nothing fits", "bad"))


def _plan(result: Result) -> Verdict:
    """The best deployment with its figures, or the nearest miss."""
    if not result["rows"]:
        return Verdict(Text(f"nothing is feasible; {result['nearest']['text']}", "bad"))
    best = result["rows"][0]
    at_once = f", {count(best['batch'])} requests at once" if best["batch"] else ""
    sentence = f"best: {best['deployment']['label']}, {layout_text(best['deployment'])}{at_once}"
    return Verdict(Text(sentence, "good"), tuple(_figures(best)))


def _validation(result: Result) -> Verdict:
    """How far off predictions are, all together."""
    every = next((group for group in result["summary"] if not group["values"]), None)
    if every is None or not every["cases"]:
        return Verdict(Text("no case was predicted", "bad"))
    figures = (
        Figure("cases", count(every["cases"])),
        Figure("median error", percent(every["median_absolute_error"])),
        Figure("nine of ten within", percent(every["p90_absolute_error"])),
        Figure("inside the 90 % interval", percent(every["coverage"])),
    )
    beating = every["beats_ideal"]
    ideal = f"{count(beating)} beat the ideal bound, which can't be" if beating else "none beats the ideal bound"
    sentence = f"half of the predictions are within {percent(every['median_absolute_error'])} of what was measured"
    return Verdict(Text(f"{sentence}; {ideal}", "bad" if beating else "good"), figures)


def _decision(result: Result) -> Verdict:
    """Who trains best, where inference runs best, and what each costs."""
    jobs = [
        *((f"train {run['workload']}", run["options"], "who", "usd", "") for run in result["training"]),
        *(
            (f"serve {load['model']}", load["options"], "where", "usd_per_month", "a month")
            for load in result["serving"]
        ),
    ]
    named = [(name, options[0][place]) for name, options, place, _, _ in jobs if options]
    missing = [f"nothing can {name}" for name, options, *_ in jobs if not options]
    sentence = "; ".join([*(f"best to {name}: {place}" for name, place in named), *missing])
    figures = [
        Figure(f"{name}{f', {per}' if per else ''}", usd(options[0][key]), _spread(options[0], key))
        for name, options, _, key, per in jobs
        if options
    ]
    return Verdict(Text(sentence, "bad" if missing else "good"), tuple(figures)) if jobs else Verdict()


def _spread(option: Result, key: str) -> str:
    return between(option.get(f"{key}_low"), option.get(f"{key}_high"), usd)


KINDS: Mapping[str, Callable[[Result], Verdict]] = MappingProxyType(
    {
        "prediction": _prediction,
        "comparison": _comparison,
        "contrast": _contrast,
        "plan": _plan,
        "decision": _decision,
        "validation": _validation,
    }
)
