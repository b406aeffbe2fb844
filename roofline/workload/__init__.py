"""What is to be done: models, number formats, phases, scenarios and parallel plans. No chip in here."""

from roofline.workload.dtype import BITS, DTYPES, Precision
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
from roofline.workload.model import (
    MLA,
    Attention,
    Block,
    CompressedAttention,
    DenseFFN,
    GatedDeltaNet,
    LightningAttention,
    Mamba1,
    Mamba2,
    Model,
    MoE,
    Selection,
)
from roofline.workload.plan import Plan
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
