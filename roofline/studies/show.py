"""Looking into the catalogue: what is there, and what one entry says, each number with its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from roofline import __version__
from roofline.catalog import document
from roofline.catalog.specs.common import join_sources
from roofline.catalog.store import KINDS, Catalog, is_path
from roofline.errors import UnknownNameError
from roofline.machine import Chip, Economics, Efficiency, Family, LinkEfficiency, Price, Stack, System
from roofline.machine.chip import IDEAL_KERNEL, IDEAL_LINK
from roofline.machine.stack import DIRECT
from roofline.numeric import Num
from roofline.source import Source
from roofline.studies import assumptions, words
from roofline.units import MONTH
from roofline.units import show as in_units
from roofline.workload import Decode, Model, Operations, Prefill, Scenario, Serving, Training
from roofline.workload.need import Need

LISTING_SCHEMA, ENTRY_SCHEMA = "roofline.catalogue/1", "roofline.entry/1"
SECONDS = ("latency", "split", "step")  # constants of kernels and links that are times; the others are plain numbers
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


def show(name: str, catalog: Catalog) -> dict[str, Any]:
    """A group's listing, or one entry, by name."""
    return listing(name, catalog) if name in GROUPS else entry(name, catalog)


def listing(group: str, catalog: Catalog) -> dict[str, Any]:
    """Every entry of a group with its main figures; broken files are left to `lint`."""
    rows = []
    for kind in GROUPS[group]:
        for name in catalog.files(KINDS[kind]):
            rows.append(_ROWS[kind](catalog, name))
    return {"schema": LISTING_SCHEMA, "version": __version__, "kind": group, "rows": rows}


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
        what = f"{_lengths(job)}, {_batch(job)} at once"
    else:
        what = ""
    kind = "training" if isinstance(job, Training) else "serving"
    return {"id": job.id, "kind": kind, "model": getattr(job, "model", job).id, "work": what}


def _lengths(job: Serving | Scenario) -> str:
    """How many steps there are, and the tokens in all of them."""
    read, written = (
        sum(float(step.tokens) for step in job.steps if isinstance(step, kind)) for kind in (Prefill, Decode)
    )
    return f"{len(job.steps):,} steps, {read:,.0f} in, {written:,.0f} out"


def _scenario_row(catalog: Catalog, name: str) -> dict[str, Any]:
    job, spec = catalog.scenario(name), catalog.spec("scenario", name)
    work = f"{_lengths(job)}, {_batch(job)} at once"
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


def entry(name: str, catalog: Catalog) -> dict[str, Any]:
    """One entry, whatever its kind: each number with its source, and the list of sources."""
    kind, path = _locate(name, catalog)
    spec = catalog.spec(kind, str(path))
    built = _built(kind, str(path), catalog)
    sources: Mapping[str, Source] = getattr(built, "sources", {})
    fields = [
        {"key": key, "value": value, "source": _cited(nearest(key, sources))}
        for key, value in FIELDS[kind](built)
        if value is not None
    ]
    return {
        "schema": ENTRY_SCHEMA,
        "version": __version__,
        "kind": kind,
        "id": spec.id,
        "name": spec.name,
        "aliases": list(spec.aliases),
        "note": spec.note or None,
        "path": str(path),
        "origin": catalog.origin(path),
        "over": _over(kind, path, catalog),
        "fields": fields,
        "conflicts": [
            {
                "of": item.of,
                "value": item.value,
                "why": item.why,
                "source": join_sources(item.source, spec.sources).title,
            }
            for item in getattr(spec, "conflicts", ())
        ],
        "sources": [
            {"key": key, "title": source.title, "url": source.url or None, "date": source.date or None}
            for key, source in spec.sources.items()
        ],
    }


def _over(kind: str, path: Path, catalog: Catalog) -> list[dict[str, Any]]:
    """The files of the same name further down, which are not seen, or of which a file changes what it says."""
    below = catalog.below(KINDS[kind], path)
    extends = document.read(path).data.get("extends") == path.stem
    return [
        {"path": str(other), "origin": catalog.origin(other), "extended": extends and place == 0}
        for place, other in enumerate(below)
    ]


def _locate(name: str, catalog: Catalog) -> tuple[str, Path]:
    """Kind and file of a name of any kind."""
    if is_path(name):
        path, kind = catalog.find(tuple(KINDS), name, "entry")
        return kind, path
    for kind in KINDS:
        try:
            return kind, catalog.find((kind,), name, kind)[0]
        except UnknownNameError:
            continue
    known = [*GROUPS, *(stem for kind in KINDS.values() for stem in catalog.files(kind))]
    raise UnknownNameError("entry", name, known, "'roofline show' lists all")


def _built(kind: str, name: str, catalog: Catalog) -> Any:
    loaders: dict[str, Callable[[str], Any]] = {
        "chip": catalog.chip,
        "system": catalog.system,
        "model": catalog.model,
        "stack": catalog.stack,
        "family": catalog.family,
        "economics": catalog.economics,
        "scenario": catalog.scenario,
        "need": catalog.need,
    }
    return loaders.get(kind, catalog.workload)(name)


def nearest(key: str, sources: Mapping[str, Source]) -> Source | None:
    """The source of a key, or of the nearest group that encloses it."""
    parts = key.split(".")
    paths = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((sources[path] for path in paths if path in sources), None)


def _cited(source: Source | None) -> str | None:
    """A source as one line."""
    return None if source is None else source.title + (f" ({source.date})" if source.date else "")


def _chip_fields(chip: Chip) -> Iterator[tuple[str, str | None]]:
    for dtype, peak in chip.peaks.items():
        others = [
            f"{what} {in_units(float(rate), 'FLOP/s')}"
            for what, rate in (("sparse", peak.sparse), ("narrow sums", peak.narrow))
            if rate is not None
        ]
        more = f" ({', '.join(others)})" if others else ""
        yield f"compute.peaks.{dtype}", in_units(float(peak.dense), "FLOP/s") + more
    yield "compute.vector", _shown(chip.vector, "FLOP/s")
    if chip.compute_units is not None:
        clock = f" at {in_units(float(chip.clock), 'Hz')}" if chip.clock is not None else ""
        yield "compute.units", f"{float(chip.compute_units):,.0f}{clock}"
    if chip.devices != 1.0:
        yield "compute.devices", f"{float(chip.devices):,.0f} that software counts as ranks"
    for level in chip.memory:
        speed = f" at {in_units(float(level.bandwidth), 'B/s')}" if level.bandwidth is not None else ""
        kept = ", keeps weights" if level.pinned else ""
        yield f"memory.{level.name}", in_units(float(level.capacity), "B") + speed + kept
    yield from _link_fields(chip)
    yield "power.tdp", _shown(chip.tdp, "W")
    yield "power.idle", _shown(chip.idle, "W")
    yield from _price_fields(chip.price)
    yield "reliability.chip_mtbf", _lifetime(chip.mtbf)
    yield from _reached_fields(chip.achieved, chip.achieved_links, chip.cache_speed)
    if chip.energy is not None:
        yield "energy", words.energy(chip.energy)
    if chip.host is not None:
        yield "host", words.host(chip.host)
    for kind, stack in chip.stacks.items():
        yield f"stacks.{kind}", stack


def _link_fields(chip: Chip) -> Iterator[tuple[str, str | None]]:
    for link in chip.links:
        text = f"{in_units(float(link.bandwidth), 'B/s')} per direction, {link.topology}"
        text += f", up to {float(link.chips):,.0f} chips" if link.chips != float("inf") else ""
        text += f", {in_units(float(link.latency), 's')} a step" if link.latency else ""
        yield f"links.{link.name}", f"{link.scope}: {text}"


def _price_fields(price: Price) -> Iterator[tuple[str, str | None]]:
    yield "price.purchase", _bought(price)
    yield "price.hourly", _shown(price.hourly, "USD/h")


def _system_fields(system: System) -> Iterator[tuple[str, str | None]]:
    each = f", {system.per_host:,} a host" if system.per_host else ""
    yield "chips", f"{system.chips:,} {system.chip.id}{each}"
    yield from _link_fields(system.chip)
    if system.shapes:
        yield "shapes", ", ".join(shape.name for shape in system.shapes)
        closed = ", ".join(shape.name for shape in system.shapes if shape.rings == 1.0)
        yield "shapes.rings", f"all axes close into rings in {closed}" if closed else "no slice closes into rings"
    for what, text in system.host.items():
        yield f"host.{what}", text
    yield "power.max", _shown(system.power, "W")
    yield "power.typical", _shown(system.typical, "W")
    yield from _price_fields(system.chip.price)


def _reached_fields(
    kernels: Mapping[str, Efficiency], links: Mapping[str, LinkEfficiency], cache: Num | None
) -> Iterator[tuple[str, str | None]]:  # fmt: skip
    for kernel, reached in kernels.items():
        yield f"achieved.kernels.{kernel}", _stated(reached, IDEAL_KERNEL, ("compute", "memory", "latency"))
    for scope, link in links.items():
        yield f"achieved.links.{scope}", _stated(link, IDEAL_LINK, ("bandwidth", "latency", "step"))
    if cache is not None:
        yield "achieved.cache", f"{float(cache):.3g} times as fast as main memory"


def _stated(reached: Efficiency | LinkEfficiency, otherwise: Efficiency | LinkEfficiency, always: Sequence[str]) -> str:
    """The constants of a law by name: some always, the others where they say more than nothing."""
    shown = []
    for item in fields(reached):
        value = float(getattr(reached, item.name))
        if item.name in always or value != getattr(otherwise, item.name):
            text = in_units(value, "s") if item.name in SECONDS else f"{value:.3g}"
            shown.append(f"{item.name} {text}")
    return ", ".join(shown)


def _family_fields(family: Family) -> Iterator[tuple[str, str | None]]:
    yield "reliability.chip_mtbf", _lifetime(family.mtbf)
    yield from _reached_fields(family.kernels, family.links, family.cache)
    if family.energy is not None:
        yield "energy", words.energy_shares(family.energy)
    if family.host is not None:
        yield "host", words.host(family.host)
    for kind, stack in family.stacks.items():
        yield f"stacks.{kind}", stack


def _shown(value: Any, dimension: str) -> str | None:
    return None if value is None else in_units(float(value), dimension)


def _bought(price: Price) -> str | None:
    """The purchase price, with what it covers beside the chip."""
    more = {"server": ", its share of a server with it", "rack": ", its share of a rack with it"}.get(price.covers, "")
    return None if price.purchase is None else f"{float(price.purchase):,.0f} USD{more}"


def _economics_fields(economics: Economics) -> Iterator[tuple[str, str | None]]:
    for item in assumptions.told(economics):
        yield item["key"], f"{item['text']} ({item['name']})"
    for chip, price in economics.prices.items():
        for key, text in _price_fields(price):
            yield key.replace("price", f"prices.{chip}", 1), text


def _need_fields(need: Need) -> Iterator[tuple[str, str | None]]:
    for number, demand in enumerate(need.demands):
        peak = f", {demand.peak / demand.mean:.3g} times as many at the peak" if demand.peak > demand.mean else ""
        yield f"need.serving.{number}", f"{demand.name}: {demand.mean * MONTH:,.0f} requests a month{peak}"
    for number, run in enumerate(need.runs):
        yield f"need.training.{number}", f"{run.name}: within {run.within / 86400.0:,.3g} days"
    for place in need.places:
        away = f"{in_units(place.network, 's')} away"
        power = f", {in_units(place.power, 'W')} each" if place.power is not None else ""
        yield f"need.places.{place.name}", f"{place.sites:,} sites, {away}{power}"
    yield "need.chips", ", ".join(need.chips) if need.chips else None
    yield "need.budget", None if need.budget is None else f"{need.budget * MONTH:,.0f} USD a month"
    yield "need.power", _shown(need.power, "W")
    yield "need.assumptions", need.assumptions


def _lifetime(mtbf: Num | None) -> str | None:
    return None if mtbf is None else f"{float(mtbf) / 3600.0:,.0f} h of one chip between failures of a job"


def _model_fields(model: Model) -> Iterator[tuple[str, str | None]]:
    yield "shape.parameters", f"{model.parameters / 1e9:.2f} billion ({model.active_parameters / 1e9:.2f} active)"
    yield "shape.hidden", f"{model.hidden:,}"
    yield "shape.vocab", f"{model.vocab:,}" + (" (tied)" if model.tied_embeddings else "")
    for block in model.blocks:
        yield "shape.blocks", words.block(block)
    yield "shape.cache", f"{model.cache_values_per_token:,.0f} values per token"
    yield "shape.max_context", f"{model.max_context:,}" if model.max_context else None
    parts = (
        ""
        if model.quantised == "all"
        else f" ({model.quantised}" + (f"; the rest {model.rest})" if model.rest else ")")
    )
    yield "shape.dtype", model.dtype + parts


def _batch(job: Serving | Scenario) -> str:
    return "as many as memory holds" if np.isinf(job.batch) else f"{float(job.batch):,.0f}"


def _stack_fields(stack: Stack) -> Iterator[tuple[str, str | None]]:
    for name in ("step", "sequence", "layer", "operator", "request", "server", "host"):
        yield f"overheads.{name}", in_units(float(getattr(stack, name)), "s")
    multiples = {name: getattr(stack, name) for name in ("latency", "compute", "memory")} | dict(stack.rates)
    for name, multiple in multiples.items():
        yield f"rates.{name}", f"{float(multiple):.3g} times what was measured" if multiple != 1.0 else None
    limited = np.isfinite(stack.stream)
    yield "rates.stream", f"{float(stack.stream):.3g} B for each compute unit and clock" if limited else None
    yield "rates.flow", f"{float(stack.flow):.3g} of a seamless pipeline" if stack.flow != 1.0 else None
    again = f"{float(stack.reread):.3g} of the first time for each further query head" if stack.reread else None
    yield "rates.reread", again
    yield "usable_memory", f"{float(stack.usable_memory):.2f}"
    yield "batching", stack.batching
    yield "placement", stack.placement
    yield "kv", None if stack.bucket is None else f"powers of two from {float(stack.bucket):,.0f} tokens"
    yield "kv.reserved", "a request begins when its cache at full length has room" if stack.reserved else None
    chunked = np.isfinite(stack.prefill_chunk)
    yield "prefill_chunk", f"{float(stack.prefill_chunk):,.0f} tokens" if chunked else None
    expands = np.isfinite(stack.expand_rows)
    yield "expansion", f"narrow weights beyond {float(stack.expand_rows):,.0f} rows" if expands else None
    yield "sums", "narrow" if stack.narrow_sums else None
    yield "collectives", "its own beside a library's" if stack.collectives == DIRECT else "a library's"


def _job_fields(job: Serving | Training) -> Iterator[tuple[str, str | None]]:
    yield "model", job.model.id
    if isinstance(job, Training):
        yield "lengths.tokens", f"{float(job.tokens):,.0f}"
        yield "lengths.seq_len", f"{float(job.seq_len):,.0f}"
        yield "lengths.global_batch", f"{float(job.global_batch):,.0f} sequences"
        yield "optimizer", job.optimizer
        yield "lora_rank", f"{float(job.lora_rank):,.0f}" if job.lora_rank else None
        if job.operations is not None:
            yield from _operations_fields(job.operations)
    else:
        yield from _scenario_fields(job)
    yield "imbalance", f"{float(job.imbalance):.3g} times the mean" if job.imbalance != 1.0 else None
    formats = job.precision
    yield "precision", f"weights {formats.weights}, activations {formats.activations}, cache {formats.kv_cache}"


def _scenario_fields(job: Serving | Scenario) -> Iterator[tuple[str, str | None]]:
    for index, step in enumerate(job.steps):
        yield f"lengths.step-{index + 1}", words.step(step)
    yield "lengths.batch", _batch(job)
    yield "prefix_cache", f"{float(job.cached_share):.3g} of the first prompt" if job.cached_share else None
    yield "speculative", words.speculation(job.speculative) if job.speculative.on else None


def _operations_fields(operations: Operations) -> Iterator[tuple[str, str | None]]:
    interval, slower = operations.checkpoint_interval, operations.stragglers
    yield "operations.checkpoint_interval", "the best one" if interval is None else _shown(interval, "s")
    yield "operations.checkpoint_stall", _shown(operations.checkpoint_stall, "s")
    yield "operations.restart", _shown(operations.restart, "s")
    yield "operations.stragglers", f"{float(slower):.3g} of a step more" if slower else None


FIELDS: Mapping[str, Callable[[Any], Iterator[tuple[str, str | None]]]] = MappingProxyType(
    {
        "chip": _chip_fields,
        "system": _system_fields,
        "model": _model_fields,
        "stack": _stack_fields,
        "family": _family_fields,
        "serving": _job_fields,
        "scenario": _scenario_fields,
        "training": _job_fields,
        "economics": _economics_fields,
        "need": _need_fields,
    }
)
