"""What a family makes of a configuration: the layers of a decoder one by one, and what surrounds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from roofline.catalog.huggingface.config import Config
from roofline.workload import Attention, Block, DenseFFN, MoE
from roofline.workload.ffn import FFN
from roofline.workload.model import Mixer

FULL, SLIDING, CHUNKED, LINEAR = "full_attention", "sliding_attention", "chunked_attention", "linear_attention"
MTP_LEFT_OUT = "The multi-token prediction layer is left out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A text decoder, layer by layer; `notes` say what of it a model file can't hold."""

    hidden: int
    vocab: int
    layers: Sequence[Block]
    tied: bool = False
    context: int = 0
    positions: int = 0
    norm_bias: bool = False
    notes: tuple[str, ...] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Layers of the same make as one group, in the order in which they first appear."""
        return tuple(replace(block, count=count) for block, count in Counter(self.layers).items())


Family = Callable[[Config], Decoder]


def decoder(
    config: Config,
    layers: Sequence[Block],
    *,
    tied: bool = False,
    positions: int = 0,
    norm_bias: bool = False,
    notes: Sequence[str] = (),
) -> Decoder:
    """A decoder of these layers; `tied` is what the family's classes take where the configuration is silent."""
    ahead = config.count("num_nextn_predict_layers", "num_mtp_modules", "mtp_num_hidden_layers", default=0, least=0)
    return Decoder(
        hidden=hidden(config),
        vocab=config.count("vocab_size", "padded_vocab_size"),
        layers=layers,
        tied=config.flag("tie_word_embeddings", tied),
        context=config.count(
            "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx", default=0, least=0
        ),
        positions=positions,
        norm_bias=norm_bias,
        notes=(*notes, *((MTP_LEFT_OUT,) if ahead else ())),
    )


def hidden(config: Config) -> int:
    """Width of the residual stream."""
    return config.count("hidden_size", "n_embd", "d_model", "n_embed")


def heads(config: Config) -> int:
    """Query heads."""
    return config.count("num_attention_heads", "n_head", "n_heads")


def head_dim(config: Config) -> int:
    """Width of a head: as stated, else an even share of the model's."""
    if config.has("head_dim"):
        return config.count("head_dim")
    if config.has("kv_channels"):
        return config.count("kv_channels")
    width, number = hidden(config), heads(config)
    if width % number and not config.faults:
        config.fault("head_dim", f"missing, and {number} heads do not divide a width of {width}")
        return 1
    return width // number


def attention(
    config: Config, *, kv_heads: int | None = None, window: int = 0, reach: str = FULL, **more: object
) -> Attention:
    """Attention with the heads that the configuration states; `more` are its other traits."""
    number = heads(config)
    shared = kv_heads or config.count("num_key_value_heads", "num_kv_heads", "n_head_kv", default=number)
    if number % shared:
        config.fault("num_key_value_heads", f"{shared} do not divide {number} heads")
    plain = Attention(heads=number, kv_heads=shared, head_dim=head_dim(config))
    if reach == SLIDING:
        plain = replace(plain, reach="sliding", window=window)
    elif reach == CHUNKED:
        plain = replace(plain, reach="chunked", window=window)
    return replace(plain, **more)  # type: ignore[arg-type]


def dense(config: Config, *keys: str, gated: bool = True, bias: bool = False) -> DenseFFN:
    """An ffn as wide as the first of the keys says, by default `intermediate_size`."""
    return DenseFFN(width=config.count(*(keys or ("intermediate_size",))), gated=gated, bias=bias)


def kinds(config: Config, usual: Callable[[int], str], known: Sequence[str] = (FULL, SLIDING)) -> list[str]:
    """The kind of each layer's mixer: as stated in `layer_types`, else as the family's classes take it."""
    stated = config.per_layer("layer_types", config.layers, known)
    return stated or [usual(index) for index in range(config.layers)]


def every(interval: int, special: str, usual: str) -> Callable[[int], str]:
    """The last of each `interval` layers is special.

    >>> [every(3, "full", "slides")(index) for index in range(4)]
    ['slides', 'slides', 'full', 'slides']
    """
    return lambda index: special if (index + 1) % interval == 0 else usual


def block(mixer: Mixer | None, ffn: FFN | None, *, norms: int = 2, parallel: bool = False) -> Block:
    """One layer."""
    return Block(count=1, mixer=mixer, ffn=ffn, norms=norms, parallel=parallel)


def routed(config: Config, *widths: str, **more: object) -> MoE:
    """Routed experts under the names that configurations have for them; `more` are their other traits."""
    experts = config.count("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    top_k = config.count("num_experts_per_tok", "top_k_experts", "moe_top_k", "num_experts_per_token")
    if top_k > experts:
        config.fault("num_experts_per_tok", f"{top_k} of {experts} experts")
    plain = MoE(experts=experts, top_k=top_k, width=config.count(*(widths or ("moe_intermediate_size",))))
    return replace(plain, **more)  # type: ignore[arg-type]


def sparse(config: Config) -> list[bool]:
    """Which layers have experts: as listed, else all after the first dense ones, or at intervals."""
    layers = config.layers
    stated = config.per_layer("mlp_layer_types", layers, ("dense", "sparse"))
    if stated:
        return [kind == "sparse" for kind in stated]
    if isinstance(config.data.get("moe_layer_freq"), list):
        return [bool(one) for one in config.per_layer("moe_layer_freq", layers, (0, 1)) or [0] * layers]
    first = config.count("first_k_dense_replace", default=0, least=0)
    step = config.count("decoder_sparse_step", "moe_layer_freq", default=1)
    only = config.items("mlp_only_layers") or []
    shift = 1 if config.has("decoder_sparse_step") else 0  # one family counts layers from 1
    return [index >= first and (index + shift) % step == 0 and index not in only for index in range(layers)]
