"""What several views say alike: plans, evidence, notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Text
from roofline.report.human import count, many, percent, quantity

Result = Mapping[str, Any]


def plan_text(plan: Mapping[str, Any]) -> str:
    """A plan in short: degrees above 1, and whatever else says something.

    >>> plan_text({"tp": 8.0, "pp": 1.0, "dp": 1.0, "ep": 1.0})
    'tp8'
    >>> plan_text({"tp": 1.0, "dp": 8.0, "zero": 3.0, "shard": 4.0, "offload_optimizer": 0.5, "flash": False})
    'dp8 zero3 shard4, optimizer 50.0 % offloaded, no flash'
    """
    found = [f"{name}{plan[name]:.0f}" for name in ("tp", "pp", "vpp", "dp", "ep") if plan.get(name, 1) > 1]
    found += [f"etp{plan['expert_tp']:.0f}"] if plan.get("expert_tp") else []
    found += [f"cp{plan['cp']:.0f}"] if plan.get("cp", 1) > 1 else []
    found = found or ["tp1"]
    found += [f"{name}{plan[name]:.0f}" for name in ("zero", "shard") if plan.get(name)]
    found += [f"mb{plan['micro_batch']:.0f}"] if plan.get("micro_batch") else []
    found += [_recompute_text(plan)] if plan.get("recompute", "none") != "none" else []
    return ", ".join([" ".join(found), *_unusual(plan)])


def _unusual(plan: Mapping[str, Any]) -> Iterator[str]:
    """What few plans say."""
    for name in ("activations", "optimizer"):
        if plan.get(f"offload_{name}"):
            yield f"{name} {percent(plan[f'offload_{name}'])} offloaded"
    yield from (f"no {words}" for name, words in _SWITCHES if not plan.get(name, True))
    if plan.get("fused_loss"):
        yield "fused loss"
    yield from (f"{plan[name]}{more}" for name, more in (("schedule", ""), ("context", " context")) if name in plan)


_SWITCHES = (("sequence_parallel", "sequence parallelism"), ("flash", "flash"))


def _recompute_text(plan: Mapping[str, Any]) -> str:
    """How much is recomputed."""
    few = plan.get("recompute_layers")
    layers = f" of {count(few)} layer{'' if few == 1 else 's'}" if few else ""
    share = f" of {percent(plan['selective'])}" if plan.get("selective") else ""
    return f"{plan['recompute']} recompute{layers}{share}"


def layout_text(deployment: Mapping[str, Any]) -> str:
    """The plan of a deployment, or the plans of its pools, the one that reads prompts first.

    >>> layout_text({"plan": {"tp": 4.0, "dp": 3.0}, "prefill_plan": {"tp": 4.0}})
    'tp4 : tp4 dp3'
    """
    found = [deployment[name] for name in ("prefill_plan", "plan") if deployment.get(name)]
    return " : ".join(plan_text(plan) for plan in found)


def work_text(work: Result, *, at_once: bool = True) -> str:
    """A workload in one line; how many requests run `at_once` may be what varies."""
    imbalance = work.get("imbalance") or 1.0
    hottest = f", the hottest rank of experts with {imbalance:.3g} times the mean" if imbalance > 1.0 else ""
    if work["kind"] == "training":
        step = f"{count(work['global_batch'])} x {count(work['seq_len'])} tokens a step"
        return f"{work['id']}: {work['model']} on {many(work['tokens'])} tokens, {step}{hottest}"
    steps = steps_text(work["steps"])
    more = f"{_reused(work)}{_drafts(work)}{hottest}"
    requests = "as many requests as memory holds" if work["batch"] is None else f"{count(work['batch'])} requests"
    running = f", {requests} at once; each" if at_once else ", each request"
    return f"{work['id']}: {work['model']}{running}: {steps}{more}"


def _reused(work: Result) -> str:
    share = work.get("cached_share")
    return f", {percent(share)} of the first prompt cached" if share else ""


def _drafts(work: Result) -> str:
    guesses = work.get("speculative")
    if not guesses:
        return ""
    by = f" by {guesses['model']}" if guesses["model"] else ""
    return f", {count(guesses['tokens'])} tokens drafted{by} with {percent(guesses['acceptance'])} accepted"


MOST_STEPS = 8  # that are told in one line


def steps_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """The steps of a request, of many the first.

    >>> steps_text([{"prefill": 70.0}, {"decode": 900.0, "name": "thinking", "hidden": True}, {"pause": 0.15}])
    'prefill 70, decode 900 hidden, pause 150 ms'
    """
    rest = len(steps) - MOST_STEPS
    return ", ".join(map(_step, steps[:MOST_STEPS])) + (f", and {rest:,} more steps" if rest > 0 else "")


def _step(step: Mapping[str, Any]) -> str:
    name, value = next(iter(step.items()))
    hidden = " hidden" if step.get("hidden") else ""
    return f"{name} {quantity(value, 's')}" if name == "pause" else f"{name} {count(value)}{hidden}"


def between(low: float | None, high: float | None, show: Callable[[float | None], str]) -> str:
    """An interval, empty where none is known.

    >>> between(1.0, 2.0, str), between(None, None, str)
    ('1.0 to 2.0', '')
    """
    return f"{show(low)} to {show(high)}" if low is not None and high is not None else ""


EVIDENCE = {
    "measured": "expected: calibrated with measurements on this chip or its software",
    "transferred": "expected: constants carried over from chips of its kind",
    "datasheet": "datasheet only: nothing was measured, so expected equals the ideal bound",
}


def evidence_text(evidence: Result) -> str:
    """What the numbers are worth, in one line."""
    text = EVIDENCE[evidence["calibration"]]
    if evidence["cases"]:
        cases = f"{evidence['cases']:,} published measurements that the constants were not fitted to"
        return f"{text}; such predictions were {evidence['median_error']:.0%} off (median of {cases})"
    return f"{text}; nothing like it was measured, so there is no interval"


def notes(predictions: Sequence[Result]) -> Iterator[Text]:
    """Every note once, with the deployments that it is about where there are several."""
    about: dict[str, list[str]] = {}
    for prediction in predictions:
        for note in prediction["notes"]:
            about.setdefault(note, []).append(prediction["deployment"]["label"])
    for note, labels in about.items():
        where = f" ({', '.join(labels)})" if len(predictions) > 1 else ""
        yield Text(f"note{where}: {note}", "quiet")
