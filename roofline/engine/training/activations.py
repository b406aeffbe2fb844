"""What the backward pass of a micro-batch needs again, layer by layer, and what going back through a layer takes.

Korthikanti et al. 2022 (arXiv 2205.05198), section 4, generalised to grouped keys, gated ffns, latent attention,
experts and narrow formats: every tensor that a product or a nonlinearity needs again, once, however many need it.
Attention's output is also what the output projection reads, a norm's output what the products behind it read. What only
a product reads is kept in its narrow format, and not at all if no gradient of its weights is made (Transformer Engine's
documentation, "Performance considerations", memory usage).
"""

from __future__ import annotations

from dataclasses import dataclass

from roofline.engine.lower import expert_shards, heads_per_chip
from roofline.numeric import Num, larger, smaller, where
from roofline.workload import MLA, Attention, Block, CompressedAttention, DenseFFN, MoE, Plan, Precision, Training
from roofline.workload.attention import AttentionMixer
from roofline.workload.dtype import bytes_of
from roofline.workload.ffn import FFN
from roofline.workload.model import Mixer
from roofline.workload.recurrence import LinearMixer

PROBABILITY = 4.0  # bytes: routers take their softmax in fp32 (Megatron-LM, topk_softmax_with_capacity)


@dataclass(frozen=True, slots=True)
class Micro:
    """One micro-batch on one rank: `tokens` of sequences of `seq_len`; bytes of a value between kernels, `r`, and of
    one that enters a product, `a`; `outside` are the ranks that share what tensor parallelism leaves whole."""

    training: Training
    plan: Plan
    tokens: Num
    seq_len: Num
    r: float
    a: float
    outside: Num

    @classmethod
    def of(cls, training: Training, plan: Plan, precision: Precision) -> Micro:
        """Its own share of each sequence, where context parallelism divides them."""
        r = bytes_of(precision.between)
        return cls(
            training=training,
            plan=plan,
            tokens=plan.micro_batch * training.seq_len / plan.cp,
            seq_len=training.seq_len,
            r=r,
            a=min(bytes_of(precision.activations), r),
            outside=plan.tp if plan.sequence_parallel else 1.0,
        )

    @property
    def hidden(self) -> float:
        """Width of the model."""
        return float(self.training.model.hidden)

    @property
    def gathered(self) -> Num:
        """Bytes of a layer's input, whole again where sequence parallelism divided it; none where it did not."""
        apart = (self.plan.tp > 1.0) & self.plan.sequence_parallel
        return where(apart, self.tokens * self.r * self.hidden, 0.0)

    @property
    def residual(self) -> Num:
        """Bytes of a layer's input on one rank."""
        return self.tokens * self.r * self.hidden / self.outside

    def inputs(self, attention: bool) -> float:
        """Bytes kept of a value that enters a product: none if nothing beside that product is trained."""
        frozen = self.training.frozen and self.training.lora_targets != "all" and not attention
        return 0.0 if frozen else self.a

    def beside(self) -> float:
        """Bytes kept of a narrow copy of a value that is kept anyway, for the product that it enters."""
        return self.inputs(attention=True) if self.a < self.r else 0.0


def kept(micro: Micro, block: Block, again: Num = 0.0) -> Num:
    """Bytes that one layer keeps for its backward pass; its input alone of a share of layers that are made `again`."""
    return again * micro.residual + (1.0 - again) * needed(micro, block)


def needed(micro: Micro, block: Block) -> Num:
    """Bytes that going back through one layer needs (Korthikanti et al. 2022, equations 1 to 4)."""
    norms = micro.residual * float(block.norms)
    mixer = _mixer(micro, block.mixer) if block.mixer else 0.0
    shared = block.parallel and block.mixer is not None  # mixer and ffn read one input
    ffn = _ffn(micro, block.ffn, shared) if block.ffn else 0.0
    return norms + mixer + ffn


def _mask(micro: Micro) -> Num:
    """A dropout mask over a layer's width, a byte a value."""
    return micro.tokens * micro.hidden / micro.outside if micro.training.dropout else 0.0


def _mixer(micro: Micro, mixer: Mixer) -> Num:
    """Input, queries, keys, values and output of a mixer, and the scores where its kernel is not fused."""
    plan, r = micro.plan, micro.r
    heads: Num = 0.0
    outside = micro.inputs(attention=True) * micro.hidden
    if isinstance(mixer, Attention):
        heads, kv_heads = (heads_per_chip(float(count), plan) for count in (mixer.heads, mixer.kv_heads))
        normed = heads + kv_heads if mixer.qk_norm else 0.0  # what queries and keys were before their norm
        output = heads * mixer.value_dim
        inside = heads * (mixer.head_dim + mixer.gate_per_head) + kv_heads * mixer.kept_per_kv_head
        inside = r * (inside + normed * mixer.head_dim) + _output(micro, output, gated=bool(mixer.gated))
    elif isinstance(mixer, MLA):
        heads = heads_per_chip(float(mixer.heads), plan)
        latents = float(mixer.q_lora_rank + mixer.kv_lora_rank)  # before and behind their norms
        outside += r * (latents + mixer.rope_dim) + micro.inputs(attention=True) * latents
        output = heads * mixer.v_dim
        keys = 2.0 * heads * (mixer.nope_dim + mixer.rope_dim)
        inside = r * (keys + output * (2.0 if mixer.gated else 1.0)) + _output(micro, output, gated=mixer.gated)
    elif isinstance(mixer, CompressedAttention):
        heads = heads_per_chip(float(mixer.heads), plan)
        outside += r * mixer.input_dim
        low = mixer.output_groups * mixer.output_lora_rank / plan.tp
        inside = r * heads * mixer.head_dim + _output(micro, heads * mixer.head_dim, gated=False) + micro.a * low
    else:
        inside = (r * (mixer.input_dim + mixer.inner) + micro.inputs(attention=True) * mixer.inner) / plan.tp
    again = plan.flash or plan.recompute == "selective"
    scores = 0.0 if again else heads * micro.seq_len * _score(micro)
    return micro.tokens * (outside / micro.outside + inside + scores) + _mask(micro)


def _output(micro: Micro, columns: Num, *, gated: bool) -> Num:
    """Bytes a token of attention's output: as its kernel left it, gated, sent back to whose tokens they are, narrowed.

    Only what another kernel made of it is kept a second time: its own backward pass reads it as it was.
    """
    copies = 1.0 + gated + where(micro.plan.cp > 1.0, float(micro.plan.context == "all-to-all"), 0.0)
    return columns * (micro.r * copies + micro.beside())


def _score(micro: Micro) -> float:
    """Bytes of one query-key pair: its probability; with dropout a mask and what it left, too."""
    return micro.r + (1.0 + micro.r if micro.training.dropout else 0.0)


def _ffn(micro: Micro, ffn: FFN, shared: bool) -> Num:
    """Input, what the activation reads and what it makes; of experts the tokens that were sent to them."""
    plan, enters = micro.plan, micro.inputs(attention=False)
    tokens, outside, inside = micro.tokens, 0.0 if shared else enters * micro.hidden, 0.0
    routed: Num = 0.0
    if isinstance(ffn, DenseFFN):
        inside = _between(micro, ffn)
    else:
        outside += PROBABILITY * ffn.experts + enters * ffn.latent
        inside = _between(micro, ffn.shared_ffn) if ffn.shared_ffn else 0.0
        sent = enters * ffn.routed_dim(int(micro.hidden))
        routed = rows(micro, ffn) * (sent + _between(micro, ffn.expert) / expert_shards(plan).tp)
    return tokens * (outside / micro.outside + inside / plan.tp) + routed + _mask(micro)


def _between(micro: Micro, ffn: DenseFFN) -> float:
    """Bytes a token between the two products of an ffn: what the activation reads, and what it makes of it."""
    return micro.r * columns(ffn) + micro.inputs(attention=False) * ffn.width


def columns(ffn: DenseFFN) -> float:
    """Columns of an ffn's first product: with a gate, twice its width."""
    return ffn.width * (2.0 if ffn.gated else 1.0)


def rows(micro: Micro, ffn: MoE) -> Num:
    """Tokens that reach the experts of the fullest rank, each as often as it was sent there."""
    shards = expert_shards(micro.plan)
    hottest = smaller(micro.training.imbalance, shards.ep)
    return micro.tokens * shards.pool * ffn.top_k / shards.ep * hottest


def going_back(micro: Micro, block: Block) -> Num:
    """Bytes of gradients while the backward pass goes through a layer, at their widest.

    The gradient of the residual stream, and that of what the widest kernel read; what it wrote and the gradient of that
    make room for each other. Products behind a sequence-parallel region gather what was divided; gradients on their way
    to the experts are there at both ends.
    """
    mixer, ffn = block.mixer, block.ffn
    inner: Num = 0.0
    if isinstance(ffn, DenseFFN):
        inner = micro.tokens * micro.r * columns(ffn) / micro.plan.tp
    elif isinstance(ffn, MoE):
        routed = float(ffn.routed_dim(int(micro.hidden)))
        wide = larger(routed, columns(ffn.expert) / expert_shards(micro.plan).tp)
        inner = rows(micro, ffn) * micro.r * (routed + wide)
    if isinstance(mixer, AttentionMixer) and not micro.plan.flash:
        heads = heads_per_chip(float(mixer.heads), micro.plan)  # of probabilities, and of scores
        inner = larger(inner, micro.tokens * micro.r * 2.0 * heads * micro.seq_len)
    elif isinstance(mixer, LinearMixer):
        inner = larger(inner, micro.tokens * micro.r * mixer.input_dim / micro.plan.tp)
    return micro.residual + micro.gathered + inner
