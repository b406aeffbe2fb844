"""Machines that are no GPUs, as shipped: what decides their times, each against a derivation by hand."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2
from typing import Any

import numpy as np
import pytest

from roofline.catalog.store import Catalog
from roofline.engine import collectives, memory, roof, search
from roofline.engine.deployment import Deployment
from roofline.engine.inference import predict
from roofline.engine.lower import Pass, lower
from roofline.engine.ops import Message
from roofline.engine.prediction import Phase, Prediction
from roofline.machine import Stack
from roofline.workload import Decode, Plan, Precision, Serving

CATALOG = Catalog()
US = 1e-6
CONTEXT = 1024.0


def request(model: str, batch: Any = 1.0, context: float = CONTEXT) -> Serving:
    """One token for each of `batch` requests."""
    return Serving(id="test", model=CATALOG.model(model), batch=batch, cached=context, steps=(Decode(1.0),))


def stated(stack: str, chip: str) -> Stack:
    """A stack as its file states it on a chip."""
    return CATALOG.stack(stack, CATALOG.chip(chip))


def on(chip: str, count: int, stack: Stack | None = None, **plan: Any) -> Deployment:
    """So many chips under their usual software."""
    machine = CATALOG.chip(chip)
    software = stack or CATALOG.stack(machine.stack("serving"), machine)
    return Deployment(
        chip=machine,
        num_chips=count,
        stack=software,
        plan=Plan(placement=software.placement, devices=float(machine.devices), **plan),
        precision=Precision(),
    )


def decode(found: Prediction) -> Phase:
    """The only phase of a request that decodes."""
    return found.phases[-1]


def number(value: object) -> float:
    """A metric as a float."""
    return float(np.asarray(value, dtype=np.float64))


# --- weights in SRAM, a pipeline of chips ---------------------------------------------------------------------------


def test_the_sram_of_a_groq_chip_decides_how_many_hold_a_model() -> None:
    """ceil((weights + cache + working memory)/230 MB): nothing else has room for weights."""
    work, chip = request("llama-3.1-8b"), CATALOG.chip("groq-lpu-v1")
    stack = CATALOG.stack("groq", chip)
    found = search.fewest_chips(work, chip, stack, Precision(), {})
    room = float(np.max(chip.main_memory.capacity))
    weights = float(np.max(memory.weight_bytes(work.model, Precision(), Plan())))
    cache = float(np.max(memory.cache_bytes_per_sequence(work.model, Precision(), Plan(), CONTEXT)))
    assert weights == 2.0 * work.model.parameters
    least = ceil((weights + cache) / room)
    assert least == 71
    assert found in (least, least + 1)  # activations of the widest layer take a part of one more


@pytest.mark.parametrize("users", [1, 8, 72])
def test_users_in_flight_share_the_chips_without_slowing_each_other(users: int) -> None:
    """Each of 72 stages works on another user: the time of a token stays, throughput is users over that time."""
    alone = predict(request("llama-3.1-70b"), on("groq-lpu-v1", 1440, tp=20.0, pp=72.0)).metrics
    shared = predict(request("llama-3.1-70b", float(users)), on("groq-lpu-v1", 1440, tp=20.0, pp=72.0)).metrics
    assert shared["tpot_s"] == pytest.approx(alone["tpot_s"], rel=1e-12)
    assert shared["decode_tokens_per_s"] == pytest.approx(users / number(alone["tpot_s"]), rel=1e-12)


def test_a_full_pipeline_makes_users_wait_for_each_other() -> None:
    """One user more than stages: two of them share a stage's turn."""
    full, more = (
        predict(request("llama-3.1-70b", users), on("groq-lpu-v1", 1440, tp=20.0, pp=72.0)).phases[-1]
        for users in (72.0, 73.0)
    )
    products = [op for op in more.operators if op.op.kind == "matmul"]
    assert float(more.step_time) > float(full.step_time)
    assert all(float(item.op.rows) == 2.0 for item in products if "logits" not in item.op.name)


def test_a_token_on_groq_is_a_chain_of_layers() -> None:
    """Layers, all-reduces and hand-overs, one after another: within 10 % of 750 and 300 tokens/s per user (published)."""
    for model, published, stages in (("llama-3.1-8b", 751.0, 10.0), ("llama-3.1-70b", 300.0, 80.0)):
        found = predict(request(model), on("groq-lpu-v1", int(8 * stages), tp=8.0, pp=stages)).metrics
        assert number(found["output_tokens_per_s_per_user"]) == pytest.approx(published, rel=0.1)


def test_a_dragonfly_is_three_hops_wide() -> None:
    """To the edge of a group, to another group, on inside it: never more, however many chips."""
    link = CATALOG.chip("groq-lpu-v1").link("scale-up")
    assert link is not None
    assert [float(collectives.steps(link, ranks)) for ranks in (1.0, 2.0, 8.0, 72.0, 576.0)] == [0, 1, 3, 3, 3]


# --- wafer scale ----------------------------------------------------------------------------------------------------


def test_layers_lie_on_as_many_wafers_as_hold_them() -> None:
    """141 GB of Llama 3.1 70B on wafers of 44 GB: four, and three crossings in every token."""
    work, chip = request("llama-3.1-70b"), CATALOG.chip("wse-3")
    stack = CATALOG.stack("cerebras", chip)
    assert search.fewest_chips(work, chip, stack, Precision(), {}) == ceil(2.0 * work.model.parameters / 44e9) == 4
    found = decode(predict(work, on("wse-3", 4, pp=4.0)))
    sends = next(item for item in found.operators if item.op.name == "pipeline/send")
    assert float(sends.op.count) == 3.0
    assert float(sends.expected.time) > 240 * US


def test_a_wafer_is_bound_by_its_layers_not_by_its_memory() -> None:
    """17 us a layer, and crossings: 1,800 and 450 tokens/s per user as published, at under 2 % of the bandwidth."""
    one = predict(request("llama-3.1-8b"), on("wse-3", 1))
    four = predict(request("llama-3.1-70b"), on("wse-3", 4, pp=4.0))
    assert number(one.metrics["output_tokens_per_s_per_user"]) == pytest.approx(1837, rel=0.05)
    assert number(four.metrics["output_tokens_per_s_per_user"]) == pytest.approx(450, rel=0.05)
    assert float(decode(one).mbu) < 0.02


# --- dataflow -------------------------------------------------------------------------------------------------------


def test_fused_layers_stream_weights_and_nothing_else() -> None:
    """One socket, one stream: within 15 % of reading the weights at the memory rate; no layer costs a launch."""
    work, where = request("llama-3.1-8b", context=1.0), on("sn40l", 1)
    found = decode(predict(work, where))
    read = 2.0 * (work.model.parameters - work.model.embedding_parameters) / 1.6e12
    assert read < float(found.step_time) < 1.15 * read
    assert float(where.stack.layer) < 5 * US


# --- torus ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chip", "links"), [("tpu-v7-ironwood", 6.0), ("tpu-v6e", 4.0)])
@pytest.mark.parametrize("ranks", [2.0, 4.0, 8.0, 16.0, 256.0])
def test_a_part_of_a_torus_has_only_its_own_links(chip: str, links: float, ranks: float) -> None:
    """A square of four chips has two links each, a cube three: up to four chips an axis a torus is a hypercube."""
    link = CATALOG.chip(chip).link("scale-up")
    assert link is not None
    usable = min(log2(ranks), links) / links
    assert float(collectives.bandwidth(link, ranks, "all-gather")) == pytest.approx(usable * link.bandwidth)


def test_four_ironwoods_gather_at_two_links() -> None:
    """Both cores of four chips gather 256 MiB each: 0.75·2·256 MiB over two links of 100 GB/s; 2.25 ms were measured."""
    machine = CATALOG.chip("tpu-v7-ironwood")
    message = Message("all-gather", 2.0 * 2**28, 4.0)
    bound = float(collectives.time(message, machine, CATALOG.stack("ideal"), ideal=True))
    assert bound == pytest.approx(0.75 * 2.0 * 2**28 / 200e9, rel=1e-9)
    found = float(collectives.time(message, machine, CATALOG.stack("jax", machine), ideal=False))
    assert found == pytest.approx(2252.3 * US, rel=0.03)


@pytest.mark.parametrize(("length", "axes"), [(4, 1), (8, 1), (4, 2), (8, 2), (16, 2), (4, 3), (8, 3)])
def test_all_to_all_is_bound_by_the_middle_of_a_torus(length: int, axes: int) -> None:
    """Half of all bytes cross the middle: 2·length^(axes − 1) links each way, of 1/(2·axes) of a chip's bandwidth."""
    known = CATALOG.chip("tpu-v6e")
    topology: Any = {1: "ring", 2: "torus2d", 3: "torus3d"}[axes]
    link = replace(known.links[0], topology=topology, latency=0.0, chips=1e6)
    ranks, size = float(length**axes), 1e9
    found = collectives.time(
        Message("all-to-all", size, ranks), replace(known, links=(link,)), CATALOG.stack("ideal"), ideal=True
    )
    crossing = ranks / 2.0 * size / 2.0
    middle = 2.0 * length ** (axes - 1) * link.bandwidth / (2.0 * axes)
    assert float(found) == pytest.approx(crossing / middle, rel=1e-9)


# --- key-value heads that run out -----------------------------------------------------------------------------------


def test_more_ranks_than_heads_read_the_cache_several_times() -> None:
    """Eight key-value heads on 16 chips of two cores: 32 ranks keep 32 heads, four times the cache."""
    model, chip = CATALOG.model("llama-3.1-70b"), CATALOG.chip("trainium1")
    held = {
        tp: tp * float(np.max(memory.cache_bytes_per_sequence(model, Precision(), Plan(tp=tp, devices=2.0), CONTEXT)))
        for tp in (1.0, 4.0, 16.0)
    }
    assert chip.devices == 2.0
    assert held[4.0] == held[1.0]
    assert held[16.0] == 4.0 * held[1.0]
    read = [
        next(op for op in lower(model, Precision(), Plan(tp=tp, devices=2.0), Pass(1.0, context=CONTEXT, decode=True))
             if op.name == "attention/core").read
        for tp in (4.0, 16.0)
    ]  # fmt: skip
    assert float(read[1]) == pytest.approx(float(read[0]), rel=1e-2)  # four times the chips, none reads less


# --- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chip", "stack"), [("gaudi2", "optimum-habana"), ("ascend-910b", "vllm-ascend")])
@pytest.mark.parametrize("tp", [1.0, 2.0, 8.0])
def test_no_step_is_faster_than_its_host(chip: str, stack: str, tp: float) -> None:
    """However many chips share the work, launching 32 layers takes what it takes; longer work hides it."""
    software = stated(stack, chip)
    assert float(software.host) > 0.0
    where = on(chip, int(tp), software, tp=tp)
    found = decode(predict(request("llama-3.1-8b"), where))
    without = decode(predict(request("llama-3.1-8b"), replace(where, stack=replace(software, host=0.0))))
    floor = 32.0 * float(software.host)
    assert float(found.step_time) == pytest.approx(max(floor, float(without.step_time)), rel=1e-12)
    assert float(found.step_time) == pytest.approx(float(roof.expected_time(found.operators)), rel=1e-12)


def test_a_host_is_waited_for_only_where_the_chip_is_done() -> None:
    """Element by element: small batches wait, large ones do not."""
    software = replace(stated("optimum-habana", "gaudi2"), host=300 * US)
    batch = np.array([1.0, 512.0])
    steps = decode(predict(request("llama-3.1-8b", batch), on("gaudi2", 1, software))).step_time
    each = [decode(predict(request("llama-3.1-8b", size), on("gaudi2", 1, software))).step_time for size in batch]
    assert [float(step) for step in np.asarray(steps)] == [float(step) for step in each]
    assert float(each[0]) == pytest.approx(32 * 300 * US, rel=1e-12)
    assert float(each[1]) > 32 * 300 * US


# --- operators launched one by one, processors ----------------------------------------------------------------------


def test_block_formats_carry_their_shared_exponents() -> None:
    """Sixteen values share eight bits: 8.5 and 4.5 bits a weight, which the chip multiplies at its narrowest rate."""
    model, chip = CATALOG.model("llama-3.1-8b"), CATALOG.chip("wormhole-n150")
    layers = float(np.max(memory.layer_parameters(model, Plan())))
    for name, bits in (("bfp8", 8.5), ("bfp4", 4.5)):
        precision = Precision(name, name)
        held = float(np.max(memory.weight_bytes(model, precision, Plan())))
        assert held == pytest.approx((layers * bits + float(model.outer_parameters) * 8.5) / 8.0, rel=1e-9)
        assert roof.arithmetic(chip, name) == "fp8"


def test_two_sockets_read_twice_as_much() -> None:
    """Tensor parallelism over two sockets halves what each reads; software without it leaves most of the rate unused."""
    one, two = (decode(predict(request("llama-3.1-8b"), on("xeon-6980p", int(n), tp=n))) for n in (1.0, 2.0))
    layers = 32 * float(CATALOG.stack("sglang-cpu").layer)
    assert (float(one.step_time) - layers) / (float(two.step_time) - layers) == pytest.approx(2.0, rel=0.05)
    aware, unaware = CATALOG.stack("sglang-cpu"), stated("llama.cpp", "xeon-6980p")
    assert float(unaware.memory) < 0.3 * float(aware.memory)
