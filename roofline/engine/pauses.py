"""What becomes of a cache while its request pauses: it stays, or it is dropped and the context is read again.

Staying takes a share of the memory for caches for as long as the pause lasts; where memory decides how many requests
run, that share of a replica's time is lost to others. Reading again takes a replica for a prompt. Both are
chip-seconds, equal at the break-even `prompt·(memory for caches)/(bytes that stay)`. Where memory has room for more
requests than there are, staying costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from roofline.engine import memory
from roofline.engine.deployment import Deployment
from roofline.engine.phases import prefill_phase, work_time
from roofline.engine.steps import Stretch, places_of
from roofline.numeric import Num, Truth, along
from roofline.workload import Cached, Decode, Pause, Precision, Prefill, Serving

Caches = Callable[[Num], Num]  # bytes of a request's cache on one chip, by the tokens in it


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """One pause, or several along an axis: `held` are the bytes of one chip that the request's cache takes, `keep` and
    `recompute` chip-seconds, `prompt` the seconds by which reading again delays the request, and `full` says whether
    memory decides how many requests run.
    """

    held: Num
    keep: Num
    recompute: Num
    prompt: Num
    full: Truth

    @property
    def drops(self) -> Truth:
        """Whether dropping the cache and reading again is cheaper."""
        return np.logical_and(self.full, np.less(self.recompute, self.keep))


def spans(serving: Serving) -> list[tuple[Num, Num, Num]]:
    """Of each pause: tokens in the context, those that later steps go on from, those of them found in a prefix cache.

    What is written anew after the pause is not gone on from; after the last step nothing is.
    """
    steps, contexts = serving.steps, serving.contexts
    passed: list[tuple[Num, Num, Num]] = []
    found, reused, grown = serving.cached, serving.reused, False
    for place, (step, context) in enumerate(zip(steps, contexts, strict=False)):
        if isinstance(step, Cached):
            found = np.minimum(found, step.tokens) if grown else step.tokens
        elif isinstance(step, Prefill):
            found, reused, grown = found + reused, 0.0, True
        elif isinstance(step, Decode):
            grown = True
        elif isinstance(step, Pause):
            later = next((after for after in steps[place + 1 :] if not isinstance(after, Pause)), None)
            needed = np.minimum(context, later.tokens) if isinstance(later, Cached) else context if later else 0.0
            passed.append((context, needed, np.minimum(found, needed)))
    return passed


def weighed(
    seconds: Num,
    span: Sequence[Num],
    *,
    caches: Caches,
    space: Num,
    chips: Num,
    prompt: Num,
    occupied: Num,
    full: Truth,
) -> Hold:
    """The two ways through a pause of so many seconds, of a replica of `chips` with `space` bytes for caches on each.

    `span` is one of `spans`; reading again what is in no prefix cache takes `prompt` seconds, of which a replica is
    `occupied` for some.
    """
    context, needed, found = span
    again = np.greater(needed, found)
    stays = np.where(again, caches(needed) - np.where(np.greater(found, 0.0), caches(found), 0.0), 0.0)
    share = stays / np.maximum(space, 1.0)
    read = np.where(again, occupied, 0.0)
    return Hold(
        held=caches(context),
        keep=share * seconds * chips,
        recompute=read * chips,
        prompt=np.where(again, prompt, 0.0),
        full=full,
    )


def holds(
    serving: Serving,
    deployment: Deployment,
    precision: Precision,
    space: Num,
    stretches: Iterable[Stretch],
    full: Truth,
) -> dict[int, Hold]:
    """What becomes of the cache in each pause, by its place, where caches may take `space` bytes of a chip, and `full`
    says whether that decides how many requests run; a static batch keeps everything."""
    if deployment.stack.batching == "static":
        return {}
    model, plan = serving.model, deployment.plan
    paused = dict(zip(places_of(serving, Pause), spans(serving), strict=True))
    alone = replace(deployment, brief=True)
    found: dict[int, Hold] = {}
    for stretch in stretches:
        if stretch.kind is not Pause:
            continue
        span = [along(numbers, stretch.rank) for numbers in zip(*(paused[at] for at in stretch.places), strict=True)]
        again = prefill_phase(serving, alone, precision, np.maximum(span[1] - span[2], 1.0), span[2])
        hold = weighed(
            stretch.phase.time,
            span,
            caches=lambda tokens: memory.cache_bytes_per_sequence(model, precision, plan, tokens),
            space=space,
            chips=plan.num_chips / plan.dp,
            prompt=again.time,
            occupied=work_time(again) / plan.pp,
            full=full,
        )
        each = zip(*(stretch.each(getattr(hold, item.name)) for item in fields(Hold)), strict=True)
        found |= {at: Hold(*numbers) for at, numbers in zip(stretch.places, each, strict=True)}
    return found
