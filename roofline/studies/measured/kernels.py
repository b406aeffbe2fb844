"""Measured kernels and collectives: rows of a CSV with an `op` column as operators, priced as every other operator is.

Columns: `op`, `dtype`, the sizes that go with the operator (`m n k batch heads kv_heads head_dim q_len kv_len bytes
ranks`), and one of `latency_us`, `tflops`, `gbps`. What the columns mean for each operator and which remarks of a
`note` are read (`E=64;topk=8`, `causal=no`, `quantisation`, `MLA`) stands in `workloads/measured/README.md`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import numpy as np

from roofline.catalog.store import Catalog
from roofline.engine import ops, roof
from roofline.engine.collectives import VOLUME
from roofline.engine.lower import Widths, routed_experts
from roofline.engine.ops import Message, Op
from roofline.engine.plans import check_wiring
from roofline.errors import PlanError
from roofline.machine import Chip, Stack
from roofline.machine.chip import ATTENTION, DECODE_ATTENTION, MATMUL, Calibration
from roofline.numeric import Num
from roofline.studies.measured import dealing
from roofline.studies.measured.names import known, stack_named
from roofline.studies.measured.rules import GATED, REMOTE, shipped_rules
from roofline.studies.measured.table import Case, SkipError, format_of
from roofline.workload import Precision
from roofline.workload.dtype import BITS, usual_activations

COLLECTIVES: Mapping[str, str] = MappingProxyType(
    {
        "allreduce": "all-reduce",
        "allgather": "all-gather",
        "reducescatter": "reduce-scatter",
        "alltoall": "all-to-all",
        "p2p": "send",
    }
)
# Software whose algorithms are rings.
LIBRARIES = ("nccl", "rccl", "oneccl", "hccl", "nccl-tests", "rccl-tests", "mpi", "gloo")
EAGER = ("pytorch",)
LARGE = 2.0**30  # bytes of a copy whose size is not stated: sources state the rate of large ones
ROTARY, LATENT = 64.0, 512.0  # widths of DeepSeek's latent attention, the only one that rows measure
NOPE, VALUE = 128.0, 128.0
BOTH_SIDES = ("int8", "mxfp4", "nvfp4", "fp4", "bfp8", "bfp4")  # formats that name a product of two narrow matrices


@dataclass(frozen=True, slots=True)
class Bench:
    """What rows that are priced together share."""

    chip: str
    op: str
    dtype: str
    activations: str
    causal: bool
    latent: bool
    quantises: bool
    direct: bool  # a collective of a serving stack's own, not of a library
    plain: bool  # 32-bit products on the vector units
    cold: bool  # every call finds its operands in main memory
    deal: dealing.Deal
    remote: str  # what kernels do with rows of experts on other ranks (see `rules.REMOTE`)
    gated: bool  # whether experts have a gate beside their first product
    eager: bool  # launched one by one by a framework, not replayed from a captured graph
    stack: str  # the serving stack whose kernel it is, empty for a library's or a benchmark's own


def group(cases: Iterable[Case], catalog: Catalog) -> tuple[dict[Bench, list[Case]], list[dict[str, str]]]:
    """Rows by what they share, and those that can't be priced with the reason."""
    groups: dict[Bench, list[Case]] = defaultdict(list)
    skipped: list[dict[str, str]] = []

    @cache
    def chip_named(name: str) -> str | None:
        return known(catalog, "chip", name)

    @cache
    def stack_of(software: str) -> str:
        return stack_named(catalog, software) or ""

    rules = shipped_rules()
    for case in cases:
        try:
            chip = chip_named(case["chip"])
            read = rules.applied(case, chip)
            groups[_bench(read, chip, stack_of(read["software"]))].append(read)
        except SkipError as reason:
            skipped.append({"id": case["id"], "reason": str(reason)})
    return groups, skipped


def _bench(case: Case, chip: str | None, stack: str) -> Bench:
    """How one row is read."""
    op, note, software = case["op"], case["note"].lower(), case["software"].lower()
    if chip is None:
        raise SkipError(f"chip {case['chip']} is not in the catalogue")
    if op not in OPERATORS:
        raise SkipError(f"operator {op or '(empty)'} is not priced")
    if "bwd" in software or "backward" in note:
        raise SkipError("a backward pass is not one operator")
    if "alltoall_prepare" in note:
        raise SkipError("preparing an exchange moves no activations")
    if "occupancy" in note:
        raise SkipError("a study of occupancy: few threads on purpose")
    _complete(case)
    weights, activations = _formats(case["dtype"]) if op in TYPED else ("", "")
    return Bench(
        chip=chip,
        op=op,
        dtype=weights,
        activations=activations,
        causal=case["causal"].lower() not in ("no", "false", "0"),
        latent=note.startswith("mla"),
        quantises="quantisation" in note or "quantization" in note,
        direct=op in COLLECTIVES and not software.split(" ")[0].startswith(LIBRARIES),
        plain="no tensor cores" in note,
        cold=re.search(r"\bcold\b", note) is not None,
        deal="even" if "dist=balanced" in note else "skewed" if "power_law" in note else "random",
        remote=case[REMOTE],
        gated=case[GATED] != "no",
        eager=software.startswith(EAGER) or "via torch" in software,
        stack=stack,
    )


def split_key(bench: Bench, case: Case) -> tuple[str, str, str]:
    """What decides on which side of the split a row falls: its chip, its shape, its software."""
    sizes: tuple[str, ...] = ("batch", "heads", "kv_heads", "head_dim")
    if bench.op in ("gemm", "moe_gemm"):
        sizes = ("n", "k")
    elif bench.op in COLLECTIVES:
        sizes = ("bytes", "ranks")
    shape = "x".join(f"{case.numbers.get(name) or 0:g}" for name in sizes)
    return bench.chip, f"{bench.op} {bench.dtype} {shape}", case["software"].split(" ")[0].lower()


def _complete(case: Case) -> None:
    """Raise the reason if a size or the result is missing."""
    missing = [column for column in NEEDED[case["op"]] if case.numbers.get(column) is None]
    if missing:
        raise SkipError(f"{', '.join(missing)} not stated")
    if all(case.numbers.get(column) is None for column in RESULTS):
        raise SkipError("no time and no rate")


def _formats(name: str) -> tuple[str, str]:
    """The stored formats of weights and activations: `fp8`, or both by name as in `int4w_bfloat16a`."""
    both = re.fullmatch(r"(.+)w_(.+)a", name.lower())
    weights = _format(both[1] if both else re.split(r"_hifi|_lofi|->", name.lower())[0])
    if both:
        return weights, _format(both[2])
    return weights, weights if weights in BOTH_SIDES else usual_activations(weights)


def _format(name: str) -> str:
    found = format_of(name)
    if found is None:
        raise SkipError(f"format {name or '(empty)'} is not modelled")
    return found


def column(cases: Sequence[Case], name: str, otherwise: float = 0.0) -> Num:
    """One column of numbers as an array over the cases."""
    return np.array([value if (value := case.numbers.get(name)) is not None else otherwise for case in cases])


def noted(cases: Sequence[Case], name: str, otherwise: float) -> Num:
    """A count that notes state as `name=value`, as an array."""
    found = (re.search(rf"\b{name}=([1-9][0-9]{{0,4}})\b", case["note"], re.IGNORECASE) for case in cases)
    return np.array([float(match[1]) if match else otherwise for match in found])


def _widths(bench: Bench) -> Widths:
    return Widths.of(Precision(bench.dtype, bench.activations, bench.dtype))


def _gemm(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    m, n, k = (column(cases, name) for name in "mnk")
    widths = _widths(bench)
    dtype = "fp32" if bench.plain else widths.product
    found = [ops.matmul("matmul", m, k, n, w=widths.w, a=widths.a, r=widths.r, dtype=dtype)]
    if bench.quantises and widths.a < widths.r:
        found.append(ops.quantise("quantise", m=m, k=k, a=widths.a, r=widths.r))
    return found


def _experts(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    """Tokens of all ranks enter; a rank sees those routed to its experts, and what its kernels make of all others."""
    m, width, hidden = (column(cases, name) for name in "mnk")
    experts, top_k = noted(cases, "E", 1.0), noted(cases, "topk", 1.0)
    width, ranks = width / noted(cases, "tp", 1.0), noted(cases, "ep", 1.0)
    got, widths = dealing.share(bench.deal, m, experts, top_k, ranks), _widths(bench)
    if bench.remote == "multiplied":
        rows = np.where(ranks > 1.0, got.tokens * top_k, got.rows)
        return list(routed_experts(rows, got.touched, hidden, width, bench.gated, widths))
    if bench.remote == "passed":
        return list(routed_experts(got.rows, got.touched, hidden, width, bench.gated, widths, m * top_k))
    permute, *products = routed_experts(got.rows, got.touched, hidden, width, bench.gated, widths)
    # without an exchange every rank takes all tokens in and gives all of them out
    whole = got.rows + m * np.greater(ranks, 1.0) / 2.0
    return [ops.permute(permute.name, m=whole, k=hidden, r=widths.r), *products]


def _prefill(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    b, h, q = (column(cases, name) for name in ("batch", "heads", "q_len"))
    dim = column(cases, "head_dim", 128.0)
    widths = _widths(bench)
    l = np.maximum(column(cases, "kv_len"), q)
    pairs = q * (l - q) + q * (q + 1.0) / 2.0 if bench.causal else q * l
    kv = np.where(column(cases, "kv_heads") > 0, column(cases, "kv_heads"), h)
    d, v, g = (NOPE + ROTARY, VALUE, LATENT + ROTARY) if bench.latent else (dim, dim, 2.0 * kv * dim)
    return [
        ops.attention("attention", b=b, q=q, p=pairs, l=l, h=h, d=d, v=v, g=g,
                      a=widths.r if widths.a > 1 else 1.0, r=widths.r, c=widths.c, dtype=widths.attention)
    ]  # fmt: skip


def _decode(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    b, h, l = (column(cases, name) for name in ("batch", "heads", "kv_len"))
    dim = column(cases, "head_dim", 128.0)
    cache = BITS[bench.dtype] / 8.0
    dtype, width = ("fp32", 4.0) if bench.dtype == "fp32" else ("bf16", 2.0)  # of queries
    kv = np.where(column(cases, "kv_heads") > 0, column(cases, "kv_heads"), h)
    d, v, g = (LATENT + ROTARY, LATENT, LATENT + ROTARY) if bench.latent else (dim, dim, 2.0 * kv * dim)
    return [
        ops.decode_attention(
            "attention", b=b, l=l, h=h, d=d, v=v, g=g, a=width, r=width, c=cache, dtype=dtype, stored=bench.dtype
        )
    ]


def _collective(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    """`bytes` of a buffer; of expert dispatch and combine, a rank's tokens, each for as many experts as it chooses."""
    algorithm = COLLECTIVES[bench.op]
    tokens, width = column(cases, "m"), column(cases, "k")
    each = np.array([_value_bytes(case["dtype"]) for case in cases])
    plain = column(cases, "bytes") > 0
    size = np.where(plain, column(cases, "bytes"), tokens * width * each)
    copies = np.where(plain, 1.0, noted(cases, "topk", 8.0))
    return [ops.collective(bench.op, algorithm, m=size, k=1.0, r=1.0, ranks=column(cases, "ranks"), copies=copies)]


def _value_bytes(name: str) -> float:
    found = format_of(name)
    return BITS[found] / 8.0 if found else 2.0


def _passing(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    """Copies, norms and other passes over values: the bytes that they move, half in and half out."""
    moved = np.where(column(cases, "bytes") > 0, column(cases, "bytes"), LARGE)
    if bench.quantises:
        return [ops.quantise(bench.op, m=moved / 3.0, k=1.0, a=1.0, r=2.0)]
    return [ops.elementwise(bench.op, m=moved / 2.0, i=1.0, o=1.0, f=0.0, r=1.0)]


def _updating(bench: Bench, cases: Sequence[Case]) -> list[Op]:
    """One step of an optimizer over values: the bytes that it moves, half in and half out."""
    half = column(cases, "bytes") / 2.0
    return [ops.optimizer_update(bench.op, n=half, i=1.0, o=1.0, f=0.0)]


OPERATORS: Mapping[str, Callable[[Bench, Sequence[Case]], list[Op]]] = MappingProxyType(
    {
        "gemm": _gemm,
        "moe_gemm": _experts,
        "attention_prefill": _prefill,
        "attention_decode": _decode,
        **dict.fromkeys(COLLECTIVES, _collective),
        "memcpy": _passing,
        "norm": _passing,
        "other": _passing,
        "update": _updating,
    }
)
TYPED = ("gemm", "moe_gemm", "attention_prefill", "attention_decode")
NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gemm": ("m", "n", "k"),
        "moe_gemm": ("m", "n", "k"),
        "attention_prefill": ("batch", "heads", "q_len"),
        "attention_decode": ("batch", "heads", "kv_len"),
        **dict.fromkeys(COLLECTIVES, ("ranks",)),
        "memcpy": (),
        "norm": ("bytes",),
        "other": ("bytes",),
        "update": ("bytes",),
    }
)
RESULTS = ("latency_us", "tflops", "gbps")
# Copies of what they read that benchmarks cycle through (ai-dynamo/aiconfigurator collectors), and how sharply the
# share that a cache keeps of them falls once they outgrow it.
REPLAYED: Mapping[str, float] = MappingProxyType({MATMUL: 6.0, ATTENTION: 1.0, DECODE_ATTENTION: 1.0})
SHARP = 4.0


def stack_for(bench: Bench, catalog: Catalog, chip: Chip) -> Stack:
    """What the software of a bench adds to its kernels: their rates, and its own collectives."""
    alone = Stack(id="kernels", name="Kernels alone", collectives="direct" if bench.direct else "library")
    return replace(alone, rates=catalog.stack(bench.stack, chip).rates) if bench.stack else alone


def seconds(bench: Bench, cases: Sequence[Case], chip: Chip, stack: Stack) -> tuple[Num, Num, Num]:
    """Measured, expected and ideal seconds of each case; `SkipError` if the chip can't be wired so.

    A rate is turned into a time by the FLOPs or bytes of the operator itself.
    """
    found = OPERATORS[bench.op](bench, cases)
    if not bench.cold:
        found = [replace(op, resident=resident(op, chip)) for op in found]
    if bench.plain and "fp32" not in chip.peaks:
        found = [replace(op, dtype=ops.VECTOR) for op in found]
    if bench.op in COLLECTIVES:
        chip = per_device(chip)
        try:
            check_wiring(chip, int(np.max(column(cases, "ranks"))))
        except PlanError as reason:
            raise SkipError(str(reason)) from None
    expected, ideal = (
        sum((roof.price(op, chip, stack, ideal=flag).time for op in found), start=np.zeros(len(cases)))
        for flag in (False, True)
    )
    return _measured(bench, cases, found, chip), expected, ideal


def per_device(chip: Chip) -> Chip:
    """The chip as software sees it that counts each of its devices as a rank: they all send at once and share links."""
    links = (
        replace(link, bandwidth=link.bandwidth / chip.devices, chips=link.chips * chip.devices) for link in chip.links
    )
    return replace(chip, links=tuple(links))


def evidence(chip: Chip) -> Calibration:
    """What stands behind the constants of a chip's kernels."""
    if chip.calibrated:
        return "measured"
    return "transferred" if chip.achieved else "datasheet"


def resident(op: Op, chip: Chip) -> Num:
    """Share of what a replayed kernel reads that it finds in the last cache before main memory.

    Benchmarks of products cycle through a few copies of the weights, those of decoding read the same cache again.
    """
    cache = chip.cache
    if cache is None or op.kind not in REPLAYED:
        return 0.0
    return np.minimum(cache.capacity / np.maximum(op.read * REPLAYED[op.kind], 1.0), 1.0) ** SHARP


def _sent(message: Message, chip: Chip) -> Num:
    """Bytes that rates are stated of: what a rank sends to others; of experts' messages all that is received, a rank's
    own share too, by ranks or, where there are several domains, by domains (deepseek-ai/DeepEP, tests)."""
    near = chip.link("scale-up")
    domains = np.maximum(message.ranks / (near.chips if near else 1.0), 1.0)
    places = np.where(np.greater(domains, 1.0), domains, message.ranks)
    plain = message.size * VOLUME[message.algorithm](message.ranks)
    return np.where(np.greater(message.copies, 1.0), message.size * ops.drawn(places, message.copies), plain)


def _measured(bench: Bench, cases: Sequence[Case], found: Sequence[Op], chip: Chip) -> Num:
    """Seconds as stated, or from the rate; that of experts' messages is of the link that decides."""
    flops = sum((op.flops for op in found if op.dtype != ops.VECTOR or bench.plain), start=np.zeros(len(cases)))
    moved = sum((op.bytes for op in found), start=np.zeros(len(cases)))
    if bench.op in COLLECTIVES:
        moved = _sent(found[0].message, chip) if found[0].message else moved
    stated, tflops, gbps = (column(cases, name, np.nan) for name in RESULTS)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_rate = np.where(np.isfinite(tflops), flops / (tflops * 1e12), moved / (gbps * 1e9))
    return np.where(np.isfinite(stated), stated * 1e-6, by_rate)
