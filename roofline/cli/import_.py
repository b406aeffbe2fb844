"""`roofline import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from roofline.cli.ask import Ask, asking, files
from roofline.cli.completion import complete_deployment, complete_model
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, Format

MODEL, BENCH = "A model", "Results of a benchmark"
SAYS = "What files do not say"


def complete_format(incomplete: str) -> list[str]:
    """Names of benchmark formats that begin so."""
    from roofline.studies.importing.benchmarks import FORMATS

    return [form.name for form in FORMATS if form.name.startswith(incomplete)]


Place = Annotated[
    str | None,
    typer.Argument(
        metavar="PATH|ORG/NAME",
        help="A config.json, a folder that holds one, or a repository on the Hugging Face hub.",
    ),
]
Id = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="NAME", help="What to call the model; by default as its repository.", rich_help_panel=MODEL
    ),
]
Bench = Annotated[
    list[Path] | None,
    typer.Option("--bench", metavar="FILE", help="A file of results; repeatable.", rich_help_panel=BENCH),
]
BenchFormat = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The format, where its content does not tell: vllm-serve, vllm-latency, vllm-throughput, sglang-serve, "
        "llama-bench, trtllm-bench or mlperf.",
        autocompletion=complete_format,
        rich_help_panel=BENCH,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The model.", autocompletion=complete_model, rich_help_panel=SAYS),
]
Chip = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The chip.", autocompletion=complete_deployment, rich_help_panel=SAYS),
]


def _count(flag: str, text: str, least: int = 1) -> Any:
    return typer.Option(flag, metavar="N", min=least, help=text, rich_help_panel=SAYS)


def _name(flag: str, text: str) -> Any:
    return typer.Option(flag, metavar="NAME", help=text, rich_help_panel=SAYS)


NumChips = Annotated[int | None, _count("--num-chips", "Chips that worked together.")]
Tp = Annotated[int | None, _count("--tp", "Tensor parallel.")]
Pp = Annotated[int | None, _count("--pp", "Pipeline parallel.")]
Dp = Annotated[int | None, _count("--dp", "Data parallel.")]
Ep = Annotated[int | None, _count("--ep", "Expert parallel.")]
Weights = Annotated[str | None, _name("--weights", "Format of the weights, e.g. fp8.")]
Activations = Annotated[str | None, _name("--activations", "Format of what enters matrix products.")]
KVCache = Annotated[str | None, _name("--kv-cache", "Format of cached keys and values.")]
Batch = Annotated[float | None, _count("--batch", "Requests that ran at once.")]
Input = Annotated[float | None, _count("--input", "Tokens of a prompt.", 0)]
Output = Annotated[float | None, _count("--output", "Tokens of an answer.", 0)]
Cached = Annotated[float | None, _count("--cached", "Tokens in the cache before.", 0)]
Mode = Annotated[
    str | None, _name("--mode", "fixed_batch, single_stream, server_concurrency or offline_max_throughput.")
]
Framework = Annotated[str | None, _name("--framework", "The software.")]
Release = Annotated[str | None, _name("--release", "Its version.")]
Date = Annotated[str | None, typer.Option(metavar="DAY", help="When it was measured.", rich_help_panel=SAYS)]
Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--to",
        metavar="FILE",
        help="Where to write; - is stdout. By default NAME.yaml or NAME.csv here, never over a file that exists.",
        rich_help_panel=OUTPUT,
    ),
]


@asking(files)
def import_(
    ask: Ask,
    place: Place = None,
    name: Id = None,
    bench: Bench = None,
    bench_format: BenchFormat = None,
    model: ModelName = None,
    chip: Chip = None,
    num_chips: NumChips = None,
    tp: Tp = None,
    pp: Pp = None,
    dp: Dp = None,
    ep: Ep = None,
    weights: Weights = None,
    activations: Activations = None,
    kv_cache: KVCache = None,
    batch: Batch = None,
    input_len: Input = None,
    output_len: Output = None,
    cached: Cached = None,
    mode: Mode = None,
    framework: Framework = None,
    release: Release = None,
    date: Date = None,
    to: Out = None,
    format: Format = None,
) -> None:
    """What you have already, as files that every command reads.

    A model of Hugging Face becomes a model file; results of a benchmark become a CSV for 'validate --measured'.
    Exits with 1 if the checkpoint beside a config.json has another number of parameters than its shape."""
    from roofline.errors import CheckFailedError, RooflineError
    from roofline.studies.importing.bench import OPTIONS

    given = {
        "model": model, "chip": chip, "num_chips": num_chips, "tp": tp, "pp": pp, "dp": dp, "ep": ep,
        "weight_dtype": weights, "act_dtype": activations, "kv_dtype": kv_cache, "batch": batch,
        "input_len": input_len, "output_len": output_len, "cached": cached, "mode": mode, "framework": framework,
        "version": release, "date": date,
    }  # fmt: skip
    if (place is None) is (not bench):
        raise RooflineError("name a config.json, a folder or ORG/NAME, or with --bench a file of results")
    stray = [column for column, value in given.items() if value is not None]
    if bench and name is not None:
        raise RooflineError("--id goes with a model; rows are called as their file")
    if not bench and (stray or bench_format):
        raise RooflineError(f"{OPTIONS[stray[0]] if stray else '--bench-format'} goes with --bench")
    asked = Ask({**ask.values, "format": format})
    result = _import(asked, place, name, bench or [], bench_format, given, to)
    if result["kind"] == "model":
        from roofline.studies.importing.model import disagreement

        if told := disagreement(result):
            raise CheckFailedError(told)


def _import(
    ask: Ask,
    place: str | None,
    name: str | None,
    bench: list[Path],
    bench_format: str | None,
    given: dict[str, Any],
    to: str | None,
) -> Any:
    """Read, write and show; to stdout goes either the file's text or what was made of it."""
    from roofline.studies.importing.bench import import_bench
    from roofline.studies.importing.model import import_model

    shown = to == "-"
    where = None if shown else to

    def compute() -> Any:
        if place is not None:
            return import_model(place, ask.catalog, name=name, out=where, save=not shown)
        return import_bench(bench, ask.catalog, given, form=bench_format, out=where, save=not shown)

    if not shown:
        return emit(ask, compute)
    result = compute()
    typer.echo(result["text"], nl=False)
    return result


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "import",
        cls=Command,
        epilog=examples(
            "roofline import examples/our-model",
            "roofline import examples/our-model/config.json --id ours -o -",
            "roofline import --bench examples/vllm-serve.json --chip a100-sxm-80gb --weights bf16 -o rows.csv",
            "roofline import --bench examples/vllm-serve.json --chip h100-sxm --batch 64 -o -",
        ),
    )(import_)
