"""Which plans a training run can have, and what to say of those that it can't.

Every rule holds elementwise: a search keeps what it may try by the very rules that a user's own plan is checked with.
"""

from __future__ import annotations

import math

import numpy as np

from roofline.engine import plans
from roofline.engine.lower import expert_shards
from roofline.engine.plans import Flags, Rule, divides, divisors, listed, nests
from roofline.engine.training.schedule import micro_batches, stage_layers
from roofline.workload import Model, MoE, Plan, Training


def check(plan: Plan, training: Training, num_chips: int) -> None:
    """`PlanError`, naming what is possible, if a plan does not divide model, batch or sequence, or leaves chips."""
    plans.obey(plan, training, RULES)
    plans.check_product(plan, num_chips)


def valid(plan: Plan, training: Training) -> Flags:
    """Whether plans obey every rule, elementwise."""
    flags: Flags = np.ones((), dtype=bool)
    for rule in RULES:
        flags = flags & rule.holds(training, plan)
    return flags


def batch_of(training: Training) -> float:
    """Sequences of a step."""
    return float(np.max(training.global_batch))


def _of_model(rule: Rule[Model]) -> Rule[Training]:
    """A rule about the model alone as one about a training run."""
    return Rule(
        lambda training, plan: rule.holds(training.model, plan),
        lambda training, plan: rule.words(training.model, plan),
        rule.code,
    )


# -- pipelines


def _stages_filled(training: Training, plan: Plan) -> Flags:
    """The last stage alone may be without layers: it has the output matrix."""
    if plan.placement == "even":
        return np.ones(np.shape(plan.pp), dtype=bool)
    layers = float(training.model.layers)
    return np.less_equal((plan.pp - 1.0) * stage_layers(training.model, plan.pp), layers)


def _stages_words(training: Training, plan: Plan) -> str:
    layers, pp = training.model.layers, int(plan.pp)
    most = int(stage_layers(training.model, pp))
    degrees = [degree for degree in range(1, layers + 1) if (degree - 1) * -(-layers // degree) <= layers]
    below = max(degree for degree in degrees if degree < pp)
    above = min(degree for degree in degrees if degree > pp)
    return (
        f"pp={pp} leaves stages empty: {most} layers on each put the {layers} of {training.model.id} on "
        f"{-(-layers // most)}; possible: {below} or {above}"
    )


def _chunks_have_stages(training: Training, plan: Plan) -> Flags:
    return np.less_equal(plan.vpp, 1.0) | np.greater(plan.pp, 1.0)


def _chunks_have_layers(training: Training, plan: Plan) -> Flags:
    return divides(plan.vpp, stage_layers(training.model, plan.pp))


def _chunks_words(training: Training, plan: Plan) -> str:
    most = int(stage_layers(training.model, plan.pp))
    return (
        f"vpp={int(plan.vpp)} does not divide the {most} layers of a stage ({training.model.layers} over "
        f"pp={int(plan.pp)}); possible: {listed(divisors(most))}"
    )


def _chunks_take_turns(training: Training, plan: Plan) -> Flags:
    """Chunks pass micro-batches on in groups of pp (Megatron-LM, schedules.py: "number of microbatches is not divisible
    by pipeline-model-parallel-size when using interleaved schedule")."""
    return np.less_equal(plan.vpp, 1.0) | divides(plan.pp, micro_batches(training, plan))


def _turns_words(training: Training, plan: Plan) -> str:
    batch, pp, vpp = int(batch_of(training)), int(plan.pp), int(plan.vpp)
    dp, micro = int(plan.dp), int(plan.micro_batch)
    head = f"vpp={vpp} takes micro-batches in groups of pp={pp}, but global_batch/(dp·micro_batch) = "
    head += f"{batch:,}/({dp}·{micro}) = {batch // (dp * micro):,}; possible: vpp=1"
    return f"{head}, or dp·micro_batch {listed(divisors(batch // pp))}" if batch % pp == 0 else head


# -- batches and sequences


def _batch_divides(training: Training, plan: Plan) -> Flags:
    return divides(plan.dp * plan.micro_batch, training.global_batch)


def _batch_words(training: Training, plan: Plan) -> str:
    batch, dp, micro = int(batch_of(training)), int(plan.dp), int(plan.micro_batch)
    if batch % dp:
        return f"dp={dp} does not divide the global batch of {batch:,} sequences; possible: {listed(divisors(batch))}"
    return (
        f"dp·micro_batch = {dp}·{micro} = {dp * micro} does not divide the global batch of {batch:,} sequences; "
        f"possible with dp={dp}: micro_batch {listed(divisors(batch // dp))}"
    )


def _sequence_divides(training: Training, plan: Plan) -> Flags:
    """Each rank has one piece from the front of a sequence and its mirror image from the back, so that a causal mask
    leaves all of them as much to do (Llama 3, arXiv 2407.21783, section 3.3.2)."""
    return np.less_equal(plan.cp, 1.0) | divides(2.0 * plan.cp, training.seq_len)


def _sequence_words(training: Training, plan: Plan) -> str:
    tokens, cp = int(np.max(training.seq_len)), int(plan.cp)
    possible = [1, *(degree for degree in divisors(tokens) if degree > 1 and tokens % (2 * degree) == 0)]
    return (
        f"cp={cp} does not cut sequences of {tokens:,} tokens into 2·cp = {2 * cp} equal pieces; "
        f"possible: {listed(possible)}"
    )


def _heads_exchanged(training: Training, plan: Plan) -> Flags:
    """In exchange for its tokens a rank gets whole heads (Jacobs et al. 2023, arXiv 2309.14509, section 3.2)."""
    if plan.context != "all-to-all" or plan.placement != "layers":
        return np.ones(np.shape(plan.cp), dtype=bool)
    return np.less_equal(plan.cp, 1.0) | divides(plan.tp * plan.cp, float(_heads(training.model)))


def _exchange_words(training: Training, plan: Plan) -> str:
    tp, cp, heads = int(plan.tp), int(plan.cp), _heads(training.model)
    return (
        f"context=all-to-all: tp·cp = {tp}·{cp} = {tp * cp} does not divide the {heads} heads of {training.model.id}; "
        f"possible with tp={tp}: cp {listed(divisors(heads // tp))}, or context=ring"
    )


def _heads(model: Model) -> int:
    """What tensor parallelism divides, but for ffn columns."""
    return math.gcd(*(count for what, count in plans.head_counts(model).items() if what != "ffn columns"))


# -- experts


def _width(model: Model) -> int:
    """Columns of an expert, the greatest common divisor of all layers'."""
    return int(np.gcd.reduce([block.ffn.width for block in model.blocks if isinstance(block.ffn, MoE)] or [0]))


def _split_experts_exist(training: Training, plan: Plan) -> Flags:
    return np.less_equal(plan.expert_tp, 0.0) | (_width(training.model) > 0)


def _experts_fill(training: Training, plan: Plan) -> Flags:
    """Ranks of all experts fill whole tensor-parallel groups; without `expert_tp` an even part of one is filled up."""
    stated = np.greater(plan.expert_tp, 0.0)
    ranks, replicas = plan.ep * plan.expert_tp, plan.dp * plan.cp
    filled = divides(plan.tp, ranks) & divides(np.maximum(ranks, 1.0), plan.tp * replicas)
    return np.where(stated, filled, nests(plan.tp, replicas, plan.ep))


def _fill_words(training: Training, plan: Plan) -> str:
    if plan.expert_tp == 0.0:
        return plans.NESTS.words(training.model, plan)
    tp, cp, dp, ep, split = (int(getattr(plan, name)) for name in ("tp", "cp", "dp", "ep", "expert_tp"))
    fitting = [part for part in divisors(tp * cp * dp) if ep * part % tp == 0 and tp * cp * dp % (ep * part) == 0]
    return (
        f"ep·expert_tp = {ep}·{split} = {ep * split} must be a multiple of tp={tp} and divide tp·cp·dp={tp * cp * dp}; "
        f"possible with ep={ep}: expert_tp {listed(fitting) or 'none'}"
    )


def _columns_divide(training: Training, plan: Plan) -> Flags:
    width = _width(training.model)
    if plan.placement != "layers" or not width:
        return np.ones(np.shape(plan.tp), dtype=bool)
    return divides(expert_shards(plan).tp, float(width))


def _columns_words(training: Training, plan: Plan) -> str:
    width, split = _width(training.model), int(expert_shards(plan).tp)
    told = f"expert_tp={split}" if plan.expert_tp else f"tp/ep = {int(plan.tp)}/{int(plan.ep)} = {split}"
    return (
        f"{told} does not divide the {width:,} columns of an expert of {training.model.id}; possible: "
        f"{listed(divisors(width))}"
    )


# -- sharding and recomputation


def _shards_are_sharded(training: Training, plan: Plan) -> Flags:
    return np.isinf(plan.shard) | np.greater(plan.zero, 0.0)


def _shards_divide(training: Training, plan: Plan) -> Flags:
    return np.isinf(plan.shard) | divides(plan.shard, plan.dp * plan.cp)


def _shards_words(training: Training, plan: Plan) -> str:
    dp, cp = int(plan.dp), int(plan.cp)
    return (
        f"shard={int(plan.shard)} does not divide the dp·cp = {dp}·{cp} = {dp * cp} ranks that have the same "
        f"parameters; possible: {listed(divisors(dp * cp))}"
    )


def _layers_recomputed(training: Training, plan: Plan) -> Flags:
    return np.isinf(plan.recompute_layers) | (plan.recompute == "full")


def _recomputed_exist(training: Training, plan: Plan) -> Flags:
    return np.isinf(plan.recompute_layers) | np.less_equal(plan.recompute_layers, stage_layers(training.model, plan.pp))


def _recomputed_words(training: Training, plan: Plan) -> str:
    most = int(stage_layers(training.model, plan.pp))
    return (
        f"recompute_layers={int(plan.recompute_layers)} is more than the {most} layers of a stage "
        f"({training.model.layers} over pp={int(plan.pp)}); possible: 1 to {most}"
    )


HEADS, LAYERS = _of_model(plans.HEADS), _of_model(plans.LAYERS)
BATCH, SEQUENCE = Rule(_batch_divides, _batch_words, "batch"), Rule(_sequence_divides, _sequence_words, "sequence")
RULES: tuple[Rule[Training], ...] = (
    HEADS,
    LAYERS,
    Rule(_stages_filled, _stages_words, "stages"),
    Rule(
        _chunks_have_stages,
        lambda _, plan: (
            f"vpp={int(plan.vpp)} needs pp>1: chunks of a pipeline's stages take turns; leave vpp out, or write pp=2"
        ),
        "chunks",
    ),
    Rule(_chunks_have_layers, _chunks_words, "chunks"),
    BATCH,
    Rule(_chunks_take_turns, _turns_words, "chunks"),
    SEQUENCE,
    Rule(_heads_exchanged, _exchange_words, "exchange"),
    _of_model(plans.EXPERTS),
    Rule(
        _split_experts_exist,
        lambda training, plan: (
            f"expert_tp={int(plan.expert_tp)}: {training.model.id} has no experts; leave expert_tp out"
        ),
        "experts",
    ),
    _of_model(plans.EXPERTS_DIVIDE),
    Rule(_experts_fill, _fill_words, "nests"),
    Rule(_columns_divide, _columns_words, "columns"),
    Rule(
        _shards_are_sharded,
        lambda _, plan: f"shard={int(plan.shard)} needs zero: write zero=1, 2 or 3 for what is sharded",
        "shard",
    ),
    Rule(_shards_divide, _shards_words, "shard"),
    Rule(
        _layers_recomputed,
        lambda _, plan: (
            f"recompute_layers={int(plan.recompute_layers)} needs recompute=full, not {plan.recompute}: "
            "only whole layers are counted"
        ),
        "recompute",
    ),
    Rule(_recomputed_exist, _recomputed_words, "recompute"),
)
