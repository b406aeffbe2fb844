"""The library's face: each function does what the command of the same name does and returns its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.report import charts, formats
from roofline.report.rows import flat_rows
from roofline.studies import analyze, request
from roofline.studies.calibrate import Wanted
from roofline.studies.calibrate import calibrate as _calibrate
from roofline.studies.check import check as _check
from roofline.studies.contrast import contrast as _contrast
from roofline.studies.decide import decide as _decide
from roofline.studies.explain import explain as _explain
from roofline.studies.importing.bench import import_bench as _import_bench
from roofline.studies.importing.model import import_model as _import_model
from roofline.studies.lint import lint as _lint
from roofline.studies.market import market as _market
from roofline.studies.measuring.backends import chosen
from roofline.studies.measuring.calibrate import BUDGET
from roofline.studies.measuring.calibrate import calibrate as _measure
from roofline.studies.measuring.live import BUDGET as LIVE_BUDGET
from roofline.studies.measuring.live import ROWS
from roofline.studies.measuring.live import validate as _live
from roofline.studies.new import new as _new
from roofline.studies.plan import plan as _plan
from roofline.studies.show import show as _show
from roofline.studies.validate import DEFAULT_BY
from roofline.studies.validate import validate as _validate
from roofline.studies.vary import vary as _vary
from roofline.studies.whatif import whatif as _whatif

if TYPE_CHECKING:
    import pandas as pd

    from roofline.report.notebook import Figure

__all__ = [
    "Catalog",
    "Result",
    "calibrate",
    "check",
    "compare",
    "contrast",
    "decide",
    "explain",
    "import_bench",
    "import_model",
    "lint",
    "live",
    "market",
    "measure",
    "new",
    "plan",
    "predict",
    "show",
    "sweep",
    "validate",
    "whatif",
]


class Result(Mapping[str, Any]):
    """A result: the mapping that `--format json` prints, with ways to look at it."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = dict(data)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __str__(self) -> str:
        return self.render("table")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from roofline.report.notebook import repr_html

        return repr_html(self.data)

    def render(self, form: str, **view: Any) -> str:
        """The result as text in one of the command line's formats; `view` are options of its tables, such as
        `full_attention=True`."""
        return formats.render(self.data, form, **view)

    def to_frame(self) -> pd.DataFrame:
        """A tidy frame, SI numbers, one row for each row of the result; columns are those of the CSV format."""
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame(flat_rows(self.data))
        return frame

    def figure(self, kind: str | None = None) -> Figure:
        """The result as a chart that a notebook shows; `kind` as in `chart`."""
        from roofline.report.notebook import figure

        return figure(self.data, kind)

    def chart(self, path: str | Path, kind: str | None = None) -> Path:
        """Draw the result to a .png, .svg or .pdf file, as the `kind` of chart that `--chart-kind` takes; by default
        the scatter of a validation, the curve of a run that scales, the frontier of a service that trades, else
        rooflines."""
        charts.draw(self.data, Path(path), kind=kind)
        return Path(path)


def predict(
    workload: str,
    deployment: str,
    *,
    catalog: Catalog | None = None,
    explain_plan: bool = False,
    scaling: str | None = None,
    costs: bool = False,
    frontier: bool = False,
    vary: str | Sequence[str] = (),
    **options: Any,
) -> Result:
    """One workload on one deployment (`roofline analyze`).

    `options` are those of the command line: `phase`, `scenario`, `batch`, `input_len`, `output_len`, `context_len`,
    `seq_len`, `global_batch`, `tokens`, `draft_tokens` [tokens, sequences], `cached_share`, `acceptance`, `draft`,
    `imbalance`, `lora_rank`, `lora_targets`, `optimizer`, `assumptions` (the name or path of what costs rest on), and
    the settings of a deployment (`tp`, `zero`, `flash`, `stack`, `weights` …). Of training `explain_plan` adds why its
    plan is the fastest, under "plans", and `scaling` ("strong" or "weak") what more chips make of it; of serving
    `frontier` adds what is traded, cost against latency. `costs` adds what tokens cost over utilisation. With `vary`
    ("NAME=RANGE", or several of these) there is a row for each value.
    Raises `RooflineError` for anything that is wrong with them.

    >>> predict("llama-3.1-8b", "h100-sxm", phase="decode", batch=16)["phases"][0]["bound"]
    'memory'
    """
    asked = request.options(options)
    catalog = catalog or Catalog()
    if vary:
        return Result(_vary(workload, deployment, [vary] if isinstance(vary, str) else vary, asked, catalog))
    found = analyze.analyze(
        workload,
        deployment,
        asked,
        catalog,
        explain_plan=explain_plan,
        scaling=scaling,
        costs=costs,
        frontier=frontier,
    )
    return Result(found)


def compare(
    workload: str,
    deployments: Sequence[str],
    *,
    catalog: Catalog | None = None,
    explain_plan: bool = False,
    frontier: bool = False,
    **options: Any,
) -> Result:
    """The same work on many deployments (`roofline compare`); `options` and `frontier` as in `predict`."""
    asked, catalog = request.options(options), catalog or Catalog()
    return Result(analyze.compare(workload, deployments, asked, catalog, explain_plan=explain_plan, frontier=frontier))


def contrast(model: str, deployments: Sequence[str], *, catalog: Catalog | None = None, **options: Any) -> Result:
    """Training, prefill and decode of one model side by side (`roofline contrast`); `options` as in `predict`, those of
    training and of serving together.

    >>> contrast("llama-3.1-8b", ["8xh100-sxm"], batch=64)["rows"][2]["intensity"]["bound"]
    'memory'
    """
    return Result(_contrast(model, deployments, request.options(options), catalog or Catalog()))


def explain(
    workload: str, deployment: str, operator: str, *, catalog: Catalog | None = None, **options: Any
) -> Result:  # fmt: skip
    """The arithmetic of one operator (`roofline explain`); `options` as in `predict`."""
    return Result(_explain(workload, deployment, operator, request.options(options), catalog or Catalog()))


def sweep(
    workloads: str | Sequence[str],
    deployments: str | Sequence[str],
    *,
    vary: str | Sequence[str] = (),
    where: str | None = None,
    columns: str | None = None,
    sort: str | None = None,
    top: int | None = None,
    pareto: str | Sequence[str] | None = None,
    possible: bool = False,
    out: str | Path | None = None,
    jobs: int | None = None,
    engine: str | None = None,
    scheduler: str | None = None,
    dry_run: bool = False,
    restart: bool = False,
    catalog: Catalog | None = None,
    **options: Any,
) -> Result:
    """A grid of numbers, one row each (`roofline sweep`); `options` as in `predict`.

    `vary` are axes, "NAME=RANGE". Of the rows those are kept for which `where` holds, that `possible` plans have, that
    no other beats in the columns `pareto`, and the `top` first by `sort`. They are the result's rows, or are written to
    `out`, a .csv, .jsonl or .parquet file, chunk by chunk by so many processes (`jobs`, by default one for each core
    where there is much to do: a script that is run then needs `if __name__ == "__main__"`), or by the workers of a Dask
    cluster (`engine` "dask", the address of its `scheduler`: "tcp://host:8786"); the result is the same.

    >>> result = sweep("llama-3.1-8b-chat", "h100-sxm", vary="batch=1,64", where="fits")
    >>> [row["batch"] for row in result["rows"]]
    [1.0, 64.0]
    """
    from roofline.studies.sweep.grid import Request
    from roofline.studies.sweep.run import sweep as study

    places = catalog or Catalog()
    asked = Request(
        workloads=(workloads,) if isinstance(workloads, str) else tuple(workloads),
        deployments=(deployments,) if isinstance(deployments, str) else tuple(deployments),
        vary=(vary,) if isinstance(vary, str) else tuple(vary),
        options=request.options(options),
        hardware_dirs=places.hardware_dirs,
        workload_dirs=places.workload_dirs,
        columns=columns,
        where=where,
        keep_invalid=not possible,
    )
    found = study(
        asked,
        sort=sort,
        top=top,
        pareto=pareto,
        out=out,
        jobs=jobs,
        engine=engine,
        scheduler=scheduler,
        dry_run=dry_run,
        restart=restart,
    )
    return Result(found)


def plan(
    workload: str,
    chips: str | Sequence[str],
    *,
    rank: str = "cost",
    weights: str | Sequence[str] = (),
    top: int = 10,
    per_chip: int = 3,
    disaggregate: bool = False,
    emit: str | None = None,
    catalog: Catalog | None = None,
    ttft: str | None = None,
    tpot: str | None = None,
    throughput: str | None = None,
    power: str | None = None,
    budget: str | None = None,
    chips_at_most: int | None = None,
    within: str | None = None,
    **options: Any,
) -> Result:
    """All deployments of some chips that keep limits, the best first (`roofline plan`).

    Chips are written "CHIP", "COUNTxCHIP" or "MIN-MAXxCHIP". Limits have units: `ttft` and `tpot` ("30 ms", or "none"
    for no matter what the workload promises), `throughput` ("5000 token/s"), `power` ("40 kW", with hosts), `budget`
    ("20 USD/h", of training "2 MUSD" for the run), `within` ("30 d", of training). `rank` is cost, energy, chips or
    latency; every format of `weights` is tried, and with `disaggregate` every split into two pools. There are `top`
    rows, of a chip at most `per_chip`. `emit` adds the flags with which vllm, sglang, trtllm, megatron or maxtext is
    started so. `options` as in `predict`.
    Raises `RooflineError` for anything that is wrong with them; without a feasible deployment there are no rows, and
    "nearest" says what misses least.

    >>> found = plan("llama-3.1-8b-chat", "h100-sxm", tpot="20 ms")
    >>> found["rows"][0]["metrics"]["tpot_s"] <= 0.02
    True
    """
    given = {"ttft": ttft, "tpot": tpot, "throughput": throughput, "power": power, "budget": budget,
             "chips_at_most": chips_at_most, "within": within}  # fmt: skip
    asked = request.options(options)
    found = _plan(
        workload,
        [chips] if isinstance(chips, str) else chips,
        asked,
        catalog or Catalog(),
        given=given,
        rank=rank,
        weights=[weights] if isinstance(weights, str) else weights,
        top=top,
        per_chip=per_chip,
        disaggregate=disaggregate,
        emit=emit,
    )
    return Result(found)


def market(
    model: str | None = None,
    *,
    like: str = "llama-3.1-70b-chat",
    prices: str | Path | None = None,
    assumptions: str | Path | None = None,
    catalog: Catalog | None = None,
) -> Result:
    """What serving models costs beside what the market asks for it (`roofline market`): of one model or of all, with
    requests `like` those of a workload, `prices` per million tokens and `assumptions` by default those that ship."""
    found = Path(prices) if prices else None
    rests = str(assumptions) if assumptions else None
    return Result(_market(like, catalog or Catalog(), prices=found, assumptions=rests, model=model))


def validate(
    measured: str | Path | None = None,
    *,
    by: str | Sequence[str] = DEFAULT_BY,
    split: str | None = None,
    gaps: bool | None = None,
    chip: str | Path | None = None,
    catalog: Catalog | None = None,
) -> Result:
    """Predictions against published measurements (`roofline validate`), by default those that ship.

    `by` is a column of the rows to group by, or several; `split` is scoring, calibration or all; `chip` the file of one
    that rows name by its id. With `gaps` each row has a "gap": the parts of the time between the bound and the
    measurement; by default rows of a small table of one's own have it.
    """
    columns, known = (by,) if isinstance(by, str) else by, str(chip) if chip else None
    path = Path(measured) if measured else None
    return Result(_validate(path, catalog or Catalog(), columns, split, chip=known, gaps=gaps))


def calibrate(
    *fit: str | Path,
    shipped: bool = False,
    into: str | Path | None = None,
    split: str | None = None,
    chip: str | None = None,
    stack: str | None = None,
    cross_check: bool = True,
    catalog: Catalog | None = None,
) -> Result:
    """Constants of chips and stacks fitted to CSVs of measurements (`roofline calibrate`), written into a folder.

    `split` is calibration or all; `chip` and `stack` restrict what is fitted; without `cross_check` nothing is left out
    to be predicted, which takes most of the time.
    """
    wanted = Wanted(chip, stack, split, cross_check)
    paths, place = [Path(path) for path in fit], Path(into) if into else None
    return Result(_calibrate(paths, catalog or Catalog(), shipped=shipped, into=place, wanted=wanted))


def check(
    config: str | Path | None = None,
    *,
    baseline: str | Path | None = None,
    update: bool = False,
    every: bool = False,
    catalog: Catalog | None = None,
) -> Result:
    """Whether predictions moved since a baseline, and why; whether they keep promises and accuracy (`roofline check`).

    `config` is a `roofline.toml`, by default that of this folder; `baseline` another file than it names. With `update`
    the baseline is written. Rows are what moved, is new or has vanished, or `every` figure; "passed" says whether all
    is well. Raises `RooflineError` for whatever can't be checked.
    """
    asked, against = (Path(path) if path else None for path in (config, baseline))
    return Result(_check(catalog or Catalog(), config=asked, against=against, update=update, every=every))


def measure(
    path: str | Path,
    *,
    device: str | None = None,
    backend: str | None = None,
    budget: float = BUDGET,
    ranks: int | None = None,
    catalog: Catalog | None = None,
) -> Result:
    """This machine as a chip file at `path`, its timings in a CSV beside it (`roofline calibrate --measure`).

    `device` is cpu, cuda or mps, `backend` numpy or torch; `budget` are seconds; `ranks` are processes between which
    collectives are timed, by default one for each device that there is.
    """
    return Result(_measure(chosen(backend, device), Path(path), catalog or Catalog(), budget=budget, ranks=ranks))


def live(
    chip: str | Path,
    rows: str | Path = ROWS,
    *,
    by: str | Sequence[str] = DEFAULT_BY,
    device: str | None = None,
    backend: str | None = None,
    budget: float = LIVE_BUDGET,
    catalog: Catalog | None = None,
) -> Result:
    """Small decoders predicted on a chip and then run here (`roofline validate --live`); measurements go to `rows`,
    predictions beside it before anything runs. `budget` are seconds."""
    columns = (by,) if isinstance(by, str) else by
    where = chosen(backend, device)
    return Result(_live(where, str(chip), Path(rows), catalog or Catalog(), by=columns, budget=budget))


def decide(
    need: str | Path,
    *,
    assumptions: str | None = None,
    chips: Sequence[str] = (),
    top: int = 8,
    catalog: Catalog | None = None,
) -> Result:
    """Who trains, where inference runs, and on which chip (`roofline decide`): the `top` options of each.

    `assumptions` names economics instead of the need's own, `chips` those to look at instead of its own.
    """
    return Result(_decide(str(need), catalog or Catalog(), assume=assumptions, shown=top, chips=chips))


def whatif(
    workload: str,
    deployment: str,
    *,
    set: str | Sequence[str] = (),
    target: str | None = None,
    solve: str | None = None,
    against: str | None = None,
    metric: str | None = None,
    replan: bool = False,
    catalog: Catalog | None = None,
    **options: Any,
) -> Result:
    """What turning numbers of chip, software, costs and work changes (`roofline whatif`); `options` as in `predict`.

    Alone, elasticities of every metric with respect to every number, ranked by their effect on `metric`. `set`
    ("KEY=VALUE", or several) gives the prediction before and after, with `replan` also under the best plan; a `target`
    ("tpot=20ms") the value that `solve` needs; `against` another deployment the values of `solve` at which both are
    equal in `metric`.

    >>> found = whatif("llama-3.1-70b-chat", "8xh100-sxm", target="tpot=15ms", solve="memory.bandwidth")
    >>> found["solution"]["solved"] > found["solution"]["now"]
    True
    """
    found = _whatif(
        workload,
        deployment,
        request.options(options),
        catalog or Catalog(),
        settings=[set] if isinstance(set, str) else set,
        target=target,
        solve=solve,
        against=against,
        metric=metric,
        replan=replan,
    )
    return Result(found)


def show(name: str = "chips", *, catalog: Catalog | None = None) -> Result:
    """A group of the catalogue or one entry (`roofline show`)."""
    return Result(_show(name, catalog or Catalog()))


def lint(*paths: str | Path, catalog: Catalog | None = None) -> Result:
    """Faults and warnings of files, folders or the whole catalogue (`roofline lint`)."""
    return Result(_lint([Path(path) for path in paths], catalog or Catalog()))


def import_model(
    place: str | Path,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    save: bool = False,
    catalog: Catalog | None = None,
) -> Result:
    """A model file made of a Hugging Face `config.json` (`roofline import`): a file, a folder that holds it, or the
    ORG/NAME of a repository on the hub.

    The file is the result's "text". It is written to `out`, or with `save` to `NAME.yaml`. Raises `RooflineError` with
    every key that is missing, malformed or of a family that is not known; what the checkpoint beside it says otherwise
    stands in "checkpoint".
    """
    where = str(out) if out is not None else None
    return Result(
        _import_model(str(place), catalog or Catalog(), name=name, out=where, save=save or where is not None)
    )  # fmt: skip


def import_bench(
    *files: str | Path,
    form: str | None = None,
    out: str | Path | None = None,
    catalog: Catalog | None = None,
    **given: Any,
) -> Result:
    """Rows of the measured table made of benchmark results (`roofline import --bench`), for `validate` to read.

    `form` names the format where content does not tell it. `given` are columns that the files do not state: `model`,
    `chip`, `num_chips`, `tp`, `weight_dtype`, `kv_dtype`, `batch`, `input_len` [tokens], `mode` … The table is the
    result's "text", and is written to `out`; "missing" says what nobody stated, "skipped" which rows can't be
    predicted.
    Raises `RooflineError` for a file of no known format.
    """
    if not files:
        raise RooflineError("name at least one file of results")
    paths, where = [Path(file) for file in files], str(out) if out is not None else None
    return Result(_import_bench(paths, catalog or Catalog(), given, form=form, out=where, save=where is not None))


def new(kind: str, name: str | None = None, folder: str | Path = ".") -> Path:
    """A commented template to edit (`roofline new`): kind is chip, model, serving, scenario, training, need, economics
    or check, which needs no name."""
    return _new(kind, name, Path(folder))
