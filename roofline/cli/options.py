"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roofline.cli.completion import (
    complete_assumptions,
    complete_deployment,
    complete_model,
    complete_scenario,
    complete_stack,
    complete_workload,
)

WORK, MAPPING, PRECISION, FILES, OUTPUT = "Workload", "Plan and stack", "Precision", "Where files are", "Output"

Workload = Annotated[
    str,
    typer.Argument(help="Workload or model: an id of the catalogue or a YAML file.", autocompletion=complete_workload),
]
Deployment = Annotated[
    str, typer.Argument(help="[COUNTx]CHIP[:key=value,…], e.g. 8xh100-sxm.", autocompletion=complete_deployment)
]
Deployments = Annotated[
    list[str], typer.Argument(help="Each [COUNTx]CHIP[:key=value,…].", autocompletion=complete_deployment)
]

Phase = Annotated[
    str | None,
    typer.Option(help="Only this phase: training, prefill or decode.", rich_help_panel=WORK, metavar="PHASE"),
]
Scenario = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What requests to a bare model do, e.g. retrieval; 'roofline show scenarios' lists all.",
        autocompletion=complete_scenario,
        rich_help_panel=WORK,
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(metavar="N|max", help="Requests running at once; max: as many as memory holds.", rich_help_panel=WORK),
]
Input = Annotated[
    int | None, typer.Option("--input", metavar="N", min=1, help="Tokens of the prompt.", rich_help_panel=WORK)
]
Output = Annotated[
    int | None, typer.Option("--output", metavar="N", min=1, help="Tokens generated.", rich_help_panel=WORK)
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context", metavar="N", min=0, help="Tokens in the cache before the first step.", rich_help_panel=WORK
    ),
]
Seq = Annotated[
    int | None, typer.Option("--seq", metavar="N", min=1, help="Training: tokens of a sequence.", rich_help_panel=WORK)
]
GlobalBatch = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Training: sequences of a step.", rich_help_panel=WORK)
]
Tokens = Annotated[float | None, typer.Option(metavar="N", help="Training: tokens in all.", rich_help_panel=WORK)]
LoraRank = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Training: rank of adapters (LoRA) beside weights that rest; 0: none.",
        rich_help_panel=WORK,
    ),
]
LoraTargets = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Training: what has adapters: all, attention, or qv (queries, values).",
        rich_help_panel=WORK,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Training: adam, adam8bit, sgd, lion or muon.", rich_help_panel=WORK),
]
CachedShare = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Share of the first prompt found in the prefix cache, e.g. 0.5.",
        rich_help_panel=WORK,
    ),
]
DraftTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, help="Speculative decoding: tokens guessed in each step, e.g. 4.", rich_help_panel=WORK
    ),
]
Acceptance = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", min=0, max=1, help="Chance that a guessed token is right, e.g. 0.7.", rich_help_panel=WORK
    ),
]
Draft = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Model that guesses, e.g. llama-3.2-1b; without one guesses are free, as n-grams are.",
        autocompletion=complete_model,
        rich_help_panel=WORK,
    ),
]
Imbalance = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=1,
        help="Rows of the hottest expert-parallel rank over the mean, e.g. 1.3.",
        rich_help_panel=WORK,
    ),
]
TensorParallel = Annotated[
    int | None,
    typer.Option(
        "--tp",
        metavar="N",
        min=1,
        help="Tensor parallel: chips that share every layer, e.g. 8.",
        rich_help_panel=MAPPING,
    ),
]
PipelineParallel = Annotated[
    int | None,
    typer.Option(
        "--pp",
        metavar="N",
        min=1,
        help="Pipeline parallel: stages that layers are dealt to, e.g. 4.",
        rich_help_panel=MAPPING,
    ),
]
DataParallel = Annotated[
    int | None,
    typer.Option(
        "--dp",
        metavar="N",
        min=1,
        help="Data parallel: replicas that share the batch, e.g. 16.",
        rich_help_panel=MAPPING,
    ),
]
ExpertParallel = Annotated[
    int | None,
    typer.Option(
        "--ep",
        metavar="N",
        min=1,
        help="Expert parallel: ranks that experts are dealt to, e.g. 64.",
        rich_help_panel=MAPPING,
    ),
]
ContextParallel = Annotated[
    int | None,
    typer.Option(
        "--cp",
        metavar="N",
        min=1,
        help="Training, context parallel: chips that share each sequence, e.g. 2.",
        rich_help_panel=MAPPING,
    ),
]
Chunks = Annotated[
    int | None,
    typer.Option(
        "--vpp",
        metavar="N",
        min=1,
        help="Training: chunks of layers on each pipeline stage that take turns (interleaving), e.g. 4.",
        rich_help_panel=MAPPING,
    ),
]
Zero = Annotated[
    int | None,
    typer.Option(
        "--zero",
        metavar="N",
        min=0,
        max=3,
        help="Training, ZeRO stage: replicas share 1 the optimizer, 2 gradients, 3 weights too (FSDP).",
        rich_help_panel=MAPPING,
    ),
]
Shard = Annotated[
    int | None,
    typer.Option(
        "--shard",
        metavar="N",
        min=1,
        help="Training: replicas among which ZeRO shards, e.g. 8 within a node (hybrid); by default all.",
        rich_help_panel=MAPPING,
    ),
]
ExpertTensorParallel = Annotated[
    int | None,
    typer.Option(
        "--expert-tp",
        metavar="N",
        min=1,
        help="Training: chips that share each expert, e.g. 1; by default what ep leaves of tp.",
        rich_help_panel=MAPPING,
    ),
]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Training: sequences that pass a pipeline stage at once, e.g. 2.",
        rich_help_panel=MAPPING,
    ),
]
Recompute = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Training: what the backward pass makes again: none, selective (attention scores) or full (layers).",
        rich_help_panel=MAPPING,
    ),
]
RecomputeLayers = Annotated[
    int | None,
    typer.Option(
        "--recompute-layers",
        metavar="N",
        min=1,
        help="Training: layers of a stage that are recomputed, with --recompute full, e.g. 4; by default all.",
        rich_help_panel=MAPPING,
    ),
]
Selective = Annotated[
    str | None,
    typer.Option(
        "--selective",
        metavar="SHARE",
        help="Training: share of a layer that selective recomputation makes again besides attention scores, e.g. 0.5; "
        "by default the stack's.",
        rich_help_panel=MAPPING,
    ),
]
OffloadActivations = Annotated[
    str | None,
    typer.Option(
        "--offload-activations",
        metavar="SHARE",
        help="Training: share of the activations kept in the host's memory, e.g. 0.5 or 50%.",
        rich_help_panel=MAPPING,
    ),
]
OffloadOptimizer = Annotated[
    str | None,
    typer.Option(
        "--offload-optimizer",
        metavar="SHARE",
        help="Training: share of the optimizer kept in the host's memory, e.g. 1.",
        rich_help_panel=MAPPING,
    ),
]
SequenceParallel = Annotated[
    bool | None,
    typer.Option(
        "--sequence-parallel/--no-sequence-parallel",
        help="Training: whether tensor-parallel ranks share norms and what goes into them; on by default.",
        rich_help_panel=MAPPING,
    ),
]
Flash = Annotated[
    bool | None,
    typer.Option(
        "--flash/--no-flash",
        help="Training: whether attention is fused, so that no scores are kept; on by default.",
        rich_help_panel=MAPPING,
    ),
]
FusedLoss = Annotated[
    bool | None,
    typer.Option(
        "--fused-loss/--no-fused-loss",
        help="Training: whether the loss is made of the logits where they lie, without widening them; off by default.",
        rich_help_panel=MAPPING,
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        metavar="NAME",
        help="Training, pipeline: 1f1b, or zero-bubble, which fills waits with gradients of weights.",
        rich_help_panel=MAPPING,
    ),
]
Exchange = Annotated[
    str | None,
    typer.Option(
        "--context-exchange",
        metavar="NAME",
        help="Training, context parallel: keys and values go round a ring behind attention, by all-gather before it, "
        "or all-to-all in exchange for heads.",
        rich_help_panel=MAPPING,
    ),
]
Pools = Annotated[
    str | None,
    typer.Option(
        metavar="P:D|auto",
        help="Serving: chips that only prefill and chips that only decode; auto finds the split.",
        rich_help_panel=MAPPING,
    ),
]
Stack = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Software stack; by default the chip's own.",
        autocompletion=complete_stack,
        rich_help_panel=MAPPING,
    ),
]
Weights = Annotated[
    str | None, typer.Option(metavar="NAME", help="Format of the weights, e.g. fp8.", rich_help_panel=PRECISION)
]
Activations = Annotated[
    str | None, typer.Option(metavar="NAME", help="Format of what enters matrix products.", rich_help_panel=PRECISION)
]
KVCache = Annotated[
    str | None, typer.Option(metavar="NAME", help="Format of cached keys and values.", rich_help_panel=PRECISION)
]
HardwareDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--hardware-dir",
        metavar="DIR",
        help="Folder laid out like hardware/, looked into first.",
        rich_help_panel=FILES,
    ),
]
WorkloadDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--workload-dir",
        metavar="DIR",
        help="Folder laid out like workloads/, looked into first.",
        rich_help_panel=FILES,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", "-f", help="table, markdown, html, csv, json or jsonl.", rich_help_panel=OUTPUT, metavar="FORMAT"
    ),
]
MEASURING = "This machine"
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="cpu, cuda (ROCm, too) or mps; by default cpu.", rich_help_panel=MEASURING),
]
Backend = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="numpy or torch; by default PyTorch where it is installed.",
        rich_help_panel=MEASURING,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="How long to go on, e.g. 60s or 5min.", rich_help_panel=MEASURING),
]
Out = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--to",
        metavar="FILE",
        help="Write to a file; its suffix is the format. Repeatable; - is stdout.",
        rich_help_panel=OUTPUT,
    ),
]
Chart = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Draw a chart to a .png, .svg or .pdf file.", rich_help_panel=OUTPUT),
]
ChartKind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="What --chart draws: roofline (the default), time (of each phase by what it is spent on), energy (per "
        "token), frontier (with --frontier: cost against latency), break-even (with --costs); of a contrast, contrast "
        "(the default) or elasticities (what twice of each resource buys).",
        rich_help_panel=OUTPUT,
    ),
]
Frontier = Annotated[
    bool,
    typer.Option(
        "--frontier",
        help="Serving: cost against latency, over the requests that run at once and every plan. --chart draws it.",
        rich_help_panel=OUTPUT,
    ),
]
Assumptions = Annotated[
    str | None,
    typer.Option(
        "--assumptions",
        metavar="FILE",
        help="What costs rest on: prices of electricity, rooms and chips, years, utilisation; an id of the catalogue "
        "or a YAML file ('roofline new economics' begins one).",
        autocompletion=complete_assumptions,
        rich_help_panel=FILES,
    ),
]
Costs = Annotated[
    bool,
    typer.Option(
        "--costs",
        help="What owning consists of, and every price and assumption with its source; --chart then draws the cost of "
        "tokens over utilisation.",
        rich_help_panel=OUTPUT,
    ),
]
RequireFit = Annotated[
    bool, typer.Option("--require-fit", help="Exit with 1 if something does not fit.", rich_help_panel=OUTPUT)
]
ExplainPlan = Annotated[
    bool,
    typer.Option(
        "--explain-plan",
        help="Training: why the plan is the fastest: the next three, what each of them loses where, what does not fit.",
        rich_help_panel=OUTPUT,
    ),
]
FullAttention = Annotated[
    bool,
    typer.Option(
        "--full-attention",
        help="Training: show MFU with all query-key pairs of a sequence counted, as PaLM and Megatron-LM count. MFU is "
        "the share of the dense peak that useful FLOPs make, by default of causal attention only those of pairs that "
        "the mask shows; HFU is that of all FLOPs executed, recomputed ones too.",
        rich_help_panel=OUTPUT,
    ),
]
