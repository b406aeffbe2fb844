"""Models that run here: predicted before, measured as everybody's, and told by class of operator."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roofline.catalog.store import Catalog
from roofline.errors import OutputError, RooflineError, SpecError
from roofline.studies import contract
from roofline.studies import validate as validation
from roofline.studies.measured import shapes, table
from roofline.studies.measuring import live, system
from roofline.studies.measuring.backends import chosen
from roofline.studies.measuring.backends.numpy import Numpy
from roofline.studies.measuring.decoder import Shape
from roofline.studies.measuring.trials import COLUMNS, SHAPES, TRAINING, Trial, configurations, trials

TINY = (
    Shape("tiny", 2, 64, 4, 2, 16, 96, 16000),
    Shape("routed", 2, 64, 4, 4, 16, 32, 16000, experts=4, top_k=2),
)
CHIP = """format: 1
id: mine
name: "Mine"
vendor: acme
kind: cpu
compute: {peaks: {fp32: {dense: 500 TFLOP/s, source: s}, bf16: {dense: 500 TFLOP/s, source: s}}}
memory: [{name: main, capacity: 8 GB, bandwidth: 90 TB/s, source: s}]
achieved: {kernels: {elementwise: {memory: 0.5, latency: 20 us, source: s}}}
stacks: {serving: eager, training: eager}
sources: {s: {title: "made up"}}
"""


@pytest.fixture
def chip(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(CHIP)
    return str(path)


def run(chip: str, tmp_path: Path, backend: Any = None, **more: Any) -> dict[str, Any]:
    return live.validate(backend or Numpy(), chip, tmp_path / "live.csv", Catalog(), shapes=TINY, budget=60.0, **more)


def test_every_model_runs_and_is_compared(chip: str, tmp_path: Path) -> None:
    told: list[str] = []
    result = run(chip, tmp_path, watch=lambda share, what: told.append(what))
    schema = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(json.loads(json.dumps(result)))
    assert [row["id"] for row in result["rows"]] == told
    assert len(told) == 14
    assert result["live"]["complete"]
    assert not any(row["beats_ideal"] for row in result["rows"])
    parts = {(row["phase"], row["operator"]): row for row in result["live"]["operators"]}
    assert {kind for phase, kind in parts if phase == "decode"} == {
        "matmul", "experts", "decode-attention", "elementwise", "framework"
    }  # fmt: skip
    assert parts["prefill", "matmul"]["cases"] == 6
    assert parts["prefill", "experts"]["cases"] == 3
    whole = sum(row["measured"] for row in result["rows"] if row["phase"] == "decode") / 1e3
    assert sum(row["measured_s"] for (phase, _), row in parts.items() if phase == "decode") == pytest.approx(
        whole,
        rel=1e-4,  # rows are rounded to the microsecond
    )
    predicted = sum(row["predicted"] for row in result["rows"] if row["phase"] == "decode") / 1e3
    assert sum(row["predicted_s"] for (phase, _), row in parts.items() if phase == "decode") == pytest.approx(predicted)


def test_its_table_is_read_like_any_other(chip: str, tmp_path: Path) -> None:
    result = run(chip, tmp_path)
    again = validation.validate(tmp_path / "live.csv", Catalog(), chip=chip)
    assert again["rows"] == result["rows"]
    assert again["skipped"] == []
    with pytest.raises(SpecError, match="no such file"):
        validation.validate(tmp_path / "live.csv", Catalog(), chip="./other.yaml")


def test_predictions_are_written_before_anything_runs(chip: str, tmp_path: Path) -> None:
    class Stopped(Numpy):
        def values(self, *shape: int, dtype: str) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(chip, tmp_path, Stopped())
    assert sorted(path.name for path in tmp_path.glob("live*")) == ["live.predicted.csv"]
    before = (tmp_path / "live.predicted.csv").read_text()
    rows = {row["id"]: float(row["predicted"]) for row in csv.DictReader(before.splitlines())}
    result = run(chip, tmp_path)
    assert (tmp_path / "live.predicted.csv").read_text() == before
    assert rows == {row["id"]: pytest.approx(row["predicted"]) for row in result["rows"]}


def test_memory_that_runs_out_leaves_out_what_is_too_large(chip: str, tmp_path: Path) -> None:
    class Small(Numpy):
        def experts(self, *given: Any) -> Any:
            raise MemoryError

    result = run(chip, tmp_path, Small())
    assert {row["model"] for row in result["rows"]} == {"tiny"}
    assert result["live"]["warnings"][-1] == "7 of 14 runs left out: not enough memory (MemoryError)"
    assert not result["live"]["complete"]


def test_a_budget_that_is_used_up_is_said(chip: str, tmp_path: Path) -> None:
    found = live.live(Numpy(), chip, tmp_path / "live.csv", Catalog(), shapes=TINY, budget=1e-3)
    assert len(found.ran) == 1
    assert len(found.left_out) == 13
    assert set(found.left_out.values()) == {"the budget was used up"}
    assert found.warnings[-1] == "13 of 14 runs left out: the budget was used up"


def test_a_machine_without_room_runs_nothing(chip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "free_memory", lambda: 1e4)
    with pytest.raises(RooflineError, match="nothing could be run: not enough memory"):
        run(chip, tmp_path)


def test_unknown_columns_and_places_are_refused_before(chip: str, tmp_path: Path) -> None:
    with pytest.raises(RooflineError, match="--by wat: no such column"):
        run(chip, tmp_path, by=("wat",))
    with pytest.raises(OutputError):
        live.live(Numpy(), chip, tmp_path / "none" / "live.csv", Catalog(), shapes=TINY)
    assert not list(tmp_path.glob("live*"))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_row_states_the_model_that_runs(shape: Shape) -> None:
    cells = {name: str(value) for name, value in Trial(shape, "bf16", "decode", 1, 8).cells("mine").items()}
    case = table.Case(cells, {name: float(cells[name]) if cells.get(name) else None for name in table.SERVING.numbers})
    stated = shapes.stated(case)
    assert stated is not None
    assert stated.build().parameters == pytest.approx(shape.parameters, rel=2e-3)
    assert set(cells) <= set(COLUMNS)


def test_models_are_enough_and_of_the_sizes_that_are_promised() -> None:
    found = configurations(("fp32", "bf16"))
    assert len(found) >= 24
    sizes = [shape.parameters for shape, _ in found]
    assert sizes == sorted(sizes)
    assert sizes[0] < 25e6
    assert sizes[-1] > 1e9
    phases = [trial.phase for shape, dtype in found for trial in trials(shape, dtype, trains=True)]
    assert phases.count(TRAINING) >= 40
    assert len({trial.id for shape, dtype in found for trial in trials(shape, dtype, trains=True)}) == len(phases)


def test_training_is_compared_where_there_are_gradients(chip: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = run(chip, tmp_path, chosen("torch", "cpu"))
    trained = [row for row in result["rows"] if row["phase"] == "training"]
    assert {(row["model"], row["weights"]) for row in trained} == {
        (shape.name, dtype) for shape in TINY for dtype in ("fp32", "bf16")
    }
    parts = {row["operator"] for row in result["live"]["operators"] if row["phase"] == "training"}
    assert parts == {"forward", "backward", "optimizer", "framework"}
