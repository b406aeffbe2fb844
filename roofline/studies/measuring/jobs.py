"""What is timed: kernels of a decoder over the sizes that decoders have, each a row of a table of measurements.

Weights and caches are cut from a pool that no cache holds, a piece further on at each call, as layers of a model follow
each other: every call finds them in main memory. Their rows say so (`cold`), or the calibration would take a nearer
cache for memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from roofline.studies.measuring.backends import Array, Backend
from roofline.studies.measuring.system import Machine
from roofline.workload.dtype import BITS

Run = Callable[[], object]

COLD = "cold"  # in a note: operands come from main memory, not from a cache
LARGER = 4.0  # times the last cache: what nobody finds there again
POOL = 256e6  # B, at least: what large output matrices need
LEAST_POOL = 16e6  # B: less is no measurement

# [n, k] of the products of decoders of 20 million to a few billion parameters, and rows from one sequence's next token
# to a prompt.
MATRICES = (
    (512, 256), (640, 640), (1536, 512), (512, 1408), (1024, 1024), (5632, 1024), (1024, 2816), (2048, 2048),
    (16000, 512), (2048, 5632), (11264, 2048),
)  # fmt: skip
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LARGEST = 1e10  # FLOP of one product: more takes a CPU long and tells nothing new
# heads, of keys, values of each
HEADS = ((8, 8, 64), (8, 2, 64), (16, 8, 128))
PROMPTS = ((1, 64), (1, 128), (4, 128), (1, 256), (1, 512), (2, 512), (1, 1024))
CACHES = ((1, 64), (1, 256), (1, 1024), (4, 512), (8, 256), (16, 256), (1, 4096))
PASSES = ((1, 512), (1, 2048), (8, 1024), (64, 512), (128, 1024), (512, 512), (512, 2048))
EXPERTS = ((512, 704), (1024, 1024))  # width of the model, of an expert
EXPERT_COUNT, CHOSEN = 8, 2
EXPERT_ROWS = (1, 4, 8, 16, 64, 256, 1024)
TURNS = 3  # through all sizes of a kind
UPDATED = (100_000, 400_000, 1_600_000, 6_400_000, 16_000_000)  # parameters of a step of an optimizer
MOST_UPDATED = 2.0  # times the pool: more is not worth its memory
ROOM = 8  # places of a cache that are not yet filled, as in any that grows
COPIES = (1e5, 1e6, 1e7, 1e8)  # B
HALF = 0.5  # of a cache's size: what it holds beside all else
# What no operator of a model is: shown, and taken for rates of memories, but nothing is fitted to it.
READ, DISPATCH, TO_DEVICE, FROM_DEVICE = "read", "dispatch", "to_device", "from_device"
MAIN = "main memory"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to time: the cells of its row, how much work that is (FLOP and bytes, to begin with the small ones),
    and how it is prepared. What is timed `apart` comes after other work each time, as in a model: neither its code nor
    its values are in the nearest caches then."""

    cells: Mapping[str, object]
    work: float
    prepare: Callable[[], Run]
    apart: bool = False

    @property
    def what(self) -> str:
        """Operator and sizes, to tell people."""
        sizes = (str(value) for name, value in self.cells.items() if name not in ("op", "note"))
        return f"{self.cells['op']} {' '.join(sizes)}"


@dataclass
class Pool:
    """Values of each format that no cache holds, of which every call takes the next piece."""

    backend: Backend
    size: float
    held: dict[str, Array] = field(default_factory=dict)
    place: int = 0

    def values(self, dtype: str) -> Array:
        """All values of a format; half as much memory for each time that there is not enough."""
        while dtype not in self.held:
            try:
                self.held[dtype] = self.backend.values(int(self.size * 8.0 / BITS[dtype]), dtype=dtype)
            except Exception as error:
                if not self.backend.ran_out(error) or self.size <= LEAST_POOL:
                    raise
                self.size /= 2.0
        return self.held[dtype]

    def piece(self, *shape: int, dtype: str) -> Array:
        """The next values of that shape; raises what the backend does for want of memory if the pool is smaller."""
        count = 1
        for side in shape:
            count *= side
        whole = self.values(dtype)
        if count > len(whole):
            raise MemoryError
        first = self.place if self.place + count <= len(whole) else 0
        self.place = first + count
        return whole[first : first + count].reshape(shape)


def pool_for(backend: Backend, machine: Machine) -> Pool:
    """A pool several times as large as the last cache, a small share of memory at most."""
    wanted = max(POOL, LARGER * machine.last_cache)
    return Pool(backend, min(wanted, machine.memory / 16.0))


def jobs(backend: Backend, machine: Machine, pool: Pool) -> list[Job]:
    """Everything, in the order in which it is worth timing."""
    found = [*reads(backend, machine, pool), *passing(backend, machine, pool)]
    for dtype in backend.dtypes:
        found += [*updates(backend, pool, dtype)] if backend.trains else []
        found += [*products(backend, pool, dtype), *attentions(backend, pool, dtype), *routed(backend, pool, dtype)]
    return spread_out(found)


def spread_out(found: Sequence[Job]) -> list[Job]:
    """Of every kind in turn one, every third of its sizes from small to large, then the others: whatever the budget,
    some of every kind and size are among what it is enough for."""
    kinds: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in sorted(found, key=lambda job: job.work):
        kinds[job.cells["op"], job.cells["dtype"], job.cells["note"] == MAIN].append(job)
    ordered: list[Job] = []
    for turn in range(TURNS):
        for together in zip_longest(*(members[turn::TURNS] for members in kinds.values())):
            ordered += [job for job in together if job is not None]
    return ordered


def reads(backend: Backend, machine: Machine, pool: Pool) -> Iterator[Job]:
    """Reading what each cache holds and what none does; doing nothing at all; and the way between host and device."""
    dtype = backend.dtypes[0]
    width = BITS[dtype] / 8.0
    for cache in machine.caches:
        count = int(cache.capacity * HALF / width)
        yield Job(_plain(READ, dtype, count * width, cache.name), 8.0 * count * width, _again(backend, dtype, count))
    count = int(pool.size / LARGER / width)
    yield Job(_plain(READ, dtype, count * width, MAIN), 8.0 * count * width, _onwards(pool, dtype, count))
    yield Job(_plain(DISPATCH, dtype, width, ""), 0.0, _again(backend, dtype, 1))
    if backend.device != "cpu":
        for op, way in ((TO_DEVICE, backend.from_host), (FROM_DEVICE, backend.to_host)):
            for size in COPIES:
                yield Job(_plain(op, dtype, size, ""), 8.0 * size, _across(backend, dtype, int(size / width), op, way))


def _plain(op: str, dtype: str, size: float, note: str) -> dict[str, object]:
    return {"op": op, "dtype": dtype, "bytes": int(size), "note": note}


def _again(backend: Backend, dtype: str, count: int) -> Callable[[], Run]:
    def prepare() -> Run:
        x = backend.values(count, dtype=dtype)
        return lambda: backend.total(x)

    return prepare


def _onwards(pool: Pool, dtype: str, count: int) -> Callable[[], Run]:
    def prepare() -> Run:
        pool.piece(count, dtype=dtype)
        return lambda: pool.backend.total(pool.piece(count, dtype=dtype))

    return prepare


def _across(
    backend: Backend, dtype: str, count: int, op: str, way: Callable[[Array], Array]
) -> Callable[[], Run]:  # fmt: skip
    def prepare() -> Run:
        x = backend.values(count, dtype=dtype)
        given = backend.to_host(x) if op == TO_DEVICE else x
        return lambda: way(given)

    return prepare


def products(backend: Backend, pool: Pool, dtype: str) -> Iterator[Job]:
    """Products with the weights of decoders, from one row to many."""
    for index, (n, k) in enumerate(MATRICES):
        # One row of every matrix, of which single sequences are made; of more, every other number: with those of all
        # matrices, all of them.
        for m in (1, *ROWS[1 + index % 2 :: 2]):
            if 2.0 * m * n * k <= LARGEST:
                yield Job(
                    {"op": "gemm", "dtype": dtype, "m": m, "n": n, "k": k, "note": COLD},
                    2.0 * m * n * k + n * k * BITS[dtype],
                    _product(backend, pool, dtype, m, n, k),
                )


def _product(backend: Backend, pool: Pool, dtype: str, m: int, n: int, k: int) -> Callable[[], Run]:
    def prepare() -> Run:
        x = backend.values(m, k, dtype=dtype)
        pool.piece(n, k, dtype=dtype)
        return lambda: backend.product(x, pool.piece(n, k, dtype=dtype))

    return prepare


def attentions(backend: Backend, pool: Pool, dtype: str) -> Iterator[Job]:
    """Attention of prompts to themselves, and of one new token to what is cached."""
    for heads, kv_heads, dim in HEADS:
        shape = {"heads": heads, "kv_heads": kv_heads, "head_dim": dim}
        for batch, length in PROMPTS:
            work = 2.0 * batch * heads * dim * length * length
            yield Job(
                {"op": "attention_prefill", "dtype": dtype, "batch": batch, **shape, "q_len": length, "note": COLD},
                work + batch * kv_heads * dim * length * BITS[dtype],
                _attention(backend, pool, dtype, (batch, length, length), (heads, kv_heads, dim)),
                apart=True,
            )
        for batch, length in CACHES:
            yield Job(
                {"op": "attention_decode", "dtype": dtype, "batch": batch, **shape, "kv_len": length, "note": COLD},
                batch * dim * length * (4.0 * heads + kv_heads * BITS[dtype]),
                _attention(backend, pool, dtype, (batch, 1, length), (heads, kv_heads, dim)),
                apart=True,
            )


def _attention(
    backend: Backend, pool: Pool, dtype: str, sizes: tuple[int, int, int], shape: tuple[int, int, int]
) -> Callable[[], Run]:
    (batch, new, seen), (heads, kv_heads, dim) = sizes, shape

    def prepare() -> Run:
        q = backend.values(batch, new, heads, dim, dtype=dtype)
        k, v = (backend.values(batch, new, kv_heads, dim, dtype=dtype) for _ in range(2))

        def run() -> object:
            keys, values = (pool.piece(batch, kv_heads, seen + ROOM, dim, dtype=dtype) for _ in range(2))
            return backend.attend(q, k, v, (keys, values), seen - new)

        run()
        return run

    return prepare


def routed(backend: Backend, pool: Pool, dtype: str) -> Iterator[Job]:
    """Layers of experts, from those that few rows visit to all of them."""
    for hidden, width in EXPERTS:
        for m in EXPERT_ROWS:
            note = f"{COLD}; E={EXPERT_COUNT}; topk={CHOSEN}"
            yield Job(
                {"op": "moe_gemm", "dtype": dtype, "m": m, "n": width, "k": hidden, "note": note},
                6.0 * m * CHOSEN * hidden * width + 3.0 * EXPERT_COUNT * hidden * width * BITS[dtype],
                _experts(backend, pool, dtype, m, hidden, width),
            )


def _experts(backend: Backend, pool: Pool, dtype: str, m: int, hidden: int, width: int) -> Callable[[], Run]:
    def prepare() -> Run:
        x = backend.values(m, hidden, dtype=dtype)
        choice = backend.choose(backend.values(m, EXPERT_COUNT, dtype=dtype), CHOSEN)

        def run() -> object:
            up = pool.piece(EXPERT_COUNT, 2 * width, hidden, dtype=dtype)
            down = pool.piece(EXPERT_COUNT, hidden, width, dtype=dtype)
            return backend.experts(x, *choice, up, down)

        run()
        return run

    return prepare


def passing(backend: Backend, machine: Machine, pool: Pool) -> Iterator[Job]:
    """Norms, rotations and gates as decoders have them, in bytes as the model of them counts; copies of much."""
    for dtype in backend.dtypes:
        width = BITS[dtype] / 8.0
        for m, hidden in PASSES:
            for what, each, prepare in (
                ("norm", 4.0 * hidden, _norm(backend, dtype, m, hidden)),
                ("rotation", 2.0 * hidden, _rotation(backend, dtype, m, hidden)),
                ("gate", 3.0 * hidden, _gate(backend, dtype, m, hidden)),
            ):
                moved = each * m * width
                yield Job(
                    {"op": "norm" if what == "norm" else "other", "dtype": dtype, "bytes": int(moved), "note": what},
                    8.0 * moved,
                    prepare,
                    apart=True,
                )
    dtype = backend.dtypes[0]
    for size in COPIES:
        count = int(size * 4.0 / BITS[dtype])
        if size <= pool.size / 2.0:
            yield Job(
                {"op": "memcpy", "dtype": dtype, "bytes": int(size), "note": COLD},
                8.0 * size,
                _copy(pool, dtype, count),
            )


def updates(backend: Backend, pool: Pool, dtype: str) -> Iterator[Job]:
    """Steps of an optimizer, in bytes as the model of them counts (see `roofline.engine.training.update`)."""
    weight = BITS[dtype] / 8.0
    moved = 4.0 + 8.0 + 4.0 + 8.0 + weight + (4.0 if weight < 4.0 else 0.0)  # a copy in 32 bits is read and written
    for count in UPDATED:
        if count * moved <= pool.size * MOST_UPDATED:
            size = int(count * moved)
            yield Job(
                {"op": "update", "dtype": dtype, "bytes": size, "note": COLD},
                8.0 * size,
                _update(backend, dtype, count),
            )


def _update(backend: Backend, dtype: str, count: int) -> Callable[[], Run]:
    def prepare() -> Run:
        weights, gradients = ([backend.values(count, dtype=dtype)] for _ in range(2))
        learner = backend.learner(weights)
        return lambda: learner.update(gradients)

    return prepare


def _norm(backend: Backend, dtype: str, m: int, hidden: int) -> Callable[[], Run]:
    def prepare() -> Run:
        x, branch = (backend.values(m, hidden, dtype=dtype) for _ in range(2))
        scale = backend.values(hidden, dtype=dtype)
        return lambda: backend.norm(x, branch, scale)

    return prepare


def _rotation(backend: Backend, dtype: str, m: int, width: int) -> Callable[[], Run]:
    """Of queries and keys that make up two thirds of the joint width, as with as many heads of keys as of queries."""
    heads, dim = max(width // 64, 3), 64

    def prepare() -> Run:
        x = backend.values(1, m, heads * 2 // 3, dim, dtype=dtype)
        angles = backend.angles(m, dim, dtype)
        return lambda: backend.rotate(x, angles)

    return prepare


def _gate(backend: Backend, dtype: str, m: int, width: int) -> Callable[[], Run]:
    def prepare() -> Run:
        x = backend.values(m, 2 * width, dtype=dtype)
        return lambda: backend.gate(x)

    return prepare


def _copy(pool: Pool, dtype: str, count: int) -> Callable[[], Run]:
    def prepare() -> Run:
        pool.piece(count, dtype=dtype)
        return lambda: pool.backend.copy(pool.piece(count, dtype=dtype), pool.piece(count, dtype=dtype))

    return prepare
