"""Forward, recomputation and backward of one micro-batch through the whole model, as operators of one chip.

The layers are those of inference (`roofline.engine.lower`). Going back, every product becomes two, of the gradients of
its inputs and of its weights; every kernel that passes over values reads what went in and the gradient of what came
out; every message is sent again. Weights that rest have no gradient; beside them stand adapters, and where they are
stored narrowly each product is preceded by a kernel that widens them, there and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from roofline.engine import ops
from roofline.engine.lower import Pass, expert_shards, lower
from roofline.engine.ops import COLLECTIVE, Op
from roofline.engine.training import adapters
from roofline.machine.chip import ATTENTION, ELEMENTWISE, EXPERTS, MATMUL, PASSING, PERMUTE, QUANTISE
from roofline.numeric import Num, changed, where
from roofline.workload import MLA, Attention, Block, CompressedAttention, MoE, Plan, Precision, Training
from roofline.workload.dtype import bytes_of

# Flash attention's backward pass has five products where the forward has two (arXiv 2307.08691, section 3.1.2).
ATTENTION_BACKWARD = 2.5
LOSS_BYTES = 4.0  # logits are widened before their exponentials are taken (Megatron-LM, vocab_parallel_cross_entropy)
WIDEN = "-widen"  # in the names of kernels that widen weights


def forward(training: Training, plan: Plan, precision: Precision) -> list[Op]:
    """The forward pass of one micro-batch; a context-parallel rank holds an even share of each causal sequence."""
    tokens = training.seq_len / plan.cp
    split = plan.tp if plan.sequence_parallel else 1.0
    work = Pass(
        sequences=plan.micro_batch, new=tokens, logits=tokens, imbalance=training.imbalance, split=split
    )  # fmt: skip
    found: list[Op] = []
    for op in lower(training.model, precision, plan, work):
        if op.kind == ATTENTION:
            found += _attention(op, training, plan)
        elif op.name.endswith("/all-reduce"):
            often = _replicated(training, plan) if op.name.endswith("moe/all-reduce") else 1.0
            found += _around(op.times(often), plan, precision)
        elif op.name == "pipeline/send":
            found.append(_between_stages(op, plan))
        else:
            found += [*_widened(op, training, precision), *adapters.beside(op, training)]
    vocab = training.model.vocab / plan.tp
    rows = plan.micro_batch * tokens
    width = bytes_of(precision.between) if plan.fused_loss else LOSS_BYTES
    found.append(ops.elementwise("head/loss", m=rows, i=2.0 * vocab, o=vocab, f=5.0 * vocab, r=width))
    return found


def _around(op: Op, plan: Plan, precision: Precision) -> Iterator[Op]:
    """With sequence parallelism, rows are gathered before the products and scattered after them instead of summed on
    every rank (Korthikanti et al. 2022, section 4.2.2); they are gathered as narrow as products take them."""
    if not plan.sequence_parallel:
        yield op
        return
    t, name = op.terms, op.name.removesuffix("all-reduce")
    narrow = min(bytes_of(precision.activations), bytes_of(precision.between))
    for half, width in (("all-gather", narrow), ("reduce-scatter", bytes_of(precision.between))):
        message = ops.collective(f"{name}{half}", half, m=t["m"], k=t["k"], r=width, ranks=t["ranks"])
        yield changed(message, count=op.count, layer=op.layer)


def widens(training: Training, precision: Precision) -> bool:
    """Whether weights rest in a format that nothing multiplies: narrow ones beside wide activations (QLoRA)."""
    return training.frozen and bytes_of(precision.weights) < 2.0 <= bytes_of(precision.activations)


def _widened(op: Op, training: Training, precision: Precision) -> Iterator[Op]:
    """A product, behind the kernel that widens its weights where they rest in a narrow format."""
    w = op.terms.get("w", 2.0)
    if op.kind in (MATMUL, EXPERTS) and widens(training, precision) and np.all(w < 2.0):
        t = op.terms
        weights = t.get("e", 1.0) * t["k"] * t["n"]
        yield changed(ops.widen(f"{op.name}{WIDEN}", n=weights, r=2.0), count=op.count, layer=op.layer)
        yield changed(op, expanded=0.0)
    else:
        yield op


def _attention(op: Op, training: Training, plan: Plan) -> Iterator[Op]:
    """Attention of one context-parallel rank: 1/cp of all pairs, every key and value seen once (ring attention).

    What is not fused makes all scores, those too that a mask hides, and keeps them in memory.
    """
    t = op.terms
    if plan.flash:
        yield changed(op, flops=op.flops * pairs_ratio(training.seq_len, plan.cp))
        return
    rows, seen, width = t["b"] * t["h"], training.seq_len, t["r"]
    product = partial(ops.batched_matmul, b=rows, m=t["q"], a=t["a"], r=width, dtype=op.dtype)
    for part in (
        product(f"{op.name}-scores", k=t["d"], n=seen),
        ops.elementwise(f"{op.name}-softmax", m=rows * t["q"], i=seen, o=seen, f=5.0 * seen, r=width),
        *_dropout(op.name, rows * t["q"], seen, width, training),
        product(f"{op.name}-values", k=seen, n=t["v"]),
    ):
        yield changed(part, count=op.count, layer=op.layer)


def _dropout(name: str, m: Num, width: Num, r: Num, training: Training) -> Iterator[Op]:
    """A pass that draws a mask, a byte a value, and lays it over the values."""
    if training.dropout:
        yield ops.elementwise(f"{name}-dropout", m=m, i=width, o=width * (1.0 + 1.0 / r), f=3.0 * width, r=r)


def pairs_ratio(seq_len: Num, cp: Num) -> Num:
    """Pairs of a rank of a balanced ring over those of a sequence of its own length."""
    own = seq_len / cp
    return (seq_len * (seq_len + 1.0) / cp) / (own * (own + 1.0))


def _replicated(training: Training, plan: Plan) -> Num:
    """Whether outputs of experts are summed over the tensor-parallel group: not where each rank sent tokens of its own
    to whole experts and got them back, unless a shared expert is divided."""
    shards = expert_shards(plan)
    shared = any(isinstance(block.ffn, MoE) and block.ffn.shared for block in training.model.blocks)
    own = (plan.ep > 1.0) & (shards.pool > 1.0)
    return where(own & (not shared) & plan.sequence_parallel, 0.0, 1.0)


def _between_stages(op: Op, plan: Plan) -> Op:
    """Stages are the outermost of all ranks, so that everything else stays close (Megatron-LM's order)."""
    message = op.message
    stride = plan.tp * plan.cp * plan.dp
    return replace(
        op,
        message=replace(message, stride=stride) if message else None,
        terms={**op.terms, "stride": stride},
    )


def context_parallel(training: Training, plan: Plan, precision: Precision) -> list[Op]:
    """Keys and values of every layer that other context-parallel ranks need: once ahead, and back again with their
    gradients (Liu et al. 2023, arXiv 2310.01889).

    Or each rank gets a share of the heads over whole sequences for its own tokens, and sends the outputs back
    (Jacobs et al. 2023, arXiv 2309.14509, section 3.2); gradients go the same ways.
    """
    model, r, rows = training.model, bytes_of(precision.between), plan.micro_batch * training.seq_len
    if plan.context == "all-to-all":
        swapped = sum(block.count * _swapped(block) for block in model.blocks) / plan.tp / model.layers
        once = ops.collective(
            "context/exchange", "all-to-all", m=rows / plan.cp, k=swapped, r=r, ranks=plan.cp, stride=plan.tp
        )
        back = 1.0
    else:
        values = sum((block.count * _passed(block, plan) for block in model.blocks), start=0.0) / model.layers
        once = ops.collective("context/exchange", "all-gather", m=rows, k=values, r=r, ranks=plan.cp, stride=plan.tp)
        back = 2.0
    return [
        changed(once, name=f"{half}/{once.name}", count=count * model.layers, layer="context")
        for half, count in (("forward", 1.0), ("backward", back))
    ]


def _swapped(block: Block) -> float:
    """Values of a token that ranks exchange for heads: its queries, keys, values and outputs."""
    mixer = block.mixer
    if isinstance(mixer, Attention):
        return float(mixer.query_dim + mixer.kv_heads * mixer.kept_per_kv_head + mixer.output_dim)
    return float(2 * mixer.query_dim + 2 * mixer.output_dim) if isinstance(mixer, MLA) else 0.0


def _passed(block: Block, plan: Plan) -> Num:
    """Values of a token that one rank passes on: keys and values of its heads, latent ones expanded as in kernels."""
    mixer = block.mixer
    if isinstance(mixer, Attention):
        return mixer.kv_heads * mixer.kept_per_kv_head / np.minimum(plan.tp, float(mixer.kv_heads))
    if isinstance(mixer, MLA):
        return (mixer.query_dim + mixer.output_dim) / plan.tp
    return mixer.cache_per_token if isinstance(mixer, CompressedAttention) else 0.0


def useful_flops(training: Training, plan: Plan, precision: Precision, ahead: Iterable[Op]) -> tuple[Num, Num]:
    """FLOPs that a forward pass of one micro-batch needs on one rank of a pipeline, experts evenly loaded: products,
    recurrences, and attention over what a causal mask shows; and the same with attention over all pairs. Adapters are
    left out, as those who publish rates leave them. `ahead` is the pass as it is executed."""
    if training.frozen or not plan.flash or np.any(np.not_equal(training.imbalance, 1.0)):
        ahead = forward(replace(training, imbalance=1.0, lora_rank=0.0), replace(plan, flash=True), precision)
    causal: Num = 0.0
    hidden: Num = 0.0
    for op in ahead:
        if op.kind not in (*PASSING, COLLECTIVE):
            causal = causal + op.count * op.flops
        if op.kind == ATTENTION:
            t = op.terms
            every = 2.0 * t["b"] * t["h"] * (t["d"] + t["v"]) * t["q"] * training.seq_len
            hidden = hidden + op.count * (every - op.flops)
    return causal, causal + hidden


def useful_passes(training: Training) -> float:
    """Forward passes' worth of useful FLOPs: 3 (forward, and backward for inputs and weights), 2 where weights rest."""
    return 2.0 if training.frozen else 3.0


def recomputed(forward_ops: Iterable[Op], training: Training, plan: Plan) -> list[Op]:
    """What the backward pass makes once more of the forward pass."""
    if plan.recompute == "none":
        return []
    layers = np.minimum(plan.recompute_layers * plan.pp / training.model.layers, 1.0)
    shares = {True: 1.0, False: plan.selective} if plan.recompute == "selective" else {True: layers, False: layers}
    found = (op.times(shares[_scores(op)]) for op in forward_ops if op.layer)
    return [op for op in found if np.any(op.count > 0.0)]


def _scores(op: Op) -> bool:
    """Whether an operator makes or uses attention scores."""
    return "attention/core" in op.name or op.name.endswith("index/scores")


def backward(forward_ops: Iterable[Op], training: Training) -> list[Op]:
    """Gradients of every operator: of inputs and, unless they rest (LoRA), of weights."""
    return [changed(each, count=op.count, layer=op.layer) for op in forward_ops for each in _backward(op, training)]


def _backward(op: Op, training: Training) -> Iterator[Op]:
    """Operators that go back through one."""
    if op.kind == COLLECTIVE:
        yield op
    elif op.kind == ATTENTION:
        yield changed(op, flops=op.flops * ATTENTION_BACKWARD, read=op.read * 2.0, write=op.write * 2.0)
    elif op.kind in (MATMUL, EXPERTS):
        yield from _product(op, training)
    elif op.kind in (ELEMENTWISE, PERMUTE) and "i" in op.terms:
        t = op.terms
        back = ops.elementwise(op.name, m=t["m"], i=t["i"] + t["o"], o=t["i"], f=2.0 * t["f"], r=t["r"])
        yield changed(back, kind=op.kind)
    elif op.name.endswith(WIDEN):
        yield op
    elif op.kind != QUANTISE:  # gradients are narrowed beside the product that needs them
        yield op.times(2.0)


def _product(op: Op, training: Training) -> Iterator[Op]:
    """Gradients of the two things that were multiplied, each as much work as the product was."""
    t = op.terms
    m, k, n, a, r = (t[name] for name in ("m", "k", "n", "a", "r"))
    if "b" in t:  # of activations alone
        product = partial(ops.batched_matmul, b=t["b"], a=a, r=r, dtype=op.dtype)
        yield product(f"{op.name}-left", m=m, k=n, n=k)
        yield product(f"{op.name}-right", m=k, k=m, n=n)
        return
    if np.all(a < r):
        yield ops.quantise(f"{op.name}-quantise", m=m, k=n, a=a, r=r)
    experts = t.get("e")
    if experts is None:
        inputs = ops.matmul(f"{op.name}-inputs", m, n, k, w=t["w"], a=a, r=r, dtype=op.dtype, least=op.least)
    else:
        inputs = ops.expert_matmul(
            f"{op.name}-inputs", m, experts, n, k, w=t["w"], a=a, r=r, dtype=op.dtype, least=op.least
        )
    yield changed(inputs, expanded=op.expanded)
    if adapters.is_adapter(op) or not training.frozen:
        yield ops.weight_gradient(
            f"{op.name}-weights", m, k, n, e=experts, a=a, g=bytes_of(training.gradients), dtype=op.dtype
        )


def named(operators: Iterable[Op], half: str) -> list[Op]:
    """Operators with the half of the pass that they belong to before their names."""
    return [changed(op, name=f"{half}/{op.name}") for op in operators]
