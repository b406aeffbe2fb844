"""Serving against second derivations: closed forms, loops over single tokens, worked problems from the literature."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from roofline.catalog.store import Catalog
from roofline.engine import inference
from roofline.engine.deployment import Deployment
from roofline.engine.lower import Pass, lower
from roofline.engine.prediction import Prediction, evidence_of
from roofline.machine import Chip, Efficiency, Link, Memory, Peak, Stack
from roofline.workload import (
    Attention,
    Block,
    Decode,
    DenseFFN,
    Model,
    Pause,
    Plan,
    Precision,
    Prefill,
    Serving,
)

IDEAL = Stack(id="ideal", name="none")
STATIC = replace(IDEAL, batching="static")


def machine(peak: float = 1e15, bandwidth: float = 4e12, capacity: float = 1e12, link: float = 1e30) -> Chip:
    return Chip(
        id="any",
        name="Any",
        vendor="any",
        kind="gpu",
        peaks={"bf16": Peak(dense=peak), "fp8": Peak(dense=2 * peak)},
        memory=(Memory(name="HBM", capacity=capacity, bandwidth=bandwidth),),
        links=(Link(name="near", scope="scale-up", bandwidth=link, chips=1024.0),),
    )


def run(work: Serving, chip: Chip, stack: Stack = IDEAL, **degrees: float) -> Prediction:
    plan = Plan(**degrees)  # type: ignore[arg-type]
    return inference.predict(work, Deployment(chip=chip, num_chips=int(plan.num_chips), stack=stack, plan=plan))


def useful(model: Model, work: Pass) -> float:
    counted = [op for op in lower(model, Precision(), Plan(), work) if op.kind in ("matmul", "experts", "attention")]
    return float(sum(op.flops * op.count for op in counted))


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-2-70b", "mixtral-8x7b", "deepseek-v3", "qwen3-235b-a22b"])
def test_a_token_costs_two_flops_per_active_parameter(catalog: Catalog, name: str) -> None:
    """2N without attention scores (Kaplan et al. 2020, section 2.1): N counts every product's weights, no table."""
    model = catalog.model(name)
    weights = model.active_parameters - model.embedding_parameters
    one = useful(model, Pass(sequences=1.0, new=1.0))
    assert one == pytest.approx(2 * weights, rel=3e-3)


def test_decoding_one_request_reads_every_weight_once(catalog: Catalog) -> None:
    """Ideal TPOT of batch 1 = weight bytes / bandwidth, plus the cache of one sequence."""
    model = catalog.model("llama-3.1-70b")
    work = Serving(id="w", model=model, steps=(Decode(1.0),), cached=1000.0)
    moved = (model.parameters - model.embedding_parameters) * 2 + 1000 * 327_680
    found = float(run(work, machine()).metrics["tpot_s_ideal"])  # type: ignore[arg-type]
    assert found == pytest.approx(moved / 4e12, rel=2e-3)


def test_the_scaling_books_pop_quiz() -> None:
    """30B weights in int8 with bf16 FLOPs on a 4x4 slice of TPU v5e, 8192 tokens of 100 kB: 2.5 ms at a batch of 4,
    21 ms at 256 (scaling-book, "All About Transformer Inference")."""
    hidden, layers = 5120, 50
    attention = Attention(heads=40, kv_heads=8, head_dim=125)  # 50·2·8·125 = 100,000 values, 1 byte each
    width = round((30e9 / layers - attention.parameters(hidden)) / (3 * hidden))
    model = Model(
        id="quiz",
        name="Quiz",
        hidden=hidden,
        vocab=1,
        blocks=(Block(count=layers, mixer=attention, ffn=DenseFFN(width=width), norms=0),),
    )
    assert model.cache_values_per_token == 100_000
    assert model.parameters == pytest.approx(30e9, rel=1e-3)
    chip = replace(
        machine(bandwidth=8.1e11),
        peaks={"bf16": Peak(dense=1.97e14)},
        memory=(Memory(name="HBM", capacity=32e9, bandwidth=8.1e11),),
    )
    for batch, expected in ((4.0, 2.5e-3), (256.0, 21e-3)):
        precision = Precision("int8", "bf16", "int8")
        work = Serving(id="w", model=model, steps=(Decode(1.0),), cached=8191.0, batch=batch, precision=precision)
        plan = Plan(tp=8.0, pp=1.0, dp=1.0)  # 8 kv heads: 8 of the 16 chips, so twice the time
        step = inference.predict(work, Deployment(chip=chip, num_chips=8, stack=IDEAL, plan=plan)).phases[0]
        assert float(step.ideal_time) / 2 == pytest.approx(expected, rel=0.04)


def test_llama_3_70b_keeps_160_kb_a_token_in_int8(catalog: Catalog) -> None:
    """scaling-book, "Serving LLaMA 3-70B on TPUs": 2·K·H·L = 160 kB."""
    assert catalog.model("llama-3.1-70b").cache_values_per_token == 163_840


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mistral-7b", "gemma-3-27b", "deepseek-v3", "nemotron-h-56b"])
def test_decoding_many_tokens_is_the_sum_of_single_steps(catalog: Catalog, name: str) -> None:
    """The closed form over the growing context against a loop over its tokens."""
    model, chip = catalog.model(name), machine()
    whole = Serving(id="w", model=model, steps=(Decode(300.0),), cached=3900.0, batch=8.0)
    steps = [replace(whole, steps=(Decode(1.0),), cached=3900.0 + i) for i in range(300)]
    expected = sum(float(run(step, chip).phases[0].time) for step in steps)
    assert float(run(whole, chip).phases[0].time) == pytest.approx(expected, rel=1e-9)


def test_prefill_in_two_pieces_counts_as_in_one(catalog: Catalog) -> None:
    model = catalog.model("gemma-3-27b")
    whole = useful(model, Pass(sequences=1.0, new=3000.0, logits=0.0))
    parts = [Pass(sequences=1.0, new=1800.0, logits=0.0), Pass(sequences=1.0, new=1200.0, context=1800.0, logits=0.0)]
    assert sum(useful(model, part) for part in parts) == pytest.approx(whole, rel=1e-12)


@dataclass(frozen=True)
class Shared:
    """A server of 16 requests in steady state: its metrics, and the seconds of one prompt and of one decoding."""

    metrics: dict[str, float]
    prefill: float
    decode: float
    batch: float = 16.0
    out: float = 100.0

    @property
    def boundary(self) -> float:
        """A request that arrives waits for the end of the step that runs: half of one on average."""
        return self.decode / self.out / 2


@pytest.fixture
def shared(catalog: Catalog) -> Shared:
    work = Serving(
        id="w", model=catalog.model("llama-3.1-8b"), steps=(Prefill(1000.0), Decode(Shared.out)), batch=Shared.batch
    )
    found = run(work, machine())
    prefill, decode = (float(phase.time) for phase in found.phases)
    return Shared({name: float(value) for name, value in found.metrics.items() if value is not None}, prefill, decode)


def test_foreign_prefills_stretch_the_tokens(shared: Shared) -> None:
    """Of 15 foreign prompts, those that are not read before a request's own come between its tokens."""
    turn = shared.metrics["ttft_s"] - shared.prefill - shared.boundary
    assert shared.metrics["tpot_s"] * shared.out + turn == pytest.approx(shared.decode + 15 * shared.prefill, rel=1e-12)


def test_a_request_waits_for_its_turn(shared: Shared) -> None:
    """Deterministic service, random arrivals: load/(1 − load) of half a prompt (Pollaczek and Khinchine)."""
    busy = 15 * shared.prefill / (shared.decode + 16 * shared.prefill)
    turn = busy / (1 - busy) * shared.prefill / 2
    assert shared.metrics["ttft_s"] == pytest.approx(shared.prefill + turn + shared.boundary, rel=1e-12)


def test_a_steady_state_takes_every_prompt_and_every_step_once(shared: Shared) -> None:
    """B requests of T tokens take B prefills and T steps, and half a step until the first is heard."""
    cycle = 16 * shared.prefill + shared.decode + shared.boundary
    assert shared.metrics["output_tokens_per_s"] == pytest.approx(shared.batch * shared.out / cycle, rel=1e-12)


def test_static_batching_prefills_all_at_once(catalog: Catalog) -> None:
    model, chip = catalog.model("llama-3.1-8b"), machine()
    work = Serving(id="w", model=model, steps=(Prefill(1000.0), Decode(100.0)), batch=16.0)
    static, continuous = run(work, chip, STATIC), run(work, chip)
    assert float(static.metrics["ttft_s"]) > 10 * float(continuous.metrics["ttft_s"])  # type: ignore[arg-type]
    assert float(static.metrics["tpot_s"]) * 100 == pytest.approx(float(static.phases[1].time), rel=1e-12)  # type: ignore[arg-type]


def test_steps_act_on_one_growing_context(catalog: Catalog) -> None:
    """Retrieval: the second prefill attends to the question, the first answer and itself; the pause only waits."""
    model, chip = catalog.model("llama-3.1-8b"), machine()
    steps = (Prefill(50.0), Decode(20.0), Pause(0.3), Prefill(2000.0), Decode(100.0))
    found = run(Serving(id="w", model=model, steps=steps), chip)
    assert [phase.name for phase in found.phases] == ["prefill", "decode", "pause", "prefill", "decode"]
    later = Serving(id="w", model=model, steps=(Prefill(2000.0),), cached=70.0)
    assert float(found.phases[3].time) == float(run(later, chip).phases[0].time)
    total = sum(float(phase.time) for phase in found.phases)
    assert float(found.metrics["e2e_latency_s"]) == pytest.approx(total, rel=1e-12)  # type: ignore[arg-type]


def test_pipeline_stages_do_not_shorten_a_token(catalog: Catalog) -> None:
    """One request passes every stage in turn; many requests keep all stages busy."""
    model, chip = catalog.model("llama-3.1-8b"), machine()
    one = Serving(id="w", model=model, steps=(Decode(10.0),), cached=100.0)
    alone, staged = run(one, chip), run(one, chip, pp=4.0)
    assert float(staged.metrics["tpot_s"]) == pytest.approx(float(alone.metrics["tpot_s"]), rel=1e-6)  # type: ignore[arg-type]
    many = replace(one, batch=4.0)
    assert float(run(many, chip, pp=4.0).metrics["output_tokens_per_s"]) == pytest.approx(  # type: ignore[arg-type]
        4 * float(alone.metrics["output_tokens_per_s"]),  # type: ignore[arg-type]
        rel=1e-6,
    )


def test_replicas_multiply_throughput(catalog: Catalog) -> None:
    model, chip = catalog.model("llama-3.1-8b"), machine()
    work = Serving(id="w", model=model, steps=(Prefill(100.0), Decode(50.0)), batch=8.0)
    one = run(work, chip)
    four = run(replace(work, batch=32.0), chip, dp=4.0)
    assert float(four.metrics["tpot_s"]) == float(one.metrics["tpot_s"])  # type: ignore[arg-type]
    assert float(four.metrics["output_tokens_per_s"]) == pytest.approx(4 * float(one.metrics["output_tokens_per_s"]))  # type: ignore[arg-type]


def test_experts_read_are_the_distinct_ones(catalog: Catalog) -> None:
    """Mixtral at batch 1 reads 2 experts a layer, at batch 33 7.33 of 8: neither "all" nor "top-k"."""
    model = catalog.model("mixtral-8x7b")
    expert = 3 * 4096 * 14336 * 2

    def moved(batch: float) -> float:
        ops = lower(model, Precision(), Plan(), Pass(sequences=batch, decode=True))
        return sum(float(op.terms["e"] * op.terms["k"] * op.terms["n"]) * 2 for op in ops if "e" in op.terms)

    assert moved(1.0) == pytest.approx(2 * expert, rel=1e-12)
    assert moved(33.0) == pytest.approx(22 / 3 * expert, rel=1e-12)


def test_pooled_experts_see_every_replicas_tokens(catalog: Catalog) -> None:
    """DeepSeek style: 32 data-parallel ranks of one chip, 8 experts each; a rank's rows are its share of all."""
    model = catalog.model("deepseek-v3")
    ops = lower(model, Precision(), Plan(dp=32.0, ep=32.0), Pass(sequences=16.0, decode=True))
    up = next(op for op in ops if op.name.endswith("moe/up"))
    assert float(up.terms["m"]) == 16 * 32 * 8 / 32
    assert float(up.terms["e"]) == pytest.approx(256 / 32 * (512 * 8) / (248 + 512 * 8), rel=1e-9)
    assert any(op.name.endswith("moe/dispatch") and not op.absent for op in ops)


def test_the_largest_batch_is_what_memory_leaves(catalog: Catalog) -> None:
    """A static batch holds every request at full length; paged caches hold them half-way through their output."""
    model = catalog.model("llama-3.1-8b")
    chip = machine(capacity=40e9)
    work = Serving(id="w", model=model, steps=(Prefill(900.0), Decode(200.0)), batch=8.0)
    for stack, tokens in ((STATIC, 1100), (IDEAL, 1000)):
        found = run(work, chip, stack)
        left = 40e9 - model.parameters * 2 - float(found.memory.activations)
        assert float(found.max_batch) == np.floor(left / (tokens * 131_072))
    most = float(run(work, chip, STATIC).max_batch)
    assert bool(run(replace(work, batch=most - 10), chip, STATIC).fits)
    assert not bool(run(replace(work, batch=most + 10), chip, STATIC).fits)


def test_requests_beyond_memory_wait_before_their_first_token(catalog: Catalog) -> None:
    """Twice as many requests as there is room for: as many tokens per second, twice the time in all (Little's law)."""
    model, chip = catalog.model("llama-3.1-8b"), machine(capacity=40e9)
    work = Serving(id="w", model=model, steps=(Prefill(2000.0), Decode(200.0)))
    most = float(run(work, chip).max_batch) - 2
    full, crowded = (run(replace(work, batch=batch), chip) for batch in (most, 2 * most))
    assert bool(crowded.fits)
    assert float(crowded.max_batch) < 2 * most
    rates = [float(item.metrics["output_tokens_per_s"]) for item in (full, crowded)]  # type: ignore[arg-type]
    assert rates[1] == pytest.approx(rates[0], rel=0.03)
    assert float(crowded.metrics["e2e_latency_s"]) == pytest.approx(2 * most * 200 / rates[1], rel=1e-9)  # type: ignore[arg-type]
    assert float(crowded.metrics["ttft_s"]) > 0.4 * float(crowded.metrics["e2e_latency_s"])  # type: ignore[arg-type]
    assert any("the others wait before their first token" in note for note in crowded.notes)


def test_the_software_adds_its_time(catalog: Catalog) -> None:
    model, chip = catalog.model("llama-3.1-8b"), machine()
    work = Serving(id="w", model=model, steps=(Decode(10.0),))
    slow = replace(IDEAL, id="slow", step=1e-3, layer=1e-4, operator=0.0)
    bare, loaded = (float(run(work, chip, stack).phases[0].step_time) for stack in (IDEAL, slow))
    assert loaded - bare == pytest.approx(1e-3 + 32 * 1e-4, rel=1e-9)
    assert float(run(work, chip, slow).phases[0].ideal_time) == float(run(work, chip).phases[0].ideal_time)


def test_million_token_contexts_stay_exact(catalog: Catalog) -> None:
    model = catalog.model("llama-3.1-70b")
    work = Serving(id="w", model=model, steps=(Decode(1.0),), cached=1e7)
    step = run(work, machine()).phases[0]
    core = next(item.op for item in step.operators if item.op.name == "attention/core")
    assert float(core.terms["l"]) == 1e7 + 1


TIMED = replace(IDEAL, step=1e-3)


@pytest.mark.parametrize(
    ("calibrated", "reached", "stack", "evidence"),
    [
        (True, {"matmul": Efficiency()}, IDEAL, "measured"),
        (True, {"matmul": Efficiency()}, replace(TIMED, measured_on=("any",)), "measured"),
        (True, {"matmul": Efficiency()}, replace(TIMED, measured_on=("other",)), "transferred"),
        (False, {"matmul": Efficiency()}, IDEAL, "transferred"),
        (False, {"matmul": Efficiency()}, replace(TIMED, measured_on=("any",)), "measured"),
        (False, {}, TIMED, "transferred"),
        (False, {}, IDEAL, "datasheet"),
    ],
)
def test_evidence_says_what_was_measured_where(
    calibrated: bool, reached: dict[str, Efficiency], stack: Stack, evidence: str
) -> None:
    """A stack that states no time is no measurement; times of another chip, and a family's kernels, are transferred."""
    chip = replace(machine(), calibrated=calibrated, achieved=reached)
    found, _ = evidence_of(Deployment(chip=chip, num_chips=1, stack=stack, plan=Plan()))
    assert found == evidence


def test_software_takes_time_for_each_sequence_of_a_pass(catalog: Catalog) -> None:
    """Eight sequences on two replicas: four in each step, one in the pass that reads a prompt."""
    model, chip = catalog.model("llama-3.1-8b"), machine()
    work = Serving(id="w", model=model, steps=(Prefill(100.0), Decode(10.0)), batch=8.0)
    plain, slow = (
        inference.predict(work, Deployment(chip=chip, num_chips=2, stack=stack, plan=Plan(dp=2.0)))
        for stack in (IDEAL, replace(IDEAL, sequence=1e-3))
    )
    added = [float(after.time - before.time) for before, after in zip(plain.phases, slow.phases, strict=True)]
    assert added == pytest.approx([1e-3, 10 * 4e-3], rel=1e-9)


def test_what_lies_between_kernels_is_as_wide_as_the_software_keeps_it(catalog: Catalog) -> None:
    """Passes over values move twice as much at 32 bits as at 16; weights and cache are what they were."""
    work = Serving(id="w", model=catalog.model("llama-3.1-8b"), steps=(Prefill(100.0),), batch=1.0)
    narrow, wide = (
        {
            item.op.name: item.op
            for item in inference.predict(
                work, Deployment(chip=machine(), num_chips=1, stack=replace(IDEAL, residual=width), plan=Plan())
            )
            .phases[0]
            .operators
        }
        for width in ("bf16", "fp32")
    )
    assert float(wide["norms"].bytes) == 2 * float(narrow["norms"].bytes)
    assert wide["attention/core"].terms["c"] == narrow["attention/core"].terms["c"] == 2.0
    assert wide["ffn/up"].terms["w"] == narrow["ffn/up"].terms["w"] == 2.0


@pytest.mark.parametrize("stack", [IDEAL, STATIC])
def test_an_infinite_batch_is_the_largest_that_fits(catalog: Catalog, stack: Stack) -> None:
    """Nobody waits and all run: the same as asked for by number, while one more would not run."""
    work = Serving(id="w", model=catalog.model("llama-3.1-8b"), steps=(Prefill(900.0), Decode(200.0)), batch=np.inf)
    chip = machine(capacity=40e9)
    found = run(work, chip, stack)
    assert isinstance(found.workload, Serving)
    most = float(found.workload.batch)
    assert bool(found.fits)
    assert most == float(found.max_batch) > 1.0
    assert found.metrics == run(replace(work, batch=most), chip, stack).metrics
    assert float(run(replace(work, batch=most + 2.0), chip, stack).max_batch) < most + 2.0


def test_each_plan_has_a_largest_batch_of_its_own(catalog: Catalog) -> None:
    work = Serving(id="w", model=catalog.model("llama-3.1-8b"), steps=(Prefill(900.0), Decode(200.0)), batch=np.inf)
    chip, degrees = machine(capacity=40e9), (1.0, 2.0, 4.0)
    found = inference.predict(work, Deployment(chip=chip, num_chips=4, stack=IDEAL, plan=Plan(tp=np.array(degrees))))
    each = [run(work, chip, tp=degree) for degree in degrees]
    assert found.max_batch == pytest.approx([float(one.max_batch) for one in each])
    assert found.metrics["output_tokens_per_s"] == pytest.approx([one.metrics["output_tokens_per_s"] for one in each])


@pytest.mark.parametrize(("share", "waves"), [(0.02, 1), (1.0, 1), (1.01, 2), (2.5, 3), (30.0, 30)])
def test_requests_queued_at_once_run_in_as_few_equal_waves_as_fit(catalog: Catalog, share: float, waves: int) -> None:
    """Equally long ones end together: the steps of a last wave that is not full are as many as those of a full one."""
    work = Serving(id="w", model=catalog.model("llama-3.1-8b"), steps=(Prefill(900.0), Decode(200.0)), batch=np.inf)
    chip = machine(capacity=40e9)
    endless = run(work, chip)
    assert isinstance(endless.workload, Serving)
    requests = np.ceil(float(endless.workload.batch) * share)
    some = run(replace(work, requests=np.array([requests, np.inf])), chip)
    assert isinstance(some.workload, Serving)
    assert np.asarray(some.workload.batch) == pytest.approx([requests / waves, float(endless.workload.batch)])
    alone = run(replace(work, batch=requests / waves), chip)
    assert np.asarray(some.metrics["output_tokens_per_s"])[0] == pytest.approx(alone.metrics["output_tokens_per_s"])
