"""Prices written out: the text that `explain` shows is the arithmetic that the engine does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.catalog.store import Catalog
from roofline.engine import ops, roof, search
from roofline.engine.collectives import VOLUME as VOLUMES
from roofline.engine.ops import COLLECTIVE, OVERHEAD, Op
from roofline.machine import Chip, Efficiency, Link, LinkEfficiency, Memory, Peak, Stack
from roofline.machine.chip import IDEAL_KERNEL
from roofline.source import Source
from roofline.studies import explain
from roofline.studies.analyze import predict
from roofline.studies.arithmetic.collectives import collective
from roofline.studies.arithmetic.kernels import kernel
from roofline.studies.arithmetic.overheads import overhead
from roofline.studies.arithmetic.sheet import Line, Step, stack_source
from roofline.studies.request import Options, resolve_deployment, resolve_workload

# Between them: every kind of operator, every topology, both kinds of collectives, one and two levels, all placements.
DEPLOYMENTS = [
    ("llama-3.1-70b-chat", "8xh100-sxm"),
    ("llama-3.1-70b-chat", "8xmi300x"),
    ("llama-3.1-70b-chat", "8xtpu-v6e"),
    ("llama-3.1-70b-chat", "576xgroq-lpu-v1"),
    ("llama-3.1-8b-chat", "m4-max"),
    ("llama-3.1-8b-chat", "rtx-4090:stack=exllama"),
    ("llama-3.1-8b-chat", "wormhole-n150"),
    ("deepseek-v3-chat", "32xh200-sxm:dp=32,ep=32"),
    ("deepseek-v4-flash", "8xb200-sxm"),
    ("nemotron-h-56b", "8xh100-sxm:tp=8"),
    ("llama-3.1-405b-pretraining", "16384xh100-sxm"),
]
TOPOLOGIES = ("switch", "mesh", "ring", "torus2d", "torus3d")


def written(op: Op, chip: Chip, stack: Stack) -> dict[str, float]:
    """The values of all lines of a kernel or collective by name."""
    lines: list[Line] = (collective if op.kind == COLLECTIVE else kernel)(op, chip, stack)
    return {line.name: line.value for line in lines}


@pytest.mark.parametrize(("workload", "deployment"), DEPLOYMENTS, ids=[where for _, where in DEPLOYMENTS])
def test_the_last_step_is_the_price(catalog: Catalog, workload: str, deployment: str) -> None:
    found = predict(workload, deployment, Options(), catalog)
    chip, stack = found.deployment.chip, found.deployment.stack
    items = [item for phase in found.phases for item in phase.operators if item.op.kind != OVERHEAD]
    shown = [written(item.op, chip, stack)["one_execution"] for item in items]
    assert shown == pytest.approx([float(item.expected.time) for item in items], rel=1e-12)


@pytest.mark.parametrize(("workload", "deployment"), DEPLOYMENTS, ids=[where for _, where in DEPLOYMENTS])
def test_the_best_case_is_the_ideal_price(catalog: Catalog, workload: str, deployment: str) -> None:
    found = predict(workload, deployment, Options(), catalog)
    chip, stack = found.deployment.chip, found.deployment.stack
    kernels = [item for phase in found.phases for item in phase.operators if item.op.kind not in (OVERHEAD, COLLECTIVE)]
    shown = [written(item.op, chip, stack)["at_best"] for item in kernels]
    assert shown == pytest.approx([float(item.ideal.time) for item in kernels], rel=1e-12)


GUESSES = Options(draft_tokens=4.0, acceptance=0.7, draft="llama-3.2-1b")


@pytest.mark.parametrize("bucket", [None, 1.0, 4096.0])
@pytest.mark.parametrize(("workload", "deployment"), DEPLOYMENTS[:-1:3], ids=[where for _, where in DEPLOYMENTS[:-1:3]])
def test_buckets_and_guesses_are_written_as_they_are_priced(
    catalog: Catalog, workload: str, deployment: str, bucket: float | None
) -> None:
    job = resolve_workload(catalog, workload, GUESSES)
    where = resolve_deployment(catalog, deployment, job, GUESSES)
    where = replace(where, stack=replace(where.stack, bucket=bucket))
    items = [item for phase in search.predict(job, where).phases for item in phase.operators]
    kernels = [item for item in items if item.op.kind not in (OVERHEAD, COLLECTIVE)]
    shown = [written(item.op, where.chip, where.stack) for item in kernels]
    assert any("padded" in lines for lines in shown) == (bucket is not None)
    for name, price in (("one_execution", "expected"), ("at_best", "ideal")):
        times = [float(getattr(item, price).time) for item in kernels]
        assert [lines[name] for lines in shown] == pytest.approx(times, rel=1e-12)


def test_a_draft_is_explained_by_its_own_model(catalog: Catalog) -> None:
    lines = explain.explain("llama-3.1-8b-chat", "h100-sxm:stack=vllm", "draft/ffn/up", GUESSES, catalog)["lines"]
    assert any(line["source"].startswith("shape of llama-3.2-1b") for line in lines)
    told = explain.explain("llama-3.1-8b-chat", "h100-sxm:stack=vllm", "draft/vllm/overhead", GUESSES, catalog)["lines"]
    assert next(line["result"] for line in told if line["quantity"] == "layers") == "16"


HOSTED = """
extends: h100-sxm
id: hosted
memory:
  - {name: HBM3, capacity: 80 GiB, bandwidth: 3.35 TB/s, main: true, source: idea}
  - {name: host, capacity: 1 TB, bandwidth: 55 GB/s, source: idea}
sources:
  idea: {title: An idea, date: "2026-11-26"}
"""
OVERHEADS = {
    "llama-3.1-8b-chat h100-sxm:stack=vllm": 2,
    "llama-3.1-8b-chat h100-sxm:stack=vllm-v0": 2,
    "llama-3.1-8b-chat gaudi2:stack=optimum-habana": 2,
    "llama-3.1-8b-chat 8xh200-sxm:stack=sglang": 2,
    "llama-3.1-70b-pretraining 64xh100-sxm:pp=4,vpp=2": 3,
    "llama-3.1-70b-pretraining 64xh100-sxm:pp=4,schedule=zero-bubble": 3,
    "deepseek-v3-pretraining 2048xh800-sxm:pp=16,ep=64": 3,
    "llama-3.1-70b-pretraining 64xHOSTED:offload_activations=50%,offload_optimizer=50%": 6,
}


@pytest.mark.parametrize("asked", OVERHEADS)
def test_what_is_no_kernel_and_no_message_is_its_price(catalog: Catalog, asked: str, tmp_path: Path) -> None:
    file = tmp_path / "hosted.yaml"
    file.write_text(HOSTED)
    workload, where = asked.replace("HOSTED", str(file)).split()
    found = predict(workload, where, Options(), catalog)
    items = [item for phase in found.phases for item in phase.operators if item.op.kind == OVERHEAD]
    assert len(items) == OVERHEADS[asked]
    for item in items:
        lines = overhead(item.op, found.workload.model, found.deployment)
        assert lines[-1].name == "one_execution"
        assert lines[-1].value == pytest.approx(float(item.op.terms["seconds"]), rel=1e-12), item.op.name


def machine(reached: Efficiency = IDEAL_KERNEL, *links: Link, **more: Any) -> Chip:
    """A chip whose products reach that much."""
    chip = Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=4e14, narrow=8e14)},
        vector=2e13,
        compute_units=100.0,
        clock=1e9,
        memory=(Memory(name="L2", capacity=5e7), Memory(name="HBM", capacity=8e10, bandwidth=2e12)),
        links=links,
        achieved={"matmul": reached},
    )
    return replace(chip, **more)


PRODUCT = ops.matmul("x", 48.0, 4096.0, 1024.0, w=0.5, a=2.0, r=2.0, dtype="bf16")
SPLIT = Efficiency(compute=0.6, memory=0.8, latency=3e-6, overlap=2.5, half=20.0, fill=0.2, split=2e-6, score=9.0)
STACK = Stack(id="any", name="Any")


@pytest.mark.parametrize(
    ("chip", "stack"),
    [
        (machine(IDEAL_KERNEL), STACK),
        (machine(SPLIT), STACK),
        (machine(replace(SPLIT, split=np.inf)), STACK),
        (machine(replace(SPLIT, overlap=1.0)), STACK),
        (machine(SPLIT, compute_units=None), STACK),
        (machine(SPLIT, cache_speed=3.0), STACK),
        (machine(SPLIT, vector=None, peaks={}), STACK),
        (machine(SPLIT), replace(STACK, latency=0.5, compute=1.4, memory=1.3, operator=1e-6, rates={"matmul": 0.9})),
        (machine(SPLIT), replace(STACK, compute=9.0, memory=9.0)),
        (machine(SPLIT), replace(STACK, stream=6.4)),
        (machine(SPLIT), replace(STACK, expand_rows=32.0)),
        (machine(SPLIT), replace(STACK, expand_rows=64.0)),
        (machine(SPLIT), replace(STACK, narrow_sums=True)),
    ],
)
@pytest.mark.parametrize("resident", [0.0, 0.3])
def test_every_constant_is_shown_where_it_counts(chip: Chip, stack: Stack, resident: float) -> None:
    """Constants that do nothing are left out of the text; none that does something may be."""
    op = replace(PRODUCT, resident=resident, columns=256.0)
    shown = written(op, chip, stack)
    prices = [float(roof.price(op, chip, stack, ideal=ideal).time) for ideal in (False, True)]
    assert [shown["one_execution"], shown["at_best"]] == pytest.approx(prices, rel=1e-12)


ATTENDING = ops.decode_attention(
    "x", b=4.0, l=900.0, h=8.0, d=128.0, v=128.0, g=512.0, a=2.0, r=2.0, c=2.0, dtype="bf16"
)


@pytest.mark.parametrize("few", [{}, {"half": 60.0}, {"least": 9000.0}, {"half": 60.0, "least": 9000.0}])
@pytest.mark.parametrize("padded", [1.0, 1.3])
@pytest.mark.parametrize("reread", [0.0, 0.4])
def test_what_is_read_again_is_shown(few: dict[str, float], padded: float, reread: float) -> None:
    op, stack = replace(ATTENDING, padded=padded), replace(STACK, reread=reread)
    chip = machine(achieved={"decode-attention": Efficiency(memory=0.8, **few)})
    shown = written(op, chip, stack)
    assert shown["one_execution"] == pytest.approx(float(roof.price(op, chip, stack, ideal=False).time), rel=1e-12)
    assert ("sharing" in shown) is bool(reread)


def test_a_constant_that_does_nothing_is_not_shown() -> None:
    names = set(written(PRODUCT, machine(Efficiency(compute=0.6)), STACK))
    assert not names & {"half", "fill", "split", "score", "overlap", "operator", "stream", "software_memory"}


LINKS = st.builds(
    LinkEfficiency,
    bandwidth=st.floats(min_value=0.1, max_value=1.0),
    latency=st.sampled_from([0.0, 4e-6]),
    step=st.sampled_from([0.0, 5e-7]),
    overlap=st.floats(min_value=0.34, max_value=1.0),
)


@given(
    algorithm=st.sampled_from(sorted(VOLUMES)),
    ranks=st.integers(min_value=2, max_value=64).map(float),
    stride=st.sampled_from([1.0, 4.0, 8.0]),
    topology=st.sampled_from(TOPOLOGIES),
    copies=st.sampled_from([1.0, 8.0]),
    hop=st.sampled_from([0.0, 1e-6]),
    library=LINKS,
    own=LINKS,
    sends=st.none() | LINKS,
    direct=st.booleans(),
)
def test_collectives_are_written_as_they_are_priced(
    algorithm: str,
    ranks: float,
    stride: float,
    topology: Any,
    copies: float,
    hop: float,
    library: LinkEfficiency,
    own: LinkEfficiency,
    sends: LinkEfficiency | None,
    direct: bool,
) -> None:
    near = Link(name="near", scope="scale-up", bandwidth=4e11, latency=hop, chips=8.0, topology=topology)
    far = Link(name="far", scope="scale-out", bandwidth=5e10, latency=hop)
    reached = {"scale-up": library, "scale-out": library, f"scale-up/{algorithm}": own}
    apart = {} if sends is None else {"scale-up/sends": sends}
    chip = machine(IDEAL_KERNEL, near, far, achieved_links={**reached, **apart})
    stack = replace(STACK, operator=1e-6, collectives="direct" if direct else "library")
    op = ops.collective("x", algorithm, m=64.0, k=8192.0, r=2.0, ranks=ranks, stride=stride, copies=copies)
    price = float(roof.price(op, chip, stack, ideal=False).time)
    assert written(op, chip, stack)["one_execution"] == pytest.approx(price, rel=1e-9)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (("variants.any.rates.compute", "rates.compute"), "variants.any.rates.compute"),
        (("variants.gpu.rates.compute", "variants.kin.rates.compute", "rates.compute"), "variants.kin.rates.compute"),
        (("rates.compute",), "rates.compute"),
        ((), "The stack"),
    ],
)
def test_a_stacks_number_is_cited_from_where_it_holds(stated: tuple[str, ...], expected: str) -> None:
    """The chip's own before its family's, that before its kind's, that before what holds everywhere."""
    stack = replace(STACK, name="The stack", sources={path: Source(title=path) for path in stated})
    chip = machine(IDEAL_KERNEL, family="kin")
    assert stack_source(stack, chip, "rates.compute") == expected


def test_numbers_stand_in_the_text_with_their_units() -> None:
    step = Step("work", "max(compute_time, a*b)", {"compute_time": (2e-6, "s"), "a": (3.0, ""), "b": (1e9, "B")}, 3e9)
    line = explain.line_of(step)
    assert (line["formula"], line["numbers"]) == ("max(compute time, a·b)", "max(2 us, 3·1 GB)")


def test_rates_that_nobody_published_are_unknown() -> None:
    shown = [explain.line_of(line) for line in kernel(PRODUCT, machine(vector=None, peaks={}), STACK)]
    peak = next(line for line in shown if line["quantity"] == "peak")
    assert (peak["result"], peak["source"]) == ("unknown", "not published")
