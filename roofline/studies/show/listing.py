"""Every entry of a group of the catalogue, a row each with its main figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog.store import KINDS, Catalog
from roofline.studies import assumptions
from roofline.studies.show.work import batch, lengths
from roofline.workload import Serving, Training

SCHEMA = "roofline.catalogue/1"
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "chips": ("chip",),
        "systems": ("system",),
        "models": ("model",),
        "stacks": ("stack",),
        "families": ("family",),
        "workloads": ("serving", "training"),
        "economics": ("economics",),
        "scenarios": ("scenario",),
        "needs": ("need",),
    }
)


def listing(group: str, catalog: Catalog) -> dict[str, Any]:
    """Every entry of a group with its main figures; broken files are left to `lint`."""
    rows = []
    for kind in GROUPS[group]:
        for name in catalog.files(KINDS[kind]):
            rows.append(_ROWS[kind](catalog, name))
    return {"schema": SCHEMA, "version": __version__, "kind": group, "rows": rows}


def _chip_row(catalog: Catalog, name: str) -> dict[str, Any]:
    chip = catalog.chip(name)
    sixteen = chip.peaks.get("bf16") or chip.peaks.get("fp16")
    eight = chip.peaks.get("fp8") or chip.peaks.get("int8")
    return {
        "id": chip.id,
        "name": chip.name,
        "kind": chip.kind,
        "bf16_flops_per_s": sixteen.dense if sixteen else None,
        "fp8_flops_per_s": eight.dense if eight else None,
        "memory_bytes": chip.main_memory.capacity,
        "bandwidth_bytes_per_s": chip.main_memory.bandwidth,
        "link_bytes_per_s": chip.links[0].bandwidth if chip.links else None,
        "tdp_w": chip.tdp,
        "usd_per_hour": chip.price.hourly,
        "stack": chip.stack("serving"),
        "calibrated": chip.calibrated,
    }


def _system_row(catalog: Catalog, name: str) -> dict[str, Any]:
    system = catalog.system(name)
    near, far = system.chip.link("scale-up"), system.chip.link("scale-out")
    return {
        "id": system.id,
        "name": system.name,
        "chip": system.chip.id,
        "chips": system.chips,
        "domain": None if near is None or np.isinf(near.chips) else int(near.chips),
        "topology": near.topology if near else None,
        "link_bytes_per_s": near.bandwidth if near else None,
        "network_bytes_per_s": far.bandwidth if far else None,
        "power_w": system.power,
        "shapes": len(system.shapes) or None,
    }


def _model_row(catalog: Catalog, name: str) -> dict[str, Any]:
    model = catalog.model(name)
    return {
        "id": model.id,
        "name": model.name,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "layers": model.layers,
        "hidden": model.hidden,
        "cache_values_per_token": model.cache_values_per_token,
        "max_context": model.max_context or None,
        "dtype": model.dtype,
    }


def _family_row(catalog: Catalog, name: str) -> dict[str, Any]:
    family = catalog.family(name)
    return {
        "id": family.id,
        "name": family.name,
        "kernels": ", ".join(family.kernels),
        "links": ", ".join(family.links),
        "stack": family.stacks.get("serving"),
    }


def _stack_row(catalog: Catalog, name: str) -> dict[str, Any]:
    stack = catalog.stack(name)
    return {
        "id": stack.id,
        "name": stack.name,
        "step_s": stack.step,
        "sequence_s": stack.sequence,
        "layer_s": stack.layer,
        "operator_s": stack.operator,
        "host_s": stack.host,
        "usable_memory": stack.usable_memory,
        "batching": stack.batching,
    }


def _workload_row(catalog: Catalog, name: str) -> dict[str, Any]:
    job = catalog.workload(name)
    if isinstance(job, Training):
        what = f"train {job.tokens:.3g} tokens, {job.global_batch:,.0f} x {job.seq_len:,.0f} a step"
    elif isinstance(job, Serving):
        what = f"{lengths(job)}, {batch(job)} at once"
    else:
        what = ""
    kind = "training" if isinstance(job, Training) else "serving"
    return {"id": job.id, "kind": kind, "model": getattr(job, "model", job).id, "work": what}


def _scenario_row(catalog: Catalog, name: str) -> dict[str, Any]:
    job, spec = catalog.scenario(name), catalog.spec("scenario", name)
    work = f"{lengths(job)}, {batch(job)} at once"
    more = ("prefix cache" if job.cached_share else "", "speculative" if job.speculative.on else "")
    return {"id": job.id, "name": spec.name, "work": ", ".join((work, *filter(None, more)))}


def _economics_row(catalog: Catalog, name: str) -> dict[str, Any]:
    economics = catalog.economics(name)
    return {
        "id": economics.id,
        "name": economics.name,
        **{item["key"].replace(".", "_"): item["text"] for item in assumptions.told(economics)},
    }


def _need_row(catalog: Catalog, name: str) -> dict[str, Any]:
    need = catalog.need(name)
    return {
        "id": need.id,
        "name": need.name,
        "serves": ", ".join(demand.name for demand in need.demands) or None,
        "trains": ", ".join(run.name for run in need.runs) or None,
        "places": ", ".join(place.name for place in need.places),
    }


_ROWS: Mapping[str, Callable[[Catalog, str], dict[str, Any]]] = MappingProxyType(
    {
        "chip": _chip_row,
        "system": _system_row,
        "model": _model_row,
        "stack": _stack_row,
        "family": _family_row,
        "scenario": _scenario_row,
        "serving": _workload_row,
        "training": _workload_row,
        "economics": _economics_row,
        "need": _need_row,
    }
)
