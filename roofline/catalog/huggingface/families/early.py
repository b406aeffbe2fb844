"""Decoders of 2019 to 2023: LayerNorm, biases, learned positions, attention and ffn side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.decoder import Decoder, Family, attention, block, decoder, dense, heads, hidden
from roofline.workload import DenseFFN

HEAD_BIAS_LEFT_OUT = "The bias of the output matrix is left out."


def gpt2(config: Config) -> Decoder:
    """GPT-2: biases everywhere, a table of positions, four times as wide an ffn where `n_inner` is silent."""
    return _biased(config, positions=config.count("n_positions"))


def gpt_bigcode(config: Config) -> Decoder:
    """StarCoder: GPT-2 with one kv head."""
    shared = 1 if config.flag("multi_query", True) else None
    return _biased(config, kv_heads=shared, positions=config.count("n_positions"))


def gptj(config: Config) -> Decoder:
    """GPT-J: one norm a layer, no biases in attention."""
    ffn = DenseFFN(width=config.count("n_inner", default=4 * hidden(config)), gated=False, bias=True)
    layer = block(attention(config), ffn, norms=1, parallel=True)
    return decoder(config, [layer] * config.layers, norm_bias=True, notes=[HEAD_BIAS_LEFT_OUT])


def opt(config: Config) -> Decoder:
    """OPT: a table of positions with two rows more than the context."""
    if not config.flag("do_layer_norm_before", True):
        config.fault("do_layer_norm_before", "false: norms after their layers are not modelled")
    projected = config.count("word_embed_proj_dim", default=hidden(config))
    if projected != hidden(config):
        config.fault("word_embed_proj_dim", f"tables of {projected} for a width of {hidden(config)} are not modelled")
    positions = config.count("max_position_embeddings") + 2
    return _biased(config, "ffn_dim", bias=config.flag("enable_bias", True), positions=positions)


def bloom(config: Config) -> Decoder:
    """BLOOM: positions are biases of the scores."""
    return _biased(config, notes=["The norm after the token table is left out."])


def gpt_neox(config: Config) -> Decoder:
    """GPT-NeoX, Pythia: attention and ffn side by side, each through a norm of its own."""
    bias = config.flag("attention_bias", True)
    ffn = dense(config, gated=False, bias=True)
    parallel = config.flag("use_parallel_residual", True)
    layer = block(attention(config, bias=bias, output_bias=bias), ffn, parallel=parallel)
    return decoder(config, [layer] * config.layers, norm_bias=True)


def falcon(config: Config) -> Decoder:
    """Falcon: the first ones with one kv head and one norm a layer, the later ones with groups and two."""
    later = config.flag("new_decoder_architecture")
    one = config.flag("multi_query", True) and not later
    bias = config.flag("bias")
    mixer = attention(config, kv_heads=1 if one else None, bias=bias, output_bias=bias)
    ffn = DenseFFN(width=config.count("ffn_hidden_size", default=4 * hidden(config)), gated=False, bias=bias)
    parallel = config.flag("parallel_attn", True)
    norms = config.count("num_ln_in_parallel_attn", default=2) if later else 1 if parallel else 2
    layer = block(mixer, ffn, norms=norms, parallel=parallel)
    return decoder(config, [layer] * config.layers, tied=True, norm_bias=True)


def mpt(config: Config) -> Decoder:
    """MPT: no biases, positions are biases of the scores."""
    inner = config.part("attn_config")
    if inner.flag("qk_ln"):
        inner.fault("qk_ln", "true: norms over all heads are not modelled for this family")
    shared = (
        1 if inner.text("attn_type") == "multiquery_attention" else inner.count("kv_n_heads", default=heads(config))
    )
    bias = not config.flag("no_bias", True)
    width = int(config.number("expansion_ratio") * hidden(config))
    layer = block(
        attention(config, kv_heads=shared, bias=bias, output_bias=bias), DenseFFN(width=width, gated=False, bias=bias)
    )
    positions = 0
    if config.flag("learned_pos_emb", True) and not inner.flag("alibi", True):
        positions = config.count("max_seq_len")
    return decoder(config, [layer] * config.layers, tied=True, positions=positions, norm_bias=bias)


def phi(config: Config) -> Decoder:
    """Phi 1 and 2: one norm a layer, attention and ffn side by side."""
    if config.flag("qk_layernorm"):
        config.fault("qk_layernorm", "true: not modelled for this family")
    width = config.count("intermediate_size", "n_inner", default=4 * hidden(config))
    mixer = attention(config, bias=True, output_bias=True)
    layer = block(mixer, DenseFFN(width=width, gated=False, bias=True), norms=1, parallel=True)
    return decoder(config, [layer] * config.layers, norm_bias=True, notes=[HEAD_BIAS_LEFT_OUT])


def _biased(
    config: Config,
    *widths: str,
    kv_heads: int | None = None,
    bias: bool = True,
    positions: int = 0,
    notes: Sequence[str] = (),
) -> Decoder:
    width = config.count(*(widths or ("n_inner",)), default=4 * hidden(config))
    ffn = DenseFFN(width=width, gated=False, bias=bias)
    layer = block(attention(config, kv_heads=kv_heads, bias=bias, output_bias=bias), ffn)
    return decoder(config, [layer] * config.layers, tied=True, positions=positions, norm_bias=True, notes=notes)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        **{read.__name__: read for read in (gpt2, gpt_bigcode, gptj, opt, bloom, gpt_neox, falcon, mpt, phi)},
        **dict.fromkeys(("RefinedWeb", "RefinedWebModel"), falcon),
        "phi-msft": phi,
    }
)
