"""Latent attention: DeepSeek from V2 on, and those who follow it (Kimi K2, GLM from 5 on)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.decoder import Decoder, Family, block, decoder, dense, heads, routed, sparse
from roofline.workload import MLA, CompressedAttention, Selection
from roofline.workload.ffn import FFN

CHOICE_LEFT_OUT = (
    "Each query attends to the {top_k:,} tokens that an indexer scores highest; all others stay in the cache."
)
STREAMS_LEFT_OUT = (
    "The residual streams (hyper-connections) and the fixed expert choice of the first layers are left out."
)


def mla(config: Config, *, selection: Selection | None = None, gated: bool = False) -> MLA:
    """Latent attention with the ranks and widths that the configuration states."""
    if config.flag("attention_bias"):
        config.fault("attention_bias", "true: biases of latent attention are not modelled")
    return MLA(
        heads=heads(config),
        q_lora_rank=config.count("q_lora_rank", default=0, least=0),
        kv_lora_rank=config.count("kv_lora_rank"),
        rope_dim=config.count("qk_rope_head_dim"),
        nope_dim=config.count("qk_nope_head_dim"),
        v_dim=config.count("v_head_dim"),
        gated=gated,
        selection=selection,
    )


def deepseek_v2(config: Config) -> Decoder:
    """DeepSeek-V2: routers without a correction."""
    return _latent(config, corrected=False)


def deepseek_v3(config: Config) -> Decoder:
    """DeepSeek-V3, Kimi K2: routers with a correction for each expert."""
    return _latent(config, corrected=True)


def deepseek_v32(config: Config) -> Decoder:
    """DeepSeek-V3.2, GLM-5: an indexer in every layer, or in those that `indexer_types` or a frequency names."""
    return _latent(config, corrected=True, indexed=True)


def deepseek_v4(config: Config) -> Decoder:
    """DeepSeek-V4: attention to a window and to compressed groups of tokens."""
    ratios = config.per_layer("compress_ratios", config.layers, range(4097))
    if ratios is None:
        config.fault("compress_ratios", "missing")
    ffn = routed(config, shared=config.count("n_shared_experts", default=0, least=0), router_bias=True)
    layers = [block(_compressed(config, ratio), ffn) for ratio in ratios or [0]]
    return decoder(config, layers, notes=[STREAMS_LEFT_OUT])


def _compressed(config: Config, ratio: int) -> CompressedAttention:
    """Short groups overlap and are chosen among by an indexer, long ones are all attended to."""
    chosen = 0 < ratio <= 4
    return CompressedAttention(
        heads=heads(config),
        head_dim=config.count("head_dim"),
        q_lora_rank=config.count("q_lora_rank"),
        output_groups=config.count("o_groups"),
        output_lora_rank=config.count("o_lora_rank"),
        window=config.count("sliding_window"),
        ratio=ratio,
        overlap=chosen,
        selection=_selection(config) if chosen else None,
    )


def _selection(config: Config) -> Selection:
    return Selection(
        top_k=config.count("index_topk"), heads=config.count("index_n_heads"), head_dim=config.count("index_head_dim")
    )


def _latent(config: Config, *, corrected: bool, indexed: bool = False) -> Decoder:
    shared = config.count("n_shared_experts", default=0, least=0)
    experts = routed(config, shared=shared, router_bias=corrected)
    ffns: dict[bool, FFN] = {True: experts, False: dense(config)}
    mixers = {own: mla(config, selection=_chosen(config, own) if indexed else None) for own in (True, False)}
    layers = [block(mixers[own], ffns[has]) for own, has in zip(_own(config, indexed), sparse(config), strict=True)]
    notes = [CHOICE_LEFT_OUT.format(top_k=config.count("index_topk"))] if indexed else []
    return decoder(config, layers, notes=notes)


def _chosen(config: Config, own: bool) -> Selection:
    """A layer's own choice of tokens, or that of an earlier layer."""
    return _selection(config) if own else Selection(top_k=config.count("index_topk"))


def _own(config: Config, indexed: bool) -> list[bool]:
    """Which layers have an indexer: as listed, else the first few and then one of each `index_topk_freq`."""
    stated = config.per_layer("indexer_types", config.layers, ("full", "shared")) if indexed else None
    if stated:
        return [kind == "full" for kind in stated]
    interval = config.count("index_topk_freq", default=1)
    offset = config.count("index_skip_topk_offset", default=2, least=0)
    return [max(index - offset + 1, 0) % interval == 0 for index in range(config.layers)]


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        **{read.__name__: read for read in (deepseek_v2, deepseek_v3, deepseek_v32, deepseek_v4)},
        "kimi_k2": deepseek_v3,
        "glm_moe_dsa": deepseek_v32,
    }
)
