"""Gemma 4: full layers have fewer and wider kv heads, and may make their values of the keys' projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.decoder import (
    FULL,
    SLIDING,
    Decoder,
    Family,
    attention,
    block,
    decoder,
    dense,
    every,
    kinds,
    routed,
)
from roofline.workload import Attention
from roofline.workload.ffn import FFN


def gemma4_text(config: Config) -> Decoder:
    """The text decoder of Gemma 4; with experts, the dense ffn beside them stands as a shared one."""
    for key in ("hidden_size_per_layer_input", "num_kv_shared_layers"):
        if config.count(key, default=256 if key.startswith("hidden") else 0, least=0):
            config.fault(key, "above 0 (per-layer embeddings, shared caches) is not modelled")
    if config.flag("use_double_wide_mlp"):
        config.fault("use_double_wide_mlp", "true is not modelled")
    mixers = {SLIDING: _sliding(config), FULL: _full(config)}
    mixed = config.flag("enable_moe_block")
    ffn: FFN = dense(config)
    if mixed:
        ffn = routed(config, shared=1, shared_width=config.count("intermediate_size"), router_bias=True)
    found = kinds(config, every(6, FULL, SLIDING))
    layers = [block(mixers[kind], ffn, norms=8 if mixed else 4) for kind in found]
    notes = ["Full layers make their values of the keys' projection."] if mixers[FULL].tied_values else []
    if mixed:
        notes += [
            "The dense ffn beside the experts stands as a shared expert, the router's scales as a norm and a bias."
        ]
    return decoder(config, layers, tied=True, notes=notes)


def _sliding(config: Config) -> Attention:
    return attention(config, reach=SLIDING, window=config.count("sliding_window"), qk_norm=True)


def _full(config: Config) -> Attention:
    tied = config.flag("attention_k_eq_v")
    shared = config.count("num_global_key_value_heads", "num_key_value_heads") if tied else None
    wide = config.count("global_head_dim", "head_dim")
    return replace(attention(config, kv_heads=shared, qk_norm=True, tied_values=tied), head_dim=wide)


FAMILIES: Mapping[str, Family] = MappingProxyType({gemma4_text.__name__: gemma4_text})
