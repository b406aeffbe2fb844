"""How one workload is spread over many chips. Every degree may be an array: a plan search is one prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roofline.numeric import Num

Recompute = Literal["none", "selective", "full"]
Placement = Literal["layers", "padded", "even"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parallel degrees and, for training, how memory is traded for work.

    `tp` tensor, `pp` pipeline, `dp` data, `ep` expert, `cp` context parallel; `vpp` model chunks per pipeline stage;
    `zero` stage of optimizer sharding (0-3); `micro_batch` sequences that go through a pipeline stage at once.
    Chips used: `tp·pp·dp·cp`; expert parallelism lies within `tp·dp`.
    `placement` "layers" gives every stage whole layers and every rank whole kv heads, replicated where there are more
    ranks than heads; "padded" does so for degrees that do not divide the heads, by rounding heads up; "even" is a
    compiler that spreads weights and cache over all chips alike. `devices` are the ranks that share one chip.
    """

    tp: Num = 1.0
    pp: Num = 1.0
    dp: Num = 1.0
    ep: Num = 1.0
    cp: Num = 1.0
    vpp: Num = 1.0
    zero: Num = 0.0
    micro_batch: Num = 1.0
    recompute: Recompute = "none"
    sequence_parallel: bool = True
    placement: Placement = "layers"
    devices: Num = 1.0

    @property
    def num_chips(self) -> Num:
        """Chips that the plan occupies."""
        return self.tp * self.pp * self.dp * self.cp
