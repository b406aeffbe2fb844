"""One training step: forward, backward, recomputation, the optimizer, and the messages of every kind of parallelism.

First order, in the terms of Megatron-LM (Narayanan et al. 2021, arXiv 2104.04473): a pipeline stage runs its
micro-batches one after another, the pipeline fills and drains once (bubble `(pp − 1)/(m·vpp)`), data-parallel
messages hide behind the backward pass as far as they can.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roofline.engine import cost, energy, memory, ops, roof
from roofline.engine.deployment import Deployment, dtype_notes
from roofline.engine.inference import stack_overhead, total_weight_bytes, useful_flops
from roofline.engine.lower import Pass, lower
from roofline.engine.memory import GRADIENT_BYTES, OPTIMIZER_BYTES, Memory
from roofline.engine.ops import COLLECTIVE, Op
from roofline.engine.prediction import Phase, Prediction, evidence_of
from roofline.engine.roof import Priced
from roofline.machine.chip import ATTENTION, EXPERTS, MATMUL
from roofline.numeric import Num, ceil_div
from roofline.workload import Plan, Precision, Training
from roofline.workload.dtype import bytes_of

# Flash attention's backward pass has five products where the forward has two (arXiv 2307.08691, section 3.1.2).
ATTENTION_BACKWARD = 2.5


def predict(training: Training, deployment: Deployment) -> Prediction:
    """Step time, throughput, memory, energy and cost of a training run on a deployment."""
    precision = deployment.precision_for(training.precision)
    phase = step(training, deployment, precision)
    held = memory_needs(training, deployment.plan, precision)
    limit = deployment.chip.main_memory.capacity * deployment.stack.usable_memory
    evidence, sources = evidence_of(deployment)
    return Prediction(
        workload=training,
        deployment=deployment,
        precision=precision,
        phases=(phase,),
        memory=held,
        capacity=limit,
        max_batch=_most_sequences(training, deployment, held, limit),
        fits=np.less_equal(held.total, limit),
        metrics=_metrics(training, deployment, phase),
        notes=tuple(_notes(training, deployment, precision)),
        weight_bytes=total_weight_bytes(training.model, precision),
        evidence=evidence,
        sources=sources,
    )


def micro_batches(training: Training, plan: Plan) -> Num:
    """Micro-batches that each pipeline works through in a step."""
    return ceil_div(training.global_batch, plan.dp * plan.micro_batch)


def step(training: Training, deployment: Deployment, precision: Precision) -> Phase:
    """The operators of one step on one chip of the fullest stage, and the time of the step."""
    chip, stack, plan = deployment.chip, deployment.stack, deployment.plan
    model, rounds = training.model, micro_batches(training, plan)
    share = memory.stage_share(model, plan)
    passes = _passes(training, deployment, precision)
    hop = plan.vpp / np.maximum(plan.pp - 1.0, 1.0)  # of the pipeline's pp - 1 sends, a stage does one for each chunk
    per_round = [op.times(rounds * (hop if _between_stages(op) else share)) for op in passes]
    once = [*_data_parallel(training, plan, precision, rounds), _optimizer(training, plan, precision)]
    overhead = stack_overhead(model, deployment).times(rounds * share)
    priced = roof.price_all([op for op in (*per_round, *once, overhead) if not op.absent], chip, stack)
    pipeline, gradients, update = _split(priced)
    bubble = (plan.pp - 1.0) / (rounds * plan.vpp)
    expected = _total(pipeline) * (1.0 + bubble) + _exposed(pipeline, gradients, deployment, rounds) + _total(update)
    ideal = roof.ideal_time([*pipeline, *gradients, *update])
    mean = replace(training, imbalance=1.0)  # what the hottest rank does beyond its share is useful to others
    forward = [op.times(rounds) for op in _forward(mean, plan, precision)]
    return Phase(
        "training",
        priced,
        repeat=1.0,
        busy=1.0,
        step_time=expected,
        ideal_step_time=ideal,
        useful_flops=useful_flops(roof.price_all(forward, chip, stack)) * _useful_passes(training) / plan.pp,
        peak=roof.peak(chip, precision.arithmetic),
        bandwidth=chip.bandwidth,
    )


def _useful_passes(training: Training) -> float:
    """Forward passes' worth of useful FLOPs: 3 (forward, and backward for inputs and weights), 2 where weights rest."""
    return 2.0 if np.any(np.greater(training.lora_rank, 0.0)) else 3.0


def _forward(training: Training, plan: Plan, precision: Precision) -> list[Op]:
    """The forward pass of one micro-batch; a context-parallel rank holds an even share of each causal sequence."""
    tokens = training.seq_len / plan.cp
    work = Pass(sequences=plan.micro_batch, new=tokens, logits=tokens, imbalance=training.imbalance)
    operators = lower(training.model, precision, plan, work)
    return [_causal_share(op, training.seq_len, plan.cp) for op in operators]


def _causal_share(op: Op, seq_len: Num, cp: Num) -> Op:
    """Attention of one context-parallel rank: 1/cp of all pairs, every key and value seen once (ring attention)."""
    if op.kind != ATTENTION:
        return op
    return replace(op, flops=op.flops * _pairs_ratio(seq_len, cp))


def _pairs_ratio(seq_len: Num, cp: Num) -> Num:
    """Pairs of a rank of a balanced ring over those of a sequence of its own length."""
    own = seq_len / cp
    return (seq_len * (seq_len + 1.0) / cp) / (own * (own + 1.0))


def _passes(training: Training, deployment: Deployment, precision: Precision) -> list[Op]:
    """Forward, recomputation and backward of one micro-batch through all layers."""
    plan = deployment.plan
    forward = _forward(training, plan, precision)
    again = [_named(op, "recompute") for op in forward if _recomputed(op, plan)]
    backward = [_backward(op, training) for op in forward]
    ring = _context_parallel(training, plan, precision)
    return [*(_named(op, "forward") for op in forward), *again, *backward, *ring]


def _named(op: Op, half: str) -> Op:
    return replace(op, name=f"{half}/{op.name}")


def _recomputed(op: Op, plan: Plan) -> bool:
    """Whether the backward pass executes an operator of the forward pass once more."""
    if plan.recompute == "full":
        return not op.name.startswith(("head/", "embedding", "pipeline/"))
    return plan.recompute == "selective" and op.kind == ATTENTION


def _backward(op: Op, training: Training) -> Op:
    """Gradients of an operator: of inputs and of weights, each as much work as the forward pass.

    Frozen weights (LoRA) need none of their own. Messages go back as they came.
    """
    if op.kind == ATTENTION:
        scaled = replace(op, flops=op.flops * ATTENTION_BACKWARD, read=op.read * 2.0, write=op.write * 2.0)
        return _named(scaled, "backward")
    if op.kind in (MATMUL, EXPERTS):
        return _named(op.times(_useful_passes(training) - 1.0), "backward")
    return _named(op, "backward") if op.kind == COLLECTIVE else _named(op.times(2.0), "backward")


def _context_parallel(training: Training, plan: Plan, precision: Precision) -> list[Op]:
    """Keys and values of every layer gathered over the context-parallel ranks, and their gradients scattered back."""
    values = training.model.cache_values_per_token / plan.tp
    gathered = ops.collective(
        "context/all-gather", "all-gather", m=plan.micro_batch * training.seq_len, k=values,
        r=max(bytes_of(precision.activations), 2.0), ranks=plan.cp, stride=plan.tp,
    )  # fmt: skip
    return [gathered.times(3.0)]


def _between_stages(op: Op) -> bool:
    return op.name.endswith("pipeline/send")


def trainable_parameters(training: Training, plan: Plan) -> Num:
    """Parameters with gradients on one chip: all, or two rank-r matrices beside every projection (arXiv 2106.09685)."""
    everything = memory.parameters_per_chip(training.model, plan)
    if not np.any(np.greater(training.lora_rank, 0.0)):
        return everything
    shape = lower(training.model, training.precision, plan, Pass(sequences=1.0))
    sides: Num = 0.0
    for op in shape:
        if op.kind in (MATMUL, EXPERTS) and not op.name.startswith("head/"):
            sides = sides + op.count * (op.terms["k"] + op.terms["n"])
    return training.lora_rank * sides * memory.stage_share(training.model, plan)


def _data_parallel(training: Training, plan: Plan, precision: Precision, rounds: Num) -> list[Op]:
    """Gradients summed over replicas; with ZeRO-1 and up scattered, and weights gathered again.

    ZeRO-3 gathers the weights before each forward and each backward pass (Rajbhandari et al. 2020, section 7).
    """
    weights = memory.parameters_per_chip(training.model, plan)
    trained = trainable_parameters(training, plan)
    stride, width = plan.tp * plan.cp, bytes_of(precision.weights)
    sharded, gathered = np.greater_equal(plan.zero, 1.0), np.greater_equal(plan.zero, 3.0)

    def message(name: str, algorithm: str, values: Num, bytes_each: float, count: Num) -> Op:
        op = ops.collective(name, algorithm, m=values, k=1.0, r=bytes_each, ranks=plan.dp, stride=stride)
        return op.times(count)

    return [
        message("gradients/all-reduce", "all-reduce", trained, GRADIENT_BYTES, np.where(sharded, 0.0, 1.0)),
        message("gradients/reduce-scatter", "reduce-scatter", trained, GRADIENT_BYTES, np.where(sharded, 1.0, 0.0)),
        message("weights/all-gather", "all-gather", trained, width, np.where(sharded & ~gathered, 1.0, 0.0)),
        message("weights/gather-layers", "all-gather", weights, width, np.where(gathered, 2.0 * rounds, 0.0)),
    ]


def _optimizer(training: Training, plan: Plan, precision: Precision) -> Op:
    """Reads gradient and states, writes states and weights, once per step for the parameters that a chip updates."""
    states = OPTIMIZER_BYTES[training.optimizer]
    updated = trainable_parameters(training, plan) / np.where(np.greater_equal(plan.zero, 1.0), plan.dp, 1.0)
    return ops.optimizer_update(
        "optimizer/update", n=updated, i=GRADIENT_BYTES + states, o=states + bytes_of(precision.weights), f=12.0
    )


def _split(priced: tuple[Priced, ...]) -> tuple[list[Priced], list[Priced], list[Priced]]:
    """Operators of the pipeline, messages between replicas, the update."""
    gradients = [item for item in priced if item.op.name.startswith(("gradients/", "weights/"))]
    update = [item for item in priced if item.op.name.startswith("optimizer/")]
    rest = [item for item in priced if item not in gradients and item not in update]
    return rest, gradients, update


def _total(priced: list[Priced]) -> Num:
    return roof.expected_time(priced)


def _exposed(pipeline: list[Priced], gradients: list[Priced], deployment: Deployment, rounds: Num) -> Num:
    """Seconds of data-parallel messages that the backward pass can't hide.

    They overlap the backward pass of the last micro-batch; with ZeRO-3, whose messages belong to every pass, of all.
    """
    plan = deployment.plan
    messages = _total(gradients)
    backward = _total([item for item in pipeline if item.op.name.startswith("backward/")])
    cover = np.where(np.greater_equal(plan.zero, 3.0), backward, backward / rounds)
    return messages - np.minimum(messages * deployment.stack.overlap, cover)


def memory_needs(training: Training, plan: Plan, precision: Precision) -> Memory:
    """What the fullest chip holds while it trains."""
    model, dp = training.model, plan.dp
    trained = trainable_parameters(training, plan)
    weights = memory.weight_bytes(model, precision, plan)
    adapters = trained * 2.0 if np.any(np.greater(training.lora_rank, 0.0)) else 0.0
    by_one = np.where(np.greater_equal(plan.zero, 1.0), dp, 1.0)
    by_two = np.where(np.greater_equal(plan.zero, 2.0), dp, 1.0)
    by_three = np.where(np.greater_equal(plan.zero, 3.0), dp, 1.0)
    return Memory(
        weights=weights / by_three + adapters,
        gradients=trained * GRADIENT_BYTES / by_two,
        optimizer=trained * OPTIMIZER_BYTES[training.optimizer] / by_one,
        activations=memory.activation_bytes(model, plan, training.seq_len, micro_batches(training, plan)),
    )


def _most_sequences(training: Training, deployment: Deployment, held: Memory, limit: Num) -> Num:
    """Sequences per micro-batch that would still fit, times the micro-batches of all replicas."""
    room = np.maximum(limit - (held.total - held.activations), 0.0)
    per_sequence = held.activations / deployment.plan.micro_batch
    return np.floor(room / per_sequence) * micro_batches(training, deployment.plan) * deployment.plan.dp


def _metrics(training: Training, deployment: Deployment, phase: Phase) -> dict[str, Num | None]:
    """The contract's numbers, expected and ideal."""
    chip, chips = deployment.chip, deployment.num_chips
    tokens = training.global_batch * training.seq_len
    metrics: dict[str, Num | None] = {}
    for suffix, seconds in (("", phase.time), ("_ideal", phase.ideal_time)):
        metrics |= {
            f"step_time_s{suffix}": seconds,
            f"tokens_per_s{suffix}": tokens / seconds,
            f"tokens_per_s_per_chip{suffix}": tokens / seconds / chips,
            f"time_to_train_s{suffix}": training.tokens / tokens * seconds,
        }
    metrics["mfu"] = phase.mfu
    metrics["tflops_per_chip_model"] = phase.useful_flops * phase.busy / phase.time / 1e12
    rate = tokens / phase.time
    power = energy.mean_power(chip, [(phase, phase.time)])
    metrics["power_w"] = None if power is None else power * chips
    metrics["energy_j_per_token"] = None if power is None else power * chips / rate
    rent = cost.usd_per_second(chip, chips)
    metrics["usd_per_million_tokens"] = cost.usd_per_million(rent, rate)
    metrics["cost_usd"] = None if rent is None else rent * training.tokens / rate
    return metrics


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
