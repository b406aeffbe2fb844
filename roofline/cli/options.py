"""Options that several commands share, and the completion of names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WORK, MAPPING, PRECISION, FILES, OUTPUT = "Workload", "Plan and stack", "Precision", "Where files are", "Output"


def stems(*folders: str) -> list[str]:
    """Ids of the shipped files in folders: file stems alone, nothing is parsed, so completion stays fast."""
    package = Path(__file__).resolve().parent.parent
    roots = (package / "_data", package.parent)
    return sorted({path.stem for root in roots for folder in folders for path in (root / folder).rglob("*.yaml")})


def complete_workload(incomplete: str) -> list[str]:
    """Names of workloads and models that begin so."""
    names = stems("workloads/serving", "workloads/training", "workloads/models")
    return [name for name in names if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Names of models that begin so."""
    return [name for name in stems("workloads/models") if name.startswith(incomplete)]


def complete_deployment(incomplete: str) -> list[str]:
    """Names of chips that begin so, behind a count if one is written."""
    count, separator, rest = incomplete.partition("x")
    prefix = count + separator if separator and count.isdecimal() else ""
    wanted = rest if prefix else incomplete
    return [prefix + name for name in stems("hardware/chips") if name.startswith(wanted)]


def complete_entry(incomplete: str) -> list[str]:
    """Names of everything in the catalogue, and of its groups."""
    names = ["chips", "models", "workloads", "stacks", "families", *stems("hardware", "workloads")]
    return [name for name in names if name.startswith(incomplete)]


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
    int | None, typer.Option("--tp", metavar="N", min=1, help="Tensor parallel.", rich_help_panel=MAPPING)
]
PipelineParallel = Annotated[
    int | None, typer.Option("--pp", metavar="N", min=1, help="Pipeline parallel.", rich_help_panel=MAPPING)
]
DataParallel = Annotated[
    int | None, typer.Option("--dp", metavar="N", min=1, help="Data parallel.", rich_help_panel=MAPPING)
]
ExpertParallel = Annotated[
    int | None, typer.Option("--ep", metavar="N", min=1, help="Expert parallel.", rich_help_panel=MAPPING)
]
ContextParallel = Annotated[
    int | None, typer.Option("--cp", metavar="N", min=1, help="Training: context parallel.", rich_help_panel=MAPPING)
]
Chunks = Annotated[
    int | None,
    typer.Option("--vpp", metavar="N", min=1, help="Training: chunks per pipeline stage.", rich_help_panel=MAPPING),
]
Zero = Annotated[
    int | None, typer.Option("--zero", metavar="N", min=0, max=3, help="Training: ZeRO stage.", rich_help_panel=MAPPING)
]
MicroBatch = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Training: sequences of a micro-batch.", rich_help_panel=MAPPING)
]
Recompute = Annotated[
    str | None, typer.Option(help="Training: none, selective or full.", rich_help_panel=MAPPING, metavar="MODE")
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
    str | None, typer.Option(metavar="NAME", help="Software stack; by default the chip's own.", rich_help_panel=MAPPING)
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
        "--format", "-f", help="table, markdown, csv, json or jsonl.", rich_help_panel=OUTPUT, metavar="FORMAT"
    ),
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
    typer.Option(metavar="FILE", help="Draw the roofline chart to a .png, .svg or .pdf file.", rich_help_panel=OUTPUT),
]
RequireFit = Annotated[
    bool, typer.Option("--require-fit", help="Exit with 1 if something does not fit.", rich_help_panel=OUTPUT)
]
