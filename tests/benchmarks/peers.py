"""Other calculators beside roofline: what each answers, and how many configurations for a second of one core, on the
same questions in one run.

    python tests/benchmarks/peers.py [FOLDER]

Each peer is installed from the package index into a virtual environment of its own, in FOLDER (kept, and used again) or a
temporary one. This very file, run by that environment's Python, asks it: through its fastest documented interface, warm,
its objects made once, points in random order. Seconds are CPU seconds, of all threads. Peers that can't be installed, or
fail, are told as such.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

SECONDS = 3.0  # of CPU for each rate
WARM = 50  # points before
CHIP = "h100-sxm"
FORMATS: dict[str, Any] = {"weights": "bf16", "activations": "bf16", "kv_cache": "bf16"}

Point = tuple[int, ...]
Answer = dict[str, float]  # by metric, in SI units


@dataclass(frozen=True)
class Question:
    """A model on so many chips, in 16 bits; the values of each axis; points whose answers are told, and the metrics."""

    name: str
    workload: str
    deployment: str
    axes: dict[str, list[int]]
    told: list[list[int]]
    metrics: tuple[str, ...]
    shape: dict[str, Any]  # of the model, as config.json has it

    @property
    def points(self) -> list[Point]:
        """All of them, in random order."""
        found = list(itertools.product(*self.axes.values()))
        random.Random(0).shuffle(found)
        return found


def questions() -> list[Question]:
    """What is asked; shapes are those of the catalogue."""
    return [
        Question(
            name=f"serving Llama 3.1 8B on one {CHIP}, batch x input x output",
            workload="llama-3.1-8b-chat",
            deployment=f"1x{CHIP}:tp=1",
            axes={"batch": list(range(1, 65)), "input": list(range(128, 4097, 128)), "output": [64, 128, 256, 512]},
            told=[[1, 1024, 256], [16, 1024, 256], [64, 1024, 256], [16, 4096, 128]],
            metrics=("ttft_s", "tpot_s"),
            shape=shape("llama-3.1-8b"),
        ),
        Question(
            name=f"training Llama 3.1 70B on 64 {CHIP}, tp x pp x micro-batch x sequence",
            workload="llama-3.1-70b-pretraining",
            deployment=f"64x{CHIP}:zero=1,recompute=full,sequence_parallel=on",
            axes={
                "tp": [2, 4, 8],
                "pp": [1, 2, 4],
                "micro_batch": [1, 2, 4],
                "seq_len": list(range(1024, 8193, 64)),
            },
            told=[[8, 4, 1, 4096], [8, 2, 1, 4096], [4, 4, 1, 8192], [8, 4, 4, 8192]],
            metrics=("step_time_s",),
            shape=shape("llama-3.1-70b"),
        ),
    ]


def shape(name: str) -> dict[str, Any]:
    """A model of equal layers, in numbers."""
    import roofline as rl

    model = rl.Catalog().model(name)
    block: Any = model.blocks[0]
    return {
        "layers": block.count, "heads": block.mixer.heads, "kv_heads": block.mixer.kv_heads, "hidden": model.hidden,
        "ffn": block.ffn.width, "vocab": model.vocab, "context": model.max_context,
    }  # fmt: skip


# --- rates ----------------------------------------------------------------------------------------------------------


def cpu() -> float:
    """CPU seconds of this process, all threads."""
    return time.process_time()


def rate(ask: Callable[..., object], points: Sequence[Point]) -> float:
    """Points answered for a CPU second, one after another and none twice, as some peers remember what they answered;
    what does not fit is refused, which counts as an answer."""

    def one(point: Point) -> None:
        with suppress(AssertionError):  # with which llm-analysis says that memory does not hold it
            ask(*point)

    for point in points[-WARM:]:
        one(point)
    begun, count = cpu(), 0
    for point in points[:-WARM]:
        one(point)
        count += 1
        if cpu() - begun > SECONDS:
            break
    return count / (cpu() - begun)


# --- roofline -------------------------------------------------------------------------------------------------------


def ask_roofline(asked: Question) -> tuple[dict[str, float], list[Answer]]:
    """Rates of whole sweeps and of one prediction after another, and the answers."""
    import roofline as rl
    from roofline.engine import search
    from roofline.studies.request import options
    from roofline.studies.sweep.grid import Request
    from roofline.studies.sweep.run import prepare

    vary = tuple(f"{name}={','.join(map(str, values))}" for name, values in asked.axes.items())
    work = prepare(Request((asked.workload,), (asked.deployment,), vary, options(FORMATS), columns="all"))

    def rows() -> None:
        for chunk in range(work.chunks):
            for _ in work.tables(chunk):
                pass

    rows()
    begun, rounds = cpu(), 0
    while cpu() - begun < SECONDS:
        rows()
        rounds += 1
    found = {f"a sweep, {len(work.names)} columns of each": work.grid.points * rounds / (cpu() - begun)}
    panel = work.grid.panels[0]

    def one(*point: int) -> None:
        case = panel.case
        for axis, value in zip(panel.axes, point, strict=True):
            case = axis.knob.turn(case, value)
        search.predict(case.job, case.deployment)

    found["one prediction after another"] = rate(one, asked.points)
    answers = []
    for told in asked.told:
        alone = [f"{name}={value}" for name, value in zip(asked.axes, told, strict=True)]
        (row,) = rl.sweep(asked.workload, asked.deployment, vary=alone, columns="all", **FORMATS)["rows"]
        answers.append({name: row[name] for name in asked.metrics})
    return found, answers


# --- peers, asked by their own Python -------------------------------------------------------------------------------


def ask_llm_analysis(asked: Question) -> tuple[dict[str, float], list[Answer]]:
    """`LLMAnalysis.inference` and `.training` at the efficiencies that its README suggests.

    It knows MLPs of two matrices, so a gated one is given as one that is half as wide again: as many weights and FLOPs.
    """
    config, analysis = import_module("llm_analysis.config"), import_module("llm_analysis.analysis")
    import_module("llm_analysis.logger").logger.setLevel("CRITICAL")
    like = asked.shape
    model = config.ModelConfig(
        name="asked", num_layers=like["layers"], n_head=like["heads"], num_key_value_heads=like["kv_heads"],
        hidden_dim=like["hidden"], vocab_size=like["vocab"], max_seq_len=like["context"],
        ffn_embed_dim=like["ffn"] * 3 // 2, expansion_ratio=like["ffn"] * 1.5 / like["hidden"],
    )  # fmt: skip
    gpu, dtype = config.get_gpu_config_by_name("h100-sxm-80gb"), config.DtypeConfig()

    def made(tp: int, pp: int, dp: int, flops: float) -> Any:
        plan = config.ParallelismConfig(tp_size=tp, pp_size=pp, dp_size=dp)
        return analysis.LLMAnalysis(model, gpu, dtype, plan, flops_efficiency=flops, hbm_memory_efficiency=0.9)

    if "batch" in asked.axes:
        alone = made(1, 1, 1, 0.7)

        def served(batch: int, read: int, written: int) -> Answer:
            told = alone.inference(batch_size_per_gpu=batch, seq_len=read, num_tokens_to_generate=written)
            return {"ttft_s": told["prefill_latency"], "tpot_s": told["total_decode_latency"] / written}

        return {"inference()": rate(served, asked.points)}, [served(*point) for point in asked.told]
    plans = {(tp, pp): made(tp, pp, 64 // (tp * pp), 0.5) for tp in asked.axes["tp"] for pp in asked.axes["pp"]}

    def trained(tp: int, pp: int, micro: int, seq: int) -> Answer:
        told = plans[tp, pp].training(
            batch_size_per_gpu=micro, global_batch_size=256, seq_len=seq, total_num_tokens=256 * seq,
            activation_recomputation=analysis.ActivationRecomputation.FULL, ds_zero=analysis.DSZeRO.STAGE_1,
        )  # fmt: skip
        return {"step_time_s": told["total_training_latency"]}

    return {"training()": rate(trained, asked.points)}, [trained(*point) for point in asked.told]


def ask_aiconfigurator(asked: Question) -> tuple[dict[str, float], list[Answer]]:
    """`InferenceSession.run_agg`, which joins prompts and tokens as servers do, and `run_static_latency_only`, which
    tells nothing but seconds; on its kernels as measured with vLLM, database and model loaded once."""
    if "batch" not in asked.axes:
        return {}, []
    import_module("logging").disable(50)
    sdk = "aiconfigurator.sdk."
    database, config = import_module(sdk + "perf_database"), import_module(sdk + "config")
    built = import_module(sdk + "config_builders").build_model_config(1, 1, 1, 1, 1)
    latest = database.get_latest_database_version("h100_sxm", "vllm")
    session = import_module(sdk + "inference_session").InferenceSession(
        import_module(sdk + "models").get_model("meta-llama/Meta-Llama-3.1-8B", built, "vllm"),
        database.get_database("h100_sxm", "vllm", latest),
        import_module(sdk + "backends.factory").get_backend("vllm"),
    )

    def work(batch: int, read: int, written: int) -> Any:
        return config.RuntimeConfig(batch_size=batch, isl=read, osl=written)

    def joined(batch: int, read: int, written: int) -> Answer:
        told = session.run_agg(work(batch, read, written), ctx_tokens=read).get_result_dict()
        return {"ttft_s": float(told["ttft"]) / 1e3, "tpot_s": float(told["tpot"]) / 1e3}

    rates = {
        "run_agg()": rate(joined, asked.points),
        "run_static_latency_only()": rate(
            lambda *point: session.run_static_latency_only(work(*point), "static"),
            asked.points,
        ),
    }
    return rates, [joined(*point) for point in asked.told]


PEERS = {"llm-analysis": ask_llm_analysis, "aiconfigurator": ask_aiconfigurator}


def inside(name: str) -> None:
    """Ask the peer that this Python has, what stands on stdin; tell stdout."""
    asked = [Question(**{**item, "metrics": tuple(item["metrics"])}) for item in json.load(sys.stdin)]
    told = sys.stdout
    sys.stdout = sys.stderr
    json.dump({"version": version(name), "answers": [PEERS[name](item) for item in asked]}, told)


# --- environments ---------------------------------------------------------------------------------------------------


def installed(name: str, folder: Path) -> Path:
    """The Python of an environment that has the peer; `RuntimeError` says why there is none."""
    place = folder / name
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", name])
    return python


def _run(command: Iterable[object], text: str = "") -> str:
    ran = subprocess.run([*map(str, command)], input=text, capture_output=True, text=True, check=False)
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()] or ["no word"]
        raise RuntimeError(lines[-1])
    return ran.stdout


def peers(folder: Path, asked: Sequence[Question]) -> dict[str, Any]:
    """What each peer that can be installed answers."""
    found = {}
    for name in PEERS:
        begun = time.perf_counter()
        try:
            python = installed(name, folder)
        except (RuntimeError, OSError) as error:
            print(f"{name}: can't be installed: {error}", flush=True)
            continue
        print(f"{name}: ready after {time.perf_counter() - begun:.0f} s", flush=True)
        try:
            told = json.loads(_run([python, __file__, "--inside", name], json.dumps([item.__dict__ for item in asked])))
        except (RuntimeError, ValueError) as error:
            print(f"{name}: does not answer: {error}", flush=True)
            continue
        found[f"{name} {told['version']}"] = told["answers"]
    return found


def main() -> None:
    """Print rates and answers."""
    import roofline as rl

    asked = questions()
    with tempfile.TemporaryDirectory() as name:
        others = peers(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(name), asked)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; Python {sys.version.split()[0]}")
    for index, item in enumerate(asked):
        ours = ask_roofline(item)
        told = {f"roofline {rl.__version__}": ours, **{name: found[index] for name, found in others.items()}}
        best = next(iter(ours[0].values()))
        print(f"\n{item.name}: {len(item.points):,} configurations\n")
        print(f"{'':56}{'a CPU second':>14}{'roofline over it':>18}")
        for who, (rates, _) in told.items():
            for how, each in rates.items():
                print(f"{who + ', ' + how:56}{each:14,.0f}{best / each:18,.1f}")
        for metric in item.metrics:
            print(f"\n{metric:20}" + "".join(f"{who:>24}" for who, (_, answers) in told.items() if answers))
            for at, point in enumerate(item.told):
                values = "".join(f"{answers[at][metric]:24.5g}" for _, answers in told.values() if answers)
                print(f"{' x '.join(map(str, point)):20}{values}")


if __name__ == "__main__":
    inside(sys.argv[2]) if sys.argv[1:2] == ["--inside"] else main()
