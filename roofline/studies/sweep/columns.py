"""Columns of a sweep: what each row says, under the names of the contract, made of a mesh only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from roofline.engine.prediction import Phase, Prediction
from roofline.engine.roof import BOUNDS
from roofline.errors import RooflineError, did_you_mean
from roofline.numeric import Num
from roofline.studies import contract
from roofline.workload import Training

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline.studies.sweep.grid import Block, Panel

ALL, MAIN = "all", "main"


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A column of words: an index into `names` for each row."""

    codes: NDArray[np.intp]
    names: tuple[str, ...]

    def list(self) -> list[str | None]:
        """As plain words; None where there is nothing to say."""
        told = [name or None for name in self.names]
        return [told[code] for code in self.codes.tolist()]

    def __getitem__(self, index: Any) -> Words:
        return Words(self.codes[index], self.names)


Values: TypeAlias = "NDArray[Any] | Words"
Table: TypeAlias = "dict[str, Values]"
Make: TypeAlias = "Callable[[], Num | None]"

# Without a wish for others: these metrics of what is asked for, as far as they are known.
MAIN_METRICS = (
    "ttft_s", "tpot_s", "e2e_latency_s", "output_tokens_per_s", "output_tokens_per_s_per_chip",
    "output_tokens_per_s_per_user", "step_time_s", "time_to_train_s", "tokens_per_s", "tokens_per_s_per_chip", "mfu",
    "power_w", "energy_j_per_token", "usd_per_million_tokens", "cost_usd",
)  # fmt: skip
SPANNED = ("tpot_s", "step_time_s", "output_tokens_per_s_per_chip", "tokens_per_s_per_chip")
MEMORY = {
    "weight_bytes": "weights",
    "kv_cache_bytes": "kv_cache",
    "gradient_bytes": "gradients",
    "optimizer_bytes": "optimizer",
    "activation_bytes": "activations",
    "buffer_bytes": "buffers",
}
DEGREES = ("tp", "pp", "dp", "ep", "cp")


class Mesh:
    """The columns of one block of one panel; rows in order, the last axis changing first."""

    def __init__(self, panel: Panel, block: Block, result: Prediction, broken: NDArray[Any]) -> None:
        """`broken` holds 0 where the plan is one, else an index into the panel's reasons."""
        self.panel, self.block, self.result = panel, block, result
        self.shape = block.shape
        self.valid = self._flat(np.equal(broken, 0))
        self.all_valid = bool(self.valid.all())
        self.broken = broken

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [name for name, _ in self._columns()]

    def table(self, names: Iterable[str]) -> Table:
        """These columns; one that nothing here has is empty."""
        makers = dict(self._columns())  # not kept: they know this mesh, and would outlive it until garbage is collected
        return {name: makers[name]() if name in makers else self._unknown() for name in names}

    # -- how

    def _flat(self, value: Num) -> NDArray[Any]:
        return np.broadcast_to(value, self.shape).reshape(-1)

    def _unknown(self) -> NDArray[np.float64]:
        return np.broadcast_to(np.nan, (self.block.size,))

    def _number(self, value: Num | None) -> NDArray[np.float64]:
        """A number of each row; NaN where the plan is none or the number is not known."""
        if value is None:
            return self._unknown()
        number = np.asarray(value, dtype=np.float64)
        if self.all_valid and np.isfinite(number).all():
            return self._flat(number)
        found = self._flat(number)
        return np.where(self.valid & np.isfinite(found), found, np.nan)

    def _words(self, codes: Num, names: Sequence[str]) -> Words:
        return Words(self._flat(np.asarray(codes, dtype=np.intp)), tuple(names))

    def _columns(self) -> Iterator[tuple[str, Callable[[], Values]]]:
        yield from self._identity()
        yield from self._fit()
        for index, phase in enumerate(self.result.phases):
            earlier = [item.name for item in self.result.phases[:index]]
            yield from self._phase(phase.name if phase.name not in earlier else f"{phase.name}_{index + 1}", phase)
        metrics = self.result.metrics
        for name in contract.metric_names(metrics):
            yield name, lambda name=name: self._number(metrics.get(name))  # type: ignore[misc]
        yield "evidence", lambda: self._words(0, (self.result.evidence,))

    def _identity(self) -> Iterator[tuple[str, Callable[[], Values]]]:
        panel, where = self.panel, self.result.deployment
        formats = self.result.precision
        told = {
            "workload": self.result.workload.id, "model": self.result.workload.model.id, "deployment": where.label,
            "chip": where.chip.id, "stack": where.stack.id, "weights": formats.weights,
            "activations": formats.activations, "kv_cache": formats.kv_cache, **panel.choices,
        }  # fmt: skip
        for name, word in told.items():
            yield name, lambda word=word: self._words(0, (word,))  # type: ignore[misc]
        for name, value in (("num_chips", where.num_chips), *((name, getattr(where.plan, name)) for name in DEGREES)):
            yield name, lambda value=value: self._number(value)  # type: ignore[misc]
        job = self.result.workload
        lengths = ("seq_len", "global_batch") if isinstance(job, Training) else ("batch", "input_len", "output_len")
        for name in lengths:
            yield name, lambda name=name: self._flat(getattr(job, name))  # type: ignore[misc]
        for axis, values in zip(panel.axes, self.block.values(panel.axes), strict=True):
            yield axis.name, lambda values=values: self._flat(values)  # type: ignore[misc]

    def _fit(self) -> Iterator[tuple[str, Callable[[], Values]]]:
        result, held = self.result, self.result.memory
        yield "fits", lambda: self.fits
        yield "why", self._why
        yield "capacity_bytes", lambda: self._number(result.capacity)
        for name, field in MEMORY.items():
            yield name, lambda field=field: self._number(getattr(held, field))  # type: ignore[misc]
        yield "total_bytes", lambda: self._number(held.total)
        yield "max_batch", lambda: self._number(result.max_batch)

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether each row is possible."""
        found: NDArray[np.bool_] = self._flat(self.result.fits) & self.valid
        return found

    def _why(self) -> Words:
        """Why a row is not possible, in one word."""
        reasons = self.panel.reasons
        codes = np.where(np.equal(self.broken, 0), np.where(self.result.fits, 0, len(reasons)), self.broken)
        return self._words(codes, (*reasons, "memory"))

    def _phase(self, name: str, phase: Phase) -> Iterator[tuple[str, Callable[[], Values]]]:
        yield f"{name}_time_s", lambda: self._number(phase.time)
        yield f"{name}_ideal_time_s", lambda: self._number(phase.ideal_time)
        yield f"{name}_bound", lambda: self._bound(phase)
        yield f"{name}_mfu", lambda: self._number(phase.mfu)
        yield f"{name}_mbu", lambda: self._number(phase.mbu)

    def _bound(self, phase: Phase) -> Words:
        codes = self._flat(np.asarray(phase.bound, dtype=np.intp))
        return Words(np.where(self.valid, codes, len(BOUNDS)), (*BOUNDS, ""))


def main(known: Sequence[str], axes: Sequence[str]) -> list[str]:
    """The columns that are told where none are asked for."""
    wanted = ["workload", "deployment", *axes, "num_chips"]
    wanted += list(DEGREES[:4]) if any(axis in DEGREES for axis in axes) else []
    wanted += ["fits", "why", "max_batch"]
    for name in MAIN_METRICS:
        wanted += [name, f"{name}_low", f"{name}_high"] if name in SPANNED else [name]
    return [name for name in dict.fromkeys(wanted) if name in known]


def chosen(text: str | None, known: Sequence[str], axes: Sequence[str]) -> list[str]:
    """The columns of `a,b,c`, of `main`, `all`, or of both; `RooflineError` for one that does not exist."""
    names: list[str] = []
    for part in (text or MAIN).split(","):
        name = part.strip()
        names += list(known) if name == ALL else main(known, axes) if name == MAIN else [find(name, known, "--columns")]
    return list(dict.fromkeys(names))


def find(name: str, known: Sequence[str], where: str) -> str:
    """The column of that name, or of that name without `output_` before it; `RooflineError` with near ones."""
    if name in known:
        return name
    if f"output_{name}" in known:
        return f"output_{name}"
    near = did_you_mean(name, known)
    hint = f"did you mean {near}?" if near else "'--columns all' shows all columns"
    raise RooflineError(f"{where}: no column {name!r}; {hint}")


def taken(table: Mapping[str, Values], index: Any) -> Table:
    """Some rows of a table."""
    return {name: values[index] for name, values in table.items()}


def joined(tables: Sequence[Mapping[str, Values]]) -> Table:
    """Tables of the same columns as one."""
    if not tables:
        return {}
    return {name: _joined([table[name] for table in tables]) for name in tables[0]}


def _joined(parts: Sequence[Values]) -> Values:
    if not any(isinstance(part, Words) for part in parts):
        return np.concatenate(parts)  # type: ignore[arg-type]
    texts = [part if isinstance(part, Words) else Words(np.zeros(len(part), dtype=np.intp), ("",)) for part in parts]
    names = tuple(dict.fromkeys(name for part in texts for name in part.names))
    place = {name: index for index, name in enumerate(names)}
    codes = [np.array([place[name] for name in part.names], dtype=np.intp)[part.codes] for part in texts]
    return Words(np.concatenate(codes), names)


def size(table: Mapping[str, Values]) -> int:
    """Rows of a table."""
    first = next(iter(table.values()), None)
    return 0 if first is None else len(first.codes) if isinstance(first, Words) else len(first)


def plain(table: Mapping[str, Values]) -> dict[str, list[Any]]:
    """Columns as lists of what JSON holds: None for what is not known."""
    return {name: _plain(values) for name, values in table.items()}


def _plain(values: Values) -> list[Any]:
    if isinstance(values, Words):
        return values.list()
    found: list[Any] = values.tolist()
    if values.dtype == np.bool_ or bool(np.isfinite(values).all()):
        return found
    return [value if known else None for value, known in zip(found, np.isfinite(values).tolist(), strict=True)]
