"""Decoders with routed experts and softmax attention in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.decoder import (
    CHUNKED,
    FULL,
    SLIDING,
    Decoder,
    Family,
    attention,
    block,
    decoder,
    dense,
    every,
    heads,
    hidden,
    kinds,
    routed,
    sparse,
)
from roofline.catalog.huggingface.families.plain import Window, if_used, never, wherever_narrower
from roofline.workload import Attention, Block, DenseFFN, MoE, Selection
from roofline.workload.ffn import FFN

WINDOWS_LEFT_OUT = (
    "Each query attends to {blocks} blocks of {size} tokens that an indexer scores highest, counted as single tokens."
)


def alike(
    config: Config, mixer: Attention, experts: MoE, *, window: Window = never, norm_bias: bool = False, norms: int = 2
) -> Decoder:
    """A decoder whose layers differ at most in how far they see, and in whether they have experts."""
    has = sparse(config)
    ffns: dict[bool, FFN] = {True: experts}
    if not all(has):
        ffns[False] = dense(config)
    found = kinds(config, window(config))
    mixers = {FULL: mixer}
    if SLIDING in found:
        mixers[SLIDING] = replace(mixer, reach="sliding", window=config.count("sliding_window"))
    layers = [block(mixers[kind], ffns[one], norms=norms) for kind, one in zip(found, has, strict=True)]
    return decoder(config, layers, norm_bias=norm_bias)


def mixtral(config: Config) -> Decoder:
    """Mixtral: experts in every layer, as wide as `intermediate_size`."""
    return alike(config, attention(config), routed(config, "intermediate_size"), window=wherever_narrower)


def phimoe(config: Config) -> Decoder:
    """Phi-3.5-MoE: LayerNorm, and biases in attention if `attention_bias` says so."""
    bias = config.flag("attention_bias")
    mixer = attention(config, bias=bias, output_bias=bias)
    found = alike(
        config, mixer, routed(config, "intermediate_size"), window=wherever_narrower, norm_bias=True
    )  # fmt: skip
    notes = ("The bias of the output matrix is left out.",) if config.flag("lm_head_bias") else ()
    return replace(found, notes=(*found.notes, *notes))


def qwen2_moe(config: Config) -> Decoder:
    """Qwen1.5 and 2 with experts: biases on queries, keys and values, a gated shared expert."""
    shared = config.count("shared_expert_intermediate_size")
    experts = routed(config, shared=1, shared_width=shared, shared_gate=True)
    return alike(config, attention(config, bias=config.flag("qkv_bias", True)), experts, window=if_used)


def qwen3_moe(config: Config) -> Decoder:
    """Qwen3 with experts: norms of queries and keys, no shared expert."""
    bias = config.flag("attention_bias")
    mixer = attention(config, bias=bias, output_bias=bias, qk_norm=True)
    return alike(config, mixer, routed(config), window=if_used)


def glm4_moe(config: Config) -> Decoder:
    """GLM-4.5 to 4.7: routers with a correction, dense layers first."""
    mixer = attention(config, bias=config.flag("attention_bias"), qk_norm=config.flag("use_qk_norm"))
    shared = config.count("n_shared_experts", default=0, least=0)
    return alike(config, mixer, routed(config, shared=shared, router_bias=True))


def minimax_m2(config: Config) -> Decoder:
    """MiniMax-M2: norms of queries and keys over all heads, routers with a correction."""
    normed = config.flag("use_qk_norm", True)
    experts = routed(config, "intermediate_size", router_bias=config.flag("use_routing_bias", True))
    return alike(config, attention(config, qk_norm="all" if normed else False), experts)


def minimax_m3(config: Config) -> Decoder:
    """MiniMax-M3: an indexer chooses blocks of tokens in layers that `sparse_attention_freq` names."""
    layers = config.layers
    inner = config.part("sparse_attention_config")
    chosen = inner.per_layer("sparse_attention_freq", layers, (0, 1)) or [0] * layers
    blocks, size = inner.count("sparse_topk_blocks"), inner.count("sparse_block_size")
    selection = Selection(
        top_k=blocks * size, heads=inner.count("sparse_num_index_heads"), head_dim=inner.count("sparse_index_dim")
    )
    plain = attention(config, qk_norm=config.flag("use_qk_norm", True))
    mixers = {0: plain, 1: replace(plain, selection=selection)}
    experts = routed(
        config,
        "moe_intermediate_size",
        "intermediate_size",
        shared=config.count("n_shared_experts", default=0, least=0),
        router_bias=config.flag("use_routing_bias", True),
    )
    ffns: dict[bool, FFN] = {True: experts, False: dense(config, "dense_intermediate_size")}
    found = [block(mixers[own], ffns[has]) for own, has in zip(chosen, sparse(config), strict=True)]
    return decoder(config, found, notes=[WINDOWS_LEFT_OUT.format(blocks=blocks, size=size)])


def gpt_oss(config: Config) -> Decoder:
    """gpt-oss: sliding and full layers take turns, each head has a sink, experts and routers have biases."""
    bias = config.flag("attention_bias", True)
    mixer = attention(config, bias=bias, output_bias=bias, sinks=True)
    experts = routed(config, "intermediate_size", bias=True)
    return alike(config, mixer, experts, window=lambda _: every(2, FULL, SLIDING))


def llama4_text(config: Config) -> Decoder:
    """Llama 4: chunks in all but every fourth layer, experts in every `interleave_moe_layer_step`-th."""
    interval = config.count("no_rope_layer_interval", default=4)
    step = config.count("interleave_moe_layer_step")
    chunk = config.count("attention_chunk_size")
    found = _no_rope(config) or kinds(config, every(interval, FULL, CHUNKED), (FULL, CHUNKED))
    mixers = {FULL: attention(config), CHUNKED: attention(config, reach=CHUNKED, window=chunk)}
    experts = routed(config, "intermediate_size", shared=1)
    ffns: dict[bool, FFN] = {True: experts, False: dense(config, "intermediate_size_mlp")}
    listed = config.items("moe_layers")
    has = [index in listed if listed else (index + 1) % step == 0 for index in range(config.layers)]
    return decoder(config, [block(mixers[kind], ffns[one]) for kind, one in zip(found, has, strict=True)])


def _no_rope(config: Config) -> list[str] | None:
    """Layers without positions see everything, as `no_rope_layers` lists them (0)."""
    if config.has("layer_types") or not config.items("no_rope_layers"):
        return None
    listed = config.per_layer("no_rope_layers", config.layers, (0, 1))
    return [CHUNKED if roped else FULL for roped in listed] if listed else None


def mimo_v2_flash(config: Config) -> Decoder:
    """MiMo-V2: sliding layers with heads of their own and sinks, values narrower than keys."""
    layers = config.layers
    slides = config.per_layer("hybrid_layer_pattern", layers, (0, 1))
    if slides is None:
        slides = [int(kind == SLIDING) for kind in kinds(config, lambda _: FULL)] if config.has("layer_types") else None
    if slides is None:
        config.fault("hybrid_layer_pattern", "missing (or layer_types)")
    full = attention(
        config,
        v_dim=config.count("v_head_dim"),
        sinks=config.flag("add_full_attention_sink_bias"),
        bias=config.flag("attention_bias"),
    )
    sliding = replace(
        full,
        heads=config.count("swa_num_attention_heads", "num_attention_heads"),
        kv_heads=config.count("swa_num_key_value_heads", "num_key_value_heads"),
        head_dim=config.count("swa_head_dim", "head_dim"),
        v_dim=config.count("swa_v_head_dim", "v_head_dim"),
        sinks=config.flag("add_swa_attention_sink_bias"),
        reach="sliding",
        window=config.count("sliding_window"),
    )
    shared = config.count("n_shared_experts", default=0, least=0)
    ffns: dict[bool, FFN] = {True: routed(config, shared=shared, router_bias=True), False: dense(config)}
    pairs = zip(slides or [0] * layers, sparse(config), strict=True)
    return decoder(config, [block(sliding if narrow else full, ffns[has]) for narrow, has in pairs])


def step3p7(config: Config) -> Decoder:
    """Step-3.7: a gate per head, norms of queries and keys, routers with a correction."""
    if config.count("num_sliding_attention_heads", default=heads(config)) != heads(config):
        config.fault("num_sliding_attention_heads", "other than num_attention_heads is not modelled")
    plain = attention(config, qk_norm=True, gated="heads")
    shared = config.count("n_shared_experts", default=1, least=0)
    experts = routed(
        config, "moe_intermediate_size", shared=shared, router_bias=config.flag("use_moe_router_bias", True)
    )
    if experts.shared and config.has("share_expert_dim") and config.count("share_expert_dim") != experts.width:
        experts = replace(experts, shared_width=config.count("share_expert_dim"))
    return alike(config, plain, experts)


def granitemoe(config: Config) -> Decoder:
    """Granite 3 with experts."""
    bias = config.flag("attention_bias")
    return alike(config, attention(config, bias=bias, output_bias=bias), routed(config, "intermediate_size"))


def dbrx(config: Config) -> Decoder:
    """DBRX: kv heads and experts are stated in parts of their own, norms have no shift."""
    inner, ffn = config.part("attn_config"), config.part("ffn_config")
    experts = routed(ffn, "ffn_hidden_size")
    layer = block(attention(config, kv_heads=inner.count("kv_n_heads")), experts)
    return decoder(config, [layer] * config.layers)


def grok1(config: Config) -> Decoder:
    """Grok-1: four norms a layer, the token table is the output matrix, too."""
    layer = block(attention(config), routed(config, "intermediate_size"), norms=4)
    return decoder(config, [layer] * config.layers, tied=True)


def nemotron_nas(config: Config) -> Decoder:
    """Llama-Nemotron: a search left each layer its own kv heads and width of ffn, or took one of them away."""
    stated = config.items("block_configs") or []
    if len(stated) != config.layers:
        config.fault("block_configs", f"has {len(stated)} entries for {config.layers} layers")
    places = [
        Config(one if isinstance(one, dict) else {}, (*config.place, "block_configs", index), config.faults)
        for index, one in enumerate(stated)
    ]
    return decoder(config, [_searched(config, place) for place in places])


def _searched(config: Config, place: Config) -> Block:
    """One layer that a search has made: groups of heads, the width a multiple of 256 (two thirds of a plain ffn's)."""
    inner, outer = place.part("attention"), place.part("ffn")
    for part in (inner, outer):
        if part.flag("replace_with_linear"):
            part.fault("replace_with_linear", "true: layers of one matrix are not modelled")
    mixer: Attention | None = None
    if not inner.flag("no_op"):
        mixer = attention(config, kv_heads=max(heads(config) // inner.count("n_heads_in_group"), 1))
    ffn: DenseFFN | None = None
    if not outer.flag("no_op"):
        wide = int(2.0 * outer.number("ffn_mult") * hidden(config) / 3.0)
        ffn = DenseFFN(width=-(-wide // 256) * 256)
    return block(mixer, ffn, norms=(mixer is not None) + (ffn is not None))


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        **{
            read.__name__: read
            for read in (
                mixtral, phimoe, qwen2_moe, qwen3_moe, glm4_moe, minimax_m2, minimax_m3, gpt_oss, llama4_text,
                mimo_v2_flash, granitemoe, dbrx, grok1,
            )
        },
        "qwen3_vl_moe_text": qwen3_moe,
        "step3p7": step3p7,
        "step3p7_text": step3p7,
        "minimax_m3_sparse": minimax_m3,
        "nemotron-nas": nemotron_nas,
    }
)  # fmt: skip
