"""Weights that stay on the chip: what a step no longer reads from main memory, derived a second time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline as rl
from roofline.engine import inference, search
from roofline.engine.deployment import Deployment
from roofline.engine.prediction import Phase, Prediction
from roofline.machine import Chip, Efficiency, Memory, Peak, Stack
from roofline.numeric import Num
from roofline.studies.request import Options, resolve_deployment, resolve_workload
from roofline.workload import Attention, Block, Decode, DenseFFN, Model, Plan, Prefill, Serving, Training

IDEAL = Stack(id="ideal", name="none")
LAYER = Block(count=8, mixer=Attention(heads=16, kv_heads=4, head_dim=64), ffn=DenseFFN(width=4096))
MODEL = Model(id="small", name="Small", hidden=1024, vocab=32000, blocks=(LAYER,))
BARE = Chip(
    id="any", name="Any", vendor="any", kind="asic", peaks={"bf16": Peak(dense=4e14)},
    memory=(Memory(name="HBM", capacity=80e9, bandwidth=2e12),),
    achieved={"matmul": Efficiency(compute=0.7, memory=0.8, latency=3e-6, overlap=2.5)},
)  # fmt: skip
CHIP = """
format: 1
id: kept
name: A chip that keeps weights
vendor: acme
kind: asic
compute:
  peaks:
    bf16: {dense: 400 TFLOP/s, source: target}
memory:
  - {name: SRAM, capacity: 512 MB, bandwidth: 20 TB/s, pinned: true, source: target}
  - {name: HBM, capacity: 96 GB, bandwidth: 4 TB/s, source: target}
links:
  - {name: fabric, scope: scale-up, bandwidth: 300 GB/s, per: direction, chips: 8, source: target}
power: {tdp: 450 W, source: target}
sources:
  target: {title: "Made up"}
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    place = tmp_path / "kept.yaml"
    place.write_text(CHIP)
    return str(place)


def case(path: str, catalog: rl.Catalog, work: str = "llama-3.1-8b-chat") -> tuple[Any, Deployment]:
    job = resolve_workload(catalog, work, Options())
    return job, resolve_deployment(catalog, f"8x{path}:tp=8", job, Options())


def with_sram(where: Deployment, **numbers: Num | bool) -> Deployment:
    near, main = where.chip.memory
    changed: Any = numbers
    return replace(where, chip=replace(where.chip, memory=(replace(near, **changed), main)))


def phase(found: Prediction, name: str) -> Phase:
    return next(item for item in found.phases if item.name == name)


def test_all_weights_in_it_leave_the_cache_and_activations_to_main_memory(path: str, catalog: rl.Catalog) -> None:
    """8 chips hold 2 GB of 16-bit weights each: what main memory moves less is what the products' matrices weigh."""
    job, where = case(path, catalog)
    model = job.model
    without = phase(search.predict(job, with_sram(where, pinned=False)), "decode")
    whole = phase(search.predict(job, with_sram(where, capacity=80e9)), "decode")
    matrices = 2.0 * (model.parameters - model.embedding_parameters) / 8.0  # the token table is looked up, not read
    steps = float(without.repeat)
    less = float(without.memory_bytes - whole.memory_bytes) / steps
    assert less == pytest.approx(matrices, rel=2e-3)  # norms are no products
    assert float(whole.mbu) <= 1.0


def test_half_of_the_weights_are_half_of_the_reading(path: str, catalog: rl.Catalog) -> None:
    job, where = case(path, catalog)
    held = float(np.max(search.predict(job, where).memory.weights))
    moved = [
        float(phase(search.predict(job, with_sram(where, capacity=share * held)), "decode").memory_bytes)
        for share in (0.0, 0.5, 1.0, 2.0)
    ]
    assert moved[0] - moved[1] == pytest.approx(moved[1] - moved[2], rel=1e-9)
    assert moved[2] == moved[3]
    assert moved[0] == float(phase(search.predict(job, with_sram(where, pinned=False)), "decode").memory_bytes)


@given(
    st.floats(1e6, 1e11), st.floats(1.0, 100.0), st.floats(1e11, 1e14), st.floats(1.0, 100.0), st.sampled_from([1, 64])
)
def test_more_and_faster_sram_is_never_slower(
    size: float, more: float, speed: float, faster: float, batch: int
) -> None:
    job = Serving(id="s", model=MODEL, steps=(Prefill(200.0), Decode(50.0)), batch=float(batch))

    def seconds(*near: Memory) -> tuple[float, float]:
        where = Deployment(chip=replace(BARE, memory=(*near, *BARE.memory)), num_chips=1, stack=IDEAL, plan=Plan())
        metrics: Any = inference.predict(job, where).metrics
        assert float(metrics["tpot_s_ideal"]) <= float(metrics["tpot_s"])
        return float(metrics["ttft_s"]), float(metrics["tpot_s"])

    some, most = (
        seconds(Memory(name="SRAM", capacity=capacity, bandwidth=bandwidth, pinned=True))
        for capacity, bandwidth in ((size, speed), (size * more, speed * faster))
    )
    for few, many, none in zip(some, most, seconds(), strict=True):
        assert many <= few * (1 + 1e-12)
        assert few <= none * (1 + 1e-12)


def test_neither_training_nor_what_drafts_keeps_weights(path: str, catalog: rl.Catalog) -> None:
    job, where = case(path, catalog, "llama-3.1-8b-pretraining")
    assert isinstance(job, Training)
    times = [float(search.predict(job, with_sram(where, pinned=on)).metrics["step_time_s"]) for on in (True, False)]  # type: ignore[arg-type]
    assert times[0] == times[1]
    options = Options(draft_tokens=3.0, acceptance=0.7, draft="llama-3.2-1b")
    drafted = resolve_workload(catalog, "llama-3.1-8b-chat", options)
    kept, read = (search.predict(drafted, with_sram(where, pinned=on)) for on in (True, False))
    assert float(phase(kept, "draft").time) == float(phase(read, "draft").time)
    assert float(phase(kept, "decode").time) < float(phase(read, "decode").time)


def test_explain_tells_the_share_and_its_speed(path: str, catalog: rl.Catalog) -> None:
    text = str(rl.explain("llama-3.1-8b-chat", f"8x{path}:tp=8", "decode/ffn/up"))
    assert "bytes·(1 - resident·(1 - 1/cache))/(bandwidth·memory)" in text
    assert "Made up" in text


def test_sram_is_an_axis_of_a_sweep(path: str, catalog: rl.Catalog) -> None:
    """As of a chip whose file has those numbers; and no axis where nothing is kept."""
    vary = ["memory.SRAM.capacity=256MB,1GB", "memory.SRAM.bandwidth=10TB/s,40TB/s"]
    rows = rl.sweep("llama-3.1-8b-chat", f"8x{path}:tp=8", vary=vary)["rows"]
    job, where = case(path, catalog)
    for row in rows:
        alone = with_sram(where, capacity=row["memory.SRAM.capacity"], bandwidth=row["memory.SRAM.bandwidth"])
        assert row["tpot_s"] == float(search.predict(job, alone).metrics["tpot_s"])  # type: ignore[arg-type]
    assert len({row["tpot_s"] for row in rows}) == 4
    with pytest.raises(rl.RooflineError, match="no such number"):
        rl.sweep("llama-3.1-8b-chat", "8xh100-sxm", vary="memory.SRAM.capacity=1GB")


def test_a_scratchpad_is_a_memory_before_the_main_one(catalog: rl.Catalog, path: str) -> None:
    found: Chip = catalog.chip(path)
    assert found.scratchpad is found.memory[0]
    assert found.near_speed == 5.0
    assert replace(found, cache_speed=1.1).near_speed == 5.0  # a family's caches are no scratchpads
    assert replace(found, memory=found.memory[1:], cache_speed=1.1).near_speed == 1.1
    assert catalog.chip("h100-sxm").scratchpad is None
