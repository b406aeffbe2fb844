"""Rules beyond types: what a file that parses may still get wrong. Each rule is one function and one test."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from roofline import units
from roofline.catalog.document import Document, KeyPath
from roofline.catalog.specs.chip import ChipSpec, MemorySpec
from roofline.catalog.specs.common import Identified, source_keys
from roofline.catalog.specs.economics import EconomicsSpec
from roofline.catalog.specs.job import MOST_STEPS, ScenarioSpec, ServingSpec
from roofline.catalog.specs.model import AttentionSpec, CompressedSpec, MLASpec, ModelSpec
from roofline.catalog.specs.system import SystemSpec
from roofline.catalog.standards import standards
from roofline.errors import Finding, did_you_mean
from roofline.workload.dtype import BITS

Rule = Callable[[Identified, Document], Iterator[Finding]]


def check(spec: Identified, found: Document) -> list[Finding]:
    """Everything that the rules find in a file, errors first; no warnings of rules that it accepts with a reason."""
    findings = [replace(finding, rule=rule.__name__) for rule in RULES for finding in rule(spec, found)]
    accepted: Mapping[str, str] = getattr(spec, "accepted", {})
    kept = [finding for finding in findings if finding.severity == "error" or finding.rule not in accepted]
    kept += _needless(accepted, {finding.rule for finding in findings if finding.severity == "warning"}, found)
    return sorted(kept, key=lambda finding: (finding.severity, finding.line, finding.column))


def _needless(accepted: Mapping[str, str], warning: Container[str], found: Document) -> Iterator[Finding]:
    """What a file accepts though there is no such rule, or the rule has nothing against it."""
    names = [rule.__name__ for rule in RULES]
    for name in accepted:
        if name not in names:
            near = did_you_mean(name, names, most=1)
            yield found.finding(("accepted", name), "is no rule" + (f"; did you mean {near}?" if near else ""))
        elif name not in warning and _own(found, ("accepted", name)):
            yield _warning(found, ("accepted", name), "this rule finds nothing; leave it out")


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
        if not _own(found, ("sources", key)):
            continue  # the file that it extends refers to it
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
    """A slipped prefix puts the ridge point where no machine has it: of 16-bit products with DRAM outside of 10 to
    1,500 FLOP/B, with SRAM of 0.1 to 150; of other formats in proportion to their bits. GPUs with HBM end at 480:
    beyond, the memory is that of one die."""
    if isinstance(spec, ChipSpec):
        main = _main(spec)
        least, most = (0.1, 150.0) if "SRAM" in main.name else (10.0, 1500.0)
        if spec.kind == "gpu" and main.name.startswith("HBM"):
            most = 480.0
        for dtype, peak in spec.compute.peaks.items():
            wider = 16.0 / BITS[dtype]
            ridge = peak.dense / main.bandwidth if main.bandwidth else least
            if ridge > most * wider or (ridge < least * wider and dtype in ("bf16", "fp16")):
                yield _warning(
                    found,
                    ("compute", "peaks", dtype, "dense"),
                    f"ridge point {ridge:.3g} FLOP/B against {main.name} is outside {least * wider:g} to "
                    f"{most * wider:,g}; check the prefixes, and that both are of the whole chip",
                )


def dense_not_sparse(spec: Identified, found: Document) -> Iterator[Finding]:
    """The sparse rate written as dense: the two are the same, or the chip would need less energy for each FLOP than any
    of its year; the TDP of one die, or of a board of several chips, looks alike."""
    if not isinstance(spec, ChipSpec):
        return
    for dtype, peak in spec.compute.peaks.items():
        if peak.sparse == peak.dense:
            yield _warning(
                found, ("compute", "peaks", dtype, "dense"), "is the same as sparse; dense is what no zeros add to"
            )
    least = standards().least_energy(spec.released)
    for dtype in ("bf16", "fp16"):
        rate = spec.compute.peaks.get(dtype)
        if rate and spec.power and spec.power.tdp / rate.dense < 0.97 * least:
            energy, known = (units.show(value, "J/FLOP") for value in (spec.power.tdp / rate.dense, least))
            yield _warning(
                found,
                ("compute", "peaks", dtype, "dense"),
                f"{energy} at TDP; the best chip of its year needs {known}: the sparse rate, or the TDP of a part?",
            )
            return


def energy_plausible(spec: Identified, found: Document) -> Iterator[Finding]:
    """Matrix units need less than 10 pJ for a 16-bit FLOP at TDP: more, and a rate is that of the shaders, that of one
    die, or has a slipped prefix."""
    if isinstance(spec, ChipSpec) and spec.power:
        for dtype in ("bf16", "fp16"):
            rate = spec.compute.peaks.get(dtype)
            if rate and spec.power.tdp / rate.dense > 10e-12:
                energy = units.show(spec.power.tdp / rate.dense, "J/FLOP")
                yield _warning(found, ("power", "tdp"), f"{energy} of {dtype} is more than 10 pJ; check rate and TDP")
                return


def formats_step_by_two(spec: Identified, found: Document) -> Iterator[Finding]:
    """Half of the bits, twice the rate: four times is most often the sparse rate of the narrower format."""
    if isinstance(spec, ChipSpec):
        most = {str(dtype): peak.narrow or peak.dense for dtype, peak in spec.compute.peaks.items()}
        sixteen = max(most.get("bf16", 0.0), most.get("fp16", 0.0))
        for narrow, wide, base in (
            ("fp8", "16 bits", sixteen),
            ("int8", "16 bits", sixteen),
            ("fp4", "fp8", most.get("fp8", 0.0)),
        ):
            times = most.get(narrow, 0.0) / base if base else 0.0
            if times > 2.2:
                place: KeyPath = ("compute", "peaks", narrow, "dense")
                yield _warning(found, place, f"is {times:.2g} times that of {wide}; the sparse rate?")


def peak_follows_from_units(spec: Identified, found: Document) -> Iterator[Finding]:
    """Where a file says what a unit does in a clock, units times clock times that is the dense rate, within a tenth:
    twice is the sparse rate or both dies beside the units of one, half is the rate of one die."""
    if isinstance(spec, ChipSpec) and spec.anatomy and (given := spec.compute.units) and given.clock:
        for dtype, work in spec.anatomy.work.items():
            made = given.count * given.clock * work
            if dtype in spec.compute.peaks and not 0.9 <= spec.compute.peaks[dtype].dense / made <= 1.1:
                yield _warning(
                    found,
                    ("compute", "peaks", dtype, "dense"),
                    f"is {spec.compute.peaks[dtype].dense / made:.2g} times the {units.show(made, 'FLOP/s')} that "
                    f"{given.count:,} units make; the sparse rate, or that of one die?",
                )


def memory_of_its_kind(spec: Identified, found: Document) -> Iterator[Finding]:
    """HBM is no faster than its generation: each stack, where their number is stated (and no slower than the slowest
    that ships: else it is the memory of one die), or as many as one chip may have."""
    if not isinstance(spec, ChipSpec):
        return
    for index, level in enumerate(spec.memory):
        standard = standards().stack(level.name)
        if standard is None or level.bandwidth is None:
            continue
        name, kind = standard
        stated = spec.anatomy.stacks if spec.anatomy else None
        stacks = stated or kind.stacks
        one = level.bandwidth / stacks
        place: KeyPath = ("memory", index, "bandwidth")
        if one > kind.most:
            told = f"{stacks} stacks of {name} reach {units.show(stacks * kind.most, 'B/s')} at most"
            yield _warning(found, place, f"{told}; of several chips, or bits for bytes?")
        elif stated and one < kind.least:
            told = (
                f"{units.show(one, 'B/s')} of each stack is below {units.show(kind.least, 'B/s')}, the slowest {name}"
            )
            yield _warning(found, place, f"{told}; the memory of one die?")


def capacity_in_gib(spec: Identified, found: Document) -> Iterator[Finding]:
    """DRAM is made in powers of two: a capacity of so many times 8 GB most likely means GiB, 7 % more; beside HBM any
    whole number of GB does, as part of it may be set aside (141, 180)."""
    if isinstance(spec, ChipSpec):
        main = _main(spec)
        index = spec.memory.index(main)
        written = str(found.data["memory"][index]["capacity"])
        whole = main.capacity / (1e9 if main.name.startswith("HBM") else 8e9)
        if re.fullmatch(r"[0-9.]+ ?GB", written.strip()) and whole == round(whole) and "SRAM" not in main.name:
            yield _warning(
                found,
                ("memory", index, "capacity"),
                f"{written} of {main.name} most likely are {written[:-1]}iB; write so, or why not under 'accepted'",
            )


def link_one_direction(spec: Identified, found: Document) -> Iterator[Finding]:
    """A link that carries more than its standard has in one direction is the sum of both, or of several chips."""
    if isinstance(spec, (ChipSpec, SystemSpec)):
        for index, link in enumerate(spec.links):
            if (standard := standards().link(link.name)) and link.bandwidth > 1.02 * standard[1].most:
                name, most = standard[0], units.show(standard[1].most, "B/s")
                yield _warning(
                    found, ("links", index, "bandwidth"), f"{name} carries {most} in one direction; is this both?"
                )


def sources_are_dated(spec: Identified, found: Document) -> Iterator[Finding]:
    """Every source has the day it was published or read, or a fingerprint: figures change."""
    for key, source in spec.sources.items():
        if not source.date and "sha256" not in source.title and _own(found, ("sources", key)):
            yield _warning(found, ("sources", key), "has no date; add 'date', when it was published or read")


def conflicts_name_numbers(spec: Identified, found: Document) -> Iterator[Finding]:
    """A conflict is about a number of the file, or about one of a group that the file leaves out."""
    known = {path for path in getattr(spec, "numbers", dict)() if not path.startswith("conflicts.")}
    free = ("compute.", "power", "price.", "chips", "shapes", "host")
    for index, conflict in enumerate(getattr(spec, "conflicts", ())):
        if conflict.of not in known and not conflict.of.startswith(free) and isinstance(spec, ChipSpec):
            near = did_you_mean(conflict.of, known, most=1)
            yield found.finding(
                ("conflicts", index, "of"),
                f"no number is called {conflict.of!r}" + (f"; did you mean {near}?" if near else ""),
            )


def slices_fit(spec: Identified, found: Document) -> Iterator[Finding]:
    """No slice is larger than its system, all have as many axes as its torus, and hosts share the chips evenly."""
    if not isinstance(spec, SystemSpec):
        return
    chips = spec.chips
    if chips.per_host and chips.count % chips.per_host:
        yield found.finding(("chips", "per_host"), f"{chips.per_host} does not divide {chips.count:,} chips")
    for index, name in enumerate(spec.shapes.slices if spec.shapes else ()):
        lengths = [int(length) for length in name.split("x")]
        if math.prod(lengths) > chips.count:
            yield found.finding(("shapes", "slices", index), f"{name} has more than the {chips.count:,} chips of all")
        if len(lengths) != len(spec.shapes.slices[0].split("x")):  # type: ignore[union-attr]
            yield found.finding(("shapes", "slices", index), f"{name} has another number of axes than the first slice")


def _main(spec: ChipSpec) -> MemorySpec:
    """The level that holds weights."""
    return next((level for level in spec.memory if level.main), spec.memory[-1])


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
    if spec.rest and spec.quantised == "all":
        yield found.finding(("rest",), "goes with 'quantised: experts': else no part is left")
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
    dense_not_sparse,
    energy_plausible,
    formats_step_by_two,
    peak_follows_from_units,
    memory_of_its_kind,
    capacity_in_gib,
    link_one_direction,
    link_below_memory,
    sources_are_dated,
    conflicts_name_numbers,
    slices_fit,
    heads_divide,
    prices_say_something,
    steps_in_order,
)


def _own(found: Document, key_path: KeyPath) -> bool:
    """Whether a value stands in the file itself and is not inherited from one that it extends."""
    return found.places.get(key_path, (found.path,))[0] == found.path


def _warning(found: Document, key_path: KeyPath, message: str) -> Finding:
    return replace(found.finding(key_path, message), severity="warning")
