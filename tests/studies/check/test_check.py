"""What moved and why: really by changed chips, software, prices and work; promises, gates, and the edges of tolerances."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline as rl
from roofline.catalog.spreads import COLUMNS, FILE
from roofline.machine.evidence import FIGURES
from roofline.studies import contract, fingerprint
from roofline.studies.check import baseline, moved
from roofline.studies.new import template

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
Project = Callable[..., Path]


def causes(result: rl.Result) -> set[str]:
    return {cause["kind"] for cause in result["causes"]}


def obeys(result: rl.Result) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(result.data)


# -- what moved


def test_what_did_not_move_passes(project: Project) -> None:
    path = project()
    first = rl.check(path, update=True)
    assert (first["passed"], first["before"], first["updated"]) == (True, None, True)
    assert first["counts"]["new"] == 2 * (4 + 1 + 1 + 1 + 1 + 3)
    again = rl.check(path)
    assert (again["passed"], again["rows"], again["before"]) == (True, [], rl.__version__)
    assert again["counts"]["same"] == first["counts"]["new"]
    assert len(rl.check(path, every=True)["rows"]) == again["counts"]["same"]
    obeys(first)
    obeys(rl.check(path, every=True))


def test_writing_again_changes_no_byte(project: Project) -> None:
    path = project()
    rl.check(path, update=True)
    before = (path.parent / "roofline.baseline").read_bytes()
    rl.check(path, update=True)
    assert (path.parent / "roofline.baseline").read_bytes() == before


def test_a_missing_baseline_is_no_pass(project: Project) -> None:
    with pytest.raises(rl.RooflineError, match=r"roofline.baseline: no such file; 'roofline check --update' writes it"):
        rl.check(project())


def test_cases_that_are_new_or_vanished_are_findings(project: Project) -> None:
    path = project()
    rl.check(path, update=True)
    path.write_text(path.read_text().replace('"mi300x"', '"l40s"'), encoding="utf-8")
    result = rl.check(path)
    assert not result["passed"]
    assert {(row["deployment"], row["status"]) for row in result["rows"]} == {("l40s", "new"), ("mi300x", "vanished")}
    assert {Path(row["path"]).name for row in result["rows"] if row["status"] == "new"} == {"roofline.toml"}
    assert all(row["line"] for row in result["rows"])
    assert causes(result) == set()
    obeys(result)
    rl.check(path, update=True)
    assert rl.check(path)["passed"]


def test_metrics_that_are_new_or_vanished_are_findings(project: Project) -> None:
    path = project()
    rl.check(path, update=True)
    path.write_text(path.read_text().replace('"ttft_s"', '"power_w"'), encoding="utf-8")
    result = rl.check(path)
    assert {(row["metric"], row["status"]) for row in result["rows"]} == {("power_w", "new"), ("ttft_s", "vanished")}
    assert not result["passed"]


def test_another_baseline_may_be_named(project: Project, tmp_path: Path) -> None:
    path = project()
    other = tmp_path / "other.baseline"
    rl.check(path, baseline=other, update=True)
    assert rl.check(path, baseline=other)["baseline"] == str(other)
    with pytest.raises(rl.RooflineError, match="no such file"):
        rl.check(path)


def test_a_baseline_that_says_nothing_is_written_anew_and_said(project: Project) -> None:
    path = project()
    rl.check(path, update=True)
    kept = path.parent / "roofline.baseline"
    kept.write_text(kept.read_text().replace("memory", "compute"), encoding="utf-8")
    with pytest.raises(rl.RooflineError, match="was edited or damaged"):
        rl.check(path)
    assert "was edited or damaged" in rl.check(path, update=True)["notes"][0]
    assert rl.check(path)["passed"]


# -- why


def overlay(folder: Path, place: str, text: str) -> rl.Catalog:
    """The catalogue with a file of one's own laid over that of its name."""
    path = folder / "over" / place
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return rl.Catalog((folder / "over",), (folder / "over",))


def spread_rows() -> str:
    rows = [f"{how},vllm,gpu,{chip},{figure},99,9,0.25,0.5,2.5" for how, chip in
            (("measured", "h100-sxm"), ("measured", "mi300x"), ("transferred", "")) for figure in FIGURES]  # fmt: skip
    return "\n".join([",".join(COLUMNS), *rows, ""])


CHANGES = {
    "chip": (
        "chips/h100-sxm.yaml",
        "extends: h100-sxm\nid: h100-sxm\nmemory:\n  - {name: HBM3, bandwidth: 3.0 TB/s}\n",
    ),
    "constants": (
        "chips/h100-sxm.yaml",
        "extends: h100-sxm\nid: h100-sxm\nachieved:\n  kernels:\n    elementwise: {memory: 0.2}\n",
    ),
    "stack": (
        "stacks/vllm.yaml",
        "extends: vllm\nid: vllm\noverheads: {request: {time: 50 ms, source: s}}\nsources: {s: {title: Ours}}\n",
    ),
    "costs": ("chips/h100-sxm.yaml", "extends: h100-sxm\nid: h100-sxm\nprice: {hourly: {value: 9 USD/h}}\n"),
    "model": ("models/llama-3.1-8b.yaml", "extends: llama-3.1-8b\nid: llama-3.1-8b\nvocab: 200000\n"),
    "workload": ("serving/llama-3.1-8b-chat.yaml", "extends: llama-3.1-8b-chat\nid: llama-3.1-8b-chat\nbatch: 3\n"),
    "spreads": (FILE, spread_rows()),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_cause_is_told_and_no_other(project: Project, tmp_path: Path, kind: str) -> None:
    path = project()
    rl.check(path, update=True)
    result = rl.check(path, catalog=overlay(tmp_path, *CHANGES[kind]))
    assert causes(result) == {kind}
    assert result["counts"]["moved"] > 0
    assert not result["passed"]
    whose = {row["deployment"] for row in result["rows"]}
    assert whose == ({"h100-sxm"} if kind in ("chip", "constants", "costs") else {"h100-sxm", "mi300x"})
    if kind == "costs":
        assert {row["metric"] for row in result["rows"]} == {"usd_per_million_tokens"}
    if kind == "spreads":
        assert {row["metric"] for row in result["rows"]} <= {"tpot_s_low", "tpot_s_high"}
    obeys(result)
    rl.check(path, catalog=rl.Catalog(*((tmp_path / "over",),) * 2), update=True)
    assert causes(rl.check(path)) == {kind}


def test_several_causes_are_told_together(project: Project, tmp_path: Path) -> None:
    path = project()
    rl.check(path, update=True)
    for kind in ("chip", "workload"):
        place, text = CHANGES[kind]
        (tmp_path / "over" / place).parent.mkdir(parents=True)
        (tmp_path / "over" / place).write_text(text, encoding="utf-8")
    result = rl.check(path, catalog=rl.Catalog(*((tmp_path / "over",),) * 2))
    assert causes(result) == {"chip", "workload"}
    by = {row["deployment"]: {cause["kind"] for cause in row["causes"]} for row in result["rows"]}
    assert by == {"h100-sxm": {"chip", "workload"}, "mi300x": {"workload"}}


def test_other_software_is_another_stack(project: Project, tmp_path: Path) -> None:
    path = project()
    rl.check(path, update=True)
    text = "extends: h100-sxm\nid: h100-sxm\nstacks: {serving: sglang, training: megatron}\n"
    result = rl.check(path, catalog=overlay(tmp_path, "chips/h100-sxm.yaml", text))
    words = {row["metric"]: (row["before"], row["now"]) for row in result["rows"]}
    assert words["stack"] == ("vllm", "sglang")
    assert causes(result) <= {"stack", "spreads"}
    assert {"kind": "stack", "name": "sglang@h100-sxm"} in result["rows"][0]["causes"]


def test_other_formulas_are_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from roofline.engine import inference

    path = project()
    rl.check(path, update=True)
    monkeypatch.setattr(fingerprint, "program", lambda parts: "another")
    assert rl.check(path)["passed"]  # that a formula was written otherwise moves nothing by itself
    predict = inference.predict
    monkeypatch.setattr(
        inference, "predict", lambda job, where: predict(job.__class__(**{**fields(job), "batch": 64.0}), where)
    )
    result = rl.check(path)
    assert causes(result) == {"formulas"}


def fields(thing: Any) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in thing.__dataclass_fields__}


def test_what_moves_without_a_cause_is_said(project: Project) -> None:
    path = project()
    rl.check(path, update=True)
    kept = path.parent / "roofline.baseline"
    was = baseline.read(kept)
    key = ("h100-sxm", "llama-3.1-8b-chat", "ttft_s")
    baseline.write(baseline.Baseline(was.version, was.inputs, {**was.predictions, key: "1"}), kept)
    result = rl.check(path)
    (row,) = result["rows"]
    assert (row["metric"], row["causes"]) == ("ttft_s", [])
    assert "nothing that is hashed" in str(result)


# -- tolerances


@pytest.mark.parametrize(
    ("then", "now", "tolerance", "status"),
    [
        ("100", "100.1", 0.001, "same"),
        ("100", "100.101", 0.001, "moved"),
        ("0.3", "0.3003", 0.001, "same"),
        ("0.3", "0.2997", 0.001, "same"),
        ("-0.3", "-0.30031", 0.001, "moved"),
        ("1.23456", "1.23456", 0.0, "same"),
        ("1.23456", "1.23457", 0.0, "moved"),
        ("0", "0", 0.0, "same"),
        ("0", "1e-300", 5.0, "moved"),
        ("1e+08", "100000000", 0.0, "same"),
        ("memory", "memory", 0.0, "same"),
        ("memory", "compute", 9.0, "moved"),
        ("8", "eight", 9.0, "moved"),
        ("nan", "1", 9.0, "moved"),
        (None, "1", 9.0, "new"),
        ("1", None, 9.0, "vanished"),
    ],
)
def test_edges_of_tolerances(then: str | None, now: str | None, tolerance: float, status: str) -> None:
    assert moved._status(then, now, tolerance) == status


@settings(deadline=None)
@given(
    then=st.decimals(min_value="-1e9", max_value="1e9", places=5),
    tolerance=st.sampled_from([0.0, 1e-6, 0.001, 0.1, 1.0]),
    share=st.sampled_from(["0", "0.5", "1", "1.001", "2"]),
    sign=st.sampled_from([-1, 1]),
)
def test_a_figure_moves_where_it_is_further_than_its_tolerance(
    then: Decimal, tolerance: float, share: str, sign: int
) -> None:
    far = Decimal(repr(tolerance)) * Decimal(share) * abs(then)
    now = then + sign * far
    expected = "moved" if far and Decimal(share) > 1 else "same"
    assert moved._status(str(then), str(now), tolerance) == expected


def test_tolerances_are_those_of_the_file(project: Project, tmp_path: Path) -> None:
    path = project()
    rl.check(path, update=True)
    places = overlay(tmp_path, *CHANGES["chip"])
    assert not rl.check(path, catalog=places)["passed"]
    path.write_text(path.read_text().replace("default = 0.001", 'default = "20 %"'), encoding="utf-8")
    result = rl.check(path, catalog=places, every=True)
    assert result["passed"]
    assert {row["tolerance"] for row in result["rows"]} == {0.2}


# -- promises


def promised(project: Project, text: str) -> list[tuple[str, bool]]:
    path = project("[[slo]]\n" + text + "\n")
    result = rl.check(path, update=True)
    assert result["passed"] == all(row["kept"] for row in result["promises"])
    obeys(result)
    return [(row["deployment"], row["kept"]) for row in result["promises"]]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('assert = "tpot_s < 30 ms"', [("h100-sxm", True), ("mi300x", True)]),
        ('assert = "tpot_s < 0.01"', [("h100-sxm", False), ("mi300x", True)]),
        ('assert = "fits and decode_bound == \'memory\' and usd_per_million_tokens < 20"', [("h100-sxm", True), ("mi300x", True)]),
        ('assert = "not fits"', [("h100-sxm", False), ("mi300x", False)]),
        ('assert = "tpot_s < 0.01"\ndeployments = ["mi*"]', [("mi300x", True)]),
        ('assert = "tpot_s < 0.01"\nworkloads = ["*-chat"]\ndeployments = ["h100-sxm"]', [("h100-sxm", False)]),
        ('assert = "model == \'llama-3.1-8b\'"', [("h100-sxm", True), ("mi300x", True)]),
    ],
)  # fmt: skip
def test_promises_are_conditions(project: Project, text: str, kept: list[tuple[str, bool]]) -> None:
    assert promised(project, text) == kept


def test_what_is_not_known_or_does_not_fit_keeps_no_promise(project: Project) -> None:
    text = '[[predictions]]\nworkloads = ["llama-3.1-70b-chat"]\ndeployments = ["1xh100-sxm:weights=bf16", "576xgroq-lpu-v1"]\n'
    path = project(text=text + '[[slo]]\nassert = "tpot_s > 0"\n[[slo]]\nassert = "usd_per_million_tokens > 0"\n')
    rows = {(row["assert"], row["deployment"]): row for row in rl.check(path, update=True)["promises"]}
    misfit = rows["tpot_s > 0", "1xh100-sxm:weights=bf16"]
    assert (misfit["fits"], misfit["kept"]) == (False, False)
    unknown = rows["usd_per_million_tokens > 0", "576xgroq-lpu-v1"]
    assert (unknown["values"], unknown["kept"]) == ({"usd_per_million_tokens": None}, False)


def test_promises_are_about_predictions_that_have_their_metrics(project: Project) -> None:
    text = '[[predictions]]\nworkloads = ["llama-3.1-8b-pretraining"]\ndeployments = ["64xh100-sxm"]\n[[slo]]\nassert = "mfu > 0.1"\n'
    path = project(text)
    assert [row["workload"] for row in rl.check(path, update=True)["promises"]] == ["llama-3.1-8b-pretraining"]


def test_a_broken_promise_fails_an_update_too_and_the_baseline_is_written(project: Project) -> None:
    path = project('[[slo]]\nassert = "tpot_s < 1 us"\n')
    assert not rl.check(path, update=True)["passed"]
    result = rl.check(path)
    assert (result["counts"]["moved"], result["counts"]["broken"], result["passed"]) == (0, 2, False)


# -- gates


@pytest.mark.parametrize(("limit", "met"), [("20 %", True), ("0.001", False)])
def test_gates_are_limits_on_errors(project: Project, limit: str, met: bool) -> None:
    shown = limit if "%" not in limit else f'"{limit}"'
    table = ROOT / "examples" / "my-measurements.csv"
    path = project(
        f'[[accuracy]]\nmeasured = "{table}"\nby = ["batch"]\nmin_cases = 2\nmax_median = {shown}\nmax_p90 = 1\n'
    )
    result = rl.check(path, update=True)
    medians = [row for row in result["gates"] if row["error"] == "median_absolute_error"]
    groups = {group["group"]: group for group in rl.validate(table, by="batch")["summary"] if group["cases"] >= 2}
    assert {row["group"]: (row["value"], row["cases"]) for row in medians} == {
        name: (group["median_absolute_error"], group["cases"]) for name, group in groups.items()
    }
    assert all(row["met"] == (row["value"] <= row["limit"]) for row in result["gates"])
    assert result["passed"] == met == all(row["met"] for row in result["gates"])
    obeys(result)


# -- hashes


def test_sources_and_what_is_as_by_default_change_no_hash(catalog: rl.Catalog, tmp_path: Path) -> None:
    chip = catalog.chip("h100-sxm")
    text = 'extends: h100-sxm\nid: h100-sxm\nsources: {rent: {title: "Another"}}\n'
    other = overlay(tmp_path, "chips/h100-sxm.yaml", text).chip("h100-sxm")
    assert other.sources != chip.sources
    assert fingerprint.of(other) == fingerprint.of(chip)
    assert fingerprint.of(chip, ("memory",)) != fingerprint.of(chip)


def test_hashes_tell_classes_apart() -> None:
    from roofline.workload import Decode, Prefill

    assert fingerprint.of(Prefill(5.0)) != fingerprint.of(Decode(5.0))


def test_the_program_is_hashed_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import roofline

    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "a.py").write_text("x = 1\n", newline="\n")
    monkeypatch.setattr(roofline, "__file__", str(tmp_path / "__init__.py"))
    program = fingerprint.program.__wrapped__  # that of now, not of when this process began
    first = program(("engine",))
    (tmp_path / "engine" / "a.py").write_text("x = 1\r\n", newline="")
    assert program(("engine",)) == first
    (tmp_path / "engine" / "a.py").write_text("x = 2\n")
    assert program(("engine",)) != first


def test_formulas_are_files_that_exist() -> None:
    folder = Path(rl.__file__ or "").parent
    assert all((folder / part).exists() for part in fingerprint.FORMULAS)


def test_the_serving_template_is_a_workload() -> None:
    assert "model: llama-3.1-8b" in template("serving", "x")
