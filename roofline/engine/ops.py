"""Operators: each a formula for its FLOPs, its bytes of main memory and its messages, per chip, with no chip in it.

Every constructor writes its arithmetic twice: as NumPy and, in `Formula`, as text that `explain` prints. A test
evaluates the text with the operator's own terms and compares, so the two can't drift apart.
Symbols: m rows (tokens), k and n the two sides of a weight matrix, w, a, r, c bytes per value of weights, of
activations that enter a product, of the residual stream, and of the cache; b sequences, q new tokens of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from roofline.machine.chip import (
    ATTENTION,
    DECODE_ATTENTION,
    DECODE_SCAN,
    ELEMENTWISE,
    EXPERTS,
    MATMUL,
    PERMUTE,
    QUANTISE,
    SCAN,
    UPDATE,
)
from roofline.numeric import Num, changed, larger, smaller, some

COLLECTIVE, OVERHEAD = "collective", "overhead"
VECTOR = "vector"  # the "dtype" of work on the vector units
SIXTEEN = 2.0  # bytes of a value of 16 bits
TILE = 128.0  # rows and columns of the result that a compute unit makes at once, the reference of `Efficiency.fill`


@dataclass(frozen=True, slots=True)
class Formula:
    """The arithmetic of one kind of operator as text over its terms."""

    flops: str = "0"
    read: str = "0"
    write: str = "0"
    message: str = "0"


@dataclass(frozen=True, slots=True)
class Message:
    """What a collective sends.

    `size` [B] is the buffer of one rank: the whole of it for all-reduce, the gathered whole for all-gather and
    reduce-scatter, what one rank has for others in all-to-all and send. The group has `ranks` members; neighbours in
    it are `stride` chips apart, which decides how many of them share a scale-up domain. In an all-to-all each value
    goes to `copies` members drawn at random; those that are drawn twice get it once, as domains do.
    """

    algorithm: str
    size: Num
    ranks: Num
    stride: Num = 1.0
    copies: Num = 1.0


@dataclass(frozen=True, eq=False)
class Op:
    """One operator on one chip, executed `count` times: FLOPs, bytes read and written in main memory, message.

    `rows` are the rows that share what a kernel loads, `growing` what they themselves bring of its bytes, as a share;
    `tiles` the pieces of the result that compute units can work on apart, `above` how many of them stand above each
    other and share their columns, `columns` those of both products of a query-key pair. `stored` is the format of what
    it streams where that decides how fast, `least` the narrowest in which its arithmetic could be done, `resident` the
    share that a memory before the main one holds already, `expanded` [B] what writing its narrow weights at 16 bits and
    reading them again moves, `padded` how many times its rows static shapes work on, `sharing` the query heads that
    share each head of a cache. `fusable` marks traffic that a better kernel would keep on the chip: it costs nothing in
    the ideal bound. `layer` names the group of layers that it is part of, nothing outside of layers.
    """

    name: str
    kind: str
    dtype: str = "bf16"
    stored: str = ""
    least: str = ""
    flops: Num = 0.0
    read: Num = 0.0
    write: Num = 0.0
    message: Message | None = None
    count: Num = 1.0
    rows: Num = np.inf
    tiles: Num = np.inf
    above: Num = 1.0
    columns: Num = np.inf
    resident: Num = 0.0
    growing: Num = 0.0
    expanded: Num = 0.0
    padded: Num = 1.0
    sharing: Num = 1.0
    fusable: bool = False
    layer: str = ""
    formula: Formula = Formula()
    terms: Mapping[str, Num] = field(default_factory=dict)

    @property
    def bytes(self) -> Num:
        """Bytes that one execution reads and writes."""
        return self.read + self.write

    @property
    def moved(self) -> Num:
        """Bytes that one execution moves through main memory: all but those that lie before it."""
        return self.bytes * (1.0 - self.resident) if some(self.resident) else self.bytes

    @property
    def sent(self) -> Num:
        """Bytes of its message, copies counted; 0 for a group of one and for everything that is not a collective."""
        if self.message is None:
            return 0.0
        message = self.message
        return message.size * drawn(message.ranks, message.copies) * np.greater(message.ranks, 1.0)

    @property
    def absent(self) -> bool:
        """Whether it does nothing anywhere in a sweep: what never happens, a message among one rank, no overhead."""
        if not some(self.count):
            return True
        if self.message is not None:
            return not some((self.message.ranks - 1.0) * self.message.size)
        return self.kind == OVERHEAD and not some(self.terms["seconds"])

    def times(self, count: Num) -> Op:
        """The same operator, executed `count` times as often."""
        return self if isinstance(count, float) and count == 1.0 else changed(self, count=self.count * count)


def tiles(m: Num, n: Num, batch: Num = 1.0) -> Num:
    """Tiles of `batch` results `[m, n]`; rows below a tile's make smaller ones, not fewer."""
    return batch * larger(m / TILE, 1.0) * (n / TILE)


def expansion(values: Num, w: Num) -> Num:
    """Bytes that are written and read again where weights of `w` bytes are expanded to 16 bits in memory."""
    return values * 2.0 * SIXTEEN * np.less(w, SIXTEEN)


_MATMUL = Formula(flops="2*m*k*n", read="m*k*a + k*n*w", write="m*n*r")


def matmul(name: str, m: Num, k: Num, n: Num, *, w: Num, a: Num, r: Num, dtype: str, least: str = "") -> Op:
    """`[m, k] x [k, n]`: activations times a weight matrix, each read once, the product written once."""
    return Op(
        name,
        MATMUL,
        dtype,
        least=least,
        flops=2.0 * m * k * n,
        read=m * k * a + k * n * w,
        write=m * n * r,
        rows=m,
        growing=m * (k * a + n * r) / (m * k * a + k * n * w + m * n * r),
        tiles=tiles(m, n),
        above=larger(m / TILE, 1.0),
        expanded=expansion(k * n, w),
        formula=_MATMUL,
        terms={"m": m, "k": k, "n": n, "w": w, "a": a, "r": r},
    )


_EXPERTS = Formula(flops="2*m*k*n", read="m*k*a + e*k*n*w", write="m*n*r")


def expert_matmul(
    name: str, m: Num, e: Num, k: Num, n: Num, *, w: Num, a: Num, r: Num, dtype: str, least: str = ""
) -> Op:  # fmt: skip
    """`m` rows spread over `e` experts' matrices `[k, n]`: as many are read as get at least one row."""
    each = m / e
    return Op(
        name,
        EXPERTS,
        dtype,
        least=least,
        flops=2.0 * m * k * n,
        read=m * k * a + e * k * n * w,
        write=m * n * r,
        rows=each,
        growing=m * (k * a + n * r) / (m * k * a + e * k * n * w + m * n * r),
        tiles=tiles(each, n, e),
        above=larger(each / TILE, 1.0),
        expanded=expansion(e * k * n, w),
        formula=_EXPERTS,
        terms={"m": m, "e": e, "k": k, "n": n, "w": w, "a": a, "r": r},
    )


_WEIGHT_GRADIENT = Formula(flops="2*m*k*n", read="m*(k + n)*a + e*k*n*g", write="e*k*n*g")


def weight_gradient(
    name: str, m: Num, k: Num, n: Num, *, e: Num | None = None, a: Num, g: Num, dtype: str, stored: str = ""
) -> Op:
    """`[k, m] x [m, n]`: the gradient of a weight matrix, added to what earlier micro-batches left, `g` bytes a value.

    With `e` experts each has a matrix of its own, made of the rows that reached it.
    """
    matrices: Num = 1.0 if e is None else e
    each = m / matrices
    return Op(
        name,
        MATMUL if e is None else EXPERTS,
        dtype,
        stored=stored,
        flops=2.0 * m * k * n,
        read=m * (k + n) * a + matrices * k * n * g,
        write=matrices * k * n * g,
        rows=each,
        growing=m * (k + n) * a / (m * (k + n) * a + 2.0 * matrices * k * n * g),
        tiles=tiles(k, n, matrices),
        formula=_WEIGHT_GRADIENT,
        terms={"m": m, "k": k, "n": n, "e": matrices, "a": a, "g": g},
    )


_BATCHED = Formula(flops="2*b*m*k*n", read="b*(m*k + k*n)*a", write="b*m*n*r")


def batched_matmul(name: str, *, b: Num, m: Num, k: Num, n: Num, a: Num, r: Num, dtype: str) -> Op:
    """`b` products `[m, k] x [k, n]` of activations alone: scores and values of attention that is not fused."""
    read, write = b * (m * k + k * n) * a, b * m * n * r
    return Op(
        name,
        MATMUL,
        dtype,
        flops=2.0 * b * m * k * n,
        read=read,
        write=write,
        rows=m,
        growing=b * m * (k * a + n * r) / (read + write),
        tiles=tiles(m, n, b),
        above=larger(m / TILE, 1.0),
        formula=_BATCHED,
        terms={"b": b, "m": m, "k": k, "n": n, "a": a, "r": r},
    )


_ATTENTION = Formula(
    flops="2*b*h*p*(d + v)",
    read="b*q*h*d*a + b*l*g*c",
    write="b*q*h*v*r + b*q*g*c",
)


def attention(
    name: str, *, b: Num, q: Num, p: Num, l: Num, h: Num, d: Num, v: Num, g: Num, a: Num, r: Num, c: Num, dtype: str
) -> Op:  # fmt: skip
    """Fused attention of `q` new tokens per sequence: `p` visible query-key pairs, `l` cached tokens read.

    `h` heads with keys of width `d` and values of width `v`; `g` values are cached per token. Scores never leave
    the chip (FlashAttention, arXiv 2205.14135).
    """
    read, write = b * q * h * d * a + b * l * g * c, b * q * h * v * r + b * q * g * c
    each = h * d * a + h * v * r + 2.0 * g * c
    return Op(
        name,
        ATTENTION,
        dtype,
        flops=2.0 * b * h * p * (d + v),
        read=read,
        write=write,
        rows=q,
        growing=smaller(b * q * each / (read + write), 1.0),  # a window may hold fewer tokens than are new
        tiles=tiles(q, TILE, b * h),
        above=larger(q / TILE, 1.0),
        columns=d + v,
        formula=_ATTENTION,
        terms={"b": b, "q": q, "p": p, "l": l, "h": h, "d": d, "v": v, "g": g, "a": a, "r": r, "c": c},
    )


_DECODE = Formula(
    flops="2*b*h*l*(d + v)",
    read="b*h*d*a + b*l*g*c",
    write="b*h*v*r + b*g*c",
)
_VERIFY = _ATTENTION  # several queries of a sequence read its cache as those of a prompt do


def decode_attention(
    name: str, *, b: Num, l: Num, h: Num, d: Num, v: Num, g: Num, a: Num, r: Num, c: Num, dtype: str, stored: str = "",
    q: Num = 1.0, padded: Num = 1.0,
) -> Op:  # fmt: skip
    """Attention of `q` new tokens per sequence over `l` cached tokens of `g` values each, read once for all heads and
    all `q`: the last of them sees all `l`, each one before it one less. Static shapes work on `padded` times `l`.
    """
    one = bool(np.all(np.equal(q, 1.0)))
    pairs = l if one else q * (l - (q - 1.0) / 2.0)
    cache = b * g * c
    read, write = b * q * h * d * a + cache * l, b * q * h * v * r + cache * q
    return Op(
        name,
        DECODE_ATTENTION,
        dtype,
        flops=(2.0 * b * h * (d + v)) * pairs,
        read=read,
        write=write,
        rows=l,
        growing=cache * l / (read + write),
        tiles=b * larger(g / (d + v), 1.0),
        sharing=larger(h / larger(g / (d + v), 1.0), 1.0),
        columns=d + v,
        stored=stored,
        padded=padded,
        formula=_DECODE if one else _VERIFY,
        terms={"b": b, **({} if one else {"q": q, "p": pairs})}
        | {"l": l, "h": h, "d": d, "v": v, "g": g, "a": a, "r": r, "c": c},
    )


_SCAN = Formula(flops="f*m*s", read="m*i*a + b*s*z", write="m*o*r + b*s*z")


def scan(
    name: str, *, m: Num, b: Num, s: Num, i: Num, o: Num, f: Num, z: Num, a: Num, r: Num, dtype: str, decode: bool
) -> Op:  # fmt: skip
    """A linear recurrence: `f` FLOP per token for each of `s` state values; the state (z bytes a value) is read and
    written once per sequence however many tokens pass, `i` inputs and `o` outputs per token. To `decode` is a kernel of
    its own: a step depends on none before it in the same pass."""
    return Op(
        name,
        DECODE_SCAN if decode else SCAN,
        dtype,
        flops=f * m * s,
        read=m * i * a + b * s * z,
        write=m * o * r + b * s * z,
        formula=_SCAN,
        terms={"m": m, "b": b, "s": s, "i": i, "o": o, "f": f, "z": z, "a": a, "r": r},
    )


_ELEMENTWISE = Formula(flops="f*m", read="m*i*r", write="m*o*r")


def elementwise(name: str, *, m: Num, i: Num, o: Num, f: Num, r: Num) -> Op:
    """Norms, activations, rotations: `i` values read and `o` written per row, `f` FLOP; fusable into its neighbours."""
    return Op(
        name,
        ELEMENTWISE,
        VECTOR,
        flops=f * m,
        read=m * i * r,
        write=m * o * r,
        fusable=True,
        formula=_ELEMENTWISE,
        terms={"m": m, "i": i, "o": o, "f": f, "r": r},
    )


_QUANTISE = Formula(flops="2*m*k", read="m*k*r", write="m*k*a")


def quantise(name: str, *, m: Num, k: Num, a: Num, r: Num) -> Op:
    """Activations narrowed before a product: `m` rows of width `k` from `r` to `a` bytes, scaled on the way."""
    return Op(
        name,
        QUANTISE,
        VECTOR,
        flops=2.0 * m * k,
        read=m * k * r,
        write=m * k * a,
        fusable=True,
        formula=_QUANTISE,
        terms={"m": m, "k": k, "a": a, "r": r},
    )


_WIDEN = Formula(flops="2*n", read="n*r", write="n*r")


def widen(name: str, *, n: Num, r: Num) -> Op:
    """`n` narrow weights written at `r` bytes, and read again, before a product that is counted with narrow ones."""
    return Op(
        name,
        ELEMENTWISE,
        VECTOR,
        flops=2.0 * n,
        read=n * r,
        write=n * r,
        fusable=True,
        formula=_WIDEN,
        terms={"n": n, "r": r},
    )


def permute(name: str, *, m: Num, k: Num, r: Num) -> Op:
    """`m` rows of width `k` sorted by expert on their way in and back on their way out, where each is weighed."""
    op = elementwise(name, m=m, i=2.0 * k, o=2.0 * k, f=2.0 * k, r=r)
    return changed(op, kind=PERMUTE)


_LOOKUP = Formula(read="m*k*w", write="m*k*r")


def lookup(name: str, m: Num, k: Num, *, w: Num, r: Num) -> Op:
    """Rows of the token table: one of width `k` for each of `m` tokens."""
    return Op(
        name,
        ELEMENTWISE,
        VECTOR,
        read=m * k * w,
        write=m * k * r,
        formula=_LOOKUP,
        terms={"m": m, "k": k, "w": w, "r": r},
    )


_UPDATE = Formula(flops="f*n", read="n*i", write="n*o")


def optimizer_update(name: str, *, n: Num, i: Num, o: Num, f: Num) -> Op:
    """One optimizer step over `n` parameters: `i` bytes read and `o` written for each."""
    return Op(
        name,
        UPDATE,
        VECTOR,
        flops=f * n,
        read=n * i,
        write=n * o,
        formula=_UPDATE,
        terms={"n": n, "i": i, "o": o, "f": f},
    )


_COLLECTIVE = Formula(message="m*k*r")


def collective(
    name: str, algorithm: str, *, m: Num, k: Num, r: Num, ranks: Num, stride: Num = 1.0, copies: Num = 1.0
) -> Op:  # fmt: skip
    """A message of `m` rows of width `k` among `ranks` chips (see `Message`)."""
    terms = {"m": m, "k": k, "r": r, "ranks": ranks, "stride": stride}
    return Op(
        name,
        COLLECTIVE,
        message=Message(algorithm, m * k * r, ranks, stride, copies),
        formula=_COLLECTIVE,
        terms=terms | ({"copies": copies} if algorithm == "all-to-all" else {}),
    )


_TRANSFER = Formula(message="kv")


def transfer(name: str, *, kv: Num, chips: Num) -> Op:
    """The cache of one request on its way between two pools, `kv` bytes of it on one chip.

    Pools lie side by side and have so many `chips` together: whom a chip sends to is half of them away, so the message
    stays within a scale-up domain where both pools do.
    """
    return Op(name, COLLECTIVE, message=Message("send", kv, 2.0, chips / 2.0), formula=_TRANSFER, terms={"kv": kv})


def drawn(places: Num, copies: Num) -> Num:
    """Different places among `copies` that are drawn at random, with repeats.

    >>> float(drawn(32.0, 1.0)), round(float(drawn(4.0, 8.0)), 3)
    (1.0, 3.6)
    """
    return places * (1.0 - np.power(1.0 - 1.0 / places, copies))


def hottest(places: Num, copies: Num, imbalance: Num) -> Num:
    """Messages to a place that gets `imbalance` times the mean of all copies, over the mean of all messages.

    Copies that meet at one place are one message, so messages are spread more evenly than copies.

    >>> float(hottest(8.0, 4.0, 1.0)), round(float(hottest(8.0, 1.0, 1.5)), 3), round(float(hottest(8.0, 8.0, 1.5)), 3)
    (1.0, 1.5, 1.234)
    """
    shares = (np.divide(1.0, places), np.divide(imbalance, places))
    mean, most = (1.0 - np.power(1.0 - share, copies) for share in shares)
    return most / mean


def expected_experts(experts: Num, top_k: Num, tokens: Num) -> Num:
    """Distinct experts that `tokens` tokens visit when each chooses `top_k` of `experts`, some of which are popular.

    `E·n·k/(E − k + n·k)`. An expert that is visited at a rate `x` is passed over by all `n` tokens with probability
    `exp(−n·x)`. Rates differ as those of an exponential distribution do, of the mean `k/(E − k)` that makes one token
    visit `k`; the mean of `exp(−n·x)` over them is `1/(1 + n·k/(E − k))`, its Laplace transform.

    >>> [float(expected_experts(128.0, 4.0, tokens)) for tokens in (1.0, 31.0)], float(expected_experts(8.0, 8.0, 3.0))
    ([4.0, 64.0], 8.0)
    """
    return experts * tokens * top_k / (experts - top_k + tokens * top_k)
