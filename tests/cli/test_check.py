"""`roofline check`: exit codes, every option, what jobs of GitHub Actions get besides, and a project of one's own."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from roofline.studies import contract

Run = Callable[..., Any]
SCHEMA = json.loads((Path(contract.__file__).parent / "contract.schema.json").read_text(encoding="utf-8"))
CONFIG = """\
[[predictions]]
workloads = ["llama-3.1-8b-chat"]
deployments = ["h100-sxm"]
metrics = ["tpot_s"]
[[slo]]
assert = "tpot_s < 30 ms"
"""
OVER = "extends: h100-sxm\nid: h100-sxm\nmemory:\n  - {name: HBM3, bandwidth: 3.0 TB/s}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `roofline.toml` and a slower chip in `hw`, in which commands run."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roofline.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "hw" / "chips").mkdir(parents=True)
    (tmp_path / "hw" / "chips" / "h100-sxm.yaml").write_text(OVER, encoding="utf-8")
    return tmp_path


SLOW = ("--hardware-dir", "hw")


def test_from_nothing_to_green_to_red_and_back(project: Path, run: Run) -> None:
    (project / "roofline.toml").unlink()
    missing = run("check")
    assert (missing.code, missing.out) == (2, "")
    assert (
        missing.err
        == "roofline: roofline.toml: no such file; 'roofline new check' writes one, --config FILE names another\n"
    )
    assert run("new", "check").err == "edit it, then: roofline check --update\n"
    none = run("check")
    assert (none.code, none.err) == (
        2,
        "roofline: roofline.baseline: no such file; 'roofline check --update' writes it\n",
    )
    assert run("check", "--update").code == 0
    green = run("check")
    assert (green.code, green.err) == (0, "")
    assert green.out.startswith("check passed: ")
    red = run("check", *SLOW)
    assert red.code == 1
    assert red.err.startswith("roofline: check: ")
    assert "chip data of h100-sxm" in red.out
    assert run("check", "--update", *SLOW).code == 0
    assert run("check", *SLOW).code == 0


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda text: text[:-30], "is cut off"),
        (lambda text: text.replace("tpot_s = 0.0", "tpot_s = 0.1"), "was edited or damaged"),
        (lambda text: text.replace("[predictions]", "<<<<<<< HEAD\n[predictions]"), "merge conflict"),
        (lambda text: text.replace("roofline-baseline 1", "roofline-baseline 9"), "is of format 9"),
        (lambda _: "hello", "is no baseline of roofline"),
    ],
)
def test_a_baseline_that_can_not_be_relied_on_is_never_a_pass(
    project: Path, run: Run, break_it: Callable[[str], str], message: str
) -> None:
    run("check", "--update")
    path = project / "roofline.baseline"
    path.write_text(break_it(path.read_text(encoding="utf-8")), encoding="utf-8")
    ran = run("check")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("roofline: roofline.baseline:")
    assert message in ran.err


def test_a_chip_that_is_gone_is_never_a_pass(project: Path, run: Run) -> None:
    (project / "hw" / "chips" / "ours.yaml").write_text("extends: h100-sxm\nid: ours\nname: Ours\n", encoding="utf-8")
    (project / "roofline.toml").write_text(CONFIG.replace('"h100-sxm"', '"ours"'), encoding="utf-8")
    assert run("check", "--update", *SLOW).code == 0
    ran = run("check")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("roofline: roofline.toml:3:1: predictions.0.deployments.0: no chip 'ours'")


def test_the_contract_holds(project: Path, run: Run) -> None:
    run("check", "--update")
    for arguments in (("check",), ("check", "--all"), ("check", *SLOW), ("check", "--update")):
        ran = run(*arguments, "--format", "json")
        jsonschema.Draft7Validator(SCHEMA).validate(json.loads(ran.out))


def test_every_option_changes_something(project: Path, run: Run) -> None:
    run("check", "--update")
    plain = run("check")
    assert "h100-sxm" in run("check", "--all").out
    assert "h100-sxm" not in plain.out
    (project / "other.toml").write_text(CONFIG.replace("30 ms", "1 us"), encoding="utf-8")
    other = run("check", "--config", "other.toml")
    assert (other.code, other.err) == (1, "roofline: check: 1 promise broken\n")
    assert run("check", "none.baseline").code == 2
    assert run("check", "kept.baseline", "--update").code == 0
    assert (project / "kept.baseline").exists()
    (project / "work" / "serving").mkdir(parents=True)
    text = "extends: llama-3.1-8b-chat\nid: llama-3.1-8b-chat\nbatch: 64\n"
    (project / "work" / "serving" / "llama-3.1-8b-chat.yaml").write_text(text, encoding="utf-8")
    assert "workload llama-3.1-8b-chat" in run("check", "--workload-dir", "work").out
    assert run("check", "-f", "jsonl").out == ""


def test_suffixes_of_files_mean_formats(project: Path, run: Run) -> None:
    run("check", "--update")
    ran = run("check", *SLOW, "-o", "a.xml", "-o", "a.sarif", "-o", "a.md", "-o", "a.csv")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("wrote a.xml\nwrote a.sarif\nwrote a.md\nwrote a.csv\nroofline: check: ")
    assert ET.parse(project / "a.xml").getroot().tag == "testsuites"
    assert json.loads((project / "a.sarif").read_text())["runs"][0]["results"]
    assert (project / "a.md").read_text().startswith("### check failed")
    assert (project / "a.csv").read_text().startswith("check,status")


def test_jobs_of_github_get_annotations_and_a_summary(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("check", "--update")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.parent))
    (project / "summary.md").write_text("before\n", encoding="utf-8")
    ran = run("check", *SLOW, "--format", "json")
    assert json.loads(ran.out)["passed"] is False
    annotation = f"::error file={project.name}/roofline.baseline,line="
    assert ran.err.startswith(annotation)
    assert (project / "summary.md").read_text().startswith("before\n### check failed: ")
    alone = run("check", *SLOW, "--format", "github")
    assert alone.out.startswith(annotation)
    assert "::error" not in alone.err
    assert run("check").err.startswith("::notice title=roofline::check passed")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "none" / "summary.md"))
    refused = run("check")
    assert refused.code == 2
    assert "can't be written" in refused.err


def test_examples_of_help_run(project: Path, run: Run) -> None:
    (project / "roofline.toml").unlink()
    told = run("check", "--help").out
    lines = [line.split() for line in told.splitlines() if line.strip().startswith("$ roofline ")]
    assert len(lines) == 5
    for _, _, *arguments in lines:
        assert run(*arguments).code == 0, arguments
    assert (project / "report.xml").exists()


def test_only_a_check_needs_no_name(project: Path, run: Run) -> None:
    ran = run("new", "chip")
    assert (ran.code, ran.err) == (2, "roofline: a chip needs a name, its id, e.g. 'roofline new chip our-chip'\n")
    assert run("new", "check", "ours").out == "ours.toml\n"
    assert run("check", "--config", "ours.toml", "--update").code == 0
