"""How one workload is spread over many chips. Every degree may be an array: a plan search is one prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from roofline.numeric import Num

Recompute = Literal["none", "selective", "full"]
RECOMPUTES: tuple[Recompute, ...] = get_args(Recompute)  # the least first
Placement = Literal["layers", "padded", "even"]
Schedule = Literal["1f1b", "zero-bubble"]
ContextExchange = Literal["ring", "all-gather", "all-to-all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parallel degrees and, for training, how memory is traded for work.

    `tp` tensor, `pp` pipeline, `dp` data, `ep` expert, `cp` context parallel; `vpp` model chunks per pipeline stage;
    `zero` stage of optimizer sharding (0-3), over at most `shard` ranks, as hybrid sharding does; `micro_batch`
    sequences that go through a pipeline stage at once. Chips used: `tp·pp·dp·cp`; expert parallelism lies within
    `tp·cp·dp`, each expert divided among `expert_tp` ranks (0: among those that `ep` leaves of `tp`).

    `recompute` says what the backward pass makes again instead of keeping it: nothing; attention scores and, of all
    else in a layer, the share `selective` that the software takes for the most worth it; or whole layers, of which
    `recompute_layers` on a stage. `offload_activations` and `offload_optimizer` are the shares that
    lie in the host's memory. `flash` attention keeps no scores and skips what a causal mask hides. `schedule` is how
    stages alternate forward and backward passes, `context` how context-parallel ranks get each other's keys and values:
    passed on around a ring, gathered, or in exchange for heads (arXiv 2309.14509). A `fused_loss` is made of the logits
    where they lie, without widening them.

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
    shard: Num = np.inf
    micro_batch: Num = 1.0
    expert_tp: Num = 0.0
    recompute: Recompute = "none"
    selective: Num = 0.0
    recompute_layers: Num = np.inf
    offload_activations: Num = 0.0
    offload_optimizer: Num = 0.0
    sequence_parallel: bool = True
    flash: bool = True
    fused_loss: bool = False
    schedule: Schedule = "1f1b"
    context: ContextExchange = "ring"
    placement: Placement = "layers"
    devices: Num = 1.0

    @property
    def num_chips(self) -> Num:
        """Chips that the plan occupies."""
        return self.tp * self.pp * self.dp * self.cp
