"""Files of one's own as a user has them: begun where they are found, completed, shown, checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roofline.cli import options
from roofline.cli.app import app


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_what_is_begun_in_a_project_is_found_by_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("new", "chip", "my-npu", "--project").startswith(".roofline/hardware/chips/my-npu.yaml")
    assert run("new", "model", "my-llm", "--project").startswith(".roofline/workloads/models/my-llm.yaml")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    run("new", "system", "my-rack", "--project")
    assert (project / ".roofline" / "hardware" / "systems" / "my-rack.yaml").is_file()
    shown = json.loads(run("show", "my-npu", "--format", "json"))
    assert (shown["origin"], shown["over"], shown["conflicts"]) == ("project", [], [])
    rows = json.loads(run("compare", "my-llm", "my-npu", "2xmy-rack", "--format", "json"))["rows"]
    assert [row["deployment"]["num_chips"] for row in rows] == [1, 16]
    assert "my-rack" in run("show", "systems", "--format", "csv")
    assert options.complete_deployment("2xmy-") == ["2xmy-npu", "2xmy-rack"]
    assert options.complete_model("my-") == ["my-llm"]
    assert "my-rack" in options.complete_entry("my")
    run("lint", str(project / ".roofline"))


def test_what_is_begun_for_a_user_is_found_everywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    run("new", "chip", "my-npu", "--user")
    assert (tmp_path / "config" / "roofline" / "hardware" / "chips" / "my-npu.yaml").is_file()
    assert json.loads(run("show", "my-npu", "--format", "json"))["origin"] == "user"
    assert options.complete_deployment("my-") == ["my-npu"]


def test_names_of_the_environment_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chips").mkdir()
    run("new", "chip", "my-npu", "--dir", str(tmp_path / "chips"))
    monkeypatch.setenv("ROOFLINE_HARDWARE_DIR", str(tmp_path))
    assert options.complete_deployment("my-") == ["my-npu"]
    assert json.loads(run("show", "my-npu", "--format", "json"))["origin"] == "ROOFLINE_HARDWARE_DIR"


def test_systems_are_completed_like_chips() -> None:
    assert options.complete_deployment("4xdgx-h") == ["4xdgx-h100", "4xdgx-h200"]
    assert "systems" in options.complete_entry("sys")


@pytest.mark.parametrize("places", [("--project", "--user"), ("--dir", ".", "--user"), ("--dir", ".", "--project")])
def test_one_place_is_enough(project: Path, places: tuple[str, ...]) -> None:
    assert "choose one" in run("new", "chip", "my-npu", *places, code=2)
    assert list(project.iterdir()) == []


def test_conflicts_and_rules_are_told() -> None:
    shown = run("show", "h100-sxm")
    assert "3.072 TB/s" in shown
    assert "stated before the launch" in shown
    assert "laid over" in shown
