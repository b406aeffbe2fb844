"""Results as tidy flat rows of SI numbers: what CSV files and data frames hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Result = Mapping[str, Any]


def flat_rows(result: Result) -> list[dict[str, Any]]:
    """One row per deployment compared, phase of a contrast, operator of a prediction (number of chips, if it scales;
    point, if it trades), constant of a calibration, part of an option of a decision, figure, promise or gate of a
    check, entry of anything else."""
    if result.get("scaling"):
        return [_scaled(result, row) for row in result["scaling"]["rows"]]
    traded = [row for row in result.get("rows", [result]) if row.get("frontier")]
    if traded:
        return [_point(row, point) for row in traded for point in row["frontier"]["points"]]
    kinds: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "prediction": lambda: (
            _operator(result, phase, operator) for phase in result["phases"] for operator in phase["operators"]
        ),
        "comparison": lambda: map(deployment_row, result["rows"]),
        "check": lambda: _checked(result),
        "decision": lambda: (*_trained(result), *_served(result)),
        "contrast": lambda: map(_contrasted, result["rows"]),
        "plan": lambda: (_planned(result, row) for row in result["rows"]),
        "entry": lambda: map(dict, result["fields"]),
        "explanation": lambda: map(dict, result["lines"]),
        "market": lambda: map(_offered, result["rows"]),
        "whatif": lambda: _turned(result),
        "validation": lambda: map(_validated, result["rows"]),
        "calibration": lambda: (constant for row in result["rows"] for constant in _constants(row)),
    }  # fmt: skip
    kind = str(result.get("schema", "")).removeprefix("roofline.").partition("/")[0]
    return list(kinds[kind]()) if kind in kinds else [dict(row) for row in result["rows"]]


def deployment_row(prediction: Result) -> dict[str, Any]:
    """One prediction as one row: what was asked, the plan, memory, what binds each phase, every metric."""
    deployment, memory = prediction["deployment"], prediction["memory"]
    names = ("label", "chip", "num_chips", "stack", "weights", "activations", "kv_cache", "arithmetic")
    row: dict[str, Any] = {
        "workload": prediction["workload"]["id"],
        **{("deployment" if name == "label" else name): deployment[name] for name in names},
        **deployment["plan"],
        **{f"{name}_chips": chips for name, chips in (deployment.get("pools") or {}).items()},
        **{f"prefill_{name}": degree for name, degree in (deployment.get("prefill_plan") or {}).items()},
        "fits": prediction["fits"],
        "why": prediction["why"],
        **memory,
    }
    for index, phase in enumerate(prediction["phases"]):
        name = phase["phase"]
        key = name if f"{name}_time_s" not in row else f"{name}_{index + 1}"
        for field in ("time_s", "ideal_time_s", "bound", "mfu", "mbu"):
            row[f"{key}_{field}"] = phase[field]
    evidence = prediction["evidence"]
    return {**row, **prediction["metrics"], "evidence": evidence["calibration"]}


def _checked(result: Result) -> Iterator[dict[str, Any]]:
    """One row for each figure, promise and gate of a check."""
    for row in result["rows"]:
        causes = "; ".join(f"{cause['kind']} {cause['name']}" for cause in row["causes"])
        yield {"check": "prediction", **row, "causes": causes}
    for row in result["promises"]:
        status = "kept" if row["kept"] else "broken"
        plain = {name: value for name, value in row.items() if name not in ("kept", "values")}
        yield {"check": "promise", "status": status, **plain, **row["values"]}
    for row in result["gates"]:
        status = "met" if row["met"] else "missed"
        yield {"check": "gate", "status": status, **{name: value for name, value in row.items() if name != "met"}}


def _contrasted(row: Result) -> dict[str, Any]:
    """A phase of a model on a deployment: all of its figures beside each other."""
    deployment = row["deployment"]
    names = ("label", "chip", "num_chips", "stack", "weights", "activations", "kv_cache", "arithmetic")
    flat: dict[str, Any] = {
        **{name: row[name] for name in ("name", "phase", "workload", "fits", "why", "asked_chips")},
        **{("deployment" if name == "label" else name): deployment[name] for name in names},
        **(deployment["plan"] or {}),
    }
    for group in ("memory", "rate", "parallelism", "pattern", "intensity", "movement", "waiting", "spending"):
        flat |= row.get(group) or {}
    for worth in row.get("worth") or ():
        resource = worth["resource"]
        known = {name: value for name, value in worth.items() if name != "resource" and value is not None}
        flat |= {f"{resource}_{name}": value for name, value in known.items()}
    return {**flat, "evidence": row["evidence"]["calibration"]} if row.get("evidence") else flat


def _scaled(prediction: Result, row: Result) -> dict[str, Any]:
    """One number of chips of a scaling curve: its plan, what it makes of the chips, and the seconds of each part."""
    numbers = {name: value for name, value in row.items() if name not in ("plan", "parts", "grew")}
    grew = row["grew"] or {"name": None, "loss": None}
    return {
        "workload": prediction["workload"]["id"],
        "scaling": prediction["scaling"]["kind"],
        **row["plan"],
        **numbers,
        "grew": grew["name"],
        "grew_loss": grew["loss"],
        **{f"{part['name']}_time_s": part["time_s"] for part in row["parts"]},
    }


def _point(prediction: Result, point: Result) -> dict[str, Any]:
    """One point of a frontier: running requests, the plan, every metric."""
    deployment = prediction["deployment"]
    return {
        "workload": prediction["workload"]["id"],
        "deployment": deployment["label"],
        "chip": deployment["chip"],
        "num_chips": deployment["num_chips"],
        "stack": deployment["stack"],
        "cost": prediction["frontier"]["cost"],
        "batch": point["batch"],
        **point["plan"],
        "keeps_slo": point["keeps_slo"],
        **point["metrics"],
    }


def _turned(result: Result) -> Iterator[dict[str, Any]]:
    """One row for each number of a what-if and what it is worth, for each metric before and after, for the value that
    is solved for, or for each crossing of two deployments (or none)."""
    asked = {"workload": result["workload"]["id"], "deployment": result["deployment"]["label"]}
    if result["kind"] == "elasticities":
        for row in result["worth"]["rows"]:
            groups = ("elasticities", "low_changes", "high_changes")
            plain = {name: value for name, value in row.items() if name not in groups}
            beside = {f"{metric}_{group[:-1]}" if group != "elasticities" else f"{metric}_elasticity": value
                      for group in groups for metric, value in row[group].items()}  # fmt: skip
            yield {**asked, **plain, **beside}
    elif result["kind"] == "change":
        for row in result["change"]["metrics"]:
            yield {**asked, **row}
    elif result["kind"] == "solution":
        hidden = ("bounds_best", "others")
        yield {**asked, **{name: value for name, value in result["solution"].items() if name not in hidden}}
    else:
        yield from _crossed(asked, result["break_even"])


def _crossed(asked: Result, found: Result) -> Iterator[dict[str, Any]]:
    told = {**asked, "against": found["deployments"][1], **{name: found[name] for name in ("key", "unit", "metric")}}
    for crossing in found["crossings"] or [{"better_below": found["throughout"], "better_above": found["throughout"]}]:
        for name in ("metrics_below", "metrics_above"):
            one, two = crossing.get(name) or (None, None)
            told = {**told, name.replace("metrics", "metric"): one, name.replace("metrics", "against_metric"): two}
        yield {
            **told,
            **{name: crossing.get(name) for name in ("below", "above", "equal", "better_below", "better_above")},
        }


def _planned(result: Result, row: Result) -> dict[str, Any]:
    """One deployment of a plan: what it is, what limits leave, every metric."""
    deployment = row["deployment"]
    names = ("chip", "num_chips", "stack", "weights", "activations", "kv_cache")
    return {
        "workload": result["workload"]["id"],
        "rank": row["rank"],
        "deployment": row["written"],
        **{name: deployment[name] for name in names},
        **deployment["plan"],
        **{f"{name}_chips": chips for name, chips in (deployment.get("pools") or {}).items()},
        **{f"prefill_{name}": degree for name, degree in (deployment.get("prefill_plan") or {}).items()},
        "batch": row["batch"],
        "payment": row["payment"],
        **{f"{item['limit']}_margin": item["margin"] for item in row["limits"]},
        **{f"{phase}_bound": bound for phase, bound in row["bounds"].items()},
        **row["figures"],
        **row["metrics"],
        "evidence": row["evidence"]["calibration"],
    }


def _validated(row: Result) -> dict[str, Any]:
    """One measured case, with its gap part by part where it tells one."""
    flat = {name: value for name, value in row.items() if name != "gap"}
    gap = row.get("gap")
    if not gap:
        return flat
    plain = {f"gap_{name}": value for name, value in gap.items() if name != "parts_s"}
    return flat | {f"gap_{name}_s": value for name, value in gap["parts_s"].items()} | plain


def _constants(row: Result) -> Iterator[dict[str, Any]]:
    """One row for each constant of a fitted chip, family or stack, with the errors of all together."""
    shared = {name: value for name, value in row.items() if name != "constants"}
    for name, value in row["constants"].items():
        yield {**shared, "constant": name, "value": value}


def _trained(decision: Result) -> Iterator[dict[str, Any]]:
    """One row for each option of each run."""
    for run in decision["training"]:
        for rank, option in enumerate(run["options"], 1):
            plain = {name: value for name, value in option.items() if name != "plan"}
            yield {
                "need": decision["need"]["id"],
                "decision": "training",
                "asked": run["workload"],
                "rank": rank,
                **plain,
            }


def _served(decision: Result) -> Iterator[dict[str, Any]]:
    """One row for each part of each option of each load: its own figures, and the bill of the whole option."""
    for load in decision["serving"]:
        for rank, option in enumerate(load["options"], 1):
            for part in option["parts"]:
                plain = {name: value for name, value in part.items() if name not in ("plan", "demands")}
                shared = {
                    name: option[name] for name in ("where", "usd_per_million_tokens", "ttft_s", "tpot_s", "bound")
                }
                asked = {"need": decision["need"]["id"], "decision": "serving", "asked": load["model"], "rank": rank}
                yield {**asked, **plain, **shared, "option_usd_per_month": option["usd_per_month"]}


def _operator(prediction: Result, phase: Result, operator: Result) -> dict[str, Any]:
    deployment = prediction["deployment"]
    return {
        "workload": prediction["workload"]["id"],
        "deployment": deployment["label"],
        "phase": phase["phase"],
        **operator,
    }


def _offered(row: Result) -> dict[str, Any]:
    """One model on one kind of machine, with its plan and its providers as plain cells."""
    plain = {name: value for name, value in row.items() if name != "plan"}
    return {**plain, "providers": " ".join(row["providers"]), **row["plan"]}
