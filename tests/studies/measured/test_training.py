"""Measured training runs: how rows are read, and that they are predicted as what they were."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import Catalog
from roofline.engine import search
from roofline.engine.training import memory_needs
from roofline.machine.evidence import STEP
from roofline.studies.measured import training
from roofline.studies.measured.rows import predicted
from roofline.studies.measured.table import SERVING, Case, SkipError, read, shipped
from roofline.workload import Plan, Precision

CELLS = {
    "id": "x-1", "chip": "h100-sxm", "num_chips": "64", "model": "llama-3.1-70b", "phase": "training", "seq_len": "8192",
    "global_batch_seqs": "128", "micro_batch_seqs": "1", "tp": "4", "pp": "4", "vpp": "5", "cp": "1", "ep": "1",
    "fsdp_zero": "1", "recompute": "none", "dtype": "bf16", "framework": "NeMo/Megatron", "date": "2026-06",
    "metric": "step_time_s", "value": "10",
}  # fmt: skip


def case(**cells: str) -> Case:
    """One row, with other cells than usual."""
    text = CELLS | cells
    return Case(text, {name: float(text[name]) if text.get(name) else None for name in SERVING.numbers})


@cache
def snapshot() -> Catalog:
    return Snapshot.of(Catalog())


def setup_of(**cells: str) -> tuple[training.Setup, Case]:
    return training.reader(snapshot())(case(**cells))


def left_open(**cells: str) -> str:
    setup, whole = setup_of(**cells)
    return training.left_open(setup, whole, training.of_case(whole))


def plan_of(**cells: str) -> Plan:
    setup, whole = setup_of(**cells)
    catalog = snapshot()
    model, stack = training.model_of(setup, catalog), training.stack_of(setup, catalog)
    return training.deployment(setup, catalog, model, stack, [whole]).plan


def test_replicas_are_what_is_left_of_the_chips() -> None:
    plan = plan_of()
    assert (float(plan.dp[0]), float(plan.num_chips[0])) == (4.0, 64.0)  # type: ignore[index]


def test_degrees_that_do_not_make_the_chips_are_skipped() -> None:
    with pytest.raises(SkipError, match="do not multiply"):
        setup_of(tp="3")


def test_a_source_may_count_cores() -> None:
    """TPU v3 has two cores a chip: 256 data-parallel ranks are 128 chips."""
    plan = plan_of(chip="tpu-v3", num_chips="128", tp="1", pp="1", vpp="1", dp="256", framework="Levanter 1.0 (JAX)")
    assert float(plan.dp[0]) == 128.0  # type: ignore[index]


@pytest.mark.parametrize(("layers", "pp", "chunks"), [(80, 4.0, 10.0), (96, 8.0, 6.0), (61, 16.0, 2.0), (80, 1.0, 1.0)])
def test_unknown_chunks_have_two_layers_or_more(layers: int, pp: float, chunks: float) -> None:
    assert training.usual_chunks(layers, pp) == chunks


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"seq_len": ""}, "sequence length"),
        ({"global_batch_seqs": "", "micro_batch_seqs": ""}, "global batch"),
        ({"global_batch_seqs": ""}, "stages of a pipeline wait"),
        ({"metric": "mfu", "attention_flops": "none"}, "without attention"),
        ({"metric": "mfu", "note": "MFU = 6N only"}, "without attention"),
        ({"metric": "tpot_ms"}, "not predicted"),
        ({"recompute": "some"}, "recompute some"),
        ({"dtype": "posit"}, "format posit"),
        ({"chip": "abacus"}, "not in the catalogue"),
        ({"model": "nobody-1b"}, "not in the catalogue"),
    ],
)
def test_what_can_not_be_predicted_is_said(cells: dict[str, str], reason: str) -> None:
    with pytest.raises(SkipError, match=reason):
        setup_of(**cells)


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ({"metric": "mfu"}, "mfu_full_attention"),
        ({"metric": "mfu", "attention_flops": "causal"}, "mfu"),
        (
            {"metric": "tflops_per_chip_model", "note": "implied 449.0 GF/token = causal-halved"},
            "tflops_per_chip_model",
        ),
        ({"metric": "tflops_per_chip_hw"}, "tflops_per_chip_hardware"),
        ({"metric": "tokens_per_s_per_chip"}, "tokens_per_s_per_chip"),
    ],
)
def test_rates_count_attention_as_their_source_does(cells: dict[str, str], name: str) -> None:
    assert training.of_case(case(**cells)).name == name


def test_what_nobody_states_is_recomputed_as_little_as_fits() -> None:
    roomy, tight = (
        setup_of(recompute="", tp="8")[0],
        setup_of(recompute="", num_chips="16", pp="1", vpp="1", micro_batch_seqs="8")[0],
    )
    assert (roomy.recompute, tight.recompute) == ("none", "full")


def test_of_whole_layers_as_few_as_memory_needs_are_recomputed() -> None:
    """One fewer would not fit; software that keeps a part of each layer has no such count."""
    tight = {"recompute": "", "micro_batch_seqs": "2"}
    setup, whole = setup_of(**tight)
    model, stack = training.model_of(setup, snapshot()), training.stack_of(setup, snapshot())
    where = training.deployment(setup, snapshot(), model, stack, [whole])
    layers = float(where.plan.recompute_layers[0])  # type: ignore[index]
    assert layers == 13.0

    def held(count: float) -> float:
        plan = replace(where.plan, recompute_layers=count)
        job = training.work(setup, [whole], model, where)
        return float(np.max(memory_needs(job, plan, where.precision or Precision()).total))

    limit = float(np.max(where.chip.main_memory.capacity * stack.usable_memory))
    assert held(layers) <= limit < held(layers - 1.0)
    other = setup_of(**tight, framework="PyTorch FSDP")
    assert other[0].recompute == "full"
    assert np.isinf(training.deployment(other[0], snapshot(), model, stack, [other[1]]).plan.recompute_layers)


def test_software_that_serves_does_not_train() -> None:
    assert setup_of(framework="vLLM")[0].stack == "megatron"
    assert setup_of(framework="PyTorch FSDP + torch.compile")[0].stack == "fsdp"
    assert setup_of(framework="Megatron-LM", date="2021-04")[0].stack == "megatron-2022"
    assert setup_of(framework="Megatron-LM", date="2024-10")[0].stack == "megatron-2025"


def test_where_experts_are_must_be_known() -> None:
    """A dense model, or one chip, has nothing to spread."""
    mixtral = {"model": "mixtral-8x7b", "tp": "1", "pp": "1", "vpp": "1", "ep": ""}
    for cells in ({"ep": ""}, mixtral | {"ep": "8"}, mixtral | {"num_chips": "1"}):
        setup_of(**cells)
    with pytest.raises(SkipError, match="experts are spread"):
        setup_of(**mixtral)


def test_a_cluster_may_have_links_of_its_own() -> None:
    assert training.scale_out(case(interconnect="400 Gbps/node", chips_per_node="8")) == 6.25e9
    assert training.scale_out(case(scale_out_gbps="100")) == 12.5e9
    assert training.scale_out(case()) == 0.0


def test_rows_that_leave_the_schedule_open_are_not_fitted_to() -> None:
    assert not left_open()
    for name in ("vpp", "micro_batch_seqs"):
        assert left_open(**{name: ""})


def test_cases_of_one_setup_are_predicted_as_each_alone() -> None:
    """One vectorised prediction of many plans, and one of each."""
    catalog, read_case = snapshot(), training.reader(snapshot())
    pairs = [
        read_case(case(tp=tp, pp=pp, vpp=vpp, zero=zero, seq_len=seq))
        for tp, pp, vpp, zero, seq in (
            ("4", "4", "5", "1", "8192"),
            ("8", "1", "1", "3", "4096"),
            ("2", "8", "1", "0", "8192"),
        )
    ]
    setup, cases = pairs[0][0], [whole for _, whole in pairs]
    model, stack = training.model_of(setup, catalog), training.stack_of(setup, catalog)

    def times(some: list[Case]) -> list[float]:
        where = training.deployment(setup, catalog, model, stack, some)
        found = search.predict(training.work(setup, some, model, where), where).metrics["step_time_s"]
        return [float(value) for value in np.atleast_1d(np.asarray(found))]

    assert times(cases) == pytest.approx([times([one])[0] for one in cases], rel=1e-12)


@pytest.fixture(scope="module")
def korthikanti() -> list[dict[str, object]]:
    table = read(next(path for path in shipped() if path.name == "training.csv"))
    rows = [one for one in table.cases if one["id"].startswith("korthikanti")]
    found, skipped = predicted(replace(table, cases=rows), snapshot())
    assert not skipped
    return found


def test_korthikantis_table_five(korthikanti: list[dict[str, object]]) -> None:
    """22B, 175B, 530B and 1T on Selene, with full recomputation, and selective with sequence parallelism (arXiv
    2205.05198, table 5): each within 8 %, 3 % on average."""
    errors = [abs(float(row["error"])) for row in korthikanti]  # type: ignore[arg-type]
    assert len(errors) == 8
    assert max(errors) < 0.08
    assert sum(errors) / 8 < 0.03
    assert {row["what"] for row in korthikanti} == {STEP}


def test_training_rows_may_stand_among_requests(tmp_path: Path) -> None:
    served = "y-1,h100-sxm,1,llama-3.1-8b,bf16,decode,8,512,128,fixed_batch,vLLM,itl_ms,10,,"
    trained = "x-1,h100-sxm,8,llama-3.1-8b,,training,,,,,NeMo/Megatron,step_time_s,10,4096,64"
    head = "id,chip,num_chips,model,weight_dtype,phase,batch,input_len,output_len,mode,framework,metric,value,seq_len,global_batch_seqs"
    path = tmp_path / "mixed.csv"
    path.write_text("\n".join((head, served, trained)) + "\n", encoding="utf-8")
    found, skipped = predicted(read(path), snapshot())
    assert not skipped
    assert sorted(row["what"] for row in found) == ["decode", STEP]
