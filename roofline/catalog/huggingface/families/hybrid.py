"""Decoders with recurrent or linear layers, alone or between layers that attend."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from roofline.catalog.huggingface.config import Config
from roofline.catalog.huggingface.decoder import (
    FULL,
    LINEAR,
    Decoder,
    Family,
    attention,
    block,
    decoder,
    dense,
    every,
    head_dim,
    heads,
    hidden,
    kinds,
    routed,
    sparse,
)
from roofline.catalog.huggingface.families.latent import mla
from roofline.workload import Block, DenseFFN, GatedDeltaNet, LightningAttention, Mamba1, Mamba2
from roofline.workload.ffn import FFN
from roofline.workload.model import Mixer

NORMS_LEFT_OUT = "The norms inside the recurrent layers are left out."
RESIDUALS_LEFT_OUT = "Attention residuals between blocks of layers are left out."


def mamba(config: Config) -> Decoder:
    """Mamba, Falcon-Mamba: selective state spaces, no ffn."""
    inner = config.count("intermediate_size", "d_inner", default=config.count("expand", default=2) * hidden(config))
    mixer = Mamba1(
        inner=inner,
        state_dim=config.count("state_size"),
        dt_rank=_rank(config, "time_step_rank"),
        conv=config.count("conv_kernel", default=4),
    )
    return decoder(config, [block(mixer, None, norms=1)] * config.layers, tied=True)


def mamba2(config: Config) -> Decoder:
    """Mamba-2: state space duality, no ffn."""
    mixer = Mamba2(
        heads=config.count("num_heads"),
        head_dim=config.count("head_dim"),
        state_dim=config.count("state_size"),
        groups=config.count("n_groups"),
        conv=config.count("conv_kernel", default=4),
    )
    return decoder(config, [block(mixer, None, norms=1)] * config.layers)


def jamba(config: Config) -> Decoder:
    """Jamba: one layer of each period attends, the others are recurrent; one of each other period has experts."""
    recurrent = Mamba1(
        inner=config.count("mamba_expand") * hidden(config),
        state_dim=config.count("mamba_d_state"),
        dt_rank=_rank(config, "mamba_dt_rank"),
        conv=config.count("mamba_d_conv"),
    )
    attends = _periodic(config, "attn_layer_period", "attn_layer_offset")
    routes = _periodic(config, "expert_layer_period", "expert_layer_offset")
    mixers: dict[bool, Mixer] = {True: attention(config), False: recurrent}
    ffns: dict[bool, FFN] = {True: routed(config, "intermediate_size"), False: dense(config)}
    layers = [block(mixers[attending], ffns[has]) for attending, has in zip(attends, routes, strict=True)]
    return decoder(config, layers, notes=[NORMS_LEFT_OUT])


def _periodic(config: Config, period: str, offset: str) -> list[bool]:
    interval, first = config.count(period), config.count(offset, least=0)
    return [index % interval == first for index in range(config.layers)]


def _rank(config: Config, key: str) -> int:
    """Width of the projection of dt: as stated, else a sixteenth of the model's, rounded up."""
    if config.data.get(key, "auto") == "auto":
        return -(-hidden(config) // 16)
    return config.count(key)


def nemotron_h(config: Config) -> Decoder:
    """Nemotron-H, Nemotron 3: `M` a recurrent layer, `*` one that attends, `-` an ffn, `E` experts."""
    pattern = _pattern(config)
    makers = {"M": _nemotron_recurrent, "*": _nemotron_attention, "-": _nemotron_ffn, "E": _nemotron_experts}
    made = {mark: makers[mark](config) for mark in dict.fromkeys(pattern)}
    latent = config.has("moe_latent_size")
    notes = ["Routed experts read and write a narrower vector, made by a projection of their own."] if latent else []
    return decoder(config, [made[mark] for mark in pattern], notes=notes)


def _pattern(config: Config) -> str:
    words = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
    stated = config.items("layers_block_type")
    found = config.text("hybrid_override_pattern")
    if stated and not found:
        found = "".join(words.get(str(word), "?") for word in stated)
    if not found:
        config.fault("hybrid_override_pattern", "missing (or layers_block_type)")
        return ""
    strange = sorted(set(found) - set("M*-E"))
    if strange:
        config.fault("hybrid_override_pattern", f"{' '.join(strange)!r} is no kind of layer; known: M * - E")
        return ""
    if config.has("num_hidden_layers") and len(found) != config.layers:
        config.fault("hybrid_override_pattern", f"has {len(found)} marks for {config.layers} layers")
    return found


def _nemotron_recurrent(config: Config) -> Block:
    mixer = Mamba2(
        heads=config.count("mamba_num_heads"),
        head_dim=config.count("mamba_head_dim"),
        state_dim=config.count("ssm_state_size"),
        groups=config.count("n_groups"),
        conv=config.count("conv_kernel", default=4),
    )
    return block(mixer, None, norms=1)


def _nemotron_attention(config: Config) -> Block:
    bias = config.flag("attention_bias")
    wide = config.count("head_dim", "attention_head_dim")
    stated = Config({**config.data, "head_dim": wide}, config.place, config.faults)
    return block(attention(stated, bias=bias, output_bias=bias), None, norms=1)


def _nemotron_ffn(config: Config) -> Block:
    return block(None, dense(config, gated=False, bias=config.flag("mlp_bias")), norms=1)


def _nemotron_experts(config: Config) -> Block:
    experts = routed(
        config,
        shared=config.count("n_shared_experts", default=0, least=0),
        shared_width=config.count("moe_shared_expert_intermediate_size", default=0, least=0),
        gated=False,
        router_bias=True,
        latent=config.count("moe_latent_size", default=0, least=0),
    )
    return block(None, experts, norms=1)


def qwen3_next(config: Config) -> Decoder:
    """Qwen3-Next, Qwen3.5: gated delta rule in all but every fourth layer, attention with a gate in the others."""
    linear = GatedDeltaNet(
        key_heads=config.count("linear_num_key_heads"),
        value_heads=config.count("linear_num_value_heads"),
        key_dim=config.count("linear_key_head_dim"),
        value_dim=config.count("linear_value_head_dim"),
        conv=config.count("linear_conv_kernel_dim"),
    )
    bias = config.flag("attention_bias")
    gated = config.flag("attn_output_gate", True)
    full = attention(config, bias=bias, output_bias=bias, qk_norm=True, gated=gated)
    mixers: dict[str, Mixer] = {LINEAR: linear, FULL: full}
    found = kinds(config, every(config.count("full_attention_interval", default=4), FULL, LINEAR), (FULL, LINEAR))
    if config.has("num_experts"):
        shared = config.count("shared_expert_intermediate_size")
        has, experts = sparse(config), routed(config, shared=1, shared_width=shared, shared_gate=True)
        ffns: dict[bool, FFN] = {True: experts} if all(has) else {True: experts, False: dense(config)}
    else:
        has, ffns = [False] * config.layers, {False: dense(config)}
    layers = [block(mixers[kind], ffns[one]) for kind, one in zip(found, has, strict=True)]
    return decoder(config, layers)


def minimax(config: Config) -> Decoder:
    """MiniMax-Text-01 and M1: linear attention with a decay per head, softmax attention in layers that are named."""
    linear = LightningAttention(heads=heads(config), head_dim=head_dim(config))
    mixers: dict[str, Mixer] = {LINEAR: linear, FULL: attention(config)}
    experts = routed(config, "intermediate_size")
    listed = config.per_layer("attn_type_list", config.layers, (0, 1))
    found = (
        [FULL if one else LINEAR for one in listed] if listed else kinds(config, every(2, LINEAR, FULL), (FULL, LINEAR))
    )
    return decoder(config, [block(mixers[kind], experts) for kind in found])


def kimi_linear(config: Config) -> Decoder:
    """Kimi Linear, Kimi K3: gated delta rule with a decay per channel, latent attention in the layers that are named
    (counted from 1)."""
    inner = config.part("linear_attn_config")
    number, width = inner.count("num_heads"), inner.count("head_dim")
    linear = GatedDeltaNet(
        key_heads=number,
        value_heads=number,
        key_dim=width,
        value_dim=width,
        conv=inner.count("short_conv_kernel_size"),
        decay_rank=width,
    )
    if not inner.flag("use_full_rank_gate"):
        inner.fault("use_full_rank_gate", "not true: a gate through a bottleneck is not modelled")
    mixers: dict[bool, Mixer] = {True: mla(config, gated=config.flag("mla_use_output_gate")), False: linear}
    full = inner.items("full_attn_layers") or []
    experts = routed(
        config,
        shared=config.count("num_shared_experts", default=0, least=0),
        router_bias=True,
        latent=config.count("routed_expert_hidden_size", default=0, least=0),
    )
    ffns: dict[bool, FFN] = {True: experts, False: dense(config)}
    layers = [block(mixers[index + 1 in full], ffns[has]) for index, has in enumerate(sparse(config))]
    return decoder(config, layers, notes=[RESIDUALS_LEFT_OUT] if config.has("attn_res_block_size") else [])


def granitemoehybrid(config: Config) -> Decoder:
    """Granite 4: recurrent layers and a few that attend, each with experts, a shared ffn beside them, or that alone."""
    recurrent = Mamba2(
        heads=config.count("mamba_n_heads"),
        head_dim=_granite_width(config),
        state_dim=config.count("mamba_d_state"),
        groups=config.count("mamba_n_groups"),
        conv=config.count("mamba_d_conv"),
    )
    bias = config.flag("attention_bias")
    mixers: dict[str, Mixer] = {"mamba": recurrent, "attention": attention(config, bias=bias, output_bias=bias)}
    found = config.per_layer("layer_types", config.layers, tuple(mixers))
    if found is None:
        config.fault("layer_types", "missing")
    wide = config.count("shared_intermediate_size")
    ffn: FFN = DenseFFN(width=wide)
    if config.count("num_local_experts", default=0, least=0):
        ffn = routed(config, "intermediate_size", shared=1, shared_width=wide)
    return decoder(config, [block(mixers[kind], ffn) for kind in found or ["mamba"]])


def _granite_width(config: Config) -> int:
    if config.has("mamba_d_head") and config.data["mamba_d_head"] != "auto":
        return config.count("mamba_d_head")
    return config.count("mamba_expand") * hidden(config) // config.count("mamba_n_heads")


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        **{
            read.__name__: read
            for read in (mamba, mamba2, jamba, nemotron_h, qwen3_next, minimax, kimi_linear, granitemoehybrid)
        },
        "falcon_mamba": mamba,
        "minimax_text_01": minimax,
        "minimax_m1": minimax,
        **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text"), qwen3_next),
    }
)
