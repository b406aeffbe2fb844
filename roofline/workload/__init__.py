"""What is to be done: models, number formats, phases, scenarios and parallel plans. No chip in here."""

from roofline.workload.attention import MLA, Attention, CompressedAttention, Selection
from roofline.workload.dtype import BITS, DTYPES, Precision
from roofline.workload.ffn import DenseFFN, MoE
from roofline.workload.job import (
    Cached,
    Decode,
    Operations,
    Pause,
    Prefill,
    Scenario,
    ServiceLevel,
    Serving,
    Step,
    Training,
    Workload,
)
from roofline.workload.model import Block, Model
from roofline.workload.plan import Plan
from roofline.workload.recurrence import GatedDeltaNet, LightningAttention, Mamba1, Mamba2
from roofline.workload.speculation import Speculation

__all__ = [
    "BITS",
    "DTYPES",
    "MLA",
    "Attention",
    "Block",
    "Cached",
    "CompressedAttention",
    "Decode",
    "DenseFFN",
    "GatedDeltaNet",
    "LightningAttention",
    "Mamba1",
    "Mamba2",
    "MoE",
    "Model",
    "Operations",
    "Pause",
    "Plan",
    "Precision",
    "Prefill",
    "Scenario",
    "Selection",
    "ServiceLevel",
    "Serving",
    "Speculation",
    "Step",
    "Training",
    "Workload",
]
