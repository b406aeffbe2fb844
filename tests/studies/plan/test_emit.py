"""Flags of plans: what each stack is told, and what none of them can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roofline.catalog import document
from roofline.catalog.snapshot import Snapshot
from roofline.catalog.store import KINDS, Catalog
from roofline.errors import RooflineError
from roofline.studies.plan.emit import FILE, emit
from roofline.studies.request import Options, resolve_workload
from roofline.workload import Plan, Precision, Serving, Training, Workload

CATALOG = Snapshot.of(Catalog())
FP8 = Precision("fp8", "fp8", "fp8")
BF16 = Precision("bf16", "bf16", "bf16")


def job(name: str, batch: float = 64.0) -> Workload:
    found = resolve_workload(CATALOG, name, Options())
    return replace(found, batch=batch) if isinstance(found, Serving) else found


def flags(stack: str, work: Workload, plan: Plan, precision: Precision = FP8) -> list[str]:
    (command,) = emit(stack, work, plan, None, precision)["commands"]
    arguments: list[str] = command["arguments"]
    return arguments


def value(found: list[str], flag: str) -> str:
    return found[found.index(flag) + 1]


def test_vllm_is_told_degrees_and_the_requests_of_each_replica() -> None:
    found = flags("vllm", job("llama-3.1-70b-chat"), Plan(tp=4.0, pp=2.0, dp=2.0))
    assert value(found, "--tensor-parallel-size") == "4"
    assert value(found, "--pipeline-parallel-size") == "2"
    assert value(found, "--data-parallel-size") == "2"
    assert value(found, "--max-num-seqs") == "32"
    assert value(found, "--max-model-len") == "1366"
    assert value(found, "--kv-cache-dtype") == "fp8"
    assert "--enable-expert-parallel" not in found


def test_what_is_usual_is_not_said() -> None:
    found = flags("vllm", job("llama-3.1-8b-chat"), Plan(), BF16)
    assert found == ["--tensor-parallel-size", "1", "--max-num-seqs", "64", "--max-model-len", "1366"]


def test_replicas_that_share_experts_are_one_server() -> None:
    work, plan = job("deepseek-v3-chat", 256.0), Plan(tp=2.0, dp=8.0, ep=16.0)
    vllm = flags("vllm", work, plan)
    assert (value(vllm, "--data-parallel-size"), value(vllm, "--max-num-seqs")) == ("8", "32")
    assert "--enable-expert-parallel" in vllm
    sglang = flags("sglang", work, plan)
    assert (value(sglang, "--tp-size"), value(sglang, "--attn-dp-size"), value(sglang, "--ep-size")) == (
        "16",
        "8",
        "16",
    )
    assert value(sglang, "--max-running-requests") == "256"
    assert "--dp-size" not in sglang


def test_replicas_without_experts_are_apart() -> None:
    found = flags("sglang", job("llama-3.1-70b-chat"), Plan(tp=4.0, dp=2.0))
    assert (value(found, "--tp-size"), value(found, "--dp-size")) == ("4", "2")
    assert "--attn-dp-size" not in found


@pytest.mark.parametrize("name", ["vllm", "sglang", "trtllm"])
def test_every_format_of_a_shipped_model_can_be_served(name: str) -> None:
    """Weights come with the checkpoint unless the stack narrows them itself; all stacks narrow those of 32 bits."""
    models = [resolve_workload(CATALOG, model, Options(phase="decode")) for model in CATALOG.files(KINDS["model"])]
    formats = {found.model.dtype: found for found in models}
    assert {"fp8-block", "int4-g32", "mxfp4", "fp16"} <= set(formats)
    for dtype, found in formats.items():
        assert dtype == "fp32" or flags(name, found, Plan(), Precision(dtype, "bf16", "bf16"))


def test_groups_of_experts_are_servers_of_their_own() -> None:
    found = emit("vllm", job("deepseek-v3-chat", 256.0), Plan(tp=8.0, dp=4.0, ep=8.0), None, FP8)
    (command,) = found["commands"]
    assert command["what"] == "4 servers, each on 8 chips, so"
    assert value(command["arguments"], "--max-num-seqs") == "64"
    assert any("router" in note for note in found["notes"])


def test_megatron_is_told_everything_of_a_plan() -> None:
    work = job("llama-3.1-70b-pretraining")
    plan = Plan(tp=8.0, pp=8.0, vpp=5.0, cp=2.0, dp=4.0, zero=3.0, micro_batch=2.0, recompute="full")
    found = flags("megatron", work, plan, BF16)
    for flag, told in (
        ("--tensor-model-parallel-size", "8"),
        ("--pipeline-model-parallel-size", "8"),
        ("--num-virtual-stages-per-pipeline-rank", "5"),
        ("--context-parallel-size", "2"),
        ("--micro-batch-size", "2"),
        ("--data-parallel-sharding-strategy", "optim_grads_params"),
        ("--recompute-granularity", "full"),
        ("--recompute-num-layers", "10"),
    ):
        assert value(found, flag) == told
    assert {"--sequence-parallel", "--use-megatron-fsdp", "--bf16"} <= set(found)
    assert value(found, "--ckpt-format") == "fsdp_dtensor"  # the only one that sharded weights are saved in
    assert "--fp8-format" not in found


@pytest.mark.parametrize(
    ("activations", "expected"),
    [("fp8", ["--fp8-format", "hybrid"]), ("fp8-block", ["--fp8-format", "e4m3", "--fp8-recipe", "blockwise"])],
)
def test_megatron_is_told_how_narrow_its_products_are(activations: str, expected: list[str]) -> None:
    found = flags("megatron", job("llama-3.1-8b-pretraining"), Plan(), Precision("bf16", activations, "bf16"))
    assert found[found.index("--bf16") + 1 :] == expected


@pytest.mark.parametrize(("activations", "expected"), [("bf16", None), ("fp8", "fp8"), ("int8", "int8")])
def test_maxtext_is_told_how_narrow_its_products_are(activations: str, expected: str | None) -> None:
    found = flags("maxtext", job("llama-3.1-8b-pretraining"), Plan(), Precision("bf16", activations, "bf16"))
    assert dict(part.split("=") for part in found).get("quantization") == expected


def test_trtllm_is_told_the_format_of_its_cache() -> None:
    assert value(flags("trtllm", job("llama-3.1-8b-chat"), Plan()), "--kv_cache_dtype") == "fp8"
    assert "--kv_cache_dtype" not in flags("trtllm", job("llama-3.1-8b-chat"), Plan(), BF16)


def test_sequences_of_maxtext_make_the_global_batch() -> None:
    work = job("llama-3.1-70b-pretraining")
    assert isinstance(work, Training)
    plan = Plan(tp=4.0, dp=16.0, zero=3.0, micro_batch=2.0)
    told = dict(part.split("=") for part in flags("maxtext", work, plan, BF16))
    each, accumulated = float(told["per_device_batch_size"]), float(told["gradient_accumulation_steps"])
    assert each * 64.0 * accumulated == work.global_batch
    assert told["ici_fsdp_parallelism"] == "16"


def test_each_pool_has_its_own_command() -> None:
    found = emit("sglang", job("llama-3.1-70b-chat"), Plan(tp=4.0, dp=3.0), Plan(tp=4.0), FP8)
    reads, writes = found["commands"]
    assert (reads["what"], writes["what"]) == ("pool of 4 chips for prefill", "pool of 12 chips for decode")
    assert value(reads["arguments"], "--disaggregation-mode") == "prefill"
    assert value(writes["arguments"], "--disaggregation-mode") == "decode"
    assert value(reads["arguments"], "--max-running-requests") == "2"
    with pytest.raises(RooflineError, match="no flags here for pools"):
        emit("trtllm", job("llama-3.1-70b-chat"), Plan(), Plan(), FP8)


@pytest.mark.parametrize(
    ("stack", "work", "plan", "precision", "message"),
    [
        ("vlm", "llama-3.1-8b-chat", Plan(), FP8, "did you mean 'vllm'"),
        ("tgi", "llama-3.1-8b-chat", Plan(), FP8, "one of vllm, sglang, trtllm, megatron, maxtext"),
        ("vllm", "llama-3.1-8b-pretraining", Plan(), FP8, "vLLM is for serving"),
        ("megatron", "llama-3.1-8b-chat", Plan(), FP8, "Megatron-LM is for training"),
        ("vllm", "llama-3.1-8b-chat", Plan(), Precision("bf16", "bf16", "int4"), "kv_cache=int4; possible: bf16"),
        ("vllm", "deepseek-v3-chat", Plan(tp=8.0, ep=4.0), FP8, "over all chips of a model or over none"),
        ("trtllm", "deepseek-v3-chat", Plan(dp=8.0, ep=8.0), FP8, "no flag for replicas that share experts"),
        ("maxtext", "llama-3.1-8b-pretraining", Plan(dp=8.0, zero=1.0), BF16, "zero=3"),
        ("maxtext", "llama-3.1-8b-pretraining", Plan(pp=2.0, vpp=2.0), BF16, "interleaved"),
        ("megatron", "llama-3.1-8b-pretraining", Plan(offload_optimizer=1.0), BF16, "offloading"),
        ("megatron", "llama-2-70b-lora", Plan(), BF16, "adapters"),
    ],
)
def test_what_a_stack_cannot_do_is_refused(
    stack: str, work: str, plan: Plan, precision: Precision, message: str
) -> None:
    with pytest.raises(RooflineError, match=message):
        emit(stack, job(work), plan, None, precision)


@pytest.mark.parametrize("name", ["vllm", "sglang", "trtllm", "megatron", "maxtext"])
def test_every_stack_has_sources_and_flags_of_quantities_that_exist(name: str) -> None:
    told: dict[str, Any] = document.read(FILE).data[name]
    assert all(source.startswith("https://") for source in told["sources"])
    work = job("llama-3.1-8b-chat" if told["of"] == "serving" else "llama-3.1-8b-pretraining")
    found = emit(name, work, Plan(zero=3.0), None, BF16)
    assert found["commands"][0]["arguments"]
    assert found["commands"][0]["lines"][0].startswith(told["start"][0])
