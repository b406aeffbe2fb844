"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): two skinny matrices beside a product whose own rests.

`x·W + x·A·B` with `A` of `[k, rank]` and `B` of `[rank, n]`, in 16 bits whatever the format of `W`. Where several
matrices share an input and lie joint in one product, each has an `A` of its own unless they are adapted as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from roofline.engine import ops
from roofline.engine.lower import Pass, lower
from roofline.engine.ops import Op
from roofline.machine.chip import EXPERTS, MATMUL
from roofline.numeric import Num
from roofline.workload import MLA, Attention, Block, DenseFFN, Model, MoE, Plan, Training
from roofline.workload.dtype import BITS

WIDTH = 2.0  # bytes of an adapter's weight: 16 bits in QLoRA (arXiv 2305.14314, section 3) as in PEFT and NeMo
MARK = "-adapter-"  # in the names of adapters' products


def is_adapter(op: Op) -> bool:
    """Whether a product is an adapter's."""
    return MARK in op.name


def adapted(op: Op, training: Training) -> tuple[int, Num]:
    """Matrices `A` beside a product, and columns that the matrices `B` have together; none where it has no adapters."""
    words = op.name.split("/")
    if op.kind not in (MATMUL, EXPERTS) or not training.frozen or {"head", "router", "index"} & set(words):
        return 0, 0.0
    joint = _joint(training.model, words)
    if training.lora_targets == "attention":
        return (1, op.terms["n"]) if "attention" in words else (0, 0.0)
    if training.lora_targets == "qv":
        return (2, op.terms["n"] * _without_keys(training.model)) if words[-1] == "qkv" else (0, 0.0)
    return joint, op.terms["n"]


def _joint(model: Model, words: list[str]) -> int:
    """Matrices that lie joint in one product: queries, keys and values; gate and up; latents of queries and of keys."""
    if words[-1] == "qkv":
        return 2 if any(isinstance(block.mixer, Attention) and block.mixer.tied_values for block in model.blocks) else 3
    if words[-2:] == ["attention", "down"]:
        return 2 if any(isinstance(block.mixer, MLA) and block.mixer.q_lora_rank for block in model.blocks) else 1
    if words[-1] == "up":
        return 2 if any(isinstance(block.ffn, (DenseFFN, MoE)) and block.ffn.gated for block in model.blocks) else 1
    return 1


def _without_keys(model: Model) -> float:
    """Columns of queries and values over those of queries, keys and values."""
    mixer = next(block.mixer for block in model.blocks if isinstance(block.mixer, Attention))
    return 1.0 - mixer.kv_heads * mixer.head_dim / mixer.qkv_dim


def beside(op: Op, training: Training) -> Iterator[Op]:
    """The two products of the adapters beside one product, if it has any."""
    matrices, columns = adapted(op, training)
    if not matrices:
        return
    t, rank = op.terms, training.lora_rank
    wide = op.dtype if BITS[op.dtype] >= 16.0 else "bf16"
    for name, k, n in (("down", t["k"], matrices * rank), ("up", rank, columns)):
        if "e" in t:
            found = ops.expert_matmul(
                f"{op.name}{MARK}{name}", t["m"], t["e"], k, n, w=WIDTH, a=t["r"], r=t["r"], dtype=wide
            )
        else:
            found = ops.matmul(f"{op.name}{MARK}{name}", t["m"], k, n, w=WIDTH, a=t["r"], r=t["r"], dtype=wide)
        yield replace(found, count=op.count, layer=op.layer)


def parameters(training: Training, block: Block, plan: Plan) -> tuple[Num, Num]:
    """Parameters of one layer's adapters on one rank: those that all replicas have alike, and those of routed experts.

    Beside every expert stands a pair, also beside those that no token visits.
    """
    model = replace(training.model, blocks=(replace(block, count=1),))
    here = replace(training, model=model)
    sides: dict[str, Num] = {MATMUL: 0.0, EXPERTS: 0.0}
    for op in lower(model, training.precision, plan, Pass(sequences=1.0)):
        matrices, columns = adapted(op, here)
        if matrices:
            each = training.lora_rank * (matrices * op.terms["k"] + columns)
            sides[op.kind] = sides[op.kind] + op.count * each
    local = block.ffn.experts / plan.ep if isinstance(block.ffn, MoE) else 0.0
    return sides[MATMUL], sides[EXPERTS] * local
