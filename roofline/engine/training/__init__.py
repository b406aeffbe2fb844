"""Training: what one step of a run takes on a deployment, what its chips hold, and what the run takes in all."""

from roofline.engine.training.memory import few_layers, memory_needs
from roofline.engine.training.parts import Part, parts
from roofline.engine.training.predict import predict
from roofline.engine.training.rules import check
from roofline.engine.training.schedule import micro_batches
from roofline.engine.training.search import Counts, Ranking, best_plan, count, holds, rank
from roofline.engine.training.step import step
from roofline.engine.training.update import trainable_parameters

__all__ = [
    "Counts",
    "Part",
    "Ranking",
    "best_plan",
    "check",
    "count",
    "few_layers",
    "holds",
    "memory_needs",
    "micro_batches",
    "parts",
    "predict",
    "rank",
    "step",
    "trainable_parameters",
]
