"""How requests get into a server: several prompts in one pass, room that is reserved, time in front of the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline import repeated
from roofline.catalog.store import Catalog
from roofline.engine import inference, throughput
from roofline.engine.deployment import Deployment
from roofline.engine.phases import work_time
from roofline.engine.prediction import Phase, Prediction
from roofline.machine import Chip, Memory, Peak, Stack
from roofline.workload import Decode, Model, Pause, Plan, Prefill, Serving

CHUNKED = Stack(id="chunked", name="chunked", prefill_chunk=2048.0, request=1e-3)
STATIC = replace(CHUNKED, batching="static", request=0.0)


def machine(capacity: float = 1e13) -> Chip:
    return Chip(
        id="any", name="Any", vendor="any", kind="gpu", peaks={"bf16": Peak(dense=1e15)},
        memory=(Memory(name="HBM", capacity=capacity, bandwidth=4e12),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return Catalog().model("llama-3.1-8b")


def run(work: Serving, stack: Stack, chip: Chip | None = None, **degrees: float) -> Prediction:
    plan = Plan(**degrees)  # type: ignore[arg-type]
    where = Deployment(chip=chip or machine(), num_chips=int(plan.num_chips), stack=stack, plan=plan)
    return inference.predict(work, where)


def requests(model: Model, batch: float, prompt: float = 128.0, output: float = 128.0) -> Serving:
    return Serving(id="w", model=model, steps=(Prefill(prompt), Decode(output)), batch=batch)


def reading(found: Prediction) -> Phase:
    return next(phase for phase in found.phases if phase.name == "prefill")


def test_as_many_prompts_pass_together_as_requests_leave_in_a_step(model: Model) -> None:
    """1,024 requests of 128 tokens: eight finish in each step, so eight begin; a static batch of eight reads the same."""
    found = run(requests(model, 1024.0), CHUNKED)
    together = reading(run(requests(model, 8.0), STATIC))
    assert float(reading(found).shared) == 8.0
    assert float(reading(found).step_time) == pytest.approx(float(together.step_time), rel=1e-12)
    assert float(work_time(reading(found))) == pytest.approx(float(together.step_time) / 8.0, rel=1e-12)
    assert float(reading(found).ideal_time) == pytest.approx(float(together.ideal_time) / 8.0, rel=1e-12)


def test_a_steady_state_reads_every_prompt_once(model: Model) -> None:
    """While 1,024 requests generate 128 tokens each there are 128 passes of eight prompts and 128 steps."""
    found = run(requests(model, 1024.0), replace(CHUNKED, request=0.0))
    passes, step = reading(found), next(phase for phase in found.phases if phase.name == "decode")
    cycle = 128.0 * float(passes.step_time) + float(step.time)
    # beside its cycle a request waits for half a step, and its own pass is read whole
    slack = float(step.step_time) + float(passes.step_time)
    assert float(found.metrics["e2e_latency_s"]) == pytest.approx(cycle, abs=slack)  # type: ignore[arg-type]


@given(st.floats(1.0, 4096.0), st.floats(1.0, 4096.0), st.floats(1.0, 2048.0))
@settings(max_examples=40, deadline=None)
def test_no_more_than_a_chunk_holds_and_never_less_than_one(batch: float, prompt: float, output: float) -> None:
    model = Catalog().model("llama-3.1-8b")
    prompt, output = np.floor(prompt), np.floor(output)
    shared = float(np.max(reading(run(requests(model, batch, prompt, output), CHUNKED)).shared))
    assert 1.0 <= shared <= max(2048.0 // prompt, 1.0)
    leaving = np.clip(np.ceil(batch) / output, 1.0, max(2048.0 // prompt, 1.0))
    assert shared == pytest.approx(leaving, rel=2.0 ** (1 / 8) - 1.0 + 1e-9)


@pytest.mark.parametrize("stack", [STATIC, replace(CHUNKED, prefill_chunk=np.inf)], ids=["static", "no chunks"])
def test_other_software_reads_as_before(model: Model, stack: Stack) -> None:
    assert float(reading(run(requests(model, 1024.0), stack)).shared) == 1.0


def test_few_requests_or_prompts_alone_pass_by_themselves(model: Model) -> None:
    assert reading(run(requests(model, 128.0), CHUNKED)).shared == 1.0
    alone = Serving(id="p", model=model, steps=(Prefill(128.0),), batch=512.0)
    assert reading(run(alone, CHUNKED)).shared == 1.0


def test_mesh_elements_are_points(model: Model) -> None:
    batches = np.array([[16.0], [512.0], [2048.0]])
    outputs = np.array([32.0, 128.0, 4096.0])
    mesh = run(replace(requests(model, 1.0), batch=batches, steps=(Prefill(128.0), Decode(outputs))), CHUNKED)
    for row, batch in enumerate(batches[:, 0]):
        for column, output in enumerate(outputs):
            point = run(requests(model, batch, 128.0, output), CHUNKED)
            for name in ("ttft_s", "tpot_s", "e2e_latency_s", "output_tokens_per_s", "prefill_tokens_per_s"):
                value = np.broadcast_to(np.asarray(mesh.metrics[name]), (3, 3))[row, column]
                assert value == float(point.metrics[name]), (name, batch, output)  # type: ignore[arg-type]


def test_many_steps_and_pauses_are_as_by_themselves(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six prompts of one request are one array with an axis of their own, beside those of a mesh."""
    monkeypatch.setattr(repeated, "LEAST", 1)
    steps = (*(step for _ in range(6) for step in (Prefill(64.0), Decode(8.0), Pause(0.5))), Decode(4.0))
    batches = np.array([1.0] * 20 + [4096.0] * 20)
    mesh = run(Serving(id="w", model=model, steps=steps, batch=batches), CHUNKED)
    for column in (0, 39):
        point = run(Serving(id="w", model=model, steps=steps, batch=float(batches[column])), CHUNKED)
        for name in ("ttft_s", "tpot_s", "e2e_latency_s", "requests_per_s"):
            value = np.broadcast_to(np.asarray(mesh.metrics[name]), batches.shape)[column]
            assert value == pytest.approx(float(point.metrics[name]), rel=1e-12), (name, column)  # type: ignore[arg-type]


def test_rates_of_prompts_are_of_all_that_pass(model: Model) -> None:
    found = run(requests(model, 1024.0), CHUNKED)
    by_pass = 8.0 * 128.0 / float(reading(found).step_time)
    assert float(found.metrics["prefill_tokens_per_s"]) == pytest.approx(by_pass, rel=1e-9)  # type: ignore[arg-type]
    alone = next(item for item in throughput.throughputs(found) if item.phase == "prefill")
    assert float(alone.made / alone.seconds) == pytest.approx(by_pass, rel=1e-9)


def test_reserved_room_is_that_of_whole_answers(model: Model) -> None:
    """Paged caches are admitted at their mean of 1,000 tokens, reserved ones at 1,100; both hold the mean."""
    work, chip = requests(model, 8.0, 900.0, 200.0), machine(capacity=40e9)
    for reserved, tokens in ((False, 1000), (True, 1100)):
        found = run(work, replace(CHUNKED, reserved=reserved), chip)
        left = 40e9 - model.parameters * 2 - float(found.memory.activations)
        assert float(found.max_batch) == np.floor(left / (tokens * 131_072))
        assert float(found.memory.kv_cache) == 8 * 1000 * 131_072


def test_a_server_takes_time_where_requests_come_and_go(model: Model) -> None:
    work = requests(model, 4.0)
    for stack, more in ((CHUNKED, 0.03), (STATIC, 0.0)):
        bare, served = (
            float(run(work, replace(stack, server=server)).metrics["ttft_s"])  # type: ignore[arg-type]
            for server in (0.0, 0.03)
        )
        assert served - bare == pytest.approx(more, abs=1e-4)
