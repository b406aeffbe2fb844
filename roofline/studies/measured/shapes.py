"""Models whose shape a row of measurements states itself: plain decoders, dense or with experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roofline.studies.measured.table import Case
from roofline.workload import Attention, Block, DenseFFN, Model, MoE

MOST = 10**9
NEEDED = ("layers", "hidden", "heads", "vocab")


@dataclass(frozen=True, slots=True)
class Shape:
    """The stated figures of one model; None where a row is silent."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    ffn: int
    gated: bool
    experts: int
    top_k: int
    shared: int
    expert_width: int

    def build(self) -> Model:
        """The plain object that the engine works with."""
        mixer = Attention(heads=self.heads, kv_heads=self.kv_heads, head_dim=self.head_dim)
        dense = DenseFFN(width=self.ffn, gated=self.gated)
        moe = MoE(
            experts=max(self.experts, 1),
            top_k=max(self.top_k, 1),
            width=self.expert_width or self.ffn,
            shared=self.shared,
            gated=self.gated,
        )
        block = Block(count=self.layers, mixer=mixer, ffn=moe if self.experts > 1 else dense)
        return Model(id=self.name, name=self.name, hidden=self.hidden, vocab=self.vocab, blocks=(block,))


def stated(case: Case) -> Shape | None:
    """The shape in a row; None if it does not state one."""
    if not all(_whole(case, column) for column in NEEDED):
        return None
    heads, hidden = _whole(case, "heads"), _whole(case, "hidden")
    return Shape(
        name=case["model"] or f"{_whole(case, 'layers')}x{hidden}",
        layers=_whole(case, "layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=_whole(case, "kv_heads") or heads,
        head_dim=_whole(case, "head_dim") or hidden // heads,
        vocab=_whole(case, "vocab"),
        ffn=_whole(case, "ffn") or _whole(case, "moe_ffn") or 4 * hidden,
        gated=case["glu"].strip().lower() not in ("no", "false", "0"),
        experts=_whole(case, "experts"),
        top_k=_whole(case, "experts_topk"),
        shared=_whole(case, "shared_experts"),
        expert_width=_whole(case, "moe_ffn"),
    )


def _whole(cells: Case | Mapping[str, str], column: str) -> int:
    """A whole number in a cell; 0 if it is empty, none, or one that no model has."""
    try:
        number = float(cells[column] or 0)
    except ValueError:
        return 0
    return int(number) if 0 <= number <= MOST else 0
