"""What is run to try predictions: models, formats, phases, batches, lengths; each a row of a table of measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roofline.studies.measuring.decoder import Shape
from roofline.workload.dtype import BITS

PREFILL, DECODE, TRAINING = PHASES = ("prefill", "decode", "training")
VOCAB = 16000
OPTIMIZER_BYTES = 12.0  # of a parameter: moments, and a copy in 32 bits or the gradient

# Of 20 million to a billion parameters: wide and shallow, narrow and deep, with as many heads of keys as of queries or
# fewer, dense and with experts.
SHAPES = (
    Shape("dense-23m", 6, 384, 6, 6, 64, 1024, VOCAB),
    Shape("gqa-31m", 12, 384, 6, 2, 64, 1024, VOCAB),
    Shape("dense-42m", 8, 512, 8, 8, 64, 1408, VOCAB),
    Shape("moe-45m", 6, 384, 6, 6, 64, 512, VOCAB, experts=8, top_k=2),
    Shape("gqa-51m", 12, 512, 8, 2, 64, 1408, VOCAB),
    Shape("dense-80m", 12, 640, 10, 10, 64, 1728, VOCAB),
    Shape("moe-92m", 8, 512, 8, 4, 64, 704, VOCAB, experts=8, top_k=2),
    Shape("wide-107m", 4, 1024, 16, 8, 64, 4096, VOCAB),
    Shape("dense-110m", 12, 768, 12, 12, 64, 2048, VOCAB),
    Shape("deep-135m", 28, 640, 10, 5, 64, 1536, VOCAB),
    Shape("gqa-215m", 16, 1024, 16, 4, 64, 2816, VOCAB),
    Shape("moe-230m", 10, 768, 12, 4, 64, 1024, VOCAB, experts=8, top_k=2),
    Shape("dense-341m", 24, 1024, 16, 16, 64, 2816, VOCAB),
    Shape("gqa-500m", 18, 1536, 12, 4, 128, 4096, VOCAB),
    Shape("gqa-1b", 20, 2048, 16, 8, 128, 5632, VOCAB),
)
PROMPTS = ((1, 64), (1, 256), (4, 64))  # batch, tokens
CONTEXTS = ((1, 128), (4, 128), (16, 128), (1, 1024))  # batch, tokens before
BATCHES = ((1, 128), (4, 64))  # sequences of a step of training, tokens of each
STEPS = 8  # of decoding
QUICK = 6.4e10  # parameters times tokens up to which a step of training takes a processor seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to run: a model in a format, what passes, and how much of it."""

    shape: Shape
    dtype: str
    phase: str
    batch: int
    length: int

    @property
    def id(self) -> str:
        """A name that tells all of it."""
        return f"{self.shape.name}-{self.dtype}-{self.phase}-{self.batch}x{self.length}"

    @property
    def metric(self) -> str:
        """What is measured of it."""
        return {PREFILL: "ttft_ms", DECODE: "tpot_ms"}.get(self.phase, "step_time_s")

    @property
    def unit(self) -> float:
        """Seconds in the unit of its metric."""
        return 1.0 if self.phase == TRAINING else 1e-3

    @property
    def needs(self) -> float:
        """Bytes that it takes, activations aside."""
        held = self.shape.needs(self.dtype, self.batch, self.length + STEPS)
        states = OPTIMIZER_BYTES + BITS[self.dtype] / 8.0
        return held + (self.shape.parameters * states if self.phase == TRAINING else 0.0)

    def cells(self, chip: str) -> dict[str, object]:
        """Its row, without the result."""
        shared = {"id": self.id, "chip": chip, "num_chips": 1, **self.shape.cells, "phase": self.phase}
        if self.phase == TRAINING:
            return {
                **shared, "tp": 1, "pp": 1, "ep": 1, "seq_len": self.length, "global_batch_seqs": self.batch,
                "micro_batch_seqs": self.batch, "fsdp_zero": 0, "recompute": "none", "dtype": self.dtype,
                "metric": self.metric,
            }  # fmt: skip
        return {
            **shared, "weight_dtype": self.dtype, "act_dtype": self.dtype, "kv_dtype": self.dtype,
            "batch": self.batch, "input_len": self.length, "output_len": STEPS if self.phase == DECODE else 0,
            "mode": "fixed_batch", "metric": self.metric,
        }  # fmt: skip


COLUMNS = (
    "id", "chip", "num_chips", "model", "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "glu", "vocab",
    "experts", "experts_topk", "moe_ffn", "weight_dtype", "act_dtype", "kv_dtype", "dtype", "tp", "pp", "ep", "phase",
    "batch", "input_len", "output_len", "mode", "seq_len", "global_batch_seqs", "micro_batch_seqs", "fsdp_zero",
    "recompute", "framework", "date", "metric", "value", "source", "note",
)  # fmt: skip


def trials(shape: Shape, dtype: str, *, trains: bool) -> Iterator[Trial]:
    """All that is run of one model in one format."""
    yield from (Trial(shape, dtype, PREFILL, batch, length) for batch, length in PROMPTS)
    yield from (Trial(shape, dtype, DECODE, batch, length) for batch, length in CONTEXTS)
    for batch, length in BATCHES if trains else ():
        if shape.parameters * batch * length <= QUICK:
            yield Trial(shape, dtype, TRAINING, batch, length)


def configurations(dtypes: Sequence[str], shapes: Sequence[Shape] = SHAPES) -> list[tuple[Shape, str]]:
    """Models in formats, small ones first."""
    return [(shape, dtype) for shape in sorted(shapes, key=lambda shape: shape.parameters) for dtype in dtypes]
