"""What the fullest chip of a training run holds: weights, gradients, what the optimizer keeps, activations."""

from __future__ import annotations

import numpy as np

from roofline.engine import memory
from roofline.engine.memory import Memory
from roofline.engine.training.schedule import in_flight
from roofline.engine.training.update import replicas, sharded_over, trainable, trained_bytes, weights_per_chip
from roofline.numeric import Num
from roofline.workload import Plan, Precision, Training
from roofline.workload.dtype import bytes_of


def memory_needs(training: Training, plan: Plan, precision: Precision) -> Memory:
    """Bytes on one chip of the fullest stage."""
    held = weights_per_chip(training, plan)
    trained = trainable(training, plan)
    gradient = bytes_of(training.gradients)
    states = training.optimizer_bytes(trained_bytes(training, precision))
    totals: dict[str, Num] = {"weights": 0.0, "gradients": 0.0, "optimizer": 0.0}
    for weights, own, ranks in zip(held, trained, replicas(plan), strict=True):
        one, two, three = (
            np.where(np.greater_equal(plan.zero, stage), sharded_over(plan, ranks), 1.0) for stage in (1.0, 2.0, 3.0)
        )
        totals["weights"] = totals["weights"] + weights * bytes_of(precision.weights) / three
        totals["weights"] = totals["weights"] + (own * 2.0 if training.frozen else 0.0)
        totals["gradients"] = totals["gradients"] + own * gradient / two
        totals["optimizer"] = totals["optimizer"] + own * states / one
    activations = memory.activation_bytes(
        training.model, plan, training.seq_len, in_flight(training, plan), dropout=training.dropout
    )
    return Memory(**totals, activations=activations)
