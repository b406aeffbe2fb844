"""Decoders that repeat one make of layer, attention and a dense ffn: they differ in a table of traits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
)

Told = bool | str  # true, false, or the key that says so
Window = Callable[[Config], Callable[[int], str]]


def told(config: Config, trait: Told) -> bool:
    """Whether a family, or else its configuration, has a trait."""
    return config.flag(trait) if isinstance(trait, str) else trait


def never(config: Config) -> Callable[[int], str]:
    """No layer slides."""
    return lambda _: FULL


def wherever_narrower(config: Config) -> Callable[[int], str]:
    """All layers slide if the window is narrower than the longest context."""
    context = config.count("max_position_embeddings", default=0, least=0)
    window = config.count("sliding_window", default=0, least=0)
    return lambda _: SLIDING if window and (not context or window < context) else FULL


def if_used(config: Config) -> Callable[[int], str]:
    """Layers from `max_window_layers` on slide, if `use_sliding_window` says so."""
    first = config.count("max_window_layers", default=0, least=0)
    slides = config.flag("use_sliding_window") and config.has("sliding_window")
    return lambda index: SLIDING if slides and index >= first else FULL


def all_but_every(interval: int) -> Window:
    """The last of each `interval` layers is full, or of as many as `sliding_window_pattern` says."""
    return lambda config: every(config.count("sliding_window_pattern", default=interval), FULL, SLIDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What tells one family from another. `tied` holds where the configuration is silent."""

    bias: Told = False
    output_bias: Told = False
    ffn_bias: Told = False
    norm_bias: bool = False
    gated: bool = True
    qk_norm: Told = False
    heads_normed_apart: bool = False
    norms: int = 2
    parallel: bool = False
    tied: bool = False
    window: Window = never


def plain(config: Config, traits: Traits) -> Decoder:
    """A decoder of layers that differ at most in how far they see."""
    found = kinds(config, traits.window(config))
    window = config.count("sliding_window") if SLIDING in found else 0
    normed = told(config, traits.qk_norm)
    mixers = {
        kind: attention(
            config,
            reach=kind,
            window=window if kind == SLIDING else 0,
            bias=told(config, traits.bias),
            output_bias=told(config, traits.output_bias),
            qk_norm="all" if normed and traits.heads_normed_apart else normed,
        )
        for kind in dict.fromkeys(found)
    }
    ffn = dense(config, gated=traits.gated, bias=told(config, traits.ffn_bias))
    layers = [block(mixers[kind], ffn, norms=traits.norms, parallel=traits.parallel) for kind in found]
    return decoder(config, layers, tied=traits.tied, norm_bias=traits.norm_bias)


biased = partial(Traits, bias="attention_bias", output_bias="attention_bias")  # as most families call them

TRAITS: Mapping[str, Traits] = MappingProxyType(
    {
        "llama": biased(ffn_bias="mlp_bias"),
        "mistral": Traits(window=wherever_narrower),
        "ministral3": Traits(window=wherever_narrower),
        "qwen2": Traits(bias=True, window=if_used),
        "qwen2_5_vl_text": Traits(bias=True, window=if_used),
        "qwen3": biased(qk_norm=True, window=if_used),
        "qwen3_vl_text": biased(qk_norm=True),
        "mimo": Traits(bias=True, window=if_used),
        "seed_oss": Traits(bias="attention_bias", output_bias="attention_out_bias", ffn_bias="mlp_bias"),
        "smollm3": biased(ffn_bias="mlp_bias", tied=True),
        "granite": biased(ffn_bias="mlp_bias"),
        "internlm2": Traits(bias="bias", output_bias="bias"),
        "phi3": Traits(window=wherever_narrower),
        "gemma": biased(tied=True),
        "gemma2": biased(tied=True, norms=4, window=all_but_every(2)),
        "gemma3_text": biased(qk_norm=True, tied=True, norms=4, window=all_but_every(6)),
        "olmo2": biased(qk_norm=True, heads_normed_apart=True),
        "olmo3": biased(qk_norm=True, heads_normed_apart=True, window=all_but_every(4)),
        "cohere": biased(qk_norm="use_qk_norm", heads_normed_apart=True, tied=True, norms=1, parallel=True),
        "cohere2": biased(tied=True, norms=1, parallel=True, window=all_but_every(4)),
        "nemotron": biased(ffn_bias="mlp_bias", gated=False, norm_bias=True),
        "starcoder2": Traits(
            bias="use_bias",
            output_bias="use_bias",
            ffn_bias="use_bias",
            gated=False,
            norm_bias=True,
            tied=True,
            window=wherever_narrower,
        ),
    }
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {name: partial(plain, traits=traits) for name, traits in TRAITS.items()}
)
