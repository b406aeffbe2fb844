"""Results as tidy flat rows of SI numbers: what CSV files and data frames hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Result = Mapping[str, Any]


def flat_rows(result: Result) -> list[dict[str, Any]]:
    """One row per deployment compared, operator of a prediction (number of chips, if it scales; point, if it trades),
    constant of a calibration, entry of anything else."""
    schema = str(result.get("schema", ""))
    if result.get("scaling"):
        return [_scaled(result, row) for row in result["scaling"]["rows"]]
    traded = [row for row in result.get("rows", [result]) if row.get("frontier")]
    if traded:
        return [_point(row, point) for row in traded for point in row["frontier"]["points"]]
    if schema.startswith("roofline.prediction/"):
        return [_operator(result, phase, operator) for phase in result["phases"] for operator in phase["operators"]]
    if schema.startswith("roofline.comparison/"):
        return [deployment_row(row) for row in result["rows"]]
    if schema.startswith("roofline.entry/"):
        return [dict(item) for item in result["fields"]]
    if schema.startswith("roofline.explanation/"):
        return [dict(item) for item in result["lines"]]
    if schema.startswith("roofline.calibration/"):
        return [constant for row in result["rows"] for constant in _constants(row)]
    return [dict(row) for row in result["rows"]]


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


def _constants(row: Result) -> Iterator[dict[str, Any]]:
    """One row for each constant of a fitted chip, family or stack, with the errors of all together."""
    shared = {name: value for name, value in row.items() if name != "constants"}
    for name, value in row["constants"].items():
        yield {**shared, "constant": name, "value": value}


def _operator(prediction: Result, phase: Result, operator: Result) -> dict[str, Any]:
    deployment = prediction["deployment"]
    return {
        "workload": prediction["workload"]["id"],
        "deployment": deployment["label"],
        "phase": phase["phase"],
        **operator,
    }
