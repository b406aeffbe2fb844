"""Parallel plans: which are possible for a model on so many chips, why others are not, and which one is best.

All candidates are one `Plan` whose degrees are arrays, so a search is a single vectorised prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from roofline.errors import PlanError
from roofline.machine import Chip
from roofline.numeric import Num
from roofline.workload import DenseFFN, Model, MoE, Plan
from roofline.workload.plan import Placement
from roofline.workload.recurrence import GatedDeltaNet, Mamba1, Mamba2

if TYPE_CHECKING:
    from numpy.typing import NDArray

Flags: TypeAlias = "NDArray[np.bool_]"
Indices: TypeAlias = "NDArray[np.intp]"
Work = TypeVar("Work")

DEGREES = ("tp", "pp", "dp", "ep", "cp")


def divisors(number: int) -> list[int]:
    """All divisors in ascending order.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def head_counts(model: Model) -> dict[str, int]:
    """What tensor parallelism has to divide: heads of every mixer kind and ffn columns."""
    counts: dict[str, int] = {}
    for block in model.blocks:
        mixer = block.mixer
        if isinstance(mixer, GatedDeltaNet):
            counts["value heads"] = math.gcd(counts.get("value heads", 0), mixer.value_heads)
        elif isinstance(mixer, Mamba1):
            counts["channels"] = math.gcd(counts.get("channels", 0), mixer.inner)
        elif isinstance(mixer, Mamba2):
            counts["SSM heads"] = math.gcd(counts.get("SSM heads", 0), mixer.heads)
        elif mixer is not None:
            counts["heads"] = math.gcd(counts.get("heads", 0), mixer.heads)
        if isinstance(block.ffn, DenseFFN):
            counts["ffn columns"] = math.gcd(counts.get("ffn columns", 0), block.ffn.width)
    return counts


def tensor_degrees(model: Model) -> list[int]:
    """Every tensor-parallel degree that the model's shape allows."""
    return divisors(math.gcd(*head_counts(model).values()))


def experts_of(model: Model) -> int:
    """Experts that expert parallelism divides; 1 for a dense model."""
    counts = [block.ffn.experts for block in model.blocks if isinstance(block.ffn, MoE)]
    return math.gcd(*counts) if counts else 1


def most_chips(chip: Chip) -> float:
    """The most chips that the wiring joins: without limit where there is a scale-out link that states none."""
    near, far = chip.link("scale-up"), chip.link("scale-out")
    return float(np.max(far.chips if far else near.chips if near else 1.0))


def check_wiring(chip: Chip, num_chips: int) -> None:
    """`PlanError` if the chip's links can't join that many."""
    most = most_chips(chip)
    if num_chips <= most:
        return
    if most == 1:
        raise PlanError(
            f"{num_chips} x {chip.id}: its file names no link between chips; 1 is all that can work together"
        )
    raise PlanError(
        f"{num_chips} x {chip.id}: its links join at most {most:,.0f} chips; more take a link of scope 'scale-out'"
    )


@dataclass(frozen=True)
class Rule(Generic[Work]):
    """What a plan must obey: `holds` elementwise; `words` say of one plan what is wrong and what is possible, `code` in
    one word what the rule is about."""

    holds: Callable[[Work, Plan], Flags]
    words: Callable[[Work, Plan], str]
    code: str


def check(plan: Plan, model: Model, num_chips: int) -> None:
    """`PlanError`, naming what is possible, if the degrees do not divide the model or do not use the chips."""
    obey(plan, model, RULES)
    check_product(plan, num_chips)


def obey(plan: Plan, work: Work, rules: Iterable[Rule[Work]]) -> None:
    """`PlanError` in the words of the first rule that one plan breaks."""
    for rule in rules:
        if not np.all(rule.holds(work, plan)):
            raise PlanError(rule.words(work, plan))


def check_product(plan: Plan, num_chips: int) -> None:
    """`PlanError` if the degrees do not multiply to the chips."""
    tp, pp, dp, cp = (int(getattr(plan, degree)) for degree in ("tp", "pp", "dp", "cp"))
    if tp * pp * dp * cp != num_chips:
        product = f"tp·pp·dp·cp = {tp}·{pp}·{dp}·{cp} = {tp * pp * dp * cp}"
        raise PlanError(f"{product}, but the deployment has {num_chips} chips; leave one degree out to have it found")


def divides(part: Num, whole: Num) -> Flags:
    """Whether a part goes into a whole without remainder, elementwise."""
    return np.equal(np.mod(whole, part), 0.0)


def _heads_divide(model: Model, plan: Plan) -> Flags:
    """Vocabularies need no rule: software pads them to a multiple of tp (Megatron-LM,
    --make-vocab-size-divisible-by)."""
    if plan.placement != "layers":
        return np.ones(np.shape(plan.tp), dtype=bool)
    return divides(plan.tp, float(math.gcd(*head_counts(model).values())))


def _heads_words(model: Model, plan: Plan) -> str:
    what, count = next((what, count) for what, count in head_counts(model).items() if count % int(plan.tp))
    possible = listed(tensor_degrees(model))
    return f"tp={int(plan.tp)} does not divide the {count:,} {what} of {model.id}; possible: {possible}"


def _experts_exist(model: Model, plan: Plan) -> Flags:
    return np.less_equal(plan.ep, 1.0) | (experts_of(model) > 1)


def _experts_divide_words(model: Model, plan: Plan) -> str:
    experts = experts_of(model)
    possible = listed(divisors(experts))
    return f"ep={int(plan.ep)} does not divide the {experts} experts of {model.id}; possible: {possible}"


def _nests_words(model: Model, plan: Plan) -> str:
    tp, dp, ep, cp = (int(getattr(plan, degree)) for degree in ("tp", "dp", "ep", "cp"))
    fitting = listed([degree for degree in divisors(experts_of(model)) if nests(tp, dp * cp, degree)])
    within = f"tp·dp={tp * dp}" if cp == 1 else f"tp·cp·dp={tp * cp * dp}"
    return f"ep={ep} must divide or be a multiple of tp={tp} within {within}; possible: {fitting}"


HEADS = Rule[Model](_heads_divide, _heads_words, "heads")
LAYERS = Rule[Model](
    lambda model, plan: np.less_equal(plan.pp, float(model.layers)),
    lambda model, plan: f"pp={int(plan.pp)} is more than the {model.layers} layers of {model.id}",
    "layers",
)
EXPERTS = Rule[Model](
    _experts_exist, lambda model, plan: f"ep={int(plan.ep)}: {model.id} has no experts; leave ep out", "experts"
)
EXPERTS_DIVIDE = Rule[Model](
    lambda model, plan: divides(plan.ep, float(experts_of(model))), _experts_divide_words, "experts"
)
NESTS = Rule[Model](lambda model, plan: np.asarray(nests(plan.tp, plan.dp * plan.cp, plan.ep)), _nests_words, "nests")
RULES: tuple[Rule[Model], ...] = (HEADS, LAYERS, EXPERTS, EXPERTS_DIVIDE, NESTS)


def listed(values: Iterable[int]) -> str:
    """Values that are possible, as messages list them."""
    return " ".join(str(value) for value in values)


def nests(tp: Num, replicas: Num, ep: Num) -> Flags | bool:
    """Whether experts spread over `ep` ranks of so many `replicas` fill whole tensor-parallel groups, or an even part
    of one; elementwise, without a trip through NumPy for plain numbers."""
    return ((tp * replicas) % ep == 0) & ((tp % ep == 0) | (ep % tp == 0))


def candidates(
    model: Model,
    num_chips: int,
    given: dict[str, int] | None = None,
    placement: Placement = "layers",
    devices: float = 1.0,
) -> Plan:  # fmt: skip
    """Every plan for exactly that many chips, degrees as arrays `[plans]`; `given` degrees are kept as they are.

    `placement` is the stack's, `devices` the chip's.

    Raises `PlanError` if none exists.
    """
    given = given or {}
    cp = given.get("cp", 1)
    experts = experts_of(model)
    found = [
        (tp, pp, dp, ep)
        for tp in _degrees("tp", tensor_degrees(model) if placement == "layers" else divisors(num_chips), given)
        if num_chips % (tp * cp) == 0
        for pp in _degrees("pp", divisors(num_chips // (tp * cp)), given)
        if pp <= model.layers and num_chips % (tp * cp * pp) == 0
        for dp in [num_chips // (tp * cp * pp)]
        if given.get("dp", dp) == dp
        for ep in _degrees("ep", divisors(experts), given)
        if nests(tp, dp, ep)
    ]
    if not found:
        _explain_none(model, num_chips, given)
    tp, pp, dp, ep = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    return Plan(tp=tp, pp=pp, dp=dp, ep=ep, cp=float(cp), placement=placement, devices=devices)


def _degrees(name: str, possible: list[int], given: dict[str, int]) -> list[int]:
    return [given[name]] if name in given else possible


def _explain_none(model: Model, num_chips: int, given: dict[str, int]) -> None:
    """Say why no plan exists."""
    full = {degree: given.get(degree, 1) for degree in DEGREES}
    if "dp" not in given:
        rest = num_chips // max(full["tp"] * full["pp"] * full["cp"], 1)
        full["dp"] = max(rest, 1)
    tp, pp, dp, ep, cp = (float(full[degree]) for degree in DEGREES)
    check(Plan(tp=tp, pp=pp, dp=dp, ep=ep, cp=cp), model, num_chips)
    raise PlanError(f"no plan puts {model.id} on {num_chips} chips with {given}")


def pick(plan: Plan, index: int) -> Plan:
    """The plan at one index of an array of plans, as plain floats."""
    values: dict[str, Any] = {}
    for item in fields(plan):
        value = getattr(plan, item.name)
        values[item.name] = float(value[index]) if isinstance(value, np.ndarray) and value.ndim else value
    return replace(plan, **values)


def stacked(found: Sequence[Plan]) -> tuple[Plan, list[Indices]]:
    """Arrays of plans, alike but for their degrees, as one; and where in it each of them is."""
    sizes = [np.size(plan.tp) for plan in found]
    degrees: dict[str, Any] = {
        name: np.concatenate(
            [np.broadcast_to(getattr(plan, name), (size,)) for plan, size in zip(found, sizes, strict=True)]
        )
        for name in DEGREES
    }
    return replace(found[0], **degrees), np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def some_of(plan: Plan, kept: NDArray[np.bool_]) -> Plan:
    """An array of plans without some of them; a single plan as it is."""
    values = {item.name: getattr(plan, item.name) for item in fields(plan)}
    arrays: dict[str, Any] = {
        name: value[kept] for name, value in values.items() if isinstance(value, np.ndarray) and value.ndim
    }
    return replace(plan, **arrays)


def best(score: Num, fits: Num, need: Num) -> int:
    """Index of the feasible plan with the highest score; if none is, of the one that needs least memory."""
    feasible = np.broadcast_to(fits, np.broadcast(score, fits, need).shape).astype(bool)
    if feasible.any():
        return int(np.argmax(np.where(feasible, np.nan_to_num(score, nan=-np.inf), -np.inf)))
    return int(np.argmin(np.broadcast_to(need, feasible.shape)))
