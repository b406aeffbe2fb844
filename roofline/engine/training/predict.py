"""A training run on a deployment: its step, its memory, its metrics."""

from __future__ import annotations

import numpy as np

from roofline.engine import billing, energy, goodput, interval
from roofline.engine.deployment import Deployment, dtype_notes
from roofline.engine.inference import total_weight_bytes
from roofline.engine.memory import Memory
from roofline.engine.ops import COLLECTIVE, OVERHEAD
from roofline.engine.prediction import Phase, Prediction, evidence_of
from roofline.engine.training import offload, passes
from roofline.engine.training.memory import memory_needs
from roofline.engine.training.schedule import micro_batches
from roofline.engine.training.step import step
from roofline.machine.chip import PASSING
from roofline.numeric import Num
from roofline.workload import Precision, Training


def predict(training: Training, deployment: Deployment) -> Prediction:
    """Step time, throughput, memory, energy and cost of a training run on a deployment."""
    precision = deployment.precision_for(training.precision)
    ahead = passes.forward(training, deployment.plan, precision)
    phase = step(training, deployment, precision, ahead)
    held = memory_needs(training, deployment.plan, precision)
    limit = deployment.chip.main_memory.capacity * deployment.stack.usable_memory
    full = passes.useful_flops(training, deployment.plan, precision, ahead)[1]
    metrics = _metrics(training, deployment, phase, full)
    metrics |= interval.around_step(metrics, deployment.spreads)
    metrics |= interval.around_power(metrics, deployment)
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


def _metrics(training: Training, deployment: Deployment, phase: Phase, full: Num) -> dict[str, Num | None]:
    """The contract's numbers, expected and ideal; `full` as in `_utilization`."""
    chip, chips = deployment.chip, deployment.plan.num_chips
    kept = goodput.effective(training, chip, chips)
    stretch = kept.stretch if kept else 1.0
    tokens = training.tokens_per_step
    steps = training.tokens / tokens
    metrics: dict[str, Num | None] = {}
    for suffix, seconds, longer in (("", phase.time, stretch), ("_ideal", phase.ideal_time, 1.0)):
        metrics |= {
            f"step_time_s{suffix}": seconds,
            f"tokens_per_s{suffix}": tokens / seconds,
            f"tokens_per_s_per_chip{suffix}": tokens / seconds / chips,
            f"time_to_train_s{suffix}": steps * seconds * longer,
        }
    metrics |= _utilization(training, deployment, phase, full)
    metrics |= {
        "goodput": kept.share if kept else None,
        "job_mtbf_s": kept.job_mtbf if kept else None,
        "checkpoint_interval_s": kept.interval if kept else None,
    }
    return metrics | _spent(deployment, phase, tokens, steps * phase.time * stretch)


def _spent(deployment: Deployment, phase: Phase, tokens: Num, lasts: Num) -> dict[str, Num | None]:
    """Chip-hours, energy and money of a run that lasts so many seconds, and of its tokens while steps go on.

    Chips that wait for a restart draw as much as those at work: an upper bound.
    """
    chip, chips = deployment.chip, deployment.plan.num_chips
    rate = tokens / phase.time
    power = energy.mean_power(chip, [(phase, phase.time)])
    power = None if power is None else power * chips
    found: dict[str, Num | None] = {
        "chip_hours": lasts * chips / 3600.0,
        **energy.metrics(chip, power, chips, tokens_per_s=rate),
        "energy_j": None if power is None else power * lasts,
    }
    return found | billing.of_training(chip, chips, deployment.economics, found, rate, lasts)


def _utilization(training: Training, deployment: Deployment, phase: Phase, full: Num) -> dict[str, Num | None]:
    """Useful FLOP/s of a chip and their share of the peak, with causal attention counted once (`mfu`) or all pairs of
    a sequence (`mfu_full_attention`, as PaLM does, arXiv 2204.02311, appendix B); and of all that is executed (`hfu`).

    `full` are the FLOPs of a micro-batch's forward pass with all pairs.
    """
    plan = deployment.plan
    useful = phase.useful_flops
    whole = full * passes.useful_passes(training) * micro_batches(training, plan) / plan.pp
    done = [item for item in phase.operators if item.op.kind not in (*PASSING, COLLECTIVE, OVERHEAD)]
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
    uncounted = goodput.unknown(training, deployment.chip)
    notes += [uncounted] if uncounted else []
    notes += energy.notes(deployment.chip)
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
