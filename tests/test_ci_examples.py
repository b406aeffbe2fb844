"""`examples/ci`: the action, the pipelines and the hooks are what their hosts take, and their very commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

import roofline as rl

ROOT = Path(__file__).resolve().parents[1]
CI = ROOT / "examples" / "ci"
CONFIG = """\
[[predictions]]
workloads = ["llama-3.1-8b-chat"]
deployments = ["h100-sxm"]
metrics = ["tpot_s"]
[[slo]]
assert = "tpot_s < 30 ms"
"""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a baseline, and a `roofline` on the path that is this one."""
    (tmp_path / "roofline.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "roofline"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m roofline "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    rl.check(tmp_path / "roofline.toml", update=True)
    return tmp_path


def shell(project: Path, command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """As GitHub runs a step whose shell is bash."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    path = {"PATH": f"{project / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    bash = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", command]
    return subprocess.run(bash, cwd=project, env={**kept, **path, **more}, capture_output=True, text=True, check=False)


def spoil(project: Path) -> None:
    """A promise that nothing keeps."""
    path = project / "roofline.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("30 ms", "1 us"), encoding="utf-8")


# -- GitHub Actions


def expanded(text: str, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)


def test_the_steps_of_the_action_run(project: Path) -> None:
    action = read(CI / "action.yml")
    assert action["runs"]["using"] == "composite"
    inputs = {name: str(item["default"]) for name, item in action["inputs"].items()}
    (check,) = [step for step in action["runs"]["steps"] if step.get("name") == "Check"]
    given = {name: expanded(value, inputs) for name, value in check["env"].items()}
    assert all(step["shell"] == "bash" for step in action["runs"]["steps"] if "run" in step)
    assert "${{" not in check["run"]
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(project / "summary"), "GITHUB_WORKSPACE": str(project)}
    green = shell(project, check["run"], **given, **job)
    assert (green.returncode, green.stdout.splitlines()[0][:12]) == (0, "check passed")
    assert "::notice title=roofline::check passed" in green.stderr
    assert (project / "summary").read_text(encoding="utf-8").startswith("### check passed")
    assert ET.parse(project / expanded(action["outputs"]["report"]["value"], inputs)).getroot().tag == "testsuites"
    spoil(project)
    red = shell(project, check["run"], **(given | {"ARGUMENTS": "--all\n-o\nreport of all.md"}), **job)
    assert (project / "report of all.md").exists()
    assert red.returncode == 1
    assert "::error file=roofline.toml,line=6," in red.stderr


def test_the_action_installs_the_project_that_it_is_in() -> None:
    (install,) = [step for step in read(CI / "action.yml")["runs"]["steps"] if step.get("name") == "Install"]
    found = re.search(r'"\$\{GITHUB_ACTION_PATH\}/([./]+)"', install["run"])
    assert found
    assert (CI / found[1]).resolve() == ROOT
    assert (ROOT / "pyproject.toml").exists()


def test_the_workflow_uses_the_action_as_it_is() -> None:
    workflow = read(CI / "github-workflow.yml")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true, and GitHub does not mind
    steps = workflow["jobs"]["check"]["steps"]
    (used,) = [step for step in steps if "examples/ci" in step["uses"]]
    action = read(CI / "action.yml")
    assert set(used["with"]) <= set(action["inputs"])
    (upload,) = [step for step in steps if "upload-artifact" in step["uses"]]
    assert upload["with"]["path"] == action["inputs"]["report"]["default"]


# -- GitLab


def test_the_script_of_gitlab_runs(project: Path) -> None:
    job = read(CI / "gitlab-ci.yml")["predictions"]
    for line in job["script"]:
        assert shell(project, line).returncode == 0
    assert (project / job["artifacts"]["reports"]["junit"]).exists()
    assert all((project / path).exists() for path in job["artifacts"]["paths"])
    spoil(project)
    assert [shell(project, line).returncode for line in job["script"]] == [1]


# -- pre-commit


def test_hooks_run_and_are_those_of_the_example(project: Path) -> None:
    hooks = {hook["id"]: hook for hook in read(ROOT / ".pre-commit-hooks.yaml")}
    (repository,) = read(CI / "pre-commit-config.yaml")["repos"]
    assert [hook["id"] for hook in repository["hooks"]] == list(hooks)
    for hook in hooks.values():
        assert {"id", "name", "entry", "language", "files"} <= set(hook)
    assert shell(project, hooks["roofline-check"]["entry"]).returncode == 0
    bad = project / "bad.yaml"
    bad.write_text(
        (ROOT / "examples" / "my-asic.yaml").read_text(encoding="utf-8").replace("id:", "idd:"), encoding="utf-8"
    )
    assert shell(project, f"{hooks['roofline-lint']['entry']} {bad}").returncode == 2


@pytest.mark.parametrize(
    ("hook", "path", "runs"),
    [
        ("roofline-check", "roofline.toml", True),
        ("roofline-check", "infra/roofline.baseline", True),
        ("roofline-check", "hardware/chips/ours.yaml", True),
        ("roofline-check", "workloads/measured/ours.csv", True),
        ("roofline-check", "README.md", False),
        ("roofline-check", "my-hardware/x.yaml", False),
        ("roofline-lint", "infra/hardware/chips/ours.yaml", True),
        ("roofline-lint", "hardware/notes.md", False),
    ],
)
def test_hooks_run_for_what_predictions_rest_on(hook: str, path: str, runs: bool) -> None:
    (found,) = [item for item in read(ROOT / ".pre-commit-hooks.yaml") if item["id"] == hook]
    assert bool(re.search(found["files"], path)) == runs


# -- the example of a roofline.toml


def test_the_example_passes(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    path = tmp_path / "examples" / "ci" / "roofline.toml"
    assert rl.check(path, update=True)["passed"]
    assert rl.check(path)["counts"] | {"same": 0} == dict.fromkeys(rl.check(path)["counts"], 0) | {"kept": 3, "met": 1}
