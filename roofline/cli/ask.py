"""What most commands ask alike: options of the workload, the plan, the files and the output, added to a command.

`asking` gives a command these options and hands them to it as one `Ask`, so that each command's own module holds only
what is its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.cli import options as given

if TYPE_CHECKING:
    from roofline.catalog.store import Catalog
    from roofline.studies.request import Options


def files(hardware_dir: given.HardwareDirs = None, workload_dir: given.WorkloadDirs = None) -> None:
    """Options that say where files are."""


def output(format: given.Format = None, to: given.Out = None) -> None:
    """Options that say where results go."""


def work(
    phase: given.Phase = None,
    scenario: given.Scenario = None,
    batch: given.Batch = None,
    input_len: given.Input = None,
    output_len: given.Output = None,
    context_len: given.Context = None,
    seq_len: given.Seq = None,
    global_batch: given.GlobalBatch = None,
    tokens: given.Tokens = None,
    lora_rank: given.LoraRank = None,
    lora_targets: given.LoraTargets = None,
    optimizer: given.Optimizer = None,
    cached_share: given.CachedShare = None,
    draft_tokens: given.DraftTokens = None,
    acceptance: given.Acceptance = None,
    draft: given.Draft = None,
    imbalance: given.Imbalance = None,
    tp: given.TensorParallel = None,
    pp: given.PipelineParallel = None,
    dp: given.DataParallel = None,
    ep: given.ExpertParallel = None,
    cp: given.ContextParallel = None,
    vpp: given.Chunks = None,
    zero: given.Zero = None,
    shard: given.Shard = None,
    expert_tp: given.ExpertTensorParallel = None,
    micro_batch: given.MicroBatch = None,
    recompute: given.Recompute = None,
    recompute_layers: given.RecomputeLayers = None,
    selective: given.Selective = None,
    offload_activations: given.OffloadActivations = None,
    offload_optimizer: given.OffloadOptimizer = None,
    sequence_parallel: given.SequenceParallel = None,
    flash: given.Flash = None,
    fused_loss: given.FusedLoss = None,
    schedule: given.Schedule = None,
    context: given.Exchange = None,
    pools: given.Pools = None,
    stack: given.Stack = None,
    weights: given.Weights = None,
    activations: given.Activations = None,
    kv_cache: given.KVCache = None,
    assumptions: given.Assumptions = None,
) -> None:
    """Options that change the workload, the plan, the formats and what costs rest on."""


@dataclass(frozen=True)
class Ask:
    """The shared options as a user gave them; what was left out is None."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> Options:
        """What is asked of workload, plan and formats."""
        from roofline.studies.request import options

        names = inspect.signature(work).parameters
        return options({name: value for name, value in self.values.items() if name in names and value is not None})

    @property
    def catalog(self) -> Catalog:
        """The catalogue with the folders that were given; `RooflineError` for one that is not laid out as one."""
        from roofline.catalog import overlays
        from roofline.catalog.store import Catalog

        hardware: list[Path] = self.values.get("hardware_dir") or []
        workloads: list[Path] = self.values.get("workload_dir") or []
        for root, folders in (("hardware", hardware), ("workloads", workloads)):
            for folder in (*folders, *overlays.environment(root)):
                overlays.check(folder, root, "" if folder in folders else f"{overlays.VARIABLES[root]}: ")
        return Catalog(tuple(hardware), tuple(workloads))

    @property
    def format(self) -> str | None:
        """The format for stdout, None for the default."""
        return self.values.get("format")

    @property
    def to(self) -> list[str]:
        """Files to write."""
        return self.values.get("to") or []


def asking(
    *groups: Callable[..., None], without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of `groups`, but those named `without`, to a command whose last parameter is `ask`."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        own = [item for item in inspect.signature(command, eval_str=True).parameters.values() if item.name != "ask"]
        every = [item for group in groups for item in inspect.signature(group, eval_str=True).parameters.values()]
        shared = [item for item in every if item.name not in without]

        @wraps(command)
        def run(**values: Any) -> None:
            mine = {item.name: values.pop(item.name) for item in own}
            command(**mine, ask=Ask(values))

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [item.replace(kind=keyword) for item in (*own, *shared)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {}
        return run

    return add


def only_with(option: str, others: Mapping[str, object]) -> None:
    """`RooflineError` for an option that says something of what another one asks for, which was not given."""
    from roofline.errors import RooflineError

    for name, value in others.items():
        if value is not None:
            raise RooflineError(f"{name} goes with {option}; add it, or leave {name} out")


def without(why: str, others: Mapping[str, object]) -> None:
    """`RooflineError` for an option that was given and says what nobody asks for."""
    from roofline.errors import RooflineError

    for name, value in others.items():
        if value is not None:
            raise RooflineError(f"{why}; leave {name} out")


def seconds(budget: str | None, otherwise: float) -> float:
    """A budget as given, in seconds; `RooflineError` if there is nothing of it."""
    from roofline import units
    from roofline.errors import RooflineError

    if budget is None:
        return otherwise
    found = units.parse(budget, "s")
    if found <= 0.0:
        raise RooflineError(f"--budget {budget}: must be more than nothing, e.g. 60s")
    return found
