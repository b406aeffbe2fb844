"""Architectures and requests in words: what `show` says of a block group or a step, a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from roofline.machine import EnergyCosts, EnergyShares, Host
from roofline.units import show as in_units
from roofline.workload import (
    MLA,
    Attention,
    Block,
    Cached,
    CompressedAttention,
    Decode,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Mamba2,
    MoE,
    Pause,
    Prefill,
    Selection,
    Speculation,
    Step,
)
from roofline.workload.ffn import FFN
from roofline.workload.model import Mixer

Fields = Iterator[tuple[str, str | None]]  # dotted paths of what an entry says, and that as words; None says nothing


def amount(value: Any, dimension: str) -> str | None:
    """A quantity that may be missing, as `units.show` writes it."""
    return None if value is None else in_units(float(value), dimension)


def block(group: Block) -> str:
    """A group of layers: how many, their mixer, their ffn.

    >>> block(Block(count=2, mixer=LightningAttention(heads=64, head_dim=96), ffn=DenseFFN(width=8192)))
    '2 x lightning attention, 64 heads of 96; ffn of 8,192'
    """
    parts = [part(item) for item in (group.mixer, group.ffn) if item is not None]
    beside = ", side by side" if group.parallel and len(parts) > 1 else ""
    return f"{group.count} x {'; '.join(parts)}{beside}"


def part(item: Mixer | FFN) -> str:
    """A mixer or an ffn."""
    return _WORDS[type(item)](item)


def step(item: Step) -> str:
    """A step of a request.

    >>> step(Prefill(1155.0)), step(Pause(0.3)), step(Decode(900.0, "thinking", hidden=True))
    ('read 1,155 tokens', 'pause for 0.3 s', 'thinking: generate 900 tokens, hidden')
    """
    name = f"{item.name}: " if item.name else ""
    if isinstance(item, Pause):
        return f"{name}pause for {float(item.seconds):g} s"
    if isinstance(item, Cached):
        return f"{name}go on from {float(item.tokens):,.0f} cached tokens"
    hidden = ", hidden" if isinstance(item, Decode) and item.hidden else ""
    return f"{name}{'read' if isinstance(item, Prefill) else 'generate'} {float(item.tokens):,.0f} tokens{hidden}"


def speculation(item: Speculation) -> str:
    """What is drafted, by what, and how much of it is right.

    >>> speculation(Speculation(tokens=4.0, acceptance=0.7, cost=0.05))
    '4 tokens a step, each right with 0.7, at 0.05 of a step each: 2.77 tokens a step'
    """
    by = f", drafted by {item.model.id}" if item.model else f", at {float(item.cost):.3g} of a step each"
    chance = f"{float(item.tokens):,.0f} tokens a step, each right with {float(item.acceptance):.3g}"
    return f"{chance}{by}: {float(item.gain):.3g} tokens a step"


def _listed(*parts: str) -> str:
    """The parts that are not empty, with commas."""
    return ", ".join(found for found in parts if found)


def _attention(item: Attention) -> str:
    width = f"{item.head_dim:,}" + (f" (values {item.value_dim:,})" if item.value_dim != item.head_dim else "")
    kept = "one of keys and values" if item.kv_heads == 1 else f"{item.kv_heads:,} of keys and values"
    reach = {"full": "", "sliding": f"last {item.window:,} tokens", "chunked": f"chunks of {item.window:,} tokens"}
    gate = {False: "", True: "gated", "heads": "gated by head"}
    return _listed(
        f"attention, {item.heads:,} heads of {width}",
        kept if item.kv_heads != item.heads else "",
        reach[item.reach],
        "values made of keys" if item.tied_values else "",
        gate[item.gated],
        "sinks" if item.sinks else "",
        _selection(item.selection, "tokens"),
    )


def _selection(item: Selection | None, what: str) -> str:
    """What an indexer chooses, and how."""
    if item is None:
        return ""
    chosen = f"{item.top_k:,} {what} chosen"
    return f"{chosen} by {item.heads:,} heads of {item.head_dim:,}" if item.heads else f"{chosen} by an earlier layer"


def _mla(item: MLA) -> str:
    queries = f"queries through {item.q_lora_rank:,}" if item.q_lora_rank else ""
    return _listed(
        f"latent attention, {item.heads:,} heads of {item.nope_dim + item.rope_dim:,} (values {item.v_dim:,})",
        f"a latent of {item.latent_per_token:,.0f}",
        queries,
        "gated" if item.gated else "",
        _selection(item.selection, "tokens"),
    )


def _compressed(item: CompressedAttention) -> str:
    groups = f"groups of {item.ratio:,} tokens" if item.ratio else ""
    return _listed(
        f"compressed attention, {item.heads:,} heads of {item.head_dim:,}",
        f"last {item.window:,} tokens",
        f"overlapping {groups}" if groups and item.overlap else groups,
        _selection(item.selection, "groups"),
    )


def _mamba1(item: Mamba1) -> str:
    return f"Mamba, {item.inner:,} channels of {item.state_dim:,} states"


def _mamba2(item: Mamba2) -> str:
    groups = f"{item.groups:,} groups" if item.groups > 1 else ""
    return _listed(f"Mamba-2, {item.heads:,} heads of {item.head_dim:,} x {item.state_dim:,}", groups)


def _delta(item: GatedDeltaNet) -> str:
    return _listed(
        f"gated delta rule, {item.value_heads:,} heads of {item.key_dim:,} x {item.value_dim:,}",
        f"{item.key_heads:,} of keys" if item.key_heads != item.value_heads else "",
        f"decays per channel through {item.decay_rank:,}" if item.decay_rank else "",
    )


def _lightning(item: LightningAttention) -> str:
    return f"lightning attention, {item.heads:,} heads of {item.head_dim:,}"


def _dense(item: DenseFFN) -> str:
    return f"ffn of {item.width:,}" + ("" if item.gated else ", not gated")


def _moe(item: MoE) -> str:
    shared = f"{item.shared:,} shared" if item.shared else ""
    wider = f" of {item.shared_width:,}" if item.shared_width and item.shared_width != item.width else ""
    return _listed(
        f"{item.top_k:,} of {item.experts:,} experts of {item.width:,}",
        shared + wider if shared else "",
        f"on a latent of {item.latent:,}" if item.latent else "",
        "" if item.gated else "not gated",
    )


_WORDS: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        Attention: _attention,
        MLA: _mla,
        CompressedAttention: _compressed,
        Mamba1: _mamba1,
        Mamba2: _mamba2,
        GatedDeltaNet: _delta,
        LightningAttention: _lightning,
        DenseFFN: _dense,
        MoE: _moe,
    }
)


def energy(costs: EnergyCosts) -> str:
    """What makes the power of a chip, of one that sends nothing.

    >>> energy(EnergyCosts(idle=70.0, base=150.0, busy=0.0, per_byte=1e-10, compute=1800.0))
    '70 W idle, 150 W awake, 100 pJ/B, 1.8 kW of products at full rate'
    """
    shown = [f"{in_units(float(costs.idle), 'W')} idle", f"{in_units(float(costs.base), 'W')} awake"]
    shown += [f"{in_units(float(costs.busy), 'W')} busy"] if costs.busy else []
    shown += [in_units(float(costs.per_byte), "J/B"), f"{in_units(float(costs.compute), 'W')} of products at full rate"]
    return ", ".join(shown)


def energy_shares(shares: EnergyShares) -> str:
    """The same for a family, in shares of TDP.

    >>> energy_shares(EnergyShares(idle=0.1, base=0.2, memory=0.5, compute=2.0))
    'of the TDP: .1 idle, .2 awake, .5 of memory at full rate, 2 of products at full rate'
    """
    terms = {"idle": shares.idle, "awake": shares.base, "busy": shares.busy}
    if shares.per_byte is None:
        terms["of memory at full rate"] = shares.memory
    if shares.per_flop is None:
        terms["of products at full rate"] = shares.compute
    shown = [f"{float(value):.3g} {name}".removeprefix("0") for name, value in terms.items() if value]
    joules = ((shares.per_byte, "J/B"), (shares.per_flop, "J/FLOP"))
    more = [in_units(float(value), unit) for value, unit in joules if value is not None]
    return "; ".join([f"of the TDP: {', '.join(shown)}", *more])


def host(beside: Host) -> str:
    """What stands beside a chip draws.

    >>> host(Host(power=147.0, share=0.3))
    '147 W a chip and 0.3 of what it draws'
    """
    return f"{in_units(float(beside.power), 'W')} a chip and {float(beside.share):.3g} of what it draws"
