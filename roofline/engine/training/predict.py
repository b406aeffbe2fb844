"""A training run on a deployment: its step, its memory, its metrics."""

from __future__ import annotations

import numpy as np

from roofline.engine import cost, energy, interval
from roofline.engine.deployment import Deployment, dtype_notes
from roofline.engine.inference import total_weight_bytes
from roofline.engine.memory import Memory
from roofline.engine.ops import COLLECTIVE, OVERHEAD
from roofline.engine.prediction import Phase, Prediction, evidence_of
from roofline.engine.training import offload, passes
from roofline.engine.training.memory import memory_needs
from roofline.engine.training.schedule import micro_batches
from roofline.engine.training.step import step
from roofline.machine.chip import ELEMENTWISE, QUANTISE
from roofline.numeric import Num
from roofline.workload import Precision, Training


def predict(training: Training, deployment: Deployment) -> Prediction:
    """Step time, throughput, memory, energy and cost of a training run on a deployment."""
    precision = deployment.precision_for(training.precision)
    phase = step(training, deployment, precision)
    held = memory_needs(training, deployment.plan, precision)
    limit = deployment.chip.main_memory.capacity * deployment.stack.usable_memory
    metrics = _metrics(training, deployment, precision, phase)
    metrics |= interval.around_step(metrics, deployment.spreads)
    beyond = offload.host(deployment.chip, deployment.plan)
    room = np.inf if beyond is None else beyond.capacity
    evidence, sources = evidence_of(deployment)
    return Prediction(
        workload=training,
        deployment=deployment,
        precision=precision,
        phases=(phase,),
        memory=held,
        capacity=limit,
        max_batch=_most_sequences(training, deployment, held, limit),
        fits=np.logical_and(np.less_equal(held.total, limit), np.less_equal(held.host, room)),
        metrics=metrics,
        notes=tuple(_notes(training, deployment, precision)),
        weight_bytes=total_weight_bytes(training.model, precision),
        evidence=evidence,
        sources=sources,
    )


def _most_sequences(training: Training, deployment: Deployment, held: Memory, limit: Num) -> Num:
    """Sequences per micro-batch that would still fit, times the micro-batches of all replicas.

    Buffers are taken to grow with the micro-batch as activations do: gradients of weights among them do not.
    """
    growing = held.activations + held.buffers
    room = np.maximum(limit - (held.total - growing), 0.0)
    per_sequence = growing / deployment.plan.micro_batch
    return np.floor(room / per_sequence) * micro_batches(training, deployment.plan) * deployment.plan.dp


def _metrics(training: Training, deployment: Deployment, precision: Precision, phase: Phase) -> dict[str, Num | None]:
    """The contract's numbers, expected and ideal."""
    chip, chips = deployment.chip, deployment.plan.num_chips
    tokens = training.tokens_per_step
    metrics: dict[str, Num | None] = {}
    for suffix, seconds in (("", phase.time), ("_ideal", phase.ideal_time)):
        metrics |= {
            f"step_time_s{suffix}": seconds,
            f"tokens_per_s{suffix}": tokens / seconds,
            f"tokens_per_s_per_chip{suffix}": tokens / seconds / chips,
            f"time_to_train_s{suffix}": training.tokens / tokens * seconds,
        }
    metrics |= _utilization(training, deployment, precision, phase)
    rate = tokens / phase.time
    power = energy.mean_power(chip, [(phase, phase.time)])
    metrics["power_w"] = None if power is None else power * chips
    metrics["energy_j_per_token"] = None if power is None else power * chips / rate
    rent = cost.usd_per_second(chip, chips)
    metrics["usd_per_million_tokens"] = cost.usd_per_million(rent, rate)
    metrics["cost_usd"] = None if rent is None else rent * training.tokens / rate
    return metrics


def _utilization(
    training: Training, deployment: Deployment, precision: Precision, phase: Phase
) -> dict[str, Num | None]:
    """Useful FLOP/s of a chip and their share of the peak, with causal attention counted once (`mfu`) or all pairs of
    a sequence (`mfu_full_attention`, as PaLM does, arXiv 2204.02311, appendix B); and of all that is executed (`hfu`).
    """
    plan = deployment.plan
    rounds = micro_batches(training, plan)
    useful = phase.useful_flops
    whole = passes.useful_flops(training, plan, precision, full=True) * passes.useful_passes(training)
    whole = whole * rounds / plan.pp
    done = [item for item in phase.operators if item.op.kind not in (ELEMENTWISE, QUANTISE, COLLECTIVE, OVERHEAD)]
    executed = sum((item.op.count * item.op.flops for item in done), start=0.0)
    counted = (
        ("model", "mfu", useful),
        ("model_full_attention", "mfu_full_attention", whole),
        ("hardware", "hfu", executed),
    )
    found: dict[str, Num | None] = {}
    for suffix, seconds in (("", phase.time), ("_ideal", phase.ideal_time)):
        for name, share, flops in counted:
            found[f"tflops_per_chip_{name}{suffix}"] = flops / seconds / 1e12
            found[f"{share}{suffix}"] = flops / (seconds * phase.peak)
    return found


def _notes(training: Training, deployment: Deployment, precision: Precision) -> list[str]:
    """What the reader must know besides the numbers."""
    notes = dtype_notes(deployment.chip, precision)
    limit = training.model.max_context
    if limit and np.max(training.seq_len) > limit:
        notes.append(
            f"sequences of {np.max(training.seq_len):,.0f} tokens are beyond the {limit:,} of {training.model.id}"
        )
    plan = deployment.plan
    left = np.asarray(training.global_batch / (plan.dp * plan.micro_batch)) % 1.0
    if np.any(left):
        notes.append("the global batch is not a multiple of dp·micro_batch; the last micro-batch is padded")
    return notes
