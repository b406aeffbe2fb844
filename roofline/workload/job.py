"""Jobs: a request to serve, as steps over one growing context, or a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from roofline.numeric import Num, some
from roofline.source import Source
from roofline.workload.dtype import Precision, bytes_of
from roofline.workload.model import Model
from roofline.workload.speculation import NONE, Speculation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Optimizer = Literal["adam", "adam8bit", "sgd", "lion", "muon"]
LoraTargets = Literal["all", "attention", "qv"]
# Moments that an optimizer keeps of every parameter (Kingma & Ba 2015; Chen et al. 2023; Jordan et al. 2024).
MOMENTS: Mapping[str, float] = MappingProxyType({"adam": 2.0, "adam8bit": 2.0, "sgd": 1.0, "lion": 1.0, "muon": 1.0})


@dataclass(frozen=True, slots=True)
class Prefill:
    """Tokens read at once and appended to the context."""

    tokens: Num
    name: str = ""


@dataclass(frozen=True, slots=True)
class Decode:
    """Tokens generated one after another, each appended to the context.

    `hidden` ones are not what the user waits for: a search query, a tool call, a chain of thought.
    """

    tokens: Num
    name: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds in which the request waits for something outside (a tool, a search) while its cache stays."""

    seconds: Num
    name: str = ""


@dataclass(frozen=True, slots=True)
class Cached:
    """The context is `tokens` long now, all of them found in the cache; what stood behind them is dropped.

    At the beginning of a request that is a hit in a prefix cache; later, the context is written anew from there on.
    """

    tokens: Num
    name: str = ""


Step: TypeAlias = "Prefill | Decode | Pause | Cached"


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """What the users of a service are promised: seconds to the first token and per further token; None if nothing."""

    ttft_s: float | None = None
    tpot_s: float | None = None

    @property
    def promises(self) -> bool:
        """Whether anything is promised at all."""
        return self.ttft_s is not None or self.tpot_s is not None

    def kept(self, ttft: Num, tpot: Num) -> NDArray[np.bool_]:
        """Whether these seconds to the first token and per further token keep it, elementwise."""
        limits = (np.inf if limit is None else limit for limit in (self.ttft_s, self.tpot_s))
        return np.logical_and(*(np.less_equal(time, limit) for time, limit in zip((ttft, tpot), limits, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Requests to a model: each runs the steps in order, after `cached` tokens; `batch` of them run at any time, as
    many as memory holds if it is infinite: without end, or until `requests` that were queued at once are done.

    `burst` is the share of all requests that arrive together, as a benchmark's first ones do; 0 in a steady state.
    `uniform` requests are all equally long, as many a benchmark's, and so follow each other step by step.
    `distinct` is how many of those that run differ, fewer than all where a benchmark repeats a prompt. A share
    `cached_share` of the first prompt is found in the prefix cache, and `speculative` says what is guessed and
    verified. `imbalance` are the rows of the hottest expert-parallel rank over the mean of all ranks.
    """

    id: str
    model: Model
    steps: tuple[Step, ...]
    batch: Num = 1.0
    requests: Num = np.inf
    cached: Num = 0.0
    burst: Num = 0.0
    uniform: Num = False
    distinct: Num = np.inf
    cached_share: Num = 0.0
    speculative: Speculation = NONE
    imbalance: Num = 1.0
    precision: Precision = Precision()
    slo: ServiceLevel = ServiceLevel()
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def saturated(self) -> bool:
        """Whether as many requests run as memory holds: offline, with everything queued at once."""
        return bool(np.any(np.isinf(self.batch)))

    @cached_property
    def input_len(self) -> Num:
        """Tokens that a request gives to read, over all its steps."""
        return sum((step.tokens for step in self.steps if isinstance(step, Prefill)), start=0.0)

    @property
    def reused(self) -> Num:
        """Tokens of the first prompt that the prefix cache holds; at least one is left to read."""
        first = next((step.tokens for step in self.steps if isinstance(step, Prefill)), 0.0)
        return np.minimum(self.cached_share * first, np.maximum(first - 1.0, 0.0))

    @cached_property
    def output_len(self) -> Num:
        """Tokens that a request generates, over all its steps."""
        return sum((step.tokens for step in self.steps if isinstance(step, Decode)), start=0.0)

    @cached_property
    def pause_s(self) -> Num:
        """Seconds in which a request waits for something outside, over all its steps."""
        return sum((step.seconds for step in self.steps if isinstance(step, Pause)), start=0.0)

    @property
    def hides(self) -> bool:
        """Whether tokens are generated that are not what the user waits for."""
        return any(isinstance(step, Decode) and step.hidden for step in self.steps)

    @cached_property
    def contexts(self) -> tuple[Num, ...]:
        """Tokens in the context before each step, and at the end."""
        found: list[Num] = [self.cached]
        for step in self.steps:
            if isinstance(step, Pause):
                found.append(found[-1])
            else:
                found.append(step.tokens if isinstance(step, Cached) else found[-1] + step.tokens)
        return tuple(found)

    @property
    def context_len(self) -> Num:
        """Tokens in the context when it is longest: at the end, or before it is written anew."""
        return reduce(np.maximum, (end for end, _ in self._growths))

    @property
    def mean_context_len(self) -> Num:
        """Tokens in the context when half of the output is there: of the longest stretch between two rewritings."""
        return reduce(np.maximum, (end - output / 2.0 for end, output in self._growths))

    def only(self, kind: type[Step]) -> Serving | None:
        """The first step of a kind alone, the context before it taken as cached; None if there is no such step."""
        index = next((index for index, step in enumerate(self.steps) if isinstance(step, kind)), None)
        if index is None:
            return None
        step = self.steps[index]
        shown = replace(step, hidden=False) if isinstance(step, Decode) else step
        return replace(self, steps=(shown,), cached=self.contexts[index])

    @property
    def _growths(self) -> list[tuple[Num, Num]]:
        """The context's length at the end of each stretch in which it only grows, and the tokens generated in it."""
        found: list[tuple[Num, Num]] = []
        output: Num = 0.0
        for step, before in zip(self.steps, self.contexts, strict=False):
            if isinstance(step, Cached):
                found.append((before, output))
                output = 0.0
            elif isinstance(step, Decode):
                output = output + step.tokens
        return [*found, (self.contexts[-1], output)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What requests to any model do: their steps, how many run at once, and what a `Serving` says of them besides."""

    id: str
    steps: tuple[Step, ...]
    batch: Num = 1.0
    cached_share: Num = 0.0
    speculative: Speculation = NONE
    slo: ServiceLevel = ServiceLevel()
    sources: Mapping[str, Source] = field(default_factory=dict)

    def of(self, model: Model, precision: Precision) -> Serving:
        """The scenario with a model, in these formats."""
        return Serving(
            id=f"{model.id}-{self.id}",
            model=model,
            steps=self.steps,
            batch=self.batch,
            cached_share=self.cached_share,
            speculative=self.speculative,
            precision=precision,
            slo=self.slo,
            sources=self.sources,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """How a training run is kept going: it stops for `checkpoint_stall` [s] after every `checkpoint_interval` [s] of
    work (None: the best one for its failures) and needs `restart` [s] after each failure to notice it, to load the last
    checkpoint and to be as fast as before. `stragglers` is the share that the slowest chip adds to every step.
    """

    checkpoint_interval: Num | None = None
    checkpoint_stall: Num
    restart: Num
    stragglers: Num = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training run: `tokens` in all, `global_batch` sequences of `seq_len` tokens in each step.

    `lora_rank` 0 trains every parameter; above 0, only two matrices of that rank beside each projection among
    `lora_targets`, as those who published them have it: beside `all` matrices of a layer, each of a joint one by itself
    (QLoRA, arXiv 2305.14314); beside `attention`'s queries, keys and values as one, and its output (MLPerf); beside
    queries and values, `qv` (LoRA, arXiv 2106.09685). The model's weights rest in the format of the precision.

    `gradients`, `master` and `moments` are the formats of sums of gradients, of the copy of the weights that the
    optimizer updates, and of what it remembers of each; `dropout` draws masks. `imbalance` are the rows of the hottest
    expert-parallel rank over the mean of all ranks. Without `operations` no failure is counted.
    """

    id: str
    model: Model
    tokens: Num
    seq_len: Num
    global_batch: Num
    precision: Precision = Precision()
    optimizer: Optimizer = "adam"
    gradients: str = "fp32"
    master: str = "fp32"
    moments: str = "fp32"
    dropout: bool = False
    lora_rank: Num = 0.0
    lora_targets: LoraTargets = "all"
    imbalance: Num = 1.0
    operations: Operations | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def tokens_per_step(self) -> Num:
        """Tokens of the global batch."""
        return self.global_batch * self.seq_len

    @property
    def frozen(self) -> bool:
        """Whether the model's own weights rest and adapters beside them are trained (LoRA)."""
        return some(self.lora_rank)

    def optimizer_bytes(self, weight: float) -> float:
        """Bytes that the optimizer keeps of a parameter whose weight takes `weight`: its moments, and a copy of its own
        if that is wider (Rajbhandari et al. 2020, section 3.1: 12 for Adam in mixed precision)."""
        moment = 1.0 if self.optimizer == "adam8bit" else bytes_of(self.moments)
        master = bytes_of(self.master)
        return MOMENTS[self.optimizer] * moment + (master if master > weight else 0.0)


Workload: TypeAlias = "Serving | Training"
