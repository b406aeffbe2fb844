"""Rules beyond types: what a file that parses may still get wrong. Each rule is one function and one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from roofline import units
from roofline.catalog.document import Document, KeyPath
from roofline.catalog.specs.chip import ChipSpec
from roofline.catalog.specs.common import Identified, source_keys
from roofline.catalog.specs.economics import EconomicsSpec
from roofline.catalog.specs.job import MOST_STEPS, ScenarioSpec, ServingSpec
from roofline.catalog.specs.model import AttentionSpec, CompressedSpec, MLASpec, ModelSpec
from roofline.errors import Finding, did_you_mean

Rule = Callable[[Identified, Document], Iterator[Finding]]


def check(spec: Identified, found: Document) -> list[Finding]:
    """Everything that the rules find in a file, errors first."""
    findings = [finding for rule in RULES for finding in rule(spec, found)]
    return sorted(findings, key=lambda finding: (finding.severity, finding.line, finding.column))


def id_is_stem(spec: Identified, found: Document) -> Iterator[Finding]:
    """A catalogue file is named after its id, so that one entry is one file."""
    if spec.id != Path(found.path).stem:
        yield _warning(found, ("id",), f"is {spec.id!r} but the file is called {Path(found.path).name}")


def sources_resolve(spec: Identified, found: Document) -> Iterator[Finding]:
    """Every `source:` is a key of `sources`, and every source is used."""
    numbers: dict[str, str] = getattr(spec, "numbers", dict)()
    used = {key for value in numbers.values() for key in source_keys(value)}
    for path, value in numbers.items():
        for key in source_keys(value):
            if key not in spec.sources:
                near = did_you_mean(key, spec.sources, most=1)
                hint = f"; did you mean {near}?" if near else "; add it there"
                yield found.finding(tuple(path.split(".")), f"source {key!r} is not in sources{hint}")
    for key in spec.sources.keys() - used:
        if found.places.get(("sources", key), (found.path,))[0] != found.path:
            continue  # inherited: the file that it extends refers to it
        yield _warning(found, ("sources", key), "no number refers to this source")


def sparse_not_below_dense(spec: Identified, found: Document) -> Iterator[Finding]:
    """A sparse peak counts skipped zeros as work, so it is never below the dense one."""
    if isinstance(spec, ChipSpec):
        for dtype, peak in spec.compute.peaks.items():
            if peak.sparse is not None and peak.sparse < peak.dense:
                yield found.finding(
                    ("compute", "peaks", dtype, "sparse"),
                    f"{units.show(peak.sparse, 'FLOP/s')} is below dense {units.show(peak.dense, 'FLOP/s')}; "
                    "are the two swapped?",
                )


def narrow_not_below_wide(spec: Identified, found: Document) -> Iterator[Finding]:
    """Fewer bits are seldom slower: an fp8 peak below the bf16 peak is most likely a slip."""
    if isinstance(spec, ChipSpec):
        peaks = spec.compute.peaks
        for narrow, wide in (("fp8", "bf16"), ("fp8", "fp16"), ("fp4", "fp8"), ("bf16", "tf32")):
            if narrow in peaks and wide in peaks and peaks[narrow].dense < peaks[wide].dense:  # type: ignore[index]
                yield _warning(found, ("compute", "peaks", narrow, "dense"), f"is below the {wide} peak")


def one_main_memory(spec: Identified, found: Document) -> Iterator[Finding]:
    """Weights live in exactly one level, and its bandwidth is known."""
    if isinstance(spec, ChipSpec):
        marked = [index for index, level in enumerate(spec.memory) if level.main]
        if len(marked) > 1:
            yield found.finding(("memory", marked[1], "main"), "a second main memory; only one level holds the weights")
        main = marked[0] if marked else len(spec.memory) - 1
        if spec.memory[main].bandwidth is None:
            yield found.finding(("memory", main), "the main memory needs a bandwidth, e.g. 'bandwidth: 3.35 TB/s'")


def one_scratchpad(spec: Identified, found: Document) -> Iterator[Finding]:
    """Weights are pinned to one level at most, which stands before the main memory and whose bandwidth is known."""
    if isinstance(spec, ChipSpec):
        main = next((index for index, level in enumerate(spec.memory) if level.main), len(spec.memory) - 1)
        pinned = [index for index, level in enumerate(spec.memory) if level.pinned]
        for index in pinned[1:]:
            yield found.finding(("memory", index, "pinned"), "a second memory to which weights are pinned")
        for index in pinned:
            if index >= main:
                yield found.finding(
                    ("memory", index, "pinned"), "weights are pinned to a memory before the main one, which holds all"
                )
            elif spec.memory[index].bandwidth is None:
                yield found.finding(("memory", index), "weights that are pinned here are read at its bandwidth; add it")


def near_to_far(spec: Identified, found: Document) -> Iterator[Finding]:
    """Memory levels go from near to far: each larger and slower than the one before."""
    if isinstance(spec, ChipSpec):
        for index, (near, far) in enumerate(zip(spec.memory, spec.memory[1:], strict=False), start=1):
            if far.capacity < near.capacity:
                yield _warning(found, ("memory", index, "capacity"), f"is below that of {near.name}, a nearer level")
            if near.bandwidth and far.bandwidth and far.bandwidth > near.bandwidth:
                yield _warning(found, ("memory", index, "bandwidth"), f"is above that of {near.name}, a nearer level")


def ridge_point_plausible(spec: Identified, found: Document) -> Iterator[Finding]:
    """No machine that anyone built has a ridge point outside 0.1 … 10,000 FLOP/B; a slipped prefix has."""
    if isinstance(spec, ChipSpec):
        main = next((level for level in spec.memory if level.main), spec.memory[-1])
        for dtype, peak in spec.compute.peaks.items():
            ridge = peak.dense / main.bandwidth if main.bandwidth else 100.0
            if not 0.1 <= ridge <= 1e4:
                yield _warning(
                    found,
                    ("compute", "peaks", dtype, "dense"),
                    f"ridge point {ridge:.3g} FLOP/B against {main.name} is outside 0.1 to 10,000; check the prefixes",
                )


def link_below_memory(spec: Identified, found: Document) -> Iterator[Finding]:
    """A link faster than the main memory is most likely a sum over chips or directions."""
    if isinstance(spec, ChipSpec):
        main = next((level for level in spec.memory if level.main), spec.memory[-1])
        for index, link in enumerate(spec.links):
            if main.bandwidth and link.bandwidth > main.bandwidth:
                yield _warning(
                    found, ("links", index, "bandwidth"), f"is above that of {main.name}; per chip and one direction?"
                )


def heads_divide(spec: Identified, found: Document) -> Iterator[Finding]:
    """Queries share keys evenly, windows and selections go with the kinds that have them, and top_k experts exist."""
    if not isinstance(spec, ModelSpec):
        return
    for index, block in enumerate(spec.blocks):
        place: KeyPath = ("blocks", index)
        mixer, ffn = block.mixer, block.ffn
        if mixer is None and ffn is None:
            yield found.finding(place, "needs a mixer, an ffn or both")
        if isinstance(mixer, AttentionSpec):
            if mixer.heads % mixer.kv_heads:
                yield found.finding(
                    (*place, "mixer", "kv_heads"), f"{mixer.kv_heads} does not divide {mixer.heads} heads"
                )
            if (mixer.kind == "full") != (mixer.window == 0):
                wrong = "goes with sliding or chunked attention" if mixer.kind == "full" else f"needed for {mixer.kind}"
                yield found.finding((*place, "mixer", "window"), wrong)
        if isinstance(mixer, (AttentionSpec, MLASpec, CompressedSpec)) and mixer.selection:
            key: KeyPath = (*place, "mixer", "selection")
            if mixer.kind in ("sliding", "chunked"):
                yield found.finding(key, "goes with full, latent or compressed attention")
            if isinstance(mixer, CompressedSpec) and not mixer.ratio:
                yield found.finding(key, "needs groups to select from; add 'ratio', e.g. 'ratio: 4'")
            if bool(mixer.selection.heads) != bool(mixer.selection.head_dim):
                yield found.finding(key, "heads and head_dim go together")
        if ffn is not None and ffn.kind == "moe" and ffn.top_k > ffn.experts:
            yield found.finding((*place, "ffn", "top_k"), f"{ffn.top_k} is more than the {ffn.experts} experts")


def prices_say_something(spec: Identified, found: Document) -> Iterator[Finding]:
    """A price that stands in for that of a chip's file is a purchase, a rent or both."""
    if isinstance(spec, EconomicsSpec):
        for chip, price in spec.prices.items():
            if price.purchase is None and price.hourly is None:
                yield found.finding(("prices", chip), "states neither 'purchase' nor 'hourly'")


def steps_in_order(spec: Identified, found: Document) -> Iterator[Finding]:
    """The context holds what a step later finds of it, repetitions have an end, and something is there to be seen."""
    if not isinstance(spec, (ServingSpec, ScenarioSpec)) or not spec.steps:
        return
    context, grown, seen, hidden = 0, False, False, False
    steps = [(place, step) for place, item in enumerate(spec.steps) for step in item.expanded()]
    if len(steps) > MOST_STEPS:
        yield found.finding(("steps",), f"are {len(steps):,} with their repetitions, or more; {MOST_STEPS:,} at most")
        return
    for place, step in steps:
        if step.cached is not None:
            if grown and step.cached > context:
                yield found.finding(
                    ("steps", place),
                    f"{step.cached:,} tokens are cached, but the context has only {context:,} then; write no more",
                )
                return
            context = step.cached
        context += (step.prefill or 0) + (step.decode or 0)
        grown = grown or bool(step.prefill or step.decode)
        seen, hidden = seen or bool(step.decode and not step.hidden), hidden or step.hidden
    if hidden and not seen:
        yield found.finding(("steps",), "hide everything that is generated; leave 'hidden' out of the answer")


RULES: tuple[Rule, ...] = (
    id_is_stem,
    sources_resolve,
    sparse_not_below_dense,
    narrow_not_below_wide,
    one_main_memory,
    one_scratchpad,
    near_to_far,
    ridge_point_plausible,
    link_below_memory,
    heads_divide,
    prices_say_something,
    steps_in_order,
)


def _warning(found: Document, key_path: KeyPath, message: str) -> Finding:
    return replace(found.finding(key_path, message), severity="warning")
