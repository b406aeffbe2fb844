"""The steps of a request as what is priced: steps of one kind are one array, however many there are.

A few of each kind are priced and shown by themselves. More are priced in one pass along an axis of their own, in front
of all axes of a sweep, and shown as one phase at their mean: ten thousand steps cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from roofline.engine.deployment import Deployment
from roofline.engine.phases import decode_phase, draft_phase, prefill_phase, work_time
from roofline.engine.prediction import Phase
from roofline.numeric import Num, along, apart
from roofline.records import axes, changed_arrays
from roofline.workload import Cached, Decode, Pause, Precision, Prefill, Serving, Step

MOST_APART = 4  # steps of one kind that are phases of their own


@dataclass(frozen=True, eq=False)
class Stretch:
    """Steps of one kind, priced at once: their places in the request, and their phase. Several steps are an axis of
    its numbers, in front of `rank` axes of a sweep."""

    places: tuple[int, ...]
    kind: type[Step]
    phase: Phase
    rank: int

    def each(self, value: Num) -> list[Num]:
        """A number of the phase, step by step."""
        return apart(value, self.rank, len(self.places))

    @cached_property
    def shown(self) -> Phase:
        """The phase with all its steps at their mean, which takes the time of all of them."""
        return self.phase if len(self.places) == 1 else at_mean(self.phase, self.rank)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one step takes, or what drafts beside it: seconds, at best, its share of them if requests that come together
    are read together, and those for which all stages are occupied."""

    place: int
    kind: type[Step]
    time: Num
    ideal_time: Num
    own: Num
    work: Num


def gathered(steps: Sequence[Step], *, brief: bool) -> list[tuple[type[Step], tuple[int, ...]]]:
    """What is priced at once, in order: each step by itself, or all of a kind if there are many, or if nothing is shown
    of them. Cached tokens take no time."""
    most = 1 if brief else MOST_APART
    by_kind: dict[type[Step], list[int]] = {}
    for place, step in enumerate(steps):
        if not isinstance(step, Cached):
            by_kind.setdefault(type(step), []).append(place)
    found: list[tuple[type[Step], tuple[int, ...]]] = []
    for kind, places in by_kind.items():
        found += [(kind, tuple(places))] if len(places) > most else [(kind, (place,)) for place in places]
    return sorted(found, key=lambda item: item[1][0])


def parts(stretches: Iterable[Stretch]) -> list[Part]:
    """Every step of all stretches in the order of the request."""
    found: list[Part] = []
    for stretch in stretches:
        phase = stretch.phase
        numbers = zip(
            stretch.places,
            stretch.each(phase.time),
            stretch.each(phase.ideal_time),
            stretch.each(phase.time / phase.shared),
            stretch.each(work_time(phase)),
            strict=True,
        )
        found += [Part(place, stretch.kind, *seconds) for place, *seconds in numbers]
    return sorted(found, key=lambda part: part.place)


def at_mean(phase: Phase, rank: int) -> Phase:
    """A phase whose steps are the first axis, before `rank` others, as one: all passes, each as the mean pass is."""
    passes = phase.repeat
    weight = np.divide(1.0, np.size(phase.time, 0)) if np.ndim(passes) <= rank else passes / np.sum(passes, axis=0)

    def mean(value: Num) -> Num:
        found: Num = np.sum(value * weight, axis=0) if np.ndim(value) > rank else value
        return found

    averaged: Phase = changed_arrays(replace(phase, model=None), mean)
    repeat = np.sum(passes, axis=0) if np.ndim(passes) > rank else passes * np.size(phase.time, 0)
    return replace(averaged, repeat=repeat, model=phase.model)


def reading(serving: Serving, deployment: Deployment, precision: Precision) -> list[Stretch]:
    """Prompts, beside each what drafts, and pauses."""
    steps, rank = serving.steps, _rank(serving, deployment)
    prompts = dict(zip(places_of(serving, Prefill), unread_prompts(serving), strict=True))
    drafting = (True, False) if serving.speculative.drafts else (False,)
    found: list[Stretch] = []
    for kind, places in gathered(steps, brief=deployment.brief):
        if kind is Pause:
            seconds = along([steps[place].seconds for place in places], rank)  # type: ignore[union-attr]
            found.append(Stretch(places, kind, Phase("pause", step_time=seconds, ideal_step_time=seconds), rank))
        elif kind is Prefill:
            new, before = (along(numbers, rank) for numbers in zip(*(prompts[place] for place in places), strict=True))
            phases = (prefill_phase(serving, deployment, precision, new, before, drafting=does) for does in drafting)
            found += [Stretch(places, kind, phase, rank) for phase in phases]
    return found


def writing(serving: Serving, deployment: Deployment, precision: Precision) -> list[Stretch]:
    """What is generated, beside each what drafts, the context growing from one to the next."""
    steps, contexts, rank = serving.steps, serving.contexts, _rank(serving, deployment)
    makers = (draft_phase, decode_phase) if serving.speculative.drafts else (decode_phase,)
    found: list[Stretch] = []
    for kind, places in gathered(steps, brief=deployment.brief):
        if kind is Decode:
            tokens = along([steps[place].tokens for place in places], rank)  # type: ignore[union-attr]
            context = along([contexts[place] for place in places], rank)
            phases = (make(serving, deployment, precision, tokens, context) for make in makers)
            found += [Stretch(places, kind, phase, rank) for phase in phases]
    return found


def places_of(serving: Serving, kind: type[Step]) -> list[int]:
    """Where the steps of one kind are in a request."""
    return [place for place, step in enumerate(serving.steps) if isinstance(step, kind)]


def sweep_axes(serving: Serving, deployment: Deployment) -> int:
    """The most axes that any number has of which a phase is made."""
    guesses = serving.speculative
    numbers = (serving.batch, serving.cached, serving.cached_share, serving.distinct, serving.imbalance)
    lengths = [step.seconds if isinstance(step, Pause) else step.tokens for step in serving.steps]
    drafted = (guesses.tokens, guesses.acceptance, guesses.cost)
    return max(axes(numbers, lengths, drafted), deployment.axes)


def _rank(serving: Serving, deployment: Deployment) -> int:
    """The axes before which steps are an axis of their own; nobody asks where each is by itself."""
    alone = all(len(places) == 1 for _, places in gathered(serving.steps, brief=deployment.brief))
    return 0 if alone else sweep_axes(serving, deployment)


def unread_prompts(serving: Serving) -> Iterator[tuple[Num, Num]]:
    """Tokens of each prompt that have to be read, and those before them: of the first, what the prefix cache holds."""
    reused = serving.reused
    for step, context in zip(serving.steps, serving.contexts, strict=False):
        if isinstance(step, Prefill):
            yield step.tokens - reused, context + reused
            reused = 0.0
